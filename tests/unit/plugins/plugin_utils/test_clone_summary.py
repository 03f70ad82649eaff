# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a play says of a clone, and what it hands to the next step."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.pgops.pgbackrest.plugins.plugin_utils._clone_summary import summary

CLONE = {
    "name": "ci-42",
    "directory": "/var/lib/postgresql/clones/ci-42",
    "data_directory": "/var/lib/postgresql/clones/ci-42/data",
    "port": 5433,
    "socket_directory": "/var/run/postgresql",
    "unit": "postgresql-clone-ci-42.service",
    "pg_version": "15",
    "system_identifier": "7711205180385488991",
    "created_at": "2026-11-23 04:00:00+00:00",
    "expires_at": "2026-11-23 08:00:00+00:00",
    "recovered_to": {
        "lsn": "0/9012910",
        "time": "2026-11-23T03:46:51+00:00",
        "reason": "before 2026-11-23 03:46:54+00",
        "timeline": 2,
    },
    "databases": ["postgres", "shop"],
    "dropped": ["crm"],
    "sql": [{"name": "mask.sql", "database": "shop", "seconds": 0.2}],
}
PLAN = {
    "backup": {"label": "20261123-034631F", "type": "full", "repo_key": 1},
    "target": {"text": "time 2026-11-23 03:46:53+00:00 on timeline 1, then promote"},
}


def wanted(listens: str) -> dict[str, t.Any]:
    return {"stanza": "main", "owner": "postgres", "clone": {"listen_addresses": listens}}


def facts(**changes: t.Any) -> dict[str, t.Any]:
    found = {
        "host": "ci1",
        "address": "ci1.example.com",
        "wanted": wanted("localhost"),
        "restore": {"plan": PLAN, "restored": {"seconds": 3.2, "copied_bytes": 31457280}},
        "clone": CLONE,
        "seconds": {"start": 0.4, "recovery": 1.1, "drop": 0.1, "sql": 0.2, "open": 0.5},
        "changed": True,
        "began": "100.0",
        "ended": "109.5",
    }
    return {**found, **changes}


def test_lines_for_people() -> None:
    assert summary(facts())["lines"] == [
        "ci-42 on ci1: READY. PostgreSQL 15 takes connections.",
        "  reach       port 5433 on localhost, socket in /var/run/postgresql",
        "              on ci1: sudo -u postgres psql -p 5433 shop",
        "              files in /var/lib/postgresql/clones/ci-42",
        "  from        full backup 20261123-034631F of stanza main, repository 1",
        "  to          asked: time 2026-11-23 03:46:53+00:00 on timeline 1",
        "              reached: last commit 2026-11-23 03:46:51+00:00, stopped before the commit of",
        "              2026-11-23 03:46:54+00:00, at 0/9012910",
        "  databases   postgres, shop",
        "              left out and dropped: crm",
        "  sql         mask.sql in shop",
        "  archives    nothing, and never to its source",
        "  removed     by itself at 2026-11-23 08:00:00+00:00, or by clone_state=absent with clone_name=ci-42",
        "  took        9.5 s: plan 4.0 s, restore 3.2 s, start 0.4 s, recovery 1.1 s, drop 0.1 s, sql 0.2 s,",
        "              open 0.5 s; 30.0 MiB copied",
    ]


def test_data_for_the_next_step() -> None:
    data = summary(facts())["data"]
    assert (data["host"], data["address"], data["port"]) == ("ci1", "localhost", 5433)
    assert data["backup"] == {"label": "20261123-034631F", "type": "full", "repo": 1}
    assert data["recovered_to"] == CLONE["recovered_to"]
    assert (data["seconds"]["restore"], data["seconds"]["sql"], data["seconds"]["total"]) == (3.2, 0.2, 9.5)
    assert data["changed"] is True


def test_variables_of_a_shell() -> None:
    assert summary(facts())["env"] == "PGHOST=localhost\nPGPORT=5433\nCLONE_NAME=ci-42\nCLONE_HOST=ci1\n"


def test_address_where_others_can_reach_it() -> None:
    for listens, address in (("*", "ci1.example.com"), ("localhost, 10.0.0.7", "ci1.example.com"), ("", "localhost")):
        assert summary(facts(wanted=wanted(listens)))["data"]["address"] == address


def test_second_run() -> None:
    again = facts(changed=False, restore={"plan": PLAN}, seconds={}, clone={**CLONE, "expires_at": None, "dropped": []})
    found = summary(again)
    assert found["lines"][0].startswith("ci-42 on ci1: READY ALREADY, since 2026-11-23 04:00:00+00:00.")
    assert "  removed     by clone_state=absent with clone_name=ci-42" in found["lines"]
    assert found["lines"][-1] == "  took        9.5 s: plan 9.5 s"
    assert "restore" not in found["data"]["seconds"]


def test_own_stanza() -> None:
    asked = {**wanted("localhost"), "clone": {"archive_stanza": "clone42"}}
    assert "  archives    to the stanza clone42" in summary(facts(wanted=asked))["lines"]


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("no recovery target specified", "end of the WAL at 0/9012910"),
        ("before LSN 0/9012910", "stopped before LSN 0/9012910, at 0/9012910"),
        ("after transaction 739", "stopped after transaction 739, at 0/9012910"),
        ('at restore point "release"', "stopped at restore point release, at 0/9012910"),
        ("reached consistency", "stopped at the end of the backup, at 0/9012910"),
        (None, "stopped at 0/9012910"),
    ],
)
def test_end_of_the_wal_is_named_where_there_was_no_target(reason: str | None, words: str) -> None:
    clone = {**CLONE, "recovered_to": {"lsn": "0/9012910", "time": None, "reason": reason}}
    assert f"              reached: {words}" in summary(facts(clone=clone))["lines"]


@pytest.mark.parametrize(
    ("databases", "sockets", "command"),
    [
        (["postgres"], "/var/run/postgresql", "psql -p 5433 postgres"),
        (["My Shop", "postgres"], "/var/run/postgresql", "psql -p 5433 'My Shop'"),
        (["shop"], "/srv/clones/ci/run", "psql -h /srv/clones/ci/run -p 5433 shop"),
    ],
)
def test_command_that_connects(databases: list[str], sockets: str, command: str) -> None:
    clone = {**CLONE, "databases": databases, "socket_directory": sockets}
    assert f"              on ci1: sudo -u postgres {command}" in summary(facts(clone=clone))["lines"]
