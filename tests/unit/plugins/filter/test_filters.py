# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The roles' filters, called as Jinja calls them."""

from __future__ import annotations

import importlib
import typing as t
from pathlib import Path

import pytest
import yaml

PACKAGE = "ansible_collections.pgops.pgbackrest.plugins.filter"
ROOT = Path(__file__).resolve().parents[4]
FACTS = {
    "pgbackrest": {"version": "2.55.1"},
    "cpus": 2,
    "service_manager": "systemd",
    "os_family": "debian",
    "psycopg2": True,
    "configuration": [],
    "clusters": [
        {
            "name": "17/main",
            "data_directory": "/data",
            "port": 5432,
            "owner": "postgres",
            "role": "primary",
            "running": True,
            "system_identifier": "1",
        }
    ],
}
REPOSITORY = {"host": "backup1", "path": "/backup", "retention-full": 1, "cipher-pass": "x"}


def call(name: str, value: t.Any, *arguments: t.Any) -> t.Any:
    """The result of a filter."""
    return importlib.import_module(f"{PACKAGE}.{name}").FilterModule().filters()[name](value, *arguments)


@pytest.fixture(name="variables")
def variables_fixture() -> dict[str, t.Any]:
    """The variables of db1."""
    defaults = yaml.safe_load((ROOT / "roles/database/defaults/main.yml").read_text(encoding="utf-8"))
    return {
        **defaults,
        "pgbackrest_address": "db1",
        "pgbackrest_hosts": ["db1"],
        "pgbackrest_repositories": [REPOSITORY],
    }


@pytest.fixture(name="hostvars")
def hostvars_fixture(variables: dict[str, t.Any]) -> dict[str, t.Any]:
    """What is known of all hosts after look.yml."""
    clusters = call("clusters", variables, FACTS, "db1", {"backup1": {"pgbackrest_repository_user": "keeper"}})
    assert (clusters[0]["backup_user"], clusters[0]["backup_group"]) == ("keeper", "pgbackrest")
    own = {"pgbackrest_repositories": [REPOSITORY], "__pgbackrest_host": FACTS, "__pgbackrest_clusters": clusters}
    return {"db1": own, "backup1": {"__pgbackrest_host": {**FACTS, "clusters": []}}}


def test_filters_of_the_database_role(variables: dict[str, t.Any], hostvars: dict[str, t.Any]) -> None:
    assert call("unknown_hosts", hostvars, ["db1"]) == []
    assert call("input_problems", variables, hostvars, "db1", {}) == []
    file = call("stanza_files", variables, hostvars["db1"]["__pgbackrest_clusters"], hostvars, "db1")[0]
    assert file["path"] == "/etc/pgbackrest/conf.d/main.conf"
    assert (file["owner"], file["group"]) == ("postgres", None)
    assert file["options"]["main"]["repo1-host"] == "backup1"
    assert call("repository_configuration", variables, "main", hostvars)["main"]["pg1-host"] == "db1"


def test_filters_of_the_repository_role(hostvars: dict[str, t.Any]) -> None:
    variables = yaml.safe_load((ROOT / "roles/repository/defaults/main.yml").read_text(encoding="utf-8"))
    transports = call("kept_transports", hostvars, "backup1")
    assert transports == ["tls"]
    assert [cluster["stanza"] for cluster in call("kept_clusters", hostvars, "backup1")] == ["main"]
    variables["pgbackrest_address"] = "backup1"
    assert call("input_problems", variables, hostvars, "backup1", {}, transports) == []
    assert "tls-server-cert-file" in call("host_configuration", variables, transports)["global"]


def test_clusters_of_input_that_has_wrong_types(variables: dict[str, t.Any]) -> None:
    assert call("clusters", {**variables, "pgbackrest_repositories": "x"}, FACTS, "db1", {}) == []


def test_filters_of_the_standby_role(hostvars: dict[str, t.Any]) -> None:
    assert call("standby_request", {"slot": "yes"}, "db-2", [])["slot"] == "db_2"
    found = call("standby_place", hostvars, ["db1"], "main")
    assert found["problems"] == [
        "This play has no standby of the stanza, only its primary db1. Add the others to pgbackrest_hosts.",
        "The primary db1 is not protected yet, so there is no backup to make a standby of. Run first: "
        "pgops.pgbackrest.site --limit db1,backup1",
    ]
    place = {**found, "standbys": {"db2": {"host": "db1", "slot": "", "level": 1}}}
    known = {"db2": {"__pgbackrest_standby": {"judgement": call("standby_judgement", None, "", "db2", "db1")}}}
    assert call("standby_plan", place, known, "")["data"]["standbys"][0]["action"] == "provision"
    told = call("standby_failure", {"msg": "No"}, "x", {"data_directory": "/data", "running": False, "begun": False})
    assert told["why"] == "No. Nothing was stopped or overwritten there."
    assert list(call("standby_summary", place, known, ["db1"])["failed"]) == ["db2"]
    assert call("standby_conninfo", {"host": "db1", "user": "it's"}) == r"host=db1 user='it\'s'"


def test_filters_of_the_clone_role() -> None:
    wanted = call("clone_request", {"name": "ci", "target_lsn": "0/3000028"}, [], ["main"])
    assert wanted["problems"] == []
    variables = {"pgbackrest_repositories": [{"type": "posix", "path": "/backup"}]}
    source = call("clone_source", wanted, variables, FACTS, "ci1")
    assert source == {"file": f"{wanted['directory']}/pgbackrest.conf", "own": True, "problems": []}
    assert call("clone_configuration", wanted, variables, FACTS, "/x")["global"]["log-path"] == "/x/log"
    plan = {"id": "1", "mode": "full", "text": ["Plan 1"]}
    assert call("clone_plan_lines", plan, wanted)[0] == "Plan 1"
    assert call("clone_refusal", {"msg": "No."})["words"] == "No."
    assert set(importlib.import_module(f"{PACKAGE}.clone_summary").FilterModule().filters()) == {"clone_summary"}
