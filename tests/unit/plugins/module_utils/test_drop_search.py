# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which segments are read, where transactions begin, which names are certain, and the lines that are shown."""

from __future__ import annotations

import struct
import typing as t
from datetime import UTC, datetime, timedelta

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils import _drop_names as names
from ansible_collections.pgops.pgbackrest.plugins.module_utils._archive_listing import Listing, list_archive
from ansible_collections.pgops.pgbackrest.plugins.module_utils._drop_report import candidate, reach, summary
from ansible_collections.pgops.pgbackrest.plugins.module_utils._drop_search import (
    Beginnings,
    Find,
    Wal,
    find_commits,
    in_range,
    keep,
    may_match,
    read_wal,
)
from ansible_collections.pgops.pgbackrest.plugins.module_utils._drops import Ended, Loss, began_after
from ansible_collections.pgops.pgbackrest.plugins.module_utils._wal import HistoryEntry
from ansible_collections.pgops.pgbackrest.plugins.module_utils._waldump import Commit, Record
from hypothesis import given, strategies as st

MIB16 = 16 * 1024**2
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
FILES = ("base/5/16384", "base/5/16390")
LOSS = Loss(("drop",), FILES, 2)


class Reader:
    """Scripted records by segment; stands for WalReader."""

    segment_size = MIB16

    def __init__(self, records: dict[str, list[Record]], histories: dict[int, str] | None = None) -> None:
        self.by_name = records
        self.histories = histories or {}
        self.read: list[str] = []

    def listing(self) -> Listing:
        return list_archive(
            (f"{name[:16]}/{name}-{'0' * 40}.gz", int(NOON.timestamp()) + 60 * int(name[-2:], 16))
            for name in sorted(self.by_name)
        )

    def local_segments(self) -> dict[str, str]:
        return {}

    def history(self, timeline: int) -> str:
        return self.histories[timeline]

    def records(self, name: str, *filters: str) -> t.Iterator[Record]:
        self.read.append(name)
        return (record for record in self.by_name[name] if filters == (f"--rmgr={record.rmgr}",))

    def scan(self, names: t.Iterable[str], *filters: str) -> t.Iterator[Record]:
        for name in names:
            yield from self.records(name, *filters)


def segment(number: int, timeline: int = 1) -> str:
    return f"{timeline:08X}{0:08X}{number:08X}"


def wal_of(reader: Reader, timeline: int | None = None) -> Wal:
    return read_wal(t.cast("t.Any", reader), timeline)


def snapshot(number: int, next_xid: int) -> Record:
    return Record("Standby", 0, number * MIB16 + 40, f"RUNNING_XACTS nextXid {next_xid} latestCompletedXid 1")


def commit(number: int, minute: int, xid: int = 700, files: str = "; rels: base/5/16384") -> Record:
    time = (NOON + timedelta(minutes=minute)).strftime("%Y-%m-%d %H:%M:%S.%f")
    return Record("Transaction", xid, number * MIB16 + 100 + xid, f"COMMIT {time} UTC{files}")


@given(st.integers(3, (1 << 32) - 1), st.integers(1, 1 << 30))
def test_began_after_goes_in_circles(xid: int, distance: int) -> None:
    assert began_after((xid - distance) % (1 << 32), xid)
    assert not began_after((xid + distance) % (1 << 32), xid)
    assert began_after(xid, xid)


def test_segments_in_range() -> None:
    """Archived a minute apart; those from ten minutes before the range on can hold its commits."""
    wal = wal_of(Reader({segment(number): [] for number in range(1, 40)}))
    assert in_range(wal, NOON + timedelta(minutes=30)) == {1: [segment(number) for number in range(20, 40)]}
    assert in_range(wal, NOON - timedelta(days=1))[1][0] == segment(1)
    assert in_range(wal, NOON + timedelta(days=1)) == {}


def test_commits_in_a_time_range() -> None:
    reader = Reader(
        {segment(number): [commit(number, number), commit(number, number, 701, "")] for number in range(1, 9)}
    )
    wal = wal_of(reader)
    begin, until = NOON + timedelta(minutes=3), NOON + timedelta(minutes=5)
    found, scanned = find_commits(t.cast("t.Any", reader), wal, begin, until, lambda done, total, unit: None)
    assert [end.commit.time.minute for dummy, end in found] == [3, 4, 5]
    # A commit a minute too late may still be out of order; the one after it ends the search.
    assert scanned.segments == [segment(number) for number in range(1, 8)]
    assert scanned.commits == 12
    assert reader.read[-1] == segment(7)


def test_commits_before_a_fork_count_once() -> None:
    """The first segment of a timeline begins with a copy; of the old one nothing after the fork is on the way."""
    shared, stray, own = commit(3, 1, 700), commit(3, 2, 800), commit(3, 3, 900)
    fork = shared.lsn + 50
    reader = Reader(
        {segment(2): [], segment(3): [shared, stray], segment(3, 2): [shared, own]},
        {2: f"1\t{fork >> 32:X}/{fork & 0xFFFFFFFF:X}\tno recovery target specified"},
    )

    def found(timeline: int | None) -> list[tuple[int, int]]:
        wal = wal_of(reader, timeline)
        commits, dummy = find_commits(t.cast("t.Any", reader), wal, NOON, NOON + timedelta(hours=1), lambda *args: None)
        return [(number, end.commit.xid) for number, end in commits]

    assert found(None) == [(1, 700), (1, 800), (2, 900)]
    assert found(2) == [(1, 700), (2, 900)]
    assert found(1) == [(1, 700), (1, 800)]


