# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The model of the roles: variables and facts in, configuration or sentences out."""

from __future__ import annotations

import copy
import re
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.pgops.pgbackrest.plugins.filter.clusters import clusters
from ansible_collections.pgops.pgbackrest.plugins.module_utils._config_file import parse, render
from ansible_collections.pgops.pgbackrest.plugins.module_utils._config_rules import problems as rule_problems
from ansible_collections.pgops.pgbackrest.plugins.plugin_utils import (
    _model_cluster as cluster_model,
    _model_configuration as configuration,
    _model_defaults as defaults,
    _model_input as model,
    _model_problems as problems,
)

ROOT = Path(__file__).resolve().parents[4]
LOCAL = {"type": "posix", "path": "/backup", "retention-full": 2}
KEPT = {"host": "repo1", "path": "/backup", "retention-full": 4, "cipher-pass": "open sesame"}
S3 = {
    "type": "s3",
    "s3-bucket": "backups",
    "s3-endpoint": "s3.test",
    "s3-region": "eu-1",
    "s3-key": "key of s3",
    "s3-key-secret": "secret of s3",
    "retention-full": 4,
    "cipher-pass": "open sesame",
}


def role_defaults(role: str) -> dict[str, t.Any]:
    """Defaults of a role as they stand in the file; the one template among them is filled in."""
    text = (ROOT / "roles" / role / "defaults/main.yml").read_text(encoding="utf-8")
    return t.cast("dict[str, t.Any]", yaml.safe_load(text.replace("{{ inventory_hostname }}", "db1")))


def cluster(**changes: t.Any) -> dict[str, t.Any]:
    """A cluster as host_info returns it."""
    return {
        "name": "15/main",
        "pg_version": "15",
        "data_directory": "/var/lib/postgresql/15/main",
        "port": 5432,
        "socket_directory": "/var/run/postgresql",
        "unit": "postgresql@15-main",
        "owner": "postgres",
        "group": "postgres",
        "running": True,
        "role": "primary",
        "system_identifier": "4711",
        "problem": None,
        **changes,
    }


def facts(*clusters: dict[str, t.Any], version: str | None = "2.55.1", **changes: t.Any) -> dict[str, t.Any]:
    """What host_info returns."""
    return {
        "pgbackrest": {"executable": "/usr/bin/pgbackrest", "version": version} if version else None,
        "configuration": [],
        "clusters": list(clusters),
        "cpus": 8,
        "service_manager": "systemd",
        "os_family": "debian",
        "distribution": "debian",
        "psycopg2": True,
        **changes,
    }


class Site:
    """An inventory whose hosts were looked at; ``shared`` are variables of the group database."""

    def __init__(self, looked_at: dict[str, dict[str, t.Any]], /, **shared: t.Any) -> None:
        self.groups: dict[str, list[str]] = {"database": [], "repository": []}
        self.hostvars: dict[str, dict[str, t.Any]] = {}
        for name, found in looked_at.items():
            self.groups["database" if found["clusters"] else "repository"].append(name)
            given = {f"pgbackrest_{key}": value for key, value in shared.items()} if found["clusters"] else {}
            self.hostvars[name] = {"pgbackrest_address": name, **copy.deepcopy(given), "__pgbackrest_host": found}
        for name in self.groups["database"]:
            self.hostvars[name]["__pgbackrest_clusters"] = clusters(
                self.variables(name), looked_at[name], name, self.hostvars
            )

    def variables(self, name: str) -> dict[str, t.Any]:
        """The variables of the role on a host."""
        own = {key: value for key, value in self.hostvars[name].items() if not key.startswith("__")}
        return {**role_defaults("database"), "pgbackrest_hosts": [name], **own}

    def problems(self, name: str = "db1") -> list[str]:
        return problems.of_database_host(self.variables(name), self.hostvars, name, self.groups)

    def database_file(self, name: str = "db1", stanza: str = "main") -> t.Any:
        return configuration.database_file(model.entry_of(self.variables(name), stanza), self.hostvars, name)

    def repository_file(self, name: str = "db1", stanza: str = "main") -> t.Any:
        return configuration.repository_file(model.entry_of(self.variables(name), stanza), self.hostvars)


def single(found: dict[str, t.Any] | None = None, **variables: t.Any) -> Site:
    """One host with one local repository."""
    return Site({"db1": found or facts(cluster())}, **{"repositories": [LOCAL], **variables})


def with_repository_host(version: str = "2.55.1", **variables: t.Any) -> Site:
    """A primary, a standby and a repository host."""
    return Site(
        {
            "db1": facts(cluster(), version=version),
            "db2": facts(cluster(role="standby", port=5433), version=version, cpus=4),
            "repo1": facts(version=version),
        },
        **{"repositories": [KEPT], "hosts": ["db1", "db2"], **variables},
    )


# Configuration


def test_single_host() -> None:
    assert single().database_file() == {
        "main": {
            "pg1-path": "/var/lib/postgresql/15/main",
            "pg1-port": 5432,
            "pg1-socket-path": "/var/run/postgresql",
            "repo1-type": "posix",
            "repo1-path": "/backup",
            "repo1-retention-full": 2,
            "repo1-bundle": True,
            "repo1-block": True,
            "compress-level": 2,
            "compress-type": "zst",
            "start-fast": True,
            "archive-async": True,
        },
        "main:archive-push": {"process-max": 2},
        "main:archive-get": {"process-max": 4},
        "main:backup": {"process-max": 4},
        "main:restore": {"delta": True, "process-max": 8},
        "main:verify": {"process-max": 4},
    }


