# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils import _clusters, _config_file, _host

Run = t.Callable[..., dict[str, t.Any]]

KEYS = {
    "changed", "pgbackrest", "configuration", "clusters", "cpus", "service_manager", "os_family", "distribution",
    "release", "psycopg2", "cryptography", "ssh_host_keys",
}  # fmt: skip


@pytest.fixture(name="bare", autouse=True)
def bare_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host with nothing on it."""
    absent = str(tmp_path / "absent")
    monkeypatch.setattr(_clusters, "_DEBIAN", absent)
    monkeypatch.setattr(_clusters, "_UNITS", (absent,))
    monkeypatch.setattr(_config_file, "_DEFAULT_PATH", absent)
    monkeypatch.setattr(_config_file, "_OLD_DEFAULT_FILE", absent)
    monkeypatch.setattr(_host, "_SSH", absent)
    return tmp_path


@pytest.mark.parametrize("version", ["2.40", "2.55.1"])
def test_host_with_the_program_alone(run_module: Run, version: str) -> None:
    commands = [(["pgbackrest", "version"], 0, f"pgBackRest {version}\n", "")]
    result = run_module("host_info", {}, check=True, commands=commands)
    assert set(result) == KEYS
    assert result["pgbackrest"] == {"executable": "pgbackrest", "version": version}
    assert (result["changed"], result["clusters"], result["configuration"], result["ssh_host_keys"]) == (
        False, [], [], {},
    )  # fmt: skip


def test_program_that_does_not_start(run_module: Run) -> None:
    words = "pgbackrest: error while loading shared libraries: libssh2.so.1"
    result = run_module("host_info", {}, commands=[(["pgbackrest", "version"], 127, "", words)])
    assert result["failed"] and words in result["msg"]


def test_directories_of_the_task_are_told(run_module: Run, bare: Path) -> None:
    commands = [(["pgbackrest", "version"], 0, "pgBackRest 2.45\n", "")]
    params = {"data_directories": [f"{bare}/pg/"]}
    found = run_module("host_info", params, commands=commands)["clusters"]
    assert [(cluster["name"], cluster["pg_version"]) for cluster in found] == [(f"{bare}/pg", None)]
    assert "does not exist" in found[0]["problem"]
