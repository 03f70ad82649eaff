# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading the WAL of one cluster: from a repository, its directory, and what was rescued. Private to the collection."""

from __future__ import annotations

import typing as t

from ._cli import PgBackRest
from ._waldump import End, Record


class WalReader:
    """The WAL that one archive id of one repository and this host have. Close it: it has a temporary directory."""

    def __init__(
        self,
        backrest: PgBackRest,
        stanza: str,
        repo: int,
        archive_id: str,
        system_id: int,
        pg_version: str,
        pgdata: str,
        bindir: str | None,
        workspace: str | None,
    ) -> None:
        raise NotImplementedError

    def __enter__(self) -> WalReader:
        return self

    def __exit__(self, *dummy: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove what was fetched."""

    @property
    def segment_size(self) -> int:
        """Size of a segment in bytes, read from the header of one."""
        raise NotImplementedError

    def listing(self) -> dict[str, t.Any]:
        """What the archive holds, by name."""
        raise NotImplementedError

    def history(self, timeline: int) -> str:
        """Text of the history file of a timeline."""
        raise NotImplementedError

    def local_segments(self) -> dict[str, str]:
        """Name and path of the segments on this host."""
        raise NotImplementedError

    def open(self, name: str) -> t.ContextManager[str]:
        """Path of the plain segment."""
        raise NotImplementedError

    def records(self, name: str, *filters: str) -> t.Iterator[Record]:
        """Records that begin in one segment and end in it, as the filters of pg_waldump say."""
        raise NotImplementedError

    def scan(self, names: t.Iterable[str], *filters: str) -> t.Iterator[Record]:
        """Records of consecutive segments, oldest first, those that cross from one segment into the next as well.

        One segment alone does not show a record that ends in the next one: whoever must miss nothing uses this.
        """
        raise NotImplementedError

    def last_commit(self, names_newest_first: t.Iterable[str]) -> End | None:
        """The newest end of a transaction."""
        raise NotImplementedError

    def find(self, kind: str, value: str, names_oldest_first: t.Iterable[str]) -> Record | None:
        """The record that ends transaction ``value`` (kind xid) or is the restore point ``value`` (kind name)."""
        raise NotImplementedError
