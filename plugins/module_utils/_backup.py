# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which backup counts, which one is due, and which one is new. Pure. Private to the collection."""

from __future__ import annotations

import re
import typing as t

from ._repository import iso_time, newest_backup

if t.TYPE_CHECKING:
    from ._repository import Backup, Stanza

# A full backup does what a differential one would do, and both what an incremental one would do.
COUNTS_AS = {"full": ("full",), "diff": ("full", "diff"), "incr": ("full", "diff", "incr")}

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_AGE = re.compile(r"(\d+)\s*([smhdw]?)")
_SHOWN_WARNINGS = 10
# Told better by the result of the module.
_TOLD_OTHERWISE = ("no prior backup exists", "invalid page checksum")


def parse_age(text: str) -> int:
    """Seconds in an age such as ``24h``, ``7d`` or ``3600``. ValueError when it is none.

    >>> parse_age("24h"), parse_age("90")
    (86400, 90)
    """
    match = _AGE.fullmatch(text.strip().lower())
    if not match:
        raise ValueError(f"{text!r} is not an age: write a whole number with s, m, h, d or w, such as 24h or 7d")
    return int(match.group(1)) * _UNITS[match.group(2)]


def format_age(seconds: int) -> str:
    """An age for people, its two largest units.

    >>> format_age(93784), format_age(59), format_age(-5)
    ('1 d 2 h', '59 s', '0 s')
    """
    seconds = max(0, seconds)
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        amount, seconds = divmod(seconds, size)
        if amount:
            parts.append(f"{amount} {unit}")
    return " ".join(parts[:2]) or "0 s"


def counting_backups(stanza: Stanza, kind: str, repo_key: int | None = None) -> list[Backup]:
    """Usable backups of the current cluster that serve as one of this type, oldest first.

    The current cluster is what the repository takes backups of now: older ones, from before an upgrade, do not count.
    """
    types, current = COUNTS_AS[kind], stanza.current_ids()
    return [
        backup
        for backup in stanza.usable_backups(repo_key)
        if backup.type in types and backup.database_id == current.get(backup.repo_key)
    ]


def last_backups(stanza: Stanza, now: float) -> dict[str, dict[str, t.Any] | None]:
    """For each type the newest backup that counts as one, over all repositories, with its age in seconds."""
    newest = {kind: newest_backup(counting_backups(stanza, kind)) for kind in COUNTS_AS}
    return {kind: _last(backup, now) if backup else None for kind, backup in newest.items()}


def _last(backup: Backup, now: float) -> dict[str, t.Any]:
    return {
        "label": backup.label,
        "type": backup.type,
        "repo_key": backup.repo_key,
        "stop": backup.stop,
        "stop_time": iso_time(backup.stop),
        "age": max(0, int(now) - backup.stop),
    }


def actual_type(stanza: Stanza, kind: str, repo_key: int) -> str:
    """The type that pgBackRest will take: without a full backup of the current cluster everything becomes one."""
    key = (repo_key, stanza.current_ids().get(repo_key))
    has_full = any(backup.type == "full" and (backup.repo_key, backup.database_id) == key for backup in stanza.backups)
    return kind if has_full else "full"


def new_backup(before: Stanza, after: Stanza, repo_key: int) -> Backup | None:
    """The backup in this repository that ended last among those which were not there before."""
    known = {backup.label for backup in before.backups if backup.repo_key == repo_key}
    return newest_backup(
        backup for backup in after.backups if backup.repo_key == repo_key and backup.label not in known
    )


def repository_keys(settings: t.Iterable[str]) -> list[int]:
    """Numbers of the repositories that a configuration names, lowest first; pgBackRest takes repo1 when it names none.

    >>> repository_keys(["repo2-path", "pg1-path", "repo1-type"]), repository_keys(["pg1-path"])
    ([1, 2], [1])
    """
    found = (re.match(r"repo(\d+)-", option) for option in settings)
    return sorted({int(match.group(1)) for match in found if match}) or [1]


def useful_warnings(texts: t.Iterable[str]) -> list[str]:
    """pgBackRest's warnings once each, without those the result tells in other words, and not without end."""
    unique = [text for text in dict.fromkeys(texts) if not text.startswith(_TOLD_OTHERWISE)]
    more = len(unique) - _SHOWN_WARNINGS
    return [*unique[:_SHOWN_WARNINGS], *([f"{more} more warnings of pgBackRest left out"] if more > 0 else [])]
