# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Drops, truncations and what only looks like them, in recorded lines of pg_waldump 13 to 18.

The fixtures hold the lines that matter of one statement each, without the invalidation messages of commits.
"""

from __future__ import annotations

import doctest
import json
import typing as t

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils import _drop_records, _drops
from ansible_collections.pgops.pgbackrest.plugins.module_utils._drop_records import PG_CLASS, Changes
from ansible_collections.pgops.pgbackrest.plugins.module_utils._drop_search import mark_before
from ansible_collections.pgops.pgbackrest.plugins.module_utils._drops import Ended, Loss, ended, judge
from ansible_collections.pgops.pgbackrest.plugins.module_utils._waldump import Record, parse_record

Text = t.Callable[[str], str]
VERSIONS = (13, 14, 15, 16, 17, 18)
NOTHING: list[tuple[str, int, int]] = []
# Kinds, relations lost, files listed. Unless said otherwise the table has a primary key, some also a TOAST table.
RECORDED: dict[str, list[tuple[str, int, int]]] = {
    "drop_table": [("drop", 5, 5)],  # with TOAST table, its index, primary key and sequence
    "drop_unlogged": [("drop", 2, 2)],
    "drop_index": [("drop_index", 1, 1)],
    "drop_prepared": [("drop", 2, 2)],
    "drop_db": [("drop_database", 0, 0)],
    "create_drop": NOTHING,
    "truncate_restart": [("truncate", 3, 3)],
    "truncate_unlogged": [("truncate", 1, 2)],
    "vacuum_full_empty": NOTHING,
    "alter_type_toast_drop": [("drop", 4, 8)],
    "rewrite_and_truncate": [("truncate", 1, 3)],
    "reindex": NOTHING,
    "set_tablespace_empty": NOTHING,
    "vacuum_full_pg_class": NOTHING,
}
RECORDED_OF_BOTH_FORMS: dict[str, list[tuple[str, int, int]]] = {
    "drop_schema": [("drop", 6, 6)],
    "drop_in_subxact": [("drop", 2, 2)],
    "drop_aborted_subxact": [("drop", 1, 1)],
    "drop_matview": [("drop", 1, 1)],
    "drop_partitioned": [("drop", 2, 2)],
    "drop_partitioned_one": [("unknown", 2, 2)],
    "drop_rewritten": [("drop", 2, 2)],
    "drop_and_staging": [("drop", 4, 4)],
    "swap_tables": [("drop", 4, 4)],
    "truncate": [("truncate", 4, 4)],
    "truncate_two": [("truncate", 5, 5)],
    "truncate_insert": [("truncate", 2, 2)],
    "truncate_drop": [("drop", 2, 2)],
    "truncate_subxact_create": [("drop", 1, 1)],
    "truncate_temp_dropped": [("truncate", 1, 1)],
    "truncate_twice": [("truncate", 4, 4)],
    "alter_type_key": [("drop_index", 1, 2)],
    "alter_type_toast": NOTHING,
    "alter_type_twice": [("unknown", 4, 4)],
    "alter_type_drop_view": NOTHING,
    "alter_persistence": NOTHING,
    "alter_sequence": NOTHING,
    "cluster": NOTHING,
    "refresh_empty": NOTHING,
    "reindex_concurrently": [("drop_index", 2, 2)],
    "create_rewrite": NOTHING,
    "rewrite_and_drop": [("drop", 1, 3)],
    "unlogged_and_drop": [("unknown", 1, 1)],
    "db_tablespace": NOTHING,
}
# Records of newer minor versions name pages of the visibility map beside those of the catalog.
WITH_MAP_PAGES: dict[str, list[tuple[str, int, int]]] = {
    "vacuum_full_map_pages_752": NOTHING,
    "vacuum_full_map_pages_891": NOTHING,
}
CASES = [
    *((major, case, expected) for major in VERSIONS for case, expected in RECORDED.items()),
    *((major, case, expected) for major in (15, 18) for case, expected in RECORDED_OF_BOTH_FORMS.items()),
    *((17, case, expected) for case, expected in WITH_MAP_PAGES.items()),
]


def sections(text: str) -> dict[str, list[str]]:
    """Lines by case."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("## "):
            found[line[3:]] = []
        else:
            found[list(found)[-1]].append(line)
    return found


def records(lines: t.Iterable[str]) -> list[Record]:
    """The records among lines."""
    return [record for record in map(parse_record, lines) if record]


