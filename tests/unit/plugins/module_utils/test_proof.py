# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a target can be reached: the way from the backup, gaps, the end of the WAL."""

from __future__ import annotations

import typing as t
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils._archive import Archived, Run
from ansible_collections.pgops.pgbackrest.plugins.module_utils._choice import Choice
from ansible_collections.pgops.pgbackrest.plugins.module_utils._cluster import ControlData
from ansible_collections.pgops.pgbackrest.plugins.module_utils._directory import BackupLabel, Directory, Unfinished
from ansible_collections.pgops.pgbackrest.plugins.module_utils._problem import Problem
from ansible_collections.pgops.pgbackrest.plugins.module_utils._proof import (
    Proof,
    Route,
    Seen,
    find_route,
    own_timeline,
    prove,
)
from ansible_collections.pgops.pgbackrest.plugins.module_utils._repository import Backup
from ansible_collections.pgops.pgbackrest.plugins.module_utils._target import RecoveryTarget, parse_target
from ansible_collections.pgops.pgbackrest.plugins.module_utils._wal import HistoryEntry, Segment, format_lsn
from ansible_collections.pgops.pgbackrest.plugins.module_utils._waldump import End, Record

SIZE = 16 * 1024**2
STOP = datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC)  # when the backup ended
EPOCH = int(STOP.timestamp())
HISTORIES = {2: [HistoryEntry(1, int(5.5 * SIZE), "")]}


