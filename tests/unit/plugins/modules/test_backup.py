# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module backup: every command it starts, in order, with recorded answers of pgBackRest 2.45."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
from ansible.module_utils import basic
from ansible_collections.pgops.pgbackrest.plugins.modules import backup

LOG = ["--log-level-console=off", "--log-level-stderr=warn"]
LONG = ["--log-level-console=detail", "--log-level-stderr=off"]
VERSION = (["pgbackrest", "version"], 0, "pgBackRest 2.45\n", "")
FULL = "20261122-205937F"
FULL_STOP = 1795381179
Run = t.Callable[..., dict[str, t.Any]]
Text = t.Callable[[str], str]
Command = tuple[list[str], int, str, str]


@pytest.fixture(name="config")
def config_fixture(tmp_path: Path) -> str:
    """The cluster lies on another host, so that its files do not matter."""
    path = tmp_path / "pgbackrest.conf"
    lines = ["[global]", "repo1-path=/r1", "repo2-path=/r2", f"lock-path={tmp_path}"]
    path.write_text("\n".join([*lines, "[main]", "pg1-host=db1", "pg1-path=/data\n"]), encoding="utf-8")
    return str(path)


@pytest.fixture(name="warned", autouse=True)
def warned_fixture(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Warnings of the module."""
    texts: list[str] = []
    monkeypatch.setattr(basic.AnsibleModule, "warn", lambda module, text: texts.append(text))
    return texts


@pytest.fixture(name="info")
def info_fixture(config: str, fixture_text: Text) -> t.Callable[..., Command]:
    def info(name: str, *words: str, version: str = "2.45") -> Command:
        argv = ["pgbackrest", f"--config={config}", "--stanza=main", *LOG, "--output=json", *words, "info"]
        return argv, 0, fixture_text(f"{name}_{version}.json"), ""

    return info


def taking(config: str, *words: str) -> list[str]:
    return ["pgbackrest", f"--config={config}", "--stanza=main", *LONG, *words, "backup"]


def at(monkeypatch: pytest.MonkeyPatch, age: int) -> None:
    """Let the full backup be so many seconds old."""
    monkeypatch.setattr(backup.time, "time", lambda: FULL_STOP + age)


@pytest.mark.parametrize(("version", "label", "took"), [("2.45", FULL, "2 s"), ("2.60.0", "20261122-215529F", "6 s")])
def test_promoted_to_full(
    run_module: Run,
    fixture_text: Text,
    config: str,
    info: t.Any,
    warned: list[str],
    version: str,
    label: str,
    took: str,
) -> None:
    log = fixture_text(f"backup_promoted_{version}.log")
    commands = [
        (VERSION[0], 0, f"pgBackRest {version}\n", ""),
        info("info_empty", version=version),
        (taking(config, "--type=incr", "--annotation=reason=before release", "--no-backup-standby"), 0, log, ""),
        info("info_full", version=version),
    ]
    params = {"stanza": "main", "config": config, "annotations": {"reason": "before release"}, "backup_standby": False}
    result = run_module("backup", params, commands=commands)
    assert result["changed"] and result["promoted_to_full"] and result["type"] == "full"
    assert result["backup"]["label"] == label and result["backup"]["annotations"] == {"reason": "before release"}
    assert result["msg"] == f"Took the full backup {label} in {took}: there is no backup that counts as incr."
    assert warned == ["There is no prior full backup, so this incr backup is a full one."]


def test_check_mode(run_module: Run, config: str, info: t.Any, warned: list[str]) -> None:
    params = {"stanza": "main", "config": config, "type": "diff", "repo": 2}
    result = run_module("backup", params, check=True, commands=[VERSION, info("info_full")])
    assert result["changed"] and result["backup"] is None and result["type"] == "full" and result["repo_key"] == 2
    assert result["diff"]["after"] == {"newest": "(a new full backup)"} and len(warned) == 1


@pytest.mark.parametrize(
    ("kind", "age", "max_age", "due"),
    [
        ("full", 3600, "1h", False),
        ("full", 3601, "1h", True),
        ("diff", 100, "7d", False),
        ("incr", 100, "100", False),
        ("incr", 0, "0", False),
        ("incr", 1, "0", True),
        ("full", 5, None, True),
    ],
)
def test_max_age(
    run_module: Run,
    config: str,
    info: t.Any,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    age: int,
    max_age: str | None,
    due: bool,
) -> None:
    at(monkeypatch, age)
    params = {"stanza": "main", "config": config, "type": kind, "max_age": max_age}
    result = run_module("backup", params, check=True, commands=[VERSION, info("info_full")])
    assert result["changed"] is due
    if not due:
        assert result["backup"]["label"] == FULL and result["age"] == age and result["type"] == "full"


def test_a_number_is_an_age_too(run_module: Run, config: str, info: t.Any, monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, 60)
    params = {"stanza": "main", "config": config, "max_age": 86400}
    assert not run_module("backup", params, commands=[VERSION, info("info_full")])["changed"]


def test_clocks_that_disagree(
    run_module: Run, config: str, info: t.Any, monkeypatch: pytest.MonkeyPatch, warned: list[str]
) -> None:
    at(monkeypatch, -3600)
    params = {"stanza": "main", "config": config, "max_age": "1d"}
    result = run_module("backup", params, commands=[VERSION, info("info_full")])
    assert not result["changed"] and result["age"] == 0
    assert warned == [f"The backup {FULL} ends 3600 s in the future of this host's clock."]


def test_a_damaged_backup_fails(run_module: Run, fixture_text: Text, config: str, info: t.Any) -> None:
    label = "20261122-205949F_20261122-210001I"
    commands = [
        VERSION,
        info("info_two_repositories"),
        (taking(config, "--type=incr"), 0, fixture_text("backup_damaged_2.45.log"), ""),
        info("info_damaged"),
        info("info_set_damaged", "--set=" + label, "--repo=1"),
    ]
    result = run_module("backup", {"stanza": "main", "config": config}, commands=commands)
    assert result["failed"] and result["changed"] and result["damaged_files"] == ["base/5/16384"]
    assert result["backup"]["label"] == label
    assert f"The backup {label} was taken, but pages with wrong checksums were found in base/5/16384." in result["msg"]


def test_lock_held_and_free_again(run_module: Run, fixture_text: Text, config: str, info: t.Any) -> None:
    locked = (taking(config, "--type=incr"), 50, fixture_text("backup_locked_2.45.txt"), "")
    done = (taking(config, "--type=incr"), 0, fixture_text("backup_incr_2.45.log"), "")
    commands = [VERSION, info("info_full"), locked, done, info("info_two_repositories")]
    params = {"stanza": "main", "config": config, "retries": 1}
    assert run_module("backup", params, commands=commands)["backup"]["type"] == "incr"


def test_a_failure_without_a_backup(run_module: Run, fixture_text: Text, config: str, info: t.Any) -> None:
    failed = (taking(config, "--type=incr"), 62, fixture_text("backup_stopped_2.45.txt"), "")
    commands = [VERSION, info("info_full"), failed, info("info_full")]
    result = run_module("backup", {"stanza": "main", "config": config}, commands=commands)
    assert result["failed"] and "changed" not in result and result["error"]["code"] == 62


def test_a_failure_after_the_backup(run_module: Run, config: str, info: t.Any) -> None:
    failed = (taking(config, "--type=incr"), 41, "P00  ERROR: [041]: unable to remove: Permission denied", "")
    commands = [VERSION, info("info_full"), failed, info("info_two_repositories")]
    result = run_module("backup", {"stanza": "main", "config": config}, commands=commands)
    assert result["failed"] and result["changed"]
    assert result["msg"].endswith("The backup 20261122-205937F_20261122-205940I itself is complete.")


def test_success_without_a_new_backup(run_module: Run, config: str, info: t.Any) -> None:
    commands = [VERSION, info("info_full"), (taking(config, "--type=incr"), 0, "", ""), info("info_full")]
    result = run_module("backup", {"stanza": "main", "config": config}, commands=commands)
    assert result["failed"] and "repository 1 holds no new backup" in result["msg"]


def test_warnings_are_passed_on(run_module: Run, config: str, info: t.Any, warned: list[str]) -> None:
    log = "P00   WARN: option 'repo2-retention-full' is not set\n" * 2
    commands = [VERSION, info("info_full"), (taking(config, "--type=incr"), 0, log, ""), info("info_two_repositories")]
    run_module("backup", {"stanza": "main", "config": config}, commands=commands)
    assert warned == ["pgBackRest: option 'repo2-retention-full' is not set"]


def test_no_stanza(run_module: Run, config: str, info: t.Any) -> None:
    result = run_module("backup", {"stanza": "main", "config": config}, commands=[VERSION, info("info_missing")])
    assert result["failed"] and result["error"]["code"] == 55


def test_another_repository_that_cannot_be_read_does_not_matter(
    run_module: Run, config: str, info: t.Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup.time, "time", lambda: 1795381300)
    params = {"stanza": "main", "config": config, "type": "full", "max_age": "1h"}
    assert not run_module("backup", params, commands=[VERSION, info("info_wrong_passphrase")])["changed"]
    other = run_module("backup", {**params, "repo": 2}, commands=[VERSION, info("info_wrong_passphrase")])
    assert other["failed"] and "repo2-cipher-pass" in other["msg"]


def test_progress_file(run_module: Run, fixture_text: Text, config: str, info: t.Any, tmp_path: Path) -> None:
    path = tmp_path / "progress"
    path.write_text(json.dumps({}), encoding="utf-8")
    done = (taking(config, "--type=incr"), 0, fixture_text("backup_incr_2.45.log"), "")
    commands = [VERSION, info("info_full"), done, info("info_two_repositories")]
    run_module("backup", {"stanza": "main", "config": config, "progress_file": str(path)}, commands=commands)
    assert not path.exists()


@pytest.mark.parametrize(
    "params", [{"max_age": "1 year"}, {"annotations": {"": "x"}}, {"annotations": {"x": None}}, {"retries": -1}]
)
def test_bad_parameters_start_nothing(run_module: Run, config: str, params: dict[str, t.Any]) -> None:
    assert run_module("backup", {"stanza": "main", "config": config, **params})["failed"]
