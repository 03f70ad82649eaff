# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A repository host, a primary and two standbys, which change their roles. The tests build on one another.

db2 and db3 were made by the playbook standby, from the repository, while something wrote to db1 all the time.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import typing as t
from pathlib import Path

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

pytestmark = pytest.mark.timeout(900)  # some run four plays
RUNNER = "/usr/local/libexec/pgops-pgbackrest/scheduled-backup"
DATA = "/var/lib/postgresql/17/main"


def repository_info(on: On) -> dict[str, t.Any]:
    return stanza_info(on("backup1"), user="pgbackrest")


def followers(on: On, primary: str) -> str:
    """Who streams from a primary, and through which slots."""
    return query(
        on(primary),
        "SELECT string_agg(application_name || ' ' || slot_name, ',' ORDER BY application_name) FROM"
        " pg_stat_replication AS r JOIN pg_replication_slots AS s ON s.active_pid = r.pid WHERE r.state = 'streaming'",
    )


def check_rows(on: On, primary: str, *standbys: str) -> None:
    """What is written now arrives at the standbys."""
    add_rows(on(primary), 100)
    expected = rows(on(primary))
    for name in standbys:
        wait_for(lambda name=name: rows(on(name)) == expected, f"the rows of {primary} on {name}")


@pytest.fixture(name="standby")
def standby_fixture(tmp_path: Path) -> t.Callable[..., tuple[playbook.Outcome, dict[str, t.Any]]]:
    """Run the playbook standby, to a good or a bad end. Gives its result as data, too."""

    def run(*arguments: str, rc: int = 0, **variables: t.Any) -> tuple[playbook.Outcome, dict[str, t.Any]]:
        file = tmp_path / "standby.json"
        outcome = playbook.run("standby", *arguments, variables={"standby_file": str(file), **variables})
        assert (outcome.rc != 0) == bool(rc), outcome.output
        return outcome, json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}

    return run


def by_host(result: dict[str, t.Any]) -> dict[str, t.Any]:
    """The standbys of a result or plan."""
    return {item["host"]: item for item in result["standbys"]}


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


def test_all_hosts_are_known_and_each_role_is_seen(on: On) -> None:
    assert query(on("db1"), "SELECT pg_is_in_recovery()") == "f"
    file = on("backup1").file("/etc/pgbackrest/conf.d/main.conf").content_string
    assert "pg1-host=db1\n" in file
    for number, name in ((2, "db2"), (3, "db3")):
        assert query(on(name), "SELECT pg_is_in_recovery()") == "t"
        assert f"pg{number}-host={name}\n" in file


def test_standbys_were_made_from_the_repository_under_load(on: On) -> None:
    assert followers(on, "db1") == "db2 db2,db3 db3"
    for name in ("db2", "db3"):
        receipt = json.loads(on(name).file(f"{DATA}.restore/receipt.json").content_string)
        assert receipt["request"]["target"]["type"] == "standby"
        written = query(
            on("db1"),
            f"SELECT count(*) FROM load WHERE at BETWEEN '{receipt['restored_at']}'::timestamptz - interval '5 s' AND"
            f" '{receipt['restored_at']}'",
        )
        assert int(written) > 0, "nothing was written while it was restored"


def test_they_hold_the_same_rows(on: On) -> None:
    on("db1").check_output("systemctl stop load")
    add_rows(on("db1"), 10)
    check_rows(on, "db1", "db2", "db3")
    last = "SELECT count(*), max(id), max(at) FROM load"
    for name in ("db2", "db3"):
        assert query(on(name), last) == query(on("db1"), last)


def test_debian_knows_the_new_clusters_and_starts_them(on: On) -> None:
    for name in ("db2", "db3"):
        assert on(name).check_output("pg_lsclusters --no-header").split()[:4] == [
            "17",
            "main",
            "5432",
            "online,recovery",
        ]
        assert on(name).service("postgresql@17-main").is_running
        assert on(name).file("/etc/postgresql/17/main/start.conf").content_string.split()[-1] == "auto"
        assert query(on(name), "SHOW listen_addresses") == "*", "as on the primary"
        assert query(on(name), "SHOW archive_mode") == "on"


def test_no_secret_is_where_others_read_it(on: On) -> None:
    for name in ("db2", "db3"):
        auto = on(name).file(f"{DATA}/postgresql.auto.conf")
        assert playbook.SECRETS in auto.content_string and auto.mode == 0o600
        found = on(name).run(f"grep --recursive --files-with-matches {playbook.SECRETS} /etc/postgresql /var/log /tmp")
        assert found.stdout == "", found.stdout
    assert on("db1").run(f"grep --recursive {playbook.SECRETS}-9c40 /var/log /etc/postgresql").rc == 1


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


