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

from ._wal import Segment

# pgBackRest appends a checksum and the type of compression. Files .partial and .backup are no segments to recover from.
_ARCHIVED = re.compile(r"(?:[0-9A-F]{16}/)?([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})-([0-9a-f]{40})(?:\.[a-z0-9]+)?")
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


def parse_listing(listing: t.Mapping[str, t.Mapping[str, t.Any]], segment_size: int) -> Archived:
    """What ``repo-ls --recurse --output=json`` says about the directory of an archive id."""
    numbers: dict[int, list[int]] = {}
    histories: dict[int, int] = {}
    newest: dict[int, int] = {}
    per_log = _FOUR_GIB // segment_size
    for name, entry in listing.items():
        match = _ARCHIVED.fullmatch(name)
        if match:
            timeline, number = int(match.group(1), 16), _number(match, per_log)
            numbers.setdefault(timeline, []).append(number)
            newest[timeline] = max(newest.get(timeline, 0), entry["time"])
            continue
        history = _HISTORY.fullmatch(name)
        if history:
            histories[int(history.group(1), 16)] = entry["time"]
    runs = tuple(run for timeline in sorted(numbers) for run in _runs(timeline, numbers[timeline]))
    twice = _twice(listing, numbers, per_log)
    return Archived(tuple(_without(runs, twice)), histories, newest, twice)


def merged(archived: Archived, names: t.Iterable[str], segment_size: int) -> Archived:
    """The archive together with these segments, which lie elsewhere. Other names are passed over."""
    numbers: dict[int, list[int]] = {}
    for timeline, number in _segments(names, segment_size):
        numbers.setdefault(timeline, []).append(number)
    added = [run for timeline in numbers for run in _runs(timeline, numbers[timeline])]
    joined: list[Run] = []
    for run in sorted((*archived.runs, *added), key=lambda run: (run.timeline, run.first)):
        last = joined[-1] if joined else None
        if last and last.timeline == run.timeline and run.first <= last.last + 1:
            joined[-1] = Run(last.timeline, last.first, max(last.last, run.last))
        else:
            joined.append(run)
    return replace(archived, runs=tuple(joined))


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


def _runs(timeline: int, numbers: list[int]) -> list[Run]:
    numbers.sort()
    result: list[Run] = []
    first = previous = numbers[0]
    for number in numbers:
        if number > previous + 1:
            result.append(Run(timeline, first, previous))
            first = number
        previous = number
    return [*result, Run(timeline, first, previous)]


def _without(runs: t.Iterable[Run], missing: t.Sequence[Segment]) -> t.Iterator[Run]:
    for run in runs:
        first = run.first
        for segment in missing:
            if segment.timeline == run.timeline and first <= segment.number <= run.last:
                if first < segment.number:
                    yield Run(run.timeline, first, segment.number - 1)
                first = segment.number + 1
        if first <= run.last:
            yield Run(run.timeline, first, run.last)


def _twice(listing: t.Iterable[str], numbers: t.Mapping[int, t.Sequence[int]], per_log: int) -> tuple[Segment, ...]:
    """Segments with more than one content; ``numbers`` are sorted."""
    repeated = {
        (timeline, number)
        for timeline, found in numbers.items()
        for number, following in zip(found, found[1:])
        if number == following
    }
    contents: dict[tuple[int, int], set[str]] = {}
    for match in (_ARCHIVED.fullmatch(name) for name in listing if repeated):
        key = (int(match.group(1), 16), _number(match, per_log)) if match else None
        if match and key in repeated:
            contents.setdefault(key, set()).add(match.group(4))
    return tuple(Segment(*key) for key in sorted(contents) if len(contents[key]) > 1)
