# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The hosts of the scenario."""

from __future__ import annotations

import os
import sys
import typing as t

import pytest

sys.path.insert(0, os.path.dirname(__file__))
pytest.register_assert_rewrite("cloning")


@pytest.fixture
def db1(on: t.Any) -> t.Any:
    """The host of the source."""
    return on("db1")


@pytest.fixture
def ci1(on: t.Any) -> t.Any:
    """The runner."""
    return on("ci1")