def backup(label: str = "1F", timeline: int = 1, first: int = 2, last: int = 2) -> Backup:
    """A backup from segment ``first`` to the middle of ``last``."""
    names = Segment(timeline, first).name(), Segment(timeline, last).name()
    lsns = format_lsn(first * SIZE + 40), format_lsn(last * SIZE + SIZE // 2)
    return Backup(label, "full", None, 1, 1, EPOCH, EPOCH, *lsns, *names, 100, 100, 10, 10, False)


def archived(*runs: tuple[int, int, int], **changes: t.Any) -> Archived:
    newest = {timeline: EPOCH + 1000 + timeline for timeline, _first, _last in runs}
    return replace(Archived(tuple(Run(*run) for run in runs), {}, newest), **changes)


def route_of(
    there: Archived,
    target: RecoveryTarget | None = None,
    local: t.Sequence[str] = (),
    choice: Choice | None = None,
    own: int | None = None,
) -> Route | Problem:
    known = HISTORIES if there.histories else {}
    return find_route(choice or Choice(backup()), target or RecoveryTarget(), there, local, known, own, SIZE)


def proof_of(target: RecoveryTarget, there: Archived, seen: Seen, allow: bool = False, **changes: t.Any) -> Proof:
    route = route_of(there, target, **changes)
    assert isinstance(route, Route), route
    return prove(route, target, seen, allow)


def codes(proof: Proof) -> list[str]:
    return [problem.code for problem in proof.problems]


def at(seconds: float) -> datetime:
    return STOP + timedelta(seconds=seconds)


def time_target(seconds: float, exclusive: bool = False) -> RecoveryTarget:
    return parse_target("time", at(seconds).isoformat(" "), exclusive=exclusive)


def lsn_target(place: float) -> RecoveryTarget:
    return parse_target("lsn", format_lsn(int(place * SIZE)))


WHOLE = archived((1, 1, 9))
HOLED = archived((1, 1, 4), (1, 7, 9))
END = End(at(100), int(9.5 * SIZE), int(9.4 * SIZE))
EARLY_END = End(at(40), int(4.5 * SIZE), int(4.4 * SIZE))  # before the hole
NO_COMMIT = End(None, int(9.5 * SIZE), None)


def found(place: float) -> Seen:
    return Seen(END, Record("Transaction", 700, int(place * SIZE), "COMMIT"))


UNREAD = Seen(unread="pg_waldump of PostgreSQL 15 is not on this host.")
XID, NAME = parse_target("xid", "700"), parse_target("name", "x")
DEFAULT, IMMEDIATE, STANDBY = parse_target("default"), parse_target("immediate"), parse_target("standby")


@pytest.mark.parametrize(
    ("target", "there", "seen", "expected"),
    [
        (DEFAULT, WHOLE, Seen(END), []),
        (DEFAULT, WHOLE, UNREAD, []),  # the listing tells enough
        (DEFAULT, HOLED, Seen(EARLY_END), ["wal_gap"]),
        (DEFAULT, HOLED, UNREAD, ["wal_gap"]),
        (STANDBY, WHOLE, UNREAD, []),
        (STANDBY, HOLED, UNREAD, ["wal_gap"]),
        (IMMEDIATE, WHOLE, UNREAD, []),
        (IMMEDIATE, HOLED, UNREAD, []),
        (IMMEDIATE, archived((1, 3, 9)), UNREAD, ["wal_missing"]),
        (DEFAULT, archived((1, 3, 9)), Seen(), ["wal_missing"]),
        (DEFAULT, archived(), Seen(), ["wal_missing"]),
        (time_target(50), archived((1, 3, 9)), Seen(), ["wal_missing"]),
        # PostgreSQL stops at a time only when a transaction ended after it
        (time_target(50), WHOLE, Seen(END), []),
        (time_target(99.999999), WHOLE, Seen(END), []),
        (time_target(100), WHOLE, Seen(END), ["target_after_last_commit"]),
        (time_target(100, exclusive=True), WHOLE, Seen(END), []),
        (time_target(101, exclusive=True), WHOLE, Seen(END), ["target_after_last_commit"]),
        (time_target(30), HOLED, Seen(EARLY_END), []),
        (time_target(50), HOLED, Seen(EARLY_END), ["wal_gap"]),
        (time_target(50), WHOLE, UNREAD, ["not_proven"]),
        (time_target(50), WHOLE, Seen(), ["not_proven"]),
        (time_target(50), WHOLE, Seen(NO_COMMIT), ["target_after_last_commit"]),
        (time_target(50), WHOLE, Seen(NO_COMMIT, unread="Only a part was read."), ["not_proven"]),
        # an LSN needs a record that begins there or later
        (lsn_target(5), WHOLE, Seen(END), []),
        (lsn_target(9.5), WHOLE, Seen(END), []),
        (lsn_target(9.6), WHOLE, Seen(END), ["target_after_last_commit"]),
        (lsn_target(8.9), WHOLE, UNREAD, []),  # a whole segment follows
        (lsn_target(9.1), WHOLE, UNREAD, ["not_proven"]),
        (lsn_target(10), WHOLE, UNREAD, ["target_after_last_commit"]),
        (lsn_target(4.2), HOLED, Seen(EARLY_END), []),
        (lsn_target(6), HOLED, Seen(EARLY_END), ["wal_gap"]),
        (lsn_target(8), HOLED, UNREAD, ["wal_gap"]),
        # transactions and restore points
        (XID, WHOLE, found(5), []),
        (XID, WHOLE, found(2.25), ["target_too_early"]),
        (XID, WHOLE, Seen(END), ["not_found"]),
        (XID, WHOLE, UNREAD, ["not_proven"]),
        (XID, HOLED, Seen(EARLY_END), ["wal_gap"]),
        (XID, HOLED, found(4), []),
        (NAME, WHOLE, found(5), []),
        (NAME, WHOLE, Seen(END), ["not_found"]),
    ],
)
def test_what_can_be_reached(target: RecoveryTarget, there: Archived, seen: Seen, expected: list[str]) -> None:
    proof = proof_of(target, there, seen)
    assert codes(proof) == expected
    assert all(problem.sentence.endswith(".") and problem.hint for problem in proof.problems)
    lenient = proof_of(target, there, seen, allow=True)
    assert codes(lenient) == [code for code in expected if code != "not_proven"]
    assert len(lenient.warnings) == expected.count("not_proven")


def test_local_wal_fills_gaps_and_is_counted() -> None:
    local = [Segment(1, number).name() for number in (5, 6, 10)]
    proof = proof_of(DEFAULT, HOLED, Seen(END), local=local)
    assert not proof.problems
    assert proof.wal == {
        "first": "000000010000000000000002",
        "last": "00000001000000000000000A",
        "segments": 9,
        "bytes": 9 * SIZE,
        "from_local": 3,
    }


def test_wal_is_counted_to_the_place_of_the_target() -> None:
    def counted(target: RecoveryTarget, seen: Seen) -> tuple[t.Any, ...]:
        wal = proof_of(target, archived((1, 1, 9), (2, 5, 7), histories={2: EPOCH}), seen).wal
        return wal["first"][6:8], wal["last"][6:8] + wal["last"][-2:], wal["segments"]

    old, new = replace(XID, timeline="1"), replace(XID, timeline="2")
    assert counted(old, found(4)) == ("01", "0104", 3)
    assert counted(new, found(6.5)) == ("01", "0206", 5)
    assert counted(new, Seen(END)) == ("01", "0207", 6)
    assert counted(replace(lsn_target(5.5), timeline="2"), Seen(END)) == ("01", "0205", 4)
    assert counted(IMMEDIATE, Seen(END)) == ("01", "0102", 1)


def test_the_window_is_told() -> None:
    window = proof_of(time_target(50), WHOLE, Seen(END)).window
    assert window == {
        "earliest_time": "2026-09-21 14:13:20+00:00",
        "earliest_lsn": "0/2800000",
        "latest_time": "2026-09-21 14:15:00+00:00",
        "latest_lsn": "0/9800000",
        "timeline": 1,
    }
    unknown = proof_of(DEFAULT, WHOLE, UNREAD).window
    assert (unknown["latest_time"], unknown["latest_lsn"]) == (None, None)


def text_of(proof: Proof) -> str:
    return proof.problems[0].text()


def test_messages_say_what_is_wrong_and_what_to_do() -> None:
    late = time_target(200)
    assert text_of(proof_of(late, WHOLE, Seen(END))) == (
        "The target time 2026-09-21 14:16:40+00:00 is after the end of the WAL on timeline 1: nothing was committed "
        "after that, so the newest state is the same. From backup set 1F recovery can reach 2026-09-21 14:13:20+00:00 "
        "to 2026-09-21 14:15:00+00:00. Choose a target in between, or leave type: time and its target away to go to "
        "the end. If the target is right, look whether it lies on another timeline (target_timeline), or whether WAL "
        "was not archived."
    )
    route = route_of(WHOLE, late)
    assert isinstance(route, Route)
    one_of_two = text_of(prove(replace(route, reason="it was in use then"), late, Seen(END), False))
    assert "so the state at the end of timeline 1 is the same." in one_of_two
    assert "its target away and say 1 in target_timeline to go to the end." in one_of_two
    assert text_of(proof_of(DEFAULT, HOLED, Seen(EARLY_END))).startswith(
        "WAL 000000010000000000000005 to 000000010000000000000006 is missing in repository 1 and on this host, and "
        "later WAL is there. PostgreSQL would end recovery there and say nothing. From backup set 1F recovery can "
        "reach 2026-09-21 14:13:20+00:00 to 2026-09-21 14:14:00+00:00. Take a target before the gap"
    )
    one = proof_of(DEFAULT, archived((1, 1, 4), (1, 6, 9), twice=(Segment(1, 5),)), UNREAD)
    assert text_of(one).startswith(
        "WAL 000000010000000000000005 is missing in repository 1 and on this host (it is there twice with different "
        "content), and later WAL is there. PostgreSQL would end recovery there and say nothing. From backup set 1F "
        "recovery can reach 2026-09-21 14:13:20+00:00 and later, up to WAL 000000010000000000000004."
    )
    assert text_of(proof_of(DEFAULT, archived((1, 3, 9)), Seen())) == (
        "Backup set 1F needs WAL 000000010000000000000002 to 000000010000000000000002, and neither repository 1 nor "
        "this host has 000000010000000000000002. Choose another set or repository."
    )
    assert text_of(proof_of(time_target(50), WHOLE, UNREAD)).startswith(
        "It could not be proven that the WAL reaches the target time 2026-09-21 14:14:10+00:00: pg_waldump of "
        "PostgreSQL 15 is not on this host. Set allow_unproven: true"
    )
    assert text_of(proof_of(XID, WHOLE, found(2.25))).startswith(
        "The end of transaction 700 is at 0/2400000, before the end of backup set 1F at 0/2800000."
    )
    assert text_of(proof_of(NAME, WHOLE, Seen(END))).startswith(
        "The restore point x is not in the WAL after backup set 1F on timeline 1. Check the name, set and "
    )


# ---- the way


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 3),
        ({"control": None}, None),
        ({"control": ControlData(6, "15", "in production", 0, 0, 3)}, None),
        ({"control": ControlData(7, "15", "shut down", 0, 0, 3)}, 3),
        ({"control": ControlData(7, "15", "in archive recovery", 0, 0, 3)}, None),
        ({"control": ControlData(7, "15", "shut down in recovery", 0, 0, 3)}, None),
        ({"backup_label": BackupLabel("0/2000028", "000000010000000000000002")}, None),
        ({"unfinished": Unfinished("1F", 7)}, None),
    ],
)
def test_only_a_cluster_that_wrote_has_a_timeline_of_its_own(changes: dict[str, t.Any], expected: int | None) -> None:
    control = ControlData(7, "15", "in production", 0, 0, 3)
    assert own_timeline(replace(Directory("/srv/pg", "cluster", control=control), **changes), 7) == expected


