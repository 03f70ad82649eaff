# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What came of a restore, for a tired human and as data. Pure. Private to the collection."""

from __future__ import annotations

import typing as t

from ._progress_line import duration, size
from ._status_text import labelled

Record = t.Dict[str, t.Any]

_PHASES = ("plan", "stop", "restore", "recovery", "backup")


def held(stanzas: t.Sequence[Record], timeline: int) -> list[int]:
    """The repositories that have a good backup of this timeline or a later one, taken since the restore."""
    windows = [window for stanza in stanzas for window in stanza["windows"]]
    return sorted(window["repo_key"] for window in windows if (window["latest_timeline"] or 0) >= timeline)


def summary(facts: Record) -> Record:
    """``lines`` for people, ``data`` for the next job, and sentences in ``failed`` about standbys."""
    data = _data(facts)
    return {
        "lines": [
            _head(facts, data),
            *labelled("from", [_source(facts["plan"])]),
            *labelled("before", [facts["drop"]["text"]] if facts["drop"] else []),
            *labelled("to", _moment(facts)),
            *labelled("timeline", _timeline(facts["recovery"])),
            *labelled("took", [_took(data["seconds"])]),
            *labelled("kept", _kept(facts)),
            *labelled("backup", _backups(facts)),
            *labelled("standbys", _standbys(facts, data["standbys"])),
            *labelled("next", _next(facts)),
        ],
        "data": data,
        "failed": [f"{item['host']} is not rebuilt: {item['why']}" for item in data["standbys"] if item["why"]],
    }


def phases(clock: t.Mapping[str, t.Any]) -> dict[str, float]:
    """Seconds of each phase from the moments at which they ended.

    >>> phases({"begin": 10.0, "plan": 12.5, "stop": 13.0})
    {'plan': 2.5, 'stop': 0.5}
    """
    before, found = float(clock["begin"]), {}
    for name in _PHASES:
        if name in clock:
            found[name] = round(float(clock[name]) - before, 1)
            before = float(clock[name])
    return found


def _data(facts: Record) -> Record:
    recovery = facts["recovery"]
    return {
        "stanza": facts["cluster"]["stanza"],
        "host": facts["host"],
        "pgdata": facts["cluster"]["data_directory"],
        "restored": not facts["done"],
        "plan": facts["plan"],
        "outcome": recovery["outcome"],
        "reached": recovery["reached"],
        "verdict": recovery["verdict"],
        "stop": recovery["stop"],
        "timeline": recovery["timeline"],
        "seconds": _seconds(facts),
        "restored_at": facts["result"].get("restored_at"),
        "kept": facts["result"].get("kept"),
        "kept_directories": facts["result"].get("kept_directories") or [],
        "rescued": facts["result"].get("rescued"),
        "backups": [
            {"repo": result["job"]["repo"], **(result["backup"] or {})}
            for result in facts["backups"]
            if result.get("backup") and not result.get("failed")
        ],
        "standbys": [_standby(item, facts) for item in facts["standbys"]],
    }


def _seconds(facts: Record) -> dict[str, float]:
    """Seconds of the phases that were done now. Without a backup the last one was a check of archiving only."""
    found = phases(facts["clock"])
    if facts["done"]:
        found = {name: seconds for name, seconds in found.items() if name not in ("stop", "restore")}
    if facts["ended"]:
        found.pop("recovery", None)
    if "backup" in found and not any(result.get("changed") for result in facts["backups"]):
        found["check"] = found.pop("backup")
    return found


def _standby(item: Record, facts: Record) -> Record:
    """A standby with its ``state``: following, rebuilt, failed, listed, outside of the play, or unseen."""
    told = facts["rebuilt"].get(item["host"]) or {}
    state, why = item["state"], told.get("failed") or ""
    if state == "play":
        state = "failed" if why else "rebuilt" if told.get("rebuilt") else "following" if told else "listed"
    return {"host": item["host"], "state": state, "why": why}


def _head(facts: Record, data: Record) -> str:
    name = f"{data['stanza']} on {data['host']}"
    if facts["done"]:
        since = facts["result"].get("restored_at")
        return f"{name}: RESTORED ALREADY{f', since {since}' if since else ''}. {_STATES[data['outcome']]}"
    return f"{name}: RESTORED. {_STATES[data['outcome']]}"


_STATES = {
    "promoted": "The cluster takes writes.",
    "paused": "The cluster waits at the target, read-only.",
    "shut_down": "PostgreSQL has shut down at the target.",
}


def _source(plan: Record) -> str:
    backup = plan.get("backup")
    if not backup:
        return "an earlier run"
    return f"{backup['type']} backup {backup['label']} of repository {backup['repo_key']}"


