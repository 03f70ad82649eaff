# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module utils _rescue and _durable: which WAL is kept, and that nothing that was kept is lost."""

from __future__ import annotations

import errno
import os
import typing as t
from pathlib import Path

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils import _durable, _rescue
from ansible_collections.pgops.pgbackrest.plugins.module_utils._problem import PlanError

ONE, TWO, THREE = ("000000010000000000000001", "000000010000000000000002", "000000010000000000000003")
PARTIAL, HISTORY = f"{THREE}.partial", "00000002.history"


@pytest.fixture(name="pgdata")
def pgdata_fixture(tmp_path: Path) -> Path:
    """A data directory with three segments, a partial one and a history."""
    wal = tmp_path / "elsewhere"
    wal.mkdir()
    for name in (ONE, TWO, THREE, PARTIAL, HISTORY, f"{ONE}.00000028.backup", "archive_status"):
        (wal / name).write_text(f"contents of {name}", encoding="utf-8")
    (tmp_path / "pgdata").mkdir()
    (tmp_path / "pgdata" / "pg_wal").symlink_to(wal)
    return tmp_path / "pgdata"


def find(pgdata: Path, *archived: str, recycled: str = "", trusted: bool = True) -> _rescue.Rescue:
    """What is to be kept when the repository has these names."""
    directory = _rescue.rescue_directory(str(pgdata.parent / "work"), 7)
    segments = {name: str(pgdata / "pg_wal" / name) for name in (ONE, TWO, THREE) if name != recycled}
    return _rescue.find_rescue(str(pgdata), directory, segments, archived, trusted)


def keep(rescue: _rescue.Rescue) -> list[str]:
    return _rescue.keep(rescue, "20260501T120000Z", lambda done, total: None)


def contents(directory: str) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in Path(directory).iterdir()}


def test_what_no_repository_has_is_kept(pgdata: Path) -> None:
    rescue = find(pgdata, ONE, recycled=TWO)
    assert rescue.names == [THREE, PARTIAL, HISTORY]
    assert rescue.to_dict() == {"segments": 1, "bytes": rescue.size, "path": rescue.directory}
    assert not os.path.exists(rescue.directory)
    assert keep(rescue) == []
    assert contents(rescue.directory) == {name: f"contents of {name}" for name in rescue.names}
    for path in (rescue.directory, os.path.dirname(rescue.directory)):
        assert os.stat(path).st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in Path(rescue.directory).iterdir()} == {0o600}
    inodes = {path.stat().st_ino for path in Path(rescue.directory).iterdir()}
    assert keep(find(pgdata, ONE, recycled=TWO)) == []
    assert {path.stat().st_ino for path in Path(rescue.directory).iterdir()} == inodes, "equal files are left alone"


def test_nothing_to_keep_leaves_no_directory(pgdata: Path) -> None:
    rescue = find(pgdata, ONE, TWO, THREE, PARTIAL, HISTORY)
    assert keep(rescue) == []
    assert rescue.to_dict() == {"segments": 0, "bytes": 0, "path": None}
    assert not os.path.exists(pgdata.parent / "work")


def test_what_an_earlier_run_kept_counts_when_pg_wal_is_gone(pgdata: Path) -> None:
    keep(find(pgdata, ONE))
    for path in (pgdata / "pg_wal").iterdir():
        path.unlink()
    rescue = _rescue.find_rescue(str(pgdata), find(pgdata).directory, {}, [ONE])
    assert rescue.names == [TWO, THREE, PARTIAL, HISTORY]
    assert rescue.files == {}
    assert rescue.to_dict()["bytes"] > 0


@pytest.mark.parametrize("trusted", [True, False])
def test_a_file_with_other_contents_is_kept_beside(pgdata: Path, trusted: bool) -> None:
    keep(find(pgdata, ONE, TWO))
    (pgdata / "pg_wal" / THREE).write_text("grown since", encoding="utf-8")
    rescue = find(pgdata, ONE, TWO, trusted=trusted)
    notes = keep(rescue)
    assert len(notes) == 1 and "differ. Both are kept" in notes[0]
    found, aside = contents(rescue.directory), f"{THREE}.20260501T120000Z"
    old, new = f"contents of {THREE}", "grown since"
    assert (found[THREE], found[aside]) == ((new, old) if trusted else (old, new))
    assert rescue.names == [THREE, PARTIAL, HISTORY], "what was put aside is not handed to PostgreSQL"


def test_a_full_disk_is_told_and_leaves_no_half_file(pgdata: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = _durable.shutil.copyfileobj, []

    def copy(source: t.Any, target: t.Any, length: int) -> None:
        calls.append(target.name)
        real(source, target, length)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(_durable.shutil, "copyfileobj", copy)
    rescue = find(pgdata, ONE)
    with pytest.raises(PlanError) as caught:
        keep(rescue)
    assert str(caught.value).startswith("The restore stopped before it touched anything: 4 WAL files (")
    assert "No space left on device" in str(caught.value)
    assert caught.value.problems[0].code == "rescue"
    assert list(contents(rescue.directory)) == [TWO]
    monkeypatch.setattr(_durable.shutil, "copyfileobj", real)
    assert keep(find(pgdata, ONE)) == []
    assert len(contents(rescue.directory)) == 4


def test_recovery_gets_what_it_can_read(pgdata: Path, tmp_path: Path) -> None:
    rescue = find(pgdata)
    keep(rescue)
    new = tmp_path / "new"
    (new / "pg_wal").mkdir(parents=True)
    (new / "pg_wal" / TWO).write_text("of the backup", encoding="utf-8")
    names = _rescue.readable(rescue.names, TWO)
    assert names == [TWO, THREE, HISTORY]
    put, notes = _rescue.hand_back(rescue.directory, names, str(new))
    assert put == [THREE, HISTORY]
    assert len(notes) == 1 and "came with the backup and differs" in notes[0]
    assert contents(str(new / "pg_wal"))[TWO] == "of the backup"
    assert _rescue.hand_back(rescue.directory, names[1:], str(new)) == ([], [])
