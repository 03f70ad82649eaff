# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From a restored directory to a clone that is ready to open. Private to the collection.

Order: start closed, recover, drop, SQL, stop. clone.json says what has ended, so the next run goes on from there.
"""

from __future__ import annotations

import typing as t
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic

from ._clone_command import closed_hba_text, closed_settings, configuration_text, ident_text
from ._clone_place import make_run_directory, write_marker, write_text
from ._clone_request import Wanted, shown, still_to_run
from ._clone_server import CloneFailed, Server
from ._clone_sql import Statement, line_of_error, split
from ._problem import PlanError, Problem
from ._progress import Progress
from ._recovery_watch import RecoveryFailed, Watch
from ._sql import DatabaseError, query

try:
    import psycopg2
    import psycopg2.extensions
    import psycopg2.sql
except ImportError:
    pass  # a problem that was told before

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

HEADING = "The clone is refused"
_RESTARTS = 3  # for settings that the source has raised since the backup


class ScriptFailed(CloneFailed):
    """A script failed; ``half_done`` says whether part of it may be done."""

    def __init__(self, text: str, half_done: bool) -> None:
        super().__init__(text)
        self.half_done = half_done


@dataclass
class Work:
    """The clone that is being made, and what is known of it."""

    module: AnsibleModule
    wanted: Wanted
    server: Server
    major: int
    marker: dict[str, t.Any]
    progress: Progress
    watch: Watch | None = None

    def note(self, **facts: t.Any) -> None:
        """Write facts into clone.json."""
        self.marker.update(facts)
        write_marker(self.wanted.place, self.marker)

    def tell(self, text: str) -> None:
        """Show what is done now."""
        self.progress.report(None, 0, None, text=text)

    @contextmanager
    def timed(self, phase: str) -> t.Iterator[None]:
        """Count the seconds of a phase."""
        began = monotonic()
        try:
            yield
        finally:
            seconds = self.marker["seconds"]
            seconds[phase] = round(seconds.get(phase, 0) + monotonic() - began, 2)


def fill(work: Work) -> None:
    """Recover, drop and run the SQL behind closed doors, then stop. Whatever fails, the clone stays closed."""
    try:
        _recover(work)
        with work.timed("drop"):
            _drop(work)
        with work.timed("sql"):
            _run_scripts(work)
        with work.timed("open"):
            work.tell("stopping the closed server")
            work.server.stop()
    except BaseException:
        if work.watch is None or not work.watch.timed_out:  # a recovery that needs more time goes on
            work.server.stop()
        raise


def _start(work: Work) -> dict[str, int]:
    """Start the closed server unless it runs; returns the settings that recovery is known to need."""
    server, place, params = work.server, work.wanted.place, work.module.params
    if server.running():
        return t.cast("dict[str, int]", work.marker["needed"])
    needed = server.needed()
    settings = closed_settings(place, work.major, work.marker["port"], params["settings"], needed)
    make_run_directory(place)
    write_text(place, place.configuration, configuration_text())
    write_text(place, place.ident, ident_text(place.owner, server.role))
    write_text(place, place.closed_hba, closed_hba_text())
    work.note(needed=needed)
    server.start(server.argv(settings))
    return needed


def _recover(work: Work) -> None:
    """Start, and wait until recovery has come to its target. Raises RecoveryFailed, DatabaseError."""
    for attempt in range(_RESTARTS + 1):
        with work.timed("start"):
            needed = _start(work)
        work.watch = watch = Watch(work.module, work.wanted.target)
        try:
            with work.timed("recovery"):
                watch.wait("promoted", True, work.module.params["timeout"], work.progress)
                watch.clean()
            break
        except RecoveryFailed:
            if attempt == _RESTARTS or watch.timed_out or work.server.needed() == needed:
                raise
            work.server.stop()
    result = watch.result()
    if work.marker["recovered_to"] is None:
        stop = result["stop"] or {}
        facts = {"lsn": stop.get("lsn"), "time": stop.get("last_commit"), "reason": stop.get("reason")}
        facts.update(timeline=result["timeline"], reached=result["reached"], verdict=result["verdict"])
        work.note(recovered_to=facts)


def _drop(work: Work) -> None:
    """Drop the databases that the restore left out. Raises DatabaseError."""
    left_out = work.marker["data"]["left_out"]  # as it was asked for first
    if not left_out:
        return
    connection = work.server.session()
    try:
        rows = query(
            connection,
            "SELECT datname, datistemplate FROM pg_database WHERE oid::bigint = ANY(%s) ORDER BY datname",
            [left_out],
        )
        work.note(dropped=sorted({*work.marker["dropped"], *(row["datname"] for row in rows)}))
        for row in rows:
            work.tell(f"dropping the database {row['datname']}")
            name = psycopg2.sql.Identifier(row["datname"])
            if row["datistemplate"]:
                query(connection, psycopg2.sql.SQL("ALTER DATABASE {} IS_TEMPLATE false").format(name))
            query(connection, psycopg2.sql.SQL("DROP DATABASE {}").format(name))
    finally:
        connection.close()


def _run_scripts(work: Work) -> None:
    scripts = still_to_run(work.wanted, work.marker)
    _refuse_missing_databases(work, scripts)
    for script in scripts:
        work.tell(f"running {script['name']}")
        done, began = list(work.marker["sql"]), monotonic()
        work.note(sql=[*done, {**shown(script), "state": "running"}])
        try:
            run_script(work.server, script)
        except (ScriptFailed, DatabaseError) as error:
            if not getattr(error, "half_done", False):
                work.note(sql=done)
            raise
        entry = {**shown(script), "state": "done", "seconds": round(monotonic() - began, 2)}
        work.note(sql=[*done, entry])


def _refuse_missing_databases(work: Work, scripts: t.Sequence[t.Mapping[str, str]]) -> None:
    if not scripts:
        return
    there = [row["datname"] for row in work.server.ask("SELECT datname FROM pg_database WHERE datallowconn ORDER BY 1")]
    problems = [
        Problem(
            "sql",
            f"{script['name']} is for the database {script['database']}, which the clone does not have.",
            f"It has {', '.join(there)}. Correct the database and run the task again: nothing is restored again. The "
            "clone stays closed, and nobody can connect to it.",
        )
        for script in scripts
        if script["database"] not in there
    ]
    if problems:
        raise PlanError(problems, "The SQL cannot run")


def run_script(server: Server, script: t.Mapping[str, str]) -> None:
    """Run the statements of a file in one session. Raises ScriptFailed, DatabaseError."""
    connection = server.session(script["database"])
    try:
        connection.set_client_encoding("UTF8")
        kept = False
        for statement in split(script["sql"]):
            _execute(connection, statement, script, kept)
            idle = connection.get_transaction_status() == psycopg2.extensions.TRANSACTION_STATUS_IDLE
            kept = kept or (idle and not statement.keeps_nothing)
        if connection.get_transaction_status() != psycopg2.extensions.TRANSACTION_STATUS_IDLE:
            raise ScriptFailed(_told(script, "it ends within a transaction. Write COMMIT at its end", kept), kept)
    finally:
        connection.close()


def _execute(connection: t.Any, statement: Statement, script: t.Mapping[str, str], kept: bool) -> None:
    alone = connection.get_transaction_status() == psycopg2.extensions.TRANSACTION_STATUS_IDLE
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement.text)
    except psycopg2.Error as error:
        half_done = kept or (alone and statement.may_commit) or bool(connection.closed)
        line = line_of_error(statement, error.diag.statement_position)
        # Not the details: they may show rows.
        said = error.diag.message_primary or " ".join(str(error).split())
        state = f"SQLSTATE {error.pgcode}: " if error.pgcode else ""
        raise ScriptFailed(_told(script, f"line {line}: {state}{said.rstrip('.')}", half_done), half_done) from None


def _told(script: t.Mapping[str, str], what: str, half_done: bool) -> str:
    if half_done:
        rest = "Part of it may be done, so the clone must be made again: remove it (state: absent) and restore again."
    else:
        rest = "Nothing of it was kept: correct it and run the task again."
    return f"{script['name']} failed in the database {script['database']}, {what}. {rest}"
