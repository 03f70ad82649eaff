# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan of a restore: facts in, a plan or a list of named problems out. Pure. Private to the collection.

Order of use: ``choose_backup`` (_choice), ``destinations``, then ``make_plan`` with the facts about all places.
"""

from __future__ import annotations

import os
import re
import typing as t
from dataclasses import dataclass, field, replace

from ._choice import Choice
from ._cluster import Postmaster
from ._directory import Directory, Place
from ._problem import PlanError, Problem
from ._repository import Backup, Database, iso_time
from ._target import RecoveryTarget

MASK = "********"
_MOOT_WHEN_DONE = ("not_empty", "space")
_FIRST_USER_OID = 16384  # FirstNormalObjectId; databases below it are always restored
_SYSTEM_DATABASES = ("postgres", "template0", "template1")
_OPTION_NAME = re.compile(r"^[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?$")
_SECRET_WORDS = re.compile(
    r"((?:\w|-)*(?:pass|secret|token|key)(?:\w|-)*\s*[=:]\s*)((?:''|\\'|[^'\s])+|'(?:\\.|''|[^'\\])*')", re.IGNORECASE
)
_SECRET_IN_URI = re.compile(r"(://[^:/@\s]*:)([^@\s]+)(@)")


@dataclass(frozen=True)
class Request:
    """What is wanted. ``label`` is the option set; maps and lists hold what task or configuration say."""

    stanza: str
    pgdata: str
    target: RecoveryTarget = RecoveryTarget()
    label: str | None = None
    repo: int | None = None
    delta: bool = False
    tablespace_map: dict[str, str] = field(default_factory=dict)
    tablespace_map_all: str | None = None
    link_map: dict[str, str] = field(default_factory=dict)
    link_all: bool = False
    db_include: list[str] = field(default_factory=list)
    db_exclude: list[str] = field(default_factory=list)
    recovery_options: dict[str, str] = field(default_factory=dict)
    inherited_recovery_options: dict[str, str] = field(default_factory=dict)
    archive_mode: str = "preserve"
    plan_only: bool = False  # check mode: a plan is made before the cluster is stopped


@dataclass(frozen=True)
class Destination:
    """A tablespace or link of the backup and the path it comes to; None when a link becomes a directory or file."""

    kind: str  # tablespace, link
    name: str
    oid: int | None
    original: str | None
    path: str | None

    def to_dict(self) -> dict[str, t.Any]:
        """The destination as module result."""
        common = {"name": self.name, "path": self.path, "original": self.original}
        return {**common, "oid": self.oid} if self.kind == "tablespace" else common


@dataclass(frozen=True)
class Facts:
    """What the host says. ``places`` has the data directory under None and the others under their destinations."""

    directory: Directory
    places: dict[Destination | None, Place]
    user: str
    configured_pgdata: str | None = None
    locked: bool = False
    stop_file: str | None = None
    stop_blocks_archive_get: bool = False


@dataclass(frozen=True)
class Plan:
    """A restore that may be done; ``done`` when the directory holds it already. Sizes are bytes."""

    request: Request
    backup: Backup
    database: Database
    directory: Directory
    destinations: list[Destination]
    delta: bool
    overwrites: list[dict[str, t.Any]]
    space: dict[str, int]
    warnings: list[str]
    done: bool = False

    @property
    def pg_major(self) -> int:
        """Major version of the backup."""
        return int(self.database.version.split(".")[0])

    def settings(self) -> dict[str, str]:
        """Recovery settings of the restored cluster, restore_command of pgBackRest aside."""
        if self.request.target.type in ("none", "preserve"):
            return {}
        options = {**self.request.inherited_recovery_options, **self.request.recovery_options}
        archive_mode = {"archive_mode": "off"} if self.request.archive_mode == "off" else {}
        return {**self.request.target.settings(self.pg_major), **archive_mode, **options}

    def zeroed(self) -> frozenset[int]:
        """OIDs of the databases that are left out."""
        request, databases = self.request, (self.backup.details or {}).get("databases", [])
        if not request.db_include and not request.db_exclude:
            return frozenset()
        users = [database for database in databases if database["oid"] >= _FIRST_USER_OID]
        return frozenset(database["oid"] for database in users if _is_left_out(database, request))

    def options(self) -> dict[str, t.Any]:
        """Options of ``pgbackrest restore``; recovery options are not among them, as they may hold secrets."""
        request = self.request
        return {
            "repo": self.backup.repo_key,
            "set": self.backup.label,
            "delta": self.delta,
            **request.target.options(self.pg_major),
            "archive_mode": request.archive_mode if request.archive_mode == "off" else None,
            "tablespace_map": request.tablespace_map or None,
            "tablespace_map_all": request.tablespace_map_all,
            "link_map": request.link_map or None,
            "link_all": True if request.link_all else None,
            "db_include": request.db_include or None,
            "db_exclude": request.db_exclude or None,
        }

    def to_dict(self) -> dict[str, t.Any]:
        """The plan as module result, secrets masked."""
        backup = self.backup.to_dict()
        shown = ("label", "type", "repo_key", "start_time", "stop_time", "lsn_stop", "wal_start", "size")
        return {
            "stanza": self.request.stanza,
            "backup": {name: backup[name] for name in shown},
            "target": self.request.target.to_dict(),
            "directory": self.directory.to_dict(),
            "method": "none" if self.done else "delta" if self.delta else "full",
            "overwrites": self.overwrites,
            "tablespaces": [d.to_dict() for d in self.destinations if d.kind == "tablespace"],
            "links": [d.to_dict() for d in self.destinations if d.kind == "link"],
            "databases_left_out": sorted(self.zeroed()),
            "space": self.space,
            "recovery_settings": mask_settings(self.settings()),
            "warnings": self.warnings,
            "text": self.text(),
        }

    def text(self) -> list[str]:
        """The plan in lines for people."""
        backup, pgdata, space = self.backup, self.request.pgdata, self.space
        if self.done:
            return [f"Nothing to do: {pgdata} already holds this restore of stanza {self.request.stanza}."]
        how = "delta: what differs is overwritten, what is not in the backup is deleted" if self.delta else "full"
        return [
            f"Restore of stanza {self.request.stanza} to {pgdata} ({how})",
            f"from   {backup.type} backup {backup.label} of repository {backup.repo_key}, ended "
            f"{iso_time(backup.stop)}",
            f"to     {self.request.target.sentence()}",
            *(f"over   {place['path']}: {place['content']}, {human_size(place['bytes'])}" for place in self.overwrites),
            *(
                f"map    {d.kind} {d.name} to {d.path or 'plain files in the data directory'}"
                for d in self.destinations
            ),
            f"space  {human_size(space['needed'])} needed, {human_size(space['free'])} free",
            *(f"note   {warning}" for warning in self.warnings),
        ]


def destinations(request: Request, backup: Backup) -> list[Destination]:
    """Where tablespaces and links of the backup come to. A tablespace may be mapped by its name or its OID."""
    details = backup.details or {}
    result = []
    for tablespace in details.get("tablespaces", []):
        name, oid = tablespace["name"], tablespace["oid"]
        mapped = request.tablespace_map.get(name) or request.tablespace_map.get(str(oid))
        everywhere = os.path.join(request.tablespace_map_all, name) if request.tablespace_map_all else None
        path = mapped or everywhere or tablespace["destination"]
        result.append(Destination("tablespace", name, oid, tablespace["destination"], path))
    links = {link["name"]: link["destination"] for link in details.get("links", [])}
    for name in sorted({**links, **request.link_map}):
        path = request.link_map.get(name) or (links[name] if request.link_all else None)
        result.append(Destination("link", name, None, links.get(name), path))
    return result


def same_path(one: str, other: str) -> bool:
    """Whether two paths are written alike.

    >>> same_path("/srv/pg/", "/srv/pg")
    True
    """
    return os.path.normpath(one) == os.path.normpath(other)


def absolute(pgdata: str, destination: Destination) -> str | None:
    """The path of a destination; links may be relative to where they stand."""
    if destination.path is None:
        return None
    return os.path.normpath(os.path.join(pgdata, os.path.dirname(destination.name), destination.path))


def make_plan(request: Request, choice: Choice, database: Database | None, facts: Facts) -> Plan:
    """The plan, or PlanError with every problem found."""
    backup = choice.backup
    problems = [*choice.problems, *_directory_problems(request, facts), *_stop_problems(request, facts)]
    if backup is None or database is None:
        problems += _identity_problems(request, None, facts.directory)
        raise PlanError(problems)
    targets = destinations(request, backup)
    problems += _identity_problems(request, database, facts.directory)
    problems += _name_problems(request, backup)
    problems += _setting_problems(request, int(database.version.split(".")[0]))
    problems += _place_problems(request, targets, facts)
    space = _space(backup, facts)
    problems += _space_problems(request, space)
    plan = Plan(
        request=request,
        backup=backup,
        database=database,
        directory=facts.directory,
        destinations=targets,
        delta=facts.directory.state in ("cluster", "unfinished"),
        overwrites=_overwrites(facts),
        space=space,
        warnings=[*choice.warnings, *_warnings(request, facts), *_link_warnings(request, targets)],
    )
    if holds(plan, facts.directory):
        problems = [problem for problem in problems if problem.code not in _MOOT_WHEN_DONE]
        plan = replace(plan, done=True, overwrites=[])
    if problems:
        raise PlanError(problems)
    return plan


def differences(plan: Plan, found: Directory) -> list[str]:
    """What keeps a directory from holding exactly this restore, not yet started; [] when nothing does."""
    label, backup, target = found.backup_label, plan.backup, plan.request.target
    result = []
    if found.unfinished:
        result.append(f"{found.path}/backup.manifest is there, as after a restore that did not end")
    if not found.control or found.control.system_identifier != plan.database.system_id:
        result.append(f"{found.path}/global/pg_control is not that of cluster {plan.database.system_id}")
    if found.pg_version != plan.database.version:
        result.append(f"{found.path}/PG_VERSION says {found.pg_version}, not {plan.database.version}")
    if backup.lsn_start and (not label or (label.lsn, label.segment) != (backup.lsn_start, backup.wal_start)):
        result.append(f"{found.path}/backup_label is not that of backup set {backup.label}")
    result += [f"{d.kind} {d.name} is not at {d.path}" for d in plan.destinations if not _stands(d, found)]
    if not plan.zeroed() <= found.zeroed:
        result.append("databases that were to be left out are not")
    return result + ([] if target.type == "preserve" else _setting_differences(plan, found))


def holds(plan: Plan, found: Directory) -> bool:
    """Whether nothing is left to do, because the directory holds exactly this restore, not yet started."""
    return bool(plan.backup.lsn_start) and not differences(plan, found) and found.zeroed == plan.zeroed()


def mask_settings(settings: t.Mapping[str, str]) -> dict[str, str]:
    """Settings with the secrets in connection strings and commands masked.

    >>> mask_settings({"primary_conninfo": "host=db1 password=geheim user=rep"})
    {'primary_conninfo': 'host=db1 password=******** user=rep'}
    """
    return {
        name: _SECRET_IN_URI.sub(rf"\g<1>{MASK}\g<3>", _SECRET_WORDS.sub(rf"\g<1>{MASK}", value))
        for name, value in settings.items()
    }


def secrets_in(settings: t.Mapping[str, str]) -> set[str]:
    """The secrets that ``mask_settings`` masks."""
    found = {match.group(2) for value in settings.values() for match in _SECRET_WORDS.finditer(value)}
    found |= {match.group(2) for value in settings.values() for match in _SECRET_IN_URI.finditer(value)}
    return found | {secret.strip("'") for secret in found if secret.strip("'")}


def option_problems(options: t.Mapping[str, str]) -> list[str]:
    """Sentences about recovery options that must not be written as they are."""
    result = []
    for name, value in options.items():
        if not _OPTION_NAME.match(name):
            result.append(f"{name!r} in recovery_options is not the name of a setting.")
        elif name.startswith("recovery_target") or name in ("standby_mode", "archive_mode"):
            result.append(
                f"{name} in recovery_options would contradict the options of this task: use type, target, "
                "target_timeline, target_action, target_exclusive and archive_mode."
            )
        elif re.search(r"[\x00-\x1f]", value):
            result.append(f"The value of {name} in recovery_options has a line break or control character.")
    return result


def _stands(destination: Destination, found: Directory) -> bool:
    if destination.kind == "tablespace":
        return found.tablespaces.get(str(destination.oid)) == destination.path
    return found.links.get(destination.name) == destination.path


def _setting_differences(plan: Plan, found: Directory) -> list[str]:
    expected = plan.request.target.signal_file(plan.pg_major)
    result = []
    if found.signals != ((expected,) if expected else ()):
        present_files = ", ".join(found.signals) or "no recovery file"
        result.append(f"{found.path} has {present_files} instead of {expected or 'none'}")
    if expected is None:
        return result
    present, wanted = dict(found.settings or {}), plan.settings()
    if "restore_command" not in wanted:
        command = present.pop("restore_command", "")
        if f"--stanza={plan.request.stanza} " not in command:
            result.append(f"restore_command does not read from stanza {plan.request.stanza}")
    if present != wanted:
        names = sorted(name for name in {**present, **wanted} if present.get(name) != wanted.get(name))
        result.append(f"recovery settings differ: {', '.join(names)}")
    return result


def _is_left_out(database: t.Mapping[str, t.Any], request: Request) -> bool:
    names = {database["name"], str(database["oid"])}
    return bool(names & set(request.db_exclude) or (request.db_include and not names & set(request.db_include)))


def _directory_problems(request: Request, facts: Facts) -> list[Problem]:
    directory, path = facts.directory, request.pgdata
    problems = []
    if not os.path.isabs(path) or os.path.normpath(path) == "/":
        problems.append(Problem("path", f"{path} is not a possible data directory.", "Give an absolute path below /."))
    if directory.state == "file":
        problems.append(Problem("not_a_directory", f"{path} is not a directory.", "Move it away."))
    if not directory.owned:
        problems.append(
            Problem(
                "owner",
                f"{path} belongs to {directory.owner}, this task runs as {facts.user}.",
                f"Add become: true and become_user: {directory.owner} to the task.",
            )
        )
    if facts.locked:
        problems.append(
            Problem("locked", f"Another restore works on {path}.", "Wait until it ends; this one changed nothing.")
        )
    problems += _running_problems(request, directory)
    if directory.state in ("cluster", "unfinished", "other") and not request.delta:
        problems.append(_not_empty(path, directory))
    return problems


def _running_problems(request: Request, directory: Directory) -> list[Problem]:
    server, path = directory.postmaster, request.pgdata
    if server is None or (server.alive and request.plan_only):
        return []
    if server.alive:
        return [Problem("running", _running(path, server), "Stop it before the restore.")]
    return [
        Problem(
            "stale_pid",
            f"{path}/postmaster.pid is there, but no process {server.pid}: the server or its host crashed.",
            "Make sure that nothing else uses this directory (another host on shared storage, a container), then "
            "remove the file.",
        )
    ]


def _running(path: str, server: Postmaster) -> str:
    port = f", port {server.port}" if server.port else ""
    return f"PostgreSQL runs on {path} (process {server.pid}{port}), and a running cluster is never overwritten."


def _not_empty(path: str, directory: Directory) -> Problem:
    if directory.state == "unfinished":
        hint = "Set delta: true to finish it, or empty the directory."
        return Problem("unfinished", f"{path} holds an {directory.sentence()}.", hint)
    hint = (
        "Set delta: true to bring it back in place: what differs from the backup is overwritten, what is not in it is "
        "deleted. Or restore into an empty directory."
        if directory.state == "cluster"
        else "Empty it, or restore into another directory."
    )
    return Problem("not_empty", f"{path} is not empty ({directory.sentence()}).", hint)


def _identity_problems(request: Request, database: Database | None, directory: Directory) -> list[Problem]:
    """Whether a delta restore would touch what is not this stanza's."""
    path = request.pgdata
    if not request.delta or directory.state not in ("cluster", "unfinished", "other"):
        return []
    identifier = directory.control.system_identifier if directory.control else None
    if identifier is None and directory.unfinished:
        identifier = directory.unfinished.system_identifier
    if directory.state == "other":
        sentence = f"{path} is not empty and no data directory: it has neither PG_VERSION nor backup.manifest."
        return [Problem("not_a_cluster", sentence, "Check pgdata. Empty it yourself if it is right.")]
    if identifier is None:
        sentence = f"{path} does not say which cluster it holds: global/pg_control is missing or broken."
        hint = "Move the directory away and restore into an empty one, then nothing can be lost."
        return [Problem("unknown_cluster", sentence, hint)]
    if database and identifier != database.system_id:
        sentence = (
            f"{path} holds another cluster (system identifier {identifier}, PostgreSQL {directory.pg_version}) than "
            f"stanza {request.stanza} (system identifier {database.system_id}, PostgreSQL {database.version})."
        )
        return [Problem("foreign_cluster", sentence, "Check stanza and pgdata. A delta restore would destroy it.")]
    return []


