# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The stand-in for pg_control. That pgBackRest takes it is shown in tests/integration."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils import _control_stand_in
from ansible_collections.pgops.pgbackrest.plugins.module_utils._cluster import read_control_data
from ansible_collections.pgops.pgbackrest.plugins.module_utils._control_stand_in import knows, write_stand_in

SYSTEM = 7_400_000_000_000_000_001


def test_documented_examples_hold() -> None:
    assert doctest.testmod(_control_stand_in).failed == 0


@pytest.mark.parametrize("major", range(10, 19))
def test_the_stand_in_says_whose_it_is(tmp_path: Path, major: int) -> None:
    write_stand_in(str(tmp_path / "cluster"), SYSTEM, major)
    (tmp_path / "cluster" / "PG_VERSION").write_text(f"{major}\n", encoding="utf-8")
    assert read_control_data(str(tmp_path / "cluster")).system_identifier == SYSTEM
    assert (tmp_path / "cluster" / "global" / "pg_control").stat().st_size == 8192


def test_unknown_versions_have_none() -> None:
    assert knows(18)
    assert not knows(9)
    assert not knows(19)