def _moment(facts: Record) -> list[str]:
    asked = facts["plan"]["target"]["text"].partition(", then ")[0]
    recovery = facts["recovery"]
    return [f"asked: {asked}", f"reached: {recovery['verdict']}", *_last_commit(recovery)]


def _last_commit(recovery: Record) -> list[str]:
    stop = recovery.get("stop") or {}
    found = [f"last commit {stop['last_commit'].replace('T', ' ')}"] if stop.get("last_commit") else []
    found += [f"end of the WAL at {stop['lsn']}"] if stop.get("lsn") else []
    return [", ".join(found)] if found else []


def _timeline(recovery: Record) -> list[str]:
    if not recovery["timeline"]:
        return []
    before = recovery.get("timeline_before")
    return [f"{recovery['timeline']}{f', before it {before}' if before else ''}"]


def _took(seconds: t.Mapping[str, float]) -> str:
    parts = [f"{name} {value:.1f} s" if value < 60 else f"{name} {duration(value)}" for name, value in seconds.items()]
    return f"{duration(sum(seconds.values()))}: {', '.join(parts)}"


def _kept(facts: Record) -> list[str]:
    result = facts["result"]
    lines = [_kept_directory(item, result.get("kept")) for item in result.get("kept_directories") or []]
    rescued = result.get("rescued") or {}
    if rescued.get("files"):
        number = len(rescued["files"])
        much = _sized((facts["plan"].get("rescue") or {}).get("bytes"))
        lines.append(f"{number} WAL file{'s' if number > 1 else ''} that no repository has{much}: {rescued['path']}")
    if not lines:
        return []
    if _is_backed_up(facts):
        return [*lines, "Remove them with rm -r when you are sure that nothing in them is missed."]
    return [*lines, "Leave them there until the restored cluster is open, archives, and has a backup."]


def _kept_directory(item: Record, kept: str | None) -> str:
    if item["path"] == kept:
        what = "the old directory"
    elif ".failed-" in item["path"].rpartition("/")[2]:
        what = "a restored directory that was given up"
    else:
        what = "the old directory of an earlier restore"
    return f"{what}{_sized(item['bytes'])}: {item['path']}"


def _is_backed_up(facts: Record) -> bool:
    """Whether there is a backup of the restored cluster. The play has proven before that it archives."""
    taken = any(result.get("backup") and not result.get("failed") for result in facts["backups"])
    promoted = facts["recovery"]["outcome"] == "promoted"
    return promoted and (taken or bool(held(facts["held"], facts["recovery"]["timeline"] or 0)))


def _sized(number: int | None) -> str:
    return "" if number is None else f", {size(number)}"


def _backups(facts: Record) -> list[str]:
    if facts["recovery"]["outcome"] != "promoted":
        return []
    if not facts["wanted"]["backup"]:
        return ["none was taken, as restore_backup says. Take one soon: until then a restore replays all WAL since."]
    taken = [
        f"repository {result['job']['repo']}: {result['backup']['type']} {result['backup']['label']}"
        for result in facts["backups"]
        if result.get("backup")
    ]
    found = held(facts["held"], facts["recovery"]["timeline"] or 0)
    return taken + [f"repository {repo}: has one of this timeline" for repo in found]


def _standbys(facts: Record, standbys: t.Sequence[Record]) -> list[str]:
    words = {
        "following": "follows the new timeline",
        "rebuilt": "was rebuilt and follows",
        "failed": "FAILED, see below",
        "listed": "has the old data, and backups that copy from it fail. Rebuild it: run the play again with "
        "restore_rebuild_standbys=true",
        "outside": "has the old data and is not in this play. Rebuild it: run the play with it and "
        "restore_rebuild_standbys=true",
        "unseen": "could not be seen. If it is a standby, rebuild it before it is used again",
    }
    return [f"{item['host']} {words[item['state']]}" for item in standbys]


def _next(facts: Record) -> list[str]:
    again = "Nothing was restored now, and what the cluster did since is left alone. To restore again: "
    return [*_next_of_outcome(facts), *([f"{again}restore_repeat=true"] if facts["done"] else [])]


def _next_of_outcome(facts: Record) -> list[str]:
    cluster, outcome = facts["cluster"], facts["recovery"]["outcome"]
    if outcome == "paused":
        return [
            f"Look at the data, read-only: psql --port {cluster['port']} on {facts['host']}.",
            "If it is what you want, run the play again with restore_target_action=promote: nothing is restored again.",
            "If not, run it with another target.",
        ]
    if outcome == "shut_down":
        return [
            f"{cluster['data_directory']} holds the cluster as of the target, and PostgreSQL is stopped.",
            "A start would stop there again. To open it, run the play with restore_target_action=promote: it restores "
            "once more.",
        ]
    return []
