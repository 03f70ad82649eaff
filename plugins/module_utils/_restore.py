# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carrying out a restore plan. Private to the collection.

Order: rescue WAL and archive it, restore, settings, hand the rescued WAL back, exchange the directories of a swap,
receipt. Each step can be done again, so a run that was interrupted anywhere is finished by the next one.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
import typing as t
from dataclasses import asdict, dataclass, replace

from ._cli import PgBackRest
from ._directory import MANIFEST, SIGNAL_FILES, clear_begun, free_bytes, read_directory
from ._durable import copy_file, sync_directory
from ._messages import PgBackRestError
from ._plan import Plan, differences, same_path
from ._plan_text import human_size
from ._problem import PlanError, Problem
from ._progress import Progress, parse_file_line
from ._receipt import Receipt, remove_receipt, write_mark, write_receipt
from ._recovery_settings import append_settings, correct_restore_command
from ._rescue import Rescue, hand_back, keep, readable, waiting
from ._swap import Journal, at_stage, carry_out, drop_journal, new_stamp
from ._workspace import data_path, forget_put_back, open_swap

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


@dataclass(frozen=True)
class Work:
    """What carries a plan out: the program, where its progress is written, and the locks it inherits."""

    backrest: PgBackRest
    progress: Progress
    process_max: int | None = None
    keep_open: tuple[int, ...] = ()


def execute(work: Work, plan: Plan, receipt: Receipt) -> tuple[dict[str, t.Any], list[str]]:
    """Do everything that the plan says; returns what was done, and warnings.

    ``receipt`` has what is known before. A directory that holds the restore already, but has no receipt, gets what the
    interrupted run did not come to.
    """
    workspace = t.cast(str, plan.request.workspace)
    notes = [*_rescue(plan, work.progress), *_archive_rescued(work.backrest, plan)]
    if plan.done:
        return _conclude(plan, receipt, None, {}, notes)
    clear_begun(plan.request.pgdata)
    journal = open_swap(plan) if plan.request.swap else None
    into = journal.exchange.coming if journal else plan.request.pgdata
    if journal is None:
        remove_receipt(workspace)  # from here on the directory is not what it says
        forget_put_back(workspace)
    with _telling_state(plan, into, restored=False):
        done, told = _restore(work, plan, into)
    with _telling_state(plan, into, restored=True):
        _finish(plan, into, work.backrest)
    return _conclude(plan, receipt, journal, {"restored": done}, [*notes, *told])


def _rescue(plan: Plan, progress: Progress) -> list[str]:
    if plan.rescue is None:
        return []

    def report(done: int, total: int) -> None:
        progress.report(None, done, total, "files", "keeping WAL that no repository has")

    return keep(plan.rescue, plan.request.stamp or new_stamp(plan.request.pgdata), report)


def _archive_rescued(backrest: PgBackRest, plan: Plan) -> list[str]:
    """Archive what PostgreSQL had not come to: restores to moments between the last backup and this one need it.

    PostgreSQL itself will not: at the end of a recovery it recycles such segments, whether archived or not. What cannot
    be archived now is no reason to stop, as it was kept; returns a sentence about it.
    """
    if plan.rescue is None or _path_to_name(backrest, plan.request.pgdata):  # a copy has no say in the archive
        return []
    for path in waiting(plan.rescue):
        try:
            backrest.run("archive-push", {"archive_async": False}, [path])
        except PgBackRestError as error:
            return [
                f"{os.path.basename(path)} and later WAL that waited for the archive could not be archived: "
                f"{error.message.rstrip('.')}. It is in {plan.rescue.directory}; keep that until a new full backup is "
                "old enough for all that you may want to restore."
            ]
    return []


