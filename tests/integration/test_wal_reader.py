# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading real WAL with pg_waldump. What comes from a repository is shown in test_plan.py."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import typing as t
from pathlib import Path

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils._cli import Output
from ansible_collections.pgops.pgbackrest.plugins.module_utils._cluster import read_control_data
from ansible_collections.pgops.pgbackrest.plugins.module_utils._repository import Archive
from ansible_collections.pgops.pgbackrest.plugins.module_utils._wal import format_lsn, parse_segment
from ansible_collections.pgops.pgbackrest.plugins.module_utils._wal_reader import WalError, WalReader
from ansible_collections.pgops.pgbackrest.plugins.module_utils._waldump import parse_commit, parse_record

from .conftest import PASSPHRASE, PYTHON, USER, as_user

PACKAGE = "ansible_collections.pgops.pgbackrest.plugins.module_utils"
ARCHIVE = Archive(1, 1, "15-1", None, None)


class Elsewhere:
    """Answers as pgBackRest does about a repository on another host that has these files, by name."""

    def __init__(self, files: dict[str, bytes] | None = None) -> None:
        self.files = files or {}
        self.fetched: list[str] = []

    def settings(self, command: str) -> dict[str, list[str]]:
        return {"repo1-host": ["elsewhere"]}

    def read(self, command: str, options: t.Any, arguments: t.Any, take: t.Callable[[t.Iterator[str]], t.Any]) -> t.Any:
        assert command == "repo-ls"
        entry = {"type": "file", "size": 1, "time": 1}
        names = (f"{name[:16]}/{name}-{'a' * 40}.gz" if len(name) == 24 else name for name in sorted(self.files))
        return take(iter([json.dumps(dict.fromkeys(names, entry))]))

    def run(self, command: str, options: dict[str, t.Any], arguments: list[str], **dummy: t.Any) -> Output:
        assert (command, options["archive_async"]) == ("archive-get", False)
        name, path = arguments
        self.fetched.append(name)
        Path(path).write_bytes(self.files[name])
        return Output(0, "")


@pytest.fixture(name="wal")
def wal_fixture(cluster: t.Any) -> Path:
    """Some segments full of small and large transactions, of a cluster that was stopped."""
    cluster.configure(wal_keep_size="1GB", full_page_writes="off")
    cluster.start()
    cluster.sql("CREATE TABLE t (v text)")
    cluster.sql("ALTER TABLE t ALTER v SET STORAGE EXTERNAL")  # neither compressed nor small
    for number in range(6):
        cluster.sql(
            "DO $$ BEGIN FOR i IN 1..900 LOOP INSERT INTO t SELECT repeat(md5(i::text), 300); "
            f"IF i % 5 = {number % 5} THEN COMMIT; END IF; END LOOP; END $$"
        )
    cluster.sql("SELECT pg_create_restore_point('the end')")
    cluster.sql("CREATE TABLE last (v text)")
    cluster.stop()
    return t.cast(Path, cluster.pgdata / "pg_wal")


def reader_of(cluster: t.Any, archive: Elsewhere, workspace: str | None = None) -> WalReader:
    control = read_control_data(str(cluster.pgdata))
    arguments = ("main", ARCHIVE, control.system_identifier, control.pg_version, str(cluster.pgdata))
    return WalReader(t.cast(t.Any, archive), *arguments, cluster.bindir, workspace)


def all_positions(cluster: t.Any, wal: Path, names: list[str]) -> list[int]:
    """Where records begin, as one run of pg_waldump over all segments says."""
    size = 16 * 1024**2
    limits = [f"--start={format_lsn(parse_segment(names[0]).number * size)}"]
    limits.append(f"--end={format_lsn((parse_segment(names[-1]).number + 1) * size)}")
    argv = [f"{cluster.bindir}/pg_waldump", f"--path={wal}", *limits]
    lines = subprocess.run(argv, capture_output=True, text=True, check=False).stdout.splitlines()
    return [record.lsn for record in map(parse_record, lines) if record]


def test_records_that_cross_segments_are_not_missed(cluster: t.Any, wal: Path) -> None:
    with reader_of(cluster, Elsewhere()) as reader:
        names = sorted(reader.local_segments())
        assert len(names) >= 3
        expected = all_positions(cluster, wal, names)
        assert [record.lsn for record in reader.scan(names)] == expected
        single = [record.lsn for name in names for record in reader.records(name)]
        assert set(single) < set(expected), "no record crosses from one segment into another: the test shows nothing"
        assert [r.lsn for r in reader.scan(names[1:])] == [lsn for lsn in expected if lsn >= single_start(names[1])]


