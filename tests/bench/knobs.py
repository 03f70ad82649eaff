# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Part ``knobs``: a full backup and its restore with one option changed at a time, as processor time.

Processor time is what a backup takes from the database beside it, and it does not depend on what else the machine does.
"""

from __future__ import annotations

import resource
import time
import typing as t
from pathlib import Path

from . import data, throwaway
from .backup import OWN, with_newest_pgbackrest
from .context import Context
from .measure import interleaved, median
from .pgbackrest import PgBackRest
from .throwaway import Cluster, Programs

NAME = "knobs"
NEWEST = with_newest_pgbackrest(OWN) or OWN
PROGRAMS = {
    "postgresql": [f"{OWN.bindir}/postgres", "--version"],
    "pgbackrest": [NEWEST.executable, "version"],
}
STOCK, DEFAULTS = "stock (gz, level 6)", "the defaults"
KNOBS: dict[str, dict[str, t.Any]] = {
    "compress-level=1": {"compress-level": 1},
    "compress-level=3": {"compress-level": 3},
    "compress-type=lz4": {"compress-type": "lz4"},
    "compress-type=gz": {"compress-type": "gz"},
    "process-max=1": {"process-max": 1},
    "process-max=4": {"process-max": 4},
    "repo1-block=n": {"repo1-block": False},
    "repo1-bundle=n": {"repo1-bundle": False, "repo1-block": False},
}


def run(context: Context) -> dict[str, t.Any]:
    """All knobs, each in a repository of its own."""
    with throwaway.running(context.directory / "cluster", OWN) as cluster:
        data.load(cluster, context.megabytes)
        found = enter(context.directory, cluster, NEWEST)
        full = Timed(context, "full", found, lambda name, one: one.full())
        full.measure(lambda name: begin(found[name], cluster))
        targets = {name: context.directory / f"target{number}" for number, name in enumerate(found)}
        restored = Timed(context, "restore", found, lambda name, one: one.restore(targets[name]))
        restored.measure(lambda name: throwaway.empty(targets[name]))
        sizes = {name: f"{one.size() / 1e6:,.1f}" for name, one in found.items()}
        size = throwaway.size(cluster.pgdata / "base") / 1e6
    return {
        "notes": [
            f"The data of the comparison above, {size:,.0f} MB, without archiving. Processor time is that of all "
            "processes of pgBackRest, user and system.",
        ],
        "tables": [
            full.table("Processor time of a full backup", **{"size (MB)": sizes}),
            restored.table("Processor time of a restore into an empty directory"),
        ],
    }


def enter(top: Path, cluster: Cluster, programs: Programs) -> dict[str, PgBackRest]:
    """Stock, the defaults, and the defaults with one thing changed."""
    shared: dict[str, t.Any] = {"archive-check": False}  # there is no archive; the same for all
    found = {STOCK: PgBackRest(top / "stock", programs, cluster, tuned=False, **{"archive-check": "n"})}
    found[DEFAULTS] = PgBackRest(top / "defaults", programs, cluster, tuned=True, **shared)
    for number, (name, knob) in enumerate(KNOBS.items()):
        found[name] = PgBackRest(top / f"knob{number}", programs, cluster, tuned=True, **shared, **knob)
    return found


def begin(one: PgBackRest, cluster: Cluster) -> None:
    """An empty repository, and nothing for a checkpoint to write: without start-fast a backup would wait for it."""
    one.begin()
    cluster.sql("CHECKPOINT")


class Timed:
    """One step of all competitors: processor time, and the seconds that it took beside it."""

    def __init__(
        self, context: Context, step: str, found: dict[str, PgBackRest], work: t.Callable[[str, PgBackRest], None]
    ) -> None:
        self.context, self.step, self.found, self.work = context, step, found, work
        self.seconds: dict[str, list[float]] = {name: [] for name in found}
        self.processor: dict[str, list[float]] = {}

    def measure(self, before: t.Callable[[str], t.Any]) -> None:
        self.context.say(f"{self.step}:")
        works = {name: self.timed(name) for name in self.found}
        self.processor = interleaved(works, self.context.runs, before, self.context.say)

    def timed(self, name: str) -> t.Callable[[], float]:
        def work() -> float:
            start, used = time.perf_counter(), processor_time()
            self.work(name, self.found[name])
            self.seconds[name].append(time.perf_counter() - start)
            return processor_time() - used

        return work

    def table(self, title: str, **beside: dict[str, str]) -> dict[str, t.Any]:
        seconds = {name: f"{median(values):.2f}" for name, values in self.seconds.items()}
        found = {"key": self.step, "title": title, "baseline": DEFAULTS, "measured": self.processor}
        return {**found, "beside": {"took (s)": seconds, **beside}}


def processor_time() -> float:
    """Seconds of all processes that have ended, started by this one or by its children."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
