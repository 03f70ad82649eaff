# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which backup serves, and what stands against a restore."""

from __future__ import annotations

import json
import typing as t
from dataclasses import replace

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils import _plan
from ansible_collections.pgops.pgbackrest.plugins.module_utils._choice import Choice, choose_backup
from ansible_collections.pgops.pgbackrest.plugins.module_utils._cluster import ControlData, Postmaster
from ansible_collections.pgops.pgbackrest.plugins.module_utils._directory import (
    BackupLabel,
    Directory,
    Place,
    Unfinished,
)
from ansible_collections.pgops.pgbackrest.plugins.module_utils._problem import PlanError
from ansible_collections.pgops.pgbackrest.plugins.module_utils._repository import (
    Archive,
    Backup,
    Database,
    Stanza,
    parse_info,
)
from ansible_collections.pgops.pgbackrest.plugins.module_utils._target import parse_target
from hypothesis import given, strategies as st

Text = t.Callable[[str], str]
NOW = 1795390000.0
PGDATA = "/srv/pg"
SYSTEM = 7711103432488110519
FULL, INCR, SECOND = "20261122-205937F", "20261122-205937F_20261122-205940I", "20261122-205943F"


@pytest.fixture(name="stanza")
def stanza_fixture(fixture_text: Text) -> Stanza:
    """Two backups in repository 1, a newer one in repository 2."""
    return parse_info(json.loads(fixture_text("info_two_repositories_2.45.json")))[0]


@pytest.fixture(name="recorded")
def recorded_fixture(fixture_text: Text) -> t.Callable[[str], Stanza]:
    return lambda name: parse_info(json.loads(fixture_text(name), strict=False))[0]


def chosen(choice: Choice) -> tuple[str | None, list[str]]:
    return (choice.backup.label if choice.backup else None), [problem.code for problem in choice.problems]


@pytest.mark.parametrize(
    ("kind", "value", "label", "repo", "expected"),
    [
        ("default", None, None, None, (INCR, [])),
        ("default", None, None, 2, (SECOND, [])),
        ("standby", None, FULL, None, (FULL, [])),
        ("default", None, SECOND, None, (SECOND, [])),
        ("default", None, "latest", None, (INCR, [])),
        ("default", None, "20200101-000000F", None, (None, ["set_unknown", "set_unknown"])),
        ("default", None, None, 3, (None, ["repository_unknown"])),
        # The full backup ended at 20:59:39, the incremental at 20:59:42.
        ("time", "2026-11-22 20:59:40.9Z", None, None, (FULL, [])),
        ("time", "2026-11-22 20:59:42.9Z", None, None, (FULL, [])),
        ("time", "2026-11-22 20:59:43Z", None, None, (INCR, [])),
        ("time", "2026-11-22 20:59:43Z", INCR, 1, (INCR, [])),
        ("time", "2026-11-22 20:59:42Z", INCR, 1, (None, ["set_after_target"])),
        ("time", "2026-11-22 20:59:39Z", None, None, (None, ["target_too_early", "target_too_early"])),
        ("time", "2026-11-22 20:59:39Z", None, 1, (None, ["target_too_early"])),
        ("lsn", "0/2000100", None, None, (FULL, [])),
        ("lsn", "0/4000050", None, None, (INCR, [])),
        ("lsn", "0/20000FF", None, None, (None, ["target_too_early", "target_too_early"])),
        ("xid", "745", None, None, (None, ["set_required"])),
        ("name", "release", None, None, (None, ["set_required"])),
        ("immediate", None, None, None, (None, ["set_required"])),
        ("xid", "745", "latest", None, (INCR, [])),
        ("xid", "745", FULL, None, (FULL, [])),
        ("xid", "745", None, 2, (SECOND, [])),
        ("time", "2027-01-01 00:00:00Z", None, None, (None, ["target_in_future"])),
    ],
)
def test_which_backup_serves(
    stanza: Stanza, kind: str, value: str | None, label: str | None, repo: int | None, expected: tuple[t.Any, t.Any]
) -> None:
    assert chosen(choose_backup(stanza, parse_target(kind, value), label, repo, NOW)) == expected


@given(st.integers(1795381170, 1795381200))
def test_the_newest_backup_that_ended_before_is_chosen(second: int) -> None:
    stops = [1795381175, 1795381180, 1795381190]
    backups = [backup_of(f"{number}F", stop) for number, stop in enumerate(stops)]
    stanza = stanza_of(backups)
    moment = parse_target("time", "2026-01-01 00:00:00Z").moment
    assert moment
    target = replace(parse_target("time", "2026-01-01 00:00:00Z"), moment=moment.fromtimestamp(second, moment.tzinfo))
    choice = choose_backup(stanza, target, None, None, NOW)
    before = [backup for backup in backups if backup.stop < second]
    assert choice.backup == (before[-1] if before else None)
    assert bool(choice.problems) != bool(choice.backup)


def backup_of(label: str, stop: int, error: bool | None = False) -> Backup:
    segment = "000000010000000000000002"
    return Backup(
        label, "full", None, 1, 1, stop - 2, stop, "0/2000028", "0/2000100", segment, segment, 100, 100, 10, 10, error
    )


