# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wrong with the sections of a configuration file. Private to the collection.

``problems`` checks names, places and values of single options; when these are right it checks what the options say
together. pgBackRest itself passes over most of this in silence (reference guide, "Configuration file").
"""

from __future__ import annotations

import re
import typing as t

from . import _catalogue as catalogue, _config_value
from ._config_file import RawSections, Sections, section_chain
from ._config_together import Together, indexed, owner_and_command

if t.TYPE_CHECKING:
    from ._catalogue import Option, Version

_STANZA_NAME = re.compile(r"^[^\s:/\[\]#=]+$")
_MAX_INDEX = 256


def problems(sections: Sections, version: Version, others: RawSections | None = None) -> list[str]:
    """Everything that is wrong, each a sentence with a hint, in the order of the sections.

    ``others`` are the other files that pgBackRest reads together with this one, {} when there are none. With None
    they are not known, and nothing is refused that they might supply.
    """
    found = [sentence for section, options in sections.items() for sentence in _section_problems(section, options)]
    for section, options in sections.items():
        if isinstance(options, dict):
            for key in options:
                problem = _key_problem(section, key, version) or _value_problem(sections, section, key, version)
                if problem:
                    found.append(f"[{section}] {problem}")
    if not found:
        found = Together(sections, version, others).problems()
    return [_sentence(problem) for problem in found]


def warnings(sections: Sections, version: Version) -> list[str]:
    """What is valid but not wise, each a sentence."""
    found = []
    for section, options in sections.items():
        for key in options:
            option = catalogue.find(catalogue.split_key(key)[0], version)
            if key == "archive-push-queue-max":
                found.append(
                    f"[{section}] {key}: when the queue is full pgBackRest drops WAL and tells PostgreSQL that it was "
                    "archived. Point-in-time recovery is then impossible up to the next backup"
                )
            elif option and option.internal and key != "beta":
                found.append(f"[{section}] {key} is internal to pgBackRest: undocumented, and it may change any time")
    return [_sentence(warning) for warning in found]


def _sentence(problem: str) -> str:
    return problem if problem.endswith((".", "?")) else problem + "."


# Sections and names


def _section_problems(section: str, options: t.Any) -> list[str]:
    owner, colon, command = section.partition(":")
    found = []
    if not isinstance(options, dict):
        hint = ": it is an option, put it below a section such as global" if _exists(section) else ""
        found.append(f"[{section}] must be a mapping of options{hint}")
        options = {}
    if not _STANZA_NAME.match(owner):
        found.append(f"[{section}] is no name for a section: write global, global:command, stanza or stanza:command")
    elif colon and command not in catalogue.COMMANDS:
        found.append(f"[{section}] names no pgBackRest command{_did_you_mean(command, catalogue.COMMANDS)}")
    elif owner in catalogue.COMMANDS and not colon and not any(key.startswith("pg") for key in options):
        found.append(f"[{section}] would be a stanza: write global:{owner} for options of the command {owner}")
    elif owner != "global" and catalogue.similar(owner.lower(), ["global"]):
        found.append(f"[{section}] would be a stanza: write global")
    return found


def _did_you_mean(name: str, candidates: t.Iterable[str] | None = None) -> str:
    close = catalogue.similar(name, candidates)
    return f": did you mean {close}?" if close else ""


def _key_problem(section: str, key: str, version: Version) -> str | None:
    name, index = catalogue.split_key(key)
    return (
        _spelling_problem(key)
        or _index_problem(key, index)
        or _deprecated_problem(key)
        or _version_problem(key, name, version)
        or _place_problem(section, key, catalogue.find(name, version))
    )


def _spelling_problem(key: str) -> str | None:
    usual = key.strip().replace("_", "-").lower()
    if usual != key and _exists(usual):
        return f"{key} is not pgBackRest's spelling: write {usual}"
    for prefix, advice in (("no-", "{}: false"), ("reset-", "nothing, or the default of {}")):
        rest = key[len(prefix) :]
        if key.startswith(prefix) and not _exists(key) and _exists(rest):
            return f"{key} is a form for the command line: write {advice.format(rest)}"
    return None


def _exists(key: str) -> bool:
    return catalogue.known(catalogue.split_key(catalogue.canonical(key))[0])


def _index_problem(key: str, index: int | None) -> str | None:
    if index is None:
        return None
    if not 1 <= index <= _MAX_INDEX:
        return f"{key} has index {index}, but indexes run from 1 to {_MAX_INDEX}"
    usual = re.sub(r"^([a-z]+)0+", r"\1", key)
    return f"{key} is not pgBackRest's spelling: write {usual}" if usual != key else None


def _deprecated_problem(key: str) -> str | None:
    today = catalogue.canonical(key)
    if today == key or not _exists(key):
        return None
    if catalogue.split_key(today)[0] == key:
        return f"{key} needs an index: write {today}"
    return f"{key} is the deprecated name of {today}: write {today}"


def _version_problem(key: str, name: str, version: Version) -> str | None:
    if catalogue.find(name, version):
        return None
    if not catalogue.known(name):
        if version[:2] > catalogue.NEWEST:
            return None  # the program knows better
        close, index = catalogue.similar(name), catalogue.split_key(key)[1]
        meant = catalogue.canonical(close if index is None else indexed(close, index)) if close else None
        hint = f": did you mean {meant}?" if meant else ": look for the name in pgBackRest's configuration reference"
        return f"{key} is no option of pgBackRest{hint}"
    since, until = catalogue.availability(name)
    if since and version < since:
        return (
            f"{key} needs pgBackRest {catalogue.version_text(since)}, this host has {catalogue.version_text(version)}"
        )
    return f"{key} was removed in pgBackRest {catalogue.version_text(until or ())}: leave it out"


def _place_problem(section: str, key: str, option: Option | None) -> str | None:
    if not option:
        return None
    owner, dummy, command = section.partition(":")
    if option.section == "command-line":
        return f"{key} is for the command line only: leave it out"
    if option.section == "stanza" and owner == "global":
        return f"{key} belongs to a stanza: move it to the section of the stanza"
    if command and command in catalogue.COMMANDS and command not in option.commands:
        return f"{key} is not valid for the command {command}, only for {', '.join(sorted(option.commands))}"
    return None


def _value_problem(sections: Sections, section: str, key: str, version: Version) -> str | None:
    name, index = catalogue.split_key(key)
    option = catalogue.find(name, version)
    value = sections[section][key]
    if not option:
        return _config_value.problem(key, catalogue.Option(name, "string"), value) if value is None else None
    since = None if option.allow is None and option.type != "boolean" else catalogue.value_since(name, str(value))
    if since and version < since:
        needs = f"needs pgBackRest {catalogue.version_text(since)}, this host has {catalogue.version_text(version)}"
        return f"{key}: {value} {needs}"
    limits = option.limits
    if isinstance(limits, dict):
        limits = _limits_here(sections, section, option, index)
    return _config_value.problem(key, option, value, limits)


def _limits_here(sections: Sections, section: str, option: Option, index: int | None) -> t.Sequence[int] | None:
    """Limits that hang on another option; None where this file does not tell the other's value."""
    controller = indexed((option.depend or {})["option"], index)
    for name in section_chain(*owner_and_command(section)):
        options = sections.get(name)
        if isinstance(options, dict) and controller in options:
            return t.cast("t.Sequence[int] | None", option.limits.get(str(options[controller])))
    return None
