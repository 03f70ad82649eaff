#!/usr/bin/python
# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: schedule
short_description: Manage the scheduled backups of a stanza
version_added: 0.1.0
description:
  - Lets exactly these scheduled backups of a stanza exist on the host, as timers of systemd or as a file for cron.
  - On a host with the cluster (O(local_cluster)) a backup is taken only while that cluster is the primary. So all hosts
    of a stanza can have the same schedule, and a failover needs no change.
  - Each run keeps how it ended in C(/var/lib/pgops-pgbackrest/STANZA/NAME.json), readable for everybody.
    M(pgops.pgbackrest.schedule_info) reads these files.
  - A run fails when any repository got no backup, or when pgBackRest found page checksum errors, which pgBackRest
    itself does not take for a failure.
  - Only files that carry this module's mark and this stanza are changed or removed. Drop-in files for the units, such
    as C(pgbackrest-main-full.service.d/local.conf), stay as they are.
author: ["pgops contributors (@pgops)"]
extends_documentation_fragment:
  - pgops.pgbackrest._attributes
options:
  stanza:
    description: Name of the stanza.
    type: str
    required: true
  state:
    description:
      - Whether there shall be scheduled backups. V(absent) is the same as empty O(entries).
      - Results of former runs are removed with the schedule that they belong to. A backup that is running goes on.
    type: str
    choices: [absent, present]
    default: present
  entries:
    description:
      - All scheduled backups of the stanza on this host.
      - Entries with the same type and repositories become one timer with several times.
    type: list
    elements: dict
    default: []
    suboptions:
      type:
        description: Type of the backup. Without a prior full backup pgBackRest takes a full one.
        type: str
        choices: [full, diff, incr]
        required: true
      calendar:
        description:
          - When, as systemd's C(OnCalendar), such as V(Sun 02:00), V(Mon..Sat 02:00) or V(daily).
          - On a host with cron it is translated. What cron cannot do is refused with the request to give
            O(entries[].cron).
          - systemd is asked about it before anything is written.
        type: str
      cron:
        description: When, as the five fields of cron, such as V(0 2 * * 0). Used only on hosts with cron.
        type: str
      repo:
        description:
          - Numbers of the repositories that get the backup, one after the other.
          - Without it these are all repositories which the configuration has when the backup is due.
        type: list
        elements: int
  user:
    description: User who takes the backups, the owner of the cluster or of the repository.
    type: str
    default: postgres
  scheduler:
    description:
      - What starts the backups. V(auto) is systemd where it runs, and cron elsewhere.
      - What was there for the other scheduler is removed.
    type: str
    choices: [auto, cron, systemd]
    default: auto
  local_cluster:
    description:
      - The cluster on this host. Its server is asked before each backup whether it is a standby. On a standby the run
        ends well without a backup and without counting as a success.
      - Leave it out on a dedicated repository host, where pgBackRest itself looks for the primary.
    type: dict
    suboptions:
      port:
        description: Port of the server.
        type: int
        default: 5432
      socket_directory:
        description: Directory of its Unix socket. Without it the client's default is used.
        type: path
      user:
        description: Role to log in with. Without it the name of O(user) is used.
        type: str
      database:
        description: Database to connect to.
        type: str
        default: postgres
  splay:
    description:
      - Longest delay of a backup, such as V(30m), V(2h) or a number of seconds; V(0) for none.
      - Each host delays each of its schedules by an amount of its own that stays the same, so that many hosts do not
        begin together.
    type: str
    default: 30m
  on_failure:
    description:
      - A unit of systemd to start when a scheduled backup fails, such as V(alert@%n.service).
      - Not for cron.
    type: str
  config:
    description: Configuration file for pgBackRest instead of its default one. Mutually exclusive with O(config_path).
    type: path
  config_path:
    description: Directory in which pgBackRest looks for its configuration instead of C(/etc/pgbackrest).
    type: path
  executable:
    description: Name or path of the pgBackRest program.
    type: str
    default: pgbackrest
