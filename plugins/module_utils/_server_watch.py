# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looking at a server that recovers, and telling it to go on. Private to the collection."""

from __future__ import annotations

import glob
import os
import re
import signal
import typing as t

from ._cluster import (
    ClusterError,
    auto_conf_settings,
    parse_settings,
    pg_major,
    postmaster,
    read_control_data,
)
from ._recovery import Observation, left_behind, since_last_start
from ._sql import DatabaseError, alter_system, connect, query
from ._wal import HistoryEntry, parse_history, parse_lsn

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

_LOG_TAIL = 1024 * 1024  # bytes
_PROMOTION_WAIT = 60  # seconds
_DEBIAN_CONFIGURATIONS, _DEBIAN_LOGS = "/etc/postgresql/*/*/postgresql.conf", "/var/log/postgresql"

# The timeline of a server, which no function tells.
TIMELINE = """CASE WHEN pg_is_in_recovery() THEN greatest((SELECT timeline_id FROM pg_control_checkpoint()),
         (SELECT received_tli FROM pg_stat_wal_receiver))
       ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int END"""
_SEEN = f"""
SELECT pg_is_in_recovery() AS in_recovery, pg_last_wal_replay_lsn()::text AS replay_lsn,
  pg_last_xact_replay_timestamp() AS last_commit, current_setting('server_version_num')::int AS version,
  (SELECT setting FROM pg_settings WHERE name = 'data_directory') AS data_directory,
  {TIMELINE} AS timeline
"""
_PAUSED = "SELECT CASE WHEN pg_is_in_recovery() THEN {} ELSE false END AS paused"
_PAUSE_STATE = "pg_get_wal_replay_pause_state() = 'paused'"  # PostgreSQL 14 and newer tell a request from the fact


def observe(module: AnsibleModule, pgdata: str) -> tuple[Observation, DatabaseError | None]:
    """What can be seen now, and why SQL could not be asked if it could not. Raises ClusterError."""
    control = _control(pgdata)
    process = postmaster(pgdata)
    known: dict[str, t.Any] = {"control": control.state, "standby": is_standby(pgdata), "timeline": control.timeline}
    known["checkpoint_timeline"] = control.timeline
    if process is None or not process.alive:
        return Observation(alive=False, **known), None
    known["status"] = process.state
    try:
        connection = connect_to(module, pgdata)
    except DatabaseError as error:
        return Observation(alive=True, **known), error
    try:
        return Observation(alive=True, connected=True, **{**known, **_ask(connection, pgdata)}), None
    except DatabaseError as error:  # the server may end, or end its recovery, between two statements
        return Observation(alive=True, **known), error
    finally:
        connection.close()


def connect_to(module: AnsibleModule, pgdata: str) -> t.Any:
    """A connection to the server of this directory, by the socket that ``postmaster.pid`` names unless one is given."""
    process = postmaster(pgdata)
    if process is not None and not module.params["login_host"] and process.socket_directory:
        given = {name: module.params[name] for name in ("login_host", "login_port")}
        module.params.update(login_host=process.socket_directory, login_port=process.port)
        try:
            return connect(module)
        finally:
            module.params.update(given)
    return connect(module)


def _ask(connection: t.Any, pgdata: str) -> dict[str, t.Any]:
    row = query(connection, _SEEN)[0]
    refuse_wrong_server(row["data_directory"], pgdata)
    state = _PAUSE_STATE if row["version"] >= 140000 else "pg_is_wal_replay_paused()"
    return {
        "in_recovery": row["in_recovery"],
        "paused": query(connection, _PAUSED.format(state))[0]["paused"],
        "timeline": row["timeline"],
        "replay_lsn": parse_lsn(row["replay_lsn"]) if row["replay_lsn"] else None,
        "last_commit": row["last_commit"],
    }


class WrongServer(Exception):
    """Another server than that of the data directory answered; the text says which."""


def refuse_wrong_server(directory: str | None, pgdata: str) -> None:
    """Raise WrongServer when the server that answered works on another directory; None when it does not tell."""
    if directory and os.path.realpath(directory) != os.path.realpath(pgdata):
        raise WrongServer(
            f"The server that answered works on {directory}, not on {pgdata}. Correct login_host and login_port, or "
            "leave them out."
        )


def _control(pgdata: str) -> t.Any:
    # pg_control is written in place, so a reader may meet it while it changes.
    try:
        return read_control_data(pgdata)
    except ClusterError:
        return read_control_data(pgdata)


