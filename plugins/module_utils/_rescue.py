# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""WAL that only this host has: kept before a restore, handed to the restored cluster. Private to the collection.

The newest WAL of a cluster is not archived yet, and all of it is missing while archiving fails. A restore deletes it
with the directory, or moves it away. PostgreSQL looks for every file in the archive first and then in pg_wal, so what
is put there is read as if it had been archived.
"""

from __future__ import annotations

import os
import re
import typing as t
from dataclasses import dataclass, field

from ._durable import copy_file, make_private_directory, same_content, sync_directory
from ._problem import PlanError, Problem

_SEGMENT = re.compile(r"[0-9A-F]{24}")
_OTHERS = re.compile(r"[0-9A-F]{8}\.history|[0-9A-F]{24}\.partial")


@dataclass(frozen=True)
class Rescue:
    """Files that no repository of the plan has. ``directory`` is where they are kept, ``files`` those in pg_wal, by
    name, ``kept`` the names that an earlier run has kept; ``size`` is that of all of them, in bytes.

    ``trusted`` is False when pg_wal is that of a restore that did not end: then what was kept before is the better one.
    """

    directory: str
    files: dict[str, str] = field(default_factory=dict)
    kept: tuple[str, ...] = ()
    size: int = 0
    trusted: bool = True

    @property
    def names(self) -> list[str]:
        """Names of all files, sorted."""
        return sorted({*self.files, *self.kept})

    def to_dict(self) -> dict[str, t.Any]:
        """What is kept, as part of the plan."""
        segments = sum(1 for name in self.names if _SEGMENT.fullmatch(name))
        return {"segments": segments, "bytes": self.size, "path": self.directory if self.names else None}


def rescue_directory(workspace: str, system_id: int) -> str:
    """Where the WAL of a cluster is kept: a workspace may see several."""
    return os.path.join(workspace, "rescued", str(system_id))


def find_rescue(
    pgdata: str,
    directory: str,
    segments: t.Mapping[str, str],
    archived: t.Container[str],
    trusted: bool = True,
) -> Rescue:
    """What is to be kept of the local WAL. ``segments`` are those with WAL in them, by name, recycled ones left out."""
    wal = os.path.join(pgdata, "pg_wal")
    here = {name: path for name, path in segments.items() if os.path.dirname(path) != directory}
    here.update({name: os.path.join(wal, name) for name in _listed(wal) if _OTHERS.fullmatch(name)})
    files = {name: path for name, path in sorted(here.items()) if name not in archived}
    kept = tuple(sorted(name for name in _listed(directory) if _is_wal(name) and name not in archived))
    paths = {**{name: os.path.join(directory, name) for name in kept}, **files}
    return Rescue(directory, files, kept, sum(map(_size, paths.values())), trusted)


def keep(rescue: Rescue, stamp: str, report: t.Callable[[int, int], None]) -> list[str]:
    """Copy the files to their directory; returns sentences about files that were there with other contents.

    Nothing else has been touched yet when this fails, and the PlanError says so.
    """
    notes = []
    try:
        if rescue.files:
            make_private_directory(rescue.directory)
        for number, (name, path) in enumerate(rescue.files.items()):
            report(number, len(rescue.files))
            notes += _keep_one(path, os.path.join(rescue.directory, name), stamp, rescue.trusted)
        if rescue.files:
            sync_directory(rescue.directory)
    except OSError as error:
        raise PlanError([_failed(rescue, error)], "The restore stopped before it touched anything") from None
    return notes


def waiting(rescue: Rescue) -> list[str]:
    """Paths of the files in pg_wal that PostgreSQL has completed and would have archived next, oldest first."""
    if not rescue.trusted:
        return []
    marks = {
        path: os.path.join(os.path.dirname(path), "archive_status", f"{name}.ready")
        for name, path in rescue.files.items()
    }
    return [path for path in sorted(marks) if os.path.exists(marks[path])]


def readable(names: t.Iterable[str], start: str | None) -> list[str]:
    """Those that recovery from segment ``start`` on may ask for: later segments, of any timeline, and histories.

    >>> readable(["000000010000000000000002", "000000020000000000000009"], "000000010000000000000003")
    ['000000020000000000000009']
    """
    return [
        name
        for name in names
        if name.endswith(".history") or (_SEGMENT.fullmatch(name) and (not start or name[8:] >= start[8:]))
    ]


def hand_back(directory: str, names: t.Iterable[str], pgdata: str) -> tuple[list[str], list[str]]:
    """Put kept files that recovery can read into the new pg_wal.

    Returns the names of those that were not there, and sentences about those that are there with other contents.
    """
    wal = os.path.join(pgdata, "pg_wal")
    put, notes = [], []
    for name in names:
        source, target = os.path.join(directory, name), os.path.join(wal, name)
        if not os.path.exists(target):
            copy_file(source, target)
            _give_to_owner_of(target, wal)
            put.append(name)
        elif not same_content(source, target):
            notes.append(f"{target} came with the backup and differs from {source}, which was not used.")
    if put:
        sync_directory(wal)
    return put, notes


def _keep_one(source: str, target: str, stamp: str, trusted: bool) -> list[str]:
    if not os.path.exists(target):
        copy_file(source, target)
        return []
    if same_content(source, target):
        return []
    aside = f"{target}.{stamp}"
    if trusted:  # the cluster wrote on since the file was kept
        os.rename(target, aside)
        copy_file(source, target)
    else:
        copy_file(source, aside)
    return [f"{source} and {target} from an earlier run differ. Both are kept, one of them as {aside}."]


def _failed(rescue: Rescue, error: OSError) -> Problem:
    count, room = len(rescue.files), rescue.size
    sentence = (
        f"{count} WAL files ({room} bytes) that no repository has could not be copied to {rescue.directory}: "
        f"{error.strerror}."
    )
    hint = (
        "Make room there, or name a directory with more room in the option workspace, and run the task again. "
        "What is copied already stays and is not copied again. If archiving only waited for the repository, let it "
        "catch up: then there is less to copy."
    )
    return Problem("rescue", sentence, hint)


def _give_to_owner_of(path: str, directory: str) -> None:
    if os.geteuid() == 0:
        status = os.stat(directory)
        os.chown(path, status.st_uid, status.st_gid)


def _is_wal(name: str) -> bool:
    return bool(_SEGMENT.fullmatch(name) or _OTHERS.fullmatch(name))


def _size(path: str) -> int:
    """Bytes of a file; a running server may have taken it away since it was seen."""
    try:
        return os.path.getsize(path)
    except FileNotFoundError:
        return 0


def _listed(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []
