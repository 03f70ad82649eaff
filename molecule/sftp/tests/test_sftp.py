# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An account on an SFTP server holds the repository."""

from __future__ import annotations

import time

from live import (
    On,
    add_rows,
    archived,
    backups,
    newest_segment,
    restored,
    rows,
    stanza_info,
    start_unit,
    wait_until_archived,
)


def test_repository_is_encrypted_and_holds_a_backup(on: On) -> None:
    information = stanza_info(on("db1"))
    assert information["status"]["code"] == 0
    assert information["cipher"] == "aes-256-cbc"
    assert len(backups(information)) == 1
    assert on("store1").file(f"/srv/sftp/backups/pgbackrest/backup/main/{backups(information)[0]}").is_directory


def test_wal_arrives(on: On) -> None:
    segment = add_rows(on("db1"))
    wait_until_archived(on("db1"), segment)
    assert newest_segment(stanza_info(on("db1"))) >= segment


def test_server_with_another_key_is_refused(on: On) -> None:
    on("db1").check_output(
        "sed 's/^\\(repo1-sftp-host-fingerprint=\\).*/\\1%s/' /etc/pgbackrest/conf.d/main.conf >/tmp/other.conf",
        "0" * 64,
    )
    on("db1").check_output("chown postgres /tmp/other.conf")
    refused = on("db1").run(
        "cd / && runuser -u postgres -- pgbackrest --config=/tmp/other.conf --stanza=main repo-ls --log-path=/tmp"
    )
    assert refused.rc != 0
    assert "do not match" in refused.stdout + refused.stderr


def test_scheduled_backup(on: On) -> None:
    before = backups(stanza_info(on("db1")))
    assert on("db1").service("pgbackrest-main-diff.timer").is_running
    start_unit(on("db1"), "pgbackrest-main-diff.service")
    assert backups(stanza_info(on("db1")))[:-1] == before


def test_nothing_is_lost_while_the_server_is_away(on: On) -> None:
    on("store1").check_output("systemctl stop ssh.service ssh.socket")
    on("store1").run("pkill -f '^sshd'")
    try:
        segment = add_rows(on("db1"))
        time.sleep(5)
        assert not archived(on("db1"), segment)
    finally:
        on("store1").check_output("systemctl start ssh.service")
    wait_until_archived(on("db1"), segment)
    assert newest_segment(stanza_info(on("db1"))) >= segment


def test_restores_everything(on: On) -> None:
    wait_until_archived(on("db1"), add_rows(on("db1")))
    with restored(on("db1")) as port:
        assert rows(on("db1"), port=port) == rows(on("db1"))
