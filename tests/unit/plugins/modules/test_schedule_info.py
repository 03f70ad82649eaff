# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module schedule_info: one question to systemd, files of the test."""

from __future__ import annotations

import fcntl
import json
import os
import typing as t
from pathlib import Path

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils import _schedule_files, _schedule_systemd
from ansible_collections.pgops.pgbackrest.plugins.module_utils._schedule import (
    How,
    Job,
    cron_text,
    service_text,
    timer_text,
)
from ansible_collections.pgops.pgbackrest.plugins.modules import schedule_info

Run = t.Callable[..., dict[str, t.Any]]

HOW = How("postgres", 0, None, ())
FULL = Job("main", "full", (), ("Sun 02:00",), ("0 2 * * 0",))
DIFF = Job("main", "diff", (2,), ("Mon..Sat 02:00",), ("0 2 * * 1-6",))
OTHER = Job("other", "full", (), ("daily",), ("0 0 * * *",))
TIMER = {
    "LoadState": "loaded",
    "ActiveState": "active",
    "SubState": "waiting",
    "UnitFileState": "enabled",
    "NextElapseUSecRealtime": "Sun 2026-11-29 02:07:23 UTC",
    "LastTriggerUSec": "",
}
SERVICE = {"LoadState": "loaded", "ActiveState": "inactive", "Result": "success", "ExecMainStatus": "0"}
RESULT = {"last_run": {"result": "success", "started": 1}, "repositories": {"1": {}}}


@pytest.fixture(name="host")
def host_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host with systemd; files are written by the tests."""
    for name in ("systemd", "cron.d", "state/main", "running"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.setattr(_schedule_files, "SYSTEMD_DIRECTORY", str(tmp_path / "systemd"))
    monkeypatch.setattr(_schedule_files, "CRON_DIRECTORY", str(tmp_path / "cron.d"))
    for module in (_schedule_files, schedule_info):
        monkeypatch.setattr(module, "STATE_DIRECTORY", str(tmp_path / "state"))
    monkeypatch.setattr(_schedule_systemd, "RUNNING", str(tmp_path / "running"))
    monkeypatch.setattr(schedule_info, "has_cron_daemon", lambda: True)
    (tmp_path / "state/main/full.json").write_text(json.dumps(RESULT), encoding="utf-8")
    return tmp_path


def write_units(host: Path, *jobs: Job) -> None:
    for job in jobs:
        (host / f"systemd/{job.unit}.service").write_text(service_text(job, HOW), encoding="utf-8")
        (host / f"systemd/{job.unit}.timer").write_text(timer_text(job, HOW), encoding="utf-8")


def show(*jobs: Job, timer: dict[str, str] | None = None) -> t.Any:
    units = {
        f"{job.unit}.{kind}": facts for job in jobs for kind, facts in (("timer", timer or TIMER), ("service", SERVICE))
    }
    argv = ["systemctl", "show", f"--property={','.join(_schedule_systemd.PROPERTIES)}", "--", *units]
    blocks = ["\n".join(f"{key}={value}" for key, value in {**v, "Id": name}.items()) for name, v in units.items()]
    return (argv, 0, "\n\n".join(blocks) + "\n", "")


def test_all_of_one_stanza(run_module: Run, host: Path) -> None:
    write_units(host, FULL, DIFF, OTHER)
    result = run_module("schedule_info", {"stanza": "main"}, commands=[show(DIFF, FULL)])
    assert (result["changed"], result["healthy"], result["problems"]) == (False, True, [])
    diff, full = result["schedules"]
    assert (diff["name"], diff["unit"], diff["repos"], diff["last_run"]) == (
        "diff-repo2",
        f"{DIFF.unit}.timer",
        [2],
        None,
    )
    assert (full["scheduler"], full["schedule"], full["user"]) == ("systemd", ["Sun 02:00"], "postgres")
    assert (full["next_run"], full["next_run_time"]) == (1795918043, "2026-11-29 02:07:23+00:00")
    assert (full["last_run"], full["repositories"]) == (RESULT["last_run"], RESULT["repositories"])


def test_all_stanzas_with_their_problems(run_module: Run, host: Path) -> None:
    write_units(host, FULL, OTHER)
    timer = {**TIMER, "ActiveState": "inactive"}
    result = run_module("schedule_info", {}, commands=[show(FULL, OTHER, timer=timer)])
    assert result["healthy"] is False
    assert [problem.split(" is not")[0] for problem in result["problems"]] == [
        "main full: pgbackrest-main-full.timer", "other full: pgbackrest-other-full.timer",
    ]  # fmt: skip


def test_a_unit_that_is_gone(run_module: Run, host: Path) -> None:
    write_units(host, FULL)
    os.unlink(host / f"systemd/{FULL.unit}.timer")
    result = run_module("schedule_info", {}, commands=[show(FULL, timer={"LoadState": "not-found"})])
    assert result["problems"][0].startswith("main full: systemd cannot use pgbackrest-main-full.timer")


def test_units_without_systemd(run_module: Run, host: Path) -> None:
    write_units(host, FULL)
    (host / "running").rmdir()
    assert run_module("schedule_info", {})["healthy"] is False


def test_cron(run_module: Run, host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (host / "cron.d/pgbackrest-main").write_text(cron_text([FULL, DIFF], HOW, "db1"), encoding="utf-8")
    full, diff = run_module("schedule_info", {"stanza": "main"})["schedules"]
    assert (full["scheduler"], full["unit"]) == ("cron", str(host / "cron.d/pgbackrest-main"))
    assert (full["running"], full["active"], full["problems"]) == (False, True, [])
    assert full["next_run"] != diff["next_run"] and diff["schedule"] == ["0 2 * * 1-6"]
    monkeypatch.setattr(schedule_info, "has_cron_daemon", lambda: False)
    assert len(run_module("schedule_info", {})["problems"]) == 2


def test_a_running_backup_of_cron(run_module: Run, host: Path) -> None:
    (host / "cron.d/pgbackrest-main").write_text(cron_text([FULL], HOW, "db1"), encoding="utf-8")
    with open(host / "state/main/lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert run_module("schedule_info", {})["schedules"][0]["running"] is True
    assert run_module("schedule_info", {})["schedules"][0]["running"] is False


@pytest.mark.parametrize(("params", "whose"), [({}, ""), ({"stanza": "main"}, " of stanza main")])
def test_no_schedule_is_a_problem(run_module: Run, host: Path, params: dict[str, t.Any], whose: str) -> None:
    (host / "systemd/pgbackrest-main-full.timer").write_text("[Timer]\n", encoding="utf-8")
    result = run_module("schedule_info", params)
    assert (result["healthy"], result["schedules"]) == (False, [])
    assert result["problems"][0].startswith(f"There are no scheduled backups{whose} on this host")


def test_systemd_does_not_answer(run_module: Run, host: Path) -> None:
    write_units(host, FULL)
    question = show(FULL)[0]
    result = run_module("schedule_info", {}, commands=[(question, 1, "", "Failed to connect to bus\n")])
    assert result["failed"] and "systemctl show failed with exit status 1: Failed to connect to bus" in result["msg"]
