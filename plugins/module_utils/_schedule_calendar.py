# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When something is due: calendars of systemd as lines of cron, and their moments. Pure. Private to the collection."""

from __future__ import annotations

import re
import typing as t
from datetime import date, datetime, time, timedelta

_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_LONG_WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_SHORTHANDS = {
    "minutely": "* * * * *",
    "hourly": "0 * * * *",
    "daily": "0 0 * * *",
    "weekly": "0 0 * * 1",
    "monthly": "0 0 1 * *",
    "quarterly": "0 0 1 1,4,7,10 *",
    "semiannually": "0 0 1 1,7 *",
    "semi-annually": "0 0 1 1,7 *",
    "yearly": "0 0 1 1 *",
    "annually": "0 0 1 1 *",
}
_MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day of the month", 1, 31), ("month", 1, 12), ("day of the week", 0, 7))
_CALENDAR = re.compile(
    r"(?:(?P<days>[A-Za-z][A-Za-z.,]*)(?:\s+|$))?"
    r"(?:(?P<date>[^\s:]+-[^\s:]+)(?:\s+|$))?"
    r"(?P<time>[\d*][^\s:]*(?::[^\s:]+){1,2})?"
)
_PART = re.compile(r"(?P<first>\d+|\*)(?:\.\.(?P<last>\d+))?(?:/(?P<step>\d+))?")
_CRON_PART = re.compile(r"(?:\*|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>\d+))?")
_LONGEST_SEARCH = 8 * 366  # days; 29 February is that rare around 2100

Cron = t.Tuple[t.FrozenSet[int], t.FrozenSet[int], t.FrozenSet[int], t.FrozenSet[int], t.FrozenSet[int], bool]


def to_cron(calendar: str) -> str:
    """The five fields of cron for a calendar of systemd. ValueError says what cron cannot do.

    >>> to_cron("Sun 02:00"), to_cron("Mon..Sat 02:00"), to_cron("*-*-* 0/6:30"), to_cron("daily")
    ('0 2 * * 0', '0 2 * * 1-6', '30 */6 * * *', '0 0 * * *')
    """
    words = calendar.strip()
    if words.lower() in _SHORTHANDS:
        return _SHORTHANDS[words.lower()]
    match = _CALENDAR.fullmatch(words)
    if not words or not match:
        raise ValueError("only weekdays, a date and a time can be translated")
    hour, minute = _clock(match.group("time") or "00:00")
    month, day = _date(match.group("date") or "*-*-*")
    weekday = _weekdays(match.group("days")) if match.group("days") else "*"
    if day != "*" and weekday != "*":
        raise ValueError("of a weekday and a day of the month cron takes either, not both")
    fields = f"{minute} {hour} {day} {month} {weekday}"
    parse_cron(fields)
    return fields


def _clock(text: str) -> tuple[str, str]:
    hour, minute, *second = text.split(":")
    if second and (not second[0].isdigit() or int(second[0])):
        raise ValueError("cron knows no seconds")
    return _field(hour, 0, 23), _field(minute, 0, 59)


def _date(text: str) -> tuple[str, str]:
    parts = text.split("-")
    if len(parts) == 3 and parts.pop(0) != "*":
        raise ValueError("cron knows no years")
    if len(parts) != 2:
        raise ValueError(f"{text} is no date such as *-*-01")
    return _field(parts[0], 1, 12), _field(parts[1], 1, 31)


def _field(text: str, low: int, high: int) -> str:
    result = []
    for part in text.split(","):
        match = _PART.fullmatch(part)
        if not match:
            raise ValueError(f"cron has no such form as {text}")
        first, last, step = (match.group(name) for name in ("first", "last", "step"))
        if step and first != "*" and not last:
            first, last = ("*", None) if int(first) == low else (first, str(high))
        number = first if first == "*" else str(int(first))
        result.append(number + (f"-{int(last)}" if last else "") + (f"/{int(step)}" if step else ""))
    return ",".join(result)


