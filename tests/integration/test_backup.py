# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module backup with real repositories."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import threading
import time
import typing as t

import pytest

Run = t.Callable[..., dict[str, t.Any]]
Hash = t.Callable[[t.Any], str]


def warnings(result: dict[str, t.Any]) -> list[str]:
    """Texts of the warnings; ansible-core 2.19 and newer wrap them."""
    return [item if isinstance(item, str) else item["event"]["msg"] for item in result.get("warnings", [])]


@pytest.mark.matrix
def test_promoted_then_young_enough_then_incremental(run: Run, protected: t.Any, tree_hash: Hash) -> None:
    """The first incr becomes a full one and says so; young ones are kept; a real incr refers to the full one."""
    wanted = {**protected.common, "max_age": "1h", "annotations": {"reason": "before release 42"}}
    before = tree_hash(protected.repo), tree_hash(protected.root / "lock"), protected.sql("select pg_current_wal_lsn()")
    planned = run("backup", wanted, check=True)
    assert planned["changed"] and planned["type"] == "full" and planned["promoted_to_full"]
    assert planned["backup"] is None and planned["age"] is None
    assert planned["msg"] == "Would take a full backup: there is no backup that counts as incr."
    assert warnings(planned) == ["There is no prior full backup, so this incr backup is a full one."]
    after = tree_hash(protected.repo), tree_hash(protected.root / "lock"), protected.sql("select pg_current_wal_lsn()")
    assert after == before

    first = run("backup", wanted)
    backup = first["backup"]
    assert first["changed"] and first["type"] == backup["type"] == "full" and first["requested_type"] == "incr"
    assert first["promoted_to_full"] and warnings(first) == warnings(planned) and first["repo_key"] == 1
    assert backup["annotations"] == {"reason": "before release 42"} and backup["error"] is False
    assert backup["size"] > 10**6 and backup["wal_start"] <= backup["wal_stop"] and backup["duration"] >= 0
    assert first["diff"] == {"before": {"newest": None}, "after": {"newest": backup["label"]}}

    for kind in ("full", "diff", "incr"):
        again = run("backup", {**wanted, "type": kind})
        assert not again["changed"] and again["backup"]["label"] == backup["label"] and 0 <= again["age"] < 120
    assert again["msg"].startswith(f"Took no backup: the newest one that counts as incr, full {backup['label']}, is ")

    second = run("backup", {**protected.common, "type": "incr"})
    assert second["changed"] and second["type"] == "incr" and not second["promoted_to_full"]
    assert second["backup"]["prior"] == backup["label"] and warnings(second) == []
    third = run("backup", {**wanted, "type": "diff", "max_age": "0"})
    assert third["changed"] and third["type"] == "diff"
    assert run("backup", {**wanted, "type": "full"})["backup"]["label"] == backup["label"]
    assert run("backup", {**wanted, "type": "diff"})["backup"]["label"] == third["backup"]["label"]


def test_each_repository_by_itself(run: Run, cluster: t.Any) -> None:
    cluster.options = {"repo2-path": str(cluster.make_directory("repo2")), "repo2-retention-full": "2"}
    cluster.protect()
    wanted = {**cluster.common, "type": "full", "max_age": "1d"}
    assert run("backup", wanted)["repo_key"] == 1
    other = run("backup", {**wanted, "repo": 2})
    assert other["changed"] and other["repo_key"] == 2 and other["backup"]["repo_key"] == 2
    assert not run("backup", {**wanted, "repo": 2})["changed"]
    unknown = run("backup", {**wanted, "repo": 3})
    assert unknown["failed"] and "has no repository 3, only 1, 2" in unknown["msg"]


