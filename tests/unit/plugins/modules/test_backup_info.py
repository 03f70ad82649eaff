# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module backup_info with recorded answers of pgBackRest 2.45."""

from __future__ import annotations

import json
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.pgops.pgbackrest.plugins.plugin_utils._restore_summary import held

LOG = ["--log-level-console=off", "--log-level-stderr=warn"]
VERSION = (["pgbackrest", "version"], 0, "pgBackRest 2.45\n", "")
Run = t.Callable[..., dict[str, t.Any]]
Text = t.Callable[[str], str]


@pytest.fixture(name="config")
def config_fixture(tmp_path: Path) -> str:
    path = tmp_path / "pgbackrest.conf"
    path.write_text("[global]\nrepo1-path=/srv/cluster/repo\n[main]\npg1-path=/srv/cluster/pgdata\n", encoding="utf-8")
    return str(path)


def info(config: str, *words: str, output: str = "json", stanza: str | None = "main") -> list[str]:
    named = [f"--stanza={stanza}"] if stanza else []
    return ["pgbackrest", f"--config={config}", *named, *LOG, f"--output={output}", *words, "info"]


def test_healthy_stanza(run_module: Run, fixture_text: Text, config: str) -> None:
    answer = (info(config), 0, fixture_text("info_two_repositories_2.45.json"), "")
    result = run_module("backup_info", {"stanza": "main", "config": config}, commands=[VERSION, answer])
    stanza = result["stanzas"][0]
    assert result["healthy"] and result["problems"] == [] and result["version"] == "2.45"
    assert [backup["label"] for backup in stanza["backups"]] == [
        "20261122-205937F",
        "20261122-205937F_20261122-205940I",
        "20261122-205943F",
    ]
    assert [window["earliest_backup"] for window in stanza["windows"]] == ["20261122-205937F", "20261122-205943F"]
    assert stanza["backups"][1]["annotations"] == {} and stanza["backups"][0]["annotations"] == {
        "reason": "before release"
    }
    assert {kind: last["label"] for kind, last in stanza["last"].items()} == {
        "full": "20261122-205943F",
        "diff": "20261122-205943F",
        "incr": "20261122-205943F",
    }


def test_without_a_list_the_rest_is_the_same(run_module: Run, fixture_text: Text, config: str) -> None:
    answer = (info(config), 0, fixture_text("info_two_repositories_2.45.json"), "")
    params = {"stanza": "main", "config": config}
    listed = run_module("backup_info", params, commands=[VERSION, answer])["stanzas"][0]
    short = run_module("backup_info", {**params, "backups": False}, commands=[VERSION, answer])["stanzas"][0]
    backups = listed.pop("backups")
    assert {**short, "last": None} == {**listed, "last": None}  # its ages may differ by a second
    one, two = (repository["contents"] for repository in short["repositories"])
    assert one["newest"] == "20261122-205937F_20261122-205940I"
    assert one["stored"] == sum(backup["repo_delta"] for backup in backups if backup["repo_key"] == 1)
    assert {kind: entry["count"] for kind, entry in one["types"].items()} == {"full": 1, "diff": 0, "incr": 1}
    assert one["types"]["diff"]["last"] is None
    assert two["types"]["full"]["last"]["label"] == two["newest"] == "20261122-205943F"
    assert two["size"] == backups[2]["size"]
    assert held([short], 1) == [1, 2] and held([short], 2) == []  # what the role restore asks of it


def test_a_shorter_list_changes_nothing_else(run_module: Run, fixture_text: Text, config: str) -> None:
    answer = (info(config), 0, fixture_text("info_damaged_2.45.json"), "")
    params = {"stanza": "main", "config": config}
    full = run_module("backup_info", params, commands=[VERSION, answer])
    short = run_module("backup_info", {**params, "newest": 1}, commands=[VERSION, answer])
    listed, last = full["stanzas"][0].pop("backups"), short["stanzas"][0].pop("backups")
    full["stanzas"][0].pop("last"), short["stanzas"][0].pop("last")  # ages may differ by a second
    assert short == full and short["problems"]
    assert last == [backup for backup in listed if backup["label"] in ("20261122-205943F", listed[-1]["label"])]
    assert len(listed) > len(last) == 2
    refused = run_module("backup_info", {**params, "newest": -1})
    assert refused["msg"] == "newest must not be negative, but is -1."


