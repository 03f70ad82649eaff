# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What one transaction did to relations, read from its WAL records. Pure. Private to the collection.

The rows of pg_class tell it: a relation that goes for good has its row deleted, one that gets a new file (TRUNCATE,
REINDEX, a rewrite) has its row updated. A rewrite works on a transient relation that it makes and drops itself.
``pg_waldump`` shows where a row lies (block and offset), never what is in it.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

from ._waldump import Record

PG_CLASS, PG_INDEX, PG_DATABASE = 1259, 2610, 1262  # OIDs, and the files as long as nothing has rewritten them
_DEFAULT_TABLESPACE, _GLOBAL_TABLESPACE = 1663, 1664
# PostgreSQL 13 to 15 write "off 5 … new off 6", 16 and newer "off: 5", "old_off: 5 … new_off: 6".
_ROW = re.compile(
    r"(INSERT|DELETE|UPDATE|HOT_UPDATE)(?:\+INIT)? .*?\b(?:old_)?off:? (\d+)(?:.*?\bnew(?:_| )off:? (\d+))?"
)
_INPLACE = re.compile(r"INPLACE off:? (\d+)")
_BLOCK = re.compile(r"blkref #(\d+): rel (\d+)/(\d+)/(\d+)(?: fork (\w+))? blk (\d+)")
_CREATE = re.compile(r"CREATE (\S+)")
_DIRECTORY = re.compile(r"(\d+)/(\d+)")

Place = t.Tuple[int, int]  # block and offset of a row


@dataclass(eq=False)
class Row:
    """A row of pg_class over its versions in this transaction.

    ``new``: inserted by the transaction. ``file``: the file made for it when it was inserted. ``files``: those that
    replaced its file later.
    """

    new: bool
    dead: bool = False
    updated: bool = False
    file: str | None = None
    files: list[str] = field(default_factory=list)


@dataclass(eq=False)
class Created:
    """A file that the transaction made; ``content`` names the resource manager that wrote into it first."""

    path: str
    unlogged: bool = False
    content: str | None = None


@dataclass(frozen=True)
class Block:
    """A page that a record changes."""

    relation: str
    database: int
    number: int
    fork: str
    page: int


