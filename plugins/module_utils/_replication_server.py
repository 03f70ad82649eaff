# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Role, access and slots of standbys on a running server: read and written. Private to the collection."""

from __future__ import annotations

import os
import socket
import tempfile
import time
import typing as t

from . import _hba as hba
from ._problem import PlanError, Problem
from ._replication import LEAST, Role, Server, Slot, Work, standby_settings
from ._scram import verifier
from ._server_watch import TIMELINE
from ._sql import DatabaseError, query

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

HEADING = "Standbys cannot replicate from this server"
_LOGIN = "SELECT current_user AS role, current_setting('is_superuser') = 'on' AS superuser"
_SETTINGS = (
    "SELECT name, current_setting(name) AS value, source, sourcefile FROM pg_settings "
    "WHERE source = 'configuration file' OR name = ANY(%s)"
)
_NEEDED = ("wal_level", "max_wal_senders", "max_replication_slots", "listen_addresses", "hba_file", "port")
_IDENTITY = f"""
SELECT system_identifier, pg_is_in_recovery() AS in_recovery,
  {TIMELINE} AS timeline
FROM pg_control_system()
"""
_ROLE = """
SELECT rolcanlogin, rolreplication OR rolsuper AS replication, rolpassword,
  CASE WHEN isfinite(rolvaliduntil) THEN rolvaliduntil END AS valid_until,
  ARRAY(SELECT g.rolname::text FROM pg_roles g WHERE pg_has_role(a.oid, g.oid, 'member')) AS groups
FROM pg_authid a WHERE rolname = %s
"""
_SLOTS = """
SELECT s.slot_name::text AS name, s.slot_type = 'physical' AS physical, s.active, s.restart_lsn::text AS restart_lsn,
  to_jsonb(s) ->> 'wal_status' AS wal_status,
  greatest(0, pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
    ELSE pg_current_wal_lsn() END, s.restart_lsn))::bigint AS kept
FROM pg_replication_slots s ORDER BY 1
"""
_RULES = (
    "SELECT line_number, type, database, user_name, address, netmask, auth_method, error FROM pg_hba_file_rules "
    "ORDER BY line_number"
)
# With these nothing of a statement comes into a log or into pg_stat_statements.
_QUIET = (
    ("log_statement", "none"),
    ("log_min_duration_statement", "-1"),
    ("log_min_duration_sample", "-1"),
    ("log_transaction_sample_rate", "0"),
    ("log_min_error_statement", "panic"),
    ("pgaudit.log", "none"),
    ("pg_stat_statements.track", "none"),
)
_RELOAD_TIMEOUT = 10.0  # seconds


def identity(connection: t.Any) -> dict[str, t.Any]:
    """``system_identifier``, ``in_recovery``, ``timeline``. Raises PlanError unless for a superuser."""
    login = query(connection, _LOGIN)[0]
    if not login["superuser"]:
        problem = Problem(
            "superuser",
            f"The role {login['role']} is no superuser and may not see or change what standbys need.",
            "Use login_user, or run the task as the owner of the cluster (become_user).",
        )
        raise PlanError([problem], HEADING)
    return query(connection, _IDENTITY)[0]


def read(connection: t.Any, user: str, in_recovery: bool) -> tuple[Server, dict[str, str]]:
    """The server as it is, and the settings that a standby should have as well."""
    rows = query(connection, _SETTINGS, [[*_NEEDED, *LEAST]])
    values = {row["name"]: row["value"] for row in rows}
    rules = hba.rules_of(query(connection, _RULES))
    return Server(in_recovery, values, _role(connection, user), slots(connection), rules), standby_settings(rows)


def _role(connection: t.Any, user: str) -> Role:
    rows = query(connection, _ROLE, [user])
    if not rows:
        return Role()
    row = rows[0]
    return Role(
        exists=True,
        login=row["rolcanlogin"],
        replication=row["replication"],
        verifier=row["rolpassword"],
        valid_until=row["valid_until"],
        groups=tuple(row["groups"]),
    )


def slots(connection: t.Any) -> list[Slot]:
    """The replication slots."""
    return [Slot(**row) for row in query(connection, _SLOTS)]


