# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the repositories hold, read from ``pgbackrest info --output=json``. Pure. Private to the collection."""

from __future__ import annotations

import re
import typing as t
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone

# Status codes of ``info`` (stanza and repository level); exit status 0 accompanies all of them.
OK = 0
MISSING_STANZA = (1, 3)
NO_BACKUP = 2
TYPES = ("full", "diff", "incr")

_MISSING_HINT = (
    "If it was there before, check the repository's path in the configuration and whether its file system is mounted. "
    "If it is new, create it with the module pgops.pgbackrest.stanza."
)
_HINTS = {
    1: _MISSING_HINT,
    2: "Take a backup with the module pgops.pgbackrest.backup.",
    3: _MISSING_HINT,
    4: "Look at the status of each repository.",
    5: "The repositories hold different clusters. Check the paths of the repositories and the stanza's name.",
    6: "Look at the labels that the repository holds.",
    99: "Check that the repository can be reached, its permissions and its passphrase.",
}


_PASSPHRASE_HINT = (
    "Check repo{key}-cipher-type and repo{key}-cipher-pass: "
    "the repository was made with another passphrase or with none."
)
# pgBackRest decrypts with whatever passphrase it was given and then stumbles over the result.
_GARBLED = re.compile(
    r"(?P<file>unable to load info file '[^']*')"
    r".*?(?:key/value found outside of section|missing '=' in key/value|CryptoError|cipher header invalid)",
    re.DOTALL,
)
_RUNNING = re.compile(r"\(?(?P<command>backup|restore)(?:/expire)? running - (?P<percent>[\d.]+)% complete")


@dataclass(frozen=True)
class Database:
    """A cluster the stanza has known: ``id`` counts up with each stanza-upgrade; ``version`` is such as ``15``."""

    id: int
    repo_key: int
    system_id: int
    version: str


@dataclass(frozen=True)
class Archive:
    """First and last archived WAL segment of one cluster in one repository; None when there is none."""

    repo_key: int
    database_id: int
    id: str
    wal_min: str | None
    wal_max: str | None


@dataclass(frozen=True)
class Repository:
    """One repository with its own status; ``status_code`` 0 is good."""

    key: int
    status_code: int
    status_message: str
    cipher: str

    def problem(self) -> str:
        """Sentences that say what is wrong with a repository whose status is not good, and what to do."""
        reason = readable_reason(self.status_message)
        hint = _PASSPHRASE_HINT.format(key=self.key) if reason else _HINTS.get(self.status_code, "")
        return f"Repository {self.key}: {_sentence(reason or self.status_message, hint)}"


@dataclass(frozen=True)
class Backup:
    """One backup set. Times are epoch seconds, sizes bytes.

    ``repo_size`` is None with block incremental, which does not know it; ``error`` is None when it is unknown.
    ``details`` is there when info was asked for this set alone: ``{"databases": [{name, oid}], "tablespaces": [{name,
    oid, destination}], "links": [{name, destination}], "damaged_files": [path below the data directory]}``.
    """

    label: str
    type: str
    prior: str | None
    repo_key: int
    database_id: int
    start: int
    stop: int
    lsn_start: str | None
    lsn_stop: str | None
    wal_start: str | None
    wal_stop: str | None
    size: int
    delta: int
    repo_size: int | None
    repo_delta: int | None
    error: bool | None
    annotations: dict[str, str] = field(default_factory=dict)
    references: list[str] = field(default_factory=list)
    details: dict[str, t.Any] | None = None

    def to_dict(self) -> dict[str, t.Any]:
        """The backup as module result, with readable times and the duration in seconds."""
        readable = {"start_time": iso_time(self.start), "stop_time": iso_time(self.stop)}
        return {**vars(self), **readable, "duration": self.stop - self.start}


