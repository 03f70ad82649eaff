# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names of dropped relations and databases, only where they are certain. Reads only. Private to the collection."""

from __future__ import annotations

import os
import struct
import typing as t
from types import SimpleNamespace

from ._drop_records import PG_CLASS
from ._repository import Backup, find_stanza, parse_info
from ._sql import DatabaseError, connect, query
from ._wal import HistoryEntry, format_lsn, parse_history, parse_lsn

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

    from ._cli import PgBackRest
    from ._drop_search import Find

_MAP_MAGIC = 0x592717  # RELMAPPER_FILEMAGIC, the same in PostgreSQL 13 to 18
_HEADER = struct.Struct("=ii")
_PAIR = struct.Struct("=II")
_POSITION = (
    "SELECT system_identifier, pg_last_wal_replay_lsn()::text AS replayed, pg_is_in_recovery() AS in_recovery, "
    "CASE WHEN pg_is_in_recovery() THEN NULL ELSE pg_walfile_name(pg_current_wal_lsn()) END AS segment "
    "FROM pg_control_system()"
)
_HISTORY = "SELECT pg_read_file('pg_wal/' || %s || '.history', 0, 1000000, true) AS text"
_RELATION = (
    "SELECT format('%%I.%%I', n.nspname, c.relname) AS name, c.relkind::text AS kind "
    "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = pg_filenode_relation(%s, %s)"
)
_TYPES = {"r": "table", "m": "materialized view", "S": "sequence", "i": "index", "t": "TOAST table"}
Named = t.Tuple[str, str]  # the name, and where it is from
NamedRelation = t.Tuple[str, str, str]  # also what it is


def pg_class_files(pgdata: str) -> dict[int, int]:
    """The present file of pg_class by database, as far as the data directory tells; VACUUM FULL changes it."""
    found: dict[int, int] = {}
    base = os.path.join(pgdata, "base")
    for name in os.listdir(base) if os.path.isdir(base) else ():
        try:
            with open(os.path.join(base, name, "pg_filenode.map"), "rb") as file:
                mapping = parse_relation_map(file.read())
        except OSError:
            continue
        if name.isdigit() and PG_CLASS in mapping:
            found[int(name)] = mapping[PG_CLASS]
    return found


def parse_relation_map(data: bytes) -> dict[int, int]:
    """File by OID in a ``pg_filenode.map``; {} when it is none."""
    if len(data) < _HEADER.size:
        return {}
    magic, number = _HEADER.unpack_from(data)
    if magic != _MAP_MAGIC or not 0 <= number <= (len(data) - _HEADER.size) // _PAIR.size:
        return {}
    pairs = (_PAIR.unpack_from(data, _HEADER.size + index * _PAIR.size) for index in range(number))
    return dict(pairs)


class BackupNames:
    """Names of databases as backups know them, for what happened after ``begin`` (epoch seconds).

    A database that was there after that moment, and is not in the newest backup before it, is in no older one either.
    """

    def __init__(self, backrest: PgBackRest, stanza: str, backups: t.Sequence[Backup], begin: float) -> None:
        self._backrest = backrest
        self._stanza = stanza
        ordered = sorted(backups, key=lambda backup: backup.stop, reverse=True)
        later = sum(backup.stop > begin for backup in ordered)
        self._backups = ordered[: later + 1]
        self._known: dict[str, dict[int, str]] = {}

    def name(self, oid: int, moment: float) -> Named | None:
        """Name of a database in the newest backup that was taken before a moment and has it."""
        for backup in self._backups:
            if backup.stop <= moment and oid in self._databases(backup):
                return self._databases(backup)[oid], f"backup {backup.label}"
        return None

    def oid(self, name: str) -> int | None:
        """OID of the database with this name in the newest backup that has it."""
        for backup in self._backups:
            for oid, known in self._databases(backup).items():
                if known == name:
                    return oid
        return None

    def _databases(self, backup: Backup) -> dict[int, str]:
        if backup.label not in self._known:
            stanza = find_stanza(parse_info(self._backrest.info(set=backup.label, repo=backup.repo_key)), self._stanza)
            details = (stanza.backups[0].details if stanza and stanza.backups else None) or {}
            self._known[backup.label] = {int(each["oid"]): each["name"] for each in details.get("databases", [])}
        return self._known[backup.label]


