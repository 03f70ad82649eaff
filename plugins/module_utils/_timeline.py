# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which WAL segments recovery reads on its way from a backup to a timeline. Pure. Private to the collection.

As PostgreSQL reads them (XLogFileReadAnyTLI in src/backend/access/transam/xlogrecovery.c): the segment in which a
timeline forked is looked for on the newer one first, then on the older one.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ._archive import Archived, Run
from ._wal import HistoryEntry, Segment, format_lsn

Histories = t.Mapping[int, t.Sequence[HistoryEntry]]


class TimelineError(Exception):
    """A timeline cannot be reached; the text is a sentence."""


@dataclass(frozen=True)
class Leg:
    """The part of the way on one timeline, by segment numbers. The last leg has no end (None)."""

    timeline: int
    first: int
    last: int | None


@dataclass(frozen=True)
class Gap:
    """Segments that are missing although later ones are there, or needed to reach the timeline."""

    first: Segment
    last: Segment


def path(
    start: Segment, timeline: int, histories: Histories, segment_size: int, end_lsn: int | None = None
) -> list[Leg]:
    """The way from the segment where a backup begins to ``timeline``. Raises TimelineError.

    ``end_lsn`` is where the backup ends: a timeline that forked before cannot be reached from it. Where a timeline
    forked inside a segment, two legs share that segment.
    """
    legs, first = [], start.number
    for fork in forks(start.timeline, timeline, histories):
        if fork.lsn < (start.number * segment_size if end_lsn is None else end_lsn):
            raise TimelineError(
                f"Timeline {timeline} left timeline {fork.timeline} at {format_lsn(fork.lsn)}, before the backup's end"
                + (f" at {format_lsn(end_lsn)}." if end_lsn is not None else ".")
            )
        last = (fork.lsn - 1) // segment_size
        if last >= first:
            legs.append(Leg(fork.timeline, first, last))
        first = max(first, fork.lsn // segment_size)
    return [*legs, Leg(timeline, first, None)]


def forks(own: int, timeline: int, histories: Histories) -> list[HistoryEntry]:
    """Where the way from timeline ``own`` to ``timeline`` forks, oldest first. Raises TimelineError."""
    if timeline == own:
        return []
    left = next((entry for entry in histories.get(own, ()) if entry.timeline == timeline), None)
    if left is not None:
        place = format_lsn(left.lsn)
        raise TimelineError(f"The backup is of timeline {own}, which left timeline {timeline} at {place}.")
    entries = histories.get(timeline)
    if entries is None:
        raise TimelineError(f"There is no timeline {timeline}: its history file {timeline:08X}.history is missing.")
    position = next((index for index, entry in enumerate(entries) if entry.timeline == own), None)
    if position is None:
        raise TimelineError(f"Timeline {timeline} does not come from timeline {own}, which the backup is of.")
    return list(entries[position:])


def complete(timeline: int, entries: t.Sequence[HistoryEntry]) -> dict[int, list[HistoryEntry]]:
    """The histories that one history file tells: that of its timeline, and those of all timelines it came from."""
    result = {entry.timeline: list(entries[:index]) for index, entry in enumerate(entries) if index}
    return {**result, timeline: list(entries)}


def latest_timeline(own: int, known: t.Container[int]) -> int:
    """The timeline that PostgreSQL calls ``latest``: history files are looked for one after the other.

    >>> latest_timeline(1, {2, 3, 5})
    3
    """
    while own + 1 in known:
        own += 1
    return own


def reachable(archived: Archived, legs: t.Sequence[Leg]) -> tuple[list[Run], Gap | None]:
    """The segments that recovery finds on its way, in order, up to the end or the first gap, and that gap."""
    found: list[Run] = []
    for index, leg in enumerate(legs):
        # The segment that the next leg shares is read from there.
        last = legs[index + 1].first - 1 if index + 1 < len(legs) else None
        if last is not None and last < leg.first:
            continue
        run = archived.run_at(leg.timeline, leg.first)
        if run is None:
            found += _from_older(archived, legs[:index], leg.first)
            return found, _gap(archived, legs[index:], leg.first)
        end = run.last if last is None else min(run.last, last)
        found.append(Run(leg.timeline, leg.first, end))
        if end != last:
            return found, _gap(archived, legs[index:], end + 1)
    return found, None


def _from_older(archived: Archived, older: t.Sequence[Leg], number: int) -> list[Run]:
    """The shared segment from an older timeline. Nothing after it fits to it, so recovery ends in it."""
    for leg in reversed(older):
        if leg.last is not None and leg.first <= number <= leg.last and archived.run_at(leg.timeline, number):
            return [Run(leg.timeline, number, number)]
    return []


def _gap(archived: Archived, legs: t.Sequence[Leg], number: int) -> Gap | None:
    """The gap that begins with segment ``number`` of the first of these legs; None when nothing comes after it."""
    first = Segment(legs[0].timeline, number)
    for leg in legs:
        later = archived.next_number(leg.timeline, max(leg.first, number + 1))
        if later is not None and (leg.last is None or later <= leg.last):
            return Gap(first, Segment(max(leg_.timeline for leg_ in legs if leg_.first < later), later - 1))
    if legs[0].last is None:
        return None
    return Gap(first, Segment(legs[0].timeline, max(legs[0].last, number)))
