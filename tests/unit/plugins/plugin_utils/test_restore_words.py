# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Users of the playbook read its variables, not the options of the modules behind it."""

from __future__ import annotations

import ast
import re
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.pgops.pgbackrest.plugins.modules import recovery, restore
from ansible_collections.pgops.pgbackrest.plugins.plugin_utils._restore_words import in_our_words, plan_lines, refusal
from ansible_collections.pgops.pgbackrest.plugins.plugin_utils._status_text import WIDTH

SOURCES = Path(__file__).resolve().parents[4] / "plugins/module_utils"
FILES = [
    *sorted(SOURCES.glob("_plan*.py")),
    *(SOURCES / f"_{name}.py" for name in ("choice", "proof", "timeline", "timeline_choice", "workspace", "rescue")),
    *(
        SOURCES / f"_{name}.py"
        for name in ("restore", "restore_task", "swap", "receipt", "directory", "recovery_watch")
    ),
]
# Plain words too; they count as options only where they are written like one.
WORDS = {"set", "repo", "plan", "type", "target", "delta", "swap", "force", "state", "repeat", "stanza", "workspace"}
WORDS |= {"checkpoint", "config", "pgdata", "timeout", "env", "promote", "command", "limit"}
# The role never gives these, so no plan can complain about them, or they are settings of PostgreSQL of this name.
ONLY_OF_THE_MODULE = {"db_include", "db_exclude", "recovery_options", "tablespace_map_all", "archive_mode"}
DOCUMENTS = [yaml.safe_load(module.DOCUMENTATION) for module in (restore, recovery)]
OPTIONS = {name for document in DOCUMENTS for name in document["options"]}


def said(path: Path) -> t.Iterator[str]:
    """Every text of a source file that is a sentence, with something in the place of what is filled in."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    parts |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # documentation
    for node in ast.walk(tree):
        if id(node) in parts:
            continue
        if isinstance(node, ast.JoinedStr):
            text = "".join(part.value if isinstance(part, ast.Constant) else "XX" for part in node.values)  # type: ignore[misc]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        else:
            continue
        if re.search(r"\w \w", text):
            yield text


def options_in(text: str) -> list[str]:
    """The module's options that a text names."""
    plain = "|".join(sorted(WORDS))
    certain = "|".join(sorted(OPTIONS - WORDS - ONLY_OF_THE_MODULE))
    found = re.findall(rf"(?<![\w.-])(?:{certain})(?![\w-])", text)
    found += re.findall(rf"(?<![\w.-])(?:{plain}): (?:true|false|standby|immediate)", text)
    return found + re.findall(
        r"\bstate: XX\b|\bin (?:set|repo|plan|type|target)\b|\boption \w+|\b(?:the|this) task\b|\bbecome:", text
    )


SAID = sorted({text for path in FILES for text in said(path)})


def test_there_is_something_to_translate() -> None:
    assert len([text for text in SAID if options_in(text)]) > 20


@pytest.mark.parametrize("text", [text for text in SAID if options_in(text)])
def test_no_option_of_the_module_is_shown(text: str) -> None:
    assert options_in(in_our_words(text)) == []


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (
            "Say in target_timeline which one you mean: a number, current for timeline 1 of the backup.",
            "Say in restore_target_timeline which one you mean: a number, current for timeline 1 of the backup.",
        ),
        ("Name in set the backup that ended before", "Name in restore_set the backup that ended before"),
        ("Name one of them in set if you mean it.", "Name one of them in restore_set if you mean it."),
        ("Set swap: true instead of delta", "Set restore_mode=swap instead of delta"),
        ("set delta: true instead of swap.", "set restore_mode=delta instead of swap."),
        (
            "The backup does not know the link. Map it: link_map: {pg_wal: /wal/15}.",
            "The backup does not know the link. Map it in pgBackRest's configuration: pgbackrest_options: "
            "{link-map: pg_wal=/wal/15}.",
        ),
        ("tablespace_map names fast", "restore_tablespace_map names fast"),
        (
            "Choose a target in between, or leave type: lsn and its target away to go to the end.",
            "Choose a target in between, or leave out restore_target_lsn to go to the end.",
        ),
        ("Use restore_tablespace_map here", "Use restore_tablespace_map here"),
        ("To do it again set repeat: true.", "To do it again set restore_repeat=true."),
        (
            "It ended. Look at its log, remove the cause, and start it or restore again.",
            "It ended. Remove the cause before the play is run again.",
        ),
        ("Run the task again: it completes that.", "Run the play again: it completes that."),
        ("which is set in the host's zone", "which is set in the host's zone"),
    ],
)
def test_variables_of_the_playbook(theirs: str, ours: str) -> None:
    assert in_our_words(theirs) == ours


