# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Gathering the facts for a restore plan. Private to the collection."""

from __future__ import annotations

import getpass
import os
import time
import typing as t

from ._choice import Choice, choose_backup
from ._cli import PgBackRest
from ._directory import Place, read_directory, read_place
from ._plan import Destination, Facts, Plan, Request, absolute, destinations, make_plan, option_problems
from ._problem import PlanError, Problem
from ._repository import Database, Stanza, find_stanza, parse_info
from ._target import RecoveryTarget, TargetError, parse_target

_FIRST_ARCHIVE_GET_DESPITE_STOP = (2, 48)


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
    choice = choose_backup(stanza, request.target, request.label, request.repo, time.time())
    database = None
    if stanza and choice.backup:
        detailed = find_stanza(
            parse_info(backrest.info(set=choice.backup.label, repo=choice.backup.repo_key)), request.stanza
        )
        choice, database = _with_details(choice, detailed), _database(stanza, choice)
    return make_plan(request, choice, database, _read_facts(backrest, request, choice, database, locked))


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
    return Facts(
        directory=directory,
        places=places,
        user=getpass.getuser(),
        configured_pgdata=next(iter(backrest.setting("pg1-path", "restore")), None),
        locked=locked,
        stop_file=backrest.stop_file(),
        stop_blocks_archive_get=backrest.version < _FIRST_ARCHIVE_GET_DESPITE_STOP,
    )


def _with_details(choice: Choice, stanza: Stanza | None) -> Choice:
    backup = choice.backup
    if stanza is None or backup is None:
        return choice
    detailed = next((b for b in stanza.backups if (b.label, b.repo_key) == (backup.label, backup.repo_key)), backup)
    return Choice(detailed, choice.problems, choice.warnings)


def _database(stanza: Stanza, choice: Choice) -> Database | None:
    key = (choice.backup.database_id, choice.backup.repo_key) if choice.backup else None
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
