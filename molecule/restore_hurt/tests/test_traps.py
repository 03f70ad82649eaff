# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restores that would make it worse are refused while all still works. The tests build on one another."""

from __future__ import annotations

import json
import re
import subprocess
import typing as t

from hurt import (
    PORTS,
    REPOSITORY,
    TRAPS,
    Play,
    data,
    finish,
    is_half_restored,
    make_read_only,
    make_writable,
    moment,
    play,
    untouched,
    wait_until,
)
from live import add_rows, as_postgres, query, rows, wait_for, wait_until_archived
from playbook import inventories, succeed

CONFIGURATION = "/etc/pgbackrest/conf.d/main.conf"


class Story:
    """What happened to the cluster main, for the targets of the tests."""

    first_moment: str
    first_rows: str
    second_moment: str
    second_rows: str
    segments: list[str]


def refuse(host: t.Any, trap: str, code: str, says: str, stanza: str = "main", **variables: t.Any) -> None:
    """The playbook must refuse this restore with this problem, and leave everything alone.

    Without a code it is the role that refuses, which has seen the hosts and the variables, but no plan.
    """
    with untouched(host, stanza):
        ended = play(stanza, **variables)
    failure = ended.failure()
    message = str(failure["msg"])
    assert says in message, message
    codes = [problem["code"] for problem in failure.get("problems", [])]
    assert codes == ([code] if code else []), failure
    TRAPS.add(trap, f"refused: {code}" if code else "refused", "same", message)


def test_history_of_the_cluster(db1: t.Any) -> None:
    """Two moments with rows of their own, and more commits after each."""
    add_rows(db1)
    Story.first_moment, Story.first_rows = moment(db1, "main"), rows(db1)
    Story.segments = [add_rows(db1), add_rows(db1)]
    Story.second_moment, Story.second_rows = moment(db1, "main"), rows(db1)
    wait_until_archived(db1, add_rows(db1))


def test_target_before_the_first_backup(db1: t.Any) -> None:
    refuse(
        db1,
        "target before the first backup",
        "target_too_early",
        "2020-01-01",
        restore_target_time="2020-01-01 00:00:00+00:00",
    )


def test_target_after_the_last_commit(db1: t.Any) -> None:
    refuse(
        db1,
        "target after the last commit",
        "target_after_last_commit",
        "nothing was committed after that",
        restore_target_time=moment(db1, "main"),
    )


def test_target_behind_a_gap_in_the_wal(db1: t.Any) -> None:
    segment = Story.segments[0]
    found = db1.check_output("find %s/archive/main -name %s", REPOSITORY, f"{segment}-*")
    db1.check_output("mv %s /root/", found)
    try:
        refuse(db1, "target behind a gap in the WAL", "wal_gap", segment, restore_target_time=Story.second_moment)
    finally:
        db1.check_output("mv %s %s", f"/root/{found.rpartition('/')[2]}", found)


def test_time_without_offset(db1: t.Any) -> None:
    refuse(db1, "naive timestamp", "", "offset", restore_target_time=Story.second_moment.partition("+")[0])


def test_hour_that_comes_twice(db1: t.Any) -> None:
    """Summer time ends in Berlin: that half hour comes at +02:00 and at +01:00."""
    refuse(db1, "hour that comes twice", "", "offset", restore_target_time="2026-10-25 02:30:00")
    zone = "2026-10-25 02:30:00 Europe/Berlin"
    refuse(db1, "hour that comes twice, with the name of a zone", "", "+HH:MM", restore_target_time=zone)


def test_directory_of_another_cluster(db1: t.Any) -> None:
    """Somebody mixed up the names in the inventory."""
    clusters = [{"stanza": "main", "cluster": "15/web"}]
    refuse(db1, "wrong stanza's directory", "foreign_cluster", data("web"), pgbackrest_clusters=clusters)


def put_back(host: t.Any, configuration: str) -> None:
    host.check_output("printf %%s %s >%s", configuration, CONFIGURATION)


def test_wrong_passphrase(db1: t.Any) -> None:
    kept = db1.file(CONFIGURATION).content_string
    db1.check_output("sed -i s,^repo1-cipher-pass=.*,repo1-cipher-pass=Only-for-these-tests-wrong, %s", CONFIGURATION)
    try:
        refuse(db1, "wrong passphrase", "repository_unusable", "repo1-cipher-pass")
    finally:
        put_back(db1, kept)


