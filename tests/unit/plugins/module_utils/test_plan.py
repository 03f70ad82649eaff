# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What stands against a restore."""

from __future__ import annotations

import typing as t
from dataclasses import replace

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils import _plan
from ansible_collections.pgops.pgbackrest.plugins.module_utils._choice import Choice
from ansible_collections.pgops.pgbackrest.plugins.module_utils._cluster import ControlData, Postmaster
from ansible_collections.pgops.pgbackrest.plugins.module_utils._directory import (
    BackupLabel,
    Directory,
    Place,
    Unfinished,
)
from ansible_collections.pgops.pgbackrest.plugins.module_utils._problem import PlanError
from ansible_collections.pgops.pgbackrest.plugins.module_utils._repository import Backup, Database
from ansible_collections.pgops.pgbackrest.plugins.module_utils._target import parse_target

PGDATA = "/srv/pg"
SYSTEM = 7711103432488110519
CONTROL = ControlData(SYSTEM, "15", "shut down", 0x4000028, 0x4000028, 1)
CLUSTER = Directory(PGDATA, "cluster", "postgres", pg_version="15", control=CONTROL)
EMPTY = Directory(PGDATA, "empty", "postgres")
DATABASE = Database(1, 1, SYSTEM, "15")
REQUEST = _plan.Request("main", PGDATA)
DETAILS = {
    "databases": [{"name": "postgres", "oid": 5}, {"name": "shop", "oid": 16388}, {"name": "blog", "oid": 16389}],
    "tablespaces": [{"name": "fast", "oid": 16384, "destination": "/mnt/fast"}],
    "links": [{"name": "pg_wal", "destination": "/wal"}],
    "damaged_files": [],
}


def backup_of(label: str, stop: int, error: bool | None = False) -> Backup:
    segment = "000000010000000000000002"
    return Backup(
        label, "full", None, 1, 1, stop - 2, stop, "0/2000028", "0/2000100", segment, segment, 100, 100, 10, 10, error
    )


def place(path: str, **changes: t.Any) -> Place:
    return replace(Place(path, True, True, True, 1, 1000), **changes)


def facts_of(request: _plan.Request, directory: Directory, backup: Backup, **changes: t.Any) -> _plan.Facts:
    places: dict[t.Any, Place] = {None: place(PGDATA, empty=directory.state in ("empty", "missing"))}
    for destination in _plan.destinations(request, backup):
        path = _plan.absolute(PGDATA, destination)
        if path:
            places[destination] = place(path)
    return replace(_plan.Facts(directory, places, "postgres", PGDATA), **changes)


def plan_of(
    request: _plan.Request = REQUEST, directory: Directory = EMPTY, details: t.Any = None, **changes: t.Any
) -> _plan.Plan:
    backup = replace(backup_of("1F", 1795381175), details=details or {})
    facts = facts_of(request, directory, backup, **changes)
    return _plan.make_plan(request, Choice(backup), DATABASE, facts)


def codes_of(*args: t.Any, **kwargs: t.Any) -> list[str]:
    with pytest.raises(PlanError) as error:
        plan_of(*args, **kwargs)
    return [problem.code for problem in error.value.problems]


DELTA = replace(REQUEST, delta=True)
SWAP = replace(REQUEST, swap=True, stamp="20260501T124500Z")
FOREIGN = replace(CLUSTER, control=replace(CONTROL, system_identifier=1))
UNFINISHED = Directory(PGDATA, "unfinished", "postgres", unfinished=Unfinished("1F", SYSTEM))
OTHER = Directory(PGDATA, "other", "postgres")


