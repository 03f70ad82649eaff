# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Control groups with weights for the CPU, as systemd makes them of ``CPUWeight``."""

from __future__ import annotations

import contextlib
import os
import typing as t
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
USUAL = 100  # the weight of a unit that says nothing


class Groups:
    """Groups side by side in one group, of the first or the second kind that Linux has.

    What else runs on the machine shares it with the one group, whoever works inside.
    """

    def __init__(self, root: Path, own: str = "/proc/self/cgroup") -> None:
        self.first = (root / "cpu/cpu.shares").exists()
        top, self.file, self.usual = (root / "cpu", "cpu.shares", 1024) if self.first else (root, "cpu.weight", 100)
        self.origin = top / group_of("cpu" if self.first else "", Path(own).read_text(encoding="utf-8"))
        self.outer = top / f"pgops-bench-{os.getpid()}"
        self.made: list[Path] = []

    def make(self, *weights: int) -> list[Path]:
        """Groups with weights, where 100 is usual. Raises OSError where this user, or this system, may have none."""
        return [self._make(self.outer, USUAL), *(self._make(self.outer / str(weight), weight) for weight in weights)][
            1:
        ]

    def _make(self, path: Path, weight: int) -> Path:
        if not self.first:
            (path.parent / "cgroup.subtree_control").write_text("+cpu", encoding="utf-8")
        path.mkdir()
        self.made.append(path)
        (path / self.file).write_text(str(weight * self.usual // USUAL), encoding="utf-8")
        return path

    def remove(self) -> None:
        """Take the groups away. This program goes back to where it was; what it has started must have ended."""
        if self.made:
            join(self.origin)
        for path in reversed(self.made):
            path.rmdir()


def group_of(controller: str, text: str) -> str:
    """The group of a process, from its file in /proc; a controller of the second kind has no name there.

    >>> group_of("cpu", "4:cpu,cpuacct:/user.slice\\n0::/x\\n"), group_of("", "0::/init.scope\\n")
    ('user.slice', 'init.scope')
    """
    lines = (line.split(":", 2) for line in text.splitlines())
    return next((path.lstrip("/") for _number, names, path in lines if controller in names.split(",")), "")


def join(group: Path) -> None:
    """Move this process."""
    (group / "cgroup.procs").write_text(str(os.getpid()), encoding="utf-8")


@contextlib.contextmanager
def weighted(*weights: int) -> t.Iterator[list[Path]]:
    """A group for each weight, and this program in another one that has the usual weight; none where that cannot be.

    All that this program starts is in its group, too, if it does not join another one.
    """
    groups = Groups(ROOT)
    try:
        try:
            found = groups.make(USUAL, *weights)
            join(found[0])
        except OSError:
            found = []
        yield found[1:]
    finally:
        groups.remove()