def _stop_problems(request: Request, facts: Facts) -> list[Problem]:
    if not facts.stop_file or not facts.stop_blocks_archive_get:
        return []
    sentence = f"The stop file {facts.stop_file} exists: the restored cluster could not fetch WAL from the archive."
    return [Problem("stopped", sentence, f"When its reason is gone run: pgbackrest --stanza={request.stanza} start")]


def _name_problems(request: Request, backup: Backup) -> list[Problem]:
    details = backup.details or {}
    tablespaces = details.get("tablespaces", [])
    known = {name for item in tablespaces for name in (item["name"], str(item["oid"]))}
    problems = [
        Problem("path", f"tablespace_map gives {name} the relative path {path}.", "Give an absolute one.")
        for name, path in sorted(request.tablespace_map.items())
        if not os.path.isabs(path)
    ]
    problems += [
        Problem(
            "tablespace_unknown",
            f"tablespace_map names {name}, which backup set {backup.label} does not have.",
            f"Its tablespaces: {', '.join(item['name'] for item in tablespaces) or 'none'}.",
        )
        for name in sorted(set(request.tablespace_map) - known)
    ]
    for option, names in (("db_include", request.db_include), ("db_exclude", request.db_exclude)):
        problems.extend(_database_problems(option, names, details.get("databases", []), backup.label))
    return problems


