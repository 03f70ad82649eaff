# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Playbook status: from what hosts said to problems and text."""

from __future__ import annotations

import copy
import re
import typing as t
from pathlib import Path

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils._backup import last_backups
from ansible_collections.pgops.pgbackrest.plugins.module_utils._repository import parse_info
from ansible_collections.pgops.pgbackrest.plugins.plugin_utils._status import status
from ansible_collections.pgops.pgbackrest.plugins.plugin_utils._status_problems import longest_gap
from ansible_collections.pgops.pgbackrest.plugins.plugin_utils._status_text import WIDTH, lines_of

Record = dict[str, t.Any]
GUIDE = Path(__file__).resolve().parents[4] / "docs/status.md"

NOW = 1795403580  # 2026-11-23 03:13 UTC
DAY, HOUR = 86400, 3600
REPOSITORIES = [
    {"number": 1, "type": "posix", "host": "backup1", "path": "/backup"},
    {"number": 2, "type": "s3", "host": "", "path": "/main", "s3-bucket": "pg", "s3-endpoint": "s3.example.com"},
]
SCHEDULE = [{"type": "full", "calendar": "Sun 02:00"}, {"type": "diff", "calendar": "Mon..Sat 02:00"}]


def backup(label: str, age: int, repo: int = 1, **other: t.Any) -> Record:
    """A backup as pgbackrest info has it, which ended ``age`` seconds ago."""
    kind = {"F": "full", "D": "diff", "I": "incr"}[label[-1]]
    base = {
        "annotation": {},
        "archive": {"start": "000000030000001200000047", "stop": "000000030000001200000048"},
        "database": {"id": 1, "repo-key": repo},
        "error": False,
        "info": {
            "size": 128849018880,
            "delta": 1,
            "repository": {"delta": 32212254720 if kind == "full" else 1288490188},
        },
        "label": label,
        "prior": None if kind == "full" else label.split("_")[0],
        "reference": None,
        "timestamp": {"start": NOW - age - 720, "stop": NOW - age},
        "type": kind,
    }
    return {**base, **other}


