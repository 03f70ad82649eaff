# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module recovery on real clusters that recover from a real archive."""

from __future__ import annotations

import subprocess
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

import pytest

Run = t.Callable[..., dict[str, t.Any]]


@dataclass
class Story:
    """A protected cluster with rows a, b, c in commits of their own and what lies between them."""

    cluster: t.Any
    before_b: str
    before_c: str
    xid_b: str
    lsn_c: str

    def restore(self, *words: str, **settings: str) -> None:
        """Stop the cluster, restore it, and start it; the start is not waited for.

        Archiving is off afterwards, so that one test can restore to the first timeline again and again.
        """
        self.cluster.stop()
        self.cluster.log_file.unlink(missing_ok=True)
        off = ["--archive-mode=off"] if self.cluster.pg_major >= 12 else []
        self.cluster.pgbackrest("--delta", *off, *words, "restore")
        if self.cluster.pg_major < 12:
            settings["archive_mode"] = "off"
        self.cluster.configure(**settings)
        self.cluster.start(wait=False)

    def settings(self) -> str:
        """Everything that the module could write."""
        path = self.cluster.pgdata / "postgresql.auto.conf"
        return f"{path.stat().st_mtime_ns} {path.read_text(encoding='utf-8')}"

    @property
    def rows(self) -> list[str]:
        return [row[0] for row in self.cluster.sql("SELECT name FROM story ORDER BY name")]

    @property
    def params(self) -> dict[str, t.Any]:
        return {"pgdata": str(self.cluster.pgdata), "timeout": 60, "log_file": str(self.cluster.log_file)}


@pytest.fixture(name="story")
def story_fixture(protected: t.Any) -> Story:
    """Full backup, then three commits a moment apart, a restore point, and everything archived."""

    def now() -> str:
        time.sleep(0.1)
        moment = protected.sql("SELECT clock_timestamp()::timestamptz(3) AT TIME ZONE 'UTC'")[0][0]
        time.sleep(0.1)
        return f"{moment}+00:00"

    protected.sql("CREATE TABLE story (name text)")
    protected.backup()
    time.sleep(1.1)  # pgBackRest compares whole seconds when it looks for the backup before a time
    protected.sql("INSERT INTO story VALUES ('a')")
    before_b = now()
    xid_b = protected.sql("INSERT INTO story VALUES ('b') RETURNING txid_current()")[0][0]
    before_c = now()
    lsn_c = protected.sql("SELECT pg_create_restore_point('before_c')")[0][0]
    protected.sql("INSERT INTO story VALUES ('c')")
    protected.archive()
    return Story(protected, before_b, before_c, xid_b, lsn_c)


@pytest.mark.matrix
def test_promotion_is_judged_cleaned_and_left_alone_the_second_time(story: Story, run: Run) -> None:
    story.restore("--type=time", f"--target={story.before_b}", "--target-action=promote")
    params = {**story.params, "target_type": "time", "target": story.before_b}
    first = run("recovery", {**params, "clean": False, "checkpoint": False})
    assert not first["failed"], first
    assert (first["outcome"], first["reached"], first["changed"]) == ("promoted", True, False)
    assert (first["timeline_before"], first["timeline"]) == (1, 2)
    assert first["stop"]["reason"].startswith("before 20")
    assert first["stop"]["last_commit"]
    assert story.rows == ["a"]
    has_auto_conf = story.cluster.pg_major >= 12
    assert ("recovery_target_time" in first["recovery_settings"]) == has_auto_conf
    assert first["archiving_off"] == has_auto_conf

    story.cluster.sql("CHECKPOINT")
    before = story.settings()
    check = run("recovery", params, check=True)
    assert check["changed"] == has_auto_conf
    assert check["diff"]["after"]["recovery_settings"] == {}
    assert story.settings() == before

    second = run("recovery", params)
    assert second["changed"] == has_auto_conf
    assert second["recovery_settings"] == {}
    assert run("recovery", params)["changed"] is False
    story.cluster.stop()
    story.cluster.start()
    third = run("recovery", params)
    assert (third["failed"], third["changed"], third["reached"]) == (False, False, True)

    assert_unreachable_target_fails(story, run)


def assert_unreachable_target_fails(story: Story, run: Run) -> None:
    """PostgreSQL 13 and newer end, older ones promote silently with the rows of the end of the archive."""
    story.restore("--type=name", "--target=nowhere", "--target-action=promote", "--target-timeline=1")
    result = run("recovery", {**story.params, "target_type": "name", "target": "nowhere"})
    assert result["failed"]
    assert result["log"]
    assert result["reached"] is not True
    if story.cluster.pg_major >= 13:
        assert result["outcome"] == "exited"
        assert "recovery ended before configured recovery target was reached" in result["msg"]
        assert any("recovery ended before" in line for line in result["log"])
    else:
        assert (result["outcome"], result["reached"]) == ("promoted", False)
        assert "before the target name nowhere was reached" in result["msg"]


