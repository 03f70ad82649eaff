# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What stands against a restore. Pure. Private to the collection."""

from __future__ import annotations

import os
import typing as t

from ._cluster import Postmaster
from ._directory import Directory
from ._plan_request import Destination, Facts, Request, absolute, same_path, stands
from ._problem import Problem
from ._repository import Backup, Database

FIRST_USER_OID = 16384  # FirstNormalObjectId; databases below it are always restored
_ALLOWED_ON_STANDBY = ("standby", "none", "preserve")
_SYSTEM_DATABASES = ("postgres", "template0", "template1")


def directory_problems(request: Request, facts: Facts) -> list[Problem]:
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
    if directory.state in ("cluster", "unfinished", "other") and not request.delta and not request.swap:
        problems.append(_not_empty(path, directory))
    if request.swap and facts.parent and not facts.parent.writable:
        problems.append(
            Problem(
                "not_writable",
                f"{facts.user} cannot write to {facts.parent.path}, where {path} is to change places.",
                f"Give {facts.parent.path} to {facts.user}, or set delta: true to restore in place.",
            )
        )
    return problems


def keeper_problems(request: Request, facts: Facts) -> list[Problem]:
    """Whether somebody else looks after this cluster, or works for it now."""
    directory, path = facts.directory, request.pgdata
    problems = []
    if directory.patroni:
        problems.append(
            Problem(
                "patroni",
                f"{path} has a patroni.dynamic.json: Patroni runs this cluster, and would start it in the middle of "
                "the restore or copy another member over it.",
                "Restore through Patroni (bootstrap method with pgBackRest), or take the cluster out of it: stop "
                "Patroni on all members, move that file away, and after the restore let Patroni take the cluster over "
                "(patronictl remove, then start it here first).",
            )
        )
    if directory.standby and directory.state == "cluster" and request.target.type not in _ALLOWED_ON_STANDBY:
        problems.append(
            Problem(
                "standby",
                f"{path} is a standby: it follows a primary, which this restore would not bring back.",
                "Restore on the primary and rebuild the standbys from it. To rebuild this standby set type: standby. "
                "If it is to become a cluster of its own, promote it first.",
            )
        )
    return [*problems, *_running_backup_problems(request, facts)]


def _running_backup_problems(request: Request, facts: Facts) -> list[Problem]:
    running, elsewhere = facts.running, is_elsewhere(request, facts)
    if not running or running.get("command") != "backup" or elsewhere or request.target.type == "standby":
        return []
    sentence = f"pgBackRest is taking a backup of stanza {request.stanza} at this moment."
    hint = "Wait until it ends, or end it, and keep its timer from starting another one."
    return [Problem("backup_running", sentence, hint)]


def archive_problems(request: Request, facts: Facts) -> list[Problem]:
    """Whether the restored cluster could archive. A copy and a standby do not."""
    if request.archive_mode == "off" or request.target.type == "standby" or is_elsewhere(request, facts):
        return []
    return [
        Problem(
            "repository_read_only",
            f"{facts.user} cannot write to {archive}, the archive of repository {key}: the restored cluster could not "
            "archive, and not be backed up.",
            "Look whether its file system is mounted read-only, or whom it belongs to, and make it writable first. To "
            "restore without archiving use archive_mode: off.",
        )
        for key, archive in sorted(facts.read_only.items())
    ]


def is_elsewhere(request: Request, facts: Facts) -> bool:
    """Whether the restore goes to another directory than the one that the stanza is of."""
    return bool(facts.configured_pgdata and not same_path(facts.configured_pgdata, request.pgdata))


def program_problems(request: Request, database: Database, facts: Facts) -> list[Problem]:
    """Whether the restored cluster can be started here."""
    programs, major = facts.programs, database.version.split(".")[0]
    if programs is None or programs.postgres or request.allow_unproven:
        return []
    other = f" ({programs.other})" if programs.other else ""
    sentence = f"PostgreSQL {major}, which the backup is of, is not installed on this host{other}."
    hint = f"Install PostgreSQL {major}, or name the directory of its programs in bindir."
    return [Problem("binaries_missing", sentence, hint)]


def wal_link_problems(request: Request, targets: t.Sequence[Destination], facts: Facts) -> list[Problem]:
    """A restore puts a directory in the place of a linked pg_wal that it does not know of."""
    link = facts.directory.wal_link
    target = next((target for target in targets if target.kind == "link" and target.name == "pg_wal"), None)
    if link is None or (target and target.path):
        return []
    sentence = (
        f"{request.pgdata}/pg_wal is a symbolic link to {link}, and the restore would put a plain directory in its "
        "place: WAL would fill another file system."
    )
    if target:
        hint = "Set link_all: true to keep the link, or map it with link_map."
    else:
        hint = f"The backup does not know the link. Map it: link_map: {{pg_wal: {link}}}."
    return [Problem("pg_wal_link", sentence, hint)]


