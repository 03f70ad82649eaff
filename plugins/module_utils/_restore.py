# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Gathering the facts for a restore plan, and carrying it out. Private to the collection."""

from __future__ import annotations

import contextlib
import getpass
import os
import time
import typing as t
from dataclasses import dataclass

from ._choice import Choice, choose_backup
from ._cli import PgBackRest, PgBackRestError
from ._directory import MANIFEST, Place, lock_directory, read_directory, read_place
from ._plan import (
    Destination,
    Facts,
    Plan,
    Request,
    absolute,
    destinations,
    differences,
    make_plan,
    option_problems,
    same_path,
)
from ._problem import PlanError, Problem
from ._progress import Progress, parse_file_line
from ._repository import Database, Stanza, find_stanza, parse_info
from ._target import RecoveryTarget, TargetError, parse_target

_FIRST_ARCHIVE_GET_DESPITE_STOP = (2, 48)
_FIRST_TYPE_NONE_WITHOUT_SIGNAL = (2, 47)


@dataclass
class Tally:
    """Counts what the detailed log of a restore tells: files and bytes, and how many bytes were written."""

    files: int = 0
    total: int = 0
    copied: int = 0

    def take_line(self, line: str) -> None:
        """Learn from one line."""
        parsed = parse_file_line(line)
        if parsed and " restore " in line:
            self.files += 1
            self.total += parsed[0]
            if " - exists and " not in line and " restore zeroed " not in line:
                self.copied += parsed[0]


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


def lock(pgdata: str, create: bool) -> int | None:
    """Lock the data directory, which ``create`` makes first; None when there is none or this user may not open it.

    Raises BlockingIOError when another restore has the lock.
    """
    if create and not os.path.lexists(pgdata):
        os.makedirs(pgdata, mode=0o700)
    try:
        descriptor = lock_directory(pgdata)
    except OSError:
        return None
    if descriptor is None:
        raise BlockingIOError(f"another restore works on {pgdata}")
    return descriptor


def execute(
    backrest: PgBackRest, plan: Plan, process_max: int | None, progress: Progress, keep_open: t.Sequence[int]
) -> tuple[dict[str, t.Any], list[str]]:
    """Restore as planned and check the outcome; returns what was done and pgBackRest's warnings."""
    tally, started = Tally(), time.monotonic()

    def take_line(line: str) -> None:
        tally.take_line(line)
        progress.take_line(line)

    configured = backrest.setting("pg1-path", "restore")
    options = {
        # Only where it differs: pgBackRest repeats it in restore_command for good.
        "pg1_path": None if configured and same_path(configured[0], plan.request.pgdata) else plan.request.pgdata,
        "process_max": process_max,
        **plan.options(),
    }
    try:
        output = backrest.run_long("restore", options, take_line, keep_open=keep_open)
    except PgBackRestError as error:
        raise _with_state(error, plan.request.pgdata) from None
    finally:
        progress.end()
    _finish(plan, backrest.version)
    left = differences(plan, read_directory(plan.request.pgdata, _link_names(plan)))
    if left:
        hint = "Do not start the cluster. Look for what else works on this directory, then run the task again."
        raise PlanError(
            [Problem("verify", f"{sentence}.", hint) for sentence in left], "The restore ended, but not as planned"
        )
    seconds = round(time.monotonic() - started, 3)
    done = {"seconds": seconds, "files": tally.files, "bytes": plan.backup.size, "copied_bytes": tally.copied}
    return {**done, "bytes_per_second": int(tally.copied / seconds) if seconds else None}, output.warnings()


def append_settings(path: str, settings: t.Mapping[str, str]) -> None:
    """Add settings to a configuration file of PostgreSQL, quoted, and all at once.

    pgBackRest would take them as ``--recovery-option`` on its command line, where every user sees them, repeat them in
    its log, and write quotes unescaped.
    """
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        text = file.read()
    lines = "".join(f"{name} = {quoted(value)}\n" for name, value in settings.items())
    status, temporary = os.stat(path), f"{path}.tmp"  # the name ALTER SYSTEM uses too, so no backup ever has it
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text if text.endswith("\n") or not text else text + "\n")
        file.write(lines)
        file.flush()
        os.fchmod(file.fileno(), status.st_mode & 0o777)
        if os.geteuid() == 0:
            os.fchown(file.fileno(), status.st_uid, status.st_gid)
        os.fsync(file.fileno())
    os.replace(temporary, path)


def quoted(value: str) -> str:
    """The value of a setting as PostgreSQL's configuration files write it.

    >>> quoted("host=db1 password='s'")
    "'host=db1 password=''s'''"
    """
    escaped = value.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"


def _finish(plan: Plan, version: tuple[int, ...]) -> None:
    """What pgBackRest does not do, or does wrongly."""
    pgdata = plan.request.pgdata
    if plan.request.recovery_options:
        name = "postgresql.auto.conf" if plan.pg_major >= 12 else "recovery.conf"
        append_settings(os.path.join(pgdata, name), plan.request.recovery_options)
    if plan.request.target.type == "none" and version < _FIRST_TYPE_NONE_WITHOUT_SIGNAL:
        # pgBackRest up to 2.46 leaves recovery.signal without a restore_command, and PostgreSQL would not start.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(pgdata, "recovery.signal"))


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


def _with_state(error: PgBackRestError, pgdata: str) -> PgBackRestError:
    """The error, with what it left behind."""
    code, message, state = error.code, error.message, None
    if error.code is not None and error.code < 0:
        code, message = None, f"pgbackrest restore was killed by signal {-error.code}"
    if os.path.exists(os.path.join(pgdata, MANIFEST)):
        state = f"{pgdata} holds half a restore now and cannot be started. Run the task again with delta: true."
    steps = " ".join(filter(None, [error.next_step, state]))
    return PgBackRestError(message, code, error.hint, error.command or "restore", steps)


def _link_names(plan: Plan) -> list[str]:
    return [target.name for target in plan.destinations if target.kind == "link"]


def _mapping(given: t.Mapping[str, t.Any] | None, configured: t.Sequence[str]) -> dict[str, str]:
    return _pairs(configured) if given is None else {str(key): str(value) for key, value in given.items()}


def _pairs(lines: t.Sequence[str]) -> dict[str, str]:
    """``["a=b=c"]`` as ``{"a": "b=c"}``."""
    return {key: value for key, dummy, value in (line.partition("=") for line in lines)}


def _text(value: t.Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)
