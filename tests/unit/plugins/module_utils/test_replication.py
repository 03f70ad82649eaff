# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a server lacks so that standbys can replicate from it."""

from __future__ import annotations

import typing as t
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils._hba import Rule, line_for
from ansible_collections.pgops.pgbackrest.plugins.module_utils._replication import (
    Role,
    Server,
    Slot,
    Wanted,
    Work,
    problems,
    standby_settings,
    work,
)
from ansible_collections.pgops.pgbackrest.plugins.module_utils._scram import verifier

SETTINGS = {
    "wal_level": "replica",
    "max_wal_senders": "10",
    "max_replication_slots": "10",
    "listen_addresses": "*",
}
GOOD = Role(True, True, True, verifier("right", b"0123456789abcdef"))
MD5 = "md50fc3271d18cceee75d22ec21504e9935"
SERVER = Server(False, SETTINGS, GOOD)
WANTED = Wanted("replicator", "right")
REJECT = Rule(7, "host", ("replication",), ("all",), "all", None, "reject")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def of_settings(**changes: str) -> Server:
    return replace(SERVER, settings={**SETTINGS, **changes})


def of_role(**changes: t.Any) -> Server:
    return replace(SERVER, role=replace(GOOD, **changes))


def with_slots(*slots: Slot) -> Server:
    return replace(SERVER, slots=slots)


@pytest.mark.parametrize(
    ("server", "wanted", "codes"),
    [
        (SERVER, WANTED, []),
        (of_settings(wal_level="minimal"), WANTED, ["wal_level"]),
        (of_settings(wal_level="logical"), WANTED, []),
        (of_settings(max_wal_senders="0"), WANTED, ["max_wal_senders"]),
        (of_settings(max_wal_senders="1"), replace(WANTED, present=["a", "b"]), ["max_wal_senders"]),
        (of_settings(max_wal_senders="1"), replace(WANTED, addresses=["10.0.0.1", "fd00::1"]), []),
        (of_settings(max_wal_senders="1"), replace(WANTED, standbys=2), ["max_wal_senders"]),
        (of_settings(listen_addresses="localhost"), WANTED, []),
        (of_settings(listen_addresses="localhost"), replace(WANTED, addresses=["10.0.0.1"]), ["listen_addresses"]),
        (of_settings(listen_addresses="localhost, 10.0.0.9"), replace(WANTED, addresses=["10.0.0.1"]), []),
        (of_settings(listen_addresses="localhost"), replace(WANTED, addresses=["127.0.0.1"]), []),
        (replace(SERVER, role=Role()), WANTED, ["user_missing"]),
        (replace(SERVER, role=Role()), replace(WANTED, create_user=True), []),
        (replace(SERVER, role=Role(), in_recovery=True), replace(WANTED, create_user=True), ["user_missing"]),
        (of_role(replication=False), WANTED, ["user_replication"]),
        (of_role(login=False), replace(WANTED, create_user=True), []),
        (SERVER, replace(WANTED, password="wrong"), ["user_password"]),
        (SERVER, replace(WANTED, password="wrong", create_user=True), []),
        (of_role(verifier=None), WANTED, ["user_password"]),
        (of_role(verifier=None), replace(WANTED, password=None), []),
        (of_role(valid_until=NOW - timedelta(1)), WANTED, ["user_expired"]),
        (of_role(valid_until=NOW + timedelta(1)), WANTED, []),
        (replace(SERVER, rules=[REJECT]), replace(WANTED, addresses=["10.0.0.1"]), ["pg_hba_rejects"]),
        (replace(SERVER, rules=[Rule(3, error="bad")]), replace(WANTED, addresses=["10.0.0.1"]), ["pg_hba_wrong"]),
        (replace(SERVER, rules=[Rule(3, error="bad")]), WANTED, []),
        (with_slots(Slot("db2", physical=False)), replace(WANTED, present=["db2"]), ["slot_is_logical"]),
        (with_slots(Slot("db2", physical=False)), replace(WANTED, absent=["db2"]), ["slot_is_logical"]),
        (of_settings(max_replication_slots="1"), replace(WANTED, present=["a", "b"]), ["max_replication_slots"]),
    ],
)
def test_problems(server: Server, wanted: Wanted, codes: list[str]) -> None:
    assert [problem.code for problem in problems(server, wanted, NOW)] == codes


def test_all_at_once() -> None:
    server = replace(of_settings(wal_level="minimal", max_wal_senders="0"), role=Role(), rules=[REJECT])
    found = problems(server, replace(WANTED, addresses=["10.0.0.1"]), NOW)
    assert [problem.code for problem in found] == ["wal_level", "max_wal_senders", "user_missing", "pg_hba_rejects"]
    assert all(problem.hint and problem.sentence.endswith(".") for problem in found)


