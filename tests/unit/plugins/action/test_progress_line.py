# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The numbers of a progress line."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.pgops.pgbackrest.plugins.plugin_utils import _progress_line as line
from hypothesis import given, strategies as st

MIB, GIB = 1024**2, 1024**3


@pytest.mark.parametrize(
    ("record", "rate", "text"),
    [
        (
            {"percent": 43.2, "done": int(1.2 * GIB), "total": int(2.8 * GIB), "unit": "bytes"},
            210 * MIB,
            "43 % · 1.2 GiB of 2.8 GiB · 210 MiB/s · 8 s left",
        ),
        ({"percent": None, "done": 3 * MIB, "total": None}, None, "3.0 MiB"),
        ({"percent": None, "done": 0, "total": None, "text": "replayed to 0/28"}, 0.0, "replayed to 0/28"),
        ({"percent": 100.4, "done": 10, "total": 10}, 5.0, "100 % · 10 B of 10 B · 5 B/s · 0 s left"),
        ({"percent": 10.0, "done": 20, "total": 10}, 5.0, "10 % · 20 B · 5 B/s"),
        ({"percent": 7.9, "done": 3, "total": 12, "unit": "files"}, 0.5, "7 % · 3 files of 12 files"),
        ({}, None, ""),
    ],
)
def test_a_line_says_what_is_known(record: dict[str, t.Any], rate: float | None, text: str) -> None:
    assert line.describe(record, rate) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1024**2 - 1, "1.0 MiB"),
        (99 * MIB, "99.0 MiB"),
        (int(99.96 * MIB), "100 MiB"),
        (int(1023.4 * GIB), "1023 GiB"),
        (5000 * 1024**4, "5000 TiB"),
    ],
)
def test_sizes(number: int, text: str) -> None:
    assert line.size(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (59.6, "1 min"), (61, "1 min 1 s"), (3599, "59 min 59 s"), (3600, "1 h")]
    + [(7261, "2 h 1 min"), (86400, "1 d"), (90000, "1 d 1 h")],
)
def test_durations(seconds: float, text: str) -> None:
    assert line.duration(seconds) == text


@pytest.mark.parametrize(
    ("samples", "rate"),
    [
        ([], None),
        ([(0.0, 0)], None),
        ([(0.0, 0), (10.0, 100)], 10.0),
        ([(0.0, 0), (100.0, 1000), (110.0, 3000)], 200.0),
        ([(5.0, 0), (5.0, 10)], None),
        ([(0.0, 100), (10.0, 0)], 0.0),
    ],
)
def test_the_rate_is_that_of_the_last_half_minute(samples: list[tuple[float, int]], rate: float | None) -> None:
    assert line.recent_rate(samples) == rate


@given(st.integers(0, 10**18))
def test_a_size_is_short_and_within_a_twentieth(number: int) -> None:
    digits, unit = line.size(number).split(" ")
    factor = 1024 ** ["B", "KiB", "MiB", "GiB", "TiB"].index(unit)
    assert abs(float(digits) * factor - number) <= max(0.05 * number, 0)
    assert len(digits) <= 4 or unit == "TiB"


@given(st.floats(0, 10**7))
def test_a_duration_has_two_parts_at_most(seconds: float) -> None:
    assert len(line.duration(seconds).split(" ")) in (2, 4)
