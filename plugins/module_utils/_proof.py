# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether recovery can reach the target: the way it takes, and what is at its end. Pure. Private to the collection.

Order of use: ``find_route``, then whoever reads WAL looks at the segments of ``Route.names()``, then ``prove``.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ._archive import Archived, Run, merged
from ._choice import Choice
from ._directory import Directory
from ._problem import Problem
from ._repository import Backup, iso_time
from ._target import RecoveryTarget
from ._timeline import Gap, Histories, Leg, TimelineError, latest_timeline, reachable
from ._timeline_choice import Picked, Timelines, choose_timeline, way
from ._wal import Segment, format_lsn, parse_lsn, parse_segment, timeline_of
from ._waldump import End, Record

_IN_RECOVERY = ("in archive recovery", "shut down in recovery")


@dataclass(frozen=True)
class Route:
    """The way from a backup along the timelines, and the segments that are there on it, in order.

    ``archived`` is what the repository holds alone, ``reason`` says why this timeline when nobody asked for it.
    ``written`` is the timeline that the recovery settings must name; None when it is clear without.
    """

    backup: Backup
    timeline: int
    legs: list[Leg]
    runs: list[Run]
    gap: Gap | None
    archived: Archived
    segment_size: int
    reason: str | None = None
    written: str | None = None

    def names(self, newest_first: bool = False) -> t.Iterator[str]:
        """Names of the segments that recovery finds."""
        for run in reversed(self.runs) if newest_first else self.runs:
            numbers = range(run.first, run.last + 1)
            for number in reversed(numbers) if newest_first else numbers:
                yield Segment(run.timeline, number).name(self.segment_size)


@dataclass(frozen=True)
class Seen:
    """What was read in the WAL on the route.

    ``end`` is None when nothing could be read, ``unread`` then says why. ``found`` is the record of an xid or name.
    """

    end: End | None = None
    found: Record | None = None
    unread: str | None = None


@dataclass(frozen=True)
class Proof:
    """Whether the target can be reached: it can when there are no problems."""

    route: Route
    window: dict[str, t.Any]
    wal: dict[str, t.Any]
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def own_timeline(directory: Directory, system_id: int) -> int | None:
    """The timeline that the cluster in the data directory has written on.

    None for another cluster, and for one that has written nothing of its own: restored and not started yet, in
    recovery, or a standby.
    """
    control = directory.control
    if control is None or control.system_identifier != system_id or control.state in _IN_RECOVERY:
        return None
    return None if directory.backup_label or directory.unfinished else control.timeline


def find_route(
    choice: Choice,
    target: RecoveryTarget,
    archived: Archived,
    local: t.Collection[str],
    histories: Histories,
    own_timeline: int | None,
    segment_size: int,
) -> Route | Problem:
    """The way from the newest backup of the choice that leads to the target's timeline, or why there is none.

    ``local`` are names of segments that this host has; ``own_timeline`` is that of the present data directory, None
    when it holds another cluster, none, or a restored one that was not started yet.
    """
    timelines = Timelines(merged(archived, local, segment_size), histories, own_timeline, segment_size)
    errors = []
    for backup in filter(None, [choice.backup, *choice.older]):
        picked = _timeline_of_target(backup, target, timelines)
        if isinstance(picked, Problem):
            return picked
        try:
            legs = way(backup, picked.timeline, timelines)
        except TimelineError as error:
            errors.append(
                f"{error} Timeline {picked.timeline} was taken because {picked.reason}."
                if picked.reason
                else str(error)
            )
            continue
        return _route(backup, target, picked, legs, archived, timelines)
    return Problem("timeline", errors[0] if errors else "There is no backup.", _unreachable_hint(choice))


def prove(route: Route, target: RecoveryTarget, seen: Seen, allow_unproven: bool) -> Proof:
    """Whether recovery along the route reaches the target."""
    problem = _own_wal_problem(route) or _CHECKS.get(target.type, _to_end)(route, target, seen)
    warnings = []
    if problem and problem.code == "not_proven" and allow_unproven:
        warnings, problem = [problem.sentence], None
    window = _window(route, seen)
    return Proof(route, window, _wal(route, target, seen), [problem] if problem else [], warnings)


def _timeline_of_target(backup: Backup, target: RecoveryTarget, timelines: Timelines) -> Picked | Problem:
    own = timeline_of(backup.wal_start) or 1
    if target.type == "immediate" or target.timeline == "current":
        return Picked(own)
    if target.timeline == "latest":
        return Picked(latest_timeline(own, timelines.histories))
    if target.timeline:
        return Picked(int(target.timeline))
    return choose_timeline(backup, target, timelines)


