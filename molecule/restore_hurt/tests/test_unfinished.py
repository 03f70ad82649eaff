# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restores that are hurt while they work; the next run finishes them, and no row is lost.

The tests build on one another: a restore that was hurt at one point goes on to be hurt at the next one. What hurts both
modes alike is done with one of them, and with both when PGOPS_ALL_RESTORES=1 is set.
"""

from __future__ import annotations

import os
import re
import typing as t

import pytest
from hurt import (
    ASKS,
    CHECKS,
    FAULTS,
    PORTS,
    REPOSITORY,
    RESTORES,
    TRAPS,
    Play,
    break_archiving,
    crash,
    data,
    finish,
    has_receipt,
    hashes,
    is_half_restored,
    is_promoted,
    is_stopped,
    lose_power,
    mend_archiving,
    play,
    replays,
    send,
    server,
    set_marker,
    startup,
    state,
    untouched,
    wait_until,
    works,
)
from live import add_rows, as_postgres, query, rows, wait_for, wait_until_archived
from playbook import succeed

in_both_modes = pytest.mark.skipif(
    os.environ.get("PGOPS_ALL_RESTORES", "") in ("", "0"), reason="PGOPS_ALL_RESTORES=1 hurts both modes"
)
# Rows that were committed when a chain of faults began, by stanza.
COMMITTED: dict[str, str] = {}
# Faults of the present chain: name, mode, what is left, what the next run does.
CHAIN: list[tuple[str, str, str, str]] = []


def commit_what_no_repository_has(host: t.Any, stanza: str) -> None:
    """The last rows are in two segments that cannot be archived, the second one not even full."""
    port = PORTS[stanza]
    wait_until_archived(host, add_rows(host, port=port), port=port)
    break_archiving(host, stanza)
    add_rows(host, port=port)
    query(host, "INSERT INTO customer SELECT max(id) + 1, 'the last one' FROM customer", port=port)
    COMMITTED[stanza] = rows(host, port=port)
    CHAIN.clear()
    host.check_output(f"rm -rf {data(stanza)}.before-* {data(stanza)}.failed-*")


def restored(host: t.Any, stanza: str) -> None:
    """All is back and protected again: the end of a chain."""
    assert rows(host, port=PORTS[stanza]) == COMMITTED[stanza]
    wait_until_archived(host, add_rows(host, port=PORTS[stanza]), port=PORTS[stanza])
    left = as_postgres(host, "grep -E %s %s || true", "^(recovery_|restore_)", f"{data(stanza)}/postgresql.auto.conf")
    assert left == ""
    succeed("status", variables={"status_fail": True})
    number = COMMITTED[stanza].partition("|")[0]
    for fault in CHAIN:
        FAULTS.add(*fault, f"all {number}")


# The controller is killed, with swap.


def test_controller_killed_while_it_plans(db1: t.Any) -> None:
    with untouched(db1, "main"):
        run = Play("main")
        wait_until(run, then=f"until {send('STOP', ASKS)}; do :; done")  # they live for milliseconds
        run.kill()
        db1.check_output(send("CONT", ASKS))
    commit_what_no_repository_has(db1, "main")
    CHAIN.append(("controller killed while it plans", "swap", state(db1, "main"), "begins anew"))


def test_controller_killed_after_the_stop(db1: t.Any) -> None:
    run = Play("main")
    wait_until(run, is_stopped("main"))
    run.kill()
    CHAIN.append(("controller killed after the stop", "swap", state(db1, "main"), "goes on with the restore"))


def test_controller_killed_during_the_restore(db1: t.Any) -> None:
    set_marker(db1)
    run = Play("main")
    wait_until(run, is_half_restored("main"), then=send("STOP", RESTORES))
    run.kill()
    left = state(db1, "main")
    CHAIN.append(("controller killed during the restore; the work on the host goes on", "swap", left, "says so"))


def test_two_at_once(db1: t.Any) -> None:
    ended = play("main")
    assert "Another restore" in ended.message()
    CHAIN.append(
        ("second restore while the first one works", "swap", state(db1, "main"), f"refused: {ended.message()}")
    )
    db1.check_output(send("CONT", RESTORES))
    wait_for(lambda: db1.run(has_receipt("main")).rc == 0, "the end of the restore that nobody watches")
    left = state(db1, "main")
    assert "a whole restore, not started" in left
    CHAIN.append(("controller killed after the restore, before the start", "swap", left, "starts the server"))


def test_controller_killed_during_recovery(db1: t.Any) -> None:
    run = Play("main")
    wait_until(run, replays("main"), then=send("STOP", startup("main")))
    run.kill()
    CHAIN.append(("controller killed during recovery", "swap", state(db1, "main"), "waits for the end of recovery"))
    db1.check_output(send("CONT", startup("main")))


def test_controller_killed_after_the_promotion(db1: t.Any) -> None:
    run = Play("main")
    wait_until(run, is_promoted("main"), works(CHECKS))
    run.kill()
    assert rows(db1) == COMMITTED["main"]
    left = state(db1, "main")
    CHAIN.append(("controller killed after the promotion, before archiving works", "swap", left, "arms archiving"))


def test_archiving_still_broken_after_the_promotion(db1: t.Any) -> None:
    ended = play("main")
    assert rows(db1) == COMMITTED["main"]
    left = f"{state(db1, 'main')}. It says: {ended.message()}"
    CHAIN.append(("repository takes nothing when archiving is to go on", "swap", left, "archives, takes the backup"))


def test_all_is_finished(db1: t.Any) -> None:
    mend_archiving(db1, "main")
    finish("main")
    restored(db1, "main")


def test_once_more_changes_nothing(db1: t.Any) -> None:
    before = server(db1, "main"), rows(db1)
    assert finish("main").changed() == 0
    assert (server(db1, "main"), rows(db1)) == before


# The host is hurt, with delta; the primary has crashed before.


def test_postmaster_pid_of_a_crashed_server(db1: t.Any) -> None:
    commit_what_no_repository_has(db1, "web")
    crash(db1, "web")
    # systemd has tidied up after the server; it cannot after a host that crashed.
    as_postgres(db1, "tee %s <<'END'\n999999\n%s\nEND", f"{data('web')}/postmaster.pid", data("web"))
    before = hashes(db1, data("web"))
    ended = play("web", restore_mode="delta")
    after = hashes(db1, data("web"))
    assert after == before, db1.check_output("journalctl --no-pager --lines=20 --unit=postgresql@15-web")
    assert "stale_pid" in [problem["code"] for problem in ended.failure()["problems"]]
    TRAPS.add("stale postmaster.pid", "refused: stale_pid", "the server was down; same files", ended.message())
    db1.check_output("rm %s/postmaster.pid", data("web"))


def test_pgbackrest_killed_with_delta(db1: t.Any) -> None:
    run = Play("web", restore_mode="delta")
    wait_until(run, is_half_restored("web"), then=send("KILL", RESTORES))
    ended = run.end()
    left = f"{state(db1, 'web')}. It says: {ended.message()}"
    assert "half a restore in the data directory" in left
    CHAIN.append(("pgbackrest killed (-9)", "delta", left, "restores what is missing"))
    mend_archiving(db1, "web")


@in_both_modes
def test_repository_gone_half_way_with_delta(db1: t.Any) -> None:
    run = Play("web", restore_mode="delta")
    gone = f"{send('STOP', RESTORES)}; mv {REPOSITORY}/backup/web /root/; {send('CONT', RESTORES)}"
    wait_until(run, works(RESTORES), then=gone)
    ended = run.end()
    db1.check_output("mv /root/web %s/backup/", REPOSITORY)
    left = f"{state(db1, 'web')}. It says: {ended.message()}"
    CHAIN.append(("repository gone half-way", "delta", left, "restores what is missing"))


@in_both_modes
def test_power_lost_during_the_restore_with_delta(db1: t.Any) -> None:
    run = Play("web", restore_mode="delta")
    wait_until(run, is_half_restored("web"), then=send("STOP", RESTORES))
    lose_power()
    ended = run.end()
    left = f"{state(db1, 'web')}. It says: {ended.message()}"
    assert "server down" in left
    CHAIN.append(("power lost during the restore", "delta", left, "restores what is missing"))


@in_both_modes
def test_crash_in_replay_with_delta(db1: t.Any) -> None:
    run = Play("web", restore_mode="delta")
    wait_until(run, replays("web"), then=send("KILL", startup("web")))
    ended = run.end()
    left = f"{state(db1, 'web')}. It says: {ended.message()}"
    CHAIN.append(("PostgreSQL crashes in replay", "delta", left, "starts it again, recovery goes on"))


def test_power_lost_during_recovery_with_delta(db1: t.Any) -> None:
    run = Play("web", restore_mode="delta")
    wait_until(run, replays("web"), then=send("STOP", startup("web")))
    lose_power()
    ended = run.end()
    left = f"{state(db1, 'web')}. It says: {ended.message()}"
    CHAIN.append(("power lost during recovery", "delta", left, "goes on after it"))
    finish("web", restore_mode="delta")
    restored(db1, "web")


# The host is hurt, with swap: the old cluster comes back.


def test_pgbackrest_killed_with_swap(db1: t.Any) -> None:
    commit_what_no_repository_has(db1, "main")
    crash(db1, "main")
    run = Play("main", restore_repeat=True)
    wait_until(run, is_half_restored("main"), then=send("KILL", RESTORES))
    ended = run.end()
    left = f"{state(db1, 'main')}. It says: {ended.message()}"
    CHAIN.append(("pgbackrest killed (-9)", "swap", left, "restores anew"))


def test_power_lost_during_the_restore_with_swap(db1: t.Any) -> None:
    mend_archiving(db1, "main")
    run = Play("main", restore_repeat=True)
    wait_until(run, is_half_restored("main"), then=send("STOP", RESTORES))
    lose_power()
    run.end()
    wait_for(lambda: rows(db1) == COMMITTED["main"], "the old cluster, started by systemd")
    CHAIN.append(("power lost during the restore", "swap", state(db1, "main"), "stops it again, restores anew"))


def test_crash_in_replay_with_swap(db1: t.Any) -> None:
    run = Play("main", restore_repeat=True)
    wait_until(run, replays("main"), then=send("KILL", startup("main")))
    ended = run.end()
    assert rows(db1) == COMMITTED["main"]
    left = f"{state(db1, 'main')}. It says: {ended.message()}"
    CHAIN.append(("PostgreSQL crashes in replay", "swap", left, "restores anew"))


def test_wal_gone_half_way_with_swap(db1: t.Any) -> None:
    """PostgreSQL takes a missing segment for the end of the WAL and opens too early; the play does not believe it."""
    for _dummy in range(3):
        segment = add_rows(db1)
    wait_until_archived(db1, add_rows(db1))
    COMMITTED["main"] = rows(db1)
    found = db1.check_output("find %s/archive/main -name %s", REPOSITORY, f"{segment}-*")
    run = Play("main", restore_repeat=True)
    wait_until(run, is_half_restored("main"), then=f"mv {found} /root/")
    ended = run.end()
    db1.check_output("mv %s %s", f"/root/{found.rpartition('/')[2]}", found)
    left = f"{state(db1, 'main')}. It says: {ended.message()}"
    assert rows(db1) == COMMITTED["main"]
    CHAIN.append(("a WAL segment gone after the plan", "swap", left, "asks for the timeline, restores anew"))
    # The cluster that opened too early has left a timeline of its own in the archive.
    right = re.findall(r"target_timeline\D+(\d+)", ended.message())[0]
    assert "timeline" in [problem["code"] for problem in play("main", restore_repeat=True).failure()["problems"]]
    finish("main", restore_repeat=True, restore_target_timeline=right)
    restored(db1, "main")


# The disk is full.


@pytest.fixture(scope="module")
def small_disk(on: t.Any) -> t.Any:
    """The cluster web on a file system of its own that can be filled."""
    host, unit = on("db1"), "postgresql@15-web"
    host.check_output(f"systemctl stop {unit} && rm -rf {data('web')}.* && mv /srv/disk /srv/old && mkdir /srv/disk")
    host.check_output("mount -t tmpfs -o size=900m,mode=0755,uid=postgres,gid=postgres tmpfs /srv/disk")
    host.check_output(f"cp -a /srv/old/. /srv/disk/ && systemctl start {unit}")
    return host


FILL = "while pgrep -f '{pattern}' >/dev/null; do cat /dev/zero >>/srv/disk/filling 2>/dev/null; sleep 0.05; done"


def test_not_enough_space(small_disk: t.Any) -> None:
    # A server needs a little, too.
    small_disk.check_output(
        "fallocate -l $(($(df --output=avail -B 1M /srv/disk | tail -n 1) - 60))M /srv/disk/filling"
    )
    with untouched(small_disk, "web"):
        ended = play("web", restore_repeat=True)
    failure = ended.failure()
    assert "space" in [problem["code"] for problem in failure["problems"]]
    TRAPS.add("not enough space", "refused: space", "same", failure["msg"])
    small_disk.check_output("rm /srv/disk/filling")


@pytest.mark.parametrize("mode", ["swap", pytest.param("delta", marks=in_both_modes)])
def test_disk_full(small_disk: t.Any, mode: str) -> None:
    query(small_disk, "UPDATE ballast SET n = n + 1 WHERE mod(n, 2) = 0", port=PORTS["web"])
    commit_what_no_repository_has(small_disk, "web")
    run = Play("web", restore_mode=mode, restore_repeat=True)
    wait_until(run, is_half_restored("web"), then=FILL.format(pattern=RESTORES))
    ended = run.end()
    left = f"{state(small_disk, 'web')}. It says: {ended.message()}"
    CHAIN.append(("disk full", mode, left, "restores anew" if mode == "swap" else "restores what is missing"))
    mend_archiving(small_disk, "web")
    small_disk.check_output("rm /srv/disk/filling")
    finish("web", restore_mode=mode, restore_repeat=True)
    restored(small_disk, "web")
