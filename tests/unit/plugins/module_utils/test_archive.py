# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the listing of an archive says."""

from __future__ import annotations

import time
import tracemalloc
import typing as t

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils._archive import (
    Archived,
    Run,
    absent,
    merged,
    parse_listing,
)
from ansible_collections.pgops.pgbackrest.plugins.module_utils._wal import Segment
from hypothesis import given, strategies as st

MIB = 1024**2
SIZE = 16 * MIB
SEGMENTS = st.sets(st.tuples(st.integers(1, 3), st.integers(0, 600)), max_size=40)


def listed(name: str, content: str = "a", extension: str = ".gz") -> str:
    return f"{name[:16]}/{name}-{content * 40}{extension}"


def listing_of(segments: t.Iterable[tuple[int, int]], size: int = SIZE) -> dict[str, dict[str, t.Any]]:
    names = (Segment(*segment).name(size) for segment in segments)
    return {listed(name): {"type": "file", "size": 1, "time": 1000} for name in names}


def members(runs: t.Iterable[Run]) -> list[tuple[int, int]]:
    return [(run.timeline, number) for run in runs for number in range(run.first, run.last + 1)]


def test_names_of_all_kinds() -> None:
    listing: dict[str, dict[str, t.Any]] = {
        ".": {"type": "path"},
        "0000000100000000": {"type": "path"},
        listed("000000010000000000000003", extension=""): {"type": "file", "size": 1, "time": 100},
        listed("000000010000000000000004", extension=".zst"): {"type": "file", "size": 1, "time": 130},
        listed("000000010000000000000005", extension=".lz4"): {"type": "file", "size": 1, "time": 120},
        listed("000000010000000000000007", extension=".bz2"): {"type": "file", "size": 1, "time": 110},
        listed("000000010000000000000008").replace("-", ".partial-"): {"type": "file", "size": 1, "time": 999},
        "0000000100000000/000000010000000000000003.00000028.backup": {"type": "file", "size": 1, "time": 999},
        "00000002.history": {"type": "file", "size": 1, "time": 500},
        listed("0000000200000001000000FF"): {"type": "file", "size": 1, "time": 600},
        listed("000000020000000200000000"): {"type": "file", "size": 1, "time": 700},
        "0000000100000000/000000010000000000000009-" + "a" * 40 + ".gz.pgbackrest.tmp": {"type": "file", "time": 999},
    }
    assert parse_listing(listing, SIZE) == Archived(
        runs=(Run(1, 3, 5), Run(1, 7, 7), Run(2, 511, 512)),
        histories={2: 500},
        newest={1: 130, 2: 700},
    )
    assert parse_listing({}, SIZE) == Archived()


def test_a_segment_that_is_there_twice_can_not_be_had() -> None:
    entry = {"type": "file", "size": 1, "time": 1}
    listing = listing_of([(1, 3), (1, 4), (1, 5), (2, 4)])
    listing[listed("000000010000000000000004", "b")] = entry
    listing[listed("000000010000000000000005", "a", ".zst")] = entry  # the same content is no contradiction
    found = parse_listing(listing, SIZE)
    assert found.twice == (Segment(1, 4),)
    assert found.runs == (Run(1, 3, 3), Run(1, 5, 5), Run(2, 4, 4))


@given(SEGMENTS, st.sampled_from([MIB, SIZE, 1024 * MIB]))
def test_runs_have_exactly_the_segments(segments: set[tuple[int, int]], size: int) -> None:
    found = parse_listing(listing_of(segments, size), size)
    assert members(found.runs) == sorted(segments)
    neighbours = zip(found.runs, found.runs[1:], strict=False)
    assert all(run.timeline < other.timeline or run.last + 1 < other.first for run, other in neighbours)
    for timeline in (1, 2, 3):
        for number in (0, 1, 17, 299, 600):
            run = found.run_at(timeline, number)
            assert (run is not None) == ((timeline, number) in segments)
            assert run is None or run.first <= number <= run.last
            later = [other for of, other in segments if of == timeline and other >= number]
            assert found.next_number(timeline, number) == (min(later) if later else None)


@given(SEGMENTS, SEGMENTS)
def test_local_segments_fill_gaps(archived: set[tuple[int, int]], local: set[tuple[int, int]]) -> None:
    names = [*(Segment(*segment).name() for segment in local), "00000002.history", "archive_status"]
    found = merged(parse_listing(listing_of(archived), SIZE), names, SIZE)
    assert found.runs == parse_listing(listing_of(archived | local), SIZE).runs
    assert absent([parse_listing(listing_of(archived), SIZE)], names, SIZE) == sorted(
        ["00000002.history", *(Segment(*segment).name() for segment in local - archived)]
    )


def test_what_one_of_several_repositories_has_is_not_absent() -> None:
    one, other = parse_listing(listing_of([(1, 3)]), SIZE), Archived(histories={2: 1})
    names = ["000000010000000000000003", "000000010000000000000004", "00000002.history", "xlogtemp.5"]
    assert absent([one, other], names, SIZE) == ["000000010000000000000004"]
    assert absent([], names, SIZE) == sorted(names[:3])


@pytest.mark.parametrize("count", [100_000])
def test_a_large_archive_takes_little_time_and_memory(count: int) -> None:
    numbers = [number for number in range(count) if number % 1000]
    listing = listing_of((1, number) for number in numbers)
    tracemalloc.start()
    found = parse_listing(listing, SIZE)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found.runs) == count // 1000
    assert peak < 50 * MIB
    started = time.process_time()
    parse_listing(listing, SIZE)
    assert time.process_time() - started < 3
