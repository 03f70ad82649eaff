# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module clone: real restores of a source under writes, real servers, started without systemd."""

from __future__ import annotations

import copy
import json
import os
import signal
import subprocess
import threading
import time
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

import pytest

Run = t.Callable[..., dict[str, t.Any]]
ROWS = ["first", "in backup", "second"]
UTC_NOW = "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00')"


def codes(result: dict[str, t.Any]) -> list[str]:
    """Codes of the problems of a refused task."""
    assert result["failed"], result
    return [problem["code"] for problem in result.get("problems", [])]


def well(result: dict[str, t.Any]) -> dict[str, t.Any]:
    """The result of a task that did not fail."""
    assert not result["failed"], result
    return result


@dataclass
class Lab:
    """A protected source and one clone of it below a directory of its own."""

    source: t.Any
    run: Run
    name: str = "trial"
    options: dict[str, t.Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.parent = self.source.make_directory("c")
        self.sockets = self.source.make_directory("s")
        self.directory = self.parent / self.name
        self.data = self.directory / "data"

    def restore(self, **options: t.Any) -> dict[str, t.Any]:
        """Restore into the directory of the clone, as the role does."""
        off = {"archive_mode": "off"} if self.source.pg_major >= 12 else {}
        places = {"pgdata": str(self.data), "workspace": str(self.directory / "restore")}
        places["tablespace_map_all"] = str(self.directory / "tablespaces")
        return well(self.run("restore", {**self.source.restoring, **places, **off, **options}))

    def clone(self, check: bool = False, root: bool = False, **options: t.Any) -> dict[str, t.Any]:
        """Run the module. Without a port of its own it takes one that no other test has: port=None lets it choose."""
        asked = {**self.params, **options}
        if asked["port"] is None:
            del asked["port"]
        return self.run("clone", asked, check=check, root=root)

    @property
    def params(self) -> dict[str, t.Any]:
        """What every run of the module gets."""
        given = {"name": self.name, "directory": str(self.directory), "stanza": "main", "bindir": self.source.bindir}
        given.update(owner=self.owner, login_user=self.owner, socket_directory=str(self.sockets))
        given["port"] = self.source.port + 1
        return {**given, "timeout": 60, **self.options}

    @property
    def owner(self) -> str:
        """User who runs the source."""
        return self.source.pgdata.owner()

    def remove(self, **options: t.Any) -> dict[str, t.Any]:
        """Let the module remove the clone."""
        return self.clone(state="absent", **options)

    def server(self, port: int, directory: Path | None = None) -> t.Any:
        """The clone as a cluster that can be asked."""
        twin = copy.copy(self.source)
        twin.port, twin.socket_dir = port, str(directory or self.sockets)
        return twin

    def rows(self, result: dict[str, t.Any], sql: str = "SELECT v FROM t ORDER BY v") -> list[str]:
        """What a query on the open clone says."""
        found = self.server(result["clone"]["port"], Path(result["clone"]["socket_directory"]))
        return [row[0] for row in found.sql(sql)]

    @property
    def marker(self) -> dict[str, t.Any]:
        """clone.json."""
        return t.cast("dict[str, t.Any]", json.loads((self.directory / "clone.json").read_text(encoding="utf-8")))

    @property
    def pid(self) -> int | None:
        """Process of the server of the clone."""
        path = self.data / "postmaster.pid"
        return int(path.read_text(encoding="utf-8").split("\n")[0]) if path.exists() else None

    def stop(self, mode: str = "immediate") -> None:
        """Stop the server of the clone, whoever started it."""
        if self.pid:
            twin = copy.copy(self.source)
            twin.pgdata = self.data
            twin.stop(mode)


@pytest.fixture(name="lab")
def lab_fixture(stopped: t.Any, run: Run) -> t.Iterator[Lab]:
    """A source that is down, with a backup and two commits after it, and nothing of a clone yet."""
    lab = Lab(stopped, run)
    yield lab
    lab.stop()


@pytest.mark.matrix
def test_a_clone_is_ready_unchanged_the_second_time_and_goes_without_a_trace(lab: Lab) -> None:
    before = sorted(str(path) for path in lab.source.root.rglob("*") if lab.parent not in path.parents)
    foretold = well(lab.clone(target_type="default", check=True))
    assert (foretold["changed"], foretold["state"], foretold["diff"]["after"]["state"]) == (True, "absent", "open")
    assert not lab.directory.exists()
    lab.restore()
    check = well(lab.clone(target_type="default", check=True))
    assert check["changed"] and not (lab.directory / "clone.json").exists()
    first = well(lab.clone(target_type="default"))
    assert (first["changed"], first["state"]) == (True, "open")
    clone = first["clone"]
    assert lab.rows(first) == ROWS
    assert clone["recovered_to"]["reached"] is True
    assert clone["databases"] == ["postgres"]
    assert set(first["seconds"]) == {"start", "recovery", "drop", "sql", "open"}
    for name, value in {"archive_mode": "off", "archive_command": "(disabled)", "port": str(clone["port"])}.items():
        assert lab.rows(first, f"SHOW {name}") == [value]
    if lab.source.pg_major >= 12:
        auto = (lab.data / "postgresql.auto.conf").read_text(encoding="utf-8")
        assert "recovery_target" not in auto and "restore_command" not in auto

    marker = (lab.directory / "clone.json").read_bytes()
    check = well(lab.clone(target_type="default", check=True))
    assert (check["changed"], check["state"], check["diff"]["before"]) == (False, "open", check["diff"]["after"])
    second = well(lab.clone(target_type="default"))
    assert (second["changed"], second["clone"]) == (False, clone)
    assert (lab.directory / "clone.json").read_bytes() == marker

    assert well(lab.remove(check=True))["changed"]
    assert lab.directory.is_dir()
    assert well(lab.remove())["changed"]
    assert not lab.directory.exists()
    assert lab.pid is None
    after = sorted(str(path) for path in lab.source.root.rglob("*") if lab.parent not in path.parents)
    assert [path for path in after if "/pgdata/" not in path] == [path for path in before if "/pgdata/" not in path]
    assert not well(lab.remove())["changed"]


MASK = "BEGIN;\nUPDATE t SET v = 'masked';\nCOMMIT;\nVACUUM FULL t;\n"


def attempts(lab: Lab, port: int, until: threading.Event, seen: list[str]) -> None:
    """Try to connect to the clone as somebody who is allowed to, over and over."""
    while not until.is_set():
        for host in (str(lab.sockets), "127.0.0.1"):
            words = ["-h", host, "-p", str(port), "-U", "visitor", "-d", "postgres", "-XAtwc", "SELECT min(v) FROM t"]
            tried = subprocess.run(["psql", *words], capture_output=True, text=True, check=False)
            seen.append(tried.stdout.strip() if tried.returncode == 0 else "refused")
        time.sleep(0.02)


def test_nobody_connects_before_the_sql_has_ended(lab: Lab) -> None:
    """A slow script, and connections tried all the time: the first one that succeeds sees masked rows."""
    lab.restore()
    port = lab.source.port + 1
    seen: list[str] = []
    until = threading.Event()
    watcher = threading.Thread(target=attempts, args=(lab, port, until, seen))
    hba = ["local all visitor trust", "host all visitor 127.0.0.1/32 trust"]
    grant = {"name": "grant.sql", "sql": "CREATE ROLE visitor LOGIN; GRANT SELECT ON t TO visitor"}
    slow = {"name": "slow.sql", "sql": f"SELECT pg_sleep(2);\n{MASK}"}
    watcher.start()
    try:
        made = well(lab.clone(port=port, sql=[grant, slow], listen_addresses="127.0.0.1", hba=hba))
        time.sleep(1)  # the visitor, who tries every 20 ms, is to get in now
    finally:
        until.set()
        watcher.join()
    assert made["seconds"]["sql"] >= 2
    assert seen.count("refused") > 10
    assert set(seen) == {"refused", "masked"}, set(seen)
    assert lab.rows(made) == ["masked"] * 3
    log = (lab.directory / "postgresql.log").read_text(encoding="utf-8")
    assert "pg_sleep" not in log and "UPDATE" not in log


def test_the_clone_archives_nothing_and_follows_nobody_though_its_source_says_so(lab: Lab) -> None:
    """ALTER SYSTEM of the source is in the backup; the command line of the clone wins over it."""
    source = lab.source
    source.start()
    command = source.sql("SHOW archive_command")[0][0]
    strange = {
        "archive_mode": "on",
        "archive_command": command,
        "archive_timeout": "1",
        "synchronous_standby_names": "*",
        "primary_conninfo": f"host={source.socket_dir} port={source.port}",
        "primary_slot_name": "stolen",
        "recovery_end_command": f"touch {source.root}/ended",
        "listen_addresses": "127.0.0.1",
        "port": str(source.port),
        "unix_socket_directories": source.socket_dir,
        "max_connections": "230",
        "log_statement": "all",
        "max_logical_replication_workers": "3",
    }
    source.sql("SET synchronous_commit = local")
    for name, value in strange.items():
        source.sql(f"ALTER SYSTEM SET {name} = '{value}'")
    source.stop()
    source.start()
    source.backup()
    source.stop()
    files = sorted(str(path) for path in source.repo.rglob("*"))

    lab.restore(archive_mode="preserve")
    with open(lab.data / "postgresql.auto.conf", "a", encoding="utf-8") as file:  # this source could not run with these
        file.write("shared_buffers = '4TB'\nstatement_timeout = '1ms'\ndefault_transaction_read_only = on\n")
    refused = lab.clone(settings={"shared_buffers": "400TB"})
    assert codes(refused) == ["settings"]
    refused = lab.clone()
    assert refused["failed"] and (refused["state"], lab.pid) == ("closed", None), refused
    assert "could not map anonymous shared memory" in refused["msg"]
    reset = "ALTER SYSTEM RESET statement_timeout; ALTER SYSTEM RESET default_transaction_read_only;"
    mask = {"name": "mask.sql", "sql": f"SELECT pg_sleep(0.1);{MASK}{reset}"}
    made = well(lab.clone(settings={"shared_buffers": "16MB"}, sql=[mask]))
    clone = lab.server(made["clone"]["port"])
    shown = dict(clone.sql("SELECT name, setting FROM pg_settings"))
    assert shown["archive_mode"] == "off"
    for name in ("synchronous_standby_names", "primary_conninfo", "primary_slot_name", "recovery_end_command"):
        assert shown[name] == "", name
    assert (shown["max_logical_replication_workers"], shown["max_connections"]) == ("0", "230")
    assert (shown["listen_addresses"], shown["shared_buffers"]) == ("localhost", "2048")
    assert shown["unix_socket_directories"] == str(lab.sockets)
    assert not (source.root / "ended").exists()
    for _time in range(3):
        clone.sql("SELECT pg_logical_emit_message(false, 'own', 'WAL')")
        clone.sql("SELECT pg_switch_wal()")
    time.sleep(1)  # a clone that did archive would do it now
    assert clone.sql("SELECT archived_count, failed_count FROM pg_stat_archiver") == [("0", "0")]
    assert sorted(str(path) for path in source.repo.rglob("*")) == files


def write_rows(source: t.Any, until: threading.Event, may_write: threading.Lock) -> None:
    """Write one row after the other, each in a commit of its own."""
    while not until.is_set():
        with may_write:
            source.sql("INSERT INTO w DEFAULT VALUES")


def test_a_clone_of_a_moment_while_the_source_goes_on_writing(lab: Lab) -> None:
    """It has the rows of that moment, and the archive of the source gets nothing but the source's own WAL."""
    source, until, may_write = lab.source, threading.Event(), threading.Lock()
    source.start()
    command = source.sql("SHOW archive_command")[0][0]
    source.sql("ALTER SYSTEM SET archive_mode = 'on'")
    source.sql(f"ALTER SYSTEM SET archive_command = '{command}'")
    source.sql("CREATE TABLE w (id serial)")
    writer = threading.Thread(target=write_rows, args=(source, until, may_write))
    writer.start()
    try:
        source.backup()
        time.sleep(1.1)  # the backup must have ended a whole second before the moment
        with may_write:
            moment, rows = source.sql(UTC_NOW)[0][0], source.sql("SELECT count(*) FROM w")[0][0]
            time.sleep(0.1)  # no commit may fall into the same millisecond
        wait_for(lambda: source.sql(f"SELECT count(*) > {rows} FROM w") == [("t",)])
        source.archive()
        lab.restore(type="time", target=moment, target_action="promote", archive_mode="preserve")
        made = well(lab.clone(target_type="time", target=moment))
        assert lab.rows(made, "SELECT count(*) FROM w") == [rows]
        assert made["clone"]["recovered_to"]["reached"] is True
        lab.rows(made, "CREATE TABLE own ()")
        lab.rows(made, "SELECT pg_switch_wal()")
        source.archive()
        time.sleep(1)  # a clone that did archive would do it now
    finally:
        until.set()
        writer.join()
    names = [path.name for path in (source.repo / "archive").rglob("0000000*") if path.is_file()]
    assert names and not [name for name in names if not name.startswith("00000001")]
    # pgBackRest itself would refuse it, because of the directory: the clone does not even try.
    assert lab.rows(made, "SELECT archived_count + failed_count FROM pg_stat_archiver") == ["0"]


def test_failing_sql_leaves_the_clone_closed(lab: Lab) -> None:
    lab.restore()
    port = lab.source.port + 1
    bad = "BEGIN;\nUPDATE t SET v = 'masked';\nUPDATE nowhere\n  SET v = 'x';\nCOMMIT;\n"
    first = lab.clone(port=port, sql=[{"name": "mask.sql", "sql": bad}])
    assert first["failed"]
    assert (
        'mask.sql failed in the database postgres, line 3: SQLSTATE 42P01: relation "nowhere" does not exist'
        in first["msg"]
    )
    assert "Nothing of it was kept: correct it and run the task again." in first["msg"]
    assert "The clone stays closed" in first["msg"]
    assert (lab.pid, lab.marker["phase"], first["state"]) == (None, "closed", "closed")
    assert not (lab.sockets / f".s.PGSQL.{port}").exists()

    missing = lab.clone(sql=[{"name": "other.sql", "database": "app", "sql": "SELECT 1"}])
    assert "other.sql is for the database app, which the clone does not have. It has " in missing["msg"]
    two = [{"name": "first.sql", "sql": "CREATE TABLE done ()"}, {"name": "mask.sql", "sql": f"{MASK}SELECT 1/0;"}]
    half = lab.clone(sql=two)
    assert "mask.sql failed in the database postgres, line 5: SQLSTATE 22012: division by zero" in half["msg"]
    assert "Part of it may be done" in half["msg"]
    assert half["msg"].endswith(
        "(state: absent) and restore again. The clone stays closed, and nobody can connect to it."
    )
    assert "log" not in half
    assert [script["state"] for script in lab.marker["sql"]] == ["done", "running"]
    again = lab.clone(sql=two)
    assert codes(again) == ["sql_half_done"]
    assert lab.pid is None
    well(lab.remove())
    assert not lab.directory.exists()


def test_a_vacuum_after_masking_leaves_no_old_rows_in_the_table(lab: Lab) -> None:
    lab.restore()
    sql = "BEGIN;\nUPDATE t SET v = 'masked';\nCOMMIT;\nVACUUM (FULL, ANALYZE) t;\n"
    made = well(lab.clone(sql=[{"name": "mask.sql", "sql": sql}]))
    (file,) = lab.rows(made, "SELECT pg_relation_filepath('t')")
    content = (lab.data / file).read_bytes()
    assert b"masked" in content
    assert b"in backup" not in content and b"first" not in content


def test_a_corrected_file_runs_after_the_ones_that_have_ended(lab: Lab) -> None:
    lab.restore()
    first = {"name": "first.sql", "sql": "CREATE TABLE done ();\n"}
    assert lab.clone(sql=[first, {"name": "mask.sql", "sql": "UPDATE t SET v = 1/0"}])["failed"]
    assert codes(lab.clone(sql=[{"name": "else.sql", "sql": "SELECT 1"}])) == ["other_request"]
    made = well(lab.clone(sql=[first, {"name": "mask.sql", "sql": MASK}]))
    assert [script["name"] for script in made["clone"]["sql"]] == ["first.sql", "mask.sql"]
    assert lab.rows(made) == ["masked"] * 3
    assert codes(lab.clone(sql=[first])) == ["other_request"]
    assert codes(lab.clone(sql=[first, {"name": "mask.sql", "sql": "SELECT 2"}], check=True)) == ["other_request"]


def test_bad_input_is_refused_before_anything_is_touched(lab: Lab) -> None:
    lab.restore()
    before = sorted(str(path) for path in lab.directory.rglob("*"))
    result = lab.clone(
        name="Trial!",
        port=80,
        settings={"port": 1, "a b": 2, "hba_file": "x"},
        hba=["nonsense"],
        sql=[{"name": "a.sql", "sql": "SELECT 1;\n\\c app\n"}],
        archive_stanza="main",
        ttl=-1,
        target="now",
    )
    assert sorted(set(codes(result))) == ["hba", "name", "port", "settings", "sql", "stanza_in_use", "target", "ttl"]
    assert "a.sql, line 2: \\c is a command of psql" in result["msg"]
    assert codes(lab.clone(ttl=60)) == ["ttl"]
    assert codes(lab.clone(owner="nobody-like-this")) == ["owner"]
    refused = lab.clone(settings={"work_men": "1MB"})
    assert codes(refused) == ["settings"]
    assert 'unrecognized configuration parameter "work_men"' in refused["msg"]
    empty = lab.clone(directory=str(lab.parent / "none"))
    assert codes(empty) == ["no_data"]
    for check in (True, False):
        assert codes(lab.clone(name="other", directory=str(lab.source.repo), check=check)) == ["not_ours"]
    foreign = lab.clone(name="other", directory=str(lab.source.repo), state="absent")
    assert codes(foreign) == ["not_ours"]
    assert sorted(str(path) for path in lab.directory.rglob("*")) == before


def test_only_a_fresh_restore_becomes_a_clone(lab: Lab) -> None:
    lab.restore()
    twin = copy.copy(lab.source)
    twin.pgdata, twin.port, twin.log_file = lab.data, lab.source.port + 1, lab.source.root / "log" / "twin.log"
    with open(lab.data / "postgresql.conf", "a", encoding="utf-8") as file:
        file.write(f"port = {twin.port}\narchive_mode = off\n")
    twin.open_up()
    assert codes(lab.clone()) == ["running"]
    twin.stop()
    assert codes(lab.clone()) == ["not_fresh"]
    assert codes(lab.remove()) == ["not_ours"]
    assert lab.data.is_dir()


# Runs the module, and kills it just before the nth call of one of its functions.
_KILLED = """
import importlib, json, os, signal, sys
from ansible.module_utils import basic
basic._ANSIBLE_ARGS = sys.stdin.buffer.read()
basic._ANSIBLE_PROFILE = "legacy"
where, name, number = json.loads(sys.argv[1])
plugins = "ansible_collections.pgops.pgbackrest.plugins."
module = importlib.import_module(plugins + "modules.clone")
file, dummy, owner = where.partition(".")
place = importlib.import_module(plugins + "module_utils." + file)
place = getattr(place, owner) if owner else place
original, calls = getattr(place, name), []

def deadly(*args, **kwargs):
    calls.append(name)
    if len(calls) == number:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*args, **kwargs)

setattr(place, name, deadly)
module.main()
"""
KILLS = [
    ("_clone_task", "write_marker", 1),
    ("_clone_work.Server", "start", 1),
    ("_clone_work", "Watch", 1),
    ("_clone_work.Work", "note", 3),
    ("_clone_work", "_drop", 1),
    ("_clone_work.Server", "stop", 1),
    ("_clone_task", "wish_for", 1),
    ("_clone_task", "open_up", 1),
    ("_clone_work.Server", "start_open", 1),
    ("_clone_task", "_look_around", 1),
]


@pytest.fixture(name="run_killed")
def run_killed_fixture(module_tree: Path) -> t.Callable[..., None]:
    """Run the module until it kills itself."""

    def run_killed(params: dict[str, t.Any], kill: tuple[str, str, int]) -> None:
        argv = ["env", f"PYTHONPATH={module_tree}", "PYTHONDONTWRITEBYTECODE=1", "/usr/bin/python3", "-c", _KILLED]
        prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        arguments = json.dumps({"ANSIBLE_MODULE_ARGS": {**params, "_ansible_remote_tmp": "/tmp"}})
        words = [*prefix, *argv, json.dumps(kill)]
        ended = subprocess.run(words, input=arguments, text=True, capture_output=True, cwd="/", check=False)
        assert ended.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL), ended

    return run_killed


