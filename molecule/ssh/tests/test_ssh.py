# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A repository host over SSH on another port: keys that can do nothing but talk with pgBackRest about their stanza."""

from __future__ import annotations

import contextlib
import re
import typing as t

import pytest
from live import (
    On,
    add_rows,
    as_postgres,
    backups,
    newest_segment,
    query,
    restored,
    rows,
    stanza_info,
    start_unit,
    wait_for,
    wait_until_archived,
)

SSH = "ssh -o BatchMode=yes -p 2222"
FROM = {"db1": ("postgres", "pgbackrest@backup1"), "backup1": ("pgbackrest", "postgres@db1")}


def repository_info(on: On) -> dict[str, t.Any]:
    return stanza_info(on("backup1"), user="pgbackrest")


def attempt(on: On, name: str, options: str, *command: str) -> t.Any:
    """Use the key of a host's user for something else."""
    user, target = FROM[name]
    words = " ".join(["%s"] * len(command))
    return on(name).run(f"cd / && runuser -u {user} -- {SSH} {options} {target} {words}", *command)


def test_wal_arrives(on: On) -> None:
    segment = add_rows(on("db1"))
    wait_until_archived(on("db1"), segment)
    assert newest_segment(repository_info(on)) >= segment


def test_backup_is_restorable(on: On) -> None:
    wait_until_archived(on("db1"), add_rows(on("db1")))
    with restored(on("db1")) as port:
        assert rows(on("db1"), port=port) == rows(on("db1"))


def test_scheduled_backup_reads_the_database_over_ssh(on: On) -> None:
    before = backups(repository_info(on))
    start_unit(on("backup1"), "pgbackrest-main-diff.service")
    assert len(backups(repository_info(on))) == len(before) + 1


@pytest.mark.parametrize("name", FROM)
def test_keys_have_no_shell(on: On, name: str) -> None:
    for command in (["id"], ["pgbackrest version"], ["sh", "-c", "id"]):
        result = attempt(on, name, "", *command)
        assert (result.rc, result.stdout) == (105, "")
        assert "ssh-command refuses this connection" in result.stderr
    assert attempt(on, name, "-tt").rc != 0
    assert attempt(on, name, "-s", "sftp").rc == 105


@pytest.mark.parametrize("name", FROM)
def test_keys_forward_nothing(on: On, name: str) -> None:
    result = attempt(on, name, "-W localhost:2222")
    assert result.rc != 0
    assert "administratively prohibited" in result.stderr


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("pgbackrest --remote-type=repo --stanza=other info:remote", "stanza other is not among those of this key"),
        ("pgbackrest --remote-type=repo --stanza=main --repo1-path=/ repo-ls:remote", "--repo1-path may not be given"),
        ("pgbackrest --remote-type=repo --stanza=main --config=/tmp/x info:remote", "--config may not be given"),
        ("pgbackrest --remote-type=pg --stanza=main backup:remote", "remote-type pg is not for this key"),
        ("pgbackrest --remote-type=repo --stanza=main stanza-delete:remote", "stanza-delete may not be run"),
    ],
)
def test_pgbackrest_is_held_to_the_stanza(on: On, command: str, reason: str) -> None:
    result = attempt(on, "db1", "", command)
    assert result.rc == 105
    assert reason in result.stderr
    noted = on("backup1").check_output("journalctl -o cat -t pgbackrest-ssh-command -p warning -n 1")
    assert reason in noted
    assert command in noted


def test_pgbackrest_itself_is_told_why(on: On) -> None:
    said = as_postgres(
        on("db1"),
        "pgbackrest --no-config --log-level-file=off --repo1-host=backup1 --repo1-host-user=pgbackrest"
        " --repo1-host-port=2222 --stanza=other info",
    )
    assert "stanza other is not among those of this key (main)" in said


def test_host_keys_are_those_of_the_hosts(on: On) -> None:
    for name, other in (("db1", "backup1"), ("backup1", "db1")):
        user = FROM[name][0]
        home = on(name).user(user).home
        key = " ".join(on(other).file("/etc/ssh/ssh_host_ed25519_key.pub").content_string.split()[:2])
        assert f"[{other}]:2222 {key}" in on(name).file(f"{home}/.ssh/known_hosts").content_string.splitlines()
        assert on(name).file(f"{home}/.ssh/id_ed25519").mode == 0o600


def test_a_host_with_another_key_is_not_trusted(on: On) -> None:
    """As if somebody stood between: pgBackRest must not go on, and nothing is lost."""
    server = on("backup1")
    server.check_output("ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/stranger")
    server.check_output("sed -i s/ssh_host_ed25519_key/stranger/ /etc/ssh/sshd_config.d/port.conf")
    server.check_output("systemctl restart ssh")
    with contextlib.ExitStack() as stack:
        stack.callback(server.run, "systemctl restart ssh")
        stack.callback(server.run, "sed -i s/stranger/ssh_host_ed25519_key/ /etc/ssh/sshd_config.d/port.conf")
        segment = add_rows(on("db1"))
        wait_for(
            lambda: query(on("db1"), "SELECT last_failed_wal FROM pg_stat_archiver")[-16:] >= segment[-16:],
            "a failed attempt to archive",
        )
        result = attempt(on, "db1", "", "id")
        assert result.rc == 255
        assert re.search("host key", result.stderr, re.IGNORECASE)
    wait_until_archived(on("db1"), segment)
    assert newest_segment(repository_info(on)) >= segment
