#!/usr/bin/python
# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: restore
short_description: Restore a data directory from a backup, up to a chosen moment
version_added: 0.1.0
author: ["pgops contributors (@pgops)"]
description:
  - Makes the stopped data directory hold the cluster as of the wanted target, ready to be started.
  - Plans before it acts. Which backup serves the target, whether the directory is the right one, tablespaces, links
    and free space are checked first, and everything that stands against the restore is reported at once.
    Nothing is touched unless the plan holds. In check mode the plan is all there is.
  - A running cluster is never overwritten. Only in check mode it is no more than a warning, so that the plan can be
    made before the cluster is stopped.
  - Starting the server and waiting until recovery has reached the target is not its job. See
    M(pgops.pgbackrest.recovery).
  - A directory that already holds exactly this restore, not yet started, is left alone.
extends_documentation_fragment:
  - pgops.pgbackrest._attributes
  - pgops.pgbackrest._pgbackrest
  - pgops.pgbackrest._pgbackrest.stanza
  - pgops.pgbackrest._pgbackrest.progress
options:
  pgdata:
    description:
      - Data directory to restore to. Missing directories are created.
      - Default is C(pg1-path) of the stanza in pgBackRest's configuration.
    type: path
  type:
    description:
      - How far recovery goes.
      - V(default) goes to the end of the archived WAL.
      - V(immediate) stops at the end of the backup, as soon as the cluster is consistent.
      - V(lsn), V(name), V(time) and V(xid) stop at O(target).
      - V(standby) goes to the end of the archived WAL and stays a standby.
      - V(none) recovers without the archive. The WAL must be in the backup.
      - V(preserve) keeps the recovery settings that the data directory has.
    type: str
    choices: [default, immediate, lsn, name, time, xid, standby, none, preserve]
    default: default
  target:
    description:
      - LSN, restore point, time or transaction ID to stop at. Required for these types, refused for all others.
      - A time always has an offset from UTC, such as V(2026-05-01 14:30:00+02:00) or V(2026-05-01T12:30:00Z).
        Without one it would mean different moments to different hosts, so it is refused. Quote it in YAML.
    type: str
  target_timeline:
    description:
      - Timeline to recover along, V(current) for the backup's own, V(latest), or a number.
      - When the archive goes on to a newer timeline than the backup's, after an earlier recovery or a failover, a
        target can lie on either. The option is then required for the types with a O(target).
      - Otherwise PostgreSQL's default holds, which is V(latest), and V(current) before PostgreSQL 12.
    type: str
  target_action:
    description:
      - What PostgreSQL does at the target, for the types that have one. pgBackRest's default is V(pause).
    type: str
    choices: [pause, promote, shutdown]
  target_exclusive:
    description: Stop just before the target instead of just after it. For the types V(lsn), V(time) and V(xid).
    type: bool
    default: false
  set:
    description:
      - Label of the backup to restore, or V(latest).
      - Without it the newest backup that ended before the target is chosen.
      - Required for the types V(immediate), V(name) and V(xid) when there is more than one backup, because nothing
        tells which of them ended before the target.
    type: str
  repo:
    description:
      - Number of the repository to restore from.
      - Without it the first one that is usable and has a backup for the target.
    type: int
  delta:
    description:
      - Restore into a directory that is not empty. Files that match the backup are kept, others are overwritten, and
        what is not in the backup is deleted.
      - The directory must hold the cluster of this stanza, told by its system identifier, or a restore of it that
        did not end.
    type: bool
    default: false
  tablespace_map:
    description:
      - New directories of tablespaces, by name or OID. Default is the configuration.
    type: dict
  tablespace_map_all:
    description: Directory below which every tablespace without an entry in O(tablespace_map) gets one of its name.
    type: path
  link_map:
    description:
      - Where files and directories outside the data directory come to, by their name in it, such as V(pg_wal).
        A symbolic link is put in their place. Default is the configuration.
    type: dict
  link_all:
    description:
      - Restore all symbolic links as they were. Without it they become plain files and directories.
    type: bool
  db_include:
    description:
      - Restore only these databases, and the system databases.
      - The others are restored as empty files. Drop them after the start.
    type: list
    elements: str
  db_exclude:
    description: Restore all databases but these.
    type: list
    elements: str
  recovery_options:
    description:
      - More recovery settings, such as C(primary_conninfo) or C(recovery_min_apply_delay).
      - They are written into C(postgresql.auto.conf) (C(recovery.conf) before PostgreSQL 12) after the restore and not
        handed to pgBackRest, which would show them on its command line and in its log.
        Passwords in them are masked in results.
    type: dict
  archive_mode:
    description:
      - V(off) keeps the restored cluster from archiving, as a copy beside its original must. It stays off until
        somebody resets it. Needs PostgreSQL 12.
      - V(preserve) leaves archiving as it was. This is pgBackRest's default.
    type: str
    choices: [preserve, 'off']
  process_max:
    description: Number of processes that work in parallel. Default is the configuration.
    type: int
