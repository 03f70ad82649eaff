#!/usr/bin/python
# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: schedule_info
short_description: Read the scheduled backups of a host and how they went
version_added: 0.1.0
description:
  - Tells for each backup that M(pgops.pgbackrest.schedule) has scheduled on this host when it is due next, how the last
    run ended, when it last succeeded, and what is wrong.
  - Problems do not make the task fail. Look at RV(healthy) and RV(problems).
  - What stands in the repositories is told by M(pgops.pgbackrest.backup_info).
author: ["pgops contributors (@pgops)"]
extends_documentation_fragment:
  - pgops.pgbackrest._attributes.INFO
options:
  stanza:
    description: Name of the stanza. Without it all stanzas are read that have a schedule on this host.
    type: str
notes:
  - No special user is needed.
seealso:
  - module: pgops.pgbackrest.schedule
  - module: pgops.pgbackrest.backup_info
"""

EXAMPLES = r"""
---
- name: Read how the scheduled backups went
  pgops.pgbackrest.schedule_info:
    stanza: main
  register: result

- name: Fail when one did not run, or failed
  ansible.builtin.assert:
    that: result.healthy
    fail_msg: "{{ result.problems | join(' ') }}"
"""

RETURN = r"""
healthy:
  description: Whether there is a schedule and nothing is wrong with it.
  type: bool
  returned: success
  sample: true
problems:
  description: What is wrong and what to do about it, for all schedules.
  type: list
  elements: str
  returned: success
  sample:
    - "main diff: pgbackrest-main-diff.timer is not active, so no backup will be taken. Run the module
      pgops.pgbackrest.schedule again."
schedules:
  description: The scheduled backups.
  type: list
  elements: dict
  returned: success
  contains:
    stanza:
      description: Name of the stanza.
      type: str
      returned: success
      sample: main
    name:
      description: Name within the stanza.
      type: str
      returned: success
      sample: full-repo1
    scheduler:
      description: What starts it, V(systemd) or V(cron).
      type: str
      returned: success
      sample: systemd
    unit:
      description: Name of the timer, or the file for cron.
      type: str
      returned: success
      sample: pgbackrest-main-full-repo1.timer
    type:
      description: Type of the backup.
      type: str
      returned: success
      sample: full
    repos:
      description: Numbers of the repositories, none for every one.
      type: list
      elements: int
      returned: success
      sample: [1]
    schedule:
      description: When, as systemd or cron has it.
      type: list
      elements: str
      returned: success
      sample: ["Sun 02:00"]
    user:
      description: User who takes the backup.
      type: str
      returned: success
      sample: postgres
    enabled:
      description: Whether it starts with the host. With cron always V(true).
      type: bool
      returned: success
      sample: true
    active:
      description: Whether the timer, or a cron daemon, is running.
      type: bool
      returned: success
      sample: true
    running:
      description: Whether the backup runs now. With cron, whether any scheduled backup of the stanza does.
      type: bool
      returned: success
      sample: false
    next_run:
      description: When it is due next, the delay included, in seconds since 1970. V(null) when never.
      type: int
      returned: success
      sample: 1795918043
    next_run_time:
      description: The same moment in UTC.
      type: str
      returned: success
      sample: "2026-11-29 02:07:23+00:00"
    last_run:
      description: The last run. V(null) when there was none.
      type: dict
      returned: success
      sample:
        started: 1795381177
        finished: 1795381179
        finished_time: "2026-11-22 20:59:39+00:00"
        duration: 2
        result: success
        message: The full backup of stanza main is done.
      contains:
        started:
          description: When it began, in seconds since 1970.
          type: int
          returned: success
        finished:
          description: When it ended, in seconds since 1970.
          type: int
          returned: success
        finished_time:
          description: When it ended, in UTC.
          type: str
          returned: success
        duration:
          description: How long it took, in seconds.
          type: int
          returned: success
        result:
          description: V(success), V(failure), or V(standby) when the cluster of the host was none to take it from.
          type: str
          returned: success
        message:
          description: A sentence about it.
          type: str
          returned: success
    last_success:
      description: The last run with a backup in each repository, with its times. V(null) when there was none.
      type: dict
      returned: success
      sample: {started: 1795381177, finished: 1795381179, finished_time: "2026-11-22 20:59:39+00:00", duration: 2}
    last_failure:
      description: The last run that failed, with its times and message. V(null) when there was none.
      type: dict
      returned: success
      sample: null
    repositories:
      description: By number of the repository, its C(last_success) with the label of the backup, and C(last_failure).
      type: dict
      returned: success
      sample:
        "1":
          last_success:
            started: 1795381177
            finished: 1795381179
            finished_time: "2026-11-22 20:59:39+00:00"
            duration: 2
            label: 20261122-205937F
    problems:
      description: What is wrong with it and what to do about it.
      type: list
      elements: str
      returned: success
      sample: []
