# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""WAL segment names, LSNs and histories."""

from __future__ import annotations

import doctest

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils import _wal
from ansible_collections.pgops.pgbackrest.plugins.module_utils._wal import (
    HistoryEntry,
    Segment,
    format_lsn,
    parse_history,
    parse_lsn,
    parse_segment,
    segment_at,
)
from hypothesis import given, strategies as st

SIZES = st.integers(0, 10).map(lambda power: 2**power * 1024**2)  # what initdb --wal-segsize takes
LSNS = st.integers(0, 2**64 - 1)
TIMELINES = st.integers(1, 2**32 - 1)


def test_documented_examples_hold() -> None:
    assert doctest.testmod(_wal).failed == 0


@given(LSNS)
def test_lsn_is_read_back(lsn: int) -> None:
    assert parse_lsn(format_lsn(lsn)) == lsn
    assert parse_lsn(format_lsn(lsn).lower()) == lsn


@given(LSNS, TIMELINES, SIZES)
def test_segment_is_read_back(lsn: int, timeline: int, size: int) -> None:
    segment = segment_at(lsn, timeline, size)
    assert parse_segment(segment.name(size), size) == segment
    assert segment.number * size <= lsn < (segment.number + 1) * size


@given(LSNS, LSNS, SIZES)
def test_names_of_a_timeline_sort_as_positions_do(first: int, second: int, size: int) -> None:
    low, high = sorted((first, second))
    assert segment_at(low, 1, size).name(size) <= segment_at(high, 1, size).name(size)


def test_next_segment_at_the_end_of_a_log() -> None:
    last = parse_segment("0000000200000003000000FF")
    assert Segment(2, last.number + 1).name() == "000000020000000400000000"


@pytest.mark.parametrize(
    "name",
    ["", "00000001000000000000000", "00000001000000000000000g", "000000010000000000000001\n", "00000002.history"],
)
def test_not_a_segment(name: str) -> None:
    with pytest.raises(ValueError, match="24 hexadecimal digits"):
        parse_segment(name)


def test_not_a_segment_of_this_size() -> None:
    with pytest.raises(ValueError, match="of 16777216 bytes"):
        parse_segment("000000010000000000000100")
    assert parse_segment("000000010000000000000100", 1024**2) == Segment(1, 256)


@pytest.mark.parametrize("text", ["", "0", "0/", "/0", "0/G", "123456789/0", "0/0\n", "0/-1"])
def test_not_an_lsn(text: str) -> None:
    with pytest.raises(ValueError, match="is not an LSN"):
        parse_lsn(text)


def test_history() -> None:
    text = '1\t0/3000158\tno recovery target specified\n\n# a comment\n2\t1/0\tat restore point "a\u2028b"\n3 1/28\n'
    assert parse_history(text) == [
        HistoryEntry(1, 0x3000158, "no recovery target specified"),
        HistoryEntry(2, 1 << 32, 'at restore point "a\u2028b"'),
        HistoryEntry(3, (1 << 32) + 0x28, ""),
    ]


def test_history_that_is_broken() -> None:
    with pytest.raises(ValueError, match="is not an LSN"):
        parse_history("1\tyesterday\n")
