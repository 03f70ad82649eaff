# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""With which configuration a clone is made, and what stands in its own."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils._config_rules import problems as rule_problems
from ansible_collections.pgops.pgbackrest.plugins.plugin_utils._clone_configuration import configuration, sections

POSIX = {"type": "posix", "path": "/backup", "cipher-pass": "open sesame"}
S3 = {"type": "s3", "path": "/main", "s3-bucket": "b", "s3-endpoint": "e", "s3-region": "r", "s3-key": "k"}
FACTS: dict[str, t.Any] = {"pgbackrest": {"version": "2.45"}, "cpus": 4, "configuration": [], "clusters": []}
WANTED: dict[str, t.Any] = {"stanza": "main", "config": "", "directory": "/clones/ci", "clone": {}}


def found(facts: dict[str, t.Any] | None = None, config: str = "", **variables: t.Any) -> dict[str, t.Any]:
    given = {f"pgbackrest_{name}": value for name, value in variables.items()}
    return configuration({**WANTED, "config": config}, given, {**FACTS, **(facts or {})}, "ci1")


def test_file_that_is_named_is_taken() -> None:
    assert found(config="/srv/ci.conf") == {"file": "/srv/ci.conf", "own": False, "problems": []}


def test_configuration_of_the_host_is_taken() -> None:
    files = [{"path": "/etc/pgbackrest/conf.d/main.conf", "stanzas": ["main"]}]
    assert found({"configuration": files}, repositories=[POSIX]) == {"file": None, "own": False, "problems": []}


def test_other_hosts_get_a_file_of_their_own() -> None:
    files = [{"path": "/etc/pgbackrest/conf.d/other.conf", "stanzas": ["other"]}]
    own = {"file": "/clones/ci/pgbackrest.conf", "own": True, "problems": []}
    assert found({"configuration": files}, repositories=[POSIX, S3]) == own
    assert found(clusters=[{"stanza": "main", "repositories": [S3]}]) == own


REFUSED: dict[str, tuple[dict[str, t.Any], str]] = {
    "no repository": (
        {},
        "ci1 has no configuration of pgBackRest for a clone of the stanza main. Give pgbackrest_repositories",
    ),
    "a repository host": (
        {"repositories": [{"host": "backup1", **POSIX}]},
        "the repository lies on backup1, which lets only hosts in that it knows.",
    ),
    "no list": ({"repositories": "x"}, "pgbackrest_repositories"),
    "no type": ({"repositories": [{"path": "/backup"}]}, "pgbackrest_repositories[0] has neither type nor host"),
    "an empty secret": ({"repositories": [{**POSIX, "cipher-pass": ""}]}, "cipher-pass is empty."),
}


@pytest.mark.parametrize(("variables", "sentence"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_work(variables: dict[str, t.Any], sentence: str) -> None:
    problems = found(**variables)["problems"]
    assert len(problems) == 1, problems
    assert sentence in problems[0]


def test_own_file_holds_what_a_clone_needs() -> None:
    options = {"pg-port": 5433, "compress-level": 3, "backup": {"process-max": 2}, "restore": {"process-max": 3}}
    variables = {"pgbackrest_repositories": [POSIX], "pgbackrest_options": options}
    made = sections(WANTED, variables, FACTS, "/clones/ci/pgbackrest")
    assert set(made) == {"global", "main", "main:restore", "main:archive-get"}
    assert made["global"] == {
        "log-path": "/clones/ci/pgbackrest/log",
        "lock-path": "/clones/ci/pgbackrest/lock",
        "spool-path": "/clones/ci/pgbackrest/spool",
    }
    assert made["main"]["pg1-path"] == "/clones/ci/data"
    assert "pg1-port" not in made["main"]
    assert (made["main"]["repo1-path"], made["main"]["repo1-cipher-pass"]) == ("/backup", "open sesame")
    assert made["main:restore"]["process-max"] == 3
    assert rule_problems(made, (2, 45), {}) == []


def test_clone_that_archives_has_its_own_file_everywhere() -> None:
    wanted = {**WANTED, "clone": {"archive_stanza": "ci-42"}}
    facts = {**FACTS, "configuration": [{"path": "/etc/pgbackrest/conf.d/main.conf", "stanzas": ["main"]}]}
    variables = {"pgbackrest_repositories": [POSIX]}
    assert configuration(wanted, variables, facts, "db1") == {
        "file": "/clones/ci/pgbackrest.conf",
        "own": True,
        "problems": [],
    }
    made = sections(wanted, variables, facts, "/clones/ci/pgbackrest")
    assert made["ci-42"]["pg1-path"] == "/clones/ci/data"
    assert made["ci-42"]["repo1-path"] == "/backup"
    assert rule_problems(made, (2, 45), {}) == []


def test_repositories_keep_their_numbers() -> None:
    clusters = [{"stanza": "other", "repositories": [POSIX]}, {"stanza": "main", "repositories": [S3, POSIX]}]
    made = sections(WANTED, {"pgbackrest_clusters": clusters}, {**FACTS, "pgbackrest": None}, "/clones/ci/pgbackrest")
    assert (made["main"]["repo1-type"], made["main"]["repo2-type"]) == ("s3", "posix")
