# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Gathering the facts for a restore plan. Private to the collection."""

from __future__ import annotations

import getpass
import os
import re
import time
import typing as t
from contextlib import ExitStack
from dataclasses import replace

from ._archive_listing import Listing
from ._choice import Choice, candidates
from ._cli import PgBackRest, local_repository
from ._cluster import tablespaces
from ._directory import Directory, Place, read_directory, read_place
from ._messages import PgBackRestError
from ._plan import Destination, Facts, Plan, Request, absolute, destinations, make_plan, option_problems
from ._plan_wal import Finding, examine
from ._problem import PlanError, Problem
from ._programs import Programs, find_programs
from ._repository import Backup, Database, Stanza, find_stanza, parse_info
from ._rescue import Rescue, find_rescue, rescue_directory
from ._target import RecoveryTarget, TargetError, parse_target
from ._wal_reader import WalError, WalReader

_FIRST_ARCHIVE_GET_DESPITE_STOP = (2, 48)
_REPOSITORY_OPTION = re.compile(r"repo(\d+)-")


def read_request(params: t.Mapping[str, t.Any], settings: t.Mapping[str, list[str]], plan_only: bool) -> Request:
    """What the task wants; what it leaves open is as the configuration says. Raises PlanError about bad options."""
    target, options = _checked_options(params)

    def default(name: str) -> list[str]:
        return settings.get(name, [])

    link_all = params["link_all"]
    return Request(
        stanza=params["stanza"],
        pgdata=os.path.normpath(params["pgdata"] or default("pg1-path")[0]),
        target=target,
        label=params["set"],
        repo=params["repo"],
        delta=params["delta"],
        tablespace_map={
            name: os.path.normpath(path)
            for name, path in _mapping(params["tablespace_map"], default("tablespace-map")).items()
        },
        tablespace_map_all=params["tablespace_map_all"] or next(iter(default("tablespace-map-all")), None),
        link_map=_mapping(params["link_map"], default("link-map")),
        link_all=default("link-all") == ["y"] if link_all is None else link_all,
        db_include=default("db-include") if params["db_include"] is None else params["db_include"],
        db_exclude=default("db-exclude") if params["db_exclude"] is None else params["db_exclude"],
        recovery_options=options,
        inherited_recovery_options={
            name.replace("-", "_"): value for name, value in _pairs(default("recovery-option")).items()
        },
        archive_mode=params["archive_mode"] or (default("archive-mode") or ["preserve"])[0],
        plan_only=plan_only,
    )


def _checked_options(params: t.Mapping[str, t.Any]) -> tuple[RecoveryTarget, dict[str, str]]:
    """The target and the recovery options of the task."""
    options = {name.replace("-", "_"): _text(value) for name, value in (params["recovery_options"] or {}).items()}
    problems = [Problem("recovery_options", sentence, "") for sentence in option_problems(options)]
    names = ("type", "target", "target_timeline", "target_action", "target_exclusive")
    target = RecoveryTarget()
    try:
        target = parse_target(*(params[name] for name in names))
    except TargetError as error:
        problems += [Problem("target", sentence, "") for sentence in error.problems]
    if problems:
        raise PlanError(problems)
    return target, options


def read_plan(backrest: PgBackRest, request: Request, locked: bool) -> Plan:
    """The plan for a request, or PlanError with all problems. Reads only."""
    stanza = find_stanza(parse_info(backrest.info(repo=request.repo)), request.stanza)
    choices = candidates(stanza, request.target, request.label, request.repo, time.time())
    directory = read_directory(request.pgdata)
    with ExitStack() as readers:
        finding, reader, programs = _first_that_serves(backrest, request, stanza, choices, directory, readers)
        choice, database = finding.choice, None
        if stanza and choice.backup:
            database = _database(stanza, choice.backup)
            choice = replace(choice, backup=_with_details(backrest, request, choice.backup))
        rescue = _rescue(request, directory, reader) if reader else None
    facts = _read_facts(backrest, request, choice, database, locked)
    facts = replace(facts, rescue=rescue, programs=programs, running=stanza.running if stanza else None)
    return make_plan(request, choice, database, facts, finding.proof)


def _first_that_serves(
    backrest: PgBackRest,
    request: Request,
    stanza: Stanza | None,
    choices: t.Sequence[Choice],
    directory: Directory,
    readers: ExitStack,
) -> tuple[Finding, WalReader | None, Programs | None]:
    """What the first repository says that serves, with what was against those before it as warnings.

    When none serves, the first one with a backup, and all problems of all of them.
    """
    problems: list[Problem] = []
    fallback: tuple[Finding, WalReader | None, Programs | None] | None = None
    for choice in choices:
        database = _database(stanza, choice.backup) if stanza and choice.backup else None
        if stanza is None or choice.backup is None or database is None:
            problems += choice.problems
            continue
        programs = find_programs(int(database.version.split(".")[0]), request.bindir)
        reader = readers.enter_context(_reader(backrest, request, stanza, database, programs))
        finding = examine(request, choice, reader, directory, _no_pg_waldump(programs, database))
        if not finding.problems:
            notes = [problem.text() for problem in problems] + finding.choice.warnings
            return replace(finding, choice=replace(finding.choice, problems=[], warnings=notes)), reader, programs
        problems += finding.problems
        fallback = fallback or (finding, reader, programs)
    finding, reader_, programs_ = fallback or (Finding(Choice(None)), None, None)
    return replace(finding, choice=replace(finding.choice, problems=problems)), reader_, programs_


