# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A table is dropped while others write. The restore ends between the last commit before it and the drop itself.

What came before and what after is read from the order of the commits in WAL, by pg_waldump on the host and apart from
what the collection makes of it. Which of them are there is asked by SQL: each transaction of pgbench writes its number.
"""

from __future__ import annotations

import re
import typing as t
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import playbook
import pytest
import service
from live import On, as_postgres, query, wait_for

VERSIONS = {"pg15": "15 / 2.45", "pg17": "17 / 2.55.1", "pg18": "18 / 2.60.0"}
# The one with a second drop, so that the user has to choose.
TWO_DROPS = "pg15"
pytestmark = pytest.mark.timeout(900)
CLIENTS, TRANSACTIONS = 4, 2000
COMMIT = re.compile(r"tx: +(\d+), lsn: .*desc: COMMIT ")
LEDGER = "SELECT string_agg(xid::text, ' ') FROM pgbench_history"
BALANCES = (
    "SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(tbalance) FROM pgbench_tellers),"
    " (SELECT sum(bbalance) FROM pgbench_branches), (SELECT sum(delta) FROM pgbench_history)"
)


@dataclass(frozen=True)
class Accident:
    """A drop in the middle of many commits."""

    since: str
    xid: int
    customers: str
    commits: list[int]
    written: set[int]
    before: service.Before

    def split(self) -> tuple[set[int], set[int]]:
        """Numbers of the transactions that committed before the drop, and after it."""
        at = self.commits.index(self.xid)
        return set(self.commits[:at]) & self.written, set(self.commits[at:]) & self.written


def written(host: t.Any) -> set[int]:
    """Numbers of the transactions of pgbench that are there."""
    return {int(xid) for xid in query(host, LEDGER).split()}


def commits_in_wal(host: t.Any, start: str) -> list[int]:
    """Numbers of all transactions that committed since ``start``, in the order of their commits."""
    data, version = query(host, "SHOW data_directory"), query(host, "SHOW server_version_num")[:2]
    program = f"/usr/lib/postgresql/{version}/bin/pg_waldump --path={data}/pg_wal --rmgr=Transaction"
    end = query(host, "SELECT pg_current_wal_flush_lsn()")
    timeline = str(service.timeline(host))
    said = as_postgres(host, f"{program} --timeline=%s --start=%s --end=%s", timeline, start, end)
    return [int(xid) for xid in COMMIT.findall(said)]


def drop_under_load(host: t.Any) -> int:
    """Let pgbench write, and drop a table in the middle. Also, what is no drop of a permanent table."""
    with ThreadPoolExecutor(1) as pool:
        load = pool.submit(
            as_postgres, host, f"pgbench --no-vacuum --client={CLIENTS} --transactions={TRANSACTIONS} postgres"
        )
        wait_for(lambda: int(query(host, "SELECT count(*) FROM pgbench_history")) > 1500, "1500 commits of pgbench")
        query(host, "CREATE TEMPORARY TABLE passing AS SELECT 1; DROP TABLE passing")
        query(host, "VACUUM FULL customer")
        xid = int(query(host, "BEGIN; SELECT pg_current_xact_id(); DROP TABLE customer; COMMIT"))
        assert not load.done()
        assert "number of failed transactions: 0 " in load.result()
    return xid


def accident(name: str, host: t.Any) -> Accident:
    """Drop a table under load, and learn what is to come back."""
    before = service.before_restore(host, name)
    as_postgres(host, "pgbench --initialize --quiet postgres")
    query(host, "ALTER TABLE pgbench_history ADD COLUMN xid xid8 DEFAULT pg_current_xact_id()")
    since, start = query(host, "SELECT clock_timestamp(), pg_current_wal_insert_lsn()").split("|")
    customers = query(host, "SELECT count(*), md5(string_agg(c::text, ',' ORDER BY id)) FROM customer AS c")
    xid = drop_under_load(host)
    if name == TWO_DROPS:
        query(host, "CREATE TABLE another AS SELECT 1")
        query(host, "DROP TABLE another")
    return Accident(since, xid, customers, commits_in_wal(host, start), written(host), before)


@pytest.fixture(scope="module")
def hosts(on: On) -> dict[str, t.Any]:
    return {name: on(name) for name in VERSIONS}


@pytest.fixture(scope="module")
def accidents(hosts: dict[str, t.Any]) -> dict[str, Accident]:
    with ThreadPoolExecutor(len(hosts)) as pool:
        return dict(zip(hosts, pool.map(lambda name: accident(name, hosts[name]), hosts), strict=True))


def variables(accidents: dict[str, Accident]) -> dict[str, dict[str, str]]:
    return {
        name: {
            "restore_hosts": name,
            "restore_before_drop": "true",
            "restore_drop_from": found.since,
            "restore_confirm": name,
        }
        for name, found in accidents.items()
    }


def test_the_drop_is_in_the_middle_of_thousands_of_commits(accidents: dict[str, Accident]) -> None:
    for found in accidents.values():
        assert found.written <= set(found.commits)
        assert len(found.written) == CLIENTS * TRANSACTIONS
        assert min(len(part) for part in found.split()) > 1000


def test_of_two_drops_none_is_taken(hosts: dict[str, t.Any], accidents: dict[str, Accident]) -> None:
    started = query(hosts[TWO_DROPS], "SELECT pg_postmaster_start_time()")
    outcome = playbook.run("restore", variables=variables(accidents)[TWO_DROPS])
    assert outcome.rc != 0, outcome.output
    assert str(accidents[TWO_DROPS].xid) in outcome.output
    assert "restore_drop_xid" in outcome.output
    assert query(hosts[TWO_DROPS], "SELECT pg_postmaster_start_time()") == started


def test_every_commit_before_the_drop_is_there_and_none_after(
    hosts: dict[str, t.Any], accidents: dict[str, Accident], capsys: pytest.CaptureFixture[str]
) -> None:
    given = variables(accidents)
    given[TWO_DROPS]["restore_drop_xid"] = str(accidents[TWO_DROPS].xid)
    with ThreadPoolExecutor(len(hosts)) as pool:
        list(pool.map(lambda name: playbook.succeed("restore", variables=given[name]), hosts))

    lines = [
        "| PostgreSQL / pgBackRest | Commits before | found of these | Commits after | found of these |",
        "|---|---|---|---|---|",
    ]
    for name, host in hosts.items():
        found, (earlier, later) = written(host), accidents[name].split()
        assert found == earlier
        counts = (len(earlier), len(earlier & found), len(later), len(later & found))
        lines.append(f"| {VERSIONS[name]} | {' | '.join(map(str, counts))} |")
    with open(playbook.ephemeral("under_load.md"), "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    with capsys.disabled():
        print("\n" + "\n".join(lines))


def test_the_table_is_back_and_all_is_consistent(hosts: dict[str, t.Any], accidents: dict[str, Accident]) -> None:
    for name, host in hosts.items():
        customers = query(host, "SELECT count(*), md5(string_agg(c::text, ',' ORDER BY id)) FROM customer AS c")
        assert customers == accidents[name].customers
        assert len(set(query(host, BALANCES).split("|"))) == 1
        service.check_in_service(host, name, accidents[name].before)