def test_repository_host_over_tls() -> None:
    site = with_repository_host()
    assert site.database_file("db2") == {
        "main": {
            "pg1-path": "/var/lib/postgresql/15/main",
            "pg1-port": 5433,
            "pg1-socket-path": "/var/run/postgresql",
            "repo1-host": "repo1",
            "repo1-host-type": "tls",
            "repo1-host-ca-file": "/etc/pgbackrest/cert/ca.crt",
            "repo1-host-cert-file": "/etc/pgbackrest/cert/main.crt",
            "repo1-host-key-file": "/etc/pgbackrest/cert/main.key",
            "compress-level": 2,
            "compress-type": "zst",
            "archive-async": True,
        },
        "main:archive-push": {"process-max": 1},
        "main:archive-get": {"process-max": 2},
        "main:restore": {"delta": True, "process-max": 4},
        "global": {"tls-server-auth": {"main": "main"}},
    }
    there = site.repository_file()
    assert {key: there["main"][key] for key in ("pg1-host", "pg2-host", "pg2-host-type", "pg1-port", "pg2-port")} == {
        "pg1-host": "db1",
        "pg2-host": "db2",
        "pg2-host-type": "tls",
        "pg1-port": 5432,
        "pg2-port": 5433,
    }
    assert there["main"]["repo1-cipher-type"] == "aes-256-cbc"
    assert there["main"]["backup-standby"] == "prefer"
    assert there["main:backup"] == {"process-max": 2}, "the host with the fewest CPUs counts"
    assert there["global"] == {"tls-server-auth": {"main": "main"}}
    assert not any("host" in key for key in there["main"] if key.startswith("repo"))


def test_repository_host_over_ssh() -> None:
    site = with_repository_host(repositories=[{**KEPT, "host-type": "ssh"}])
    site.hostvars["repo1"].update(pgbackrest_ssh_port="2222", pgbackrest_repository_user="keeper")
    here, there = site.database_file(), site.repository_file()
    assert {key: value for key, value in here["main"].items() if key.startswith("repo")} == {
        "repo1-host": "repo1",
        "repo1-host-type": "ssh",
        "repo1-host-user": "keeper",
        "repo1-host-port": "2222",
    }
    assert there["main"]["pg1-host-user"] == "postgres"
    assert "pg1-host-port" not in there["main"]
    assert "global" not in here


def test_passphrases_stay_on_the_repository_host() -> None:
    assert "open sesame" not in str(with_repository_host().database_file())


def test_with_several_repositories_pgbackrest_does_not_ask_for_their_passphrases() -> None:
    site = with_repository_host(repositories=[KEPT, {**KEPT, "path": "/second", "cipher-pass": "another"}])
    options = site.database_file()["main"]
    assert (options["repo2-cipher-type"], options["repo2-cipher-pass"]) == ("aes-256-cbc", "another")
    assert options["repo1-path"] != options["repo2-path"]
    assert site.problems() == []


def test_numbers_of_repositories_are_the_same_on_both_sides() -> None:
    site = with_repository_host(repositories=[S3, KEPT])
    here, there = site.database_file()["main"], site.repository_file()["main"]
    assert here["repo1-s3-bucket"] == there["repo1-s3-bucket"] == "backups"
    assert here["repo2-host"] == "repo1"
    assert there["repo2-path"] == "/backup"


@pytest.mark.parametrize(
    ("options", "section", "key", "value"),
    [
        ({"compress-type": "lz4"}, "main", "compress-type", "lz4"),
        ({"compress-type": None}, "main", "compress-type", None),
        ({"compress-type": "lz4"}, "main", "compress-level", None),
        ({"compress-level": 9}, "main", "compress-level", 9),
        ({"process-max": 3}, "main:backup", "process-max", None),
        ({"process-max": 3}, "main", "process-max", 3),
        ({"backup": {"process-max": "6"}}, "main:backup", "process-max", "6"),
        ({"start-fast": "false"}, "main", "start-fast", False),
        ({"pg-user": "backup"}, "main", "pg1-user", "backup"),
        (
            {"recovery-option": {"primary_conninfo": "host=x"}},
            "main",
            "recovery-option",
            {"primary_conninfo": "host=x"},
        ),
    ],
)
def test_options_of_the_user_count(options: dict[str, t.Any], section: str, key: str, value: t.Any) -> None:
    sections = single(options=options).database_file()
    assert sections.get(section, {}).get(key) == value
    assert not rule_problems(sections, (2, 55, 1), {})


@pytest.mark.parametrize(
    ("repository", "keys"),
    [
        ({}, {"bundle": True, "block": True}),
        ({"bundle": False}, {"bundle": False, "block": None}),
        ({"bundle": "true"}, {"bundle": True, "block": True}),
        ({"block": "no"}, {"bundle": True, "block": False}),
        ({"cipher-pass": "x"}, {"cipher-pass": "x", "cipher-type": "aes-256-cbc"}),
    ],
)
def test_keys_of_a_repository_count(repository: dict[str, t.Any], keys: dict[str, t.Any]) -> None:
    options = single(repositories=[{**LOCAL, **repository}]).database_file()["main"]
    assert {key: options.get(f"repo1-{key}") for key in keys} == keys


