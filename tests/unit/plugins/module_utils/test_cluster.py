# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A data directory seen from outside."""

from __future__ import annotations

import doctest
import os
import pwd
import struct
from pathlib import Path

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils import _cluster
from hypothesis import given, strategies as st

NAMES = st.from_regex(r"[a-z_][a-z0-9_]{0,10}(\.[a-z]{1,5})?", fullmatch=True)
VALUES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n"), max_size=30)


def control_file(pgdata: Path, version: int, state: int = 6) -> None:
    """The beginning of global/pg_control as PostgreSQL 10 (1002) and newer (1100 on) write it."""
    head = struct.pack("=QIIi4xQ", 7380000000000000001, version, 202209061, state, 1700000000)
    previous = struct.pack("=Q", 0x2000028) if version < 1100 else b""
    body = struct.pack("=Q", 0x3000060) + previous + struct.pack("=QI", 0x3000028, 4)
    (pgdata / "global").mkdir()
    (pgdata / "global/pg_control").write_bytes((head + body).ljust(8192, b"\0"))


def test_documented_examples_hold() -> None:
    assert doctest.testmod(_cluster).failed == 0


@pytest.mark.parametrize(("major", "version"), [("10", 1002), ("11", 1100), ("15", 1300), ("18", 1800)])
def test_control_data(tmp_path: Path, major: str, version: int) -> None:
    (tmp_path / "PG_VERSION").write_text(f"{major}\n")
    control_file(tmp_path, version)
    assert _cluster.read_control_data(str(tmp_path)) == _cluster.ControlData(
        7380000000000000001, major, "in production", 0x3000060, 0x3000028, 4
    )


def test_control_data_is_missing_or_short(tmp_path: Path) -> None:
    with pytest.raises(_cluster.ClusterError, match="pg_control cannot be read: No such file"):
        _cluster.read_control_data(str(tmp_path))
    control_file(tmp_path, 1300)
    with pytest.raises(_cluster.ClusterError, match="is not a complete PostgreSQL data directory"):
        _cluster.read_control_data(str(tmp_path))
    (tmp_path / "PG_VERSION").write_text("15\n")
    (tmp_path / "global/pg_control").write_bytes(b"\0" * 40)
    with pytest.raises(_cluster.ClusterError, match="is not a complete PostgreSQL data directory"):
        _cluster.read_control_data(str(tmp_path))


def test_postmaster(tmp_path: Path) -> None:
    assert _cluster.postmaster(str(tmp_path)) is None
    file = tmp_path / "postmaster.pid"
    file.write_text(f"{os.getpid()}\n{tmp_path}\n1700000000\n5433\n/run/postgresql\n\n  5433001  12\nready   \n")
    found = _cluster.postmaster(str(tmp_path))
    assert found == _cluster.Postmaster(os.getpid(), 5433, "/run/postgresql", "ready", True)


@pytest.mark.parametrize("text", ["", "no number\n", "0\n", "4194305\n/pgdata\n"])
def test_postmaster_that_is_gone(tmp_path: Path, text: str) -> None:
    (tmp_path / "postmaster.pid").write_text(text)
    found = _cluster.postmaster(str(tmp_path))
    assert found is None or not found.alive


def test_postmaster_of_another_user_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def kill(pid: int, signal: int) -> None:
        raise PermissionError

    monkeypatch.setattr(_cluster.os, "kill", kill)
    (tmp_path / "postmaster.pid").write_text("77\n/pgdata\n")
    found = _cluster.postmaster(str(tmp_path))
    assert found and found.alive


@pytest.mark.parametrize(
    ("user", "works_in", "alive"),
    [
        (0, "pgdata", True),
        (1, "pgdata", False),
        (0, "other", False),
        (None, "pgdata", True),
        (None, "other", False),
        (0, None, True),
        (1, None, False),
        (None, None, True),
    ],
)
def test_another_program_with_the_number_of_the_server_is_no_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: int | None, works_in: str | None, alive: bool
) -> None:
    """Numbers of users are relative to the owner of the directory; None is what this user may not see."""
    pgdata, process = tmp_path / "pgdata", tmp_path / "proc" / str(os.getpid())
    for directory in (pgdata, process, tmp_path / "other"):
        directory.mkdir(parents=True)
    monkeypatch.setattr(_cluster, "_PROCESSES", str(tmp_path / "proc"))
    (pgdata / "postmaster.pid").write_text(f"{os.getpid()}\n{pgdata}\n")
    if user is not None:
        uid = pgdata.stat().st_uid + user
        (process / "status").write_text(f"Name:\tx\nUid:\t7\t{uid}\t7\t7\nGid:\t1\t1\t1\t1\n")
    if works_in:
        (process / "cwd").symlink_to(tmp_path / works_in)
    found = _cluster.own_server(str(pgdata))
    assert found and found.alive == alive
    untouched = _cluster.postmaster(str(pgdata))
    assert untouched and untouched.alive


def test_a_directory_without_a_server(tmp_path: Path) -> None:
    assert _cluster.own_server(str(tmp_path)) is None
    (tmp_path / "postmaster.pid").write_text("4194305\n/pgdata\n")
    found = _cluster.own_server(str(tmp_path))
    assert found and not found.alive


def test_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _cluster.owner(str(tmp_path)) == pwd.getpwuid(os.getuid()).pw_name

    def unknown(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr(_cluster.pwd, "getpwuid", unknown)
    assert _cluster.owner(str(tmp_path)) == str(os.getuid())


def test_tablespaces(tmp_path: Path) -> None:
    top = tmp_path / "pg[data]"
    (top / "pg_tblspc/16384").mkdir(parents=True)
    (top / "pg_tblspc/16385").symlink_to("/srv/fast")
    assert _cluster.tablespaces(str(top)) == {"16385": "/srv/fast"}


@given(st.dictionaries(NAMES, VALUES))
def test_settings_are_read_back_as_alter_system_writes_them(values: dict[str, str]) -> None:
    lines = []
    for name, value in values.items():
        quoted = value.replace("\\", "\\\\").replace("'", "''")
        lines.append(f"{name} = '{quoted}'")
    text = "# Do not edit this file manually!\n" + "\n".join(lines)
    assert _cluster.parse_settings(text) == values


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("Port = 5432 # comment", {"port": "5432"}),
        ("port 5432", {"port": "5432"}),
        ("port=5432", {"port": "5432"}),
        ("# port = 1\n  \nport = 2\nport = 3", {"port": "3"}),
        ("a = 'x # y' # z", {"a": "x # y"}),
        (r"a = 'it\'s'", {"a": "it's"}),
        ("a = ''", {"a": ""}),
        ("word", {}),
        ("my.name = 'v'", {"my.name": "v"}),
    ],
)
def test_parse_settings(text: str, settings: dict[str, str]) -> None:
    assert _cluster.parse_settings(text) == settings


def test_auto_conf(tmp_path: Path) -> None:
    assert _cluster.auto_conf_settings(str(tmp_path)) == {}
    (tmp_path / "postgresql.auto.conf").write_text("archive_mode = 'off'\n")
    assert _cluster.auto_conf_settings(str(tmp_path)) == {"archive_mode": "off"}