def _route(
    backup: Backup,
    target: RecoveryTarget,
    picked: Picked,
    legs: list[Leg],
    archived: Archived,
    timelines: Timelines,
) -> Route:
    runs, gap = reachable(timelines.archived, legs)
    if target.type == "immediate":
        end = parse_segment(backup.wal_stop or "", timelines.segment_size).number
        runs = [Run(run.timeline, run.first, min(run.last, end)) for run in runs if run.first <= end]
        gap = gap if gap and gap.first.number <= end else None
    return Route(
        backup, picked.timeline, legs, runs, gap, archived, timelines.segment_size, picked.reason, picked.written
    )


def _unreachable_hint(choice: Choice) -> str:
    if choice.older:
        return "No older backup of this repository leads there either. Check target_timeline."
    return "Check target_timeline, and set: a backup from before the timelines parted leads to both."


def _own_wal_problem(route: Route) -> Problem | None:
    """The WAL from the backup's beginning to its end: without it the cluster never becomes consistent."""
    backup, size = route.backup, route.segment_size
    end = parse_segment(backup.wal_stop or backup.wal_start or "", size)
    if route.runs and route.runs[-1].last >= end.number:
        return None
    first = route.gap.first if route.gap else Segment(end.timeline, _next_number(route))
    sentence = (
        f"Backup set {backup.label} needs WAL {backup.wal_start} to {backup.wal_stop}, and neither repository "
        f"{backup.repo_key} nor this host has {first.name(size)}{_twice(route, first)}."
    )
    return Problem("wal_missing", sentence, "Choose another set or repository.")


def _to_end(route: Route, target: RecoveryTarget, seen: Seen) -> Problem | None:
    if route.gap is None:
        return None
    return _gap_problem(route, route.gap, seen, "PostgreSQL would end recovery there and say nothing.")


def _to_consistency(route: Route, target: RecoveryTarget, seen: Seen) -> Problem | None:
    return None  # the backup's own WAL is all it needs


def _to_time(route: Route, target: RecoveryTarget, seen: Seen) -> Problem | None:
    """PostgreSQL stops at a time only when it reads a transaction that ended later."""
    last = seen.end.time if seen.end else None
    if last is None and (seen.unread or seen.end is None):
        return _unproven(route, target, seen, "the WAL has no readable record")
    if last and target.moment and (last > target.moment or (target.exclusive and last == target.moment)):
        return None
    # Chosen among several, this timeline may not be the one that the newest state is on.
    same = f"the state at the end of timeline {route.timeline}" if route.reason else "the newest state"
    return _beyond(route, target, seen, f"nothing was committed after that, so {same} is the same")


def _to_lsn(route: Route, target: RecoveryTarget, seen: Seen) -> Problem | None:
    lsn = parse_lsn(target.value or "")
    if seen.end and seen.end.lsn is not None:
        return None if seen.end.lsn >= lsn else _beyond(route, target, seen, "no record begins there or later")
    if lsn < route.runs[-1].last * route.segment_size:
        return None  # a whole segment follows
    if lsn >= (route.runs[-1].last + 1) * route.segment_size:
        return _beyond(route, target, seen, "no record begins there or later")
    return _unproven(route, target, seen, "the newest WAL has no readable record")


def _to_record(route: Route, target: RecoveryTarget, seen: Seen) -> Problem | None:
    """A transaction or a restore point."""
    backup = route.backup
    if seen.found is None and seen.unread:
        return _unproven(route, target, seen, "")
    thing = f"restore point {target.value}" if target.type == "name" else f"end of transaction {target.value}"
    if seen.found is None:
        if route.gap:
            return _gap_problem(route, route.gap, seen, f"The {thing} is not in the WAL before.")
        sentence = f"The {thing} is not in the WAL after backup set {backup.label} on timeline {route.timeline}."
        hint = f"Check the {target.type}, set and target_timeline. {_window_text(route, seen)}"
        return Problem("not_found", sentence, hint)
    if backup.lsn_stop and seen.found.lsn < parse_lsn(backup.lsn_stop):
        sentence = (
            f"The {thing} is at {format_lsn(seen.found.lsn)}, before the end of backup set {backup.label} at "
            f"{backup.lsn_stop}."
        )
        return Problem("target_too_early", sentence, "Name in set a backup that ended before it.")
    return None