def single_start(name: str) -> int:
    return parse_segment(name).number * 16 * 1024**2


def test_the_end_of_the_wal_is_found_from_its_newest_segment_on(cluster: t.Any, wal: Path) -> None:
    with reader_of(cluster, Elsewhere()) as reader:
        names = sorted(reader.local_segments(), reverse=True)
        commits = [end for end in map(parse_commit, reader.scan(sorted(names), "--rmgr=Transaction")) if end]
        end = reader.last_commit(names)
        assert end is not None
        assert (end.commit_lsn, end.time) == (commits[-1].lsn, max(commit.time for commit in commits))
        assert end.lsn == all_positions(cluster, wal, names[:1])[-1] > commits[-1].lsn  # the checkpoint of the shutdown
        older = reader.last_commit(names[-1:])
        assert older is not None
        assert older.time is not None
        assert older.time < commits[-1].time
        assert reader.last_commit([]) is None
        found = reader.find("name", "the end", sorted(names))
        assert found is not None
        assert found.lsn < commits[-1].lsn
        assert reader.find("xid", str(commits[3].xid), sorted(names)) is not None
        assert reader.find("xid", str(commits[-1].xid + 1), sorted(names)) is None


def test_the_archive_comes_first_and_nothing_fetched_is_left(cluster: t.Any, wal: Path) -> None:
    names = sorted(path.name for path in wal.iterdir() if len(path.name) == 24)[:3]
    archive = Elsewhere({name: (wal / name).read_bytes() for name in names})
    with reader_of(cluster, archive) as reader:
        count = sum(1 for record in reader.scan(names, "--rmgr=Transaction"))
        assert count > 10
        assert archive.fetched == names
        with reader.open(names[0]) as path:
            directory = os.path.dirname(path)
            assert os.listdir(directory) == [names[0]]
            assert os.stat(directory).st_mode & 0o777 == 0o700
            assert next(reader.scan(names)) == next(reader.records(names[0]))
            assert os.listdir(directory) == [names[0]]  # still open here
        assert os.listdir(directory) == []
        assert reader.last_commit(names[::-1]) is not None
        assert os.listdir(directory) == []
    assert not os.path.exists(directory)


def test_foreign_recycled_and_stray_segments_do_not_count(cluster: t.Any, wal: Path, tmp_path: Path) -> None:
    names = sorted(path.name for path in wal.iterdir() if len(path.name) == 24)
    rescued = tmp_path / "rescued" / str(read_control_data(str(cluster.pgdata)).system_identifier)
    rescued.mkdir(parents=True)
    shutil.move(wal / names[0], rescued / names[0])
    shutil.copy(wal / names[1], wal / "0000000100000000000000FA")  # as PostgreSQL recycles
    (wal / "0000000100000000000000FB").write_bytes(bytes(16 * 1024**2))
    (wal / f"{names[1]}.partial").touch()
    foreign = bytearray((wal / names[1]).read_bytes())
    foreign[24:32] = (12345).to_bytes(8, "little")
    (rescued / names[1].replace("00000001", "00000009", 1)).write_bytes(foreign)
    shutil.copy(wal / names[1], wal / names[1].replace("00000001", "00000002", 1))
    (wal / "00000002.history").write_text("1\t0/3000000\tno recovery target specified\n", encoding="utf-8")
    second = names[1].replace("00000001", "00000002", 1)
    with reader_of(cluster, Elsewhere(), str(tmp_path)) as reader:
        assert sorted(reader.local_segments()) == sorted([*names, second])
        assert reader.local_segments()[names[0]] == str(rescued / names[0])
        assert reader.local_histories() == [2]
        assert reader.history(2).startswith("1\t0/3000000")
        with pytest.raises(WalError, match="00000003.history is neither in repository 1 nor on this host"):
            reader.history(3)
    other = Elsewhere({"00000002.history": b"1\t0/5000000\tno recovery target specified\n"})
    with reader_of(cluster, other, str(tmp_path)) as reader:
        assert sorted(reader.local_segments()) == sorted(names)  # timeline 2 here is not the archived one
        assert second in reader.wal_here()
        assert "0/5000000" in reader.history(2)


