# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A standby on this host: looked at, and told whom to follow. Private to the collection."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import struct
import typing as t

from ._cluster import ClusterError, ControlData, auto_conf_settings, own_server, parse_settings, read_text
from ._conninfo import SECRETS, parse
from ._directory import read_directory
from ._durable import sync_directory
from ._recovery import last_words
from ._recovery_settings import quoted
from ._replication_server import keep_quiet, reload_server
from ._server_watch import TIMELINE, connect_to, find_log, is_standby, read_log, refuse_wrong_server
from ._sql import DatabaseError, query, settings
from ._standby import Local, Receiver, Wanted, configured, in_force
from ._wal import parse_lsn

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

_MUTE = "FATAL"  # in capitals, as nobody else writes it, so that a run after an interruption knows it
_MISSING = re.compile(r"requested WAL segment (?P<name>[0-9A-F]{24}) has already been removed")
_SEEN = f"""
SELECT pg_is_in_recovery() AS in_recovery, current_setting('server_version_num')::int / 10000 AS version,
  (SELECT setting FROM pg_settings WHERE name = 'data_directory') AS data_directory,
  CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text AS lsn,
  {TIMELINE} AS timeline,
  CASE WHEN pg_last_wal_receive_lsn() <= pg_last_wal_replay_lsn() THEN 0
       ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END::float AS seconds,
  current_setting('primary_conninfo', true) AS conninfo, current_setting('primary_slot_name', true) AS slot,
  coalesce(current_setting('restore_command', true), '') AS restore_command,
  CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() ELSE false END AS paused,
  (SELECT source = 'command line' AND (pg_stat_file('patroni.dynamic.json', true)).size IS NOT NULL
     FROM pg_settings WHERE name = 'cluster_name') AS patroni,
  (SELECT to_jsonb(r) FROM pg_stat_wal_receiver r) AS receiver,
  (SELECT pid FROM pg_stat_activity WHERE backend_type = 'startup') AS startup
"""
_TITLE = re.compile(r"startup\s+(?:recovering|waiting for) (?P<timeline>[0-9A-F]{8})[0-9A-F]{16}")


def look(module: AnsibleModule, pgdata: str) -> Local:
    """The directory and its server as they are. Raises ClusterError and WrongServer."""
    directory = read_directory(pgdata)
    if directory.state != "cluster" or directory.control is None:
        return Local(directory.state)
    server = own_server(pgdata)
    known = {**_known(directory.path, directory.control), "alive": bool(server and server.alive)}
    if not known["alive"]:
        return Local(**known)
    try:
        connection = connect_to(module, pgdata)
        try:
            asked = _ask(connection, pgdata)
        finally:
            connection.close()
    except DatabaseError as error:  # it starts, or ends
        return Local(**known, error=str(error))
    if not asked["receiver"]:
        asked["missing_segment"] = missing_segment(read_log(find_log(pgdata, module.params["log_file"])))
    return Local(**{**known, **asked, "connected": True})


def _known(pgdata: str, control: ControlData) -> dict[str, t.Any]:
    """What the files tell."""
    least, timeline = least_recovery(pgdata)
    settings = follow_settings(pgdata, int(control.pg_version))
    return {
        "content": "cluster",
        "system_identifier": str(control.system_identifier),
        "pg_version": int(control.pg_version),
        "cluster_state": control.state,
        "timeline": max(control.timeline, timeline),
        "lsn": max(control.checkpoint_lsn, least),
        "standby": is_standby(pgdata),
        "conninfo": settings.get("primary_conninfo", ""),
        "slot": settings.get("primary_slot_name", ""),
        "restore_command": settings.get("restore_command", ""),
    }


