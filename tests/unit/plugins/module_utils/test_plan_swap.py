# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan as a whole: its identity, a swap, room, who else looks after the cluster, its words."""

from __future__ import annotations

import typing as t
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils import _plan
from ansible_collections.pgops.pgbackrest.plugins.module_utils._archive import Archived, Run
from ansible_collections.pgops.pgbackrest.plugins.module_utils._choice import Choice
from ansible_collections.pgops.pgbackrest.plugins.module_utils._cluster import ControlData, Postmaster
from ansible_collections.pgops.pgbackrest.plugins.module_utils._directory import Directory, Place, Unfinished
from ansible_collections.pgops.pgbackrest.plugins.module_utils._problem import PlanError
from ansible_collections.pgops.pgbackrest.plugins.module_utils._programs import Programs
from ansible_collections.pgops.pgbackrest.plugins.module_utils._proof import Proof, Route, Seen, find_route, prove
from ansible_collections.pgops.pgbackrest.plugins.module_utils._repository import Backup, Database
from ansible_collections.pgops.pgbackrest.plugins.module_utils._rescue import Rescue
from ansible_collections.pgops.pgbackrest.plugins.module_utils._target import parse_target
from ansible_collections.pgops.pgbackrest.plugins.module_utils._wal import HistoryEntry
from ansible_collections.pgops.pgbackrest.plugins.module_utils._waldump import End

MIB, GIB = 1024**2, 1024**3
SIZE = 16 * MIB
PGDATA, STAMP = "/srv/pg", "20261123T030000Z"
SYSTEM = 7711103432488110519
STOP = datetime(2026, 11, 22, 20, 59, 35, tzinfo=UTC)
DETAILS = {
    "databases": [{"name": "postgres", "oid": 5}, {"name": "shop", "oid": 16388}],
    "tablespaces": [{"name": "fast", "oid": 16384, "destination": "/mnt/fast"}],
    "links": [{"name": "pg_wal", "destination": "/wal"}],
    "damaged_files": [],
}
BACKUP = Backup(
    "20261122-205935F",
    "full",
    None,
    1,
    1,
    int(STOP.timestamp()) - 2,
    int(STOP.timestamp()),
    "0/2000028",
    "0/2000100",
    "000000010000000000000002",
    "000000010000000000000002",
    30 * MIB,
    30 * MIB,
    4 * MIB,
    4 * MIB,
    False,
    details={"tablespaces": [], "links": [], "databases": [], "damaged_files": []},
)
FULL = replace(BACKUP, details=DETAILS)
DATABASE = Database(1, 1, SYSTEM, "15")
CONTROL = ControlData(SYSTEM, "15", "shut down", 0x4000028, 0x4000028, 1)
CLUSTER = Directory(PGDATA, "cluster", "postgres", pg_version="15", control=CONTROL)
EMPTY = Directory(PGDATA, "empty", "postgres")
TARGET = parse_target("time", "2026-11-22 21:00:00Z", action="promote")
DELTA = _plan.Request("main", PGDATA, TARGET, delta=True, workspace="/srv/pg.restore")
SWAP = replace(DELTA, delta=False, swap=True, stamp=STAMP)


def place(path: str, **changes: t.Any) -> Place:
    return replace(Place(path, True, True, True, 1, 100 * GIB), **changes)


def proof_of(request: _plan.Request, timeline: int = 1, newest: int = 9) -> Proof:
    archived = Archived((Run(1, 1, newest), Run(2, 5, newest)), {2: int(STOP.timestamp()) + 1000}, {1: 1, 2: 2 * 10**9})
    target = replace(request.target, timeline=str(timeline) if request.target.type == "default" else None)
    route = find_route(Choice(BACKUP), target, archived, [], {2: [HistoryEntry(1, 5 * SIZE, "")]}, None, SIZE)
    assert isinstance(route, Route), route
    end = End(STOP.replace(hour=22), newest * SIZE, newest * SIZE)
    return prove(route, target, Seen(end), False)


