# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Part ``backup``: full and incremental backups, restores into an empty and into an existing directory."""

from __future__ import annotations

import contextlib
import os
import shutil
import typing as t
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from . import data, throwaway
from .barman import Barman, ssh_server
from .context import Context
from .measure import Measured, Work, interleaved
from .others import BaseBackup, Copy, Limit
from .pgbackrest import PgBackRest
from .throwaway import Cluster, Programs

NAME = "backup"
STOCK, OURS = "pgBackRest, stock", "pgBackRest, this collection's defaults"
OWN = throwaway.PROGRAMS[0]
PROGRAMS = {
    "postgresql": [f"{OWN.bindir}/postgres", "--version"],
    "pgbackrest": [OWN.executable, "version"],
    **({"barman": ["barman", "--version"]} if shutil.which("barman") else {}),
}
CHANGED = 0.05
Competitors = Mapping[str, t.Any]


def run(context: Context) -> dict[str, t.Any]:
    """Measure all of it, in an order in which each step finds what it needs."""
    script = throwaway.write(context.directory / "pgbackrest-archive", "#!/bin/sh\nexit 0\n", 0o755)
    settings = {"archive_mode": "on", "archive_command": f'{script} "%p"'}
    with throwaway.running(context.directory / "cluster", OWN, **settings) as cluster:
        context.say(f"loading {context.megabytes} MB")
        data.load(cluster, context.megabytes)
        with contextlib.ExitStack() as stack:
            competitors = enter(context, cluster, stack)
            bench = Bench(context, cluster, competitors, script)
            return {"notes": notes(context, cluster), "tables": bench.tables()}


def enter(context: Context, cluster: Cluster, stack: contextlib.ExitStack) -> dict[str, t.Any]:
    """All competitors; those who need programs that are not here are left out, and a smoke test has few."""
    top = context.directory
    found: dict[str, t.Any] = {
        STOCK: PgBackRest(top / "stock", OWN, cluster, tuned=False),
        OURS: PgBackRest(top / "ours", OWN, cluster, tuned=True),
    }
    newest = with_newest_pgbackrest(OWN)
    if newest and not context.smoke:
        version = ".".join(map(str, newest.pgbackrest_version))
        found[f"the same with pgBackRest {version}"] = PgBackRest(top / "newest", newest, cluster, tuned=True)
    if OWN.pg_major >= 15:
        found["pg_basebackup, zstd in the server"] = BaseBackup(top / "zstd", cluster, zstd=True)
    if not context.smoke:
        found["pg_basebackup"] = BaseBackup(top / "plain", cluster, zstd=False)
        if all(map(shutil.which, ("barman", "rsync", "ssh-keygen"))):
            command = stack.enter_context(ssh_server(top / "sshd"))
            found["Barman, rsync"] = Barman(top / "rsync", cluster, "rsync", command)
            found["Barman, postgres"] = Barman(top / "postgres", cluster, "postgres", "")
    return {**found, "limit: tar | zstd -T0": Limit(top / "tar", cluster), "limit: cp -a": Copy(top / "cp", cluster)}


def with_newest_pgbackrest(programs: Programs) -> Programs | None:
    """The same PostgreSQL with the newest pgBackRest that is here, if that is another one."""
    newest = max(throwaway.PROGRAMS, key=lambda pair: pair.pgbackrest_version)
    if newest.pgbackrest_version == programs.pgbackrest_version:
        return None
    return replace(programs, pgbackrest_version=newest.pgbackrest_version, executable=newest.executable)


def notes(context: Context, cluster: Cluster) -> list[str]:
    """How it was measured."""
    relations = throwaway.size(cluster.pgdata / "base") / 1e6
    kinds = ", ".join(f"{share:.0%} {kind}" for kind, share in data.SHARES.items())
    return [
        f"A database of {relations:,.0f} MB in {len(data.SHARES) * data.MONTHS} tables ({kinds}: text, rows as pgbench "
        "has them, content that is compressed already, random values), one table for each kind and month.",
        "Everything is read from the page cache, for all of them. Before each measurement there is a checkpoint, and "
        "all that was written before is on disk.",
        "Stock pgBackRest has only paths in its configuration; the defaults are what the role `database` writes for "
        f"this machine. Barman's method rsync copies with {os.cpu_count()} jobs over SSH to the same host.",
        f"Before the incremental backup {CHANGED:.0%} of all rows were changed, all in the newest month. Before the "
        f"delta restore {CHANGED:.0%} of all bytes were overwritten, in every fourth file.",
        "Sizes are those of the backup without archived WAL. `tar` and `cp` make nothing durable; pgBackRest, "
        "`pg_basebackup` and Barman do.",
    ]


