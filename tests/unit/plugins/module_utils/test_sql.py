# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""SQL without a server: what is asked of psycopg2, and what its errors become."""

from __future__ import annotations

import types
import typing as t

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils import _sql

PARAMS = {
    "login_host": "/run/pg",
    "login_port": 5433,
    "login_user": None,
    "login_password": "s3cret",
    "login_db": "app",
}


class Error(Exception):
    """psycopg2.Error"""


class Composed:
    """A statement of psycopg2.sql"""

    def __init__(self, text: str) -> None:
        self.text = text

    def format(self, *parts: Composed) -> Composed:
        return Composed(self.text.format(*(part.text for part in parts)))

    def as_string(self, connection: t.Any) -> str:
        return self.text


class Cursor:
    """A cursor with a scripted answer, which keeps what it is asked."""

    def __init__(self, rows: list[dict[str, t.Any]] | None, error: Error | None = None) -> None:
        self.rows, self.error = rows, error
        self.asked: list[tuple[t.Any, t.Any]] = []
        self.description = None if rows is None else ["name"]

    def __enter__(self) -> Cursor:
        return self

    def __exit__(self, *args: t.Any) -> None:
        return None

    def execute(self, statement: t.Any, args: t.Any) -> None:
        self.asked.append((getattr(statement, "text", statement), args))
        if self.error:
            raise self.error

    def fetchall(self) -> list[dict[str, t.Any]]:
        return self.rows or []


def connection(cursor: Cursor) -> t.Any:
    return types.SimpleNamespace(cursor=lambda cursor_factory: cursor)


@pytest.fixture(name="psycopg2", autouse=True)
def psycopg2_fixture(monkeypatch: pytest.MonkeyPatch) -> t.Any:
    """A psycopg2 whose connect() may be given to it."""
    fake = types.SimpleNamespace(
        Error=Error,
        OperationalError=Error,
        extras=types.SimpleNamespace(RealDictCursor=dict),
        sql=types.SimpleNamespace(
            SQL=Composed,
            Identifier=lambda name: Composed(f'"{name}"'),
            Literal=lambda value: Composed(f"'{value}'"),
        ),
    )
    monkeypatch.setattr(_sql, "psycopg2", fake, raising=False)
    monkeypatch.setattr(_sql, "HAS_PSYCOPG2", True)
    return fake


def module(**params: t.Any) -> t.Any:
    return types.SimpleNamespace(params={**PARAMS, **params})


def test_connect_passes_on_what_is_given(psycopg2: t.Any) -> None:
    given: dict[str, t.Any] = {}

    def connect(**options: t.Any) -> t.Any:
        given.update(options)
        return types.SimpleNamespace(autocommit=False)

    psycopg2.connect = connect
    assert _sql.connect(module()).autocommit is True
    assert given == {
        "host": "/run/pg",
        "port": 5433,
        "password": "s3cret",
        "dbname": "app",
        "connect_timeout": 10,
        "application_name": "pgops.pgbackrest",
    }


@pytest.mark.parametrize(
    ("host", "where"), [("/run/pg", "/run/pg, port 5433"), (None, "the default socket, port 5433")]
)
def test_connect_fails_with_a_sentence(psycopg2: t.Any, host: str | None, where: str) -> None:
    def connect(**options: t.Any) -> t.Any:
        raise Error("connection refused\n\tIs the server running?\n")

    psycopg2.connect = connect
    with pytest.raises(_sql.DatabaseError) as caught:
        _sql.connect(module(login_host=host))
    message = str(caught.value)
    assert message.startswith(f"PostgreSQL cannot be reached on {where}: connection refused Is the server running? ")
    assert "login_host" in message and "s3cret" not in message


def test_psycopg2_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sql, "HAS_PSYCOPG2", False)
    with pytest.raises(_sql.DatabaseError, match="psycopg2.*python3-psycopg2"):
        _sql.connect(module())


def test_query() -> None:
    cursor = Cursor([{"a": 1}])
    assert _sql.query(connection(cursor), "SELECT %s AS a", [1]) == [{"a": 1}]
    assert cursor.asked == [("SELECT %s AS a", [1])]
    assert _sql.query(connection(Cursor(None)), "CHECKPOINT") == []


@pytest.mark.parametrize("statement", ["SELECT 1/0", Composed("SELECT 1/0")])
def test_query_fails_with_a_sentence(statement: t.Any) -> None:
    cursor = Cursor(None, Error("division\nby zero\n"))
    with pytest.raises(_sql.DatabaseError, match="^PostgreSQL refused «SELECT 1/0»: division by zero.$"):
        _sql.query(connection(cursor), statement)


def test_settings() -> None:
    rows = [{"name": "archive_mode", "setting": "off"}, {"name": "wal_level", "setting": "replica"}]
    cursor = Cursor(rows)
    found = _sql.settings(connection(cursor), ("archive_mode", "wal_level"))
    assert found == {"archive_mode": rows[0], "wal_level": rows[1]}
    assert cursor.asked[0][1] == [["archive_mode", "wal_level"]]


def test_alter_system() -> None:
    cursor = Cursor(None)
    _sql.alter_system(connection(cursor), "archive_mode", "on")
    _sql.alter_system(connection(cursor), "archive_mode", None)
    assert [statement for statement, dummy in cursor.asked] == [
        "ALTER SYSTEM SET \"archive_mode\" TO 'on'",
        'ALTER SYSTEM RESET "archive_mode"',
    ]