@pytest.mark.matrix
def test_page_checksum_errors_are_a_failure(run: Run, cluster: t.Any) -> None:
    """pgBackRest itself warns and ends with 0."""
    initdb_with_checksums(cluster)
    cluster.protect()
    good = run("backup", {**cluster.common, "type": "full"})["backup"]["label"]
    cluster.sql("create table t as select generate_series(1, 10000) as i")
    cluster.sql("checkpoint")
    path = cluster.sql("select pg_relation_filepath('t')")[0][0]
    cluster.stop()
    with open(cluster.pgdata / path, "r+b") as file:
        file.seek(8192 + 100)
        file.write(b"XXXX")
    cluster.start()
    result = run("backup", cluster.common)
    assert result["failed"] and result["changed"] and result["damaged_files"] == [path]
    assert result["backup"]["error"] is True and result["backup"]["label"] in result["msg"]
    assert f"pages with wrong checksums were found in {path}" in result["msg"]
    kept = run("backup", {**cluster.common, "max_age": "1h"})
    assert not kept["changed"] and kept["backup"]["label"] == good  # the damaged one does not count


def initdb_with_checksums(cluster: t.Any) -> None:
    """The cluster anew, with page checksums."""
    shutil.rmtree(cluster.pgdata)
    prefix = ["runuser", "-u", "postgres", "--"] if cluster.root.owner() == "postgres" else []
    argv = [
        f"{cluster.bindir}/initdb",
        "-k",
        "-D",
        str(cluster.pgdata),
        "-A",
        "trust",
        "-E",
        "UTF8",
        "--no-locale",
        "-N",
    ]
    subprocess.run([*prefix, *argv], capture_output=True, cwd="/", check=True)
    cluster.configure(port=str(cluster.port), listen_addresses="", unix_socket_directories=cluster.socket_dir)
    cluster.configure(fsync="off", wal_level="replica")


def test_a_held_lock_is_waited_for(run: Run, protected: t.Any) -> None:
    lock = protected.backup_lock
    lock.touch(mode=0o640)
    if protected.root.owner() == "postgres":
        shutil.chown(lock, "postgres", "postgres")
    with open(lock, "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        refused = run("backup", protected.common)
        assert refused["failed"] and refused["error"]["code"] == 50
        assert "Another pgBackRest process works on this stanza" in refused["msg"]
        release = threading.Timer(3, fcntl.flock, (file, fcntl.LOCK_UN))
        release.start()
        assert run("backup", {**protected.common, "retries": 3})["changed"]
        release.join()


def test_progress_file_is_gone_at_the_end(run: Run, protected: t.Any) -> None:
    path = protected.root / "log" / "progress"
    seen: list[str] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.is_set():
            if path.exists():
                seen.append("there")
                return
            time.sleep(0.01)

    watcher = threading.Thread(target=watch)
    watcher.start()
    result = run("backup", {**protected.common, "progress_file": str(path)})
    ended.set()
    watcher.join()
    assert result["changed"] and seen and not path.exists()


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"max_age": "soon"}, "'soon' is not an age: write a whole number with s, m, h, d or w, such as 24h or 7d."),
        ({"annotations": {"a=b": "c"}}, "An annotation needs a name without = and a value, not 'a=b': 'c'."),
        ({"annotations": {"a": ""}}, "An annotation needs a name without = and a value, not 'a': ''."),
        ({"retries": -1}, "retries must not be negative, but is -1."),
    ],
)
def test_bad_parameters_fail_before_anything_runs(
    run: Run, cluster: t.Any, params: dict[str, t.Any], sentence: str
) -> None:
    result = run("backup", {**cluster.common, "executable": "/nonexistent", **params})
    assert result["failed"] and result["msg"] == sentence


def test_a_failing_expire_leaves_a_complete_backup(run: Run, protected: t.Any) -> None:
    """The backup is there although pgBackRest failed afterwards: the message says so."""
    protected.write_config({"repo1-retention-full": "1"})
    first = run("backup", {**protected.common, "type": "full"})["backup"]["label"]
    old = protected.repo / "backup" / "main" / first
    old.chmod(0o550)
    try:
        result = run("backup", {**protected.common, "type": "full"})
    finally:
        if old.exists():
            old.chmod(0o750)
    assert result["failed"] and result["changed"] and result["backup"]["label"] != first
    assert f"The backup {result['backup']['label']} itself is complete." in result["msg"]