def test_beginning_of_a_transaction() -> None:
    records = {segment(1): [snapshot(1, 500)], segment(2): [], segment(3): [snapshot(3, 600)], segment(3, 2): []}
    reader = Reader(records, {2: "1\t0/3000100\tx"})
    beginnings = Beginnings(t.cast("t.Any", reader), wal_of(reader))
    assert beginnings.chain(segment(3), 600) == [segment(3)]
    assert beginnings.chain(segment(3), 599) == [segment(1), segment(2), segment(3)]
    assert beginnings.chain(segment(3, 2), 500) == [segment(1), segment(2), segment(3, 2)]
    assert beginnings.chain(segment(3), 499) is None
    assert len(reader.read) == len(set(reader.read))


def test_gap_hides_the_beginning() -> None:
    reader = Reader({segment(1): [snapshot(1, 500)], segment(3): [snapshot(3, 600)]})
    assert Beginnings(t.cast("t.Any", reader), wal_of(reader)).chain(segment(3), 550) is None


def make_find(loss: Loss = LOSS, timeline: int = 1, lsn: int = 5 * MIB16) -> Find:
    return Find(Ended(Commit(744, lsn, NOON), loss.files), loss, timeline, lsn, 5)


def test_filters() -> None:
    end = Ended(Commit(744, 40, NOON, subxacts=(745,)), FILES)
    assert may_match(end, None, None, None) and may_match(end, 5, 16390, 745)
    assert not may_match(end, 6, None, None) and not may_match(end, None, 390, None)
    assert not may_match(end, None, None, 746)
    assert may_match(Ended(Commit(744, 40, NOON), (), forced=True), 6, None, None)
    both, database = make_find(Loss(("drop", "truncate"), FILES, 2)), make_find(Loss(("drop_database",)))
    assert keep([both, database], ["truncate"], 5, 2) == [both]
    assert keep([both, database], ["drop", "drop_database"], None, 3) == [database]
    assert keep([both, database], ["drop"], 6, 1) == []


@pytest.mark.parametrize(
    ("replayed", "histories", "certain"),
    [
        (100, {}, True),
        (101, {}, False),  # gone by
        (90, {2: [HistoryEntry(1, 95, "")]}, True),
        (90, {2: [HistoryEntry(1, 80, "")]}, False),  # it may replay timeline 2
    ],
)
def test_server_before_a_commit(replayed: int, histories: dict[int, list[HistoryEntry]], certain: bool) -> None:
    assert names.stands_before(1, 100, replayed, histories) is certain


def test_primary_after_a_commit() -> None:
    assert names.went_through(1, 100, 1, [])
    assert names.went_through(1, 100, 2, [HistoryEntry(1, 101, "")])
    assert not names.went_through(1, 100, 2, [HistoryEntry(1, 100, "")])
    assert not names.went_through(2, 100, 1, [])


def test_relation_map() -> None:
    data = struct.pack("=ii", 0x592717, 2) + struct.pack("=IIII", 1259, 16500, 1249, 16503) + bytes(480)
    assert names.parse_relation_map(data) == {1259: 16500, 1249: 16503}
    assert names.parse_relation_map(data[:10]) == names.parse_relation_map(b"") == {}
    assert names.parse_relation_map(b"\0" * 512) == {}


def test_result_and_line() -> None:
    entry = candidate(
        make_find(), ("app", "backup 20261122-205937F"), {FILES[0]: ("public.orders", "the server", "table")}
    )
    assert entry["restore"] == {"type": "lsn", "target": "0/5000000", "target_exclusive": True, "target_timeline": "1"}
    assert entry["relations"] == [
        {"file": FILES[0], "name": "public.orders", "name_from": "the server", "type": "table"},
        {"file": FILES[1], "name": None, "name_from": None, "type": None},
    ]
    line = "2026-05-01 12:00:00+00:00  xid 744  dropped 2 relations in database app: public.orders and 1 more"
    assert entry["text"] == line
    assert summary([entry], {"commits": 3, "segments": 2, "skipped": 1}) == [
        line,
        "One commit found; 3 commits in 2 segments looked at, 1 rewrites and the like left out.",
    ]


def test_range_that_begins_before_the_oldest_backup() -> None:
    found = reach(12, 1777636800, 1777636799.5, "000000010000000000000001")
    assert found == [
        "The range begins before the oldest backup of repository 12, which ended 2026-05-01 12:00:00+00:00:",
        "WAL was looked at from 000000010000000000000001 on, and no moment before that can be restored from there.",
    ]
    assert all(len(line) <= 110 for line in found)
    assert reach(1, 1777636800, 1777636800.0, None) == reach(1, None, 0.0, None) == []


@pytest.mark.parametrize(
    ("types", "words"),
    [
        (("index", "table"), ": public.b and 1 more"),
        (("table", "table"), ": public.a, public.b"),
        (("index", "sequence"), ": public.a, public.b"),
        ((None, None), ": files 16384 16390"),
    ],
)
def test_tables_are_what_people_know_by_name(types: tuple[str | None, str | None], words: str) -> None:
    known = {
        path: (name, "the server", kind)
        for path, name, kind in zip(FILES, ("public.a", "public.b"), types, strict=True)
        if kind
    }
    assert candidate(make_find(), ("app", "a backup"), known)["text"].endswith(words)


def test_long_lines_are_cut() -> None:
    many = make_find(Loss(("drop", "truncate"), tuple(f"base/5/{16384 + number}" for number in range(99)), 99))
    text = candidate(many, None, {})["text"]
    assert (
        len(text) == 110 and text.endswith("…") and "dropped and truncated 99 relations in database with OID 5" in text
    )
