# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is read from answers of ``pgbackrest info`` that were recorded with 2.45."""

from __future__ import annotations

import json
import time
import typing as t
from dataclasses import replace

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils._repository import (
    Backup,
    Stanza,
    find_stanza,
    iso_time,
    newest_backup,
    parse_info,
    parse_running,
    readable_reason,
    with_percent,
    without_raw_backups,
)

Read = t.Callable[[str], Stanza]


@pytest.fixture(name="read")
def read_fixture(fixture_text: t.Callable[[str], str]) -> Read:
    """The one stanza of a recorded answer."""

    def read(name: str) -> Stanza:
        stanzas = parse_info(json.loads(fixture_text(f"info_{name}_2.45.json"), strict=False))
        assert len(stanzas) == 1
        return stanzas[0]

    return read


def test_two_repositories(read: Read) -> None:
    stanza = read("two_repositories")
    assert (stanza.name, stanza.status_code, stanza.running) == ("main", 0, None)
    assert [(repository.key, repository.cipher) for repository in stanza.repositories] == [
        (1, "none"),
        (2, "aes-256-cbc"),
    ]
    assert [(backup.label, backup.repo_key, backup.type) for backup in stanza.backups] == [
        ("20261122-205937F", 1, "full"),
        ("20261122-205937F_20261122-205940I", 1, "incr"),
        ("20261122-205943F", 2, "full"),
    ]
    assert stanza.databases[0].system_id == 7711103432488110519
    assert stanza.databases[0].version == "15"
    assert stanza.problems() == []


def test_a_backup_in_full(read: Read) -> None:
    backup = read("two_repositories").backups[1].to_dict()
    assert backup == {
        "label": "20261122-205937F_20261122-205940I",
        "type": "incr",
        "prior": "20261122-205937F",
        "repo_key": 1,
        "database_id": 1,
        "start": 1795381180,
        "stop": 1795381182,
        "lsn_start": "0/3000028",
        "lsn_stop": "0/4000050",
        "wal_start": "000000010000000000000003",
        "wal_stop": "000000010000000000000004",
        "size": 22992585,
        "delta": 8458,
        "repo_size": 3056880,
        "repo_delta": 430,
        "error": False,
        "annotations": {},
        "references": ["20261122-205937F"],
        "details": None,
        "start_time": "2026-11-22 20:59:40+00:00",
        "stop_time": "2026-11-22 20:59:42+00:00",
        "duration": 2,
    }
    assert read("two_repositories").backups[0].annotations == {"reason": "before release"}


def test_details_come_with_one_set_only(read: Read) -> None:
    assert read("set").backups[0].details == {
        "databases": [{"name": "postgres", "oid": 5}],
        "tablespaces": [],
        "links": [],
        "damaged_files": [],
    }
    damaged = read("set_damaged").backups[0]
    assert damaged.error and damaged.details and damaged.details["damaged_files"]
    assert read("set_missing").backups == []


def test_tablespaces_of_a_set(read: Read) -> None:
    details = read("set_tablespace").backups[0].details
    assert details and details["tablespaces"] == [{"destination": "/srv/cluster/ts1", "name": "ts1", "oid": 16384}]
    assert details["databases"] == [{"name": "other", "oid": 16388}, {"name": "postgres", "oid": 5}]


def test_block_incremental_has_no_repository_size(read: Read) -> None:
    data = {"delta-map": 1, "size-map": 1, "delta": 430}
    stanza = read("two_repositories")
    assert stanza.backups[0].repo_size == 3056880
    element = {
        "name": "main",
        "status": {"code": 0, "message": "ok"},
        "backup": [
            {
                "label": "1F",
                "type": "full",
                "prior": None,
                "database": {"id": 1, "repo-key": 1},
                "timestamp": {"start": 1, "stop": 2},
                "archive": {"start": None, "stop": None},
                "info": {"size": 3, "delta": 3, "repository": data},
            }
        ],
    }
    backup = parse_info([element])[0].backups[0]
    assert (backup.repo_size, backup.repo_delta) == (None, 430)
    assert (backup.lsn_start, backup.wal_start, backup.error) == (None, None, None)


def test_damaged_backups_are_not_usable(read: Read) -> None:
    stanza = read("damaged")
    damaged = "20261122-205949F_20261122-210001I"
    assert damaged in [backup.label for backup in stanza.backups]
    assert damaged not in [backup.label for backup in stanza.usable_backups()]
    assert [backup.label for backup in stanza.usable_backups(2)] == ["20261122-205943F"]
    assert any(damaged in problem for problem in stanza.problems())


def test_the_window_begins_at_the_end_of_the_oldest_usable_backup(read: Read) -> None:
    first, second = read("two_repositories").windows()
    assert first == {
        "repo_key": 1,
        "earliest": 1795381179,
        "earliest_time": "2026-11-22 20:59:39+00:00",
        "earliest_lsn": "0/2000100",
        "earliest_backup": "20261122-205937F",
        "latest_backup": "20261122-205937F_20261122-205940I",
        "latest_timeline": 1,
        "latest_wal": "000000010000000000000006",
    }
    assert second["earliest_backup"] == "20261122-205943F"


