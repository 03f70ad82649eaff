# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the plan of a restore proves and refuses, with real archives. It never writes anything."""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import time
import typing as t
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

Run = t.Callable[..., dict[str, t.Any]]
Hash = t.Callable[[t.Any], str]
NOW = "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00')"


def problems(result: dict[str, t.Any]) -> dict[str, str]:
    """Sentences of the problems of a refused plan, by code."""
    assert result["failed"], result
    return {problem["code"]: problem["sentence"] for problem in result.get("problems", [])}


def planned(result: dict[str, t.Any]) -> dict[str, t.Any]:
    """The plan of a restore that is possible."""
    assert not result["failed"], result
    return t.cast("dict[str, t.Any]", result["plan"])


def to_time(cluster: t.Any, moment: str, **more: t.Any) -> dict[str, t.Any]:
    return {**cluster.common, "delta": True, "type": "time", "target": moment, **more}


def segments(cluster: t.Any, repository: str = "repo") -> list[Path]:
    """Archived segments, oldest first."""
    found = (cluster.root / repository / "archive" / "main").rglob("*-*.gz")
    return sorted(path for path in found if len(path.name.partition("-")[0]) == 24)


def segment_name(path: Path) -> str:
    return path.name[:24]


def commit_and_archive(cluster: t.Any, *values: str) -> list[str]:
    """Each value in a segment of its own; returns a time after each commit and before the next."""
    moments = []
    for value in values:
        cluster.sql(f"INSERT INTO t VALUES ('{value}')")
        time.sleep(0.05)
        moments.append(cluster.sql(NOW)[0][0])
        time.sleep(0.05)
        cluster.archive()
    return moments


def is_left_behind() -> bool:
    """Whether a reader left its temporary directory; others may be at work on this machine at the same time."""
    return any(os.stat(path).st_mtime < time.time() - 600 for path in glob.glob("/var/tmp/pgops-wal-*"))


def test_a_target_after_the_last_commit_is_refused_with_the_window(
    stopped: t.Any, history: dict[str, str], run: Run, tree_hash: Hash
) -> None:
    before = tree_hash(stopped.root)
    result = run("restore", to_time(stopped, datetime.now(UTC).isoformat(sep=" ")), check=True)
    assert list(problems(result)) == ["target_after_last_commit"]
    assert f"From backup set {history['label']} recovery can reach " in result["msg"]
    plan = planned(run("restore", to_time(stopped, history["time"]), check=True))
    last = datetime.fromisoformat(plan["window"]["latest_time"])
    assert last > datetime.fromisoformat(f"{history['time']}:00")
    assert str(last) in problems(result)["target_after_last_commit"]
    exactly = run("restore", to_time(stopped, str(last)), check=True)
    assert list(problems(exactly)) == ["target_after_last_commit"]  # PostgreSQL must read a later one to stop
    assert planned(run("restore", to_time(stopped, str(last), target_exclusive=True), check=True))
    assert planned(run("restore", to_time(stopped, str(last - timedelta(microseconds=1))), check=True))
    lsn = {**stopped.common, "delta": True, "type": "lsn"}
    assert planned(run("restore", {**lsn, "target": plan["window"]["latest_lsn"]}, check=True))
    for target in ("0/FF000000", plan["window"]["latest_lsn"][:-1] + "F"):
        refused = run("restore", {**lsn, "target": target}, check=True)
        assert list(problems(refused)) == ["target_after_last_commit"], target
    assert tree_hash(stopped.root) == before
    assert not is_left_behind()


