# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Playbook backup: what a survey asks for, where each backup runs, and what is said afterwards."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.pgops.pgbackrest.plugins.plugin_utils._backup_jobs import jobs, request, summary

Record = dict[str, t.Any]
LOCAL: Record = {"number": 1, "type": "posix", "host": "", "path": "/backup"}
REMOTE: Record = {"number": 1, "type": "posix", "host": "backup1", "path": "/backup"}
S3: Record = {"number": 2, "type": "s3", "host": "", "path": "/main"}
ANY = {"stanza": "", "repo": None}


def cluster(role: str = "primary", stanza: str = "main", repositories: t.Sequence[Record] = (LOCAL,)) -> Record:
    return {
        "stanza": stanza,
        "role": role,
        "owner": "postgres",
        "hosts": ["db1", "db2"],
        "repositories": repositories,
        "repository_host": repositories[0]["host"],
    }


def places(found: Record) -> dict[str, list[tuple[str, int, str, str | None]]]:
    return {
        host: [(job["stanza"], job["repo"], job["host"], job["user"]) for job in mine]
        for host, mine in found["hosts"].items()
    }


@pytest.mark.parametrize("empty", ["", None])
def test_nothing_asked_for_is_an_incremental_backup_of_everything(empty: t.Any) -> None:
    assert request(dict.fromkeys(("type", "stanza", "repo", "max_age", "annotations"), empty)) == {
        "type": "incr",
        "stanza": "",
        "repo": None,
        "max_age": None,
        "annotations": {},
        "problems": [],
    }


def test_a_survey_gives_text() -> None:
    given = {"type": "full", "repo": "2", "stanza": " main ", "max_age": " 24h ", "annotations": "a=x=y, b = 2,"}
    wanted = request(given)
    assert wanted == {
        "type": "full",
        "stanza": "main",
        "repo": 2,
        "max_age": "24h",
        "annotations": {"a": "x=y", "b": "2"},
        "problems": [],
    }
    assert request({"annotations": {"ticket": 42}, "repo": 1})["annotations"] == {"ticket": "42"}


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"type": "ful"}, "backup_type must be full, diff or incr, but is 'ful'."),
        ({"repo": "repo1"}, "backup_repo must be the number of a repository such as 1, or empty, but is 'repo1'."),
        ({"repo": "0"}, "backup_repo must be the number of a repository such as 1, or empty, but is '0'."),
        (
            {"max_age": "yesterday"},
            "backup_max_age: 'yesterday' is not an age: write a whole number with s, m, h, d or w, such as 24h or 7d.",
        ),
        (
            {"annotations": "release 42"},
            "backup_annotations: 'release 42' needs a name without = and a value, as in reason=release 42.",
        ),
        (
            {"annotations": {"reason": None}},
            "backup_annotations: 'reason' needs a name without = and a value, as in reason=release 42.",
        ),
        (
            {"annotations": ["reason"]},
            "backup_annotations must be a mapping or text such as reason=release 42,by=ann, but is a list.",
        ),
    ],
)
def test_bad_input(given: Record, sentence: str) -> None:
    assert request(given)["problems"] == [sentence]


def test_all_problems_of_the_input_at_once() -> None:
    assert len(request({"type": "x", "repo": "x", "max_age": "x", "annotations": "x"})["problems"]) == 4


def test_without_repository_host_the_primary_takes_it() -> None:
    found = jobs({"db1": [cluster("standby")], "db2": [cluster("primary")]}, ANY)
    assert places(found) == {"db1": [], "db2": [("main", 1, "db2", "postgres")]}
    assert found["words"] == ["db1 takes no backup of main, db2 does."]
    assert found["problems"] == []


def test_a_repository_host_takes_all_of_them() -> None:
    found = jobs({"db1": [cluster(repositories=[REMOTE, S3])]}, ANY)
    assert places(found) == {"db1": [("main", 1, "backup1", None), ("main", 2, "backup1", None)]}
    assert found["words"] == []


def test_a_repository_host_is_asked_once_even_without_a_primary_in_the_play() -> None:
    found = jobs({"db2": [cluster("standby", repositories=[REMOTE])]}, ANY)
    assert places(found) == {"db2": [("main", 1, "backup1", None)]}
    assert found["problems"] == []
    both = jobs({"db1": [cluster("standby", repositories=[REMOTE])], "db2": [cluster(repositories=[REMOTE])]}, ANY)
    assert places(both) == {"db1": [], "db2": [("main", 1, "backup1", None)]}