@pytest.mark.parametrize("version", ["2.45", "2.46", "2.52", "2.52.1", "2.53", "2.54.0", "2.55.1", "2.59.1", "2.60"])
def test_every_version_takes_the_defaults(version: str) -> None:
    site = with_repository_host(version)
    numbers = tuple(int(number) for number in version.split("."))
    main = parse(render(configuration.main_file(site.variables("db1"), ["tls"])))
    for sections in (site.database_file(), site.repository_file()):
        assert rule_problems(sections, numbers, main) == []
    assert ("repo1-block" in site.repository_file()["main"]) == (numbers >= (2, 52, 1))
    assert ("backup-standby" in site.repository_file()["main"]) == (numbers >= (2, 54))


def test_main_file() -> None:
    variables = {**role_defaults("database"), "pgbackrest_tls_port": "8433"}
    assert configuration.main_file(variables, [""]) == {"global": configuration.PLACES}
    assert configuration.main_file(variables, ["tls", "ssh"])["global"] == {
        **configuration.PLACES,
        "tls-server-address": "*",
        "tls-server-port": "8433",
        "tls-server-ca-file": "/etc/pgbackrest/cert/ca.crt",
        "tls-server-cert-file": "/etc/pgbackrest/cert/server.crt",
        "tls-server-key-file": "/etc/pgbackrest/cert/server.key",
    }


def test_nothing_is_in_two_files() -> None:
    """pgBackRest refuses an option of [global] in two files, but for tls-server-auth, which is a list."""
    site = with_repository_host()
    main = set(configuration.main_file(site.variables("db1"), ["tls"])["global"])
    for sections in (site.database_file(), site.repository_file()):
        assert set(sections.get("global", {})) == {"tls-server-auth"}
        assert "tls-server-auth" not in main


# Defaults


def test_defaults_are_documented() -> None:
    assert defaults.table() in (ROOT / "docs/defaults.md").read_text(encoding="utf-8")


def test_no_default_can_lose_wal_or_backups() -> None:
    options = {default.option for default in defaults.DEFAULTS}
    assert "archive-push-queue-max" not in options
    assert not any("retention" in option or "archive-check" in option for option in options)


def test_defaults_of_other_hosts_are_those_of_the_roles() -> None:
    known = {**role_defaults("database"), **role_defaults("repository")}
    assert {name: known[name] for name in model.DEFAULTS} == model.DEFAULTS


@pytest.mark.parametrize("cpus", [1, 2, 3, 64])
def test_processes(cpus: int) -> None:
    facts_ = defaults.Facts((2, 60), cpus)
    numbers = [default.value(facts_) for default in defaults.DEFAULTS if default.option == "process-max"]
    assert all(1 <= number <= cpus for number in numbers)


@pytest.mark.parametrize(("cpus", "processes"), [(1, 1), (2, 2), (3, 2), (4, 2), (6, 3), (64, 32)])
def test_a_backup_has_two_processes_where_there_are_two_cpus(cpus: int, processes: int) -> None:
    (found,) = [default for default in defaults.DEFAULTS if default.command == "backup"]
    assert found.value(defaults.Facts((2, 60), cpus)) == processes


# Clusters


def test_clusters_hold_no_secrets() -> None:
    site = Site({"db1": facts(cluster()), "repo1": facts()}, repositories=[S3, {**KEPT, "type": "posix"}])
    shown = str(site.hostvars["db1"]["__pgbackrest_clusters"])
    assert "backups" in shown
    for secret in ("open sesame", "key of s3", "secret of s3"):
        assert secret not in shown


def test_flat_variables_fill_the_entries() -> None:
    web = cluster(name="15/web", data_directory="/srv/web", port=5433)
    site = single(
        facts(cluster(), web),
        clusters=[{"stanza": "a", "cluster": "15/main"}, {"stanza": "b", "cluster": "/srv/web/", "schedule": []}],
        schedule=[{"type": "full", "calendar": "daily", "repo": "1"}],
    )
    assert site.problems() == []
    found = site.hostvars["db1"]["__pgbackrest_clusters"]
    assert [(item["stanza"], item["name"], item["schedule"]) for item in found] == [
        ("a", "15/main", [{"type": "full", "calendar": "daily", "repo": ["1"]}]),
        ("b", "15/web", []),
    ]
    assert site.database_file(stanza="b")["b"]["pg1-port"] == 5433


def test_hosts_outside_the_play_are_named_once() -> None:
    site = with_repository_host()
    del site.hostvars["db2"]["__pgbackrest_host"], site.hostvars["db2"]["__pgbackrest_clusters"]
    del site.hostvars["repo1"]["__pgbackrest_host"]
    assert cluster_model.unknown_hosts(site.hostvars, ["db1"]) == ["db2", "repo1"]
    site.hostvars["repo1"]["__pgbackrest_host"] = {"unreachable": True}
    assert cluster_model.unknown_hosts(site.hostvars, ["db1"]) == ["db2"]


def test_what_a_repository_host_keeps() -> None:
    site = with_repository_host()
    assert [found["stanza"] for found in cluster_model.kept(site.hostvars, "repo1")] == ["main"]
    assert cluster_model.kept_transports(site.hostvars, "repo1") == ["tls"]
    for name in ("db1", "db2"):
        del site.hostvars[name]["__pgbackrest_clusters"]
    assert cluster_model.kept(site.hostvars, "repo1") == []
    assert cluster_model.kept_transports(site.hostvars, "repo1") == ["tls"], "the limit of a run must not matter"


