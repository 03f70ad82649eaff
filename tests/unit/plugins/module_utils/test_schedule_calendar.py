# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import doctest
from datetime import datetime

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils import _schedule_calendar
from ansible_collections.pgops.pgbackrest.plugins.module_utils._schedule_calendar import (
    next_run,
    parse_cron,
    previous_run,
    to_cron,
)


def test_examples_in_docstrings() -> None:
    assert doctest.testmod(_schedule_calendar).failed == 0


@pytest.mark.parametrize(
    ("calendar", "cron"),
    [
        ("Sun 02:00", "0 2 * * 0"),
        ("Mon..Sat 02:00", "0 2 * * 1-6"),
        ("Mon,Thu 01:15", "15 1 * * 1,4"),
        ("mon,Wed..Friday 01:15:00", "15 1 * * 1,3-5"),
        ("Fri..Sun 01:00", "0 1 * * 5-7"),
        ("Sun..Tue 01:00", "0 1 * * 0-2"),
        ("*-*-* 02:30", "30 2 * * *"),
        ("02:30", "30 2 * * *"),
        ("Sat", "0 0 * * 6"),
        ("Mon *-*-* 04:05:00", "5 4 * * 1"),
        ("*-*-01,15 03:00", "0 3 1,15 * *"),
        ("01..07-1/2", "0 0 */2 1-7 *"),
        ("*:0/15", "*/15 * * * *"),
        ("8/2:00", "0 8-23/2 * * *"),
        ("9..17:30", "30 9-17 * * *"),
        ("daily", "0 0 * * *"),
        ("Hourly", "0 * * * *"),
        ("weekly", "0 0 * * 1"),
        ("quarterly", "0 0 1 1,4,7,10 *"),
    ],
)
def test_calendar_as_cron(calendar: str, cron: str) -> None:
    assert to_cron(calendar) == cron


@pytest.mark.parametrize(
    ("calendar", "reason"),
    [
        ("", "only weekdays"),
        ("02:00 UTC", "only weekdays"),
        ("Sun 02:00 Europe/Berlin", "only weekdays"),
        ("Foo 02:00", "Foo is no weekday"),
        ("Fri..Mon 02:00", "goes beyond Sunday"),
        ("Mon *-*-01 02:00", "either, not both"),
        ("2026-01-01 02:00", "no years"),
        ("*-*~01 02:00", "no such form"),
        ("*:*:0/5", "no seconds"),
        ("02:00:30", "no seconds"),
        ("25:00", "goes from 0 to 23"),
    ],
)
def test_what_cron_cannot_do(calendar: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        to_cron(calendar)


def test_fields_of_cron() -> None:
    minutes, hours, days, months, weekdays, either = parse_cron("*/20 1-3,5 1 jan-mar Mon,7")
    assert sorted(minutes) == [0, 20, 40] and sorted(hours) == [1, 2, 3, 5]
    assert sorted(days) == [1] and sorted(months) == [1, 2, 3] and sorted(weekdays) == [0, 1] and either
    assert parse_cron("@weekly") == parse_cron("0 0 * * 0")
    assert parse_cron("0 5/8 * * *")[1] == {5, 13, 21}


@pytest.mark.parametrize(
    "text", ["", "@reboot", "* * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "5-1 * * * *",
             "*/0 * * * *", "* * * * foo", "x * * * *", "1;2 * * * *", "* * * * * root"],
)  # fmt: skip
def test_what_is_not_for_cron(text: str) -> None:
    with pytest.raises(ValueError, match="cron|five fields"):
        parse_cron(text)


NOW = datetime(2026, 11, 25, 14, 30)  # a Wednesday


@pytest.mark.parametrize(
    ("crons", "before", "after"),
    [
        (["0 2 * * 0"], datetime(2026, 11, 22, 2), datetime(2026, 11, 29, 2)),
        (["0 2 * * 0", "30 14 * * 3"], NOW, datetime(2026, 11, 29, 2)),
        (["*/15 * * * *"], NOW, datetime(2026, 11, 25, 14, 45)),
        (["0 0 29 2 *"], datetime(2024, 2, 29), datetime(2028, 2, 29)),
        (["0 0 1 * 1"], datetime(2026, 11, 23), datetime(2026, 11, 30)),
        (["0 0 31 2 *"], None, None),
        ([], None, None),
    ],
)
def test_moments_around_now(crons: list[str], before: datetime | None, after: datetime | None) -> None:
    assert previous_run(crons, NOW) == before
    assert next_run(crons, NOW) == after
