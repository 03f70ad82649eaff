# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module stanza with real repositories and clusters."""

from __future__ import annotations

import os
import shutil
import typing as t
from pathlib import Path

import pytest

Run = t.Callable[..., dict[str, t.Any]]
Hash = t.Callable[[t.Any], str]


def archive_to(cluster: t.Any) -> None:
    """Configuration and archiving, but no stanza."""
    cluster.write_config()
    command = f"{cluster.executable} --config={cluster.config} --stanza={cluster.stanza} archive-push %p"
    cluster.configure(archive_mode="on", archive_command=command)


@pytest.mark.matrix
def test_create_check_mode_again_and_delete(run: Run, cluster: t.Any, tree_hash: Hash) -> None:
    """The whole life of a stanza."""
    archive_to(cluster)
    cluster.start()
    before = tree_hash(cluster.repo), tree_hash(cluster.root / "lock")
    planned = run("stanza", cluster.common, check=True)
    assert planned["changed"] and planned["actions"] == ["create"] and planned["msg"] == "Would create stanza main."
    assert (tree_hash(cluster.repo), tree_hash(cluster.root / "lock")) == before

    created = run("stanza", cluster.common)
    assert created["changed"] and created["msg"] == "Created stanza main."
    assert created["diff"] == planned["diff"] and created["diff"]["before"] == {"repo1": None}
    again = run("stanza", cluster.common)
    assert not again["changed"] and again["actions"] == [] and again["diff"]["before"] == again["diff"]["after"]

    label = cluster.backup()
    absent = {**cluster.common, "state": "absent", "confirm": "main"}
    running = run("stanza", absent)
    assert running["failed"] and "PostgreSQL runs on" in running["msg"] and running["error"]["code"] == 38
    cluster.stop()
    before = tree_hash(cluster.repo), tree_hash(cluster.root / "lock")
    planned = run("stanza", absent, check=True)
    assert planned["changed"] and planned["deleted"]["backups"] == [label]
    assert planned["msg"].startswith(f"Would delete stanza main: 1 backup ({label}, ")
    assert (tree_hash(cluster.repo), tree_hash(cluster.root / "lock")) == before
    deleted = run("stanza", absent)
    assert deleted["changed"] and deleted["deleted"] == planned["deleted"]
    assert not list((cluster.root / "lock").glob("*.stop"))
    assert not (cluster.repo / "backup" / "main").exists()
    again = run("stanza", absent)
    assert not again["changed"] and again["msg"] == "Repository 1 holds no stanza main."


def test_absent_wants_the_name_twice(run: Run, protected: t.Any, tree_hash: Hash) -> None:
    before = tree_hash(protected.repo)
    result = run("stanza", {**protected.common, "state": "absent", "confirm": "mian", "force": True})
    assert result["failed"] and "confirm must be the name of the stanza, 'main', not 'mian'" in result["msg"]
    assert run("stanza", {**protected.common, "state": "absent", "force": True})["failed"]
    assert tree_hash(protected.repo) == before


def test_a_failed_delete_leaves_pgbackrest_started(run: Run, protected: t.Any) -> None:
    """The stop file that stanza-delete needs must not stay behind and block archiving."""
    protected.stop()
    (protected.repo / "backup").chmod(0o550)  # entries cannot be removed
    try:
        result = run("stanza", {**protected.common, "state": "absent", "confirm": "main"})
    finally:
        (protected.repo / "backup").chmod(0o750)
    assert result["failed"] and "Permission denied" in result["msg"]
    assert not list((protected.root / "lock").glob("*.stop"))


def test_two_repositories_are_deleted_one_by_one(run: Run, cluster: t.Any) -> None:
    cluster.options = {"repo2-path": str(cluster.make_directory("repo2")), "repo2-retention-full": "2"}
    cluster.protect()
    cluster.stop()
    absent = {**cluster.common, "state": "absent", "confirm": "main"}
    unclear = run("stanza", absent)
    assert unclear["failed"] and "Repositories 1, 2 are configured: the option repo must say" in unclear["msg"]
    assert run("stanza", {**absent, "repo": 3})["failed"]
    assert run("stanza", {**absent, "repo": 2})["changed"]
    assert (cluster.repo / "backup" / "main").exists() and not (cluster.root / "repo2" / "backup" / "main").exists()
    created = run("stanza", {**cluster.common, "online": False})
    assert created["actions"] == ["create"] and created["diff"]["before"]["repo2"] is None


def renew(cluster: t.Any) -> None:
    """Another cluster in the same place: initdb once more."""
    cluster.stop()
    shutil.rmtree(cluster.pgdata)
    cluster.initdb()


@pytest.mark.parametrize("online", [True, False])
def test_a_new_initdb_is_refused(run: Run, protected: t.Any, tree_hash: Hash, online: bool) -> None:
    """stanza-upgrade would take it, with rc 0."""
    renew(protected)
    archive_to(protected)
    if online:
        protected.start()
    before = tree_hash(protected.repo)
    result = run("stanza", {**protected.common, "online": online})
    assert result["failed"] and "is not the one that stanza main in repository 1 belongs to" in result["msg"]
    assert tree_hash(protected.repo) == before


def test_check_mode_fails_where_the_real_run_would(run: Run, cluster: t.Any) -> None:
    archive_to(cluster)
    for check in (True, False):
        result = run("stanza", cluster.common, check=check)
        assert result["failed"] and result["error"]["code"] == 56
    assert run("stanza", {**cluster.common, "online": False}, check=True)["changed"]
    assert run("stanza", {**cluster.common, "online": False})["changed"]


def older_bindir(major: int) -> str:
    """Programs of an older PostgreSQL than the distribution's."""
    directories = Path(os.environ.get("PGOPS_TOOLS_DIR", "/nonexistent")).glob("postgresql/*/bin")
    found = [str(path) for path in directories if int(path.parent.name) < major]
    if not found:
        pytest.skip("needs an older PostgreSQL beside the distribution's: make programs")
    return found[0]


@pytest.mark.parametrize("new_repository", ["repo1", "repo2"])
def test_upgrade(run: Run, cluster: t.Any, tree_hash: Hash, new_repository: str) -> None:
    """A newer major version: the stanza learns of it, the old backups stay. One repository is even new."""
    new_bindir, cluster.bindir = cluster.bindir, older_bindir(cluster.pg_major)
    shutil.rmtree(cluster.pgdata)
    cluster.initdb()
    cluster.protect()
    label = cluster.backup()
    cluster.bindir = new_bindir
    renew(cluster)
    other = str(cluster.make_directory("other"))
    paths = (
        {"repo1-path": other, "repo2-path": str(cluster.repo)} if new_repository == "repo1" else {"repo2-path": other}
    )
    cluster.options = {**paths, "repo2-retention-full": "2"}
    archive_to(cluster)
    cluster.start()

    refused = run("stanza", {**cluster.common, "upgrade": False})
    assert refused["failed"] and "upgrade is false" in refused["msg"]
    before = tree_hash(cluster.repo)
    planned = run("stanza", cluster.common, check=True)
    assert planned["actions"] == ["create", "upgrade"] and tree_hash(cluster.repo) == before
    upgraded = run("stanza", cluster.common)
    assert upgraded["changed"] and upgraded["diff"] == planned["diff"]
    assert not run("stanza", cluster.common)["changed"]
    backups = run("backup_info", cluster.common)["stanzas"][0]["backups"]
    assert [backup["label"] for backup in backups] == [label]
    cluster.pgbackrest("check")
