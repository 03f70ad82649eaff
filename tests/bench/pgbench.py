# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Queries that go on until they are stopped, and what each of them took."""

from __future__ import annotations

import contextlib
import functools
import os
import pwd
import subprocess
import typing as t
from pathlib import Path

from . import throwaway
from .throwaway import USER, Cluster

CLIENTS = 4


class Pgbench:
    """Clients that log each transaction."""

    def __init__(self, cluster: Cluster, directory: Path) -> None:
        self.cluster, self.directory = cluster, directory
        reached = ["-h", cluster.socket_dir, "-p", str(cluster.port)]
        self.command = [f"{cluster.bindir}/pgbench", *reached, "postgres"]

    def load(self, scale: int) -> None:
        throwaway.checked([*self.command, "--initialize", "--quiet", f"--scale={scale}"])

    @contextlib.contextmanager
    def running(self) -> t.Iterator[None]:
        """Clients that go on until the end."""
        throwaway.empty(self.directory)
        log = ["--log", f"--log-prefix={self.directory / 'log'}"]
        what = ["--no-vacuum", "--builtin=simple-update", f"--client={CLIENTS}", "--jobs=2", "--time=86400"]
        argv, silent = [*self.command, *what, *log], subprocess.DEVNULL
        with subprocess.Popen(argv, start_new_session=True, stdout=silent, cwd="/", **as_user()) as process:
            try:
                yield
            finally:
                process.terminate()

    def between(self, begun: float, ended: float) -> list[float]:
        """Milliseconds of the transactions that ended between two moments. Waits until all of them are in the log."""
        logs = sorted(self.directory.glob("log.*"))  # one for each thread
        complete = functools.partial(all_reach, logs, ended)
        throwaway.wait_until(complete, "pgbench has stopped.", self.cluster, seconds=60)
        found = [each for log in logs for each in transactions(log.read_text(encoding="utf-8"))]
        return [latency for moment, latency in found if begun <= moment < ended]


def all_reach(logs: t.Sequence[Path], moment: float) -> bool:
    """Whether each of the logs has later transactions. There must be one."""
    return bool(logs) and min(map(logged_until, logs)) > moment


def as_user() -> dict[str, t.Any]:
    """What lets a process run as the user of the clusters, with nobody between it and who ends it."""
    return {"user": USER, "group": pwd.getpwnam(USER).pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}


def logged_until(log: Path) -> float:
    """The moment of the last transaction but one in a log: the last line may be incomplete."""
    with log.open("rb") as file:
        file.seek(max(log.stat().st_size - 1000, 0))
        return next((moment for moment, _latency in reversed(list(transactions(file.read().decode())))), 0.0)


def transactions(text: str) -> t.Iterator[tuple[float, float]]:
    """The moment and the milliseconds of each transaction in (the end of) pgbench's log.

    The first line may have lost its begin, and the last one its end.

    >>> list(transactions("500 0 1700000000 500000\\n0 2 1500 0 1700000001 250000\\n3 2 15"))
    [(1700000001.25, 1.5)]
    """
    for line in text.split("\n")[:-1]:
        fields = line.split(" ")
        if len(fields) == 6:
            yield int(fields[4]) + int(fields[5]) / 1e6, int(fields[2]) / 1e3
