# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Part ``priority``: what queries lose to a backup beside them, and a backup to queries, by the backup's priority."""

from __future__ import annotations

import contextlib
import functools
import statistics
import time
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from ...plugins.module_utils import _schedule
from . import cpu_groups, data, throwaway
from .backup import OWN
from .context import Context
from .measure import interleaved, median
from .pgbackrest import PgBackRest
from .pgbench import CLIENTS, Pgbench
from .throwaway import Cluster

NAME = "priority"
PROGRAMS = {
    "postgresql": [f"{OWN.bindir}/postgres", "--version"],
    "pgbackrest": [OWN.executable, "version"],
}
MEGABYTES = 400  # so that a backup takes seconds
# What the units of scheduled backups say: Nice, CPUWeight, IOSchedulingPriority …
UNIT = dict(line.split("=", 1) for line in _schedule._SERVICE.splitlines() if "=" in line)
ALONE, NOTHING, NORMAL = "a backup without queries", "no backup", "a backup as any other process"
NICE, SCHEDULED = f"a backup with Nice={UNIT['Nice']}", f"a scheduled backup: also CPUWeight={UNIT['CPUWeight']}"
GROUP = "Only the scheduled backup has a group of its own beside that of the queries, as systemd makes it."
NO_GROUPS = "There is no scheduled backup: no groups with weights can be made here."


@dataclass
class Way:
    """A way to run a backup, and what was found in each round."""

    words: list[str] | None = field(default_factory=list)  # before the command; None: there is no backup
    group: Path | None = None
    queries: bool = True
    rates: list[float] = field(default_factory=list)
    latest: list[float] = field(default_factory=list)  # milliseconds within which 99 % of the queries end


def run(context: Context) -> dict[str, t.Any]:
    """Queries without pause, and a backup beside them in each way."""
    with contextlib.ExitStack() as stack:
        groups = stack.enter_context(cpu_groups.weighted(int(UNIT["CPUWeight"])))
        cluster = stack.enter_context(throwaway.running(context.directory / "cluster", OWN))
        data.load(cluster, 20 if context.smoke else min(context.megabytes, MEGABYTES))
        pgbench = Pgbench(cluster, context.directory / "pgbench")
        pgbench.load(scale=1 if context.smoke else 20)
        backup = PgBackRest(context.directory / "backup", OWN, cluster, tuned=True, **{"archive-check": False})
        ways = enter(groups)
        pause = 2.0 if context.smoke else 8.0
        works = {name: functools.partial(measure, way, backup, pgbench, cluster, pause) for name, way in ways.items()}
        seconds = interleaved(works, context.runs, lambda name: begin(backup, cluster), context.say)
    return {"notes": notes(bool(groups)), "tables": tables(ways, seconds)}


def enter(groups: list[Path]) -> dict[str, Way]:
    """The ways that compete; without groups there is none with a weight."""
    io = ["ionice", "--class", UNIT["IOSchedulingClass"], "--classdata", UNIT["IOSchedulingPriority"]]
    lower = ["nice", "-n", UNIT["Nice"], *io]
    found = {NOTHING: Way(words=None), ALONE: Way(queries=False), NORMAL: Way(), NICE: Way(lower)}
    return {**found, SCHEDULED: Way(lower, groups[0])} if groups else found


def notes(weighed: bool) -> list[str]:
    """How it was measured."""
    return [
        f"Queries: pgbench, {CLIENTS} clients, each with one transaction after the other (`simple-update`), without "
        "waiting for the disk (`fsync=off`). So they take all CPUs that they get, which is the worst case. A full "
        "backup runs beside them, configured as in the comparison of backups.",
        f"Queries and backups share their CPUs as processes of one control group. {GROUP if weighed else NO_GROUPS}",
        "The transactions are those that ended while the backup ran; without a backup those of some seconds after a "
        "checkpoint. Everything is read from the page cache, so the priority for the disk does not count.",
    ]


def begin(backup: PgBackRest, cluster: Cluster) -> None:
    """An empty repository; nothing that earlier queries left behind."""
    backup.begin()
    cluster.sql("TRUNCATE pgbench_history")
    cluster.sql("VACUUM pgbench_accounts")
    cluster.sql("CHECKPOINT")


def measure(way: Way, backup: PgBackRest, pgbench: Pgbench, cluster: Cluster, pause: float) -> float:
    """Seconds of the backup. The rate of queries goes to the way."""
    if not way.queries:
        return timed(functools.partial(take, way, backup))
    with pgbench.running():
        time.sleep(1)  # until all clients are connected
        begun = time.time()
        seconds = timed(functools.partial(take, way, backup) if way.words is not None else rest(cluster, pause))
        latencies = pgbench.between(begun, time.time())
    way.rates.append(len(latencies) / seconds)
    way.latest.append(statistics.quantiles(latencies, n=100)[-1])
    return seconds


def take(way: Way, backup: PgBackRest) -> None:
    """A full backup in one of the ways."""
    argv = [*(way.words or []), *backup.words(), "--log-level-console=off", "--type=full", "backup"]
    moved: dict[str, t.Any] = {"preexec_fn": functools.partial(cpu_groups.join, way.group)} if way.group else {}
    ended = throwaway.as_user(argv, start_new_session=True, **moved)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def rest(cluster: Cluster, seconds: float) -> t.Callable[[], None]:
    """No backup, but the checkpoint with which one begins: the first change of each page after it is more work."""

    def wait() -> None:
        cluster.sql("CHECKPOINT")
        time.sleep(seconds)

    return wait


def timed(work: t.Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def tables(ways: dict[str, Way], seconds: dict[str, list[float]]) -> list[dict[str, t.Any]]:
    """What the queries got, and what the backup."""
    asked = {name: way for name, way in ways.items() if way.queries}
    rates = {name: way.rates for name, way in asked.items()}
    late = {name: f"{median(way.latest):.1f}" for name, way in asked.items()}
    backups = {name: seconds[name] for name, way in ways.items() if way.words is not None}
    queries = {"key": "queries", "title": "Queries while a backup runs", "unit": "transactions/s", "more": "rate"}
    return [
        {**queries, "baseline": NOTHING, "measured": rates, "beside": {"99 % of them within (ms)": late}},
        {"key": "backup", "title": "Full backup beside queries", "baseline": NORMAL, "measured": backups},
    ]
