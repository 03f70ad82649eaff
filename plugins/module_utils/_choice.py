# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which backups serve a recovery target. Pure. Private to the collection.

pgBackRest itself picks a backup only for time and LSN targets and takes the newest one for all others, whether or not
the target lies after it (pgbackrest#1582). Here the choice is made before, and given to it by name. Whether recovery
from that backup reaches the target is proven in _proof.
"""

from __future__ import annotations

import math
import typing as t
from dataclasses import dataclass, field

from ._problem import Problem
from ._repository import OK, Backup, Repository, Stanza, iso_time
from ._target import RecoveryTarget
from ._wal import parse_lsn

LATEST = "latest"
_UNORDERED = ("immediate", "name", "xid")  # nothing tells from outside which backups lie before these
_SHOWN_LABELS = 5


@dataclass(frozen=True)
class Choice:
    """The backup of one repository that serves, or the problems that leave none.

    ``older`` has those that serve as well, newest first. ``repo`` is None when the problems are of no repository.
    """

    backup: Backup | None
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    older: list[Backup] = field(default_factory=list)
    repo: int | None = None


def candidates(
    stanza: Stanza | None, target: RecoveryTarget, label: str | None, repo: int | None, now: float
) -> list[Choice]:
    """The choice in each repository: set ``label``, or the newest backup that serves.

    Unusable repositories come first, the others follow in the order of their keys.
    ``label`` may be ``latest``; ``repo`` limits the choice; ``now`` is epoch seconds. Never empty.
    """
    if stanza is None or not stanza.repositories:
        return [Choice(None, [_no_stanza(stanza)])]
    considered = [repository for repository in stanza.repositories if repo in (None, repository.key)]
    if not considered:
        keys = ", ".join(str(repository.key) for repository in stanza.repositories)
        hint = f"The configuration has: {keys}."
        return [Choice(None, [Problem("repository_unknown", f"There is no repository {repo}.", hint)])]
    usable = [repository.key for repository in considered if repository.status_code == OK]
    unusable = [repository for repository in considered if repository.status_code != OK]
    general = _general_problems(stanza, target, label, usable, now)
    if general:
        return [Choice(None, [*general, *(_unusable(repository) for repository in unusable)])]
    return [
        *(Choice(None, [_unusable(repository)], repo=repository.key) for repository in unusable),
        *(_choose_in(stanza, key, target, label) for key in sorted(usable)),
    ]


def serves(backup: Backup, target: RecoveryTarget) -> bool:
    """Whether the backup ended before a time or LSN target; True for other types, which cannot be compared.

    Times are compared in whole seconds, as pgBackRest does.
    """
    if target.type == "time" and target.moment:
        return backup.stop < math.floor(target.moment.timestamp())
    if target.type == "lsn" and target.value:
        return backup.lsn_stop is not None and parse_lsn(backup.lsn_stop) <= parse_lsn(target.value)
    return True


def _choose_in(stanza: Stanza, key: int, target: RecoveryTarget, label: str | None) -> Choice:
    """The choice in one repository."""
    database = stanza.current_database(key)
    of_repository = [backup for backup in stanza.backups if backup.repo_key == key]
    if label is not None and label != LATEST:
        return _named(stanza, key, of_repository, target, label)
    usable = [b for b in stanza.usable_backups(key) if database and b.database_id == database.id]
    if not usable:
        return Choice(None, [_no_candidate(key, of_repository)], repo=key)
    serving = sorted(
        (backup for backup in usable if serves(backup, target)), key=lambda b: (b.stop, b.label), reverse=True
    )
    if not serving:
        return Choice(None, [_too_early(key, usable, target)], repo=key)
    # Somebody who asks for the newest backup wants no other.
    return Choice(serving[0], older=[] if label == LATEST else serving[1:], repo=key)


def _named(stanza: Stanza, key: int, backups: list[Backup], target: RecoveryTarget, label: str) -> Choice:
    backup = next((backup for backup in backups if backup.label == label), None)
    if backup is None:
        sentence = f"Repository {key} has no backup set {label}."
        return Choice(None, [Problem("set_unknown", sentence, f"It has: {_labels(backups)}.")], repo=key)
    if not serves(backup, target):
        sentence = f"Backup set {label} ended at {_end(backup, target)}, not before the target {target.value}."
        earlier = [other for other in backups if serves(other, target)]
        hint = f"Choose an earlier set: {_labels(earlier)}." if earlier else "No set here ended before it."
        return Choice(None, [Problem("set_after_target", sentence, hint)], repo=key)
    warnings = []
    database = stanza.current_database(key)
    if database and database.id != backup.database_id:
        warnings.append(f"Backup set {label} is of an older cluster of this stanza, not of the current one.")
    if backup.error:
        warnings.append(f"Backup set {label} has page checksum errors: some tables in it are damaged.")
    return Choice(backup, [], warnings, repo=key)


def _general_problems(
    stanza: Stanza, target: RecoveryTarget, label: str | None, keys: list[int], now: float
) -> list[Problem]:
    problems = []
    if target.moment and target.moment.timestamp() > now:
        problems.append(
            Problem(
                "target_in_future",
                f"The target time {target.value} is in the future: it is now {iso_time(int(now))}.",
                "Choose a time that has passed, or leave type: time and its target away for the newest state.",
            )
        )
    backups = [backup for key in keys for backup in stanza.usable_backups(key)]
    if target.type in _UNORDERED and label is None and len(backups) > 1:
        subject = "The end of a backup" if target.type == "immediate" else f"The target {target.type} {target.value}"
        problems.append(
            Problem(
                "set_required",
                f"{subject} does not say which of {len(backups)} backups to start from, and pgBackRest would take the "
                "newest even if the target lies before it.",
                f"Name in set the backup that ended before the target: {_labels(backups)}, or {LATEST}.",
            )
        )
    return problems


def _no_stanza(stanza: Stanza | None) -> Problem:
    if stanza is None:
        return Problem("stanza_missing", "pgBackRest does not know the stanza.", "Check its name.")
    texts = stanza.problems() or [f"The stanza has no repository ({stanza.status_message})."]
    return Problem("stanza_missing", " ".join(texts), "")


def _unusable(repository: Repository) -> Problem:
    return Problem("repository_unusable", repository.problem(), "")


def _no_candidate(key: int, backups: list[Backup]) -> Problem:
    if not backups:
        return Problem("no_backup", f"Repository {key} has no backup.", "There is nothing to restore from it.")
    if any(backup.error for backup in backups):
        sentence = f"The current cluster's backups in repository {key} have page checksum errors: {_labels(backups)}."
        return Problem("backup_damaged", sentence, "Name one of them in set to restore it all the same.")
    sentence = f"Repository {key} has no backup of the current cluster, only of older ones: {_labels(backups)}."
    return Problem("older_cluster", sentence, "Name one of them in set if you mean it.")


def _too_early(key: int, candidates: list[Backup], target: RecoveryTarget) -> Problem:
    oldest = min(candidates, key=lambda backup: backup.stop)
    sentence = (
        f"The target {target.type} {target.value} is not after the end of any backup: repository {key} reaches back to "
        f"{_end(oldest, target)}, the end of backup {oldest.label}."
    )
    return Problem("target_too_early", sentence, "Choose a later target, or a repository with older backups.")


def _end(backup: Backup, target: RecoveryTarget) -> str:
    return str(backup.lsn_stop) if target.type == "lsn" else iso_time(backup.stop)


def _labels(backups: t.Sequence[Backup]) -> str:
    """The newest labels, each with the time when the backup ended."""
    newest = sorted(backups, key=lambda backup: backup.stop)[-_SHOWN_LABELS:]
    texts = [f"{backup.label} (ended {iso_time(backup.stop)})" for backup in newest]
    return ("... " if len(backups) > len(newest) else "") + ", ".join(texts) if texts else "none"
