# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What goes wrong on real hosts, provoked with the real program: each failure says what, where, and what to do next.

With ``PGOPS_SHOW_MESSAGES=1`` and ``-s`` the messages are printed, for the documentation.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import typing as t

import pytest

Run = t.Callable[..., dict[str, t.Any]]
Hash = t.Callable[[t.Any], str]

ALL = ("backup_info", "stanza", "backup", "check")
ACTING = ("stanza", "backup", "check")


def message(result: dict[str, t.Any], title: str) -> str:
    """The message of a failure, whole sentences that carry no secret."""
    assert result["failed"] and not result.get("changed"), result
    text = t.cast(str, result["msg"])
    if os.environ.get("PGOPS_SHOW_MESSAGES"):
        print(f"\n{title}: {text}")
    assert text.endswith((".", "start")) and "  " not in text and "PASSPHRASE" not in text
    return text


def give_to_owner(cluster: t.Any, path: t.Any) -> None:
    """Let the cluster's user own a file that a test made as root."""
    if os.geteuid() == 0:
        shutil.chown(path, cluster.root.owner(), cluster.root.group())


def test_program_missing_too_old_or_another(run: Run, cluster: t.Any) -> None:
    program = cluster.root / "pgbackrest-2.44"
    program.write_text("#!/bin/sh\necho pgBackRest 2.44\n", encoding="utf-8")
    program.chmod(0o755)
    for module in ALL:
        for executable in ("/nonexistent/pgbackrest", "pgbackrest-that-is-not-there"):
            text = message(run(module, {**cluster.common, "executable": executable}), f"{module}, program missing")
            assert text == (
                f"The program {executable} is not on this host. "
                "Install the package pgbackrest, or name the program in the option executable."
            )
        text = message(run(module, {**cluster.common, "executable": str(program)}), f"{module}, program too old")
        assert text == (
            "This host has pgBackRest 2.44; the collection needs 2.45 or newer. "
            "Upgrade the package pgbackrest on all hosts of the stanza."
        )
        text = message(run(module, {**cluster.common, "executable": "/bin/true"}), f"{module}, another program")
        assert "did not answer as pgBackRest does" in text


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be refused")
@pytest.mark.matrix
def test_root_where_the_files_belong_to_another_user(run: Run, protected: t.Any, tree_hash: Hash) -> None:
    before = tree_hash(protected.root / "repo"), tree_hash(protected.root / "lock")
    for module in ALL:
        text = message(run(module, protected.common, root=True), f"{module}, as root")
        assert "This task runs as root, but " in text and "Add become: true and become_user: postgres" in text
    assert (tree_hash(protected.root / "repo"), tree_hash(protected.root / "lock")) == before


def needs_creating(cluster: t.Any) -> None:
    """Give the stanza something to do: a second repository without it."""
    cluster.write_config({"repo2-path": str(cluster.make_directory("repo2")), "repo2-retention-full": "2"})


def test_lock_held(run: Run, protected: t.Any) -> None:
    for module in ("backup", "stanza"):
        if module == "stanza":
            needs_creating(protected)
        with open(protected.backup_lock, "w", encoding="utf-8") as file:
            give_to_owner(protected, file.name)
            fcntl.flock(file, fcntl.LOCK_EX)
            result = run(module, protected.common)
        text = message(result, f"{module}, lock held")
        assert (
            result["error"]["code"] == 50 and f"{protected.backup_lock.name}': Resource temporarily unavailable" in text
        )
        assert text.endswith(
            "Another pgBackRest process works on this stanza. Wait until it ends, or let the task retry."
        )


def test_lock_of_another_user(run: Run, protected: t.Any) -> None:
    """The same code 50, but waiting does not help."""
    if os.geteuid() != 0:
        pytest.skip("needs root to make a file of another user")
    lock = protected.backup_lock
    lock.touch(mode=0o600)
    shutil.chown(lock, "root", "root")
    result = run("backup", {**protected.common, "retries": 3})
    assert result["error"]["code"] == 50
    assert "Run the task as the user who owns the lock directory" in message(result, "backup, lock of another user")


def test_stop_file(run: Run, protected: t.Any) -> None:
    protected.pgbackrest("stop")
    for module in ("backup", "check", "stanza"):
        if module == "stanza":
            needs_creating(protected)
        for check_mode in (False, True):
            result = run(module, protected.common, check=check_mode)
            text = message(result, f"{module}, stop file")
            assert result["error"]["code"] == 62 and "stop file" in text
            assert text.endswith("When that reason is gone run: pgbackrest --stanza=main start")


@pytest.mark.matrix
def test_wrong_passphrase(run: Run, cluster: t.Any) -> None:
    cluster.options = {"repo1-cipher-type": "aes-256-cbc", "repo1-cipher-pass": "RIGHT-PASSPHRASE"}
    cluster.protect()
    cluster.backup()
    for options in ({**cluster.options, "repo1-cipher-pass": "WRONG-PASSPHRASE"}, {}):
        cluster.options = options
        cluster.write_config()
        for module in ACTING:
            text = message(run(module, cluster.common), f"{module}, wrong passphrase")
            assert "unable to load info file" in text and "with the configured passphrase" in text
            assert "Check repo1-cipher-type and repo1-cipher-pass" in text and "stanza-create" not in text
        info = run("backup_info", cluster.common)
        assert not info["healthy"] and "with the configured passphrase" in info["problems"][0]


