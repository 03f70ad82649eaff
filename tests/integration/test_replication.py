# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module replication on a real PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import typing as t

import pytest

PASSWORD = "grüße an it's \\ 1"
USER = "repl-user"


@pytest.fixture(name="server")
def server_fixture(cluster: t.Any) -> t.Any:
    """A started cluster that logs every statement and listens to the loopback address only."""
    cluster.configure(log_statement="all", log_min_duration_statement="0", listen_addresses="127.0.0.1")
    cluster.start()
    return cluster


def options(cluster: t.Any, **more: t.Any) -> dict[str, t.Any]:
    return {**cluster.login, "user": USER, "password": PASSWORD, **more}


def state(cluster: t.Any) -> tuple[t.Any, ...]:
    """All that the module may change, and when the server read its files last."""
    hba = cluster.pgdata / "pg_hba.conf"
    return (
        (hba.read_bytes(), hba.stat().st_mtime_ns, hba.stat().st_mode, hba.stat().st_uid),
        cluster.sql("SELECT rolname, rolpassword, rolreplication, rolcanlogin FROM pg_authid ORDER BY 1"),
        cluster.sql("SELECT slot_name, slot_type FROM pg_replication_slots ORDER BY 1"),
        cluster.sql("SELECT pg_conf_load_time()"),
    )


def log_in(cluster: t.Any, password: str) -> subprocess.CompletedProcess[str]:
    """Ask over TCP for a connection of replication."""
    argv = ["psql", "-XAt", f"host=127.0.0.1 port={cluster.port} user={USER} replication=true", "-c", "IDENTIFY_SYSTEM"]
    environment = {**os.environ, "PGPASSWORD": password}
    return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.matrix
def test_from_nothing(server: t.Any, run: t.Any) -> None:
    # initdb lets everybody replicate from the loopback addresses
    hba = server.pgdata / "pg_hba.conf"
    hba.write_text("local all all trust\nlocal replication all trust", encoding="utf-8")
    server.sql("SELECT pg_reload_conf()")
    wanted = options(server, create_user=True, addresses=["127.0.0.1", "10.1.0.0/16"], slots={"present": ["db2"]})
    if server.pg_major < 12:
        wanted["addresses"] = ["127.0.0.1"]
    before, mode = state(server), hba.stat().st_mode
    foretold = run("replication", wanted, check=True)
    if server.pg_major >= 12:
        assert [problem["code"] for problem in foretold["problems"]] == ["listen_addresses"]
        wanted["addresses"] = ["127.0.0.1"]
        foretold = run("replication", wanted, check=True)
    assert foretold["changed"] and state(server) == before
    result = run("replication", wanted)
    assert result["changed"] and result["diff"] == foretold["diff"]
    assert result["diff"]["before"] == {"pg_hba": [], "slots": [], "user": None}
    assert [slot["name"] for slot in result["slots"]] == ["db2"]
    assert hba.read_text().endswith(
        "local replication all trust\n\n# Managed by Ansible (pgops.pgbackrest.replication): standbys\n"
        "host    replication     repl-user       127.0.0.1/32            scram-sha-256\n"
    )
    assert hba.stat().st_mode == mode and hba.owner() == server.pgdata.owner()
    assert result["system_identifier"] in log_in(server, PASSWORD).stdout
    assert "password authentication failed" in log_in(server, "wrong").stderr
    secret = server.sql(f"SELECT rolpassword FROM pg_authid WHERE rolname = '{USER}'")[0][0]
    log = server.log_file.read_text(encoding="utf-8")
    assert "system_identifier" in log  # it does log statements
    assert secret.startswith("SCRAM-SHA-256$") and secret not in log and PASSWORD not in log
    after = state(server)
    again = run("replication", wanted)
    assert not again["changed"] and again["diff"]["before"]["user"] == again["diff"]["after"]["user"]
    assert state(server) == after


def test_settings_for_a_standby(server: t.Any, run: t.Any) -> None:
    server.configure(shared_buffers="40MB", work_mem="5MB", archive_command="cp %p /x", ssl_key_file="mine.key")
    server.sql("ALTER SYSTEM SET work_mem = '6MB'")
    server.stop()
    server.start()
    found = run("replication", options(server, user="postgres", password=None))["settings"]
    assert {
        "max_connections": "100",
        "max_locks_per_transaction": "64",
        "max_prepared_transactions": "0",
        "max_wal_senders": "3",
        "max_worker_processes": "8",
        "shared_buffers": "40MB",
    }.items() <= found.items()
    assert not {
        "work_mem",
        "port",
        "listen_addresses",
        "unix_socket_directories",
        "archive_command",
        "ssl_key_file",
    } & {*found}


def test_all_problems_at_once(server: t.Any, run: t.Any) -> None:
    server.configure(wal_level="minimal", max_wal_senders="0", max_replication_slots="0")
    server.stop()
    server.start()
    before = state(server)
    result = run("replication", options(server, addresses=["10.0.0.1"], slots={"present": ["db2"]}))
    assert result["failed"] and state(server) == before
    codes = [problem["code"] for problem in result["problems"]]
    assert codes == ["wal_level", "max_wal_senders", "listen_addresses", "user_missing", "max_replication_slots"]
    assert result["msg"].startswith("Standbys cannot replicate from this server: 1) wal_level is minimal")


