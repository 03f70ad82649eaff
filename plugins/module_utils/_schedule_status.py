# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How scheduled backups are: facts in, problems as sentences out. Pure. Private to the collection."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from datetime import datetime

from ._repository import iso_time
from ._schedule_calendar import next_run, previous_run
from ._schedule_systemd import Unit, epoch

# systemd starts a timer's memory when it starts the timer; that is no run.
_YOUNG = 60
_GRACE = 120  # seconds from the moment at which it is due to the first trace of a run
_AGAIN = "Run the module pgops.pgbackrest.schedule again."


@dataclass(frozen=True)
class Facts:
    """What the scheduler does. ``due`` is the last moment at which a backup should have begun; times are epoch seconds.

    ``log`` says where to read more.
    """

    enabled: bool
    active: bool
    running: bool
    next_run: int | None
    due: int | None
    problems: tuple[str, ...]
    log: str


def systemd_facts(unit: str, timer: Unit, service: Unit, written: float) -> Facts:
    """From the properties of both units; ``written`` is when the timer's file was last changed."""
    enabled, active = timer.get("UnitFileState") == "enabled", timer.get("ActiveState") == "active"
    triggered = epoch(timer.get("LastTriggerUSec"))
    upcoming = epoch(timer.get("NextElapseUSecRealtime"))
    running = service.get("ActiveState") in ("activating", "active", "reloading", "deactivating")
    problems = [
        f"systemd cannot use {unit}.{kind}: its state is {properties.get('LoadState') or 'unknown'}. {_AGAIN}"
        for kind, properties in (("timer", timer), ("service", service))
        if properties.get("LoadState") != "loaded"
    ]
    if not problems:
        problems = _timer_problems(unit, enabled, active, timer.get("SubState") == "elapsed")
    return Facts(
        enabled=enabled,
        active=active,
        running=running,
        next_run=upcoming,
        due=triggered if triggered and triggered > written + _YOUNG else None,
        problems=(*problems, *([] if running else _service_problems(unit, service))),
        log=f"journalctl -u {unit}.service shows its output.",
    )


def _timer_problems(unit: str, enabled: bool, active: bool, elapsed: bool) -> list[str]:
    if not active:
        return [f"{unit}.timer is not active, so no backup will be taken. {_AGAIN}"]
    if not enabled:
        return [f"{unit}.timer is not enabled, so no backup will be taken after the next start of the host. {_AGAIN}"]
    if elapsed:
        return [f"{unit}.timer will never be due again. Correct its calendar."]
    return []


def _service_problems(unit: str, service: Unit) -> list[str]:
    result = service.get("Result", "success")
    if result in ("success", "exit-code") and service.get("ExecMainStatus") in (None, "0", "1"):
        return []  # what the program itself said stands in its result
    return [
        f"{unit}.service did not get to its end: {result}, exit status {service.get('ExecMainStatus')}. "
        f"journalctl -u {unit}.service says why."
    ]


def cron_facts(header: t.Mapping[str, t.Any], daemon: bool, running: bool, written: float, now: float) -> Facts:
    """From the line that says what the file schedules; ``written`` is when the file was last changed."""
    crons, delay = header["schedule"], header.get("delay", 0)
    local = datetime.fromtimestamp(now - delay)
    upcoming, last = next_run(crons, local), previous_run(crons, local)
    due = last.timestamp() if last else None
    return Facts(
        enabled=True,
        active=daemon,
        running=running,
        next_run=int(upcoming.timestamp()) + delay if upcoming else None,
        due=int(due) + delay if due and due > written else None,
        problems=() if daemon else ("No cron daemon runs on this host. Install, enable and start one.",),
        log="Output of cron's jobs goes to root's mail, pgBackRest's own to its log-path.",
    )


def record(header: t.Mapping[str, t.Any], state: t.Mapping[str, t.Any], facts: Facts, now: float) -> dict[str, t.Any]:
    """One schedule for the result of a module."""
    problems = list(facts.problems)
    if not facts.running:
        problems += result_problems(state, facts, now)
    return {
        "stanza": header["stanza"],
        "type": header["type"],
        "repos": header["repos"],
        "schedule": header["schedule"],
        "user": header.get("user"),
        "enabled": facts.enabled,
        "active": facts.active,
        "running": facts.running,
        "next_run": facts.next_run,
        "next_run_time": None if facts.next_run is None else iso_time(facts.next_run),
        **{key: state.get(key) for key in ("last_run", "last_success", "last_failure")},
        "repositories": state.get("repositories", {}),
        "problems": problems,
    }


def result_problems(state: t.Mapping[str, t.Any], facts: Facts, now: float) -> list[str]:
    """What is wrong with the results so far."""
    last, success = state.get("last_run"), state.get("last_success")
    since = f"The last success was at {success['finished_time']}." if success else "It has never succeeded."
    found = []
    if facts.due is not None and now > facts.due + _GRACE and (not last or last["started"] < facts.due - _GRACE):
        found.append(f"A backup was due at {iso_time(facts.due)}, but none has run. {since} {facts.log}")
    if last and last["result"] == "failure":
        found.append(f"The last run, at {last['finished_time']}, failed. {last['message']} {since} {facts.log}")
    return found
