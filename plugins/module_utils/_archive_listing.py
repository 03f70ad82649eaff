# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files of an archive in short: eight bytes for each segment. Pure. Private to the collection.

pgBackRest keeps a segment in a directory named by its first 16 digits, with a checksum and the type of compression in
its name, and a history file above these directories. Nothing else is read by recovery.
"""

from __future__ import annotations

import bisect
import itertools
import re
import typing as t
from array import array
from dataclasses import dataclass, field

_SEGMENT = re.compile(
    r"(?P<log>[0-9A-F]{16})/(?P<name>(?P=log)(?P<low>[0-9A-F]{8}))"
    r"(?P<partial>\.partial)?-(?P<content>[0-9a-f]{40})(?:\.[a-z0-9]+)?"
)
_HISTORY = re.compile(r"(?P<timeline>[0-9A-F]{8})\.history")
_LATEST = (1 << 32) - 1  # the largest time that four bytes hold, in 2106

Entry = t.Tuple[str, int]  # path below the directory of the archive id, time of the last change in epoch seconds


@dataclass(frozen=True)
class Log:
    """Segments of one directory: the last eight digits of their names, sorted, and when each was archived.

    ``twice`` are those that are there with different content.
    """

    numbers: array[int]
    times: array[int]
    twice: tuple[int, ...] = ()

    def has(self, number: int) -> bool:
        """Whether the segment with these last digits is there."""
        index = bisect.bisect_left(self.numbers, number)
        return index < len(self.numbers) and self.numbers[index] == number


@dataclass(frozen=True)
class Listing:
    """What one archive id of one repository holds: ``logs`` by the name of their directory, in its order.

    ``histories`` says when the history file of a timeline was archived. Times are epoch seconds.
    """

    logs: dict[str, Log] = field(default_factory=dict)
    histories: dict[int, int] = field(default_factory=dict)
    partial: frozenset[str] = frozenset()

    def __contains__(self, name: object) -> bool:
        """Whether the archive has the segment, the partial segment or the history file of this name."""
        if not isinstance(name, str):
            return False
        history = _HISTORY.fullmatch(name)
        if history:
            return int(history.group("timeline"), 16) in self.histories
        log = self.logs.get(name[:16])
        return name in self.partial or (log is not None and len(name) == 24 and log.has(int(name[16:], 16)))

    def segments(self) -> t.Iterator[tuple[str, int]]:
        """Names of all segments, sorted, with the time when each was archived."""
        for directory, log in self.logs.items():
            for number, time in zip(log.numbers, log.times):
                yield f"{directory}{number:08X}", time

    def last_segment(self) -> str | None:
        """Name of the last segment; None without any."""
        directory = max(self.logs, default=None)
        return f"{directory}{self.logs[directory].numbers[-1]:08X}" if directory else None


def list_archive(entries: t.Iterable[Entry]) -> Listing:
    """The listing of files that come directory by directory, or ValueError. Other files are passed over."""
    logs: dict[str, Log] = {}
    histories: dict[int, int] = {}
    partial: set[str] = set()
    for directory, files in itertools.groupby(entries, lambda entry: entry[0].rpartition("/")[0]):
        if directory in logs:
            raise ValueError(f"the files of {directory} do not come together")
        segments: list[tuple[t.Match[str], int]] = []
        for path, time in files:
            segment = _SEGMENT.fullmatch(path)
            history = None if segment else _HISTORY.fullmatch(path)
            if segment and segment.group("partial"):
                partial.add(f"{segment.group('name')}.partial")
            elif segment:
                segments.append((segment, time))
            elif history:
                histories[int(history.group("timeline"), 16)] = time
        if segments:
            logs[directory] = _log(segments)
    return Listing({name: logs[name] for name in sorted(logs)}, histories, frozenset(partial))


def _log(segments: t.Iterable[tuple[t.Match[str], int]]) -> Log:
    times: dict[int, int] = {}
    contents: dict[int, str] = {}
    twice: set[int] = set()
    for match, time in segments:
        number = int(match.group("low"), 16)
        times[number] = max(times.get(number, 0), min(time, _LATEST))
        if contents.setdefault(number, match.group("content")) != match.group("content"):
            twice.add(number)
    numbers = sorted(times)
    return Log(array("I", numbers), array("I", [times[number] for number in numbers]), tuple(sorted(twice)))