@pytest.mark.parametrize(
    ("request_", "directory", "expected"),
    [
        (REQUEST, CLUSTER, ["not_empty"]),
        (REQUEST, UNFINISHED, ["unfinished"]),
        (REQUEST, OTHER, ["not_empty"]),
        (DELTA, OTHER, ["not_a_cluster"]),
        (DELTA, FOREIGN, ["foreign_cluster"]),
        (DELTA, replace(CLUSTER, control=None), ["unknown_cluster"]),
        (DELTA, replace(UNFINISHED, unfinished=Unfinished("1F", 1)), ["foreign_cluster"]),
        (DELTA, replace(UNFINISHED, unfinished=Unfinished(None, None)), ["unknown_cluster"]),
        (DELTA, replace(CLUSTER, postmaster=Postmaster(7, 5432, None, "ready", True)), ["running"]),
        (DELTA, replace(CLUSTER, postmaster=Postmaster(7, 5432, None, "ready", False)), ["stale_pid"]),
        (DELTA, Directory(PGDATA, "file"), ["not_a_directory"]),
        (DELTA, Directory(PGDATA, "closed", "oracle", owned=False), ["owner"]),
        (replace(DELTA, pgdata="/"), replace(EMPTY, path="/"), ["path"]),
        (replace(REQUEST, db_include=["none"]), EMPTY, ["database_unknown"]),
        (replace(REQUEST, tablespace_map={"x": "/y"}), EMPTY, ["tablespace_unknown"]),
        (replace(REQUEST, target=parse_target("none"), archive_mode="off"), EMPTY, ["recovery_options"]),
    ],
)
def test_what_stands_against_it(request_: _plan.Request, directory: Directory, expected: list[str]) -> None:
    assert codes_of(request_, directory) == expected


def test_a_plan_may_be_made_while_the_cluster_runs_but_only_a_plan() -> None:
    running = replace(CLUSTER, postmaster=Postmaster(7, 5432, None, "ready", True))
    plan = plan_of(replace(DELTA, plan_only=True), running)
    assert plan.warnings == [
        "PostgreSQL runs on /srv/pg (process 7, port 5432), and a running cluster is never overwritten. "
        "The plan holds once it is stopped."
    ]
    assert codes_of(DELTA, running) == ["running"]


def test_a_plan_reads_like_a_page() -> None:
    plan = plan_of(DELTA, CLUSTER)
    assert plan.text() == [
        f"Plan {plan.id}: restore of stanza main to /srv/pg",
        "  how        in place (delta): what differs from the backup is overwritten, what is not in it is deleted",
        "  from       full backup 1F of repository 1, ended 2026-11-22 20:59:35+00:00, 100 B",
        "  to         the end of the archived WAL",
        f"  overwrite  /srv/pg: cluster {SYSTEM}, PostgreSQL 15, shut down, timeline 1, checkpoint 0/4000028,",
        "             0 B",
        "  space      /srv/pg: 100 B needed, 1000 B free",
    ]
    assert plan_of(REQUEST, DONE).text() == ["Nothing to do: /srv/pg already holds this restore of stanza main."]


def test_what_is_restored_in_place_must_archive_afterwards() -> None:
    read_only = {1: "/repo/archive/main"}
    empty = replace(REQUEST, plan_only=True)  # on a new disk, in check mode
    for request in (DELTA, SWAP, empty):
        directory = EMPTY if request is empty else CLUSTER
        assert codes_of(request, directory, read_only=read_only) == ["repository_read_only"]
        assert plan_of(request, directory).warnings == []
        assert not plan_of(replace(request, archive_mode="off"), directory, read_only=read_only).warnings
    assert plan_of(replace(DELTA, target=parse_target("standby")), CLUSTER, read_only=read_only)
    assert plan_of(DELTA, DONE, read_only=read_only).done
    with pytest.raises(PlanError) as error:
        plan_of(DELTA, CLUSTER, read_only={2: "/nfs/archive/main", **read_only})
    assert [problem.sentence for problem in error.value.problems] == [
        f"postgres cannot write to {archive}, the archive of repository {key}: the restored cluster could not archive, "
        "and not be backed up."
        for key, archive in ((1, "/repo/archive/main"), (2, "/nfs/archive/main"))
    ]


def test_a_copy_says_whose_copy_it_is() -> None:
    read_only = {1: "/repo/archive/main"}
    plan = plan_of(DELTA, EMPTY, configured_pgdata="/srv/original", read_only=read_only)
    assert plan.to_dict()["copy_of"] == "/srv/original"
    assert "is not pg1-path of stanza main (/srv/original)" in plan.warnings[0]
    assert plan_of(DELTA, EMPTY).to_dict()["copy_of"] is None


def test_all_problems_come_at_once() -> None:
    running = replace(FOREIGN, postmaster=Postmaster(7, 5432, None, "ready", True))
    request = replace(DELTA, db_include=["none"])
    with pytest.raises(PlanError) as error:
        plan_of(request, running, locked=True, stop_file="/l/main.stop", stop_blocks_archive_get=True)
    assert [problem.code for problem in error.value.problems] == [
        "locked",
        "running",
        "stopped",
        "foreign_cluster",
        "database_unknown",
    ]
    assert str(error.value).startswith("The restore is refused: 1) Another restore works on /srv/pg.")
    assert all(problem.sentence.endswith(".") for problem in error.value.problems)