FULL, DIFF = "20261122-020412F", "20261122-020412F_20261123-020731D"
BACKUPS = (
    backup("20261115-020412F", 8 * DAY),
    backup(FULL, DAY + HOUR),
    backup(DIFF, HOUR),
    backup("20261122-023104F", DAY + HOUR // 2, 2),
    backup("20261122-023104F_20261123-023009D", HOUR // 2, 2),
)


def info(
    backups: t.Sequence[Record] = BACKUPS, wal: t.Sequence[str | None] = ("000000030000001200000049",) * 2
) -> Record:
    """What backup_info says; ``wal`` are the ends of the archives."""
    raw = [
        {
            "name": "main",
            "status": {"code": 0, "message": "ok"},
            "repo": [{"key": key, "cipher": "aes-256-cbc", "status": {"code": 0, "message": "ok"}} for key in (1, 2)],
            "db": [{"id": 1, "repo-key": key, "system-id": 77111, "version": "17"} for key in (1, 2)],
            "archive": [
                {"database": {"id": 1, "repo-key": key}, "id": "17-1", "min": "000000030000001100000001", "max": end}
                for key, end in enumerate(wal, 1)
            ],
            "backup": list(backups),
        }
    ]
    stanza = parse_info(raw)[0]
    return {"item": "main", "stanzas": [{**stanza.to_dict(), "last": last_backups(stanza, NOW)}]}


def archiving(**other: t.Any) -> Record:
    """What archiving_info says about a primary that archives; ``other`` is about its archiver."""
    archiver = {
        "last_archived_wal": "000000030000001200000049",
        "last_archived_time": NOW - 34,
        "last_archived_age": 34,
        "failed_count": 0,
        "last_failed_wal": None,
        "last_failed_age": None,
        "failing": False,
        **other,
    }
    return {"item": "main", "in_recovery": False, "archiver": archiver, "waiting": 0, "problems": []}


def scheduled(kind: str, when: str, upcoming: int, success: int, **other: t.Any) -> Record:
    """A scheduled backup as schedule_info has it; times are seconds from now."""
    base = {
        "name": kind,
        "type": kind,
        "repos": [],
        "schedule": [when],
        "unit": f"pgbackrest-main-{kind}.timer",
        "active": True,
        "running": False,
        "next_run": NOW + upcoming,
        "last_run": {"result": "success", "started": NOW - success - 720},
        "last_success": {"finished": NOW - success},
        "problems": [],
    }
    return {**base, **other}


SCHEDULED = (
    scheduled("full", "Sun 02:00", 5 * DAY + 23 * HOUR, DAY + HOUR // 2),
    scheduled("diff", "Mon..Sat 02:00", 23 * HOUR, HOUR // 2),
)


def schedule(schedules: t.Sequence[Record] = SCHEDULED) -> Record:
    return {"item": "main", "schedules": list(schedules)}


def host(name: str, role: str, **other: t.Any) -> Record:
    """What a host says."""
    cluster = {
        "stanza": "main",
        "hosts": ["db1", "db2"],
        "name": "17/main",
        "unit": "postgresql@17-main",
        "role": role,
        "running": True,
        "pg_version": "17",
        "repositories": REPOSITORIES,
        "repository_host": "backup1",
        "backup_host": "backup1",
        "schedule": SCHEDULE,
    }
    cluster.update(other.pop("cluster", {}))
    base = {
        "host": name,
        "stanzas": ["main"],
        "hosts": ["db1", "db2"],
        "look": {"pgbackrest": {"version": "2.55.1"}},
        "clusters": [cluster],
        "info": [info()],
        "archiving": [archiving()] if role == "primary" else [],
        "schedule": [schedule()] if role == "primary" else [],
    }
    return {**base, **other}


def seen(primary: Record | None = None, standby: Record | None = None) -> list[Record]:
    return [host("db1", "primary", **(primary or {})), host("db2", "standby", **(standby or {}))]


def problems(*hosts: Record) -> list[str]:
    report = status(list(hosts), NOW)
    assert report["problems"] == [f"main: {problem}" for problem in report["stanzas"][0]["problems"]]
    assert report["healthy"] is (report["problems"] == [])
    return t.cast("list[str]", report["stanzas"][0]["problems"])


def test_a_healthy_stanza() -> None:
    report = status(seen(), NOW)
    assert report["healthy"] and report["problems"] == []
    first, second = report["stanzas"][0]["repositories"]
    assert first["last"]["full"]["label"] == FULL and first["last"]["incr"] is None and first["newest"] == DIFF
    assert first["backups"] == {"full": 2, "diff": 1, "incr": 0}
    assert first["stored"] == 2 * 32212254720 + 1288490188 and first["cluster_size"] == 128849018880
    assert first["window"]["from"] == NOW - 8 * DAY and first["window"]["to"] == NOW - 34
    assert first["window"]["seconds"] == 8 * DAY - 34 and second["window"]["from"] == NOW - DAY - HOUR // 2
    assert [host["role"] for host in report["stanzas"][0]["hosts"]] == ["primary", "standby"]
    assert [(entry["host"], entry["type"]) for entry in report["stanzas"][0]["schedule"]] == [
        ("backup1", "full"),
        ("backup1", "diff"),
    ]


def only(hosts: t.Sequence[Record], *parts: str) -> None:
    """These hosts have exactly one problem, with all these parts."""
    found = problems(*hosts)
    assert len(found) == 1, found
    for part in parts:
        assert part in found[0]


def test_a_host_that_is_down() -> None:
    down = {
        "look": {"unreachable": True, "msg": "Task failed: Failed to connect to the host via ssh:\n timed out"},
        "clusters": [],
        "info": [],
    }
    only(
        seen(standby=down),
        "db2 cannot be asked: Failed to connect to the host via ssh: timed out. ",
        "Look whether it is up",
    )
    report = status(seen(primary={**down, "archiving": [], "schedule": []}), NOW)
    assert [host["reached"] for host in report["stanzas"][0]["hosts"]] == [False, True]
    assert report["stanzas"][0]["archive"] is None and report["stanzas"][0]["repositories"][0]["newest"] == DIFF
    assert len(report["problems"]) == 1
    nobody = status([{**host, **down, "archiving": [], "schedule": []} for host in seen()], NOW)
    assert len(nobody["problems"]) == 2 and nobody["stanzas"][0]["repositories"] == []


def test_a_failed_connection_may_tell_its_reason_elsewhere() -> None:
    failed = {"failed": True, "msg": "No start of json char found", "module_stderr": "No such container: db2\n"}
    only(
        seen(standby={"look": failed, "clusters": [], "info": []}),
        "db2 cannot be asked: No start of json char found No such container: db2. ",
    )


def test_one_host_down_leaves_the_other_stanzas_alone() -> None:
    other = {
        **host("db3", "primary", look={"unreachable": True, "msg": "timed out"}, clusters=[], info=[]),
        "stanzas": ["web"],
        "hosts": ["db3"],
    }
    report = status([*seen(), other], NOW)
    assert [(stanza["stanza"], stanza["healthy"]) for stanza in report["stanzas"]] == [("main", True), ("web", False)]


def test_a_host_outside_the_play_is_no_problem() -> None:
    (primary, standby) = seen()
    assert problems(primary) == []
    assert problems(standby) == []
    assert "db1  not asked: outside this play" in "\n".join(lines_of(status([standby], NOW)))


def test_no_hosts_at_all() -> None:
    report = status([], NOW)
    assert not report["healthy"]
    assert lines_of(report) == ["No host of this play has a stanza. Look at the limit and at the inventory."]


def test_a_host_that_failed_before_is_a_problem() -> None:
    report = status(seen()[:1], NOW, ["db1", "db2"])
    assert not report["healthy"] and report["stanzas"][0]["healthy"]
    assert report["problems"] == [
        "db2 was not looked at, because something failed there earlier in this run. Look above for it."
    ]
    assert lines_of(report)[:2] == [*report["problems"], ""]
    assert not status(seen(), NOW, ["db1", "db2"])["general"]


def test_several_clusters_on_a_host() -> None:
    both = host("db1", "primary")
    both["stanzas"].append("web")
    both["clusters"].append({**both["clusters"][0], "stanza": "web", "hosts": ["db1"], "name": "17/web"})
    for name in ("info", "archiving", "schedule"):
        both[name].append({**both[name][0], "item": "web"})
    report = status([both], NOW)
    assert [stanza["hosts"][0]["cluster"] for stanza in report["stanzas"]] == ["17/main", "17/web"]
    assert lines_of(report).count("") == 1


@pytest.mark.parametrize(
    ("standby", "parts"),
    [
        (
            {
                "cluster": {"running": False},
                "archiving": [{"item": "main", "archiver": None, "in_recovery": None, "problems": ["It is down."]}],
            },
            ["PostgreSQL 17/main on db2 does not run", "Start it (systemctl start postgresql@17-main), and"],
        ),
        ({"clusters": [], "info": []}, ["db2 has no cluster of this stanza. Correct pgbackrest_clusters"]),
        (
            {"cluster": {"role": "primary"}, "archiving": [archiving()], "schedule": [schedule()]},
            ["db1 and db2 are all primary", "rebuild it as a standby"],
        ),
        (
            {"look": {"pgbackrest": {"version": "2.60.0"}}},
            ["The versions of pgBackRest differ: 2.55.1 on db1, 2.60.0 on db2. Install the same one"],
        ),
        (
            {"info": [{"item": "main", "failed": True, "msg": "This task runs as root"}]},
            ["db2 could not read the repositories: This task runs as root."],
        ),
        (
            {"archiving": [{**archiving(), "in_recovery": True, "problems": ["archive_command is empty. Run site."]}]},
            ["db2: archive_command is empty. Run site."],
        ),
    ],
)
def test_problems_of_a_host(standby: Record, parts: list[str]) -> None:
    only(seen(standby=standby), *parts)


def test_pgbackrest_is_missing() -> None:
    found = problems(*seen(standby={"look": {"pgbackrest": None}, "info": []}))
    assert found == ["pgBackRest is not installed on db2. Run the playbook site for it."]


def test_a_stanza_without_primary() -> None:
    only([host("db2", "standby", cluster={"hosts": ["db2"]})], "pgbackrest_hosts names only itself")
    only([host("db1", "standby"), host("db2", "standby")], "None of db1, db2 is primary. Promote one")


@pytest.mark.parametrize(
    ("running", "parts", "state"),
    [
        (True, ["is paused at its recovery target, or on its way there", "not protected"], "RECOVERS"),
        (False, ["does not run, and the recovery of its restore has not ended", "not protected"], "DOWN"),
    ],
)
@pytest.mark.parametrize("names", [["db1"], ["db1", "db2"]])
def test_a_restored_cluster_that_nobody_has_opened(
    names: list[str], running: bool, parts: list[str], state: str
) -> None:
    paused = {"role": "standby", "recovery": "target", "running": running, "hosts": names}
    hosts = [host("db1", "standby", cluster=paused), host("db2", "standby", cluster={"recovery": "standby"})]
    only(hosts[: len(names)], "PostgreSQL 17/main on db1", *parts, "run the playbook restore again")
    report = status(hosts[: len(names)], NOW)
    assert f"db1  {state}" in " ".join(lines_of(report))
    assert report["stanzas"][0]["hosts"][0]["recovery"] == "target"


def unread(key: int) -> Record:
    """Repository ``key`` cannot be read."""
    answer = copy.deepcopy(info())
    stanza = answer["stanzas"][0]
    stanza["repositories"][key - 1].update(status_code=99, status_message="[HostConnectError] refused", cipher="none")
    stanza["problems"] = [f"Repository {key}: [HostConnectError] refused. Check that it can be reached."]
    return answer


def test_a_repository_that_cannot_be_read() -> None:
    only(seen(standby={"info": [unread(2)]}), "db2, unlike another host, cannot read the repository. Repository 2: ")
    both = seen({"info": [unread(2)]}, {"info": [unread(2)]})
    assert problems(*both) == ["Repository 2: [HostConnectError] refused. Check that it can be reached."]
    text = " ".join(" ".join(lines_of(status(both, NOW))).split())
    assert "repo 2 s3: pg, s3.example.com, /main, encryption not known cannot be read archive" in text


def told(backups: t.Sequence[Record], **other: t.Any) -> list[Record]:
    """Both hosts read these backups."""
    return seen({"info": [info(backups, **other)]}, {"info": [info(backups, **other)]})


def test_no_backup_to_restore_from() -> None:
    found = problems(*told(BACKUPS[:3]))
    assert len(found) == 1 and found[0].startswith("Repository 2 has no usable backup of the present cluster")
    text = "\n".join(lines_of(status(told(BACKUPS[:3]), NOW)))
    assert "no backup" in text


def test_page_checksum_errors() -> None:
    damaged = backup(DIFF, HOUR, error=True)
    only(told([*BACKUPS[:2], damaged, *BACKUPS[3:]]), f"Backups with page checksum errors: {DIFF}.")


def test_a_backup_that_is_late() -> None:
    old = [BACKUPS[0], backup(FULL, 2 * DAY + 3 * HOUR), *BACKUPS[3:]]
    only(
        told(old),
        "The newest backup in repository 1 that counts as diff is 2 d 3 h old, though the schedule (Mon..Sat 02:00) "
        "lets at most 2 d pass.",
    )
    assert problems(*told([BACKUPS[0], backup(FULL, 2 * DAY + HOUR), *BACKUPS[3:]])) == []
    elsewhere = [schedule([SCHEDULED[0], {**SCHEDULED[1], "repos": [2]}])]
    assert problems(*seen({"info": [info(old)], "schedule": elsewhere}, {"info": [info(old)]})) == []
    running = [schedule([SCHEDULED[0], {**SCHEDULED[1], "running": True}])]
    assert problems(*seen({"info": [info(old)], "schedule": running}, {"info": [info(old)]})) == []


def test_a_schedule_with_a_problem_is_told_once() -> None:
    old = info([BACKUPS[0], backup(FULL, 3 * DAY), *BACKUPS[3:]])
    wrong = {**SCHEDULED[1], "problems": ["A backup was due, but none has run."], "last_run": {"result": "failure"}}
    hosts = seen({"info": [old], "schedule": [schedule([SCHEDULED[0], wrong])]}, {"info": [old]})
    assert problems(*hosts) == ["Scheduled diff backup on backup1: A backup was due, but none has run."]
    assert "LAST RUN FAILED, success 30 min ago" in " ".join(" ".join(lines_of(status(hosts, NOW))).split())


def test_schedules_that_are_missing() -> None:
    assert problems(*seen({"schedule": [schedule(SCHEDULED[:1])]})) == [
        "backup1 has no schedule for diff backups. Run the playbook site for it."
    ]
    refused = {"item": "main", "unreachable": True, "msg": "timed out"}
    assert problems(*seen({"schedule": [refused]})) == ["backup1 cannot be asked about scheduled backups: timed out."]
    assert "schedule    none seen" in "\n".join(lines_of(status(seen({"schedule": [refused]}), NOW)))


def test_none_is_missing_where_none_is_wanted() -> None:
    assert problems(*seen({"schedule": [schedule([])], "cluster": {"schedule": []}})) == []


def test_a_repository_that_lacks_wal() -> None:
    behind = info(wal=("000000030000001200000049", "000000030000001200000031"))
    found = problems(*seen({"info": [behind]}, {"info": [behind]}))
    assert len(found) == 1
    assert found[0].startswith(
        "Repository 2 ends with WAL segment 000000030000001200000031, but PostgreSQL on db1 has archived "
        "000000030000001200000049."
    )
    first, second = status(seen({"info": [behind]}, {"info": [behind]}), NOW)["stanzas"][0]["repositories"]
    assert first["window"]["to"] == NOW - 34 and second["window"]["to"] is None


@pytest.mark.parametrize("last", ["000000030000001200000049.00000028.backup", "00000003.history"])
def test_what_else_is_archived_is_no_newer_wal(last: str) -> None:
    assert problems(*seen({"archiving": [archiving(last_archived_wal=last)]})) == []


def test_archiving_that_fails() -> None:
    answer = archiving(failed_count=12, last_failed_wal="00000003000000120000004A", last_failed_age=40, failing=True)
    hosts = seen({"archiving": [{**answer, "waiting": 3, "problems": ["3 WAL files wait to be archived."]}]})
    assert problems(*hosts) == ["db1: 3 WAL files wait to be archived."]
    line = (
        "  archive     last 000000030000001200000049, 34 s ago; 3 waiting; 12 failed tries, last 40 s ago; FAILING NOW"
    )
    assert " ".join(line.split()) in " ".join(" ".join(lines_of(status(hosts, NOW))).split())


def test_what_a_module_does_is_done_by_a_playbook() -> None:
    told = [
        "archive_mode is off. Let it archive to the stanza main with the module pgops.pgbackrest.archiving.",
        "Repository 1: no valid backups. Take a backup with the module pgops.pgbackrest.backup.",
    ]
    assert problems(*seen({"archiving": [{**archiving(), "problems": told}]})) == [
        "db1: archive_mode is off. Let it archive to the stanza main with the playbook site.",
        "db1: Repository 1: no valid backups. Take a backup with the playbook backup.",
    ]


def test_a_long_error_is_shortened_in_the_text_only() -> None:
    long = f"3 WAL files wait. pgbackrest failed: {'unable to open a file ' * 40}. Create the stanza."
    hosts = seen({"archiving": [{**archiving(), "problems": [long]}]})
    assert problems(*hosts) == [f"db1: {long}"]
    lines = lines_of(status(hosts, NOW))[1:7]
    assert lines[0].startswith("  1. db1: 3 WAL files wait. pgbackrest failed: unable")
    assert lines[5].endswith("Create the stanza.") and " [...] " in " ".join(lines)


def plain(answer: Record, *keys: int) -> Record:
    """Repositories without encryption."""
    for key in keys:
        answer["stanzas"][0]["repositories"][key - 1]["cipher"] = "none"
    return answer


def test_encryption() -> None:
    open_ones = seen({"info": [plain(info(), 1, 2)]}, {"info": [plain(info(), 1, 2)]})
    found = problems(*open_ones)
    assert [text[:60] for text in found] == [
        "Repository 1 lies outside the host and is not encrypted. A c",
        "Repository 2 lies outside the host and is not encrypted. A c",
    ]
    local = {"repositories": [{"number": 1, "type": "posix", "host": "", "path": "/backup"}, REPOSITORIES[1]]}
    mine = {"info": [plain(info(), 1)], "cluster": local}
    assert problems(*seen(mine, mine)) == []


@pytest.mark.parametrize(
    ("calendar", "seconds"),
    [
        ("Sun 02:00", 7 * DAY),
        ("Mon..Sat 02:00", 2 * DAY),
        ("*-*-* 0/6:30", 6 * HOUR),
        ("0 2 1 * *", 31 * DAY),
        ("Mon 02:00; Thu 02:00", 4 * DAY),
        ("*-*~01 02:00", None),
    ],
)
def test_longest_gap(calendar: str, seconds: int | None) -> None:
    assert longest_gap(calendar) == seconds


def test_the_guide_shows_what_is_printed() -> None:
    shown = re.findall(r"```text\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    late_and_down = seen(
        {"info": [info([BACKUPS[0], backup(FULL, 2 * DAY + 3 * HOUR), *BACKUPS[3:]])]},
        {
            "look": {"unreachable": True, "msg": "Failed to connect to the host via ssh: timed out"},
            "clusters": [],
            "info": [],
        },
    )
    expected = ["\n".join(lines_of(status(hosts, NOW))) + "\n" for hosts in (seen(), late_and_down)]
    assert shown == expected


@pytest.mark.parametrize(
    "hosts",
    [seen(), told([]), [], seen({"info": [unread(1)]}, {"info": [], "look": {"failed": True, "msg": "x " * 200}})],
)
def test_no_line_is_too_wide(hosts: list[Record]) -> None:
    assert max(map(len, lines_of(status(hosts, NOW)))) <= WIDTH