seealso:
  - module: pgops.pgbackrest.backup_info
  - module: pgops.pgbackrest.recovery
  - name: pgBackRest, command restore
    description: Reference of the command and its options.
    link: https://pgbackrest.org/command.html#command-restore
"""

EXAMPLES = r"""
---
- name: Show what a restore to half past two would do
  pgops.pgbackrest.restore:
    stanza: main
    type: time
    target: "2026-05-01 14:30:00+02:00"
    delta: true
  check_mode: true
  become: true
  become_user: postgres
  register: restore_plan

- name: Show it to whoever decides
  ansible.builtin.debug:
    var: restore_plan.plan.text

- name: Bring the stopped cluster back to half past two, and let it open there
  pgops.pgbackrest.restore:
    stanza: main
    type: time
    target: "2026-05-01 14:30:00+02:00"
    target_action: promote
    delta: true
  become: true
  become_user: postgres

- name: A copy beside the original, that never archives
  pgops.pgbackrest.restore:
    stanza: main
    pgdata: /srv/copy
    tablespace_map_all: /srv/copy_tablespaces
    archive_mode: 'off'
  become: true
  become_user: postgres

- name: A standby
  pgops.pgbackrest.restore:
    stanza: main
    type: standby
    delta: true
    recovery_options:
      primary_conninfo: "host=db1 user=replication password={{ vault_replication_password }}"
  become: true
  become_user: postgres
"""

RETURN = r"""
plan:
  description: What was done, or would be done in check mode.
  returned: success
  type: dict
  contains:
    stanza: {description: Name of the stanza., type: str, returned: always, sample: main}
    backup:
      description: The chosen backup in short. All about it is in RV(backup).
      type: dict
      returned: always
      sample: {label: 20260501-020003F, repo_key: 1, stop_time: '2026-05-01 00:04:11+00:00', type: full}
    target:
      description: The target, RV(ignore:text) in words.
      type: dict
      returned: always
      sample:
        action: promote
        exclusive: false
        text: time 2026-05-01 14:30:00+02:00, then promote
        timeline:
        type: time
        value: '2026-05-01 14:30:00+02:00'
    directory:
      description:
        - The data directory before the restore.
        - Its state is V(missing), V(empty), V(cluster) or V(unfinished), the rest of a restore that did not end.
      type: dict
      returned: always
      sample:
        checkpoint_lsn: 0/6000060
        cluster_state: shut down
        path: /var/lib/postgresql/15/main
        pg_version: '15'
        state: cluster
        system_identifier: 7711102130744859195
        text: cluster 7711102130744859195, PostgreSQL 15, shut down, timeline 1, checkpoint 0/6000060
        timeline: 1
    method:
      description:
        - V(full) into empty directories, V(delta) over what is there, V(none) when the directory already holds this
          restore.
      type: str
      returned: always
      sample: delta
    overwrites:
      description: Directories that hold something now, how many bytes it has, and what it is.
      type: list
      elements: dict
      returned: always
      sample:
        - bytes: 31457280
          content: cluster 7711102130744859195, PostgreSQL 15, shut down, timeline 1, checkpoint 0/6000060
          path: /var/lib/postgresql/15/main
    tablespaces:
      description: Tablespaces of the backup and where they come to.
      type: list
      elements: dict
      returned: always
      sample: [{name: fast, oid: 16384, original: /mnt/fast, path: /mnt/fast}]
    links:
      description: Symbolic links and where they come to. Without a path they become plain files or directories.
      type: list
      elements: dict
      returned: always
      sample: [{name: pg_wal, original: /wal/main, path: /wal/main}]
    databases_left_out:
      description: OIDs of the databases left out.
      type: list
      elements: int
      returned: always
      sample: [16388]
    space:
      description: Bytes that the backup needs, that are free, and that overwritten files have now.
      type: dict
      returned: always
      sample: {free: 85899345920, needed: 30472388, reused: 31457280}
    recovery_settings:
      description: As RV(recovery_settings).
      type: dict
      returned: always
      sample: {recovery_target_action: promote, recovery_target_time: '2026-05-01 14:30:00+02:00'}
    warnings: {description: What to keep in mind., type: list, elements: str, returned: always, sample: []}
    text:
      description: The plan in lines for people.
      type: list
      elements: str
      returned: always
      sample:
        - 'Restore of stanza main to /var/lib/postgresql/15/main (delta: what differs is overwritten, what is not in the
          backup is deleted)'
        - from   full backup 20260501-020003F of repository 1, ended 2026-05-01 00:04:11+00:00
        - to     time 2026-05-01 14:30:00+02:00, then promote
