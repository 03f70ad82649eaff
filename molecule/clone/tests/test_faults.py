# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Clones that are hurt while they are made stay closed, and the next run finishes them."""

from __future__ import annotations

import re
import typing as t

import playbook
import pytest
from cloning import DIRECTORY, RESTORES, Play, make, remove, result, said, sql_file, variables
from live import query, wait_for

pytestmark = pytest.mark.timeout(900)
PORTS = {"hurt": 6544, "killed": 6545, "orphan": 6546, "full": 6547}
COUNT = "SELECT count(*) FROM pgbench_accounts"
HALF = "pgrep -f '{pattern}' >/dev/null && ls {data}/backup.manifest >/dev/null 2>&1"


def closed(host: t.Any, name: str) -> bool:
    """Nobody answers on the port."""
    places = ("localhost", "/var/run/postgresql")
    return all(host.run(f"pg_isready -q -t 1 -h {where} -p {PORTS[name]}").rc == 2 for where in places)


def half_restored(data: str) -> str:
    """Condition: pgBackRest writes files."""
    return HALF.format(pattern=RESTORES, data=data)


def test_sql_that_fails_leaves_the_clone_closed(ci1: t.Any) -> None:
    wrong = sql_file("wrong.sql", "UPDATE customer SET name = 'x';\nUPDATE customer\n  SET nmae = 'y';\n")
    outcome = playbook.run("clone", variables=variables("hurt", clone_port=PORTS["hurt"], clone_sql_files=wrong))
    assert outcome.rc != 0
    assert "wrong.sql failed in the database postgres, line 3: SQLSTATE 42703" in said(outcome), outcome.output
    assert 'column "nmae"' in said(outcome)
    assert "with clone_replace=true" in said(outcome)
    assert "Remove the cause" not in said(outcome) and "LOG:" not in outcome.output
    assert closed(ci1, "hurt")
    assert ci1.run(f"pgrep -f '^[^ ]*postgres .*{DIRECTORY}/hurt/data'").rc != 0
    again = playbook.run("clone", variables=variables("hurt", clone_port=PORTS["hurt"], clone_sql_files=wrong))
    assert again.rc != 0
    assert "sql_half_done" in again.output
    assert "clone_replace=true" in said(again)
    assert closed(ci1, "hurt")


def test_replaced_with_sql_that_is_right(ci1: t.Any) -> None:
    right = sql_file("right.sql", "UPDATE customer SET name = 'y';\n")
    make("hurt", clone_port=PORTS["hurt"], clone_sql_files=right, clone_replace="true")
    assert query(ci1, "SELECT DISTINCT name FROM customer", port=PORTS["hurt"]) == "y"


def test_killed_restore_goes_on(ci1: t.Any) -> None:
    run = Play("killed", clone_port=PORTS["killed"])
    run.wait_until(ci1, f"{half_restored(f'{DIRECTORY}/killed/data')} && pkill -KILL -f '{RESTORES}'")
    outcome = run.end()
    assert outcome.rc != 0
    assert "killed by signal 9" in said(outcome), outcome.output
    assert closed(ci1, "killed")
    make("killed", clone_port=PORTS["killed"])
    assert int(query(ci1, COUNT, port=PORTS["killed"])) > 0


def test_killed_controller(ci1: t.Any) -> None:
    """It dies while the SQL runs. The work on the host goes on, and the next run finds the clone."""
    hook = sql_file("slow.sql", "CREATE TABLE hook AS SELECT 1;\nSELECT pg_sleep(8);\n")
    given = {"clone_port": PORTS["orphan"], "clone_sql_files": hook}
    run = Play("orphan", **given)
    run.wait_until(ci1, "pgrep -f '^postgres: orphan: postgres postgres ' >/dev/null")
    run.kill()
    assert closed(ci1, "orphan")
    wait_for(lambda: not closed(ci1, "orphan"), "the clone that nobody waits for")
    playbook.succeed("clone", variables=variables("orphan", **given))
    assert result("orphan")["port"] == PORTS["orphan"]
    assert query(ci1, "SELECT count(*) FROM hook", port=PORTS["orphan"]) == "1"


@pytest.fixture(name="small_disk")
def small_disk_fixture(db1: t.Any, ci1: t.Any) -> t.Iterator[str]:
    """A file system with room for the clone, as long as nobody else writes."""
    megabytes = int(query(db1, "SELECT (sum(pg_database_size(oid)) / 1048576)::int FROM pg_database")) + 200
    options = f"size={megabytes}m,mode=0755,uid=postgres,gid=postgres"
    ci1.check_output(f"mkdir -p /srv/small && mount -t tmpfs -o {options} tmpfs /srv/small")
    yield "/srv/small"
    ci1.check_output("umount /srv/small")


def test_full_disk(ci1: t.Any, small_disk: str) -> None:
    given = {"clone_port": PORTS["full"], "clone_directory": f"{small_disk}/full"}
    fill = f"dd if=/dev/zero of={small_disk}/filling bs=1M 2>/dev/null"
    stop, go_on = (f"pkill -{name} -f '{RESTORES}'" for name in ("STOP", "CONT"))
    run = Play("full", **given)
    run.wait_until(ci1, f"{half_restored(f'{small_disk}/full/data')} && {stop} && {{ {fill}; {go_on}; }}")
    outcome = run.end()
    assert outcome.rc != 0
    # When all files of the backup still fitted, it is the WAL that does not, and its error does not say why.
    full = rf"No space left on device|{small_disk}/\S+ has [\d.]+ \S+ free, less than a WAL segment"
    assert re.search(full, said(outcome)), outcome.output
    assert closed(ci1, "full")
    ci1.check_output("rm %s", f"{small_disk}/filling")
    make("full", **given)
    assert int(query(ci1, COUNT, port=PORTS["full"])) > 0
    remove("full", clone_directory=f"{small_disk}/full")
    assert not ci1.file(f"{small_disk}/full").exists
