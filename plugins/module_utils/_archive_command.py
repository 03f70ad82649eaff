# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ``archive_command`` of a stanza: written, read, and told from a foreign one. Private to the collection.

Sources: PostgreSQL documentation, option archive_command; pgBackRest user guide, "Configure Archiving".
"""

from __future__ import annotations

import os
import re
import shutil
import typing as t
from dataclasses import dataclass

WAL_PATH = "\0p"  # what %p stands for in a command that was split; no argument of a program can hold a NUL
_PLACEHOLDER = re.compile(r"%(.)", re.DOTALL)
_PLAIN_WORD = re.compile(r"[A-Za-z0-9_@%+=:,./-]+")
_QUOTABLE_WORD = re.compile(r"[A-Za-z0-9_@%+=:,./ -]*")
_PART_OF_A_WORD = re.compile(
    r"""(?P<plain>[^\s'"\\|&;<>()$`*?\[#~{}!]+)|\\(?P<escaped>[^\n])|'(?P<single>[^']*)'"""
    r"""|"(?P<double>(?:[^"\\$`]|\\[^\n])*)"|(?P<blank>[ \t]+)"""
)
# Commands that only say "done" and so throw the WAL away; tools leave them behind after a restore.
_DUMMIES = {("true",), ("/bin/true",), ("/usr/bin/true",), (":",), ("cd", "."), ("exit", "0")}
_ENVIRONMENT = re.compile(r"\w+=")

Verdict = t.Literal["none", "dummy", "same", "outdated", "foreign"]


@dataclass(frozen=True)
class Program:
    """The archive_command's parts. ``path`` is absolute, or the name when the program was not looked up."""

    path: str
    stanza: str
    config: str | None = None
    config_path: str | None = None


def quote(word: str) -> str:
    """A word for ``sh -c``.

    >>> print(quote("--stanza=main"), quote("--config=/a b/c.conf"), quote('a"$b'))
    --stanza=main "--config=/a b/c.conf" 'a"$b'
    """
    if _PLAIN_WORD.fullmatch(word):
        return word
    if _QUOTABLE_WORD.fullmatch(word):
        return f'"{word}"'
    return "'" + word.replace("'", "'\"'\"'") + "'"


def archive_command(program: Program) -> str:
    """The ``archive_command`` that pushes WAL to the stanza, as PostgreSQL wants it: quoted, ``%`` doubled.

    >>> print(archive_command(Program("/usr/bin/pgbackrest", "main", config="/a b/50%.conf")))
    /usr/bin/pgbackrest "--config=/a b/50%%.conf" --stanza=main archive-push "%p"
    """
    words = [program.path]
    if program.config:
        words.append(f"--config={program.config}")
    if program.config_path:
        words.append(f"--config-path={program.config_path}")
    words += [f"--stanza={program.stanza}", "archive-push"]
    return " ".join([*(quote(word).replace("%", "%%") for word in words), '"%p"'])


def split_command(command: str) -> list[str] | None:
    """Words of an ``archive_command`` as the shell would see them, ``%p`` as WAL_PATH; None when it is a script.

    >>> split_command('a "b c" %p')
    ['a', 'b c', '\\x00p']
    >>> split_command("a %p || true") is None
    True
    """
    text = _PLACEHOLDER.sub(lambda match: "%" if match.group(1) == "%" else "\0" + match.group(1), command)
    words: list[str] = []
    new_word = True
    position = 0
    while position < len(text):
        match = _PART_OF_A_WORD.match(text, position)
        if not match:
            return None
        position = match.end()
        if match.lastgroup == "blank":
            new_word = True
            continue
        part = match.group(match.lastgroup or 0)
        if match.lastgroup == "double":
            part = re.sub(r'\\([$`"\\])', r"\1", part)
        words = [*words, part] if new_word else [*words[:-1], words[-1] + part]
        new_word = False
    return words


def resolve(program: str) -> str:
    """The file behind the name or path of a program, links followed."""
    return os.path.realpath(shutil.which(program) or program)


def judge(command: str, wanted: Program) -> tuple[Verdict, str]:
    """What an ``archive_command`` is, seen from the one that is wanted, and for a foreign one why.

    ``same`` does the same, however it is written. ``outdated`` pushes to the same stanza with the same configuration
    but with another program file or path of the WAL. ``dummy`` throws the WAL away. ``foreign`` is everything else.
    """
    words = split_command(command)
    if not command.strip():
        return "none", ""
    if words is None or _ENVIRONMENT.match(words[0]):
        return "foreign", "a shell script"
    if tuple(words) in _DUMMIES or tuple(words[:1]) in _DUMMIES:
        return "dummy", ""
    same_program = "\0" not in words[0] and resolve(words[0]) == resolve(wanted.path)
    if not same_program and os.path.basename(words[0]) != "pgbackrest":
        return "foreign", "not pgBackRest"
    options, arguments = _options(words[1:])
    reason = _foreign_options(options, wanted) or ("" if "archive-push" in arguments else "not an archive-push")
    if reason:
        return "foreign", reason
    return ("same" if same_program and arguments[-2:] == ["archive-push", WAL_PATH] else "outdated"), ""


def _options(words: t.Sequence[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Options with their values, and the other words; a value may be a word of its own for the options read here."""
    options: dict[str, list[str]] = {}
    arguments = []
    rest = iter(words)
    for word in rest:
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            if not equals and name in ("stanza", "config", "config-path"):
                value = next(rest, "")
            options.setdefault(name, []).append(value)
        else:
            arguments.append(word)
    return options, arguments


def _foreign_options(options: t.Mapping[str, list[str]], wanted: Program) -> str:
    stanza = options.get("stanza", [])
    if not stanza:
        return "pgBackRest without a stanza"
    if stanza != [wanted.stanza]:
        return f"pgBackRest for the stanza {' '.join(stanza)}"
    for name, value in (("config", wanted.config), ("config-path", wanted.config_path)):
        given = [os.path.normpath(path) for path in options.get(name, [])]
        if given != ([os.path.normpath(value)] if value else []):
            return f"pgBackRest with {f'--{name}={given[0]}' if given else f'no --{name}'}, another configuration"
    own = sorted(name for name in options if name.startswith("repo") or name == "no-config")
    return f"pgBackRest with --{own[0]} of its own" if own else ""
