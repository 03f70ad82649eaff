# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two directories change places, and a journal tells how far that is. Private to the collection.

A restored directory takes the place of the data directory, which is moved away, and back again when recovery fails.
Each is two renames. Where the directories are tells how many are done, and the journal what they are for, so a run that
was killed between them is completed, or undone, by the next one.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
import time
import typing as t
from dataclasses import asdict, dataclass, replace

from ._cluster import ClusterError, postmaster
from ._durable import read_json, remove, sync_directory, write_json

NAME = "swap.json"
_SELINUX = "security.selinux"
_KINDS = ("before", "failed")
_STAMP = re.compile(r"\d{8}T\d{6}Z")


@dataclass(frozen=True)
class Exchange:
    """``coming`` takes the place of what is at ``place``, which goes to ``away``; None when nothing is there."""

    place: str
    away: str | None
    coming: str

    def moved(self) -> int:
        """Renames done so far: 0, 1 or 2."""
        if not os.path.lexists(self.coming):
            return 2
        return 1 if self.away and os.path.lexists(self.away) else 0


@dataclass(frozen=True)
class Journal:
    """Work in a workspace. ``action`` is swap or put_back; ``stage`` is restoring, moving or done.

    ``receipt`` is the one to write when the restored directory stands in its place.
    """

    action: str
    stage: str
    stamp: str
    exchange: Exchange
    receipt: dict[str, t.Any] | None = None


def new_stamp(pgdata: str) -> str:
    """The moment, for names of directories that no earlier run has used."""
    moment = time.time()
    while True:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(moment))
        if not any(os.path.lexists(name(pgdata, stamp)) for name in (kept_path, failed_path)):
            return stamp
        moment += 1


def kept_path(pgdata: str, stamp: str) -> str:
    """Where a swap moves the old directory."""
    return f"{pgdata}.before-{stamp}"


def failed_path(pgdata: str, stamp: str) -> str:
    """Where put_back moves the directory that is given up."""
    return f"{pgdata}.failed-{stamp}"


def kept_directories(pgdata: str) -> list[str]:
    """What swaps have moved away from here and nobody has removed yet, the newest last."""
    before = [os.path.join(os.path.dirname(pgdata), f"{os.path.basename(pgdata)}.{kind}-") for kind in _KINDS]
    found = [(path[len(start) :], path) for start in before for path in glob.glob(f"{glob.escape(start)}*")]
    return [path for stamp, path in sorted(found) if _STAMP.fullmatch(stamp) and os.path.isdir(path)]


def read_journal(workspace: str) -> Journal | None:
    """The journal of a workspace; None when no work is open. Raises ClusterError when it is broken."""
    path = os.path.join(workspace, NAME)
    data = read_json(path)
    if data is None:
        return None
    try:
        return Journal(**{**data, "exchange": Exchange(**data["exchange"])})
    except (TypeError, KeyError):
        raise ClusterError(f"{path} is not a journal of this collection. Look at it, and move it away.") from None


def write_journal(workspace: str, journal: Journal) -> Journal:
    """Put the journal into its workspace; returns it."""
    write_json(os.path.join(workspace, NAME), asdict(journal))
    return journal


def drop_journal(workspace: str) -> None:
    """End the work."""
    remove(os.path.join(workspace, NAME))


def at_stage(workspace: str, journal: Journal, stage: str) -> Journal:
    """The journal at another stage, written."""
    return write_journal(workspace, replace(journal, stage=stage))


def carry_out(exchange: Exchange) -> None:
    """Do the renames that are not done yet. Refuses while a server runs on one of the directories."""
    moved = exchange.moved()
    if moved < 2:
        refuse_running(exchange.place, exchange.coming, exchange.away)
    if moved == 0 and exchange.away:
        _dress(exchange.coming, exchange.place)
        _rename(exchange.place, exchange.away)
    if moved < 2:
        _rename(exchange.coming, exchange.place)


def undo(exchange: Exchange) -> None:
    """Undo the first rename, the second one being not done yet."""
    if exchange.moved() == 1 and exchange.away:
        refuse_running(exchange.place, exchange.coming, exchange.away)
        _rename(exchange.away, exchange.place)


def refuse_running(*paths: str | None) -> None:
    """Raise when a server runs on one of the directories."""
    for path in filter(None, paths):
        process = server_on(path)
        if process:
            raise ClusterError(
                f"PostgreSQL runs on {path} (process {process}), and the directory of a running cluster is never "
                "moved. Stop it, then run the task again."
            )


def server_on(pgdata: str) -> int | None:
    """Process of the server that works on this directory; None when there is none.

    A number in ``postmaster.pid`` may be that of another process after a crash: the server's working directory tells.
    """
    server = postmaster(pgdata) if os.path.isdir(pgdata) else None
    if server is None or not server.alive:
        return None
    with contextlib.suppress(OSError):
        if os.path.realpath(os.readlink(f"/proc/{server.pid}/cwd")) != os.path.realpath(pgdata):
            return None
    return server.pid


def _rename(source: str, target: str) -> None:
    os.rename(source, target)
    for directory in sorted({os.path.dirname(source), os.path.dirname(target)}):
        sync_directory(directory)


def _dress(new: str, old: str) -> None:
    """Give a directory mode, owner and security context of the one whose place it takes."""
    status = os.stat(old)
    os.chmod(new, status.st_mode & 0o7777)
    if os.geteuid() == 0:
        os.chown(new, status.st_uid, status.st_gid)
    with contextlib.suppress(OSError, AttributeError):  # no SELinux
        context = os.getxattr(old, _SELINUX)
        if os.getxattr(new, _SELINUX) != context:
            os.setxattr(new, _SELINUX, context)
