# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether recovery can reach the target: the way it takes, and what is at its end. Pure. Private to the collection.

Order of use: ``find_route``, then whoever reads WAL looks at the segments of ``Route.names()``, then ``prove``.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ._archive import Archived, Run
from ._choice import Choice
from ._problem import Problem
from ._repository import Backup
from ._target import RecoveryTarget
from ._timeline import Gap, Histories, Leg
from ._wal import Segment
from ._waldump import End, Record


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
    raise NotImplementedError


def prove(route: Route, target: RecoveryTarget, seen: Seen, allow_unproven: bool) -> Proof:
    """Whether recovery along the route reaches the target."""
    raise NotImplementedError
