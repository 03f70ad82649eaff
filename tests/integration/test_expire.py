# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module expire with real repositories."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import typing as t

import pytest

Run = t.Callable[..., dict[str, t.Any]]
Hash = t.Callable[[t.Any], str]

KEEP_ALL = {"repo1-retention-full": "9"}


def warnings(result: dict[str, t.Any]) -> list[str]:
    """Texts of the warnings; ansible-core 2.19 and newer wrap them."""
    return [item if isinstance(item, str) else item["event"]["msg"] for item in result.get("warnings", [])]


def labels(cluster: t.Any) -> list[str]:
    """Labels of the backups that info lists, oldest first."""
    return [backup["label"] for backup in cluster.info()["backup"]]


def refused(result: dict[str, t.Any]) -> list[str]:
    """Codes of the problems of a refused expire."""
    assert result["failed"] and not result.get("changed") and "Nothing was removed" in result["msg"], result
    return [problem["code"] for problem in result["problems"]]


@pytest.mark.matrix
def test_retention_with_dependents(run: Run, cluster: t.Any, tree_hash: Hash) -> None:
    """Two full backups over a retention of one: the plan, the guard, the real thing, and nothing more to do."""
    cluster.options = KEEP_ALL
    cluster.protect()
    old = [cluster.backup("full"), cluster.backup("diff"), cluster.backup("incr")]
    new = [cluster.backup("full"), cluster.backup("incr")]
    before = tree_hash(cluster.repo)
    idle = run("expire", cluster.common)
    assert not idle["changed"] and idle["expired"] == [] and idle["kept"] == old + new and warnings(idle) == []
    assert idle["msg"].startswith("Removed nothing from repository 1. Repository 1 can still be recovered from ")

    cluster.write_config({"repo1-retention-full": "1"})
    for check in (True, False):
        result = run("expire", {**cluster.common, "keep_at_least": 2}, check=check)
        assert (
            refused(result) == ["too_few_left"] and f"only {new[0]} would remain; keep_at_least is 2" in result["msg"]
        )
        assert all(label in result["msg"] for label in old)
    unknown = run("expire", {**cluster.common, "set": "20200101-000000F"})
    assert unknown["failed"] and unknown["error"]["code"] == 75 and "holds no backup 20200101-000000F" in unknown["msg"]
    planned = run("expire", cluster.common, check=True)
    assert planned["changed"] and planned["expired"] == old and planned["kept"] == new
    assert tree_hash(cluster.repo) == before

    result = run("expire", cluster.common)
    assert result["changed"] and result["expired"] == old and result["kept"] == new == labels(cluster)
    assert warnings(result) == [] and result["diff"] == planned["diff"] and result["msg"].startswith("Removed ")
    assert result["repositories"] == planned["repositories"]
    repository = result["repositories"][0]
    assert repository["expired"][0]["dependents"] == old[1:] and repository["usable_full"] == new[:1]
    archive, info = repository["archive"][0], cluster.info()
    assert archive["wal_min_before"] < archive["wal_min_after"] == info["archive"][0]["min"]
    assert archive["wal_min_after"] == info["backup"][0]["archive"]["start"]
    assert repository["window"]["before"]["earliest_backup"] == old[0]
    assert repository["window"]["after"]["earliest_backup"] == new[0] and " less." in repository["window"]["change"]

    before = tree_hash(cluster.repo)
    again = run("expire", cluster.common)
    assert not again["changed"] and again["expired"] == [] and tree_hash(cluster.repo) == before


def test_one_backup(run: Run, cluster: t.Any, tree_hash: Hash) -> None:
    cluster.options = KEEP_ALL
    cluster.protect()
    full, incr, incr2 = cluster.backup("full"), cluster.backup("incr"), cluster.backup("incr")
    before = tree_hash(cluster.repo)
    for check in (True, False):  # the only full backup: pgBackRest refuses it itself
        result = run("expire", {**cluster.common, "set": full, "keep_at_least": 0}, check=check)
        assert result["failed"] and result["error"]["code"] == 75 and not result.get("changed")
        assert "cannot be expired until another full backup has been created" in result["msg"]
        assert "[DRY-RUN]" not in result["msg"] and result["msg"].endswith("Nothing was removed.")
    bad = run("expire", {**cluster.common, "set": "latest"})
    assert bad["failed"] and "holds no backup latest" in bad["msg"]
    planned = run("expire", {**cluster.common, "set": incr}, check=True)
    assert planned["expired"] == [incr, incr2] and planned["kept"] == [full] and tree_hash(cluster.repo) == before

    result = run("expire", {**cluster.common, "set": incr})
    assert result["changed"] and result["expired"] == [incr, incr2] and labels(cluster) == [full]
    assert any("the ability to perform point-in-time-recovery" in text for text in warnings(result))
    newest = cluster.backup("full")
    result = run("expire", {**cluster.common, "set": newest, "keep_at_least": 2})
    assert refused(result) == ["too_few_left"] and labels(cluster) == [full, newest]
    assert run("expire", {**cluster.common, "set": newest})["kept"] == [full]


