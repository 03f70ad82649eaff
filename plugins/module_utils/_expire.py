# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an expire removes, and what it leaves. Pure. Private to the collection.

pgBackRest tells its plan in messages only. A message that names a backup in an unknown way makes the plan unreadable,
so that no removal escapes the guard.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field, replace

from ._backup import counting_backups, format_age
from ._problem import Problem
from ._repository import Archive, Backup, Stanza, iso_time

if t.TYPE_CHECKING:
    from ._messages import Message

_DRY_RUN = "[DRY-RUN] "
_LABEL = r"\d{8}-\d{6}F(?:_\d{8}-\d{6}[DI])?"
_ANY_LABEL = re.compile(_LABEL)
_EXPIRE = re.compile(rf"repo\d+: expire (?:full|diff|adhoc|time-based) backup (?:set )?({_LABEL}(?:, {_LABEL})*)")
_REMOVE = re.compile(rf"repo\d+: remove expired backup ({_LABEL})")
_NO_MANIFEST = re.compile(rf"backup '({_LABEL})' missing manifest removed from backup\.info")
_WAL = re.compile(r"repo\d+: (\S+) remove archive, start = ([0-9A-F]{16,24}), stop = ([0-9A-F]{16,24})")
_WAL_PATH = re.compile(r"repo\d+: remove archive path .*/([^/]+)")
_OTHER = re.compile(r"repo\d+: (?:\S+ remove history file .*|remove expired (?:backup history|history backup) .*)")
# These name backups, and remove nothing.
_HARMLESS = re.compile(
    rf"repo\d+: \S+ archive retention on backup {_LABEL}, .*|repo\d+: expiring latest backup {_LABEL} .*"
    rf"|repo\d+: oldest retained backup {_LABEL} contains .*|expire command .*",
    re.DOTALL,
)
_ENDED = "expire command end: completed successfully"


@dataclass
class Removal:
    """What an expire of one repository removes, by its messages.

    ``labels`` are backups, ``wal`` ranges of WAL as (archive, first, last; the directory's name for a whole one),
    ``archives`` whole archives, ``other`` old manifests and history files, ``unknown`` what could not be understood.
    """

    labels: set[str] = field(default_factory=set)
    wal: list[tuple[str, str, str]] = field(default_factory=list)
    archives: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    ended: bool = False

    def __bool__(self) -> bool:
        return bool(self.labels or self.wal or self.archives or self.other)


def parse_expire(messages: t.Sequence[Message]) -> Removal:
    """The messages of an expire, real or dry, at level detail."""
    removal = Removal()
    for message in messages:
        text = message.text[len(_DRY_RUN) :] if message.text.startswith(_DRY_RUN) else message.text
        labels = _EXPIRE.fullmatch(text) or _REMOVE.fullmatch(text) or _NO_MANIFEST.fullmatch(text)
        wal, path = _WAL.fullmatch(text), _WAL_PATH.fullmatch(text)
        if labels:
            removal.labels.update(labels.group(1).split(", "))
        elif wal:
            removal.wal.append((wal.group(1), wal.group(2), wal.group(3)))
        elif path:
            removal.archives.append(path.group(1))
        elif _OTHER.fullmatch(text):
            removal.other.append(text)
        elif _ANY_LABEL.search(text) and not _HARMLESS.fullmatch(text):
            removal.unknown.append(text)
        if message.level == "WARN":
            removal.warnings.append(text)
        removal.ended = removal.ended or text.startswith(_ENDED)
    return removal


def dependents(stanza: Stanza, repo_key: int, labels: t.Collection[str]) -> dict[str, list[str]]:
    """For each of these backups those that need it, oldest first."""
    found: dict[str, list[str]] = {label: [] for label in labels}
    needs: dict[str, set[str]] = {}
    for backup in stanza.backups:  # older ones come first, so one pass finds chains
        if backup.repo_key != repo_key:
            continue
        needed: set[str] = set()
        for other in filter(None, (backup.prior, *backup.references)):
            if other not in needed:  # else it is there with all that it needs
                needed |= needs.get(other, set()) | ({other} & found.keys())
        needs[backup.label] = needed
        for label in needed:
            found[label].append(backup.label)
    return found