# Problems


def test_right_input_has_no_problems() -> None:
    assert single().problems() == []
    for name in ("db1", "db2"):
        assert with_repository_host().problems(name) == []


def test_texts_from_surveys_are_right() -> None:
    found = single(
        repositories=[{**LOCAL, "retention-full": "2", "bundle": "true"}],
        restart_allowed="yes",
        tls_port="8432",
        schedule=[{"type": "full", "calendar": "daily", "repo": "1"}],
    ).problems()
    assert found == []


BAD_INPUT: list[tuple[dict[str, t.Any], str]] = [
    ({"repositories": []}, "pgbackrest_repositories is empty, and there is no backup without a repository: write at "),
    ({"repositories": "/backup"}, "pgbackrest_repositories must be a list of mappings."),
    ({"schedule_splay": "often"}, "pgbackrest_schedule_splay is 'often': write a whole number with s, m, h, d or w"),
    ({"schedule_on_failure": "no unit"}, "pgbackrest_schedule_on_failure is 'no unit': write the name of a systemd "),
    (
        {"tls_ca_host": "repo9"},
        "pgbackrest_tls_ca_host is repo9, which is not in the inventory: write the inventory name of the host that ",
    ),
    ({"tls_days": "many"}, "pgbackrest_tls_days is 'many': write a number of days, 1 or more."),
    ({"tls_renew_before": "soon"}, "pgbackrest_tls_renew_before is 'soon': write a whole number with s, m, h, d or w"),
    ({"tls_listen": ""}, "pgbackrest_tls_listen is '': write one word without blanks, or leave it out for the "),
    ({"ssh_from": "10.0.0.1"}, "pgbackrest_ssh_from is '10.0.0.1': write a list of texts, such as [a, b]."),
    (
        {"schedule": [{"type": "full", "calendar": "Suday 02:00"}]},
        "pgbackrest_schedule[0]: calendar is 'Suday 02:00', and Suday is no day, date or time of systemd: write it ",
    ),
    ({"repositories": ["/backup"]}, "pgbackrest_repositories[0] must be a mapping, such as {key: value}."),
    (
        {"repositories": [LOCAL, {**LOCAL, "path": "/b", "retention-ful": 1}]},
        "pgbackrest_repositories[1]: retention-ful is no option of pgBackRest: did you mean retention-full?",
    ),
    (
        {"repositories": [{**LOCAL, "retention_diff": 1}]},
        "pgbackrest_repositories[0]: retention_diff is not pgBackRest's spelling: write retention-diff.",
    ),
    (
        {"repositories": [{**LOCAL, "repo1-bundle": True}]},
        "pgbackrest_repositories[0] has the key repo1-bundle: leave out repo1-, the place in the list is the number. "
        "Write bundle.",
    ),
    (
        {"repositories": [{"path": "/backup", "retention-full": 1}]},
        "pgbackrest_repositories[0] has neither type nor host: write type azure, cifs, gcs, posix, s3 "
        "or sftp, or host, "
        "the inventory name of a repository host.",
    ),
    (
        {"repositories": [{**LOCAL, "type": "posx"}]},
        "pgbackrest_repositories[0]: type is 'posx', but it takes one of azure, cifs, gcs, posix, s3, sftp. Did you ",
    ),
    (
        {"repositories": [{"type": "posix", "path": "/backup"}]},
        "pgbackrest_repositories[0] does not say how many full backups to keep: write retention-full, such as "
        "retention-full: 2 (9999999 keeps all). Nothing is deleted that you have not decided on.",
    ),
    (
        {"repositories": [{**LOCAL, "retention-full": "two"}]},
        "pgbackrest_repositories[0]: retention-full is 'two', but it takes a whole number.",
    ),
    (
        {"repositories": [LOCAL, {**LOCAL, "retention-full": 1}]},
        "pgbackrest_repositories[0]: path and path of pgbackrest_repositories[1] are both /backup: give each local "
        "repository a path of its own.",
    ),
    (
        {"repositories": [{**LOCAL, "cipher-pass": ""}]},
        "pgbackrest_repositories[0]: cipher-pass is empty. Perhaps the variable that holds it is: give it a value, or "
        "leave the key out.",
    ),
    (
        {"repositories": [{key: S3[key] for key in S3 if key != "cipher-pass"}]},
        "pgbackrest_repositories[0] lies outside the host and has no cipher-pass: write one (keep it in "
        "a vault, without "
        "it no backup can be read), or set pgbackrest_allow_unencrypted: true.",
    ),
    (
        {"repositories": [{key: S3[key] for key in S3 if key != "s3-bucket"}]},
        "pgbackrest_repositories[0]: s3-bucket is missing: pgBackRest requires it when type is s3.",
    ),
    (
        {"repositories": [{**KEPT, "host": "repo9"}]},
        "pgbackrest_repositories[0]: host is repo9, which is not in the inventory: write the inventory name of a "
        "repository host.",
    ),
    (
        {"repositories": [{**KEPT, "host": "db1"}]},
        "pgbackrest_repositories[0]: host is db1, which is a host of the stanza itself. Leave host out "
        "for a repository "
        "on the only host of a cluster; with standbys keep it on a host of its own.",
    ),
    (
        {"repositories": [{**LOCAL, "host-type": "tls"}]},
        "pgbackrest_repositories[0] has host-type but no host: write the inventory name of the repository host.",
    ),
    (
        {"stanza": "my stanza"},
        "pgbackrest_stanza is 'my stanza': a stanza has a name of letters, digits, '_', '-' and ",
    ),
    (
        {"stanza": "global"},
        "pgbackrest_stanza is global, a word with a meaning of its own to pgBackRest: take another ",
    ),
    ({"hosts": ["db2"]}, "pgbackrest_hosts names db2, which is not in the inventory: write names of the inventory."),
    ({"hosts": ["db2"]}, "pgbackrest_hosts is [db2] and lacks db1 itself: list all hosts of the stanza, the primary "),
    ({"hosts": ["db1", "db1"]}, "pgbackrest_hosts names db1 twice: name each host once."),
    ({"hosts": "db1"}, "pgbackrest_hosts must be a list of names of hosts."),
    ({"options": ["x"]}, "pgbackrest_options must be a mapping of pgBackRest's options, such as {compress-level: 6}."),
    (
        {"options": {"compres-type": "lz4"}},
        "pgbackrest_options: compres-type is no option of pgBackRest: did you mean compress-type?",
    ),
    (
        {"options": {"bakup": {"process-max": 1}}},
        "pgbackrest_options has bakup with options below it, but pgBackRest has no such command (did "
        "you mean backup?).",
    ),
    (
        {"options": {"backup": {"process-max": 0}}},
        "pgbackrest_options.backup: process-max is '0', but it must lie between 1 and 999.",
    ),
    (
        {"options": {"repo2-path": "/x"}},
        "pgbackrest_options has repo2-path: options of a repository stand with it. Write path in "
        "pgbackrest_repositories[1].",
    ),
    (
        {"options": {"pg1-user": "x"}},
        "pgbackrest_options has pg1-user: the role numbers the hosts. Write pg-user, it counts for all.",
    ),
    (
        {"options": {"tls-server-port": 1}},
        "pgbackrest_options has tls-server-port: it belongs to the host. Use the variables pgbackrest_tls_*.",
    ),
    (
        {"schedule": [{"type": "fulll", "calendar": "daily"}]},
        "pgbackrest_schedule[0]: type is 'fulll': write full, diff or incr (did you mean full?).",
    ),
    ({"schedule": [{"type": "full"}]}, "pgbackrest_schedule[0] says not when: write calendar, such as calendar: "),
    (
        {"schedule": [{"type": "full", "calender": "daily"}]},
        "pgbackrest_schedule[0] has the unknown key calender: its keys are type, calendar, cron, repo (did you mean "
        "calendar?).",
    ),
    (
        {"schedule": [{"type": "full", "calendar": "daily", "repo": 2}]},
        "pgbackrest_schedule[0]: repo is 2, but the stanza has repositories 1 to 1: write one of these "
        "numbers, or leave "
        "repo out for all.",
    ),
    (
        {"schedule": [{"type": "full", "calendar": "daily", "cron": "daily"}]},
        "pgbackrest_schedule[0]: cron is 'daily': write five fields, such as \"0 2 * * 0\".",
    ),
    ({"schedule": [{"type": "full", "calendar": 2}]}, "pgbackrest_schedule[0]: calendar is 2: write a text in quotes."),
    ({"tls_port": "high"}, "pgbackrest_tls_port is 'high': write the number of a port, 1 to 65535."),
    ({"restart_allowed": "maybe"}, "pgbackrest_restart_allowed is 'maybe': write true or false."),
    (
        {"package_source": "pgdgg"},
        "pgbackrest_package_source is 'pgdgg': write distribution, pgdg or none (did you mean pgdg?).",
    ),
    (
        {"clusters": [{"stanza": "a", "cluster": "15/x"}]},
        "pgbackrest_clusters[0].cluster is 15/x, but db1 has 15/main: write one of these.",
    ),
    (
        {"clusters": [{"stanza": "a", "retention": 2}]},
        "pgbackrest_clusters[0] has the unknown key retention: its keys are stanza, hosts, repositories, options, "
        "schedule, cluster.",
    ),
    (
        {"clusters": [{"stanza": "a", "cluster": "15/main"}, {"stanza": "a"}]},
        "pgbackrest_clusters[1].stanza is a, as is pgbackrest_clusters[0].stanza: a stanza is for one cluster, and a "
        "cluster has one stanza. Give each entry its own.",
    ),
    (
        {"clusters": [{"stanza": "a", "cluster": "15/main"}, {"stanza": "b", "cluster": "15/main"}]},
        "pgbackrest_clusters[1].cluster is 15/main, as is pgbackrest_clusters[0].cluster: a stanza is "
        "for one cluster, ",
    ),
    (
        {"clusters": [{"stanza": "a", "cluster": "15/main"}, {"stanza": "b"}]},
        "The stanzas a and b are both for the cluster 15/main of db1: a cluster archives to one stanza. Give it one "
        "stanza with several repositories.",
    ),
]


