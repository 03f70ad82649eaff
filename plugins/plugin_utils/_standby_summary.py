# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What came of each standby, for people and as data. Pure. Private to the collection."""

from __future__ import annotations

import typing as t

from ._model_input import Mapping
from ._progress_line import duration, size
from ._standby_plan import of_host
from ._standby_words import in_our_words, told
from ._status_text import wrapped

Record = t.Dict[str, t.Any]

_DONE = {
    "none": "left alone",
    "start": "started",
    "repoint": "repointed",
    "rebuild": "rebuilt",
    "provision": "provisioned",
}
_AGAIN = "Remove the cause and run the play again: it goes on from there."


def failure(result: Record, task: str, known: Record) -> Record:
    """A failed task of one standby as ``why`` (with how things stand there and what to do), ``codes`` and ``log``.

    ``task`` is the module that failed. ``known`` has the ``data_directory``, whether the server was ``running``,
    whether anything was done yet (``begun``) and whether the restore had ended well (``restored``).
    """
    found = told(result)
    return {**found, "why": f"{found['why']} {_standing(task.rpartition('.')[2], found['codes'], known)}"}


def _standing(task: str, codes: t.Sequence[str], known: Record) -> str:
    """How things stand on the host of a standby when a task has failed there."""
    pgdata, stopped = known["data_directory"], "PostgreSQL is stopped"
    if not known["begun"]:
        return "Nothing was stopped or overwritten there."
    if task == "standby":
        return "PostgreSQL goes on with what it does. When the cause is removed, run the play again."
    if known["restored"]:
        return f"{pgdata} is restored, but PostgreSQL does not run on it. {_AGAIN} Nothing is restored again."
    if task == "restore" and (not codes or set(codes) & _AFTER_WRITING):
        return (
            f"{pgdata} may hold half a restore: {stopped} and must not be started. {_AGAIN} Files that are right "
            "already are kept."
        )
    if task == "restore":
        return f"{pgdata} is as it was, and {stopped}. {_AGAIN}"
    return f"Nothing was overwritten there. {_AGAIN}"


# Problems that are found after the data directory was written to.
_AFTER_WRITING = {"verify", "io"}


def summary(place: Record, hostvars: Mapping, hosts: t.Container[str], slots: t.Sequence[Record] = ()) -> Record:
    """``lines`` for people, ``data`` for the next job, and ``failed``: host to why.

    What is known of each standby stands in its fact ``__pgbackrest_standby``; ``hosts`` are those that were not lost on
    the way. ``slots`` are those of the primary.
    """
    known = {host: of_host(hostvars, host) if host in hosts else {} for host in place["standbys"]}
    records = [_record(host, link, known[host]) for host, link in place["standbys"].items()]
    failed = {record["host"]: record["failed"] for record in records if record["failed"]}
    good = len(records) - len(failed)
    verdict = "ALL FOLLOW" if not failed else f"{good} OF {len(records)} FOLLOW"
    used = place["upstreams"][place["primary"]]["slots"]["present"]
    left = [slot for slot in slots if slot["kept"] and not slot["active"] and slot["name"] not in used]
    title = f"{place['stanza']}: {verdict}; primary {place['primary']} ({place['cluster']['name']})"
    notes = [*_kept(records), *_slot_notes(left, place), *_next(records, known)]
    return {
        "lines": [title, *_table(records), *(line for note in notes for line in wrapped(note, "  "))],
        "data": {
            "stanza": place["stanza"],
            "primary": place["primary"],
            "healthy": not failed,
            "standbys": records,
            "idle_slots": left,
        },
        "failed": failed,
    }


def _record(host: str, link: Record, known: Record) -> Record:
    if not known.get("failed") and not known.get("verdict"):
        known = {**known, "failed": {"why": "It was lost on the way, see its own failure."}}
    restore, verdict = known.get("restore") or {}, known.get("verdict") or {}
    restored = restore.get("restored") or {}
    backup = (restore.get("plan") or {}).get("backup") or {}
    return {
        "host": host,
        "follows": link["host"],
        "slot": link["slot"],
        "action": (known.get("judgement") or {}).get("action", "unknown"),
        "reason": (known.get("judgement") or {}).get("reason", ""),
        "backup": {name: backup.get(name) for name in ("label", "type", "repo_key")} if backup else None,
        "bytes": restored.get("bytes"),
        "copied_bytes": restored.get("copied_bytes"),
        "seconds": _seconds(known.get("clock") or {}),
        "streaming": bool(verdict.get("streaming")),
        "state": in_our_words(verdict.get("text") or verdict.get("reason") or ""),
        "lag": verdict.get("lag"),
        "timeline": (verdict.get("local") or {}).get("timeline"),
        "rescued": (restore.get("rescued") or {}).get("path"),
        "failed": (known.get("failed") or {}).get("why", ""),
        "codes": (known.get("failed") or {}).get("codes", []),
    }


def _seconds(clock: Record) -> dict[str, float]:
    """Seconds of each phase, from the moments at which they ended."""
    found: dict[str, float] = {}
    before = float(clock.get("begin", 0))
    for name in ("stop", "restore", "ready"):
        if name in clock:
            found[name] = round(float(clock[name]) - before, 1)
            before = float(clock[name])
    return found


def _table(records: t.Sequence[Record]) -> list[str]:
    """One row for each standby, the columns as wide as they must be."""
    rows = [["host", "done", "from", "copied", "took", "now"], *(_row(record) for record in records)]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = []
    for row in rows:
        begin = "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths)) + "  "
        lines.append((begin + row[5]).rstrip())
    return lines


def _row(record: Record) -> list[str]:
    backup = record["backup"]
    return [
        record["host"],
        "FAILED" if record["failed"] else _DONE.get(record["action"], record["action"]),
        backup["label"] if backup else "",
        _copied(record),
        duration(sum(record["seconds"].values())) if record["seconds"] else "",
        "see below" if record["failed"] else _now(record),
    ]


def _copied(record: Record) -> str:
    if record["bytes"] is None or record["copied_bytes"] is None:
        return ""
    return f"{size(record['copied_bytes'])} of {size(record['bytes'])}"


def _now(record: Record) -> str:
    lag = record["lag"] or {}
    behind = f", {size(lag['bytes'])} behind" if lag.get("bytes") is not None else ""
    slot = f" through slot {record['slot']}" if record["slot"] else ""
    if record["streaming"]:
        return f"streams from {record['follows']}{slot}{behind}"
    return record["state"] or f"follows {record['follows']}{behind}"


def _kept(records: t.Sequence[Record]) -> list[str]:
    return [
        f"{record['host']} had WAL that no repository has. It is kept in {record['rescued']}: remove it when you are "
        "sure that nothing in it is missed."
        for record in records
        if record["rescued"]
    ]


def _slot_notes(left: t.Sequence[Record], place: Record) -> list[str]:
    return [
        f"Slot {slot['name']} on {place['primary']} is used by nobody and holds back {size(slot['kept'])} of WAL. If "
        f"it is not needed: SELECT pg_drop_replication_slot('{slot['name']}')"
        for slot in left
    ]


def _next(records: t.Sequence[Record], hosts: t.Mapping[str, Record | None]) -> list[str]:
    new = [
        record["host"] for record in records if (hosts.get(record["host"]) or {}).get("new") and not record["failed"]
    ]
    if not new:
        return []
    return [
        f"{' and '.join(new)}: new. Run the playbook site once more, so that backups know of it. Bring pg_hba.conf of "
        "the primary as far as clients need it there: no backup has that file on Debian."
    ]
