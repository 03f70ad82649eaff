# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One line of text about running work. Pure. Private to the collection.

The records come from ``module_utils/_progress.py``.
"""

from __future__ import annotations

import typing as t

_RATE_WINDOW = 30.0  # seconds; long enough to smooth single large files, short enough to follow a change

Record = t.Mapping[str, t.Any]


def describe(record: Record, rate: float | None) -> str:
    """What a progress record says, with ``rate`` in its unit per second: percent, amount, rate, time left, text.

    Parts that are not known are left out.

    >>> describe({"percent": 43.2, "done": 1288490188, "total": 3006477107, "unit": "bytes"}, 220200960.0)
    '43 % · 1.2 GiB of 2.8 GiB · 210 MiB/s · 8 s left'
    """
    parts = [percent(record.get("percent")), amount(record), speed(rate, record), remaining(record, rate)]
    parts.append(str(record.get("text") or ""))
    return " · ".join(part for part in parts if part)


def percent(value: float | None) -> str:
    """``43 %``, never more than 100; empty when unknown."""
    return "" if value is None else f"{min(100, max(0, int(value)))} %"


def amount(record: Record) -> str:
    """``1.2 GiB of 2.8 GiB``, or ``1.2 GiB``; empty before anything is done."""
    done, total = int(record.get("done") or 0), int(record.get("total") or 0)
    if done <= 0:
        return ""
    if total < done:
        return quantity(done, record)
    return f"{quantity(done, record)} of {quantity(total, record)}"


def speed(rate: float | None, record: Record) -> str:
    """``210 MiB/s``; empty when unknown or standing still."""
    return f"{quantity(int(rate), record)}/s" if rate is not None and rate >= 1 else ""


def remaining(record: Record, rate: float | None) -> str:
    """``8 s left``; empty while nobody can tell, as before the first percent is done."""
    done, total = int(record.get("done") or 0), int(record.get("total") or 0)
    if rate is None or rate < 1 or not total // 100 < done <= total:
        return ""
    return f"{duration((total - done) / rate)} left"


def quantity(number: int, record: Record) -> str:
    """``number`` in the unit of the record."""
    unit = str(record.get("unit") or "bytes")
    return size(number) if unit == "bytes" else f"{number} {unit}"


def size(number: int) -> str:
    """Bytes in the binary unit that leaves one to four digits, three of them significant.

    >>> [size(number) for number in (0, 1023, 1536, 220200960, 3 * 1024**4)]
    ['0 B', '1023 B', '1.5 KiB', '210 MiB', '3.0 TiB']
    """
    value = float(number)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1023.5:
            return _three_digits(value, unit)
        value /= 1024
    return _three_digits(value, "TiB")


def _three_digits(value: float, unit: str) -> str:
    return f"{value:.0f} {unit}" if unit == "B" or value >= 99.95 else f"{value:.1f} {unit}"


def duration(seconds: float) -> str:
    """Seconds in the two largest units that matter.

    >>> [duration(seconds) for seconds in (0.4, 59, 60, 754, 7260, 90061)]
    ['0 s', '59 s', '1 min', '12 min 34 s', '2 h 1 min', '1 d 1 h']
    """
    left = round(seconds)
    units = [(86400, "d"), (3600, "h"), (60, "min"), (1, "s")]
    for index, (length, name) in enumerate(units):
        if left >= length or length == 1:
            rest = units[index + 1 : index + 2]
            more = [f"{left % length // sub} {unit}" for sub, unit in rest if left % length // sub]
            return " ".join([f"{left // length} {name}", *more])
    return "0 s"


def recent_rate(samples: t.Sequence[tuple[float, int]]) -> float | None:
    """Units per second over the last half minute of ``(time, done)`` samples; None with fewer than two."""
    if len(samples) < 2:
        return None
    newest = samples[-1]
    oldest = next(sample for sample in samples if newest[0] - sample[0] <= _RATE_WINDOW)
    if newest[0] <= oldest[0]:
        return None
    return max(0.0, (newest[1] - oldest[1]) / (newest[0] - oldest[0]))
