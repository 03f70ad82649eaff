# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module restore against real pgBackRest and PostgreSQL: rows, refusals, interrupted restores."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import threading
import time
import typing as t
from pathlib import Path

import pytest

Run = t.Callable[..., dict[str, t.Any]]
Hash = t.Callable[[t.Any], str]
EARLY = "2020-01-01 00:00:00+00:00"


def codes(result: dict[str, t.Any]) -> list[str]:
    """Codes of the problems of a refused restore."""
    assert result["failed"], result
    return [problem["code"] for problem in result.get("problems", [])]


@pytest.mark.matrix
def test_every_target_gives_its_rows_and_a_second_run_changes_nothing(
    stopped: t.Any, history: dict[str, str], run: Run, tree_hash: Hash
) -> None:
    copies = {"archive_mode": "off"} if stopped.pg_major >= 12 else {}
    # PostgreSQL 11 and 18 may be here without pg_waldump; then nothing but recovery itself shows the target.
    proofless = {} if os.path.exists(f"{stopped.bindir}/pg_waldump") else {"allow_unproven": True}
    params = {**stopped.restoring, "delta": True, **copies, **proofless}
    at = {**params, "target_action": "promote", "target_timeline": "current"}
    cases: list[tuple[dict[str, t.Any], list[str]]] = [
        ({**params, "type": "immediate", "target_action": "promote"}, ["in backup"]),
        ({**at, "type": "xid", "target": history["xid"]}, ["in backup", "first"]),
        ({**at, "type": "xid", "target": history["xid"], "target_exclusive": True}, ["in backup"]),
        ({**at, "type": "lsn", "target": history["lsn"]}, ["in backup", "first"]),
        ({**at, "type": "name", "target": "before_second"}, ["in backup", "first"]),
        ({**at, "type": "time", "target": history["time"]}, ["in backup", "first"]),
        # The promotions before were not archived: without its timeline the module asks which one is meant.
        ({**params, "type": "default", "target_timeline": "current"}, ["in backup", "first", "second"]),
    ]
    for number, (case, expected) in enumerate(cases):
        result = run("restore", case)
        assert not result["failed"], result
        assert result["changed"]
        assert result["backup"]["label"] == history["label"]
        before = tree_hash(stopped.root)
        for check in (False, True) if number == 0 else (False,):
            again = run("restore", case, check=check)
            assert not again["failed"], again
            assert not again["changed"]
            assert again["diff"]["before"] == again["diff"]["after"]
            assert again["plan"]["mode"] == "none"
        assert tree_hash(stopped.root) == before
        assert stopped.rows() == expected, case
    assert result["restored"]["copied_bytes"] < result["restored"]["bytes"]


def test_check_mode_returns_the_plan_and_touches_nothing(
    stopped: t.Any, history: dict[str, str], run: Run, tree_hash: Hash
) -> None:
    before = tree_hash(stopped.root)
    params = {**stopped.restoring, "delta": True, "type": "time", "target": history["time"]}
    result = run("restore", params, check=True)
    assert result["changed"], result
    assert tree_hash(stopped.root) == before
    plan = result["plan"]
    assert plan["mode"] == "delta"
    assert plan["backup"]["label"] == history["label"]
    assert plan["directory"]["state"] == "cluster"
    assert [place["path"] for place in plan["overwrites"]] == [str(stopped.pgdata)]
    assert plan["target"]["action"] == "pause"
    assert "restored" not in result
    assert history["label"] in result["diff"]["after"]["directory"]
    missing = run("restore", {**params, "pgdata": str(stopped.root / "new")}, check=True)
    assert missing["plan"]["directory"]["state"] == "missing"
    assert "is not pg1-path of stanza main" in missing["plan"]["warnings"][0]
    assert tree_hash(stopped.root) == before


