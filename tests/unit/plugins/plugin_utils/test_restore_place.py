# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which cluster of which host a play restores."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.pgops.pgbackrest.plugins.plugin_utils._restore_place import is_standby, place

HOSTS = ("db1", "db2", "db3")
# What host_info says of a cluster in each state.
PRIMARY = {"role": "primary", "running": True, "recovery": None}
STANDBY = {"role": "standby", "running": True, "recovery": "standby"}
DOWN = {"role": "primary", "running": False, "recovery": None}
STOPPED_STANDBY = {"role": "standby", "running": False, "recovery": "standby"}
DISK_LOST = {"role": "unknown", "running": False, "recovery": None}
HALF_RESTORED = {"role": "unknown", "running": False, "recovery": "target"}
RECOVERING = {"role": "standby", "running": True, "recovery": "target"}
HALF_REBUILT_STANDBY = {"role": "unknown", "running": False, "recovery": "standby"}
SIGNAL_LOST = {"role": "standby", "running": True, "recovery": None}


def cluster(state: dict[str, t.Any], stanza: str = "main", hosts: t.Sequence[str] = HOSTS) -> dict[str, t.Any]:
    return {"stanza": stanza, "name": f"15/{stanza}", "data_directory": f"/data/{stanza}", "hosts": hosts, **state}


def seen(*clusters: dict[str, t.Any], **facts: t.Any) -> dict[str, t.Any]:
    look = {"clusters": list(clusters), "pgbackrest": {"version": "2.55.1"}, "psycopg2": True, **facts}
    return {"__pgbackrest_clusters": list(clusters), "__pgbackrest_host": look}


def chosen(wanted: str = "", hosts: t.Sequence[str] = HOSTS, **hostvars: t.Any) -> dict[str, t.Any]:
    return place({**{host: {} for host in HOSTS}, **hostvars}, hosts, wanted)


@pytest.mark.parametrize("state", [PRIMARY, DOWN, DISK_LOST, HALF_RESTORED, RECOVERING])
def test_the_one_that_is_no_standby(state: dict[str, t.Any]) -> None:
    found = chosen(db1=seen(cluster(STANDBY)), db2=seen(cluster(state)), db3=seen(cluster(STOPPED_STANDBY)))
    assert (found["problems"], found["host"], found["stanza"]) == ([], "db2", "main")
    assert found["cluster"]["data_directory"] == "/data/main"
    assert [(item["host"], item["state"]) for item in found["standbys"]] == [("db1", "play"), ("db3", "play")]


@pytest.mark.parametrize("state", [STANDBY, STOPPED_STANDBY, HALF_REBUILT_STANDBY, SIGNAL_LOST])
def test_standbys_are_known(state: dict[str, t.Any]) -> None:
    assert is_standby(state)


def test_standby_that_was_asked_for_is_refused() -> None:
    found = chosen(hosts=["db2"], db1=seen(cluster(PRIMARY)), db2=seen(cluster(STANDBY)))
    assert found["problems"] == [
        "db2 of stanza main is a standby. Restore its primary db1; a standby is rebuilt from that with "
        "restore_rebuild_standbys."
    ]
    assert found["host"] == ""


def test_standbys_alone_are_refused() -> None:
    found = chosen(db1={}, db2=seen(cluster(STANDBY)), db3=seen(cluster(STANDBY)))
    assert found["problems"] == [
        "db2 and db3 of stanza main are standbys. Promote the one that shall be the primary, then restore that."
    ]


def test_two_that_are_no_standbys_are_refused() -> None:
    found = chosen(db1=seen(cluster(DOWN)), db2=seen(cluster(PRIMARY)))
    assert found["problems"] == [
        "Of stanza main, db1 (stopped, primary) and db2 (running, primary) are no standbys, and only one of them can "
        "be restored. Limit the play to that one (--limit), and make sure that the other stays down or is rebuilt from "
        "it."
    ]


def test_limit_chooses_between_the_two() -> None:
    found = chosen(hosts=["db2"], db1=seen(cluster(DOWN)), db2=seen(cluster(PRIMARY)))
    assert (found["problems"], found["host"]) == ([], "db2")
    assert [(item["host"], item["state"]) for item in found["standbys"]] == [("db1", "outside"), ("db3", "unseen")]


def test_second_primary_beside_a_running_one_is_refused() -> None:
    found = chosen(hosts=["db1"], db1=seen(cluster(DISK_LOST)), db2=seen(cluster(PRIMARY)))
    assert found["problems"] == [
        "db2 runs as primary of stanza main, too, so db1 would become a second one. Restore db2, or stop it and keep "
        "it down."
    ]


def test_one_of_several_stanzas_must_be_named() -> None:
    both = seen(cluster(PRIMARY, "main", ["db1"]), cluster(PRIMARY, "web", ["db1"]))
    assert chosen(hosts=["db1"], db1=both)["problems"] == [
        "The hosts of this play have the stanzas main and web. Name one of them in restore_stanza."
    ]
    assert chosen("web", hosts=["db1"], db1=both)["cluster"]["name"] == "15/web"
    assert chosen("mian", hosts=["db1"], db1=both)["problems"] == [
        "No host of this play has a cluster of stanza mian, only of main and web. Correct restore_stanza or the limit."
    ]


def test_host_without_the_cluster_of_its_variables() -> None:
    found = chosen("main", hosts=["db1"], db1=seen())
    assert found["problems"][0].startswith("No host of this play has the cluster that its variables name (db1 has no")


@pytest.mark.parametrize(("facts", "name"), [({"pgbackrest": None}, "pgbackrest"), ({"psycopg2": False}, "psycopg2")])
def test_host_without_the_programs(facts: dict[str, t.Any], name: str) -> None:
    found = chosen(hosts=["db1"], db1=seen(cluster(DISK_LOST, hosts=["db1"]), **facts))
    assert len(found["problems"]) == 1
    assert found["problems"][0].startswith(f"db1 has no {name}. Run the playbook pgops.pgbackrest.site")
