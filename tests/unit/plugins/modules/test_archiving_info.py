# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module archiving_info on a server that exists in memory; the real one is in the integration tests."""

from __future__ import annotations

import importlib
import typing as t
from pathlib import Path

import pytest

PACKAGE = "ansible_collections.pgops.pgbackrest.plugins"
VERSION = (["pgbackrest", "version"], 0, "pgBackRest 2.45\n", "")
Run = t.Callable[..., dict[str, t.Any]]


class Connection:
    """A connection that knows the version of its server only."""

    def __init__(self, server_version: int) -> None:
        self.server_version = server_version


@pytest.fixture(name="asked")
def asked_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Statements that the module asks of a standby of PostgreSQL 11."""
    asked: list[str] = []
    values = {
        "archive_mode": "off",
        "archive_command": "(disabled)",
        "archive_timeout": "0",
        "wal_level": "hot_standby",
    }
    server = {
        "in_recovery": True, "data_directory": str(tmp_path), "system_identifier": "77", "timeline": 3,
        "current_wal": None, "segment_size": 2**24, "now": 1000,
    }  # fmt: skip
    stat = {
        "archived_count": 5, "last_archived_wal": "000000030000000000000007", "last_archived_time": 900,
        "failed_count": 0, "last_failed_wal": None, "last_failed_time": None, "failing": False,
    }  # fmt: skip

    def query(connection: t.Any, sql: str, args: t.Any = None) -> list[dict[str, t.Any]]:
        asked.append(sql)
        waiting = {"waiting": 3, "segments": 2, "since": 1001}
        return [server if "pg_control" in sql else stat if "pg_stat_archiver" in sql else waiting]

    def settings(connection: t.Any, names: t.Sequence[str]) -> dict[str, dict[str, t.Any]]:
        waits = "archive_mode"
        return {name: {"name": name, "setting": values[name], "pending_restart": name == waits} for name in values}

    archiver = importlib.import_module(f"{PACKAGE}.module_utils._archiver")
    module = importlib.import_module(f"{PACKAGE}.modules.archiving_info")
    monkeypatch.setattr(module, "connect", lambda module: Connection(110022))
    monkeypatch.setattr(archiver, "query", query)
    monkeypatch.setattr(archiver, "settings", settings)
    return asked


def test_standby_before_postgresql_12(run_module: Run, asked: list[str], tmp_path: Path) -> None:
    config = tmp_path / "pgbackrest.conf"
    config.write_text(f"[main]\npg1-path={tmp_path}\n", encoding="utf-8")
    params = {"stanza": "main", "config": str(config)}
    result = run_module("archiving_info", params, check=True, commands=[VERSION])
    assert "pg_ls_dir('pg_wal/archive_status')" in asked[2] and "pg_ls_archive_statusdir" not in asked[2]
    assert result["problems"] == [
        "archive_mode is off, so this standby will archive nothing when it is promoted. It waits for a restart of "
        "PostgreSQL."
    ]
    assert (result["changed"], result["healthy"], result["running"]) == (False, False, True)
    assert (result["archives_to_stanza"], result["pending_restart"]) == (False, ["archive_mode"])
    assert (result["waiting"], result["waiting_bytes"], result["oldest_waiting_age"]) == (3, 2 * 2**24, 0)
    assert (result["timeline"], result["current_wal"], result["system_identifier"]) == (3, None, "77")
    assert (result["archiver"]["last_archived_age"], result["archiver"]["last_failed_age"]) == (100, None)
    assert result["settings"] == {
        "archive_command": "", "archive_mode": "off", "archive_timeout": "0", "wal_level": "replica",
    }  # fmt: skip


def test_configuration_of_pgbackrest_is_looked_at_too(run_module: Run, asked: list[str], tmp_path: Path) -> None:
    params = {"stanza": "main", "config": str(tmp_path / "absent.conf")}
    problems = run_module("archiving_info", params, commands=[VERSION])["problems"]
    assert len(problems) == 2 and problems[0].startswith("The stanza main is not in pgBackRest's configuration")


def test_server_does_not_answer(run_module: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module(f"{PACKAGE}.modules.archiving_info")

    def refuse(module: t.Any) -> None:
        raise sql.DatabaseError("PostgreSQL cannot be reached.")

    sql = importlib.import_module(f"{PACKAGE}.module_utils._sql")
    monkeypatch.setattr(module, "connect", refuse)
    monkeypatch.setattr(module, "HAS_PSYCOPG2", True)
    result = run_module("archiving_info", {"stanza": "main"})
    assert (result["running"], result["healthy"], result["problems"]) == (
        False,
        False,
        ["PostgreSQL cannot be reached."],
    )
    assert result["waiting"] is None and result["archiver"] is None
    monkeypatch.setattr(module, "HAS_PSYCOPG2", False)
    assert run_module("archiving_info", {"stanza": "main"})["failed"] is True
