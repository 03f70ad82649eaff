# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Charts of results, as SVG files that are the same again for the same figures."""

from __future__ import annotations

import typing as t
from pathlib import Path

from . import measure, report

_COLOURS = ("#336791", "#d9822b", "#4c9a2a", "#a23b72", "#6b6b6b", "#00838f", "#8d6e63", "#c0ca33")


def draw(result: report.Result, directory: Path) -> None:
    """All charts of a part."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "pgops", "svg.fonttype": "none", "font.size": 9, "figure.autolayout": True})
    for table in result.get("tables", ()):
        if table.get("baseline"):
            _save(_bars(table), directory / report.chart_name(result["part"], table["key"]))
    for curve in result.get("curves", ()):
        _save(_lines(curve), directory / report.chart_name(result["part"], curve["key"]))


def _bars(table: t.Mapping[str, t.Any]) -> t.Any:
    """Medians as bars, with the spread as a line."""
    from matplotlib.figure import Figure

    names = list(table["measured"])
    middles = [measure.median(table["measured"][name]) for name in names]
    spreads = [measure.spread(table["measured"][name]) for name in names]
    reach = [
        [middle - low for middle, (low, dummy) in zip(middles, spreads, strict=True)],
        [high - middle for middle, (dummy, high) in zip(middles, spreads, strict=True)],
    ]
    figure = Figure(figsize=(8, 0.8 + 0.36 * len(names)))
    axes = figure.add_subplot()
    axes.barh(names, middles, xerr=reach, color=_COLOURS[0], ecolor="#222222", capsize=2, height=0.65)
    axes.invert_yaxis()
    axes.set_xlabel(f"{table['title']} ({table.get('unit', 's')})")
    return figure


def _lines(curve: t.Mapping[str, t.Any]) -> t.Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4))
    axes = figure.add_subplot()
    for colour, (name, line) in zip(_COLOURS * 4, curve["lines"].items(), strict=False):
        axes.plot(
            [x for x, dummy in line], [y for dummy, y in line], marker="o", markersize=3, label=name, color=colour
        )
    if curve.get("log"):
        axes.set_xscale("log")
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.set_xlabel(curve["x"])
    axes.set_ylabel(curve["y"])
    axes.set_title(curve["title"])
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def _save(figure: t.Any, path: Path) -> None:
    figure.savefig(path, format="svg", metadata={"Date": None})