@contextlib.contextmanager
def misled(on: On, name: str, host: str, address: str) -> t.Iterator[None]:
    """On one host the name of another leads to some address."""
    on(name).check_output("cp /etc/hosts /root/hosts && echo %s %s >>/etc/hosts", address, host)
    try:
        yield
    finally:
        on(name).check_output("cat /root/hosts >/etc/hosts")


def test_wrong_and_unreachable_primaries_are_told_before_anything(on: On, standby: t.Callable[..., t.Any]) -> None:
    """The name of the primary leads db2 to nobody, and db3 to another cluster."""
    started = {name: query(on(name), "SELECT pg_postmaster_start_time()") for name in ("db2", "db3")}
    address = on("backup1").check_output("hostname --ip-address").split()[0]
    program = "/usr/lib/postgresql/17/bin"
    control = f"{program}/pg_ctl --pgdata=/tmp/other --log=/tmp/other.log --wait"
    as_postgres(on("backup1"), f"{program}/initdb --auth=trust --pgdata=/tmp/other")
    as_postgres(on("backup1"), "sh -c 'echo host all,replication all all trust >>/tmp/other/pg_hba.conf'")
    as_postgres(on("backup1"), control + """ --options="-h '*' -k /tmp" start""")
    as_postgres(
        on("backup1"), "psql --host=/tmp --dbname=postgres --command='CREATE ROLE replicator REPLICATION LOGIN'"
    )
    with misled(on, "db2", "db1", "127.0.0.9"), misled(on, "db3", "db1", address):
        on("db2").check_output("systemctl stop postgresql@17-main")  # it would answer there itself
        outcome, result = standby(rc=2)
    as_postgres(on("backup1"), f"{control} --mode=immediate stop")
    on("backup1").check_output("rm -r /tmp/other /tmp/other.log")
    found = by_host(result)
    assert (found["db2"]["codes"], found["db3"]["codes"]) == (["upstream_unreachable"], ["upstream_other_cluster"]), (
        found
    )
    assert "Nothing was stopped or overwritten there." in found["db3"]["failed"]
    assert query(on("db3"), "SELECT pg_postmaster_start_time()") == started["db3"]
    assert sum(outcome.changed().values()) == 0, outcome.output
    on("db2").check_output("systemctl start postgresql@17-main")
    wait_for(lambda: followers(on, "db1") == "db2 db2,db3 db3", "both standbys streaming again")


def test_wrong_credentials_end_the_play_before_anything(on: On, standby: t.Callable[..., t.Any]) -> None:
    wrong = {"standby_password": f"{playbook.SECRETS}-wrong", "standby_create_user": False}
    outcome, result = standby(rc=2, **wrong)
    assert "The role replicator has another password than the given one" in outcome.output, outcome.output
    assert "Give the right one in standby_password" in outcome.output
    assert result == {} and sum(outcome.changed().values()) == 0


DISK = os.path.dirname(DATA)


def leave(megabytes: int) -> str:
    """Command: take the room of the disk of the data directory, but for some."""
    return f"fallocate --length $(($(df --output=avail -B 1M {DISK} | tail -n 1) - {megabytes}))M {DISK}/filling"


def beside_the_next_play(host: t.Any, script: str) -> None:
    """Have a script run on the host while the next play works there."""
    host.check_output("systemd-run --collect --unit=beside --expand-environment=no timeout 600 sh -c %s", script)


def test_no_room_at_the_start(on: On, standby: t.Callable[..., t.Any]) -> None:
    """The disk of db3 is new, and too small."""
    on("db3").check_output(f"systemctl stop postgresql@17-main && rm -r {DATA} {DATA}.restore")
    on("db3").check_output(f"mount -t tmpfs -o size=1g,mode=0755,uid=postgres,gid=postgres tmpfs {DISK}")
    on("db3").check_output(leave(10))
    outcome, result = standby(rc=2)
    found = by_host(result)["db3"]
    assert found["codes"] == ["space"], found
    assert "Nothing was stopped or overwritten there." in found["failed"]
    assert sum(outcome.changed().values()) == 0, outcome.output
    assert on("db3").file(DISK).listdir() == ["filling"]
    on("db3").check_output(f"rm {DISK}/filling")


def check_half_restored(on: On, outcome: playbook.Outcome, result: dict[str, t.Any]) -> None:
    """What a restore of db3 leaves that came to no end; db2 does not mind."""
    assert f"{DATA} may hold half a restore" in by_host(result)["db3"]["failed"], outcome.output
    assert not on("db3").service("postgresql@17-main").is_running
    assert on("db3").file(f"{DATA}/backup.manifest").exists
    assert not by_host(result)["db2"]["failed"]


