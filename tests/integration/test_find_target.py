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
    return look(run, cluster, begin, **options)


def look(run: Run, cluster: t.Any, begin: str, **options: t.Any) -> dict[str, t.Any]:
    """Look from a moment until now."""
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
    assert result["scanned"]["skipped"] >= 5
    kinds = [each["kind"] for each in look(run, started, begin, kinds=["drop_index"])["candidates"]]
    assert kinds == ["drop_index"]


def test_restored_to_before_a_drop_under_load(run: Run, started: t.Any) -> None:
    """Every commit before the drop is there, none after it, and the table."""
    script(
        started,
        """
        CREATE TABLE log (id bigserial PRIMARY KEY)
        CREATE TABLE orders (id int PRIMARY KEY, t text)
        INSERT INTO orders SELECT g, 'x' FROM generate_series(1, 1000) g
        """,
    )
    begin, writers = now(started), load(started)
    time.sleep(2)
    # The highest committed row before the drop and after it, seen by the same session, bracket the moment.
    before = int(started.sql("SELECT max(id) FROM log", "app")[0][0])
    started.sql("DROP TABLE orders", "app")
    after = int(started.sql("SELECT max(id) FROM log", "app")[0][0])
    time.sleep(2)
    assert all(writer.wait(30) == 0 for writer in writers)
    end = int(started.sql("SELECT max(id) FROM log", "app")[0][0])
    assert before > 100 and end > after + 100
    result = find(run, started, begin, database="app")
    (only,) = result["candidates"]
    assert (only["kind"], only["count"], result["scanned"]["commits"] > 1000) == ("drop", 4, True)
    expected = committed_rows(started, only["lsn"])

    recover(run, started, only, "promote")
    wait_for_end_of_recovery(started)
    assert started.sql("SELECT count(*) FROM orders", "app") == [("1000",)]
    last = int(started.sql("SELECT max(id) FROM log", "app")[0][0])
    assert before <= last <= after
    # Each committed transaction wrote one row. Those before the drop are all there, those after it are not.
    assert int(started.sql("SELECT count(*) FROM log", "app")[0][0]) == expected


def test_databases(run: Run, started: t.Any) -> None:
    """A dropped database: named by the backup, and the target is before it is marked invalid."""
    script(started, "CREATE TABLE kept (i int)\nINSERT INTO kept VALUES (42)")
    begin = now(started)
    started.sql("CREATE DATABASE short_lived")
    started.sql("DROP DATABASE app")
    started.sql("CREATE TABLE later (i int)")
    result = find(run, started, begin)
    (only,) = result["candidates"]
    assert (only["kind"], only["database"]["name"], only["relations"]) == ("drop_database", "app", [])
    assert only["database"]["name_from"].startswith("backup ")
    by_name = look(run, started, begin, database="app")
    assert [each["xid"] for each in by_name["candidates"]] == [only["xid"]]

    recover(run, started, only, "promote")
    wait_for_end_of_recovery(started)
    assert started.sql("SELECT i FROM kept", "app") == [("42",)]
    assert started.sql("SELECT count(*) FROM pg_database WHERE datname = 'short_lived'") == [("1",)]
    assert started.sql("SELECT to_regclass('later') IS NULL") == [("t",)]


def test_filters_and_refusals(run: Run, started: t.Any) -> None:
    begin = now(started)
    script(started, "CREATE TABLE a (i int)\nCREATE TABLE b (i int PRIMARY KEY)\nDROP TABLE a\nDROP TABLE b")
    first, second = find(run, started, begin)["candidates"]
    number = int(first["relations"][0]["file"].rpartition("/")[2])

    def found(**options: t.Any) -> list[int]:
        return [each["xid"] for each in look(run, started, begin, **options)["candidates"]]

    assert found(filenode=number) == found(xid=first["xid"]) == [first["xid"]]
    assert found(relations=2) == [second["xid"]]
    assert found(kinds=["truncate"]) == found(database="postgres") == found(database="1") == []
    assert found(until=first["time"]) == [first["xid"]]
    assert found(timeline=1) == [first["xid"], second["xid"]]
    for options, words in (
        ({"from": "2026-01-01 00:00:00"}, "has no offset from UTC"),
        ({"until": "2020-01-01 00:00:00+00:00"}, "ends"),
        ({"database": "nobody"}, "Give its OID"),
        ({"bindir": "/nonexistent"}, "bindir"),
        ({"repo": 7}, "repo"),
    ):
        result = run("find_target", {**started.common, "from": begin, **options})
        assert result["failed"] and words in result["msg"], result


def test_without_the_data_directory(run: Run, started: t.Any) -> None:
    """What was not archived yet is found on the host, what is in the archive when nothing else is left."""
    begin = now(started)
    script(started, "CREATE TABLE a (i int)\nDROP TABLE a")
    assert [each["kind"] for each in look(run, started, begin)["candidates"]] == ["drop"]
    started.archive()
    started.stop()
    shutil.rmtree(started.pgdata)
    result = run("find_target", {**started.common, "from": begin})
    assert not result["failed"], result
    assert [(each["kind"], each["count"]) for each in result["candidates"]] == [("drop", 1)]