def test_a_password_is_compared_only(server: t.Any, run: t.Any) -> None:
    server.sql(f"CREATE ROLE \"{USER}\" LOGIN PASSWORD 'other'")
    result = run("replication", options(server))
    assert [problem["code"] for problem in result["problems"]] == ["user_replication", "user_password"]
    assert PASSWORD not in str(result)
    changed = run("replication", options(server, create_user=True))
    assert changed["diff"]["before"]["user"] == {"login": True, "password": "wrong", "replication": False}
    assert changed["diff"]["after"]["user"] == {"login": True, "password": "right", "replication": True}
    assert not run("replication", options(server))["changed"]


def test_lines_that_reject_or_are_wrong(server: t.Any, run: t.Any) -> None:
    server.sql(f'CREATE ROLE "{USER}" LOGIN REPLICATION')
    hba = server.pgdata / "pg_hba.conf"
    hba.write_text("local all all trust\nhost replication all 127.0.0.0/8 reject\n", encoding="utf-8")
    wanted = options(server, password=None, addresses=["127.0.0.1"])
    assert [problem["code"] for problem in run("replication", wanted)["problems"]] == ["pg_hba_rejects"]
    hba.write_text("local all all trust\nhost replication all nonsense/8 trust trust\n", encoding="utf-8")
    before = state(server)
    assert [problem["code"] for problem in run("replication", wanted)["problems"]] == ["pg_hba_wrong"]
    assert state(server) == before


def test_addresses_that_are_no_numbers(server: t.Any, run: t.Any) -> None:
    """PostgreSQL takes the lines, and they are found again."""
    (server.pgdata / "pg_hba.conf").write_text("local all all trust\n", encoding="utf-8")
    server.configure(listen_addresses="*", max_wal_senders="5")
    server.stop()
    server.start()
    wanted = options(server, create_user=True, addresses=["samenet", ".example.org", "localhost", "fd00::1", "all"])
    assert run("replication", wanted)["changed"]
    assert not run("replication", wanted)["changed"]
    assert server.sql("SELECT count(*) FROM pg_hba_file_rules WHERE error IS NOT NULL") == [("0",)]


def test_slots(server: t.Any, run: t.Any) -> None:
    server.sql("SELECT pg_create_physical_replication_slot('old', true), pg_create_physical_replication_slot('busy')")
    prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    argv = [*prefix, f"{server.bindir}/pg_receivewal", "-D", str(server.make_directory("wal")), "-S", "busy"]
    with subprocess.Popen([*argv, "-h", server.socket_dir, "-p", str(server.port)], cwd="/") as holder:
        try:
            while server.sql("SELECT active FROM pg_replication_slots WHERE slot_name = 'busy'") == [("f",)]:
                assert holder.poll() is None
            slots = {"present": ["db2"], "absent": ["old", "never", "busy"]}
            wanted = options(server, user="postgres", password=None, slots=slots)
            result = run("replication", wanted)
            again = run("replication", wanted)
        finally:
            holder.terminate()
    assert result["changed"] and not again["changed"]
    assert [(slot["name"], slot["active"]) for slot in result["slots"]] == [("busy", True), ("db2", False)]
    assert "busy was not dropped" in str(result["warnings"])


def test_a_slot_that_lost_its_wal_is_made_again(server: t.Any, run: t.Any) -> None:
    server.configure(max_slot_wal_keep_size="1", max_wal_size="32MB", min_wal_size="32MB")
    server.sql("SELECT pg_reload_conf(), pg_create_physical_replication_slot('db2', true)")
    for _dummy in range(6):
        server.sql("SELECT pg_switch_wal(), pg_logical_emit_message(true, 'a', 'b')")
        server.sql("CHECKPOINT")
    wanted = options(server, user="postgres", password=None, slots={"present": ["db2"]})
    assert server.sql("SELECT wal_status FROM pg_replication_slots") == [("lost",)]
    assert run("replication", wanted)["changed"]
    assert server.sql("SELECT wal_status IS NULL FROM pg_replication_slots") == [("t",)]


def test_a_login_that_is_no_superuser(server: t.Any, run: t.Any) -> None:
    server.sql("CREATE ROLE app LOGIN")
    result = run("replication", {**options(server), "login_user": "app"})
    assert [problem["code"] for problem in result["problems"]] == ["superuser"]
    assert "app is no superuser" in result["msg"]


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"slots": {"present": ["DB-2"]}}, "'DB-2' is no name of a slot"),
        ({"slots": {"present": ["a"], "absent": ["a"]}}, "The slot a is named more than once"),
        ({"user": 'a"b'}, "without double quotes"),
        ({"addresses": ["10.0.0.1 trust\nhost"]}, "is no address"),
        ({"addresses": ["no-such-host.invalid"]}, "does not know the address of no-such-host.invalid"),
    ],
)
def test_bad_input(server: t.Any, run: t.Any, wrong: dict[str, t.Any], text: str) -> None:
    before = state(server)
    result = run("replication", options(server, create_user=True, **wrong) if "user" not in wrong else wrong)
    assert result["failed"] and text in result["msg"]
    assert state(server) == before
