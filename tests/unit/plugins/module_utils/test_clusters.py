# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Clusters found in the layouts of Debian and of the RHEL family."""

from __future__ import annotations

import os
import struct
import typing as t
from pathlib import Path

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils import _cluster, _clusters

IDENTIFIER = 7642011472967116994
STATES = {"shut down": 1, "shut down in recovery": 2, "in archive recovery": 5, "in production": 6}


@pytest.fixture(name="debian", autouse=True)
def debian_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory that stands for /etc/postgresql, and no unit anywhere."""
    monkeypatch.setattr(_clusters, "_DEBIAN", str(tmp_path / "etc"))
    monkeypatch.setattr(_clusters, "_UNITS", (str(tmp_path / "lib/units"), str(tmp_path / "etc/units")))
    monkeypatch.setattr(_clusters, "_PROCESSES", str(tmp_path / "proc"))
    return tmp_path / "etc"


def data_directory(path: Path, major: str = "15", state: str = "shut down") -> Path:
    (path / "global").mkdir(parents=True)
    (path / "PG_VERSION").write_text(f"{major}\n")
    head = struct.pack("=QIIi4xQ", IDENTIFIER, 1300, 202209061, STATES[state], 1700000000)
    (path / "global/pg_control").write_bytes((head + struct.pack("=QQI", 96, 40, 1)).ljust(8192, b"\0"))
    return path


def configured(debian: Path, name: str, text: str) -> Path:
    directory = debian / name
    directory.mkdir(parents=True)
    (directory / "postgresql.conf").write_text(text)
    return directory


def started(pgdata: Path, port: int = 5499, socket: str = "/run/pg") -> None:
    pid = os.getpid()
    (pgdata / "postmaster.pid").write_text(f"{pid}\n{pgdata}\n1700000000\n{port}\n{socket}\n*\n 1 2\nready\n")


def command(tmp_path: Path, name: str) -> None:
    directory = tmp_path / "proc" / str(os.getpid())
    directory.mkdir(parents=True)
    (directory / "comm").write_text(f"{name}\n")


def test_host_without_postgresql() -> None:
    assert _clusters.clusters() == []


def test_debian(debian: Path, tmp_path: Path) -> None:
    pgdata = data_directory(tmp_path / "pg")
    text = f"data_directory = '{pgdata}/'\nport = 5433\nunix_socket_directories = '/run/a, /run/b'\n"
    configured(debian, "15/main", text)
    mine = {"owner": _cluster.owner(str(pgdata)), "group": pgdata.group()}
    assert _clusters.clusters() == [
        {
            "name": "15/main",
            "pg_version": "15",
            "data_directory": str(pgdata),
            "port": 5433,
            "socket_directory": "/run/a",
            "unit": "postgresql@15-main",
            **mine,
            "running": False,
            "role": "primary",
            "recovery": None,
            "system_identifier": str(IDENTIFIER),
            "problem": None,
        }
    ]


def test_includes_count_in_their_order(debian: Path, tmp_path: Path) -> None:
    pgdata = data_directory(tmp_path / "pg")
    text = f"port = 1\ninclude_dir 'conf.d'\ninclude_if_exists = 'nowhere.conf'\ndata_directory = '{pgdata}'\n"
    directory = configured(debian, "15/main", text)
    (directory / "conf.d").mkdir()
    (directory / "conf.d/10.conf").write_text("port = 2\ndata_directory = '/overridden'\ninclude '../more.conf'\n")
    (directory / "conf.d/.hidden.conf").write_text("port = 9\n")
    (directory / "conf.d/20.txt").write_text("port = 9\n")
    (directory / "more.conf").write_text("port = 3\nunix_socket_directories = ''\ninclude 'postgresql.conf'\n")
    found = _clusters.clusters()[0]
    assert (found["port"], found["socket_directory"], found["data_directory"]) == (3, None, str(pgdata))
    (pgdata / "postgresql.auto.conf").write_text("port = '4'\n")
    assert _clusters.clusters()[0]["port"] == 4


def test_running_server_knows_best(debian: Path, tmp_path: Path) -> None:
    pgdata = data_directory(tmp_path / "pg", state="in production")
    configured(debian, "15/main", f"data_directory = '{pgdata}'\nport = 5433\n")
    started(pgdata)
    found = _clusters.clusters()[0]
    assert (found["running"], found["port"], found["socket_directory"]) == (True, 5499, "/run/pg")


@pytest.mark.parametrize(("name", "running"), [("postgres", True), ("postmaster", True), ("sshd", False)])
def test_another_process_with_the_number_of_the_server(debian: Path, tmp_path: Path, name: str, running: bool) -> None:
    pgdata = data_directory(tmp_path / "pg")
    configured(debian, "15/main", f"data_directory = '{pgdata}'\nport = 5433\n")
    started(pgdata)
    command(tmp_path, name)
    found = _clusters.clusters()[0]
    assert (found["running"], found["port"]) == (running, 5499 if running else 5433)


@pytest.mark.parametrize(
    ("major", "state", "signal", "running", "role"),
    [
        ("15", "in production", None, True, "primary"),
        ("15", "in production", "standby.signal", True, "primary"),
        ("15", "in archive recovery", None, True, "standby"),
        ("15", "shut down", None, True, "primary"),
        ("15", "shut down", "standby.signal", True, "standby"),
        ("15", "shut down", None, False, "primary"),
        ("15", "in production", None, False, "primary"),
        ("15", "in production", "standby.signal", False, "standby"),
        ("15", "shut down", "recovery.signal", False, "standby"),
        ("15", "shut down in recovery", "standby.signal", False, "standby"),
        ("15", "shut down in recovery", None, False, "unknown"),
        ("11", "shut down in recovery", "recovery.conf", False, "standby"),
        ("15", "shut down", "recovery.conf", False, "primary"),
        ("11", "shut down", "standby.signal", False, "primary"),
    ],
)
def test_role(tmp_path: Path, major: str, state: str, signal: str | None, running: bool, role: str) -> None:
    pgdata = data_directory(tmp_path / "pg", major, state)
    if signal:
        (pgdata / signal).touch()
    if running:
        started(pgdata)
    assert _clusters.clusters([str(pgdata)])[0]["role"] == role


@pytest.mark.parametrize(
    ("major", "name", "text", "recovery"),
    [
        ("15", None, "", None),
        ("15", "recovery.signal", "", "target"),
        ("15", "standby.signal", "", "standby"),
        ("15", "recovery.conf", "standby_mode = on", None),
        ("11", "recovery.conf", "standby_mode = 'on'", "standby"),
        ("11", "recovery.conf", "recovery_target_name = 'x'", "target"),
        ("11", "recovery.signal", "", None),
    ],
)
def test_what_a_recovery_is_for(tmp_path: Path, major: str, name: str | None, text: str, recovery: str | None) -> None:
    pgdata = data_directory(tmp_path / "pg", major, "shut down in recovery")
    if name:
        (pgdata / name).write_text(text)
    assert _clusters.clusters([str(pgdata)])[0]["recovery"] == recovery


def test_half_a_restore_is_for_recovery_although_its_control_file_is_missing(tmp_path: Path) -> None:
    pgdata = data_directory(tmp_path / "pg")
    (pgdata / "global/pg_control").unlink()
    (pgdata / "recovery.signal").touch()
    found = _clusters.clusters([str(pgdata)])[0]
    assert (found["role"], found["recovery"]) == ("unknown", "target")


@pytest.mark.parametrize("there", [True, False])
def test_mount_point_of_root_has_the_owner_of_the_configuration(
    debian: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    pgdata = tmp_path / "pg"
    directory = configured(debian, "15/main", f"data_directory = '{pgdata}'\n")
    if there:
        pgdata.mkdir()

    monkeypatch.setattr(_clusters, "_ids", lambda path: (4711, 4711) if path == str(directory) else (0, 0))
    assert _clusters.clusters()[0]["owner"] == "4711"


def unit(tmp_path: Path, name: str, text: str, top: str = "lib") -> None:
    path = tmp_path / top / "units" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"[Service]\n{text}\n")


def test_units_of_the_rhel_family(tmp_path: Path) -> None:
    plain, sixteen = data_directory(tmp_path / "pgsql/data"), data_directory(tmp_path / "pgsql/16/data", "16")
    moved = data_directory(tmp_path / "moved", "17")
    unit(tmp_path, "postgresql.service", f"Type=notify\nEnvironment=PGDATA={plain}")
    unit(tmp_path, "postgresql-16.service", f'Environment=PGDATA={sixteen}/ "OTHER=a b"\nEnvironment=PGPORT=5434')
    unit(tmp_path, "postgresql-17.service", "Environment=PGDATA=/var/lib/pgsql/17/data/")
    unit(tmp_path, "postgresql-17.service.d/place.conf", f"Environment='PGDATA={moved}'", "etc")
    unit(tmp_path, "postgresql@.service", "Environment=PGDATA=/var/lib/pgsql/%i")
    unit(tmp_path, "postgresql-tools.service", "Environment=PGDATA=/tools")
    found = [
        (record["name"], record["pg_version"], record["unit"], record["problem"]) for record in _clusters.clusters()
    ]
    assert found == [
        (str(plain), "15", "postgresql", None),
        (str(sixteen), "16", "postgresql-16", None),
        (str(moved), "17", "postgresql-17", None),
    ]


def test_unit_of_the_administrator_replaces_the_packaged_one(tmp_path: Path) -> None:
    pgdata = data_directory(tmp_path / "pg")
    unit(tmp_path, "postgresql-15.service", "Environment=PGDATA=/var/lib/pgsql/15/data")
    unit(tmp_path, "postgresql-15.service", f"Environment=PGDATA={pgdata}\nEnvironment='broken", "etc")
    assert _clusters.clusters() == []  # systemd passes over one line, we over the file
    unit(tmp_path, "postgresql-15.service", f"Environment=PGDATA={pgdata}", "etc")
    assert [record["data_directory"] for record in _clusters.clusters()] == [str(pgdata)]


def test_debians_own_unit_names_no_cluster(tmp_path: Path) -> None:
    unit(tmp_path, "postgresql.service", "Type=oneshot\nExecStart=/bin/true")
    assert _clusters.clusters() == []


def test_further_directories_are_told_once(debian: Path, tmp_path: Path) -> None:
    pgdata, other = data_directory(tmp_path / "pg"), data_directory(tmp_path / "other")
    (other / "postgresql.conf").write_text("port = 5440\n")
    configured(debian, "15/main", f"data_directory = '{pgdata}'\n")
    (tmp_path / "link").symlink_to(pgdata)
    found = _clusters.clusters([str(tmp_path / "link"), f"{other}/", str(other)])
    assert [(record["name"], record["port"], record["unit"]) for record in found] == [
        ("15/main", 5432, "postgresql@15-main"),
        (str(other), 5440, None),
    ]


def broken(debian: Path, tmp_path: Path, case: str) -> str:
    """A broken entry; returns what its problem must say."""
    pgdata = tmp_path / "broken"
    configured(debian, "15/broken", f"data_directory = '{pgdata}'\n")
    if case == "missing":
        return (
            f"The data directory {pgdata} does not exist: make the cluster (initdb), mount its volume, or restore it."
        )
    if case == "empty":
        pgdata.mkdir()
        return f"The data directory {pgdata} is empty: make the cluster (initdb), mount its volume, or restore it."
    if case == "no data directory":
        pgdata.mkdir()
        (pgdata / "lost+found").mkdir()
        return f"{pgdata}/global/pg_control cannot be read: No such file or directory. Check that {pgdata} is"
    (debian / "15/broken/postgresql.conf").unlink()
    (debian / "15/broken/postgresql.conf").mkdir()
    return f"{debian}/15/broken/postgresql.conf cannot be read: Is a directory"


@pytest.mark.parametrize("case", ["missing", "empty", "no data directory", "unreadable"])
def test_broken_entry_is_told_and_hides_no_other(debian: Path, tmp_path: Path, case: str) -> None:
    problem = broken(debian, tmp_path, case)
    configured(debian, "16/main", f"data_directory = '{data_directory(tmp_path / 'pg', '16')}'\n")
    first, second = _clusters.clusters()
    assert first["problem"].startswith(problem)
    assert (first["name"], first["pg_version"], first["unit"]) == ("15/broken", "15", "postgresql@15-broken")
    assert (first["role"], first["system_identifier"], first["running"]) == ("unknown", None, False)
    assert first["owner"] == _cluster.owner(str(debian))
    assert (second["name"], second["problem"]) == ("16/main", None)


def test_unreadable_directory_is_no_empty_one(debian: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pgdata = data_directory(tmp_path / "pg")
    configured(debian, "15/main", f"data_directory = '{pgdata}'\n")

    def refuse(path: str, *args: t.Any, **kwargs: t.Any) -> t.Any:
        if str(path).startswith(str(pgdata)):
            raise PermissionError(13, "Permission denied")
        return real(path, *args, **kwargs)

    real = open
    monkeypatch.setattr("builtins.open", refuse)
    monkeypatch.setattr(_clusters.os, "access", lambda path, mode: False)
    assert _clusters.clusters()[0]["problem"] == f"{pgdata}/postgresql.auto.conf cannot be read: Permission denied"


def test_group_without_a_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def unknown(gid: int) -> None:
        raise KeyError(gid)

    monkeypatch.setattr(_clusters.grp, "getgrgid", unknown)
    assert _clusters.clusters([str(tmp_path)])[0]["group"] == str(os.getgid())
    monkeypatch.setattr(_clusters, "_ids", lambda path: (0, 0))
    assert _clusters.clusters(["/nonexistent/absent"])[0]["group"] is None