@pytest.mark.parametrize(("request_", "directory", "mode"), [(DELTA, CLUSTER, "delta"), (DELTA, UNFINISHED, "delta")])
def test_delta_only_where_something_is(request_: _plan.Request, directory: Directory, mode: str) -> None:
    assert plan_of(request_, directory).to_dict()["mode"] == mode
    assert plan_of(request_, EMPTY).to_dict()["mode"] == "full"
    assert plan_of(request_, EMPTY).options()["delta"] is False


def test_destinations_and_maps() -> None:
    request = replace(REQUEST, tablespace_map_all="/ts", link_map={"pg_wal": "../wal"})
    plan = plan_of(request, details=DETAILS)
    assert plan.to_dict()["tablespaces"] == [
        {"name": "fast", "oid": 16384, "original": "/mnt/fast", "path": "/ts/fast"}
    ]
    assert plan.to_dict()["links"] == [{"name": "pg_wal", "original": "/wal", "path": "../wal"}]
    assert _plan.absolute(PGDATA, plan.destinations[1]) == "/srv/wal"
    by_oid = plan_of(replace(request, tablespace_map={"16384": "/by/oid"}), details=DETAILS)
    assert by_oid.destinations[0].path == "/by/oid"
    plain = plan_of(details=DETAILS)
    assert "pg_wal is a symbolic link to /wal in the backup" in plain.warnings[0]
    assert codes_of(replace(REQUEST, tablespace_map={"fast": "beside"}), EMPTY, DETAILS) == ["path", "place_shared"]
    assert plain.destinations[0].path == "/mnt/fast"
    assert plain.destinations[1].path is None
    assert plan_of(replace(REQUEST, link_all=True), details=DETAILS).destinations[1].path == "/wal"


def test_a_tablespace_of_somebody_else_is_never_overwritten() -> None:
    backup = replace(backup_of("1F", 1795381175), details=DETAILS)
    facts = facts_of(DELTA, CLUSTER, backup)
    full = {key: replace(value, empty=False) for key, value in facts.places.items()}
    assert codes_of(DELTA, CLUSTER, DETAILS, places=full) == ["place_not_empty"]
    linked = replace(CLUSTER, tablespaces={"16384": "/mnt/fast"})
    assert plan_of(DELTA, linked, DETAILS, places=full).delta
    inside = replace(DELTA, tablespace_map={"fast": f"{PGDATA}/fast"})
    assert codes_of(inside, CLUSTER, DETAILS) == ["place_shared"]


def test_space_is_counted_once_per_file_system() -> None:
    backup = replace(backup_of("1F", 1795381175), details=DETAILS)
    facts = facts_of(REQUEST, EMPTY, backup)
    small = {key: replace(value, free=60) for key, value in facts.places.items()}
    assert codes_of(REQUEST, EMPTY, DETAILS, places=small) == ["space"]
    apart = {key: replace(value, device=number) for number, (key, value) in enumerate(small.items())}
    assert plan_of(REQUEST, EMPTY, DETAILS, places=apart).space.to_dict() == {
        "needed": 100,
        "free": 120,
        "reused": 0,
        "wal": 0,
        "rescue": 0,
        "file_systems": [
            {"path": "/srv/pg", "needed": 100, "free": 60, "reused": 0},
            {"path": "/mnt/fast", "needed": 0, "free": 60, "reused": 0},
        ],
    }
    reused = {key: replace(value, occupied=20) for key, value in small.items()}
    assert plan_of(DELTA, CLUSTER, DETAILS, places=reused).space.reused == 40
    left_out = replace(REQUEST, db_include=["shop"])
    assert plan_of(left_out, EMPTY, DETAILS, places=small).zeroed() == {16389}


def test_places_must_be_writable() -> None:
    backup = replace(backup_of("1F", 1795381175), details=DETAILS)
    closed = {key: replace(value, writable=False) for key, value in facts_of(REQUEST, EMPTY, backup).places.items()}
    assert codes_of(REQUEST, EMPTY, DETAILS, places=closed) == ["not_writable", "not_writable"]


def test_a_stop_file_matters_where_it_blocks_archive_get() -> None:
    assert codes_of(stop_file="/l/main.stop", stop_blocks_archive_get=True) == ["stopped"]
    assert "cannot archive" in plan_of(stop_file="/l/main.stop").warnings[0]