def least_recovery(pgdata: str) -> tuple[int, int]:
    """Position to which a standby has written its pages, and the timeline of that; zeros before it wrote any.

    Its place in ``pg_control`` depends on the size of CheckPoint in src/include/catalog/pg_control.h. Raises
    ClusterError.
    """
    path = os.path.join(pgdata, "global", "pg_control")
    try:
        with open(path, "rb") as file:
            data = file.read(160)
    except OSError as error:
        raise ClusterError(f"{path} cannot be read: {error.strerror}.") from None
    if len(data) < 160:
        raise ClusterError(f"{path} is not complete.")
    version = struct.unpack_from("=I", data, 8)[0]
    return t.cast("tuple[int, int]", struct.unpack_from("=QI", data, 128 if version == 1100 else 136))


def _ask(connection: t.Any, pgdata: str) -> dict[str, t.Any]:
    row = query(connection, _SEEN)[0]
    refuse_wrong_server(row["data_directory"], pgdata)
    found = {
        "in_recovery": row["in_recovery"],
        "lsn": parse_lsn(row["lsn"]) if row["lsn"] else 0,
        "timeline": max(row["timeline"], replayed_timeline(row["startup"])),
        "seconds": round(row["seconds"], 3) if row["seconds"] is not None else None,
        "running_conninfo": row["conninfo"],
        "running_slot": row["slot"],
        "receiver": receiver_of(row["receiver"]),
        "paused": row["paused"],
        "patroni": row["patroni"],
    }
    return {**found, "restore_command": row["restore_command"]} if row["version"] >= 12 else found


def replayed_timeline(pid: int | None) -> int:
    """The timeline of the segment that a server replays, by the title of its process; 0 when that does not tell.

    Without a process that receives WAL no view has it: ``pg_control`` is behind until the next restartpoint.
    """
    try:
        title = read_text(f"/proc/{pid}/cmdline") if pid else None
    except ClusterError:
        return 0
    match = _TITLE.search(title or "")
    return int(match.group("timeline"), 16) if match else 0


def receiver_of(row: t.Mapping[str, t.Any] | None) -> Receiver | None:
    """The process that receives WAL; before PostgreSQL 11 only its connection string says from whom."""
    if not row or not row.get("pid"):
        return None
    try:
        params = parse(row.get("conninfo") or "")
    except ValueError:
        params = {}
    return Receiver(
        pid=row["pid"],
        status=row.get("status") or "",
        host=row.get("sender_host") or params.get("host") or params.get("hostaddr"),
        port=str(row.get("sender_port") or params.get("port") or ""),
        slot=row.get("slot_name"),
        user=params.get("user"),
    )


def missing_segment(lines: t.Sequence[str]) -> str | None:
    """The segment that the upstream had removed, if the last failure in the log tells that."""
    match = _MISSING.search(last_words(lines) or "")
    return match.group("name") if match else None


def answers(module: AnsibleModule, pgdata: str, name: str) -> bool:
    """Whether the server of this directory has a connection of this application name."""
    try:
        connection = connect_to(module, pgdata)
    except DatabaseError:
        return False
    try:
        sql = "SELECT count(*) AS number FROM pg_stat_activity WHERE application_name = %s"
        return bool(query(connection, sql, [name])[0]["number"])
    finally:
        connection.close()


# Whom to follow


def follow_settings(pgdata: str, pg_version: int) -> dict[str, str]:
    """Settings of recovery in the files of the directory."""
    if pg_version >= 12:
        return auto_conf_settings(pgdata)
    return parse_settings(read_text(os.path.join(pgdata, "recovery.conf")) or "")


def is_right(local: Local, wanted: Wanted) -> bool:
    """Whether the files say whom to follow as wanted, and a server that can read them anew has done so."""
    return configured(local, wanted) and (not local.connected or local.pg_version < 13 or in_force(local, wanted))


def read_since_start(pgdata: str) -> bool:
    """Whether ``recovery.conf`` is older than the server that runs, which reads it at its start only."""
    try:
        changed = os.stat(os.path.join(pgdata, "recovery.conf")).st_mtime
        return changed <= os.stat(os.path.join(pgdata, "postmaster.pid")).st_mtime
    except OSError:
        return True


