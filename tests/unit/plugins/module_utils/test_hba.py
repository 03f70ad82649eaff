# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who may replicate by pg_hba.conf."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils._hba import (
    HEADER,
    Rule,
    added,
    deciding,
    line_for,
    rules_of,
)


def rule(address: str | None = "all", netmask: str | None = None, **more: t.Any) -> Rule:
    values: dict[str, t.Any] = {"line": 1, "type": "host", "databases": ("replication",), "users": ("replicator",)}
    return Rule(**{**values, "address": address, "netmask": netmask, "method": "scram-sha-256", **more})


@pytest.mark.parametrize(
    ("found", "address"),
    [
        (rule(), "10.0.0.1"),
        (rule("10.0.0.0", "255.255.255.0"), "10.0.0.1"),
        (rule("10.0.0.0", "255.255.255.0"), "10.0.0.128/25"),
        (rule("10.0.0.1", "255.255.255.255"), "10.0.0.1"),
        (rule("fd00::", "ffff::"), "fd00::5"),
        (rule("db2"), "DB2"),
        (rule("samenet"), "samenet"),
        (rule(), "samenet"),
        (rule(), "all"),
        (rule(".example.org"), ".example.org"),
        (rule(".example.org"), "db2.example.org"),
        (rule(users=("all",)), "10.0.0.1"),
        (rule(users=("other", "replicator")), "10.0.0.1"),
        (rule(users=("+standbys",)), "10.0.0.1"),
        (rule(type="hostssl"), "10.0.0.1"),
        (rule(method="reject"), "10.0.0.1"),
        (rule(databases=("all", "replication")), "10.0.0.1"),
    ],
)
def test_a_rule_decides(found: Rule, address: str) -> None:
    assert deciding([found], "replicator", ["standbys"], address) == found


@pytest.mark.parametrize(
    ("found", "address"),
    [
        (rule("10.0.0.0", "255.255.255.0"), "10.0.1.1"),
        (rule("10.0.0.0", "255.255.255.0"), "10.0.0.0/16"),
        (rule("10.0.0.0", "255.255.255.0"), "fd00::5"),
        (rule("fd00::", "ffff::"), "10.0.0.1"),
        (rule("db2"), "10.0.0.1"),
        (rule("samenet"), "10.0.0.1"),
        (rule("samehost"), "127.0.0.1"),
        (rule("samenet"), "all"),
        (rule("10.0.0.0", "255.255.255.0"), "samenet"),
        (rule(users=("other",)), "10.0.0.1"),
        (rule(users=("+others",)), "10.0.0.1"),
        (rule(None, type="local"), "10.0.0.1"),
        (rule(databases=("all",)), "10.0.0.1"),
        (rule(error="end-of-line before method"), "10.0.0.1"),
    ],
)
def test_a_rule_that_is_about_something_else(found: Rule, address: str) -> None:
    assert deciding([found], "replicator", ["standbys"], address) is None


def test_the_first_rule_decides() -> None:
    rules = [rule("10.9.0.0", "255.255.0.0", line=1), rule(line=2, method="reject"), rule(line=3)]
    found = deciding(rules, "replicator", [], "10.0.0.1")
    assert found and found.line == 2


def test_rules_of_the_view() -> None:
    row = {
        "line_number": 3,
        "type": "host",
        "database": ["replication"],
        "user_name": ["all"],
        "address": "10.0.0.0",
        "netmask": "255.0.0.0",
        "auth_method": "md5",
        "error": None,
    }
    names = ("type", "database", "user_name", "address", "netmask", "auth_method")
    wrong = {**row, **dict.fromkeys(names), "error": "bad"}
    assert rules_of([row, wrong]) == [
        Rule(3, "host", ("replication",), ("all",), "10.0.0.0", "255.0.0.0", "md5"),
        Rule(3, error="bad"),
    ]


@pytest.mark.parametrize(
    ("user", "address", "columns"),
    [
        ("replicator", "10.0.0.5", ["replicator", "10.0.0.5/32"]),
        ("replicator", "10.0.0.5/24", ["replicator", "10.0.0.0/24"]),
        ("repl-1", "fd00::5", ["repl-1", "fd00::5/128"]),
        ("all", ".example.org", ['"all"', ".example.org"]),
        ("replicator", "samenet", ["replicator", "samenet"]),
        ("a b", "10.0.0.5", ['"a', 'b"', "10.0.0.5/32"]),
    ],
)
def test_line_for(user: str, address: str, columns: list[str]) -> None:
    assert line_for(user, address).split() == ["host", "replication", *columns, "scram-sha-256"]


def test_lines_are_added_below_one_header() -> None:
    once = added("local all all peer", ["one"])
    assert once == f"local all all peer\n\n{HEADER}\none\n"
    assert added(once, ["two", "three"]) == f"{once}two\nthree\n"
