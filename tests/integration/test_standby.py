# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module standby on real servers: a primary, and standbys that are copies of it."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import typing as t
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils import _standby_local

PASSWORD = "it's \\ a secret"


@pytest.fixture(name="primary")
def primary_fixture(cluster: t.Any) -> t.Any:
    """A started primary that lets a role replicate over TCP, with a password only, and logs every statement."""
    cluster.configure(listen_addresses="127.0.0.1", wal_keep_segments="20")
    text = (cluster.pgdata / "postgresql.conf").read_text()
    if cluster.pg_major >= 13:
        text = text.replace("wal_keep_segments = '20'", "wal_keep_size = '320MB'")
    (cluster.pgdata / "postgresql.conf").write_text(f"{text}log_statement = 'all'\n")
    method = "host replication replicator 127.0.0.1/32 scram-sha-256\n"
    (cluster.pgdata / "pg_hba.conf").write_text(f"local all all trust\n{method}")
    cluster.start()
    quoted = PASSWORD.replace("'", "''")
    cluster.sql(
        f"SET password_encryption = 'scram-sha-256'; CREATE ROLE replicator LOGIN REPLICATION PASSWORD '{quoted}'"
    )
    cluster.sql("CREATE TABLE t (v text)")
    return cluster


def second(primary: t.Any, name: str = "standby") -> t.Any:
    """A stopped copy of the primary as it is now, a standby that follows nobody."""
    root = primary.make_directory(name)
    copy = replace(primary, root=root, port=primary.port + 1)
    primary.stop()
    subprocess.run(["cp", "-a", f"{primary.pgdata}/.", str(copy.make_directory("pgdata"))], check=True)
    os.chmod(copy.pgdata, 0o700)
    primary.start()
    settings = f"port = {copy.port}\nunix_socket_directories = '{copy.socket_dir}'\nlisten_addresses = ''\n"
    with open(copy.pgdata / "postgresql.conf", "a", encoding="utf-8") as file:
        file.write(settings)
    follow(copy)
    return copy


def follow(copy: t.Any) -> None:
    """Make a directory that of a standby."""
    path = copy.pgdata / ("standby.signal" if copy.pg_major >= 12 else "recovery.conf")
    path.write_text("" if copy.pg_major >= 12 else "standby_mode = on\nrecovery_target_timeline = 'latest'\n")
    shutil.chown(path, copy.pgdata.owner(), copy.pgdata.group())


@pytest.fixture(name="standby")
def standby_fixture(primary: t.Any) -> t.Iterator[t.Any]:
    """A stopped standby that follows nobody yet."""
    copy = second(primary)
    yield copy
    copy.stop("immediate")


def options(source: t.Any, standby: t.Any, **more: t.Any) -> dict[str, t.Any]:
    upstream = {"host": "127.0.0.1", "port": source.port, "user": "replicator", "password": PASSWORD}
    return {
        "pgdata": str(standby.pgdata),
        "login_host": standby.socket_dir,
        "login_port": standby.port,
        "upstream": {**upstream, **more.pop("upstream", {})},
        "log_file": str(standby.log_file),
        "timeout": 20,
        **more,
    }


def files(standby: t.Any) -> dict[str, bytes]:
    """What says whom the standby follows."""
    names = ("postgresql.auto.conf", "recovery.conf", "postgresql.conf", "standby.signal")
    paths = [standby.pgdata / name for name in names]
    return {path.name: path.read_bytes() for path in paths if path.exists()}


def no_secret(*texts: t.Any) -> None:
    assert not any("a secret" in str(text) for text in texts)


def attach(run: t.Any, primary: t.Any, standby: t.Any, **more: t.Any) -> dict[str, t.Any]:
    """Bring a stopped standby to streaming, as the role does."""
    written = run("standby", options(primary, standby, state="configured", **more))
    assert not written["failed"], written
    standby.start()
    result = run("standby", options(primary, standby, **more))
    assert result["streaming"], result
    return t.cast("dict[str, t.Any]", result)


