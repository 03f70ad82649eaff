#!/usr/bin/python
# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_info
short_description: Read stanzas, backups and archives from pgBackRest's repositories
description:
  - Tells what the repositories hold, whether they are healthy, since when a cluster can be recovered, how old its last
    backups are, and how far a running backup or restore is.
  - An unhealthy stanza does not make the task fail. Look at RV(healthy) and RV(problems), or at those of each stanza.
    The exit status of C(pgbackrest info) says nothing about health, so it is not used for it.
version_added: 0.1.0
author: ["pgops contributors (@pgops)"]
extends_documentation_fragment:
  - pgops.pgbackrest._attributes.INFO
  - pgops.pgbackrest._pgbackrest
options:
  stanza:
    description:
      - Name of the stanza to read.
      - Without it all stanzas are read that are found in the repositories of section C([global]). Stanzas whose own
        section names a repository or a passphrase are read one by one, because C(pgbackrest info) alone does not see
        them.
    type: str
  repo:
    description: Number of the repository to read. Without it all repositories are read.
    type: int
  set:
    description:
      - Label of one backup set to read in detail (RV(stanzas[].backups[].details)).
      - Needs O(stanza).
    type: str
  backups:
    description:
      - Whether to list each backup. With thousands of backups their list is what costs most, in this task and in each
        one that uses its result.
      - All else covers all backups without the list, too, such as RV(stanzas[].repositories[].contents),
        RV(stanzas[].windows), RV(stanzas[].last) and RV(problems).
    type: bool
    default: true
  newest:
    description:
      - List only so many of the newest backups of each stanza in each repository. Without it all are listed.
      - This changes the list only. All else covers all backups, as without the list (O(backups=false)).
    type: int
seealso:
  - module: pgops.pgbackrest.backup
  - module: pgops.pgbackrest.check
"""

EXAMPLES = r"""
---
- name: Read one stanza
  pgops.pgbackrest.backup_info:
    stanza: main
  become: true
  become_user: postgres
  register: result

- name: Fail when it is not healthy or its last full backup is older than eight days
  ansible.builtin.assert:
    that:
      - result.healthy
      - result.stanzas[0].last.full is not none
      - result.stanzas[0].last.full.age < 8 * 86400
    fail_msg: "{{ result.problems | join(' ') }}"

- name: Read the last three backups in each repository
  pgops.pgbackrest.backup_info:
    stanza: main
    newest: 3
  become: true
  become_user: postgres

- name: Read databases and tablespaces of one backup
  pgops.pgbackrest.backup_info:
    stanza: main
    set: 20261122-205943F
  become: true
  become_user: postgres
"""

RETURN = r"""
healthy:
  description: Whether all stanzas are healthy. V(false) when no stanza was found.
  type: bool
  returned: success
  sample: true
problems:
  description: What is wrong and what to do about it, one sentence or two for each problem of each stanza.
  type: list
  elements: str
  returned: success
  sample: []
version:
  description: Version of pgBackRest on this host.
  type: str
  returned: success
  sample: 2.55.1
