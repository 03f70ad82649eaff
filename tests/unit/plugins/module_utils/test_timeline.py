# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way of recovery along timelines."""

from __future__ import annotations

import doctest

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils import _timeline
from ansible_collections.pgops.pgbackrest.plugins.module_utils._archive import Archived, Run, merged
from ansible_collections.pgops.pgbackrest.plugins.module_utils._timeline import (
    Gap,
    Leg,
    TimelineError,
    complete,
    path,
    reachable,
)
from ansible_collections.pgops.pgbackrest.plugins.module_utils._wal import HistoryEntry, Segment
from hypothesis import given, settings, strategies as st

SIZE = 16 * 1024**2


def history(*forks: tuple[int, float]) -> list[HistoryEntry]:
    """Timelines with the place where each ended, in segments."""
    return [HistoryEntry(timeline, int(place * SIZE), "") for timeline, place in forks]


# 1 --3--> ...... 10.5 --> 2 -- 14.0 --> 3 -- 20.25 --> 5;  4 left 1 at 6.5
HISTORIES = {
    2: history((1, 10.5)),
    3: history((1, 10.5), (2, 14.0)),
    4: history((1, 6.5)),
    5: history((1, 10.5), (2, 14.0), (3, 20.25)),
}


def archived(*runs: tuple[int, int, int]) -> Archived:
    return Archived(tuple(sorted((Run(*run) for run in runs), key=lambda run: (run.timeline, run.first))))


def test_documented_examples_hold() -> None:
    assert doctest.testmod(_timeline).failed == 0


@pytest.mark.parametrize(
    ("start", "timeline", "expected"),
    [
        ((1, 3), 1, [Leg(1, 3, None)]),
        ((1, 3), 2, [Leg(1, 3, 10), Leg(2, 10, None)]),
        # 3 began at the very beginning of segment 14: the segment before is the last of 2
        ((1, 3), 3, [Leg(1, 3, 10), Leg(2, 10, 13), Leg(3, 14, None)]),
        ((1, 3), 5, [Leg(1, 3, 10), Leg(2, 10, 13), Leg(3, 14, 20), Leg(5, 20, None)]),
        ((1, 10), 2, [Leg(1, 10, 10), Leg(2, 10, None)]),
        ((2, 12), 5, [Leg(2, 12, 13), Leg(3, 14, 20), Leg(5, 20, None)]),
        ((1, 3), 4, [Leg(1, 3, 6), Leg(4, 6, None)]),
    ],
)
def test_legs(start: tuple[int, int], timeline: int, expected: list[Leg]) -> None:
    assert path(Segment(*start), timeline, HISTORIES, SIZE) == expected


@pytest.mark.parametrize(
    ("start", "timeline", "end", "sentence"),
    [
        ((1, 3), 9, None, "There is no timeline 9: its history file 00000009.history is missing."),
        ((2, 12), 4, None, "Timeline 4 does not come from timeline 2, which the backup is of."),
        ((2, 12), 1, None, "The backup is of timeline 2, which left timeline 1 at "),
        ((1, 7), 4, None, "Timeline 4 left timeline 1 at 0/6800000, before the backup's end."),
        ((1, 6), 4, 6.75, "Timeline 4 left timeline 1 at 0/6800000, before the backup's end at 0/6C00000."),
        ((2, 13), 3, 14.5, "Timeline 3 left timeline 2 at 0/E000000, before the backup's end at 0/E800000."),
    ],
)
def test_timelines_out_of_reach(start: tuple[int, int], timeline: int, end: float | None, sentence: str) -> None:
    with pytest.raises(TimelineError, match=sentence.replace(".", r"\.")):
        path(Segment(*start), timeline, HISTORIES, SIZE, None if end is None else int(end * SIZE))


def test_a_backup_that_ends_where_the_timeline_forks_still_leads_to_it() -> None:
    assert path(Segment(1, 6), 4, HISTORIES, SIZE, int(6.5 * SIZE)) == [Leg(1, 6, 6), Leg(4, 6, None)]


def test_one_history_file_tells_those_of_the_timelines_before() -> None:
    assert complete(5, HISTORIES[5]) == {number: HISTORIES[number] for number in (2, 3, 5)}


TWO = path(Segment(1, 3), 2, HISTORIES, SIZE)
THREE = path(Segment(1, 3), 3, HISTORIES, SIZE)


def gap(first: tuple[int, int], last: tuple[int, int]) -> Gap:
    return Gap(Segment(*first), Segment(*last))