def _database_problems(
    option: str, names: t.Sequence[str], databases: t.Sequence[t.Mapping[str, t.Any]], label: str
) -> list[Problem]:
    problems = []
    by_name = {key: database for database in databases for key in (database["name"], str(database["oid"]))}
    users = sorted(database["name"] for database in databases if database["oid"] >= _FIRST_USER_OID)
    for name in names:
        if name in _SYSTEM_DATABASES or (name in by_name and by_name[name]["oid"] < _FIRST_USER_OID):
            sentence = f"{option} names {name}, which is a system database and always restored."
            problems.append(Problem("database_system", sentence, "Leave it out of the list."))
        elif name not in by_name:
            sentence = f"{option} names {name}, which backup set {label} does not have."
            problems.append(Problem("database_unknown", sentence, f"Its databases: {', '.join(users) or 'none'}."))
    return problems


def _setting_problems(request: Request, pg_major: int) -> list[Problem]:
    problems = []
    if request.archive_mode == "off" and pg_major < 12:
        sentence = f"archive_mode: off needs PostgreSQL 12, the backup is of PostgreSQL {pg_major}."
        hint = "Set archive_mode in postgresql.conf of the restored cluster before you start it."
        problems.append(Problem("archive_mode", sentence, hint))
    if request.target.type in ("none", "preserve") and (request.recovery_options or request.archive_mode == "off"):
        sentence = (
            f"Type {request.target.type} writes no recovery settings: recovery_options and archive_mode get lost."
        )
        problems.append(Problem("recovery_options", sentence, "Leave them out, or choose another type."))
    return problems