def _weekdays(text: str) -> str:
    result = []
    for part in text.rstrip(",").split(","):
        first, dots, last = part.partition("..")
        numbers = [_weekday(name) for name in ((first, last) if dots else (first,))]
        if dots and numbers[1] == 0:
            numbers[1] = 7  # cron's Sunday at the end of a week
        if dots and numbers[0] > numbers[1]:
            raise ValueError(f"{part} goes beyond Sunday: write the days one by one")
        result.append("-".join(map(str, numbers)))
    return ",".join(result)


def _weekday(name: str) -> int:
    for names in (_WEEKDAYS, _LONG_WEEKDAYS):
        if name.lower() in names:
            return names.index(name.lower())
    raise ValueError(f"{name} is no weekday")


def parse_cron(text: str) -> Cron:
    """Minutes, hours, days, months and weekdays of a line of cron, and whether either day suffices. ValueError if none.

    >>> sorted(parse_cron("0 2 * * 1-3")[4])
    [1, 2, 3]
    """
    fields = _MACROS.get(text.strip().lower(), text).split()
    if len(fields) != len(_FIELDS):
        raise ValueError(f"{text!r} is not five fields such as '0 2 * * 0', nor one of {', '.join(sorted(_MACROS))}")
    minutes, hours, days, months, weekdays = (_cron_field(field, *kind) for field, kind in zip(fields, _FIELDS))
    either = not fields[2].startswith("*") and not fields[4].startswith("*")
    return minutes, hours, days, months, frozenset(number % 7 for number in weekdays), either


def _cron_field(text: str, name: str, low: int, high: int) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        match = _CRON_PART.fullmatch(part)
        if not match:
            raise ValueError(f"{text!r} is no {name} of cron")
        first, last = low, high
        if match.group("first"):
            first = _number(match.group("first"), name)
            last = _number(match.group("last"), name) if match.group("last") else first
            last = high if match.group("step") and not match.group("last") else last
        step = int(match.group("step") or 1)
        if not low <= first <= last <= high or step < 1:
            raise ValueError(f"{text!r} is no {name} of cron: it goes from {low} to {high}")
        found.update(range(first, last + 1, step))
    return frozenset(found)


def _number(text: str, name: str) -> int:
    names = {"month": _MONTHS, "day of the week": _WEEKDAYS}.get(name, ())
    if text.isdigit():
        return int(text)
    if text.lower() not in names:
        raise ValueError(f"{text!r} is no {name} of cron")
    return names.index(text.lower()) + (1 if name == "month" else 0)


def next_run(crons: t.Iterable[str], now: datetime) -> datetime | None:
    """The first moment after ``now`` (local time without a zone) at which one of the lines is due."""
    parsed = [parse_cron(text) for text in crons]
    for offset in range(_LONGEST_SEARCH):
        found = [moment for moment in _moments(parsed, now.date() + timedelta(offset)) if moment > now]
        if found:
            return min(found)
    return None


def previous_run(crons: t.Iterable[str], now: datetime) -> datetime | None:
    """The last moment up to ``now`` at which one of the lines was due."""
    parsed = [parse_cron(text) for text in crons]
    for offset in range(_LONGEST_SEARCH):
        found = [moment for moment in _moments(parsed, now.date() - timedelta(offset)) if moment <= now]
        if found:
            return max(found)
    return None


def _moments(parsed: t.Iterable[Cron], day: date) -> list[datetime]:
    return [
        datetime.combine(day, time(hour, minute))
        for minutes, hours, days, months, weekdays, either in parsed
        if day.month in months and _fits(day, days, weekdays, either)
        for hour in hours
        for minute in minutes
    ]


def _fits(day: date, days: frozenset[int], weekdays: frozenset[int], either: bool) -> bool:
    by_day, by_weekday = day.day in days, day.isoweekday() % 7 in weekdays
    return by_day or by_weekday if either else by_day and by_weekday
