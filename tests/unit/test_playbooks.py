# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Playbooks on hosts that cannot be asked: what they say before anything else, and that they go on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
import yaml

# No module can run there.
INVENTORY = """
database:
  vars: {ansible_connection: local, ansible_python_interpreter: /nonexistent/python3}
  hosts:
    db1: {pgbackrest_stanza: orders, pgbackrest_hosts: [db1, db2]}
    db2: {pgbackrest_stanza: orders, pgbackrest_hosts: [db1, db2]}
"""


@pytest.fixture(name="play")
def play_fixture(tmp_path: Path) -> t.Callable[..., subprocess.CompletedProcess[str]]:
    """Run a playbook of the collection with variables."""
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(INVENTORY, encoding="utf-8")
    environment = {**os.environ, "ANSIBLE_HOME": str(tmp_path / "home"), "ANSIBLE_NOCOLOR": "1", "LC_ALL": "C.UTF-8"}

    def run(name: str, *words: str, **variables: t.Any) -> subprocess.CompletedProcess[str]:
        program = str(Path(sys.executable).parent / "ansible-playbook")
        argv = [program, "-i", str(inventory), f"pgops.pgbackrest.{name}", "-e", json.dumps(variables), *words]
        return subprocess.run(argv, capture_output=True, text=True, check=False, env=environment)

    return run


def test_backup_judges_the_survey_before_it_looks_at_a_host(play: t.Callable[..., t.Any]) -> None:
    result = play("backup", backup_type="ful", backup_repo="one", backup_max_age="", backup_annotations="reason=x")
    assert result.returncode != 0
    assert "backup_type must be full, diff or incr, but is 'ful'." in result.stdout
    assert "backup_repo must be the number of a repository such as 1, or empty, but is 'one'." in result.stdout
    assert "host_info" not in result.stdout and "Look at" not in result.stdout


def test_status_tells_of_hosts_that_cannot_be_asked(play: t.Callable[..., t.Any], tmp_path: Path) -> None:
    file = tmp_path / "status.json"
    result = play("status", status_file=str(file))
    assert result.returncode == 0, result.stdout
    assert '"orders: 2 PROBLEMS, seen' in result.stdout
    assert '"  hosts       db1  NOT REACHED",' in result.stdout
    data = json.loads(file.read_text(encoding="utf-8"))
    assert not data["healthy"] and len(data["problems"]) == 2
    assert data["problems"][0].startswith("orders: db1 cannot be asked: ")
    assert [host["host"] for host in data["stanzas"][0]["hosts"]] == ["db1", "db2"]


def test_status_can_fail_and_writes_nothing_in_check_mode(play: t.Callable[..., t.Any], tmp_path: Path) -> None:
    file = tmp_path / "status.json"
    result = play("status", "--check", "--limit", "db2", status_file=str(file), status_fail="yes")
    assert result.returncode != 0
    assert '"orders: 1 PROBLEM, seen' in result.stdout
    assert '"              db2  NOT REACHED",' in result.stdout
    assert '"  hosts       db1  not asked: outside this play",' in result.stdout
    assert not file.exists()


@pytest.mark.parametrize("name", ["site", "status", "backup", "restore", "standby"])
def test_inventory_without_database_hosts_is_refused(play: t.Callable[..., t.Any], tmp_path: Path, name: str) -> None:
    (tmp_path / "hosts.yml").write_text("databases: {hosts: {db1: }}", encoding="utf-8")
    result = play(name)
    assert result.returncode != 0
    assert "The inventory has no host in the group database, so " in result.stdout


@pytest.mark.parametrize("name", ["status", "backup", "restore", "standby", "clone"])
@pytest.mark.parametrize("pattern", ["db9", "db9:web", "database:!db1:!db2", ["db8", "db9"]])
def test_hosts_that_there_are_not_are_refused(
    play: t.Callable[..., t.Any], name: str, pattern: str | list[str]
) -> None:
    result = play(name, **{f"{name}_hosts": pattern})
    assert result.returncode != 0, result.stdout
    shown = pattern if isinstance(pattern, str) else ",".join(pattern)
    said = f"{name}_hosts is {shown}, which matches no host. The inventory has db1, db2. "
    assert said in result.stdout
    assert f"PLAY [{name.capitalize()}" not in result.stdout


@pytest.mark.parametrize("pattern", ["db9:db2", "all:!db1", "data*:&db2", "database[1]", ["db2"]])
def test_hosts_are_named_by_any_pattern(play: t.Callable[..., t.Any], pattern: str | list[str]) -> None:
    result = play("status", status_hosts=pattern)
    assert result.returncode == 0, result.stdout
    assert '"              db2  NOT REACHED",' in result.stdout
    assert '"  hosts       db1  not asked: outside this play",' in result.stdout


