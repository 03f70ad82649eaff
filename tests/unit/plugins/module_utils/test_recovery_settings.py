# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module util _recovery_settings: what is written into the files of a restored cluster, and kept of a standby."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils import _recovery_settings as recovery_settings


@pytest.mark.parametrize(
    ("word", "built_at", "home", "expected"),
    [
        ("--pg1-path=/w/data", "/w/data", None, "pgbackrest --config=/c --stanza=main get"),
        ("--pg1-path=/w/data", "/w/data", "/pg", "pgbackrest --config=/c --pg1-path=/pg --stanza=main get"),
        ('"--pg1-path=/w d/data"', "/w d/data", None, "pgbackrest --config=/c --stanza=main get"),
        ('"--pg1-path=/w d/data"', "/w d/data", "/p g", 'pgbackrest --config=/c "--pg1-path=/p g" --stanza=main get'),
        ("--pg1-path=/w/data2", "/w/data", None, "pgbackrest --config=/c --pg1-path=/w/data2 --stanza=main get"),
    ],
)
def test_restore_command_does_not_name_the_workspace(
    tmp_path: Path, word: str, built_at: str, home: str | None, expected: str
) -> None:
    path = tmp_path / "postgresql.auto.conf"
    other = "# restore_command = 'pgbackrest --pg1-path=/w/data --stanza=main get'\n"
    path.write_text(f"{other}restore_command = 'pgbackrest --config=/c {word} --stanza=main get'\n", encoding="utf-8")
    path.chmod(0o640)
    recovery_settings.correct_restore_command(str(path), built_at, home)
    assert path.read_text(encoding="utf-8") == f"{other}restore_command = '{expected}'\n"
    assert path.stat().st_mode & 0o777 == 0o640
    recovery_settings.correct_restore_command(str(tmp_path / "absent"), built_at, home)


def test_a_standby_is_remembered_when_its_settings_are_overwritten(tmp_path: Path) -> None:
    pgdata, work = tmp_path / "pg", tmp_path / "work"
    pgdata.mkdir()
    work.mkdir()
    conf = pgdata / "postgresql.auto.conf"
    conf.write_text("primary_conninfo = 'password=''it''''s'''\nport = 1\nprimary_slot_name = ''\n", encoding="utf-8")
    found = recovery_settings.standby_settings(str(pgdata), str(work))
    assert found == {"primary_conninfo": "password='it''s'"}
    recovery_settings.keep_standby_settings(str(work), {**found, "restore_command": "x"})
    assert (work / "standby.json").stat().st_mode & 0o777 == 0o600
    conf.unlink()
    assert recovery_settings.standby_settings(str(pgdata), str(work)) == found
    conf.write_text("primary_conninfo = 'host=new'\n", encoding="utf-8")
    assert recovery_settings.standby_settings(str(pgdata), str(work)) == {"primary_conninfo": "host=new"}
    recovery_settings.forget_standby_settings(str(work))
    assert recovery_settings.standby_settings(str(tmp_path / "gone"), str(work)) == {}
