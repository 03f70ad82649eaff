# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Times of competitors, taken side by side: one timer, and pure functions over what it measured."""

from __future__ import annotations

import os
import statistics
import time
import typing as t

# Does the work once. What it returns, if anything, counts instead of the seconds that it took.
Work = t.Callable[[], float | None]
Measured = dict[str, list[float]]


def interleaved(
    competitors: t.Mapping[str, Work],
    runs: int,
    before: t.Callable[[str], None] = lambda name: None,
    say: t.Callable[[str], None] = lambda line: None,
) -> Measured:
    """Seconds of each competitor in each round. A round has all of them, and each round begins with another one.

    So what else happens on the machine meets all of them. ``before`` makes ready and is not measured; nothing that was
    written before waits for its disk when a measurement begins.
    """
    measured: Measured = {name: [] for name in competitors}
    names = list(competitors)
    for number in range(runs):
        shift = number % len(names) if names else 0
        for name in names[shift:] + names[:shift]:
            before(name)
            os.sync()
            start = time.perf_counter()
            value = competitors[name]()
            measured[name].append(time.perf_counter() - start if value is None else value)
        shown = ", ".join(f"{name} {values[-1]:.2f}" for name, values in measured.items())
        say(f"round {number + 1} of {runs}: {shown}")
    return measured


def median(values: t.Sequence[float]) -> float:
    """The middle one.

    >>> median([3, 1, 2])
    2
    """
    return statistics.median(values)


def spread(values: t.Sequence[float]) -> tuple[float, float]:
    """The least and the greatest: with few runs nothing is left out.

    >>> spread([3, 1, 2])
    (1, 3)
    """
    return min(values), max(values)


def ratios(measured: t.Mapping[str, t.Sequence[float]], to: str) -> Measured:
    """How many times less each competitor has than ``to``, round by round.

    The two of a round were measured under the same load, so these ratios vary less than the seconds do.

    >>> ratios({"stock": [8, 9], "tuned": [2, 3]}, to="stock")
    {'stock': [1.0, 1.0], 'tuned': [4.0, 3.0]}
    """
    bases = measured[to]
    return {name: [bases[number] / value for number, value in enumerate(values)] for name, values in measured.items()}
