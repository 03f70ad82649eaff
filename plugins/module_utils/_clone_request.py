# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is asked of a clone, and what clone.json says was asked before. Pure. Private to the collection.

The data of a clone follow from its restore, the databases that are dropped and the SQL that runs: who wants them
different needs another clone. Where and how long it listens can be changed.
"""

from __future__ import annotations

import hashlib
import os
import re
import typing as t
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from ._clone_command import hba_problems, setting_problems
from ._clone_place import DEFAULT_PARENT, LONGEST_SOCKET, Place
from ._clone_sql import problems_of as sql_problems
from ._problem import Problem
from ._target import RecoveryTarget, TargetError, parse_target

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_DONE = "done"
_LONGEST = 10 * 365 * 86400  # seconds


@dataclass(frozen=True)
class Wanted:
    """The request, checked as far as that needs nothing of the host."""

    place: Place
    target: RecoveryTarget | None
    data: dict[str, t.Any]  # what its data follow from, without the SQL
    scripts: list[dict[str, str]]  # database, name, sql, sha256
    ttl: int

    @property
    def shown_scripts(self) -> list[dict[str, str]]:
        """The scripts without their text."""
        return [shown(script) for script in self.scripts]


def shown(script: t.Mapping[str, str]) -> dict[str, str]:
    """A script without its text."""
    return {name: script[name] for name in ("database", "name", "sha256")}


def place_of(params: t.Mapping[str, t.Any]) -> Place:
    """Where the clone is."""
    directory = params["directory"] or os.path.join(DEFAULT_PARENT, str(params["name"]))
    return Place(str(params["name"]), os.path.normpath(directory), str(params["owner"]))


def read_request(params: t.Mapping[str, t.Any]) -> tuple[Wanted | None, list[Problem]]:
    """The request, and everything that is wrong with it."""
    place = place_of(params)
    problems = place_problems(place)
    target, wrong = _target(params)
    problems += [*wrong, *_server_problems(params), *sql_problems(params["sql"])]
    if not 0 <= params["ttl"] <= _LONGEST:
        problems.append(Problem("ttl", f"ttl is {params['ttl']}.", "Give seconds, at most ten years; 0 for none."))
    if problems:
        return None, problems
    scripts = [
        {**script, "sha256": hashlib.sha256(script["sql"].encode()).hexdigest()}
        for script in map(_plain, params["sql"])
    ]
    data = {
        "stanza": params["stanza"],
        "target": target.to_dict()["text"] if target else None,
        "left_out": sorted(params["left_out"]),
        "archive_stanza": params["archive_stanza"],
        "request": {str(name): value for name, value in sorted((params["request"] or {}).items())},
    }
    return Wanted(place, target, data, scripts, params["ttl"]), []


def place_problems(place: Place) -> list[Problem]:
    """What is wrong with name and directory."""
    found = []
    if not _NAME.fullmatch(place.name):
        sentence = f"The name {place.name!r} is not one of a clone."
        hint = "Use small letters, digits, _ and -, at most 40, and begin with a letter or digit."
        found.append(Problem("name", sentence, hint))
    if (
        not os.path.isabs(place.directory)
        or len(place.directory.split(os.sep)) < 4
        or re.search(r"[\x00-\x1f]", place.directory)
    ):
        sentence = f"The directory {place.directory!r} is none for a clone."
        found.append(Problem("directory", sentence, "Name an absolute path at least three levels deep."))
    elif len(os.path.join(place.run, ".s.PGSQL.65535").encode()) > LONGEST_SOCKET:
        sentence = f"The directory {place.directory} has too long a path for the socket in it."
        found.append(Problem("directory", sentence, f"A socket may have {LONGEST_SOCKET} bytes: name a shorter path."))
    return found


def differences(wanted: Wanted, marker: t.Mapping[str, t.Any]) -> list[str]:
    """What is asked for and is not what the clone was made of, in words; [] when it is the same clone."""
    noted = marker["data"]
    found = [
        f"{name} was {_word(noted.get(name))} and is {_word(value)} now"
        for name, value in wanted.data.items()
        if name != "request"
        and value != noted.get(name)
        and (value or name != "left_out")  # who judges before the restore cannot know them
    ]
    told = {name for name, value in wanted.data.items() if value != noted.get(name)}
    found += _leaves(noted.get("request") or {}, wanted.data["request"], told)
    before = [shown(script) for script in marker["sql"] if marker["phase"] == "open" or script["state"] == _DONE]
    asked = wanted.shown_scripts
    if asked[: len(before)] != before or (marker["phase"] == "open" and len(asked) != len(before)):
        found.append(
            f"the SQL was {_files(before)} and is {_files(asked)} now"
            if _files(before) != _files(asked)
            else f"the text of {_files(before)} was another"
        )
    return found


def _leaves(
    before: t.Mapping[str, t.Any], now: t.Mapping[str, t.Any], told: t.AbstractSet[str] = frozenset()
) -> list[str]:
    """What differs in ``request``, value by value, but for what is ``told`` already.

    >>> _leaves({"set": None, "target": {"timeline": None}}, {"set": "20260501-021502F", "target": {"timeline": 2}})
    ['set was none and is 20260501-021502F now', 'timeline was none and is 2 now']
    """
    found: list[str] = []
    for name in sorted({*before, *now} - told):
        old, new = before.get(name), now.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            found += _leaves(old, new)
        elif old != new:
            found.append(f"{name} was {_word(old)} and is {_word(new)} now")
    return found


def _files(scripts: t.Sequence[t.Mapping[str, str]]) -> str:
    return ", ".join(f"{script['name']} in {script['database']}" for script in scripts) or "none"


def half_done(marker: t.Mapping[str, t.Any]) -> str | None:
    """Name of a script that may be half done, because it failed or was interrupted."""
    return next((script["name"] for script in marker["sql"] if script["state"] == "running"), None)


def still_to_run(wanted: Wanted, marker: t.Mapping[str, t.Any]) -> list[dict[str, str]]:
    """The scripts that have not ended yet."""
    return wanted.scripts[sum(1 for script in marker["sql"] if script["state"] == _DONE) :]


def new_marker(
    wanted: Wanted, identity: str, now: datetime, port: int, facts: t.Mapping[str, t.Any]
) -> dict[str, t.Any]:
    """The first clone.json of a clone. ``facts``: what was read from the restored directory."""
    return {
        "id": identity,
        "name": wanted.place.name,
        "directory": wanted.place.directory,
        "phase": "closed",
        "created_at": written(now),
        "ttl": wanted.ttl,
        "expires_at": expiry(written(now), wanted.ttl),
        "port": port,
        "data": wanted.data,
        "sql": [],
        "recovered_to": None,
        "dropped": [],
        "seconds": {},
        "needed": {},
        "command": None,
        **facts,
    }


def expiry(created_at: str, ttl: int) -> str | None:
    """When the clone goes; None without a time to live.

    >>> expiry("2026-05-01T12:00:00+00:00", 3600)
    '2026-05-01T13:00:00+00:00'
    """
    return written(datetime.fromisoformat(created_at) + timedelta(seconds=ttl)) if ttl else None


def written(moment: datetime) -> str:
    """A moment in UTC, to the second."""
    return moment.astimezone(timezone.utc).replace(microsecond=0).isoformat()


def _plain(script: t.Mapping[str, t.Any]) -> dict[str, str]:
    return {name: str(script[name]) for name in ("database", "name", "sql")}


def _word(value: t.Any) -> str:
    if isinstance(value, (list, tuple)):
        value = ", ".join(map(str, value))
    return "none" if value in (None, {}, "") else str(value)


def _target(params: t.Mapping[str, t.Any]) -> tuple[RecoveryTarget | None, list[Problem]]:
    kind = params["target_type"]
    if kind is None:
        wrong = params["target"] is not None or params["target_exclusive"]
        hint = "Set target_type, as the restore was given it."
        return None, [Problem("target", "target needs target_type.", hint)] if wrong else []
    if params["known_lsn"] is not None and kind != "default":
        sentence = "known_lsn needs target_type=default: other targets lie before the end of the WAL."
        return None, [Problem("target", sentence, "Leave known_lsn out.")]
    try:
        return parse_target(kind, params["target"], exclusive=params["target_exclusive"]), []
    except TargetError as error:
        return None, [Problem("target", str(error), "")]


def _server_problems(params: t.Mapping[str, t.Any]) -> list[Problem]:
    found = [Problem("settings", sentence, hint) for sentence, hint in setting_problems(params["settings"])]
    for line in hba_problems(params["hba"]):
        sentence = f"hba has the line {line!r}."
        found.append(
            Problem("hba", sentence, "Write a line of pg_hba.conf, such as: host all all samenet scram-sha-256")
        )
    if params["port"] and not 1024 <= params["port"] <= 65535:
        hint = "Give one from 1024 to 65535, or 0 for a free one."
        found.append(Problem("port", f"The port {params['port']} is none for a clone.", hint))
    if re.search(r"[\x00-\x1f]", params["listen_addresses"]):
        found.append(Problem("listen_addresses", "listen_addresses holds a control character.", "Correct it."))
    if params["archive_stanza"] and params["archive_stanza"] == params["stanza"]:
        found.append(
            Problem(
                "stanza_in_use",
                f"archive_stanza is {params['archive_stanza']}, the stanza of the source.",
                "A clone that archives there would mix its WAL with the source's. Name a stanza of its own.",
            )
        )
    return found
