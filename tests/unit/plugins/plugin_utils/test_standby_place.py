# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which hosts of a play are standbys of which primary, and which clusters they are to have."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.pgops.pgbackrest.plugins.plugin_utils._standby_place import place

HOSTS = ("db1", "db2", "db3")
PRIMARY = {"role": "primary", "running": True, "recovery": None}
STANDBY = {"role": "standby", "running": True, "recovery": "standby"}
OLD_PRIMARY = {"role": "primary", "running": False, "recovery": None}
PAUSED = {"role": "standby", "running": True, "recovery": "target"}
OURS = [{"path": "/etc/pgbackrest/conf.d/main.conf", "ours": True, "stanzas": ["main"]}]


def cluster(state: dict[str, t.Any], **changes: t.Any) -> dict[str, t.Any]:
    return {
        "name": "17/main",
        "pg_version": "17",
        "data_directory": "/var/lib/postgresql/17/main",
        "port": 5433,
        "socket_directory": "/run/sockets",
        "unit": "postgresql@17-main",
        "owner": "postgres",
        "group": "postgres",
        "system_identifier": "4711",
        "problem": None,
        **state,
        **changes,
    }


def seen(*clusters: dict[str, t.Any], **variables: t.Any) -> dict[str, t.Any]:
    """A host that was looked at. pgBackRest is configured there when it has a cluster."""
    look = {"clusters": list(clusters), "pgbackrest": {"version": "2.55.1"}, "psycopg2": True, "os_family": "debian"}
    look["configuration"] = OURS if clusters else []
    resolved = [{**found, "stanza": "main", "hosts": list(HOSTS)} for found in clusters]
    shared = {"pgbackrest_stanza": "main", "pgbackrest_hosts": list(HOSTS), "pgbackrest_repositories": []}
    return {**shared, "__pgbackrest_host": look, "__pgbackrest_clusters": resolved, **variables}


def unprotected(**variables: t.Any) -> dict[str, t.Any]:
    found = seen(cluster(PRIMARY), **variables)
    found["__pgbackrest_host"]["configuration"] = []
    return found


def asking(found: dict[str, t.Any], **asked: t.Any) -> dict[str, t.Any]:
    return {**found, "__pgbackrest_standby_asked": asked}


def chosen(wanted: str = "", hosts: t.Sequence[str] = HOSTS, **hostvars: t.Any) -> dict[str, t.Any]:
    known = {"db1": seen(cluster(PRIMARY)), "db2": seen(cluster(STANDBY)), "db3": seen()}
    return place({**known, **hostvars}, hosts, wanted)


def test_primary_standby_and_a_host_without_a_cluster() -> None:
    found = chosen()
    assert (found["problems"], found["stanza"], found["primary"]) == ([], "main", "db1")
    assert found["standbys"] == {
        host: {"host": "db1", "address": "db1", "port": 5433, "slot": "", "level": 1} for host in ("db2", "db3")
    }
    assert (found["connecting"], found["depth"]) == (["db3"], 1)
    new = found["planned"]["db3"]
    assert new["missing"] and not new["running"]
    assert {key: new[key] for key in cluster({}) if key != "unit"} == {
        key: value for key, value in cluster({}).items() if key != "unit"
    }
    there = found["planned"]["db2"]
    assert (there["running"], there.get("missing"), there["role"]) == (True, None, "standby")


def test_what_the_primary_must_do_for_its_standbys() -> None:
    found = chosen(
        db2=asking(seen(cluster(STANDBY), pgbackrest_address="10.0.0.2"), slot="db2"), db3=asking(seen(), slot="")
    )
    wanted = {"level": 0, "addresses": ["10.0.0.2", "db3"], "slots": {"present": ["db2"], "absent": ["db1", "db3"]}}
    assert found["upstreams"] == {"db1": wanted}


def test_after_a_failover_the_old_primary_becomes_a_standby() -> None:
    found = chosen(db1=seen(cluster(OLD_PRIMARY)), db2=seen(cluster(PRIMARY)), db3=seen(cluster(STANDBY)))
    assert (found["problems"], found["primary"]) == ([], "db2")
    assert sorted(found["standbys"]) == ["db1", "db3"]
    assert found["planned"]["db1"]["role"] == "standby", "as what is going to be there, for the model"