@pytest.mark.matrix
def test_a_damaged_backup_does_not_count(run: Run, cluster: t.Any, tree_hash: Hash) -> None:
    """Retention of pgBackRest before 2.60 would remove the only good backup."""
    cluster.options = {"repo1-retention-full": "9"}
    checksums(cluster)
    cluster.protect()
    good = cluster.backup()
    cluster.sql("create table t as select generate_series(1, 10000) as i")
    cluster.sql("checkpoint")
    path = cluster.sql("select pg_relation_filepath('t')")[0][0]
    cluster.stop()
    with open(cluster.pgdata / path, "r+b") as file:
        file.seek(8192 + 100)
        file.write(b"XXXX")
    cluster.start()
    damaged = cluster.backup()
    assert [backup["error"] for backup in cluster.info()["backup"]] == [False, True]
    cluster.write_config({"repo1-retention-full": "1"})
    before = tree_hash(cluster.repo)
    result = run("expire", cluster.common)
    if cluster.pgbackrest_version < (2, 60):
        assert refused(result) == ["too_few_left"] and "none would remain" in result["msg"]
        assert f"{damaged} would stay, but with page checksum errors" in result["msg"]
    else:
        assert result["failed"] and result["error"]["code"] == 26 and damaged in result["msg"]
        assert result["error"]["message"].startswith("repo1: oldest retained backup ")
        assert result["msg"].endswith("Nothing was removed.")
    assert refused(run("expire", {**cluster.common, "set": good})) == ["too_few_left"]
    assert tree_hash(cluster.repo) == before
    assert run("expire", {**cluster.common, "set": damaged})["kept"] == [good]


def checksums(cluster: t.Any) -> None:
    """Make the cluster anew, with page checksums."""
    settings = (cluster.pgdata / "postgresql.conf").read_text(encoding="utf-8")
    shutil.rmtree(cluster.pgdata)
    prefix = ["runuser", "-u", cluster.root.owner(), "--"] if os.geteuid() == 0 else []
    words = ["-k", "-D", str(cluster.pgdata), "-A", "trust", "-E", "UTF8", "--no-locale", "-N"]
    subprocess.run([*prefix, f"{cluster.bindir}/initdb", *words], capture_output=True, cwd="/", check=True)
    (cluster.pgdata / "postgresql.conf").write_text(settings, encoding="utf-8")


def test_two_repositories(run: Run, cluster: t.Any, tree_hash: Hash) -> None:
    other = cluster.make_directory("repo2")
    cluster.options = {**KEEP_ALL, "repo2-path": str(other), "repo2-retention-full": "9"}
    cluster.protect()
    first = [cluster.backup("full", "--repo=1") for _number in range(2)]
    second = [cluster.backup("full", "--repo=2") for _number in range(2)]
    cluster.options["repo2-retention-full"] = "1"
    del cluster.options["repo1-retention-full"]
    cluster.write_config()
    text = cluster.config.read_text(encoding="utf-8").replace("repo1-retention-full=2\n", "")
    cluster.config.write_text(text, encoding="utf-8")
    before = tree_hash(cluster.repo)
    assert not run("expire", {**cluster.common, "repo": 1})["changed"]
    result = run("expire", cluster.common)
    assert result["expired"] == second[:1] and result["kept"] == [*first, *second[1:]]
    assert tree_hash(cluster.repo) == before
    assert len(warnings(result)) == 1 and warnings(result)[0].startswith(
        "repo1-retention-full is not set, so retention"
    )

    # A failure of one repository is told as it is, and what went in the other stays told.
    cluster.write_config({"repo1-retention-full": "1", "repo2-retention-full": "1"})
    last = cluster.backup("full", "--repo=2", "--no-expire-auto")
    stuck = other / "backup/main" / second[1]
    stuck.chmod(0o550)
    try:
        result = run("expire", cluster.common)
    finally:
        if stuck.exists():
            stuck.chmod(0o750)
    assert result["failed"] and result["changed"] and result["error"]["code"] != 104, result
    assert "Permission denied" in result["msg"] and first[0] in result["expired"] and last in result["kept"]


def test_remains_and_wal_behind_a_backup(run: Run, cluster: t.Any) -> None:
    """A backup whose manifest is gone is removed; WAL that retention gives up shortens what can be reached."""
    cluster.options = KEEP_ALL
    cluster.protect()
    first, second = cluster.backup(), cluster.backup()
    cluster.archive()
    third = cluster.backup()
    remains = cluster.repo / "backup/main" / f"{first}_20200101-000000I"
    shutil.copytree(cluster.repo / "backup/main" / first / "pg_data/global", remains)
    if os.geteuid() == 0:
        for path in (remains, *remains.rglob("*")):
            shutil.chown(path, "postgres", "postgres")
    (cluster.repo / "backup/main" / second / "backup.manifest").unlink()
    cluster.write_config({"repo1-retention-archive": "1"})
    planned = run("expire", cluster.common, check=True)
    repository = planned["repositories"][0]
    assert planned["expired"] == [second] and planned["kept"] == [first, third]
    assert repository["leftovers"] == [remains.name] and repository["archive"][0]["removed"]
    assert f"{first} can be restored to its own end only" in repository["window"]["change"]
    assert any("missing manifest" in text for text in warnings(planned))
    result = run("expire", cluster.common)
    assert result["repositories"] == planned["repositories"] and not remains.exists()
    assert not run("expire", cluster.common)["changed"]


def test_lock_stop_and_stanza(run: Run, protected: t.Any) -> None:
    """What stands in the way is told, in check mode as well."""
    protected.backup()
    with open(protected.backup_lock, "w", encoding="utf-8") as file:
        if os.geteuid() == 0:
            shutil.chown(file.name, "postgres", "postgres")
        fcntl.flock(file, fcntl.LOCK_EX)
        result = run("expire", protected.common, check=True)
    assert result["error"]["code"] == 50 and "Another pgBackRest process works on this stanza" in result["msg"]
    protected.pgbackrest("stop")
    assert run("expire", protected.common)["error"]["code"] == 62
    protected.pgbackrest("start")
    assert run("expire", {**protected.common, "stanza": "mian"})["error"]["code"] == 37
    assert "has no repository 2, only 1" in run("expire", {**protected.common, "repo": 2})["msg"]
    assert run("expire", {**protected.common, "keep_at_least": -1})["msg"] == (
        "keep_at_least must not be negative, but is -1."
    )