def facts_of(request: _plan.Request, directory: Directory, backup: Backup, **changes: t.Any) -> _plan.Facts:
    filled = directory.state not in ("empty", "missing")
    places: dict[t.Any, Place] = {None: place(PGDATA, empty=not filled, occupied=31 * MIB if filled else 0)}
    for destination in _plan.destinations(request, backup):
        path = _plan.absolute(PGDATA, destination)
        if path:
            places[destination] = place(path)
    facts = _plan.Facts(
        directory,
        places,
        "postgres",
        PGDATA,
        parent=place("/srv"),
        workspace=place("/srv/pg.restore/data"),
        programs=Programs("/usr/lib/postgresql/15/bin", True, True),
    )
    return replace(facts, **changes)


def plan_of(
    request: _plan.Request, directory: Directory = CLUSTER, backup: Backup = BACKUP, **changes: t.Any
) -> _plan.Plan:
    proof = changes.pop("proof", proof_of(request))
    return _plan.make_plan(request, Choice(backup), DATABASE, facts_of(request, directory, backup, **changes), proof)


def codes_of(*args: t.Any, **kwargs: t.Any) -> list[str]:
    with pytest.raises(PlanError) as error:
        plan_of(*args, **kwargs)
    assert all(problem.sentence.endswith(".") and problem.hint for problem in error.value.problems)
    return [problem.code for problem in error.value.problems]


# ---- identity


def test_the_identity_is_that_of_the_decisions() -> None:
    first = plan_of(SWAP)
    assert first.id.startswith("20261122-205935F-")
    assert len(first.id) == len("20261122-205935F-") + 8
    same = [
        plan_of(replace(SWAP, stamp="20991231T235959Z")),
        plan_of(replace(SWAP, plan_only=True)),
        plan_of(replace(SWAP, allow_unproven=True)),
        plan_of(replace(SWAP, plan_id=first.id)),
        plan_of(SWAP, proof=proof_of(SWAP, newest=20)),
        plan_of(SWAP, EMPTY),
        plan_of(SWAP, replace(CLUSTER, control=replace(CONTROL, state="in production", checkpoint_lsn=1))),
        plan_of(SWAP, workspace=place("/srv/pg.restore/data", free=50 * GIB)),
        plan_of(SWAP, rescue=Rescue("/srv/pg.restore/rescued/1", {"000000010000000000000010": "x"}, (), SIZE)),
    ]
    assert {plan.id for plan in same} == {first.id}


@pytest.mark.parametrize(
    "changes",
    [
        {"swap": False, "delta": True},
        {"target": parse_target("time", "2026-11-22 21:00:01Z", action="promote")},
        {"target": parse_target("time", "2026-11-22 21:00:00Z", action="pause")},
        {"target": parse_target("time", "2026-11-22 21:00:00Z", action="promote", exclusive=True)},
        {"target": parse_target("default")},
        {"stanza": "other"},
        {"link_map": {"pg_wal": "/elsewhere"}},
        {"archive_mode": "off"},
        {"recovery_options": {"recovery_min_apply_delay": "5"}},
    ],
)
def test_another_decision_is_another_plan(changes: dict[str, t.Any]) -> None:
    assert plan_of(replace(SWAP, **changes)).id != plan_of(SWAP).id
    assert codes_of(replace(SWAP, plan_id=plan_of(SWAP).id, **changes)) == ["plan_changed"]


def test_the_timeline_the_backup_and_tablespaces_are_decisions() -> None:
    request = replace(SWAP, target=parse_target("default"))
    ids = {
        plan_of(request, proof=proof_of(request, timeline=1)).id,
        plan_of(request, proof=proof_of(request, timeline=2)).id,
        plan_of(request, backup=replace(BACKUP, repo_key=2)).id,
        plan_of(request, backup=FULL).id,
        plan_of(replace(request, link_all=True), backup=FULL).id,
        plan_of(replace(request, tablespace_map={"fast": "/mnt/other"}), backup=FULL).id,
        plan_of(replace(request, db_exclude=["shop"]), backup=FULL).id,
    }
    assert len(ids) == 7
    restamped = replace(request, stamp="20991231T235959Z")
    assert plan_of(restamped, backup=FULL).id == plan_of(request, backup=FULL).id


def test_passwords_are_no_part_of_the_identity() -> None:
    one, other = (
        plan_of(replace(SWAP, recovery_options={"primary_conninfo": f"host=a password={secret}"})).id
        for secret in ("geheim", "offen")
    )
    assert one == other


