# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The server that a standby shall follow, asked as a standby asks it. Reads only. Private to the collection.

Source: PostgreSQL documentation, "Streaming Replication Protocol".
"""

from __future__ import annotations

import os
import re
import typing as t

from ansible.module_utils.basic import missing_required_lib

from ._conninfo import address
from ._problem import PlanError, Problem
from ._sql import HAS_PSYCOPG2, DatabaseError
from ._standby import Upstream
from ._wal import HistoryEntry, parse_history, parse_lsn

try:
    import psycopg2
    import psycopg2.extensions
    import psycopg2.extras
except ImportError:
    pass  # _sql.HAS_PSYCOPG2 says so

HEADING = "The upstream cannot be followed"
_CONNECT_TIMEOUT = 10  # seconds
_ATTEMPT = re.compile(r"connection to server (?:at|on socket) \"[^\"]*\"(?: \([^)]*\))?(?:, port \d+)? failed: ")
_BYTEA = 17  # type of a history file; psycopg2 would take a backslash in it for an escape
# A refused connection has no SQLSTATE in psycopg2, so words must do. Another language gives the last code.
_REFUSALS: t.Sequence[tuple[str, str, str]] = (
    (
        "upstream_password",
        r"password authentication failed|no password supplied|authentication failed for user|client certificate",
        "Give the password that the role has there, or let the module pgops.pgbackrest.replication set it "
        "(create_user: true).",
    ),
    (
        "upstream_pg_hba",
        r"no pg_hba\.conf entry|pg_hba\.conf rejects",
        "Let this host in by a line of its pg_hba.conf for replication. The module pgops.pgbackrest.replication writes "
        "it with the option addresses.",
    ),
    (
        "upstream_role",
        r"role .* does not exist|not permitted to log in|replication role|permission denied to start WAL sender",
        "Make a role with LOGIN and REPLICATION there. The module pgops.pgbackrest.replication does so with "
        "create_user: true.",
    ),
    (
        "upstream_not_streaming",
        r"max_wal_senders|too many clients|connection slots are reserved|database system is|cannot execute|"
        r"wal_level",
        "Wait until it has started, or raise max_wal_senders, and run this again.",
    ),
    (
        "upstream_ssl",
        r"\bSSL\b|certificate|\bTLS\b",
        "Correct sslmode, sslrootcert and the like, or the certificate of the server.",
    ),
    (
        "upstream_unreachable",
        r"Connection refused|timed? ?out|timeout expired|could not translate|could not connect|No route|unreachable|"
        r"Name or service|No such file|closed the connection",
        "Check that it runs, that it listens to this host (listen_addresses), and that no firewall is between them.",
    ),
)


def errors() -> tuple[type[Exception], ...]:
    """What ``read`` raises when the upstream does not answer as it should."""
    return (psycopg2.Error,) if HAS_PSYCOPG2 else ()


def open_connection(params: t.Mapping[str, t.Any], name: str) -> t.Any:
    """A connection for replication, as a standby opens it. Raises PlanError, and DatabaseError without psycopg2.

    ``name`` is its application name.
    """
    if not HAS_PSYCOPG2:
        raise DatabaseError(f"{missing_required_lib('psycopg2').rstrip('.')}. Debian's package is python3-psycopg2.")
    given = {key: value for key, value in params.items() if value is not None and value != ""}
    factory = psycopg2.extras.PhysicalReplicationConnection
    settings = {"connect_timeout": _CONNECT_TIMEOUT, **given, "application_name": name}
    try:
        return psycopg2.connect(connection_factory=factory, **settings)
    except psycopg2.Error as error:
        raise PlanError([refusal(params, error)], HEADING) from None


def read(connection: t.Any) -> Upstream:
    """The answers to IDENTIFY_SYSTEM and TIMELINE_HISTORY."""
    psycopg2.extensions.register_type(
        psycopg2.extensions.new_type((_BYTEA,), "HISTORY", lambda value, dummy: value), connection
    )
    with connection.cursor() as cursor:
        cursor.execute("IDENTIFY_SYSTEM")
        identifier, timeline, lsn = cursor.fetchone()[:3]
        setting = "in_hot_standby" if connection.server_version >= 140000 else "transaction_read_only"
        cursor.execute(f"SHOW {setting}")
        in_recovery = cursor.fetchone()[0] == "on"
        return Upstream(str(identifier), int(timeline), parse_lsn(lsn), in_recovery, _history(cursor, int(timeline)))


def _history(cursor: t.Any, timeline: int) -> list[HistoryEntry]:
    if timeline == 1:
        return []  # has no history file
    cursor.execute(f"TIMELINE_HISTORY {timeline}")
    return parse_history(str(cursor.fetchone()[1]))


def refusal(params: t.Mapping[str, t.Any], error: Exception) -> Problem:
    """Why the upstream does not let this host replicate."""
    attempts = _attempts(str(error))
    code, text, hint = "upstream_refused", attempts[-1], "Look at the log of the upstream."
    for candidate, pattern, advice in _REFUSALS:
        found = [attempt for attempt in attempts if re.search(pattern, attempt, re.IGNORECASE)]
        if found:
            code, text, hint = candidate, found[-1], advice
            break
    user = f" as {params['user']}" if params.get("user") else ""
    return Problem(code, f"{address(params)}{user} says: {text}.", hint)


def _attempts(text: str) -> list[str]:
    """What libpq says of each attempt: it tries all addresses of a name, and each without TLS as well."""
    parts = _ATTEMPT.split(" ".join(text.split()))
    return [part.strip().rstrip(".") for part in parts if part.strip()] or ["no reason"]


def other_cluster(params: t.Mapping[str, t.Any], found: Upstream, wanted: str | None) -> Problem | None:
    """Whether the upstream belongs to another cluster than the wanted one."""
    if not wanted or found.system_identifier == wanted:
        return None
    return Problem(
        "upstream_other_cluster",
        f"The server on {address(params)} is another cluster: its system identifier is {found.system_identifier}, not "
        f"{wanted}.",
        "Correct host and port of the upstream.",
    )


def connection_name() -> str:
    """An application name by which a server tells our connection from all others."""
    return f"pgops-{os.urandom(8).hex()}"
