# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The variables of a play that begin alike, as a survey gives them. Pure. Private to the collection.

Values may be text; what is empty is not given.
"""

from __future__ import annotations

import difflib
import re
import typing as t

from ..module_utils._target import TargetError, parse_target

Record = t.Dict[str, t.Any]
Given = t.Mapping[str, t.Any]

_TARGETS = ("time", "lsn", "xid", "name")
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def text(value: t.Any) -> str:
    """A value as text; what is empty, of whatever type, is empty text."""
    return "" if value is None or value in ({}, []) else str(value).strip()


class Survey:
    """Reads one variable after the other, and gathers what is wrong with them in ``problems``.

    ``given`` has the variables without their ``prefix``, which stands before their names in sentences.
    """

    def __init__(self, prefix: str, given: Given) -> None:
        self.prefix = prefix
        self.given = given
        self.problems: list[str] = []

    def refuse(self, sentence: str) -> None:
        """One problem, told once."""
        if sentence not in self.problems:
            self.problems.append(sentence)

    def text(self, name: str) -> str:
        """The text of a variable."""
        return text(self.given.get(name))

    def misspelled(self, names: t.Iterable[str], others: t.Iterable[str] = ("hosts",)) -> None:
        """A misspelled target would mean the latest moment, so names that nearly are those of variables are refused."""
        known = [self.prefix + name for name in (*self.given, *others)]
        for name in sorted(set(names) - set(known)):
            near = difflib.get_close_matches(name, known, 1, 0.85)
            if near:
                self.refuse(f"{name} is no variable of this playbook. Did you mean {near[0]}?")

    def flag(self, name: str, default: bool | None = False) -> bool | None:
        """True or false; ``default`` when it is not given."""
        value = self.text(name).lower()
        if value and value not in (*_TRUE, *_FALSE):
            self.refuse(f"{self.prefix}{name} must be true or false, but is {value!r}.")
        return value in _TRUE if value else default

    def number(self, name: str) -> int | None:
        """A number from 1 on."""
        value = self.text(name)
        if value and not re.fullmatch(r"[1-9]\d{0,9}", value):
            self.refuse(f"{self.prefix}{name} must be a number from 1 on, or empty, but is {value!r}.")
            return None
        return int(value) if value else None

    def choice(self, name: str, choices: t.Sequence[str]) -> str:
        """One of several words, the first one when it is not given."""
        value = self.text(name) or choices[0]
        if value not in choices:
            words = f"{', '.join(choices[:-1])} or {choices[-1]}"
            self.refuse(f"{self.prefix}{name} must be {words}, but is {value!r}.")
        return value

    def path(self, name: str) -> str:
        """An absolute path."""
        value = self.text(name)
        if value and not value.startswith("/"):
            self.refuse(f"{self.prefix}{name} must be an absolute path, but is {value!r}.")
        return value

    def words(self, name: str) -> list[str]:
        """Several words from a list, or from text with commas."""
        value = self.given.get(name)
        parts = value if isinstance(value, (list, tuple)) else text(value).split(",")
        return [word for word in map(text, parts) if word]

    def pairs(self, name: str) -> list[tuple[str, str]]:
        """Names and values from a mapping, or from text such as ``fast=/mnt/fast,slow=/mnt/slow``."""
        value = self.given.get(name)
        if isinstance(value, t.Mapping):
            return [(str(key).strip(), str(item).strip()) for key, item in value.items()]
        parts = [word.partition("=") for word in self.words(name)]
        return [(key.strip(), item.strip()) for key, dummy, item in parts]

    def targets(self) -> list[str]:
        """Which targets are given, as kinds for ``target``. More than one is a problem that the caller words."""
        kinds = [kind for kind in _TARGETS if self.text(f"target_{kind}")]
        return kinds + (["immediate"] if self.flag("target_immediate") else [])

    def target(self, kind: str, checked_exclusive: bool = True) -> Record:
        """The target as the module restore takes it. Without ``checked_exclusive`` the caller has words for that."""
        value = self.text(f"target_{kind}") or None if kind in _TARGETS else None
        timeline, exclusive = self.text("target_timeline") or None, bool(self.flag("target_exclusive"))
        try:
            parse_target(kind, value, timeline, None, exclusive and checked_exclusive)
        except TargetError as error:
            for sentence in error.problems:
                self.refuse(self._in_our_words(sentence))
        return {"type": kind, "target": value, "target_exclusive": exclusive, "target_timeline": timeline}

    def _in_our_words(self, sentence: str) -> str:
        """A sentence of the module with the names that its options have here."""
        return re.sub(r"\b(target_(?:timeline|exclusive))\b", rf"{self.prefix}\1", sentence)