notes:
  - Run it as root (C(become)).
  - A timer makes up for a backup that was missed while the host was down. It does so too when a changed calendar has a
    moment between the last backup and now.
  - Backups of one stanza wait for each other, where pgBackRest would fail.
  - The units run with low weight for CPU and disk, and without new privileges (no C(sudo) in commands that pgBackRest
    runs).
seealso:
  - module: pgops.pgbackrest.schedule_info
  - module: pgops.pgbackrest.backup
"""

EXAMPLES = r"""
---
- name: A full backup on Sunday and differential ones on the other days
  pgops.pgbackrest.schedule:
    stanza: main
    entries:
      - {type: full, calendar: "Sun 02:00"}
      - {type: diff, calendar: "Mon..Sat 02:00"}
    local_cluster:
      port: 5432
      socket_directory: /var/run/postgresql
  become: true

- name: On a repository host, one schedule for each repository
  pgops.pgbackrest.schedule:
    stanza: main
    user: pgbackrest
    entries:
      - {type: full, calendar: "Sun 02:00", repo: [1]}
      - {type: incr, calendar: "*-*-* 02/6:00", repo: [1]}
      - {type: full, calendar: "*-*-01 06:00", repo: [2]}
    on_failure: alert@%n.service
  become: true

- name: No scheduled backups any more
  pgops.pgbackrest.schedule:
    stanza: main
    state: absent
  become: true
"""

RETURN = r"""
scheduler:
  description: What starts the backups, V(systemd) or V(cron).
  type: str
  returned: success
  sample: systemd
schedules:
  description: The scheduled backups. With several entries of the same type and repositories these are one.
  type: list
  elements: dict
  returned: success
  sample:
    - name: full
      type: full
      repos: []
      schedule: ["Sun 02:00"]
      timer: pgbackrest-main-full.timer
      service: pgbackrest-main-full.service
      state_file: /var/lib/pgops-pgbackrest/main/full.json
  contains:
    name:
      description: Name within the stanza.
      type: str
      returned: success
      sample: full-repo1
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
    timer:
      description: Name of the timer.
      type: str
      returned: with systemd
      sample: pgbackrest-main-full-repo1.timer
    service:
      description: Name of the service, which C(systemctl start) starts at any time.
      type: str
      returned: with systemd
      sample: pgbackrest-main-full-repo1.service
    state_file:
      description: File with the results.
      type: str
      returned: success
      sample: /var/lib/pgops-pgbackrest/main/full-repo1.json
problems:
  description: What is wrong, one or two sentences each.
  type: list
  elements: str
  returned: when nothing was scheduled because of it
  sample: ["Entry 1 (full): systemd does not understand calendar 'Sux 02:00'."]