@pytest.mark.parametrize("others", [{}, {"db2": cluster("standby")}])
def test_a_restored_cluster_that_nobody_has_opened_is_no_standby(others: dict[str, Record]) -> None:
    paused = {"name": "17/main", "recovery": "target", "running": True}
    clusters = {"db1": [{**cluster("standby"), **paused}], **{host: [each] for host, each in others.items()}}
    found = jobs(clusters, ANY)
    (problem,) = found["problems"]
    assert problem.startswith("Stanza main can have no backup now. PostgreSQL 17/main on db1 was restored and is")
    assert not any(found["hosts"].values())
    # With a repository host it is tried, so the other stanzas get theirs, and the reason stands with the result.
    found = jobs({"db1": [{**cluster("standby", repositories=[REMOTE]), **paused}]}, ANY)
    assert found["problems"] == []
    assert found["words"][0].startswith("PostgreSQL 17/main on db1 was restored and is paused at its recovery target")


def test_one_stanza_and_one_repository() -> None:
    mine = [cluster(stanza="app", repositories=[LOCAL, S3]), cluster(stanza="web")]
    assert places(jobs({"db1": mine}, {"stanza": "app", "repo": 2})) == {"db1": [("app", 2, "db1", "postgres")]}
    assert places(jobs({"db1": mine}, ANY)) == {
        "db1": [("app", 1, "db1", "postgres"), ("app", 2, "db1", "postgres"), ("web", 1, "db1", "postgres")]
    }


@pytest.mark.parametrize(
    ("clusters", "wanted", "sentence"),
    [
        (
            {"db1": [cluster(stanza="web")]},
            {"stanza": "wbe", "repo": None},
            "No host of this play has stanza wbe, only web. Correct backup_stanza or the limit.",
        ),
        ({"db1": []}, ANY, "No host of this play has a stanza. Correct the limit or the inventory."),
        (
            {"db1": [cluster(repositories=[LOCAL, S3])]},
            {"stanza": "", "repo": 3},
            "Stanza main has no repository 3, only 1 and 2. Correct backup_repo.",
        ),
        (
            {"db2": [cluster("standby")]},
            ANY,
            "Stanza main has no primary among db2. Add its primary to the limit, or promote one.",
        ),
        (
            {"db1": [cluster()], "db2": [cluster()]},
            ANY,
            "db1 and db2 are all primary of stanza main. Stop the wrong one.",
        ),
    ],
)
def test_backups_without_a_place(clusters: Record, wanted: Record, sentence: str) -> None:
    found = jobs(clusters, wanted)
    assert found["problems"] == [sentence]
    assert not any(found["hosts"].values())


TAKEN: Record = {
    "job": {"stanza": "main", "repo": 1, "host": "db1"},
    "changed": True,
    "failed": False,
    "msg": "Took it.",
    "age": 0,
    "backup": {
        "label": "20261122-205937F_20261122-205940I",
        "type": "incr",
        "repo_key": 1,
        "stop": 1795381182,
        "duration": 2,
        "size": 22992585,
        "repo_delta": 430,
    },
}
HELD: Record = {
    "job": TAKEN["job"],
    "stanzas": [{"windows": [{"repo_key": 1, "earliest": 1795381179}]}],
}


def test_summary_of_a_backup() -> None:
    found = summary([TAKEN], [HELD])
    assert found["lines"] == [
        "main, repository 1: incr 20261122-205937F_20261122-205940I",
        "  taken in 2 s, 430 B stored for 21.9 MiB of cluster",
        "  recoverable from 2026-11-22 20:59:39 UTC to at least 2026-11-22 20:59:42 UTC (3 s)",
    ]
    assert found["backups"] == [{"stanza": "main", "host": "db1", "taken": True, **TAKEN["backup"]}]


def test_summary_of_a_young_backup_of_a_prediction_and_of_a_failure() -> None:
    results = [
        {**TAKEN, "changed": False, "age": 3600},
        {**TAKEN, "backup": None, "msg": "Would take a full backup: there is no backup that counts as full."},
        {**TAKEN, "failed": True, "msg": "pgbackrest backup failed\nwith error 062."},
    ]
    found = summary(results, [])
    assert found["lines"] == [
        "main, repository 1: incr 20261122-205937F_20261122-205940I",
        "  none taken, this one is 1 h old, 430 B stored for 21.9 MiB of cluster",
        "main, repository 1: Would take a full backup: there is no backup that counts as full.",
        "main, repository 1: FAILED on db1. pgbackrest backup failed with error 062.",
    ]
    assert len(found["backups"]) == 1


def test_a_long_failure_is_wrapped() -> None:
    lines = summary([{**TAKEN, "failed": True, "msg": "unable to find primary cluster " * 8}], [])["lines"]
    assert len(lines) > 1 and max(map(len, lines)) <= 100 and all(line.startswith("  ") for line in lines[1:])
