# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lines of ``pg_waldump`` (PostgreSQL 13 to 18) as records. Pure. Private to the collection.

The head of a line and what is said about the resource managers Transaction and XLOG are alike in all these versions;
nothing else is read here. The program must run with ``TZ=UTC``: it prints times in the zone of its environment.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timezone

_RECORD = re.compile(
    r"rmgr: (\S+) +len \(rec/tot\): +\d+/ *\d+, tx: +(\d+), lsn: ([0-9A-F]+)/([0-9A-F]+), prev \S+, desc: (.*)",
    re.DOTALL,
)
_END_OF_TRANSACTION = re.compile(
    r"(COMMIT|ABORT)(_PREPARED)? (?:(\d+): )?(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{6})?) \S+?(; .*)?$", re.DOTALL
)
_RESTORE_POINT = "RESTORE_POINT "


@dataclass(frozen=True)
class Record:
    """One WAL record; ``lsn`` is the byte position where it begins, ``desc`` what pg_waldump says about it."""

    rmgr: str
    xid: int
    lsn: int
    desc: str


@dataclass(frozen=True)
class Commit:
    """The end of a transaction, or with ``aborted`` its rollback; ``xid`` is that of the transaction, prepared or not.

    ``relations`` are the files that went with it, such as ``base/5/16384``; ``time`` is UTC.
    """

    xid: int
    lsn: int
    time: datetime
    aborted: bool = False
    prepared: bool = False
    subxacts: tuple[int, ...] = ()
    relations: tuple[str, ...] = ()


@dataclass(frozen=True)
class End:
    """Where the WAL ends: the newest record, and the newest end of a transaction with the latest time near it.

    ``time`` and ``commit_lsn`` are None where none was found in the segments looked at. Recovery to a time stops at a
    rollback as it does at a commit, so both count.
    """

    time: datetime | None
    lsn: int | None
    commit_lsn: int | None


def parse_record(line: str) -> Record | None:
    """The record in a line; None when the line is something else, such as a message.

    >>> parse_record("rmgr: XLOG        len (rec/tot):     98/    98, tx:          0, lsn: 0/01521750, "
    ...     "prev 0/01521708, desc: RESTORE_POINT a point")
    Record(rmgr='XLOG', xid=0, lsn=22157136, desc='RESTORE_POINT a point')
    """
    match = _RECORD.match(line)
    if not match:
        return None
    high, low = int(match.group(3), 16), int(match.group(4), 16)
    return Record(match.group(1), int(match.group(2)), (high << 32) + low, match.group(5).rstrip("\n"))


def parse_commit(record: Record) -> Commit | None:
    """The end of a transaction that this record is; None when it is another record.

    >>> parse_commit(Record("Transaction", 0, 40, "ABORT_PREPARED 731: 2026-05-01 12:30:00.932054 UTC")).xid
    731
    """
    match = _END_OF_TRANSACTION.match(record.desc) if record.rmgr == "Transaction" else None
    if not match:
        return None
    parts = {name: value for name, dummy, value in (p.partition(": ") for p in (match.group(5) or "").split("; "))}
    return Commit(
        xid=int(match.group(3) or record.xid),
        lsn=record.lsn,
        time=datetime.fromisoformat(match.group(4)).replace(tzinfo=timezone.utc),
        aborted=match.group(1) == "ABORT",
        prepared=match.group(2) is not None,
        subxacts=tuple(int(xid) for xid in parts.get("subxacts", "").split()),
        relations=tuple(parts.get("rels", "").split()),
    )


def parse_restore_point(record: Record) -> str | None:
    """The name of the restore point that this record is; None when it is another record."""
    if record.rmgr != "XLOG" or not record.desc.startswith(_RESTORE_POINT):
        return None
    return record.desc[len(_RESTORE_POINT) :]
