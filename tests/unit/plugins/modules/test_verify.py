# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module verify: every command it starts, in order, with recorded answers of pgBackRest."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

LOG = ["--log-level-console=off", "--log-level-stderr=warn"]
LONG = ["--log-level-console=detail", "--log-level-stderr=off"]
Run = t.Callable[..., dict[str, t.Any]]
Text = t.Callable[[str], str]
Command = tuple[list[str], int, str, str]


@pytest.fixture(name="config")
def config_fixture(tmp_path: Path) -> str:
    path = tmp_path / "pgbackrest.conf"
    lines = ["[global]", "repo1-path=/r1", "repo2-path=/r2", "[main]", "pg1-host=db1", "pg1-path=/data\n"]
    path.write_text("\n".join(lines), encoding="utf-8")
    return str(path)


def version(number: str) -> Command:
    return ["pgbackrest", "version"], 0, f"pgBackRest {number}\n", ""


def info(config: str, text: str) -> Command:
    return ["pgbackrest", f"--config={config}", "--stanza=main", *LOG, "--output=json", "info"], 0, text, ""


def verifying(config: str, text: str, repo: int, *words: str, rc: int = 0) -> Command:
    options = ["--output=text", "--verbose", f"--repo={repo}", *words, "verify"]
    return ["pgbackrest", f"--config={config}", "--stanza=main", *LONG, *options], rc, text, ""


@pytest.mark.parametrize("number", ["2.45", "2.55.1", "2.60.0"])
@pytest.mark.parametrize("check", [True, False])
def test_healthy(run_module: Run, fixture_text: Text, config: str, number: str, check: bool) -> None:
    commands = [
        version(number),
        info(config, fixture_text(f"info_verify_{number}.json")),
        verifying(config, fixture_text(f"verify_healthy_{number}.txt"), 1),
    ]
    result = run_module("verify", {"stanza": "main", "config": config}, check=check, commands=commands)
    assert not result.get("failed") and result["changed"] is False and result["verdict"] == "valid"
    assert result["msg"] == "Repository 1: 4 backups and 9 WAL segments are valid." and result["problems"] == []
    assert result["repositories"][0]["duration"] >= 0


def test_damaged(run_module: Run, fixture_text: Text, config: str) -> None:
    """Where something is wrong, info is asked again: what was expired meanwhile is no damage."""
    commands = [
        version("2.60.0"),
        info(config, fixture_text("info_verify_2.60.0.json")),
        verifying(config, fixture_text("verify_damaged_2.60.0.txt"), 1),
        info(config, fixture_text("info_verify_2.60.0.json")),
    ]
    result = run_module("verify", {"stanza": "main", "config": config}, commands=commands)
    assert result["failed"] and result["verdict"] == "damaged" and len(result["problems"]) == 6
    assert result["msg"].startswith("The repositories of stanza main are not all sound: 1) Repository 1: backup ")
    assert result["repositories"][0]["problems"][0] in result["msg"]


@pytest.mark.parametrize("text", ["", "stanza: main\n", "stanza: main\nstatus: ok\n", "everything is fine\n"])
def test_nothing_said_is_a_failure(run_module: Run, fixture_text: Text, config: str, text: str) -> None:
    known = info(config, fixture_text("info_verify_2.60.0.json"))
    commands = [version("2.60.0"), known, verifying(config, text, 1), known]
    result = run_module("verify", {"stanza": "main", "config": config}, commands=commands)
    assert result["failed"] and result["verdict"] == "unknown"
    assert [problem["code"] for problem in result["problems"]] == ["no_verdict"]


def test_set(run_module: Run, fixture_text: Text, config: str) -> None:
    label = "20261123-000053F"
    known = info(config, fixture_text("info_verify_2.60.0.json"))
    text = fixture_text("verify_healthy_2.60.0.txt")
    params = {"stanza": "main", "config": config, "set": label}
    result = run_module(
        "verify", params, commands=[version("2.60.0"), known, verifying(config, text, 1, f"--set={label}")]
    )
    assert result["verdict"] == "valid" and [b["label"] for b in result["repositories"][0]["backups"]] == [label]
    result = run_module("verify", {**params, "set": "20200101-000000F"}, commands=[version("2.60.0"), known])
    assert result["failed"] and result["error"]["code"] == 75
    result = run_module("verify", params, commands=[version("2.45")])
    assert result["failed"] and "The option set needs pgBackRest 2.55, this host has 2.45" in result["msg"]


def test_an_error_of_one_repository_leaves_the_other_its_verdict(
    run_module: Run, fixture_text: Text, config: str
) -> None:
    commands = [
        version("2.45"),
        info(config, fixture_text("info_two_repositories_2.45.json")),
        verifying(
            config, "P00  ERROR: [041]: unable to open file '/r1/x' for read: [13] Permission denied\n", 1, rc=41
        ),
        verifying(config, "", 2),
        info(config, fixture_text("info_two_repositories_2.45.json")),
    ]
    result = run_module("verify", {"stanza": "main", "config": config}, commands=commands)
    assert result["failed"] and [repository["repo_key"] for repository in result["repositories"]] == [1, 2]
    assert "Repository 1: pgbackrest verify failed with error 041 (file-open)" in result["msg"]
    assert "Repository 2: pgbackrest verify gave no result" in result["msg"]


def test_a_repository_that_cannot_be_read_is_not_verified(run_module: Run, fixture_text: Text, config: str) -> None:
    commands = [version("2.45"), info(config, fixture_text("info_wrong_passphrase_2.45.json"))]
    result = run_module("verify", {"stanza": "main", "config": config, "repo": 2}, commands=commands)
    assert result["failed"] and "repo2-cipher-pass" in result["msg"]
