#!/usr/bin/python
# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: verify
short_description: Prove that the repositories hold what they should
description:
  - Runs C(pgbackrest verify), which reads every file of the backups and every WAL segment and compares it with its
    checksum, and gives a verdict for each repository, backup and archive.
  - Fails when anything is damaged or missing, and names the files, the WAL segments and the backups that are thereby
    invalid. C(pgbackrest verify) itself ends with exit status 0 whatever it finds.
  - Nothing is called V(valid) that pgBackRest has not positively called so. Each backup and archive that
    C(pgbackrest info) lists must appear in the result; an empty or unknown answer is a failure.
  - Missing WAL is looked for as well. pgBackRest does not count it as an error.
  - A verification reads the whole repository and may take hours. Use O(ignore:async) for large ones, or O(set).
version_added: 0.1.0
author: ["pgops contributors (@pgops)"]
extends_documentation_fragment:
  - pgops.pgbackrest._attributes.INFO
  - pgops.pgbackrest._pgbackrest
  - pgops.pgbackrest._pgbackrest.STANZA
options:
  repo:
    description:
      - Number of the repository to verify.
      - Without it all configured repositories are verified, one after the other.
    type: int
  set:
    description:
      - Label of the backup to verify, with the WAL that it needs to become consistent.
      - Without it all backups and the whole archive are verified.
      - Needs pgBackRest 2.55. Older versions ignore it and verify everything.
    type: str
notes:
  - The verdicts of a backup are V(valid), every file and the WAL that it needs are as they were written;
    V(damaged), files or that WAL are missing or wrong, or pages with wrong checksums were found when it was taken, so
    do not count on it; V(doubtful), it takes files out of bundles of a damaged backup, and pgBackRest does not tell
    whether these are good; V(degraded), it can be restored, but C(backup.manifest) or its copy is damaged or missing;
    V(unknown), pgBackRest said nothing about it.
  - An archive is V(damaged) when a WAL segment is wrong or missing. A hole that retention options explain
    (C(repo1-retention-archive), C(repo1-retention-archive-type), C(archive-expire-before)) is not damage.
  - A repository has the worst verdict of what is in it. One without a backup, or one that cannot be read, is
    V(unknown).
  - What was expired while the verification ran is no damage.
seealso:
  - module: pgops.pgbackrest.backup_info
  - module: pgops.pgbackrest.check
"""

EXAMPLES = r"""
---
- name: Prove that everything in the repositories is sound
  pgops.pgbackrest.verify:
    stanza: main
  become: true
  become_user: postgres

- name: Verify a large repository in the background, for at most a day
  pgops.pgbackrest.verify:
    stanza: main
    repo: 2
  become: true
  become_user: postgres
  async: 86400
  poll: 60

- name: Verify one backup before it is restored (pgBackRest 2.55 and newer)
  pgops.pgbackrest.verify:
    stanza: main
    set: 20261122-205937F
  become: true
  become_user: postgres
"""

RETURN = r"""
msg:
  description: The verdict in words.
  type: str
  returned: always
  sample: "Repository 1: 2 backups and 4 WAL segments are valid."
verdict:
  description: The worst verdict of all repositories, V(valid) when the task ends well.
  type: str
  returned: when pgBackRest answered
  sample: valid
problems:
  description: Everything that is wrong, with a code, a sentence and what to do next. Empty when the task ends well.
  type: list
  elements: dict
  returned: when pgBackRest answered
  sample: []
  contains:
    code:
      description:
        - V(backup_damaged), V(depends_on_damaged), V(manifest), V(wal_damaged), V(wal_gap), V(info_files), V(remark),
          V(no_backup) or V(no_verdict).
      type: str
      returned: always
      sample: wal_gap
    sentence:
      description: What is wrong and where.
      type: str
      returned: always
      sample: "Repository 1: archive 15-1: WAL is missing: 000000010000000000000006."
    hint:
      description: What to do next.
      type: str
      returned: always
      sample: "No later moment can be reached from any backup: take a new backup now, and find out why the WAL is gone."