stanzas:
  description: The stanzas by name.
  type: list
  elements: dict
  returned: success
  contains:
    name:
      description: Name of the stanza.
      type: str
      returned: success
      sample: main
    healthy:
      description: Whether the status is good in all repositories, with a backup in each and no page checksum errors.
      type: bool
      returned: success
      sample: true
    status:
      description:
        - Status over all repositories. V(0) is good, V(1) the stanza is missing, V(2) it has no backup, V(3) its data
          is missing, V(4) different across repositories, V(5) another cluster than in the other repositories, V(6) the
          backup asked for is not there, V(99) the repository cannot be read.
      type: dict
      returned: success
      sample: {code: 0, message: ok}
      contains:
        code:
          description: Number of the status.
          type: int
          returned: success
          sample: 0
        message:
          description: Its name.
          type: str
          returned: success
          sample: ok
    problems:
      description: What is wrong with this stanza and what to do about it.
      type: list
      elements: str
      returned: success
      sample:
        - "Repository 2: no valid backups. Take a backup with the module pgops.pgbackrest.backup."
    repositories:
      description: Each repository with its own status.
      type: list
      elements: dict
      returned: success
      sample: [{key: 1, status_code: 0, status_message: ok, cipher: aes-256-cbc}]
      contains:
        key:
          description: Number of the repository.
          type: int
          returned: success
          sample: 1
        status_code:
          description: Status as in RV(stanzas[].status.code).
          type: int
          returned: success
          sample: 0
        status_message:
          description: Name of the status, or the error for V(99).
          type: str
          returned: success
          sample: ok
        cipher:
          description: How the repository is encrypted, V(none) or V(aes-256-cbc).
          type: str
          returned: success
          sample: aes-256-cbc
        contents:
          description: The backups of the repository in short, those of former clusters included.
          type: dict
          returned: success
          sample:
            newest: 20261122-205937F_20261122-205940I
            size: 23592960
            stored: 3043560
            types:
              full: {count: 2, last: {label: 20261122-205937F, stop: 1795381179,
                     stop_time: "2026-11-22 20:59:39+00:00"}}
              diff: {count: 0, last: null}
              incr: {count: 1, last: {label: 20261122-205937F_20261122-205940I, stop: 1795381182,
                     stop_time: "2026-11-22 20:59:42+00:00"}}
          contains:
            newest:
              description: Label of the backup that ended last, V(null) without one.
              type: str
              returned: success
              sample: 20261122-205937F_20261122-205940I
            size:
              description: Size of the cluster at that backup, in bytes.
              type: int
              returned: success
              sample: 23592960
            stored:
              description: Bytes that all backups take in the repository, WAL not included.
              type: int
              returned: success
              sample: 3043560
            types:
              description:
                - For each of V(full), V(diff) and V(incr) the number of backups of exactly this type, and the newest of
                  them without page checksum errors.
              type: dict
              returned: success
              sample: {}
    databases:
      description: The clusters that the stanza has known. Each upgrade of the stanza adds one.
      type: list
      elements: dict
      returned: success
      sample: [{id: 1, repo_key: 1, system_id: 7711103432488110519, version: "15"}]
      contains:
        id:
          description: Counts up with each upgrade of the stanza; the highest one is current.
          type: int
          returned: success
          sample: 1
        repo_key:
          description: Number of the repository.
          type: int
          returned: success
          sample: 1
        system_id:
          description: System identifier of the cluster, as C(pg_controldata) shows it.
          type: int
          returned: success
          sample: 7711103432488110519
        version:
          description: Version of PostgreSQL.
          type: str
          returned: success
          sample: "15"
    archives:
      description: The archived WAL of each cluster in each repository. Gaps between the ends are not visible here.
      type: list
      elements: dict
      returned: success
      sample:
        - repo_key: 1
          database_id: 1
          id: 15-1
          wal_min: "000000010000000000000001"
          wal_max: "000000010000000000000026"
      contains:
        repo_key:
          description: Number of the repository.
          type: int
          returned: success
          sample: 1
        database_id:
          description: The cluster, as in RV(stanzas[].databases[].id).
          type: int
          returned: success
          sample: 1
        id:
          description: Name of the archive in the repository.
          type: str
          returned: success
          sample: 15-1
        wal_min:
          description: First WAL segment, V(null) when there is none.
          type: str
          returned: success
          sample: "000000010000000000000001"
        wal_max:
          description: Last WAL segment, V(null) when there is none.
          type: str
          returned: success
          sample: "000000010000000000000026"
    backups:
      description: The backups of all repositories, or those that O(newest) asks for, oldest first.
      type: list
      elements: dict
      returned: with O(backups=true)
      contains:
        label:
          description: Name of the backup set.
          type: str
          returned: success
          sample: 20261122-205937F_20261122-205940I
        type:
          description: V(full), V(diff) or V(incr).
          type: str
          returned: success
          sample: incr
        prior:
          description: The backup that this one builds upon, V(null) for a full one.
          type: str
          returned: success
          sample: 20261122-205937F
        references:
          description: All backups that this one needs.
          type: list
          elements: str
          returned: success
          sample: [20261122-205937F]
        repo_key:
          description: Number of the repository that holds it.
          type: int
          returned: success
          sample: 1
        database_id:
          description: The cluster, as in RV(stanzas[].databases[].id).
          type: int
          returned: success
          sample: 1
        start:
          description: When it began, in seconds since 1970.
          type: int
          returned: success
          sample: 1795381180
        stop:
          description: When it ended, in seconds since 1970.
          type: int
          returned: success
          sample: 1795381182
        start_time:
          description: When it began, in UTC.
          type: str
          returned: success
          sample: "2026-11-22 20:59:40+00:00"
        stop_time:
          description: When it ended, in UTC.
          type: str
          returned: success
          sample: "2026-11-22 20:59:42+00:00"
        duration:
          description: How long it took, in seconds.
          type: int
          returned: success
          sample: 2
        lsn_start:
          description: Where its WAL begins, V(null) for a backup of a stopped cluster.
          type: str
          returned: success
          sample: 0/3000028
        lsn_stop:
          description: Where it is consistent, V(null) for a backup of a stopped cluster.
          type: str
          returned: success
          sample: 0/4000050
        wal_start:
          description: First WAL segment that it needs, V(null) for a backup of a stopped cluster.
          type: str
          returned: success
          sample: "000000010000000000000003"
        wal_stop:
          description: Last WAL segment that it needs to be consistent, V(null) for a backup of a stopped cluster.
          type: str
          returned: success
          sample: "000000010000000000000004"
        size:
          description: Size of the cluster, in bytes.
          type: int
          returned: success
          sample: 22992585
        delta:
          description: How much of it this backup copied, in bytes.
          type: int
          returned: success
          sample: 8458
        repo_size:
          description: Size in the repository with all it refers to, in bytes. V(null) with block incremental.
          type: int
          returned: success
          sample: 3056880
        repo_delta:
          description: Size in the repository of this backup alone, in bytes.
          type: int
          returned: success
          sample: 430
        error:
          description: Whether page checksum errors were found. V(null) when that is not known.
          type: bool
          returned: success
          sample: false
        annotations:
          description: Notes that were given with the backup.
          type: dict
          returned: success
          sample: {reason: before release}
        details:
          description: What is in the backup. V(null) unless O(set) asks for it.
          type: dict
          returned: success
          sample:
            databases: [{name: postgres, oid: 5}]
            tablespaces: []
            links: []
            damaged_files: []
          contains:
            databases:
              description: Databases with name and OID.
              type: list
              elements: dict
              returned: with O(set)
            tablespaces:
              description: Tablespaces with name, OID and destination.
              type: list
              elements: dict
              returned: with O(set)
            links:
              description: Symbolic links with name and destination.
              type: list
              elements: dict
              returned: with O(set)
            damaged_files:
              description: Files with page checksum errors, below the data directory.
              type: list
              elements: str
              returned: with O(set)
    windows:
      description: For each repository with a usable backup, the span in which the current cluster can be recovered.
      type: list
      elements: dict
      returned: success
      sample:
        - repo_key: 1
          earliest: 1795381179
          earliest_time: "2026-11-22 20:59:39+00:00"
          earliest_lsn: 0/2000100
          earliest_backup: 20261122-205937F
          latest_backup: 20261122-205937F_20261122-205940I
          latest_timeline: 1
          latest_wal: "000000010000000000000026"
      contains:
        repo_key:
          description: Number of the repository.
          type: int
          returned: success
          sample: 1
        earliest:
          description: End of the oldest usable backup, in seconds since 1970. No earlier moment can be reached.
          type: int
          returned: success
          sample: 1795381179
        earliest_time:
          description: The same moment in UTC.
          type: str
          returned: success
          sample: "2026-11-22 20:59:39+00:00"
        earliest_lsn:
          description: The same moment as a place in the WAL.
          type: str
          returned: success
          sample: 0/2000100
        earliest_backup:
          description: Label of that backup.
          type: str
          returned: success
          sample: 20261122-205937F
        latest_backup:
          description: Label of the newest usable backup.
          type: str
          returned: success
          sample: 20261122-205937F_20261122-205940I
        latest_timeline:
          description: The newest timeline of which there is a usable backup, V(null) when none has WAL.
          type: int
          returned: success
          sample: 1
        latest_wal:
          description: The last WAL segment in the archive. The last moment that can be reached lies in it.
          type: str
          returned: success
          sample: "000000010000000000000026"
    last:
      description:
        - For each of V(full), V(diff) and V(incr) the newest usable backup of the current cluster that counts as one,
          or V(null). A full one counts as V(diff) and V(incr), a differential one as V(incr).
      type: dict
      returned: success
      sample:
        full: {label: 20261122-205937F, type: full, repo_key: 1, stop: 1795381179,
               stop_time: "2026-11-22 20:59:39+00:00", age: 4711}
        diff: {label: 20261122-205937F, type: full, repo_key: 1, stop: 1795381179,
               stop_time: "2026-11-22 20:59:39+00:00", age: 4711}
        incr: {label: 20261122-205937F_20261122-205940I, type: incr, repo_key: 1, stop: 1795381182,
               stop_time: "2026-11-22 20:59:42+00:00", age: 4708}
    running:
      description:
        - The backup or restore that runs now, V(null) when none does. pgBackRest sees only commands on this host.
      type: dict
      returned: success
      sample: {command: backup, percent: 95.9, done: 484220000, total: 504886987}
      contains:
        command:
          description: V(backup), which may also be an expire, or V(restore).
          type: str
          returned: success
          sample: backup
        percent:
          description: How much of it is done. V(null) at its beginning.
          type: float
          returned: success
          sample: 95.9
        done:
          description: Bytes that are done. V(null) before pgBackRest 2.48.
          type: int
          returned: success
          sample: 484220000
        total:
          description: Bytes in all. V(null) before pgBackRest 2.48.
          type: int
          returned: success
          sample: 504886987