_CHECKS: dict[str, t.Callable[[Route, RecoveryTarget, Seen], Problem | None]] = {
    "immediate": _to_consistency,
    "time": _to_time,
    "lsn": _to_lsn,
    "xid": _to_record,
    "name": _to_record,
}


def _beyond(route: Route, target: RecoveryTarget, seen: Seen, why: str) -> Problem:
    if route.gap:
        return _gap_problem(
            route, route.gap, seen, f"The target {target.type} {target.value} is not in the WAL before."
        )
    sentence = (
        f"The target {target.type} {target.value} is after the end of the WAL on timeline {route.timeline}: {why}. "
        f"{_window_text(route, seen)}"
    )
    timeline = f" and say {route.timeline} in target_timeline" if route.reason else ""
    hint = (
        f"Choose a target in between, or leave type: {target.type} and its target away{timeline} to go to the end. If "
        "the target is right, look whether it lies on another timeline (target_timeline), or whether WAL was not "
        "archived."
    )
    return Problem("target_after_last_commit", sentence, hint)


def _gap_problem(route: Route, gap: Gap, seen: Seen, why: str) -> Problem:
    size, key = route.segment_size, route.backup.repo_key
    names = gap.first.name(size), gap.last.name(size)
    missing = f"WAL {names[0]} is" if names[0] == names[1] else f"WAL {names[0]} to {names[1]} is"
    sentence = (
        f"{missing} missing in repository {key} and on this host{_twice(route, gap.first)}, and later WAL is there. "
        f"{why} {_window_text(route, seen)}"
    )
    hint = (
        "Take a target before the gap, a backup from after it, or another repository. If the segment still exists "
        "somewhere, in pg_wal of a standby for instance, put it into the directory rescued of the workspace."
    )
    return Problem("wal_gap", sentence, hint)


def _unproven(route: Route, target: RecoveryTarget, seen: Seen, why: str) -> Problem:
    reason = (seen.unread or why).rstrip(".")
    sentence = f"It could not be proven that the WAL reaches the target {target.type} {target.value}: {reason}."
    hint = (
        "Set allow_unproven: true to restore all the same: recovery then fails at the end if the target is not there."
    )
    return Problem("not_proven", sentence, hint)


def _window(route: Route, seen: Seen) -> dict[str, t.Any]:
    end = seen.end
    return {
        "earliest_time": iso_time(route.backup.stop),
        "earliest_lsn": route.backup.lsn_stop,
        "latest_time": str(end.time) if end and end.time else None,
        "latest_lsn": format_lsn(end.lsn) if end and end.lsn is not None else None,
        "timeline": route.timeline,
    }


def _window_text(route: Route, seen: Seen) -> str:
    window = _window(route, seen)
    last = window["latest_time"] or window["latest_lsn"]
    start = f"From backup set {route.backup.label} recovery can reach {window['earliest_time']}"
    return f"{start} to {last}." if last else f"{start} and later, up to {_last_name(route)}."


def _wal(route: Route, target: RecoveryTarget, seen: Seen) -> dict[str, t.Any]:
    """The WAL that is replayed: to the target if its place is known, otherwise to the end."""
    place = parse_lsn(target.value or "") if target.type == "lsn" else seen.found.lsn if seen.found else None
    stop = place // route.segment_size if place is not None else None
    runs = [
        Run(run.timeline, run.first, run.last if stop is None else min(run.last, stop))
        for run in route.runs
        if stop is None or run.first <= stop
    ]
    if not runs:
        return {"first": None, "last": None, "segments": 0, "bytes": 0, "from_local": 0}
    segments = sum(run.last - run.first + 1 for run in runs)
    return {
        "first": Segment(runs[0].timeline, runs[0].first).name(route.segment_size),
        "last": Segment(runs[-1].timeline, runs[-1].last).name(route.segment_size),
        "segments": segments,
        "bytes": segments * route.segment_size,
        "from_local": segments - sum(_archived_part(run, route.archived) for run in runs),
    }


def _archived_part(run: Run, archived: Archived) -> int:
    """How many segments of a run the repository has."""
    return sum(
        max(0, min(run.last, other.last) - max(run.first, other.first) + 1)
        for other in archived.runs
        if other.timeline == run.timeline
    )


def _next_number(route: Route) -> int:
    return route.runs[-1].last + 1 if route.runs else route.legs[0].first


def _last_name(route: Route) -> str:
    run = route.runs[-1] if route.runs else None
    return f"WAL {Segment(run.timeline, run.last).name(route.segment_size)}" if run else "its end"


def _twice(route: Route, segment: Segment) -> str:
    return " (it is there twice with different content)" if segment in route.archived.twice else ""