FORKED = archived((1, 1, 9), (2, 5, 7), histories={2: EPOCH + 500})
LATE, EARLY = backup("2F", first=8, last=8), backup("1F")


@pytest.mark.parametrize(
    ("timeline", "expected"),
    [
        ("current", ("2F", 1, None)),
        ("1", ("2F", 1, None)),
        # timeline 2 began before the newest backup: the older one leads to it
        ("2", ("1F", 2, None)),
        ("latest", ("1F", 2, None)),
        (None, ("1F", 2, "2")),
    ],
)
def test_the_newest_backup_that_leads_to_the_timeline_is_taken(timeline: str | None, expected: tuple[t.Any]) -> None:
    choice = Choice(LATE, older=[EARLY])
    route = route_of(FORKED, parse_target("default", timeline=timeline), choice=choice)
    assert isinstance(route, Route)
    assert (route.backup.label, route.timeline, route.written) == expected


def test_a_timeline_that_no_backup_leads_to() -> None:
    for choice in (Choice(LATE), Choice(LATE, older=[backup("3F", first=7, last=7)])):
        problem = route_of(FORKED, parse_target("default", timeline="2"), choice=choice)
        assert isinstance(problem, Problem)
        assert problem.code == "timeline"
        assert problem.sentence == "Timeline 2 left timeline 1 at 0/5800000, before the backup's end at 0/8800000."
    missing = route_of(FORKED, parse_target("default", timeline="7"))
    assert isinstance(missing, Problem)
    assert "There is no timeline 7" in missing.sentence
    picked = route_of(FORKED, DEFAULT, choice=Choice(LATE))
    assert isinstance(picked, Problem)
    assert "Timeline 2 was taken because it is the newest, and no other has newer WAL." in picked.sentence


def test_a_question_is_passed_on() -> None:
    problem = route_of(FORKED, parse_target("xid", "700"))
    assert isinstance(problem, Problem)
    assert problem.code == "timeline"
    assert "can be on timeline 1 and on timeline 2" in problem.sentence
    assert isinstance(route_of(FORKED, IMMEDIATE), Route)  # the end of the backup is on its own timeline


def test_names_of_segments_come_in_the_order_of_reading() -> None:
    route = route_of(FORKED, parse_target("default", timeline="2"))
    assert isinstance(route, Route)
    names = [f"{name[:8]}{name[-2:]}" for name in route.names()]
    assert names == [
        "0000000102",
        "0000000103",
        "0000000104",
        "0000000205",
        "0000000206",
        "0000000207",
    ]
    assert list(route.names(newest_first=True)) == list(reversed(list(route.names())))
