# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carrying out a restore plan. Private to the collection."""

from __future__ import annotations

import contextlib
import os
import time
import typing as t
from dataclasses import dataclass

from ._cli import PgBackRest, PgBackRestError
from ._directory import MANIFEST, lock_directory, read_directory
from ._plan import Plan, differences, same_path
from ._problem import PlanError, Problem
from ._progress import Progress, parse_file_line

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