def _place_problems(request: Request, targets: t.Sequence[Destination], facts: Facts) -> list[Problem]:
    problems = []
    place = facts.places.get(None)
    if place and not place.writable and facts.directory.owned:
        problems.append(_not_writable(request.pgdata, facts.user))
    taken: dict[str, str] = {os.path.normpath(request.pgdata): "the data directory"}
    for destination in targets:
        path, place = absolute(request.pgdata, destination), facts.places.get(destination)
        if path is None or place is None:
            continue
        title = f"{destination.kind} {destination.name}"
        problems += _overlap_problems(title, path, taken)
        taken[path] = title
        if not place.writable:
            problems.append(_not_writable(path, facts.user))
        if not place.empty and not _may_overwrite(destination, facts.directory):
            problems.append(
                Problem(
                    "place_not_empty",
                    f"{path}, where {title} comes to, is not empty and not in use by {request.pgdata}.",
                    f"Map it elsewhere with {destination.kind}_map, or empty it if you know whose files these are.",
                )
            )
    return problems


def _overlap_problems(title: str, path: str, taken: t.Mapping[str, str]) -> list[Problem]:
    for other, owner in taken.items():
        if path == other or path.startswith(f"{other}/") or other.startswith(f"{path}/"):
            sentence = f"{path}, where {title} comes to, overlaps with {owner} ({other})."
            return [Problem("place_shared", sentence, "Give each its own directory.")]
    return []


