# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Part ``growth``: what an unchanged run of the playbook ``site`` takes on more and more hosts."""

from __future__ import annotations

import functools
import typing as t

from . import hosts
from .context import Context
from .measure import interleaved, median

NAME = "growth"
PROGRAMS = {"ansible": [hosts.PLAYBOOK, "--version"]}
COUNTS = (1, 5, 20, 50)


def run(context: Context) -> dict[str, t.Any]:
    """Protect all hosts once, then run the same again on some of them and on all."""
    counts = (1, 2) if context.smoke else COUNTS
    with hosts.started(context.directory, counts[-1], context.say, apart=True) as found:
        context.say(f"protecting {counts[-1]} hosts")
        found.play("site")
        runs: dict[str, list[hosts.Play]] = {str(count): [] for count in counts}

        def unchanged(count: int) -> float:
            play = found.play("site", limit=found.names[:count])
            refuse_changes(play)
            runs[str(count)].append(play)
            return play.seconds

        competitors = {str(count): functools.partial(unchanged, count) for count in counts}
        interleaved(competitors, context.runs, say=context.say)
    controller = {count: median([play.controller for play in runs[str(count)]]) for count in counts}
    seconds = {count: median([play.seconds for play in runs[str(count)]]) for count in counts}
    return {
        "notes": [
            "Each host is a container with systemd, PostgreSQL and a repository of its own. The controller has a "
            "processor for itself, and all hosts share the others, so the seconds of the whole run hold all of their "
            f"work. Forks: {hosts.FORKS}, with pipelining, and results looked for fifty times a second.",
            "Seconds of processor are those of `ansible-playbook` and all its children, among them `ssh`, but for the "
            "processes that keep connections open. Each run connects anew.",
        ],
        "curves": [
            {
                "key": "site",
                "title": "Unchanged run of site on more and more hosts",
                "x": "hosts",
                "y": "s",
                "lines": {"whole run": points(seconds), "processor on the controller": points(controller)},
            }
        ],
        "facts": [
            [f"controller, for each host from {low} to {high}", f"{step(controller, low, high):.2f} s of processor"]
            for low, high in zip(counts, counts[1:], strict=False)
        ],
    }


def refuse_changes(play: hosts.Play) -> None:
    """Raise when a run was not the unchanged one that it should be."""
    changed = [f"{result['task']} on {result['host']}" for result in play.results if result["changed"]]
    if changed:
        raise RuntimeError(f"The second run changed something: {', '.join(changed)}")


def points(values: t.Mapping[int, float]) -> list[list[float]]:
    """A line of a chart."""
    return [[count, round(value, 3)] for count, value in values.items()]


def step(values: t.Mapping[int, float], low: int, high: int) -> float:
    """What each more costs between two counts.

    >>> step({1: 3.0, 5: 5.0}, 1, 5)
    0.5
    """
    return (values[high] - values[low]) / (high - low)
