# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Found drops as module result and as lines to choose from. Pure. Private to the collection."""

from __future__ import annotations

import typing as t

from ._drop_search import Find
from ._repository import iso_time
from ._target import format_time
from ._wal import format_lsn

_WIDTH = 110
_WORDS = {
    "drop": "dropped",
    "truncate": "truncated",
    "drop_database": "dropped the database",
    "drop_index": "dropped indexes",
    "unknown": "removed, unclear what for,",
}
_KNOWN_BY_NAME = ("table", "materialized view")
Named = t.Optional[t.Tuple[str, str]]


def candidate(find: Find, database: Named, relations: t.Mapping[str, tuple[str, str, str]]) -> dict[str, t.Any]:
    """One find as module result. Names come with where they are from."""
    commit = find.end.commit
    entry: dict[str, t.Any] = {
        "xid": commit.xid,
        "time": format_time(commit.time),
        "lsn": format_lsn(commit.lsn),
        "timeline": find.timeline,
        "kind": find.loss.kinds[0],
        "kinds": list(find.loss.kinds),
        "database": {"oid": find.database, **_named(database)},
        "relations": [_relation(path, relations.get(path)) for path in find.loss.files],
        "count": find.loss.count,
        "reason": find.loss.reason,
        "restore": {
            "type": "lsn",
            "target": format_lsn(find.target),
            "target_exclusive": True,
            "target_timeline": str(find.timeline),
        },
    }
    return {**entry, "text": line(entry)}


def line(entry: t.Mapping[str, t.Any]) -> str:
    """What somebody needs who chooses one of several, in one line.

    Names of tables come first; of the rest only as much as there is room for.
    """
    database = entry["database"]["name"] or f"with OID {entry['database']['oid']}"
    what = " and ".join(_WORDS[kind] for kind in entry["kinds"])
    head = f"{entry['time'][:19]}+00:00  xid {entry['xid']}  {what}"
    if entry["kind"] == "drop_database":
        return _fitted(f"{head} {database}")
    number = f"{entry['count']} relation{'' if entry['count'] == 1 else 's'}"
    return _fitted(f"{head} {number} in database {database}: {_relations(entry['relations'])}")


def _relations(relations: t.Sequence[t.Mapping[str, t.Any]]) -> str:
    names = [each["name"] for each in relations if each["type"] in _KNOWN_BY_NAME]
    names = names or [each["name"] for each in relations if each["name"]]
    if not names:
        return f"files {' '.join(each['file'].rpartition('/')[2] for each in relations)}"
    more = len(relations) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")


def summary(candidates: t.Sequence[t.Mapping[str, t.Any]], scanned: t.Mapping[str, t.Any]) -> list[str]:
    """All candidates as lines, and what was looked at."""
    number = len(candidates)
    found = {0: "Nothing found", 1: "One commit found"}.get(number, f"{number} commits found")
    looked = f"{scanned['commits']} commits in {scanned['segments']} segments looked at"
    skipped = f"{scanned['skipped']} rewrites and the like left out"
    return [*(each["text"] for each in candidates), f"{found}; {looked}, {skipped}."]


def reach(repo: int, oldest: int | None, begin: float, first: str | None) -> list[str]:
    """What to know of a range that begins (``begin``) before the ``oldest`` backup has ended."""
    if oldest is None or begin >= oldest:
        return []
    return [
        f"The range begins before the oldest backup of repository {repo}, which ended {iso_time(oldest)}:",
        f"WAL was looked at from {first or 'no segment'} on, and no moment before that can be restored from there.",
    ]


def _relation(path: str, known: tuple[str, str, str] | None) -> dict[str, str | None]:
    return {"file": path, **_named(known[:2] if known else None), "type": known[2] if known else None}


def _named(name: Named) -> dict[str, str | None]:
    return {"name": name[0] if name else None, "name_from": name[1] if name else None}


def _fitted(text: str) -> str:
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1].rstrip()}…"