@pytest.mark.parametrize(("variables", "sentence"), BAD_INPUT, ids=[sentence[:60] for dummy, sentence in BAD_INPUT])
def test_bad_variable(variables: dict[str, t.Any], sentence: str) -> None:
    found = single(**variables).problems()
    assert [problem for problem in found if problem.startswith(sentence)], found


@pytest.mark.parametrize(
    "calendar",
    [
        "Sun 02:00", "Mon..Sat 02:00", "Mon,Wed 2:30", "daily", "*-*-* 04:00", "hourly", "monday", "Sun *-*-1..7 02:00",
        "*:0/15", "2026-11-23", "02:00:00 Europe/Berlin", "Thu,Fri 2012-*-1,5 11:12:13", "Fri-Sat 23:59 UTC", "*-*~01",
    ],
)  # fmt: skip
def test_calendar_is_left_to_systemd(calendar: str) -> None:
    assert single(schedule=[{"type": "full", "calendar": calendar}]).problems() == []


BAD_HOST: list[tuple[dict[str, t.Any], str]] = [
    (facts(), "db1 has no PostgreSQL cluster: create one first, or name its data directory in pgbackrest_clusters."),
    (
        facts(cluster(), cluster(name="15/web")),
        "db1 has several clusters, 15/main, 15/web, and pgbackrest_clusters does not say which is "
        "meant: write an entry "
        "for each, such as {stanza: main, cluster: 15/main}.",
    ),
    (
        facts(cluster(running=False)),
        "Cluster 15/main on db1 is not running: start it (systemctl start postgresql@15-main). Archiving, stanza and "
        "check need it.",
    ),
    (facts(cluster(problem="It is gone.")), "Cluster 15/main on db1: It is gone."),
    (
        facts(cluster(role="standby")),
        "db1 is a standby, but pgbackrest_hosts of stanza main names no other host: list its primary and all standbys.",
    ),
    (
        facts(cluster(role="standby", recovery="target")),
        "PostgreSQL 15/main on db1 was restored and is paused at its recovery target, or on its way there. It takes no "
        "writes and is not protected until somebody decides: look at its data, then run the playbook restore again "
        "with the same target and restore_target_action=promote to open it, or with another target.",
    ),
    (
        facts(cluster(role="standby", recovery="target", running=False)),
        "PostgreSQL 15/main on db1 does not run, and the recovery of its restore has not ended. It is not protected "
        "until somebody decides: run the playbook restore again as it was to go on, with "
        "the same target and restore_target_action=promote to open it, or with another target.",
    ),
    (
        facts(cluster(), version="2.33"),
        "db1 has pgBackRest 2.33, but 2.45 is the oldest that is supported: upgrade it.",
    ),
    (
        facts(cluster(), configuration=[{"path": "/etc/pgbackrest/conf.d/main.conf", "ours": False, "stanzas": []}]),
        "/etc/pgbackrest/conf.d/main.conf on db1 was not written by this collection. Look what is in it, and set "
        "pgbackrest_replace_configuration: true to replace it.",
    ),
    (
        facts(cluster(), configuration=[{"path": "/etc/pgbackrest.conf", "ours": False, "stanzas": ["old"]}]),
        "/etc/pgbackrest.conf on db1 configures old, and pgBackRest no longer reads it once "
        "/etc/pgbackrest/pgbackrest.conf is there.",
    ),
    (
        facts(cluster(), configuration=[{"path": "/etc/pgbackrest/conf.d/x.conf", "ours": False, "stanzas": ["main"]}]),
        "/etc/pgbackrest/conf.d/x.conf on db1 configures main, too, and pgBackRest refuses an option "
        "that stands in two "
        "files: move what you need into the variables and remove that section.",
    ),
    (
        facts(cluster(), version=None, os_family="other", distribution="arch"),
        "pgBackRest is not installed on db1, and the role knows no packages for arch: install "
        "pgBackRest and psycopg2, ",
    ),
]


