# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a commit took away for good. Pure. Private to the collection.

Everything follows from counting. Each file in the list of a commit belonged to a relation that is gone, to one that has
a new file now, or was made by the transaction itself. Where two readings are possible the answer is ``unknown``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ._drop_records import Changes, Created, Row, short_path
from ._waldump import Commit, Record, parse_commit

KINDS = ("drop", "truncate", "drop_database", "drop_index", "unknown")
DEFAULT_KINDS = ("drop", "truncate", "drop_database", "unknown")
_HEAP = ("Heap", "Heap2")
_FIRST_OF_USERS = 16384  # FirstNormalObjectId
_MOST_SWAPPED = 2  # a TOAST table and its index
_DATABASE_OF = re.compile(r"(?:base|pg_tblspc/\d+)/(\d+)/\d+$")


@dataclass(frozen=True)
class Ended:
    """A commit that may have taken something away, and the segment its record begins in.

    ``forced`` commits are those that PostgreSQL never leaves to be flushed later: DROP DATABASE is one of few.
    """

    commit: Commit
    files: tuple[str, ...]
    forced: bool = False

    @property
    def xids(self) -> frozenset[int]:
        """The transaction and its subtransactions."""
        return frozenset((self.commit.xid, *self.commit.subxacts))


@dataclass(frozen=True)
class Loss:
    """What one commit took away.

    ``kinds`` are of KINDS, the gravest first; () when nothing was lost. ``files`` are all that went with the commit and
    existed before; ``count`` says how many of them belong to what was lost. ``renewed`` maps a truncated relation's old
    file to its new one, where that is certain. ``reason`` says why the kind is unknown, or what else there is to know.
    """

    kinds: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    count: int = 0
    reason: str | None = None
    renewed: tuple[tuple[str, str], ...] = ()


def ended(record: Record) -> Ended | None:
    """The commit, when its record says that files went with it, or that it was forced; None for all others."""
    if not record.desc.startswith("COMMIT") or ("; rels: " not in record.desc and "; sync" not in record.desc):
        return None
    commit = parse_commit(record)
    if commit is None:
        return None
    files = tuple(short_path(path) for path in commit.relations)
    return Ended(commit, tuple(path for path in files if database_of(path)), "; sync" in record.desc)


def database_of(path: str) -> int | None:
    """OID of the database that a file belongs to; None for those that all databases share.

    >>> database_of("base/5/16384"), database_of("global/1262")
    (5, None)
    """
    match = _DATABASE_OF.match(path)
    return int(match.group(1)) if match else None


def began_after(next_xid: int, xid: int) -> bool:
    """Whether a transaction had not begun when ``next_xid`` was the next ID to be given. IDs go in circles.

    >>> began_after(100, 100), began_after(101, 100), began_after(4294967290, 5)
    (True, False, True)
    """
    return (next_xid - xid) % (1 << 32) >= 1 << 31 or next_xid == xid


def judge(end: Ended, changes: Changes | None) -> Loss:
    """What a commit took away; ``changes`` is None when the beginning of its transaction is not in the archive."""
    if changes is None:
        files = end.files
        return _unknown(files, "The beginning of this transaction is not in the archive.") if files else Loss()
    lost = tuple(path for path in end.files if path not in changes.created and not _of_system_catalog(path))
    if changes.databases and (changes.database_rows or changes.other_shared_deletes):
        return _database_loss(changes, lost)
    if not lost:
        return Loss()
    if not changes.rows:
        return _unknown(
            lost, "It shows no row of pg_class: that catalog was rewritten (VACUUM FULL) and lies elsewhere."
        )
    return _relation_loss(changes, lost)


def _of_system_catalog(path: str) -> bool:
    """Whether a file has a number that no relation of a user ever gets."""
    return int(path.rpartition("/")[2]) < _FIRST_OF_USERS


def _database_loss(changes: Changes, lost: tuple[str, ...]) -> Loss:
    if changes.database_rows:
        return Loss(("drop_database",), lost, 0)
    return _unknown(lost, "It removed the directory of a database, but the catalog pg_database cannot be followed.")


def _unknown(files: tuple[str, ...], reason: str) -> Loss:
    return Loss(("unknown",), files, len(files), reason)


@dataclass(frozen=True)
class _Range:
    """A number that is known to lie between two bounds, both possible."""

    low: int
    high: int


def _relation_loss(changes: Changes, lost: tuple[str, ...]) -> Loss:
    gone, indexes = _gone_rows(changes)
    files = _gone_files(changes, len([path for path in changes.removed if path not in changes.created]))
    emptied = _truncated(changes, lost)
    if gone.high and files.high > 0:
        return _drop(changes, lost, gone, files, indexes, emptied)
    if gone.low == 0 and files.low > 0:
        return _unknown(lost, "More files went than rows of pg_class tell of.")
    if emptied is None:
        return _unknown(
            lost, "It moved relations to another tablespace, or truncated them: its records do not tell which."
        )
    return _truncation(changes, lost, emptied) if emptied else Loss()


