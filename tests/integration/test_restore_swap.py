# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module restore beside the data directory: rows, what is kept, how it comes back, when nothing is left to do."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import typing as t
from pathlib import Path

import pytest

Run = t.Callable[..., dict[str, t.Any]]
Hash = t.Callable[[t.Any], str]


def codes(result: dict[str, t.Any]) -> list[str]:
    """Codes of the problems of a refused task."""
    assert result["failed"], result
    return [problem["code"] for problem in result.get("problems", [])]


def well(result: dict[str, t.Any]) -> dict[str, t.Any]:
    """The result of a task that did not fail."""
    assert not result["failed"], result
    return result


@pytest.mark.matrix
def test_every_target_gives_its_rows_and_the_old_directory_comes_back(
    stopped: t.Any, history: dict[str, str], run: Run, tree_hash: Hash
) -> None:
    copies = {"archive_mode": "off"} if stopped.pg_major >= 12 else {}
    params = {**stopped.restoring, "swap": True, **copies}
    at = {**params, "target_action": "promote", "target_timeline": "current"}
    cases: list[tuple[dict[str, t.Any], list[str]]] = [
        ({**params, "type": "immediate", "target_action": "promote"}, ["in backup"]),
        ({**at, "type": "xid", "target": history["xid"]}, ["in backup", "first"]),
        ({**at, "type": "lsn", "target": history["lsn"]}, ["in backup", "first"]),
        ({**at, "type": "name", "target": "before_second"}, ["in backup", "first"]),
        ({**at, "type": "time", "target": history["time"]}, ["in backup", "first"]),
        ({**params, "type": "default", "target_timeline": "current"}, ["in backup", "first", "second"]),
    ]
    before = tree_hash(stopped.pgdata)
    mode = stopped.pgdata.stat().st_mode
    for case, expected in cases:
        result = well(run("restore", case))
        assert result["changed"]
        kept = Path(result["kept"])
        assert kept.parent == stopped.pgdata.parent
        assert kept.name.startswith("pgdata.before-")
        assert stopped.pgdata.stat().st_mode == mode
        assert stopped.rows() == expected, case
        again = well(run("restore", case))
        assert not again["changed"]
        assert again["plan"]["mode"] == "none"
        assert well(run("restore", {**stopped.restoring, "state": "put_back"}, check=True))["put_back"]["from"] == str(
            kept
        )
        assert kept.exists()
        back = well(run("restore", {**stopped.restoring, "state": "put_back"}))
        assert back["changed"]
        assert Path(back["put_back"]["failed"]).name.startswith("pgdata.failed-")
        assert not kept.exists()
    assert not well(run("restore", {**stopped.restoring, "state": "put_back"}))["changed"]
    assert tree_hash(stopped.pgdata) == before
    assert not list((stopped.root / "pgdata.restore").glob("data*"))
    assert stopped.rows() == ["in backup", "first", "second"]


def test_what_the_cluster_did_since_is_left_alone_unless_asked(
    stopped: t.Any, history: dict[str, str], run: Run
) -> None:
    target = {"type": "time", "target": history["time"], "target_action": "promote", "target_timeline": "current"}
    params = {**stopped.restoring, "swap": True, **target, "archive_mode": "off"}
    first = well(run("restore", params))
    receipt = stopped.root / "pgdata.restore" / "receipt.json"
    assert receipt.stat().st_mode & 0o777 == 0o600
    assert receipt.parent.stat().st_mode & 0o777 == 0o700
    assert json.loads(receipt.read_text(encoding="utf-8"))["kept"] == first["kept"]
    stopped.open_up()
    stopped.sql("INSERT INTO t VALUES ('since')")
    again = well(run("restore", params))
    assert not again["changed"]
    assert again["kept"] == first["kept"]
    assert f"was done at {first['restored_at']}" in again["plan"]["text"][0]
    assert not well(run("restore", params, check=True))["changed"]
    other = {**params, "target_exclusive": True}
    assert "running" in codes(run("restore", other))
    assert "running" in codes(run("restore", {**params, "repeat": True}))
    refused = run("restore", {**stopped.restoring, "state": "put_back"})
    assert f"PostgreSQL runs on {stopped.pgdata}" in refused["msg"]
    stopped.stop()
    assert stopped.rows() == ["in backup", "first", "since"]
    repeated = well(run("restore", {**params, "repeat": True}))
    assert repeated["changed"]
    assert repeated["kept"] != first["kept"]
    assert stopped.rows() == ["in backup", "first"]


def test_recovery_reads_through_the_path_that_lasts(stopped: t.Any, history: dict[str, str], run: Run) -> None:
    elsewhere = stopped.root / "elsewhere"
    for pgdata, words in ((stopped.pgdata, []), (elsewhere, [f"--pg1-path={elsewhere}"])):
        result = well(run("restore", {**stopped.restoring, "swap": True, "pgdata": str(pgdata), "archive_mode": "off"}))
        line = next(
            line
            for line in (pgdata / "postgresql.auto.conf").read_text(encoding="utf-8").splitlines()
            if line.startswith("restore_command")
        )
        assert "/data" not in line
        assert [word for word in line.split() if word.startswith("--pg1-path")] == words
        assert (result["kept"] is None) == (pgdata == elsewhere)
    stopped.pgdata = elsewhere
    assert stopped.rows() == ["in backup", "first", "second"]


