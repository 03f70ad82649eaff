# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Results as Markdown. Pure.

A part returns a dictionary that JSON can hold:

- ``notes``: sentences about how it was measured.
- ``tables``: each with ``key`` (short, for names of files), ``title``, ``measured`` (values of each competitor, round
  by round), optionally ``unit`` ("s"), ``baseline`` (the competitor that ratios are to), ``more`` ("rate" for values
  of which more is better), and ``beside`` ({heading: {competitor: text}}).
- ``curves``: each with ``key``, ``title``, ``x``, ``y`` (what the axes show) and ``lines`` ({name: [[x, y], ...]}),
  optionally ``log`` (both axes are logarithmic).
- ``facts``: rows [what, value] for single figures.
"""

from __future__ import annotations

import typing as t

from . import measure

Result = t.Mapping[str, t.Any]
BEGIN, END = "<!-- bench {}: begin -->", "<!-- bench {}: end -->"


def page(text: str, results: t.Iterable[Result]) -> str:
    """The page with what stands between the markers of each part written anew."""
    for result in results:
        begin, end = BEGIN.format(result["part"]), END.format(result["part"])
        if begin not in text or end not in text:
            raise ValueError(f"The page has no place for the part {result['part']}: {begin} … {end}")
        before, _begin, rest = text.partition(begin)
        text = f"{before}{begin}\n\n{section(result)}\n{end}{rest.partition(end)[2]}"
    return text


def section(result: Result) -> str:
    """All that is said about one part."""
    blocks = [machine(result)]
    blocks += ["\n".join(f"- {note}" for note in result["notes"])] if result.get("notes") else []
    for table in result.get("tables", ()):
        chart = _chart(result, table["key"], table["title"]) if table.get("baseline") else ""
        blocks.append(f"**{table['title']}**\n\n{measurements(table)}" + chart)
    for curve in result.get("curves", ()):
        blocks.append(f"**{curve['title']}**\n\n{points(curve)}" + _chart(result, curve["key"], curve["title"]))
    if result.get("facts"):
        blocks.append(_rows(["what", "value"], result["facts"]))
    return "\n\n".join(blocks) + "\n"


def _chart(result: Result, key: str, title: str) -> str:
    return f"\n\n![{title}]({chart_name(result['part'], key)})"


def chart_name(part: str, key: str) -> str:
    """Name of the file of a chart, beside the page."""
    return f"benchmarks-{part}-{key}.svg"


def machine(result: Result) -> str:
    """One paragraph: on what, when, with what, how often."""
    found = result["machine"]
    programs = ", ".join(version for version in found["programs"].values() if version)
    busy = (
        " **The machine was busy with other work**, which makes what runs in several processes look better, and what "
        "takes few seconds look worse."
        if found["load_before"] > found["cpus"]
        else ""
    )
    return (
        f"Measured {found['measured']} on {found['cpus']} × {found['cpu']}, {found['memory_mib'] / 1024:.0f} GiB, "
        f"{found['filesystem']}, Linux {found['kernel']}, {found['system']}; load before {found['load_before']}. "
        f"{programs}. {result['runs']} runs of each.{busy}"
    )


def measurements(table: t.Mapping[str, t.Any]) -> str:
    """One table: median and spread of each competitor, and the ratio to the baseline."""
    unit, baseline, beside = table.get("unit", "s"), table.get("baseline"), table.get("beside", {})
    compared = compare(table) if baseline else {}
    head = ["", f"median ({unit})", "least to greatest", *([f"times {baseline}"] if baseline else []), *beside]
    rows = []
    for name, values in table["measured"].items():
        least, greatest = measure.spread(values)
        row = [name, number(measure.median(values)), f"{number(least)} to {number(greatest)}"]
        if baseline:
            low, high = measure.spread(compared[name])
            middle = number(measure.median(compared[name]))
            row.append(middle if name == baseline else f"**{middle}** ({number(low)} to {number(high)})")
        rows.append([*row, *(str(column.get(name, "")) for column in beside.values())])
    return _rows(head, rows)


def compare(table: t.Mapping[str, t.Any]) -> measure.Measured:
    """How many times better each competitor is than the baseline, round by round."""
    found = measure.ratios(table["measured"], to=table["baseline"])
    if table.get("more") == "rate":
        return {name: [1 / ratio if ratio else 0.0 for ratio in values] for name, values in found.items()}
    return found


def points(curve: t.Mapping[str, t.Any]) -> str:
    """The points of a curve as a table: a row for each x."""
    lines = {name: dict(map(tuple, line)) for name, line in curve["lines"].items()}
    xs = sorted({x for line in lines.values() for x in line})
    rows = [[f"{x:,}", *(number(line[x]) if x in line else "" for line in lines.values())] for x in xs]
    return _rows([curve["x"], *(f"{name} ({curve['y']})" for name in lines)], rows)


def number(value: float) -> str:
    """A figure with as many digits as mean anything.

    >>> [number(value) for value in (0.0123, 1.234, 12.34, 1234.5)]
    ['0.012', '1.23', '12.3', '1,234']
    """
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 0.1 else 3
    return f"{value:,.{digits}f}"


def _rows(head: t.Sequence[str], rows: t.Iterable[t.Sequence[str]]) -> str:
    lines = [head, ["---", *("---:" for dummy in head[1:])], *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
