# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The first bytes of a WAL segment, alike in PostgreSQL 10 to 18. Private to the collection."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from ._wal import parse_segment

# XLogLongPageHeaderData (src/include/access/xlog_internal.h): magic, info, tli, pageaddr, rem_len, padding, sysid,
# seg_size, xlog_blcksz
_HEADER = struct.Struct("=HHIQI4xQII")
_SHORT_HEADER = 24  # bytes, MAXALIGN(sizeof(XLogPageHeaderData))
_FIRST_IS_CONTINUED = 0x0001
_LONG_HEADER = 0x0002
_ALIGNMENT = 8


@dataclass(frozen=True)
class Header:
    """The beginning of a segment: whose it is, where it belongs, and how much of an earlier record it continues."""

    timeline: int
    address: int
    continued: int
    system_id: int
    segment_size: int
    page_size: int


def read_header(path: str) -> Header | None:
    """The header of a segment; None when the file is gone, too short, or has none."""
    try:
        with open(path, "rb") as file:
            data = file.read(_HEADER.size)
    except OSError:
        return None
    if len(data) < _HEADER.size:
        return None
    _magic, flags, timeline, address, rest, system_id, segment_size, page_size = _HEADER.unpack(data)
    if not flags & _LONG_HEADER:
        return None
    continued = rest if flags & _FIRST_IS_CONTINUED else 0
    return Header(timeline, address, continued, system_id, segment_size, page_size)


def belongs(name: str, header: Header | None, system_id: int) -> bool:
    """Whether a segment has the content that its name promises, of this cluster.

    Its first page may be of an earlier timeline: a new one begins with a copy of the segment where the old one ended.
    """
    if header is None or header.system_id != system_id or header.segment_size <= 0:
        return False
    try:
        segment = parse_segment(name, header.segment_size)
    except ValueError:
        return False
    return header.address == segment.number * header.segment_size and header.timeline <= segment.timeline


def end_of_continuation(header: Header) -> int:
    """Byte position where the record ends that a segment continues; each of its pages begins with a header."""
    page, position, rest = header.address, header.address + _HEADER.size, header.continued
    while rest > page + header.page_size - position:
        rest -= page + header.page_size - position
        page += header.page_size
        position = page + _SHORT_HEADER
    return -(-(position + rest) // _ALIGNMENT) * _ALIGNMENT