@pytest.mark.matrix
def test_start_and_stream(primary: t.Any, standby: t.Any, run: t.Any) -> None:
    primary.sql("SELECT pg_create_physical_replication_slot('db2')")
    wanted = options(primary, standby, slot="db2")
    before = files(standby)
    seen = run("standby", wanted, check=True)
    assert (seen["action"], seen["changed"], seen["streaming"]) == ("start", True, False)
    assert seen["upstream"]["reachable"] and seen["upstream"]["timeline"] == 1 and not seen["upstream"]["in_recovery"]
    assert seen["upstream"]["system_identifier"] == seen["local"]["system_identifier"]
    assert files(standby) == before
    written = run("standby", {**wanted, "state": "configured"})
    assert written["changed"] and written["diff"] == seen["diff"]
    again = run("standby", {**wanted, "state": "configured"})
    assert not again["changed"] and again["action"] == "start"
    standby.start()
    result = run("standby", wanted)
    assert (result["action"], result["changed"], result["streaming"]) == ("none", False, True), result
    assert result["local"]["receiver"] == {
        "status": "streaming",
        "host": "127.0.0.1",
        "port": str(primary.port),
        "slot": "db2",
    }
    primary.sql("INSERT INTO t VALUES ('streamed')")
    assert result["lag"]["bytes"] is not None
    after = files(standby)
    again = run("standby", wanted)
    assert not again["changed"] and again["lag"]["seconds"] is not None and files(standby) == after
    no_secret(seen, written, result, standby.log_file.read_text())


@pytest.mark.matrix
def test_repoint(primary: t.Any, standby: t.Any, run: t.Any) -> None:
    attach(run, primary, standby)
    primary.sql("SELECT pg_create_physical_replication_slot('db2')")
    wanted = options(primary, standby, slot="db2", upstream={"application_name": "db2"})
    before = files(standby)
    seen = run("standby", wanted, check=True)
    assert (seen["action"], seen["changed"]) == ("repoint", True) and files(standby) == before
    result = run("standby", wanted)
    assert result["changed"] and result["diff"] == seen["diff"]
    if primary.pg_major < 13:
        assert result["restart_required"] and result["action"] == "repoint"
        assert run("standby", wanted)["restart_required"]
        standby.stop()
        standby.start()
        result = run("standby", wanted)
    assert result["streaming"] and not result["restart_required"] and result["action"] == "none"
    assert primary.sql("SELECT application_name FROM pg_stat_replication") == [("db2",)]
    no_secret(result, standby.log_file.read_text())
    assert standby.sql("SHOW log_min_messages") == [("warning",)]
    assert "log_min_messages" not in (standby.pgdata / "postgresql.auto.conf").read_text()
    back = run("standby", options(primary, standby))
    assert back["changed"]
    if primary.pg_major >= 13:
        assert back["streaming"] and back["local"]["receiver"]["slot"] is None


def test_after_an_interrupted_run_the_server_logs_again(primary: t.Any, standby: t.Any, run: t.Any) -> None:
    attach(run, primary, standby)
    standby.sql("ALTER SYSTEM SET log_min_messages TO 'FATAL'")
    assert run("standby", options(primary, standby), check=True)["changed"]
    assert run("standby", options(primary, standby))["changed"]
    assert standby.sql("SHOW log_min_messages") == [("warning",)]
    assert not run("standby", options(primary, standby))["changed"]


def test_nothing_there(primary: t.Any, run: t.Any) -> None:
    empty = replace(primary, root=primary.make_directory("other"))
    seen = run("standby", options(primary, empty), check=True)
    assert (seen["action"], seen["local"]["state"]) == ("provision", "missing")
    empty.make_directory("pgdata")
    assert run("standby", options(primary, empty), check=True)["local"]["state"] == "empty"
    failed = run("standby", options(primary, empty))
    assert failed["failed"] and failed["action"] == "provision" and failed["msg"] == "The data directory is empty."
    (empty.pgdata / "notes").write_text("mine")
    assert run("standby", options(primary, empty), check=True)["action"] == "refuse"


def test_another_cluster(primary: t.Any, run: t.Any) -> None:
    foreign = replace(primary, root=primary.make_directory("other"))
    foreign.initdb()
    seen = run("standby", options(primary, foreign), check=True)
    assert seen["action"] == "refuse" and "holds another cluster" in seen["reason"]
    wrong = run("standby", options(primary, foreign, system_identifier=seen["local"]["system_identifier"]))
    assert [problem["code"] for problem in wrong["problems"]] == ["upstream_other_cluster"]