def test_a_build_that_was_killed(on: On, standby: t.Callable[..., t.Any]) -> None:
    """pgBackRest is killed as soon as it has restored a little."""
    kill = "while ! pkill --signal KILL --full [p]gbackrest.*restore; do :; done"
    beside_the_next_play(on("db3"), f"until [ -e {DATA}/backup.manifest ]; do :; done; {kill}")
    check_half_restored(on, *standby(rc=2))


def test_the_disk_fills_half_way(on: On, standby: t.Callable[..., t.Any]) -> None:
    """The build goes on, and somebody else takes the room that the plan had found."""
    stop, go_on = (f"pkill --signal {name} --full '[p]gbackrest .*--set=.* restore$'" for name in ("STOP", "CONT"))
    beside_the_next_play(on("db3"), f"until {stop}; do :; done; {leave(15)}; {go_on}")
    outcome, result = standby(rc=2)
    check_half_restored(on, outcome, result)
    assert re.search(rf"{DATA}/\S+ has 0 B free\.", " ".join(outcome.output.split())), outcome.output


def test_a_build_goes_on_when_there_is_room(on: On, standby: t.Callable[..., t.Any]) -> None:
    on("db3").check_output(f"rm {DISK}/filling")
    outcome, result = standby()  # needs no confirmation: there is nothing that anybody could miss
    found = by_host(result)["db3"]
    assert (found["action"], found["streaming"], found["follows"]) == ("rebuild", True, "db1"), result
    check_rows(on, "db1", "db2", "db3")


def test_one_without_slot_that_was_away_catches_up_from_the_archive(on: On, standby: t.Callable[..., t.Any]) -> None:
    standby(standby_slot=False)
    assert query(on("db1"), "SELECT count(*) FROM pg_replication_slots") == "0", "slots that nobody uses are removed"
    on("db3").check_output("systemctl stop postgresql@17-main")
    query(on("db1"), "ALTER SYSTEM SET max_wal_size = '32MB'")
    query(on("db1"), "SELECT pg_reload_conf()")
    needed = query(on("db1"), "SELECT pg_walfile_name(pg_current_wal_lsn())")
    for number in (1, 2, 3):
        wait_until_archived(on("db1"), add_rows(on("db1"), 100 * number))
        query(on("db1"), "CHECKPOINT")
    assert query(on("db1"), f"SELECT count(*) FROM pg_ls_waldir() WHERE name = '{needed}'") == "0", "it is still there"
    outcome, result = standby()
    assert (by_host(result)["db3"]["action"], by_host(result)["db3"]["streaming"]) == ("start", True), outcome.output
    assert by_host(result)["db2"]["action"] == "repoint", "it gets its slot back"
    check_rows(on, "db1", "db2", "db3")
    query(on("db1"), "ALTER SYSTEM RESET max_wal_size")
    query(on("db1"), "SELECT pg_reload_conf()")
    assert followers(on, "db1") == "db2 db2,db3 db3"


def test_after_a_failover_the_next_scheduled_backup_succeeds(on: On) -> None:
    wait_until_archived(on("db1"), add_rows(on("db1")))
    check_rows(on, "db1", "db2", "db3")
    expected = rows(on("db1"))
    # One that does not follow the new primary is waited for by each backup, which then fails (082). It must not get the
    # last WAL of the old primary from the archive, which the new one may not have.
    for name in ("db3", "db1"):
        on(name).check_output("systemctl stop postgresql@17-main")

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


def test_standbys_after_the_failover(on: On, standby: t.Callable[..., t.Any]) -> None:
    """db3 follows the new primary, and the old one comes back as a standby."""
    on("db3").check_output("systemctl start postgresql@17-main")
    before = on("db1").check_output(f"stat --format=%%Y {DATA}/global/pg_control")
    outcome, result = standby(rc=2)
    assert f"The plan above overwrites {DATA} on db1. Add standby_confirm=main" in outcome.output, outcome.output
    assert on("db1").check_output(f"stat --format=%%Y {DATA}/global/pg_control") == before
    assert not on("db1").service("postgresql@17-main").is_running
    planned = {host: item["action"] for host, item in by_host(result["plan"]).items()}
    assert planned == {"db1": "rebuild", "db3": "repoint"}

    started = query(on("db3"), "SELECT pg_postmaster_start_time()")
    outcome, result = standby(standby_confirm="main")
    assert query(on("db3"), "SELECT pg_postmaster_start_time()") == started, "a new upstream needs no restart"
    found = by_host(result)["db1"]
    assert found["copied_bytes"] < found["bytes"] / 3, found
    assert followers(on, "db2") == "db1 db1,db3 db3"
    check_rows(on, "db2", "db1", "db3")


