# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Progress of long work, for whoever watches a running module. Private to the collection."""

from __future__ import annotations

import json
import os
import re
import time
import typing as t

_FILE_LINE = re.compile(r"\((?:bundle [^,]+, )?(?:bi )?(?P<size>[\d.]+)(?P<unit>[KMGTP]?B), (?P<percent>[\d.]+)%\)")
_UNITS = {"B": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4, "PB": 1024**5}
_INTERVAL = 0.5  # seconds between two writes


class Progress:
    """Writes the progress of one command to a small JSON file; with ``path`` None it writes nothing.

    Shape: ``{"percent": float|None, "done": int, "total": int|None, "unit": "bytes", "text": str, "started": epoch,
    "updated": epoch}``. The file is replaced atomically, so a reader never sees half of it.
    """

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._started = time.time()
        self._written = 0.0
        self._done = 0

    def take_line(self, line: str) -> None:
        """Learn from one line of the detailed log of a backup or restore."""
        parsed = parse_file_line(line)
        if parsed:
            self._done += parsed[0]
            total = int(self._done * 100 / parsed[1]) if parsed[1] else None
            self.report(parsed[1], self._done, total)

    def report(self, percent: float | None, done: int, total: int | None, unit: str = "bytes", text: str = "") -> None:
        """Write where the work stands, at most twice a second."""
        now = time.time()
        if self._path is None or now - self._written < _INTERVAL:
            return
        self._written = now
        record: dict[str, t.Any] = {"percent": percent, "done": done, "total": total, "unit": unit, "text": text}
        _replace(self._path, json.dumps({**record, "started": self._started, "updated": now}))

    def end(self) -> None:
        """Remove the file."""
        if self._path is not None and os.path.exists(self._path):
            os.unlink(self._path)


def parse_file_line(line: str) -> tuple[int, float] | None:
    """Bytes of this file and percent of the whole in a DETAIL line of ``backup`` or ``restore``; None in other lines.

    >>> parse_file_line("P01 DETAIL: backup file /pg/base/1/2 (448KB, 89.04%) checksum 0a1b")
    (458752, 89.04)
    """
    match = _FILE_LINE.search(line)
    if not match:
        return None
    return int(float(match.group("size")) * _UNITS[match.group("unit")]), float(match.group("percent"))


def _replace(path: str, text: str) -> None:
    temporary = f"{path}.{os.getpid()}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(temporary, path)
