# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the archiver is judged; that it is read right is shown by the integration tests."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils import _archiver as archiver
from ansible_collections.pgops.pgbackrest.plugins.module_utils._archive_command import Program, archive_command

PROGRAM = Program("/usr/bin/pgbackrest", "main")
RIGHT = archive_command(PROGRAM)


def state(**more: t.Any) -> dict[str, t.Any]:
    settings = {"archive_mode": "on", "archive_command": RIGHT, "archive_library": "", "wal_level": "replica"}
    settings.update({name: more.pop(name) for name in list(more) if name in settings})
    calm = {"failing": False, "last_failed_wal": None, "last_failed_age": None}
    waiting = {"waiting": 0, "waiting_bytes": 0, "oldest_waiting_age": None}
    return {
        "settings": settings, "in_recovery": False, "pending_restart": [], "archiver": calm, **waiting, **more,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, ""),
        ({"archive_mode": "always"}, ""),
        ({"archive_command": "/opt/bin/pgbackrest --stanza=main archive-push %p"}, ""),
        ({"archive_mode": "off"}, "archive_mode is off, so nothing is archived. Let it archive to the stanza main"),
        (
            {"archive_mode": "off", "pending_restart": ["archive_mode"]},
            "archive_mode is off, so nothing is archived. It w",
        ),
        (
            {"archive_mode": "off", "in_recovery": True},
            "archive_mode is off, so this standby will archive nothing when",
        ),
        ({"archive_library": "basic_archive"}, "archive_library is set to basic_archive, which archives in place"),
        ({"archive_command": ""}, "archive_command is empty, so nothing is archived, and PostgreSQL keeps"),
        ({"archive_command": "cd ."}, "archive_command is «cd .», which throws the WAL away. Let it"),
        ({"archive_command": "a | b"}, "archive_command is «a | b»: a shell script, and not for the stanza. Let it"),
    ],
)
def test_settings(facts: dict[str, t.Any], expected: str) -> None:
    found = archiver.settings_problem(state(**facts), PROGRAM)
    assert found.startswith(expected) and bool(found) is bool(expected)


def test_before_postgresql_15_there_is_no_library() -> None:
    facts = state()
    del facts["settings"]["archive_library"]
    assert archiver.settings_problem(facts, PROGRAM) == ""


FAILING = {"failing": True, "last_failed_wal": "000000010000000000000027", "last_failed_age": 40}


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, ""),
        ({"waiting": 3, "oldest_waiting_age": 300}, ""),
        ({"waiting": 3, "oldest_waiting_age": 301}, "3 WAL files wait to be archived (48.0 MiB), the old"),
        ({"waiting": 1, "oldest_waiting_age": 2, "archiver": FAILING}, "1 WAL file waits to be arch"),
        ({"waiting": 0, "archiver": FAILING}, ""),
        ({"waiting": 9, "oldest_waiting_age": 999, "archive_mode": "off", "archiver": FAILING}, ""),
        ({"waiting": 9, "oldest_waiting_age": 999, "in_recovery": True}, ""),
        ({"waiting": 9, "oldest_waiting_age": 999, "in_recovery": True, "archive_mode": "always"}, "9 WAL files wait"),
        ({"waiting": 9, "oldest_waiting_age": None}, ""),
    ],
)  # fmt: skip
def test_waiting(facts: dict[str, t.Any], expected: str) -> None:
    found = archiver.waiting_problem(state(waiting_bytes=3 * 2**24, **facts), 300, "Because.")
    assert found.startswith(expected) and bool(found) is bool(expected)


def test_failure_is_told_with_its_reason() -> None:
    facts = state(waiting=2, waiting_bytes=2**25, oldest_waiting_age=130, archiver=FAILING)
    assert archiver.waiting_problem(facts, 300, "Because.") == (
        "2 WAL files wait to be archived (32.0 MiB), the oldest for 2 min 10 s. The last try failed 40 s ago at "
        "000000010000000000000027. PostgreSQL goes on trying, and keeps all WAL in pg_wal until it succeeds. Because."
    )


def test_why_it_fails(tmp_path: Path) -> None:
    assert archiver.why_it_fails({}, "main") == "PostgreSQL's log says why."
    options = {"archive-async": ["y"], "spool-path": [str(tmp_path)], "log-path": ["/log"]}
    assert archiver.why_it_fails(options, "main") == "/log/main-archive-push-async.log says why."
    out = tmp_path / "archive/main/out"
    out.mkdir(parents=True)
    (out / "000000010000000000000027.error").write_text("not a status")
    assert archiver.why_it_fails(options, "main") == "/log/main-archive-push-async.log says why."
    (out / "global.error").write_text("103\nunable to find a valid repository:\nrepo1: no\nHINT: look\nHINT: again")
    assert archiver.why_it_fails(options, "main") == (
        "pgbackrest archive-push failed with error 103 (repo-invalid): unable to find a valid repository: repo1: no. "
        "pgBackRest's hint: look; again. The repository belongs to another cluster or version. Check pg1-path and the "
        "stanza name; after an upgrade of PostgreSQL use the module pgops.pgbackrest.stanza."
    )
