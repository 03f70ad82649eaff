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
BACKUPS = [
    backup("20261115-020412F", 8 * DAY),
    backup(FULL, DAY + HOUR),
    backup(DIFF, HOUR),
    backup("20261122-023104F", DAY + HOUR // 2, 2),
    backup("20261122-023104F_20261123-023009D", HOUR // 2, 2),
]


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
    """What archiving_info says about a primary that archives."""
    archiver = {
        "last_archived_wal": "000000030000001200000049",
        "last_archived_time": NOW - 34,
        "failed_count": 0,
        "last_failed_wal": None,
        "last_failed_time": None,
    }
    return {"item": "main", "archiver": archiver, "waiting": 0, "problems": [], **other}


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


SCHEDULED = [
    scheduled("full", "Sun 02:00", 5 * DAY + 23 * HOUR, DAY + HOUR // 2),
    scheduled("diff", "Mon..Sat 02:00", 23 * HOUR, HOUR // 2),
]


def schedule(schedules: t.Sequence[Record] = SCHEDULED) -> Record:
    return {"item": "main", "schedules": list(schedules)}


def host(name: str, role: str, **other: t.Any) -> Record:
    """What a host says."""
    cluster = {
        "stanza": "main",
        "hosts": ["db1", "db2"],
        "name": "17/main",
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
        "trouble": "",
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


