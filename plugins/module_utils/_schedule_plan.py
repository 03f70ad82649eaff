# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What must be done so that exactly the wanted backups are scheduled, and doing it. Private to the collection."""

from __future__ import annotations

import os
import typing as t
from dataclasses import dataclass, field

from ._config_place import Refused
from ._schedule import How, Job
from ._schedule_files import (
    Change,
    file_changes,
    find,
    forget_timer,
    refuse_foreign,
    state_changes,
    wanted_files,
    write,
    write_state,
)
from ._schedule_systemd import SYSTEMD_DIRECTORY, Unit, calendar_problems, order, runs, show

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


@dataclass
class Plan:
    """All that must be done. ``stop``, ``start`` and ``restart`` are timers, ``failed`` services to forget."""

    files: list[Change]
    states: list[Change]
    stop: list[str] = field(default_factory=list)
    start: dict[str, Unit] = field(default_factory=dict)
    restart: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    reload: bool = False

    def diff(self) -> list[dict[str, str]]:
        """For Ansible's diff mode."""
        result = [change.diff() for change in [*self.files, *self.states]]
        for timer, unit in self.start.items():
            before = (
                f"enabled: {unit.get('UnitFileState') == 'enabled'}\nactive: {unit.get('ActiveState') == 'active'}\n"
            )
            after = "enabled: True\nactive: True\n"
            result.append({"before": before, "after": after, "before_header": timer, "after_header": timer})
        return result

    def changed(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.files or self.states or self.stop or self.start or self.restart or self.reload)


def plan(module: AnsibleModule, wanted_jobs: list[Job], how: How, scheduler: str) -> Plan:
    """What is different from what is asked for. Raises Refused when it must not be changed."""
    stanza = module.params["stanza"]
    found, wanted = find(stanza), wanted_files(wanted_jobs, how, scheduler)
    refuse_foreign(wanted, stanza)
    result = Plan(file_changes(found, wanted), state_changes(stanza, wanted_jobs, how.user))
    if runs():
        units = [os.path.basename(path) for path in {**wanted, **found.own} if path.startswith(SYSTEMD_DIRECTORY)]
        plan_units(module, result, units, how.on_failure)
    return result


def plan_units(module: AnsibleModule, result: Plan, units: list[str], on_failure: str | None) -> None:
    """Add what is to be done about timers."""
    named = [on_failure] if on_failure and "%" not in on_failure and units else []
    shown = show(module, [*units, *named])
    changes = {os.path.basename(change.path): change for change in result.files}
    gone = [unit for unit in units if unit in changes and changes[unit].after is None]
    for unit in (unit for unit in units if unit not in gone):
        refuse_elsewhere(shown.get(unit, {}), unit)
        plan_unit(result, shown.get(unit, {}), unit, unit in changes)
    if named and shown.get(named[0], {}).get("LoadState") == "not-found":
        problem = f"systemd does not know {named[0]}, which on_failure names: create it first, or correct the name."
        if not module.check_mode:
            raise Refused([problem])
        module.warn(problem)
    result.stop = [unit for unit in gone if unit.endswith(".timer")]
    result.failed = [unit for unit in gone if shown.get(unit, {}).get("ActiveState") == "failed"]
    result.reload = result.reload or any(unit in changes for unit in units)


def plan_unit(result: Plan, unit: Unit, name: str, changes: bool) -> None:
    """Add what is to be done about one unit that shall be there."""
    active = unit.get("ActiveState") == "active"
    if unit.get("NeedDaemonReload") == "yes":
        result.reload = True
    if not name.endswith(".timer"):
        return
    if not active or unit.get("UnitFileState") != "enabled":
        result.start[name] = unit
    if active and changes:
        result.restart.append(name)


def refuse_elsewhere(unit: Unit, name: str) -> None:
    """Raise Refused when systemd has a unit of this name from somewhere else."""
    path = unit.get("FragmentPath")
    if unit.get("LoadState") == "masked":
        raise Refused([f"{name} is masked ({path}): systemctl unmask --runtime {name} makes it free again."])
    if path and path != os.path.join(SYSTEMD_DIRECTORY, name):
        raise Refused([f"systemd has a unit {name} in {path} that is not ours: remove it first."])


def refuse_calendars(module: AnsibleModule, entries: t.Sequence[t.Mapping[str, t.Any]], files: list[Change]) -> None:
    """Raise Refused when systemd does not understand a calendar. Those in files that stay were understood before."""
    if not any(change.path.endswith(".timer") and change.after for change in files):
        return
    calendars = [" ".join(entry["calendar"].split()) for entry in entries]
    bad = calendar_problems(module, list(dict.fromkeys(calendars)))
    problems = [
        f"Entry {number} ({entry['type']}): systemd does not understand calendar {calendar!r}: {bad[calendar]}."
        for number, (entry, calendar) in enumerate(zip(entries, calendars), 1)
        if calendar in bad
    ]
    if problems:
        raise Refused(problems)


def apply(module: AnsibleModule, todo: Plan, user: str) -> None:
    """Do it. A timer is stopped before its file goes, and started when everything is in place."""
    if todo.stop:
        order(module, "disable", "--now", "--", *todo.stop)
    for change in todo.states:
        write_state(change, user)
    for change in todo.files:
        write(module, change)
        if change.after is None and change.path.endswith(".timer"):
            forget_timer(os.path.basename(change.path))
    if todo.reload:
        order(module, "daemon-reload")
    if todo.failed:
        order(module, "reset-failed", "--", *todo.failed)
    if todo.restart:
        order(module, "restart", "--", *todo.restart)
    if todo.start:
        order(module, "enable", "--now", "--", *todo.start)
