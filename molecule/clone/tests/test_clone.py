# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A clone of a given moment while its source goes on writing; what is refused; what is left. The tests build on one
another.
"""

from __future__ import annotations

import typing as t

import cloning
import playbook
import pytest
from cloning import DIRECTORY, ROWS, make, remove, said, sql_file, variables
from live import query, wait_for, wait_until_archived

pytestmark = pytest.mark.timeout(900)
PORT = 6543
HOOK = """
CREATE TABLE hook AS SELECT clock_timestamp() AS began, NULL::timestamptz AS ended;
UPDATE customer SET name = 'masked ' || id;
SELECT pg_sleep(3);
UPDATE hook SET ended = clock_timestamp();
"""


class Story:
    """What the source did, and the clone of it."""

    moment: str
    rows: str
    archived: dict[str, str]
    asked: list[tuple[float, str, int]]
    result: dict[str, t.Any]


def commits_until(host: t.Any, moment: str) -> str:
    """Rows of the ledger that were committed up to a moment, as the commit timestamps of the source tell."""
    return query(host, f"{ROWS} WHERE pg_xact_commit_timestamp(xmin) <= '{moment}'")


def test_clone_of_a_moment_while_the_source_writes(db1: t.Any, ci1: t.Any) -> None:
    count = "SELECT count(*) FROM ledger"
    hook = sql_file("mask.sql", HOOK)
    with cloning.writing(db1):
        wait_for(lambda: int(query(db1, count)) > 200, "200 commits")
        Story.moment = query(
            db1, "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00:00')"
        )
        wait_for(lambda: query(db1, f"{count} WHERE at > '{Story.moment}'") > "1", "commits after the moment")
        wait_until_archived(db1, query(db1, "SELECT pg_walfile_name(pg_switch_wal())"))
        Story.archived = cloning.repository(db1)
        with cloning.asking(ci1, PORT) as Story.asked:
            Story.result = make("moment", clone_target_time=Story.moment, clone_port=PORT, clone_sql_files=hook)
            wait_for(lambda: ci1.run(f"pg_isready -q -p {PORT}").rc == 0, "a clone that takes connections")
        Story.rows = commits_until(db1, Story.moment)
        assert int(query(db1, count)) > int(Story.rows.partition("|")[0]) + 200


def test_rows_are_those_of_the_moment(ci1: t.Any) -> None:
    assert int(Story.rows.partition("|")[0]) > 200
    assert query(ci1, ROWS, port=PORT) == Story.rows


def test_hook_ran_before_the_port_opened(ci1: t.Any) -> None:
    """Each attempt before the end of the hook failed, on the network and on the socket; some were made during it."""
    times = query(ci1, "SELECT extract(epoch FROM began), extract(epoch FROM ended) FROM hook", port=PORT)
    began, ended = map(float, times.split("|"))
    assert ended - began >= 3
    for place in ("localhost", "/var/run/postgresql"):
        early = [status for moment, where, status in Story.asked if where == place and moment <= ended]
        during = [status for moment, where, status in Story.asked if where == place and began <= moment <= ended]
        late = [status for moment, where, status in Story.asked if where == place and moment > ended]
        assert len(during) >= 5
        assert set(early) == {2}  # nobody answers
        assert late[-1] == 0
    assert query(ci1, "SELECT count(*) FROM customer WHERE name NOT LIKE 'masked %'", port=PORT) == "0"


def test_clone_archives_nothing_and_its_source_is_untouched(db1: t.Any, ci1: t.Any) -> None:
    assert query(ci1, "SHOW archive_mode", port=PORT) == "off"
    settings = ci1.file(f"{DIRECTORY}/moment/data/postgresql.auto.conf").content_string
    assert "archive_command" in settings, "the backup brought no archive_command along, so this proves nothing"
    query(ci1, "CREATE TABLE own AS SELECT 1", port=PORT)
    query(ci1, "SELECT pg_switch_wal()", port=PORT)
    query(ci1, "CHECKPOINT", port=PORT)
    wait_until_archived(db1, query(db1, "SELECT pg_walfile_name(pg_switch_wal())"))
    cloning.only_own_wal(Story.archived, cloning.repository(db1))
    assert query(db1, "SELECT failed_count FROM pg_stat_archiver") == "0"
    assert query(db1, "SELECT count(*) FROM customer WHERE name LIKE 'masked %'") == "0"
    assert query(db1, "SELECT pg_is_in_recovery()") == "f"


def test_result_for_the_next_step(ci1: t.Any) -> None:
    result = Story.result
    assert (result["name"], result["host"], result["address"], result["port"]) == ("moment", "ci1", "localhost", PORT)
    assert result["recovered_to"]["reached"] is True
    assert result["recovered_to"]["time"] <= Story.moment.replace(" ", "T")
    assert result["backup"]["type"] == "full"
    assert {"restore", "recovery", "sql", "open", "total"} <= set(result["seconds"])
    assert result["seconds"]["sql"] >= 3
    assert result["databases"] == ["crm", "postgres", "shop"]


def test_nothing_of_pgbackrest_is_in_etc(ci1: t.Any) -> None:
    assert not ci1.file("/etc/pgbackrest").exists
    assert not ci1.file("/etc/pgbackrest.conf").exists
    assert ci1.file(f"{DIRECTORY}/moment/pgbackrest.conf").mode == 0o600


def test_once_more_changes_nothing(ci1: t.Any) -> None:
    started = query(ci1, "SELECT pg_postmaster_start_time()", port=PORT)
    given = {"clone_target_time": Story.moment, "clone_port": PORT, "clone_sql_files": sql_file("mask.sql", HOOK)}
    outcome = playbook.succeed("clone", variables=variables("moment", **given))
    assert outcome.changed()["ci1"] == 0, outcome.output
    assert "READY ALREADY" in outcome.output
    assert query(ci1, "SELECT pg_postmaster_start_time()", port=PORT) == started
    assert query(ci1, "SELECT count(*) FROM own", port=PORT) == "1"


# What is refused


def refusals(host: t.Any) -> dict[str, tuple[dict[str, t.Any], str]]:
    """What is asked for, and what the play says."""
    stranger = "/var/lib/postgresql/stranger"
    host.check_output("install -d -o postgres %s && echo mine >%s/file", stranger, stranger)
    psql = sql_file("psql.sql", "SELECT 1;\n\\set x 1\n")
    wrong = {"type": "posix", "path": "/backup", "cipher-pass": f"{playbook.SECRETS}-wrong"}
    kept = {"host": "db1", "host-type": "tls", "path": "/backup", "cipher-pass": f"{playbook.SECRETS}-x"}
    return {
        "bad input, all of it at once": (
            {"clone_name": "CI 1", "clone_ttl": "soon", "clone_target_time": "2026-05-01 14:30"},
            "clone_name must be at most 40 small letters, digits, - and _, and begin with a letter or digit",
        ),
        "archiving to the stanza of the source": (
            {"clone_archive_stanza": "main"},
            "clone_archive_stanza is main, the stanza that is cloned",
        ),
        "archiving to the stanza of another cluster": ({"clone_archive_stanza": "other"}, "stanza_in_use"),
        "target before the first backup": ({"clone_target_time": "2020-01-01 00:00:00+00:00"}, "target_too_early"),
        "target in the future": ({"clone_target_time": "2099-01-01 00:00:00+00:00"}, "target_in_future"),
        "unknown backup": ({"clone_set": "20200101-000000F"}, "set_unknown"),
        "unknown database": ({"clone_db_include": "shop,ship"}, "database_unknown"),
        "SQL file that is not there": (
            {"clone_sql_files": "/no/mask.sql"},
            "/no/mask.sql cannot be read on the controller",
        ),
        "SQL file for psql": ({"clone_sql_files": psql}, "line 2: \\set is a command of psql"),
        "directory of somebody else": ({"clone_directory": stranger}, "not_ours"),
        "port in use": ({"clone_port": PORT}, "port_in_use"),
        "name of another clone": ({"clone_name": "moment", "clone_port": PORT}, "other_request"),
        "wrong passphrase": ({"pgbackrest_repositories": [wrong]}, "repository_unusable"),
        "no repository": ({"pgbackrest_repositories": []}, "Give pgbackrest_repositories"),
        "repository host that does not know the runner": (
            {"pgbackrest_repositories": [kept]},
            "the repository lies on db1, which lets only hosts in that it knows",
        ),
    }


def test_refused_before_anything_is_done(
    db1: t.Any, ci1: t.Any, other_stanza: None, capsys: pytest.CaptureFixture[str]
) -> None:
    cases, table = refusals(ci1), ["| asked for | told |", "|---|---|"]
    before, started = cloning.tree(ci1), query(ci1, "SELECT pg_postmaster_start_time()", port=PORT)

    told = cloning.refused_together("ci1", {name: given for name, (given, words) in cases.items()})
    for name, (_given, words) in cases.items():
        assert words in told[name], f"{name}: {told[name]}"
        table.append(f"| {name} | {words} |")
    assert cloning.tree(ci1) ^ before == set()
    assert query(ci1, "SELECT pg_postmaster_start_time()", port=PORT) == started
    cloning.only_own_wal(Story.archived, cloning.repository(db1))
    with capsys.disabled():
        print("\n" + "\n".join(table))


@pytest.fixture(name="other_stanza")
def other_stanza_fixture(db1: t.Any) -> None:
    """The repository has the stanza of another cluster."""
    data, conf = "/var/lib/postgresql/other", "/var/lib/postgresql/other.conf"
    cloning.as_postgres(db1, f"/usr/lib/postgresql/15/bin/initdb --pgdata={data}")
    own = r"s/^\[main/[other/; s,^pg1-path=.*,pg1-path=/var/lib/postgresql/other,"
    cloning.as_postgres(db1, "sh -c %s", f"sed '{own}' /etc/pgbackrest/conf.d/main.conf >{conf}")
    cloning.as_postgres(
        db1, f"pgbackrest --config={conf} --stanza=other --no-online --log-level-console=warn stanza-create"
    )
    Story.archived = cloning.repository(db1)


# Another clone of the same name, and databases that are left out


def test_plan_leaves_nothing(ci1: t.Any) -> None:
    before = cloning.tree(ci1)
    outcome = playbook.succeed("clone", "--check", variables=variables("planned", clone_db_include="shop"))
    assert "restore of stanza main to /var/lib/postgresql/clones/planned/data" in said(outcome)
    assert outcome.changed()["ci1"] == 0, outcome.output
    assert cloning.tree(ci1) ^ before == set()
    assert ci1.run("ls /tmp/*.clone").rc != 0


def test_replaced_by_one_of_another_moment_with_one_database(ci1: t.Any) -> None:
    given = {"clone_replace": True, "clone_db_include": "shop", "clone_target_immediate": True}
    result = make("moment", clone_ttl="90s", clone_env=playbook.ephemeral("moment.env"), **given)
    assert result["databases"] == ["postgres", "shop"]
    assert [str(item) for item in result["dropped"]] == ["crm"]
    assert query(ci1, "SELECT datname FROM pg_database WHERE datname = 'crm'", port=result["port"]) == ""
    shop = cloning.as_postgres(ci1, "psql -XAtqp %s -d shop -c %s", str(result["port"]), "SELECT count(*) FROM orders")
    assert shop == "5000"
    with open(playbook.ephemeral("moment.env"), encoding="utf-8") as file:
        assert file.read() == f"PGHOST=localhost\nPGPORT={result['port']}\nCLONE_NAME=moment\nCLONE_HOST=ci1\n"


def test_clone_on_the_host_of_its_source(db1: t.Any) -> None:
    """With the configuration of the host. The cluster there runs on, and the playbooks do not see the clone."""
    started = query(db1, "SELECT pg_postmaster_start_time()")
    result = make("beside", clone_hosts="db1")
    assert query(db1, "SHOW archive_mode", port=result["port"]) == "off"
    assert query(db1, ROWS, port=result["port"]).partition("|")[0].isdigit()
    assert not db1.file(f"{DIRECTORY}/beside/pgbackrest.conf").exists
    assert query(db1, "SELECT pg_postmaster_start_time()") == started
    playbook.succeed("status", variables={"status_fail": True})


def test_clone_that_archives_to_a_stanza_of_its_own(db1: t.Any) -> None:
    before = cloning.repository(db1)
    result = make("own", clone_hosts="db1", clone_archive_stanza="own", clone_target_immediate=True)
    assert query(db1, "SHOW archive_mode", port=result["port"]) == "on"
    segment = query(db1, "SELECT pg_walfile_name(pg_switch_wal())", port=result["port"])
    wait_until_archived(db1, segment, port=result["port"])
    after = cloning.repository(db1)
    mine = {path for path in after if path not in before and "/archive/own/" in path}
    assert any(segment in path for path in mine)
    cloning.only_own_wal(before, {path: digest for path, digest in after.items() if "/own/" not in path})
    remove("own", clone_hosts="db1")
    remove("beside", clone_hosts="db1")
    assert cloning.traces(db1, "own") + cloning.traces(db1, "beside") == ""