class Bench:
    """The steps, one table each."""

    def __init__(self, context: Context, cluster: Cluster, competitors: Competitors, script: Path) -> None:
        self.context, self.cluster, self.competitors, self.script = context, cluster, competitors, script
        self.targets = {name: context.directory / f"target{number}" for number, name in enumerate(competitors)}

    def tables(self) -> list[dict[str, t.Any]]:
        full = self.measure("full", self.begin)
        sizes = {name: self.competitors[name].size() for name in full}
        restored = self.measure("restore", lambda name: throwaway.empty(self.targets[name]), "limit: tar")
        self.check(restored)
        delta = self.measure("delta", lambda name: data.damage(self.targets[name], CHANGED))
        self.check(delta)
        data.change(self.cluster, CHANGED)
        later = self.measure("incremental", self.forget)
        grown = {name: self.competitors[name].size() - sizes[name] for name in later}
        megabytes, smaller = "size (MB)", "size, of stock's"
        return [
            table("full", "Full backup", full, **{megabytes: shown(sizes), smaller: shares(sizes)}),
            table("incremental", "Incremental backup after 5 % change", later, **{megabytes: shown(grown)}),
            table("restore", "Restore into an empty directory", restored),
            table("delta", "Restore over a directory in which 5 % differ", delta),
        ]

    def measure(self, step: str, before: t.Callable[[str], t.Any], without: str = "nobody") -> Measured:
        """One step by all who can do it."""
        self.context.say(f"{step}:")
        chosen = {name: work for name in self.competitors if (work := self.work(name, step)) and without not in name}

        def prepare(name: str) -> None:
            before(name)
            self.archive_to(self.competitors[name].archive)
            self.cluster.sql("CHECKPOINT")

        return interleaved(chosen, self.context.runs, prepare, self.context.say)

    def work(self, name: str, step: str) -> Work | None:
        """What a competitor does for a step; None if it cannot."""
        work = getattr(self.competitors[name], step, None)
        if not work or (name.startswith("limit: cp") and step == "full"):
            return None
        return work if step in ("full", "incremental") else lambda: work(self.targets[name])

    def begin(self, name: str) -> None:
        """An empty repository that gets WAL only when it is complete: PostgreSQL waits long after failures."""
        self.archive_to("exit 0")
        self.competitors[name].begin()
        self.archive_to(self.competitors[name].archive)
        if isinstance(self.competitors[name], Barman):
            self.competitors[name].ready()

    def forget(self, name: str) -> None:
        self.competitors[name].forget_incremental()

    def archive_to(self, command: str) -> None:
        """Let PostgreSQL archive with another command. Its file is there whole at any time."""
        new = throwaway.write(self.script.with_name("archive.new"), f"#!/bin/sh\n{command}\n", 0o755)
        new.replace(self.script)

    def check(self, restored: t.Iterable[str]) -> None:
        """Something must have come back, and all of it, whoever did it."""
        wanted = data.relations(self.cluster.pgdata)
        for name in restored:
            assert data.relations(self.targets[name]) == wanted, (
                f"{name} did not restore everything to {self.targets[name]}."
            )


def table(key: str, title: str, measured: Measured, **beside: dict[str, str]) -> dict[str, t.Any]:
    """A table of the result."""
    return {"key": key, "title": title, "baseline": STOCK, "measured": measured, "beside": beside}


def shown(sizes: Mapping[str, int]) -> dict[str, str]:
    return {name: f"{size / 1e6:,.0f}" for name, size in sizes.items()}


def shares(sizes: Mapping[str, int]) -> dict[str, str]:
    return {name: f"{size / sizes[STOCK]:.0%}" for name, size in sizes.items()}