def resolve(addresses: t.Sequence[str]) -> list[str]:
    """IP addresses and networks in place of names, because PostgreSQL compares names with what DNS says backwards.

    Raises PlanError for names that this host does not know.
    """
    found: list[str] = []
    unknown = []
    for address in addresses:
        if hba.as_network(address) or address.startswith(".") or address in hba.KEYWORDS:
            found.append(address)
            continue
        try:
            entries = socket.getaddrinfo(address, None, type=socket.SOCK_STREAM)
        except OSError as error:
            unknown.append((address, error.strerror or str(error)))
            continue
        found += sorted({str(entry[4][0]).partition("%")[0] for entry in entries})
    if unknown:
        problems = [
            Problem(
                "address_unknown",
                f"This host does not know the address of {name}: {why}.",
                "Give the standby's IP address, or make the name known here.",
            )
            for name, why in unknown
        ]
        raise PlanError(problems, HEADING)
    return list(dict.fromkeys(found))


def keep_quiet(connection: t.Any) -> None:
    """Let nothing that this connection says come into a log of the server. Raises DatabaseError."""
    sql = "SELECT set_config(%s, %s, false) WHERE position('.' in %s) > 0 OR current_setting(%s, true) IS NOT NULL"
    for name, value in _QUIET:
        query(connection, sql, [name, value, name, name])


def write_role(connection: t.Any, todo: Work, user: str, password: str | None) -> None:
    """Create or correct the role. Raises DatabaseError."""
    if not (todo.create_role or todo.role_options or todo.set_password):
        return
    words = " ".join(todo.role_options) + (" PASSWORD %s" if todo.set_password else "")
    kept = [verifier(password or "", os.urandom(16))] if todo.set_password else None
    keep_quiet(connection)
    name = '"' + user.replace('"', '""') + '"'
    name = name.replace("%", "%%") if kept else name
    # The verifier is an argument, so that no message of ours shows it.
    query(connection, f"{'CREATE' if todo.create_role else 'ALTER'} ROLE {name} WITH {words}", kept)


def write_slots(connection: t.Any, todo: Work) -> None:
    """Drop and create slots. Raises DatabaseError."""
    for name in todo.drop:
        query(connection, "SELECT pg_drop_replication_slot(%s)", [name])
    for name in todo.create:
        query(connection, "SELECT pg_create_physical_replication_slot(%s)", [name])


def write_hba(module: AnsibleModule, connection: t.Any, path: str, todo: Work) -> None:
    """Add the lines, and let the server read the file once it has found nothing wrong in it. Raises DatabaseError."""
    if not todo.lines:
        return
    old = _read_file(path)
    _replace_file(module, path, hba.added(old, todo.lines))
    wrong = next((rule for rule in hba.rules_of(query(connection, _RULES)) if rule.error), None)
    if wrong:
        _replace_file(module, path, old)
        raise DatabaseError(
            f"PostgreSQL does not accept line {wrong.line} of {path}: {wrong.error}. The file was put back as it was."
        )
    reload_server(connection)


def reload_server(connection: t.Any) -> None:
    """Let the server read its files, and wait until it has. Raises DatabaseError."""
    before = query(connection, "SELECT pg_conf_load_time() AS time, pg_reload_conf()")[0]["time"]
    deadline = time.monotonic() + _RELOAD_TIMEOUT
    while query(connection, "SELECT pg_conf_load_time() AS time")[0]["time"] == before:
        if time.monotonic() > deadline:
            raise DatabaseError("PostgreSQL was told to read its files again, but has not done so. Its log says why.")
        time.sleep(0.05)


def _read_file(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError as error:
        raise DatabaseError(f"{path} cannot be read: {error.strerror}. Run the task as its owner.") from None


def _replace_file(module: AnsibleModule, path: str, text: str) -> None:
    """Owner and mode stay as they are."""
    if not os.access(os.path.dirname(os.path.realpath(path)), os.W_OK):
        raise DatabaseError(f"The directory of {path} is not writable for this user. Run the task as its owner.")
    handle, temporary = tempfile.mkstemp(dir=module.tmpdir)
    with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
    module.atomic_move(temporary, os.path.realpath(path))
