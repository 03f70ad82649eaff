# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module stanza: every command it starts, in order, with recorded answers of pgBackRest 2.45."""

from __future__ import annotations

import struct
import typing as t
from pathlib import Path

import pytest

LOG = ["--log-level-console=off", "--log-level-stderr=warn"]
VERSION = (["pgbackrest", "version"], 0, "pgBackRest 2.45\n", "")
SYSTEM = 7711103432488110519
Run = t.Callable[..., dict[str, t.Any]]
Text = t.Callable[[str], str]


class Host:
    """A configuration with two repositories and a data directory with a control file."""

    def __init__(self, directory: Path) -> None:
        self.pgdata = directory / "pgdata"
        self.lock = directory / "lock"
        self.config = directory / "pgbackrest.conf"
        (self.pgdata / "global").mkdir(parents=True)
        self.lock.mkdir()
        self.cluster("15", SYSTEM)
        lines = ["[global]", "repo1-path=/r1", "repo2-path=/r2", f"lock-path={self.lock}"]
        self.config.write_text("\n".join([*lines, "[main]", f"pg1-path={self.pgdata}\n"]), encoding="utf-8")

    def cluster(self, version: str, system_id: int) -> None:
        """Make the data directory that of another cluster."""
        (self.pgdata / "PG_VERSION").write_text(f"{version}\n", encoding="utf-8")
        head = struct.pack("=QIIi", system_id, 1300, 202209061, 6)
        (self.pgdata / "global" / "pg_control").write_bytes(head.ljust(8192, b"\0"))

    def running(self) -> None:
        """Let PostgreSQL seem to run."""
        (self.pgdata / "postmaster.pid").write_text("1\n", encoding="utf-8")

    def call(self, *words: str) -> list[str]:
        return ["pgbackrest", f"--config={self.config}", "--stanza=main", *LOG, *words]

    def info(self, text: str, *words: str) -> tuple[list[str], int, str, str]:
        return self.call("--output=json", *words, "info"), 0, text, ""

    def done(self, *words: str) -> tuple[list[str], int, str, str]:
        return self.call(*words), 0, "", ""