@pytest.mark.parametrize("crash", [False, True])
def test_wal_that_only_this_host_has_counts(stopped: t.Any, history: dict[str, str], run: Run, crash: bool) -> None:
    stopped.start()
    stopped.sql("INSERT INTO t VALUES ('third')")
    target = stopped.sql(NOW)[0][0]
    time.sleep(0.05)
    stopped.sql("INSERT INTO t VALUES ('fourth')")
    elsewhere = run("restore", to_time(stopped, target, pgdata=str(stopped.root / "new")), check=True)
    assert "target_after_last_commit" in problems(elsewhere)
    plan = planned(run("restore", to_time(stopped, target), check=True))
    assert plan["wal"]["from_local"] >= 1
    assert "PostgreSQL runs on" in " ".join(plan["warnings"])
    stopped.configure(archive_command="false")
    stopped.sql("SELECT pg_reload_conf()")
    stopped.stop("immediate" if crash else "fast")
    # A segment under a future name has old content and proves nothing.
    wal = stopped.pgdata / "pg_wal"
    newest = max(path.name for path in wal.iterdir() if len(path.name) == 24)
    shutil.copy2(wal / plan["wal"]["last"], wal / f"{newest[:16]}000000FE")
    again = planned(run("restore", to_time(stopped, target), check=True))
    last = int(plan["wal"]["last"], 16)
    # A clean shutdown ends the segment and writes its checkpoint into the next one.
    assert int(again["wal"]["last"], 16) == (last if crash else last + 1)
    assert again["rescue"]["segments"] >= 1
    result = run("restore", to_time(stopped, target, target_action="promote"))
    assert not result["failed"], result
    assert stopped.rows() == ["in backup", "first", "second", "third"]


def test_a_gap_is_named_and_what_lies_before_it_can_be_reached(
    stopped: t.Any, history: dict[str, str], run: Run, tree_hash: Hash
) -> None:
    stopped.start()
    moments = commit_and_archive(stopped, "a", "b", "c", "d")
    stopped.stop()
    whole = planned(run("restore", to_time(stopped, moments[2]), check=True))["wal"]
    gone = segments(stopped)[-3]
    kept = stopped.make_directory("kept") / gone.name
    shutil.move(gone, kept)
    local = stopped.pgdata / "pg_wal" / segment_name(gone)
    if local.exists():  # pg_wal still has it: then nothing is missing
        plan = planned(run("restore", to_time(stopped, moments[2]), check=True))
        assert plan["wal"] == {**whole, "from_local": whole["from_local"] + 1}
        local.unlink()
    before = tree_hash(stopped.root)
    for params in (to_time(stopped, moments[2]), {**stopped.common, "delta": True}):
        result = run("restore", params, check=True)
        assert list(problems(result)) == ["wal_gap"], result
        assert f"WAL {segment_name(gone)} is missing" in problems(result)["wal_gap"]
        assert "recovery can reach" in result["msg"]
    assert planned(run("restore", to_time(stopped, history["time"]), check=True))
    found = planned(run("restore", {**stopped.common, "delta": True, "type": "immediate"}, check=True))
    assert found["wal"]["segments"] == 1
    assert tree_hash(stopped.root) == before
    rescued = stopped.root / "pgdata.restore" / "rescued" / str(found["directory"]["system_identifier"])
    rescued.mkdir(parents=True)
    with open(rescued / segment_name(gone), "wb") as file:
        subprocess.run(["gunzip", "-c", str(kept)], stdout=file, check=True)
    subprocess.run(["chown", "-R", "--reference", str(stopped.pgdata), str(rescued.parents[1])], check=True)
    plan = planned(run("restore", to_time(stopped, moments[2]), check=True))
    assert plan["wal"] == {**whole, "from_local": whole["from_local"] + 1}


def test_the_wal_of_the_backup_itself_must_be_there(stopped: t.Any, history: dict[str, str], run: Run) -> None:
    start = stopped.info()["backup"][0]["archive"]["start"]
    first = next(path for path in segments(stopped) if segment_name(path) == start)
    first.unlink()
    for path in (stopped.pgdata / "pg_wal").iterdir():
        if path.is_file():
            path.unlink()
    result = run("restore", {**stopped.common, "delta": True, "type": "immediate"}, check=True)
    assert list(problems(result)) == ["wal_missing"]
    assert segment_name(first) in problems(result)["wal_missing"]


def recovered_twice(cluster: t.Any, history: dict[str, str], run: Run) -> str:
    """A cluster that was recovered to an earlier moment and went on; returns a time on its new timeline."""
    params = {**cluster.common, "delta": True, "type": "xid", "target": history["xid"], "target_action": "promote"}
    assert run("restore", params)["changed"]
    cluster.open_up()
    moment = commit_and_archive(cluster, "on two", "on two as well")[0]
    cluster.stop()
    return moment


