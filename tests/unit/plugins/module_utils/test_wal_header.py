# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The first bytes of a WAL segment."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils._wal_header import (
    Header,
    belongs,
    end_of_continuation,
    read_header,
)

SYSTEM = 7_400_000_000_000_000_001
SIZE = 16 * 1024**2
HEADER = Header(timeline=1, address=3 * SIZE, continued=0, system_id=SYSTEM, segment_size=SIZE, page_size=8192)
NAME = "000000010000000000000003"


def test_a_header_is_read(tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.write_bytes(struct.pack("=HHIQI4xQII", 0xD110, 3, 1, 3 * SIZE, 77, SYSTEM, SIZE, 8192) + bytes(100))
    assert read_header(str(path)) == replace(HEADER, continued=77)
    path.write_bytes(struct.pack("=HHIQI4xQII", 0xD110, 2, 1, 3 * SIZE, 77, SYSTEM, SIZE, 8192))
    assert read_header(str(path)) == HEADER
    for content in (b"", bytes(39), bytes(40)):  # a segment made in advance holds zeros
        path.write_bytes(content)
        assert read_header(str(path)) is None
    assert read_header(str(tmp_path / "none")) is None


@pytest.mark.parametrize(
    ("name", "header", "expected"),
    [
        (NAME, HEADER, True),
        ("000000020000000000000003", HEADER, True),  # the new timeline begins with a copy of the old one
        (NAME, replace(HEADER, timeline=2), False),
        ("000000010000000000000007", HEADER, False),  # recycled under a future name
        (NAME, replace(HEADER, system_id=SYSTEM + 1), False),
        (NAME, replace(HEADER, segment_size=0), False),
        ("0000000100000000000000FF", replace(HEADER, address=0xFF * SIZE), True),
        ("0000000100000000000000FF", replace(HEADER, segment_size=64 * 1024**2), False),
        (NAME, None, False),
    ],
)
def test_a_segment_must_hold_what_its_name_promises(name: str, header: Header | None, expected: bool) -> None:
    assert belongs(name, header, SYSTEM) is expected


@pytest.mark.parametrize(
    ("continued", "offset"),
    [
        (1, 40 + 8),  # records are aligned
        (16, 40 + 16),
        (8192 - 40, 8192),
        (8192 - 40 + 1, 8192 + 24 + 8),
        (8192 - 40 + 8192 - 24 + 8, 2 * 8192 + 24 + 8),
    ],
)
def test_a_continued_record_ends_behind_the_headers_of_its_pages(continued: int, offset: int) -> None:
    assert end_of_continuation(replace(HEADER, continued=continued)) == HEADER.address + offset
