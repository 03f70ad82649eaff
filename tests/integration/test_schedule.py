# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The program for scheduled backups with a real cluster, and our calendars beside systemd's.

What needs a running systemd or cron is tested on real hosts.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import typing as t
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils import _schedule_calendar, _scheduled_backup

from .conftest import PYTHON, Cluster, as_user

CALENDARS = ["Sun 02:00", "Mon..Sat 02:00", "Mon,Thu 01:15", "Fri..Sun 23:59", "*-*-* 02/6:30", "*-*-01,15 03:00",
             "*-02-29 00:00", "*:0/15", "8/2:00", "daily", "hourly", "weekly", "monthly", "quarterly"]  # fmt: skip


class Result(t.NamedTuple):
    """How a run ended."""

    status: int
    output: str
    state: dict[str, t.Any]


@pytest.fixture(name="take")
def take_fixture(protected: Cluster) -> t.Callable[..., Result]:
    """Run the program as the cluster's user, as a unit of systemd does."""
    shutil.copy(_scheduled_backup.__file__, protected.root / "scheduled-backup")
    protected.make_directory("state/main")

    def take(*words: str, kind: str = "full") -> Result:
        common = [f"--executable={protected.executable}", f"--config={protected.config}", "--stanza=main"]
        cluster = [f"--port={protected.port}", f"--socket-directory={protected.socket_dir}", "--wait-for-server=0"]
        places = [f"--type={kind}", f"--state-directory={protected.root}/state"]
        program = [PYTHON, "-I", str(protected.root / "scheduled-backup")]
        done = as_user([*program, *common, *cluster, *places, *words])
        path = protected.root / "state/main" / f"{kind}.json"
        return Result(done.returncode, done.stdout + done.stderr, json.loads(path.read_text(encoding="utf-8")))

    return take


@pytest.mark.matrix
def test_a_backup_in_each_repository(protected: Cluster, take: t.Callable[..., Result]) -> None:
    second = protected.make_directory("repo2")
    protected.write_config({"repo2-path": str(second), "repo2-retention-full": "2"})
    protected.pgbackrest("stanza-create")
    result = take()
    assert result.status == 0, result.output
    labels = {str(b["database"]["repo-key"]): b["label"] for b in protected.info()["backup"]}
    found = {repo: record["last_success"]["label"] for repo, record in result.state["repositories"].items()}
    assert found == labels and sorted(labels) == ["1", "2"]
    assert "new backup label" in result.output
    shutil.rmtree(second / "backup")
    again = take()
    assert again.status == 1
    assert again.state["last_run"]["message"].startswith("The full backup of stanza main failed: repository 2: [055] ")
    assert again.state["last_success"] == result.state["last_success"]
    assert again.state["repositories"]["1"]["last_success"]["label"] > labels["1"]


def test_no_backup_on_a_standby_or_without_a_server(protected: Cluster, take: t.Callable[..., Result]) -> None:
    protected.stop()
    as_user(["touch", str(protected.pgdata / "standby.signal")])
    protected.start()
    result = take()
    assert (result.status, result.state["last_run"]["result"]) == (0, "standby")
    assert f"The cluster on port {protected.port} is a standby; the backup is taken on the primary." in result.output
    protected.stop()
    down = take()
    assert (down.status, down.state["last_run"]["result"]) == (1, "failure")
    assert f"the cluster on port {protected.port} did not say whether it is a standby" in down.output
    assert protected.info()["backup"] == []


def test_page_checksum_errors(protected: Cluster, take: t.Callable[..., Result]) -> None:
    protected.stop()
    as_user([f"{protected.bindir}/pg_checksums", "--enable", "-D", str(protected.pgdata)])
    protected.start()
    protected.sql("create table damaged as select g from generate_series(1, 2000) g; checkpoint")
    path = protected.pgdata / protected.sql("select pg_relation_filepath('damaged')")[0][0]
    protected.stop()
    with open(path, "r+b") as stream:
        stream.seek(8192 + 4000)
        stream.write(b"damage")
    protected.start()
    result = take()
    assert result.status == 1 and "last_success" not in result.state
    assert "has page checksum errors" in result.state["last_failure"]["message"]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
@pytest.mark.parametrize("calendar", CALENDARS)
def test_cron_means_what_systemd_means(calendar: str) -> None:
    base = datetime(2026, 11, 24, 12, 7, 30)
    argv = ["systemd-analyze", "calendar", "--iterations=5", f"--base-time={base:%Y-%m-%d %H:%M:%S} UTC", calendar]
    answer = subprocess.run(argv, env={"TZ": "UTC", "LC_ALL": "C"}, capture_output=True, text=True, check=True).stdout
    wanted = re.findall(r"(?:Next elapse|Iter(?:ation|\.) #\d+): \w+ (\S+ \S+) UTC", answer)
    cron, moment = _schedule_calendar.to_cron(calendar), base
    found: list[str] = []
    while len(found) < len(wanted):
        upcoming = _schedule_calendar.next_run([cron], moment)
        assert upcoming and _schedule_calendar.previous_run([cron], upcoming + timedelta(seconds=30)) == upcoming
        moment = upcoming
        found.append(str(moment))
    assert found == wanted and len(wanted) == 5


def test_units_that_systemd_accepts(tmp_path: Path) -> None:
    """Checked by systemd itself, with words that must be escaped."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    from ansible_collections.pgops.pgbackrest.plugins.module_utils import _schedule

    job = _schedule.Job('50% o\'f $x "y"', "full", (1, 2), ("Sun 02:00", "daily"), ())
    how = _schedule.How("root", 1800, None, ("--config-path=/etc/my dir",))
    service = tmp_path / f"{job.unit}.service"
    service.write_text(_schedule.service_text(job, how).replace(_schedule.RUNNER, "/bin/true"), encoding="utf-8")
    timer = tmp_path / f"{job.unit}.timer"
    timer.write_text(_schedule.timer_text(job, how), encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", str(service), str(timer)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