def test_archive_mode_off_needs_postgresql_12() -> None:
    request = replace(REQUEST, archive_mode="off")
    backup = backup_of("1F", 1795381175)
    old = replace(DATABASE, version="11")
    with pytest.raises(PlanError, match="needs PostgreSQL 12"):
        _plan.make_plan(request, Choice(backup), old, facts_of(request, EMPTY, backup))
    assert plan_of(request).settings() == {"archive_mode": "off"}


def test_options_of_pgbackrest() -> None:
    target = parse_target("time", "2026-11-22 21:00:00Z", timeline="latest", action="promote")
    request = replace(DELTA, target=target, db_include=["shop"], recovery_options={"primary_conninfo": "password=x"})
    options = {key: value for key, value in plan_of(request, CLUSTER, DETAILS).options().items() if value is not None}
    assert options == {
        "repo": 1,
        "set": "1F",
        "delta": True,
        "type": "time",
        "target": "2026-11-22 21:00:00+00:00",
        "target_timeline": "latest",
        "target_action": "promote",
        "db_include": ["shop"],
    }


DONE = replace(
    CLUSTER,
    backup_label=BackupLabel("0/2000028", "000000010000000000000002"),
    signals=("recovery.signal",),
    settings={"restore_command": 'pgbackrest --stanza=main archive-get %f "%p"'},
)


def test_a_finished_restore_is_recognised() -> None:
    plan = plan_of(REQUEST, DONE)
    assert plan.done
    assert plan.to_dict()["mode"] == "none"
    running = replace(DONE, postmaster=Postmaster(7, 5432, None, "ready", True))
    assert codes_of(REQUEST, running) == ["running"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"backup_label": None}, "backup_label is not that of backup set 1F"),
        ({"backup_label": BackupLabel("0/3000028", "000000010000000000000003")}, "backup_label is not"),
        ({"unfinished": Unfinished("1F", SYSTEM)}, "backup.manifest is there"),
        ({"control": None}, "pg_control is not that of cluster"),
        ({"pg_version": "14"}, "PG_VERSION says 14, not 15"),
        ({"signals": ()}, "no recovery file instead of recovery.signal"),
        ({"signals": ("recovery.signal", "standby.signal")}, "has recovery.signal, standby.signal instead"),
        ({"settings": None}, "restore_command does not read from stanza main"),
        ({"settings": {**(DONE.settings or {}), "recovery_target_xid": "5"}}, "settings differ: recovery_target_xid"),
        ({"tablespaces": {}}, "tablespace fast is not at /mnt/fast"),
        ({"links": {"pg_wal": "/wal"}}, "link pg_wal is not at None"),
    ],
)
def test_differences_are_named(changes: dict[str, t.Any], sentence: str) -> None:
    linked = replace(DONE, tablespaces={"16384": "/mnt/fast"})
    plan = plan_of(DELTA, linked, DETAILS)
    assert plan.done
    assert any(sentence in text for text in _plan.differences(plan, replace(linked, **changes)))


def test_databases_left_out_before_are_a_difference() -> None:
    linked = replace(DONE, tablespaces={"16384": "/mnt/fast"}, zeroed=frozenset({16389}))
    assert not plan_of(DELTA, linked, DETAILS).done
    assert plan_of(replace(DELTA, db_exclude=["blog"]), linked, DETAILS).done


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("host=a password=geheim user=b", "host=a password=******** user=b"),
        ("host=a password = 'it\\'s so' user=b", "host=a password = ******** user=b"),
        ("postgresql://rep:geheim@db1/x", "postgresql://rep:********@db1/x"),
        ("get --repo1-s3-key-secret=abc %f", "get --repo1-s3-key-secret=******** %f"),
        ("host=a user=b", "host=a user=b"),
    ],
)
def test_secrets_are_masked(value: str, expected: str) -> None:
    assert _plan.mask_settings({"x": value}) == {"x": expected}
    masked_away = {secret for secret in _plan.secrets_in({"x": value}) if secret in expected}
    assert not masked_away


@pytest.mark.parametrize("name", ["recovery_target_time", "standby_mode", "archive_mode", "a b", "x'y"])
def test_recovery_options_that_must_not_be(name: str) -> None:
    assert len(_plan.option_problems({name: "v"})) == 1
    assert len(_plan.option_problems({"primary_conninfo": "a\nb"})) == 1
    assert _plan.option_problems({"primary_conninfo": "host=a", "my.setting": "1"}) == []
