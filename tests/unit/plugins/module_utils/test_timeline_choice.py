# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which timeline a target lies on when nobody says it: picked when certain, asked otherwise."""

from __future__ import annotations

import typing as t
from datetime import UTC, datetime

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils._archive import Archived, Run
from ansible_collections.pgops.pgbackrest.plugins.module_utils._problem import Problem
from ansible_collections.pgops.pgbackrest.plugins.module_utils._repository import Backup
from ansible_collections.pgops.pgbackrest.plugins.module_utils._target import RecoveryTarget, parse_target
from ansible_collections.pgops.pgbackrest.plugins.module_utils._timeline import TimelineError
from ansible_collections.pgops.pgbackrest.plugins.module_utils._timeline_choice import (
    Picked,
    Timelines,
    choose_timeline,
    way,
)
from ansible_collections.pgops.pgbackrest.plugins.module_utils._wal import HistoryEntry, Segment, format_lsn

SIZE = 16 * 1024**2
START = 1_790_000_000  # the epoch of these tests; all times are seconds after it
HOUR = 3600


def backup(timeline: int = 1, first: int = 2, last: int = 2, ended: int = 0) -> Backup:
    """A backup from segment ``first`` to the middle of ``last``."""
    names = Segment(timeline, first).name(), Segment(timeline, last).name()
    lsns = format_lsn(first * SIZE + 40), format_lsn(last * SIZE + SIZE // 2)
    return Backup("1F", "full", None, 1, 1, START, START + ended, *lsns, *names, 100, 100, 10, 10, False)


def history(*forks: tuple[int, float]) -> list[HistoryEntry]:
    return [HistoryEntry(timeline, int(place * SIZE), "") for timeline, place in forks]


def timelines(
    runs: t.Sequence[tuple[int, int, int]],
    newest: dict[int, int],
    histories: dict[int, tuple[int, list[HistoryEntry]]] | None = None,
    own: int | None = None,
) -> Timelines:
    """``histories`` has when each timeline began and its entries."""
    known = histories or {}
    archived = Archived(
        tuple(Run(*run) for run in runs),
        {timeline: START + began for timeline, (began, _entries) in known.items()},
        {timeline: START + moment for timeline, moment in newest.items()},
    )
    return Timelines(archived, {timeline: entries for timeline, (_began, entries) in known.items()}, own, SIZE)


def target(kind: str, value: t.Any = None) -> RecoveryTarget:
    """A target; ``value`` is seconds for a time, segments for an LSN."""
    if kind == "time":
        return parse_target("time", datetime.fromtimestamp(START + value, UTC).isoformat(" "))
    return parse_target(kind, format_lsn(int(value * SIZE)) if kind == "lsn" else value)


def chosen(found: Picked | Problem) -> tuple[int, str | None] | str:
    """Timeline and what is written of it, or the code of the problem."""
    return found.code if isinstance(found, Problem) else (found.timeline, found.written)


# Timeline 1 lived for two hours, then the cluster was taken back to segment 5.5 and lives on as timeline 2.
SECOND = {2: (2 * HOUR, history((1, 5.5)))}
PITR = timelines([(1, 2, 10), (2, 5, 8)], {1: 2 * HOUR - 100, 2: 3 * HOUR}, SECOND)
FRESH_PITR = timelines([(1, 2, 10)], {1: 2 * HOUR - 100}, SECOND)
# Recovery to timeline 2 was given up, the old directory came back and lives on as timeline 1.
ROLLED_BACK = timelines([(1, 2, 14), (2, 5, 6)], {1: 3 * HOUR, 2: 2 * HOUR + 100}, SECOND)
JUST_ROLLED_BACK = timelines([(1, 2, 10), (2, 5, 6)], {1: 2 * HOUR - 100, 2: 2 * HOUR + 100}, SECOND, own=1)
# The standby was promoted; the old primary archived its last segment a little later.
FAILOVER = timelines([(1, 2, 10), (2, 10, 14)], {1: 2 * HOUR + 90, 2: 3 * HOUR}, {2: (2 * HOUR, history((1, 10.5)))})
ALONE = timelines([(1, 2, 10)], {1: 2 * HOUR})


def on(known: Timelines, own: int | None) -> Timelines:
    return Timelines(known.archived, known.histories, own, known.segment_size)


@pytest.mark.parametrize(
    ("known", "kind", "value", "expected"),
    [
        # one timeline: nothing to choose, nothing to write
        (ALONE, "default", None, (1, None)),
        (ALONE, "standby", None, (1, None)),
        (ALONE, "time", HOUR, (1, None)),
        (ALONE, "lsn", 5, (1, None)),
        (ALONE, "xid", "700", (1, None)),
        (ALONE, "name", "x", (1, None)),
        (on(ALONE, 1), "default", None, (1, None)),
        (on(ALONE, 2), "default", None, "timeline"),  # a timeline that never reached the archive
        (on(ALONE, 2), "standby", None, (1, None)),
        # the end of the WAL
        (PITR, "default", None, (2, "2")),
        (on(PITR, 2), "default", None, (2, "2")),
        (on(PITR, 1), "default", None, "timeline"),
        (PITR, "standby", None, (2, "latest")),
        (on(PITR, 1), "standby", None, (2, "latest")),  # an old primary that becomes a standby
        (FRESH_PITR, "default", None, (2, "2")),
        (on(FRESH_PITR, 2), "default", None, (2, "2")),
        (FAILOVER, "default", None, (2, "2")),
        (on(FAILOVER, 1), "default", None, "timeline"),
        (ROLLED_BACK, "default", None, "timeline"),
        (on(ROLLED_BACK, 1), "default", None, "timeline"),
        (JUST_ROLLED_BACK, "default", None, "timeline"),
        (ROLLED_BACK, "standby", None, "timeline"),
        # a time: who lived then
        (PITR, "time", HOUR, (1, "1")),
        (PITR, "time", 2 * HOUR - 120, (1, "1")),
        (PITR, "time", 2 * HOUR - 59, "timeline"),
        (PITR, "time", 2 * HOUR + 59, "timeline"),
        (PITR, "time", 2 * HOUR + 61, (2, "2")),
        (PITR, "time", 2.5 * HOUR, (2, "2")),
        (PITR, "time", 4 * HOUR, (2, "2")),
        (FRESH_PITR, "time", 2.5 * HOUR, (2, "2")),
        (FAILOVER, "time", HOUR, (1, "1")),
        (FAILOVER, "time", 2 * HOUR + 80, "timeline"),  # both wrote
        (FAILOVER, "time", 2 * HOUR + 120, (2, "2")),
        (ROLLED_BACK, "time", HOUR, (1, "1")),
        (ROLLED_BACK, "time", 2 * HOUR + 80, "timeline"),
        (ROLLED_BACK, "time", 2.5 * HOUR, (1, "1")),
        (JUST_ROLLED_BACK, "time", 2.5 * HOUR, (1, "1")),
        # an LSN: who has it
        (PITR, "lsn", 5.25, (1, "1")),
        (PITR, "lsn", 5.75, "timeline"),
        (PITR, "lsn", 7, "timeline"),
        (PITR, "lsn", 9, (1, "1")),
        (FAILOVER, "lsn", 12, (2, "2")),
        (FAILOVER, "lsn", 10.75, "timeline"),
        (FAILOVER, "lsn", 20, (2, "2")),  # nobody has it; the proof will say so
        (FRESH_PITR, "lsn", 7, (1, "1")),
        # nothing tells where transactions and restore points are
        (PITR, "xid", "700", "timeline"),
        (PITR, "name", "x", "timeline"),
    ],
)
def test_which_timeline(known: Timelines, kind: str, value: t.Any, expected: tuple[int, str | None] | str) -> None:
    assert chosen(choose_timeline(backup(), target(kind, value), known)) == expected


@pytest.mark.parametrize(
    ("known", "kind", "value", "expected"),
    [
        # the backup ended after timeline 2 left timeline 1: only its own can be reached
        (PITR, "xid", "700", (1, "1")),
        (PITR, "lsn", 9, (1, "1")),
        (ROLLED_BACK, "default", None, (1, "1")),
        (on(ROLLED_BACK, 1), "default", None, (1, "1")),
        (on(ROLLED_BACK, 2), "default", None, "timeline"),
        (ROLLED_BACK, "standby", None, (1, "current")),
        # the living one is out of reach: an older backup leads there
        (PITR, "default", None, (2, "2")),
        (PITR, "time", 2.5 * HOUR, (2, "2")),
    ],
)
def test_a_backup_from_after_the_fork(
    known: Timelines, kind: str, value: t.Any, expected: tuple[int, str | None] | str
) -> None:
    late = backup(1, 8, 8)
    found = choose_timeline(late, target(kind, value), known)
    assert chosen(found) == expected
    if isinstance(found, Picked) and found.timeline == 2:
        with pytest.raises(TimelineError, match="before the backup's end"):
            way(late, 2, known)


@pytest.mark.parametrize("kind", ["default", "time", "xid", "lsn", "standby"])
def test_a_backup_of_the_newest_timeline_has_no_choice(kind: str) -> None:
    value = {"time": 3 * HOUR - 60, "xid": "700", "lsn": 8}.get(kind)
    newest = backup(2, 7, 7, ended=int(2.5 * HOUR))
    assert chosen(choose_timeline(newest, target(kind, value), PITR)) == (2, None)
    unread = Timelines(PITR.archived, {}, None, SIZE)  # the history of the backup's own timeline tells no more
    assert chosen(choose_timeline(newest, target(kind, value), unread)) == (2, None)


# After recovery to timeline 2 a backup of it was taken, the epoch of which is START. Then it was given up: the old
# directory came back, and timeline 1 lives on.
GIVEN_UP = timelines([(1, 2, 14), (2, 5, 8)], {1: 4 * HOUR, 2: 2 * HOUR}, {2: (-HOUR, history((1, 5.5)))})
# The same, and timeline 1 has not archived anything since.
JUST_GIVEN_UP = timelines([(1, 2, 10), (2, 5, 8)], {1: -2 * HOUR, 2: 2 * HOUR}, {2: (-HOUR, history((1, 5.5)))}, own=1)
# Timeline 2 was not given up: what timeline 1 has beyond the fork is from before.
FOLLOWED = on(JUST_GIVEN_UP, 2)
THIRD = {2: (-2 * HOUR, history((1, 5.5))), 3: (-HOUR, history((1, 5.5), (2, 6.5)))}
BACK_ON_TWO = timelines([(1, 2, 10), (2, 5, 12), (3, 6, 8)], {1: -3 * HOUR, 2: 4 * HOUR, 3: 2 * HOUR}, THIRD)


@pytest.mark.parametrize(
    ("known", "kind", "value", "expected"),
    [
        (GIVEN_UP, "time", HOUR, "timeline"),  # both wrote then
        (GIVEN_UP, "time", 3 * HOUR, (1, "1")),
        (on(GIVEN_UP, 1), "time", HOUR, "timeline"),
        (on(GIVEN_UP, 1), "time", 3 * HOUR, (1, "1")),
        (GIVEN_UP, "time", 5 * HOUR, (1, "1")),  # nobody wrote after that; the proof will say so
        (JUST_GIVEN_UP, "time", HOUR, "timeline"),
        (JUST_GIVEN_UP, "time", 3 * HOUR, (1, "1")),
        (FOLLOWED, "time", HOUR, (2, None)),
        (FOLLOWED, "time", 3 * HOUR, (2, None)),
        (on(FOLLOWED, None), "time", 3 * HOUR, (2, None)),
        (GIVEN_UP, "lsn", 8, "timeline"),
        (GIVEN_UP, "lsn", 12, (1, "1")),
        (JUST_GIVEN_UP, "lsn", 8, "timeline"),
        (JUST_GIVEN_UP, "lsn", 10, (1, "1")),
        (FOLLOWED, "lsn", 8, (2, None)),
        (GIVEN_UP, "xid", "700", "timeline"),
        (JUST_GIVEN_UP, "name", "x", "timeline"),
        (FOLLOWED, "xid", "700", (2, None)),
        (GIVEN_UP, "default", None, "timeline"),
        (JUST_GIVEN_UP, "default", None, "timeline"),
        (FOLLOWED, "default", None, (2, None)),
    ],
)
def test_the_backup_is_of_a_timeline_that_was_given_up(
    known: Timelines, kind: str, value: t.Any, expected: tuple[int, str | None] | str
) -> None:
    late = backup(2, 7, 7)
    assert chosen(choose_timeline(late, target(kind, value), known)) == expected
    if kind in ("time", "lsn") and expected == (1, "1"):
        with pytest.raises(TimelineError, match="backup is of timeline 2, which left timeline 1 at 0/5800000"):
            way(late, 1, known)
        assert chosen(choose_timeline(backup(), target(kind, value), known)) == expected  # and this one leads there


def test_only_the_ancestor_that_lives_on_is_asked_for() -> None:
    late = backup(3, 7, 7)
    assert chosen(choose_timeline(late, target("time", 3 * HOUR), BACK_ON_TWO)) == (2, "2")
    assert chosen(choose_timeline(late, target("lsn", 11), BACK_ON_TWO)) == (2, "2")
    asked = choose_timeline(late, target("xid", "700"), BACK_ON_TWO)
    assert isinstance(asked, Problem)
    assert asked.sentence.startswith("The xid 700 can be on timeline 3 and on timeline 2. The target can lie on each")


def test_an_ancestor_that_ended_at_the_fork_is_no_candidate() -> None:
    """Its last segment may be archived late."""
    ended = timelines([(1, 2, 4), (2, 5, 8)], {1: 4 * HOUR, 2: 2 * HOUR}, {2: (-HOUR, history((1, 5.5)))})
    assert chosen(choose_timeline(backup(2, 7, 7), target("xid", "700"), ended)) == (2, None)
    unread = Timelines(GIVEN_UP.archived, {}, None, SIZE)  # nobody knows where the fork is: ask
    assert chosen(choose_timeline(backup(2, 7, 7), target("xid", "700"), unread)) == "timeline"


def test_postgresql_calls_the_last_of_consecutive_timelines_the_latest() -> None:
    third = {**SECOND, 4: (3 * HOUR, history((1, 5.5), (2, 7.5)))}
    skipped = timelines([(1, 2, 10), (2, 5, 8), (4, 7, 9)], {1: HOUR, 2: 2 * HOUR, 4: 4 * HOUR}, third)
    found = choose_timeline(backup(), target("default"), skipped)
    assert isinstance(found, Problem)
    assert found.sentence.startswith(
        "Timeline 2 is what PostgreSQL takes for the latest, but timeline 4 has newer WAL."
    )


def test_the_question_says_what_each_timeline_is() -> None:
    found = choose_timeline(backup(), target("default"), on(ROLLED_BACK, 1))
    assert isinstance(found, Problem)
    assert found.sentence == (
        "Timeline 2 is what PostgreSQL takes for the latest, but timeline 1 has newer WAL. The target can lie on "
        "each of these: timeline 1 (newest WAL archived 2026-09-21 17:13:20+00:00, the one of the present data "
        "directory); timeline 2 (left timeline 1 at 0/5800000, began about 2026-09-21 16:13:20+00:00, newest WAL "
        "archived 2026-09-21 16:15:00+00:00)."
    )
    assert found.hint == (
        "Say in target_timeline which one you mean: a number, current for timeline 1 of the backup, or latest for "
        "timeline 2."
    )


def test_a_choice_has_its_reason() -> None:
    reasons = {
        kind: choose_timeline(backup(), target(kind, value), PITR)
        for kind, value in (("default", None), ("time", HOUR), ("lsn", 5.25))
    }
    assert {kind: found.reason for kind, found in reasons.items() if isinstance(found, Picked)} == {
        "default": "it is the newest, and no other has newer WAL",
        "time": "it was in use at the target time: timeline 2 began 2026-09-21 16:13:20+00:00",
        "lsn": "every other began after this LSN",
    }