def test_a_password_kept_as_md5_is_right_but_does_not_serve_new_lines() -> None:
    server, wanted = of_role(verifier=MD5), Wanted("replicator", "right")
    assert server.role.password_is("replicator", "right") == "md5"
    assert problems(server, wanted, NOW) == []
    assert [found.code for found in problems(server, replace(wanted, addresses=["10.0.0.1"]), NOW)] == ["user_md5"]
    assert work(server, replace(wanted, create_user=True)).set_password


def test_slots_that_go_make_room() -> None:
    server = replace(of_settings(max_replication_slots="1"), slots=[Slot("old")])
    wanted = replace(WANTED, present=["new"], absent=["old"])
    assert problems(server, wanted, NOW) == []
    assert work(server, wanted) == Work(create=("new",), drop=("old",))


@pytest.mark.parametrize(
    ("server", "wanted", "expected"),
    [
        (SERVER, WANTED, Work()),
        (SERVER, replace(WANTED, create_user=True), Work()),
        (
            replace(SERVER, role=Role()),
            replace(WANTED, create_user=True),
            Work(create_role=True, role_options=("LOGIN", "REPLICATION"), set_password=True),
        ),
        (of_role(login=False), replace(WANTED, create_user=True), Work(role_options=("LOGIN",))),
        (of_role(login=False), WANTED, Work()),
        (
            replace(of_role(login=False), in_recovery=True),
            replace(WANTED, create_user=True, password="x"),
            Work(),
        ),
        (SERVER, replace(WANTED, create_user=True, password="new"), Work(set_password=True)),
        (SERVER, replace(WANTED, addresses=["10.0.0.1"]), Work(lines=(line_for("replicator", "10.0.0.1"),))),
        (replace(SERVER, rules=[replace(REJECT, method="md5")]), replace(WANTED, addresses=["10.0.0.1"]), Work()),
        (with_slots(Slot("a", active=True)), replace(WANTED, absent=["a", "b"]), Work()),
        (with_slots(Slot("a", wal_status="lost")), replace(WANTED, present=["a"]), Work(create=("a",), drop=("a",))),
        (with_slots(Slot("a", wal_status="extended")), replace(WANTED, present=["a"]), Work()),
    ],
)
def test_work(server: Server, wanted: Wanted, expected: Work) -> None:
    assert work(server, wanted) == expected
    assert work(server, wanted).any is (expected != Work())


def test_slots_in_use_are_told() -> None:
    todo = work(with_slots(Slot("a", active=True)), replace(WANTED, absent=["a"]))
    assert todo.busy == ("a",) and not todo.any


def row(name: str, value: str = "1", file: str = "/etc/postgresql/15/main/postgresql.conf") -> dict[str, t.Any]:
    return {"name": name, "value": value, "source": "configuration file", "sourcefile": file}


def test_settings_for_a_standby() -> None:
    rows = [
        row("shared_buffers", "128MB"),
        row("work_mem", "6MB", "/var/lib/postgresql/15/main/postgresql.auto.conf"),
        row("max_connections", "300", "/var/lib/postgresql/15/main/postgresql.auto.conf"),
        {"name": "max_wal_senders", "value": "10", "source": "default", "sourcefile": None},
        {"name": "wal_level", "value": "replica", "source": "default", "sourcefile": None},
        row("listen_addresses", "10.0.0.1"),
        row("password_encryption", "scram-sha-256"),
        row("lc_messages", "C.UTF-8"),
        *(row(name) for name in ("data_directory", "hba_file", "ssl", "ssl_key_file", "archive_command", "port")),
        *(row(name) for name in ("primary_conninfo", "restore_command", "recovery_target_time", "cluster_name")),
        *(row(name) for name in ("synchronous_standby_names", "unix_socket_directories", "my.password", "x.api_token")),
        *(row(name) for name in ("log_directory", "external_pid_file", "stats_temp_directory")),
    ]
    assert standby_settings(rows) == {
        "lc_messages": "C.UTF-8",
        "max_connections": "300",
        "max_wal_senders": "10",
        "password_encryption": "scram-sha-256",
        "shared_buffers": "128MB",
    }
    assert standby_settings([row("listen_addresses", "*")]) == {"listen_addresses": "*"}


def test_a_primary_that_listens_since_its_backup_gives_standbys_that_listen() -> None:
    auto = "/var/lib/postgresql/15/main/postgresql.auto.conf"
    assert standby_settings([row("listen_addresses", "*", auto)]) == {"listen_addresses": "*"}
    assert standby_settings([row("listen_addresses", "10.0.0.1", auto)]) == {}
    default = {"name": "listen_addresses", "value": "localhost", "source": "default", "sourcefile": None}
    assert standby_settings([default]) == {}