def _conclude(
    plan: Plan, receipt: Receipt, journal: Journal | None, done: dict[str, t.Any], notes: list[str]
) -> tuple[dict[str, t.Any], list[str]]:
    """The steps after the files are in place: rescued WAL, exchange, receipt."""
    workspace, rescue = t.cast(str, plan.request.workspace), plan.rescue or Rescue("")
    into = journal.exchange.coming if journal else plan.request.pgdata
    with _telling_state(plan, into, restored=True):
        put, more = hand_back(rescue.directory, names_to_hand_back(plan), into)
        kept = journal.exchange.away if journal else None
        mark = write_mark(into)
        rescued = {"path": rescue.directory if rescue.names else None, "files": rescue.names, "handed_back": put}
        done = {**done, "kept": kept, "rescued": rescued, "restored_at": _now()}
        result = {**receipt.result, **done}
        receipt = replace(
            receipt, mark=mark, kept=kept, rescued=rescued, restored_at=done["restored_at"], result=result
        )
        if journal:
            journal = at_stage(workspace, replace(journal, receipt=asdict(receipt)), "moving")
            carry_out(journal.exchange)
        write_receipt(workspace, receipt)
        if journal:
            drop_journal(workspace)
    left = [] if journal else _left_over(workspace)
    return done, [*notes, *more, *left]


def _restore(work: Work, plan: Plan, into: str) -> tuple[dict[str, t.Any], list[str]]:
    tally, started = Tally(), time.monotonic()

    def take_line(line: str) -> None:
        tally.take_line(line)
        work.progress.take_line(line)

    options = {
        "pg1_path": _path_to_name(work.backrest, into),
        "process_max": work.process_max,
        **plan.options(),
        **(_mapped(plan) if plan.request.swap else {}),
        "delta": _can_go_on(into),
    }
    try:
        output = work.backrest.run_long("restore", options, take_line, keep_open=work.keep_open)
    finally:
        work.progress.end()
    seconds = round(time.monotonic() - started, 3)
    done = {"seconds": seconds, "files": tally.files, "bytes": plan.backup.size, "copied_bytes": tally.copied}
    return {**done, "bytes_per_second": int(tally.copied / seconds) if seconds else None}, output.warnings()


def _mapped(plan: Plan) -> dict[str, t.Any]:
    """Maps for tablespaces and links that a swap gives new places, as the plan says."""
    spaces = {str(place.oid): place.path for place in plan.destinations if place.kind == "tablespace"}
    links = {place.name: place.path for place in plan.destinations if place.kind == "link" and place.path}
    return {"tablespace_map": spaces or None, "tablespace_map_all": None, "link_map": links or None}


def _path_to_name(backrest: PgBackRest, path: str) -> str | None:
    """The path as pg1-path, None where the configuration says it: pgBackRest repeats it in restore_command for good."""
    configured = backrest.setting("pg1-path", "restore")
    return None if configured and same_path(configured[0], path) else path


def _can_go_on(into: str) -> bool:
    """Whether pgBackRest accepts the option delta for this directory. It warns where it does not."""
    return any(os.path.exists(os.path.join(into, name)) for name in ("PG_VERSION", MANIFEST))


def _finish(plan: Plan, into: str, backrest: PgBackRest) -> None:
    """What pgBackRest does not do, or does wrongly; then the check that all is as planned."""
    request = plan.request
    settings = os.path.join(into, "postgresql.auto.conf" if plan.pg_major >= 12 else "recovery.conf")
    if request.swap:
        correct_restore_command(settings, into, _path_to_name(backrest, request.pgdata))
    if request.swap and request.target.type == "preserve":
        _keep_recovery_files(request.pgdata, into)
    if request.recovery_options:
        append_settings(settings, request.recovery_options)
    if request.target.type == "none" and backrest.version < _FIRST_TYPE_NONE_WITHOUT_SIGNAL:
        # pgBackRest up to 2.46 leaves recovery.signal without a restore_command, and PostgreSQL would not start.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(into, "recovery.signal"))
    links = [target.name for target in plan.destinations if target.kind == "link"]
    left = differences(plan, read_directory(into, links))
    if left:
        hint = "Do not start the cluster. Look for what else works on this directory, then run the task again."
        raise PlanError(
            [Problem("verify", f"{sentence}.", hint) for sentence in left], "The restore ended, but not as planned"
        )


