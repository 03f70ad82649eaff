# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which WAL an archive holds, in short: 100,000 segments without a gap are one run. Pure. Private to the collection."""

from __future__ import annotations

import bisect
import re
import typing as t
from dataclasses import dataclass, field, replace
from functools import cached_property

from ._archive_listing import Listing
from ._wal import Segment

_SEGMENT = re.compile(r"([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})")
_HISTORY = re.compile(r"([0-9A-F]{8})\.history")
_FOUR_GIB = 1 << 32


@dataclass(frozen=True)
class Run:
    """Consecutive segments of one timeline, from number ``first`` to ``last``."""

    timeline: int
    first: int
    last: int


@dataclass(frozen=True)
class Archived:
    """What one archive id of one repository holds. Times are epoch seconds.

    ``runs`` is sorted by timeline and number. ``histories`` says when the history file of a timeline was archived,
    ``newest`` when a segment of it was last. ``twice`` are segments that are there with different content: pgBackRest
    gives none of these out, so they are not in ``runs``.
    """

    runs: tuple[Run, ...] = ()
    histories: dict[int, int] = field(default_factory=dict)
    newest: dict[int, int] = field(default_factory=dict)
    twice: tuple[Segment, ...] = ()

    def run_at(self, timeline: int, number: int) -> Run | None:
        """The run that holds this segment."""
        index = bisect.bisect_right(self._starts, (timeline, number))
        run = self.runs[index - 1] if index else None
        return run if run and run.timeline == timeline and run.last >= number else None

    def next_number(self, timeline: int, number: int) -> int | None:
        """The first segment of this timeline from ``number`` on; None when none is there."""
        if self.run_at(timeline, number):
            return number
        index = bisect.bisect_right(self._starts, (timeline, number))
        run = self.runs[index] if index < len(self.runs) else None
        return run.first if run and run.timeline == timeline else None

    @cached_property
    def _starts(self) -> list[tuple[int, int]]:
        return [(run.timeline, run.first) for run in self.runs]


def parse_listing(listing: Listing, segment_size: int) -> Archived:
    """The files of an archive as runs. Names that segments of this size cannot have are left out."""
    per_log = _FOUR_GIB // segment_size
    runs: list[Run] = []
    newest: dict[int, int] = {}
    twice: list[Segment] = []
    for name, log in listing.logs.items():
        timeline, first = int(name[:8], 16), int(name[8:], 16) * per_log
        runs += _runs(timeline, [first + low for low in log.numbers if low < per_log and low not in log.twice])
        newest[timeline] = max(newest.get(timeline, 0), *log.times)
        twice += [Segment(timeline, first + low) for low in log.twice if low < per_log]
    return Archived(tuple(_joined(runs)), dict(listing.histories), newest, tuple(twice))


def merged(archived: Archived, names: t.Iterable[str], segment_size: int) -> Archived:
    """The archive together with these segments, which lie elsewhere. Other names are passed over."""
    numbers: dict[int, list[int]] = {}
    for timeline, number in _segments(names, segment_size):
        numbers.setdefault(timeline, []).append(number)
    added = [run for timeline in numbers for run in _runs(timeline, numbers[timeline])]
    runs = sorted((*archived.runs, *added), key=lambda run: (run.timeline, run.first))
    return replace(archived, runs=tuple(_joined(runs)))


def absent(archives: t.Sequence[Archived], names: t.Iterable[str], segment_size: int) -> list[str]:
    """Which of these segments and history files none of the archives holds, sorted; other names are passed over."""
    result = []
    for name in sorted(names):
        history = _HISTORY.fullmatch(name)
        if history:
            there = any(int(history.group(1), 16) in archived.histories for archived in archives)
        else:
            found = next(_segments([name], segment_size), None)
            there = found is None or any(archived.run_at(*found) for archived in archives)
        if not there:
            result.append(name)
    return result


def _segments(names: t.Iterable[str], segment_size: int) -> t.Iterator[tuple[int, int]]:
    per_log = _FOUR_GIB // segment_size
    for name in names:
        match = _SEGMENT.fullmatch(name)
        if match:
            yield int(match.group(1), 16), _number(match, per_log)


def _number(match: t.Match[str], per_log: int) -> int:
    return int(match.group(2), 16) * per_log + int(match.group(3), 16)


def _runs(timeline: int, numbers: t.Iterable[int]) -> list[Run]:
    ordered = sorted(numbers)
    firsts = [number for before, number in zip([-2, *ordered], ordered) if number > before + 1]
    lasts = [number for number, after in zip(ordered, ordered[1:]) if after > number + 1] + ordered[-1:]
    return [Run(timeline, first, last) for first, last in zip(firsts, lasts)]


def _joined(runs: t.Iterable[Run]) -> list[Run]:
    """Sorted runs, with those that touch each other made one."""
    result: list[Run] = []
    for run in runs:
        last = result[-1] if result else None
        if last and last.timeline == run.timeline and run.first <= last.last + 1:
            result[-1] = Run(last.timeline, last.first, max(last.last, run.last))
        else:
            result.append(run)
    return result