def test_refusal_has_a_line_for_each_sentence_and_hint() -> None:
    problems = [
        {"code": "wal_gap", "sentence": f"WAL {'0' * 24} is missing, {'and so on ' * 12}.", "hint": "Name it in set."},
        {"code": "stopped", "sentence": "The stop file exists.", "hint": ""},
    ]
    found = refusal({"msg": "The restore is refused: 1) …", "problems": problems})
    assert found["lines"][0].startswith(f"1. WAL {'0' * 24} is missing, and so on")
    assert found["lines"][-2:] == ["   Name it in restore_set.", "2. The stop file exists."]
    assert all(len(line) <= WIDTH for line in found["lines"])
    assert found["codes"] == ["wal_gap", "stopped"]
    assert found["words"] == (
        "Nothing was stopped or changed. The restore is refused for 2 reasons, see above: wal_gap, stopped. "
        f"The first: {problems[0]['sentence']}"
    )


def test_one_reason_and_none() -> None:
    problem = {"code": "space", "sentence": "There is no room.", "hint": ""}
    told = refusal({"msg": "x", "problems": [problem]})["words"]
    assert told.endswith("The restore is refused for one reason, see above: space. There is no room.")
    broken = refusal({"msg": "pgbackrest info failed\nwith error 056."})
    assert broken["lines"] == []
    assert broken["words"] == "Nothing was stopped or changed. pgbackrest info failed with error 056."
    assert refusal({})["words"].endswith("No reason was given.")


PGDATA = "/var/lib/postgresql/15/main"
STOPPED = {
    "name": "15/main",
    "data_directory": PGDATA,
    "owner": "postgres",
    "unit": "postgresql@15-main",
    "running": False,
    "role": "primary",
    "recovery": None,
    "system_identifier": "4711",
}


@pytest.mark.parametrize(
    ("server_by", "command"),
    [
        ("systemd", "systemctl start postgresql@15-main"),
        ("pg_ctlcluster", "pg_ctlcluster 15 main start, as postgres"),
        ("pg_ctl", f"pg_ctl start --pgdata={PGDATA}, as postgres"),
    ],
)
def test_refusal_says_that_the_server_is_down_and_how_to_start_it(server_by: str, command: str) -> None:
    problem = {"code": "space", "sentence": "There is no room.", "hint": ""}
    for result in ({"msg": "x", "problems": [problem]}, {"msg": "pgbackrest info failed."}):
        words = refusal(result, STOPPED, server_by)["words"]
        assert "PostgreSQL 15/main is down, perhaps since an earlier run of this play" in words
        assert words.endswith(f"{PGDATA} holds no half restore. To have it back as it is: {command}")
        assert "down" not in refusal(result, {**STOPPED, "running": True}, server_by)["words"]


def test_refusal_starts_no_half_restore() -> None:
    half = refusal({"msg": "x"}, {**STOPPED, "system_identifier": None}, "systemd")["words"]
    assert half.endswith(f"PostgreSQL 15/main is down, and must not be started: {PGDATA} holds no whole cluster.")
    whole = refusal({"msg": "x"}, {**STOPPED, "recovery": "target", "role": "standby"}, "systemd")["words"]
    assert "holds a restore whose recovery has not ended. Run the play again as it was for that restore" in whole
    assert "systemctl" not in half + whole


@pytest.mark.parametrize("code", ["stale_pid", "locked", "foreign_cluster", "patroni", "running"])
def test_refusal_says_nothing_of_a_start_that_would_be_wrong(code: str) -> None:
    problem = {"code": code, "sentence": "No.", "hint": ""}
    assert "down" not in refusal({"msg": "x", "problems": [problem]}, STOPPED, "systemd")["words"]


def test_plan_says_how_to_go_on() -> None:
    text = [
        "Plan A-1: restore",
        "  how        beside",
        "  note       pg_wal is a link and becomes plain files. Set link_all:",
    ]
    text += ["             true to keep it."]
    assert plan_lines({"id": "A-1", "mode": "swap", "text": text}, "main") == [
        *text[:2],
        "  note       pg_wal is a link and becomes plain files. Set restore_link_all=true to keep it.",
        "  next       to have exactly this done: restore_confirm=main restore_plan=A-1",
    ]


def test_plan_that_will_be_carried_out_asks_for_nothing() -> None:
    assert plan_lines({"id": "A-1", "mode": "swap", "text": ["Plan A-1: restore"]}, "") == ["Plan A-1: restore"]


def test_what_was_done_before_is_no_plan_to_approve() -> None:
    text = [f"Nothing to do: this very restore of {'/data' * 12} was done. To do it again set repeat: true."]
    lines = plan_lines({"mode": "none", "text": text}, "main")
    assert " ".join(lines).endswith("To do it again set restore_repeat=true.")
    assert all(len(line) <= WIDTH for line in lines)


@pytest.mark.parametrize(
    "outcome, words",
    [
        ("paused", "waits at the target, read-only: it is promoted"),
        ("recovering", "still recovers"),
        ("exited", "does not run: it is started"),
        ("following", "is following, which is not what is asked for"),
    ],
)
def test_what_a_finished_restore_still_lacks_is_said(outcome: str, words: str) -> None:
    plan = {"mode": "none", "id": "x", "text": ["Nothing to do: it is done."]}
    assert words in " ".join(plan_lines(plan, "main", outcome))
    assert "restore_confirm=main" in " ".join(plan_lines(plan, "main", outcome))
    assert "restore_confirm" not in " ".join(plan_lines(plan, "", outcome))
    assert plan_lines(plan, "main") == ["Nothing to do: it is done."]
