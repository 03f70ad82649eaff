# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""SQL files cut into statements, without psql. Pure. Private to the collection.

Sources: PostgreSQL documentation, "Lexical Structure"; psqlscan.l in src/fe_utils, which decides where psql ends a
statement.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from ._problem import Problem

_TOKEN = re.compile(
    r"""
    (?P<comment>--[^\n]*)
  | (?P<nested>/\*)
  | (?P<dollar>\$(?:[A-Za-z_\x80-\U0010ffff][\w\x80-\U0010ffff]*)?\$)
  | (?P<escaped>[eE]'(?:[^'\\]|''|\\.)*'?)
  | (?P<string>'(?:[^']|'')*'?)
  | (?P<quoted>"(?:[^"]|"")*"?)
  | (?P<word>[A-Za-z_\x80-\U0010ffff][\w$\x80-\U0010ffff]*)
  | (?P<blank>\s+)
  | (?P<number>\d[\w.]*)
  | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_NESTED = re.compile(r"/\*|\*/")
_SESSION_ONLY = ("set", "reset", "show", "begin", "start", "rollback", "abort", "discard")


@dataclass(frozen=True)
class Statement:
    """One statement as it stands in its file, without semicolon; ``line`` is that of its first word."""

    text: str
    line: int
    words: tuple[str, ...]

    @property
    def keeps_nothing(self) -> bool:
        """Whether nothing in the cluster is different after it, in whatever transaction it ran."""
        return self.words[0] in _SESSION_ONLY and self.words[:2] != ("set", "constraints")

    @property
    def may_commit(self) -> bool:
        """Whether it can fail and have changed something for good, because it commits on its own."""
        return self.words[0] in ("call", "do") or "concurrently" in self.words[:5]


class UnreadableSql(Exception):
    """The text cannot be cut into statements; ``line`` says where, the text why and what to do."""

    def __init__(self, line: int, sentence: str, hint: str) -> None:
        super().__init__(sentence)
        self.line = line
        self.hint = hint


class _Scanner:
    """Where in the text we are, and what of the present statement was read."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.found: list[Statement] = []
        self._begin(0)

    def _begin(self, position: int) -> None:
        self.start: int | None = None
        self.after = position
        self.words: list[str] = []
        self.parentheses = 0
        self.blocks = 0

    def line_of(self, position: int) -> int:
        return self.text.count("\n", 0, position) + 1

    def take(self, kind: str, token: str, position: int) -> None:
        """Learn from one token that is neither blank nor comment."""
        if kind == "other" and token == ";" and not self.parentheses and not self.blocks:
            self.end(position)
            return
        if self.start is None:
            self.start = position
        if kind == "word":
            self._take_word(token.lower())
        elif token == "(":
            self.parentheses += 1
        elif token == ")":
            self.parentheses = max(0, self.parentheses - 1)

    def _take_word(self, word: str) -> None:
        if not self.parentheses and _makes_routine(self.words):
            if word == "begin" or (word == "case" and self.blocks):
                self.blocks += 1
            elif word == "end":
                self.blocks = max(0, self.blocks - 1)
        if len(self.words) < 1000:
            self.words.append(word)

    def end(self, position: int) -> None:
        """A statement ends here; an empty one is none."""
        if self.start is not None:
            text = self.text[self.start : position].rstrip()
            statement = Statement(text, self.line_of(self.start), tuple(self.words) or ("",))
            _refuse_copy(statement)  # before its rows are taken for SQL
            self.found.append(statement)
        self._begin(position + 1)


def split(text: str) -> list[Statement]:
    """The statements of a file. Raises UnreadableSql.

    >>> [(each.line, each.text) for each in split("SELECT ';'; -- a;b\\nBEGIN")]
    [(1, "SELECT ';'"), (2, 'BEGIN')]
    """
    scanner, position = _Scanner(text), 0
    while position < len(text):
        match = t.cast("re.Match[str]", _TOKEN.match(text, position))
        kind, token, end = str(match.lastgroup), match.group(), match.end()
        if kind == "nested":
            end = _end_of_comment(text, position)
        elif kind == "dollar":
            end = _end_of_dollar(text, token, end)
        elif kind in ("string", "escaped", "quoted") and not _is_closed(token):
            end = -1
        if end < 0:
            raise _never_ends(scanner.line_of(position), token)
        if token == "\\":
            raise _of_psql(scanner.line_of(position), text[position:])
        if kind not in ("blank", "comment", "nested"):
            scanner.take(kind, token, position)
        position = end
    scanner.end(len(text))
    return scanner.found


def problems_of(scripts: t.Iterable[t.Mapping[str, str]]) -> list[Problem]:
    """What keeps us from running these scripts (``name``, ``database``, ``sql``)."""
    found = []
    for script in scripts:
        try:
            split(script["sql"])
        except UnreadableSql as error:
            found.append(Problem("sql", f"{script['name']}, line {error.line}: {error}", error.hint))
    return found


def line_of_error(statement: Statement, position: str | None) -> int:
    """Line in the file of the character that PostgreSQL names, counted from 1 within the statement."""
    characters = int(position) - 1 if position and position.isdigit() else 0
    return statement.line + statement.text.count("\n", 0, characters)


def _makes_routine(words: t.Sequence[str]) -> bool:
    """Whether a statement that begins so is a CREATE FUNCTION or PROCEDURE, whose body may hold semicolons."""
    begin = " ".join(words[:4])
    return bool(re.match(r"create (?:or replace )?(?:function|procedure)\b", begin))


def _end_of_comment(text: str, position: int) -> int:
    depth = 0
    for match in _NESTED.finditer(text, position):
        depth += 1 if match.group() == "/*" else -1
        if depth == 0:
            return match.end()
    return -1


def _end_of_dollar(text: str, tag: str, position: int) -> int:
    found = text.find(tag, position)
    return found + len(tag) if found >= 0 else -1


def _is_closed(token: str) -> bool:
    quote = '"' if token[0] == '"' else "'"
    inner = token[token.index(quote) + 1 :]
    if token[0] in "eE":
        inner = re.sub(r"\\.", "", inner, flags=re.DOTALL)
    return inner.endswith(quote) and (len(inner) - len(inner.rstrip(quote))) % 2 == 1


def _never_ends(line: int, token: str) -> UnreadableSql:
    what = "comment" if token == "/*" else "quoted text"
    return UnreadableSql(line, f"the {what} that begins here with {token[:2]} never ends.", "Close it.")


def _of_psql(line: int, rest: str) -> UnreadableSql:
    command = rest.split(None, 1)[0][:40]
    return UnreadableSql(
        line,
        f"{command} is a command of psql, and this file is not run by psql.",
        "Write it in SQL, or leave it out. The database is named beside the file.",
    )


def _refuse_copy(statement: Statement) -> None:
    if statement.words[:1] == ("copy",) and ("from", "stdin") in zip(statement.words, statement.words[1:]):
        raise UnreadableSql(
            statement.line,
            "COPY … FROM STDIN takes its rows from psql, and this file is not run by psql.",
            "Write the rows as INSERT.",
        )