@pytest.mark.parametrize(
    ("legs", "there", "expected"),
    [
        # one timeline
        ([Leg(1, 3, None)], [(1, 3, 9)], ([Run(1, 3, 9)], None)),
        ([Leg(1, 3, None)], [(1, 1, 9)], ([Run(1, 3, 9)], None)),
        ([Leg(1, 3, None)], [], ([], None)),
        ([Leg(1, 3, None)], [(1, 1, 2)], ([], None)),
        ([Leg(1, 3, None)], [(1, 5, 9)], ([], gap((1, 3), (1, 4)))),
        ([Leg(1, 3, None)], [(1, 3, 4), (1, 7, 9)], ([Run(1, 3, 4)], gap((1, 5), (1, 6)))),
        # the segment of the fork is on both, on the newer, on the older, on none
        (TWO, [(1, 3, 10), (2, 10, 12)], ([Run(1, 3, 9), Run(2, 10, 12)], None)),
        (TWO, [(1, 3, 12), (2, 10, 12)], ([Run(1, 3, 9), Run(2, 10, 12)], None)),
        (TWO, [(1, 3, 9), (2, 10, 12)], ([Run(1, 3, 9), Run(2, 10, 12)], None)),
        (TWO, [(1, 3, 10)], ([Run(1, 3, 9), Run(1, 10, 10)], None)),
        (TWO, [(1, 3, 9)], ([Run(1, 3, 9)], None)),
        # what the older one has after the fork is of no use
        (TWO, [(1, 3, 15)], ([Run(1, 3, 9), Run(1, 10, 10)], None)),
        (TWO, [(1, 3, 10), (2, 11, 12)], ([Run(1, 3, 9), Run(1, 10, 10)], gap((2, 10), (2, 10)))),
        (TWO, [(1, 3, 9), (2, 12, 12)], ([Run(1, 3, 9)], gap((2, 10), (2, 11)))),
        # gaps before the fork: what the older one has behind it does not matter
        (TWO, [(1, 3, 5), (1, 8, 10), (2, 10, 12)], ([Run(1, 3, 5)], gap((1, 6), (1, 7)))),
        (TWO, [(1, 3, 5), (2, 10, 12)], ([Run(1, 3, 5)], gap((1, 6), (1, 9)))),
        (TWO, [(1, 3, 5)], ([Run(1, 3, 5)], gap((1, 6), (1, 10)))),
        (TWO, [(1, 3, 5), (1, 10, 10)], ([Run(1, 3, 5)], gap((1, 6), (1, 9)))),
        # a fork at the beginning of a segment: there is nothing to share
        (THREE, [(1, 3, 9), (2, 10, 13), (3, 14, 15)], ([Run(1, 3, 9), Run(2, 10, 13), Run(3, 14, 15)], None)),
        (THREE, [(1, 3, 9), (2, 10, 14)], ([Run(1, 3, 9), Run(2, 10, 13)], None)),
        (THREE, [(1, 3, 9), (2, 10, 12), (3, 14, 15)], ([Run(1, 3, 9), Run(2, 10, 12)], gap((2, 13), (2, 13)))),
        (THREE, [(1, 3, 10), (3, 14, 15)], ([Run(1, 3, 9), Run(1, 10, 10)], gap((2, 10), (2, 13)))),
    ],
)
def test_what_recovery_finds(
    legs: list[Leg], there: list[tuple[int, int, int]], expected: tuple[list[Run], Gap | None]
) -> None:
    assert reachable(archived(*there), legs) == expected


def read_one_by_one(there: set[tuple[int, int]], legs: list[Leg]) -> tuple[list[tuple[int, int]], bool]:
    """What PostgreSQL reads, and whether something it needs or could go on with is missing: segment by segment."""
    read: list[tuple[int, int]] = []
    for number in range(legs[0].first, 40):
        on = [
            leg.timeline for leg in reversed(legs) if leg.first <= number and (leg.last is None or number <= leg.last)
        ]
        found = [timeline for timeline in on if (timeline, number) in there]
        if found:
            read.append((found[0], number))
        if not found or found[0] != on[0]:
            later = any(
                (leg.timeline, other) in there
                for leg in legs
                for other in range(max(number + 1, leg.first), 40 if leg.last is None else leg.last + 1)
            )
            return read, later or on[0] != legs[-1].timeline
    return read, False


@settings(max_examples=500)
@given(
    st.sets(st.tuples(st.integers(1, 3), st.integers(0, 16)), max_size=4),
    st.integers(0, 12),
    st.lists(st.integers(0, 60), min_size=2, max_size=2),
    st.integers(0, 20),
)
def test_as_postgresql_reads(missing: set[tuple[int, int]], start: int, places: list[int], length: int) -> None:
    """Forks anywhere, also in one segment and at its beginning; ``places`` are quarters of segments."""
    forks = sorted(max(place / 4, start + 0.25) for place in places)
    legs = path(Segment(1, start), 3, {3: history((1, forks[0]), (2, forks[1]))}, SIZE)
    all_there = {(timeline, number) for timeline in (1, 2, 3) for number in range(min(40, start + length))}
    there = all_there - missing
    found, hole = reachable(merged(Archived(), (Segment(*one).name() for one in there), SIZE), legs)
    read, incomplete = read_one_by_one(there, legs)
    assert [(run.timeline, number) for run in found for number in range(run.first, run.last + 1)] == read
    assert (hole is not None) == incomplete
    if hole:
        newest = max(number for timeline, number in read) if read else start - 1
        shared = read and read[-1][0] < hole.first.timeline
        assert hole.first.number == (newest if shared and newest == hole.first.number else newest + 1)
        assert hole.first.number <= hole.last.number