def changes_of(end: Ended, all_records: t.Sequence[Record], **options: t.Any) -> Changes:
    """What a transaction did, read as the module does."""
    database = next(filter(None, map(_drops.database_of, end.files)), 0)
    changes = Changes(database, removed=frozenset(end.files), **options)
    for record in all_records:
        if record.xid in end.xids and record.lsn < end.commit.lsn:
            changes.take(record)
    return changes


def losses(all_records: t.Sequence[Record], **options: t.Any) -> list[Loss]:
    """What the commits among records took away."""
    ends = filter(None, map(ended, all_records))
    found = [judge(end, changes_of(end, all_records, **options)) for end in ends]
    return [loss for loss in found if loss.kinds]


@pytest.mark.parametrize("module", [_drops, _drop_records])
def test_documented_examples_hold(module: t.Any) -> None:
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize(("major", "case", "expected"), CASES)
def test_recorded_statements(fixture_text: Text, major: int, case: str, expected: list[tuple[str, int, int]]) -> None:
    found = losses(records(sections(fixture_text(f"waldump_drops_{major}.txt"))[case]))
    assert [(loss.kinds[0], loss.count, len(loss.files)) for loss in found] == expected
    # Whoever reads of an unclear case, or of more files than were lost, reads why.
    assert all(
        (loss.reason is None) == (loss.count == len(loss.files) and "unknown" not in loss.kinds) for loss in found
    )


@pytest.mark.parametrize(
    ("major", "case"),
    [
        *((major, "truncate_restart") for major in VERSIONS),
        *((major, case) for major in (15, 18) for case in ("truncate", "truncate_two", "truncate_twice")),
    ],
)
def test_truncated_files_and_their_new_ones(fixture_text: Text, major: int, case: str) -> None:
    """As the server told before and after."""
    lines = sections(fixture_text(f"waldump_drops_{major}.txt"))[case]
    before, after = (
        json.loads(line.partition("{")[1] + line.partition("{")[2]) for line in lines if line.startswith("# ")
    )
    (loss,) = losses(records(lines))
    assert dict(loss.renewed) == {before[name]: after[name] for name in before}


def test_without_the_beginning_nothing_is_guessed(fixture_text: Text) -> None:
    (end,) = filter(None, map(ended, records(sections(fixture_text("waldump_drops_15.txt"))["drop_table"])))
    loss = judge(end, None)
    assert (loss.kinds, loss.count) == (("unknown",), 5)
    assert loss.reason and "beginning" in loss.reason


def test_without_rows_of_pg_class_nothing_is_guessed(fixture_text: Text) -> None:
    """As after VACUUM FULL pg_class; with its present file the rows are found."""
    lines = sections(fixture_text("waldump_drops_18.txt"))["drop_table"]
    moved = records(line.replace(f"/{PG_CLASS} blk", "/20000 blk") for line in lines)
    assert [loss.kinds for loss in losses(moved)] == [("unknown",)]
    assert [loss.kinds for loss in losses(moved, pg_class=(PG_CLASS, 20000))] == [("drop",)]


@pytest.mark.parametrize("major", VERSIONS)
def test_target_before_a_database_is_marked_invalid(fixture_text: Text, major: int) -> None:
    every = records(sections(fixture_text(f"waldump_drops_{major}.txt"))["drop_db"])
    (end,) = filter(None, map(ended, every))
    ((lsn, place),) = changes_of(end, every).database_rows
    (mark,) = [record.lsn for record in every if record.desc.startswith("INPLACE")]
    assert mark_before(every, lsn, place) == mark < lsn
    assert mark_before([record for record in every if record.lsn != mark], lsn, place) == lsn


def commit_at(lsn: int, second: int) -> Record:
    return Record("Transaction", 700, lsn, f"COMMIT 2026-05-01 12:00:{second:02}.000000 UTC")


@pytest.mark.parametrize(("seconds", "expected"), [((0, 9), 10), ((0, 11), 90), ((5,), 10), ((), 10)])
def test_vacuum_of_pg_database_is_not_taken_for_the_mark(seconds: t.Sequence[int], expected: int) -> None:
    inplace = Record("Heap", 0, 10, "INPLACE off 3, blkref #0: rel 1664/0/1262 blk 0")
    commits = [commit_at(20 + number, second) for number, second in enumerate(seconds)]
    assert mark_before([inplace, *commits, Record("Heap", 9, 90, "DELETE off 3")], 90, (0, 3)) == expected
