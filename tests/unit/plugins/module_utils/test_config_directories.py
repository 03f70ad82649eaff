# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils import _config_directories as directories
from ansible_collections.pgops.pgbackrest.plugins.module_utils._config_file import parse


@pytest.mark.parametrize(
    ("own", "others", "expected"),
    [
        ("[global]\nlog-path=/log/\nspool-path=/spool\nlock-path=/lock\n", [], ["/log", "/spool", "/lock"]),
        ("[main]\npg1-path=/pg\nrepo1-path=/repo\n", [], ["/repo"]),
        ("[main]\nrepo1-path=/repo\nrepo1-type=cifs\nrepo2-path=/p\nrepo2-type=posix\n", [], ["/repo", "/p"]),
        ("[main]\nrepo1-path=/a\nrepo1-host=b\nrepo2-path=/s3\nrepo2-type=s3\nrepo3-path=/c\n", [], ["/c"]),
        ("[main]\nrepo1-path=/x\nrepo1-type=sftp\nrepo2-path=/y\nrepo2-type=azure\n", [], []),
        ("[main]\nrepo1-path=/x\nrepo1-type=gcs\n", [], []),
        ("[main]\nrepo1-path=/a\n", ["[global]\nrepo1-host=b\n"], []),
        ("[main:backup]\nrepo1-path=/a\nlog-path=/log\n", ["[main]\nrepo1-type=s3\n"], ["/log"]),
        ("[global]\nrepo1-path=/a\n[main]\nrepo1-path=/a\n", [], ["/a"]),
        ("[global]\nbackup-path=/old\n", [], []),
        ("[global]\nrepo-path=/deprecated\n", [], ["/deprecated"]),
        ("[main]\nrepo1-path=/r\nrepo2-storage-ca-path=/r\n", [], ["/r"]),
    ],
)
def test_directories_that_a_file_names(own: str, others: list[str], expected: list[str]) -> None:
    assert directories.named(parse(own), [parse(text) for text in others]) == expected


def test_missing_ones_from_the_top(tmp_path: Path) -> None:
    assert directories.missing(str(tmp_path)) == []
    assert directories.missing(f"{tmp_path}/a/b") == [f"{tmp_path}/a", f"{tmp_path}/a/b"]


USER = pwd.struct_passwd(("u", "x", 500, 600, "", "/", ""))


@pytest.mark.parametrize(
    ("mode", "owner", "group", "uid", "write", "enter"),
    [
        (0o750, 500, 1, 500, True, True),
        (0o550, 500, 600, 500, False, True),
        (0o770, 1, 600, 500, True, True),
        (0o770, 1, 700, 500, True, True),
        (0o750, 1, 600, 500, False, True),
        (0o777, 1, 1, 500, True, True),
        (0o775, 1, 1, 500, False, True),
        (0o000, 1, 1, 500, False, False),
        (0o707, 1, 600, 500, False, False),
        (0o000, 1, 1, 0, True, True),
        (0o070, 1, 600, 501, False, False),
    ],
)
def test_permissions(
    mode: int, owner: int, group: int, uid: int, write: bool, enter: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(number: int) -> pwd.struct_passwd:
        if number != USER.pw_uid:
            raise KeyError(number)
        return USER

    monkeypatch.setattr(directories.pwd, "getpwuid", find)
    monkeypatch.setattr(directories.grp, "getgrall", lambda: [grp.struct_group(("g", "x", 700, ["u"]))])
    status = os.stat_result((0o040000 | mode, 0, 0, 0, owner, group, 0, 0, 0, 0))
    assert directories.may(status, uid, directories.WRITE) is write
    assert directories.may(status, uid, directories.ENTER) is enter


def test_place_where_nothing_can_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directories.os, "access", lambda path, mode: False)
    assert directories.problems([f"{tmp_path}/a"], None) == [
        f"This user may not make {tmp_path}/a: run the task as root (become), with owner and group."
    ]


def test_user_of_a_file(tmp_path: Path) -> None:
    assert directories.user_of(str(tmp_path), None) == tmp_path.stat().st_uid
    assert directories.user_of(f"{tmp_path}/new", None) == os.geteuid()
    assert directories.user_of(str(tmp_path), "root") == 0
    assert directories.user_of(str(tmp_path), "4711") == 4711
    assert directories.user_of(str(tmp_path), "no-such-user") is None
