# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import subprocess
import typing as t
from datetime import UTC, datetime
from pathlib import Path


def describe(programs: t.Mapping[str, t.Sequence[str]], directory: Path) -> dict[str, t.Any]:
    """The machine, the file system that was written to, and the versions of programs, by their names.

    ``programs`` are the commands that print a version.
    """
    return {
        "measured": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": cpu_model(_read("/proc/cpuinfo")) or platform.machine(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_mib": memory_mib(_read("/proc/meminfo")),
        "kernel": platform.release(),
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", ""),
        "filesystem": filesystem(directory, _read("/proc/self/mounts")),
        "load_before": round(os.getloadavg()[0], 1),
        "programs": {name: _first_line(argv) for name, argv in programs.items()},
    }


def cpu_model(cpuinfo: str) -> str:
    """The model from /proc/cpuinfo; '' where it has none.

    >>> cpu_model("processor: 0\\nmodel name\\t: AMD EPYC\\n")
    'AMD EPYC'
    """
    return next((line.split(":", 1)[1].strip() for line in cpuinfo.splitlines() if line.startswith("model name")), "")


def memory_mib(meminfo: str) -> int:
    """The memory from /proc/meminfo.

    >>> memory_mib("MemTotal:       2048000 kB\\n")
    2000
    """
    return next((int(line.split()[1]) // 1024 for line in meminfo.splitlines() if line.startswith("MemTotal:")), 0)


def filesystem(directory: Path, mounts: str) -> str:
    """The type of the file system that a directory is on.

    >>> filesystem(Path("/tmp/x"), "/dev/vda / ext4 rw 0 0\\ntmpfs /tmp tmpfs rw 0 0\\n")
    'tmpfs'
    """
    points = {fields[1]: fields[2] for fields in (line.split() for line in mounts.splitlines()) if len(fields) > 2}
    path = directory.absolute()
    return next((points[str(parent)] for parent in (path, *path.parents) if str(parent) in points), "")


def _read(path: str) -> str:
    return Path(path).read_text(encoding="utf-8")


def _first_line(argv: t.Sequence[str]) -> str:
    result = subprocess.run(argv, capture_output=True, text=True, check=False)
    return (result.stdout or result.stderr).strip().partition("\n")[0]