def test_a_limit_leaves_the_primary_and_others_alone() -> None:
    found = chosen(hosts=["db3"])
    assert (found["problems"], found["primary"], list(found["standbys"])) == ([], "db1", ["db3"])
    assert found["upstreams"]["db1"]["slots"]["absent"] == ["db1", "db3"], "that of db2 is none of its business"


def test_cascade() -> None:
    found = chosen(db3=asking(seen(), upstream="db2", slot="db3"))
    assert found["standbys"]["db3"] == {"host": "db2", "address": "db2", "port": 5433, "slot": "db3", "level": 2}
    assert found["depth"] == 2
    assert found["upstreams"]["db2"] == {
        "level": 1,
        "addresses": ["db3"],
        "slots": {"present": ["db3"], "absent": ["db1", "db2"]},
    }


def test_the_first_primary_has_no_standby_of_its_own_name_below_it() -> None:
    """A name that was given to the cluster of this host counts."""
    entry = [{"stanza": "main", "cluster": "17/copy"}]
    found = chosen(db3=seen(pgbackrest_clusters=entry))
    new = found["planned"]["db3"]
    assert (new["name"], new["data_directory"], new["unit"]) == (
        "17/copy",
        "/var/lib/postgresql/17/copy",
        "postgresql@17-copy",
    )


def test_a_configured_cluster_without_data_is_taken() -> None:
    empty = {**STANDBY, "running": False, "role": "unknown", "recovery": None}
    found = chosen(db3=seen(cluster(empty, system_identifier=None, problem="The data directory is empty.", port=5999)))
    assert found["problems"] == []
    assert (found["planned"]["db3"]["port"], found["planned"]["db3"]["problem"]) == (5999, None)


def test_pgbackrest_without_psycopg2_is_not_enough() -> None:
    lacking = seen(cluster(STANDBY))
    lacking["__pgbackrest_host"]["psycopg2"] = False
    assert chosen(db2=lacking)["connecting"] == ["db2", "db3"]


ANOTHER = {"system_identifier": "4712", "role": "primary", "running": False}
BAD: list[tuple[dict[str, t.Any], str]] = [
    (
        {"db3": seen(cluster(OLD_PRIMARY, **ANOTHER))},
        "17/main on db3 is another cluster (system identifier 4712) than db1 (4711), and is never overwritten. "
        "Name the right cluster in pgbackrest_clusters. If this one is not needed, as the empty one that a package has "
        "made, remove it on db3: pg_dropcluster --stop 17 main",
    ),
    (
        {"db3": seen(cluster(OLD_PRIMARY, **ANOTHER, name="/data", data_directory="/data", unit="postgresql-17"))},
        "/data on db3 is another cluster (system identifier 4712) than db1 (4711), and is never overwritten. Name the "
        "right cluster in pgbackrest_clusters. If this one is not needed, as the empty one that a package has made, "
        "remove it on db3: systemctl stop postgresql-17; rm -r /data",
    ),
    (
        {"db3": seen(cluster(OLD_PRIMARY, name="15/main", pg_version="15", system_identifier=None))},
        "15/main on db3 is a cluster of PostgreSQL 15, but db1 has PostgreSQL 17, and is never overwritten.",
    ),
    (
        {"db1": seen(cluster(OLD_PRIMARY)), "db3": {}},
        "No host of stanza main runs as a primary, and a standby needs one to follow: db1 is stopped (primary), db2 "
        "runs (standby), db3 could not be looked at. Start the primary, promote the standby that shall become it, or "
        "restore it (playbook pgops.pgbackrest.restore).",
    ),
    (
        {"db2": seen(cluster(PRIMARY))},
        "db1 and db2 of stanza main all run as primaries, and only one of them can be right. Stop the one that shall "
        "become a standby (systemctl stop postgresql@17-main on db1 or systemctl stop postgresql@17-main on db2), and "
        "keep everybody from starting it.",
    ),
    (
        {"db2": seen(cluster(PRIMARY, system_identifier="4712"))},
        "db1 and db2 of stanza main all run as primaries, and only one of them can be right. Stop the one that shall "
        "become a standby (systemctl stop postgresql@17-main on db1 or systemctl stop postgresql@17-main on db2), and "
        "keep everybody from starting it. They are different clusters: one may be the empty one that a package has "
        "made. Once that is stopped, the play names the command that removes it.",
    ),
    (
        {"db1": unprotected(pgbackrest_repositories=[{"host": "backup1"}, {"type": "s3"}])},
        "The primary db1 is not protected yet, so there is no backup to make a standby of. Run first: "
        "pgops.pgbackrest.site --limit db1,backup1",
    ),
    (
        {host: seen(pgbackrest_hosts=["db1", "db2", "bd3"]) for host in HOSTS},
        "pgbackrest_hosts of stanza main is [db1, db2, bd3], but the inventory has no host bd3: correct the name, or "
        "take it out.",
    ),
    (
        {"db3": asking(seen(), upstream="db9")},
        "standby_upstream of db3 is db9, which is no host of the stanza (db1, db2, db3): name one of them, or leave it "
        "out to follow the primary db1.",
    ),
    (
        {"db3": asking(seen(), upstream="db3")},
        "standby_upstream of db3 is db3 itself: name another host, or leave it out to follow db1.",
    ),
    (
        {"db2": asking(seen(cluster(STANDBY)), upstream="db3"), "db3": asking(seen(), upstream="db2")},
        "standby_upstream of db2 leads back to db2 itself: let one of the hosts follow the primary db1.",
    ),
    (
        {"db2": asking(seen(cluster(STANDBY)), slot="same"), "db3": asking(seen(), slot="same")},
        "standby_slot is same for several standbys of db1: write true, which names each slot after its host, or "
        "another name for each.",
    ),
    (
        {"db3": seen(pgbackrest_hosts=["db1", "db3"])},
        "pgbackrest_hosts of stanza main is [db1, db2, db3] on db1, but [db1, db3] on db3: write the same list, in the "
        "same order, for all hosts of the stanza.",
    ),
    (
        {"db3": seen(pgbackrest_clusters=[{"stanza": "main", "cluster": "/data"}])},
        "pgbackrest_clusters of db3 names the cluster /data, which is not there and cannot be made as a standby of "
        "PostgreSQL 17 on db1: write a name such as 17/main.",
    ),
    (
        {"db3": {**seen(), "__pgbackrest_clusters": []}, "db2": {**seen(cluster(STANDBY)), "__pgbackrest_host": {}}},
        "db2 could not be looked at: see its own failure.",
    ),
]


