# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A database that compresses like a real one: text, random values, data that is compressed already, rows of pgbench.

Each kind is a table for each of four months. Changes go to the newest month, as they mostly do.
"""

from __future__ import annotations

import itertools
import os
import random
import string
import subprocess
import typing as t
import zlib
from pathlib import Path

from .throwaway import Cluster, as_postgres

MONTHS = 4
PIECES = 32
# How much of the whole each kind is.
SHARES = {"documents": 0.4, "accounts": 0.25, "files": 0.2, "tokens": 0.15}
# Nothing comes again within this many bytes, which is more than compressors look back at the levels that are used.
_POOL = 16 * 1024 * 1024
_ROW_OVERHEAD = 40  # header of a row, its line pointer, its share of the index
_COLUMNS = {
    "documents": "id bigint, created timestamptz, title text, body text",
    "accounts": "id bigint, bid int, abalance int, filler char(84)",
    "files": "id bigint, name text, content bytea",
    "tokens": "id bigint, token uuid, digest bytea",
}
Rows = t.Iterator[tuple[bytes, int]]


def tables(kind: str) -> list[str]:
    """The tables of a kind, the oldest first."""
    return [f"{kind}_{month}" for month in range(1, MONTHS + 1)]


def load(cluster: Cluster, megabytes: int) -> None:
    """Make the tables, about as large as asked for."""
    content = Content()
    for kind, share in SHARES.items():
        for month, table in enumerate(tables(kind)):
            cluster.sql(f"CREATE TABLE {table} ({_COLUMNS[kind]})")
            if "bytea" in _COLUMNS[kind]:
                column = "content" if kind == "files" else "digest"
                cluster.sql(f"ALTER TABLE {table} ALTER {column} SET STORAGE EXTERNAL")
            rows = content.rows(kind, month)
            _copy(cluster, table, limited(rows, int(megabytes * 1024 * 1024 * share / MONTHS)))
            cluster.sql(f"ALTER TABLE {table} ADD PRIMARY KEY (id)")
    cluster.sql("VACUUM (FREEZE, ANALYZE)")


def split(cluster: Cluster, rows: int) -> None:
    """Copy texts to many tables, each a little larger than the one before: 0.1 to 4 MB, as partitions have them."""
    for number in range(1, PIECES + 1):
        cluster.sql(f"CREATE TABLE piece_{number} AS SELECT * FROM documents_1 LIMIT {number * rows}")


def change(cluster: Cluster, share: float) -> None:
    """Update this share of all rows, in the newest month only, in ranges of rows that lie together."""
    of_each = round(share * MONTHS * 100)
    for kind in SHARES:
        column = {"documents": "title", "accounts": "abalance", "files": "name", "tokens": "token"}[kind]
        new = {"title": "reverse(title)", "abalance": "abalance + 1", "name": "reverse(name)"}
        value = new.get(column, "gen_random_uuid()")
        where = f"(id / 50) % 100 < {of_each}"
        cluster.sql(f"UPDATE {tables(kind)[-1]} SET {column} = {value} WHERE {where}")
    cluster.sql("CHECKPOINT")


def relations(pgdata: Path) -> dict[str, int]:
    """Files of user tables and their sizes."""
    paths = (path for path in pgdata.glob("base/*/*") if path.name.isdecimal() and int(path.name) >= 16384)
    return {str(path.relative_to(pgdata)): path.stat().st_size for path in paths}


def damage(pgdata: Path, share: float, chunk: int = 65536) -> None:
    """Overwrite a share of all bytes of user tables, in every fourth file, here and there."""
    every = 4
    for name, size in sorted(relations(pgdata).items())[::every]:
        with open(pgdata / name, "r+b") as file:
            step = int(chunk / (share * every))
            for position in range(0, max(size - chunk, 1), step):
                file.seek(position)
                file.write(os.urandom(min(chunk, size)))


class Content:
    """Rows for COPY, always the same ones."""

    def __init__(self, seed: int = 1, pool: int = _POOL) -> None:
        self.random = random.Random(seed)
        self.text = words(self.random, pool)

    def rows(self, kind: str, month: int) -> Rows:
        """Rows of a kind without end, with their sizes in the table."""
        make = {"documents": self.document, "accounts": self.account, "files": self.file, "tokens": self.token}[kind]
        for number in itertools.count(month * 100_000_000):
            line, size = make(number)
            yield line, size + _ROW_OVERHEAD

    def piece(self, number: int, length: int) -> bytes:
        """The next piece of the text; each pass through it begins a little later."""
        around, position = divmod(number * 1500, len(self.text) - 1500)
        position = (position + around * 137) % (len(self.text) - length)
        return self.text[position : position + length]

    def document(self, number: int) -> tuple[bytes, int]:
        length = 300 + self.random.randrange(1200)
        body = self.piece(number, length)
        month, day, hour = 1 + number // 100_000_000, 1 + number // 500 % 28, number // 20 % 24
        created = b"2026-%02d-%02d %02d:00:00+00" % (month, day, hour)
        return b"%d\t%s\t%s\t%s\n" % (number, created, body[:40], body), length + 56

    def account(self, number: int) -> tuple[bytes, int]:
        balance = self.random.randrange(-50000, 50000)
        return b"%d\t%d\t%d\t\n" % (number, number // 100000, balance), 100

    def file(self, number: int) -> tuple[bytes, int]:
        content = zlib.compress(self.piece(number, 1500) + self.random.randbytes(64), 6)
        name = b"file-%d.z" % number
        return b"%d\t%s\t\\\\x%s\n" % (number, name, content.hex().encode()), 8 + len(name) + len(content)

    def token(self, number: int) -> tuple[bytes, int]:
        token, digest = self.random.randbytes(16), self.random.randbytes(256)
        return b"%d\t%s\t\\\\x%s\n" % (number, token.hex().encode(), digest.hex().encode()), 290


def limited(rows: Rows, size: int) -> t.Iterator[bytes]:
    """Rows until they take so many bytes of a table."""
    for line, taken in rows:
        if size <= 0:
            return
        yield line
        size -= taken


def words(source: random.Random, size: int) -> bytes:
    """Text whose words come as often as in languages: the second half as often as the first, and so on (Zipf)."""
    vocabulary = ["".join(source.choices(string.ascii_lowercase, k=source.randint(2, 11))) for dummy in range(20000)]
    weights = list(itertools.accumulate(1 / rank for rank in range(1, len(vocabulary) + 1)))
    text = " ".join(source.choices(vocabulary, cum_weights=weights, k=size // 5))
    return text[:size].encode()


def _copy(cluster: Cluster, table: str, lines: t.Iterator[bytes]) -> None:
    psql = [f"{cluster.bindir}/psql", "-h", cluster.socket_dir, "-p", str(cluster.port), "-XAtq", "-d", "postgres"]
    argv = [*as_postgres(), *psql, "-c", f"COPY {table} FROM STDIN"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, cwd="/") as process:
        assert process.stdin
        for batch in iter(lambda: b"".join(itertools.islice(lines, 500)), b""):
            process.stdin.write(batch)
    if process.returncode:
        raise RuntimeError(f"COPY into {table} failed.")
