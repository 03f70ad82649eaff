# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a restore plan is made from: the request, where it leads to, the facts. Pure. Private to the collection."""

from __future__ import annotations

import os
import re
import typing as t
from dataclasses import dataclass, field

from ._directory import Directory, Place
from ._programs import Programs
from ._repository import Backup
from ._rescue import Rescue
from ._target import RecoveryTarget

_STAMP = re.compile(r"\.\d{8}T\d{6}Z$")
_OPTION_NAME = re.compile(r"^[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?$")


@dataclass(frozen=True)
class Request:
    """What is wanted. ``label`` is the option set; maps and lists hold what task or configuration say."""

    stanza: str
    pgdata: str
    target: RecoveryTarget = RecoveryTarget()
    label: str | None = None
    repo: int | None = None
    delta: bool = False
    tablespace_map: dict[str, str] = field(default_factory=dict)
    tablespace_map_all: str | None = None
    link_map: dict[str, str] = field(default_factory=dict)
    link_all: bool = False
    db_include: list[str] = field(default_factory=list)
    db_exclude: list[str] = field(default_factory=list)
    recovery_options: dict[str, str] = field(default_factory=dict)
    inherited_recovery_options: dict[str, str] = field(default_factory=dict)
    archive_mode: str = "preserve"
    plan_only: bool = False  # check mode: a plan is made before the cluster is stopped
    swap: bool = False
    stamp: str | None = None  # of a swap: in the names of its new directories, the same after an interruption
    workspace: str | None = None
    plan_id: str | None = None  # identity of the plan that was approved
    repeat: bool = False
    allow_unproven: bool = False
    bindir: str | None = None


@dataclass(frozen=True)
class Destination:
    """A tablespace or link of the backup and the path it comes to; None when a link becomes a directory or file."""

    kind: str  # tablespace, link
    name: str
    oid: int | None
    original: str | None
    path: str | None

    def to_dict(self) -> dict[str, t.Any]:
        """The destination as module result."""
        common = {"name": self.name, "path": self.path, "original": self.original}
        return {**common, "oid": self.oid} if self.kind == "tablespace" else common


@dataclass(frozen=True)
class Facts:
    """What the host says. ``places`` has the data directory under None and the others under their destinations.

    ``parent`` is the directory that the data directory stands in, ``workspace`` the one that a swap restores to.
    ``running`` is the command that pgBackRest works on for this stanza now, as info tells it. ``original_tablespaces``
    are those of the stanza's own cluster, OID and path, when the restore makes a copy beside it. ``read_only`` are the
    archives of the stanza on this host that the user cannot write to, by the keys of their repositories.
    """

    directory: Directory
    places: dict[Destination | None, Place]
    user: str
    configured_pgdata: str | None = None
    locked: bool = False
    stop_file: str | None = None
    stop_blocks_archive_get: bool = False
    rescue: Rescue | None = None
    programs: Programs | None = None
    running: t.Mapping[str, t.Any] | None = None
    original_tablespaces: dict[str, str] = field(default_factory=dict)
    read_only: dict[int, str] = field(default_factory=dict)
    parent: Place | None = None
    workspace: Place | None = None


def destinations(request: Request, backup: Backup) -> list[Destination]:
    """Where tablespaces and links of the backup come to. A tablespace may be mapped by its name or its OID."""
    details = backup.details or {}
    result = []
    for tablespace in details.get("tablespaces", []):
        name, oid = tablespace["name"], tablespace["oid"]
        mapped = request.tablespace_map.get(name) or request.tablespace_map.get(str(oid))
        everywhere = os.path.join(request.tablespace_map_all, name) if request.tablespace_map_all else None
        path = mapped or everywhere or _own(request, tablespace["destination"])
        result.append(Destination("tablespace", name, oid, tablespace["destination"], path))
    links = {link["name"]: link["destination"] for link in details.get("links", [])}
    for name in sorted({**links, **request.link_map}):
        present = _own(request, links[name], name) if request.link_all else None
        result.append(Destination("link", name, None, links.get(name), request.link_map.get(name) or present))
    return result


def stamped(path: str, stamp: str) -> str:
    """A new directory beside one that may have such a name already.

    >>> stamped("/mnt/fast.20261122T050000Z", "20261123T060000Z")
    '/mnt/fast.20261123T060000Z'
    """
    return f"{_STAMP.sub('', path)}.{stamp}"


def same_path(one: str, other: str) -> bool:
    """Whether two paths are written alike.

    >>> same_path("/srv/pg/", "/srv/pg")
    True
    """
    return os.path.normpath(one) == os.path.normpath(other)


def _own(request: Request, path: str, name: str = "") -> str:
    """Where something comes to that nobody mapped: a swap leaves the present place to the directory that it keeps."""
    if not request.swap or not request.stamp:
        return path
    return stamped(os.path.normpath(os.path.join(request.pgdata, os.path.dirname(name), path)), request.stamp)


def absolute(pgdata: str, destination: Destination) -> str | None:
    """The path of a destination; links may be relative to where they stand."""
    if destination.path is None:
        return None
    return os.path.normpath(os.path.join(pgdata, os.path.dirname(destination.name), destination.path))


def stands(destination: Destination, found: Directory) -> bool:
    """Whether a tablespace or link of the data directory is where this destination says."""
    if destination.kind == "tablespace":
        return found.tablespaces.get(str(destination.oid)) == destination.path
    return found.links.get(destination.name) == destination.path


def option_problems(options: t.Mapping[str, str]) -> list[str]:
    """Sentences about recovery options that must not be written as they are."""
    result = []
    for name, value in options.items():
        if not _OPTION_NAME.match(name):
            result.append(f"{name!r} in recovery_options is not the name of a setting.")
        elif name.startswith("recovery_target") or name in ("standby_mode", "archive_mode"):
            result.append(
                f"{name} in recovery_options would contradict the options of this task: use type, target, "
                "target_timeline, target_action, target_exclusive and archive_mode."
            )
        elif re.search(r"[\x00-\x1f]", value):
            result.append(f"The value of {name} in recovery_options has a line break or control character.")
    return result
