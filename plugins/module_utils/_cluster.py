# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A PostgreSQL data directory seen from outside. Reads only. Private to the collection."""

from __future__ import annotations

import glob
import os
import pwd
import re
import struct
from dataclasses import dataclass, replace

_PROCESSES = "/proc"
_POSTMASTER_LINES = (
    "pid",
    "data_directory",
    "start_time",
    "port",
    "socket_directory",
    "listen_address",
    "shm",
    "state",
)
# DBState in PostgreSQL's src/include/catalog/pg_control.h
_STATES = (
    "starting up",
    "shut down",
    "shut down in recovery",
    "shutting down",
    "in crash recovery",
    "in archive recovery",
    "in production",
)
_SETTING = re.compile(r"^\s*(?P<name>[A-Za-z_][\w.]*)(?:\s*=\s*|\s+)(?P<value>'(?:[^'\\]|''|\\.)*'|[^\s#'=]+)")
# A doubled quote, or a character after a backslash (\n and such do not occur in what these files are read for).
_QUOTED = re.compile(r"'(')|\\(.)")


class ClusterError(Exception):
    """A data directory is not what the task needs; the text says what and where."""


@dataclass(frozen=True)
class ControlData:
    """What ``global/pg_control`` says. ``pg_version`` is the major version, such as ``15``; LSNs are byte positions."""

    system_identifier: int
    pg_version: str
    state: str
    checkpoint_lsn: int
    redo_lsn: int
    timeline: int


@dataclass(frozen=True)
class Postmaster:
    """What ``postmaster.pid`` says, and whether that process is there."""

    pid: int
    port: int | None
    socket_directory: str | None
    state: str
    alive: bool


def pg_major(pgdata: str) -> str | None:
    """Major version in ``PG_VERSION``, such as ``15``; None without that file."""
    return read_text(os.path.join(pgdata, "PG_VERSION"))


def read_control_data(pgdata: str) -> ControlData:
    """Read ``global/pg_control`` of PostgreSQL 10 and newer without any program of that version.

    The layout (ControlFileData in src/include/catalog/pg_control.h) begins alike in all of them; only PostgreSQL 10
    has one field more, ``prevCheckPoint``. Raises ClusterError.
    """
    major = pg_major(pgdata)
    path = os.path.join(pgdata, "global", "pg_control")
    try:
        with open(path, "rb") as file:
            data = file.read(64)
    except OSError as error:
        raise ClusterError(
            f"{path} cannot be read: {error.strerror}. Check that {pgdata} is the data directory of the cluster, and "
            "that this user may read it."
        ) from None
    if major is None or len(data) < 64:
        raise ClusterError(f"{pgdata} is not a complete PostgreSQL data directory")
    identifier, version, _catalog, state = struct.unpack_from("=QIIi", data, 0)
    checkpoint = struct.unpack_from("=Q", data, 32)[0]
    redo, timeline = struct.unpack_from("=QI", data, 48 if version < 1100 else 40)
    name = _STATES[state] if 0 <= state < len(_STATES) else str(state)
    return ControlData(identifier, major, name, checkpoint, redo, timeline)


def postmaster(pgdata: str) -> Postmaster | None:
    """The server of this directory as ``postmaster.pid`` tells; None without that file."""
    text = read_text(os.path.join(pgdata, "postmaster.pid"))
    if not text:
        return None
    values = dict(zip(_POSTMASTER_LINES, (line.strip() for line in text.splitlines())))
    pid = abs(int(values["pid"])) if values.get("pid", "").lstrip("-").isdigit() else 0
    port = int(values["port"]) if values.get("port", "").isdigit() else None
    return Postmaster(pid, port, values.get("socket_directory") or None, values.get("state", ""), _alive(pid))


def own_server(pgdata: str) -> Postmaster | None:
    """As ``postmaster``, but a process that is evidently another program, which got the number later, is not alive.

    A server works in its data directory, as the owner of that. What cannot be seen is taken for the server.
    """
    server = postmaster(pgdata)
    if server and server.alive and _is_another_program(server.pid, os.stat(pgdata)):
        return replace(server, alive=False)
    return server


def owner(path: str) -> str:
    """Name of the owner of ``path``, or its number when it has no name."""
    return user_name(os.stat(path).st_uid)


def user_name(uid: int) -> str:
    """Name of a user, or the number when it has no name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def tablespaces(pgdata: str) -> dict[str, str]:
    """OID of each tablespace and the directory its link points to."""
    links = glob.glob(os.path.join(glob.escape(pgdata), "pg_tblspc", "*"))
    return {os.path.basename(link): os.readlink(link) for link in sorted(links) if os.path.islink(link)}


def parse_settings(text: str) -> dict[str, str]:
    """Settings in the text of a PostgreSQL configuration file; the last line of a name counts, quotes are taken off.

    >>> parse_settings("a = 'it''s'\\n# b = 1\\nc 2")
    {'a': "it's", 'c': '2'}
    """
    result = {}
    for line in text.split("\n"):
        match = _SETTING.match(line)
        if match:
            value = match.group("value")
            if value.startswith("'"):
                value = _QUOTED.sub(r"\1\2", value[1:-1])
            result[match.group("name").lower()] = value
    return result


def auto_conf_settings(pgdata: str) -> dict[str, str]:
    """Settings in ``postgresql.auto.conf``, where ALTER SYSTEM and pgBackRest's restore write."""
    return parse_settings(read_text(os.path.join(pgdata, "postgresql.auto.conf")) or "")


def read_text(path: str) -> str | None:
    """Text of a file without white space around it; None when there is no such file. Raises ClusterError."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read().strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ClusterError(f"{path} cannot be read: {error.strerror}") from None


def _is_another_program(pid: int, directory: os.stat_result) -> bool:
    user = _user_of(pid)
    if user is not None and user != directory.st_uid:
        return True
    try:
        return not os.path.samestat(os.stat(f"{_PROCESSES}/{pid}/cwd"), directory)
    except OSError:
        return False


def _user_of(pid: int) -> int | None:
    """The effective user of a process; None when nobody tells."""
    try:
        with open(f"{_PROCESSES}/{pid}/status", encoding="utf-8", errors="replace") as file:
            match = re.search(r"^Uid:\s+\d+\s+(\d+)", file.read(), re.MULTILINE)
    except OSError:
        return None
    return int(match.group(1)) if match else None


def _alive(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
