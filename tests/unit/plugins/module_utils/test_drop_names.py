# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names of databases as backups know them, and how many backups are asked for them."""

from __future__ import annotations

import json
import typing as t
from dataclasses import replace

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils._drop_names import BackupNames
from ansible_collections.pgops.pgbackrest.plugins.module_utils._repository import Backup, parse_info

DAYS = 1000


class FakePgBackRest:
    """Answers ``info --set`` from a table of databases by label, and notes what it was asked for."""

    def __init__(self, answer: dict[str, t.Any], databases: dict[str, dict[str, int]]) -> None:
        self.answer = answer
        self.databases = databases
        self.asked: list[str] = []

    def info(self, **options: t.Any) -> list[dict[str, t.Any]]:
        self.asked.append(options["set"])
        known = self.databases.get(options["set"], {"postgres": 5})
        listed = [{"name": name, "oid": oid} for name, oid in known.items()]
        backup = {**self.answer["backup"][0], "label": options["set"], "database-ref": listed}
        return [{**self.answer, "backup": [backup]}]


@pytest.fixture(name="answer")
def answer_fixture(fixture_text: t.Callable[[str], str]) -> dict[str, t.Any]:
    return t.cast("dict[str, t.Any]", json.loads(fixture_text("info_two_repositories_2.45.json"))[0])


def daily(answer: dict[str, t.Any]) -> list[Backup]:
    """A backup each day, oldest first: that of day 7 ends at 7."""
    model = parse_info([answer])[0].backups[0]
    return [replace(model, label=f"day{day}", stop=day) for day in range(DAYS)]


def known(backrest: FakePgBackRest, backups: list[Backup], begin: float) -> BackupNames:
    return BackupNames(t.cast("t.Any", backrest), "main", backups, begin)


def test_only_backups_are_asked_that_can_know(answer: dict[str, t.Any]) -> None:
    """Those of the time that is searched, and the last one before it."""
    backrest = FakePgBackRest(answer, {"day995": {"shop": 16384}, "day3": {"old": 16000}})
    names = known(backrest, daily(answer), begin=996.5)
    assert names.oid("old") is None and backrest.asked == ["day999", "day998", "day997", "day996"]
    assert names.name(16384, 998.5) is None and len(backrest.asked) == 4  # nor is one asked twice

    names = known(backrest, daily(answer), begin=995.5)
    assert names.oid("shop") == 16384 and names.name(16384, 998.5) == ("shop", "backup day995")
    assert names.name(16384, 994.0) is None


def test_a_search_before_all_backups(answer: dict[str, t.Any]) -> None:
    backrest = FakePgBackRest(answer, {"day1": {"shop": 16384}})
    names = known(backrest, daily(answer)[:3], begin=-1.0)
    assert names.oid("shop") == 16384 and names.oid("none") is None
    assert backrest.asked == ["day2", "day1", "day0"]
    assert known(backrest, [], begin=5.0).oid("shop") is None
