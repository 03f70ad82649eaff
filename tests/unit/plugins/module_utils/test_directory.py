# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The data directory as it is found."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils._directory import clear_begun, read_directory


@pytest.fixture(name="pgdata")
def pgdata_fixture(tmp_path: Path) -> Path:
    path = tmp_path / "pgdata"
    path.mkdir()
    (path / "PG_VERSION").write_text("15\n", encoding="utf-8")
    return path


def test_a_plain_cluster(pgdata: Path) -> None:
    (pgdata / "pg_wal").mkdir()
    found = read_directory(str(pgdata))
    assert (found.wal_link, found.patroni, found.standby, found.home) == (None, False, False, str(pgdata))


def test_a_linked_pg_wal_is_seen_even_when_its_target_is_gone(pgdata: Path, tmp_path: Path) -> None:
    (pgdata / "pg_wal").symlink_to(tmp_path / "wal")
    assert read_directory(str(pgdata)).wal_link == str(tmp_path / "wal")


def test_patroni_leaves_a_file(pgdata: Path) -> None:
    (pgdata / "patroni.dynamic.json").write_text("{}", encoding="utf-8")
    assert read_directory(str(pgdata)).patroni


@pytest.mark.parametrize(
    ("name", "text", "standby"),
    [
        ("standby.signal", "", True),
        ("recovery.signal", "", False),
        ("recovery.conf", "standby_mode = 'on'\n", True),
        ("recovery.conf", "restore_command = 'x'\n", False),
    ],
)
def test_a_standby_is_told_by_its_files(pgdata: Path, name: str, text: str, standby: bool) -> None:
    (pgdata / name).write_text(text, encoding="utf-8")
    assert read_directory(str(pgdata)).standby == standby


def test_a_linked_data_directory_has_its_home_elsewhere(pgdata: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(pgdata)
    found = read_directory(str(link))
    assert (found.path, found.home) == (str(link), str(pgdata))


@pytest.mark.parametrize("at_home", [True, False])
def test_a_server_works_in_its_directory(pgdata: Path, tmp_path: Path, at_home: bool) -> None:
    with subprocess.Popen(["sleep", "60"], cwd=pgdata if at_home else tmp_path) as process:
        (pgdata / "postmaster.pid").write_text(f"{process.pid}\n{pgdata}\n", encoding="utf-8")
        server = read_directory(str(pgdata)).postmaster
        process.kill()
    assert server and server.alive == at_home


@pytest.fixture(name="begun")
def begun_fixture(tmp_path: Path) -> Path:
    """What pgBackRest leaves when it is killed while it writes its manifest."""
    path = tmp_path / "begun"
    for name in ("base/1", "pg_wal/archive_status"):
        (path / name).mkdir(parents=True)
    (path / "backup.manifest.pgbackrest.tmp").write_text("[backrest]\n", encoding="utf-8")
    return path


def test_the_beginning_of_a_restore_counts_as_empty(begun: Path) -> None:
    found = read_directory(str(begun))
    assert (found.state, found.begun) == ("empty", True)
    assert found.sentence() == "empty but for the beginning of a restore"
    clear_begun(str(begun))
    assert list(begun.iterdir()) == []
    assert not read_directory(str(begun)).begun
    clear_begun(str(begun))


@pytest.mark.parametrize("name", ["base/1/1259", "mine", "PG_VERSION", "backup.manifest", "pg_tblspc"])
def test_nothing_else_is_taken_for_the_beginning_of_a_restore(begun: Path, name: str) -> None:
    (begun / name).symlink_to(begun.parent) if name == "pg_tblspc" else (begun / name).touch()
    before = sorted(begun.rglob("*"))
    assert read_directory(str(begun)).state in ("other", "cluster", "unfinished")
    clear_begun(str(begun))
    assert sorted(begun.rglob("*")) == before


def test_a_name_like_that_of_its_manifest_is_not_enough(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "backup.manifest.pgbackrest.tmp").touch()
    assert read_directory(str(tmp_path)).state == "other"
