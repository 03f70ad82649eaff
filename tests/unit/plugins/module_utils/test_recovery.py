# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Outcomes of a recovery and the comparison with its target."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils import _recovery as recovery
from ansible_collections.pgops.pgbackrest.plugins.module_utils._recovery import Observation
from ansible_collections.pgops.pgbackrest.plugins.module_utils._target import parse_target
from ansible_collections.pgops.pgbackrest.plugins.module_utils._wal import parse_lsn
from hypothesis import given, strategies as st

NOON = "2026-05-01 12:00:00+00:00"


@pytest.mark.parametrize(
    ("seen", "outcome"),
    [
        (Observation(alive=False), "exited"),
        (Observation(alive=True), "recovering"),
        (Observation(alive=True, control="in production", status="ready   "), "recovering"),
        (Observation(alive=True, connected=True), "recovering"),
        (Observation(alive=True, connected=True, paused=True), "paused"),
        (Observation(alive=True, connected=True, paused=True, standby=True), "paused"),
        (Observation(alive=True, connected=True, standby=True), "following"),
        (Observation(alive=True, connected=True, in_recovery=False), "promoted"),
        (Observation(alive=True, standby=True, status="standby "), "following"),
        (Observation(alive=True, standby=True, status="starting"), "recovering"),
    ],
)
def test_outcome(seen: Observation, outcome: str) -> None:
    assert recovery.outcome(seen) == outcome


@pytest.mark.parametrize(
    ("wanted", "found", "promote", "step"),
    [
        ("promoted", "promoted", False, "done"),
        ("promoted", "recovering", False, "wait"),
        ("promoted", "paused", False, "fail"),
        ("promoted", "paused", True, "promote"),
        ("promoted", "following", False, "fail"),
        ("promoted", "following", True, "promote"),
        ("promoted", "exited", True, "fail"),
        ("paused", "paused", False, "done"),
        ("paused", "following", False, "wait"),
        ("paused", "promoted", False, "fail"),
        ("following", "following", False, "done"),
        ("following", "recovering", False, "wait"),
        ("following", "paused", True, "fail"),
        ("following", "promoted", False, "fail"),
        ("following", "exited", False, "fail"),
    ],
)
def test_decide(wanted: str, found: str, promote: bool, step: str) -> None:
    assert recovery.decide(wanted, found, promote) == step


@pytest.mark.parametrize(
    ("kind", "value", "exclusive", "reason", "reached"),
    [
        ("time", NOON, False, "before 2026-05-01 12:00:01+00", True),
        ("time", NOON, False, "before 2026-05-01 14:00:00.5+02", True),
        ("time", NOON, False, "before 2026-05-01 12:00:00+00", False),
        ("time", NOON, True, "before 2026-05-01 12:00:00+00", True),
        ("time", NOON, False, "before 2026-05-01 11:59:59+00", False),
        ("time", NOON, False, "before 2000-01-01 00:00:00+00", False),
        ("time", NOON, False, "before 1999-12-31 19:00:00-05", False),
        ("time", NOON, False, "no recovery target specified", False),
        ("time", NOON, False, "before LSN 0/3000028", False),
        ("lsn", "0/3000028", False, "after LSN 0/3000028", True),
        ("lsn", "0/3000028", False, "after LSN 0/3000060", True),
        ("lsn", "0/3000028", False, "after LSN 0/3000020", False),
        ("lsn", "0/3000028", False, "before LSN 0/0", False),
        ("xid", "726", False, "after transaction 726", True),
        ("xid", "726", True, "before transaction 726", True),
        ("xid", "726", False, "before transaction 726", False),
        ("xid", "726", False, "after transaction 0", False),
        ("name", "rp1", False, 'at restore point "rp1"', True),
        ("name", "rp1", False, 'at restore point "rp2"', False),
        ("name", "rp1", False, 'at restore point ""', False),
        ("immediate", None, False, "reached consistency", True),
        ("immediate", None, False, "no recovery target specified", False),
        ("default", None, False, "no recovery target specified", True),
        ("default", None, False, "reached consistency", False),
    ],
)
def test_stop_points_are_compared(kind: str, value: str | None, exclusive: bool, reason: str, reached: bool) -> None:
    verdict = recovery.judge(parse_target(kind, value, exclusive=exclusive), recovery.stop_from_history(reason))
    assert verdict.reached is reached
    assert verdict.text.endswith(".")


@pytest.mark.parametrize(
    ("ended", "reached"), [("0/39FFFFFF", False), ("0/3C0000D8", False), ("0/3C000110", True), ("1/0", True)]
)
def test_the_end_of_the_wal_lies_behind_all_that_was_known_of_it(ended: str, reached: bool) -> None:
    verdict = recovery.judge_end(parse_lsn(ended), parse_lsn("0/3C0000D8"), 9)
    assert (verdict is None) is reached
    if verdict:
        assert verdict.reached is False
        assert f"ended at {ended}" in verdict.text
        assert "target_timeline: 9" in verdict.text


def test_a_commit_after_the_target_betrays_a_wrong_stop_point() -> None:
    stop = recovery.stop_from_history("before 2026-05-01 13:00:00+00")
    late = datetime(2026, 5, 1, 12, 30, tzinfo=UTC)
    verdict = recovery.judge(parse_target("time", NOON), stop, late)
    assert verdict.reached is False
    assert "A commit of 2026-05-01 12:30:00+00:00 was replayed" in verdict.text
    assert recovery.judge(parse_target("time", NOON), stop, late.replace(hour=11)).reached is True


