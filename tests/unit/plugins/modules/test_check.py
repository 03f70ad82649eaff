# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module check: every command it starts, in order, with recorded answers of pgBackRest 2.45."""

from __future__ import annotations

import copy
import json
import typing as t
from pathlib import Path

import pytest

LOG = ["--log-level-console=off", "--log-level-stderr=warn"]
VERSION = (["pgbackrest", "version"], 0, "pgBackRest 2.45\n", "")
Run = t.Callable[..., dict[str, t.Any]]
Text = t.Callable[[str], str]


@pytest.fixture(name="config")
def config_fixture(tmp_path: Path) -> str:
    path = tmp_path / "pgbackrest.conf"
    lines = ["[global]", "repo1-path=/r1", "repo2-path=/r2", f"lock-path={tmp_path}"]
    path.write_text("\n".join([*lines, "[main]", "pg1-host=db1", "pg1-path=/data\n"]), encoding="utf-8")
    return str(path)


def call(config: str, *words: str) -> list[str]:
    return ["pgbackrest", f"--config={config}", "--stanza=main", *LOG, *words]


def test_wal_arrives_in_both_repositories(run_module: Run, fixture_text: Text, config: str) -> None:
    commands = [
        VERSION,
        (call(config, "--output=json", "info"), 0, fixture_text("info_full_2.45.json"), ""),
        (call(config, "--archive-timeout=30", "check"), 0, "", ""),
        (call(config, "--output=json", "info"), 0, fixture_text("info_two_repositories_2.45.json"), ""),
    ]
    result = run_module("check", {"stanza": "main", "config": config, "archive_timeout": 30}, commands=commands)
    assert result["changed"] is False and result["not_proven"] == []
    assert result["repositories"] == [
        {
            "repo_key": key,
            "archive_id": "15-1",
            "wal_max_before": "000000010000000000000002",
            "wal_max_after": "000000010000000000000006",
            "advanced": True,
            "full_backup": full,
        }
        for key, full in ((1, "20261122-205937F"), (2, "20261122-205943F"))
    ]


def test_a_full_backup_with_checksum_errors_is_none(run_module: Run, fixture_text: Text, config: str) -> None:
    before = json.loads(fixture_text("info_two_repositories_2.45.json"))
    after = copy.deepcopy(before)
    for backup in after[0]["backup"]:
        backup["error"] = backup["database"]["repo-key"] == 2
    answers = [(call(config, "--output=json", "info"), 0, json.dumps(info), "") for info in (before, after)]
    commands = [VERSION, answers[0], (call(config, "check"), 0, "", ""), answers[1]]
    result = run_module("check", {"stanza": "main", "config": config}, commands=commands)
    assert [archive["full_backup"] for archive in result["repositories"]] == ["20261122-205937F", None]


def test_a_standby_proves_less(run_module: Run, fixture_text: Text, config: str) -> None:
    info = (call(config, "--output=json", "info"), 0, fixture_text("info_full_2.45.json"), "")
    commands = [VERSION, info, (call(config, "check"), 0, "", ""), info]
    result = run_module("check", {"stanza": "main", "config": config}, commands=commands)
    assert len(result["proven"]) == 1 and "on a standby" in result["not_proven"][0]


def test_check_mode_reads_only(run_module: Run, fixture_text: Text, config: str) -> None:
    commands = [
        VERSION,
        (call(config, "--output=json", "info"), 0, fixture_text("info_full_2.45.json"), ""),
        *((call(config, "help", name), 0, "", "") for name in ("check", "archive-push", "backup")),
    ]
    result = run_module("check", {"stanza": "main", "config": config}, check=True, commands=commands)
    assert result["changed"] is False and result["duration"] is None and len(result["not_proven"]) == 2


def test_check_mode_finds_bad_values(run_module: Run, fixture_text: Text, config: str) -> None:
    bad = "ERROR: [032]: 'maybe' is not allowed for 'compress' option\n"
    commands = [
        VERSION,
        (call(config, "--output=json", "info"), 0, fixture_text("info_full_2.45.json"), ""),
        (call(config, "help", "check"), 32, "", bad),
    ]
    result = run_module("check", {"stanza": "main", "config": config}, check=True, commands=commands)
    assert result["failed"] and result["error"]["code"] == 32


def test_postgresql_that_is_just_starting(run_module: Run, fixture_text: Text, config: str) -> None:
    down = (call(config, "check"), 27, "", fixture_text("check_down_2.45.txt"))
    commands = [
        VERSION,
        (call(config, "--output=json", "info"), 0, fixture_text("info_full_2.45.json"), ""),
        down,
        (call(config, "check"), 0, "", ""),
        (call(config, "--output=json", "info"), 0, fixture_text("info_two_repositories_2.45.json"), ""),
    ]
    result = run_module("check", {"stanza": "main", "config": config, "retries": 1}, commands=commands)
    assert not result.get("failed")
    result = run_module("check", {"stanza": "main", "config": config}, commands=commands[:3])
    assert result["failed"] and result["error"]["code"] == 27 and not result.get("changed")


def test_a_stop_file_is_seen_at_once(run_module: Run, fixture_text: Text, config: str, tmp_path: Path) -> None:
    (tmp_path / "all.stop").touch()
    commands = [VERSION, (call(config, "--output=json", "info"), 0, fixture_text("info_full_2.45.json"), "")]
    result = run_module("check", {"stanza": "main", "config": config}, commands=commands)
    assert result["failed"] and result["error"]["code"] == 62
