# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module archiving_info on real servers: archiving well, broken, off, following, and down."""

from __future__ import annotations

import os
import shutil
import time
import typing as t
from pathlib import Path

import pytest

from .conftest import USER

Run = t.Callable[..., dict[str, t.Any]]
Hash = t.Callable[[t.Any], str]


def look(run: Run, cluster: t.Any, **more: t.Any) -> dict[str, t.Any]:
    result = run("archiving_info", {**cluster.common, **cluster.login, **more})
    assert not result["failed"] and result["changed"] is False, result
    assert result["healthy"] is (result["problems"] == [])
    return result


def wait_for(cluster: t.Any, condition: str) -> None:
    """Wait until the statistics of the archiver say so."""
    deadline = time.monotonic() + 30
    while cluster.sql(f"SELECT {condition} FROM pg_stat_archiver") != [("t",)]:
        assert time.monotonic() < deadline, cluster.log_tail()
        time.sleep(0.1)


def one_problem(result: dict[str, t.Any]) -> str:
    assert len(result["problems"]) == 1, result["problems"]
    return str(result["problems"][0])


@pytest.mark.matrix
def test_archives(run: Run, protected: t.Any, tree_hash: Hash) -> None:
    protected.archive()
    archived = "CASE WHEN last_archived_wal IS NULL THEN false ELSE failed_count = 0 END"
    wait_for(protected, archived)
    before = tree_hash(protected.repo)
    result = look(run, protected)
    assert tree_hash(protected.repo) == before
    assert (result["problems"], result["running"], result["archives_to_stanza"]) == ([], True, True)
    assert (result["in_recovery"], result["timeline"], result["pending_restart"]) == (False, 1, [])
    assert result["data_directory"] == str(protected.pgdata)
    assert result["system_identifier"] == protected.sql("SELECT system_identifier FROM pg_control_system()")[0][0]
    assert result["current_wal"] == protected.sql("SELECT pg_walfile_name(pg_current_wal_lsn())")[0][0]
    assert (result["waiting"], result["waiting_bytes"], result["oldest_waiting_age"]) == (0, 0, None)
    archiver = result["archiver"]
    assert archiver["last_archived_wal"] <= result["current_wal"]
    assert archiver["archived_count"] >= 1 and 0 <= archiver["last_archived_age"] < 60
    assert abs(archiver["last_archived_time"] - time.time()) < 60
    assert (archiver["failed_count"], archiver["last_failed_age"], archiver["failing"]) == (0, None, False)
    assert result["settings"]["archive_mode"] == "on" and "archive-push" in result["settings"]["archive_command"]


def break_repository(cluster: t.Any) -> t.Callable[[], None]:
    """Move the repository away, and something else into its place; returns what puts it back."""
    away = cluster.repo.with_name("away")
    cluster.repo.rename(away)
    cluster.repo.touch()

    def mend() -> None:
        cluster.repo.unlink()
        away.rename(cluster.repo)

    return mend


@pytest.mark.matrix
def test_fails_and_gets_well_again(run: Run, protected: t.Any) -> None:
    mend = break_repository(protected)
    protected.sql("CREATE TABLE more()")
    segment = protected.sql("SELECT pg_walfile_name(pg_switch_wal())")[0][0]
    protected.sql("CREATE TABLE even_more()")
    protected.sql("SELECT pg_switch_wal()")
    wait_for(protected, "failed_count >= 1")
    result = look(run, protected)
    assert (result["archives_to_stanza"], result["waiting"]) == (True, 2)
    assert result["waiting_bytes"] == 2 * 16 * 1024 * 1024
    assert result["archiver"]["last_failed_wal"] == segment and result["archiver"]["failing"] is True
    problem = one_problem(result)
    assert problem.startswith("2 WAL files wait to be archived (32.0 MiB), the oldest for ")
    assert f" ago at {segment}. PostgreSQL goes on trying" in problem
    assert problem.endswith("PostgreSQL's log says why.")
    mend()
    wait_for(protected, f"last_archived_wal >= '{segment}'")
    protected.archive()
    assert look(run, protected)["problems"] == []


@pytest.mark.matrix
def test_asynchronous_archiving_says_why_it_fails(run: Run, protected: t.Any) -> None:
    protected.write_config({"archive-async": "y"})
    protected.archive()
    assert look(run, protected)["problems"] == []
    mend = break_repository(protected)
    protected.sql("CREATE TABLE more()")
    protected.sql("SELECT pg_switch_wal()")
    wait_for(protected, "failed_count >= 1")
    problem = one_problem(look(run, protected))
    assert "until it succeeds. pgbackrest archive-push failed with error " in problem
    assert f"{protected.repo}" in problem and "Not a directory" in problem
    assert "\n" not in problem
    mend()