def test_repository_not_writable(run: Run, cluster: t.Any) -> None:
    cluster.write_config()
    cluster.start()
    cluster.repo.chmod(0o550)
    result = run("stanza", cluster.common)
    assert result["error"]["code"] == 47
    assert "Permission denied" in message(result, "stanza, repository not writable")
    cluster.repo.chmod(0o750)


def test_repository_not_readable(run: Run, protected: t.Any) -> None:
    protected.repo.chmod(0o000)
    try:
        results = {module: run(module, protected.common) for module in ALL}
    finally:
        protected.repo.chmod(0o750)
    for module in ACTING:
        text = message(results[module], f"{module}, repository not readable")
        assert text.startswith("Repository 1: [") and "Permission denied" in text
        assert "Check that the repository can be reached" in text
    assert not results["backup_info"]["healthy"] and "Permission denied" in results["backup_info"]["problems"][0]


def test_repository_unreachable(run: Run, protected: t.Any) -> None:
    """An object store that does not answer."""
    store = {"repo1-type": "s3", "repo1-s3-bucket": "b", "repo1-s3-endpoint": "127.0.0.1", "repo1-s3-region": "r"}
    keys = {"repo1-s3-key": "k", "repo1-s3-key-secret": "PASSPHRASE", "repo1-s3-uri-style": "path"}
    protected.write_config({**store, **keys, "repo1-storage-port": "1", "io-timeout": "1", "repo1-path": "/repo"})
    for module in ACTING:
        text = message(run(module, protected.common), f"{module}, repository unreachable")
        assert "127.0.0.1:1" in text and "Check that the repository can be reached" in text
    info = run("backup_info", protected.common)
    assert not info["healthy"] and "127.0.0.1:1" in info["problems"][0]


@pytest.mark.parametrize("check_mode", [False, True])
def test_postgresql_down(run: Run, protected: t.Any, check_mode: bool) -> None:
    protected.stop()
    for module in ("backup", "check", "stanza"):
        if module == "stanza":
            needs_creating(protected)
        result = run(module, protected.common, check=check_mode)
        text = message(result, f"{module}, PostgreSQL down")
        assert result["error"]["code"] in (27, 56) and "in recovery" not in text
        if check_mode:
            assert f"PostgreSQL does not run on {protected.pgdata}. Start PostgreSQL first." in text
        else:
            assert "No such file or directory" in text and "Check that PostgreSQL runs" in text


def test_stanza_absent_from_the_configuration(run: Run, protected: t.Any) -> None:
    for module in ACTING:
        for check_mode in (False, True):
            result = run(module, {**protected.common, "stanza": "mian"}, check=check_mode)
            text = message(result, f"{module}, stanza absent from the configuration")
            assert result["error"]["code"] == 37
            assert "Stanza mian is not in the configuration: no section [mian] with pg1-path." in text
            assert text.endswith("with the module pgops.pgbackrest.config, or correct its name.")


def test_info_of_a_stanza_absent_from_the_configuration(run: Run, protected: t.Any) -> None:
    info = run("backup_info", {**protected.common, "stanza": "mian"})
    assert not info["healthy"]
    assert "Stanza mian is not in the configuration of this host" in " ".join(info["problems"])


def test_stanza_not_created(run: Run, cluster: t.Any) -> None:
    cluster.write_config()
    cluster.start()
    for module in ("backup", "check"):
        for check_mode in (False, True):
            result = run(module, cluster.common, check=check_mode)
            text = message(result, f"{module}, stanza not created")
            assert result["error"]["code"] == 55
            assert "Create stanza main with the module pgops.pgbackrest.stanza." in text


def test_configuration_missing(run: Run, cluster: t.Any) -> None:
    for module in ALL:
        text = message(run(module, {**cluster.common, "config": "/nonexistent.conf"}), f"{module}, no configuration")
        assert "/nonexistent.conf" in text and "pgops.pgbackrest.config" in text


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make a file of another user")
def test_configuration_not_readable(run: Run, cluster: t.Any) -> None:
    cluster.write_config()
    shutil.chown(cluster.config, "root", "root")
    cluster.config.chmod(0o600)
    for module in ALL:
        text = message(run(module, cluster.common), f"{module}, configuration not readable")
        assert str(cluster.config) in text and "become_user" in text


def test_another_cluster_than_the_stanza_s(run: Run, protected: t.Any) -> None:
    """Backups of the old cluster are no reason to believe that the new one is protected."""
    protected.backup()
    protected.stop()
    shutil.rmtree(protected.pgdata)
    protected.initdb()
    command = f"{protected.executable} --config={protected.config} --stanza=main archive-push %p"
    protected.configure(archive_mode="on", archive_command=command)
    protected.start()
    for module, params in (("backup", {"max_age": "1d"}), ("check", {})):
        for check_mode in (False, True):
            result = run(module, {**protected.common, **params}, check=check_mode)
            assert result["error"]["code"] == 51
            assert "belongs to PostgreSQL" in message(result, f"{module}, another cluster")
