# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an upstream says, and why it refuses."""

from __future__ import annotations

import types
import typing as t

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils import _upstream
from ansible_collections.pgops.pgbackrest.plugins.module_utils._problem import PlanError
from ansible_collections.pgops.pgbackrest.plugins.module_utils._sql import DatabaseError
from ansible_collections.pgops.pgbackrest.plugins.module_utils._standby import Upstream
from ansible_collections.pgops.pgbackrest.plugins.module_utils._wal import HistoryEntry

PARAMS = {"host": "db1", "port": 5433, "user": "replicator", "password": "s3cret", "sslmode": None}


class Refused(Exception):
    """Stands for psycopg2.Error."""


class Cursor:
    """Answers of a server to the commands of replication."""

    def __init__(self, answers: dict[str, t.Any]) -> None:
        self.answers, self.last = answers, ""

    def __enter__(self) -> Cursor:
        return self

    def __exit__(self, *dummy: object) -> None:
        pass

    def execute(self, command: str) -> None:
        self.last = command

    def fetchone(self) -> t.Any:
        return self.answers.pop(self.last)


@pytest.fixture(name="psycopg2")
def psycopg2_fixture(monkeypatch: pytest.MonkeyPatch) -> t.Any:
    """A psycopg2 of which only what is used is there."""
    extensions = types.SimpleNamespace(new_type=lambda *dummy: None, register_type=lambda *dummy: None)
    factory = types.SimpleNamespace(PhysicalReplicationConnection="physical")
    fake = types.SimpleNamespace(Error=Refused, extensions=extensions, extras=factory)
    monkeypatch.setattr(_upstream, "psycopg2", fake, raising=False)
    monkeypatch.setattr(_upstream, "HAS_PSYCOPG2", True)
    return fake


def server(answers: dict[str, t.Any], version: int = 150000) -> t.Any:
    return types.SimpleNamespace(cursor=lambda: Cursor(answers), server_version=version)


def test_read(psycopg2: t.Any) -> None:
    answers = {
        "IDENTIFY_SYSTEM": ("42", 2, "0/5000148", None),
        "SHOW in_hot_standby": ("off",),
        "TIMELINE_HISTORY 2": ("00000002.history", "1\t0/3000000\tno recovery target specified\n"),
    }
    found = _upstream.read(server(answers))
    assert found == Upstream("42", 2, 0x5000148, False, [HistoryEntry(1, 0x3000000, "no recovery target specified")])
    assert not answers


def test_read_before_postgresql_14_on_the_first_timeline(psycopg2: t.Any) -> None:
    answers = {"IDENTIFY_SYSTEM": ("42", 1, "0/5000148", None), "SHOW transaction_read_only": ("on",)}
    assert _upstream.read(server(answers, 130000)) == Upstream("42", 1, 0x5000148, True, [])
    assert not answers


def test_open_connection(psycopg2: t.Any) -> None:
    given: dict[str, t.Any] = {}
    psycopg2.connect = lambda **options: given.update(options)
    _upstream.open_connection({**PARAMS, "application_name": "db2"}, "pgops-1")
    assert given == {
        "connection_factory": "physical",
        "connect_timeout": 10,
        "application_name": "pgops-1",
        "host": "db1",
        "port": 5433,
        "user": "replicator",
        "password": "s3cret",
    }


def test_without_psycopg2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_upstream, "HAS_PSYCOPG2", False)
    with pytest.raises(DatabaseError, match="psycopg2"):
        _upstream.open_connection(PARAMS, "x")


# Texts of PostgreSQL 15 and of libpq.
@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('FATAL:  password authentication failed for user "replicator"', "upstream_password"),
        ("fe_sendauth: no password supplied", "upstream_password"),
        (
            'FATAL:  no pg_hba.conf entry for replication connection from host "10.0.0.2", user "x", no encryption',
            "upstream_pg_hba",
        ),
        ('FATAL:  pg_hba.conf rejects replication connection for host "10.0.0.2", user "x"', "upstream_pg_hba"),
        ('FATAL:  role "x" does not exist', "upstream_role"),
        ("FATAL:  must be superuser or replication role to start walsender", "upstream_role"),
        ("FATAL:  permission denied to start WAL sender", "upstream_role"),
        ('FATAL:  role "x" is not permitted to log in', "upstream_role"),
        (
            "FATAL:  number of requested standby connections exceeds max_wal_senders (currently 0)",
            "upstream_not_streaming",
        ),
        ("FATAL:  the database system is starting up", "upstream_not_streaming"),
        ("FATAL:  sorry, too many clients already", "upstream_not_streaming"),
        ("server does not support SSL, but SSL was required", "upstream_ssl"),
        ("SSL error: certificate verify failed", "upstream_ssl"),
        ('root certificate file "/var/lib/postgresql/.postgresql/root.crt" does not exist', "upstream_ssl"),
        (
            'connection to server at "10.0.0.1", port 5432 failed: Connection refused\n\tIs the server running?',
            "upstream_unreachable",
        ),
        ("timeout expired", "upstream_unreachable"),
        ('could not translate host name "db1" to address: Name or service not known', "upstream_unreachable"),
        ("FATAL:  Passwort-Authentifizierung fehlgeschlagen", "upstream_refused"),
    ],
)
def test_refusal(psycopg2: t.Any, text: str, code: str) -> None:
    def connect(**dummy: t.Any) -> t.Any:
        raise Refused(text)

    psycopg2.connect = connect
    with pytest.raises(PlanError) as caught:
        _upstream.open_connection(PARAMS, "x")
    problem = caught.value.problems[0]
    assert problem.code == code and problem.hint
    assert problem.sentence.startswith("db1, port 5433 as replicator says: ") and "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("attempts", "code", "said"),
    [
        (["FATAL:  no pg_hba.conf entry, SSL", "FATAL:  no pg_hba.conf entry, none"], "upstream_pg_hba", "entry, none"),
        (
            ["Connection refused\n\tIs it running?", "FATAL:  password authentication failed"],
            "upstream_password",
            "failed",
        ),
        (
            ["FATAL:  password authentication failed", "Connection refused"],
            "upstream_password",
            "authentication failed",
        ),
        (["Verbindung abgelehnt"], "upstream_refused", "Verbindung abgelehnt"),
    ],
)
def test_of_several_attempts_the_telling_one_is_told(attempts: list[str], code: str, said: str) -> None:
    text = "\n".join(f'connection to server at "db1" (10.0.0.1), port 5433 failed: {attempt}' for attempt in attempts)
    problem = _upstream.refusal(PARAMS, Refused(text))
    assert problem.code == code and problem.sentence.count("says") == 1
    assert problem.sentence.endswith(f"{said}.") and "connection to server" not in problem.sentence
    assert _upstream.refusal(PARAMS, Refused("")).code == "upstream_refused"


def test_other_cluster() -> None:
    found = Upstream("42", 1, 0)
    assert _upstream.other_cluster(PARAMS, found, None) is _upstream.other_cluster(PARAMS, found, "42") is None
    problem = _upstream.other_cluster(PARAMS, found, "43")
    assert problem and problem.code == "upstream_other_cluster" and "is 42, not 43" in problem.sentence


def test_names_of_connections_differ() -> None:
    assert len({_upstream.connection_name() for dummy in range(10)}) == 10