def stanza_of(backups: list[Backup], wal_max: str = "000000010000000000000009") -> Stanza:
    data = {"name": "main", "status": {"code": 0, "message": "ok"}, "repo": [], "db": []}
    empty = parse_info([data])[0]
    repo = [{"key": 1, "cipher": "none", "status": {"code": 0, "message": "ok"}}]
    return replace(
        empty,
        repositories=parse_info([{**data, "repo": repo}])[0].repositories,
        databases=[Database(1, 1, SYSTEM, "15")],
        archives=[Archive(1, 1, "15-1", "000000010000000000000001", wal_max)],
        backups=backups,
    )


def test_damaged_backups_are_passed_over_unless_named() -> None:
    stanza = stanza_of([backup_of("1F", 1795381175), backup_of("2F", 1795381180, error=True)])
    target = parse_target("default")
    assert chosen(choose_backup(stanza, target, None, None, NOW)) == ("1F", [])
    named = choose_backup(stanza, target, "2F", None, NOW)
    assert chosen(named) == ("2F", [])
    assert "page checksum errors" in named.warnings[0]
    only = stanza_of([backup_of("2F", 1795381180, error=True)])
    assert chosen(choose_backup(only, target, None, None, NOW)) == (None, ["backup_damaged"])


def test_a_newer_timeline_makes_a_target_ambiguous() -> None:
    stanza = stanza_of([backup_of("1F", 1795381175)], wal_max="000000020000000000000009")
    target = ("time", "2026-11-22 21:00:00Z")
    assert chosen(choose_backup(stanza, parse_target(*target), None, None, NOW)) == (None, ["timeline"])
    for timeline in ("current", "latest", "2"):
        assert chosen(choose_backup(stanza, parse_target(*target, timeline=timeline), None, None, NOW))[0] == "1F"
    assert chosen(choose_backup(stanza, parse_target("default"), None, None, NOW))[0] == "1F"
    late = stanza_of([replace(backup_of("1F", 1), wal_start="000000030000000000000002")])
    old = parse_target("default", timeline="2")
    assert chosen(choose_backup(late, old, None, None, NOW)) == (None, ["timeline"])


def test_wal_of_the_backup_must_be_in_the_archive() -> None:
    stanza = stanza_of([backup_of("1F", 1795381175)], wal_max="000000010000000000000001")
    assert chosen(choose_backup(stanza, parse_target("default"), None, None, NOW)) == (None, ["wal_missing"])
    assert chosen(choose_backup(stanza, parse_target("none"), None, None, NOW))[0] == "1F"


def test_backups_of_an_older_cluster_are_only_taken_by_name(recorded: t.Callable[[str], Stanza]) -> None:
    stanza = recorded("info_upgraded_2.45.json")
    code = ["older_cluster", "older_cluster"]
    usable = replace(stanza, backups=[backup for backup in stanza.backups if not backup.error])
    assert chosen(choose_backup(usable, parse_target("default"), None, None, NOW)) == (None, code)
    named = choose_backup(usable, parse_target("default"), FULL, None, NOW)
    assert chosen(named) == (FULL, [])
    assert "older cluster" in named.warnings[0]


def test_an_unusable_repository_is_passed_over_with_a_warning(recorded: t.Callable[[str], Stanza]) -> None:
    stanza = recorded("info_wrong_passphrase_2.45.json")
    choice = choose_backup(stanza, parse_target("default"), None, None, NOW)
    assert chosen(choice) == ("20261122-205949F", [])
    assert "repo2-cipher-pass" in choice.warnings[0]
    assert chosen(choose_backup(stanza, parse_target("default"), None, 2, NOW)) == (None, ["repository_unusable"])


def test_stanzas_that_are_not_there(recorded: t.Callable[[str], Stanza]) -> None:
    assert chosen(choose_backup(None, parse_target("default"), None, None, NOW)) == (None, ["stanza_missing"])
    missing = choose_backup(recorded("info_missing_2.45.json"), parse_target("default"), None, None, NOW)
    assert missing.backup is None
    assert "whether its file system is mounted" in missing.problems[0].text()
    empty = choose_backup(recorded("info_empty_2.45.json"), parse_target("default"), None, None, NOW)
    assert empty.backup is None and empty.problems


# ---- the places

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
    assert plan.text()[:3] == [
        "Restore of stanza main to /srv/pg (delta: what differs is overwritten, what is not in the backup is deleted)",
        "from   full backup 1F of repository 1, ended 2026-11-22 20:59:35+00:00",
        f"to     {plan.request.target.sentence()}",
    ]
    assert plan.text()[3].startswith("over   /srv/pg: cluster ")
    assert plan_of(REQUEST, DONE).text() == ["Nothing to do: /srv/pg already holds this restore of stanza main."]


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


@pytest.mark.parametrize(("request_", "directory", "method"), [(DELTA, CLUSTER, "delta"), (DELTA, UNFINISHED, "delta")])
def test_delta_only_where_something_is(request_: _plan.Request, directory: Directory, method: str) -> None:
    assert plan_of(request_, directory).to_dict()["method"] == method
    assert plan_of(request_, EMPTY).to_dict()["method"] == "full"
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
    assert plan_of(REQUEST, EMPTY, DETAILS, places=apart).space == {"needed": 100, "free": 120, "reused": 0}
    reused = {key: replace(value, occupied=20) for key, value in small.items()}
    assert plan_of(DELTA, CLUSTER, DETAILS, places=reused).space["reused"] == 40
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
    assert plan.to_dict()["method"] == "none"
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