def test_a_killed_run_goes_on_wherever_it_was(lab: Lab, run_killed: t.Callable[..., None]) -> None:
    """The clone is never open with unmasked rows, and the next run ends the work."""
    script = [{"name": "mask.sql", "sql": MASK}]
    for kill in KILLS:
        lab.restore()
        run_killed({**lab.params, "sql": script, "target_type": "default"}, kill)
        if kill[1] not in ("start_open", "_look_around"):
            assert not list(lab.sockets.glob(".s.PGSQL.*")), kill
        ended = well(lab.clone(sql=script, target_type="default"))
        assert ended["changed"] == (kill[1] != "_look_around"), kill
        assert lab.rows(ended) == ["masked"] * 3, kill
        assert ended["clone"]["databases"] == ["postgres"]
        assert not well(lab.clone(sql=script, target_type="default"))["changed"]
        well(lab.remove())
        assert not lab.directory.exists()


def test_sql_that_was_killed_half_way_is_not_run_again(lab: Lab, run_killed: t.Callable[..., None]) -> None:
    script = [{"name": "mask.sql", "sql": MASK}]
    lab.restore()
    run_killed({**lab.params, "sql": script}, ("_clone_work", "_execute", 3))
    assert [each["state"] for each in lab.marker["sql"]] == ["running"]
    assert not list(lab.sockets.glob(".s.PGSQL.*"))
    assert codes(lab.clone(sql=script)) == ["sql_half_done"]
    run_killed({**lab.params, "state": "absent"}, ("_clone_task", "remove_files", 1))
    assert well(lab.remove())["changed"]
    assert not lab.directory.exists() and lab.pid is None