def test_read_only_repository(db1: t.Any) -> None:
    """It could be restored from, but the restored cluster could not archive."""
    make_read_only(db1)
    try:
        refuse(db1, "repository read-only", "repository_read_only", f"{REPOSITORY}/archive/main")
    finally:
        make_writable(db1)


def test_directory_of_a_running_cluster(db1: t.Any) -> None:
    """Only the module can be led there: the playbook stops the server first."""
    arguments = {"stanza": "main", "delta": True}
    module = ["ansible", *inventories(), "db1", "--become", "--become-user=postgres", "--one-line"]
    with untouched(db1, "main"):
        done = subprocess.run(
            [*module, "--module-name=pgops.pgbackrest.restore", f"--args={json.dumps(arguments)}"],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode != 0
    failure = json.loads(done.stdout[done.stdout.index("{") :])
    assert "running" in [problem["code"] for problem in failure["problems"]]
    TRAPS.add("directory of a running cluster (module called directly)", "refused: running", "same", failure["msg"])


def test_tablespace_newer_than_the_backup(db1: t.Any) -> None:
    as_postgres(db1, "mkdir /var/lib/postgresql/newer")
    query(db1, "CREATE TABLESPACE newer LOCATION '/var/lib/postgresql/newer'")
    for mode in ("delta", "swap"):
        refuse(
            db1,
            f"tablespace newer than the backup ({mode})",
            "tablespace_newer",
            "/var/lib/postgresql/newer",
            restore_mode=mode,
            restore_target_time=Story.first_moment,
        )
    query(db1, "DROP TABLESPACE newer")


def test_symlinked_wal(db1: t.Any) -> None:
    here, there, unit = f"{data('web')}/pg_wal", "/var/lib/postgresql/wal", "postgresql@15-web"
    db1.check_output("systemctl stop %s", unit)
    as_postgres(db1, f"mv {here} {there}")
    as_postgres(db1, f"ln -s {there} {here}")
    db1.check_output("systemctl start %s", unit)
    refuse(db1, "symlinked pg_wal", "pg_wal_link", "link-map", stanza="web", restore_mode="delta")
    db1.check_output("systemctl stop %s", unit)
    as_postgres(db1, f"rm {here}")
    as_postgres(db1, f"mv {there} {here}")
    db1.check_output("systemctl start %s", unit)


def test_standby(db1: t.Any) -> None:
    """The cluster web as a standby of nobody: it waits for WAL in its own archive."""
    as_postgres(db1, f"touch {data('web')}/standby.signal")
    db1.check_output("systemctl restart postgresql@15-web")
    assert query(db1, "SELECT pg_is_in_recovery()", port=PORTS["web"]) == "t"
    refuse(db1, "standby asked for a restore in place", "", "primary", stanza="web")
    db1.check_output(f"rm {data('web')}/standby.signal && systemctl restart postgresql@15-web")
    wait_for(lambda: query(db1, "SELECT pg_is_in_recovery()", port=PORTS["web"]) == "f", "a primary again")


def test_scheduled_backup_during_the_restore_to_the_first_moment(db1: t.Any) -> None:
    unit = "pgbackrest-main-incr.service"
    run = Play("main", restore_target_time=Story.first_moment)
    wait_until(run, is_half_restored("main"), then=f"systemctl start --no-block {unit}")
    ended = run.end()
    assert ended.rc == 0, ended.output
    assert rows(db1) == Story.first_rows
    wait_for(lambda: db1.check_output("systemctl show -P ActiveState %s", unit) != "activating", f"end of {unit}")
    said = db1.check_output("journalctl -o cat -n 3 --unit %s", unit)
    assert db1.check_output("systemctl show -P Result %s", unit) == "success", said
    wait_until_archived(db1, add_rows(db1))
    succeed("status", variables={"status_fail": True})
    TRAPS.add("scheduled backup during the restore", "rows of the moment, status is green", "restored", said)


def test_second_restore_to_a_moment_that_the_first_one_left_behind(db1: t.Any) -> None:
    """The newest timeline does not have it, the first one does."""
    ended = finish("main", restore_target_time=Story.second_moment)
    assert rows(db1) == Story.second_rows
    line = re.findall(r'"( *timeline .*?)"', ended.output)[0]
    TRAPS.add("second restore to a moment after a first one", "rows of the moment", "restored", line)
