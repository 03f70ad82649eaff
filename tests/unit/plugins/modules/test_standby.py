# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module standby with a server and an upstream that exist in memory; real ones are in the integration tests."""

from __future__ import annotations

import importlib
import re
import types
import typing as t
from dataclasses import replace
from pathlib import Path

import pytest

PACKAGE = "ansible_collections.pgops.pgbackrest.plugins"
Run = t.Callable[..., dict[str, t.Any]]
standby: t.Any = importlib.import_module(f"{PACKAGE}.module_utils._standby")
watching: t.Any = importlib.import_module(f"{PACKAGE}.module_utils._standby_watch")
problem: t.Any = importlib.import_module(f"{PACKAGE}.module_utils._problem")

UPSTREAM = {"host": "db1", "user": "replicator", "password": "s3cret"}
CONNINFO = "host=db1 user=replicator password=s3cret"
RECEIVER = standby.Receiver(7, "streaming", "db1", "5432", None, "replicator")
STOPPED = standby.Local("cluster", "42", 15, "shut down in recovery", 1, 4000, standby=True, conninfo=CONNINFO)
RUNNING = replace(
    STOPPED,
    cluster_state="in archive recovery",
    alive=True,
    connected=True,
    running_conninfo=CONNINFO,
    running_slot="",
    receiver=RECEIVER,
    seconds=0.0,
)
SILENT = replace(RUNNING, receiver=None)
ELSEWHERE = replace(
    RUNNING,
    conninfo="host=db9 password=0ld",
    running_conninfo="host=db9 password=0ld",
    receiver=replace(RECEIVER, host="db9"),
)