def test_no_slots_and_no_wal_are_left_behind(on: On) -> None:
    for name in ("db1", "db3"):
        assert query(on(name), "SELECT count(*) FROM pg_replication_slots") == "0", name
    held = query(on("db2"), "SELECT max(pg_current_wal_lsn() - restart_lsn) FROM pg_replication_slots")
    assert float(held) < 32 * 1024**2
    assert (
        query(on("db2"), "SELECT string_agg(slot_name, ',' ORDER BY slot_name) FROM pg_replication_slots") == "db1,db3"
    )


def test_the_old_primary_serves_the_backup(on: On) -> None:
    assert copied_from(on) == "db1"
    scheduled_backup(on)
    assert "standby" in run_as_scheduled_on(on, "db1")


def test_a_standby_may_follow_another_one(on: On, standby: t.Callable[..., t.Any]) -> None:
    cascade = {"standby_upstream": "{{ 'db1' if inventory_hostname == 'db3' else '' }}", "standby_slot": False}
    outcome, result = standby(**cascade)
    assert by_host(result)["db3"]["action"] == "repoint", outcome.output
    streaming = "SELECT string_agg(application_name, ',') FROM pg_stat_replication WHERE state = 'streaming'"
    assert (query(on("db2"), streaming), query(on("db1"), streaming)) == ("db1", "db3")
    assert query(on("db2"), "SELECT count(*) FROM pg_replication_slots") == "0", "slots that nobody uses are removed"
    check_rows(on, "db2", "db1", "db3")


class Accident(t.NamedTuple):
    """Half of the rows were deleted on the primary, and so on its standbys."""

    good_rows: str
    restore: dict[str, str]


def accident(on: On) -> Accident:
    """Let it happen."""
    wait_until_archived(on("db2"), add_rows(on("db2")))
    good_rows = rows(on("db2"))
    moment = query(on("db2"), "SELECT clock_timestamp()")
    query(on("db2"), "DELETE FROM customer WHERE id % 2 = 0")
    bad_rows = rows(on("db2"))
    assert bad_rows != good_rows
    for name in ("db1", "db3"):
        wait_for(lambda name=name: rows(on(name)) == bad_rows, f"the accident on {name}")
    return Accident(good_rows, {"restore_target_time": moment, "restore_confirm": "main"})


@pytest.fixture(scope="module")
def first(on: On) -> Accident:
    """The first accident, of which the next two tests are."""
    return accident(on)


def test_restore_of_the_primary_names_the_standbys(on: On, first: Accident) -> None:
    before = service.before_restore(on("db2"), "main")
    outcome = playbook.succeed("restore", variables=first.restore)
    assert rows(on("db2")) == first.good_rows
    for name in ("db1", "db3"):
        assert re.search(rf"{name} has the old data", outcome.output), outcome.output
    service.check_in_service(on("db2"), "main", before)
    # They still have what the primary has no more, and cannot follow.
    assert query(on("db2"), "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") == "0"


def test_the_standbys_are_rebuilt_where_asked(on: On, first: Accident) -> None:
    started = query(on("db2"), "SELECT pg_postmaster_start_time()")
    wanted = {**first.restore, "restore_rebuild_standbys": "true"}
    outcome = playbook.succeed("restore", variables=wanted)
    # The primary had been restored by then.
    assert query(on("db2"), "SELECT pg_postmaster_start_time()") == started
    assert outcome.changed()["db2"] == 0, outcome.output
    check_rows(on, "db2", "db1", "db3")
    for name in ("db1", "db3"):
        assert query(on(name), "SELECT pg_is_in_recovery()") == "t"
    assert set(playbook.succeed("restore", variables=wanted).changed().values()) == {0}


def test_standbys_are_rebuilt_by_delta_after_a_restore_in_place(on: On, standby: t.Callable[..., t.Any]) -> None:
    standby()  # as the inventory says: slots, and nobody follows a standby
    second = accident(on)
    playbook.succeed("restore", variables={**second.restore, "restore_mode": "delta", "restore_backup": "false"})
    assert rows(on("db2")) == second.good_rows
    outcome, result = standby(standby_confirm="main")
    for name in ("db1", "db3"):
        found = by_host(result)[name]
        assert (found["action"], found["streaming"]) == ("rebuild", True), outcome.output
        assert 0 < found["copied_bytes"] < found["bytes"] / 3, found
    check_rows(on, "db2", "db1", "db3")
    assert followers(on, "db2") == "db1 db1,db3 db3"
    followed = query(on("db1"), "SELECT pg_is_in_recovery(), received_tli FROM pg_stat_wal_receiver")
    assert followed == f"t|{service.timeline(on('db2'))}"
    playbook.succeed("status", variables={"status_fail": "true"})