def test_refusals_name_the_reason_and_touch_nothing(
    stopped: t.Any, history: dict[str, str], run: Run, tree_hash: Hash
) -> None:
    stopped.start()
    second = stopped.backup("incr")
    common = stopped.restoring
    refused = run("restore", {**common, "delta": True, "type": "xid", "target": history["xid"]})
    assert codes(refused) == ["set_required", "running"]
    assert f"PostgreSQL runs on {stopped.pgdata} (process " in refused["msg"]
    planned = run("restore", {**common, "delta": True, "type": "immediate", "set": "latest"}, check=True)
    assert planned["changed"] and "The plan holds once it is stopped." in planned["plan"]["warnings"][0]
    assert stopped.sql("SELECT 1") == [("1",)]
    stopped.stop()
    (stopped.root / "other").mkdir(mode=0o755)
    (stopped.root / "other" / "file").touch()
    shutil.chown(stopped.root / "other", "postgres") if os.geteuid() == 0 else None
    before = tree_hash(stopped.root)
    to_time = {"delta": True, "type": "time", "target": history["time"]}
    cases: list[tuple[dict[str, t.Any], list[str], str]] = [
        ({}, ["not_empty"], "Set delta: true to bring it back in place"),
        ({"delta": True, "type": "time", "target": EARLY}, ["target_too_early"], "repository 1 reaches back to"),
        ({"delta": True, "type": "lsn", "target": "0/1000028"}, ["target_too_early"], "0/2000"),
        ({"delta": True, "type": "time", "target": "2099-01-01T00:00Z"}, ["target_in_future"], "is in the future"),
        ({"delta": True, "type": "time", "target": "2026-05-01 10:00:00"}, ["target"], "has no offset from UTC"),
        ({"delta": True, "set": "20200101-000000F"}, ["set_unknown"], history["label"]),
        ({"delta": True, "type": "immediate"}, ["set_required"], second),
        ({"delta": True, "type": "name", "target": "before_second"}, ["set_required"], "Name in set the backup"),
        ({**to_time, "set": second}, ["set_after_target"], "earlier set"),
        ({"delta": True, "pgdata": str(stopped.root / "other")}, ["not_a_cluster"], "neither PG_VERSION nor"),
        ({"delta": True, "db_include": ["nothing"]}, ["database_unknown"], "Its databases: none."),
        ({"delta": True, "db_include": ["postgres"]}, ["database_system"], "always restored"),
        ({"delta": True, "tablespace_map": {"fast": "/x"}}, ["tablespace_unknown"], "Its tablespaces: none."),
        ({"delta": True, "target_action": "promote"}, ["target"], "Type default takes no target_action"),
        ({"delta": True, "recovery_options": {"recovery_target_xid": "1"}}, ["recovery_options"], "contradict"),
        ({"pgdata": "/usr/restored"}, ["not_writable"], "can neither write to /usr/restored nor create it"),
    ]
    for options, expected, text in cases:
        result = run("restore", {**common, **options})
        assert codes(result) == expected, (options, result)
        assert text in result["msg"], result["msg"]
    several = run("restore", {**common, "type": "time", "target": EARLY})
    assert codes(several) == ["target_too_early", "not_empty"]
    assert "1) " in several["msg"] and "2) " in several["msg"]
    assert tree_hash(stopped.root) == before


def test_another_clusters_directory_is_refused(
    stopped: t.Any, history: dict[str, str], run: Run, tree_hash: Hash
) -> None:
    shutil.rmtree(stopped.pgdata)
    stopped.initdb()
    before = tree_hash(stopped.root)
    result = run("restore", {**stopped.restoring, "delta": True})
    assert codes(result) == ["foreign_cluster"]
    assert "holds another cluster" in result["msg"]
    os.unlink(stopped.pgdata / "global" / "pg_control")
    assert codes(run("restore", {**stopped.restoring, "delta": True})) == ["unknown_cluster"]
    (stopped.pgdata / "postmaster.pid").write_text("4194303\n", encoding="utf-8")
    result = run("restore", {**stopped.restoring, "delta": True})
    assert codes(result) == ["stale_pid", "unknown_cluster"]
    (stopped.pgdata / "postmaster.pid").unlink()
    (stopped.pgdata / "global" / "pg_control").touch()
    assert before  # the directory differs by what this test did to it
    assert codes(run("restore", {**stopped.restoring, "delta": True})) == ["unknown_cluster"]


def test_unusable_repositories_and_configurations_are_explained(
    stopped: t.Any, history: dict[str, str], run: Run, tree_hash: Hash
) -> None:
    common = {**stopped.restoring, "delta": True}
    before = tree_hash(stopped.pgdata)
    stopped.write_config({"repo1-cipher-type": "aes-256-cbc", "repo1-cipher-pass": "wrong"})
    assert "repo1-cipher-pass" in run("restore", common)["msg"]
    stopped.write_config({"repo1-path": str(stopped.root / "nowhere")})
    assert "whether its file system is mounted" in run("restore", common)["msg"]
    stopped.write_config()
    assert "Stanza wrong is not in the configuration" in run("restore", {**common, "stanza": "wrong"})["msg"]
    stopped.pgbackrest("stop")
    if stopped.pgbackrest_version < (2, 48):
        assert codes(run("restore", common, check=True)) == ["stopped"]
    stopped.pgbackrest("start")
    os.chmod(stopped.repo / "backup", 0)
    if os.geteuid() == 0 or stopped.repo.stat().st_uid == os.geteuid():
        assert codes(run("restore", common)) == ["repository_unusable"]
    os.chmod(stopped.repo / "backup", 0o750)
    assert tree_hash(stopped.pgdata) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be root")
