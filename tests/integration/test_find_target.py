# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module find_target on real archives: drops of every kind, what is not one, and the restore to before them."""

from __future__ import annotations

import shutil
import subprocess
import time
import typing as t

import pytest

Run = t.Callable[..., dict[str, t.Any]]
UTC_NOW = "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00:00')"
FILE = "SELECT pg_relation_filepath('{}')"


@pytest.fixture(name="started")
def started_fixture(cluster: t.Any) -> t.Any:
    """A cluster that archives, with a backup; prepared transactions are allowed."""
    cluster.configure(max_prepared_transactions="5", autovacuum="off")
    cluster.protect()
    cluster.sql("CREATE DATABASE app")
    cluster.backup()
    return cluster


def script(cluster: t.Any, text: str, database: str = "app") -> None:
    """Run statements one by one, as psql does from a file; those of a line are one transaction."""
    for line in filter(None, map(str.strip, text.splitlines())):
        cluster.sql(line, database)


def find(run: Run, cluster: t.Any, begin: str, **options: t.Any) -> dict[str, t.Any]:
    """Look from a moment until now, after all WAL was archived."""
    cluster.archive()
    result = run("find_target", {**cluster.common, "from": begin, **options})
    assert not result["failed"], result
    return result


def now(cluster: t.Any) -> str:
    return t.cast(str, cluster.sql(UTC_NOW)[0][0])


def test_drops_of_every_kind(run: Run, started: t.Any) -> None:
    begin = now(started)
    script(
        started,
        """
        CREATE TABLE plain (id int PRIMARY KEY, t text)
        CREATE SCHEMA s CREATE TABLE a (i int) CREATE TABLE b (i int)
        CREATE TABLE cleared (id int PRIMARY KEY)
        CREATE TABLE nested (i int)
        CREATE TABLE survivor (i int)
        CREATE TABLE prepared (i int)
        INSERT INTO cleared VALUES (1)
        """,
    )
    files = {name: started.sql(FILE.format(name), "app")[0][0] for name in ("plain", "cleared", "nested", "prepared")}
    script(
        started,
        """
        DROP TABLE plain
        DROP SCHEMA s CASCADE
        TRUNCATE cleared
        BEGIN; SAVEPOINT x; DROP TABLE nested; RELEASE x; SAVEPOINT y; DROP TABLE survivor; ROLLBACK TO y; COMMIT
        BEGIN; DROP TABLE prepared; PREPARE TRANSACTION 'p'
        COMMIT PREPARED 'p'
        """,
    )
    result = find(run, started, begin, names=True, **started.login)
    found = [(each["kind"], each["count"], each["database"]["name"]) for each in result["candidates"]]
    assert found == [
        ("drop", 4, "app"),
        ("drop", 2, "app"),
        ("truncate", 2, "app"),
        ("drop", 1, "app"),
        ("drop", 1, "app"),
    ]
    listed = [[relation["file"] for relation in each["relations"]] for each in result["candidates"]]
    for name, entry in (("plain", 0), ("cleared", 2), ("nested", 3), ("prepared", 4)):
        assert files[name] in listed[entry]
    truncated = {relation["name"] for relation in result["candidates"][2]["relations"]}
    assert truncated == {"public.cleared", "public.cleared_pkey"}
    assert all(len(line) <= 110 for line in result["text"])


def test_what_loses_nothing(run: Run, started: t.Any) -> None:
    begin = now(started)
    script(
        started,
        """
        CREATE TABLE a (id int PRIMARY KEY, t text, n int)
        INSERT INTO a SELECT g, 'x', g FROM generate_series(1, 100) g
        VACUUM FULL a
        CLUSTER a USING a_pkey
        ALTER TABLE a ALTER n TYPE bigint
        REINDEX TABLE a
        REINDEX TABLE CONCURRENTLY a
        CREATE MATERIALIZED VIEW m AS SELECT n FROM a
        REFRESH MATERIALIZED VIEW m
        CREATE TEMP TABLE x (i int); INSERT INTO x VALUES (1); DROP TABLE x
        BEGIN; CREATE TABLE y (i int); DROP TABLE y; COMMIT
        BEGIN; DROP TABLE a CASCADE; ROLLBACK
        DELETE FROM a
        VACUUM a
        """,
    )
    result = find(run, started, begin)
    assert result["candidates"] == [], result["text"]
    assert result["skipped"] >= 5
    kinds = [each["kind"] for each in find(run, started, begin, kinds=["drop_index"])["candidates"]]
    assert kinds == ["drop_index"]