class World:
    """What is seen at each look: the last entry of ``seen`` stays; the clock goes on with each pause."""

    def __init__(self) -> None:
        self.seen: list[t.Any] = [RUNNING]
        self.upstream = standby.Upstream("42", 1, 5000)
        self.refusal: t.Any = None
        self.itself = self.muted = False
        self.done: list[str] = []
        self.log: list[str] = []
        self.now = 0.0

    def look(self, module: t.Any, pgdata: str) -> t.Any:
        return self.seen.pop(0) if len(self.seen) > 1 else self.seen[0]

    def open_connection(self, params: t.Any, name: str) -> t.Any:
        if self.refusal:
            raise problem.PlanError([self.refusal], "The upstream cannot be followed")
        return types.SimpleNamespace(close=lambda: None)

    def repoint(self, module: t.Any, pgdata: str, local: t.Any, wanted: t.Any) -> None:
        self.done.append(f"{wanted.conninfo} {wanted.slot}".strip())

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture(name="world")
def world_fixture(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    for name in ("look", "repoint"):
        monkeypatch.setattr(watching.local_side, name, getattr(world, name))
    monkeypatch.setattr(watching.local_side, "is_muted", lambda pgdata: world.muted)
    monkeypatch.setattr(watching.local_side, "unmute", lambda module, pgdata: world.done.append("unmute"))
    monkeypatch.setattr(watching.local_side, "answers", lambda module, pgdata, name: world.itself)
    monkeypatch.setattr(watching.upstream_side, "open_connection", world.open_connection)
    monkeypatch.setattr(watching.upstream_side, "read", lambda connection: world.upstream)
    monkeypatch.setattr(watching, "find_log", lambda pgdata, given: "/var/log/postgresql.log")
    monkeypatch.setattr(watching, "read_log", lambda path: world.log)
    monkeypatch.setattr(watching, "sleep", world.sleep)
    monkeypatch.setattr(watching, "monotonic", lambda: world.now)
    return world


@pytest.fixture(name="run")
def run_fixture(run_module: Run, world: World) -> Run:
    def run(check: bool = False, **params: t.Any) -> dict[str, t.Any]:
        result = run_module("standby", {"pgdata": "/srv/pg", "upstream": UPSTREAM, "timeout": 60, **params}, check)
        assert "s3cret" not in str(result) and "0ld" not in str(result)
        return result

    return run


@pytest.mark.parametrize("check", [True, False])
def test_it_streams(run: Run, world: World, check: bool) -> None:
    result = run(check)
    assert (result["action"], result["streaming"], result["changed"]) == ("none", True, False)
    assert result["lag"] == {"bytes": 1000, "seconds": 0.0} and not result["restart_required"]
    assert result["upstream"] == {
        "reachable": True,
        "system_identifier": "42",
        "timeline": 1,
        "lsn": "0/1388",
        "in_recovery": False,
    }
    assert result["local"]["primary_conninfo"] == "host=db1 user=replicator password=********"
    assert result["local"]["receiver"] == {"status": "streaming", "host": "db1", "port": "5432", "slot": None}
    assert world.done == [] and world.now == 0


def test_repoint_waits_for_a_new_receiver(run: Run, world: World) -> None:
    world.seen = [ELSEWHERE]
    foretold = run(check=True)
    assert (foretold["action"], foretold["changed"]) == ("repoint", True) and world.done == []
    assert foretold["diff"]["before"]["primary_conninfo"] == "host=db9 password=********"
    new = replace(RUNNING, receiver=replace(RECEIVER, pid=8))
    world.seen = [ELSEWHERE, RUNNING, SILENT, new]
    result = run()
    assert result["changed"] and result["streaming"] and result["diff"] == foretold["diff"]
    assert world.done == [CONNINFO] and world.now > 0


def test_the_same_receiver_is_the_old_one(run: Run, world: World) -> None:
    """It streams with the old password until the server has read the new one."""
    world.seen = [replace(ELSEWHERE, receiver=RECEIVER), RUNNING]
    result = run()
    assert result["failed"] and result["changed"] and world.now >= 60


def test_what_an_interrupted_run_has_left_is_undone(run: Run, world: World) -> None:
    world.muted = True
    assert run(check=True)["changed"] and world.done == []
    result = run()
    assert result["changed"] and result["streaming"] and world.done == ["unmute"]


def test_a_stopped_standby_is_configured(run: Run, world: World) -> None:
    world.seen = [replace(STOPPED, conninfo="host=db9")]
    assert run(check=True)["changed"] and run(check=True)["action"] == "start"
    result = run(state="configured")
    assert result["changed"] and world.done == [CONNINFO]
    world.seen = [STOPPED]
    assert not run(state="configured")["changed"] and len(world.done) == 1


def test_a_stopped_standby_does_not_follow(run: Run, world: World) -> None:
    world.seen = [STOPPED]
    result = run()
    assert result["failed"] and result["msg"] == "The standby does not run. Start it and run this again."
    assert 5 < world.now < 15
    world.log = ["FATAL:  recovery aborted because of insufficient parameter settings"]
    assert "PostgreSQL ended: recovery aborted because of insufficient" in run()["msg"]


@pytest.mark.parametrize(
    ("local", "action"),
    [
        (standby.Local("empty"), "provision"),
        (standby.Local("unfinished"), "rebuild"),
        (replace(RUNNING, in_recovery=False), "rebuild"),
        (replace(RUNNING, lsn=9000), "rebuild"),
        (replace(STOPPED, system_identifier="9"), "refuse"),
    ],
)
def test_what_this_module_cannot_do(run: Run, world: World, local: t.Any, action: str) -> None:
    world.seen = [local]
    foretold = run(check=True)
    assert foretold["action"] == action and not foretold["changed"]
    for state in ("following", "configured"):
        result = run(state=state)
        assert result["failed"] and result["action"] == action
        assert result["msg"] == f"{foretold['reason']} {foretold['hint']}".strip()
    assert world.done == [] and world.now == 0


def test_it_turns_out_to_have_diverged(run: Run, world: World) -> None:
    world.seen = [SILENT, SILENT, replace(SILENT, lsn=9000)]
    result = run()
    assert result["failed"] and result["action"] == "rebuild" and "further than the upstream" in result["msg"]
    assert world.now < 5


def test_the_upstream_has_gone_on_meanwhile(run: Run, world: World) -> None:
    """A position that looks too far is compared with that of the upstream now."""
    moves = iter([5000, 9000, 9000])
    utils = watching.upstream_side
    world.seen = [SILENT, replace(SILENT, lsn=6000), RUNNING]

    def read(connection: t.Any) -> t.Any:
        return replace(world.upstream, lsn=next(moves))

    original, utils.read = utils.read, read
    try:
        assert run()["streaming"]
    finally:
        utils.read = original


def test_a_higher_timeline_is_waited_for(run: Run, world: World) -> None:
    history = [importlib.import_module(f"{PACKAGE}.module_utils._wal").HistoryEntry(1, 4000, "")]
    world.upstream = standby.Upstream("42", 2, 5000, history=history)
    world.seen = [RUNNING, RUNNING, RUNNING, replace(RUNNING, timeline=2)]
    result = run()
    assert result["streaming"] and result["local"]["timeline"] == 2 and world.now > 0


@pytest.mark.parametrize(
    ("local", "log", "words"),
    [
        (SILENT, [], "It does not stream now. It is 1000 bytes behind. PostgreSQL goes on"),
        (
            replace(SILENT, restore_command="x"),
            ["FATAL:  could not connect to the primary server: x"],
            "what the archive has it replays from there. It is 1000 bytes behind. PostgreSQL says: could not connect",
        ),
        (
            replace(SILENT, restore_command="x", missing_segment="A"),
            ["FATAL:  y"],
            "(A), so it replays from the archive. It is 1000 bytes behind. If the archive does not have that WAL",
        ),
        (replace(STOPPED, alive=True, error="starting up."), [], "It takes no connections: starting up. PostgreSQL"),
    ],
)
def test_too_long(run: Run, world: World, local: t.Any, log: list[str], words: str) -> None:
    world.seen, world.log = [local], log
    result = run(timeout=30)
    assert result["failed"] and not result["changed"] and world.now >= 30
    assert result["msg"].startswith("The standby does not stream from db1, port 5432 after 30 seconds. ")
    assert words in result["msg"] and result["log"] == log


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ([], "Somebody has asked for that; SELECT pg_wal_replay_resume() ends it."),
        (
            ["WARNING:  not possible because of insufficient parameter settings"],
            "Raise them and restart",
        ),
    ],
)
def test_a_paused_standby_is_no_good_one(run: Run, world: World, log: list[str], words: str) -> None:
    world.seen, world.log = [replace(RUNNING, paused=True)], log
    assert run(check=True)["reason"].endswith("on timeline 1. Its replay is paused.")
    result = run()
    assert result["failed"] and result["msg"].startswith("Its replay is paused. ") and words in result["msg"]


