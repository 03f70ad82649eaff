# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How far recovery goes. Pure. Private to the collection.

A target is checked before anything is touched, and never ambiguous: a time always carries its UTC offset.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from ._wal import parse_lsn

TYPES = ("default", "immediate", "lsn", "name", "time", "xid", "standby", "none", "preserve")
ACTIONS = ("pause", "promote", "shutdown")
# pgBackRest documentation, options target, target-action, target-exclusive, target-timeline.
_WITH_VALUE = ("lsn", "name", "time", "xid")
_WITH_ACTION = ("immediate", *_WITH_VALUE)
_WITH_EXCLUSIVE = ("lsn", "time", "xid")
_WITH_TIMELINE = ("default", "standby", *_WITH_VALUE)
_FIRST_WITH_SIGNAL_FILES = 12  # PostgreSQL 10 and 11 have recovery.conf instead

_TIME = re.compile(
    r"^(?P<date>\d{4}-\d\d-\d\d)[ T](?P<clock>\d\d:\d\d)(?::(?P<seconds>\d\d)(?:[.,](?P<fraction>\d{1,6}))?)?"
    r"\s*(?P<offset>[Zz]|[+-]\d\d(?::?\d\d)?)?$"
)
_DATE = re.compile(r"^\d{4}-\d\d-\d\d$")
_LARGEST_NAME = 63  # bytes, MAXFNAMELEN - 1 in PostgreSQL's xlog_internal.h
_LARGEST_OFFSET = 15 * 60 + 59  # minutes, PostgreSQL's limit


class TargetError(Exception):
    """The target cannot be meant so; ``problems`` are sentences."""

    def __init__(self, problems: t.Sequence[str]) -> None:
        self.problems = list(problems)
        super().__init__(" ".join(problems))


@dataclass(frozen=True)
class RecoveryTarget:
    """A checked target. ``value`` is in the form that pgBackRest takes, ``moment`` the same for type ``time``.

    ``timeline`` is None, ``current``, ``latest`` or a decimal number; ``action`` None means pgBackRest's pause.
    """

    type: str = "default"
    value: str | None = None
    timeline: str | None = None
    action: str | None = None
    exclusive: bool = False
    moment: datetime | None = None

    def options(self, pg_major: int) -> dict[str, t.Any]:
        """Options of ``pgbackrest restore``."""
        return {
            "type": self.type,
            "target": self.value,
            "target_exclusive": True if self.exclusive else None,
            "target_timeline": self._written_timeline(pg_major),
            "target_action": self.action,
        }

    def settings(self, pg_major: int) -> dict[str, str]:
        """Recovery settings that pgBackRest writes for this target, restore_command aside."""
        result: dict[str, str] = {}
        if self.type == "standby" and pg_major < _FIRST_WITH_SIGNAL_FILES:
            result["standby_mode"] = "on"
        if self.type == "immediate":
            result["recovery_target"] = "immediate"
            if pg_major >= _FIRST_WITH_SIGNAL_FILES:
                result["recovery_target_timeline"] = "current"
        if self.value is not None:
            result[f"recovery_target_{self.type}"] = self.value
        if self.exclusive:
            result["recovery_target_inclusive"] = "false"
        timeline = self._written_timeline(pg_major)
        if timeline is not None:
            result["recovery_target_timeline"] = timeline
        if self.action is not None and self.action != "pause":
            result["recovery_target_action"] = self.action
        return result

    def signal_file(self, pg_major: int) -> str | None:
        """Name of the file that makes PostgreSQL recover; None where there is none."""
        if self.type in ("none", "preserve"):
            return None
        if pg_major < _FIRST_WITH_SIGNAL_FILES:
            return "recovery.conf"
        return "standby.signal" if self.type == "standby" else "recovery.signal"

    def sentence(self) -> str:
        """The target in words."""
        words = {
            "default": "the end of the archived WAL",
            "standby": "the end of the archived WAL, then following as a standby",
            "immediate": "the end of the backup",
            "none": "the backup, without recovery from the archive",
            "preserve": "what the recovery settings in the data directory say",
        }
        text = words.get(self.type) or f"{self.type} {self.value}"
        text += " (exclusive)" if self.exclusive else ""
        text += f" on timeline {self.timeline}" if self.timeline else ""
        return text + (f", then {self.action or 'pause'}" if self.type in _WITH_ACTION else "")

    def to_dict(self) -> dict[str, t.Any]:
        """The target as module result."""
        action = (self.action or "pause") if self.type in _WITH_ACTION else None
        return {
            "type": self.type,
            "value": self.value,
            "timeline": self.timeline,
            "action": action,
            "exclusive": self.exclusive,
            "text": self.sentence(),
        }

    def _written_timeline(self, pg_major: int) -> str | None:
        # "current" is the default before PostgreSQL 12, which does not know the word.
        return None if self.timeline == "current" and pg_major < _FIRST_WITH_SIGNAL_FILES else self.timeline


def parse_target(
    kind: str,
    value: str | None = None,
    timeline: str | None = None,
    action: str | None = None,
    exclusive: bool = False,
) -> RecoveryTarget:
    """The target that these module options describe. Raises TargetError with all problems."""
    problems = _combination_problems(kind, value, timeline, action, exclusive)
    checked, moment = value, None
    try:
        if kind == "time" and value:
            moment = parse_time(value)
            checked = format_time(moment)
        elif value and kind in _CHECKS:
            checked = _CHECKS[kind](value)
    except ValueError as error:
        problems.append(str(error))
    try:
        timeline = parse_timeline(timeline) if timeline else None
    except ValueError as error:
        problems.append(str(error))
    if problems:
        raise TargetError(problems)
    return RecoveryTarget(kind, checked, timeline, action, exclusive, moment)


