# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How pgBackRest's messages are read and explained, with recorded ones."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils import _messages
from hypothesis import given, strategies as st

Text = t.Callable[[str], str]


def failure(text: str, rc: int, command: str = "backup") -> _messages.PgBackRestError:
    return _messages.error_from(command, rc, _messages.parse_messages(text), text, "main")


@pytest.mark.parametrize(
    "prefix", ["", "P00  ", "2026-11-22 20:59:36.703 P00  "], ids=["standard error", "while parsing", "console"]
)
def test_all_forms_of_a_message(prefix: str) -> None:
    text = f"{prefix}ERROR: [055]: no file\n       FileMissingError: why\n       HINT: first\n       HINT: second\n"
    assert _messages.parse_messages(text) == [
        _messages.Message("ERROR", 55, "no file FileMissingError: why", "first; second"),
    ]


def test_messages_of_a_log(fixture_text: Text) -> None:
    messages = _messages.parse_messages(fixture_text("backup_damaged_2.45.log"))
    assert [message.text for message in messages if message.level == "WARN"] == [
        "invalid page checksums found in file /srv/cluster/pgdata/base/5/16384 at pages 1, 3-5"
    ]
    assert {message.level for message in messages} == {"INFO", "DETAIL", "WARN"}


@given(st.text())
def test_parsing_never_fails(text: str) -> None:
    for message in _messages.parse_messages(text):
        assert message.level
    assert isinstance(_messages.strip_messages(text), str)


def test_postgresql_down(fixture_text: Text) -> None:
    error = failure(fixture_text("check_down_2.45.txt"), 27, "check")
    text = str(error)
    assert text.startswith("pgbackrest check failed with error 027 (config): no database found: unable to check pg1: ")
    assert "No such file or directory" in text and "Check that PostgreSQL runs" in text and error.hint is None


@pytest.mark.parametrize("version", ["2.45", "2.60.0"])
def test_wrong_passphrase(fixture_text: Text, version: str) -> None:
    error = failure(fixture_text(f"backup_wrong_passphrase_{version}.txt"), 29)
    assert str(error) == (
        "pgbackrest backup failed with error 029 (format): unable to load info file "
        "'/srv/cluster/repo2/backup/main/backup.info' with the configured passphrase. Check repo1-cipher-type and "
        "repo1-cipher-pass: the repository was made with another passphrase or with none."
    )


def test_stanza_not_created(fixture_text: Text) -> None:
    error = failure(fixture_text("backup_no_stanza_2.45.txt"), 55)
    assert error.next_step == "Create stanza main with the module pgops.pgbackrest.stanza."
    assert error.hint == (
        "backup.info cannot be opened and is required to perform a backup.; has a stanza-create been performed?"
    )


def test_stop_file(fixture_text: Text) -> None:
    error = failure(fixture_text("backup_stopped_2.45.txt"), 62)
    assert str(error).endswith("run: pgbackrest --stanza=main start")
    assert error.result()["error"]["name"] == "stop"


def test_repository_must_be_named(fixture_text: Text) -> None:
    error = failure(fixture_text("delete_no_repo_2.45.txt"), 37, "stanza-delete")
    assert error.next_step == "Say in the option repo which repository is meant."


def test_an_error_without_a_message() -> None:
    assert "gave no error message (Segmentation fault)" in str(failure("Segmentation fault\n", 139))


@pytest.mark.parametrize(
    ("code", "text", "retryable"),
    [
        (50, "unable to acquire lock: Resource temporarily unavailable", True),
        (50, "unable to acquire lock: Permission denied", False),
        (56, "no primary", True),
        (82, "timeout", True),
        (62, "stop", False),
        (29, "format", False),
    ],
)
def test_what_may_pass(code: int, text: str, retryable: bool) -> None:
    assert _messages.is_retryable(_messages.PgBackRestError(text, code)) is retryable


def test_a_file_that_cannot_be_written() -> None:
    """pgBackRest 2.55 gives no reason when a part of the data still fitted on the disk."""
    error = failure("ERROR: [064]: raised from local-1 protocol: unable to write '/data/base/5/16389'", 64, "restore")
    assert str(error).startswith("pgbackrest restore failed with error 064 (file-write): raised from local-1")
    assert str(error).endswith(
        "Look whether the file system of that file is full, and whether the kernel's log tells of a broken device."
    )