@pytest.fixture(name="host")
def host_fixture(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.fixture(name="params")
def params_fixture(host: Host) -> dict[str, t.Any]:
    return {"stanza": "main", "config": str(host.config)}


def test_create(run_module: Run, fixture_text: Text, host: Host, params: dict[str, t.Any]) -> None:
    commands = [
        VERSION,
        host.info(fixture_text("info_missing_2.45.json")),
        host.done("--online", "stanza-create"),
        host.info(fixture_text("info_empty_2.45.json")),
    ]
    result = run_module("stanza", params, commands=commands)
    assert result["changed"] and result["actions"] == ["create"] and result["msg"] == "Created stanza main."
    created = {"database_id": 1, "version": "15", "system_id": SYSTEM}
    assert result["diff"] == {
        "before": {"repo1": None, "repo2": None},
        "after": {"repo1": created, "repo2": created},
    }


def test_create_in_check_mode(run_module: Run, fixture_text: Text, host: Host, params: dict[str, t.Any]) -> None:
    host.running()
    commands = [VERSION, host.info(fixture_text("info_missing_2.45.json"))]
    result = run_module("stanza", params, check=True, commands=commands)
    assert result["changed"] and result["msg"] == "Would create stanza main."


@pytest.mark.parametrize("check", [True, False])
def test_nothing_to_do(run_module: Run, fixture_text: Text, host: Host, params: dict[str, t.Any], check: bool) -> None:
    commands = [VERSION, host.info(fixture_text("info_two_repositories_2.45.json"))]
    result = run_module("stanza", params, check=check, commands=commands)
    assert not result["changed"] and result["actions"] == [] and result["msg"] == "Stanza main is as it should be."


def test_upgrade_offline(run_module: Run, fixture_text: Text, host: Host, params: dict[str, t.Any]) -> None:
    host.cluster("16", 42)
    before = fixture_text("info_two_repositories_2.45.json")
    after = fixture_text("info_upgraded_2.45.json")
    commands = [VERSION, host.info(before), host.done("--no-online", "stanza-upgrade"), host.info(after)]
    result = run_module("stanza", {**params, "online": False}, commands=commands)
    assert result["changed"] and result["actions"] == ["upgrade"] and result["msg"] == "Upgraded stanza main."


def test_create_and_upgrade_take_turns(
    run_module: Run, fixture_text: Text, host: Host, params: dict[str, t.Any]
) -> None:
    """One repository is new, the other one of the old version: each command stops at the other's."""
    host.cluster("16", 42)
    mixed = fixture_text("info_full_2.45.json").replace(
        '{"code":2,"message":"no valid backups"}', '{"code":1,"message":"missing stanza path"}'
    )
    mixed = mixed.replace(f',{{"id":1,"repo-key":2,"system-id":{SYSTEM},"version":"15"}}', "")
    commands = [
        VERSION,
        host.info(mixed),
        (host.call("--online", "stanza-create"), 28, "", "ERROR: [028]: do not match the database\n"),
        (host.call("--online", "stanza-upgrade"), 55, "", "ERROR: [055]: unable to load info file\n"),
        host.done("--online", "stanza-create"),
        host.info(fixture_text("info_upgraded_2.45.json")),
    ]
    result = run_module("stanza", params, commands=commands)
    assert result["changed"] and result["actions"] == ["create", "upgrade"]
    assert result["msg"] == "Created stanza main. Upgraded stanza main."


@pytest.mark.parametrize(
    ("version", "system_id", "reason"),
    [("15", 42, "is not the one that stanza main"), ("14", SYSTEM, "older than the 15"), ("14", 42, "older than")],
)
def test_refused_before_anything_runs(
    run_module: Run,
    fixture_text: Text,
    host: Host,
    params: dict[str, t.Any],
    version: str,
    system_id: int,
    reason: str,
) -> None:
    host.cluster(version, system_id)
    commands = [VERSION, host.info(fixture_text("info_two_repositories_2.45.json"))]
    result = run_module("stanza", params, commands=commands)
    assert result["failed"] and reason in result["msg"] and "Nothing was changed." in result["msg"]


def remote(host: Host) -> None:
    """Move the data directory to another host."""
    host.config.write_text(host.config.read_text(encoding="utf-8") + "pg1-host=db1\n", encoding="utf-8")


def test_on_another_host_pgbackrest_compares(
    run_module: Run, fixture_text: Text, host: Host, params: dict[str, t.Any]
) -> None:
    remote(host)
    answer = host.info(fixture_text("info_two_repositories_2.45.json"))
    commands = [VERSION, answer, host.done("--online", "stanza-create"), answer]
    assert not run_module("stanza", params, commands=commands)["changed"]
    mismatch = (host.call("--online", "stanza-create"), 28, "", "ERROR: [028]: do not match the database\n")
    result = run_module("stanza", params, commands=[VERSION, answer, mismatch])
    assert result["failed"] and result["error"]["code"] == 28


def test_on_another_host_the_user_says_which_cluster_it_is(
    run_module: Run, fixture_text: Text, host: Host, params: dict[str, t.Any]
) -> None:
    remote(host)
    before = host.info(fixture_text("info_two_repositories_2.45.json"))
    after = host.info(fixture_text("info_upgraded_2.45.json"))
    said = {**params, "system_id": "42", "pg_version": "16"}
    commands = [VERSION, before, host.done("--online", "stanza-upgrade"), after]
    assert run_module("stanza", said, commands=commands)["changed"]
    refused = run_module("stanza", {**said, "pg_version": "15"}, commands=[VERSION, before])
    assert refused["failed"] and "made anew by initdb" in refused["msg"]


def test_what_the_user_says_must_agree_with_the_control_file(
    run_module: Run, fixture_text: Text, host: Host, params: dict[str, t.Any]
) -> None:
    commands = [VERSION, host.info(fixture_text("info_two_repositories_2.45.json"))]
    result = run_module("stanza", {**params, "system_id": "42", "pg_version": "15"}, commands=commands)
    assert result["failed"] and "as the options pg_version and system_id say" in result["msg"]


def test_unreadable_repository(run_module: Run, fixture_text: Text, host: Host, params: dict[str, t.Any]) -> None:
    commands = [VERSION, host.info(fixture_text("info_wrong_passphrase_2.45.json"))]
    result = run_module("stanza", params, commands=commands)
    assert result["failed"] and "Check repo2-cipher-type and repo2-cipher-pass" in result["msg"]


@pytest.fixture(name="absent")
def absent_fixture(params: dict[str, t.Any]) -> dict[str, t.Any]:
    return {**params, "state": "absent", "confirm": "main", "repo": 1}


def one_repository(text: str) -> str:
    """What info --repo=1 answers."""
    import json

    data = json.loads(text)[0]
    data["repo"] = data["repo"][:1]
    for key in ("archive", "backup"):
        data[key] = [item for item in data[key] if item["database"]["repo-key"] == 1]
    data["db"] = [item for item in data["db"] if item["repo-key"] == 1]
    return json.dumps([data])


def test_delete(run_module: Run, fixture_text: Text, host: Host, absent: dict[str, t.Any]) -> None:
    commands = [
        VERSION,
        host.info(one_repository(fixture_text("info_two_repositories_2.45.json")), "--repo=1"),
        host.done("stop"),
        host.done("--repo=1", "stanza-delete"),
        host.info(one_repository(fixture_text("info_missing_2.45.json")), "--repo=1"),
    ]
    result = run_module("stanza", absent, commands=commands)
    assert result["changed"] and result["actions"] == ["delete"]
    assert result["deleted"]["backups"] == ["20261122-205937F", "20261122-205937F_20261122-205940I"]
    assert result["diff"] == {"before": result["deleted"], "after": {}}


def test_delete_in_check_mode(run_module: Run, fixture_text: Text, host: Host, absent: dict[str, t.Any]) -> None:
    commands = [VERSION, host.info(one_repository(fixture_text("info_two_repositories_2.45.json")), "--repo=1")]
    result = run_module("stanza", absent, check=True, commands=commands)
    assert result["changed"] and result["msg"] == (
        "Would delete stanza main: 2 backups (20261122-205937F to 20261122-205937F_20261122-205940I, 2.9 MiB) and WAL "
        "15-1 000000010000000000000001 to 000000010000000000000006 in repository 1."
    )


def test_delete_what_is_not_there(run_module: Run, fixture_text: Text, host: Host, absent: dict[str, t.Any]) -> None:
    commands = [VERSION, host.info(one_repository(fixture_text("info_missing_2.45.json")), "--repo=1")]
    assert not run_module("stanza", absent, commands=commands)["changed"]


@pytest.mark.parametrize("stopped_before", [False, True])
def test_a_failed_delete_restores_what_was(
    run_module: Run, fixture_text: Text, host: Host, absent: dict[str, t.Any], stopped_before: bool
) -> None:
    if stopped_before:
        (host.lock / "main.stop").touch()
    commands = [
        VERSION,
        host.info(one_repository(fixture_text("info_two_repositories_2.45.json")), "--repo=1"),
        host.done("stop"),
        (host.call("--repo=1", "stanza-delete"), 41, "", "ERROR: [041]: unable to remove: Permission denied\n"),
        *([] if stopped_before else [host.done("start")]),
    ]
    result = run_module("stanza", absent, commands=commands)
    assert result["failed"] and result["error"]["code"] == 41


def test_delete_while_postgresql_runs(
    run_module: Run, fixture_text: Text, host: Host, absent: dict[str, t.Any]
) -> None:
    host.running()
    present = host.info(one_repository(fixture_text("info_two_repositories_2.45.json")), "--repo=1")
    result = run_module("stanza", absent, commands=[VERSION, present])
    assert result["failed"] and result["error"]["code"] == 38
    gone = host.info(one_repository(fixture_text("info_missing_2.45.json")), "--repo=1")
    commands = [VERSION, present, host.done("stop"), host.done("--repo=1", "--force", "stanza-delete"), gone]
    assert run_module("stanza", {**absent, "force": True}, commands=commands)["changed"]


@pytest.mark.parametrize("confirm", [None, "", "mian"])
def test_delete_needs_the_name_twice(run_module: Run, absent: dict[str, t.Any], confirm: str | None) -> None:
    assert run_module("stanza", {**absent, "confirm": confirm})["failed"]


def test_delete_needs_a_repository_among_several(run_module: Run, absent: dict[str, t.Any]) -> None:
    result = run_module("stanza", {**absent, "repo": None}, commands=[VERSION])
    assert result["failed"] and "the option repo must say" in result["msg"]
    assert "no repository 7, only 1, 2" in run_module("stanza", {**absent, "repo": 7}, commands=[VERSION])["msg"]