repositories:
  description: The verdict on each repository.
  type: list
  elements: dict
  returned: when pgBackRest answered
  contains:
    repo_key:
      description: Number of the repository.
      type: int
      returned: always
      sample: 1
    verdict:
      description: V(valid), V(damaged), V(doubtful), V(degraded) or V(unknown).
      type: str
      returned: always
      sample: valid
    duration:
      description: How long the verification took, in seconds.
      type: float
      returned: always
      sample: 0.4
    problems:
      description: The problems of this repository as text.
      type: list
      elements: str
      returned: always
      sample: []
    notes:
      description: What is worth knowing although it is no failure.
      type: list
      elements: str
      returned: always
      sample: []
    backups:
      description: The backups that C(pgbackrest info) lists there, or the one of O(set).
      type: list
      elements: dict
      returned: always
      sample:
        - label: 20261122-205937F
          verdict: valid
          status: valid
          checked: 964
          valid: 964
          missing: 0
          checksum: 0
          size: 0
          other: 0
          files: []
          through: []
          missing_wal: []
          page_checksum_errors: false
          manifest: null
      contains:
        label:
          description: Label of the backup.
          type: str
          returned: always
          sample: 20261122-205937F
        verdict:
          description: V(valid), V(damaged), V(doubtful), V(degraded) or V(unknown).
          type: str
          returned: always
          sample: valid
        status:
          description: pgBackRest's own word. V(null) when it said nothing.
          type: str
          returned: always
          sample: valid
        checked:
          description: Number of files that were checked.
          type: int
          returned: always
          sample: 964
        valid:
          description: Number of files that are as they should be.
          type: int
          returned: always
          sample: 964
        missing:
          description: Number of files that are missing.
          type: int
          returned: always
          sample: 0
        checksum:
          description: Number of files with a wrong checksum.
          type: int
          returned: always
          sample: 0
        size:
          description: Number of files with a wrong size.
          type: int
          returned: always
          sample: 0
        other:
          description: Number of files that could not be read, decrypted or decompressed.
          type: int
          returned: always
          sample: 0
        files:
          description:
            - The wrong files that lie in this backup, at most 1000, with path below the stanza's backup directory and
              reason (V(missing), V(checksum), V(size) or V(other)). Since files may lie in bundles, one path may stand
              for many files.
          type: list
          elements: dict
          returned: always
          sample: []
        through:
          description: Labels of damaged older backups that this one takes files from.
          type: list
          elements: str
          returned: always
          sample: []
        missing_wal:
          description: WAL segments that the backup needs to become consistent, and that are missing or damaged.
          type: list
          elements: str
          returned: always
          sample: []
        page_checksum_errors:
          description: Whether pages with wrong checksums were found when it was taken.
          type: bool
          returned: always
          sample: false
        manifest:
          description: What is wrong with C(backup.manifest) or its copy, where the other one serves.
          type: str
          returned: always
          sample: null
    archives:
      description: The archives with WAL that C(pgbackrest info) lists there.
      type: list
      elements: dict
      returned: always
      sample:
        - id: 15-1
          verdict: valid
          checked: 4
          valid: 4
          missing: 0
          checksum: 0
          size: 0
          other: 0
          segments: []
          gaps: []
      contains:
        id:
          description: Name of the archive.
          type: str
          returned: always
          sample: 15-1
        verdict:
          description: V(valid), V(damaged) or V(unknown).
          type: str
          returned: always
          sample: valid
        segments:
          description: The wrong WAL segments with name, path and reason.
          type: list
          elements: dict
          returned: always
          sample: []
        gaps:
          description:
            - Holes in the WAL behind the oldest backup. RV(ignore:missing) says which segments, RV(ignore:after) and
              RV(ignore:before) what they lie between, RV(ignore:by_retention) whether retention options explain it.
          type: list
          elements: dict
          returned: always
          sample: []
error:
  description: pgBackRest's error with its code, name, message, hint, command and the next step.
  type: dict
  returned: when pgBackRest failed
  sample:
    code: 37
    name: option-required
    message: "Stanza mian is not in the configuration: no section [mian] with pg1-path"
    hint: null
    command: verify
    next_step: Configure stanza mian (pg1-path) with the module pgops.pgbackrest.config, or correct its name.
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._backup import useful_warnings
from ..module_utils._cli import COMMON_ARGUMENTS, COMMON_EXCLUSIONS, PgBackRest
from ..module_utils._messages import PgBackRestError
from ..module_utils._problem import PlanError
from ..module_utils._repository import OK, Repository, Stanza, parse_info
from ..module_utils._stanza import require_repository
from ..module_utils._verify import (
    VALID,
    Answer,
    Verdict,
    assess,
    failed,
    parse_verify,
    surviving,
    without_expired_wal,
    worst,
)

ARGUMENTS: dict[str, dict[str, t.Any]] = {
    **COMMON_ARGUMENTS,
    "stanza": {"type": "str", "required": True},
    "repo": {"type": "int"},
    "set": {"type": "str"},
}
FIRST_WITH_SET = (2, 55)
# Options with which pgBackRest removes WAL between backups.
MAKE_GAPS = ("retention-archive", "retention-archive-type")


def read(pgbackrest: PgBackRest) -> Stanza:
    """The stanza over all repositories."""
    return parse_info(pgbackrest.info())[0]