@pytest.mark.parametrize(("found", "sentence"), BAD_HOST, ids=[sentence[:60] for dummy, sentence in BAD_HOST])
def test_bad_host(found: dict[str, t.Any], sentence: str) -> None:
    site = single(facts(cluster()))
    site.hostvars["db1"]["__pgbackrest_host"] = found
    site.hostvars["db1"]["__pgbackrest_clusters"] = clusters(site.variables("db1"), found, "db1", site.hostvars)
    assert [problem for problem in site.problems() if problem.startswith(sentence)], site.problems()


def test_a_restored_cluster_that_nobody_has_opened_is_no_standby() -> None:
    running = single(facts(cluster(role="standby", recovery="target"))).problems()
    stopped = single(facts(cluster(role="standby", recovery="target", running=False))).problems()
    assert [len(running), len(stopped)] == [1, 1], (running, stopped)
    site = with_repository_host()
    site.hostvars["db1"]["__pgbackrest_clusters"][0].update(role="standby", recovery="target")
    for host in ("db1", "db2"):
        (problem,) = site.problems(host)
        assert problem.startswith("PostgreSQL 15/main on db1 was restored and is paused at its recovery target")


def test_a_promoted_cluster_needs_nobodys_decision() -> None:
    assert single(facts(cluster(role="primary", recovery="target"))).problems() == []


def test_a_packaged_file_is_in_nobodys_way() -> None:
    packaged = [{"path": "/etc/pgbackrest.conf", "ours": False, "stanzas": []}]
    assert single(facts(cluster(), configuration=packaged)).problems() == []


