# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which restore a play is asked for. Pure. Private to the collection.

Values may be text, because they come from surveys; what is empty is not given.
"""

from __future__ import annotations

import difflib
import re
import typing as t

from ..module_utils._target import TargetError, parse_target, parse_time

Record = t.Dict[str, t.Any]
Given = t.Mapping[str, t.Any]

_TARGETS = ("time", "lsn", "xid", "name")
_ACTIONS = ("promote", "pause", "shutdown")
_MODES = ("swap", "delta")
_BACKUPS = ("full", "diff", "incr")
_BOOLEANS = {
    "target_immediate": False,
    "target_exclusive": False,
    "before_drop": False,
    "repeat": False,
    "allow_unproven": False,
    "backup": True,
    "rebuild_standbys": False,
    "link_all": None,
}
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
_DROP_FILTERS = ("until", "database", "xid", "filenode", "relations")
_NUMBERS = ("repo", "recovery_timeout", "drop_xid", "drop_filenode", "drop_relations")


def request(given: Given, names: t.Iterable[str] = ()) -> Record:
    """What is asked for: ``module`` and ``drop`` as the modules restore and find_target take it, the rest for the role,
    and ``problems`` of the input. ``names`` are the variables of the play, to see a misspelled one.

    >>> wanted = request({"target_lsn": "0/3000028", "target_exclusive": "yes", "repo": "2"})
    >>> wanted["target"], wanted["module"]["repo"], wanted["problems"]
    ({'type': 'lsn', 'target': '0/3000028', 'target_exclusive': True, 'target_timeline': None}, 2, [])
    """
    problems = _misspelled(given, names)
    texts = {name: _text(value) for name, value in given.items()}
    flags = {name: _boolean(name, texts, default, problems) for name, default in _BOOLEANS.items()}
    numbers = {name: _number(name, texts, problems) for name in _NUMBERS}
    action = _choice("target_action", texts, _ACTIONS, problems)
    target = _target(texts, flags, action, problems)
    problems += [
        f"restore_{name} must be an absolute path, but is {texts[name]!r}."
        for name in ("workspace", "bindir")
        if texts.get(name) and not texts[name].startswith("/")
    ]
    return {
        "stanza": texts.get("stanza", ""),
        "action": action,
        "mode": _choice("mode", texts, _MODES, problems),
        "confirm": texts.get("confirm", ""),
        "backup": flags["backup"],
        "backup_type": _choice("backup_type", texts, ("incr", "diff", "full"), problems),
        "rebuild_standbys": flags["rebuild_standbys"],
        "recovery_timeout": numbers["recovery_timeout"] or 3600,
        "file": texts.get("file", ""),
        "target": target,
        "drop": _drop(texts, bool(flags["before_drop"]), numbers, problems),
        "module": _module_options(given, texts, flags, numbers, problems),
        "problems": problems,
    }


def _text(value: t.Any) -> str:
    return "" if value is None or value in ({}, []) else str(value).strip()


def _misspelled(given: Given, names: t.Iterable[str]) -> list[str]:
    """A misspelled target would mean the latest moment, so names that nearly are those of variables are refused."""
    known = [f"restore_{name}" for name in (*given, "hosts")]
    problems = []
    for name in sorted(set(names) - set(known)):
        near = difflib.get_close_matches(name, known, 1, 0.85)
        if near:
            problems.append(f"{name} is no variable of this playbook. Did you mean {near[0]}?")
    return problems


def _boolean(name: str, texts: t.Mapping[str, str], default: bool | None, problems: list[str]) -> bool | None:
    value = texts.get(name, "").lower()
    if value and value not in (*_TRUE, *_FALSE):
        problems.append(f"restore_{name} must be true or false, but is {value!r}.")
    return value in _TRUE if value else default


def _number(name: str, texts: t.Mapping[str, str], problems: list[str]) -> int | None:
    value = texts.get(name, "")
    if value and not re.fullmatch(r"[1-9]\d{0,9}", value):
        problems.append(f"restore_{name} must be a number from 1 on, or empty, but is {value!r}.")
        return None
    return int(value) if value else None


def _choice(name: str, texts: t.Mapping[str, str], choices: t.Sequence[str], problems: list[str]) -> str:
    value = texts.get(name, "") or choices[0]
    if value not in choices:
        problems.append(f"restore_{name} must be {', '.join(choices[:-1])} or {choices[-1]}, but is {value!r}.")
    return value


def _target(texts: t.Mapping[str, str], flags: Given, action: str, problems: list[str]) -> Record:
    """The target as the module restore takes it."""
    asked = [f"restore_target_{kind}" for kind in _TARGETS if texts.get(f"target_{kind}")]
    asked += ["restore_target_immediate"] if flags["target_immediate"] else []
    asked += ["restore_before_drop"] if flags["before_drop"] else []
    if len(asked) > 1:
        problems.append(f"{' and '.join(asked)} are given. Give one of them: a restore goes to one moment.")
    if not asked and action != "promote" and action in _ACTIONS:
        problems.append(
            f"restore_target_action {action} needs a target: without one recovery goes on to the end of the WAL."
        )
    kind = asked[0].removeprefix("restore_target_") if asked else "default"
    if kind == "restore_before_drop":
        if flags["target_exclusive"]:
            problems.append("restore_target_exclusive does not go with restore_before_drop: that ends before the drop.")
        kind = "default"
    value = texts.get(f"target_{kind}") or None if kind in _TARGETS else None
    timeline = texts.get("target_timeline") or None
    exclusive = bool(flags["target_exclusive"])
    try:
        parse_target(kind, value, timeline, None, exclusive and not flags["before_drop"])
    except TargetError as error:
        problems += [_in_our_words(sentence) for sentence in error.problems]
    return {"type": kind, "target": value, "target_exclusive": exclusive, "target_timeline": timeline}


def _in_our_words(sentence: str) -> str:
    """A sentence of the module with the names that its options have here."""
    return re.sub(r"\b(target_(?:timeline|exclusive))\b", r"restore_\1", sentence)


def _drop(texts: t.Mapping[str, str], wanted: bool, numbers: Given, problems: list[str]) -> Record | None:
    """Options of the module find_target; None when the restore has a target of its own."""
    given = [f"restore_drop_{name}" for name in ("from", *_DROP_FILTERS) if texts.get(f"drop_{name}")]
    if not wanted:
        if given:
            problems.append(f"{' and '.join(given)} need{'s' if len(given) == 1 else ''} restore_before_drop: true.")
        return None
    if not texts.get("drop_from"):
        problems.append("restore_before_drop needs restore_drop_from, a time before it such as 2026-05-01 14:00+02:00.")
    for name in ("drop_from", "drop_until"):
        try:
            parse_time(texts.get(name) or "2026-01-01 00:00Z")
        except ValueError as error:
            problems.append(f"restore_{name}: {error}")
    timeline = texts.get("target_timeline", "")
    if timeline and not timeline.isdecimal():
        problems.append(f"With restore_before_drop, restore_target_timeline must be a number, but is {timeline!r}.")
    options: Record = {name: texts.get(f"drop_{name}") or None for name in ("from", "until", "database")}
    options["timeline"] = int(timeline) if timeline.isdecimal() else None
    options.update({name: numbers[f"drop_{name}"] for name in ("xid", "filenode", "relations")})
    return {name: value for name, value in options.items() if value is not None}


def _module_options(
    given: Given, texts: t.Mapping[str, str], flags: Given, numbers: Given, problems: list[str]
) -> Record:
    """Options of the module restore, those that are not given left out; the target comes to them later."""
    options = {
        "set": texts.get("set"),
        "repo": numbers["repo"],
        "plan": texts.get("plan"),
        "repeat": flags["repeat"] or None,
        "allow_unproven": flags["allow_unproven"] or None,
        "workspace": texts.get("workspace"),
        "bindir": texts.get("bindir"),
        "link_all": flags["link_all"],
        "tablespace_map": _mapping("tablespace_map", given.get("tablespace_map"), problems),
    }
    return {name: value for name, value in options.items() if value not in (None, "", {})}


def _mapping(name: str, value: t.Any, problems: list[str]) -> dict[str, str]:
    """A mapping from one or from text such as ``fast=/mnt/fast,slow=/mnt/slow``."""
    if isinstance(value, t.Mapping):
        pairs = [(str(key).strip(), str(path).strip()) for key, path in value.items()]
    else:
        words = [word.strip() for word in _text(value).split(",")]
        parts = [word.partition("=") for word in words if word]
        pairs = [(key.strip(), path.strip()) for key, dummy, path in parts]
    problems += [
        f"restore_{name}: {key!r} needs a name and an absolute path, as in fast=/mnt/fast."
        for key, path in pairs
        if not key or not path.startswith("/")
    ]
    return dict(pairs)
