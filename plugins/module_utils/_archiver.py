# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How PostgreSQL's archiver does: read from the server, and judged. Private to the collection."""

from __future__ import annotations

import glob
import os
import typing as t

from ._archive_command import Program, judge
from ._archiving import NAMES, normalise
from ._backup import format_age
from ._cluster import ClusterError, read_text
from ._messages import error_from, parse_messages
from ._plan import human_size
from ._sql import query, settings

_DEFAULT_LOG_PATH = "/var/log/pgbackrest"
_DEFAULT_SPOOL_PATH = "/var/spool/pgbackrest"
_SERVER = (
    "SELECT pg_is_in_recovery() AS in_recovery, current_setting('data_directory') AS data_directory, "
    "(SELECT system_identifier FROM pg_control_system())::text AS system_identifier, "
    "(SELECT timeline_id FROM pg_control_checkpoint()) AS timeline, "
    "CASE WHEN NOT pg_is_in_recovery() THEN pg_walfile_name(pg_current_wal_lsn()) END AS current_wal, "
    "pg_size_bytes(current_setting('wal_segment_size')) AS segment_size, extract(epoch FROM now())::bigint AS now"
)
_ARCHIVER = (
    "SELECT archived_count, last_archived_wal, extract(epoch FROM last_archived_time)::bigint AS last_archived_time, "
    "failed_count, last_failed_wal, extract(epoch FROM last_failed_time)::bigint AS last_failed_time, "
    "coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false) AS failing FROM pg_stat_archiver"
)
_WAITING = (
    "SELECT count(*)::int AS waiting, count(*) FILTER (WHERE length(name) = 30)::int AS segments, "
    r"extract(epoch FROM min(modification))::bigint AS since FROM {files} WHERE name ~ '\.ready$'"
)
_FILES = "pg_ls_archive_statusdir()"
_FILES_BEFORE_12 = (
    "(SELECT name, (pg_stat_file('pg_wal/archive_status/' || name, true)).modification "
    "FROM pg_ls_dir('pg_wal/archive_status') AS name) AS files"
)


def read(connection: t.Any) -> dict[str, t.Any]:
    """The state of the server's archiving, in the words of the module's result. Raises DatabaseError."""
    server = query(connection, _SERVER)[0]
    archiver = query(connection, _ARCHIVER)[0]
    files = _FILES if connection.server_version >= 120000 else _FILES_BEFORE_12
    waiting = query(connection, _WAITING.format(files=files))[0]
    rows, now = settings(connection, NAMES), server["now"]
    in_force = {name: normalise(name, row["setting"] or "") for name, row in sorted(rows.items())}
    if in_force["archive_mode"] == "off":
        in_force["archive_command"] = ""  # the server shows "(disabled)"
    timeline = int(server["current_wal"][:8], 16) if server["current_wal"] else server["timeline"]
    return {
        "in_recovery": server["in_recovery"],
        "data_directory": server["data_directory"],
        "system_identifier": server["system_identifier"],
        "timeline": timeline,
        "current_wal": server["current_wal"],
        "settings": in_force,
        "pending_restart": sorted(name for name, row in rows.items() if row["pending_restart"]),
        "archiver": {
            **archiver,
            "last_archived_age": _age(now, archiver["last_archived_time"]),
            "last_failed_age": _age(now, archiver["last_failed_time"]),
        },
        "waiting": waiting["waiting"],
        "waiting_bytes": waiting["segments"] * server["segment_size"],
        "oldest_waiting_age": _age(now, waiting["since"]),
    }


def _age(now: int, then: int | None) -> int | None:
    return None if then is None else max(0, now - then)


def settings_problem(state: t.Mapping[str, t.Any], program: Program) -> str:
    """A sentence when the settings in force do not push the WAL to the stanza, else ""."""
    found = state["settings"]
    step = f"Let it archive to the stanza {program.stanza} with the module pgops.pgbackrest.archiving."
    result = "this standby will archive nothing when it is promoted" if state["in_recovery"] else "nothing is archived"
    if found["archive_mode"] == "off":
        waits = "archive_mode" in state["pending_restart"]
        return f"archive_mode is off, so {result}. {'It waits for a restart of PostgreSQL.' if waits else step}"
    if found.get("archive_library"):
        return f"archive_library is set to {found['archive_library']}, which archives in place of pgBackRest. {step}"
    verdict, reason = judge(found["archive_command"], program)
    if verdict == "none":
        return f"archive_command is empty, so {result}, and PostgreSQL keeps all WAL in pg_wal. {step}"
    if verdict == "dummy":
        return f"archive_command is «{found['archive_command']}», which throws the WAL away. {step}"
    if verdict == "foreign":
        return f"archive_command is «{found['archive_command']}»: {reason}, and not for the stanza. {step}"
    return ""


def waiting_problem(state: t.Mapping[str, t.Any], longest: int, why: str) -> str:
    """A sentence when WAL waits to be archived because it fails, or for longer than ``longest`` seconds, else "".

    ``why`` says why it fails, or where that can be read.
    """
    archiver, age = state["archiver"], state["oldest_waiting_age"] or 0
    mode = state["settings"]["archive_mode"]
    if mode == "off" or (state["in_recovery"] and mode != "always") or not state["waiting"]:
        return ""
    if not archiver["failing"] and age <= longest:
        return ""
    count = "1 WAL file waits" if state["waiting"] == 1 else f"{state['waiting']} WAL files wait"
    sentence = f"{count} to be archived ({human_size(state['waiting_bytes'])}), the oldest for {format_age(age)}."
    if not archiver["failing"]:
        return (
            f"{sentence} No try has failed since the last success, so archive_command hangs, or is too slow for the "
            "WAL that is written. With pgBackRest's archive-async it pushes several files at once."
        )
    when = format_age(archiver["last_failed_age"])
    return (
        f"{sentence} The last try failed {when} ago at {archiver['last_failed_wal']}. PostgreSQL goes on trying, and "
        f"keeps all WAL in pg_wal until it succeeds. {why}"
    )


def why_it_fails(options: t.Mapping[str, list[str]], stanza: str) -> str:
    """Why archive-push fails, or where that can be read. ``options`` are pgBackRest's for that command.

    Only when it works asynchronously it leaves a file for us: status, then message, in its spool.
    """
    if options.get("archive-async") != ["y"]:
        return "PostgreSQL's log says why."
    spool = (options.get("spool-path") or [_DEFAULT_SPOOL_PATH])[-1]
    for path in sorted(glob.glob(os.path.join(glob.escape(spool), "archive", stanza, "out", "*.error"))):
        code, dummy, message = (_text(path) or "").partition("\n")
        if code.isdigit() and message:
            messages = parse_messages(f"ERROR: [{code}]: {message}".replace("\n", "\n "))
            return str(error_from("archive-push", int(code), messages, "", stanza))
    log = os.path.join((options.get("log-path") or [_DEFAULT_LOG_PATH])[-1], f"{stanza}-archive-push-async.log")
    return f"{log} says why."


def _text(path: str) -> str | None:
    try:
        return read_text(path)
    except ClusterError:
        return None
