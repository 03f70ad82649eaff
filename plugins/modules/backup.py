#!/usr/bin/python
# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup
short_description: Have a backup that is not older than wanted
description:
  - Takes a backup with pgBackRest, unless one of the wanted type is there that is not older than O(max_age).
  - A full backup counts as a differential and an incremental one, a differential backup as an incremental one.
  - Only backups count that are free of page checksum errors and belong to the cluster that is there now.
  - A backup in which pgBackRest found page checksum errors makes the task fail, although pgBackRest itself ends well.
    The backup stays in the repository; RV(backup) says which one it is and RV(damaged_files) what is damaged.
  - After the backup pgBackRest removes what its retention options say, as it always does.
version_added: 0.1.0
author: ["pgops contributors (@pgops)"]
extends_documentation_fragment:
  - pgops.pgbackrest._attributes
  - pgops.pgbackrest._pgbackrest
  - pgops.pgbackrest._pgbackrest.STANZA
  - pgops.pgbackrest._pgbackrest.PROGRESS
attributes:
  check_mode:
    support: full
    description: Says whether a backup would be taken and of which type. Fails where the backup would be refused.
  idempotent:
    support: partial
    description: Idempotent with O(max_age). Without it each run takes a backup.
options:
  type:
    description:
      - Type of the backup.
      - Without a prior full backup pgBackRest takes a full one instead. RV(promoted_to_full) says so.
    type: str
    choices: [full, diff, incr]
    default: incr
  max_age:
    description:
      - How old the newest backup that counts may be, such as V(24h), V(7d) or a number of seconds.
        Units are V(s), V(m), V(h), V(d) and V(w).
      - The age is counted from the end of the backup to the present by this host's clock.
      - Without it a backup is taken in any case.
    type: str
  repo:
    description:
      - Number of the repository to back up to and to look for backups in.
      - Without it this is the configured repository with the lowest number, as with pgBackRest itself.
    type: int
  annotations:
    description:
      - Notes to keep with the backup, as names and values. They have no influence on whether a backup is taken.
    type: dict
    default: {}
  backup_standby:
    description:
      - Whether pgBackRest copies the files from a standby. Without it the configuration says so.
      - After a restore the standbys are still on the old timeline, and pgBackRest refuses to copy from them (error
        058). With V(false) it takes all from the primary.
    type: bool
  retries:
    description:
      - How often to try again when the failure may pass, such as a lock held by another backup or a PostgreSQL that is
        just starting.
      - The first repetition comes after 3 seconds, each next one after twice as long, at most a minute.
    type: int
    default: 0
seealso:
  - module: pgops.pgbackrest.backup_info
  - module: pgops.pgbackrest.stanza
  - module: pgops.pgbackrest.restore
"""

EXAMPLES = r"""
---
- name: Have a full backup from the last seven days
  pgops.pgbackrest.backup:
    stanza: main
    type: full
    max_age: 7d
  become: true
  become_user: postgres

- name: Take an incremental backup before the release
  pgops.pgbackrest.backup:
    stanza: main
    annotations:
      reason: before release 42
    retries: 5
  become: true
  become_user: postgres
  register: result

- name: Show which one
  ansible.builtin.debug:
    msg: "{{ result.backup.label }} took {{ result.backup.duration }} s"
"""

RETURN = r"""
msg:
  description: What was done and why.
  type: str
  returned: always
  sample: "Took the full backup 20261122-205937F in 2 s: there was no backup that counts as incr."
