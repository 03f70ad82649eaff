#!/usr/bin/python
# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: recovery
short_description: Wait until a restored cluster has recovered, and judge the result
description:
  - Waits for the real outcome of a recovery. The cluster has been restored and started before. That C(pg_ctl) or
    systemd says "started" means little, because PostgreSQL may still stop, miss its target, or promote too early.
  - Compares the point where recovery stopped with the target, and fails when they differ.
  - When recovery failed it returns PostgreSQL's own log lines.
  - Can promote a server that is paused or follows, and take the settings that the restore left behind out of
    C(postgresql.auto.conf).
  - The module neither restores nor starts anything.
version_added: 0.1.0
author: ["pgops contributors (@pgops)"]
extends_documentation_fragment:
  - pgops.pgbackrest._attributes
  - pgops.pgbackrest._postgresql
  - pgops.pgbackrest._pgbackrest.progress
attributes:
  check_mode:
    details:
      - Reports what it sees now. It does not wait, promote or clean, and it does not fail because of what it sees.
  platform:
    description: Runs on the host of the cluster.
options:
  pgdata:
    description: The data directory of the cluster.
    type: path
    required: true
  state:
    description:
      - The outcome to wait for.
      - V(promoted) means that recovery has ended and the server takes writes.
      - V(paused) means that recovery waits at its target (C(recovery_target_action) is C(pause)), so that one can look
        at the data before the decision.
      - V(following) means that the server is a standby that replays WAL.
      - V(shut_down) means that it ended at its target (C(recovery_target_action) is C(shutdown)), as its log tells.
    type: str
    choices: [promoted, paused, following, shut_down]
    default: promoted
  target_type:
    description:
      - The kind of target that the restore was given, to compare the stop point with.
      - Without it the result says where recovery stopped, and RV(reached) is C(null).
      - V(default) is the end of the archived WAL, V(immediate) the end of the backup.
    type: str
    choices: [default, immediate, lsn, name, time, xid]
  target:
    description:
      - The target, in the form that the restore took. Required with O(target_type=lsn), O(target_type=name),
        O(target_type=time) and O(target_type=xid).
      - A time must have an offset from UTC.
    type: str
  target_exclusive:
    description: Whether recovery had to stop before the target and not after it.
    type: bool
    default: false
  known_lsn:
    description:
      - With O(target_type=default), the newest record of the WAL that is known, RV(ignore:plan.window.latest_lsn) of
        M(pgops.pgbackrest.restore).
      - PostgreSQL takes WAL that it cannot fetch for the end of all WAL. With this option a recovery that ended before
        the known end makes the task fail.
    type: str
  promote:
    description:
      - With O(state=promoted), promote a server that is paused or that follows another one.
      - A server that paused at another point than the target is left as it is.
      - Without it such a server makes the task fail.
    type: bool
    default: false
  clean:
    description:
      - After a promotion, take the C(recovery_target) settings, and a C(restore_command) that calls pgBackRest, out of
        C(postgresql.auto.conf) with C(ALTER SYSTEM RESET). They would rule the next recovery of this cluster.
      - Before PostgreSQL 12 there is nothing to clean, because C(recovery.conf) is renamed by the promotion.
    type: bool
    default: true
  checkpoint:
    description:
      - After a promotion, have PostgreSQL write a checkpoint unless it has. It does so by itself, but slowly, and until
        then its control file names the old timeline, so that pgBackRest refuses to take a backup.
    type: bool
    default: true
  timeout:
    description:
      - How long to wait, in seconds. PostgreSQL goes on after that, and the task may be run again.
    type: int
    default: 3600
  log_file:
    description:
      - PostgreSQL's log file. Without it the module looks into C(current_logfiles), where the standard error of the
        server goes, and below C(/var/log/postgresql).
    type: path
notes:
  - Run it as the user who owns the cluster (C(become_user)), usually C(postgres), with a role that is superuser.
  - Without O(login_host) the module takes the socket and the port of the server that runs on O(pgdata).
seealso:
  - module: pgops.pgbackrest.restore
  - module: pgops.pgbackrest.archiving
"""

EXAMPLES = r"""
---
- name: Wait until the cluster has reached the target and is promoted
  pgops.pgbackrest.recovery:
    pgdata: /var/lib/postgresql/15/main
    target_type: time
    target: "2026-05-01 14:30:00+02:00"
  become: true
  become_user: postgres

- name: Promote a cluster that waits at its target
  pgops.pgbackrest.recovery:
    pgdata: /var/lib/postgresql/15/main
    target_type: name
    target: before_migration
    promote: true
  become: true
  become_user: postgres

- name: Wait until a new standby replays WAL
  pgops.pgbackrest.recovery:
    pgdata: /var/lib/postgresql/15/main
    state: following
    timeout: 900
  become: true
  become_user: postgres
"""

RETURN = r"""
outcome:
  description:
    - V(promoted), V(paused), V(following) or V(shut_down), see O(state). V(exited) means that the server is not
      running, V(recovering) that nothing is decided yet.
    - V(timeout) means the same after O(timeout).
  returned: always
  type: str
  sample: promoted
reached:
  description: Whether recovery stopped at the target. C(null) when there is none, or nobody can tell.
  returned: always
  type: bool
  sample: true
