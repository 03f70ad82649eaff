# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Part ``knobs``: backups and restores with one option changed at a time, as processor time.

Processor time is what a backup takes from the database beside it, and it does not depend on what else the machine does.
"""

from __future__ import annotations

import os
import resource
import time
import typing as t
from pathlib import Path

from . import data, throwaway
from .backup import CHANGED, OWN, with_newest_pgbackrest
from .context import Context
from .measure import interleaved, median
from .pgbackrest import PgBackRest
from .throwaway import Cluster

NAME = "knobs"
NEWEST = with_newest_pgbackrest(OWN) or OWN
PROGRAMS = {
    "postgresql": [f"{OWN.bindir}/postgres", "--version"],
    "pgbackrest": [NEWEST.executable, "version"],
}
MEGABYTES = 150  # enough, as processor time grows with the data; twenty competitors take ten minutes
STOCK, DEFAULTS, AGAIN = "stock (gz, level 6)", "the defaults", "the defaults once more"
Options = dict[str, dict[str, t.Any]]
KNOBS: Options = {
    AGAIN: {},
    "compress-level=1": {"compress-level": 1},
    "compress-level=3": {"compress-level": 3},
    "compress-type=lz4": {"compress-type": "lz4"},
    "compress-type=gz": {"compress-type": "gz"},
    "process-max=1": {"process-max": 1},
    "process-max=4": {"process-max": 4},
    "repo1-bundle=n": {"repo1-bundle": False, "repo1-block": False},
    "repo1-bundle-size=4MiB": {"repo1-bundle-size": "4MiB"},
    "repo1-bundle-size=100MiB": {"repo1-bundle-size": "100MiB"},
    "repo1-bundle-limit=256KiB": {"repo1-bundle-limit": "256KiB"},
    "repo1-bundle-limit=8MiB": {"repo1-bundle-limit": "8MiB"},
}
# All but the first are for tests of pgBackRest alone, says its help.
BLOCKS: Options = {
    "repo1-block=n": {"repo1-block": False},
    "blocks of 32 KiB": {"repo1-block-size-map": ["16KiB=32KiB"]},
    "blocks of 128 KiB": {"repo1-block-size-map": ["16KiB=128KiB"]},
    "checksums of 10 bytes": {"repo1-block-checksum-size-map": ["8KiB=10"]},
    "super blocks of 64 KiB": {"repo1-block-size-super": "64KiB"},
    "super blocks of 1 MiB": {"repo1-block-size-super": "1MiB"},
    "super blocks of 256 KiB in full backups": {"repo1-block-size-super-full": "256KiB"},
    "super blocks of 4 MiB in full backups": {"repo1-block-size-super-full": "4MiB"},
}
SMOKE = ("repo1-bundle=n", "repo1-block=n")


def run(context: Context) -> dict[str, t.Any]:
    """All knobs, each in a repository of its own."""
    with throwaway.running(context.directory / "cluster", OWN) as cluster:
        megabytes, rows = (20, 10) if context.smoke else (min(context.megabytes, MEGABYTES), 125)
        data.load(cluster, megabytes)
        data.split(cluster, rows)
        changed = {**KNOBS, **BLOCKS}
        found = enter(context.directory, cluster, {name: changed[name] for name in SMOKE} if context.smoke else changed)
        return {"notes": notes(cluster), "tables": [*whole(context, cluster, found), *later(context, cluster, found)]}


def notes(cluster: Cluster) -> list[str]:
    """How it was measured."""
    size = throwaway.size(cluster.pgdata / "base") / 1e6
    return [
        f"The data of the comparison above and {data.PIECES} tables of 0.1 to 4 MB, {size:,.0f} MB in all, without "
        "archiving. Processor time is that of all processes of pgBackRest, user and system.",
        f"Before the incremental backup {CHANGED:.0%} of the rows of the comparison above were changed, all in the "
        "newest month.",
        "The defaults are there twice: what lies between the two rows is chance.",
    ]


def enter(top: Path, cluster: Cluster, changed: Options) -> dict[str, PgBackRest]:
    """Stock, the defaults, and the defaults with one thing changed."""
    shared: dict[str, t.Any] = {"archive-check": False}  # there is no archive; the same for all
    found = {STOCK: PgBackRest(top / "stock", NEWEST, cluster, tuned=False, **{"archive-check": "n"})}
    found[DEFAULTS] = PgBackRest(top / "defaults", NEWEST, cluster, tuned=True, **shared)
    for number, (name, knob) in enumerate(changed.items()):
        found[name] = PgBackRest(top / f"knob{number}", NEWEST, cluster, tuned=True, **shared, **knob)
    return found


def whole(context: Context, cluster: Cluster, found: dict[str, PgBackRest]) -> list[dict[str, t.Any]]:
    """A full backup by all, and its restore by those whom blocks are no matter of."""
    full = Timed(context, "full", found, lambda name, one: one.full())
    full.measure(lambda name: begin(found[name], cluster))
    sizes = {name: shown(one.size()) for name, one in found.items()}
    files = {name: f"{count(one.repo / 'backup'):,}" for name, one in found.items()}
    kept = {name: one for name, one in found.items() if name not in BLOCKS}
    return [
        full.table("Processor time of a full backup", **{"size (MB)": sizes, "files": files}),
        restoring(context, cluster, kept, "restore").table("Processor time of a restore into an empty directory"),
    ]


def later(context: Context, cluster: Cluster, found: dict[str, PgBackRest]) -> list[dict[str, t.Any]]:
    """An incremental backup by those whom blocks are a matter of, and its restore."""
    data.change(cluster, CHANGED)
    kept = {name: one for name, one in found.items() if name in BLOCKS or name in (STOCK, DEFAULTS, AGAIN)}
    before = {name: one.size() for name, one in kept.items()}
    incremental = Timed(context, "incremental", kept, lambda name, one: one.incremental())
    incremental.measure(lambda name: kept[name].forget_incremental())
    sizes = {name: shown(one.size() - before[name]) for name, one in kept.items()}
    restored = restoring(context, cluster, kept, "restore-incremental")
    return [
        incremental.table("Processor time of an incremental backup after 5 % change", **{"size (MB)": sizes}),
        restored.table("Processor time of a restore of the incremental backup"),
    ]


def restoring(context: Context, cluster: Cluster, found: dict[str, PgBackRest], step: str) -> Timed:
    """Restores of the newest backup. All must have come back."""
    targets = {name: context.directory / f"target{number}" for number, name in enumerate(found)}
    timed = Timed(context, step, found, lambda name, one: one.restore(targets[name]))
    timed.measure(lambda name: throwaway.empty(targets[name]))
    wanted = data.relations(cluster.pgdata)
    for name, target in targets.items():
        assert data.relations(target) == wanted, f"{name} did not restore everything to {target}."
    return timed


def begin(one: PgBackRest, cluster: Cluster) -> None:
    """An empty repository, and nothing for a checkpoint to write: without start-fast a backup would wait for it."""
    one.begin()
    cluster.sql("CHECKPOINT")


def count(directory: Path) -> int:
    """Files below a directory: each is a request to an object store."""
    return sum(len(names) for _directory, _directories, names in os.walk(directory))


def shown(size: int) -> str:
    return f"{size / 1e6:,.1f}"


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