def is_standby(pgdata: str) -> bool:
    """Whether this directory is set up to follow another server."""
    if os.path.exists(os.path.join(pgdata, "standby.signal")):
        return True
    return parse_settings(_text(os.path.join(pgdata, "recovery.conf"))).get("standby_mode", "off") in (
        "on",
        "true",
        "yes",
        "1",
    )


def resume(module: AnsibleModule, pgdata: str) -> None:
    """End a pause. At a recovery target that ends recovery and promotes. Raises DatabaseError."""
    _run(module, pgdata, "SELECT pg_wal_replay_resume()")


def promote(module: AnsibleModule, pgdata: str) -> None:
    """Promote a standby. Raises DatabaseError."""
    if int(pg_major(pgdata) or 0) >= 12:
        _run(module, pgdata, f"SELECT pg_promote(true, {_PROMOTION_WAIT})")
        return
    process = postmaster(pgdata)
    if process is not None:  # what pg_ctl promote does
        with open(os.path.join(pgdata, "promote"), "w", encoding="ascii"):
            pass
        os.kill(process.pid, signal.SIGUSR1)


def clean(module: AnsibleModule, pgdata: str, names: t.Iterable[str]) -> None:
    """Take settings out of ``postgresql.auto.conf``. Raises DatabaseError."""
    connection = connect_to(module, pgdata)
    try:
        for name in names:
            alter_system(connection, name, None)
        query(connection, "SELECT pg_reload_conf()")
    finally:
        connection.close()


def checkpoint(module: AnsibleModule, pgdata: str) -> None:
    """Write a checkpoint now. Raises DatabaseError."""
    _run(module, pgdata, "CHECKPOINT")


def _run(module: AnsibleModule, pgdata: str, statement: str) -> None:
    connection = connect_to(module, pgdata)
    try:
        query(connection, statement)
    finally:
        connection.close()


def recovery_settings(pgdata: str) -> dict[str, str]:
    """Settings of a restore that still stand in ``postgresql.auto.conf``; none before PostgreSQL 12."""
    return left_behind(auto_conf_settings(pgdata)) if int(pg_major(pgdata) or 0) >= 12 else {}


def archiving_switched_off(pgdata: str) -> bool:
    """Whether ``postgresql.auto.conf`` switches archiving off, as a restore with archive-mode=off does."""
    return auto_conf_settings(pgdata).get("archive_mode") == "off"


def end_of_parent(pgdata: str, timeline: int) -> HistoryEntry | None:
    """Where and why the timeline before this one ended; None for the first timeline or without history file."""
    entries = parse_history(_text(os.path.join(pgdata, "pg_wal", f"{timeline:08X}.history")))
    return entries[-1] if entries else None


def find_log(pgdata: str, given: str | None) -> str | None:
    """The server's log file: the given one, the logging collector's, or where its standard error goes."""
    if given:
        return given
    for line in _text(os.path.join(pgdata, "current_logfiles")).splitlines():
        kind, dummy, name = line.partition(" ")
        if kind == "stderr":
            return os.path.join(pgdata, name)
    process = postmaster(pgdata)
    return (_standard_error(process.pid) if process and process.alive else None) or _debian_log(pgdata)


def _standard_error(pid: int) -> str | None:
    try:
        path = os.readlink(f"/proc/{pid}/fd/2")
    except OSError:
        return None
    return path if os.path.isfile(path) else None


def _debian_log(pgdata: str) -> str | None:
    """Log of ``pg_ctlcluster``, where cluster 15/main has postgresql-15-main.log.

    The configuration knows which cluster a directory is of; without it, its path tells that.
    """
    named = re.compile(rf"^\s*data_directory\s*=?\s*'{re.escape(os.path.normpath(pgdata))}/?'", re.MULTILINE)
    places = (path for path in glob.glob(_DEBIAN_CONFIGURATIONS) if named.search(_text(path)))
    major, name = os.path.dirname(next(places, f"{os.path.normpath(pgdata)}/")).split(os.sep)[-2:]
    path = f"{_DEBIAN_LOGS}/postgresql-{major}-{name}.log"
    return path if os.path.isfile(path) else None


def read_log(path: str | None) -> list[str]:
    """Lines of the log since the server's last start; none when it cannot be read."""
    try:
        with open(path or "", "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - _LOG_TAIL))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    return since_last_start(text.splitlines())


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
