# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module check with real archiving, right and wrong."""

from __future__ import annotations

import shutil
import subprocess
import typing as t

import pytest

Run = t.Callable[..., dict[str, t.Any]]
Hash = t.Callable[[t.Any], str]


@pytest.mark.matrix
def test_wal_arrives(run: Run, protected: t.Any) -> None:
    for result in (run("check", protected.common), run("check", protected.common)):
        assert not result["failed"] and not result["changed"] and result["not_proven"] == []
        archive = result["repositories"][0]
        assert archive["advanced"] and archive["archive_id"] == f"{protected.pg_major}-1"
        assert archive["wal_max_after"] > (archive["wal_max_before"] or "")
        assert result["msg"].startswith("WAL reached every repository in ") and result["duration"] > 0


def test_check_mode_switches_nothing(run: Run, protected: t.Any, tree_hash: Hash) -> None:
    before = tree_hash(protected.repo), protected.sql("select pg_current_wal_lsn()")
    result = run("check", protected.common, check=True)
    assert not result["failed"] and not result["changed"] and len(result["not_proven"]) == 2
    assert (tree_hash(protected.repo), protected.sql("select pg_current_wal_lsn()")) == before


def test_check_mode_passes_on_warnings_about_the_configuration(run: Run, protected: t.Any) -> None:
    protected.write_config({"include-path": "/etc"})
    result = run("check", protected.common, check=True)
    assert "invalid option 'include-path'" in str(result["warnings"])


def failure(run: Run, protected: t.Any, code: int, **params: t.Any) -> str:
    """The message of a check that fails with this code."""
    result = run("check", {**protected.common, **params})
    assert result["failed"] and not result.get("changed") and result["error"]["code"] == code, result
    return t.cast(str, result["msg"])


def test_archiving_is_off(run: Run, protected: t.Any) -> None:
    protected.stop()
    protected.configure(archive_mode="off")
    protected.start()
    message = failure(run, protected, 87)
    assert message.startswith("pgbackrest check failed with error 087 (archive-disabled): archive_mode must be enabled")
    assert "module pgops.pgbackrest.archiving and restart PostgreSQL" in message


def test_another_archive_command(run: Run, protected: t.Any) -> None:
    protected.configure(archive_command="cp %p /nonexistent/%f")
    protected.sql("select pg_reload_conf()")
    message = failure(run, protected, 68)
    assert (
        "error 068 (archive-command-invalid): archive_command 'cp %p /nonexistent/%f' must contain pgbackrest"
        in message
    )


def test_wal_does_not_arrive(run: Run, protected: t.Any) -> None:
    protected.configure(archive_command=f"{protected.executable} --stanza=other --config=/nonexistent archive-push %p")
    protected.sql("select pg_reload_conf()")
    message = failure(run, protected, 82, archive_timeout=2)
    assert "was not archived before the 2000ms timeout" in message and "pg_stat_archiver" in message


def test_the_port_of_another_cluster(run: Run, protected: t.Any, root_directory: t.Any) -> None:
    """pg1-path and pg1-port must be of one cluster."""
    text = protected.config.read_text(encoding="utf-8")
    copy = protected.make_directory("copy")
    data = protected.pgdata
    protected.stop()
    shutil.rmtree(copy)
    subprocess.run(["cp", "-a", str(data), str(copy)], check=True)
    protected.start()
    protected.config.write_text(text.replace(f"pg1-path={data}", f"pg1-path={copy}"), encoding="utf-8")
    message = failure(run, protected, 58)
    assert (
        "Check that pg1-path, pg1-port and pg1-socket-path in the configuration belong to the same cluster" in message
    )


def test_a_repository_without_the_stanza(run: Run, protected: t.Any) -> None:
    other = protected.make_directory("repo2")
    protected.write_config({"repo2-path": str(other), "repo2-retention-full": "1"})
    for check in (True, False):
        result = run("check", protected.common, check=check)
        assert result["failed"] and "stanza main is missing in repository 2" in result["msg"]