@pytest.mark.parametrize(("hostvars", "sentence"), BAD, ids=[sentence[:50] for dummy, sentence in BAD])
def test_refused(hostvars: dict[str, t.Any], sentence: str) -> None:
    found = chosen(**hostvars)["problems"]
    assert [problem for problem in found if problem.startswith(sentence)], found


def test_several_clusters_and_no_name() -> None:
    found = seen(cluster(OLD_PRIMARY), cluster(OLD_PRIMARY, name="17/web", data_directory="/web"))
    found["__pgbackrest_clusters"] = []
    assert chosen(db3=found)["problems"] == [
        "db3 has several clusters, 17/main, 17/web, and pgbackrest_clusters does not say which of them is the standby: "
        "write an entry for it."
    ]


def test_no_package_of_the_rhel_family() -> None:
    bare = seen()
    bare["__pgbackrest_host"]["os_family"] = "redhat"
    assert chosen(db3=bare)["problems"] == [
        "db3 has no PostgreSQL 17: install its server package, which brings a unit that names the data directory. It "
        "need not hold a cluster."
    ]


def test_a_paused_cluster_is_no_primary() -> None:
    assert chosen(db1=seen(cluster(PAUSED)))["problems"][0].startswith("No host of stanza main runs as a primary")


def test_nothing_but_the_primary() -> None:
    found = chosen(hosts=["db1"])
    assert found["problems"] == [
        "This play has no standby of the stanza, only its primary db1. Run it with db2 and db3, too."
    ]


def test_stanza_must_be_clear() -> None:
    other = seen(pgbackrest_stanza="web")
    assert chosen(db3=other)["problems"] == [
        "The hosts of this play have the stanzas main and web. Name one of them in standby_stanza."
    ]
    assert chosen("orders")["problems"] == [
        "No host of this play has stanza orders, only main. Correct standby_stanza or the limit."
    ]
    assert chosen("main", db3=other)["problems"] == []


def test_a_bare_host_may_rely_on_defaults() -> None:
    bare = seen()
    del bare["pgbackrest_stanza"]
    assert chosen(db3=bare)["problems"] == []
    del bare["pgbackrest_hosts"]
    assert chosen(db3=bare)["problems"][0].startswith("pgbackrest_hosts of stanza main is [db1, db2, db3] on db1, but")