def test_root_is_told_to_become_the_owner(stopped: t.Any, history: dict[str, str], run: Run) -> None:
    result = run("restore", {**stopped.restoring, "delta": True}, root=True)
    assert "become_user: postgres" in result["msg"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small file system")
def test_a_disk_too_small_is_found_before(stopped: t.Any, history: dict[str, str], run: Run) -> None:
    small = stopped.make_directory("small")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(small)], check=False).returncode:
        pytest.skip("this machine allows no mount")
    try:
        result = run("restore", {**stopped.restoring, "pgdata": str(small / "pg")})
        assert codes(result) == ["space"]
        assert "free" in result["msg"]
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_two_restores_at_once_are_refused(stopped: t.Any, history: dict[str, str], run: Run) -> None:
    descriptor = os.open(stopped.pgdata, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        assert codes(run("restore", {**stopped.restoring, "delta": True})) == ["locked"]
    finally:
        os.close(descriptor)


def kill_in_the_middle(cluster: t.Any, *words: str) -> None:
    """Start a restore with pgBackRest alone and kill it and its workers as soon as files arrive."""
    argv = [cluster.executable, f"--config={cluster.config}", "--stanza=main", "--process-max=1", *words, "restore"]
    prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    with subprocess.Popen([*prefix, *argv], cwd="/", start_new_session=True) as process:
        deadline = time.monotonic() + 10
        while not (cluster.pgdata / "backup.manifest").exists() and time.monotonic() < deadline:
            time.sleep(0.001)
        os.killpg(process.pid, signal.SIGKILL)
    time.sleep(0.3)
    assert (cluster.pgdata / "backup.manifest").exists(), "the restore was over too soon"


@pytest.mark.parametrize("in_place", [True, False])
def test_an_interrupted_restore_is_finished_with_delta(
    stopped: t.Any, history: dict[str, str], run: Run, in_place: bool
) -> None:
    if not in_place:
        shutil.rmtree(stopped.pgdata)
        shutil.copytree(stopped.make_directory("empty"), stopped.pgdata)
        os.chmod(stopped.pgdata, 0o700)
        shutil.chown(stopped.pgdata, "postgres") if os.geteuid() == 0 else None
    kill_in_the_middle(stopped, *(["--delta"] if in_place else []))
    refused = run("restore", stopped.restoring)
    assert codes(refused) == ["unfinished"]
    assert "holds an unfinished restore of backup" in refused["msg"]
    result = run("restore", {**stopped.restoring, "delta": True})
    assert not result["failed"], result
    assert stopped.rows() == ["in backup", "first", "second"]


def is_locked_out(result: dict[str, t.Any]) -> bool:
    """Whether the restore is refused because another one works, and for no other reason."""
    return bool(result["failed"]) and codes(result) == ["locked"]


def kill_when_files_arrive(pgdata: Path) -> None:
    """Kill the pgBackRest that restores to this directory as soon as it writes."""
    deadline = time.monotonic() + 20
    while not (pgdata / "backup.manifest").exists() and time.monotonic() < deadline:
        time.sleep(0.001)
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = entry.read_bytes().decode().split("\0")
            if f"--pg1-path={pgdata}" in words and "restore" in words:
                os.kill(int(entry.parent.name), signal.SIGKILL)


def test_a_failing_restore_says_what_it_leaves_behind(stopped: t.Any, history: dict[str, str], run: Run) -> None:
    new = stopped.root / "new"
    params = {**stopped.restoring, "pgdata": str(new), "archive_mode": "off"}
    killer = threading.Thread(target=kill_when_files_arrive, args=[new])
    killer.start()
    result = run("restore", params)
    killer.join()
    assert result["failed"]
    assert "pgbackrest restore was killed by signal 9" in result["msg"]
    assert f"{new} holds half a restore now" in result["msg"], result["msg"]
    deadline = time.monotonic() + 30
    while is_locked_out(again := run("restore", {**params, "delta": True})) and time.monotonic() < deadline:
        time.sleep(0.5)  # workers of the killed pgBackRest hold its lock until they notice
    assert again["changed"], again


def test_tablespaces_are_mapped_and_databases_left_out(protected: t.Any, run: Run, tree_hash: Hash) -> None:
    old = protected.make_directory("old_fast")
    protected.sql(f"CREATE TABLESPACE fast LOCATION '{old}'")
    protected.sql("CREATE DATABASE kept")
    protected.sql("CREATE DATABASE dropped TABLESPACE fast")
    protected.sql("CREATE TABLE t (v text) TABLESPACE fast", "kept")
    protected.sql("INSERT INTO t VALUES ('in backup')", "kept")
    protected.backup()
    protected.archive()
    protected.stop()
    copy = protected.root / "copy"
    params = {**protected.restoring, "pgdata": str(copy), "archive_mode": "off"}
    before = tree_hash(protected.root)
    refused = run("restore", params)
    assert codes(refused) == ["place_not_empty"]
    assert f"{old}, where tablespace fast comes to, is not empty" in refused["msg"]
    inside = run("restore", {**params, "tablespace_map": {"fast": f"{copy}/fast"}})
    assert codes(inside) == ["place_shared"]
    assert tree_hash(protected.root) == before
    params = {**params, "tablespace_map_all": str(protected.root / "new"), "db_include": ["kept"]}
    result = run("restore", params)
    assert not result["failed"], result
    assert [place["path"] for place in result["plan"]["tablespaces"]] == [str(protected.root / "new" / "fast")]
    assert len(result["plan"]["databases_left_out"]) == 1
    assert not run("restore", params)["changed"]
    assert codes(run("restore", {**params, "db_include": None})) == ["not_empty"]
    protected.pgdata = copy
    protected.open_up()
    assert protected.sql("SELECT v FROM t", "kept") == [("in backup",)]
    protected.sql("DROP DATABASE dropped")


@pytest.mark.matrix
def test_a_standby_gets_its_recovery_options_and_nobody_sees_the_password(
    stopped: t.Any, history: dict[str, str], run: Run
) -> None:
    password = "it's a:secret"
    conninfo = "host=127.0.0.1 port=1 user=rep password='it\\'s a:secret'"
    stopped.options["log-level-file"] = "info"
    stopped.write_config()
    params = {
        **stopped.restoring,
        "delta": True,
        "type": "standby",
        "recovery_options": {"primary_conninfo": conninfo, "recovery-min-apply-delay": 5},
    }
    result = run("restore", params)
    assert not result["failed"], result
    assert result["recovery_settings"]["recovery_min_apply_delay"] == "5"
    assert result["recovery_settings"]["primary_conninfo"] == "host=127.0.0.1 port=1 user=rep password=********"
    logs = "".join(path.read_text(encoding="utf-8") for path in (stopped.root / "log").glob("main-restore.log"))
    assert logs
    for text in (str(result), logs):
        assert "secret" not in text
    assert not run("restore", params)["changed"]
    changed = run("restore", {**params, "recovery_options": {"primary_conninfo": "host=other"}}, check=True)
    assert changed["changed"]
    assert "secret" not in str(changed)
    stopped.start()
    assert stopped.sql("SELECT pg_is_in_recovery()") == [("t",)]
    if stopped.pg_major >= 12:
        assert password.replace("'", "\\'") in stopped.sql("SHOW primary_conninfo")[0][0]


def test_a_second_recovery_asks_for_the_timeline(stopped: t.Any, history: dict[str, str], run: Run) -> None:
    params = {**stopped.restoring, "delta": True, "type": "xid", "target": history["xid"], "target_action": "promote"}
    assert run("restore", params)["changed"]
    stopped.open_up()
    stopped.archive()
    stopped.stop()
    refused = run("restore", {**params, "repeat": True})
    assert codes(refused) == ["timeline"]
    assert f"The xid {history['xid']} can be on timeline 1 and on timeline 2." in refused["msg"]
    assert "current for timeline 1 of the backup, or latest for timeline 2" in refused["msg"]
    result = run("restore", {**params, "target_timeline": "current"})
    assert not result["failed"], result
    assert stopped.rows() == ["in backup", "first"]


def test_type_none_leaves_no_recovery_file(protected: t.Any, run: Run) -> None:
    protected.sql("CREATE TABLE t (v text)")
    protected.backup("full", "--archive-copy")
    protected.stop()
    params = {**protected.restoring, "delta": True, "type": "none"}
    result = run("restore", params)
    assert not result["failed"], result
    assert not (protected.pgdata / "recovery.signal").exists()
    assert not run("restore", params)["changed"]
    assert protected.rows() == []


def test_the_wal_directory_comes_to_its_own_place(stopped: t.Any, history: dict[str, str], run: Run) -> None:
    wal = stopped.root / "wal"
    params = {
        **stopped.restoring,
        "pgdata": str(stopped.root / "copy"),
        "link_map": {"pg_wal": str(wal)},
        "archive_mode": "off",
        "progress_file": str(stopped.root / "lock" / "progress"),
    }
    result = run("restore", params)
    assert not result["failed"], result
    assert os.readlink(stopped.root / "copy" / "pg_wal") == str(wal)
    assert not run("restore", params)["changed"]
    stopped.pgdata = stopped.root / "copy"
    with contextlib.suppress(OSError):
        Path(params["progress_file"]).unlink()
    assert stopped.rows() == ["in backup", "first", "second"]