def test_what_cannot_be_read_is_said(cluster: t.Any, wal: Path) -> None:
    control = read_control_data(str(cluster.pgdata))
    arguments = ("main", ARCHIVE, control.system_identifier, "19", "/nonexistent", None, None)
    with (
        WalReader(t.cast(t.Any, Elsewhere({"0" * 7 + "1" + "0" * 15 + "1": b""})), *arguments) as reader,
        pytest.raises(WalError, match="what PostgreSQL 19 writes in its place is not known here"),
    ):
        assert reader.segment_size
    arguments = ("main", ARCHIVE, control.system_identifier, "15", "/nonexistent", None, None)
    with WalReader(t.cast(t.Any, Elsewhere()), *arguments) as reader, pytest.raises(WalError, match="There is no WAL"):
        assert reader.segment_size


# Prints what both ways of listing say, as the cluster's user.
_LIST = f"""
import json, sys
from {PACKAGE}._cli import PgBackRest
from {PACKAGE}._repository import Archive, parse_info
from {PACKAGE}._wal_reader import WalReader
from dataclasses import asdict, replace

class Module:
    params = json.loads(sys.argv[1])
    def get_bin_path(self, name):
        return name
    def run_command(self, argv, **options):
        import subprocess
        done = subprocess.run(argv, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

backrest = PgBackRest(Module(), "main")
archive = parse_info(backrest.info())[0].archives[-1]
def plain(listing):
    logs = {{name: [list(log.numbers), list(log.times), log.twice] for name, log in listing.logs.items()}}
    return [logs, listing.histories, sorted(listing.partial)]
reader = WalReader(backrest, "main", archive, 0, "15", "/", None, None)
other = WalReader(backrest, "main", replace(archive, wal_max="F" * 24), 0, "15", "/", None, None)
print(json.dumps([plain(reader._seen_here()), plain(reader._told()), plain(reader.listing()), other._seen_here()]))
"""


@pytest.mark.matrix
def test_a_directory_says_the_same_as_pgbackrest(cluster: t.Any, module_tree: Path) -> None:
    """Compressed in all ways and encrypted, with all that is in an archive besides segments."""
    cluster.options = {"repo1-cipher-type": "aes-256-cbc", "repo1-cipher-pass": PASSPHRASE}
    cluster.protect()
    cluster.backup()
    for kind in ("none", "lz4", "zst", "bz2"):
        cluster.write_config({"compress-type": kind})
        cluster.archive()
    wal, archive = cluster.pgdata / "pg_wal", cluster.repo / "archive" / "main"
    newest = max(path.name for path in wal.iterdir() if len(path.name) == 24)
    (wal / "00000002.history").write_text("1\t0/3000000\tno recovery target specified\n", encoding="utf-8")
    shutil.copy(wal / newest, wal / f"{newest}.partial")
    for name in ("00000002.history", f"{newest}.partial"):
        shutil.chown(wal / name, *([USER] * 2 if os.geteuid() == 0 else [None] * 2))
        cluster.pgbackrest("archive-push", str(wal / name))
    first = min(path for path in archive.rglob("*-*") if path.is_file() and "." not in path.name.partition("-")[0])
    twice = first.name.replace(first.name.partition("-")[2][:40], "b" * 40)
    shutil.copy2(first, first.with_name(twice))
    shutil.copy2(first, first.with_name(f"{first.name}.pgbackrest.tmp"))
    first.with_name("linked").symlink_to(first)
    subprocess.run(["mv", archive / first.parent.parent.name, cluster.repo / "moved"], check=True)
    (archive / first.parent.parent.name).symlink_to(cluster.repo / "moved")
    params = json.dumps({"config": str(cluster.config), "config_path": None, "executable": cluster.executable})
    done = as_user(["env", f"PYTHONPATH={module_tree}", PYTHON, "-c", _LIST, params])
    assert done.returncode == 0, done.stderr
    seen, told, taken, other = json.loads(done.stdout)
    assert seen == told == taken
    logs, histories, partial = seen
    ((numbers, times, contradicting),) = logs.values()
    assert len(numbers) >= 5 and len(numbers) == len(times) and all(times)
    assert contradicting == numbers[:1]
    assert list(histories) == ["2"] and partial == [f"{newest}.partial"]
    assert other is None, "a directory without the segments that pgBackRest names is not its repository"