backup:
  description:
    - The backup that was taken, or the one that is young enough. V(null) in check mode when one would be taken.
    - Its fields are those of RV(pgops.pgbackrest.backup_info#module:stanzas[].backups).
  type: dict
  returned: success, or when the new backup has page checksum errors
  sample:
    label: 20261122-205937F
    type: full
    prior: null
    references: []
    repo_key: 1
    database_id: 1
    start: 1795381177
    stop: 1795381179
    start_time: "2026-11-22 20:59:37+00:00"
    stop_time: "2026-11-22 20:59:39+00:00"
    duration: 2
    lsn_start: 0/2000028
    lsn_stop: 0/2000100
    wal_start: "000000010000000000000002"
    wal_stop: "000000010000000000000002"
    size: 22992585
    delta: 22992585
    repo_size: 3056880
    repo_delta: 3056880
    error: false
    annotations: {reason: before release}
    details: null
type:
  description: Type of the backup that was taken, would be taken in check mode, or is young enough.
  type: str
  returned: success
  sample: full
requested_type:
  description: The type that was asked for.
  type: str
  returned: success
  sample: incr
promoted_to_full:
  description: Whether a full backup was taken, or would be, because there was no prior one. A warning says so too.
  type: bool
  returned: success
  sample: true
age:
  description: Age of RV(backup) in seconds. V(0) when it was just taken, V(null) in check mode when one would be.
  type: int
  returned: success
  sample: 0
repo_key:
  description: Number of the repository.
  type: int
  returned: success
  sample: 1
damaged_files:
  description: Files with page checksum errors in the new backup, below the data directory.
  type: list
  elements: str
  returned: when the new backup has page checksum errors
  sample: [base/5/16384]
error:
  description: pgBackRest's error with its code, name, message, hint, command and the next step.
  type: dict
  returned: when pgBackRest failed
  sample:
    code: 62
    name: stop
    message: stop file exists for stanza main
    hint: null
    command: backup
    next_step: "Somebody stopped pgBackRest on purpose. When that reason is gone run: pgbackrest --stanza=main start"
"""

import time
import typing as t
from dataclasses import dataclass

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._backup import (
    actual_type,
    counting_backups,
    format_age,
    new_backup,
    parse_age,
    repository_keys,
    useful_warnings,
)
from ..module_utils._cli import COMMON_ARGUMENTS, COMMON_EXCLUSIONS, PgBackRest
from ..module_utils._handover import hand_over_long_work
from ..module_utils._messages import PgBackRestError
from ..module_utils._progress import Progress
from ..module_utils._repository import Backup, Stanza, newest_backup, parse_info
from ..module_utils._stanza import (
    Identity,
    local_cluster,
    refuse_other_cluster,
    refuse_unready,
    require_repository,
)

ARGUMENTS: dict[str, dict[str, t.Any]] = {
    **COMMON_ARGUMENTS,
    "stanza": {"type": "str", "required": True},
    "type": {"type": "str", "choices": ["full", "diff", "incr"], "default": "incr"},
    "max_age": {"type": "str"},
    "repo": {"type": "int"},
    "annotations": {"type": "dict", "default": {}},
    "backup_standby": {"type": "bool"},
    "retries": {"type": "int", "default": 0},
    "progress_file": {"type": "path"},
}
CLOCK_TOLERANCE = 60  # seconds that the clocks of two hosts may differ without a word


def greatest_age(params: t.Mapping[str, t.Any]) -> int | None:
    """``max_age`` in seconds, None without. Raises ValueError for parameters that pgBackRest would refuse."""
    if params["retries"] < 0:
        raise ValueError(f"retries must not be negative, but is {params['retries']}")
    for key, value in params["annotations"].items():
        if not key or "=" in key or value in (None, ""):
            raise ValueError(f"An annotation needs a name without = and a value, not {key!r}: {value!r}")
    return None if params["max_age"] is None else parse_age(params["max_age"])


def read_stanza(pgbackrest: PgBackRest) -> Stanza:
    """The stanza over all repositories."""
    return parse_info(pgbackrest.info())[0]


def take(
    pgbackrest: PgBackRest, params: t.Mapping[str, t.Any], before: Stanza, repo_key: int
) -> tuple[Backup, list[str]]:
    """Take a backup; returns it and pgBackRest's warnings."""
    progress = Progress(params["progress_file"])
    options = {
        "type": params["type"],
        "repo": params["repo"],
        "annotation": params["annotations"],
        "backup_standby": params["backup_standby"],
    }
    try:
        output = pgbackrest.run_long("backup", options, progress.take_line, retries=params["retries"])
    except PgBackRestError as error:
        # The removal of old backups comes last and may fail alone.
        made = new_backup(before, read_stanza(pgbackrest), repo_key)
        if made:
            error.next_step = f"{error.next_step or ''} The backup {made.label} itself is complete.".strip()
            error.facts.update(changed=True, backup=made.to_dict())
        raise
    finally:
        progress.end()
    backup = new_backup(before, read_stanza(pgbackrest), repo_key)
    if backup is None:
        raise PgBackRestError(
            f"pgBackRest reported success, but repository {repo_key} holds no new backup",
            next_step="Look at its log, and whether somebody removed the backup at the same time.",
        )
    return backup, output.warnings()


def refuse_damaged(pgbackrest: PgBackRest, backup: Backup) -> None:
    """Raise when pgBackRest found page checksum errors, which it reports as a mere warning."""
    if not backup.error:
        return
    found = parse_info(pgbackrest.info(set=backup.label, repo=backup.repo_key))[0].backups
    files = [name for detailed in found for name in (detailed.details or {}).get("damaged_files", [])]
    raise PgBackRestError(
        f"The backup {backup.label} was taken, but pages with wrong checksums were found in {', '.join(files) or '?'}",
        command="backup",
        next_step="These files are damaged in the cluster itself. Find out what they hold (pg_filenode_relation, "
        "pg_amcheck), keep the older backups, and restore or rebuild it.",
        facts={"changed": True, "backup": backup.to_dict(), "damaged_files": files},
    )


@dataclass(frozen=True)
class Situation:
    """What there is before: ``newest`` is the newest backup that counts, ``age`` its age in seconds by this host's
    clock, ``kind`` the type that pgBackRest would take now."""

    stanza: Stanza
    cluster: Identity | None
    repo_key: int
    newest: Backup | None
    age: int | None
    kind: str

    def reason(self, requested: str) -> str:
        """Why a backup is or is not due."""
        if self.newest is None or self.age is None:
            return f"there is no backup that counts as {requested}"
        age = format_age(self.age)
        return f"the newest one that counts as {requested}, {self.newest.type} {self.newest.label}, is {age} old"


def look(pgbackrest: PgBackRest, params: t.Mapping[str, t.Any]) -> Situation:
    """Read the situation. Raises where no backup can be taken or counted."""
    pgbackrest.require_version()
    pgbackrest.require_stanza("backup")
    settings = pgbackrest.settings("backup")
    repo_key = params["repo"] or repository_keys(settings)[0]
    stanza = read_stanza(pgbackrest)
    require_repository(stanza, repo_key, "backup")
    cluster = local_cluster(settings)
    refuse_other_cluster(stanza, cluster, repo_key, "backup")
    newest = newest_backup(counting_backups(stanza, params["type"], repo_key))
    age = int(time.time()) - newest.stop if newest else None
    return Situation(stanza, cluster, repo_key, newest, age, actual_type(stanza, params["type"], repo_key))


def warn(module: AnsibleModule, texts: t.Sequence[str], promoted: bool) -> None:
    """Pass on what somebody should know although nothing failed."""
    if promoted:
        module.warn(f"There is no prior full backup, so this {module.params['type']} backup is a full one.")
    for text in useful_warnings(texts):
        module.warn(f"pgBackRest: {text}")


def answer(params: t.Mapping[str, t.Any], found: Situation, kind: str, backup: Backup | None) -> dict[str, t.Any]:
    """The result of the module without what differs from case to case."""
    return {
        "backup": backup.to_dict() if backup else None,
        "type": kind,
        "requested_type": params["type"],
        "repo_key": found.repo_key,
        "promoted_to_full": False,
        "changed": False,
    }


def keep(module: AnsibleModule, found: Situation, backup: Backup, age: int) -> dict[str, t.Any]:
    """The result when a backup is young enough."""
    if age < -CLOCK_TOLERANCE:
        module.warn(f"The backup {backup.label} ends {-age} s in the future of this host's clock.")
    message = f"Took no backup: {found.reason(module.params['type'])}."
    return {**answer(module.params, found, backup.type, backup), "age": max(0, age), "msg": message}


def run(module: AnsibleModule) -> dict[str, t.Any]:
    """Bring about what the parameters ask for; returns the result."""
    params = module.params
    limit = greatest_age(params)
    pgbackrest = PgBackRest(module, params["stanza"])
    found = look(pgbackrest, params)
    if found.newest and found.age is not None and limit is not None and found.age <= limit:
        return keep(module, found, found.newest, found.age)

    reason = found.reason(params["type"])
    backup: Backup | None = None
    warnings: list[str] = []
    if module.check_mode:
        refuse_unready(pgbackrest, found.cluster, "backup")
        kind = found.kind
        message = f"Would take a {kind} backup: {reason}."
    else:
        backup, warnings = take(pgbackrest, params, found.stanza, found.repo_key)
        refuse_damaged(pgbackrest, backup)
        kind = backup.type
        took = format_age(backup.stop - backup.start)
        message = f"Took the {kind} backup {backup.label} in {took}: {reason}."
    promoted = kind != params["type"]
    warn(module, warnings, promoted)
    before = {"newest": found.newest.label if found.newest else None}
    after = {"newest": backup.label if backup else f"(a new {kind} backup)"}
    changes = {"changed": True, "promoted_to_full": promoted, "age": 0 if backup else None, "msg": message}
    return {**answer(params, found, kind, backup), **changes, "diff": {"before": before, "after": after}}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, mutually_exclusive=COMMON_EXCLUSIONS, supports_check_mode=True)
    hand_over_long_work(module)
    try:
        module.exit_json(**run(module))
    except ValueError as error:
        module.fail_json(msg=f"{error}.")
    except PgBackRestError as error:
        module.fail_json(**error.result())


if __name__ == "__main__":
    main()