def test_backups_become_records_while_the_answer_is_read(fixture_text: t.Callable[[str], str]) -> None:
    for name in ("two_repositories_2.45", "set_damaged_2.45", "upgraded_2.45", "running_2.60.0", "missing_2.45"):
        data = json.loads(fixture_text(f"info_{name}.json"))
        for backup in data[0]["backup"]:
            backup["annotation"] = {"label": "a", "timestamp": "1", "archive": "b"}
        found = json.loads(json.dumps(data), object_hook=without_raw_backups)
        assert all(isinstance(backup, Backup) for backup in found[0]["backup"])
        assert parse_info(found) == parse_info(data)


def test_the_latest_timeline_is_that_of_a_usable_backup_of_the_current_cluster(read: Read) -> None:
    stanza = read("two_repositories")
    first, second, third = stanza.backups
    promoted = replace(second, wal_start="00000003000000000000000A")
    later = replace(third, wal_start="0000000B000000000000000B")
    offline = replace(first, wal_start=None, lsn_start=None)

    def latest(*backups: Backup) -> list[int | None]:
        return [window["latest_timeline"] for window in replace(stanza, backups=list(backups)).windows()]

    assert latest(first, promoted, later) == [3, 11]
    assert latest(first, replace(promoted, error=True), offline) == [1]
    assert latest(first, replace(promoted, database_id=7)) == [1]
    assert latest(offline, third) == [None, 1]


def test_the_newest_backups_are_those_of_each_repository(read: Read) -> None:
    stanza = read("two_repositories")
    labels = [backup.label for backup in stanza.backups]
    listed = {count: [backup.label for backup in stanza.newest_backups(count)] for count in (None, 0, 1, 2)}
    assert listed == {None: labels, 0: [], 1: labels[1:], 2: labels}
    swapped = replace(stanza, backups=[replace(stanza.backups[0], stop=stanza.backups[2].stop), *stanza.backups[1:]])
    assert [backup.label for backup in swapped.newest_backups(1)] == [labels[0], labels[2]]  # by their ends


def test_an_upgraded_stanza_has_no_window_before_its_first_backup(read: Read) -> None:
    stanza = read("upgraded")
    database = stanza.current_database(1)
    assert database and (database.id, database.system_id) == (2, 7711103566102084655)
    assert stanza.windows() == []
    assert stanza.current_database(3) is None


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("wrong_passphrase", "Check repo2-cipher-type and repo2-cipher-pass"),
        ("missing", "If it is new, create it with the module pgops.pgbackrest.stanza."),
        ("empty", "Take a backup with the module pgops.pgbackrest.backup."),
    ],
)
def test_problems_are_sentences_with_a_next_step(read: Read, name: str, sentence: str) -> None:
    stanza = read(name)
    problems = stanza.problems()
    assert any(sentence in problem for problem in problems), problems
    assert all(problem.isprintable() for problem in problems), problems
    assert stanza.to_dict()["healthy"] is False


def test_wrongly_decrypted_bytes_are_never_shown(read: Read) -> None:
    message = read("wrong_passphrase").repositories[1].status_message
    reason = readable_reason(message)
    assert reason == (
        "unable to load info file '/srv/cluster/repo2/backup/main/backup.info' with the configured passphrase"
    )
    assert readable_reason("missing stanza path") is None


def test_a_running_backup(read: Read, fixture_text: t.Callable[[str], str]) -> None:
    stanza = read("running")
    assert stanza.running and stanza.running["command"] == "backup"
    percent = parse_running(fixture_text("info_running_2.45.txt"))
    assert set(percent) == {"main"}
    told = with_percent(stanza, percent).running
    assert told and 0 <= told["percent"] <= 100
    assert with_percent(read("full"), percent).running is None


def test_no_stanza_at_all() -> None:
    assert parse_info([]) == []
    assert find_stanza([], "main") is None
    assert newest_backup([]) is None


def test_the_newest_backup_is_the_one_that_ended_last(read: Read) -> None:
    stanza = read("two_repositories")
    found = newest_backup(reversed(stanza.backups))
    assert found and found.label == "20261122-205943F"
    assert find_stanza([stanza], "main") is stanza
    assert iso_time(found.stop) == "2026-11-22 20:59:46+00:00"


def test_a_thousand_backups_take_less_than_a_second(fixture_text: t.Callable[[str], str]) -> None:
    element = json.loads(fixture_text("info_two_repositories_2.45.json"))[0]
    element["backup"] = element["backup"][:1] * 1000
    text = json.dumps([element])
    started = time.monotonic()
    result = parse_info(json.loads(text))[0].to_dict()
    assert time.monotonic() - started < 1
    assert len(result["backups"]) == 1000