@dataclass
class Changes:
    """What a transaction did. Feed it the records of the transaction and its subtransactions in order.

    ``pg_class`` are the file numbers that pg_class is known to have or to have had in this database, ``removed`` the
    files that the commit record names.
    ``swaps`` are rows that existed before, deleted in one go with a transient relation right before it: a rewrite that
    replaces a TOAST table does so. ``databases`` are the OIDs whose directories went.
    """

    database: int
    pg_class: t.Container[int] = (PG_CLASS,)
    removed: t.Collection[str] = ()
    rows: list[Row] = field(default_factory=list)
    created: dict[str, Created] = field(default_factory=dict)
    swaps: list[tuple[Row, list[Row]]] = field(default_factory=list)
    indexes: int = 0
    databases: tuple[int, ...] = ()
    database_rows: list[tuple[int, Place]] = field(default_factory=list)
    other_shared_deletes: bool = False
    _places: dict[tuple[int, Place], Row] = field(default_factory=dict)
    _pending: str | None = None
    _run: list[Row] = field(default_factory=list)

    def take(self, record: Record) -> None:
        """Learn from the next record."""
        if record.rmgr == "Storage":
            self._take_storage(record)
            return
        if record.rmgr == "Database" and record.desc.startswith("DROP "):
            pairs = _DIRECTORY.findall(record.desc)
            self.databases = tuple(sorted({int(oid) for dummy, oid in pairs} | set(self.databases)))
            return
        blocks = parse_blocks(record.desc)
        for block in blocks:
            made = self.created.get(block.relation)
            if made and made.content is None and block.fork == ("init" if made.unlogged else "main"):
                made.content = record.rmgr
        # A record may name pages of the visibility map, too (newer minor versions): rows lie in none of them.
        pages = [block for block in blocks if block.fork == "main"]
        if record.rmgr == "Heap" and pages:
            self._take_row(record, pages)

    def _take_storage(self, record: Record) -> None:
        match = _CREATE.match(record.desc)
        if not match:
            return
        path, marker, dummy = short_path(match.group(1)).partition("_init")
        made = self.created.setdefault(path, Created(path))
        made.unlogged = made.unlogged or bool(marker)
        self._pending = path

    def _take_row(self, record: Record, blocks: t.Sequence[Block]) -> None:
        match = _ROW.match(record.desc)
        if not match:
            return
        verb, first = match.group(1), (blocks[-1].page, int(match.group(2)))
        last = (blocks[0].page, int(match.group(3))) if match.group(3) else first
        block = blocks[0]
        if block.database == 0:
            self._take_shared(record, verb, block, first)
        elif block.database == self.database and block.number in self.pg_class:
            self._take_class(verb, (block.number, first), (block.number, last))
        elif block.database == self.database and block.number == PG_INDEX:
            self._take_index(verb, (block.number, first), (block.number, last))

    def _take_shared(self, record: Record, verb: str, block: Block, place: Place) -> None:
        if verb == "DELETE" and block.number == PG_DATABASE:
            self.database_rows.append((record.lsn, place))
        elif verb == "DELETE":
            self.other_shared_deletes = True

    def _take_class(self, verb: str, old: tuple[int, Place], new: tuple[int, Place]) -> None:
        pending, self._pending = self._pending, None
        if verb == "INSERT":
            row = Row(new=True, file=pending)
            self.rows.append(row)
            self._places[new] = row
            self._run = []
            return
        row = self._row(old)
        if verb == "DELETE":
            row.dead = True
            self._take_deleted(row)
            return
        row.updated = True
        if pending is not None:
            row.files.append(pending)
        self._places[new] = row
        self._run = []

    def _take_deleted(self, row: Row) -> None:
        if not row.new:
            self._run.append(row)
            return
        if self._run:
            self.swaps.append((row, self._run))
        self._run = []

    def _take_index(self, verb: str, old: tuple[int, Place], new: tuple[int, Place]) -> None:
        """Rows of pg_index: only whether they existed before counts."""
        if verb == "INSERT":
            self._places[new] = Row(new=True)
            return
        row = self._places.pop(old, None) or Row(new=False)
        if verb != "DELETE":
            self._places[new] = row
        elif not row.new:
            self.indexes += 1

    def _row(self, place: tuple[int, Place]) -> Row:
        row = self._places.pop(place, None)
        if row is None:
            row = Row(new=False)
            self.rows.append(row)
        return row


def parse_blocks(desc: str) -> list[Block]:
    """The pages that a record changes, by the number of their reference.

    >>> parse_blocks("DELETE off 8 flags 0x00 , blkref #0: rel 1663/5/1259 blk 3 FPW")
    [Block(relation='base/5/1259', database=5, number=1259, fork='main', page=3)]
    """
    return [
        Block(_path(int(tablespace), database, number), int(database), int(number), fork or "main", int(page))
        for dummy, tablespace, database, number, fork, page in _BLOCK.findall(desc)
    ]


def inplace_place(record: Record) -> Place | None:
    """Where a record changes a row of pg_database in place; None when it does not."""
    match = _INPLACE.match(record.desc) if record.rmgr == "Heap" else None
    blocks = parse_blocks(record.desc) if match else []
    if not match or not blocks or (blocks[0].database, blocks[0].number) != (0, PG_DATABASE):
        return None
    return blocks[0].page, int(match.group(1))


def _path(tablespace: int, database: str, number: str) -> str:
    """A relation as commit records name its file; those in other tablespaces without the directory of the version."""
    if tablespace == _GLOBAL_TABLESPACE:
        return f"global/{number}"
    if tablespace == _DEFAULT_TABLESPACE:
        return f"base/{database}/{number}"
    return f"pg_tblspc/{tablespace}/{database}/{number}"


def short_path(path: str) -> str:
    """A file of a commit or CREATE record in the form in which records name relations.

    >>> short_path("pg_tblspc/16999/PG_15_202209061/5/16400")
    'pg_tblspc/16999/5/16400'
    """
    parts = path.split("/")
    return "/".join(parts[:2] + parts[3:]) if parts[0] == "pg_tblspc" and len(parts) == 5 else path