def test_a_plan_that_was_not_approved_is_refused() -> None:
    approved = plan_of(SWAP).id
    assert plan_of(replace(SWAP, plan_id=approved)).id == approved
    with pytest.raises(PlanError, match="it starts from backup set 20261123-010000F") as error:
        plan_of(replace(SWAP, plan_id=approved), backup=replace(BACKUP, label="20261123-010000F"))
    assert [problem.code for problem in error.value.problems] == ["plan_changed"]


# ---- swap


def test_a_swap_keeps_the_old_directory() -> None:
    plan = plan_of(SWAP)
    assert (plan.mode, plan.delta, plan.overwrites) == ("swap", False, [])
    assert plan.to_dict()["keeps"] == f"/srv/pg.before-{STAMP}"
    linked = plan_of(SWAP, replace(CLUSTER, home="/disk/pg"))  # /srv/pg is a symbolic link
    assert linked.keeps == f"/disk/pg.before-{STAMP}"
    assert plan_of(SWAP, EMPTY).to_dict()["keeps"] is None
    assert plan_of(DELTA).to_dict()["keeps"] is None


def test_tablespaces_of_a_swap_come_beside_the_present_ones() -> None:
    request = replace(SWAP, link_all=True)
    linked = replace(CLUSTER, tablespaces={"16384": "/mnt/fast"}, links={"pg_wal": "/wal"}, wal_link="/wal")
    plan = plan_of(request, linked, FULL)
    assert [destination.path for destination in plan.destinations] == [f"/mnt/fast.{STAMP}", f"/wal.{STAMP}"]
    mapped = replace(request, tablespace_map={"fast": "/mnt/fast"})
    facts = facts_of(mapped, linked, FULL)
    places = {
        key: replace(value, empty=False) if key and key.name == "fast" else value for key, value in facts.places.items()
    }
    assert codes_of(mapped, linked, FULL, places=places) == ["place_not_empty"]


@pytest.mark.parametrize(
    ("directory", "changes", "expected"),
    [
        (CLUSTER, {"parent": place("/srv", writable=False)}, ["not_writable"]),
        (Directory(PGDATA, "other", "postgres"), {}, ["not_a_cluster"]),
        (replace(CLUSTER, control=replace(CONTROL, system_identifier=1)), {}, ["foreign_cluster"]),
        (Directory(PGDATA, "unfinished", "postgres", unfinished=Unfinished("1F", 1)), {}, ["foreign_cluster"]),
        (replace(CLUSTER, postmaster=Postmaster(7, 5432, None, "ready", True)), {}, ["running"]),
        (replace(CLUSTER, postmaster=Postmaster(7, 5432, None, "ready", False)), {}, ["stale_pid"]),
        (CLUSTER, {"workspace": place("/srv/pg.restore/data", free=20 * MIB)}, ["space"]),
    ],
)
def test_what_stands_against_a_swap(directory: Directory, changes: dict[str, t.Any], expected: list[str]) -> None:
    assert codes_of(SWAP, directory, **changes) == expected


def test_a_broken_cluster_can_be_swapped_because_it_is_kept() -> None:
    plan = plan_of(SWAP, replace(CLUSTER, control=None))
    assert "does not say which cluster it holds" in plan.warnings[0]
    assert codes_of(DELTA, replace(CLUSTER, control=None)) == ["unknown_cluster"]


# ---- room


def test_room_is_needed_for_wal_and_for_what_is_rescued() -> None:
    rescue = Rescue("/srv/pg.restore/rescued/1", {"a": "x", "b": "y"}, ("b",), 2 * SIZE)
    space = plan_of(SWAP, rescue=rescue).space
    assert (space.needed, space.wal, space.rescue) == (30 * MIB + 8 * SIZE + SIZE, 8 * SIZE, SIZE)
    much = plan_of(SWAP, proof=proof_of(SWAP, newest=5000)).space
    assert much.wal == GIB


