# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one action that a standby needs."""

from __future__ import annotations

import typing as t
from dataclasses import replace

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils._standby import (
    ACTIONS,
    Local,
    Receiver,
    Upstream,
    Wanted,
    configured,
    in_force,
    judge,
    lag,
    streams,
)
from ansible_collections.pgops.pgbackrest.plugins.module_utils._wal import HistoryEntry

CONNINFO = "host=db1 user=replicator password=s3cret"
WANTED = Wanted({"host": "db1", "user": "replicator", "password": "s3cret"}, "db2")
RECEIVER = Receiver(7, "streaming", "db1", "5432", "db2", "replicator")
HISTORY = [HistoryEntry(1, 1000, "no recovery target specified"), HistoryEntry(2, 2000, "")]
UPSTREAM = Upstream("42", 3, 5000, history=HISTORY)
STOPPED = Local("cluster", "42", 15, "shut down in recovery", 3, 4000, standby=True, conninfo=CONNINFO, slot="db2")
RUNNING = replace(
    STOPPED,
    cluster_state="in archive recovery",
    alive=True,
    connected=True,
    running_conninfo=CONNINFO,
    running_slot="db2",
    receiver=RECEIVER,
)
SILENT = replace(RUNNING, receiver=None)
STARTING = replace(STOPPED, alive=True, error="the database system is starting up.")


@pytest.mark.parametrize(
    ("local", "action", "words"),
    [
        (Local("missing"), "provision", "no data directory"),
        (Local("empty"), "provision", "is empty"),
        (Local("unfinished"), "rebuild", "did not end"),
        (Local("cluster"), "rebuild", "did not end"),
        (Local("other"), "refuse", "holds files, but no cluster"),
        (Local("closed"), "refuse", "may not be read"),
        (Local("file"), "refuse", "is no directory"),
        (replace(STOPPED, system_identifier="43"), "refuse", "another cluster: its system identifier is 43"),
        (replace(RUNNING, system_identifier="43"), "refuse", "another cluster"),
        # an old primary
        (replace(RUNNING, in_recovery=False), "rebuild", "is a primary itself, and takes writes on timeline 3."),
        (replace(RUNNING, in_recovery=False, timeline=4), "rebuild", "make sure that the upstream has the data"),
        (replace(STOPPED, standby=False, cluster_state="shut down"), "rebuild", "It was no standby"),
        (replace(STARTING, standby=False), "rebuild", "It was no standby"),
        # timelines
        (replace(RUNNING, timeline=2, lsn=2000), "none", "streams"),
        (replace(RUNNING, timeline=2, lsn=2001), "rebuild", "They have diverged"),
        (replace(STOPPED, timeline=1, lsn=1000), "start", "has not diverged"),
        (replace(STOPPED, timeline=1, lsn=1001), "rebuild", "0/3E9 on timeline 1, but the upstream left"),
        (replace(RUNNING, timeline=4), "rebuild", "not in the history of the upstream (timeline 3). That is newer"),
        (replace(RUNNING, lsn=5000), "none", "streams"),
        (replace(RUNNING, lsn=5001), "rebuild", "further than the upstream"),
        # whom it follows
        (replace(RUNNING, running_conninfo="host=db9", conninfo="host=db9"), "repoint", "follows db9, port 5432"),
        (replace(RUNNING, running_slot="", slot=""), "repoint", "without a slot"),
        (replace(RUNNING, running_conninfo="host=db9"), "repoint", "follows db9"),
        (replace(RUNNING, conninfo="host=db9"), "repoint", "has not diverged"),
        (replace(STOPPED, conninfo="host=db9"), "start", "was to follow db9"),
        (replace(STOPPED, conninfo=""), "start", "was to follow nobody"),
        (replace(STARTING, conninfo="host=db9"), "repoint", "has not diverged"),
        # as it should be
        (STOPPED, "start", "It is stopped"),
        (RUNNING, "none", "It streams from db1, port 5432 on timeline 3."),
        (STARTING, "none", "takes no connections yet: the database system is starting up."),
        (SILENT, "none", "It does not stream now. It is 1000 bytes behind."),
        (replace(SILENT, restore_command="x"), "none", "what the archive has it replays from there"),
        (replace(SILENT, missing_segment="A"), "rebuild", "no longer has the WAL that it needs next (A)"),
        (replace(SILENT, missing_segment="A", restore_command="x"), "none", "so it replays from the archive"),
    ],
)
def test_judge(local: Local, action: str, words: str) -> None:
    found = judge(local, UPSTREAM, WANTED)
    assert found.action == action and action in ACTIONS
    assert words in found.reason and "s3cret" not in found.text()
    assert bool(found.hint) == (action == "refuse")