def test_the_timeline_of_a_second_recovery_is_picked_or_asked_for(
    stopped: t.Any, history: dict[str, str], run: Run, tree_hash: Hash
) -> None:
    moment = recovered_twice(stopped, history, run)
    began = next((stopped.repo / "archive").rglob("00000002.history"))
    before = datetime.fromisoformat(f"{history['time']}:00").timestamp()
    os.utime(began, (before + 30, before + 30))
    asked = run("restore", to_time(stopped, history["time"], repeat=True), check=True)
    assert "began within a minute of the target time" in problems(asked)["timeline"]
    os.utime(began, (before + 90, before + 90))
    tree = tree_hash(stopped.root)
    plan = planned(run("restore", to_time(stopped, history["time"], repeat=True), check=True))
    assert (plan["window"]["timeline"], plan["recovery_settings"]["recovery_target_timeline"]) == (1, "1")
    assert "it was in use at the target time: timeline 2 began" in " ".join(plan["text"])
    old = datetime.fromisoformat(f"{moment}:00").timestamp() - 90
    os.utime(began, (old, old))
    for path in segments(stopped):
        if path.name.startswith("00000001"):
            os.utime(path, (old - 10, old - 10))
    plan = planned(run("restore", to_time(stopped, moment), check=True))
    assert (plan["window"]["timeline"], plan["recovery_settings"]["recovery_target_timeline"]) == (2, "2")
    newest = planned(run("restore", {**stopped.common, "delta": True}, check=True))
    assert newest["window"]["timeline"] == 2
    point = {**stopped.common, "delta": True, "type": "name", "target": "before_second"}
    assert "can be on timeline 1 and on timeline 2" in problems(run("restore", point, check=True))["timeline"]
    assert planned(run("restore", {**point, "target_timeline": "current"}, check=True))["window"]["timeline"] == 1
    refused = run("restore", {**point, "target_timeline": "latest"}, check=True)
    assert list(problems(refused)) == ["not_found"]
    assert list(problems(run("restore", {**point, "target_timeline": "7"}, check=True))) == ["timeline"]
    assert tree != tree_hash(stopped.root)  # the times that this test has set, nothing else
    result = run("restore", to_time(stopped, moment, target_action="promote"))
    assert not result["failed"], result
    assert stopped.rows() == ["in backup", "first", "on two"]


def test_a_cluster_that_was_put_back_is_not_restored_to_the_timeline_given_up(
    stopped: t.Any, history: dict[str, str], run: Run
) -> None:
    kept = stopped.root / "kept"
    subprocess.run(["cp", "-a", str(stopped.pgdata), str(kept)], check=True)
    recovered_twice(stopped, history, run)
    stopped.start()
    given_up = stopped.backup()
    stopped.stop()
    for path in (stopped.repo / "archive").rglob("00000002*"):
        if path.is_file():
            os.utime(path, (time.time() - 300, time.time() - 300))
    shutil.rmtree(stopped.pgdata)
    kept.rename(stopped.pgdata)
    stopped.start()
    time.sleep(1.1)
    moment, later = commit_and_archive(stopped, "lives on", "for long")
    stopped.stop()
    plan = planned(run("restore", to_time(stopped, moment), check=True))
    assert (plan["backup"]["label"], plan["window"]["timeline"]) == (history["label"], 1)
    assert plan["recovery_settings"]["recovery_target_timeline"] == "1"
    refused = run("restore", to_time(stopped, moment, set=given_up), check=True)
    assert "The backup is of timeline 2, which left timeline 1 at " in problems(refused)["timeline"]
    for params in (
        {"type": "xid", "target": "100000", "set": given_up},
        {"type": "lsn", "target": "0/F000000"},  # beyond both: refused, whatever is looked at
        to_time(stopped, later),  # no commit after it
        {"type": "default"},
    ):
        assert run("restore", {**stopped.common, "delta": True, **params}, check=True)["failed"], params
    newest = max((stopped.repo / "archive").rglob("00000002????????????????-*"))
    os.utime(newest)  # now timeline 2 was written to after the moment as well
    asked = run("restore", to_time(stopped, moment), check=True)
    assert "both written to after the target time" in problems(asked)["timeline"]
    os.utime(newest, (time.time() - 300, time.time() - 300))
    result = run("restore", to_time(stopped, moment, target_action="promote"))
    assert not result["failed"], result
    assert stopped.rows() == ["in backup", "first", "second", "lives on"]