def _reader(
    backrest: PgBackRest, request: Request, stanza: Stanza, database: Database, programs: Programs
) -> WalReader:
    return WalReader(
        backrest,
        request.stanza,
        stanza.archive_of(database),
        database.system_id,
        database.version,
        request.pgdata,
        programs.bindir if programs.pg_waldump else None,
        request.workspace,
    )


def _no_pg_waldump(programs: Programs, database: Database) -> str | None:
    if programs.pg_waldump:
        return None
    return programs.other or f"pg_waldump of PostgreSQL {database.version} is not on this host"


def _rescue(request: Request, directory: Directory, reader: WalReader) -> Rescue | None:
    """The WAL that would be lost with the directory, and what an earlier run kept, even if the directory is gone."""
    if request.workspace is None:
        return None
    kept = rescue_directory(request.workspace, reader.system_id)
    try:
        archived = reader.listing()
    except (PgBackRestError, WalError):  # told already where it matters; what is kept in vain does no harm
        archived = Listing()
    return find_rescue(request.pgdata, kept, reader.wal_here(), archived, trusted=directory.unfinished is None)


def _read_facts(
    backrest: PgBackRest, request: Request, choice: Choice, database: Database | None, locked: bool
) -> Facts:
    targets = destinations(request, choice.backup) if choice.backup else []
    directory = read_directory(request.pgdata, [target.name for target in targets if target.kind == "link"])
    places: dict[Destination | None, Place] = {None: read_place(request.pgdata)}
    for target in targets:
        path = absolute(request.pgdata, target)
        if path is not None:
            pattern = f"PG_{database.version}_*" if database and target.kind == "tablespace" else "*"
            places[target] = read_place(path, pattern)
    configured = next(iter(backrest.setting("pg1-path", "restore")), None)
    beside = configured is not None and os.path.realpath(configured) != os.path.realpath(request.pgdata)
    return Facts(
        directory=directory,
        places=places,
        user=getpass.getuser(),
        configured_pgdata=configured if beside else request.pgdata,
        original_tablespaces=tablespaces(configured) if configured and beside else {},
        locked=locked,
        read_only=read_only_archives(backrest.settings("archive-push"), request.stanza),
        stop_file=backrest.stop_file(),
        stop_blocks_archive_get=backrest.version < _FIRST_ARCHIVE_GET_DESPITE_STOP,
        parent=read_place(os.path.dirname(directory.home or request.pgdata), measured=False),
        workspace=read_place(os.path.join(request.workspace, "data")) if request.workspace else None,
    )


def read_only_archives(settings: t.Mapping[str, list[str]], stanza: str) -> dict[int, str]:
    """The stanza's archives on this host that this user cannot write to, by the keys of their repositories.

    A file system that is mounted read-only counts. Of other hosts and object stores nothing can be known here.
    """
    repos = {int(match.group(1)) for match in map(_REPOSITORY_OPTION.match, settings) if match} or {1}
    found = {}
    for repo in repos:
        path = local_repository(settings, repo)
        archive = os.path.join(path, "archive", stanza) if path else ""
        if os.path.isdir(archive) and not os.access(archive, os.W_OK | os.X_OK):
            found[repo] = archive
    return found


def _with_details(backrest: PgBackRest, request: Request, backup: Backup) -> Backup:
    """The backup with what pgBackRest tells only about one that it is asked for."""
    stanza = find_stanza(parse_info(backrest.info(set=backup.label, repo=backup.repo_key)), request.stanza)
    known = stanza.backups if stanza else []
    return next((b for b in known if (b.label, b.repo_key) == (backup.label, backup.repo_key)), backup)


def _database(stanza: Stanza, backup: Backup) -> Database | None:
    key = (backup.database_id, backup.repo_key)
    return next((database for database in stanza.databases if (database.id, database.repo_key) == key), None)


def _mapping(given: t.Mapping[str, t.Any] | None, configured: t.Sequence[str]) -> dict[str, str]:
    return _pairs(configured) if given is None else {str(key): str(value) for key, value in given.items()}


def _pairs(lines: t.Sequence[str]) -> dict[str, str]:
    """``["a=b=c"]`` as ``{"a": "b=c"}``."""
    return {key: value for key, dummy, value in (line.partition("=") for line in lines)}


def _text(value: t.Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)