def _not_writable(path: str, user: str) -> Problem:
    sentence = f"{user} can neither write to {path} nor create it."
    return Problem("not_writable", sentence, f"Create {path} with owner {user}, or run the task as another user.")


def _may_overwrite(destination: Destination, directory: Directory) -> bool:
    # Without delta the directory itself is the problem, and told as such.
    return directory.state in ("cluster", "unfinished") and _stands(destination, directory)


def _space(backup: Backup, facts: Facts) -> dict[str, int]:
    free = {place.device: place.free for place in facts.places.values()}
    occupied = sum(place.occupied for place in facts.places.values())
    return {"needed": backup.size, "free": sum(free.values()), "reused": occupied}


def _space_problems(request: Request, space: t.Mapping[str, int]) -> list[Problem]:
    """Certain lack of space. Databases left out are sparse files, so then nothing is certain."""
    if request.db_include or request.db_exclude or space["free"] + space["reused"] >= space["needed"]:
        return []
    reused = f" and {human_size(space['reused'])} that are overwritten" if space["reused"] else ""
    sentence = (
        f"The backup has {human_size(space['needed'])}, the file systems of its directories have "
        f"{human_size(space['free'])} free{reused}."
    )
    return [Problem("space", sentence, "Make room, or restore to a larger file system.")]