@pytest.mark.parametrize(
    ("recorded", "sentences"),
    [
        (
            "info_missing",
            [
                f"Repository {key}: missing stanza path. If it was there before, check the repository's path in the "
                "configuration and whether its file system is mounted. If it is new, create it with the module "
                "pgops.pgbackrest.stanza."
                for key in (1, 2)
            ],
        ),
        (
            "info_full",
            ["Repository 2: no valid backups. Take a backup with the module pgops.pgbackrest.backup."],
        ),
        (
            "info_damaged",
            [
                "Backups with page checksum errors: 20261122-205949F_20261122-210001I. Look for damaged tables with "
                "pg_amcheck, then take a new full backup."
            ],
        ),
    ],
)
def test_exit_status_zero_is_not_health(
    run_module: Run, fixture_text: Text, config: str, recorded: str, sentences: list[str]
) -> None:
    answer = (info(config), 0, fixture_text(f"{recorded}_2.45.json"), "")
    result = run_module("backup_info", {"stanza": "main", "config": config}, commands=[VERSION, answer])
    assert not result.get("failed") and not result["healthy"] and not result["stanzas"][0]["healthy"]
    assert result["stanzas"][0]["problems"] == sentences


def test_wrong_passphrase_is_named_without_garbage(run_module: Run, fixture_text: Text, config: str) -> None:
    answer = (info(config), 0, fixture_text("info_wrong_passphrase_2.45.json"), "")
    result = run_module("backup_info", {"stanza": "main", "config": config}, commands=[VERSION, answer])
    assert result["problems"][0] == (
        "main: Repository 2: unable to load info file '/srv/cluster/repo2/backup/main/backup.info' with the configured "
        "passphrase. Check repo2-cipher-type and repo2-cipher-pass: the repository was made with another passphrase or "
        "with none."
    )


def test_percent_of_a_running_backup_before_2_48(run_module: Run, fixture_text: Text, config: str) -> None:
    commands = [
        VERSION,
        (info(config), 0, fixture_text("info_running_2.45.json"), ""),
        VERSION,
        (info(config, output="text"), 0, fixture_text("info_running_2.45.txt"), ""),
    ]
    result = run_module("backup_info", {"stanza": "main", "config": config}, commands=commands)
    assert result["stanzas"][0]["running"] == {"command": "backup", "percent": 95.91, "done": None, "total": None}


def test_percent_of_a_running_backup_since_2_48(run_module: Run, fixture_text: Text, config: str) -> None:
    answer = (info(config), 0, fixture_text("info_running_2.60.0.json"), "")
    commands = [(VERSION[0], 0, "pgBackRest 2.60.0\n", ""), answer]
    result = run_module("backup_info", {"stanza": "main", "config": config}, commands=commands)
    assert result["stanzas"][0]["running"] == {
        "command": "backup",
        "percent": 95.4,
        "done": 481886208,
        "total": 504886764,
    }


def test_one_set_in_detail(run_module: Run, fixture_text: Text, config: str) -> None:
    label = "20261122-205949F_20261122-210001I"
    answer = (info(config, "--repo=1", f"--set={label}"), 0, fixture_text("info_set_damaged_2.45.json"), "")
    params = {"stanza": "main", "repo": 1, "set": label, "config": config}
    result = run_module("backup_info", params, commands=[VERSION, answer])
    assert result["stanzas"][0]["backups"][0]["details"] == {
        "databases": [{"name": "postgres", "oid": 5}],
        "tablespaces": [],
        "links": [],
        "damaged_files": ["base/5/16384"],
    }