"""

import gc
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._backup import last_backups
from ..module_utils._cli import COMMON_ARGUMENTS, COMMON_EXCLUSIONS, PgBackRest
from ..module_utils._messages import PgBackRestError
from ..module_utils._repository import MISSING_STANZA, Stanza, parse_info, parse_running, with_percent

ARGUMENTS: dict[str, dict[str, t.Any]] = {
    **COMMON_ARGUMENTS,
    "stanza": {"type": "str"},
    "repo": {"type": "int"},
    "set": {"type": "str"},
    "backups": {"type": "bool", "default": True},
    "newest": {"type": "int"},
}


def read(module: AnsibleModule, stanza: str | None) -> list[Stanza]:
    """Stanzas of the configuration's [global] section, or the one with this name."""
    pgbackrest = PgBackRest(module, stanza)
    stanzas = parse_info(pgbackrest.info(repo=module.params["repo"], set=module.params["set"]))
    if any(found.running and found.running["percent"] is None for found in stanzas) and pgbackrest.version < (2, 48):
        # Their JSON only says that something runs; the text form knows the percent.
        running = parse_running(pgbackrest.run("info", {"output": "text"}, stanza=stanza is not None).stdout)
        stanzas = [with_percent(found, running) for found in stanzas]
    return stanzas


