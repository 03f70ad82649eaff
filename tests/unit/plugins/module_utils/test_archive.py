# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the listing of an archive says."""

from __future__ import annotations

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
from ansible_collections.pgops.pgbackrest.plugins.module_utils._archive_listing import Listing, list_archive
from ansible_collections.pgops.pgbackrest.plugins.module_utils._wal import Segment
from hypothesis import given, strategies as st

MIB = 1024**2
SIZE = 16 * MIB
SEGMENTS = st.sets(st.tuples(st.integers(1, 3), st.integers(0, 600)), max_size=40)


def listed(name: str, content: str = "a", extension: str = ".gz") -> str:
    return f"{name[:16]}/{name}-{content * 40}{extension}"


def listing_of(segments: t.Iterable[tuple[int, int]], size: int = SIZE) -> Listing:
    return list_archive((listed(name), 1000) for name in sorted(Segment(*segment).name(size) for segment in segments))


def members(runs: t.Iterable[Run]) -> list[tuple[int, int]]:
    return [(run.timeline, number) for run in runs for number in range(run.first, run.last + 1)]


def test_files_of_all_kinds() -> None:
    entries = [
        (listed("000000010000000000000005", extension=".lz4"), 120),
        (listed("000000010000000000000003", extension=""), 100),
        (listed("000000010000000000000004", extension=".zst"), 130),
        (listed("000000010000000000000007", extension=".bz2"), 110),
        (listed("000000010000000000000008").replace("-", ".partial-"), 999),
        ("0000000100000000/000000010000000000000003.00000028.backup", 999),
        ("0000000100000000/000000010000000000000009-" + "a" * 40 + ".gz.pgbackrest.tmp", 999),
        ("0000000100000000/00000001000000010000000A-" + "a" * 40 + ".gz", 999),  # pgBackRest would not look here
        (listed("000000010000000000000100"), 999),  # no segment of 16 MiB
        ("00000002.history", 500),
        ("archive.info", 999),
        ("000000010000000000000009-" + "a" * 40, 999),
        (listed("0000000200000001000000FF"), 600),
        (listed("000000020000000200000000"), 1 << 40),
    ]
    listing = list_archive(entries)
    found = parse_listing(listing, SIZE)
    assert found == Archived(
        runs=(Run(1, 3, 5), Run(1, 7, 7), Run(2, 511, 512)),
        histories={2: 500},
        newest={1: 999, 2: (1 << 32) - 1},
    )
    assert parse_listing(list_archive([]), SIZE) == Archived()
    there = {"000000010000000000000004", "000000010000000000000008.partial", "00000002.history"}
    names = [
        "000000010000000000000008",
        "000000010000000000000009",
        "00000001000000010000000A",
        "0" * 24,
        "",
        "archive.info",
    ]
    assert {name for name in [*there, *names, "00000003.history", *listing.logs] if name in listing} == there
    assert listing.last_segment() == "000000020000000200000000"
    assert list_archive([]).last_segment() is None
    assert list(listing.segments())[1:3] == [("000000010000000000000004", 130), ("000000010000000000000005", 120)]


def test_a_segment_that_is_there_twice_can_not_be_had() -> None:
    names = [listed(f"00000001000000000000000{number}") for number in (3, 4, 5)]
    names += [listed("000000010000000000000004", "b"), listed("000000010000000000000005", "a", ".zst")]
    listing = list_archive((name, 1) for name in [*names, listed("000000020000000000000004")])
    found = parse_listing(listing, SIZE)
    assert found.twice == (Segment(1, 4),)  # 5 has the same content, which is no contradiction
    assert found.runs == (Run(1, 3, 3), Run(1, 5, 5), Run(2, 4, 4))
    assert "000000010000000000000004" in listing


def test_a_directory_in_two_parts_is_refused() -> None:
    """It would be half a directory, and the other half a gap."""
    names = [listed("000000010000000000000003"), listed("000000010000000100000003"), listed("000000010000000000000004")]
    with pytest.raises(ValueError, match="files of 0000000100000000 do not come together"):
        list_archive((name, 1) for name in names)


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


def test_a_large_archive_takes_little_memory() -> None:
    numbers = (number for number in range(300_000) if number % 1000)
    tracemalloc.start()
    listing = list_archive((listed(Segment(1, number).name()), 1000) for number in numbers)
    kept, peak = tracemalloc.get_traced_memory()
    found = parse_listing(listing, SIZE)
    tracemalloc.stop()
    assert len(found.runs) == 300
    assert peak < kept + 1 * MIB
    assert kept < 300_000 * 16