def test_a_set_that_is_not_there(run_module: Run, fixture_text: Text, config: str) -> None:
    answer = (info(config, "--set=20000101-000000F"), 0, fixture_text("info_set_missing_2.45.json"), "")
    params = {"stanza": "main", "set": "20000101-000000F", "config": config}
    result = run_module("backup_info", params, commands=[VERSION, answer])
    assert result["stanzas"][0]["status"] == {"code": 6, "message": "requested backup not found"}
    assert not result["healthy"] and "requested backup not found" in result["problems"][0]


def test_set_needs_a_stanza(run_module: Run) -> None:
    assert run_module("backup_info", {"set": "20000101-000000F"})["failed"]


def test_warnings_before_the_json_since_2_53(run_module: Run, fixture_text: Text, config: str) -> None:
    noise = "P00   WARN: configuration file contains invalid option 'include-path'\n"
    answer = (info(config), 0, noise + fixture_text("info_full_2.45.json").rstrip("\n"), "")
    result = run_module("backup_info", {"stanza": "main", "config": config}, commands=[VERSION, answer])
    assert result["stanzas"][0]["name"] == "main"


def test_all_stanzas_and_those_with_their_own_passphrase(run_module: Run, fixture_text: Text, tmp_path: Path) -> None:
    config = tmp_path / "pgbackrest.conf"
    config.write_text(
        "[global]\nrepo1-path=/r\n[main]\npg1-path=/a\n[other]\npg1-path=/b\nrepo1-cipher-pass=x\n", encoding="utf-8"
    )
    healthy = fixture_text("info_two_repositories_2.45.json")
    unreadable = fixture_text("info_wrong_passphrase_2.45.json").replace('"name":"main"', '"name":"other"')
    both = json.dumps([*json.loads(healthy), *json.loads(unreadable, strict=False)])
    commands = [
        VERSION,
        (info(str(config), stanza=None), 0, both, ""),
        (info(str(config), stanza="other"), 0, healthy.replace('"name":"main"', '"name":"other"'), ""),
    ]
    result = run_module("backup_info", {"config": str(config)}, commands=commands)
    assert [stanza["name"] for stanza in result["stanzas"]] == ["main", "other"] and result["healthy"]


def test_no_stanza_at_all_is_not_health(run_module: Run, config: str) -> None:
    commands = [VERSION, (info(config, stanza=None), 0, "[]", "")]
    result = run_module("backup_info", {"config": config}, commands=commands)
    assert not result["healthy"] and result["problems"] == [
        "No stanza was found in the repositories. Create one with the module pgops.pgbackrest.stanza."
    ]


def many_backups(template: str, number: int) -> str:
    data = json.loads(template)
    full, incr = data[0]["backup"][0], data[0]["backup"][1]
    backups = []
    for count in range(number):
        model = incr if count % 7 else full
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(1700000000 + count * 3600))
        times = {"start": 1700000000 + count * 3600, "stop": 1700000100 + count * 3600}
        references = [f"20231114-{n:06d}F" for n in range(30)] if count % 7 else None
        backups.append({**model, "label": stamp, "timestamp": times, "reference": references})
    data[0]["backup"] = backups
    return json.dumps(data)


@pytest.mark.parametrize(("number", "limit"), [(1000, 1.0), (10000, 5.0)])
def test_many_backups_take_no_time(run_module: Run, fixture_text: Text, config: str, number: int, limit: float) -> None:
    answer = (info(config), 0, many_backups(fixture_text("info_two_repositories_2.45.json"), number), "")
    began = time.perf_counter()
    result = run_module("backup_info", {"stanza": "main", "config": config}, commands=[VERSION, answer])
    json.dumps(result)
    assert len(result["stanzas"][0]["backups"]) == number
    assert time.perf_counter() - began < limit
