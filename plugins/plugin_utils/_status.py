# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the hosts said, as one record per stanza with its problems. Pure. Private to the collection.

Input is a list with one entry per host of the play:

``host``      its inventory name
``stanzas``   names of the stanzas that the variables give it
``hosts``     the hosts of these stanzas by the variables
``look``      result of the module host_info, which failed when the host cannot be asked
``clusters``  the clusters as the filter clusters resolves them; a stanza without its cluster is missing
``info``, ``archiving``, ``schedule``  results of the modules backup_info, archiving_info and schedule_info in a loop
              over the names of stanzas
"""

from __future__ import annotations

import re
import typing as t

from ..module_utils._repository import TYPES, iso_time
from ._status_problems import CAN_BE_READ, answered, problems, reason

Record = t.Dict[str, t.Any]

_SEGMENT = re.compile(r"([0-9A-F]{24})(?:\.[0-9A-F]{8}\.backup)?$")
# What a repository has that nobody could read.
_NOTHING: Record = {
    "newest": None,
    "size": None,
    "stored": 0,
    "types": {kind: {"count": 0, "last": None} for kind in TYPES},
}
# What tells where a repository is, by its type, before its path.
_PLACES = {
    "s3": ("s3-bucket", "s3-endpoint"),
    "azure": ("azure-container", "azure-account"),
    "gcs": ("gcs-bucket",),
    "sftp": ("sftp-host",),
}


def status(seen: t.Sequence[Record], now: float, hosts: t.Sequence[str] = ()) -> Record:
    """All stanzas: ``healthy``, ``problems`` with the stanza's name before each, ``general`` and ``stanzas``.

    ``hosts`` are those of the play. A problem that is of no stanza is ``general`` and has no name before it.
    """
    names = sorted({name for host in seen for name in host["stanzas"]})
    stanzas = [stanza_record(name, views(seen, name), int(now)) for name in names]
    found = [f"{stanza['stanza']}: {problem}" for stanza in stanzas for problem in stanza["problems"]]
    general = [
        f"{host} was not looked at, because something failed there earlier in this run. Look above for it."
        for host in sorted({*hosts} - {host["host"] for host in seen})
    ]
    if not stanzas and not general:
        general = ["No host of this play has a stanza. Look at the limit and at the inventory."]
    return {"healthy": not found and not general, "problems": general + found, "general": general, "stanzas": stanzas}


def views(seen: t.Sequence[Record], stanza: str) -> list[Record]:
    """What each host said about one stanza. An answer that is not there is {}."""
    return [_view(host, stanza) for host in seen if stanza in host["stanzas"]]


def _view(host: Record, stanza: str) -> Record:
    clusters = [cluster for cluster in host.get("clusters") or [] if cluster["stanza"] == stanza]
    return {
        "host": host["host"],
        "trouble": "" if answered(host["look"]) else reason(host["look"]),
        "look": host["look"],
        "declared": clusters[0] if clusters else {"hosts": host.get("hosts")},
        **{name: _answer(host, name, stanza) for name in ("info", "archiving", "schedule")},
    }


def _answer(host: Record, name: str, stanza: str) -> Record:
    """The result of a module about this stanza, {} when it was not asked."""
    results = [result for result in host.get(name) or [] if result.get("item") == stanza]
    return dict(results[0]) if results and not results[0].get("skipped") else {}


def stanza_record(name: str, seen: t.Sequence[Record], now: int) -> Record:
    """The record of one stanza."""
    hosts = host_records(seen)
    order = [host["host"] for host in sorted(hosts, key=lambda host: host["role"] != "primary")]
    by_host = {view["host"]: view for view in seen}
    ordered = [by_host[host] for host in order if host in by_host]
    info = next((first_stanza(view["info"]) for view in ordered if first_stanza(view["info"])), {})
    archive = next((archive_record(view) for view in ordered if is_archiver(view)), None)
    record: Record = {
        "stanza": name,
        "time": now,
        "hosts": hosts,
        "repositories": [
            repository_record(key, options, info, archive, now) for key, options in repositories(ordered, info)
        ],
        "archive": archive,
        "schedule": schedule_records(ordered),
        "running": info.get("running"),
    }
    record["problems"] = problems(record, ordered, info)
    record["healthy"] = not record["problems"]
    return record


def first_stanza(answer: Record) -> Record:
    """The stanza in an answer of backup_info that was asked for one; {} when it failed."""
    return t.cast("Record", (answer.get("stanzas") or [{}])[0]) if answered(answer) else {}


def host_records(seen: t.Sequence[Record]) -> list[Record]:
    """The hosts of the stanza in the order of the variables; those outside the play are named, too."""
    by_host = {view["host"]: view for view in seen}
    names = [name for view in seen for name in view["declared"].get("hosts") or [view["host"]]]
    return [_host_record(name, by_host.get(name)) for name in dict.fromkeys([*names, *by_host])]


def _host_record(name: str, view: Record | None) -> Record:
    cluster = view["declared"] if view else {}
    program = (view["look"].get("pgbackrest") if view else None) or {}
    reached = view is not None and not view["trouble"]
    return {
        "host": name,
        "asked": view is not None,
        "reached": reached,
        "cluster": cluster.get("name") if reached else None,
        **{key: cluster.get(key) if reached else None for key in ("role", "recovery", "running", "pg_version", "unit")},
        "pgbackrest": program.get("version") if reached else None,
    }


def repositories(ordered: t.Sequence[Record], info: Record) -> list[tuple[int, Record]]:
    """Number and options of each repository, those that only pgBackRest knows included."""
    options = next((view["declared"].get("repositories") for view in ordered), None) or []
    known = {int(option["number"]): option for option in options}
    keys = sorted({*known, *(repository["key"] for repository in info.get("repositories", []))})
    return [(key, known.get(key, {})) for key in keys]


def repository_record(key: int, options: Record, info: Record, archive: Record | None, now: int) -> Record:
    """One repository of the stanza."""
    found: Record = next((repository for repository in info.get("repositories", []) if repository["key"] == key), {})
    readable = found.get("status_code") in CAN_BE_READ
    contents: Record = found.get("contents") or _NOTHING
    return {
        "key": key,
        "type": str(options.get("type") or "posix"),
        "host": options.get("host"),
        "place": place(options),
        "cipher": found.get("cipher") if readable else None,
        "readable": readable,
        "status_code": found.get("status_code"),
        "window": window(key, info, archive),
        "last": {kind: with_age(entry["last"], now) for kind, entry in contents["types"].items()},
        "newest": contents["newest"],
        "backups": {kind: entry["count"] for kind, entry in contents["types"].items()},
        "stored": contents["stored"],
        "cluster_size": contents["size"],
    }


def place(options: Record) -> str:
    """Where a repository is, without anything secret.

    >>> place({"host": "backup1", "path": "/backup"}), place({"type": "s3", "s3-bucket": "pg", "path": "/main"})
    ('backup1, /backup', 'pg, /main')
    """
    names = ("host", *_PLACES.get(str(options.get("type")), ()), "path")
    return ", ".join(str(options[name]) for name in names if options.get(name)) or "unknown place"


def with_age(backup: Record | None, now: int) -> Record | None:
    """The newest backup of a type, with its age in seconds."""
    return {**backup, "age": max(0, now - backup["stop"])} if backup else None


def window(key: int, info: Record, archive: Record | None) -> Record | None:
    """The span that can be recovered from this repository.

    It ends with the last archived segment. When that was, only the primary knows, and only of the newest one.
    """
    found = next((window for window in info.get("windows", []) if window["repo_key"] == key), None)
    if found is None:
        return None
    wal, start = found["latest_wal"], found["earliest"]
    newest = bool(wal and archive and archive["last_segment"] and wal >= archive["last_segment"])
    end = archive["last_time"] if archive and newest else None
    return {
        "from": start,
        "from_time": iso_time(start),
        "to": end,
        "to_time": iso_time(end) if end else None,
        "to_wal": wal,
        "seconds": max(0, end - start) if end else None,
    }


def is_archiver(view: Record) -> bool:
    """Whether this host is the one whose WAL goes to the archive: the running primary."""
    answer = view["archiving"]
    return answered(answer) and bool(answer.get("archiver")) and not answer["in_recovery"]


def archive_record(view: Record) -> Record:
    """How archiving goes on the primary. ``last_segment`` is None where the last file was none, such as a history."""
    answer, archiver = view["archiving"], view["archiving"]["archiver"]
    segment = _SEGMENT.match(archiver["last_archived_wal"] or "")
    return {
        "host": view["host"],
        "last_wal": archiver["last_archived_wal"],
        "last_segment": segment.group(1) if segment else None,
        "last_time": archiver["last_archived_time"],
        "age": archiver["last_archived_age"],
        "waiting": answer["waiting"],
        "failed_count": archiver["failed_count"],
        "last_failed_wal": archiver["last_failed_wal"],
        "failed_age": archiver["last_failed_age"],
        "failing": archiver["failing"],
    }


def schedule_records(ordered: t.Sequence[Record]) -> list[Record]:
    """The scheduled backups where they run: on the repository host, else on the primary, else on any host."""
    view = next((view for view in ordered if answered(view["schedule"])), None)
    if view is None:
        return []
    return [
        {
            "host": view["declared"]["backup_host"],
            "name": found["name"],
            "type": found["type"],
            "repos": found["repos"],
            "when": "; ".join(found["schedule"]),
            "unit": found["unit"],
            "active": found["active"],
            "running": found["running"],
            "next": found["next_run"],
            "last_result": (found["last_run"] or {}).get("result"),
            "last_success": (found["last_success"] or {}).get("finished"),
            "problems": found["problems"],
        }
        for found in view["schedule"]["schedules"]
    ]
