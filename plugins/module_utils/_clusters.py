# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The PostgreSQL clusters of a host, found where packages keep them. Reads only. Private to the collection.

Files are read rather than ``pg_lsclusters`` asked: one broken cluster makes that end without an answer about the
others, and the RHEL family does not have it.
"""

from __future__ import annotations

import glob
import grp
import os
import re
import shlex
import typing as t
from dataclasses import dataclass
from pathlib import PurePath

from ._cluster import (
    ClusterError,
    ControlData,
    Postmaster,
    auto_conf_settings,
    parse_settings,
    pg_major,
    postmaster,
    read_control_data,
    read_text,
    user_name,
)

_DEBIAN = "/etc/postgresql"
_UNITS = ("/usr/lib/systemd/system", "/lib/systemd/system", "/etc/systemd/system")  # the last one found counts
_UNIT = re.compile(r"(postgresql(?:-\d+(?:\.\d+)?)?)\.service$")
_PGDATA = re.compile(r"^\s*Environment\s*=(.*)$", re.MULTILINE)
_PROCESSES = "/proc"
_DEFAULT_PORT = 5432
_IN_RECOVERY = ("in archive recovery", "shut down in recovery")


@dataclass(frozen=True)
class Place:
    """Where a cluster is configured; ``pg_version`` as far as the place tells it."""

    name: str
    directory: str
    unit: str | None = None
    pg_version: str | None = None


def clusters(more: t.Sequence[str] = ()) -> list[dict[str, t.Any]]:
    """The clusters of Debian's layout, those of the units of the RHEL family, and those in the directories ``more``."""
    found: dict[str, dict[str, t.Any]] = {}
    for place in [*_debian_places(), *_unit_places(), *_places(more)]:
        record = describe(place)
        found.setdefault(os.path.realpath(record["data_directory"]), record)
    return list(found.values())


def _debian_places() -> list[Place]:
    places = []
    for path in sorted(glob.glob(os.path.join(_DEBIAN, "*", "*", "postgresql.conf"))):
        directory = os.path.dirname(path)
        version, name = directory.split(os.sep)[-2:]
        places.append(Place(f"{version}/{name}", directory, f"postgresql@{version}-{name}", version))
    return places


def _unit_places() -> list[Place]:
    """Units such as ``postgresql-16`` that name their data directory, as those of PGDG and of the RHEL family do."""
    units: dict[str, str] = {}
    for path in [path for directory in _UNITS for path in sorted(glob.glob(os.path.join(directory, "*.service")))]:
        match = _UNIT.match(os.path.basename(path))
        if match:
            units[match.group(1)] = path
    places = []
    for unit, path in sorted(units.items()):
        more = [name for directory in _UNITS for name in sorted(glob.glob(f"{directory}/{unit}.service.d/*.conf"))]
        directory = _environment([path, *more]).get("PGDATA")
        if directory:
            places.append(Place(os.path.normpath(directory), os.path.normpath(directory), unit))
    return places


def _environment(paths: t.Sequence[str]) -> dict[str, str]:
    """Variables that unit files set. One that cannot be read or understood counts as empty."""
    result: dict[str, str] = {}
    for path in paths:
        try:
            lines = _PGDATA.findall(read_text(path) or "")
            words = [word for line in lines for word in shlex.split(line)]
        except (ClusterError, ValueError):
            continue
        result.update((word.split("=", 1)[0], word.split("=", 1)[1]) for word in words if "=" in word)
    return result


def _places(directories: t.Sequence[str]) -> list[Place]:
    return [Place(path, path) for path in map(os.path.normpath, directories)]


def describe(place: Place) -> dict[str, t.Any]:
    """What can be told about a cluster from outside; ``problem`` says why something could not."""
    settings: dict[str, str] = {}
    control: ControlData | None = None
    server: Postmaster | None = None
    data_directory, pg_version, recovery, problem = place.directory, place.pg_version, None, None
    try:
        settings = conf_settings(os.path.join(place.directory, "postgresql.conf"))
        data_directory = os.path.normpath(settings.get("data_directory") or place.directory)
        _require_content(data_directory)
        settings.update(auto_conf_settings(data_directory))
        pg_version = pg_major(data_directory) or pg_version
        recovery = _recovery(data_directory, pg_version)
        server = postmaster(data_directory)
        control = read_control_data(data_directory)
    except ClusterError as error:
        problem = str(error)
    running = server if server and _is_server(server) else None
    return {
        "name": place.name,
        "pg_version": pg_version,
        "data_directory": data_directory,
        **_address(settings, running),
        "unit": place.unit,
        **_owner(data_directory, place.directory),
        "running": running is not None,
        "role": _role(data_directory, control, running is not None) if control else "unknown",
        "recovery": recovery,
        "system_identifier": str(control.system_identifier) if control else None,
        "problem": problem,
    }


