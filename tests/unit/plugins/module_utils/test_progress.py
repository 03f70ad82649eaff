# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The progress file, and work that is handed over to the background."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils import _handover, _progress

COLLECTIONS = Path(_progress.__file__).parents[4].parent

WORKER = """
import os, sys, time, types
sys.path.insert(0, sys.argv[3])
from ansible_collections.pgops.pgbackrest.plugins.module_utils import _handover
_handover.SHORT_WORK = 0.5
module = types.SimpleNamespace(check_mode=sys.argv[2] == "check", params={"progress_file": None})
_handover.hand_over_long_work(module)
time.sleep(float(sys.argv[1]))
print('{"progress": "%s"}' % module.params["progress_file"])
print("trouble", file=sys.stderr)
sys.exit(3)
"""


@pytest.fixture(name="now")
def now_fixture(monkeypatch: pytest.MonkeyPatch) -> t.Iterator[list[float]]:
    """The clock; its first element may be set."""
    clock = [1000.0]
    monkeypatch.setattr(_progress.time, "time", lambda: clock[0])
    yield clock


def test_lines_of_the_log_become_a_record(tmp_path: Path, now: list[float]) -> None:
    path = tmp_path / "progress"
    progress = _progress.Progress(str(path))
    now[0] = 1002.0
    progress.take_line("2026-05-01 12:00:00.000 P01 DETAIL: backup file /pg/base/1/2 (1MB, 25.00%) checksum 0a")
    record = json.loads(path.read_text(encoding="utf-8"))
    assert record["percent"] == 25.0
    assert (record["done"], record["total"], record["unit"]) == (1048576, 4194304, "bytes")
    assert (record["started"], record["updated"]) == (1000.0, 1002.0)
    assert path.stat().st_mode & 0o777 == 0o600
    progress.take_line("P01 DETAIL: restore file /pg/base/1/3 (1MB, 50.00%) checksum 0a")
    assert json.loads(path.read_text(encoding="utf-8")) == record  # too early for a second record
    progress.end()
    assert not list(tmp_path.iterdir())


def test_without_a_path_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    progress = _progress.Progress(None)
    progress.report(1.0, 1, 2)
    progress.end()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("line", "parsed"),
    [
        ("P01 DETAIL: backup file /pg/base/1/2 (448KB, 89.04%) checksum 0a1b", (458752, 89.04)),
        ("P02 DETAIL: restore file /pg/base/1/2 (0B, 100.00%)", (0, 100.0)),
        ("P01 DETAIL: backup file /a (bundle 1/24576, 8.3KB, 1.22%) checksum", (8499, 1.22)),
        ("P00   INFO: new backup label = 20260501-120000F", None),
        ("", None),
        # With block incremental backups (2.46 and newer).
        ("P01 DETAIL: restore file /pg/base/5/16389 (bi 43.5MB, 63.63%) checksum 19e0", (45613056, 63.63)),
        ("P01 DETAIL: restore file /pg/base/1/1247 (bundle 2/0, bi 120KB, 63.80%) checksum a4ab", (122880, 63.8)),
    ],
)
def test_file_lines(line: str, parsed: tuple[int, float] | None) -> None:
    assert _progress.parse_file_line(line) == parsed


def start(seconds: float, job: Path, mode: str = "run", home: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, _handover.JOB_VARIABLE: str(job), **({"HOME": str(home)} if home else {})}
    argv = [sys.executable, "-c", WORKER, str(seconds), mode, str(COLLECTIONS)]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=20)


def test_short_work_answers_as_if_nothing_had_happened(tmp_path: Path) -> None:
    job = tmp_path / "jobs" / "job"
    finished = start(0, job)
    assert (finished.returncode, finished.stderr) == (3, "trouble\n")
    assert json.loads(finished.stdout) == {"progress": f"{job}.progress"}
    assert not list(job.parent.iterdir())


def test_long_work_goes_on_and_leaves_its_answer(tmp_path: Path) -> None:
    began = time.monotonic()
    finished = start(2, tmp_path / "job")
    assert time.monotonic() - began < 1.9
    assert (finished.returncode, finished.stderr) == (0, "")
    assert json.loads(finished.stdout) == {"changed": False, "pgops_job": str(tmp_path / "job")}
    pid, boot = (tmp_path / "job.pid").read_text(encoding="ascii").split()
    assert os.getsid(int(pid)) == int(pid)
    assert boot == _handover.boot_id()
    assert not (tmp_path / "job").exists()
    while not (tmp_path / "job").exists() and time.monotonic() - began < 10:
        time.sleep(0.1)
    assert json.loads((tmp_path / "job").read_text(encoding="utf-8")) == {"progress": f"{tmp_path}/job.progress"}
    assert (tmp_path / "job").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "job.err").read_text(encoding="utf-8") == "trouble\n"
    _handover.forget(str(tmp_path / "job"))
    assert not list(tmp_path.iterdir())


def test_old_answers_that_nobody_fetched_are_removed(tmp_path: Path) -> None:
    long_ago = time.time() - 2 * 86400
    for name in ("pgops-0a", "pgops-1b", "pgops-2c.pid", "4711.1"):  # old, fresh, at work, of others
        (tmp_path / name).write_text("{}", encoding="utf-8")
        if name != "pgops-1b":
            os.utime(tmp_path / name, (long_ago, long_ago))
    (tmp_path / "pgops-0a.err").touch()
    start(0, tmp_path / "pgops-3d")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["4711.1", "pgops-1b", "pgops-2c.pid"]


def test_the_home_directory_is_that_of_the_user_who_works(tmp_path: Path) -> None:
    finished = start(0, Path("~/jobs/job"), home=tmp_path)
    assert json.loads(finished.stdout) == {"progress": f"{tmp_path}/jobs/job.progress"}


@pytest.mark.parametrize(("job", "mode"), [("/proc/none/job", "run"), ("job", "check")])
def test_where_nothing_can_be_handed_over_the_module_runs_plainly(tmp_path: Path, job: str, mode: str) -> None:
    finished = start(0, tmp_path / job, mode)
    assert (finished.returncode, json.loads(finished.stdout)) == (3, {"progress": "None"})
    assert not list(tmp_path.iterdir())
