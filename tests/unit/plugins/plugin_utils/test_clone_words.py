# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Texts of the modules, in the words of the playbook clone."""

from __future__ import annotations

import ast
import re
import typing as t
from pathlib import Path

import pytest
from ansible_collections.pgops.pgbackrest.plugins.plugin_utils._clone_words import in_our_words, plan_lines, refusal

ROOT = Path(__file__).resolve().parents[4]
VARIABLES = re.findall(r"^(clone_\w+):", (ROOT / "roles/clone/defaults/main.yml").read_text(encoding="utf-8"), re.M)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("Set allow_unproven: true to try it.", "Set clone_allow_unproven=true to try it."),
        ("Say in target_timeline which one is meant.", "Say in clone_target_timeline which one is meant."),
        ("Name the newest one in set.", "Name the newest one in clone_set."),
        ("Name their directory in bindir.", "Name their directory in clone_bindir."),
        ("db_include names crm, which", "clone_db_include names crm, which"),
        ("name another one in the option workspace.", "name another one in clone_directory."),
        ("Run the task again.", "Run the play again."),
        ("set was none and is 20260501-020003F now", "clone_set was none and is 20260501-020003F now"),
        ("target_timeline was none and is 2 now", "clone_target_timeline was none and is 2 now"),
        (
            "Remove it first (state: absent), then restore again, or give this one another name.",
            "Take another clone_name, or clone_replace=true to have it removed first.",
        ),
    ],
)
def test_options_become_variables(theirs: str, ours: str) -> None:
    assert in_our_words(theirs) == ours
    assert in_our_words(ours) == ours


def test_plan_names_what_follows_the_restore() -> None:
    plan = {
        "id": "20261123-034631F-1",
        "mode": "full",
        "text": ["Plan 20261123-034631F-1: restore of stanza main to /clones/ci/data", "  to         end of the WAL"],
    }
    wanted = {
        "sql": [{"name": "mask.sql", "database": "shop", "sql": "SELECT 1"}],
        "clone": {"ttl": 3600, "listen_addresses": "localhost"},
    }
    lines = plan_lines(plan, wanted)
    assert lines[:2] == plan["text"]
    assert lines[2:] == [
        "  sql        before anybody can connect: mask.sql in shop",
        "  open       a free port on localhost; archives nothing",
        "  removed    1 h after it was begun",
    ]


@pytest.mark.parametrize(
    ("state", "lines"),
    [
        ("open", ["Nothing to do: the clone ci is there. To make it anew set clone_replace=true."]),
        (
            "closed",
            [
                "The clone ci is restored already, and is not open yet.",
                "  sql        before anybody can connect: mask.sql in shop",
                "  open       port 6000 on localhost; archives nothing",
            ],
        ),
    ],
)
def test_plan_of_a_clone_that_is_there_speaks_of_no_other_restore(state: str, lines: list[str]) -> None:
    plan = {"mode": "none", "text": ["Nothing to do: this very restore … To do it again set repeat: true."]}
    sql = [{"name": "mask.sql", "database": "shop", "sql": "SELECT 1"}]
    wanted = {"name": "ci", "sql": sql, "clone": {"port": 6000, "listen_addresses": "localhost"}}
    assert plan_lines(plan, wanted, state) == lines


def test_refusal_tells_all_problems() -> None:
    problems = [
        {"code": "set_unknown", "sentence": "Repository 1 has no backup set x.", "hint": "Name another one in set."},
        {"code": "space", "sentence": "There is not enough room.", "hint": ""},
    ]
    found = refusal({"msg": "x", "problems": problems})
    assert found["lines"][:2] == ["1. Repository 1 has no backup set x.", "   Name another one in clone_set."]
    assert found["words"] == (
        "The clone is refused for 2 reasons, see above: set_unknown, space. "
        "The first: Repository 1 has no backup set x."
    )


def test_one_problem_is_told_once_and_in_full() -> None:
    problem = {"code": "set_unknown", "sentence": "Repository 1 has no backup set x.", "hint": "Name another in set."}
    found = refusal({"msg": "x", "problems": [problem]})
    assert (found["lines"], found["codes"]) == ([], ["set_unknown"])
    assert found["words"] == (
        "The clone is refused (set_unknown). Repository 1 has no backup set x. Name another in clone_set."
    )
    assert refusal({"problems": [{**problem, "hint": ""}]})["words"].endswith("backup set x.")


def test_failure_without_problems_is_told_as_it_is() -> None:
    assert refusal({"msg": "It\nbroke."})["words"] == "It broke."
    assert refusal({"msg": "x was not written. Bad.", "problems": ["Bad."]})["words"] == "x was not written. Bad."


def sentences() -> t.Iterator[str]:
    """Every text in the files that a restore or a clone is made with."""
    for path in sorted((ROOT / "plugins/module_utils").glob("_*.py")):
        if path.name in ("_expire.py", "_verify.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value.split()) > 2:
                yield node.value


def test_no_text_names_a_variable_that_there_is_not() -> None:
    variable = re.compile(r"\bclone_[a-z_]+\b")
    named = {
        name for text in sentences() for name in {*variable.findall(in_our_words(text))} - {*variable.findall(text)}
    }
    assert {"clone_set", "clone_bindir", "clone_target_timeline"} <= named
    assert named <= set(VARIABLES)


def test_guide_explains_every_problem_of_a_clone() -> None:
    code = re.compile(r"Problem\(\s*\"(\w+)\"")
    sources = (ROOT / "plugins/module_utils").glob("_clone_*.py")
    told = {found for path in sources for found in code.findall(path.read_text(encoding="utf-8"))}
    page = (ROOT / "docs/clone.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", page[page.index("\n## Messages\n") :], re.M)
    shown = {found for row in rows for found in re.findall(r"\w+", row)}
    assert len(told) > 10
    assert told - shown == set()
    assert shown - told <= {"space"}  # of the plan