def test_tablespaces_and_links_come_to_new_directories(cluster: t.Any, run: Run, tree_hash: Hash) -> None:
    old, wal = cluster.make_directory("fast"), cluster.make_directory("wal")
    shutil.copytree(cluster.pgdata / "pg_wal", wal, dirs_exist_ok=True)
    subprocess.run(["chown", "-R", f"--reference={cluster.pgdata}", str(wal)], check=True)
    shutil.rmtree(cluster.pgdata / "pg_wal")
    (cluster.pgdata / "pg_wal").symlink_to(wal)
    cluster.protect()
    cluster.sql(f"CREATE TABLESPACE fast LOCATION '{old}'")
    cluster.sql("CREATE TABLE t (v text) TABLESPACE fast")
    cluster.sql("INSERT INTO t VALUES ('in backup')")
    cluster.backup()
    cluster.sql("INSERT INTO t VALUES ('first')")
    cluster.archive()
    cluster.stop()
    before = tree_hash(old), tree_hash(wal)
    base = {**cluster.restoring, "swap": True, "archive_mode": "off", "link_all": True}
    params = {**base, "type": "immediate", "target_action": "promote"}
    result = well(run("restore", params))
    stamp = result["kept"].rpartition("-")[2]
    new = result["plan"]["tablespaces"][0]["path"]
    assert new == f"{old}.{stamp}"
    assert os.readlink(cluster.pgdata / "pg_wal") == f"{wal}.{stamp}"
    assert os.readlink(f"{result['kept']}/pg_wal") == str(wal)
    assert cluster.rows() == ["in backup"]
    assert not well(run("restore", params))["changed"]
    newer = well(run("restore", {**base, "target_timeline": "current"}))["plan"]["tablespaces"][0]["path"]
    assert newer != new and newer.startswith(f"{old}.")
    assert cluster.rows() == ["in backup", "first"]
    assert well(run("restore", {**cluster.restoring, "state": "put_back"}))["changed"]
    assert cluster.rows() == ["in backup"]
    assert (tree_hash(old), tree_hash(wal)) == before


def test_only_the_approved_plan_is_carried_out(
    stopped: t.Any, history: dict[str, str], run: Run, tree_hash: Hash
) -> None:
    params = {**stopped.restoring, "swap": True, "archive_mode": "off"}
    approved = well(run("restore", params, check=True))["plan"]["id"]
    before = tree_hash(stopped.root)
    immediate = {"type": "immediate", "target_action": "promote"}
    for options in ({**immediate, "plan": approved}, {"plan": approved[:-1] + "x"}, {"link_all": True, "plan": "x"}):
        assert codes(run("restore", {**params, **options})) == ["plan_changed"], options
    assert tree_hash(stopped.root) == before
    first = well(run("restore", {**params, "plan": approved, "repeat": True}))
    assert first["changed"] and first["plan"]["id"] == approved
    assert not well(run("restore", {**params, "plan": approved, "repeat": True}))["changed"]
    assert stopped.rows() == ["in backup", "first", "second"]


def test_a_standby_keeps_how_it_reaches_its_primary(stopped: t.Any, history: dict[str, str], run: Run) -> None:
    conninfo = "host=127.0.0.1 port=1 user=rep password='it''s a:secret'"
    with open(stopped.pgdata / "postgresql.auto.conf", "a", encoding="utf-8") as file:
        file.write(f"primary_conninfo = '{conninfo.replace(chr(39), chr(39) * 2)}'\nprimary_slot_name = 'one'\n")
    (stopped.pgdata / "standby.signal").touch()
    params = {**stopped.restoring, "swap": True, "type": "standby"}
    result = well(run("restore", params))
    assert result["recovery_settings"]["primary_slot_name"] == "one"
    assert "secret" not in str(result)
    assert not (stopped.root / "pgdata.restore" / "standby.json").exists()
    stopped.start()
    assert stopped.sql("SHOW primary_slot_name") == [("one",)]
    assert stopped.sql("SHOW primary_conninfo") == [(conninfo,)]
    stopped.stop()
    named = {"recovery_options": {"primary_slot_name": "two"}}
    assert well(run("restore", {**params, **named}))["recovery_settings"]["primary_slot_name"] == "two"


def test_what_cannot_change_places_is_refused(
    stopped: t.Any, history: dict[str, str], run: Run, tree_hash: Hash
) -> None:
    params = {**stopped.restoring, "swap": True}
    foreign = stopped.make_directory("foreign/data").parent
    os.chown(foreign, (foreign / "data").stat().st_uid, -1)
    before = tree_hash(stopped.root)
    cases = [
        ({"workspace": "/dev/shm/pgops-restore"}, "swap_file_system", "they are not on one file system"),
        ({"workspace": str(foreign)}, "workspace", "is not of this collection"),
        ({"workspace": str(stopped.pgdata / "work")}, "workspace", "which the restore overwrites"),
        ({"workspace": "/usr/share/restore"}, "workspace", "cannot be made or written to"),
    ]
    for options, code, text in cases:
        result = run("restore", {**params, **options})
        assert codes(result) == [code], result
        assert text in result["msg"]
    both = run("restore", {**params, "delta": True})
    assert both["failed"] and "exclude each other" in both["msg"]
    nothing = run("restore", {**stopped.restoring, "state": "put_back"})
    assert codes(nothing) == ["nothing_to_put_back"]
    assert tree_hash(stopped.root) == before


def test_two_at_once_are_refused(stopped: t.Any, history: dict[str, str], run: Run, tree_hash: Hash) -> None:
    workspace = stopped.make_directory("pgdata.restore")
    before = tree_hash(stopped.root)
    for path in (stopped.pgdata, workspace):
        descriptor = os.open(path, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        for options in ({"swap": True}, {"delta": True}, {"state": "put_back"}):
            assert codes(run("restore", {**stopped.restoring, **options})) == ["locked"], (path, options)
        os.close(descriptor)
    assert tree_hash(stopped.root) == before
