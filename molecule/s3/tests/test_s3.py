# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An object store and, added later, a second repository on the database host."""

from __future__ import annotations

import json
import time

import pytest
from live import (
    On,
    add_rows,
    archived,
    as_postgres,
    backups,
    newest_segment,
    query,
    restored,
    rows,
    stanza_info,
    start_unit,
    wait_until_archived,
)

STORE, DISK = 1, 2
SCHEDULED = {
    "pgbackrest-main-full-repo1.timer",
    "pgbackrest-main-diff-repo1.timer",
    "pgbackrest-main-full-repo2.timer",
}


def test_both_repositories_are_encrypted_and_hold_a_backup(on: On) -> None:
    information = stanza_info(on("db1"))
    assert information["status"]["code"] == 0
    assert [(r["key"], r["cipher"], r["status"]["code"]) for r in information["repo"]] == [
        (STORE, "aes-256-cbc", 0),
        (DISK, "aes-256-cbc", 0),
    ]
    # The second one was seeded when it came; the first one got none for that.
    assert len(backups(information, STORE)) == 1
    assert len(backups(information, DISK)) == 1


def test_store_is_reached_with_its_certificate_checked(on: On) -> None:
    file = on("db1").file("/etc/pgbackrest/conf.d/main.conf").content_string
    assert "repo1-storage-ca-file=/usr/local/share/ca-certificates/s3.example.com.crt" in file
    assert "verify-tls" not in file
    without = on("db1").run(
        "cd / && runuser -u postgres -- pgbackrest --stanza=main --repo=1 --reset-repo1-storage-ca-file repo-ls"
    )
    assert without.rc != 0
    assert "unable to verify certificate" in without.stdout + without.stderr


def test_wal_arrives_in_both_repositories(on: On) -> None:
    segment = add_rows(on("db1"))
    wait_until_archived(on("db1"), segment)
    information = stanza_info(on("db1"))
    assert newest_segment(information, STORE) >= segment
    assert newest_segment(information, DISK) >= segment


def test_each_repository_has_its_own_schedule(on: On) -> None:
    timers = json.loads(on("db1").check_output("systemctl list-timers --all --output=json 'pgbackrest-*'"))
    assert {timer["unit"] for timer in timers} == SCHEDULED
    for timer in SCHEDULED:
        assert on("db1").service(timer).is_running
        assert on("db1").service(timer).is_enabled


@pytest.mark.parametrize(("unit", "repository"), [("diff-repo1", STORE), ("full-repo2", DISK)])
def test_scheduled_backup_goes_to_its_repository(on: On, unit: str, repository: int) -> None:
    before = stanza_info(on("db1"))
    start_unit(on("db1"), f"pgbackrest-main-{unit}.service")
    after = stanza_info(on("db1"))
    other = DISK if repository == STORE else STORE
    assert backups(after, repository)[-1] not in backups(before, repository)
    assert backups(after, other) == backups(before, other)
    if repository == DISK:  # which keeps one full backup
        assert len(backups(after, DISK)) == 1


@pytest.mark.parametrize("repository", [STORE, DISK])
def test_each_repository_alone_restores_everything(on: On, repository: int) -> None:
    wait_until_archived(on("db1"), add_rows(on("db1")))
    with restored(on("db1"), repository=repository) as port:
        assert rows(on("db1"), port=port) == rows(on("db1"))


def test_nothing_is_lost_while_the_store_is_away(on: On) -> None:
    on("store1").check_output("systemctl stop nginx")
    try:
        segments = [add_rows(on("db1")) for dummy in range(3)]
        time.sleep(5)
        # PostgreSQL keeps what has not arrived everywhere, and goes on working.
        assert not archived(on("db1"), segments[0])
        waiting = as_postgres(on("db1"), "ls /var/lib/postgresql/18/main/pg_wal/archive_status")
        assert {f"{segment}.ready" for segment in segments} <= set(waiting.split())
    finally:
        on("store1").check_output("systemctl start nginx")
    wait_until_archived(on("db1"), segments[-1])
    information = stanza_info(on("db1"))
    for repository in (STORE, DISK):
        assert newest_segment(information, repository) >= segments[-1]
    with restored(on("db1"), repository=STORE) as port:
        assert rows(on("db1"), port=port) == rows(on("db1"))
    assert query(on("db1"), "SELECT count(*) FROM customer") != "20000"