def test_a_foreign_file_may_be_replaced() -> None:
    foreign = [{"path": "/etc/pgbackrest/conf.d/main.conf", "ours": False, "stanzas": ["main"]}]
    site = single(facts(cluster(), configuration=foreign), replace_configuration="true")
    assert site.problems() == []


def change_version(site: Site) -> None:
    site.hostvars["db2"]["__pgbackrest_host"]["pgbackrest"]["version"] = "2.54.1"


def change_identifier(site: Site) -> None:
    site.hostvars["db2"]["__pgbackrest_clusters"][0]["system_identifier"] = "4712"


def change_role(site: Site) -> None:
    site.hostvars["db2"]["__pgbackrest_clusters"][0]["role"] = "primary"


def demote(site: Site) -> None:
    site.hostvars["db1"]["__pgbackrest_clusters"][0]["role"] = "standby"


def change_list(site: Site) -> None:
    site.hostvars["db2"]["__pgbackrest_clusters"][0]["hosts"] = ["db2", "db1"]


def leave_group(site: Site) -> None:
    site.groups["repository"].remove("repo1")


def lose_repository_host(site: Site) -> None:
    del site.hostvars["repo1"]["__pgbackrest_host"]


def stay_outside(site: Site) -> None:
    site.hostvars["repo1"]["__pgbackrest_host"]["outside"] = True


def lose_standby(site: Site) -> None:
    site.hostvars["db2"].update({"__pgbackrest_host": {"unreachable": True}, "__pgbackrest_clusters": []})


def be_bare(site: Site) -> None:
    site.hostvars["db1"]["__pgbackrest_host"]["clusters"] = []
    site.hostvars["db1"]["__pgbackrest_clusters"] = []


def lose_systemd(site: Site) -> None:
    site.hostvars["repo1"]["__pgbackrest_host"]["service_manager"] = "none"


def use_address(site: Site) -> None:
    site.hostvars["db2"]["pgbackrest_address"] = "10.0.0.5"
    for name in ("db1", "db2", "repo1"):
        site.hostvars[name]["__pgbackrest_host"]["pgbackrest"]["version"] = "2.45"


def lose_encryption(site: Site) -> None:
    for name in ("db1", "db2"):
        del site.hostvars[name]["pgbackrest_repositories"][0]["cipher-pass"]


def keep_local(site: Site) -> None:
    for name in ("db1", "db2"):
        site.hostvars[name]["pgbackrest_repositories"] = [LOCAL]


def keep_one_local(site: Site) -> None:
    for name in ("db1", "db2"):
        site.hostvars[name]["pgbackrest_repositories"].append(LOCAL)


def own_file(site: Site) -> None:
    found = [{"path": "/etc/pgbackrest/conf.d/main.conf", "ours": False, "stanzas": ["main"]}]
    site.hostvars["repo1"]["__pgbackrest_host"]["configuration"] = found


BAD_SITE: list[tuple[t.Callable[[Site], None], str]] = [
    (
        change_version,
        "The hosts of stanza main have different versions of pgBackRest (db1: 2.55.1, db2: 2.54.1, repo1: 2.55.1), and "
        "they refuse to talk to each other: install the same version on all of them.",
    ),
    (
        change_identifier,
        "The hosts of stanza main have different clusters (system identifiers db1: 4711, db2: 4712): pgbackrest_hosts "
        "may list only one primary and its standbys. Give other clusters stanzas of their own.",
    ),
    (change_role, "db1 and db2 of stanza main are all primaries: end all but one of them first."),
    (demote, "None of db1, db2 is a primary: add the primary of stanza main to pgbackrest_hosts."),
    (change_list, "pgbackrest_hosts of stanza main is [db1, db2], but [db2, db1] on db2: write the same list, in the "),
    (
        leave_group,
        "repo1, the repository host of stanza main, is not in the inventory group repository, so "
        "nothing sets it up: add "
        "it to the group.",
    ),
    (lose_repository_host, "repo1, the repository host of stanza main, could not be looked at: see its own failure."),
    (
        lose_standby,
        "db2 of stanza main could not be looked at, and repo1 must know where its cluster is: let the play reach db2, "
        "or take it out of pgbackrest_hosts.",
    ),
    (
        be_bare,
        "db1 has no PostgreSQL cluster. If it shall be a standby of stanza main, protect the others first (--limit "
        "'!db1'), and make it one with the playbook pgops.pgbackrest.standby. If not, take it out of pgbackrest_hosts, "
        "or create its cluster.",
    ),
    (
        stay_outside,
        "repo1, the repository host of stanza main, does not know this stanza yet and is not in this play: run it with "
        "both, such as --limit db1,repo1.",
    ),
    (lose_systemd, "pgBackRest's TLS server is run by systemd, which repo1 does not have: use host-type: ssh."),
    (
        use_address,
        "db2 is reached as 10.0.0.5, but pgBackRest 2.45 takes no IP addresses in certificates (2.53 does): set "
        "pgbackrest_address to a name.",
    ),
    (
        lose_encryption,
        "pgbackrest_repositories[0] lies outside the host and has no cipher-pass: write one (keep it in ",
    ),
    (
        keep_local,
        "pgbackrest_repositories[0] is a directory, which each of db1, db2 would have for itself, and after a failover "
        "the backups would be on the wrong host: write host, the inventory name of a repository host, or shared: true "
        "when all hosts mount the same directory.",
    ),
    (
        keep_one_local,
        "pgbackrest_repositories[1] is a directory of the database host, while backups run on repo1, "
        "which cannot reach "
        "it: write host: repo1, or use an object store.",
    ),
    (own_file, "/etc/pgbackrest/conf.d/main.conf on repo1 was not written by this collection."),
]