def test_in_place_what_is_overwritten_makes_room_but_not_in_a_swap() -> None:
    few = {None: place(PGDATA, free=140 * MIB, occupied=31 * MIB, empty=False)}
    assert plan_of(DELTA, places=few).space.reused == 31 * MIB
    assert codes_of(SWAP, places=few, workspace=place("/srv/pg.restore/data", free=140 * MIB)) == ["space"]
    begun = place("/srv/pg.restore/data", free=140 * MIB, occupied=29 * MIB)  # an earlier run came that far
    assert plan_of(SWAP, places=few, workspace=begun).space.reused == 29 * MIB


def test_file_systems_are_not_summed_up() -> None:
    request = replace(DELTA, link_all=True)
    linked = replace(CLUSTER, tablespaces={"16384": "/mnt/fast"}, links={"pg_wal": "/wal"})
    names: dict[t.Any, tuple[int, int]] = {None: (1, 31 * MIB), "fast": (2, 5 * MIB), "pg_wal": (3, 1 * MIB)}
    facts = facts_of(request, linked, FULL)

    def spread(free: int) -> dict[t.Any, Place]:
        return {
            key: replace(found, device=names[key and key.name][0], occupied=names[key and key.name][1], free=free)
            for key, found in facts.places.items()
        }

    plan = plan_of(request, linked, FULL, places=spread(GIB))
    assert [(system.path, system.needed // MIB) for system in plan.space.file_systems] == [
        (PGDATA, 24),
        ("/mnt/fast", 5),
        ("/wal", 1 + 8 * 16),
    ]
    assert not plan.warnings
    tight = plan_of(request, linked, FULL, places=spread(100 * MIB))
    assert tight.warnings == [
        "There may be too little room on /wal: 129.0 MiB needed, 100.0 MiB free and 1.0 MiB in files that it "
        "replaces, if tablespaces were as large in the backup as they are now."
    ]
    assert codes_of(request, linked, FULL, places=spread(30 * MIB)) == ["space"]


# ---- who else looks after the cluster


@pytest.mark.parametrize("request_", [DELTA, SWAP])
@pytest.mark.parametrize(
    ("directory", "changes", "expected"),
    [
        (replace(CLUSTER, patroni=True), {}, ["patroni"]),
        (replace(CLUSTER, signals=("standby.signal",)), {}, ["standby"]),
        (replace(CLUSTER, signals=("recovery.conf",), settings={"standby_mode": "on"}), {}, ["standby"]),
        (CLUSTER, {"running": {"command": "backup", "percent": 5.0}}, ["backup_running"]),
        (CLUSTER, {"programs": Programs(None)}, ["binaries_missing"]),
        (CLUSTER, {"programs": Programs("/x", False, True)}, ["binaries_missing"]),
        (replace(CLUSTER, wal_link="/wal"), {}, ["pg_wal_link"]),
    ],
)
def test_what_is_refused_in_place_and_in_a_swap(
    request_: _plan.Request, directory: Directory, changes: dict[str, t.Any], expected: list[str]
) -> None:
    assert codes_of(request_, directory, **changes) == expected


def test_a_standby_may_be_rebuilt_and_a_copy_made_beside_a_backup() -> None:
    standby = replace(DELTA, target=parse_target("standby"))
    following = replace(CLUSTER, signals=("standby.signal",))
    assert plan_of(standby, following, running={"command": "backup"}, proof=None)
    assert plan_of(DELTA, configured_pgdata="/srv/original", running={"command": "backup"})
    assert plan_of(DELTA, running={"command": "restore"})
    assert plan_of(replace(DELTA, allow_unproven=True), programs=Programs(None))


def test_a_linked_pg_wal_stays_a_link_or_nothing_happens() -> None:
    linked = replace(CLUSTER, wal_link="/wal", tablespaces={"16384": "/mnt/fast"})
    with pytest.raises(PlanError, match="Set link_all: true to keep the link"):
        plan_of(DELTA, linked, FULL)
    assert plan_of(replace(DELTA, link_all=True), linked, FULL)
    with pytest.raises(PlanError, match=r"The backup does not know the link. Map it: link_map: \{pg_wal: /wal\}"):
        plan_of(replace(DELTA, link_all=True), replace(linked, tablespaces={}))
    assert plan_of(replace(DELTA, link_map={"pg_wal": "/wal"}), replace(linked, tablespaces={}))


NEWER = {"16384": "/mnt/fast", "16400": "/mnt/new"}


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (DELTA, "A restore in place removes its link: its files would stay there and belong to no cluster, or be "),
        (SWAP, "Recovery that passes its creation would overwrite it, and the old directory, which still needs it, "),
    ],
)
def test_tablespaces_that_are_newer_than_the_backup(request_: _plan.Request, reason: str) -> None:
    newer = replace(CLUSTER, tablespaces=NEWER)
    with pytest.raises(PlanError) as error:
        plan_of(request_, newer, FULL)
    assert [problem.code for problem in error.value.problems] == ["tablespace_newer"]
    text = "The tablespace 16400 at /mnt/new is newer than backup set 20261122-205935F. "
    assert text + reason in str(error.value)
    assert "remove the link /srv/pg/pg_tblspc/16400" in str(error.value)
    standby = plan_of(replace(request_, target=parse_target("standby")), newer, FULL, proof=None)
    assert any("The tablespace 16400 at /mnt/new is newer than the backup" in text for text in standby.warnings)
    assert plan_of(request_, newer, replace(FULL, details=None))  # nothing is known


