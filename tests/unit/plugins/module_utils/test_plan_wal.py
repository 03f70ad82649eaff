# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is looked at in the WAL before a restore, how much of it, and what errors become."""

from __future__ import annotations

import typing as t
from datetime import UTC, datetime

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils import _plan_wal
from ansible_collections.pgops.pgbackrest.plugins.module_utils._archive_listing import Listing, list_archive
from ansible_collections.pgops.pgbackrest.plugins.module_utils._choice import Choice
from ansible_collections.pgops.pgbackrest.plugins.module_utils._directory import Directory
from ansible_collections.pgops.pgbackrest.plugins.module_utils._messages import PgBackRestError
from ansible_collections.pgops.pgbackrest.plugins.module_utils._plan_request import Request
from ansible_collections.pgops.pgbackrest.plugins.module_utils._plan_wal import Finding, examine
from ansible_collections.pgops.pgbackrest.plugins.module_utils._repository import Archive, Backup, Database, Stanza
from ansible_collections.pgops.pgbackrest.plugins.module_utils._target import parse_target
from ansible_collections.pgops.pgbackrest.plugins.module_utils._wal import HistoryEntry, Segment
from ansible_collections.pgops.pgbackrest.plugins.module_utils._wal_reader import WalError, WalReader, read_history
from ansible_collections.pgops.pgbackrest.plugins.module_utils._waldump import End, Record

SIZE = 16 * 1024**2
SYSTEM = 7_400_000_000_000_000_001
LATE = datetime(2026, 5, 1, 12, 30, tzinfo=UTC)
BACKUP = Backup(
    "20260501-100000F",
    "full",
    None,
    1,
    1,
    1777629600,
    1777629660,
    "0/2000028",
    "0/2000100",
    "000000010000000000000002",
    "000000010000000000000002",
    100,
    100,
    10,
    10,
    False,
)


class Reader:
    """An archive with segments 2 to ``last`` of timeline 1; it keeps what was asked for."""

    system_id = SYSTEM
    segment_size = SIZE

    def __init__(self, last: int = 9, end: End | None = None, found: Record | None = None) -> None:
        self.last, self.end, self.found = last, end, found
        self.looked: list[str] = []
        self.searched: list[str] = []
        self.error: Exception | None = None

    def listing(self) -> Listing:
        names = (Segment(1, number).name() for number in range(2, self.last + 1))
        return list_archive((f"{name[:16]}/{name}-{'a' * 40}.gz", 1777630000) for name in names)

    def local_segments(self) -> dict[str, str]:
        return {}

    def local_histories(self) -> list[int]:
        return []

    def histories(self, timelines: list[int]) -> dict[int, list[HistoryEntry]]:
        assert timelines == []
        return {}

    def last_commit(self, names: t.Iterable[str]) -> End | None:
        self.looked = list(names)
        if self.error:
            raise self.error
        return self.end

    def find(self, kind: str, value: str, names: t.Iterable[str]) -> Record | None:
        self.searched = list(names)
        return self.found


def examined(reader: Reader, *target: t.Any, can_read: str | None = None, allow: bool = False) -> Finding:
    request = Request("main", "/pg", parse_target(*target), allow_unproven=allow)
    return examine(request, Choice(BACKUP), t.cast(WalReader, reader), Directory("/pg", "missing"), can_read)


def codes(finding: Finding) -> list[str]:
    return [problem.code for problem in finding.problems]


def test_the_newest_segments_are_looked_at_first_and_only_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader(end=End(LATE, 9 * SIZE + 80, 9 * SIZE + 40))
    assert codes(examined(reader, "time", "2026-05-01 12:00Z")) == []
    assert (reader.looked[0], reader.looked[-1]) == ("000000010000000000000009", "000000010000000000000002")
    assert reader.searched == []
    monkeypatch.setattr(_plan_wal, "NEWEST_SEGMENTS", 3)
    reader = Reader(end=End(None, 9 * SIZE + 80, None))
    finding = examined(reader, "time", "2026-05-01 12:00Z")
    assert reader.looked == [f"00000001000000000000000{number}" for number in (9, 8, 7)]
    assert codes(finding) == ["not_proven"]
    assert "The newest 3 segments have no commit; the other 5 were not read." in finding.problems[0].sentence
    assert codes(examined(reader, "default")) == []
    # All were read: that is no doubt, it is certain.
    assert codes(examined(Reader(last=4, end=reader.end), "time", "2026-05-01 12:00Z")) == ["target_after_last_commit"]