class ServerNames:
    """Names as a running server of this cluster knows them. Raises DatabaseError.

    ``histories`` are those of the timelines in the archive.
    """

    def __init__(
        self, module: AnsibleModule, system_id: int, histories: t.Mapping[int, t.Sequence[HistoryEntry]]
    ) -> None:
        self._module = module
        self._connections: dict[str, t.Any] = {}
        self._histories = histories
        connection = self._connection(module.params["login_db"])
        position = query(connection, _POSITION)[0]
        if position["system_identifier"] % (1 << 64) != system_id:
            raise DatabaseError(
                f"The server on port {module.params['login_port']} is another cluster (system identifier "
                f"{position['system_identifier']}) than that of the stanza ({system_id})."
            )
        self._replayed = parse_lsn(position["replayed"]) if position["in_recovery"] and position["replayed"] else None
        self._timeline = int(position["segment"][:8], 16) if position["segment"] else None
        self._history: list[HistoryEntry] = []
        if self._timeline is not None and self._timeline > 1:
            self._history = parse_history(query(connection, _HISTORY, [position["segment"][:8]])[0]["text"] or "")
        databases = query(connection, "SELECT oid, datname FROM pg_database")
        self.databases = {int(row["oid"]): str(row["datname"]) for row in databases}

    def close(self) -> None:
        """End the connections."""
        for connection in self._connections.values():
            connection.close()

    def database(self, oid: int) -> Named | None:
        """Present name of a database."""
        return (self.databases[oid], "the running server") if oid in self.databases else None

    def oid(self, name: str) -> int | None:
        """OID of the database that has this name now."""
        return next((oid for oid, known in self.databases.items() if known == name), None)

    def relations(self, find: Find) -> dict[str, NamedRelation]:
        """Names of the files of a find: as they were where the server stands before it, else those truncated."""
        name, lsn = self.databases.get(find.database), find.end.commit.lsn
        if name is None:
            return {}
        if self._replayed is not None and stands_before(find.timeline, lsn, self._replayed, self._histories):
            where, wanted = (
                f"the running server, which has replayed up to {format_lsn(self._replayed)} only",
                {path: path for path in find.loss.files},
            )
        elif self._timeline is not None and went_through(find.timeline, lsn, self._timeline, self._history):
            where, wanted = "the running server, by the file that it has since", dict(find.loss.renewed)
        else:
            return {}
        connection = self._connection(name) if wanted else None
        found = ((old, _relation(connection, new)) for old, new in wanted.items())
        return {old: (relation[0], where, relation[1]) for old, relation in found if relation}

    def _connection(self, database: str) -> t.Any:
        if database not in self._connections:
            other = SimpleNamespace(params={**self._module.params, "login_db": database})
            self._connections[database] = connect(t.cast("AnsibleModule", other))
        return self._connections[database]


def stands_before(timeline: int, lsn: int, replayed: int, histories: t.Mapping[int, t.Sequence[HistoryEntry]]) -> bool:
    """Whether a server in recovery certainly is on the way to a commit at ``lsn`` of ``timeline``, and before it.

    It does not tell the timeline that it replays. So no other timeline may have left that way before its place: there
    other relations may have files of the same numbers.
    """
    if replayed > lsn:
        return False
    way = {timeline, *(entry.timeline for entry in histories.get(timeline, ()))}
    for other, entries in histories.items():
        forks = [entry.lsn for entry in entries if entry.timeline in way]
        if other not in way and forks and max(forks) < replayed:
            return False
    return True


def went_through(timeline: int, lsn: int, server: int, history: t.Sequence[HistoryEntry]) -> bool:
    """Whether a primary on timeline ``server`` has a commit at ``lsn`` of ``timeline`` behind it."""
    left = next((entry.lsn for entry in history if entry.timeline == timeline), None)
    return server == timeline or (left is not None and left > lsn)


def _relation(connection: t.Any, path: str) -> tuple[str, str] | None:
    parts = path.split("/")
    tablespace = int(parts[1]) if parts[0] == "pg_tblspc" else 0
    rows = query(connection, _RELATION, [tablespace, int(parts[-1])])
    return (str(rows[0]["name"]), _TYPES.get(rows[0]["kind"], "relation")) if rows else None