def test_a_copy_must_not_write_into_a_tablespace_of_its_original() -> None:
    copy = replace(DELTA, target=parse_target("default"), archive_mode="off", tablespace_map_all="/copy")
    known = {"configured_pgdata": "/srv/original", "original_tablespaces": NEWER}
    assert codes_of(copy, EMPTY, FULL, **known) == ["tablespace_newer"]
    assert plan_of(copy, EMPTY, FULL, **{**known, "original_tablespaces": {"16384": "/mnt/fast"}})
    # nothing is replayed that came after the backup
    assert plan_of(replace(copy, target=parse_target("immediate")), EMPTY, FULL, proof=None, **known)


# ---- words


def test_the_proof_decides_with_all_other_problems() -> None:
    late = replace(DELTA, target=parse_target("time", "2026-11-22 23:00:00Z"))
    assert codes_of(late, replace(CLUSTER, patroni=True)) == ["patroni", "target_after_last_commit"]


def test_a_plan_with_everything_reads_like_a_page() -> None:
    rescue = Rescue("/srv/pg.restore/rescued/77", {"000000010000000000000010": "x"}, (), SIZE)
    options = {"primary_conninfo": "host=a password=geheim"}
    plan = plan_of(replace(SWAP, link_all=True, recovery_options=options), backup=FULL, rescue=rescue)
    assert plan.text() == [
        f"Plan {plan.id}: restore of stanza main to /srv/pg",
        "  how        beside the old directory (swap), which then makes way and is kept",
        "  from       full backup 20261122-205935F of repository 1, ended 2026-11-22 20:59:35+00:00, 30.0 MiB",
        "  to         time 2026-11-22 21:00:00+00:00 on timeline 1, then promote",
        "  timeline   1, because it was in use at the target time: timeline 2 began 2026-11-22 21:16:15+00:00",
        "  window     2026-11-22 20:59:35+00:00 to 2026-11-22 22:59:35+00:00 can be reached from this backup",
        "  replay     at most WAL 000000010000000000000002 to 000000010000000000000009: 8 segments, 128.0 MiB",
        "  rescue     1 WAL file that no repository has, 16.0 MiB, kept in /srv/pg.restore/rescued/77",
        f"  keep       /srv/pg, 31.0 MiB (cluster {SYSTEM}, PostgreSQL 15, shut down, timeline 1, checkpoint",
        f"             0/4000028), as /srv/pg.before-{STAMP}",
        f"  tablespace fast to /mnt/fast.{STAMP}",
        f"  link       pg_wal to /wal.{STAMP}",
        "  space      /srv/pg.restore/data: 174.0 MiB needed, 100.0 GiB free",
        "  setting    primary_conninfo = host=a password=********",
    ]
    assert all(len(line) <= 110 for line in plan.text())
    only = plan_of(replace(plan.request, plan_only=True), backup=FULL, rescue=rescue)
    assert only.text() == [line.replace(STAMP, "<time>") for line in plan.text()] != plan.text()
    assert only.id == plan.id and only.keeps == plan.keeps
    assert plan.options()["target_timeline"] == "1"
    assert plan.to_dict()["window"]["latest_time"] == "2026-11-22 22:59:35+00:00"
