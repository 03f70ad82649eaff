# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a restore has enough room. Pure. Private to the collection."""

from __future__ import annotations

import typing as t
from dataclasses import asdict, dataclass

from ._directory import Place
from ._plan_request import Destination, Facts, Request
from ._plan_text import human_size
from ._problem import Problem
from ._proof import Proof
from ._repository import Backup

# Recovery removes WAL that it has replayed at each restartpoint, so of much WAL no more than this lies there at once.
# It is PostgreSQL's default of max_wal_size.
_WAL_AT_ONCE = 1024**3


@dataclass(frozen=True)
class FileSystem:
    """What a restore needs on one file system, in bytes; ``reused`` is what the files that it replaces have now."""

    path: str
    needed: int
    free: int
    reused: int

    def lacks(self) -> bool:
        """Whether there is too little room."""
        return self.free + self.reused < self.needed

    def text(self) -> str:
        """What is needed and there, in words."""
        reused = f" and {human_size(self.reused)} in files that it replaces" if self.reused else ""
        return f"{self.path}: {human_size(self.needed)} needed, {human_size(self.free)} free{reused}"


@dataclass(frozen=True)
class Space:
    """What a restore needs in all, ``wal`` and ``rescue`` are in it; with several file systems each is an estimate."""

    needed: int
    free: int
    reused: int
    wal: int
    rescue: int
    file_systems: list[FileSystem]

    def to_dict(self) -> dict[str, t.Any]:
        """The space as module result."""
        return asdict(self)


def space_of(request: Request, backup: Backup, facts: Facts, proof: Proof | None) -> Space:
    """What the restore needs, and what there is."""
    wal = min(proof.wal["bytes"], _WAL_AT_ONCE) if proof else 0
    rescue = _to_copy(facts)
    written = _written(request, facts)
    shares = _shares(backup.size, written)
    wal_key = next((key for key in written if key and key.name == "pg_wal"), None)
    needed: dict[int, int] = {}
    for key, place in written.items():
        needed[place.device] = needed.get(place.device, 0) + shares[key] + (wal if key == wal_key else 0)
    if facts.workspace and rescue:
        needed[facts.workspace.device] = needed.get(facts.workspace.device, 0) + rescue
    places = [*written.values(), *([facts.workspace] if facts.workspace and rescue else [])]
    systems = [
        FileSystem(
            path=next(place.path for place in places if place.device == device),
            needed=needed[device],
            free=next(place.free for place in places if place.device == device),
            reused=sum(place.occupied for place in written.values() if place.device == device),
        )
        for device in needed
    ]
    free, reused = (sum(getattr(system, name) for system in systems) for name in ("free", "reused"))
    return Space(backup.size + wal + rescue, free, reused, wal, rescue, systems)


def space_problems(request: Request, space: Space) -> list[Problem]:
    """Certain lack of space. Databases left out are sparse files, so then nothing is certain."""
    whole = FileSystem("all file systems together", space.needed, space.free, space.reused)
    lacking = space.file_systems[0] if len(space.file_systems) == 1 else whole
    if request.db_include or request.db_exclude or not lacking.lacks():
        return []
    hint = "Make room, or restore to a larger file system."
    if request.swap:
        hint += " delta: true restores in place and needs less, but overwrites the old directory."
    return [Problem("space", f"There is not enough room on {lacking.text()}.", hint)]


def space_warnings(space: Space) -> list[str]:
    """Probable lack of space: how the backup is spread over several file systems is not known before."""
    if len(space.file_systems) == 1 or not space.reused:
        return []
    return [
        f"There may be too little room on {system.text()}, if tablespaces were as large in the backup as they are now."
        for system in space.file_systems
        if system.lacks()
    ]


def _written(request: Request, facts: Facts) -> dict[Destination | None, Place]:
    """The places that new files come to: a swap restores to its workspace, which may have a part of them already."""
    places = dict(facts.places)
    if request.swap and facts.workspace:
        places[None] = facts.workspace
    return places


def _to_copy(facts: Facts) -> int:
    """About how many bytes of WAL are still to be rescued: an earlier run may have kept some."""
    rescue = facts.rescue
    if rescue is None or not rescue.names:
        return 0
    return rescue.size * len(set(rescue.files) - set(rescue.kept)) // len(rescue.names)


def _shares(size: int, written: t.Mapping[Destination | None, Place]) -> dict[Destination | None, int]:
    """How the backup's size is spread: what tablespaces and links have now is taken for what they will have."""
    shares = {key: place.occupied if key else 0 for key, place in written.items()}
    shares[None] = max(0, size - sum(shares.values()))
    return shares
