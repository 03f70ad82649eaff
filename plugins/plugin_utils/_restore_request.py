# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which restore a play is asked for. Pure. Private to the collection.

Values may be text, because they come from surveys; what is empty is not given.
"""

from __future__ import annotations

import typing as t

from ..module_utils._target import parse_time
from ._survey import Given, Record, Survey

_ACTIONS = ("promote", "pause", "shutdown")
_DROP_FILTERS = ("until", "database", "xid", "filenode", "relations")


def request(given: Given, names: t.Iterable[str] = ()) -> Record:
    """What is asked for: ``module`` and ``drop`` as the modules restore and find_target take it, the rest for the role,
    and ``problems`` of the input. ``names`` are the variables of the play, to see a misspelled one.

    >>> wanted = request({"target_lsn": "0/3000028", "target_exclusive": "yes", "repo": "2"})
    >>> wanted["target"], wanted["module"]["repo"], wanted["problems"]
    ({'type': 'lsn', 'target': '0/3000028', 'target_exclusive': True, 'target_timeline': None}, 2, [])
    """
    survey = Survey("restore_", given)
    survey.misspelled(names)
    action = survey.choice("target_action", _ACTIONS)
    before_drop = bool(survey.flag("before_drop"))
    return {
        "stanza": survey.text("stanza"),
        "action": action,
        "mode": survey.choice("mode", ("swap", "delta")),
        "confirm": survey.text("confirm"),
        "backup": survey.flag("backup", True),
        "backup_type": survey.choice("backup_type", ("incr", "diff", "full")),
        "rebuild_standbys": survey.flag("rebuild_standbys"),
        "recovery_timeout": survey.number("recovery_timeout") or 3600,
        "file": survey.text("file"),
        "target": _target(survey, action, before_drop),
        "drop": _drop(survey, before_drop),
        "module": _module_options(survey),
        "problems": survey.problems,
    }


def _target(survey: Survey, action: str, before_drop: bool) -> Record:
    """The target as the module restore takes it."""
    kinds = survey.targets()
    asked = [f"restore_target_{kind}" for kind in kinds] + (["restore_before_drop"] if before_drop else [])
    if len(asked) > 1:
        survey.refuse(f"{' and '.join(asked)} are given. Give one of them: a restore goes to one moment.")
    if not asked and action != "promote" and action in _ACTIONS:
        survey.refuse(
            f"restore_target_action {action} needs a target: without one recovery goes on to the end of the WAL."
        )
    if before_drop and not kinds and survey.flag("target_exclusive"):
        survey.refuse("restore_target_exclusive does not go with restore_before_drop: that ends before the drop.")
    return survey.target(kinds[0] if kinds else "default", checked_exclusive=not before_drop)


def _drop(survey: Survey, wanted: bool) -> Record | None:
    """Options of the module find_target; None when the restore has a target of its own."""
    numbers = {name: survey.number(f"drop_{name}") for name in ("xid", "filenode", "relations")}
    given = [f"restore_drop_{name}" for name in ("from", *_DROP_FILTERS) if survey.text(f"drop_{name}")]
    if not wanted:
        if given:
            names = " and ".join(given)
            survey.refuse(f"{names} need{'s' if len(given) == 1 else ''} restore_before_drop: true.")
        return None
    if not survey.text("drop_from"):
        survey.refuse("restore_before_drop needs restore_drop_from, a time before it such as 2026-05-01T14:00+02:00.")
    for name in ("drop_from", "drop_until"):
        try:
            parse_time(survey.text(name) or "2026-01-01 00:00Z")
        except ValueError as error:
            survey.refuse(f"restore_{name}: {error}")
    timeline = survey.text("target_timeline")
    if timeline and not timeline.isdecimal():
        survey.refuse(f"With restore_before_drop, restore_target_timeline must be a number, but is {timeline!r}.")
    options: Record = {name: survey.text(f"drop_{name}") or None for name in ("from", "until", "database")}
    options["timeline"] = int(timeline) if timeline.isdecimal() else None
    return {name: value for name, value in {**options, **numbers}.items() if value is not None}


def _module_options(survey: Survey) -> Record:
    """Options of the module restore, those that are not given left out; the target comes to them later."""
    options = {
        "set": survey.text("set"),
        "repo": survey.number("repo"),
        "plan": survey.text("plan"),
        "repeat": survey.flag("repeat") or None,
        "allow_unproven": survey.flag("allow_unproven") or None,
        "workspace": survey.path("workspace"),
        "bindir": survey.path("bindir"),
        "link_all": survey.flag("link_all", None),
        "tablespace_map": _places(survey, "tablespace_map"),
    }
    return {name: value for name, value in options.items() if value not in (None, "", {})}


def _places(survey: Survey, name: str) -> dict[str, str]:
    """Names and absolute paths."""
    pairs = survey.pairs(name)
    for key, path in pairs:
        if not key or not path.startswith("/"):
            survey.refuse(f"restore_{name}: {key!r} needs a name and an absolute path, as in fast=/mnt/fast.")
    return dict(pairs)
