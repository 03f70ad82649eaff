#!/usr/bin/python
# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: expire
short_description: Remove backups and WAL that retention does not keep
description:
  - Runs C(pgbackrest expire), which removes what the retention options of the configuration no longer keep, or with
    O(set) one backup and those that need it.
  - Every run begins with pgBackRest's own dry run. When its plan would leave fewer usable full backups than
    O(keep_at_least), or names a backup in a way that cannot be understood, the task fails before anything is removed.
  - A full backup is usable when it is complete, free of page checksum errors and of the cluster that is there now.
    pgBackRest itself counts damaged full backups, and before 2.60 removes the last good one.
  - Says which backups go, which stay, which WAL goes, and how that shortens the span that can be recovered.
  - pgBackRest also expires after each backup it takes (option C(expire-auto)), without this guard.
version_added: 0.1.0
author: ["pgops contributors (@pgops)"]
extends_documentation_fragment:
  - pgops.pgbackrest._attributes
  - pgops.pgbackrest._pgbackrest
  - pgops.pgbackrest._pgbackrest.STANZA
attributes:
  check_mode:
    support: full
    description: Returns the plan of pgBackRest's own dry run, and fails where the expire would be refused.
options:
  repo:
    description:
      - Number of the repository to expire.
      - Without it all configured repositories are expired, with O(set) those that hold this backup.
    type: int
  set:
    description:
      - Label of a backup to remove whatever retention says, with all backups that need it.
      - A label that no repository holds is a failure. pgBackRest itself would only warn and end well.
    type: str
  keep_at_least:
    description:
      - How many usable full backups must stay in each repository from which a backup is removed.
      - V(0) switches this guard off.
    type: int
    default: 1
  retries:
    description:
      - How often to try again when the failure may pass, such as a lock held by a backup.
      - The first repetition comes after 3 seconds, each next one after twice as long, at most a minute.
    type: int
    default: 0
notes:
  - It works on the host of the repository, as all that writes to one.
  - Check mode takes pgBackRest's lock for a moment, as its dry run does.
seealso:
  - module: pgops.pgbackrest.backup
  - module: pgops.pgbackrest.backup_info
  - module: pgops.pgbackrest.verify
"""

EXAMPLES = r"""
---
- name: Apply retention, and keep two usable full backups whatever it says
  pgops.pgbackrest.expire:
    stanza: main
    keep_at_least: 2
  become: true
  become_user: postgres
  register: result

- name: Show what it means
  ansible.builtin.debug:
    msg: "{{ result.repositories | map(attribute='window.change') }}"

- name: Remove one damaged backup
  pgops.pgbackrest.expire:
    stanza: main
    repo: 1
    set: 20261122-205937F_20261122-205940I
  become: true
  become_user: postgres
"""

RETURN = r"""
msg:
  description: What was removed, or would be in check mode.
  type: str
  returned: always
  sample: >-
    Removed 20261122-205937F from repository 1. Repository 1 can be recovered from 2026-11-29 20:59:39+00:00 on
    (20261129-205937F), no longer from 2026-11-22 20:59:39+00:00 (20261122-205937F): 7 d less.