def _keep_recovery_files(pgdata: str, into: str) -> None:
    """Type preserve leaves these files as they are; in a new directory they are not there yet."""
    for name in ("postgresql.auto.conf", *SIGNAL_FILES):
        source = os.path.join(pgdata, name)
        if os.path.exists(source):
            copy_file(source, os.path.join(into, name))
    sync_directory(into)


@contextlib.contextmanager
def _telling_state(plan: Plan, into: str, restored: bool) -> t.Iterator[None]:
    """Errors that end the work say what it leaves behind."""
    try:
        yield
    except PgBackRestError as error:
        code, message = error.code, error.message
        if error.code is not None and error.code < 0:
            code, message = None, f"pgbackrest restore was killed by signal {-error.code}"
        steps = " ".join(filter(None, [_room_left(message), error.next_step, state_left(plan, into, restored)]))
        raise PgBackRestError(message, code, error.hint, error.command or "restore", steps) from None
    except OSError as error:
        sentence = f"{error.filename or into}: {error.strerror}."
        raise PlanError(
            [Problem("io", sentence, state_left(plan, into, restored))], "The restore did not end"
        ) from None


def _room_left(message: str) -> str | None:
    """What is free where pgBackRest could not write: it hides that a disk is full when part of the data fitted."""
    found = re.search(r"unable to write '(/[^']*)/[^/']*'", message)
    if not found or not os.path.isdir(found.group(1)):
        return None
    return f"{found.group(1)} has {human_size(free_bytes(found.group(1)))} free."


def state_left(plan: Plan, into: str, restored: bool) -> str:
    """What an error leaves behind, and what to do; ``restored`` when all files of the backup are in place."""
    pgdata, half = plan.request.pgdata, os.path.exists(os.path.join(into, MANIFEST))
    sentences = []
    if plan.request.swap and os.path.exists(into):
        sentences.append(
            f"{pgdata} is as it was and can be started. What is restored so far is in {into}; run the task again to "
            "go on with it."
        )
    elif plan.request.swap:
        sentences.append("The directories were changing places. Run the task again: it completes that.")
    elif half:
        sentences.append(
            f"{pgdata} holds half a restore now and cannot be started. Run the task again with delta: true."
        )
    elif restored:
        sentences.append(f"{pgdata} is restored, but not complete: do not start it yet. Run the task again.")
    if plan.rescue and plan.rescue.names:
        sentences.append(f"WAL that no repository has is in {plan.rescue.directory}.")
    return " ".join(sentences)


def _left_over(workspace: str) -> list[str]:
    path = data_path(workspace)
    if not os.path.isdir(path):
        return []
    return [f"{path} is left over from a swap that did not end. Remove it when no swap is to go on with it."]


def names_to_hand_back(plan: Plan) -> list[str]:
    """Rescued files that recovery needs or comes by: what it asks the archive for, and does not find there."""
    if plan.rescue is None or plan.request.target.type == "none":
        return []
    if plan.proof is None:  # type preserve: only PostgreSQL knows where it leads
        return readable(plan.rescue.names, plan.backup.wal_start)
    route, last = plan.proof.route, plan.proof.wal["last"] or ""
    wanted = set(route.names())
    return [
        name for name in plan.rescue.names if name.endswith(".history") or (name in wanted and name[8:] <= last[8:])
    ]


def wal_to_put(plan: Plan) -> list[str]:
    """Rescued files that recovery can come to and the data directory does not have."""
    wal = os.path.join(plan.request.pgdata, "pg_wal")
    return [name for name in names_to_hand_back(plan) if not os.path.exists(os.path.join(wal, name))]


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S+00:00", time.gmtime())