def conf_settings(path: str, including: tuple[str, ...] = ()) -> dict[str, str]:
    """Settings of a PostgreSQL configuration file and of what it includes; ``including`` are the files that led here.

    A file that is not there has none. Raises ClusterError.
    """
    result: dict[str, str] = {}
    for line in (read_text(path) or "").split("\n"):
        for name, value in parse_settings(line).items():
            if name in ("include", "include_if_exists", "include_dir"):
                for file in _included(name, os.path.normpath(os.path.join(os.path.dirname(path), value))):
                    if file not in (*including, path):  # PostgreSQL refuses such a circle
                        result.update(conf_settings(file, (*including, path)))
            else:
                result[name] = value
    return result


def _included(directive: str, path: str) -> list[str]:
    if directive != "include_dir":
        return [path]
    return sorted(glob.glob(os.path.join(glob.escape(path), "*.conf")))  # like PostgreSQL without hidden files


def _require_content(data_directory: str) -> None:
    if not os.path.isdir(data_directory):
        why = "does not exist"
    elif os.access(data_directory, os.R_OK | os.X_OK) and not os.listdir(data_directory):
        why = "is empty"
    else:
        return
    raise ClusterError(
        f"The data directory {data_directory} {why}: make the cluster (initdb), mount its volume, or restore it."
    )


def _is_server(server: Postmaster) -> bool:
    """Whether the process is a server of PostgreSQL, and not one that got its number after a crash of the host."""
    if not server.alive:
        return False
    try:
        name = read_text(os.path.join(_PROCESSES, str(server.pid), "comm"))
    except ClusterError:
        return True
    return name is None or name.startswith(("postgres", "postmaster"))


def _address(settings: t.Mapping[str, str], running: Postmaster | None) -> dict[str, t.Any]:
    """Port and first socket directory, those in force when the server runs."""
    if running and running.port:
        return {"port": running.port, "socket_directory": running.socket_directory}
    port = settings.get("port", "")
    directory = settings.get("unix_socket_directories", "").split(",")[0].strip().strip('"')
    return {"port": int(port) if port.isdigit() else _DEFAULT_PORT, "socket_directory": directory or None}


def _owner(data_directory: str, directory: str) -> dict[str, str | None]:
    """Owner and group of the data directory, or of what is around it when that is gone.

    A directory of root's without a cluster is no more than the mount point of a new disk.
    """
    parents = [str(parent) for parent in PurePath(data_directory).parents]
    own = [_ids(path) for path in (data_directory, directory) if os.path.exists(path)]
    around = [_ids(path) for path in parents if os.path.exists(path)]
    ids = own[0] if own else None
    if ids is None or (ids[0] == 0 and _holds_no_cluster(data_directory)):
        ids = next((ids for ids in (*own, *around) if ids[0] != 0), ids)
    return {"owner": user_name(ids[0]) if ids else None, "group": _group_name(ids[1]) if ids else None}


def _holds_no_cluster(path: str) -> bool:
    readable = not os.path.exists(path) or os.access(path, os.R_OK | os.X_OK)
    return readable and not os.path.exists(os.path.join(path, "PG_VERSION"))


def _ids(path: str) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_uid, status.st_gid


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _recovery(data_directory: str, pg_version: str | None) -> str | None:
    """What the next start begins, or the present one began: ``standby``, ``target`` for a restored cluster, or None."""
    if int((pg_version or "12").split(".")[0]) < 12:
        text = read_text(os.path.join(data_directory, "recovery.conf"))
        mode = parse_settings(text or "").get("standby_mode", "off")
        return None if text is None else "standby" if mode in ("on", "true", "yes", "1") else "target"
    for name, meaning in (("standby.signal", "standby"), ("recovery.signal", "target")):
        if os.path.exists(os.path.join(data_directory, name)):
            return meaning
    return None


def _role(data_directory: str, control: ControlData, running: bool) -> str:
    """Standby while in archive recovery, or when the next start begins one; primary otherwise.

    A stopped cluster that was in recovery and has lost its signal file cannot be told.
    """
    if running and control.state in ("in archive recovery", "in production"):
        return "standby" if control.state == "in archive recovery" else "primary"
    signals = ["recovery.conf"] if int(control.pg_version) < 12 else ["standby.signal", "recovery.signal"]
    if any(os.path.exists(os.path.join(data_directory, name)) for name in signals):
        return "standby"
    return "unknown" if control.state in _IN_RECOVERY else "primary"
