# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import time
import typing as t
from datetime import datetime

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils._schedule_status import (
    Facts,
    cron_facts,
    record,
    result_problems,
    systemd_facts,
)

UNIT = "pgbackrest-main-full"
TIMER = {
    "LoadState": "loaded",
    "ActiveState": "active",
    "SubState": "waiting",
    "UnitFileState": "enabled",
    "NextElapseUSecRealtime": "Sun 2026-11-29 02:00:00 UTC",
    "LastTriggerUSec": "Sun 2026-11-22 02:00:00 UTC",
}
SERVICE = {"LoadState": "loaded", "ActiveState": "inactive", "Result": "success", "ExecMainStatus": "0"}
DUE = 1795312800  # 2026-11-22 02:00 UTC
HEADER = {"stanza": "main", "type": "full", "repos": [], "schedule": ["0 2 * * 0"], "user": "postgres", "delay": 600}
SUCCESS = {"started": DUE + 1, "finished": DUE + 9, "finished_time": "at nine", "duration": 8}


def run(result: str, started: int = DUE + 1) -> dict[str, t.Any]:
    return {**SUCCESS, "started": started, "result": result, "message": "That is what happened."}


def test_a_healthy_timer() -> None:
    facts = systemd_facts(UNIT, TIMER, SERVICE, DUE - 1000)
    assert facts.problems == () and (facts.enabled, facts.active, facts.running) == (True, True, False)
    assert (facts.due, facts.next_run) == (DUE, DUE + 7 * 86400)


@pytest.mark.parametrize("written", [DUE - 30, DUE + 10])
def test_a_timer_that_was_just_made_is_not_due(written: int) -> None:
    assert systemd_facts(UNIT, TIMER, SERVICE, written).due is None


@pytest.mark.parametrize(
    ("timer", "service", "problem"),
    [
        ({"ActiveState": "inactive"}, {}, "pgbackrest-main-full.timer is not active, so no backup will be taken."),
        ({"UnitFileState": "disabled"}, {}, "pgbackrest-main-full.timer is not enabled"),
        ({"SubState": "elapsed", "NextElapseUSecRealtime": ""}, {}, "pgbackrest-main-full.timer will never be due"),
        ({"LoadState": "masked"}, {}, "systemd cannot use pgbackrest-main-full.timer: its state is masked."),
        ({}, {"LoadState": "bad-setting"}, "systemd cannot use pgbackrest-main-full.service: its state is bad-"),
        ({}, {"Result": "exit-code", "ExecMainStatus": "203"}, "pgbackrest-main-full.service did not get to its end"),
        ({}, {"Result": "oom-kill", "ExecMainStatus": "9"}, "pgbackrest-main-full.service did not get to its end: oom"),
    ],
)
def test_problems_of_units(timer: dict[str, str], service: dict[str, str], problem: str) -> None:
    found = systemd_facts(UNIT, {**TIMER, **timer}, {**SERVICE, **service}, 0).problems
    assert len(found) == 1 and found[0].startswith(problem)


def test_what_the_program_tells_itself_is_not_told_twice() -> None:
    service = {**SERVICE, "ActiveState": "failed", "Result": "exit-code", "ExecMainStatus": "1"}
    assert systemd_facts(UNIT, TIMER, service, 0).problems == ()


def test_while_it_runs_there_may_be_no_next_time() -> None:
    timer = {**TIMER, "SubState": "running", "NextElapseUSecRealtime": ""}
    facts = systemd_facts(UNIT, timer, {**SERVICE, "ActiveState": "activating"}, 0)
    assert facts.running and facts.problems == () and facts.next_run is None


def test_units_that_systemd_does_not_know() -> None:
    assert len(systemd_facts(UNIT, {}, {}, 0).problems) == 2


def test_cron_with_its_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    now = datetime(2026, 11, 22, 2, 5).timestamp()
    facts = cron_facts(HEADER, True, False, 0, now)
    assert (facts.next_run, facts.due) == (DUE + 600, DUE - 7 * 86400 + 600)
    later = cron_facts(HEADER, True, False, 0, now + 600)
    assert (later.next_run, later.due) == (DUE + 7 * 86400 + 600, DUE + 600)
    assert cron_facts(HEADER, True, False, now, now + 600).due is None
    monkeypatch.undo()
    time.tzset()


def test_no_cron_daemon() -> None:
    facts = cron_facts(HEADER, False, False, 0, DUE)
    assert not facts.active and facts.problems[0].startswith("No cron daemon runs on this host.")


def facts_with(due: int | None = DUE, running: bool = False) -> Facts:
    return Facts(True, True, running, None, due, (), "See the log.")


@pytest.mark.parametrize(
    ("state", "due", "problems"),
    [
        ({}, None, []),
        ({}, DUE, ["A backup was due at 2026-11-22 02:00:00+00:00, but none has run. It has never succeeded. See the"]),
        ({"last_run": run("success"), "last_success": SUCCESS}, DUE, []),
        ({"last_run": run("standby")}, DUE, []),
        (
            {"last_run": run("success", DUE - 86400), "last_success": SUCCESS},
            DUE,
            ["A backup was due at 2026-11-22 02:00:00+00:00, but none has run. The last success was at at nine."],
        ),
        (
            {"last_run": run("failure"), "last_success": SUCCESS},
            DUE,
            ["The last run, at at nine, failed. That is what happened. The last success was at at nine. See the log."],
        ),
        ({"last_run": run("failure")}, None, ["The last run, at at nine, failed. That is what happened. It has never"]),
        ({"last_run": run("failure", DUE - 86400)}, DUE, ["A backup was due at", "The last run, at"]),
    ],
)
def test_problems_of_results(state: dict[str, t.Any], due: int | None, problems: list[str]) -> None:
    found = result_problems(state, facts_with(due), DUE + 3600)
    assert len(found) == len(problems)
    for sentence, beginning in zip(found, problems, strict=True):
        assert sentence.startswith(beginning)


def test_it_may_take_a_moment_to_begin() -> None:
    assert result_problems({}, facts_with(), DUE + 60) == []


def test_a_running_backup_is_not_judged() -> None:
    assert record(HEADER, {}, facts_with(running=True), DUE + 3600)["problems"] == []
    assert len(record(HEADER, {}, facts_with(), DUE + 3600)["problems"]) == 1
