# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The workspace of a restore: locks, receipt, journal, the directory of a swap. Private to the collection.

Files: ``receipt.json`` (_receipt), ``swap.json`` (_swap, while a swap is open), ``rescued/<system identifier>``
(_rescue), ``data`` (a swap restores there), ``standby.json`` (_recovery_settings, while a standby is restored).
"""

from __future__ import annotations

import os
import shutil
import typing as t
from dataclasses import replace

from ._cluster import user_name
from ._directory import MANIFEST, Directory, read_directory
from ._durable import make_private_directory
from ._plan import Plan, Request
from ._problem import PlanError, Problem
from ._receipt import Receipt, digest, from_dict, read_mark, read_receipt, remove_receipt, write_receipt
from ._swap import (
    Exchange,
    Journal,
    at_stage,
    carry_out,
    drop_journal,
    failed_path,
    kept_path,
    new_stamp,
    read_journal,
    refuse_running,
    undo,
    write_journal,
)

_REFUSED = "Nothing was put back"


def default_workspace(pgdata: str) -> str:
    """The workspace of a data directory, beside it."""
    return f"{home(pgdata)}.restore"


def home(pgdata: str) -> str:
    """The data directory itself where its path is a symbolic link."""
    return os.path.realpath(pgdata) if os.path.islink(pgdata) else pgdata


def data_path(workspace: str) -> str:
    """Where a swap restores to."""
    return os.path.join(workspace, "data")


def workspace_problems(request: Request) -> list[Problem]:
    """What keeps this request from using its workspace."""
    workspace, pgdata = t.cast(str, request.workspace), request.pgdata
    user = user_name(os.geteuid())
    hint = f"Make it as root: install -d -o {user} -m 700 {workspace}. Or name another one in the option workspace."
    if not os.path.isabs(workspace) or f"{workspace}/".startswith(f"{pgdata}/"):
        sentence = f"The workspace {workspace} is in the data directory {pgdata}, which the restore overwrites."
        return [Problem("workspace", sentence, "Name an absolute path beside it.")]
    if not _may_write(workspace):
        return [Problem("workspace", f"The workspace {workspace} cannot be made or written to.", hint)]
    journal = read_journal(workspace)
    if journal and journal.exchange.place != home(pgdata):
        sentence = f"{workspace} is the workspace of {journal.exchange.place}."
        return [Problem("workspace", sentence, "Name another one in the option workspace.")]
    return _swap_problems(request) if request.swap else []


def _may_write(path: str) -> bool:
    """Whether this is a directory to write to, or can be made one."""
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return os.path.isdir(path) and os.access(path, os.W_OK | os.X_OK)


def _swap_problems(request: Request) -> list[Problem]:
    workspace, place = t.cast(str, request.workspace), home(request.pgdata)
    problems = []
    if os.path.ismount(place) or _device(workspace) != _device(os.path.dirname(place)):
        sentence = f"{place} and the workspace {workspace} cannot change places: they are not on one file system."
        hint = "Name a workspace on the file system of the data directory, or set delta: true instead of swap."
        problems.append(Problem("swap_file_system", sentence, hint))
    data = data_path(workspace)
    if os.path.lexists(data) and read_journal(workspace) is None:
        sentence = f"{data} is not of this collection: no swap is open in {workspace}."
        problems.append(Problem("workspace", sentence, "Move it away, or name another workspace."))
    return problems


def _device(path: str) -> int:
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return os.stat(path).st_dev


def make_workspace(workspace: str) -> None:
    """Make the workspace."""
    try:
        make_private_directory(workspace)
    except OSError as error:
        sentence = f"The workspace {workspace} cannot be made: {error.strerror}."
        raise PlanError([Problem("workspace", sentence, "Name another one in the option workspace.")]) from None


def stamp_of(workspace: str, pgdata: str) -> str:
    """The stamp of the swap that is open, or of a new one."""
    journal = read_journal(workspace)
    return journal.stamp if journal and journal.action == "swap" else new_stamp(home(pgdata))


def forget_put_back(workspace: str) -> None:
    """What was put back before does not matter any more: another restore begins."""
    journal = read_journal(workspace)
    if journal and journal.action == "put_back":
        drop_journal(workspace)


def open_swap(plan: Plan) -> Journal:
    """Begin a swap, or go on with one: returns the journal, which has the directory to restore to."""
    request = plan.request
    workspace, place, stamp = t.cast(str, request.workspace), home(request.pgdata), t.cast(str, request.stamp)
    data = data_path(workspace)
    away = kept_path(place, stamp) if os.path.isdir(place) and os.listdir(place) else None
    journal = write_journal(workspace, Journal("swap", "restoring", stamp, Exchange(place, away, data)))
    started = any(os.path.exists(os.path.join(data, name)) for name in ("PG_VERSION", MANIFEST))
    if os.path.isdir(data) and not started:
        shutil.rmtree(data)  # the rest of a restore that ended before pgBackRest could mark it as its own
    return journal


def interrupted(workspace: str, pgdata: str) -> str | None:
    """What an earlier run left between the renames of an exchange; None when nothing."""
    journal = _moving(workspace, pgdata)
    if journal is None:
        return None
    exchange = journal.exchange
    where = f"{exchange.place} is missing, " if exchange.moved() == 1 else ""
    return (
        f"An earlier run was killed while {exchange.coming} took the place of {exchange.place}: {where}see {workspace}."
    )


def settle(workspace: str, pgdata: str, request: t.Mapping[str, t.Any] | None) -> str | None:
    """Complete or undo an exchange that was interrupted; returns what was done, None when nothing.

    ``request`` is what is asked now: None to put the old directory back. An exchange for the same request is completed.
    """
    journal = _moving(workspace, pgdata)
    if journal is None:
        return None
    exchange, moved = journal.exchange, journal.exchange.moved()
    if journal.action == "put_back":
        if moved == 0:
            drop_journal(workspace)
            return None
        _end_put_back(workspace, journal)
        return f"Completed what was interrupted: {exchange.place} is the directory that the swap had kept."
    receipt = from_dict(journal.receipt or {})
    if moved == 2 or (moved == 1 and request is not None and _same(receipt, request)):
        carry_out(exchange)
        write_receipt(workspace, receipt)
        drop_journal(workspace)
        return f"Completed the swap that was interrupted: the restored cluster is in {exchange.place}."
    undo(exchange)
    at_stage(workspace, journal, "restoring")
    if moved == 0:
        return None
    return f"Undid the swap that was interrupted: {exchange.place} is the directory from before it."


def _moving(workspace: str, pgdata: str) -> Journal | None:
    """The journal of an exchange of this data directory that has begun and not ended."""
    journal = read_journal(workspace)
    return journal if journal and (journal.stage, journal.exchange.place) == ("moving", home(pgdata)) else None


def _same(receipt: Receipt, request: t.Mapping[str, t.Any]) -> bool:
    return receipt.digest == digest(request, receipt.digest.partition(":")[0])


def done_before(
    workspace: str, request: t.Mapping[str, t.Any], directory: Directory, repeat: bool, plan_id: str | None
) -> Receipt | None:
    """The receipt when this very request was carried out here; None when it was not, or is to be repeated."""
    receipt = read_receipt(workspace)
    if receipt is None or not receipt.fits(request, directory) or receipt.mark != read_mark(directory.path):
        return None
    return receipt if not repeat or (plan_id is not None and plan_id == receipt.plan_id) else None


def plan_put_back(workspace: str, pgdata: str) -> Exchange | None:
    """The exchange that puts the directory kept by the last swap back; None when that is done already."""
    receipt, journal, place = read_receipt(workspace), read_journal(workspace), home(pgdata)
    if receipt is None and journal and (journal.action, journal.exchange.place) == ("put_back", place):
        return journal.exchange if journal.stage == "moving" else None
    kept = receipt.kept if receipt and receipt.pgdata == pgdata else None
    if kept is None:
        reason = "the last restore was no swap" if receipt else f"{workspace} has no receipt of a restore"
        hint = (
            f"Look for directories {place}.before-* and move the right one yourself, while no server runs on {place}."
        )
        raise PlanError([Problem("nothing_to_put_back", f"No directory can be put back: {reason}.", hint)], _REFUSED)
    directory = read_directory(kept)
    if directory.state != "cluster":
        sentence = f"{kept}, which the swap kept, is {directory.sentence()}."
        hint = f"Look where it went. {place} is left alone."
        raise PlanError([Problem("nothing_to_put_back", sentence, hint)], _REFUSED)
    return Exchange(place, failed_path(place, new_stamp(place)) if os.path.lexists(place) else None, kept)


def put_back(workspace: str, exchange: Exchange) -> None:
    """Carry it out."""
    refuse_running(exchange.place, exchange.coming)
    stamp = (exchange.away or "").rpartition("-")[2]
    journal = write_journal(workspace, Journal("put_back", "moving", stamp, exchange))
    _end_put_back(workspace, journal)


def _end_put_back(workspace: str, journal: Journal) -> None:
    carry_out(journal.exchange)
    remove_receipt(workspace)
    write_journal(workspace, replace(journal, stage="done"))