def chosen(stanza: Stanza, repo: int | None, label: str | None) -> list[Repository]:
    """The repositories to verify. Raises for one that is not there, and for a label that none of them holds."""
    if repo is not None:
        require_repository(stanza, repo, "verify")
    found = [repository for repository in stanza.repositories if repo in (None, repository.key)]
    if label is None:
        return found
    holders = {backup.repo_key for backup in stanza.backups if backup.label == label}
    holding = [repository for repository in found if repository.key in holders]
    if not holding:
        keys = ", ".join(str(repository.key) for repository in found)
        raise PgBackRestError(
            f"Repository {keys} of stanza {stanza.name} holds no backup {label}",
            75,
            command="verify",
            next_step="The module pgops.pgbackrest.backup_info shows the labels.",
        )
    return holding


def ask(pgbackrest: PgBackRest, name: str, repo: int, label: str | None) -> Answer:
    """What pgBackRest says about one repository."""
    lines: list[str] = []
    options = {"output": "text", "verbose": True, "repo": repo, "set": label}
    pgbackrest.run_long("verify", options, lines.append)
    return parse_verify(lines, name)


def gaps_by_retention(pgbackrest: PgBackRest, repo: int) -> bool:
    """Whether the configuration lets pgBackRest remove WAL between backups that it keeps."""
    wanted = {"archive-expire-before", *(f"repo{repo}-{option}" for option in MAKE_GAPS)}
    return any(wanted.intersection(pgbackrest.settings(command)) for command in ("backup", "expire"))


def verify(
    module: AnsibleModule, pgbackrest: PgBackRest, stanza: Stanza, repository: Repository
) -> tuple[Verdict, float]:
    """The verdict on one repository, and how long it took."""
    name, label, began = module.params["stanza"], module.params["set"], time.monotonic()
    if repository.status_code != OK:
        return failed(repository, repository.problem()), 0.0
    try:
        answer = ask(pgbackrest, name, repository.key, label)
    except PgBackRestError as error:  # the other repositories are verified all the same
        return failed(repository, f"Repository {repository.key}: {error}"), round(time.monotonic() - began, 1)
    for text in useful_warnings(answer.warnings):
        module.warn(f"pgBackRest: {text}")
    by_retention = gaps_by_retention(pgbackrest, repository.key)
    verdict = assess(answer, stanza, repository, label, by_retention)
    if verdict.problems:
        left = surviving(stanza, read(pgbackrest))
        verdict = assess(without_expired_wal(answer, left, repository.key), left, repository, label, by_retention)
    return verdict, round(time.monotonic() - began, 1)


def describe(verdict: Verdict) -> str:
    """What was proven of a repository."""
    backups, segments = len(verdict.backups), sum(archive["checked"] for archive in verdict.archives)
    counted = f"{backups} backup{'' if backups == 1 else 's'} and {segments} WAL segment{'' if segments == 1 else 's'}"
    return f"Repository {verdict.repo_key}: {counted} are valid."


def run(module: AnsibleModule) -> dict[str, t.Any]:
    """Verify what the parameters ask for; returns the result. Raises PlanError when anything is wrong."""
    pgbackrest, label = PgBackRest(module, module.params["stanza"]), module.params["set"]
    pgbackrest.require_version()
    if label is not None and pgbackrest.version < FIRST_WITH_SET:
        raise PgBackRestError(
            f"The option set needs pgBackRest 2.55, this host has {pgbackrest.version_text}, which would verify all",
            next_step="Leave it out to verify everything.",
        )
    stanza = read(pgbackrest)
    if len(stanza.missing_in()) == len(stanza.repositories):
        pgbackrest.require_stanza("verify")
    found = [
        verify(module, pgbackrest, stanza, repository) for repository in chosen(stanza, module.params["repo"], label)
    ]
    problems = [problem for verdict, dummy in found for problem in verdict.problems]
    result = {
        "verdict": worst({verdict.verdict for verdict, dummy in found}),
        "repositories": [{**verdict.to_dict(), "duration": duration} for verdict, duration in found],
    }
    if problems or result["verdict"] != VALID:
        heading = f"The repositories of stanza {stanza.name} are not all sound"
        module.fail_json(**{**PlanError(problems, heading).result(), **result})
    return {**result, "problems": [], "msg": " ".join(describe(verdict) for verdict, dummy in found)}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, mutually_exclusive=COMMON_EXCLUSIONS, supports_check_mode=True)
    try:
        module.exit_json(changed=False, **run(module))
    except PgBackRestError as error:
        module.fail_json(**error.result())


if __name__ == "__main__":
    main()
