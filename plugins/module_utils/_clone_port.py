# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A port for a clone that nobody else has, running or not. Reads only. Private to the collection."""

from __future__ import annotations

import errno
import glob
import json
import os
import socket
import typing as t

from ._clone_place import Place
from ._clusters import clusters

_FIRST, _LAST = 5433, 5999
_SOCKETS = "/var/run/postgresql"


def free_port(place: Place, socket_directory: str) -> int | None:
    """The first free port from 5433 on; None when there is none."""
    reserved = reserved_ports(place)
    candidates = (port for port in range(_FIRST, _LAST + 1) if port not in reserved)
    return next((port for port in candidates if holder(port, socket_directory) is None), None)


def reserved_ports(place: Place) -> set[int]:
    """Ports of the clusters of this host and of the clones beside this one, running or not."""
    found = {int(cluster["port"]) for cluster in clusters() if str(cluster.get("port") or "").isdigit()}
    for path in glob.glob(os.path.join(glob.escape(os.path.dirname(place.directory)), "*", "clone.json")):
        if path != place.marker:
            found |= _port_in(path)
    return found


def holder(port: int, socket_directory: str) -> str | None:
    """What has this port now, in words; None when it is free."""
    for directory in sorted({os.path.realpath(_SOCKETS), os.path.realpath(socket_directory)}):
        path = os.path.join(directory, f".s.PGSQL.{port}")
        if os.path.exists(path) and _answers(path):
            return f"the server of {path}"
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        if _is_taken(family, address, port):
            return "a program that listens on it"
    return None


def _port_in(path: str) -> set[int]:
    try:
        with open(path, encoding="utf-8") as file:
            return {int(json.load(file)["port"])}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return False
        except OSError:
            return True
    return True


def _is_taken(family: t.Any, address: str, port: int) -> bool:
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind((address, port))
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    return False