def test_clone_wants_a_place(play: t.Callable[..., t.Any]) -> None:
    result = play("clone", clone_name="ci")
    assert result.returncode != 0
    assert "The inventory has no host in the group clone, so there is no place for the clone." in result.stdout


def test_clone_judges_the_survey_before_it_looks_at_a_host(play: t.Callable[..., t.Any]) -> None:
    survey = {"clone_target_time": "2026-05-01 14:30", "clone_ttl": "soon", "clone_sql_files": "none.sql"}
    result = play("clone", clone_hosts="db1", clone_name="", clone_target_tiem="x", **survey)
    assert result.returncode != 0
    assert "clone_name must be given" in result.stdout
    assert "The target time '2026-05-01 14:30' has no offset from UTC" in result.stdout
    assert "clone_ttl must be a whole number with s, m, h, d or w, such as 4h or 2d, but is 'soon'." in result.stdout
    assert "none.sql cannot be read on the controller" in result.stdout
    assert "clone_target_tiem is no variable of this playbook. Did you mean clone_target_time?" in result.stdout
    assert "host_info" not in result.stdout and "Look at" not in result.stdout


def test_clone_takes_an_empty_survey(play: t.Callable[..., t.Any]) -> None:
    defaults = Path(__file__).resolve().parents[2] / "roles/clone/defaults/main.yml"
    empty = dict.fromkeys(yaml.safe_load(defaults.read_text(encoding="utf-8")), "")
    result = play("clone", **{**empty, "clone_name": "ci", "clone_hosts": "db1"})
    assert result.returncode != 0
    assert "Look at the host" in result.stdout, result.stdout  # where no module can run


def test_clone_writes_one_result(play: t.Callable[..., t.Any]) -> None:
    result = play("clone", clone_hosts="database", clone_name="ci", clone_result="clone.json")
    assert result.returncode != 0
    assert "the play has 2 hosts" in result.stdout


def test_restore_judges_the_survey_before_it_looks_at_a_host(play: t.Callable[..., t.Any]) -> None:
    survey = {"restore_target_time": "2026-05-01 14:30", "restore_repo": "one", "restore_target_action": ""}
    result = play("restore", "--check", restore_backup="perhaps", restore_target_tiem="2026-05-01 14:30Z", **survey)
    assert result.returncode != 0
    assert "The target time '2026-05-01 14:30' has no offset from UTC" in result.stdout
    assert "restore_repo must be a number from 1 on, or empty, but is 'one'." in result.stdout
    assert "restore_backup must be true or false, but is 'perhaps'." in result.stdout
    assert "restore_target_tiem is no variable of this playbook. Did you mean restore_target_time?" in result.stdout
    assert "host_info" not in result.stdout and "Look at" not in result.stdout


def test_restore_takes_an_empty_survey_for_the_end_of_the_wal(play: t.Callable[..., t.Any]) -> None:
    defaults = Path(__file__).resolve().parents[2] / "roles/restore/defaults/main.yml"
    result = play("restore", "--check", **dict.fromkeys(yaml.safe_load(defaults.read_text(encoding="utf-8")), ""))
    assert result.returncode != 0
    assert "Look at the host" in result.stdout, result.stdout  # where no module can run


def test_standby_judges_the_survey_before_it_looks_at_a_host(play: t.Callable[..., t.Any]) -> None:
    survey = {"standby_slot": "My Slot", "standby_conninfo": "host=db9", "standby_confrim": "main"}
    result = play("standby", standby_create_user="yes", **survey)
    assert result.returncode != 0
    assert "standby_slot must be true, false, or the name of a slot" in result.stdout
    assert "standby_conninfo has host: take it out" in result.stdout
    assert "standby_create_user needs standby_password" in result.stdout
    assert "standby_confrim is no variable of this playbook. Did you mean standby_confirm?" in result.stdout
    assert "host_info" not in result.stdout and "Look at" not in result.stdout


def test_standby_takes_an_empty_survey_for_its_defaults(play: t.Callable[..., t.Any]) -> None:
    defaults = Path(__file__).resolve().parents[2] / "roles/standby/defaults/main.yml"
    result = play("standby", "--check", **dict.fromkeys(yaml.safe_load(defaults.read_text(encoding="utf-8")), ""))
    assert result.returncode != 0
    assert "Look at the host" in result.stdout, result.stdout  # where no module can run
