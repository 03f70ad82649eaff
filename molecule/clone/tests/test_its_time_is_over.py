# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The clone that test_clone.py has given a time to live. By now other tests have passed some of it."""

from __future__ import annotations

import typing as t

import cloning
from live import wait_for


def test_clone_removes_itself_when_its_time_is_over(ci1: t.Any) -> None:
    assert cloning.result("moment")["expires_at"]
    wait_for(lambda: cloning.traces(ci1, "moment") == "", "a host without the clone")
    assert cloning.remove("moment").changed()["ci1"] == 0
