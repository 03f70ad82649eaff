# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What must hold after a restore in place: the cluster is in service and protected again."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from live import add_rows, backups, newest_segment, query, stanza_info, wait_until_archived

LEFT_BEHIND = re.compile(r"^(recovery_\w+|restore_command|archive_cleanup_command)\b", re.MULTILINE)


@dataclass(frozen=True)
class Before:
    """What a cluster had before the restore."""

    timeline: int
    backups: list[str]


def timeline(host: t.Any) -> int:
    """The timeline that a primary writes."""
    return int(query(host, "SELECT pg_walfile_name(pg_current_wal_lsn())")[:8], 16)


def before_restore(host: t.Any, stanza: str) -> Before:
    """What :func:`check_in_service` compares with."""
    return Before(timeline(host), backups(stanza_info(host, stanza)))


def check_recovery_is_over(host: t.Any) -> None:
    """The server writes, and the next start would not recover again."""
    assert query(host, "SELECT pg_is_in_recovery()") == "f"
    data = query(host, "SHOW data_directory")
    settings = host.file(f"{data}/postgresql.auto.conf").content_string
    assert not LEFT_BEHIND.search(settings), settings
    in_files = query(host, "SELECT name FROM pg_file_settings WHERE name ~ '^(recovery_|restore_command)'")
    assert in_files == ""
    for name in ("recovery.signal", "standby.signal", "backup_label", "tablespace_map"):
        assert not host.file(f"{data}/{name}").exists, name


def check_archiving(host: t.Any, stanza: str, number: int) -> None:
    """WAL of this timeline makes the whole way to the repository."""
    assert query(host, "SHOW archive_mode") == "on"
    segment = add_rows(host, 10)
    assert int(segment[:8], 16) == number
    wait_until_archived(host, segment)
    assert newest_segment(stanza_info(host, stanza)) >= segment


def check_in_service(host: t.Any, stanza: str, before: Before) -> None:
    """A new timeline that is archived, a new backup of it, and nothing left of the recovery."""
    check_recovery_is_over(host)
    now = timeline(host)
    assert now > before.timeline
    newest = stanza_info(host, stanza)["backup"][-1]
    assert newest["label"] not in before.backups
    assert newest.get("error") is not True
    assert int(newest["archive"]["start"][:8], 16) == now
    check_archiving(host, stanza, now)
