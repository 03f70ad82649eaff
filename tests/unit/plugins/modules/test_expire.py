# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module expire: every command it starts, in order, with recorded answers of pgBackRest."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
from ansible.module_utils import basic

LOG = ["--log-level-console=off", "--log-level-stderr=warn"]
LONG = ["--log-level-console=detail", "--log-level-stderr=off"]
VERSIONS = ["2.45", "2.55.1", "2.60.0"]
Run = t.Callable[..., dict[str, t.Any]]
Text = t.Callable[[str], str]
Command = tuple[list[str], int, str, str]


@pytest.fixture(name="config")
def config_fixture(tmp_path: Path) -> str:
    path = tmp_path / "pgbackrest.conf"
    lines = ["[global]", "repo1-path=/r1", "repo1-retention-full=1", "[main]", "pg1-host=db1", "pg1-path=/data\n"]
    path.write_text("\n".join(lines), encoding="utf-8")
    return str(path)


@pytest.fixture(name="warned", autouse=True)
def warned_fixture(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Warnings of the module."""
    texts: list[str] = []
    monkeypatch.setattr(basic.AnsibleModule, "warn", lambda module, text: texts.append(text))
    return texts


def version(number: str) -> Command:
    return ["pgbackrest", "version"], 0, f"pgBackRest {number}\n", ""


def info(config: str, text: str) -> Command:
    return ["pgbackrest", f"--config={config}", "--stanza=main", *LOG, "--output=json", "info"], 0, text, ""


def expiring(config: str, text: str, *words: str, rc: int = 0) -> Command:
    return ["pgbackrest", f"--config={config}", "--stanza=main", *LONG, *words, "expire"], rc, text, ""


@pytest.mark.parametrize("number", VERSIONS)
def test_plan_then_expire(run_module: Run, fixture_text: Text, config: str, warned: list[str], number: str) -> None:
    looking = [
        version(number),
        info(config, fixture_text(f"info_expire_{number}.json")),
        expiring(config, fixture_text(f"expire_plan_{number}.txt"), "--repo=1", "--dry-run"),
    ]
    acting = [
        expiring(config, fixture_text(f"expire_done_{number}.txt"), "--repo=1"),
        info(config, fixture_text(f"info_expired_{number}.json")),
    ]
    params = {"stanza": "main", "config": config}
    planned = run_module("expire", params, check=True, commands=looking)
    done = run_module("expire", params, commands=[*looking, *acting])
    assert planned["changed"] and planned["msg"].startswith("Would remove ")
    assert done == {**planned, "msg": planned["msg"].replace("Would remove", "Removed")}
    assert len(done["expired"]) == 3 and len(done["kept"]) == 1 and warned == []
    assert len(done["diff"]["before"]["repo1"]["backups"]) == 4
    assert list(done["diff"]["after"]["repo1"]["backups"]) == done["kept"]


@pytest.mark.parametrize("number", VERSIONS)
@pytest.mark.parametrize("check", [True, False])
def test_guard_refuses_before_anything_runs(
    run_module: Run, fixture_text: Text, config: str, number: str, check: bool
) -> None:
    commands = [
        version(number),
        info(config, fixture_text(f"info_expire_{number}.json")),
        expiring(config, fixture_text(f"expire_plan_{number}.txt"), "--repo=1", "--dry-run"),
    ]
    params = {"stanza": "main", "config": config, "keep_at_least": 2}
    result = run_module("expire", params, check=check, commands=commands)
    assert result["failed"] and "changed" not in result and result["problems"][0]["code"] == "too_few_left"
    assert "Take a new full backup" in result["msg"]


@pytest.mark.parametrize("number", VERSIONS)
def test_nothing_to_do_runs_nothing(
    run_module: Run, fixture_text: Text, config: str, warned: list[str], number: str
) -> None:
    path = Path(config)
    path.write_text(path.read_text(encoding="utf-8").replace("repo1-retention-full=1\n", ""), encoding="utf-8")
    commands = [
        version(number),
        info(config, fixture_text(f"info_expire_{number}.json")),
        expiring(config, fixture_text(f"expire_unset_{number}.txt"), "--repo=1", "--dry-run"),
    ]
    result = run_module("expire", {"stanza": "main", "config": config}, commands=commands)
    assert not result["changed"] and result["diff"]["before"] == result["diff"]["after"] and result["expired"] == []
    assert len(warned) == 1 and warned[0].startswith("repo1-retention-full is not set, so retention removes no full")


@pytest.mark.parametrize("number", VERSIONS)
def test_the_real_reason_of_an_error(run_module: Run, fixture_text: Text, config: str, number: str) -> None:
    label = json.loads(fixture_text(f"info_expired_{number}.json"))[0]["backup"][0]["label"]
    commands = [
        version(number),
        info(config, fixture_text(f"info_expired_{number}.json")),
        expiring(
            config, fixture_text(f"expire_only_full_{number}.txt"), "--repo=1", f"--set={label}", "--dry-run", rc=104
        ),
    ]
    result = run_module("expire", {"stanza": "main", "config": config, "set": label}, commands=commands)
    assert result["failed"] and result["error"]["code"] == 75
    assert result["msg"] == (
        f"pgbackrest expire failed with error 075 (backup-set-invalid): repo1: full backup {label} cannot be expired "
        "until another full backup has been created on this repo. Nothing was removed."
    )


def test_a_damaged_backup_would_be_the_oldest(run_module: Run, fixture_text: Text, config: str) -> None:
    commands = [
        version("2.60.0"),
        info(config, fixture_text("info_expire_2.60.0.json")),
        expiring(config, fixture_text("expire_damaged_2.60.0.txt"), "--repo=1", "--dry-run", rc=104),
    ]
    result = run_module("expire", {"stanza": "main", "config": config}, commands=commands)
    assert result["error"]["code"] == 26 and result["error"]["name"] == "checksum"
    assert "Take a new full backup first" in result["msg"] and result["msg"].endswith("Nothing was removed.")


def test_a_label_that_nobody_holds(run_module: Run, fixture_text: Text, config: str) -> None:
    commands = [version("2.60.0"), info(config, fixture_text("info_expire_2.60.0.json"))]
    params = {"stanza": "main", "config": config, "set": "20200101-000000F"}
    result = run_module("expire", params, commands=commands)
    assert result["failed"] and result["error"]["code"] == 75 and "holds no backup 20200101-000000F" in result["msg"]


def test_other_backups_went_than_planned(run_module: Run, fixture_text: Text, config: str, warned: list[str]) -> None:
    before = fixture_text("info_expire_2.60.0.json")
    after = json.loads(before)
    after[0]["backup"] = after[0]["backup"][:2]
    commands = [
        version("2.60.0"),
        info(config, before),
        expiring(config, fixture_text("expire_plan_2.60.0.txt"), "--repo=1", "--dry-run"),
        expiring(config, fixture_text("expire_done_2.60.0.txt"), "--repo=1"),
        info(config, json.dumps(after)),
    ]
    assert run_module("expire", {"stanza": "main", "config": config}, commands=commands)["changed"]
    full, diff, dummy, newest = (backup["label"] for backup in json.loads(before)[0]["backup"])
    assert warned == [
        f"Repository 1: {newest} went, but were not planned.",
        f"Repository 1: {full}, {diff} were planned to go, but are still there.",
    ]


def test_lock_is_waited_for(run_module: Run, fixture_text: Text, config: str) -> None:
    held = (
        "P00  ERROR: [050]: [DRY-RUN] unable to acquire lock on file '/lock': Resource temporarily unavailable\n"
        "            HINT: is another pgBackRest process running?\n"
    )
    looking = [version("2.60.0"), info(config, fixture_text("info_expire_2.60.0.json"))]
    locked = expiring(config, held, "--repo=1", "--dry-run", rc=50)
    free = expiring(config, fixture_text("expire_nothing_2.60.0.txt"), "--repo=1", "--dry-run")
    params = {"stanza": "main", "config": config}
    assert not run_module("expire", {**params, "retries": 1}, commands=[*looking, locked, free])["changed"]
    result = run_module("expire", params, commands=[*looking, locked])
    assert result["error"]["code"] == 50 and "[DRY-RUN]" not in result["msg"]


@pytest.mark.parametrize("params", [{"keep_at_least": -1}, {"retries": -1}])
def test_bad_parameters_start_nothing(run_module: Run, config: str, params: dict[str, t.Any]) -> None:
    assert run_module("expire", {"stanza": "main", "config": config, **params})["failed"]
