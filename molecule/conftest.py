# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lets the tests of the scenarios reach the hosts and what they share."""

from __future__ import annotations

import os
import sys
import typing as t

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "shared"))

import live


@pytest.fixture(scope="session")
def on() -> t.Callable[[str], t.Any]:
    """The host of the scenario that has this name in the inventory."""
    return live.connect