verdict:
  description: The comparison of stop point and target in a sentence.
  returned: always
  type: str
  sample: Recovery stopped before the commit of 2026-05-01 12:30:02.118+00:00, the first commit after the target time
    2026-05-01 14:30:00+02:00.
timeline:
  description: The timeline that the server is on.
  returned: always
  type: int
  sample: 2
timeline_before:
  description: The timeline that was recovered. C(null) when the server has never been promoted.
  returned: always
  type: int
  sample: 1
stop:
  description: Where recovery stopped. C(null) while it has not.
  returned: always
  type: dict
  contains:
    lsn:
      description: End of the recovered timeline after a promotion, else the last replayed position.
      type: str
      returned: always
      sample: 0/5000148
    last_commit:
      description: Time of the last replayed commit. C(null) when there was none, or the server was restarted since.
      type: str
      returned: always
      sample: "2026-05-01T12:29:58.004211+00:00"
    reason:
      description: The reason as PostgreSQL wrote it into the history of the new timeline. C(null) before promotion.
      type: str
      returned: always
      sample: before 2026-05-01 12:30:02.118+00
recovery_settings:
  description: Settings of the restore that stand in C(postgresql.auto.conf) now.
  returned: always
  type: dict
  sample: {}
archiving_off:
  description:
    - Whether C(postgresql.auto.conf) switches archiving off, as a restore with C(archive_mode=off) does. The module
      M(pgops.pgbackrest.archiving) sets it right.
  returned: always
  type: bool
  sample: false
log_file:
  description: PostgreSQL's log file, if one was found.
  returned: always
  type: str
  sample: /var/log/postgresql/postgresql-15-main.log
log:
  description: PostgreSQL's last log lines since its start, without noise.
  returned: when the task fails
  type: list
  elements: str
  sample:
    - "FATAL:  recovery ended before configured recovery target was reached"
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._cluster import ClusterError
from ..module_utils._handover import hand_over_long_work
from ..module_utils._progress import Progress
from ..module_utils._recovery import decide
from ..module_utils._recovery_watch import RecoveryFailed, Watch
from ..module_utils._server_watch import WrongServer
from ..module_utils._sql import LOGIN_ARGUMENTS, DatabaseError
from ..module_utils._target import RecoveryTarget, TargetError, parse_target
from ..module_utils._wal import parse_lsn

ARGUMENTS: dict[str, dict[str, t.Any]] = {
    **LOGIN_ARGUMENTS,
    "pgdata": {"type": "path", "required": True},
    "state": {"type": "str", "choices": ["promoted", "paused", "following", "shut_down"], "default": "promoted"},
    "target_type": {"type": "str", "choices": ["default", "immediate", "lsn", "name", "time", "xid"]},
    "target": {"type": "str"},
    "target_exclusive": {"type": "bool", "default": False},
    "known_lsn": {"type": "str"},
    "promote": {"type": "bool", "default": False},
    "clean": {"type": "bool", "default": True},
    "checkpoint": {"type": "bool", "default": True},
    "timeout": {"type": "int", "default": 3600},
    "log_file": {"type": "path"},
    "progress_file": {"type": "path"},
}


def wanted_target(params: dict[str, t.Any]) -> RecoveryTarget | None:
    """The target of the options; None without one. Raises TargetError."""
    if params["known_lsn"] is not None and params["target_type"] != "default":
        raise TargetError(["known_lsn needs target_type=default: other targets lie before the end of the WAL."])
    if params["target_type"] is None:
        if params["target_exclusive"]:
            raise TargetError(["target_exclusive needs target_type."])
        return None
    return parse_target(params["target_type"], params["target"], exclusive=params["target_exclusive"])


def predict(watch: Watch, params: dict[str, t.Any]) -> dict[str, t.Any]:
    """What the summary would be if the module acted on what it sees now."""
    before = watch.summary()
    if decide(params["state"], watch.outcome, params["promote"]) == "promote":
        before.update(state="promoted")
    if before["state"] == "promoted" == params["state"]:
        before.update({"recovery_settings": {}} if params["clean"] else {})
        before.update({"timeline_of_checkpoint": before["timeline"]} if params["checkpoint"] else {})
    return before


def reach(watch: Watch, params: dict[str, t.Any]) -> None:
    """Wait for the wanted state and clean up after it."""
    progress = Progress(params["progress_file"])
    try:
        watch.wait(params["state"], params["promote"], params["timeout"], progress)
    finally:
        progress.end()
    if params["state"] == "promoted" and params["clean"]:
        watch.clean()
    if params["state"] == "promoted" and params["checkpoint"]:
        watch.checkpoint()


def main() -> None:
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True, required_by={"target": ["target_type"]})
    try:
        watch = Watch(module, wanted_target(module.params))
        parse_lsn(module.params["known_lsn"] or "0/0")
    except (TargetError, ValueError) as error:
        module.fail_json(msg=str(error))
    hand_over_long_work(module)
    try:
        watch.look_anyway() if module.check_mode else watch.look()
        before = watch.summary()
        if module.check_mode:
            after = predict(watch, module.params)
            changed = before != after
        else:
            reach(watch, module.params)
            after, changed = watch.summary(), watch.acted
    except RecoveryFailed as error:
        module.fail_json(msg=str(error), **watch.failure())
    except (ClusterError, DatabaseError, WrongServer) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=changed, diff={"before": before, "after": after}, **watch.result())


if __name__ == "__main__":
    main()