def test_hangs(run: Run, protected: t.Any) -> None:
    protected.configure(archive_command=f"sleep 600; {protected.executable}")
    protected.sql("SELECT pg_reload_conf()")
    time.sleep(0.5)
    protected.sql("CREATE TABLE more()")
    protected.sql("SELECT pg_switch_wal()")
    time.sleep(2)
    assert not [text for text in look(run, protected)["problems"] if "wait" in text]
    problems = look(run, protected, max_wait=0)["problems"]
    assert "a shell script, and not for the stanza." in problems[0]
    assert "No try has failed since the last success, so archive_command hangs" in problems[1]
    protected.stop("immediate")


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("", "archive_command is empty, so nothing is archived, and PostgreSQL keeps all WAL in pg_wal."),
        ("/bin/true", "archive_command is «/bin/true», which throws the WAL away."),
        (
            "cp %p /tmp/nowhere/%f",
            "archive_command is «cp %p /tmp/nowhere/%f»: not pgBackRest, and not for the stanza.",
        ),
        ("pgbackrest --stanza=other archive-push %p", "pgBackRest for the stanza other, and not for the stanza."),
    ],
)
def test_other_commands(run: Run, protected: t.Any, command: str, sentence: str) -> None:
    protected.configure(archive_command=command)
    protected.sql("SELECT pg_reload_conf()")
    time.sleep(0.5)
    result = look(run, protected)
    assert result["archives_to_stanza"] is False
    assert sentence in one_problem(result)
    assert "with the module pgops.pgbackrest.archiving." in one_problem(result)


@pytest.mark.matrix
def test_switched_off_and_waiting_for_a_restart(run: Run, cluster: t.Any) -> None:
    cluster.write_config()
    cluster.start()
    result = look(run, cluster)
    assert one_problem(result) == (
        "archive_mode is off, so nothing is archived. Let it archive to the stanza main with the module "
        "pgops.pgbackrest.archiving."
    )
    assert (result["settings"]["archive_mode"], result["settings"]["archive_command"]) == ("off", "")
    run("archiving", {**cluster.common, **cluster.login})
    result = look(run, cluster)
    assert result["pending_restart"] == ["archive_mode"]
    assert one_problem(result) == ("archive_mode is off, so nothing is archived. It waits for a restart of PostgreSQL.")


@pytest.mark.matrix
def test_standby(run: Run, protected: t.Any) -> None:
    protected.stop()
    signal = protected.pgdata / ("recovery.conf" if protected.pg_major < 12 else "standby.signal")
    signal.write_text("standby_mode = on\n" if protected.pg_major < 12 else "", encoding="utf-8")
    if os.geteuid() == 0:
        shutil.chown(signal, USER)
    protected.start()
    result = look(run, protected)
    assert (result["problems"], result["in_recovery"], result["archives_to_stanza"]) == ([], True, True)
    assert (result["current_wal"], result["timeline"]) == (None, 1)
    protected.configure(archive_command="/bin/false")
    protected.sql("SELECT pg_reload_conf()")
    time.sleep(0.5)
    assert "archive_command is «/bin/false»: not pgBackRest" in one_problem(look(run, protected))


def test_server_is_down(run: Run, protected: t.Any) -> None:
    protected.stop()
    result = look(run, protected)
    assert (result["running"], result["archives_to_stanza"], result["waiting"]) == (False, False, None)
    assert "PostgreSQL cannot be reached on" in one_problem(result)


def test_what_keeps_pgbackrest_from_archiving(run: Run, protected: t.Any) -> None:
    stop = protected.root / "lock" / "main.stop"
    stop.touch()
    problem = one_problem(look(run, protected))
    assert f"the stop file {stop} exists" in problem and "pgbackrest --stanza=main start" in problem
    stop.unlink()
    assert "(pg1-path is missing)" in look(run, protected, stanza="other")["problems"][0]
    missing = look(run, protected, executable="/nowhere/pgbackrest")["problems"]
    assert "The program /nowhere/pgbackrest is not on this host" in missing[0]


def test_role_without_privileges(run: Run, protected: t.Any) -> None:
    protected.sql("CREATE ROLE watcher LOGIN")
    params = {**protected.common, **protected.login, "login_user": "watcher"}
    result = run("archiving_info", params)
    assert result["failed"] and 'to examine "data_directory". Log in as a superuser, or' in result["msg"]
    protected.sql("GRANT pg_monitor TO watcher")
    assert run("archiving_info", params)["healthy"] is True


def test_psycopg2_is_missing(run: Run, protected: t.Any, module_tree: Path, root_directory: Path) -> None:
    hidden = root_directory / "hidden"
    hidden.mkdir()
    (hidden / "psycopg2.py").write_text("raise ImportError('hidden')\n", encoding="utf-8")
    hidden.chmod(0o755)
    environment = {"PYTHONPATH": f"{hidden}:{module_tree}"}
    result = run("archiving_info", {**protected.common, **protected.login}, environment=environment)
    assert result["failed"] and "python3-psycopg2" in result["msg"]