def after_removal(stanza: Stanza, repo_key: int, removal: Removal) -> Stanza:
    """The stanza as it will be in this repository."""
    backups = [b for b in stanza.backups if b.repo_key != repo_key or b.label not in removal.labels]
    archives = [
        archive if archive.repo_key != repo_key else _archive_after(archive, backups, removal)
        for archive in stanza.archives
        if archive.repo_key != repo_key or archive.id not in removal.archives
    ]
    return replace(stanza, backups=backups, archives=archives)


def _archive_after(archive: Archive, backups: t.Sequence[Backup], removal: Removal) -> Archive:
    """Where the archive begins once its beginning is gone: with the WAL of the oldest backup behind that."""
    first = archive.wal_min
    ends = [
        stop
        for name, start, stop in removal.wal
        if name == archive.id and first and start <= first[: len(start)] and first[: len(stop)] <= stop
    ]
    if not ends:
        return archive
    key, database = archive.repo_key, archive.database_id
    own = [b.wal_start for b in backups if (b.repo_key, b.database_id) == (key, database) and b.wal_start]
    return replace(archive, wal_min=min((name for name in own if name[: len(ends[0])] > ends[0]), default=None))


def usable_full(stanza: Stanza, repo_key: int) -> list[str]:
    """Full backups in a repository that a restore of the present cluster could use."""
    return [backup.label for backup in counting_backups(stanza, "full", repo_key)]


def refusals(before: Stanza, repo_key: int, removal: Removal, keep: int, label: str | None) -> list[Problem]:
    """Why the expire of this repository must not begin."""
    where = f"Repository {repo_key}"
    known = {backup.label for backup in before.backups if backup.repo_key == repo_key}
    if removal.unknown or not removal.ended:
        said = f": {removal.unknown[0]}" if removal.unknown else ""
        sentence = f"{where}: the plan of pgbackrest expire --dry-run cannot be read{said}."
        return [Problem("plan_unreadable", sentence, "Run it by hand and look at its messages.")]
    needing = dependents(before, repo_key, removal.labels)
    left = sorted({name for names in needing.values() for name in names} - removal.labels)
    if left:
        sentence = f"{where}: {', '.join(left)} would stay, but need backups that would go."
        return [
            Problem("plan_unreadable", sentence, "Run pgbackrest expire --dry-run by hand and look at its messages.")
        ]
    if label is not None and label not in removal.labels:
        sentence = f"{where}: pgBackRest would not remove backup {label}."
        return [Problem("not_planned", sentence, "Run pgbackrest expire --dry-run by hand and look at its messages.")]
    going = sorted(removal.labels & known)
    staying = usable_full(after_removal(before, repo_key, removal), repo_key)
    if not going or len(staying) >= keep:
        return []
    remains = f"only {', '.join(staying)} would remain" if staying else "none would remain"
    sentence = (
        f"{where}: {', '.join(going)} would go, and of the full backups that a restore can use {remains}; "
        f"keep_at_least is {keep}. Nothing was removed."
    )
    return [Problem("too_few_left", sentence, _too_few_hint(before, repo_key, removal))]


def _too_few_hint(before: Stanza, repo_key: int, removal: Removal) -> str:
    damaged = [b.label for b in before.backups if b.repo_key == repo_key and b.error and b.label not in removal.labels]
    why = f"{', '.join(damaged)} would stay, but with page checksum errors. " if damaged else ""
    return f"{why}Take a new full backup with pgops.pgbackrest.backup first, or raise repo{repo_key}-retention-full."