def test_a_cluster_that_could_not_archive_is_not_restored_in_place(
    stopped: t.Any, history: dict[str, str], run: Run, tree_hash: Hash
) -> None:
    archive = stopped.repo / "archive" / "main"
    archive.chmod(0o550)
    before = tree_hash(stopped.root)
    in_place = to_time(stopped, history["time"])
    for params, check in ((in_place, True), (in_place, False), ({**in_place, "delta": False, "swap": True}, False)):
        result = run("restore", params, check=check)
        assert list(problems(result)) == ["repository_read_only"], result
        assert f"cannot write to {archive}, the archive of repository 1" in result["msg"]
    copy = {**in_place, "pgdata": str(stopped.root / "copy"), "archive_mode": "off"}
    plan = planned(run("restore", copy, check=True))
    assert (plan["copy_of"], plan["warnings"]) == (str(stopped.pgdata), [])
    assert tree_hash(stopped.root) == before
    archive.chmod(0o750)
    link = stopped.root / "by-another-name"
    link.symlink_to(stopped.pgdata)
    assert planned(run("restore", {**in_place, "pgdata": str(link)}, check=True))["copy_of"] is None


def test_the_repository_that_serves_is_taken_and_said_why(stopped: t.Any, history: dict[str, str], run: Run) -> None:
    stopped.make_directory("second")
    stopped.options.update({"repo2-path": str(stopped.root / "second"), "repo2-retention-full": "2"})
    stopped.write_config()
    stopped.start()
    stopped.pgbackrest("stanza-create")
    stopped.pgbackrest("--type=full", "--repo=2", "backup")
    time.sleep(1.1)
    moments = commit_and_archive(stopped, "a", "b", "c")
    stopped.stop()
    both = planned(run("restore", to_time(stopped, moments[1]), check=True))
    assert both["backup"]["repo_key"] == 1
    gone = segments(stopped)[-2]
    gone.unlink()
    (stopped.pgdata / "pg_wal" / segment_name(gone)).unlink(missing_ok=True)
    plan = planned(run("restore", to_time(stopped, moments[1]), check=True))
    assert plan["backup"]["repo_key"] == 2
    assert f"WAL {segment_name(gone)} is missing in repository 1" in " ".join(plan["warnings"])
    assert list(problems(run("restore", to_time(stopped, moments[1], repo=1), check=True))) == ["wal_gap"]
    early = planned(run("restore", to_time(stopped, history["time"]), check=True))
    assert early["backup"]["repo_key"] == 1
    result = run("restore", to_time(stopped, moments[1], target_action="promote"))
    assert not result["failed"], result
    assert stopped.rows() == ["in backup", "first", "second", "a", "b"]


@pytest.mark.matrix
def test_nothing_is_needed_of_the_lost_directory(
    stopped: t.Any, history: dict[str, str], run: Run, tree_hash: Hash
) -> None:
    """Also: every pgBackRest takes the stand-in for pg_control."""
    proofless = not os.path.exists(f"{stopped.bindir}/pg_waldump")
    params = to_time(stopped, history["time"], allow_unproven=proofless, target_action="promote")
    shutil.rmtree(stopped.pgdata)
    before = tree_hash(stopped.root)
    plan = planned(run("restore", params, check=True))
    assert (plan["directory"]["state"], plan["wal"]["from_local"]) == ("missing", 0)
    assert proofless == any("could not be proven" in warning for warning in plan["warnings"])
    assert proofless == (plan["window"]["latest_time"] is None)
    if proofless:
        refused = run("restore", {**params, "allow_unproven": False}, check=True)
        assert "pg_waldump" in problems(refused)["not_proven"]
    assert tree_hash(stopped.root) == before
    stopped.pgdata.mkdir(mode=0o700)
    shutil.chown(stopped.pgdata, "postgres") if os.geteuid() == 0 else None
    assert planned(run("restore", params, check=True))["directory"]["state"] == "empty"
    result = run("restore", params)
    assert not result["failed"], result
    assert stopped.rows() == ["in backup", "first"]


