# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which timeline a target lies on when nobody says it. Pure. Private to the collection.

PostgreSQL follows the newest timeline and says nothing about it. After a recovery to an earlier moment that loses what
came later (pgbackrest#2327), and after a restore that was given up it brings back what nobody wants. Here a timeline is
taken when the facts leave one, otherwise somebody is asked.

The newest backup may be of a timeline that was given up: then the timeline that it came from lives on beyond the fork,
and an older backup leads there.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ._archive import Archived
from ._problem import Problem
from ._repository import Backup, iso_time
from ._target import RecoveryTarget
from ._timeline import Histories, Leg, TimelineError, latest_timeline, path
from ._wal import format_lsn, parse_lsn, parse_segment

_NEAR = 60  # seconds: clocks of different hosts, and the time that archiving a history file takes
_SHOWN = 6


@dataclass(frozen=True)
class Picked:
    """A timeline. ``reason`` is None when there is no other; ``written`` is what the recovery settings must say."""

    timeline: int
    reason: str | None = None
    written: str | None = None


@dataclass(frozen=True)
class Timelines:
    """What is known about the timelines of a cluster. ``own`` is that of the present data directory, if any."""

    archived: Archived
    histories: Histories
    own: int | None
    segment_size: int

    def known(self) -> set[int]:
        """All timelines that have a history file or a segment."""
        return {*self.archived.histories, *self.histories, *(run.timeline for run in self.archived.runs)}

    def ancestors(self, timeline: int) -> set[int]:
        """The timelines that this one came from; all older ones when nothing tells."""
        if timeline not in self.histories:
            return set(range(1, timeline))
        return {entry.timeline for entry in self.histories[timeline]}

    def reaches(self, backup: Backup, timeline: int) -> bool:
        """Whether recovery can get from the backup to the timeline, if the WAL is there."""
        try:
            way(backup, timeline, self)
        except TimelineError:
            return False
        return True

    def lives_on(self, ancestor: int, backup: Backup, own: int) -> bool:
        """Whether an ancestor of the backup's timeline ``own`` was gone back to after the backup.

        The present directory is on it, or it archived WAL from beyond its fork when the backup had ended.
        """
        if ancestor == self.own:
            return True
        forks = [entry.lsn for entry in self.histories.get(own, ()) if entry.timeline == ancestor]
        first = forks[0] // self.segment_size if forks else 0
        beyond = any(run.timeline == ancestor and run.last >= first for run in self.archived.runs)
        return beyond and self.archived.newest.get(ancestor, 0) > backup.stop

    def last_sign(self, timeline: int) -> int:
        """When this timeline last archived something, in epoch seconds; 0 when it never did."""
        archived = self.archived
        return max(archived.newest.get(timeline, 0), archived.histories.get(timeline, 0))


def way(backup: Backup, timeline: int, timelines: Timelines) -> list[Leg]:
    """The legs from a backup to a timeline. Raises TimelineError."""
    size = timelines.segment_size
    start = parse_segment(backup.wal_start or "", size)
    end = parse_lsn(backup.lsn_stop) if backup.lsn_stop else None
    return path(start, timeline, timelines.histories, size, end)


def choose_timeline(backup: Backup, target: RecoveryTarget, timelines: Timelines) -> Picked | Problem:
    """The timeline of a target that names none, or the question which one is meant.

    What it picks may be out of the backup's reach: then an older backup leads to it.
    """
    size = timelines.segment_size
    own = parse_segment(backup.wal_start or "", size).timeline
    others = timelines.known() - {own} - timelines.ancestors(own)
    if target.type not in ("default", "standby"):  # the end of the WAL is judged by all timelines anyway
        others |= {one for one in timelines.ancestors(own) if timelines.lives_on(one, backup, own)}
    chooser = {"default": _newest, "standby": _newest, "time": _live_at, "lsn": _holding}.get(target.type, _only)
    found = chooser(backup, own, others, target, timelines)
    if isinstance(found, str):
        return _question(found, own, others, target, timelines)
    timeline, reason = found
    if not others:
        return Picked(timeline)
    if target.type == "standby":  # it must follow later changes of the timeline, so it gets no number
        newest = latest_timeline(own, timelines.histories)
        return Picked(timeline, reason, "latest" if timeline == newest else "current")
    return Picked(timeline, reason, str(timeline))


_Found = t.Union[str, t.Tuple[int, str]]


def _newest(backup: Backup, own: int, others: set[int], target: RecoveryTarget, timelines: Timelines) -> _Found:
    """The end of the WAL: on the timeline that PostgreSQL calls latest, if it is the living one."""
    latest = latest_timeline(own, timelines.histories)
    signs = {timeline: timelines.last_sign(timeline) for timeline in timelines.known() | {own}}
    living = max(signs, key=lambda timeline: (signs[timeline], timeline))
    # A standby follows its primary, wherever the directory that it replaces was.
    if target.type != "standby" and timelines.own not in (None, living):
        return (
            f"The archive has its newest WAL on timeline {living}, the data directory is on timeline {timelines.own}."
        )
    if living == latest:
        return latest, "it is the newest, and no other has newer WAL"
    if living == own and not timelines.reaches(backup, latest):
        return own, f"it has the newest WAL, and timeline {latest} left it before the backup ended"
    return f"Timeline {latest} is what PostgreSQL takes for the latest, but timeline {living} has newer WAL."


def _live_at(backup: Backup, own: int, others: set[int], target: RecoveryTarget, timelines: Timelines) -> _Found:
    """The timeline that was written to at the target time, by the times when history files and WAL were archived."""
    moment = target.moment.timestamp() if target.moment else 0.0
    begun = {timeline: timelines.archived.histories.get(timeline, 0) for timeline in others}
    near = [timeline for timeline in sorted(begun) if abs(begun[timeline] - moment) < _NEAR]
    if near:
        return f"Timeline {near[0]} began within a minute of the target time, at {iso_time(begun[near[0]])}."
    there = {own, *(timeline for timeline in others if begun[timeline] <= moment)}
    living = [
        timeline
        for timeline in sorted(there)
        if timelines.archived.newest.get(timeline, 0) >= moment or timeline == timelines.own
    ]
    if len(living) > 1:
        return f"Timelines {_listed(living)} were both written to after the target time."
    timeline = living[0] if living else max(there, key=lambda one: (timelines.last_sign(one), one))
    later = [one for one in sorted(begun) if begun[one] > moment]
    if later:
        return timeline, f"it was in use at the target time: timeline {later[0]} began {iso_time(begun[later[0]])}"
    return timeline, "it was in use at the target time"


def _holding(backup: Backup, own: int, others: set[int], target: RecoveryTarget, timelines: Timelines) -> _Found:
    """The timeline whose WAL has this LSN."""
    lsn = parse_lsn(target.value or "")
    number = lsn // timelines.segment_size
    begins = {one: timelines.histories[one][-1].lsn if timelines.histories.get(one) else 0 for one in others}
    holders = [
        one for one in sorted({own, *others}) if begins.get(one, 0) <= lsn and timelines.archived.run_at(one, number)
    ]
    if len(holders) > 1:
        return f"The WAL of timelines {_listed(holders)} has this LSN, with different content."
    if not holders:
        return latest_timeline(own, timelines.histories), "it is the newest"
    if all(begins[one] > lsn for one in others):
        return own, "every other began after this LSN"
    return holders[0], "no other has WAL with this LSN"


def _only(backup: Backup, own: int, others: set[int], target: RecoveryTarget, timelines: Timelines) -> _Found:
    """Transaction IDs and restore points: nothing outside of the WAL tells where they are."""
    ancestors = timelines.ancestors(own)
    possible = [one for one in sorted(others) if one in ancestors or timelines.reaches(backup, one)]
    if possible:
        return f"The {target.type} {target.value} can be on timeline {own} and on timeline {_listed(possible)}."
    return own, "no other can be reached from this backup"


def _question(why: str, own: int, others: set[int], target: RecoveryTarget, timelines: Timelines) -> Problem:
    shown = sorted({own, *others, *({timelines.own} if timelines.own else ())})[-_SHOWN:]
    texts = "; ".join(_described(timeline, timelines) for timeline in shown)
    hint = (
        f"Say in target_timeline which one you mean: a number, current for timeline {own} of the backup, or latest for "
        f"timeline {latest_timeline(own, timelines.histories)}."
    )
    return Problem("timeline", f"{why} The target can lie on each of these: {texts}.", hint)


def _described(timeline: int, timelines: Timelines) -> str:
    entries, archived = timelines.histories.get(timeline), timelines.archived
    parts = []
    if entries:
        parts.append(f"left timeline {entries[-1].timeline} at {format_lsn(entries[-1].lsn)}")
    if timeline in archived.histories:
        parts.append(f"began about {iso_time(archived.histories[timeline])}")
    newest = archived.newest.get(timeline)
    parts.append(f"newest WAL archived {iso_time(newest)}" if newest else "no WAL archived")
    if timeline == timelines.own:
        parts.append("the one of the present data directory")
    return f"timeline {timeline} ({', '.join(parts)})"


def _listed(numbers: t.Sequence[int]) -> str:
    return " and ".join(str(number) for number in numbers)