@dataclass(frozen=True)
class Stanza:
    """One stanza over all its repositories. ``running`` is ``{"command", "percent", "done", "total"}`` or None."""

    name: str
    status_code: int
    status_message: str
    repositories: list[Repository]
    databases: list[Database]
    archives: list[Archive]
    backups: list[Backup]
    running: dict[str, t.Any] | None

    def missing_in(self) -> list[Repository]:
        """Repositories without this stanza."""
        return [repository for repository in self.repositories if repository.status_code in MISSING_STANZA]

    def current_database(self, repo_key: int) -> Database | None:
        """The cluster that this repository takes backups of now: the highest id."""
        found = [database for database in self.databases if database.repo_key == repo_key]
        return max(found, key=lambda database: database.id) if found else None

    def current_ids(self) -> dict[int, int]:
        """The ``id`` of that cluster for each repository that has one."""
        return {database.repo_key: database.id for database in sorted(self.databases, key=lambda each: each.id)}

    def archive_of(self, database: Database) -> Archive:
        """The archive of a cluster in its repository, where it may have nothing yet."""
        key = (database.repo_key, database.id)
        named = (archive for archive in self.archives if (archive.repo_key, archive.database_id) == key)
        return next(named, Archive(*key, f"{database.version}-{database.id}", None, None))

    def usable_backups(self, repo_key: int | None = None) -> list[Backup]:
        """Backups without page checksum errors, oldest first, of all repositories or of one."""
        return [
            backup for backup in self.backups if not backup.error and (repo_key is None or backup.repo_key == repo_key)
        ]

    def problems(self) -> list[str]:
        """Sentences that say what is wrong; [] for a healthy stanza."""
        result = [repository.problem() for repository in self.repositories if repository.status_code != OK]
        if not result and self.status_code != OK:
            result.append(_sentence(self.status_message, _HINTS.get(self.status_code, "")))
        damaged = [backup.label for backup in self.backups if backup.error]
        if damaged:
            result.append(
                f"Backups with page checksum errors: {', '.join(damaged)}. Look for damaged tables with pg_amcheck, "
                "then take a new full backup."
            )
        return result

    def contents(self, repo_key: int) -> dict[str, t.Any]:
        """What one repository has, in short: of all clusters, so that nothing that takes room is forgotten."""
        backups = [backup for backup in self.backups if backup.repo_key == repo_key]
        newest = newest_backup(backups)
        return {
            "newest": newest.label if newest else None,
            "size": newest.size if newest else None,
            "stored": sum(backup.repo_delta or 0 for backup in backups),
            "types": {kind: _of_type(kind, backups) for kind in TYPES},
        }

    def windows(self) -> list[dict[str, t.Any]]:
        """Per repository, from when on the current cluster can be recovered, and the last WAL segment it has.

        The earliest moment is the end of the oldest usable backup: a target before it cannot be reached. The time of
        the last commit is not known from here, only the segment it may be in.
        """
        return [window for window in (self._window(repository.key) for repository in self.repositories) if window]

    def _window(self, repo_key: int) -> dict[str, t.Any] | None:
        database = self.current_database(repo_key)
        if database is None:
            return None
        backups = [backup for backup in self.usable_backups(repo_key) if backup.database_id == database.id]
        if not backups:
            return None
        oldest = min(backups, key=lambda backup: backup.stop)
        archives = [a for a in self.archives if a.repo_key == repo_key and a.database_id == database.id]
        return {
            "repo_key": repo_key,
            "earliest": oldest.stop,
            "earliest_time": iso_time(oldest.stop),
            "earliest_lsn": oldest.lsn_stop,
            "earliest_backup": oldest.label,
            "latest_backup": max(backups, key=lambda backup: backup.stop).label,
            "latest_timeline": max((int(b.wal_start[:8], 16) for b in backups if b.wal_start), default=None),
            "latest_wal": archives[0].wal_max if archives else None,
        }

    def newest_backups(self, count: int | None) -> list[Backup]:
        """So many of the newest backups of each repository, or all of them, oldest first."""
        if count is None:
            return self.backups
        latest = sorted(self.backups, key=lambda backup: (backup.stop, backup.label), reverse=True)
        found = [[backup for backup in latest if backup.repo_key == each.key][:count] for each in self.repositories]
        labels = {(backup.repo_key, backup.label) for own in found for backup in own}
        return [backup for backup in self.backups if (backup.repo_key, backup.label) in labels]

    def to_dict(self, backups: bool = True, newest: int | None = None) -> dict[str, t.Any]:
        """The stanza as module result, with or without its ``backups``, or with ``newest`` of each repository only."""
        problems = self.problems()
        listed = self.newest_backups(newest) if backups else []
        return {
            "name": self.name,
            "healthy": not problems and self.status_code == OK,
            "status": {"code": self.status_code, "message": self.status_message},
            "problems": problems,
            "repositories": [
                {**asdict(repository), "contents": self.contents(repository.key)} for repository in self.repositories
            ],
            "databases": [asdict(database) for database in self.databases],
            "archives": [asdict(archive) for archive in self.archives],
            **({"backups": [backup.to_dict() for backup in listed]} if backups else {}),
            "windows": self.windows(),
            "running": self.running,
        }


def readable_reason(message: str) -> str | None:
    """What a message means that is full of wrongly decrypted bytes; None for all other messages."""
    match = _GARBLED.search(message)
    return f"{match.group('file')} with the configured passphrase" if match else None


def _sentence(text: str, hint: str) -> str:
    joined = " ".join(text.split())
    return f"{joined if joined.endswith(('.', '?', '!')) else joined + '.'} {hint}".rstrip()


def iso_time(epoch: int) -> str:
    """Time in UTC with its offset.

    >>> iso_time(0)
    '1970-01-01 00:00:00+00:00'
    """
    return str(datetime.fromtimestamp(epoch, timezone.utc))