def wait_for(condition: t.Callable[[], bool]) -> None:
    """Until it holds."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_databases_that_were_left_out_are_dropped(lab: Lab) -> None:
    lab.source.start()
    lab.source.sql("CREATE DATABASE app")
    lab.source.sql("CREATE DATABASE big IS_TEMPLATE true")
    lab.source.sql("CREATE TABLE rows AS SELECT 1", "big")
    lab.source.backup()
    lab.source.archive()
    plan = lab.restore(db_include=["app"])["plan"]
    assert len(plan["databases_left_out"]) == 1
    made = well(lab.clone(left_out=plan["databases_left_out"], target_type="default"))
    assert (made["clone"]["dropped"], made["clone"]["databases"]) == (["big"], ["app", "postgres"])
    assert not well(lab.clone(left_out=plan["databases_left_out"], target_type="default"))["changed"]


def test_where_it_listens_can_be_changed_and_a_stopped_clone_is_started(lab: Lab) -> None:
    lab.restore()
    first = well(lab.clone())
    pid = lab.pid
    hba = ["local all all trust", "host all all 127.0.0.1/32 trust"]
    check = well(lab.clone(hba=hba, check=True))
    assert (check["changed"], check["diff"]["after"]["hba"]) == (True, hba)
    assert well(lab.clone(hba=hba))["changed"]
    assert lab.pid == pid  # it was reloaded
    assert not well(lab.clone(hba=hba))["changed"]
    port = lab.source.port + 2
    moved = well(lab.clone(hba=hba, port=port, settings={"work_mem": "7MB"}, listen_addresses=""))
    assert (moved["changed"], moved["clone"]["port"]) == (True, port)
    assert lab.rows(moved, "SHOW work_mem") == ["7MB"]
    assert not well(lab.clone(hba=hba, settings={"work_mem": "7MB"}, port=None, listen_addresses=""))["changed"]
    lab.stop()
    broken = lab.clone(
        hba=["local all all no-such-method"], settings={"work_mem": "7MB"}, port=None, listen_addresses=""
    )
    assert broken["failed"] and lab.pid is None
    assert "The server does not come up: could not load" in broken["msg"], broken
    assert any("no-such-method" in line for line in broken["log"])
    assert well(lab.clone(hba=hba, settings={"work_mem": "7MB"}, port=None, listen_addresses="", check=True))["changed"]
    started = well(lab.clone(hba=hba, settings={"work_mem": "7MB"}, port=None, listen_addresses=""))
    assert started["changed"] and lab.rows(started) == ROWS
    assert started["clone"]["created_at"] == first["clone"]["created_at"]


def test_two_clones_have_their_own_ports_and_one_goes_without_the_other(lab: Lab) -> None:
    lab.restore()
    first = well(lab.clone(port=None))
    other = Lab(lab.source, lab.run, "other")
    other.restore(type="immediate", target_action="promote", set="latest")
    taken = other.clone(port=first["clone"]["port"])
    assert codes(taken) == ["port_in_use"]
    second = well(other.clone(target_type="immediate", port=None))
    assert second["clone"]["port"] != first["clone"]["port"]
    assert other.rows(second) == ["in backup"]
    (lab.directory / "notes.txt").write_text("mine", encoding="utf-8")
    well(lab.remove())
    assert [path.name for path in lab.directory.iterdir()] == ["notes.txt"]
    assert other.rows(second) == ["in backup"]
    well(other.remove())


def test_a_clone_with_a_stanza_of_its_own_archives_there_only(lab: Lab) -> None:
    config = lab.source.root / "own.conf"
    text = lab.source.config.read_text(encoding="utf-8").partition("[main]")[0]
    config.write_text(f"{text}[own]\npg1-path={lab.data}\npg1-port=1\n[main]\npg1-path={lab.data}\n", encoding="utf-8")
    config.chmod(0o644)
    own = {"config": str(config), "executable": lab.source.executable}
    lab.restore()
    assert codes(lab.clone(**own, stanza=None, archive_stanza="main")) == ["stanza_in_use"]
    wrong = config.with_name("wrong.conf")
    wrong.write_text(config.read_text(encoding="utf-8").replace(str(lab.data), "/elsewhere"), encoding="utf-8")
    wrong.chmod(0o644)
    assert codes(lab.clone(config=str(wrong), executable=lab.source.executable, archive_stanza="own")) == [
        "stanza_path"
    ]
    made = well(lab.clone(**own, archive_stanza="own"))
    port = made["clone"]["port"]
    config.write_text(
        config.read_text(encoding="utf-8").replace("pg1-port=1", f"pg1-port={port}\npg1-socket-path={lab.sockets}"),
        encoding="utf-8",
    )
    created = lab.run("stanza", {"stanza": "own", **own})
    well(created)
    lab.server(port).sql("SELECT pg_switch_wal()")
    wait_for(lambda: lab.server(port).sql("SELECT archived_count > 0 FROM pg_stat_archiver") == [("t",)])
    assert not well(lab.clone(**own, archive_stanza="own"))["changed"]
    other = Lab(lab.source, lab.run, "other")
    other.restore()
    text = config.read_text(encoding="utf-8").replace(str(lab.data), str(other.data))
    config.write_text(text, encoding="utf-8")
    assert codes(other.clone(**own, archive_stanza="own")) == ["stanza_in_use"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_root_works_in_the_name_of_the_owner(lab: Lab) -> None:
    lab.restore()
    (lab.directory / "postgresql.conf").symlink_to("/etc/never-made-by-root")
    made = well(lab.clone(root=True, sql=[{"name": "mask.sql", "sql": MASK}]))
    assert lab.rows(made) == ["masked"] * 3
    owners = {path.owner() for path in lab.directory.rglob("*") if not path.is_symlink()}
    assert owners == {lab.owner}
    assert not os.path.lexists("/etc/never-made-by-root")
    assert not well(lab.clone(root=True, sql=[{"name": "mask.sql", "sql": MASK}]))["changed"]
    assert well(lab.remove(root=True))["changed"]
    assert not lab.directory.exists()


def test_settings_that_the_source_raised_after_the_backup_are_followed(lab: Lab) -> None:
    lab.source.configure(max_connections="177")
    lab.source.start()
    lab.source.sql("INSERT INTO t VALUES ('after')")
    lab.source.archive()
    lab.restore()
    made = well(lab.clone(target_type="default"))
    assert lab.rows(made) == ["after", *ROWS]
    assert lab.rows(made, "SHOW max_connections") == ["177"]


def test_a_restore_that_never_became_a_clone_can_be_removed(lab: Lab) -> None:
    lab.restore()
    (lab.data / "backup.manifest").touch()
    assert well(lab.remove())["state"] == "unfinished"
    assert not lab.directory.exists()


def test_a_missed_target_is_not_opened(lab: Lab) -> None:
    lab.source.start()
    moment = lab.source.sql(UTC_NOW)[0][0]
    lab.restore()
    failed = lab.clone(target_type="time", target=moment)
    assert failed["failed"] and "not to the target time" in failed["msg"], failed
    assert (lab.pid, failed["state"]) == (None, "closed")


def test_what_takes_too_long_goes_on_closed(lab: Lab) -> None:
    lab.restore(recovery_options={"restore_command": "sleep 300"})
    late = lab.clone(timeout=1)
    assert late["failed"] and "PostgreSQL goes on" in late["msg"]
    assert lab.pid is not None
    well(lab.remove())
