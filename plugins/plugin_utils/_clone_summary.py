# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What came of a clone, for people, as data, and as variables of a shell. Pure. Private to the collection."""

from __future__ import annotations

import typing as t
from shlex import quote

from ..module_utils._recovery import stop_from_history, where
from ._progress_line import duration, size
from ._status_text import labelled

Record = t.Dict[str, t.Any]

_KEPT = ("name", "directory", "data_directory", "port", "socket_directory", "unit", "pg_version", "system_identifier")
_TOLD = ("created_at", "expires_at", "databases", "dropped", "sql", "recovered_to")
_SOCKETS = "/var/run/postgresql"  # where Debian's psql looks
_LOCAL = ("localhost", "127.0.0.1", "::1")


def summary(facts: Record) -> Record:
    """``lines`` for people, ``data`` for the next step, and the same for a shell in ``env``."""
    data = _data(facts)
    return {"lines": _lines(facts, data), "data": data, "env": _env(data)}


def _data(facts: Record) -> Record:
    clone, plan = facts["clone"], facts["restore"]["plan"]
    return {
        **{name: clone.get(name) for name in (*_KEPT, *_TOLD)},
        "host": facts["host"],
        "address": _address(facts),
        "stanza": facts["wanted"]["stanza"],
        "archive_stanza": facts["wanted"]["clone"].get("archive_stanza"),
        "backup": _backup(plan),
        "target": plan["target"]["text"].partition(", then ")[0],
        "changed": facts["changed"],
        "seconds": _seconds(facts),
    }


def _backup(plan: Record) -> Record:
    backup = plan["backup"]
    return {"label": backup["label"], "type": backup["type"], "repo": backup["repo_key"]}


def _address(facts: Record) -> str:
    """Under which name the clone is reached: that of the host, unless it listens for the host itself only."""
    listens = str(facts["wanted"]["clone"].get("listen_addresses") or "")
    names = [word.strip() for word in listens.split(",") if word.strip()]
    return "localhost" if not names or all(name in _LOCAL for name in names) else str(facts["address"])


def _seconds(facts: Record) -> dict[str, float]:
    """Seconds of each phase; ``total`` is what the user waited for, from the first task of the role on.

    What the work on the host does not account for is ``plan``: Ansible, connections, checks and the plan.
    """
    restored = facts["restore"].get("restored") or {}
    work = {"restore": restored["seconds"]} if restored else {}
    work.update(facts["seconds"])
    total = float(facts["ended"]) - float(facts["began"])
    phases = {"plan": total - sum(map(float, work.values())), **work, "total": total}
    return {name: round(float(value), 1) for name, value in phases.items()}


def _env(data: Record) -> str:
    """Lines that a shell, GitHub Actions and GitLab CI read alike."""
    values = {"PGHOST": data["address"], "PGPORT": data["port"], "CLONE_NAME": data["name"], "CLONE_HOST": data["host"]}
    return "".join(f"{name}={value}\n" for name, value in values.items())


def _lines(facts: Record, data: Record) -> list[str]:
    state = "READY" if facts["changed"] else "READY ALREADY, since " + _moment_of(data["created_at"])
    return [
        f"{data['name']} on {data['host']}: {state}. PostgreSQL {data['pg_version']} takes connections.",
        *labelled("reach", _reach(facts, data)),
        *labelled("from", [_source(data)]),
        *labelled("to", _moment(data)),
        *labelled("databases", _databases(data)),
        *labelled("sql", [f"{item['name']} in {item['database']}" for item in data["sql"] or []]),
        *labelled("archives", [_archives(data)]),
        *labelled("removed", [_removed(data)]),
        *labelled("took", [_took(facts, data["seconds"])]),
    ]


def _reach(facts: Record, data: Record) -> list[str]:
    return [
        f"port {data['port']} on {data['address']}, socket in {data['socket_directory']}",
        f"on {data['host']}: {_psql(facts['wanted']['owner'], data)}",
        f"files in {data['directory']}",
    ]


def _psql(owner: str, data: Record) -> str:
    """A command that connects without a password, whatever the source has let in."""
    place = "" if data["socket_directory"] == _SOCKETS else f" -h {quote(str(data['socket_directory']))}"
    names = data["databases"] or ["postgres"]
    database = next((name for name in names if name != "postgres"), names[0])
    return f"sudo -u {quote(owner)} psql{place} -p {data['port']} {quote(database)}"


def _source(data: Record) -> str:
    backup = data["backup"]
    return f"{backup['type']} backup {backup['label']} of stanza {data['stanza']}, repository {backup['repo']}"


def _moment(data: Record) -> list[str]:
    found = data["recovered_to"] or {}
    told = [f"last commit {_moment_of(found['time'])}"] if found.get("time") else []
    told += _stop(found)
    return [f"asked: {data['target']}", *([f"reached: {', '.join(told)}"] if told else [])]


def _stop(found: Record) -> list[str]:
    """Why recovery ended, and where: only without a target that is the end of all WAL."""
    stop = stop_from_history(str(found.get("reason") or ""))
    why = "stopped" if stop is None else "end of the WAL" if stop.end else f"stopped {where(stop)},"
    return [f"{why} at {found['lsn']}"] if found.get("lsn") else []


def _databases(data: Record) -> list[str]:
    dropped = data["dropped"] or []
    names = [str(item["name"] if isinstance(item, dict) else item) for item in dropped]
    return [", ".join(data["databases"] or []), *([f"left out and dropped: {', '.join(names)}"] if names else [])]


def _archives(data: Record) -> str:
    return f"to the stanza {data['archive_stanza']}" if data["archive_stanza"] else "nothing, and never to its source"


def _removed(data: Record) -> str:
    by_hand = f"by clone_state=absent with clone_name={data['name']}"
    return f"by itself at {_moment_of(data['expires_at'])}, or {by_hand}" if data["expires_at"] else by_hand


def _moment_of(text: t.Any) -> str:
    """A moment as all texts have it."""
    return str(text).replace("T", " ")


def _took(facts: Record, seconds: t.Mapping[str, float]) -> str:
    parts = [
        f"{name} {value:.1f} s" if value < 60 else f"{name} {duration(value)}"
        for name, value in seconds.items()
        if name != "total" and value
    ]
    restored = facts["restore"].get("restored") or {}
    copied = f"; {size(restored['copied_bytes'])} copied" if restored else ""
    return f"{seconds['total']:.1f} s: {', '.join(parts)}{copied}"
