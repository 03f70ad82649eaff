# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A standby on this host, as far as its files and the rows of its server tell."""

from __future__ import annotations

import os
import struct
import types
import typing as t
from pathlib import Path

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils import _standby_local
from ansible_collections.pgops.pgbackrest.plugins.module_utils._cluster import ClusterError, parse_settings
from ansible_collections.pgops.pgbackrest.plugins.module_utils._sql import DatabaseError
from ansible_collections.pgops.pgbackrest.plugins.module_utils._standby import Local, Receiver, Wanted
from hypothesis import given, strategies as st

WANTED = Wanted({"host": "db1", "password": "it's"}, "db2")
TEXTS = st.text(st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters="\u2028\u2029\x85"), min_size=1)


@given(TEXTS, TEXTS)
def test_settings_are_written_as_they_are_read(old: str, new: str) -> None:
    first = _standby_local.with_settings("", {"primary_conninfo": old})
    text = _standby_local.with_settings(f"# comment\nwork_mem = 1\n{first}", {"primary_conninfo": new})
    assert parse_settings(text) == {"work_mem": "1", "primary_conninfo": new}
    assert text.startswith("# comment\n") and text.count("primary_conninfo") >= 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "a = 'x'\n"),
        ("a = 1", "a = 'x'\n"),
        ("b = 2\nA = 1\na = 3\n\n", "b = 2\na = 'x'\n"),
        ("#a = 1\nab = 1\n", "#a = 1\nab = 1\na = 'x'\n"),
    ],
)
def test_with_settings(text: str, expected: str) -> None:
    assert _standby_local.with_settings(text, {"a": "x"}) == expected
    assert "a =" not in _standby_local.with_settings(expected, {"a": ""}).replace("#a =", "")


@pytest.mark.parametrize(("version", "offset"), [(1002, 136), (1100, 128), (1201, 136), (1300, 136), (1800, 136)])
def test_least_recovery(tmp_path: Path, version: int, offset: int) -> None:
    """The place in pg_control; that it is the right one the integration tests prove."""
    data = bytearray(200)
    struct.pack_into("=I", data, 8, version)
    struct.pack_into("=QI", data, offset, 0x5000148, 3)
    (tmp_path / "global").mkdir()
    (tmp_path / "global/pg_control").write_bytes(data)
    assert _standby_local.least_recovery(str(tmp_path)) == (0x5000148, 3)
    (tmp_path / "global/pg_control").write_bytes(data[:100])
    with pytest.raises(ClusterError, match="not complete"):
        _standby_local.least_recovery(str(tmp_path))


REMOVED = (
    "2026-01-01 FATAL:  could not receive data from WAL stream: ERROR:  requested WAL segment "
    "000000010000000000000003 has already been removed"
)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], None),
        ([REMOVED], "000000010000000000000003"),
        ([REMOVED, "LOG:  statement: SELECT 1", "LOG:  started streaming WAL"], "000000010000000000000003"),
        ([REMOVED, "FATAL:  could not connect to the primary server: Connection refused"], None),
    ],
)
def test_missing_segment(lines: list[str], expected: str | None) -> None:
    assert _standby_local.missing_segment(lines) == expected


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (None, None),
        ({"pid": None}, None),
        (
            {"pid": 7, "status": "streaming", "sender_host": "db1", "sender_port": 5433, "slot_name": "s"},
            Receiver(7, "streaming", "db1", "5433", "s"),
        ),
        (
            {"pid": 7, "status": "starting", "conninfo": "user=r host=db1 port=5433 password=********"},
            Receiver(7, "starting", "db1", "5433", None, "r"),
        ),
        ({"pid": 7, "conninfo": "broken"}, Receiver(7, "", None, "")),
    ],
)
def test_receiver_of(row: dict[str, t.Any] | None, expected: Receiver | None) -> None:
    assert _standby_local.receiver_of(row) == expected


# Repointing


class Server:
    """PostgreSQL as far as repointing sees it: what stands in postgresql.auto.conf, and what a reload would log."""

    def __init__(self, pgdata: Path) -> None:
        self.path = pgdata / "postgresql.auto.conf"
        self.running: dict[str, str] = {"log_min_messages": "warning"}
        self.source = "default"
        self.log: list[str] = []
        self.fails = False
        self.path.touch()

    def settings(self, connection: t.Any, names: t.Sequence[str]) -> dict[str, dict[str, t.Any]]:
        return {name: {"setting": self.running[name].lower(), "source": self.source} for name in names}

    def query(self, connection: t.Any, sql: str, args: t.Sequence[t.Any] | None = None) -> list[dict[str, t.Any]]:
        words = sql.split()
        if words[:2] == ["ALTER", "SYSTEM"]:
            if self.fails and words[3] == "primary_slot_name":
                raise DatabaseError("PostgreSQL refused it.")
            values = {name: value for name, value in parse_settings(self.path.read_text()).items() if name != words[3]}
            values.update({words[3]: args[0]} if args else {})
            self.path.write_text("".join(f"{name} = '{_quoted(value)}'\n" for name, value in values.items()))
        return []

    def reload(self, connection: t.Any) -> None:
        """Take the settings over in the order of the file, and log each as PostgreSQL does."""
        coming = parse_settings(self.path.read_text())
        coming.setdefault("log_min_messages", "warning")  # the default, taken over last
        for name, value in coming.items():
            changed = self.running.get(name) != value
            self.running[name] = value
            if changed and self.running["log_min_messages"].lower() not in ("fatal", "panic"):
                self.log.append(f'parameter "{name}" changed to "{value}"')


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "''")


