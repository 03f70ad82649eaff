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
  - Plans before it acts. Whether the target can be reached is proven from the archive itself. Which backup serves it,
    whether the directory is the right one, tablespaces, links and free space are checked first, and everything that
    stands against the restore is reported at once. Nothing is touched unless the plan holds. In check mode the plan is
    all there is.
  - WAL that no repository has, as the newest WAL of every cluster, is copied to O(workspace) before anything else, and
    handed to the restored cluster as far as its recovery comes to it.
  - With O(swap) the cluster is restored beside the data directory, which is moved away at the very end and kept.
    O(state=put_back) brings it back. With O(delta) it is restored in place.
  - The last step is a receipt in O(workspace). The same request, made again, then changes nothing, whatever the cluster
    did since, unless O(repeat) is set. A run that was interrupted anywhere has no receipt, and the next run finishes
    its work.
  - A running cluster is never overwritten and never moved. Only in check mode it is no more than a warning, so that the
    plan can be made before the cluster is stopped.
  - Starting the server and waiting until recovery has reached the target is not its job. See
    M(pgops.pgbackrest.recovery). The role P(pgops.pgbackrest.restore#role) does all steps.
  - A directory that already holds exactly this restore, not yet started, is left alone.
extends_documentation_fragment:
  - pgops.pgbackrest._attributes
  - pgops.pgbackrest._pgbackrest
  - pgops.pgbackrest._pgbackrest.stanza
  - pgops.pgbackrest._pgbackrest.progress
options:
  state:
    description:
      - V(restored) restores.
      - V(put_back) moves the directory that the last swap kept back to O(pgdata), as after a recovery that failed.
        The restored directory becomes C(<pgdata>.failed-<time>). Tablespaces of both stay where they are. It is
        refused while a server runs on one of them, and when there is nothing to put back.
    type: str
    choices: [restored, put_back]
    default: restored
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
      - Without it the timeline is chosen where only one can be meant, written into the recovery settings and told in
        the plan with the reason. After an earlier recovery or a failover a target can lie on several timelines. Where
        it is not certain which is meant, the restore is refused until this option says so.
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
      - Mutually exclusive with O(swap).
    type: bool
    default: false
  swap:
    description:
      - Restore into a new directory in O(workspace), then let it change places with the data directory, by two
        renames. The old directory is kept as C(<pgdata>.before-<time>) until somebody removes it.
      - Tablespaces, and links with O(link_all), that are not mapped come to new directories beside their present ones,
        named C(<path>.<time>), and stay there.
      - It needs room for a second cluster. Data directory and workspace must be on one file system, and the data
        directory must not be a mount point.
    type: bool
    default: false
  workspace:
    description:
      - Directory for what must outlive the restore. It holds the receipt, WAL that no repository has, and with O(swap)
        the new directory until it is complete. It is made when it is missing, for its owner only.
      - Keep it until the restored cluster has a backup of its own. Then it can be removed.
      - Default is the data directory with C(.restore) appended.
    type: path
  plan:
    description:
      - Identity of the plan that was approved, RV(plan.id) of a run in check mode.
      - If the plan has another identity now, the restore is refused. The identity depends on everything that was
        decided, such as backup, target, timeline and directories, and not on sizes or on WAL archived since.
    type: str
  repeat:
    description:
      - Restore although this very request was carried out here before. What the cluster wrote since is then given up.
      - With O(plan) a request whose receipt names that plan is not repeated, so that a run that was interrupted after
        it can be made again.
    type: bool
    default: false
  allow_unproven:
    description:
      - Restore although it could not be proven that the target can be reached, because C(pg_waldump) of this major
        version is not on the host for instance. The plan says so in its warnings, and recovery tells in the end.
    type: bool
    default: false
  plan_warnings:
    description:
      - Whether what the plan says is also given as warnings. A play that shows the plan needs them only once.
      - They are in RV(plan.warnings) in any case.
    type: bool
    default: true
  bindir:
    description:
      - Directory of PostgreSQL's programs, of which C(pg_waldump) is used.
      - Default is where packages put those of the backup's major version, such as C(/usr/lib/postgresql/15/bin) or
        C(/usr/pgsql-15/bin), and then C(PATH).
    type: path
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
      - With O(type=standby) C(primary_conninfo) and C(primary_slot_name) are kept as the standby in the directory has
        them, unless they are named here or in the configuration.
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
    target_action: promote
    swap: true
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
    swap: true
    plan: "{{ restore_plan.plan.id }}"
  become: true
  become_user: postgres

- name: Give the restored cluster up, and bring the old directory back
  pgops.pgbackrest.restore:
    stanza: main
    state: put_back
  become: true
  become_user: postgres

- name: Restore in place the newest state there is, where there is no room for a second cluster
  pgops.pgbackrest.restore:
    stanza: main
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
  description: What was done, or would be done in check mode. After an earlier run with this request it is that plan.
  returned: success, with O(state=restored)
  type: dict
  contains:
    id: {description: Identity of the plan., type: str, returned: always, sample: 20260501-020003F-9b35bcf3}
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
    copy_of:
      description: The stanza's own data directory (C(pg1-path)) when this restore goes to another one, otherwise null.
      type: str
      returned: always
      sample:
    mode:
      description:
        - V(full) into empty directories, V(delta) over what is there, V(swap) beside it, V(none) when nothing is left
          to do.
      type: str
      returned: always
      sample: swap
    keeps:
      description:
        - Where a swap moves the old directory. The time in it is that of this run; in check mode the text of the plan
          has C(<time>) in its place.
      type: str
      returned: always
      sample: /var/lib/postgresql/15/main.before-20260501T124500Z
    expected_bytes: {description: Size of the restored cluster., type: int, returned: always, sample: 30472388}
    window:
      description: What can be reached from the backup. Null for types that do not read the archive.
      type: dict
      returned: always
      sample:
        earliest_lsn: 0/2000100
        earliest_time: '2026-05-01 00:04:11+00:00'
        latest_lsn: 0/9A12F38
        latest_time: '2026-05-01 12:41:07.318204+00:00'
        timeline: 1
    wal:
      description: WAL to replay, and how many segments of it only this host has.
      type: dict
      returned: always
      sample:
        bytes: 117440512
        first: '000000010000000000000002'
        from_local: 1
        last: '000000010000000000000008'
        segments: 7
    rescue:
      description: WAL that no repository has, and where it is kept.
      type: dict
      returned: always
      sample: {bytes: 16777216, path: /var/lib/postgresql/15/main.restore/rescued/7711102130744859195, segments: 1}
    overwrites:
      description: Directories that are overwritten, how many bytes they have, and what it is.
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
      description: Bytes that the restore needs, that are free, and that replaced files have now, in all and for each
        file system. What is for WAL and for rescued WAL is told besides.
      type: dict
      returned: always
      sample:
        file_systems: [{free: 85899345920, needed: 164762116, path: /var/lib/postgresql/15/main.restore, reused: 0}]
        free: 85899345920
        needed: 164762116
        rescue: 16777216
        reused: 0
        wal: 117440512
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
        - 'Plan 20260501-020003F-9b35bcf3: restore of stanza main to /var/lib/postgresql/15/main'
        - '  how        beside the old directory (swap), which then makes way and is kept'
        - '  from       full backup 20260501-020003F of repository 1, ended 2026-05-01 00:04:11+00:00, 29.1 MiB'
        - '  to         time 2026-05-01 12:30:00+00:00, then promote'
backup:
  description: The backup set, as M(pgops.pgbackrest.backup_info) shows it.
  returned: success, with O(state=restored)
  type: dict
  sample: {label: 20260501-020003F, repo_key: 1, size: 30472388, stop_time: '2026-05-01 00:04:11+00:00', type: full}
recovery_settings:
  description: Settings that lead recovery, without C(restore_command). Secrets are masked.
  returned: success, with O(state=restored)
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
restored_at:
  description: When the restore ended, in this run or in the earlier one with this request.
  returned: when this request was carried out
  type: str
  sample: "2026-05-01 12:46:02+00:00"
kept:
  description: Directory that the swap moved away. Null when nothing was there, and without a swap.
  returned: when this request was carried out
  type: str
  sample: /var/lib/postgresql/15/main.before-20260501T124500Z
kept_directories:
  description: All directories beside O(pgdata) that this restore and earlier ones have moved away and that still use
    disk. RV(kept) is one of them.
  returned: when this request was carried out
  type: list
  elements: dict
  contains:
    path:
      description: The directory.
      type: str
      returned: always
      sample: /var/lib/postgresql/15/main.before-20260501T124500Z
    bytes: {description: What it occupies. Null when it cannot be read., type: int, returned: always, sample: 31457280}
rescued:
  description: WAL that no repository has, all of it in C(path).
  returned: when this request was carried out
  type: dict
  contains:
    path:
      description: Directory of the files. Null when there are none.
      type: str
      returned: always
      sample: /var/lib/postgresql/15/main.restore/rescued/7711102130744859195
    files:
      description: Names of the files.
      type: list
      elements: str
      returned: always
      sample: ['000000010000000000000008']
    handed_back:
      description: Names of those that this run put into C(pg_wal) of the restored cluster.
      type: list
      elements: str
      returned: always
      sample: ['000000010000000000000008']
put_back:
  description: What was moved, or would be moved in check mode.
  returned: with O(state=put_back), when something was to be moved
  type: dict
  contains:
    from:
      description: Where the directory was that is put back.
      type: str
      returned: always
      sample: /var/lib/postgresql/15/main.before-20260501T124500Z
    to: {description: The data directory., type: str, returned: always, sample: /var/lib/postgresql/15/main}
    failed:
      description: Where the directory is that was given up. Null when there was none.
      type: str
      returned: always
      sample: /var/lib/postgresql/15/main.failed-20260501T131502Z
problems:
  description: Everything that stands against the restore.
  returned: when the task is refused, or did not end as planned
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

from ..module_utils._cli import COMMON_ARGUMENTS, COMMON_EXCLUSIONS
from ..module_utils._cluster import ClusterError
from ..module_utils._handover import hand_over_long_work
from ..module_utils._messages import PgBackRestError
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
    "plan_warnings": {"type": "bool", "default": True},
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