def test_another_clusters_directory_neither_helps_nor_hinders(
    stopped: t.Any, history: dict[str, str], run: Run
) -> None:
    shutil.rmtree(stopped.pgdata)
    stopped.initdb()
    result = run("restore", to_time(stopped, history["time"]), check=True)
    assert list(problems(result)) == ["foreign_cluster"]  # the target itself was proven
    result = run("restore", to_time(stopped, datetime.now(UTC).isoformat(sep=" ")), check=True)
    assert sorted(problems(result)) == ["foreign_cluster", "target_after_last_commit"]


def test_transactions_and_restore_points_must_be_in_the_wal(
    stopped: t.Any, history: dict[str, str], run: Run, tree_hash: Hash
) -> None:
    before = tree_hash(stopped.root)
    base = {**stopped.common, "delta": True}
    absent = str(int(history["xid"]) + 1000)
    for kind, value, code in (
        ("xid", absent, "not_found"),
        ("name", "never made", "not_found"),
        ("name", "before_secon", "not_found"),
        ("xid", history["xid"], None),
        ("name", "before_second", None),
    ):
        result = run("restore", {**base, "type": kind, "target": value}, check=True)
        assert (list(problems(result)) if code else not result["failed"]) == ([code] if code else True), result
    assert tree_hash(stopped.root) == before
    stopped.start()
    label = stopped.backup("full")
    stopped.stop()
    early = run("restore", {**base, "type": "xid", "target": history["xid"], "set": label}, check=True)
    assert list(problems(early)) == ["not_found"]
    assert planned(
        run("restore", {**base, "type": "xid", "target": history["xid"], "set": history["label"]}, check=True)
    )


def test_prepared_transactions_and_rollbacks_are_targets(stopped: t.Any, history: dict[str, str], run: Run) -> None:
    stopped.configure(max_prepared_transactions="2")
    stopped.start()
    prepared = stopped.sql("BEGIN; INSERT INTO t VALUES ('p') RETURNING txid_current(); PREPARE TRANSACTION 'p'")[0][0]
    rolled_back = stopped.sql("BEGIN; INSERT INTO t VALUES ('r') RETURNING txid_current(); ROLLBACK")[0][0]
    stopped.archive()
    base = {**stopped.common, "delta": True, "type": "xid"}
    assert list(problems(run("restore", {**base, "target": prepared}, check=True))) == ["not_found"]
    assert planned(run("restore", {**base, "target": rolled_back}, check=True))
    stopped.sql("COMMIT PREPARED 'p'")
    assert planned(run("restore", {**base, "target": prepared}, check=True))


def test_an_encrypted_repository_is_read_as_any_other(cluster: t.Any, run: Run) -> None:
    secret = "correct-horse-battery-staple"
    cluster.options = {"repo1-cipher-type": "aes-256-cbc", "repo1-cipher-pass": secret, "compress-type": "zst"}
    cluster.protect()
    cluster.sql("CREATE TABLE t (v text)")
    cluster.backup()
    time.sleep(1.1)
    xid = cluster.sql("INSERT INTO t VALUES ('a') RETURNING txid_current()")[0][0]
    moments = commit_and_archive(cluster, "b", "c")
    cluster.stop()
    shutil.rmtree(cluster.pgdata)
    plan = planned(run("restore", to_time(cluster, moments[0]), check=True))
    assert plan["window"]["latest_time"] > moments[0][:26]
    assert planned(run("restore", {**cluster.common, "type": "xid", "target": xid}, check=True))
    late = run("restore", to_time(cluster, datetime.now(UTC).isoformat(sep=" ")), check=True)
    assert list(problems(late)) == ["target_after_last_commit"]
    assert secret not in str(late) + str(plan)


def test_programs_of_another_version_prove_nothing(stopped: t.Any, history: dict[str, str], run: Run) -> None:
    wrong = stopped.make_directory("programs")
    for name in ("postgres", "pg_waldump"):
        (wrong / name).write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) 9.6.24'\n", encoding="utf-8")
        (wrong / name).chmod(0o755)
    result = run("restore", to_time(stopped, history["time"], bindir=str(wrong)), check=True)
    assert f"{wrong} has no PostgreSQL 15" in problems(result)["not_proven"]
    allowed = run("restore", to_time(stopped, history["time"], bindir=str(wrong), allow_unproven=True), check=True)
    assert any("could not be proven" in warning for warning in planned(allowed)["warnings"])
    assert planned(run("restore", to_time(stopped, history["time"], bindir=stopped.bindir), check=True))
