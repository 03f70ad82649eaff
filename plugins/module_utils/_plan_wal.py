# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the WAL of a repository and of this host says about a restore. Reads only. Private to the collection."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace

from ._archive import Archived, parse_listing
from ._choice import Choice
from ._cluster import ClusterError
from ._directory import Directory
from ._messages import PgBackRestError
from ._plan_request import Request
from ._problem import Problem
from ._proof import Proof, Route, Seen, find_route, own_timeline, prove
from ._repository import Backup
from ._wal import HistoryEntry
from ._wal_reader import WalError, WalReader

NEWEST_SEGMENTS = 256  # looked at for a commit: such a long WAL without one is that of an idle cluster
SEARCHED_SEGMENTS = 2048  # looked at for a transaction or restore point, about 10 in a second
_CANNOT_READ = (PgBackRestError, WalError, ClusterError, OSError)


@dataclass(frozen=True)
class Finding:
    """What one repository can do for the request: ``choice`` has the backup; ``proof`` is None where none is needed."""

    choice: Choice
    proof: Proof | None = None
    problems: list[Problem] = field(default_factory=list)


def needs_wal(request: Request) -> bool:
    """Whether the restored cluster reads the archive."""
    return request.target.type not in ("none", "preserve")


def examine(request: Request, choice: Choice, reader: WalReader, directory: Directory, can_read: str | None) -> Finding:
    """Whether the archive leads from a backup of this choice to the target. ``can_read`` says why not, if not."""
    target = request.target
    if choice.backup is None or not needs_wal(request):
        return Finding(choice, None, choice.problems)
    try:
        size = reader.segment_size
        archived, local = parse_listing(reader.listing(), size), reader.local_segments()
        histories = read_histories(reader, archived, choice)
        route = find_route(choice, target, archived, local, histories, own_timeline(directory, reader.system_id), size)
    except _CANNOT_READ as error:
        return Finding(choice, None, [_unreadable(choice.backup, error)])
    if isinstance(route, Problem):
        return Finding(choice, None, [route])
    seen = Seen(unread=can_read) if can_read else look(reader, route, target.type, target.value)
    proof = prove(route, target, seen, request.allow_unproven)
    return Finding(replace(choice, backup=route.backup), proof, proof.problems)


def look(reader: WalReader, route: Route, kind: str, value: str | None) -> Seen:
    """Read in the WAL on the route what proves that a target can be reached."""
    seen = Seen()
    try:
        end = reader.last_commit(itertools.islice(route.names(newest_first=True), NEWEST_SEGMENTS))
        seen = Seen(end=end, unread=_unread_end(route) if end is None or end.time is None else None)
        if kind in ("xid", "name"):
            found = reader.find(kind, value or "", itertools.islice(route.names(), SEARCHED_SEGMENTS))
            seen = Seen(end, found, None if found else _unread_rest(route))
    except _CANNOT_READ as error:
        return replace(seen, unread=f"The WAL cannot be read: {error}")
    return seen


def read_histories(reader: WalReader, archived: Archived, choice: Choice) -> dict[int, list[HistoryEntry]]:
    """History files from the timeline of the oldest backup of the choice on, by timeline."""
    backups = [backup for backup in (choice.backup, *choice.older) if backup and backup.wal_start]
    oldest = min((int((backup.wal_start or "")[:8], 16) for backup in backups), default=0)
    timelines = sorted(timeline for timeline in {*archived.histories, *reader.local_histories()} if timeline >= oldest)
    return reader.histories(timelines)


def _unreadable(backup: Backup, error: Exception) -> Problem:
    if isinstance(error, PgBackRestError):
        sentence = f"The archive of repository {backup.repo_key} cannot be read: {error.message.rstrip('.')}."
        return Problem("archive_unreadable", sentence, " ".join(filter(None, [error.hint, error.next_step])))
    hint = "Nothing can be said about the WAL that recovery needs. Check the archive of this repository."
    return Problem("archive_unreadable", str(error), hint)


def _unread_end(route: Route) -> str | None:
    count = sum(run.last - run.first + 1 for run in route.runs)
    if count <= NEWEST_SEGMENTS:
        return None
    return f"The newest {NEWEST_SEGMENTS} segments have no commit; the other {count - NEWEST_SEGMENTS} were not read."


def _unread_rest(route: Route) -> str | None:
    count = sum(run.last - run.first + 1 for run in route.runs)
    if count <= SEARCHED_SEGMENTS:
        return None
    return (
        f"Only the first {SEARCHED_SEGMENTS} of {count} segments from the backup on were searched. Name in set a "
        "backup nearer to the target."
    )