@pytest.mark.matrix
def test_after_a_failover(primary: t.Any, standby: t.Any, run: t.Any) -> None:
    """The standby becomes the primary; the old one, still running and later stopped, and another standby."""
    other = second(primary, "other")
    other = replace(other, port=standby.port + 1)
    other.configure(port=str(other.port))
    try:
        attach(run, primary, standby)
        attach(run, primary, other)
        primary.sql("INSERT INTO t VALUES ('both have it')")
        primary.stop()
        promote(standby)
        standby.configure(listen_addresses="127.0.0.1")
        standby.stop()
        standby.start()
        moved = run("standby", options(standby, other))
        if moved.get("restart_required"):
            other.stop()
            other.start()
            moved = run("standby", options(standby, other))
        assert moved["streaming"] and moved["local"]["timeline"] == 2, moved
        seen = run("standby", options(standby, primary), check=True)
        assert seen["action"] == "rebuild" and "It was no standby" in seen["reason"]
        primary.start()
        seen = run("standby", options(standby, primary), check=True)
        assert seen["action"] == "rebuild" and "It is a primary itself" in seen["reason"]
        standby.sql("INSERT INTO t VALUES ('on the new timeline')")
    finally:
        other.stop("immediate")


def promote(standby: t.Any) -> None:
    argv = [f"{standby.bindir}/pg_ctl", "-D", str(standby.pgdata), "-w", "promote"]
    prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    subprocess.run([*prefix, *argv], check=True, cwd="/", stdout=subprocess.DEVNULL)
    standby.sql("CHECKPOINT")


def test_diverged(primary: t.Any, standby: t.Any, run: t.Any) -> None:
    """The upstream left the timeline before the position that the standby has reached."""
    other = replace(second(primary, "other"), port=standby.port + 1)
    other.configure(port=str(other.port))
    try:
        attach(run, primary, standby)
        attach(run, primary, other)
        primary.sql("INSERT INTO t VALUES ('both have it')")
        other.stop()
        primary.sql("INSERT INTO t SELECT 'only one has it' FROM generate_series(1, 1000)")
        caught_up(primary, standby)
        primary.stop()
        (other.pgdata / "standby.signal").unlink()
        other.configure(listen_addresses="127.0.0.1")
        (other.pgdata / "standby.signal").touch()
        shutil.chown(other.pgdata / "standby.signal", other.pgdata.owner(), other.pgdata.group())
        other.start()
        promote(other)
        for running in (True, False):
            seen = run("standby", options(other, standby), check=True)
            assert seen["action"] == "rebuild" and "They have diverged" in seen["reason"], (running, seen)
            assert run("standby", options(other, standby))["failed"]
            standby.stop()
    finally:
        other.stop("immediate")


def caught_up(primary: t.Any, standby: t.Any) -> None:
    lsn = primary.sql("SELECT pg_current_wal_lsn()")[0][0]
    while standby.sql(f"SELECT pg_last_wal_replay_lsn() >= '{lsn}'") != [("t",)]:
        pass


def test_the_upstreams_wal_is_gone(primary: t.Any, standby: t.Any, run: t.Any, root_directory: Path) -> None:
    """Without an archive it must be rebuilt; with one it replays from there and says so."""
    attach(run, primary, standby)
    standby.stop()
    archive = root_directory / "archive"
    archive.mkdir(mode=0o777)
    archive.chmod(0o777)
    primary.configure(wal_keep_size="0", max_wal_size="32MB", archive_mode="on", archive_command=f"cp %p {archive}/%f")
    primary.stop()
    primary.start()
    for _dummy in range(4):
        primary.sql("INSERT INTO t VALUES ('x'); SELECT pg_switch_wal()")
        primary.sql("CHECKPOINT")
    while len(list(archive.iterdir())) < 4:
        pass
    primary.sql("CHECKPOINT")
    standby.start()
    lost = run("standby", options(primary, standby, timeout=3))
    assert lost["failed"] and lost["action"] == "rebuild" and "no longer has the WAL" in lost["msg"], lost
    standby.stop()
    standby.configure(restore_command=f"cp {archive}/%f %p")
    newest = sorted(archive.iterdir())[-1]
    kept = archive.with_name("kept")
    shutil.move(newest, kept)
    standby.start()
    waiting = run("standby", options(primary, standby, timeout=3))
    assert waiting["failed"] and not waiting["streaming"]
    assert "so it replays from the archive" in waiting["msg"] and waiting["log"]
    shutil.move(kept, newest)
    assert run("standby", options(primary, standby))["streaming"]


