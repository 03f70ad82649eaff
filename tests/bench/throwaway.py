# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Throw-away clusters of the benchmark: those of the integration tests, and little helpers around them."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ..integration.conftest import PROGRAMS, USER, Cluster, Programs, as_user, checked, free_port

__all__ = ["PROGRAMS", "USER", "Cluster", "Programs", "as_postgres", "as_user", "checked", "empty", "free_port", "size"]


def as_postgres() -> list[str]:
    """The words before a command that runs as the user of the clusters."""
    return ["runuser", "-u", USER, "--"] if os.geteuid() == 0 else []


def empty(path: Path) -> Path:
    """An empty directory of the clusters' user, whatever was there."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(mode=0o700)
    own(path)
    return path


def own(path: Path) -> None:
    """Give a file or directory to the clusters' user."""
    if os.geteuid() == 0:
        shutil.chown(path, USER, USER)


def write(path: Path, text: str, mode: int = 0o640) -> Path:
    """A file of the clusters' user."""
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    own(path)
    return path


def wait_until(condition: Callable[[], bool], trouble: str, cluster: Cluster, seconds: int = 600) -> None:
    """Wait for a condition that no program tells of; ``trouble`` is what to say when it does not come true."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{trouble}\n{cluster.log_tail()}")
        time.sleep(0.05)  # rarely enough to take nothing from what is measured


def size(path: Path) -> int:
    """Bytes of all files below a path; a file with several names counts once."""
    seen: dict[int, int] = {}
    for directory, _directories, names in os.walk(path):
        for name in names:
            status = os.lstat(os.path.join(directory, name))
            seen[status.st_ino] = status.st_size
    return sum(seen.values())


@contextlib.contextmanager
def running(directory: Path, programs: Programs, **settings: str) -> Iterator[Cluster]:
    """A running cluster below a directory, with the settings of a server that has work to do."""
    cluster = Cluster(empty(directory), programs, free_port())
    directory.chmod(0o755)
    cluster.initdb()
    usual = {"shared_buffers": "512MB", "max_wal_size": "4GB", "max_wal_senders": "10", "autovacuum": "off"}
    cluster.configure(**{**usual, **settings})
    cluster.start()
    try:
        yield cluster
    finally:
        cluster.stop("immediate")
