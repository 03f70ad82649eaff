# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run parts of the benchmark and write what they measured: results as JSON, tables in Markdown, charts.

Run it with `make bench`, which prepares all that it needs.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import json
import os
import shutil
import sys
import tempfile
import time
import typing as t
from pathlib import Path

from ..integration.conftest import USER
from . import charts, machine, report
from .context import Context

COLLECTION = Path(__file__).resolve().parents[2]
PARTS = ("backup", "knobs", "wal", "priority", "cost", "growth", "growth_plan")
PAGE = "benchmarks.md"


def main(words: t.Sequence[str]) -> int:
    """Measure the parts that are asked for."""
    asked = arguments(words)
    output: Path = asked.output or COLLECTION / ("tests/output/bench" if asked.smoke else "docs")
    output.mkdir(parents=True, exist_ok=True)
    for name in asked.parts:
        say(f"== {name}")
        measure_part(name, asked, output)
    render(output)
    say(f"The results are in {output / PAGE}.")
    return 0


def arguments(words: t.Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="tests.bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(available())}; all when none is given")
    parser.add_argument("--smoke", action="store_true", help="little data, few runs: does it work")
    parser.add_argument("--runs", type=int, help="how often each competitor runs (5; smoke: 1)")
    parser.add_argument("--megabytes", type=int, help="size of the database (2500; smoke: 100)")
    parser.add_argument("--output", type=Path, help="directory of the results (docs; smoke: tests/output/bench)")
    parser.add_argument(
        "--directory", type=Path, default=Path("/tmp"), help="where clusters and repositories go (/tmp)"
    )
    asked = parser.parse_args(words)
    asked.parts = asked.parts or available()
    for name in asked.parts:
        if name not in available():
            parser.error(f"There is no part {name}; there are {', '.join(available())}.")
    asked.runs = asked.runs or (1 if asked.smoke else 5)
    asked.megabytes = asked.megabytes or (100 if asked.smoke else 2500)
    return asked


def available() -> list[str]:
    """The parts that there are."""
    return [name for name in PARTS if importlib.util.find_spec(f"{__package__}.{name}")]


def measure_part(name: str, asked: argparse.Namespace, output: Path) -> report.Result:
    """Run one part and write its result."""
    part = importlib.import_module(f"{__package__}.{name}")
    start = time.monotonic()
    with work_directory(asked.directory) as directory:
        found = machine.describe(getattr(part, "PROGRAMS", {}), directory)
        result = part.run(Context(asked.runs, asked.megabytes, asked.smoke, directory, say))
    result = {"part": name, "runs": asked.runs, "machine": found, **result}
    text = json.dumps(result, indent=1)
    (output / f"benchmarks-{name}.json").write_text(text + "\n", encoding="utf-8")
    say(f"{name}: {time.monotonic() - start:.0f} s")
    return result


def render(output: Path) -> None:
    """Write the page and the charts anew from all results that are there."""
    source = output / PAGE if (output / PAGE).exists() else COLLECTION / "docs" / PAGE
    results = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(output.glob("benchmarks-*.json"))]
    (output / PAGE).write_text(report.page(source.read_text(encoding="utf-8"), results), encoding="utf-8")
    if importlib.util.find_spec("matplotlib"):
        for result in results:
            charts.draw(result, output)
    else:
        say("No charts: matplotlib is not installed.")


@contextlib.contextmanager
def work_directory(parent: Path) -> t.Iterator[Path]:
    """A directory of the user who runs PostgreSQL; short, because the path of a socket may have 107 bytes only."""
    path = Path(tempfile.mkdtemp(prefix="pgops-bench-", dir=parent))
    try:
        if os.geteuid() == 0:
            shutil.chown(path, USER, USER)
        os.chmod(path, 0o755)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def say(line: str) -> None:
    """Tell how far it is."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
