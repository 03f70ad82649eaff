# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looking for drops in the WAL of one archive. Reads only. Private to the collection.

First all commits of a time range, then the records of those that took files with them, from where their transaction
cannot have begun earlier.
"""

from __future__ import annotations

import re
import typing as t
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from heapq import merge

from ._archive_listing import Listing
from ._drop_records import PG_CLASS, Changes, Place, inplace_place
from ._drops import Ended, Loss, began_after, database_of, ended, judge
from ._wal import HistoryEntry, Segment, parse_history, parse_segment
from ._wal_reader import WalError, WalReader
from ._waldump import Record, parse_commit

CLOCKS = timedelta(minutes=10)  # that the clocks of the database and the repository may differ
_DISORDER = timedelta(minutes=1)  # commits stand nearly in the order of their times
_AT_ONCE = timedelta(seconds=10)  # DROP DATABASE marks a database and deletes its row without waiting in between
_FEW = 3  # transactions that are cheaper to pick out one by one than by reading everything
_NEXT_XID = re.compile(r"RUNNING_XACTS nextXid (\d+)")
_NO_LIMIT = 1 << 64

Report = t.Callable[[int, int, str], None]  # done, total, unit


@dataclass(frozen=True)
class Wal:
    """The segments that are there: those of the archive, and those that only this host has, sorted.

    ``ends`` says up to which LSN a timeline counts; a timeline that is not in it does not count at all.
    """

    size: int
    archive: Listing
    local: tuple[str, ...]
    ends: dict[int, int]
    histories: dict[int, list[HistoryEntry]]

    def __contains__(self, name: str) -> bool:
        """Whether the segment is there."""
        return name in self.archive or name in self.local

    def segment(self, name: str) -> Segment:
        """Timeline and number of a segment."""
        return parse_segment(name, self.size)

    def segments(self) -> t.Iterator[tuple[str, int]]:
        """All segments, sorted, with the time of archiving; the others count as those of this moment."""
        return merge(self.archive.segments(), ((name, _NO_LIMIT) for name in self.local))

    def before(self, name: str) -> str | None:
        """The segment before another one, on its timeline or on the one that this began from."""
        segment = self.segment(name)
        parents = (entry.timeline for entry in reversed(self.histories.get(segment.timeline, [])))
        timelines = (segment.timeline, *parents)
        names = (Segment(timeline, segment.number - 1).name(self.size) for timeline in timelines)
        return next((name for name in names if name in self), None)


@dataclass(frozen=True)
class Find:
    """One commit that took something away. ``target`` is the LSN to recover to, exclusive."""

    end: Ended
    loss: Loss
    timeline: int
    target: int
    database: int


@dataclass
class Scanned:
    """What was looked at, and what was found besides losses: ``skipped`` commits had files but lost nothing."""

    segments: list[str] = field(default_factory=list)
    commits: int = 0
    skipped: int = 0

    def to_dict(self, segment_size: int) -> dict[str, t.Any]:
        """The extent of the search as module result."""
        return {
            "first": self.segments[0] if self.segments else None,
            "last": self.segments[-1] if self.segments else None,
            "segments": len(self.segments),
            "commits": self.commits,
            "bytes": len(self.segments) * segment_size,
            "skipped": self.skipped,
        }


def read_wal(reader: WalReader, timeline: int | None) -> Wal:
    """The segments of an archive and of this host, of one timeline with those it came from, or of all."""
    size = reader.segment_size
    listing = reader.listing()
    local = tuple(sorted(name for name in reader.local_segments() if name not in listing))
    found = {int(name[:8], 16) for name in (*listing.logs, *local)}
    histories = {number: parse_history(_history(reader, number)) for number in found if number > 1}
    ends = dict.fromkeys(found, _NO_LIMIT)
    if timeline is not None:
        ends = {entry.timeline: entry.lsn for entry in histories.get(timeline, [])}
        ends[timeline] = _NO_LIMIT
    return Wal(size, listing, local, ends, histories)


def _history(reader: WalReader, timeline: int) -> str:
    """The history of a timeline. Without it only its own segments are known."""
    try:
        return reader.history(timeline)
    except WalError:
        return ""


def in_range(wal: Wal, begin: datetime) -> dict[int, list[str]]:
    """By timeline, the segments that can have commits from ``begin`` on: from the first one archived after it."""
    earliest = (begin - CLOCKS).timestamp()
    result: dict[int, list[str]] = {}
    for name, archived in wal.segments():
        segment = wal.segment(name)
        if segment.number * wal.size >= wal.ends.get(segment.timeline, 0):
            continue
        if segment.timeline in result or archived >= earliest:
            result.setdefault(segment.timeline, []).append(name)
    return result


def find_commits(
    reader: WalReader, wal: Wal, begin: datetime, until: datetime, report: Report
) -> tuple[list[tuple[int, Ended]], Scanned]:
    """Commits in a time range that may have taken something away, with their timeline."""
    scanned = Scanned()
    found: dict[tuple[int, int, datetime], tuple[int, Ended]] = {}
    ranges = in_range(wal, begin)
    total = sum(map(len, ranges.values()))
    for timeline, names in ranges.items():
        for record in _commits(reader, wal, names, until, scanned):
            report(len(scanned.segments), total, "segments")
            end = ended(record)
            if end and begin <= end.commit.time <= until and record.lsn < wal.ends[timeline]:
                # A new timeline begins with a copy of the segment that the old one ended in.
                found.setdefault((record.lsn, end.commit.xid, end.commit.time), (timeline, end))
    return list(found.values()), scanned


def _commits(
    reader: WalReader, wal: Wal, names: t.Sequence[str], until: datetime, scanned: Scanned
) -> t.Iterator[Record]:
    """Commit records of the segments of one timeline, until they are too late."""
    latest = f"COMMIT {until + _DISORDER:%Y-%m-%d %H:%M:%S.%f}"
    numbers = [wal.segment(name).number for name in names]
    before, index = len(scanned.segments), 0
    records = reader.scan(names, "--rmgr=Transaction")
    with closing(t.cast("t.Generator[Record, None, None]", records)):
        for record in records:
            if record.lsn // wal.size != numbers[index]:
                index = numbers.index(record.lsn // wal.size, index)
                scanned.segments[before:] = names[:index]
            if record.desc.startswith("COMMIT ") and record.desc[: len(latest)] > latest:
                scanned.segments[before:] = names[: index + 1]
                return
            if record.desc.startswith("COMMIT"):
                scanned.commits += 1
                yield record
    scanned.segments[before:] = names


class Beginnings:
    """From which segment on the records of a transaction can lie. Keeps what it has read."""

    def __init__(self, reader: WalReader, wal: Wal) -> None:
        self._reader = reader
        self._wal = wal
        self._known: dict[str, int | None] = {}

    def chain(self, name: str, xid: int) -> list[str] | None:
        """Segments from the one before which the transaction cannot have begun, up to ``name``.

        None when the archive does not go back so far. Subtransactions have later IDs than their transaction.
        """
        chain: list[str] = []
        current: str | None = name
        while current is not None:
            chain.insert(0, current)
            next_xid = self._next_xid(current)
            if next_xid is not None and began_after(next_xid, xid):
                return chain
            current = self._wal.before(current)
        return None

    def _next_xid(self, name: str) -> int | None:
        """The next transaction ID at the first snapshot of running transactions in a segment."""
        if name not in self._known:
            records = self._reader.records(name, "--rmgr=Standby")
            with closing(t.cast("t.Generator[Record, None, None]", records)):
                matches = (_NEXT_XID.match(record.desc) for record in records)
                match = next(filter(None, matches), None)
            self._known[name] = int(match.group(1)) if match else None
        return self._known[name]


@dataclass
class _Case:
    """One commit with the segments of its transaction and what it did there."""

    timeline: int
    end: Ended
    chain: list[str] | None
    changes: Changes


def examine(
    reader: WalReader,
    wal: Wal,
    commits: t.Sequence[tuple[int, Ended]],
    pg_class: t.Callable[[int], t.Container[int]],
    report: Report,
) -> tuple[list[Find], int]:
    """What these commits took away, and how many of them took nothing. ``pg_class`` knows the catalog's files."""
    beginnings = Beginnings(reader, wal)
    cases: list[_Case] = []
    for timeline, end in commits:
        report(len(cases), len(commits), "transactions")
        database = next(filter(None, map(database_of, end.files)), 0)
        chain = beginnings.chain(Segment(timeline, end.commit.lsn // wal.size).name(wal.size), end.commit.xid)
        removed = frozenset(end.files)
        cases.append(_Case(timeline, end, chain, Changes(database, pg_class(database) if database else (), removed)))
    for group in _groups(cases):
        _read(reader, group)
    finds, skipped = [], 0
    for case in cases:
        loss = judge(case.end, case.changes if case.chain else None)
        if loss.kinds:
            finds.append(_find(reader, wal, case, loss))
        elif case.end.files:
            skipped += 1
    return finds, skipped


def _groups(cases: t.Sequence[_Case]) -> list[list[_Case]]:
    """Cases whose segments overlap: these are read once."""
    groups: list[list[_Case]] = []
    for case in sorted((case for case in cases if case.chain), key=lambda case: (case.timeline, case.end.commit.lsn)):
        chain = t.cast("list[str]", case.chain)
        if groups and groups[-1][0].timeline == case.timeline and chain[0] in _segments(groups[-1]):
            groups[-1].append(case)
        else:
            groups.append([case])
    return groups


def _segments(group: t.Sequence[_Case]) -> dict[str, None]:
    """Names of all segments of a group, in order."""
    names = {name for case in group for name in case.chain or ()}
    return dict.fromkeys(sorted(names, key=lambda name: (name[8:], name)))


def _read(reader: WalReader, group: t.Sequence[_Case]) -> None:
    """Let the cases of a group learn from their records."""
    owners = {xid: case for case in group for xid in case.end.xids}
    if len(owners) > _FEW:
        for record in reader.scan(_segments(group)):
            case = owners.get(record.xid)
            if case and record.lsn <= case.end.commit.lsn:
                case.changes.take(record)
        return
    for case in group:
        records = [record for xid in case.end.xids for record in _records_of(reader, case, xid)]
        for record in sorted(records, key=lambda record: record.lsn):
            case.changes.take(record)


def _records_of(reader: WalReader, case: _Case, xid: int) -> t.Iterator[Record]:
    names = t.cast("list[str]", case.chain)
    return (r for r in reader.scan(names, f"--xid={xid}") if r.lsn < case.end.commit.lsn)


def _find(reader: WalReader, wal: Wal, case: _Case, loss: Loss) -> Find:
    database, target = case.changes.database, case.end.commit.lsn
    if case.changes.databases:
        database = case.changes.databases[0]
        target = _database_target(reader, wal, case)
    return Find(case.end, loss, case.timeline, target, database)


def _database_target(reader: WalReader, wal: Wal, case: _Case) -> int:
    """Where to stop before a database goes. Its files go before the commit, and it is marked invalid before that."""
    if not case.changes.database_rows:
        return case.end.commit.lsn
    lsn, place = case.changes.database_rows[0]
    names = [name for name in case.chain or () if wal.segment(name).number <= lsn // wal.size][-2:]
    earlier = wal.before(names[0]) if len(names) == 1 else None
    return mark_before(reader.scan([earlier, *names] if earlier else names), lsn, place)


def mark_before(records: t.Iterable[Record], lsn: int, place: Place) -> int:
    """LSN of the record that marks a database invalid, right before its row is deleted at ``lsn``; else ``lsn``.

    VACUUM changes that row in the same way, but not right before.
    """
    mark: int | None = None
    times: list[datetime] = []
    for record in records:
        if record.lsn >= lsn:
            break
        if inplace_place(record) == place:
            mark, times = record.lsn, []
        elif mark is not None:
            commit = parse_commit(record)
            times = [*times[:1], commit.time] if commit else times
    return lsn if mark is None or (times and times[-1] - times[0] > _AT_ONCE) else mark


def keep(finds: t.Iterable[Find], kinds: t.Collection[str], database: int | None, least: int) -> list[Find]:
    """The finds that a user asked for; the number of relations does not count for databases."""
    return [
        find
        for find in finds
        if set(kinds) & set(find.loss.kinds)
        and database in (None, find.database)
        and (find.loss.count >= least or "drop_database" in find.loss.kinds)
    ]


def may_match(end: Ended, database: int | None, filenode: int | None, xid: int | None) -> bool:
    """Whether a commit can be what a user asked for, before its transaction is read."""
    if xid is not None and xid not in end.xids:
        return False
    if filenode is not None and filenode not in [int(path.rpartition("/")[2]) for path in end.files]:
        return False
    databases = {database_of(path) for path in end.files}
    return database is None or database in databases or (end.forced and not end.files)


def pg_class_by_database(pg_class: t.Mapping[int, int]) -> t.Callable[[int], t.Container[int]]:
    """The files of pg_class by database: the one it began with, and the present one where it is known."""
    return lambda database: {PG_CLASS, pg_class.get(database, PG_CLASS)}
