# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lines of pg_waldump: recorded ones of PostgreSQL 15, 17 and 18, others as the source of 13 and 14 writes them."""

from __future__ import annotations

import doctest
import typing as t
from datetime import UTC, datetime

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils import _waldump
from ansible_collections.pgops.pgbackrest.plugins.module_utils._waldump import (
    Commit,
    Record,
    parse_commit,
    parse_record,
    parse_restore_point,
)

NOON = datetime(2026, 5, 1, 12, 0, 0, 250000, tzinfo=UTC)


def test_documented_examples_hold() -> None:
    assert doctest.testmod(_waldump).failed == 0


@pytest.mark.parametrize("major", [15, 17, 18])
def test_recorded_lines_are_read(fixture_text: t.Callable[[str], str], major: int) -> None:
    lines = fixture_text(f"waldump_{major}.txt").splitlines()
    records = [record for record in map(parse_record, lines) if record]
    assert len(records) == len(lines)
    assert [record.lsn for record in records] == sorted({record.lsn for record in records})
    ends = [end for end in map(parse_commit, records) if end]
    base = ends[1].xid
    assert [(end.xid - base, end.aborted, end.prepared, len(end.relations)) for end in ends[1:]] == [
        (0, False, False, 0),
        (1, False, False, 1),
        (4, False, True, 0),
        (5, True, True, 0),
        (6, True, False, 1),
        (7, False, False, 0),
        (8, False, False, 0),
        (9, False, False, 1),
    ]
    assert [xid - base for xid in ends[2].subxacts] == [2, 3]
    assert ends[2].relations[0].startswith("base/5/")
    assert all(end.time.tzinfo == UTC and end.time.year == 2026 for end in ends)
    assert [parse_restore_point(record) for record in records if record.rmgr == "XLOG"].count("a point") == 1


@pytest.mark.parametrize(
    ("desc", "expected"),
    [
        ("COMMIT 2026-05-01 12:00:00.250000 UTC", Commit(744, 40, NOON)),
        (
            "COMMIT 2026-05-01 12:00:00.250000 UTC; rels: base/13000/16384 pg_tblspc/16400/PG_14_202107181/5/16401; "
            "subxacts: 745 746; inval msgs: catcache 50 relcache 16384; sync",
            Commit(
                744,
                40,
                NOON,
                subxacts=(745, 746),
                relations=("base/13000/16384", "pg_tblspc/16400/PG_14_202107181/5/16401"),
            ),
        ),
        (
            "COMMIT 2026-05-01 12:00:00.250000 UTC; origin: node 1, lsn 0/0, at 2026-05-01 11:59:00.000000 UTC",
            Commit(744, 40, NOON),
        ),
        ("ABORT 2026-05-01 12:00:00.250000 UTC; rels: base/5/1", Commit(744, 40, NOON, True, relations=("base/5/1",))),
        ("COMMIT_PREPARED 730: 2026-05-01 12:00:00.250000 UTC; sync", Commit(730, 40, NOON, prepared=True)),
        ("ABORT_PREPARED 730: 2026-05-01 12:00:00.250000 UTC", Commit(730, 40, NOON, True, True)),
        ("PREPARE gid COMMIT 2026-05-01: 2026-05-01 12:00:00.250000 UTC; rels(commit): base/5/1", None),
        ("ASSIGNMENT xtop 744: subxacts: 745", None),
        ("INVALIDATION ; inval msgs: catcache 50", None),
    ],
)
def test_ends_of_transactions_are_read(desc: str, expected: Commit | None) -> None:
    assert parse_commit(Record("Transaction", 744, 40, desc)) == expected


def test_only_its_own_manager_speaks_of_commits_and_restore_points() -> None:
    assert parse_commit(Record("Standby", 1, 40, "COMMIT 2026-05-01 12:00:00.250000 UTC")) is None
    assert parse_restore_point(Record("Transaction", 1, 40, "RESTORE_POINT x")) is None
    assert parse_restore_point(Record("XLOG", 0, 40, "RESTORE_POINT  two; rels: x ")) == " two; rels: x "
    assert parse_restore_point(Record("XLOG", 0, 40, "SWITCH ")) is None


@pytest.mark.parametrize(
    "line",
    [
        "",
        "first record is after 0/6FFF000, at 0/6FFF010, skipping over 16 bytes",
        "pg_waldump: error: error in WAL record at 0/779B5F8: invalid record length at 0/779B620: wanted 24, got 0",
    ],
)
def test_other_lines_are_no_records(line: str) -> None:
    assert parse_record(line) is None


def test_a_large_position_is_read() -> None:
    line = (
        "rmgr: Transaction len (rec/tot):     34/  8193, tx: 4294967295, lsn: FFFFFFFF/FFFFFFF8, prev 0/03000000, "
        "desc: COMMIT 2026-05-01 12:00:00.250000 UTC\n"
    )
    assert parse_record(line) == Record("Transaction", 2**32 - 1, 2**64 - 8, "COMMIT 2026-05-01 12:00:00.250000 UTC")