@pytest.mark.parametrize(
    ("local", "upstream", "action"),
    [
        (RUNNING, Upstream("42", 3, 100, in_recovery=True, history=HISTORY), "none"),
        (RUNNING, Upstream("42", 2, 100, in_recovery=True, history=HISTORY[:1]), "refuse"),
        (RUNNING, Upstream("42", 2, 100, history=HISTORY[:1]), "rebuild"),
        (replace(RUNNING, timeline=1), Upstream("42", 3, 5000), "rebuild"),
    ],
)
def test_judge_by_the_upstream(local: Local, upstream: Upstream, action: str) -> None:
    """A standby may be behind those that follow it, and gets there; a primary may not."""
    assert judge(local, upstream, WANTED).action == action


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, True),
        ({"status": "starting"}, False),
        ({"host": "db9"}, False),
        ({"port": "5433"}, False),
        ({"port": None}, True),
        ({"slot": None}, False),
    ],
)
def test_streams(change: dict[str, t.Any], expected: bool) -> None:
    assert streams(replace(RUNNING, receiver=replace(RECEIVER, **change)), WANTED) is expected


def test_streams_by_address_and_without_a_slot() -> None:
    wanted = Wanted({"host": "db1", "hostaddr": "10.0.0.1", "port": 5433})
    receiver = Receiver(7, "streaming", "10.0.0.1", "5433")
    assert streams(replace(RUNNING, receiver=receiver), wanted)
    assert not streams(replace(RUNNING, receiver=receiver, in_recovery=False), wanted)
    assert not streams(replace(RUNNING, receiver=receiver, connected=False), wanted)


def test_streams_from_one_of_several_or_of_a_service() -> None:
    receiver = Receiver(7, "streaming", "db2", "5433")
    local = replace(RUNNING, receiver=receiver)
    assert streams(local, Wanted({"host": "db1,db2", "port": "5432,5433"}))
    assert not streams(local, Wanted({"host": "db1,db3", "port": "5432,5433"}))
    assert streams(local, Wanted({"service": "primary"}))


def test_patroni_says_whom_its_members_follow() -> None:
    for local in (replace(RUNNING, running_slot="x", slot="x"), replace(RUNNING, in_recovery=False)):
        found = judge(replace(local, patroni=True), UPSTREAM, WANTED)
        assert found.action == "refuse" and "patronictl" in found.hint
    assert judge(replace(RUNNING, patroni=True), UPSTREAM, WANTED).action == "none"


def test_in_force_before_postgresql_12() -> None:
    """There the server does not show its settings, and the process that receives WAL must do."""
    old = replace(RUNNING, pg_version=11, running_conninfo=None, running_slot=None)
    assert in_force(old, WANTED) and configured(old, WANTED)
    assert in_force(replace(old, receiver=None), WANTED)
    for change in ({"host": "db9"}, {"slot": None}, {"user": "other"}):
        assert not in_force(replace(old, receiver=replace(RECEIVER, **t.cast("t.Any", change))), WANTED)


def test_lag() -> None:
    assert lag(replace(RUNNING, seconds=1.5), UPSTREAM) == {"bytes": 1000, "seconds": 1.5}
    assert lag(replace(RUNNING, lsn=6000), UPSTREAM)["bytes"] == 0
    nothing = {"bytes": None, "seconds": None}
    assert lag(STOPPED, UPSTREAM) == lag(replace(RUNNING, in_recovery=False), UPSTREAM) == nothing
