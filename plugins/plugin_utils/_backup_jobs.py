# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which backups a play takes and where, and what it says about them afterwards. Pure. Private to the collection.

Values may be text, because they come from surveys.
"""

from __future__ import annotations

import re
import textwrap
import typing as t

from ..module_utils._backup import COUNTS_AS, parse_age
from ._model_cluster import at_target, undecided
from ._progress_line import duration, size
from ._status_text import WIDTH, clock

Record = t.Dict[str, t.Any]

_WANTED = ("type", "stanza", "repo", "max_age", "annotations")


def request(given: t.Mapping[str, t.Any]) -> Record:
    """What is asked for, as the module backup takes it, and ``problems`` of the input.

    >>> request({"type": "full", "repo": "2", "annotations": "reason=release 42, by=ann"})["annotations"]
    {'reason': 'release 42', 'by': 'ann'}
    """
    wanted = {name: given.get(name) or None for name in _WANTED}
    problems: list[str] = []
    kind = str(wanted["type"] or "incr")
    if kind not in COUNTS_AS:
        problems.append(f"backup_type must be full, diff or incr, but is {kind!r}.")
    repo = str(wanted["repo"] or "").strip()
    if repo and not re.fullmatch(r"[1-9]\d{0,2}", repo):
        problems.append(f"backup_repo must be the number of a repository such as 1, or empty, but is {repo!r}.")
        repo = ""
    max_age = str(wanted["max_age"] or "").strip() or None
    try:
        parse_age(max_age or "0")
    except ValueError as error:
        problems.append(f"backup_max_age: {error}.")
    annotations, wrong = annotations_of(wanted["annotations"])
    return {
        "type": kind,
        "stanza": str(wanted["stanza"] or "").strip(),
        "repo": int(repo) if repo else None,
        "max_age": max_age,
        "annotations": annotations,
        "problems": problems + wrong,
    }


def annotations_of(given: t.Any) -> tuple[dict[str, str], list[str]]:
    """Annotations from a mapping or from text such as ``reason=release 42, by=ann``, and what is wrong with them."""
    if isinstance(given, t.Mapping):
        pairs = [(str(name), "" if value is None else str(value)) for name, value in given.items()]
    elif isinstance(given, (list, tuple)):
        return {}, ["backup_annotations must be a mapping or text such as reason=release 42,by=ann, but is a list."]
    else:
        words = [word.strip() for word in str(given or "").split(",")]
        parts = [word.partition("=") for word in words if word]
        pairs = [(name.strip(), value.strip()) for name, dummy, value in parts]
    wrong = [
        f"backup_annotations: {name!r} needs a name without = and a value, as in reason=release 42."
        for name, value in pairs
        if not name or not value or "=" in name
    ]
    return dict(pairs), wrong


def jobs(clusters: t.Mapping[str, t.Sequence[Record]], wanted: Record) -> Record:
    """The backups to take: ``hosts`` with the jobs of each host of the play, ``words`` about what others take, and
    ``problems``. ``clusters`` has the clusters of each host.

    A backup runs on the repository host of the stanza, or on the primary when there is none.
    """
    found: Record = {"hosts": {host: [] for host in clusters}, "words": [], "problems": []}
    names = sorted({cluster["stanza"] for mine in clusters.values() for cluster in mine})
    for name in names:
        if wanted["stanza"] in ("", name):
            members = {host: c for host, mine in clusters.items() for c in mine if c["stanza"] == name}
            _add_stanza(found, name, members, wanted["repo"])
    if wanted["stanza"] not in ("", *names):
        known = ", ".join(names) or "none at all"
        found["problems"].append(
            f"No host of this play has stanza {wanted['stanza']}, only {known}. Correct backup_stanza or the limit."
        )
    elif not names:
        found["problems"].append("No host of this play has a stanza. Correct the limit or the inventory.")
    return found


def _add_stanza(found: Record, name: str, members: t.Mapping[str, Record], repo: int | None) -> None:
    first = next(iter(members.values()))
    numbers = [repository["number"] for repository in first["repositories"]]
    primaries = [host for host, cluster in members.items() if cluster["role"] == "primary"]
    chosen = [number for number in numbers if repo in (None, number)]
    waiting = [undecided(host, c["name"], c["running"]) for host, c in members.items() if at_target(c)]
    if not chosen:
        known = " and ".join(map(str, numbers)) or "none"
        found["problems"].append(f"Stanza {name} has no repository {repo}, only {known}. Correct backup_repo.")
    elif not primaries and not first["repository_host"]:
        found["problems"] += [f"Stanza {name} can have no backup now. {text}" for text in waiting] or [
            f"Stanza {name} has no primary among {', '.join(members)}. Add its primary to the limit, or promote one."
        ]
    elif len(primaries) > 1:
        found["problems"].append(f"{' and '.join(primaries)} are all primary of stanza {name}. Stop the wrong one.")
    else:
        speaker = (primaries or list(members))[0]
        place = first["repository_host"] or speaker
        user = None if first["repository_host"] else first["owner"]
        found["hosts"][speaker] += [{"stanza": name, "repo": number, "host": place, "user": user} for number in chosen]
        found["words"] += waiting
        if not first["repository_host"]:
            found["words"] += [f"{host} takes no backup of {name}, {place} does." for host in members if host != place]


def summary(results: t.Sequence[Record], held: t.Sequence[Record]) -> Record:
    """What came of the backups: ``lines`` for people, and ``backups`` as data.

    ``held`` are the answers of backup_info about the same repositories.
    """
    windows = {
        (answer["job"]["stanza"], window["repo_key"]): window
        for answer in held
        for stanza in answer.get("stanzas") or []
        for window in stanza["windows"]
    }
    keys = [(result["job"]["stanza"], result["job"]["repo"]) for result in results]
    return {
        "lines": [line for key, result in zip(keys, results) for line in _result_lines(result, windows.get(key))],
        "backups": [
            {"stanza": key[0], "host": result["job"]["host"], "taken": result["changed"], **result["backup"]}
            for key, result in zip(keys, results)
            if result.get("backup") and not result.get("failed")
        ],
    }


def _result_lines(result: Record, window: Record | None) -> list[str]:
    job, backup = result["job"], result.get("backup")
    head = f"{job['stanza']}, repository {job['repo']}:"
    if result.get("failed") or result.get("unreachable"):
        return _wrapped(f"{head} FAILED on {job['host']}. {result.get('msg') or ''}")
    if not backup:
        return _wrapped(f"{head} {result['msg']}")
    how = f"taken in {duration(backup['duration'])}"
    if not result["changed"]:
        how = f"none taken, this one is {duration(result['age'])} old"
    stored = f"{size(backup['repo_delta'] or 0)} stored for {size(backup['size'])} of cluster"
    lines = [f"{head} {backup['type']} {backup['label']}", f"  {how}, {stored}"]
    if window:
        end = max(backup["stop"], window["earliest"])
        span = f"{clock(window['earliest'], seconds=True)} to at least {clock(end, seconds=True)}"
        lines.append(f"  recoverable from {span} ({duration(end - window['earliest'])})")
    return lines


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(" ".join(text.split()), WIDTH, subsequent_indent="  ", break_long_words=False)