def describe_repository(before: Stanza, after: Stanza, repo_key: int, removal: Removal) -> dict[str, t.Any]:
    """What the expire does to one repository, for the result."""
    backups = {b.label: b for b in before.backups if b.repo_key == repo_key}
    kept = [b for b in after.backups if b.repo_key == repo_key]
    labels = {b.label for b in kept}
    gone = [label for label in backups if label not in labels]
    left = {a.id: a for a in after.archives if a.repo_key == repo_key}
    needing = dependents(before, repo_key, gone)
    windows = _window(before, repo_key), _window(after, repo_key)
    return {
        "repo_key": repo_key,
        "expired": [
            {
                "label": label,
                "type": backups[label].type,
                "stop_time": iso_time(backups[label].stop),
                "dependents": needing[label],
            }
            for label in gone
        ],
        "kept": [b.label for b in kept],
        "usable_full": usable_full(after, repo_key),
        "archive": [_archive_change(a, left.get(a.id), removal) for a in before.archives if a.repo_key == repo_key],
        "leftovers": sorted(removal.labels - set(backups)),
        "other": removal.other,
        "window": {
            "before": windows[0],
            "after": windows[1],
            "change": _window_change(*windows, repo_key, _holes(kept, left, removal)),
        },
    }


def _archive_change(before: Archive, after: Archive | None, removal: Removal) -> dict[str, t.Any]:
    return {
        "id": before.id,
        "wal_min_before": before.wal_min,
        "wal_min_after": after.wal_min if after else None,
        "wal_max": after.wal_max if after else None,
        "removed": [{"start": start, "stop": stop} for name, start, stop in removal.wal if name == before.id],
    }


def _window(stanza: Stanza, repo_key: int) -> dict[str, t.Any] | None:
    return next((window for window in stanza.windows() if window["repo_key"] == repo_key), None)


def _holes(kept: t.Sequence[Backup], archives: t.Mapping[str, Archive], removal: Removal) -> list[str]:
    """Backups that stay, but lose WAL behind their end: they can be restored to their own end only."""
    names = {archive.database_id: archive.id for archive in archives.values()}
    last: dict[tuple[str, int], str] = {}  # beginnings have 16 or 24 digits
    for name, start in (entry[:2] for entry in removal.wal):
        key = (name, len(start))
        last[key] = max(start, last.get(key, ""))

    def loses(backup: Backup, stop: str) -> bool:
        own = names.get(backup.database_id)
        return any(archive == own and start > stop[:digits] for (archive, digits), start in last.items())

    return [backup.label for backup in kept if backup.wal_stop and loses(backup, backup.wal_stop)]


def _window_change(
    before: t.Mapping[str, t.Any] | None, after: t.Mapping[str, t.Any] | None, repo_key: int, holes: t.Sequence[str]
) -> str:
    """How the recoverable window shrinks, in a sentence."""
    where = f"Repository {repo_key}"
    if before is None:
        return f"{where} holds no backup that a restore can use."
    if after is None:
        return f"From {where.lower()} nothing can be recovered any more."
    end = f" {', '.join(holes)} can be restored to its own end only: the WAL behind it goes." if holes else ""
    if before["earliest"] == after["earliest"]:
        return f"{where} can still be recovered from {after['earliest_time']} on ({after['earliest_backup']}).{end}"
    less = format_age(after["earliest"] - before["earliest"])
    return (
        f"{where} can be recovered from {after['earliest_time']} on ({after['earliest_backup']}), no longer from "
        f"{before['earliest_time']} ({before['earliest_backup']}): {less} less.{end}"
    )


def state_of(stanza: Stanza, repo_keys: t.Collection[int]) -> dict[str, t.Any]:
    """What an expire can change, for comparison and diff."""
    return {
        f"repo{key}": {
            "backups": [backup.label for backup in stanza.backups if backup.repo_key == key],
            "archive": {
                a.id: f"{a.wal_min} to {a.wal_max}" for a in stanza.archives if a.repo_key == key and a.wal_min
            },
        }
        for key in repo_keys
    }
