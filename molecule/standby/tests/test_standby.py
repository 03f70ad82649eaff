# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A repository host, a primary and its standby, which change their roles. The tests build on one another."""

from __future__ import annotations

import re
import typing as t

import playbook
import pytest
import service
from live import (
    On,
    add_rows,
    as_postgres,
    backups,
    newest_segment,
    query,
    restored,
    rows,
    stanza_info,
    start_unit,
    wait_for,
    wait_until_archived,
)

RUNNER = "/usr/local/libexec/pgops-pgbackrest/scheduled-backup"
DATA = "/var/lib/postgresql/17/main"


def repository_info(on: On) -> dict[str, t.Any]:
    return stanza_info(on("backup1"), user="pgbackrest")


def copied_from(on: On) -> str:
    """Take a backup by hand, and return the host (pg1, pg2) from which the files of the databases were copied."""
    said = on("backup1").check_output(
        "cd / && runuser -u pgbackrest -- pgbackrest --stanza=main --type=full --log-level-console=detail backup"
    )
    hosts = set(re.findall(rf"backup file (\S+?):{DATA}/base/", said))
    assert len(hosts) == 1, said
    return hosts.pop()


def scheduled_backup(on: On) -> str:
    """Run the unit that a timer starts, and return what it said. A new backup is there."""
    before = backups(repository_info(on))
    said = start_unit(on("backup1"), "pgbackrest-main-diff.service")
    assert backups(repository_info(on))[-1] not in before
    return said


def run_as_scheduled_on(on: On, name: str) -> str:
    """The schedule's program on a database host, where it would run in a topology without a repository host."""
    as_postgres(on(name), "mkdir -p /tmp/state/main")
    on(name).check_output("printf %%s %s >/tmp/runner", on("backup1").file(RUNNER).content_string)
    return as_postgres(
        on(name),
        "python3 /tmp/runner --stanza main --type diff --port 5432 --socket-directory /var/run/postgresql"
        " --state-directory /tmp/state",
    )


def test_both_hosts_are_known_and_each_role_is_seen(on: On) -> None:
    assert query(on("db1"), "SELECT pg_is_in_recovery()") == "f"
    assert query(on("db2"), "SELECT pg_is_in_recovery()") == "t"
    file = on("backup1").file("/etc/pgbackrest/conf.d/main.conf").content_string
    assert "pg1-host=db1\n" in file
    assert "pg2-host=db2\n" in file


def test_wal_arrives(on: On) -> None:
    segment = add_rows(on("db1"))
    wait_until_archived(on("db1"), segment)
    assert newest_segment(repository_info(on)) >= segment


def test_backup_is_copied_from_the_standby(on: On) -> None:
    assert copied_from(on) == "db2"


def test_schedule_runs_on_the_repository_host_alone(on: On) -> None:
    assert on("backup1").service("pgbackrest-main-diff.timer").is_running
    for name in ("db1", "db2"):
        assert on(name).check_output("systemctl list-unit-files --no-legend 'pgbackrest-main-*' | wc -l") == "0"
    scheduled_backup(on)


def test_schedule_on_a_standby_does_nothing_and_says_so(on: On) -> None:
    before = backups(repository_info(on))
    assert "standby" in run_as_scheduled_on(on, "db2")
    assert backups(repository_info(on)) == before


def test_after_a_failover_the_next_scheduled_backup_succeeds(on: On) -> None:
    wait_until_archived(on("db1"), add_rows(on("db1")))
    expected = rows(on("db1"))
    wait_for(lambda: rows(on("db2")) == expected, "the rows on the standby")
    on("db1").check_output("systemctl stop postgresql@17-main")

    query(on("db2"), "SELECT pg_promote()")
    assert query(on("db2"), "SELECT pg_is_in_recovery()") == "f"
    # Until its first checkpoint a new primary's control file names the old timeline, and pgBackRest refuses it (058).
    query(on("db2"), "CHECKPOINT")
    scheduled_backup(on)
    segment = add_rows(on("db2"))
    assert segment.startswith("00000002")
    wait_until_archived(on("db2"), segment)
    assert newest_segment(repository_info(on)) >= segment
    assert rows(on("db2")) != expected


def test_everything_is_restored_from_the_new_timeline(on: On) -> None:
    with restored(on("db2")) as port:
        assert rows(on("db2"), port=port) == rows(on("db2"))


def test_the_old_primary_comes_back_as_standby_and_serves_the_backup(on: On) -> None:
    program = "/usr/lib/postgresql/17/bin/pg_rewind"
    as_postgres(
        on("db1"),
        f"{program} --target-pgdata={DATA} --source-server='host=db2 user=postgres dbname=postgres'"
        " --config-file=/etc/postgresql/17/main/postgresql.conf --write-recovery-conf",
    )
    on("db1").check_output("systemctl start postgresql@17-main")
    expected = rows(on("db2"))
    wait_for(lambda: rows(on("db1")) == expected, "the rows on the new standby")
    assert copied_from(on) == "db1"
    scheduled_backup(on)
    assert "standby" in run_as_scheduled_on(on, "db1")


@pytest.fixture(scope="module")
def good_rows(on: On) -> str:
    wait_until_archived(on("db2"), add_rows(on("db2")))
    return rows(on("db2"))


@pytest.fixture(scope="module")
def restore(on: On, good_rows: str) -> dict[str, str]:
    """Half of the rows are deleted on the primary, and so on its standby. Returns how to get back to before that."""
    moment = query(on("db2"), "SELECT clock_timestamp()")
    query(on("db2"), "DELETE FROM customer WHERE id % 2 = 0")
    bad_rows = rows(on("db2"))
    assert bad_rows != good_rows
    wait_for(lambda: rows(on("db1")) == bad_rows, "the accident on the standby")
    return {"restore_target_time": moment, "restore_confirm": "main"}


def test_restore_of_the_primary_names_the_standby(on: On, restore: dict[str, str], good_rows: str) -> None:
    before = service.before_restore(on("db2"), "main")
    outcome = playbook.succeed("restore", variables=restore)
    assert rows(on("db2")) == good_rows
    assert re.search(r"standbys +db1 has the old data", outcome.output), outcome.output
    service.check_in_service(on("db2"), "main", before)
    # It still has what the primary has no more, and cannot follow.
    assert query(on("db2"), "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") == "0"


def test_the_standby_is_rebuilt_where_asked(on: On, restore: dict[str, str]) -> None:
    started = query(on("db2"), "SELECT pg_postmaster_start_time()")
    wanted = {**restore, "restore_rebuild_standbys": "true"}
    outcome = playbook.succeed("restore", variables=wanted)
    # The primary had been restored by then.
    assert query(on("db2"), "SELECT pg_postmaster_start_time()") == started
    assert outcome.changed()["db2"] == 0, outcome.output
    add_rows(on("db2"))
    expected = rows(on("db2"))
    wait_for(lambda: rows(on("db1")) == expected, "the rows on the rebuilt standby")
    followed = query(on("db1"), "SELECT pg_is_in_recovery(), received_tli FROM pg_stat_wal_receiver")
    assert followed == f"t|{service.timeline(on('db2'))}"
    assert set(playbook.succeed("restore", variables=wanted).changed().values()) == {0}
    playbook.succeed("status", variables={"status_fail": "true"})