@pytest.fixture(name="server")
def server_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    server = Server(tmp_path)
    connection = types.SimpleNamespace(close=lambda: None)
    monkeypatch.setattr(_standby_local, "connect_to", lambda module, pgdata: connection)
    monkeypatch.setattr(_standby_local, "keep_quiet", lambda connection: None)
    monkeypatch.setattr(_standby_local, "query", server.query)
    monkeypatch.setattr(_standby_local, "settings", server.settings)
    monkeypatch.setattr(_standby_local, "reload_server", server.reload)
    return server


RUNNING = Local("cluster", "42", 15, alive=True, connected=True)


def repoint(server: Server, wanted: Wanted = WANTED) -> None:
    _standby_local.repoint(t.cast("t.Any", None), str(server.path.parent), RUNNING, wanted)


@pytest.mark.parametrize("before", [None, "error"])
def test_a_password_comes_into_no_log(server: Server, before: str | None) -> None:
    if before:
        server.query(None, "ALTER SYSTEM SET log_min_messages TO %s", [before])
        server.reload(None)
        server.log.clear()
    repoint(server)
    assert server.running["primary_conninfo"] == WANTED.conninfo and server.running["primary_slot_name"] == "db2"
    assert server.running["log_min_messages"] == (before or "warning")
    assert parse_settings(server.path.read_text()).get("log_min_messages") == before
    assert not any("primary" in line for line in server.log)


def test_without_a_password_nothing_is_muted(server: Server) -> None:
    repoint(server, Wanted({"host": "db1", "passfile": "/x"}))
    assert any("primary_conninfo" in line for line in server.log)


def test_the_server_logs_again_when_it_refuses(server: Server) -> None:
    server.fails = True
    with pytest.raises(DatabaseError, match="refused"):
        repoint(server)
    assert server.running["log_min_messages"] == "warning" and "log_min" not in server.path.read_text()


def test_the_server_logs_again_after_an_interrupted_run(server: Server) -> None:
    pgdata = str(server.path.parent)
    server.query(None, "ALTER SYSTEM SET log_min_messages TO %s", ["fatal"])
    assert not _standby_local.is_muted(pgdata)  # somebody else's
    server.query(None, "ALTER SYSTEM SET log_min_messages TO %s", ["FATAL"])
    assert _standby_local.is_muted(pgdata)
    _standby_local.unmute(t.cast("t.Any", None), pgdata)
    assert server.path.read_text() == ""


def test_a_server_that_cannot_be_muted_is_left_alone(server: Server) -> None:
    server.source = "command line"
    with pytest.raises(DatabaseError, match=r"upstream\.passfile"):
        repoint(server)
    assert server.path.read_text() == ""


@pytest.mark.parametrize(("version", "name"), [(15, "postgresql.auto.conf"), (11, "recovery.conf")])
def test_a_stopped_server_finds_it_in_its_files(tmp_path: Path, version: int, name: str) -> None:
    path = tmp_path / name
    path.write_text("restore_command = 'x'\nprimary_conninfo = 'host=old'\n")
    local = Local("cluster", "42", version)
    _standby_local.repoint(t.cast("t.Any", None), str(tmp_path), local, WANTED)
    assert parse_settings(path.read_text()) == {
        "restore_command": "x",
        "primary_conninfo": WANTED.conninfo,
        "primary_slot_name": "db2",
    }
    assert path.stat().st_mode & 0o777 == 0o600
    assert _standby_local.follow_settings(str(tmp_path), version)["primary_slot_name"] == "db2"
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=r"recovery\.conf cannot be written"):
        _standby_local.repoint(t.cast("t.Any", None), str(tmp_path), Local("cluster", "42", 11), WANTED)


def test_read_since_start(tmp_path: Path) -> None:
    assert _standby_local.read_since_start(str(tmp_path))
    for name, moment in (("recovery.conf", 100), ("postmaster.pid", 200)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (moment, moment))
    assert _standby_local.read_since_start(str(tmp_path))
    os.utime(tmp_path / "recovery.conf", (300, 300))
    assert not _standby_local.read_since_start(str(tmp_path))


def test_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = types.SimpleNamespace(close=lambda: None)
    asked: list[t.Any] = []

    def query(connection: t.Any, sql: str, args: t.Any) -> list[dict[str, int]]:
        asked.append(args)
        return [{"number": len(asked) - 1}]

    monkeypatch.setattr(_standby_local, "connect_to", lambda module, pgdata: connection)
    monkeypatch.setattr(_standby_local, "query", query)
    module = t.cast("t.Any", None)
    assert [_standby_local.answers(module, "/x", "a"), _standby_local.answers(module, "/x", "b")] == [False, True]
    assert asked == [["a"], ["b"]]

    def refuse(module: t.Any, pgdata: str) -> t.Any:
        raise DatabaseError("no")

    monkeypatch.setattr(_standby_local, "connect_to", refuse)
    assert not _standby_local.answers(module, "/x", "c")


@pytest.mark.parametrize(
    ("title", "timeline"),
    [
        ("postgres: 17/main: startup recovering 00000002000000000000001A", 2),
        ("postgres: startup   waiting for 0000000A000000010000001A", 10),
        ("postgres: 17/main: startup ", 0),
        ("/usr/lib/postgresql/17/bin/postgres -D /data", 0),
    ],
)
def test_replayed_timeline(monkeypatch: pytest.MonkeyPatch, title: str, timeline: int) -> None:
    titles = {"/proc/4711/cmdline": f"{title}\0\0\0"}
    monkeypatch.setattr(_standby_local, "read_text", titles.__getitem__)
    assert _standby_local.replayed_timeline(4711) == timeline
    assert _standby_local.replayed_timeline(None) == 0