def test_rewritten_catalog(run: Run, started: t.Any) -> None:
    """After VACUUM FULL of pg_class its rows are found by the data directory's map; without it nothing is guessed."""
    script(started, "VACUUM FULL pg_class\nCREATE TABLE a (i int)")
    begin = now(started)
    script(started, "DROP TABLE a\nCREATE TABLE b (i int)\nVACUUM FULL b\nTRUNCATE b")
    assert [each["kind"] for each in find(run, started, begin)["candidates"]] == ["drop", "truncate"]
    started.stop()
    shutil.rmtree(started.pgdata)
    result = run("find_target", {**started.common, "from": begin})
    assert {each["kind"] for each in result["candidates"]} == {"unknown"}
    assert all("pg_class" in each["reason"] for each in result["candidates"])


def test_timelines_and_names(run: Run, started: t.Any) -> None:
    """A drop before and one after an earlier recovery; a server paused before a drop knows what it took."""
    script(started, "CREATE TABLE a (i int)\nCREATE TABLE b (i int PRIMARY KEY)")
    begin = now(started)
    script(started, "DROP TABLE a")
    (first,) = find(run, started, begin)["candidates"]
    assert first["relations"][0]["name"] is None
    recover(run, started, first, "promote")
    wait_for_end_of_recovery(started)
    script(started, "SELECT * FROM a\nDROP TABLE b")
    both = find(run, started, begin, names=True, **started.login)["candidates"]
    assert [(each["timeline"], each["count"]) for each in both] == [(1, 1), (2, 2)]
    assert all(relation["name"] is None for each in both for relation in each["relations"])
    assert [each["timeline"] for each in look(run, started, begin, timeline=2)["candidates"]] == [2]

    recover(run, started, both[1], "pause")
    wait_until(started, "SELECT pg_get_wal_replay_pause_state()", "paused")
    one, two = look(run, started, begin, names=True, **started.login)["candidates"]
    assert {relation["name"] for relation in two["relations"]} == {"public.b", "public.b_pkey"}
    assert "replayed" in two["relations"][0]["name_from"]
    assert one["relations"][0]["name"] is None  # long gone by, on a timeline that this server has left
    assert "public.b" in two["text"]


def recover(run: Run, cluster: t.Any, found: dict[str, t.Any], action: str) -> None:
    """Restore to before a find and start."""
    cluster.stop()
    result = run("restore", {**cluster.common, "delta": True, "target_action": action, **found["restore"]})
    assert not result["failed"], result
    cluster.start()


def load(cluster: t.Any, seconds: int = 4, clients: int = 4) -> list[subprocess.Popen[bytes]]:
    """Sessions that commit one row after the other."""
    text = (
        "DO $$ BEGIN FOR n IN 1..1000000 LOOP INSERT INTO log DEFAULT VALUES; COMMIT; "
        f"EXIT WHEN clock_timestamp() > now_at_start() + interval '{seconds} s'; END LOOP; END $$"
    )
    started = f"'{cluster.sql('SELECT clock_timestamp()')[0][0]}'::timestamptz"
    words = [f"{cluster.bindir}/psql", "-h", cluster.socket_dir, "-p", str(cluster.port), "-d", "app", "-XAtq", "-U"]
    user = cluster.sql("SELECT current_user")[0][0]
    argv = [*words, user, "-c", text.replace("now_at_start()", started)]
    return [subprocess.Popen(argv) for dummy in range(clients)]


def wait_for_end_of_recovery(cluster: t.Any) -> None:
    wait_until(cluster, "SELECT pg_is_in_recovery()", "f")


def wait_until(cluster: t.Any, question: str, answer: str) -> None:
    for _attempt in range(300):
        if cluster.sql(question) == [(answer,)]:
            return
        time.sleep(0.1)
    raise AssertionError(cluster.log_tail())


def committed_rows(cluster: t.Any, lsn: str) -> int:
    """How many transactions that inserted into the log were committed before a place in the WAL."""
    file = cluster.sql("SELECT pg_relation_filenode('log')", "app")[0][0]
    directory = cluster.make_directory("wal")
    names = sorted(path.name[:24] for path in cluster.repo.rglob("0000000100000000*-*") if path.is_file())
    for name in names:
        cluster.pgbackrest("archive-get", name, str(directory / name))
    start = f"{int(names[0][8:16], 16):X}/{int(names[0][16:], 16) << 24:X}"
    words = [f"--path={directory}", f"--start={start}", f"--end={lsn}"]
    output = subprocess.run(
        [f"{cluster.bindir}/pg_waldump", *words], capture_output=True, text=True, check=False
    ).stdout.splitlines()
    writers = {line.split("tx:")[1].split(",")[0] for line in output if f"/{file} blk" in line and "INSERT" in line}
    commits = {line.split("tx:")[1].split(",")[0] for line in output if "desc: COMMIT" in line}
    return len(writers & commits)