repositories:
  description: What happens to each repository.
  type: list
  elements: dict
  returned: success, or when pgBackRest failed after it had begun
  contains:
    repo_key:
      description: Number of the repository.
      type: int
      returned: always
      sample: 1
    expired:
      description: The backups that went, or would go, with type, end, and the labels of those that need them.
      type: list
      elements: dict
      returned: always
      sample:
        - {label: 20261122-205937F, type: full, stop_time: "2026-11-22 20:59:39+00:00", dependents: []}
    kept:
      description: Labels of the backups that stay.
      type: list
      elements: str
      returned: always
      sample: [20261129-205937F]
    usable_full:
      description: Labels of the full backups among them that a restore of the present cluster can use.
      type: list
      elements: str
      returned: always
      sample: [20261129-205937F]
    archive:
      description:
        - For each archive its first WAL segment before and after, its last one, and the ranges that are removed. A
          name of 16 digits stands for all segments that begin with it. In check mode the first segment after is the
          one that the oldest backup needs.
      type: list
      elements: dict
      returned: always
      sample:
        - id: 15-1
          wal_min_before: "000000010000000000000001"
          wal_min_after: "000000010000000000000007"
          wal_max: "000000010000000000000009"
          removed: [{start: "000000010000000000000001", stop: "000000010000000000000006"}]
    leftovers:
      description: Remains of backups that C(pgbackrest info) does not list, such as of an interrupted one.
      type: list
      elements: str
      returned: always
      sample: []
    other:
      description: What pgBackRest says about old manifests and timeline history files that go.
      type: list
      elements: str
      returned: always
      sample: []
    window:
      description:
        - The span in which the present cluster can be recovered, before and after, as
          RV(pgops.pgbackrest.backup_info#module:stanzas[].windows), and how it changes in a sentence.
      type: dict
      returned: always
      sample:
        before: null
        after: null
        change: Repository 1 holds no backup that a restore can use.
expired:
  description: Labels of all backups that went, or would go, in all repositories.
  type: list
  elements: str
  returned: success, or when pgBackRest failed after it had begun
  sample: [20261122-205937F]
kept:
  description: Labels of all backups that stay.
  type: list
  elements: str
  returned: success, or when pgBackRest failed after it had begun
  sample: [20261129-205937F]
problems:
  description: Why the expire was refused, with a code, a sentence and what to do next.
  type: list
  elements: dict
  returned: when it was refused
  sample:
    - code: too_few_left
      sentence: >-
        Repository 1: 20261122-205937F would go, and of the full backups that a restore can use none would remain;
        keep_at_least is 1. Nothing was removed.
      hint: Take a new full backup with pgops.pgbackrest.backup first, or raise repo1-retention-full.
error:
  description: pgBackRest's error with its code, name, message, hint, command and the next step.
  type: dict
  returned: when pgBackRest failed
  sample:
    code: 75
    name: backup-set-invalid
    message: Repository 1 of stanza main holds no backup 20200101-000000F
    hint: null
    command: expire
    next_step: The module pgops.pgbackrest.backup_info shows the labels.
"""

import typing as t
from dataclasses import dataclass

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._backup import useful_warnings
from ..module_utils._cli import COMMON_ARGUMENTS, COMMON_EXCLUSIONS, PgBackRest
from ..module_utils._expire import (
    Removal,
    after_removal,
    describe_repository,
    parse_expire,
    refusals,
    state_of,
)
from ..module_utils._messages import PgBackRestError, error_from, parse_messages
from ..module_utils._problem import PlanError
from ..module_utils._repository import Stanza, parse_info
from ..module_utils._stanza import require_repository

ARGUMENTS: dict[str, dict[str, t.Any]] = {
    **COMMON_ARGUMENTS,
    "stanza": {"type": "str", "required": True},
    "repo": {"type": "int"},
    "set": {"type": "str"},
    "keep_at_least": {"type": "int", "default": 1},
    "retries": {"type": "int", "default": 0},
}
SOME_FAILED = 104  # pgBackRest's error when an expire failed in a repository; the reason stands before it
NO_RETENTION = "option 'repo"  # how pgBackRest's own warning about it begins
DRY_RUN = "[DRY-RUN] "


@dataclass(frozen=True)
class Plan:
    """What is there, and what pgBackRest would remove from each repository."""

    before: Stanza
    removals: dict[int, Removal]

    def expected(self) -> Stanza:
        """The stanza when all is removed."""
        stanza = self.before
        for key, removal in self.removals.items():
            stanza = after_removal(stanza, key, removal)
        return stanza


def read(pgbackrest: PgBackRest) -> Stanza:
    """The stanza over all repositories."""
    return parse_info(pgbackrest.info())[0]


def chosen(stanza: Stanza, repo: int | None, label: str | None) -> list[int]:
    """Numbers of the repositories to expire. Raises when one cannot be read or none holds the label."""
    keys = [repository.key for repository in stanza.repositories] if repo is None else [repo]
    for key in keys:
        require_repository(stanza, key, "expire")
    if label is None:
        return keys
    holding = [key for key in keys if any(b.label == label and b.repo_key == key for b in stanza.backups)]
    if not holding:
        raise PgBackRestError(
            f"Repository {', '.join(map(str, keys))} of stanza {stanza.name} holds no backup {label}",
            75,
            command="expire",
            next_step="The module pgops.pgbackrest.backup_info shows the labels.",
        )
    return holding


def expire(pgbackrest: PgBackRest, params: t.Mapping[str, t.Any], repo: int, dry_run: bool) -> Removal:
    """Expire one repository, or only ask what that would remove."""
    lines: list[str] = []
    options = {"repo": repo, "set": params["set"], "dry_run": True if dry_run else None}
    try:
        pgbackrest.run_long("expire", options, lines.append, retries=params["retries"])
    except PgBackRestError as error:
        raise real_reason(error, lines, params["stanza"]) from None
    return parse_expire(parse_messages("\n".join(lines)))


def real_reason(error: PgBackRestError, lines: t.Sequence[str], stanza: str) -> PgBackRestError:
    """The error that pgBackRest met in the repository, in place of its summary of it."""
    dry_run = any(DRY_RUN in line for line in lines)
    found = [
        message
        for message in parse_messages("\n".join(lines).replace(DRY_RUN, ""))
        if message.level in ("ERROR", "ASSERT") and message.code != SOME_FAILED
    ]
    if found:
        error = error_from("expire", found[-1].code or error.code or SOME_FAILED, found, "", stanza)
    if error.code == 26:
        error.next_step = "Take a new full backup first: a damaged one must not become the oldest that is left."
    if dry_run:
        error.next_step = f"{error.next_step or ''} Nothing was removed.".strip()
    return error


def plan(module: AnsibleModule, pgbackrest: PgBackRest) -> Plan:
    """Ask pgBackRest what it would remove. Raises PlanError when that must not be."""
    params = module.params
    before = read(pgbackrest)
    keys = chosen(before, params["repo"], params["set"])
    removals = {key: expire(pgbackrest, params, key, dry_run=True) for key in keys}
    problems = [
        problem
        for key, removal in removals.items()
        for problem in refusals(before, key, removal, params["keep_at_least"], params["set"])
    ]
    if problems:
        raise PlanError(problems, "The expire is refused")
    warn(module, pgbackrest, removals)
    return Plan(before, removals)


def warn(module: AnsibleModule, pgbackrest: PgBackRest, removals: t.Mapping[int, Removal]) -> None:
    """Say what somebody should know although nothing failed."""
    settings = pgbackrest.settings("expire")
    for key in removals:
        option = f"repo{key}-retention-full"
        if module.params["set"] is None and option not in settings:
            module.warn(
                f"{option} is not set, so retention removes no full backup from repository {key}, which grows until "
                "its disk is full. Set it with the module pgops.pgbackrest.config."
            )
    texts = [text for removal in removals.values() for text in removal.warnings]
    for text in useful_warnings(text for text in texts if not text.startswith(NO_RETENTION)):
        module.warn(f"pgBackRest: {text}")


def carry_out(module: AnsibleModule, pgbackrest: PgBackRest, planned: Plan) -> tuple[Plan, PgBackRestError | None]:
    """Expire each repository in which there is something to do; returns what was removed, and the first error."""
    done: dict[int, Removal] = {}
    failure = None
    for key, removal in planned.removals.items():
        done[key] = Removal()
        if removal:
            try:
                done[key] = expire(pgbackrest, module.params, key, dry_run=False)
            except PgBackRestError as error:  # the other repositories are expired all the same
                failure = failure or error
    return Plan(planned.before, done), failure


def compare(module: AnsibleModule, planned: Plan, after: Stanza) -> None:
    """Warn when other backups went than those that were planned."""
    for key, removal in planned.removals.items():
        before = {backup.label for backup in planned.before.backups if backup.repo_key == key}
        gone = before - {backup.label for backup in after.backups if backup.repo_key == key}
        for labels, what in (
            (gone - removal.labels, "went, but were not planned"),
            ((removal.labels & before) - gone, "were planned to go, but are still there"),
        ):
            if labels:
                module.warn(f"Repository {key}: {', '.join(sorted(labels))} {what}.")


def answer(done: Plan, after: Stanza, verb: str) -> dict[str, t.Any]:
    """The result of the module."""
    repositories = [describe_repository(done.before, after, key, removal) for key, removal in done.removals.items()]
    before, end = state_of(done.before, done.removals), state_of(after, done.removals)
    return {
        "changed": any(done.removals.values()) or any(repository["expired"] for repository in repositories),
        "repositories": repositories,
        "expired": [backup["label"] for repository in repositories for backup in repository["expired"]],
        "kept": [label for repository in repositories for label in repository["kept"]],
        "msg": " ".join(sentence for repository in repositories for sentence in describe(repository, verb)),
        "diff": {"before": before, "after": end},
    }


def describe(repository: t.Mapping[str, t.Any], verb: str) -> list[str]:
    """What happens to one repository, in sentences."""
    key, labels = repository["repo_key"], [backup["label"] for backup in repository["expired"]]
    wal = any(archive["removed"] for archive in repository["archive"])
    remains = repository["leftovers"] or repository["other"]
    what = ", ".join(labels) or ("only WAL" if wal else "only remains of backups" if remains else "nothing")
    return [f"{verb} {what} from repository {key}.", repository["window"]["change"]]


def run(module: AnsibleModule) -> dict[str, t.Any]:
    """Bring about what the parameters ask for; returns the result."""
    for name in ("keep_at_least", "retries"):
        if module.params[name] < 0:
            raise ValueError(f"{name} must not be negative, but is {module.params[name]}")
    pgbackrest = PgBackRest(module, module.params["stanza"])
    pgbackrest.require_version()
    pgbackrest.require_stanza("expire")
    planned = plan(module, pgbackrest)
    if module.check_mode or not any(planned.removals.values()):
        return answer(planned, planned.expected(), "Would remove" if module.check_mode else "Removed")
    done, failure = carry_out(module, pgbackrest, planned)
    after = read(pgbackrest)
    result = answer(done, after, "Removed")
    if failure:
        failure.facts.update(result)
        raise failure
    compare(module, planned, after)
    return result


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, mutually_exclusive=COMMON_EXCLUSIONS, supports_check_mode=True)
    try:
        module.exit_json(**run(module))
    except ValueError as error:
        module.fail_json(msg=f"{error}.")
    except (PgBackRestError, PlanError) as error:
        module.fail_json(**error.result())


if __name__ == "__main__":
    main()