def read_all(module: AnsibleModule) -> list[Stanza]:
    """All stanzas, those with a repository or passphrase of their own included."""
    found = {stanza.name: stanza for stanza in read(module, None)}
    for name in PgBackRest(module).stanzas_with_own_repository():
        for stanza in read(module, name):
            if stanza.status_code not in MISSING_STANZA:
                found[name] = stanza
    return [found[name] for name in sorted(found)]


def record(module: AnsibleModule, stanza: Stanza, now: int) -> dict[str, t.Any]:
    """A stanza for the result."""
    listed = stanza.to_dict(module.params["backups"], module.params["newest"])
    result = {**listed, "last": last_backups(stanza, now)}
    if stanza.missing_in() and not PgBackRest(module, stanza.name).setting("pg1-path", "backup"):
        result["problems"].append(
            f"Stanza {stanza.name} is not in the configuration of this host. Correct its name, or configure it with "
            "the module pgops.pgbackrest.config."
        )
    return result


def all_problems(records: t.Sequence[t.Mapping[str, t.Any]]) -> list[str]:
    """The problems of all stanzas; finding none at all is one too."""
    if not records:
        return ["No stanza was found in the repositories. Create one with the module pgops.pgbackrest.stanza."]
    return [f"{stanza['name']}: {problem}" for stanza in records for problem in stanza["problems"]]


def main() -> None:
    module = AnsibleModule(
        argument_spec=ARGUMENTS,
        mutually_exclusive=COMMON_EXCLUSIONS,
        required_by={"set": ["stanza"]},
        supports_check_mode=True,
    )
    if (module.params["newest"] or 0) < 0:
        module.fail_json(msg=f"newest must not be negative, but is {module.params['newest']}.")
    gc.disable()  # thousands of records, none of them garbage, would be looked through again and again
    try:
        version = PgBackRest(module).version_text
        name = module.params["stanza"]
        stanzas = read(module, name) if name else read_all(module)
    except PgBackRestError as error:
        module.fail_json(**error.result())
    now = int(time.time())
    records = [record(module, stanza, now) for stanza in stanzas]
    module.exit_json(
        changed=False,
        version=version,
        healthy=bool(records) and all(stanza["healthy"] for stanza in records),
        problems=all_problems(records),
        stanzas=records,
    )


if __name__ == "__main__":
    main()