@pytest.mark.parametrize(("change", "sentence"), BAD_SITE, ids=[change.__name__ for change, dummy in BAD_SITE])
def test_bad_site(change: t.Callable[[Site], None], sentence: str) -> None:
    site = with_repository_host()
    change(site)
    found = site.problems()
    assert [problem for problem in found if problem.startswith(sentence)], found


def test_a_repository_host_may_stay_outside_when_it_knows_the_stanza() -> None:
    site = with_repository_host()
    stay_outside(site)
    known = [{"path": "/etc/pgbackrest/conf.d/main.conf", "ours": True, "stanzas": ["main"]}]
    site.hostvars["repo1"]["__pgbackrest_host"]["configuration"] = known
    assert site.problems() == []


def test_a_host_that_is_down_does_not_hold_up_the_others() -> None:
    site = with_repository_host()
    lose_standby(site)
    known = [{"path": "/etc/pgbackrest/conf.d/main.conf", "ours": True, "stanzas": ["main"]}]
    site.hostvars["repo1"]["__pgbackrest_host"]["configuration"] = known
    assert site.problems() == []
    assert site.repository_file() == {}, "what is there is as good as can be"


def test_a_host_that_has_no_cluster_yet_does_not_hold_up_the_others() -> None:
    site = with_repository_host(hosts=["db1", "db2", "db3"])
    site.hostvars["db2"].update({"__pgbackrest_host": facts(), "__pgbackrest_clusters": []})
    last = {"pgbackrest_address": "db3", "__pgbackrest_host": facts(cluster(role="standby"))}
    site.hostvars["db3"] = {**site.hostvars["db2"], **last}
    assert site.problems() == []
    section = site.repository_file()["main"]
    assert (section["pg1-host"], section["pg3-host"]) == ("db1", "db3")
    assert not [name for name in section if name.startswith("pg2-")]


def test_a_cluster_that_the_play_will_make_counts_as_there() -> None:
    site = with_repository_host()
    planned = cluster(role="standby", running=False, planned=True, port=5434)
    site.hostvars["db2"].update({"__pgbackrest_host": facts(), "__pgbackrest_planned": [planned]})
    site.hostvars["db2"]["__pgbackrest_clusters"] = cluster_model.resolved(
        site.variables("db2"), model.learned(site.hostvars, "db2"), "db2", site.hostvars
    )
    assert site.problems("db2") == [] == site.problems("db1")
    assert site.repository_file()["main"]["pg2-path"] == "/var/lib/postgresql/15/main"
    assert site.database_file("db2")["main"]["pg1-port"] == 5434
    # It takes the place of what was seen in its directory.
    site.hostvars["db2"]["__pgbackrest_host"] = facts(cluster(running=False))
    assert site.problems("db2") == []


def test_hosts_are_looked_at_that_a_bare_one_names() -> None:
    site = with_repository_host()
    site.hostvars["db2"].update({"__pgbackrest_host": facts(), "__pgbackrest_clusters": []})
    for other in ("db1", "repo1"):
        del site.hostvars[other]["__pgbackrest_host"]
    assert cluster_model.unknown_hosts(site.hostvars, ["db2"]) == ["db1", "repo1"]


def test_all_problems_are_told_at_once() -> None:
    found = single(
        stanza="a b",
        repositories=[{"type": "s3"}],
        schedule=[{"type": "x", "calendar": "daily"}],
        hosts=["db7"],
    ).problems()
    assert len(found) >= 6
    assert len(set(found)) == len(found)


def test_sentences_hold_no_secrets() -> None:
    wrong = {**S3, "s3-key-secret": "secret of s3\nsecond line", "cipher-pass": " open sesame", "s3-uri-style": "x"}
    found = single(repositories=[wrong]).problems()
    assert len(found) >= 3
    for secret in ("open sesame", "secret of s3", "key of s3"):
        assert secret not in str(found)


def test_no_problem_is_told_twice() -> None:
    """What one check refuses the others pass over, but for a missing value whose key was misspelt."""
    told_twice = {"calender", "db2", "15/main"}
    for variables, sentence in BAD_INPUT:
        if not any(word in str(variables) for word in told_twice):
            assert [found for found in single(**variables).problems() if not found.startswith(sentence)] == []


def test_every_sentence_ends() -> None:
    sentences = [sentence for variables, dummy in BAD_INPUT for sentence in single(**variables).problems()]
    assert [sentence for sentence in sentences if not re.search(r"[.?]$", sentence)] == []


def test_owner_of_a_repository_host_with_a_cluster() -> None:
    site = Site({"repo1": facts(cluster())}, repositories=[LOCAL])
    variables = role_defaults("repository")
    found = problems.of_repository_host(variables, site.hostvars, "repo1", ["tls"])
    assert found == [
        "repo1 is a repository host and has the cluster 15/main of postgres, but pgBackRest's directories on a host "
        "belong to one user: set pgbackrest_repository_user: postgres for repo1, or move the repository "
        "to a host of its "
        "own."
    ]
    variables["pgbackrest_repository_user"] = "postgres"
    assert problems.of_repository_host(variables, site.hostvars, "repo1", ["tls"]) == []