def _drop(
    changes: Changes, lost: tuple[str, ...], gone: _Range, files: _Range, indexes: _Range, emptied: list[Row] | None
) -> Loss:
    if files.low <= 0 or gone.low <= 0 or files.low > gone.high:
        return _unknown(
            lost, "It rewrote relations and removed others: its records do not tell whether these had rows."
        )
    also = ("truncate",) if emptied else ()
    if gone.low == gone.high == indexes.low == indexes.high:
        kinds = (*also, "drop_index")
    elif files.low > indexes.high:
        kinds = ("drop", *also)
    else:
        return _unknown(lost, "It dropped indexes together with relations that may have had no file, such as views.")
    return Loss(kinds, lost, files.low, _mixed(files.low, lost, "dropped"))


def _truncation(changes: Changes, lost: tuple[str, ...], emptied: list[Row]) -> Loss:
    """A TRUNCATE: the tables with their TOAST tables, indexes and restarted sequences."""
    rewrites = any(row.new and row.dead for row in changes.rows)
    renewed = [row.files[-1] for row in changes.rows if not row.new and row.files]
    if rewrites or len(renewed) != len(lost):
        return Loss(("truncate",), lost, len(emptied), _mixed(len(emptied), lost, "truncated"))
    # Both lists follow the order in which the relations got their new files; a commit record names the last one first.
    made = [path for path in changes.created if path in set(renewed)]
    return Loss(("truncate",), lost, len(lost), None, tuple(zip(reversed(lost), made)))


def _mixed(count: int, lost: tuple[str, ...], what: str) -> str | None:
    if count == len(lost):
        return None
    return f"{count} of these {len(lost)} files were {what}, the others belong to relations that have new files now."


def _swapped(changes: Changes) -> tuple[list[Row], list[Row]]:
    """Rows that only went because a rewrite replaced a TOAST table: certainly, and perhaps."""
    certain: list[Row] = []
    perhaps: list[Row] = []
    for transient, run in changes.swaps:
        if transient.file is None or len(run) > _MOST_SWAPPED:
            continue
        alive = transient.file in changes.created and transient.file not in changes.removed
        if alive and len(run) == _MOST_SWAPPED:
            certain += run
        elif transient.updated:
            perhaps += run
    return certain, perhaps


def _gone_rows(changes: Changes) -> tuple[_Range, _Range]:
    """How many relations that existed before are gone, and how many indexes among them."""
    certain, perhaps = _swapped(changes)
    before = sum(1 for row in changes.rows if row.dead and not row.new) - len(certain)
    indexes = changes.indexes - len(certain) // _MOST_SWAPPED
    least = max(0, indexes - (len(perhaps) + 1) // _MOST_SWAPPED)
    return _Range(before - len(perhaps), before), _Range(least, indexes)


def _gone_files(changes: Changes, lost: int) -> _Range:
    """How many of the lost files belonged to relations that are gone. The others have been replaced.

    Each file that the transaction made and left belongs to a relation that it made, or has replaced a lost one.
    """
    certain, perhaps = _swapped(changes)
    made = [made for made in changes.created.values() if _is_left(made, changes)]
    alive = [row for row in changes.rows if row.new and not row.dead]
    owners = sum(1 for row in alive if row.file or row.files)
    # The order of records does not tell whose a file of an unlogged relation is.
    unlogged = any(each.unlogged for each in changes.created.values())
    least, most = (0, len(alive)) if unlogged else (owners, owners)
    rest = lost - len(certain) - len(made)
    return _Range(rest + least - len(perhaps), rest + most)


def _is_left(made: Created, changes: Changes) -> bool:
    return made.path not in changes.removed and database_of(made.path) is not None


def _truncated(changes: Changes, lost: tuple[str, ...]) -> list[Row] | None:
    """Tables that existed before and have a new file without rows of old; None where nobody can tell."""
    found: list[Row] = []
    empty: list[str] = []
    for row in changes.rows:
        path = row.files[-1] if row.files and not row.new and not row.dead else None
        made = changes.created.get(path) if path and path not in changes.removed else None
        if made is None or (made.content is not None and made.content not in _HEAP):
            continue
        found.append(row)
        if made.content is None:
            empty.append(made.path)
    # An empty table that moves to another tablespace looks the same, but for the tablespace.
    places = [_tablespace(path) for path in lost]
    moved = [path for path in empty if _tablespace(path) not in places]
    if len(moved) == len(empty) and moved:
        return [row for row in found if row.files[-1] not in moved]
    return None if moved or (empty and len(set(places)) > 1) else found


def _tablespace(path: str) -> str:
    return path.rpartition("/")[0]