"""

import os
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._config_place import Refused
from ..module_utils._schedule import read_headers
from ..module_utils._schedule_files import STATE_DIRECTORY, find, has_cron_daemon, is_locked
from ..module_utils._schedule_status import Facts, cron_facts, record, systemd_facts
from ..module_utils._schedule_systemd import Unit, runs, show
from ..module_utils._scheduled_backup import read_state, state_name

Header = t.Dict[str, t.Any]


def result(header: Header, scheduler: str, unit: str, facts: Facts, now: float) -> dict[str, t.Any]:
    """One schedule with its results."""
    name = state_name(header["type"], header["repos"])
    state = read_state(os.path.join(STATE_DIRECTORY, header["stanza"], f"{name}.json"))
    return {"name": name, "scheduler": scheduler, "unit": unit, **record(header, state, facts, now)}


def of_systemd(module: AnsibleModule, found: t.Mapping[str, str], now: float) -> t.Iterator[dict[str, t.Any]]:
    """What timers start."""
    headers: dict[str, Header] = {}
    for path, text in found.items():
        if path.endswith((".timer", ".service")):
            headers.setdefault(os.path.splitext(path)[0], read_headers(text)[0])
    units = [os.path.basename(path) + kind for path in headers for kind in (".timer", ".service")]
    shown: dict[str, Unit] = show(module, units) if runs() else {}
    for path, header in headers.items():
        unit = os.path.basename(path)
        written = os.stat(f"{path}.timer").st_mtime if os.path.exists(f"{path}.timer") else now
        facts = systemd_facts(unit, shown.get(f"{unit}.timer", {}), shown.get(f"{unit}.service", {}), written)
        yield result(header, "systemd", f"{unit}.timer", facts, now)


def of_cron(found: t.Mapping[str, str], now: float) -> t.Iterator[dict[str, t.Any]]:
    """What cron starts."""
    for path, text in found.items():
        for header in () if path.endswith((".timer", ".service")) else read_headers(text):
            running = is_locked(header["stanza"])
            facts = cron_facts(header, has_cron_daemon(), running, os.stat(path).st_mtime, now)
            yield result(header, "cron", path, facts, now)


def main() -> None:
    module = AnsibleModule(argument_spec={"stanza": {"type": "str"}}, supports_check_mode=True)
    found, now = find(module.params["stanza"]).own, time.time()
    try:
        schedules = [*of_systemd(module, found, now), *of_cron(found, now)]
    except Refused as refused:
        module.fail_json(msg=f"The schedules could not be read. {refused}")
    problems = [f"{one['stanza']} {one['name']}: {problem}" for one in schedules for problem in one["problems"]]
    if not schedules:
        whose = f" of stanza {module.params['stanza']}" if module.params["stanza"] else ""
        problems.append(
            f"There are no scheduled backups{whose} on this host: make them with the module pgops.pgbackrest.schedule."
        )
    module.exit_json(changed=False, healthy=not problems, problems=problems, schedules=schedules)


if __name__ == "__main__":
    main()