@pytest.mark.parametrize("kind", ["xid", "name"])
def test_a_search_begins_at_the_backup_and_is_limited(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    end = End(LATE, 9 * SIZE + 80, 9 * SIZE + 40)
    found = examined(Reader(end=end, found=Record("XLOG", 0, 5 * SIZE, "RESTORE_POINT 744")), kind, "744")
    assert codes(found) == []
    assert found.proof
    assert found.proof.wal["last"] == "000000010000000000000005"
    assert codes(examined(Reader(end=end), kind, "744")) == ["not_found"]
    monkeypatch.setattr(_plan_wal, "SEARCHED_SEGMENTS", 2)
    reader = Reader(end=end)
    finding = examined(reader, kind, "744")
    assert reader.searched == ["000000010000000000000002", "000000010000000000000003"]
    assert codes(finding) == ["not_proven"]
    assert "Only the first 2 of 8 segments from the backup on were searched." in finding.problems[0].sentence
    allowed = examined(reader, kind, "744", allow=True)
    assert codes(allowed) == []
    assert allowed.proof
    assert len(allowed.proof.warnings) == 1


@pytest.mark.parametrize(
    "error", [WalError("Segment X is gone."), PgBackRestError("no such host", 49), OSError("disk")]
)
def test_wal_that_cannot_be_read_proves_nothing(error: Exception) -> None:
    reader = Reader()
    reader.error = error
    finding = examined(reader, "time", "2026-05-01 12:00Z")
    assert codes(finding) == ["not_proven"]
    assert "The WAL cannot be read" in finding.problems[0].sentence
    assert codes(examined(reader, "default")) == []


def test_an_archive_that_cannot_be_listed_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader()

    def fail() -> Listing:
        raise PgBackRestError("unable to connect", 49, "is it up?", "repo-ls", "Check that the host is up.")

    monkeypatch.setattr(reader, "listing", fail)
    problem = examined(reader, "default").problems[0]
    assert (problem.code, problem.hint) == ("archive_unreadable", "is it up? Check that the host is up.")
    assert problem.sentence == "The archive of repository 1 cannot be read: unable to connect."
    assert examined(reader, "none") == Finding(Choice(BACKUP))  # needs no WAL, so it is not even looked at


def test_without_pg_waldump_only_what_needs_it_is_in_doubt() -> None:
    reader = Reader()
    for target, expected in (
        (("time", "2026-05-01 12:00Z"), ["not_proven"]),
        (("xid", "744"), ["not_proven"]),
        (("default",), []),
        (("immediate",), []),
        (("lsn", "0/5000000"), []),
        (("lsn", "0/9000080"), ["not_proven"]),
        (("lsn", "0/A000080"), ["target_after_last_commit"]),
    ):
        assert codes(examined(reader, *target, can_read="pg_waldump is missing")) == expected, target
    assert reader.looked == reader.searched == []


def test_the_archive_is_that_of_the_cluster_in_its_repository() -> None:
    archives = [Archive(2, 1, "14-1", None, None), Archive(1, 2, "16-2", None, None), Archive(1, 1, "15-1", None, None)]
    database = Database(1, 1, SYSTEM, "15")
    assert Stanza("main", 0, "ok", [], [database], archives, [], None).archive_of(database) == archives[2]
    nothing = Stanza("main", 0, "ok", [], [database], [], [], None)
    assert nothing.archive_of(database) == Archive(1, 1, "15-1", None, None)


def test_damaged_history_files_are_named() -> None:
    assert read_history("00000002.history", "1\t0/3000000\tbecause\n") == [HistoryEntry(1, 0x3000000, "because")]
    with pytest.raises(WalError, match="The history file 00000002.history is damaged: 'x' is not an LSN"):
        read_history("00000002.history", "1\tx\n")
