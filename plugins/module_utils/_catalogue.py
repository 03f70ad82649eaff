# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What pgBackRest's options are in a version: look-ups in the generated ``_options``. Private to the collection."""

from __future__ import annotations

import difflib
import typing as t
from dataclasses import dataclass

from ._config_file import canonical, secret, split_key
from ._options import COMMAND_SETS, NEWEST, OPTIONS

__all__ = [
    "COMMANDS",
    "NEWEST",
    "Option",
    "availability",
    "beta_until",
    "canonical",
    "find",
    "known",
    "required_names",
    "secret",
    "similar",
    "split_key",
    "value_since",
    "version_text",
]

Version = t.Tuple[int, ...]
COMMANDS = frozenset(command for commands in COMMAND_SETS for command in commands.split())


@dataclass(frozen=True)
class Option:
    """One option as a version of pgBackRest has it.

    ``limits`` is [low, high] or a mapping from the value of the option it depends on, in bytes or milliseconds;
    ``commands`` are those for which a configuration file may set the option.
    """

    name: str
    type: str
    section: str = "global"
    group: str | None = None
    required: bool = False
    internal: bool = False
    beta: bool = False
    default: str | None = None
    depend: t.Mapping[str, t.Any] | None = None
    allow: t.Sequence[str] | None = None
    limits: t.Any = None
    commands: frozenset[str] = frozenset()


def find(name: str, version: Version) -> Option | None:
    """The option of this name (without index) in a version; None when that version does not have it.

    Versions newer than the catalogue are taken for the newest one it knows.
    """
    facts: dict[str, t.Any] = {}
    for span in OPTIONS.get(name, ()):
        if version < span.get("until", version):
            break
        if span.get("since", version) <= version:
            facts.update(span)
    if not facts or "until" in facts:
        return None
    commands = facts.pop("commands", None)
    facts.pop("since", None)
    known = {key: value for key, value in facts.items() if value is not None}
    return Option(
        name, commands=frozenset() if commands is None else frozenset(COMMAND_SETS[commands].split()), **known
    )


def availability(name: str) -> tuple[Version | None, Version | None]:
    """First version that has the option, first that has it no more (None: all that the catalogue knows)."""
    spans = OPTIONS[name]
    return spans[0].get("since"), spans[-1].get("until")


def beta_until(name: str) -> Version | None:
    """The version in which an option stopped being beta."""
    return next((span["since"] for span in OPTIONS[name] if "since" in span and span.get("beta", True) is None), None)


def value_since(name: str, value: str) -> Version | None:
    """The version that added a value to those allowed; None when it was always there or never was.

    >>> value_since("backup-standby", "prefer"), value_since("repo-type", "posix"), value_since("repo-type", "x")
    ((2, 54), None, None)
    """
    return next((span.get("since") for span in OPTIONS[name] if value in (span.get("allow") or ())), None)


def known(name: str) -> bool:
    """Whether any version has the option."""
    return name in OPTIONS


def similar(name: str, candidates: t.Iterable[str] | None = None) -> str | None:
    """The closest name among the options, or among other candidates."""
    found = difflib.get_close_matches(name, list(OPTIONS if candidates is None else candidates), 1, 0.7)
    return found[0] if found else None


def required_names(prefix: str, version: Version) -> list[Option]:
    """Options with this prefix that have no default and must be set when what they depend on holds."""
    options = (find(name, version) for name in OPTIONS if name.startswith(prefix))
    return [option for option in options if option and option.required and option.section != "command-line"]


def version_text(version: Version) -> str:
    """Version as pgBackRest's users write it.

    >>> version_text((2, 55, 1))
    '2.55.1'
    """
    return ".".join(str(number) for number in version)