@pytest.mark.parametrize("target", [None, parse_target("none"), parse_target("time", NOON)])
def test_without_target_or_stop_point_nobody_can_tell(target: recovery.RecoveryTarget | None) -> None:
    assert recovery.judge(target, None).reached is None


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("time", NOON, "recovery stopping before commit of transaction 739, time 2026-05-01 12:00:01.5+00"),
        ("xid", "739", "recovery stopping after commit of transaction 739, time 2026-05-01 12:00:01.5+00"),
        ("xid", "739", "recovery stopping after abort of transaction 739, time 2026-05-01 12:00:01.5+00"),
        ("lsn", "0/28", 'recovery stopping after WAL location (LSN) "0/30"'),
        ("name", "a b", 'recovery stopping at restore point "a b", time 2026-05-01 12:00:01.5+00'),
        ("immediate", None, "recovery stopping after reaching consistency"),
    ],
)
def test_stop_points_in_the_log(kind: str, value: str | None, text: str) -> None:
    lines = ["LOG:  redo starts at 0/28", f"2026-05-01 12:00:02 UTC [7] LOG:  {text}", "LOG:  pausing at the end"]
    assert recovery.judge(parse_target(kind, value), recovery.stop_from_log(lines)).reached is True


LOG = """\
LOG:  starting PostgreSQL 15.18
LOG:  database system was shut down at 2026-05-01 11:00:00 UTC
FATAL:  an older trouble
LOG:  starting PostgreSQL 15.18
LOG:  listening on Unix socket "/tmp/.s.PGSQL.1"
LOG:  database system was interrupted; last known up at 2026-05-01 11:30:00 UTC
FATAL:  the database system is starting up
LOG:  restored log file "000000010000000000000003" from archive
STATEMENT:  ALTER ROLE a PASSWORD 'geheim'
LOG:  connecting with password=geheim host=a
FATAL:  recovery ended before configured recovery target was reached
LOG:  startup process (PID 9) exited with exit code 1""".splitlines()


def test_the_log_is_cut_to_the_last_start_and_masked() -> None:
    lines = recovery.since_last_start(LOG)
    assert lines[0] == LOG[3]
    shown = recovery.telling(lines)
    assert "LOG:  connecting with password=******** host=a" in shown
    assert not any(word in line for line in shown for word in ("geheim", "restored log", "is starting up"))
    assert recovery.last_words(lines) == "recovery ended before configured recovery target was reached"


def test_old_logs_name_no_version_at_the_start() -> None:
    lines = ["LOG:  database system was shut down", "LOG:  a", "LOG:  database system was interrupted", "LOG:  b"]
    assert recovery.since_last_start(lines) == lines[2:]
    assert recovery.since_last_start(lines[1:2]) == lines[1:2]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (LOG, "Choose an earlier target"),
        (["LOG:  shutdown at recovery target"], "recovery_target_action=shutdown"),
        (["FATAL:  could not access file"], "PostgreSQL ended: could not access file."),
        (["LOG:  received fast shutdown request"], "was stopped"),
        ([], "PostgreSQL is not running. Its pg_control says: shut down in recovery."),
    ],
)
def test_why_a_server_is_gone(lines: list[str], words: str) -> None:
    assert words in recovery.why_exited(Observation(alive=False, control="shut down in recovery"), lines)


def test_a_full_disk_is_told_before_the_advice() -> None:
    lines = ["FATAL:  could not locate required checkpoint record"]
    told = recovery.why_exited(Observation(alive=False), lines, " /data has 0 B free, less than a WAL segment.")
    assert told.startswith(
        "PostgreSQL ended: could not locate required checkpoint record. /data has 0 B free, less than a WAL segment. "
        "Look at its log"
    )


def test_only_what_a_restore_left_is_cleaned() -> None:
    settings = {
        "restore_command": 'pgbackrest --stanza=main archive-get %f "%p"',
        "recovery_target_time": NOON,
        "primary_conninfo": "host=a",
        "archive_mode": "off",
    }
    assert sorted(recovery.left_behind(settings)) == ["recovery_target_time", "restore_command"]
    assert recovery.left_behind({"restore_command": "cp /archive/%f %p"}) == {}


def test_progress_knows_percent_only_with_an_lsn() -> None:
    seen = Observation(alive=True, replay_lsn=150, last_commit=datetime(2026, 5, 1, tzinfo=UTC))
    text = "replayed to 0/96 (2026-05-01 00:00:00+00:00)"
    assert recovery.replay_progress(100, seen, None) == (None, 50, None, text)
    assert recovery.replay_progress(100, seen, parse_target("lsn", "0/C8")) == (50.0, 50, 100, text)
    assert recovery.replay_progress(100, Observation(alive=True), None)[1:3] == (0, None)


@given(st.text(max_size=200))
def test_any_text_is_no_stop_point_or_one(text: str) -> None:
    lines = text.splitlines()
    recovery.telling(recovery.since_last_start(lines))
    assert recovery.stop_from_log(lines) is None or "recovery stopping" in text