def test_cascade(primary: t.Any, standby: t.Any, run: t.Any) -> None:
    other = replace(second(primary, "other"), port=standby.port + 1)
    other.configure(port=str(other.port))
    standby.configure(listen_addresses="127.0.0.1")
    try:
        attach(run, primary, standby)
        result = attach(run, standby, other)
        assert result["upstream"]["in_recovery"]
    finally:
        other.stop("immediate")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"password": "wrong"}, "upstream_password"),
        ({"password": None}, "upstream_password"),
        ({"user": "nobody"}, "upstream_pg_hba"),
        ({"sslmode": "require"}, "upstream_ssl"),
        ({"host": "no-such-host.invalid"}, "upstream_unreachable"),
    ],
)
def test_an_upstream_that_refuses(
    primary: t.Any, standby: t.Any, run: t.Any, change: dict[str, t.Any], code: str
) -> None:
    before = files(standby)
    for check in (True, False):
        result = run("standby", options(primary, standby, upstream=change), check=check)
        assert result["failed"] and [problem["code"] for problem in result["problems"]] == [code], result
        assert not result["upstream"]["reachable"] and result["local"]["state"] == "cluster"
        assert result["msg"].startswith("The upstream cannot be followed: ")
    assert files(standby) == before


def test_an_upstream_that_is_not_there(primary: t.Any, standby: t.Any, run: t.Any) -> None:
    primary.sql("ALTER ROLE replicator NOREPLICATION")
    assert run("standby", options(primary, standby), check=True)["problems"][0]["code"] == "upstream_role"
    primary.stop()
    assert run("standby", options(primary, standby), check=True)["problems"][0]["code"] == "upstream_unreachable"
    with socket.socket() as silent:  # takes the connection and never answers
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        upstream = {"port": silent.getsockname()[1], "connect_timeout": "2"}
        result = run("standby", options(primary, standby, upstream=upstream), check=True)
    assert result["problems"][0]["code"] == "upstream_unreachable"


def test_the_upstream_is_the_standby_itself(primary: t.Any, standby: t.Any, run: t.Any) -> None:
    standby.configure(listen_addresses="127.0.0.1")
    attach(run, primary, standby)
    result = run("standby", options(standby, standby))
    assert [problem["code"] for problem in result["problems"]] == ["upstream_is_itself"]


def test_a_server_that_does_not_start(primary: t.Any, standby: t.Any, run: t.Any) -> None:
    run("standby", options(primary, standby, state="configured"))
    standby.configure(max_connections="10")
    with pytest.raises(AssertionError):
        standby.start()
    result = run("standby", options(primary, standby, timeout=7))
    assert result["failed"] and result["action"] == "start"
    assert "PostgreSQL ended: " in result["msg"] and "max_connections" in " ".join(result["log"]), result


def test_a_paused_standby(primary: t.Any, standby: t.Any, run: t.Any) -> None:
    """PostgreSQL 14 and newer pause when a setting is smaller than the primary's."""
    attach(run, primary, standby)
    primary.configure(max_connections="200")
    primary.stop()
    primary.start()
    primary.sql("INSERT INTO t VALUES ('x')")
    while standby.sql("SELECT pg_is_wal_replay_paused()") != [("t",)]:
        pass
    result = run("standby", options(primary, standby))
    assert result["failed"] and "Its settings are smaller than those of the upstream" in result["msg"], result


def test_an_unfinished_restore(primary: t.Any, standby: t.Any, run: t.Any) -> None:
    (standby.pgdata / "global/pg_control").unlink()
    assert run("standby", options(primary, standby), check=True)["action"] == "rebuild"


@pytest.mark.matrix
def test_least_recovery_is_read_as_pg_controldata_does(primary: t.Any, standby: t.Any, run: t.Any) -> None:
    attach(run, primary, standby)
    primary.sql("INSERT INTO t SELECT 'x' FROM generate_series(1, 1000); CHECKPOINT")
    caught_up(primary, standby)
    standby.sql("CHECKPOINT")
    standby.stop()
    lsn, timeline = _standby_local.least_recovery(str(standby.pgdata))
    standby.start()
    sql = "SELECT min_recovery_end_lsn, min_recovery_end_timeline FROM pg_control_recovery()"
    standby.sql("CHECKPOINT")
    high, low = standby.sql(sql)[0][0].split("/")
    assert (lsn, timeline) == ((int(high, 16) << 32) + int(low, 16), 1) and lsn > 0
    assert struct.calcsize("=QI") == 12
