# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""WAL segment names, LSNs and timeline history files. Pure. Private to the collection.

Source: PostgreSQL documentation, "Continuous Archiving and Point-in-Time Recovery" and "WAL Internals".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

DEFAULT_SEGMENT_SIZE = 16 * 1024**2  # bytes; initdb --wal-segsize changes it
_SEGMENT = re.compile(r"[0-9A-F]{24}")
_LSN = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")
_FOUR_GIB = 1 << 32


@dataclass(frozen=True)
class Segment:
    """A WAL segment: its timeline and its number since the beginning of the WAL."""

    timeline: int
    number: int

    def name(self, size: int = DEFAULT_SEGMENT_SIZE) -> str:
        """File name, 24 hexadecimal digits."""
        per_log = _FOUR_GIB // size
        return f"{self.timeline:08X}{self.number // per_log:08X}{self.number % per_log:08X}"


@dataclass(frozen=True)
class HistoryEntry:
    """One line of a timeline history file: ``timeline`` ended at ``lsn`` for the stated ``reason``."""

    timeline: int
    lsn: int
    reason: str


def parse_segment(name: str, size: int = DEFAULT_SEGMENT_SIZE) -> Segment:
    """The segment with this file name. ValueError when it is none.

    >>> parse_segment("000000010000000000000003")
    Segment(timeline=1, number=3)
    """
    if not _SEGMENT.fullmatch(name):
        raise ValueError(f"{name!r} is not the name of a WAL segment (24 hexadecimal digits)")
    per_log = _FOUR_GIB // size
    log, rest = int(name[8:16], 16), int(name[16:24], 16)
    if rest >= per_log:
        raise ValueError(f"{name!r} is not the name of a WAL segment of {size} bytes")
    return Segment(int(name[:8], 16), log * per_log + rest)


def timeline_of(segment: str | None) -> int | None:
    """Timeline in the name of a WAL segment.

    >>> timeline_of("0000000A0000000000000003")
    10
    """
    return int(segment[:8], 16) if segment else None


def parse_lsn(text: str) -> int:
    """Byte position of an LSN such as ``0/3000028``. ValueError when it is none.

    >>> parse_lsn("1/0")
    4294967296
    """
    match = _LSN.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r} is not an LSN such as 0/3000028")
    return (int(match.group(1), 16) << 32) + int(match.group(2), 16)


def format_lsn(position: int) -> str:
    """LSN of a byte position.

    >>> format_lsn(4294967296 + 40)
    '1/28'
    """
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"


def segment_at(lsn: int, timeline: int, size: int = DEFAULT_SEGMENT_SIZE) -> Segment:
    """The segment that holds the byte at ``lsn``."""
    return Segment(timeline, lsn // size)


def parse_history(text: str) -> list[HistoryEntry]:
    """Entries of a timeline history file, oldest first; comments and empty lines left out."""
    entries = []
    for line in text.split("\n"):
        parts = line.strip().split(None, 2)
        if len(parts) >= 2 and parts[0].isdigit():
            entries.append(HistoryEntry(int(parts[0]), parse_lsn(parts[1]), parts[2] if len(parts) > 2 else ""))
    return entries
