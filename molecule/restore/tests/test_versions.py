# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The hosts have the versions from which the table of the README is made."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

import pytest
import yaml
from live import On

FILE = "tests/data/versions.yml"
SUITES = yaml.safe_load(Path(os.environ["MOLECULE_PROJECT_DIRECTORY"], FILE).read_text(encoding="utf-8"))["suites"]
PLATFORMS = yaml.safe_load(Path(os.environ["MOLECULE_FILE"]).read_text(encoding="utf-8"))["platforms"]


def test_there_is_a_host_of_each_suite() -> None:
    assert {platform["suite"] for platform in PLATFORMS} == set(SUITES)


@pytest.mark.parametrize("platform", PLATFORMS, ids=lambda platform: platform["suite"])
def test_versions_of_a_host(on: On, platform: dict[str, t.Any]) -> None:
    host, suite = on(platform["name"]), platform["suite"]
    assert host.check_output(". /etc/os-release && echo $VERSION_CODENAME") == suite
    is_there = {
        "python": host.check_output("python3 --version").split()[1].rpartition(".")[0],
        "pgbackrest": host.check_output("pgbackrest version").split()[1],
    }
    written = {name: SUITES[suite][name] for name in is_there}
    assert written == is_there, f"{FILE} is to be corrected, and the table with tests/unit/test_versions.py"
