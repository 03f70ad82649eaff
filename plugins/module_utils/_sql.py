# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""SQL on PostgreSQL through psycopg2. Private to the collection."""

from __future__ import annotations

import os
import typing as t

from ansible.module_utils.basic import missing_required_lib

try:
    import psycopg2
    import psycopg2.extras
    import psycopg2.sql

    HAS_PSYCOPG2 = True
except ImportError:
    HAS_PSYCOPG2 = False

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

LOGIN_ARGUMENTS: dict[str, dict[str, t.Any]] = {
    "login_host": {"type": "str"},
    "login_port": {"type": "int", "default": 5432},
    "login_user": {"type": "str"},
    "login_password": {"type": "str", "no_log": True},
    "login_db": {"type": "str", "default": "postgres"},
}
_CONNECT_TIMEOUT = 10  # seconds


class DatabaseError(Exception):
    """PostgreSQL refused a connection or a statement; the text says what, where and what to do next."""


def connect(module: AnsibleModule) -> t.Any:
    """A psycopg2 connection in autocommit mode, made from the module's ``login_*`` options. Raises DatabaseError."""
    if not HAS_PSYCOPG2:
        raise DatabaseError(f"{missing_required_lib('psycopg2').rstrip('.')}. Debian's package is python3-psycopg2.")
    params = module.params
    wanted = {
        "host": params["login_host"],
        "port": params["login_port"],
        "user": params["login_user"],
        "password": params["login_password"],
        "dbname": params["login_db"],
    }
    given = {key: value for key, value in wanted.items() if value is not None}
    try:
        connection = psycopg2.connect(connect_timeout=_CONNECT_TIMEOUT, application_name="pgops.pgbackrest", **given)
    except psycopg2.OperationalError as error:
        where = f"{params['login_host'] or 'the default socket'}, port {params['login_port']}"
        advice = _advice_for_root(params)
        raise DatabaseError(
            f"PostgreSQL cannot be reached on {where}: {_sentence(error)} Check that it runs, and the options "
            f"login_host (host or socket directory), login_port, login_user and login_password.{advice}"
        ) from None
    connection.autocommit = True
    return connection


def _advice_for_root(params: t.Mapping[str, t.Any]) -> str:
    if os.geteuid() != 0 or params["login_user"]:
        return ""
    return " This task runs as root: add become: true and become_user: postgres to it."


def query(connection: t.Any, sql: t.Any, args: t.Sequence[t.Any] | None = None) -> list[dict[str, t.Any]]:
    """Rows of a statement (text or ``psycopg2.sql``) as dictionaries; [] when it returns none. Raises DatabaseError."""
    try:
        with connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
            cursor.execute(sql, args)
            return [dict(row) for row in cursor.fetchall()] if cursor.description else []
    except psycopg2.Error as error:
        text = sql if isinstance(sql, str) else sql.as_string(connection)
        raise DatabaseError(f"PostgreSQL refused «{text}»: {_sentence(error)}") from None


def settings(connection: t.Any, names: t.Sequence[str]) -> dict[str, dict[str, t.Any]]:
    """Rows of ``pg_settings`` by name: setting, boot_val, pending_restart, source, sourcefile, sourceline, context."""
    sql = (
        "SELECT name, setting, boot_val, pending_restart, source, sourcefile, sourceline, context FROM pg_settings "
        "WHERE name = ANY(%s)"
    )
    return {row["name"]: row for row in query(connection, sql, [list(names)])}


def alter_system(connection: t.Any, name: str, value: str | None) -> None:
    """Write a setting to ``postgresql.auto.conf``, or with None take it out of there. Raises DatabaseError."""
    name_word = psycopg2.sql.Identifier(name)
    if value is None:
        query(connection, psycopg2.sql.SQL("ALTER SYSTEM RESET {}").format(name_word))
        return
    statement = psycopg2.sql.SQL("ALTER SYSTEM SET {} TO {}")
    query(connection, statement.format(name_word, psycopg2.sql.Literal(value)))


def _sentence(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if text.endswith((".", "?", "!")) else f"{text}."
