# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What pgBackRest itself says about a configuration file. Private to the collection.

``pgbackrest --config=FILE --stanza=STANZA help COMMAND`` reads the file as COMMAND would and does nothing else: no
lock, no repository, no PostgreSQL, and root may run it. It looks only at the options of that command, so several
commands are asked, as few as cover all options of the file.
"""

from __future__ import annotations

import os
import re
import tempfile
import typing as t

from . import _catalogue as catalogue
from ._config_file import Sections, render, section_chain
from ._messages import parse_messages

if t.TYPE_CHECKING:
    from ._catalogue import Version
    from ._cli import Output, PgBackRest
    from ._messages import Message

# Asked first where several commands cover the same options.
_PREFERRED = ("backup", "restore", "archive-push", "archive-get", "expire", "check", "server")
_WITHOUT_STANZA = ("server", "server-ping")
_HELP_TEXT = re.compile(r"^pgBackRest \d", re.MULTILINE)


def questions(sections: Sections, version: Version) -> list[tuple[str | None, str]]:
    """Pairs of stanza and command that together read every option of the file.

    >>> questions({"global": {"start-fast": True}, "main": {"pg1-path": "/a"}, "main:check": {"delta": 1}}, (2, 45))
    [('main', 'backup'), ('main', 'check')]
    """
    result: list[tuple[str | None, str]] = []
    left = {
        (section, key): _commands(section, key, version) for section, options in sections.items() for key in options
    }
    owners = dict.fromkeys(section.partition(":")[0] for section in sections)
    stanzas: list[str | None] = [owner for owner in owners if owner != "global"]
    candidates = [(stanza, command) for stanza in stanzas or [None] for command in _by_preference()]
    while left:
        best = max(candidates, key=lambda pair: len(_read_by(pair, left)))
        covered = _read_by(best, left)
        if not covered:
            break
        result.append((None if best[1] in _WITHOUT_STANZA else best[0], best[1]))
        left = {place: commands for place, commands in left.items() if place not in covered}
    return sorted(result, key=lambda pair: (pair[0] or "", pair[1]))


def verdict(
    program: PgBackRest, sections: Sections, path: str, neighbour_texts: t.Sequence[str], directory: str
) -> tuple[list[str], list[str]]:
    """What pgBackRest says about the file, and what only about the file together with its neighbours.

    The neighbours may be broken themselves, or about to change in a later task: what they add is no reason to refuse
    the file, and what they resolve is none either.
    """
    content, asked = render(sections), questions(sections, program.version)
    together = complaints(program, asked, "\n".join([*neighbour_texts, content]), path, directory)
    if not together or not any(neighbour_texts):
        return together, []
    alone = complaints(program, asked, content, path, directory)
    return alone, [] if alone else together


def complaints(
    program: PgBackRest, asked: t.Sequence[tuple[str | None, str]], content: str, path: str, directory: str
) -> list[str]:
    """Warnings and errors of pgBackRest about the content, each once, with ``path`` as the name of the file.

    The content stands for that time in a file in ``directory`` that only this user may read.
    """
    handle, candidate = tempfile.mkstemp(prefix="pgbackrest-", suffix=".conf", dir=directory)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
            stream.write(content)
        found = [text for stanza, command in asked for text in _answers(program, stanza, command, candidate)]
    finally:
        os.unlink(candidate)
    return list(dict.fromkeys(text.replace(candidate, path) for text in found))


def _answers(program: PgBackRest, stanza: str | None, command: str, candidate: str) -> list[str]:
    options = {"config": candidate, "config_path": None, "stanza": stanza}
    output = program.run("help", options, [command], stanza=False, ok=range(256))
    serious = [message for message in _messages(output) if message.level in ("WARN", "ERROR", "ASSERT")]
    found = [message.text + (f" ({message.hint})" if message.hint else "") for message in serious]
    if output.rc and not found:
        found = [f"exit status {output.rc} without a message"]
    return found


def _messages(output: Output) -> list[Message]:
    """The messages without the help text that follows them on standard output: it shows values of options."""
    on_stderr = output.messages[: len(output.messages) - len(parse_messages(output.stdout))]
    return on_stderr + parse_messages(_HELP_TEXT.split(output.stdout, maxsplit=1)[0])


def _commands(section: str, key: str, version: Version) -> frozenset[str]:
    """Commands that read an option in a section; those with a section of their own read only that."""
    option = catalogue.find(catalogue.split_key(key)[0], version)
    dummy, colon, command = section.partition(":")
    if colon:
        return frozenset((command,))
    return option.commands if option and option.commands else frozenset(_PREFERRED)


def _by_preference() -> list[str]:
    return [*_PREFERRED, *sorted(catalogue.COMMANDS - set(_PREFERRED))]


def _read_by(pair: tuple[str | None, str], places: t.Mapping[tuple[str, str], frozenset[str]]) -> set[tuple[str, str]]:
    stanza, command = pair
    chain = section_chain(None if command in _WITHOUT_STANZA else stanza, command)
    return {place for place, commands in places.items() if command in commands and place[0] in chain}
