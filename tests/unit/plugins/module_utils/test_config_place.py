# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils import _config_place as config_place

NOBODY = {"owner": None, "group": None}


@pytest.mark.parametrize(
    ("uid", "params", "expected"),
    [
        (0, NOBODY, ["will belong to root"]),
        (0, {"owner": "postgres", "group": None}, []),
        (1000, NOBODY, []),
    ],
)
def test_a_new_file_of_root_is_worth_a_warning(
    uid: int, params: dict[str, str | None], expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config_place.os, "geteuid", lambda: uid)
    found = config_place.place_warnings(str(tmp_path / "pgbackrest.conf"), params)
    assert len(found) == len(expected) and all(part in text for part, text in zip(expected, found, strict=True))


def test_a_missing_directory_is_seen_before_the_real_run(tmp_path: Path) -> None:
    found = config_place.place_warnings(str(tmp_path / "etc/pgbackrest.conf"), {"owner": "x", "group": None})
    assert found == [f"The directory {tmp_path}/etc does not exist yet: create it first, with ansible.builtin.file."]
