# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""SQL files are cut where psql cuts them."""

from __future__ import annotations

import doctest
import random

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils import _clone_sql
from ansible_collections.pgops.pgbackrest.plugins.module_utils._clone_sql import (
    UnreadableSql,
    line_of_error,
    problems_of,
    split,
)

FUNCTION = (
    "CREATE OR REPLACE FUNCTION f(a int) RETURNS int BEGIN ATOMIC SELECT CASE WHEN a > 0 THEN 1 END; SELECT 2; END"
)
PIECES = [
    "SELECT 1",
    "SELECT ';'",
    "SELECT ';;''--'",
    "SELECT E'a\\';'",
    "SELECT E'\\\\'",
    'SELECT ";" FROM "a""b;"',
    "DO $$ BEGIN PERFORM 1; END; $$",
    "SELECT $a$ ; $$ ; $b$ ; $a$",
    "SELECT a$b$c, $1 FROM t",
    "SELECT /* ; /* ; */ ' */ 1",
    "SELECT 1 -- ; '\n + 1",
    "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2)",
    FUNCTION,
    "CREATE PROCEDURE p() BEGIN ATOMIC INSERT INTO t VALUES (1); END",
    "CREATE FUNCTION g() RETURNS int LANGUAGE sql AS 'SELECT 1; SELECT 2'",
    "BEGIN",
    "END",
    "SELECT 'ÄÖ;' AS größe",
    "COPY t FROM '/tmp/stdin'",
    "SELECT 1.5e10, 5",
]


def test_doctests() -> None:
    assert doctest.testmod(_clone_sql).failed == 0


@pytest.mark.parametrize("piece", PIECES)
def test_a_statement_stays_whole(piece: str) -> None:
    assert [each.text for each in split(f"{piece};\n{piece} ;")] == [piece, piece]
    assert [each.text for each in split(piece)] == [piece]


def test_any_order_of_statements_comes_back_with_its_lines() -> None:
    rng = random.Random(5)
    for dummy in range(200):
        pieces = [rng.choice(PIECES) for dummy in range(rng.randint(1, 12))]
        text, lines = "", []
        for piece in pieces:
            text += rng.choice(["", "\n", " -- it's; \"\n", "/* ; ' */", ";", "\n\n"])
            lines.append(text.count("\n") + 1)
            text += piece + rng.choice([";", " ;", "\n;"])
        found = split(text)
        assert [each.text for each in found] == pieces
        assert [each.line for each in found] == lines


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("SELECT 1;\n\\c app\n", 2, r"\c is a command of psql"),
        ("SELECT 1\n\\gexec", 2, r"\gexec is a command of psql"),
        ("\n\nSELECT 'a", 3, "never ends"),
        ("SELECT 'a''", 1, "never ends"),
        ("SELECT E'a\\'", 1, "never ends"),
        ('SELECT "a', 1, "never ends"),
        ("SELECT 1;\n/* /* */", 2, "the comment that begins here"),
        ("SELECT 1;\nDO $x$ BEGIN $$", 2, "never ends"),
        ("SELECT 1;\nCOPY t (a) FROM STDIN;\n1\n\\.\n", 2, "COPY … FROM STDIN"),
    ],
)
def test_what_only_psql_can_do_is_told_with_its_line(text: str, line: int, words: str) -> None:
    with pytest.raises(UnreadableSql) as error:
        split(text)
    assert words in str(error.value)
    assert error.value.line == line
    problem = problems_of([{"name": "a.sql", "database": "d", "sql": text}])[0]
    assert problem.code == "sql" and problem.sentence.startswith("a.sql, line ") and problem.hint


def test_copy_from_stdin_without_rows_is_told() -> None:
    with pytest.raises(UnreadableSql, match="COPY … FROM STDIN takes its rows from psql"):
        split("SELECT 1;\nCOPY t FROM stdin WITH (FORMAT csv)")


@pytest.mark.parametrize(
    ("text", "keeps_nothing", "may_commit"),
    [
        ("SET search_path TO a", True, False),
        ("BEGIN", True, False),
        ("START TRANSACTION", True, False),
        ("ROLLBACK", True, False),
        ("COMMIT", False, False),
        ("UPDATE t SET a = 1", False, False),
        ("CALL mask_all()", False, True),
        ("DO $$ BEGIN COMMIT; END $$", False, True),
        ("CREATE INDEX CONCURRENTLY ON t (a)", False, True),
        ("SET CONSTRAINTS ALL IMMEDIATE", False, False),
    ],
)
def test_what_a_statement_leaves_behind(text: str, keeps_nothing: bool, may_commit: bool) -> None:
    statement = split(text)[0]
    assert (statement.keeps_nothing, statement.may_commit) == (keeps_nothing, may_commit)


def test_the_line_of_an_error_is_that_of_the_file() -> None:
    statement = split("SELECT 1;\n\nUPDATE t\n  SET nowhere = 1")[0:2][1]
    assert line_of_error(statement, str(statement.text.index("nowhere") + 1)) == 4
    assert line_of_error(statement, None) == 3