def _running_problems(request: Request, directory: Directory) -> list[Problem]:
    server, path = directory.postmaster, request.pgdata
    if server is None or (server.alive and request.plan_only):
        return []
    if server.alive:
        return [Problem("running", _running(path, server), "Stop it before the restore.")]
    return [
        Problem(
            "stale_pid",
            f"{path}/postmaster.pid is there, but process {server.pid} is no server of this directory: the server or "
            "its host crashed.",
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


def identity_problems(request: Request, database: Database | None, directory: Directory) -> list[Problem]:
    """Whether the restore would replace what is not this stanza's."""
    path = request.pgdata
    if not (request.delta or request.swap) or directory.state not in ("cluster", "unfinished", "other"):
        return []
    identifier = directory.control.system_identifier if directory.control else None
    if identifier is None and directory.unfinished:
        identifier = directory.unfinished.system_identifier
    if directory.state == "other":
        sentence = f"{path} is not empty and no data directory: it has neither PG_VERSION nor backup.manifest."
        return [Problem("not_a_cluster", sentence, "Check pgdata. Empty it yourself if it is right.")]
    if identifier is None and request.swap:
        return []  # nothing gets lost; see warnings_of
    if identifier is None:
        sentence = f"{path} does not say which cluster it holds: global/pg_control is missing or broken."
        hint = "Set swap: true instead of delta, which keeps the old directory: then nothing can be lost."
        return [Problem("unknown_cluster", sentence, hint)]
    if database and identifier != database.system_id:
        sentence = (
            f"{path} holds another cluster (system identifier {identifier}, PostgreSQL {directory.pg_version}) than "
            f"stanza {request.stanza} (system identifier {database.system_id}, PostgreSQL {database.version})."
        )
        return [Problem("foreign_cluster", sentence, "Check stanza and pgdata. A restore would replace it.")]
    return []


def stop_problems(request: Request, facts: Facts) -> list[Problem]:
    if not facts.stop_file or not facts.stop_blocks_archive_get:
        return []
    sentence = f"The stop file {facts.stop_file} exists: the restored cluster could not fetch WAL from the archive."
    return [Problem("stopped", sentence, f"When its reason is gone run: pgbackrest --stanza={request.stanza} start")]


def name_problems(request: Request, backup: Backup) -> list[Problem]:
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
    users = sorted(database["name"] for database in databases if database["oid"] >= FIRST_USER_OID)
    for name in names:
        if name in _SYSTEM_DATABASES or (name in by_name and by_name[name]["oid"] < FIRST_USER_OID):
            sentence = f"{option} names {name}, which is a system database and always restored."
            problems.append(Problem("database_system", sentence, "Leave it out of the list."))
        elif name not in by_name:
            sentence = f"{option} names {name}, which backup set {label} does not have."
            problems.append(Problem("database_unknown", sentence, f"Its databases: {', '.join(users) or 'none'}."))
    return problems


def setting_problems(request: Request, pg_major: int) -> list[Problem]:
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


def place_problems(request: Request, targets: t.Sequence[Destination], facts: Facts) -> list[Problem]:
    problems = []
    place = facts.places.get(None)
    if place and not place.writable and facts.directory.owned and not request.swap:
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
        if not place.empty and (request.swap or not _may_overwrite(destination, facts.directory)):
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
    return directory.state in ("cluster", "unfinished") and stands(destination, directory)


def link_warnings(request: Request, targets: t.Sequence[Destination]) -> list[str]:
    return [
        f"{target.name} is a symbolic link to {target.original} in the backup and becomes plain files in "
        f"{request.pgdata}. Set link_all: true to keep it, or map it with link_map."
        for target in targets
        if target.kind == "link" and target.path is None
    ]


def warnings_of(request: Request, facts: Facts) -> list[str]:
    warnings = []
    server = facts.directory.postmaster
    if request.plan_only and server and server.alive:
        warnings.append(f"{_running(request.pgdata, server)} The plan holds once it is stopped.")
    if facts.stop_file and not facts.stop_blocks_archive_get:
        warnings.append(
            f"The stop file {facts.stop_file} exists: the restored cluster cannot archive until it is gone."
        )
    if request.swap and facts.directory.state == "cluster" and facts.directory.control is None:
        warnings.append(
            f"{request.pgdata} does not say which cluster it holds: global/pg_control is missing or broken. It is kept."
        )
    if is_elsewhere(request, facts) and request.archive_mode != "off":
        warnings.append(
            f"{request.pgdata} is not pg1-path of stanza {request.stanza} ({facts.configured_pgdata}): archiving from "
            "it will fail. For a copy beside the original use archive_mode: off, for a new home change pg1-path."
        )
    return warnings
