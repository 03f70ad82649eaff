# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Job templates as AWX runs them: with ansible-runner. The tests build on one another and on those before."""

from __future__ import annotations

import typing as t

import pytest
import runner
from live import add_rows, backups, query, rows, stanza_info, wait_for, wait_until_archived


@pytest.fixture
def db1(on: t.Any) -> t.Any:
    return on("db1")


def at_work(host: t.Any, verb: str) -> str:
    """Process ids of pgBackRest and its workers with this command."""
    return str(host.run("pgrep -u postgres -f %s", f"^[^ ]*pgbackrest .*{verb}").stdout)


def signal(host: t.Any, verb: str, name: str) -> None:
    """Send a signal to them. Some workers may have ended in the meantime."""
    host.check_output(f"pkill -{name} -u postgres -f %s", f"^[^ ]*pgbackrest .*{verb}")


def cancelled(host: t.Any, verb: str, name: str, **parts: t.Any) -> runner.Job:
    """A job that is cancelled while pgBackRest is at work, and how it was when that has ended on the host."""
    with runner.launched(name, **parts) as job:
        wait_for(lambda: at_work(host, verb), f"pgbackrest {verb}")
        signal(host, verb, "STOP")
        job.wait_for_text("] " + verb)  # the first line of progress
        ended = job.cancel()
    assert at_work(host, verb)
    signal(host, verb, "CONT")
    wait_for(lambda: not at_work(host, verb), f"end of pgbackrest {verb}")
    return ended


def test_protect_finds_the_secrets_of_the_credential(db1: t.Any) -> None:
    job = runner.succeed("protect", check=True, pgbackrest_restart_allowed="true")
    assert job.changed == {}


def test_workflow_restores_what_was_approved(db1: t.Any) -> None:
    wait_until_archived(db1, add_rows(db1))
    wanted = rows(db1)
    backup = runner.succeed("backup", backup_stanza="main", backup_annotations="reason=release 42")
    assert backup.artifacts["pgbackrest_backup_label"] == backups(stanza_info(db1))[-1]
    moment = query(db1, "SELECT now()") + ":00"
    wait_until_archived(db1, add_rows(db1))

    answers = runner.workflow_answers(restore_stanza="main", restore_confirm="main", restore_target_time=moment)
    plan = runner.succeed("restore plan", answers=answers)
    identity = plan.artifacts["pgbackrest_restore_plan"]
    assert f"Plan {identity}: restore of stanza main" in plan.text
    assert rows(db1) != wanted

    restore = runner.succeed("restore as approved", plan.artifacts, answers=answers)
    assert "main on db1: RESTORED. The cluster takes writes." in restore.text
    assert restore.artifacts["pgbackrest_restore_plan"] == identity
    assert rows(db1) == wanted


def test_cancelled_backup_ends_on_the_host(db1: t.Any) -> None:
    before = backups(stanza_info(db1, "web"))
    job = cancelled(db1, "backup", "backup", backup_stanza="web", backup_type="full")
    assert (job.status, job.rc) == ("canceled", 254)
    taken = stanza_info(db1, "web")["backup"][-1]
    assert taken["label"] not in before and taken["type"] == "full" and not taken["error"]


def test_cancelled_restore_is_finished_by_the_same_job(db1: t.Any) -> None:
    wait_until_archived(db1, add_rows(db1, port=5433), port=5433)
    wanted = rows(db1, port=5433)
    answers = runner.workflow_answers(restore_stanza="web", restore_confirm="web")
    plan = runner.succeed("restore plan", answers=answers)
    job = cancelled(db1, "restore", "restore as approved", artifacts=plan.artifacts, answers=answers)
    assert (job.status, job.rc) == ("canceled", 254)
    assert not db1.service("postgresql@15-web").is_running
    restore = runner.succeed("restore as approved", plan.artifacts, answers=answers)
    assert "web on db1: RESTORED" in restore.text
    assert rows(db1, port=5433) == wanted