def human_size(size: int) -> str:
    """A size in bytes for people.

    >>> human_size(29 * 1024**2)
    '29.0 MiB'
    """
    value, unit = float(size), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{int(value)} B" if unit == "B" else f"{value:.1f} {unit}"


def _overwrites(facts: Facts) -> list[dict[str, t.Any]]:
    return [
        {
            "path": place.path,
            "bytes": place.occupied,
            "content": f"{destination.kind} {destination.name}" if destination else facts.directory.sentence(),
        }
        for destination, place in facts.places.items()
        if not place.empty
    ]


def _link_warnings(request: Request, targets: t.Sequence[Destination]) -> list[str]:
    return [
        f"{target.name} is a symbolic link to {target.original} in the backup and becomes plain files in "
        f"{request.pgdata}. Set link_all: true to keep it, or map it with link_map."
        for target in targets
        if target.kind == "link" and target.path is None
    ]


def _warnings(request: Request, facts: Facts) -> list[str]:
    warnings = []
    server = facts.directory.postmaster
    if request.plan_only and server and server.alive:
        warnings.append(f"{_running(request.pgdata, server)} The plan holds once it is stopped.")
    if facts.stop_file and not facts.stop_blocks_archive_get:
        warnings.append(
            f"The stop file {facts.stop_file} exists: the restored cluster cannot archive until it is gone."
        )
    configured = facts.configured_pgdata
    if configured and not same_path(configured, request.pgdata) and request.archive_mode != "off":
        warnings.append(
            f"{request.pgdata} is not pg1-path of stanza {request.stanza} ({configured}): archiving from it will fail. "
            "For a copy beside the original use archive_mode: off, for a new home change pg1-path."
        )
    return warnings