backup:
  description: The backup set, as M(pgops.pgbackrest.backup_info) shows it.
  returned: success
  type: dict
  sample: {label: 20260501-020003F, repo_key: 1, size: 30472388, stop_time: '2026-05-01 00:04:11+00:00', type: full}
recovery_settings:
  description: Settings that lead recovery, without C(restore_command). Secrets are masked.
  returned: success
  type: dict
  sample: {primary_conninfo: 'host=db1 user=replication password=********'}
restored:
  description: What the restore did.
  returned: when something was restored
  type: dict
  contains:
    seconds: {description: Duration., type: float, returned: always, sample: 12.5}
    files: {description: Number of files., type: int, returned: always, sample: 1263}
    bytes: {description: Size of the restored cluster., type: int, returned: always, sample: 30472388}
    copied_bytes: {description: Bytes that came from the repository., type: int, returned: always, sample: 802816}
    bytes_per_second: {description: Bytes copied in a second., type: int, returned: always, sample: 64225}
problems:
  description: Everything that stands against the restore.
  returned: when the restore is refused
  type: list
  elements: dict
  contains:
    code: {description: Name of the problem for programs., type: str, returned: always, sample: not_empty}
    sentence: {description: What is wrong., type: str, returned: always, sample: /srv/pg is not empty.}
    hint: {description: What to do next., type: str, returned: always, sample: 'Set delta: true.'}
"""

import typing as t
from contextlib import ExitStack

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._cli import COMMON_ARGUMENTS, COMMON_EXCLUSIONS, PgBackRestError
from ..module_utils._cluster import ClusterError
from ..module_utils._handover import hand_over_long_work
from ..module_utils._plan import secrets_in
from ..module_utils._problem import PlanError
from ..module_utils._restore_task import put_back_kept, restore
from ..module_utils._target import ACTIONS, TYPES

ARGUMENTS: dict[str, dict[str, t.Any]] = {
    **COMMON_ARGUMENTS,
    "stanza": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["restored", "put_back"], "default": "restored"},
    "pgdata": {"type": "path"},
    "type": {"type": "str", "choices": list(TYPES), "default": "default"},
    "target": {"type": "str"},
    "target_timeline": {"type": "str"},
    "target_action": {"type": "str", "choices": list(ACTIONS)},
    "target_exclusive": {"type": "bool", "default": False},
    "set": {"type": "str"},
    "repo": {"type": "int"},
    "delta": {"type": "bool", "default": False},
    "swap": {"type": "bool", "default": False},
    "workspace": {"type": "path"},
    "plan": {"type": "str"},
    "repeat": {"type": "bool", "default": False},
    "allow_unproven": {"type": "bool", "default": False},
    "bindir": {"type": "path"},
    "tablespace_map": {"type": "dict"},
    "tablespace_map_all": {"type": "path"},
    "link_map": {"type": "dict"},
    "link_all": {"type": "bool"},
    "db_include": {"type": "list", "elements": "str"},
    "db_exclude": {"type": "list", "elements": "str"},
    "recovery_options": {"type": "dict", "no_log": True},
    "archive_mode": {"type": "str", "choices": ["preserve", "off"]},
    "process_max": {"type": "int"},
    "progress_file": {"type": "path"},
}


def hide_secrets(module: AnsibleModule) -> None:
    """Mask the secrets in recovery_options and nothing else.

    no_log alone would mask every value of the dictionary wherever it occurs in the result, even a mere 5.
    """
    options = {str(name): str(value) for name, value in (module.params["recovery_options"] or {}).items()}
    for value in options.values():
        module.no_log_values.discard(value)
    module.no_log_values.update(secrets_in(options))


def refuse_both(module: AnsibleModule) -> None:
    """Two ways of restoring exclude each other; said here, because a false value of either is no contradiction."""
    if module.params["delta"] and module.params["swap"]:
        module.fail_json(
            msg="delta and swap exclude each other: delta: true overwrites the data directory in place, swap: true "
            "restores beside it and keeps the old one. Set one of them."
        )


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, mutually_exclusive=COMMON_EXCLUSIONS, supports_check_mode=True)
    refuse_both(module)
    hide_secrets(module)
    hand_over_long_work(module)
    work = put_back_kept if module.params["state"] == "put_back" else restore
    try:
        with ExitStack() as locks:
            result = work(module, locks)
    except (PgBackRestError, PlanError) as error:
        module.fail_json(**error.result())
    except ClusterError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