@pytest.mark.parametrize(("version", "alive", "expected"), [(13, True, False), (12, True, True), (12, False, False)])
def test_a_restart_is_required(run: Run, world: World, version: int, alive: bool, expected: bool) -> None:
    world.seen = [replace(ELSEWHERE if alive else replace(STOPPED, conninfo=""), pg_version=version)]
    result = run(state="configured")
    assert result["restart_required"] is expected and result["changed"]
    if expected:
        waiting = run()
        assert waiting["restart_required"] and not waiting["streaming"] and world.now == 0


@pytest.mark.parametrize("check", [True, False])
def test_an_upstream_that_cannot_be_followed(run: Run, world: World, check: bool) -> None:
    world.refusal = problem.Problem("upstream_password", "db1 says no.", "Give the password.")
    result = run(check)
    assert result["failed"] and result["msg"] == "The upstream cannot be followed: db1 says no. Give the password."
    assert [found["code"] for found in result["problems"]] == ["upstream_password"]
    assert "action" not in result and not result["upstream"]["reachable"] and result["local"]["state"] == "cluster"


def test_an_upstream_of_another_cluster_or_this_very_one(run: Run, world: World) -> None:
    result = run(system_identifier="43")
    assert [found["code"] for found in result["problems"]] == ["upstream_other_cluster"]
    world.itself = True
    assert [found["code"] for found in run()["problems"]] == ["upstream_is_itself"]
    world.seen = [STOPPED]
    assert run(check=True)["action"] == "start"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"slot": "Db-2"}, "is no name of a slot"),
        ({"timeout": -1}, "must not be negative"),
        ({"upstream": {"host": "a\nb"}}, "upstream.host must not hold control characters"),
        ({"upstream": {"user": "x"}}, "one of the following is required: host, hostaddr, service"),
        ({"upstream": {"host": "x", "replication": "y"}}, "Unsupported parameters"),
    ],
)
def test_bad_input(run: Run, world: World, wrong: dict[str, t.Any], words: str) -> None:
    result = run(**wrong)
    assert result["failed"] and words in result["msg"] and world.done == []


def test_the_documentation_names_every_problem() -> None:
    root = Path(__file__).resolve().parents[4]
    sources = [(root / f"plugins/module_utils/{name}.py").read_text() for name in ("_upstream", "_standby_watch")]
    made = {code for text in sources for code in re.findall(r'"(upstream_\w+)"', text)}
    documented = (root / "plugins/modules/standby.py").read_text()
    named = re.search(r"A C\(code\) is one of (.*?)\.\n", documented, re.DOTALL)
    assert named and set(re.findall(r"V\((\w+)\)", named.group(1))) == made