def parse_info(data: t.Sequence[t.Mapping[str, t.Any]]) -> list[Stanza]:
    """Stanzas in the answer of ``info --output=json``, read with or without ``without_raw_backups``."""
    return [_stanza(element) for element in data]


def without_raw_backups(data: dict[str, t.Any]) -> dict[str, t.Any] | Backup:
    """A hook for ``json.loads``: an object of ``info``, or the backup that it describes.

    Thousands of backups take half as much memory when each becomes a record as soon as it is read.
    """
    # An annotation may have any name, but its value is text.
    return _backup(data) if "label" in data and isinstance(data.get("timestamp"), dict) else data


def find_stanza(stanzas: t.Iterable[Stanza], name: str) -> Stanza | None:
    """The stanza of this name."""
    return next((stanza for stanza in stanzas if stanza.name == name), None)


def parse_running(text: str) -> dict[str, dict[str, t.Any]]:
    """Running command and percent by stanza in the text form of ``info``, whose JSON has no sizes before 2.48."""
    result: dict[str, dict[str, t.Any]] = {}
    name = ""
    for line in text.splitlines():
        if line.startswith("stanza: "):
            name = line[len("stanza: ") :]
        match = _RUNNING.search(line)
        if match and name not in result:
            result[name] = {"command": match.group("command"), "percent": float(match.group("percent"))}
    return result


def with_percent(stanza: Stanza, running: t.Mapping[str, t.Mapping[str, t.Any]]) -> Stanza:
    """The stanza with the percent that ``parse_running`` found, if it runs and does not know better itself."""
    found = running.get(stanza.name)
    if stanza.running is None or stanza.running["percent"] is not None or found is None:
        return stanza
    return replace(stanza, running={**stanza.running, **found})


def newest_backup(backups: t.Iterable[Backup]) -> Backup | None:
    """The backup that ended last."""
    return max(backups, key=lambda backup: (backup.stop, backup.label), default=None)


def _of_type(kind: str, backups: t.Iterable[Backup]) -> dict[str, t.Any]:
    """How many backups are of this type, and the newest of them without page checksum errors."""
    found = [backup for backup in backups if backup.type == kind]
    last = newest_backup(backup for backup in found if not backup.error)
    shown = {"label": last.label, "stop": last.stop, "stop_time": iso_time(last.stop)} if last else None
    return {"count": len(found), "last": shown}


def _stanza(element: t.Mapping[str, t.Any]) -> Stanza:
    return Stanza(
        name=element["name"],
        status_code=element["status"]["code"],
        status_message=element["status"]["message"],
        repositories=[
            Repository(repo["key"], repo["status"]["code"], repo["status"]["message"], repo["cipher"])
            for repo in element.get("repo", [])
        ],
        databases=[Database(db["id"], db["repo-key"], db["system-id"], db["version"]) for db in element.get("db", [])],
        archives=[
            Archive(a["database"]["repo-key"], a["database"]["id"], a["id"], a["min"], a["max"])
            for a in element.get("archive", [])
        ],
        backups=[each if isinstance(each, Backup) else _backup(each) for each in element.get("backup", [])],
        running=_running(element["status"].get("lock", {})),
    )


def _backup(data: t.Mapping[str, t.Any]) -> Backup:
    info, lsn = data["info"], data.get("lsn") or {}
    return Backup(
        label=data["label"],
        type=data["type"],
        prior=data["prior"],
        repo_key=data["database"]["repo-key"],
        database_id=data["database"]["id"],
        start=data["timestamp"]["start"],
        stop=data["timestamp"]["stop"],
        lsn_start=lsn.get("start"),
        lsn_stop=lsn.get("stop"),
        wal_start=data["archive"]["start"],
        wal_stop=data["archive"]["stop"],
        size=info["size"],
        delta=info["delta"],
        repo_size=info["repository"].get("size"),
        repo_delta=info["repository"].get("delta"),
        error=data.get("error"),
        annotations=dict(data.get("annotation") or {}),
        references=list(data.get("reference") or []),
        details=_details(data) if "database-ref" in data else None,
    )


def _details(data: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    return {
        "databases": list(data["database-ref"] or []),
        "tablespaces": list(data.get("tablespace") or []),
        "links": list(data.get("link") or []),
        "damaged_files": list(data.get("error-list") or []),
    }


def _running(lock: t.Mapping[str, t.Any]) -> dict[str, t.Any] | None:
    for command in ("backup", "restore"):
        state = lock.get(command) or {}
        if state.get("held"):
            done, total = state.get("size-cplt"), state.get("size")
            percent = round(100 * done / total, 1) if done is not None and total else None
            return {"command": command, "percent": percent, "done": done, "total": total}
    return None