def repoint(module: AnsibleModule, pgdata: str, local: Local, wanted: Wanted) -> None:
    """Write whom to follow, and let a running server read it. Raises DatabaseError and ClusterError."""
    values = {"primary_conninfo": wanted.conninfo, "primary_slot_name": wanted.slot}
    if not local.connected or local.pg_version < 12:
        name = "postgresql.auto.conf" if local.pg_version >= 12 else "recovery.conf"
        _rewrite(os.path.join(pgdata, name), values)
        server = own_server(pgdata)
        if server and server.alive:  # it takes no connections yet
            os.kill(server.pid, signal.SIGHUP)
        return
    connection = connect_to(module, pgdata)
    try:
        keep_quiet(connection)
        with _muted(connection, pgdata, any(wanted.upstream.get(name) for name in SECRETS)):
            for name, value in values.items():
                _alter_system(connection, name, value)
            reload_server(connection)
    finally:
        connection.close()


@contextlib.contextmanager
def _muted(connection: t.Any, pgdata: str, needed: bool) -> t.Iterator[None]:
    """Keep the server from logging "parameter primary_conninfo changed to ..." with the password in it.

    A setting that stands before it in ``postgresql.auto.conf`` is in force when that message is due.
    """
    row = settings(connection, ["log_min_messages"])["log_min_messages"]
    if not needed or row["setting"] in ("fatal", "panic"):
        yield
        return
    if row["source"] == "command line":
        raise DatabaseError(
            "The server would write the password to its log, because log_min_messages stands on its command line. Put "
            "the password into a file and name that in upstream.passfile."
        )
    before = auto_conf_settings(pgdata).get("log_min_messages")
    try:
        _alter_system(connection, "log_min_messages", _MUTE)
        yield
    finally:
        _unmute(connection, before)


def is_muted(pgdata: str) -> bool:
    """Whether an interrupted run of this module has left the server muted."""
    return auto_conf_settings(pgdata).get("log_min_messages") == _MUTE


def unmute(module: AnsibleModule, pgdata: str) -> None:
    """Let the server log again. Raises DatabaseError."""
    connection = connect_to(module, pgdata)
    try:
        _unmute(connection, None)
    finally:
        connection.close()


def _unmute(connection: t.Any, before: str | None) -> None:
    _alter_system(connection, "log_min_messages", None if before == _MUTE else before)
    reload_server(connection)


def _alter_system(connection: t.Any, name: str, value: str | None) -> None:
    """As ``_sql.alter_system``, but the value is an argument, so that no message of ours shows it."""
    if value is None:
        query(connection, f"ALTER SYSTEM RESET {name}")
    else:
        query(connection, f"ALTER SYSTEM SET {name} TO %s", [value])


def with_settings(text: str, values: t.Mapping[str, str]) -> str:
    """The text of a configuration file in which these settings stand once; an empty value takes one out.

    >>> with_settings("a = 1\\nb = 2\\n", {"a": "x y", "b": ""})
    "a = 'x y'\\n"
    """
    lines = [line for line in text.split("\n") if not set(parse_settings(line)) & set(values)]
    kept = "\n".join(lines).rstrip("\n")
    added = "".join(f"{name} = {quoted(value)}\n" for name, value in values.items() if value)
    return (f"{kept}\n" if kept else "") + added


def _rewrite(path: str, values: t.Mapping[str, str]) -> None:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            text, status = file.read(), os.fstat(file.fileno())
        temporary = f"{path}.tmp"  # the name ALTER SYSTEM uses too, so no backup ever has it
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(with_settings(text, values))
            file.flush()
            if os.geteuid() == 0:
                os.fchown(file.fileno(), status.st_uid, status.st_gid)
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_directory(os.path.dirname(path))
    except OSError as error:
        raise ClusterError(f"{path} cannot be written: {error.strerror}. Run the task as its owner.") from None