def parse_time(text: str) -> datetime:
    """A moment from ``YYYY-MM-DD HH:MM[:SS[.ffffff]]`` with a UTC offset or ``Z``. Raises ValueError with a sentence.

    >>> parse_time("2026-03-29 02:30:00+01").isoformat()
    '2026-03-29T02:30:00+01:00'
    """
    match = _TIME.match(text.strip())
    if _DATE.match(text.strip()):
        raise ValueError(
            f"The target time {text!r} has no time of day. Where a blank would end it, as with -e on a command line, "
            "write T: 2026-05-01T14:30:00+02:00."
        )
    if not match:
        raise ValueError(
            f"The target time {text!r} is not in the form YYYY-MM-DD HH:MM:SS+HH:MM, such as 2026-05-01 14:30:00+02:00."
        )
    if not match.group("offset"):
        raise ValueError(
            f"The target time {text!r} has no offset from UTC, so it is ambiguous: add one, such as "
            f"{text.strip()}+00:00 for UTC."
        )
    seconds, fraction = match.group("seconds") or "00", (match.group("fraction") or "").ljust(6, "0")
    try:
        moment = datetime.strptime(f"{match.group('date')} {match.group('clock')}:{seconds}", "%Y-%m-%d %H:%M:%S")
    except ValueError:
        raise ValueError(f"The target time {text!r} is not a time of the calendar.") from None
    return moment.replace(microsecond=int(fraction), tzinfo=_zone(match.group("offset"), text))


def format_time(moment: datetime) -> str:
    """The moment as pgBackRest and PostgreSQL read it, with a numeric offset.

    >>> format_time(parse_time("2026-03-29T02:30Z"))
    '2026-03-29 02:30:00+00:00'
    """
    return moment.isoformat(sep=" ")


def parse_timeline(text: str) -> str:
    """``current``, ``latest`` or a timeline number in decimal digits. Raises ValueError with a sentence.

    >>> parse_timeline("0xA"), parse_timeline("2")
    ('10', '2')
    """
    word = text.strip().lower()
    if word in ("current", "latest"):
        return word
    if re.match(r"^(0x[0-9a-f]{1,8}|\d{1,10})$", word):
        number = int(word, 16 if word.startswith("0x") else 10)
        if 0 < number < 1 << 32:
            return str(number)
    raise ValueError(f"The target timeline {text!r} is neither current nor latest nor the number of a timeline.")


def _zone(offset: str, text: str) -> timezone:
    if offset in "Zz":
        return timezone.utc
    digits = offset[1:].replace(":", "").ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if minutes > 59 or hours * 60 + minutes > _LARGEST_OFFSET:
        raise ValueError(f"The target time {text!r} has an impossible offset from UTC.")
    return timezone((-1 if offset[0] == "-" else 1) * timedelta(hours=hours, minutes=minutes))


def _lsn(text: str) -> str:
    try:
        parse_lsn(text.strip())
    except ValueError:
        raise ValueError(f"The target {text!r} is not an LSN such as 0/3000028.") from None
    return text.strip()


def _xid(text: str) -> str:
    if not re.match(r"^\d{1,20}$", text.strip()):
        raise ValueError(f"The target {text!r} is not a transaction ID: it consists of digits.")
    number = int(text)
    if number >= 1 << 32:
        raise ValueError(
            f"The target {text!r} is a transaction ID with its epoch. PostgreSQL takes the 32 bits that WAL has: "
            f"{number & 0xFFFFFFFF}."
        )
    if number < 3:
        raise ValueError(f"The target {text!r} is not the ID of a normal transaction: those begin at 3.")
    return str(number)


def _name(text: str) -> str:
    if re.search(r"['\\\x00-\x1f]", text):
        raise ValueError(
            f"The restore point {text!r} has a quote, backslash or control character in its name. pgBackRest writes it "
            "into PostgreSQL's configuration as it stands, so PostgreSQL would not start. Use the LSN that "
            "pg_create_restore_point returned (type lsn)."
        )
    if len(text.encode()) > _LARGEST_NAME:
        raise ValueError(f"The restore point {text!r} is longer than {_LARGEST_NAME} bytes.")
    return text


_CHECKS: dict[str, t.Callable[[str], str]] = {"lsn": _lsn, "xid": _xid, "name": _name}


def _combination_problems(
    kind: str, value: str | None, timeline: str | None, action: str | None, exclusive: bool
) -> list[str]:
    rules = [
        (kind in _WITH_VALUE and not value, f"Type {kind} needs a target."),
        (
            kind not in _WITH_VALUE and bool(value),
            f"Type {kind} takes no target; only {_either(_WITH_VALUE)} do: set type.",
        ),
        (
            kind not in _WITH_ACTION and action is not None,
            f"Type {kind} takes no target_action, because recovery has no target to stop at; only "
            f"{_either(_WITH_ACTION)} do.",
        ),
        (
            kind not in _WITH_EXCLUSIVE and exclusive,
            f"Type {kind} takes no target_exclusive; only {_either(_WITH_EXCLUSIVE)} do.",
        ),
        (
            kind not in _WITH_TIMELINE and timeline is not None,
            f"Type {kind} takes no target_timeline; only {_either(_WITH_TIMELINE)} do.",
        ),
    ]
    return [sentence for broken, sentence in rules if broken]


def _either(names: t.Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"