"""

import os
import pwd
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._backup import parse_age
from ..module_utils._cli import COMMON_ARGUMENTS, COMMON_EXCLUSIONS
from ..module_utils._config_place import Refused
from ..module_utils._schedule import How, Job, full_unit_name, jobs, name_problems
from ..module_utils._schedule_files import CRON_DIRECTORY, has_cron_daemon
from ..module_utils._schedule_plan import apply, plan, refuse_calendars
from ..module_utils._schedule_systemd import runs
from ..module_utils._scheduled_backup import STATE_DIRECTORY

ARGUMENTS: dict[str, dict[str, t.Any]] = {
    **COMMON_ARGUMENTS,
    "stanza": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["absent", "present"], "default": "present"},
    "entries": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "type": {"type": "str", "choices": ["full", "diff", "incr"], "required": True},
            "calendar": {"type": "str"},
            "cron": {"type": "str"},
            "repo": {"type": "list", "elements": "int"},
        },
    },
    "user": {"type": "str", "default": "postgres"},
    "scheduler": {"type": "str", "choices": ["auto", "cron", "systemd"], "default": "auto"},
    "local_cluster": {
        "type": "dict",
        "options": {
            "port": {"type": "int", "default": 5432},
            "socket_directory": {"type": "path"},
            "user": {"type": "str"},
            "database": {"type": "str", "default": "postgres"},
        },
    },
    "splay": {"type": "str", "default": "30m"},
    "on_failure": {"type": "str"},
}


def runner_options(params: t.Mapping[str, t.Any]) -> tuple[str, ...]:
    """Words for the program that takes the backups."""
    cluster = params["local_cluster"] or {}
    given = {
        "executable": params["executable"] if params["executable"] != "pgbackrest" else None,
        "config": params["config"],
        "config-path": params["config_path"],
        "port": cluster.get("port"),
        "socket-directory": cluster.get("socket_directory"),
        "login-user": cluster.get("user"),
        "login-db": cluster["database"] if cluster.get("database", "postgres") != "postgres" else None,
    }
    return tuple(f"--{name}={value}" for name, value in given.items() if value)


def request(module: AnsibleModule, scheduler: str) -> tuple[list[Job], How]:
    """The jobs that are asked for. Raises Refused with all that is wrong with them."""
    params = module.params
    entries = params["entries"] if params["state"] == "present" else []
    wanted, problems = jobs(params["stanza"], entries, scheduler)
    on_failure = full_unit_name(params["on_failure"])
    try:
        splay = parse_age(params["splay"])
    except ValueError as error:
        problems.append(f"splay {str(error).replace('an age', 'a time', 1)}.")
        splay = 0
    how = How(params["user"], splay, on_failure, runner_options(params))
    problems += name_problems(params["stanza"], [params["user"], *how.options], on_failure)
    if wanted:
        problems += host_problems(module, scheduler, on_failure)
    if problems:
        raise Refused(problems)
    return wanted, how


def host_problems(module: AnsibleModule, scheduler: str, on_failure: str | None) -> list[str]:
    """What the host lacks. What may still be installed is a warning only in check mode."""
    found, missing, user, executable = [], [], module.params["user"], module.params["executable"]
    if scheduler == "systemd" and not runs():
        found.append("systemd does not run on this host: use scheduler: cron.")
    if scheduler == "cron" and on_failure:
        found.append("on_failure names a unit of systemd, and cron cannot start one: leave it out.")
    if scheduler == "cron" and not os.path.isdir(CRON_DIRECTORY):
        missing.append(f"There is no {CRON_DIRECTORY} on this host: install cron.")
    elif scheduler == "cron" and not has_cron_daemon():
        module.warn("No cron daemon runs on this host, so no backup will be taken: enable and start one.")
    if _account(user) is None:
        missing.append(f"There is no user {user} on this host: name the owner of the cluster or of the repository.")
    elif _account(user) == 0:
        found.append("Backups must not run as root, who would leave files that nobody else may change: correct user.")
    if not module.get_bin_path(executable):
        missing.append(f"The program {executable} is not on this host: install pgbackrest or correct executable.")
    if not module.check_mode:
        return found + missing
    for text in missing:
        module.warn(text)
    return found


def _account(user: str) -> int | None:
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        return None


def described(job: Job, scheduler: str) -> dict[str, t.Any]:
    """A job for the result."""
    path = os.path.join(STATE_DIRECTORY, job.stanza, f"{job.name}.json")
    result = {"name": job.name, "type": job.type, "repos": list(job.repos), "state_file": path}
    if scheduler == "cron":
        return {**result, "schedule": list(job.crons)}
    units = {"timer": f"{job.unit}.timer", "service": f"{job.unit}.service"}
    return {**result, "schedule": list(job.calendars), **units}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, mutually_exclusive=COMMON_EXCLUSIONS, supports_check_mode=True)
    scheduler = module.params["scheduler"]
    scheduler = ("systemd" if runs() else "cron") if scheduler == "auto" else scheduler
    try:
        if os.geteuid() != 0:
            raise Refused(["Only root may change the units of systemd and the files of cron: add become: true."])
        wanted, how = request(module, scheduler)
        todo = plan(module, wanted, how, scheduler)
        if wanted:
            refuse_calendars(module, module.params["entries"], todo.files)
        if not module.check_mode:
            apply(module, todo, how.user)
    except Refused as refused:
        text = f"The backups of stanza {module.params['stanza']} could not be scheduled. {refused}"
        module.fail_json(msg=text, problems=refused.problems)
    schedules = [described(job, scheduler) for job in wanted]
    module.exit_json(changed=todo.changed(), diff=todo.diff(), scheduler=scheduler, schedules=schedules)


if __name__ == "__main__":
    main()