@pytest.mark.matrix
def test_a_pause_and_a_standby_are_promoted_on_request_only(story: Story, run: Run) -> None:
    story.restore("--type=name", "--target=before_c")
    target = {**story.params, "target_type": "name", "target": "before_c"}
    paused = run("recovery", {**target, "state": "paused"})
    assert (paused["failed"], paused["outcome"], paused["reached"], paused["changed"]) == (False, "paused", True, False)
    assert paused["stop"]["lsn"]
    assert story.rows == ["a", "b"]

    refused = run("recovery", target)
    assert refused["failed"]
    assert "promote: true" in refused["msg"]
    other = run("recovery", {**target, "target": "another", "promote": True})
    assert other["failed"]
    assert "restore point before_c, not at the target name another" in other["msg"]
    check = run("recovery", {**target, "promote": True}, check=True)
    assert (check["changed"], check["diff"]["after"]["state"]) == (True, "promoted")
    assert story.cluster.sql("SELECT pg_is_in_recovery()") == [("t",)]

    promoted = run("recovery", {**target, "promote": True})
    assert not promoted["failed"], promoted
    assert (promoted["outcome"], promoted["changed"], promoted["reached"]) == ("promoted", True, True)
    assert promoted["diff"]["before"]["state"] == "paused"
    assert run("recovery", {**target, "promote": True})["changed"] is False

    story.restore("--type=standby")
    following = run("recovery", {**story.params, "state": "following"})
    assert (following["failed"], following["outcome"]) == (False, "following"), following
    assert run("recovery", story.params)["msg"].startswith("The server is following and will not be promoted")
    promoted = run("recovery", {**story.params, "target_type": "default", "promote": True})
    assert not promoted["failed"], promoted
    assert (promoted["outcome"], promoted["reached"], promoted["changed"]) == ("promoted", True, True)
    late = run("recovery", {**story.params, "state": "following"})
    assert "promoted already" in late["msg"]


def test_every_kind_of_target_is_recognised(story: Story, run: Run) -> None:
    values = {"xid": story.xid_b, "xid exclusive": story.xid_b, "lsn": story.lsn_c, "immediate": None, "default": None}
    for kind, value in values.items():
        kind, dummy, exclusive = kind.partition(" ")
        words = [f"--target={value}"] if value else []
        words += ["--target-exclusive"] if exclusive else []
        words += ["--target-action=promote"] if kind != "default" else []
        story.restore(f"--type={kind}", *words)
        options = {"target_type": kind, "target": value, "target_exclusive": bool(exclusive)}
        result = run("recovery", {**story.params, **options})
        assert not result["failed"], result
        assert (result["outcome"], result["reached"]) == ("promoted", True)


def test_shutdown_at_the_target_and_a_server_that_takes_too_long(story: Story, run: Run) -> None:
    story.restore("--type=name", "--target=before_c", "--target-action=shutdown")
    shutdown = run("recovery", {**story.params, "target_type": "name", "target": "before_c"})
    assert shutdown["failed"]
    assert (shutdown["outcome"], shutdown["reached"]) == ("shut_down", True)
    assert "recovery_target_action=shutdown" in shutdown["msg"]
    asked = run("recovery", {**story.params, "state": "shut_down", "target_type": "name", "target": "before_c"})
    assert (asked["outcome"], asked["reached"], asked["changed"]) == ("shut_down", True, False)

    story.restore("--type=name", "--target=before_c", "--recovery-option=restore_command=sleep 300")
    late = run("recovery", {**story.params, "timeout": 1})
    assert (late["failed"], late["outcome"]) == (True, "timeout")
    assert "PostgreSQL goes on" in late["msg"]
    story.cluster.stop("immediate")


def test_a_server_that_nobody_can_connect_to_while_it_recovers(story: Story, run: Run) -> None:
    story.restore("--type=time", f"--target={story.before_c}", "--target-action=promote", hot_standby="off")
    result = run("recovery", {**story.params, "target_type": "time", "target": story.before_c})
    assert (result["failed"], result["reached"]) == (False, True), result
    assert story.rows == ["a", "b"]
    story.restore("--type=standby", hot_standby="off")
    following = run("recovery", {**story.params, "state": "following"})
    assert (following["failed"], following["outcome"]) == (False, "following"), following


def test_a_server_that_was_not_restored_is_wrong_or_does_not_run(story: Story, run: Run) -> None:
    target = {"target_type": "time", "target": story.before_b}
    wrong = run("recovery", {**story.params, **target})
    assert wrong["failed"]
    assert "timeline 1" in wrong["msg"]
    assert run("recovery", {**story.params, **target}, check=True)["failed"] is False
    assert run("recovery", story.params)["failed"] is False

    copy = story.cluster.root / "copy"
    subprocess.run(["cp", "-a", str(story.cluster.pgdata), str(copy)], check=True)
    other = run("recovery", {**story.params, **story.cluster.login, "pgdata": str(copy)})
    assert "works on" in other["msg"]
    stranger = run("recovery", {**story.params, "login_user": "nobody_there"})
    assert "nobody_there" in stranger["msg"]

    story.cluster.stop()
    down = run("recovery", story.params)
    assert (down["failed"], down["outcome"]) == (True, "exited")
    assert "PostgreSQL was stopped" in down["msg"]


def test_bad_input_is_refused_before_anything(run: Run, root_directory: Path) -> None:
    params = {"pgdata": str(root_directory)}
    no_offset = run("recovery", {**params, "target_type": "time", "target": "2026-05-01 12:00:00"})
    assert "no offset from UTC" in no_offset["msg"]
    assert "required by" in run("recovery", {**params, "target": "x"})["msg"]
    assert run("recovery", params)["failed"]
    assert run("recovery", params, check=True)["outcome"] == "exited"
