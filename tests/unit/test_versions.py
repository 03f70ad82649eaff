# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The README says which versions the tests run on, as their own files say it.

After a change of those write the table again:

    PYTHONPATH=.build/collections .build/tests/bin/python tests/unit/test_versions.py
"""

from __future__ import annotations

import re
import sys
import typing as t
from collections import defaultdict
from pathlib import Path

import yaml
from ansible.release import __version__ as ansible_version

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
BEGIN, END = "<!-- begin: tests/unit/test_versions.py -->\n", "<!-- end -->\n"
Rows = list[tuple[str, ...]]


def read(path: str) -> str:
    """Text of a file of the collection."""
    return (ROOT / path).read_text(encoding="utf-8")


def found(pattern: str, path: str) -> str:
    """What the one group of a pattern has matched in a file."""
    match = re.search(pattern, read(path), re.MULTILINE)
    assert match, f"{path} has no {pattern}"
    return match.group(1)


VERSIONS: dict[str, t.Any] = yaml.safe_load(read("tests/data/versions.yml"))
SUITES: dict[str, dict[str, str]] = VERSIONS["suites"]


# What the files of the tests say


def platforms() -> dict[str, tuple[set[str], set[str]]]:
    """Of each suite the major versions of PostgreSQL that run on its hosts, and the scenarios."""
    all_of: dict[str, tuple[set[str], set[str]]] = defaultdict(lambda: (set(), set()))
    for path in sorted(ROOT.glob("molecule/*/molecule.yml")):
        for platform in yaml.safe_load(path.read_text(encoding="utf-8"))["platforms"]:
            majors, scenarios = all_of[platform["suite"]]
            majors.update(cluster.partition("/")[0] for cluster in platform.get("clusters", []))
            scenarios.add(path.parent.name)
    return dict(all_of)


def of_hosts() -> Rows:
    """One row for each suite of Debian."""
    used = platforms()
    assert set(used) == set(SUITES), "tests/data/versions.yml must have the suites of molecule/*/molecule.yml"
    head = ("Debian", "PostgreSQL", "pgBackRest", "Python", "scenarios in `molecule`")
    rows = [
        (suite["debian"], listed(used[name][0]), suite["pgbackrest"], suite["python"], listed(used[name][1]))
        for name, suite in SUITES.items()
    ]
    return [head, *rows]


def of_the_rest() -> Rows:
    """What is not a property of a host with systemd."""
    majors = found(r"^POSTGRESQL_VERSIONS \?= (.*)$", "Makefile").split()
    suites = found(r"^PGBACKREST_SUITES \?= (.*)$", "Makefile").split()
    accepted = found(r'^requires_ansible: ">=([\d.]+)\.0"$', "meta/runtime.yml")
    assert accepted == found(r"^ansible-core>=([\d.]+),", "tests/requirements/ansible.txt")
    oldest = found(r'^  python_requires: ">=([\d.]+)"$', "tests/config.yml")
    transports = (path.parent.name for path in ROOT.glob("docs/topologies/*/inventory.yml"))
    cores = ", ".join(f"{core} with Python {python}" for python, core in VERSIONS["ansible_core"].items())
    return [
        ("ansible-core", f"{cores} and newer; accepted from {accepted} on"),
        ("inventories on hosts", f"{listed(transports)} of [Topologies](docs/topologies.md)"),
        ("modules without roles", f"PostgreSQL {listed(majors)} and Debian's own; pgBackRest {released(suites)}"),
        ("Python of hosts", f"{oldest} and newer: compiled and imported with each that the test machine has"),
    ]


def released(suites: t.Iterable[str]) -> str:
    """The versions of pgBackRest that suites have."""
    return listed(SUITES[suite]["pgbackrest"] for suite in suites)


def listed(words: t.Iterable[str]) -> str:
    """Words in order."""
    return ", ".join(sorted(words))


def lines(rows: Rows) -> str:
    """A table in Markdown; the first row is its head."""
    head, *rest = (f"| {' | '.join(row)} |\n" for row in rows)
    return "".join([head, "|" + "---|" * len(rows[0]) + "\n", *rest])


def table() -> str:
    """All that stands between the marks."""
    return f"\n{lines(of_hosts())}\n{lines([('', ''), *of_the_rest()])}\n"


# The README


def test_readme_shows_the_versions_of_the_tests() -> None:
    text = README.read_text(encoding="utf-8")
    assert text.partition(BEGIN)[2].partition(END)[0] == table(), f"README.md must have there:\n{table()}"


def test_this_ansible_is_the_one_that_is_named() -> None:
    cores = {tuple(map(int, python.split("."))): core for python, core in VERSIONS["ansible_core"].items()}
    newest = cores[max(python for python in cores if python <= sys.version_info)]
    assert ansible_version.startswith(f"{newest}."), f"{ansible_version} runs; tests/data/versions.yml has {newest}"


def write() -> None:
    """Write the table again."""
    before, mark, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    README.write_text("".join([before, mark, table(), END, rest.partition(END)[2]]), encoding="utf-8")


if __name__ == "__main__":
    write()
