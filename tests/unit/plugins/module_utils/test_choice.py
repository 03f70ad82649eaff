# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which backup serves."""

from __future__ import annotations

import json
import typing as t
from dataclasses import replace

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils._choice import Choice, candidates
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
SYSTEM = 7711103432488110519
FULL, INCR, SECOND = "20261122-205937F", "20261122-205937F_20261122-205940I", "20261122-205943F"


@pytest.fixture(name="stanza")
def stanza_fixture(fixture_text: Text) -> Stanza:
    """Two backups in repository 1, a newer one in repository 2."""
    return parse_info(json.loads(fixture_text("info_two_repositories_2.45.json")))[0]


@pytest.fixture(name="recorded")
def recorded_fixture(fixture_text: Text) -> t.Callable[[str], Stanza]:
    return lambda name: parse_info(json.loads(fixture_text(name), strict=False))[0]


def choose_backup(*args: t.Any) -> Choice:
    """The first choice that has a backup, what speaks against those before it as warnings; else all problems."""
    found = candidates(*args)
    served = next((number for number, choice in enumerate(found) if choice.backup), None)
    problems = [problem for choice in found[:served] for problem in choice.problems]
    if served is None:
        return Choice(None, problems)
    return replace(found[served], warnings=[problem.text() for problem in problems] + found[served].warnings)


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


def test_older_backups_that_serve_as_well_are_remembered(stanza: Stanza) -> None:
    by_repository = candidates(stanza, parse_target("default"), None, None, NOW)
    assert [(choice.repo, choice.backup and choice.backup.label) for choice in by_repository] == [
        (1, INCR),
        (2, SECOND),
    ]
    assert [backup.label for backup in by_repository[0].older] == [FULL]
    assert not candidates(stanza, parse_target("default"), "latest", None, NOW)[0].older
    assert not candidates(stanza, parse_target("default"), INCR, 1, NOW)[0].older


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
