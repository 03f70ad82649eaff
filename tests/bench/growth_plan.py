# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a plan, the state of the backups and the playbook status cost when a repository has grown for years.

Each is measured as a whole play of ansible-playbook beside one that does nothing (ping), and as the process of the
module alone, with the memory that it took.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import yaml

from ..integration.conftest import PYTHON, as_user, fill_module_tree
from . import hosts, measure
from .context import Context
from .growth_data import lengthen, multiply
from .throwaway import PROGRAMS as VERSIONS, USER, Cluster, as_postgres, empty, free_port

NAME = "growth_plan"
COLLECTION = Path(__file__).resolve().parents[2]
PLAYBOOK = str(Path(sys.executable).parent / "ansible-playbook")
PROGRAMS = {
    "pgbackrest": [VERSIONS[0].executable, "version"],
    "postgres": [f"{VERSIONS[0].bindir}/postgres", "--version"],
    "ansible": [PLAYBOOK, "--version"],
}
SEGMENTS = (1_000, 10_000, 100_000, 1_000_000)
BACKUPS = (10, 100, 1_000, 10_000)
PING = "ping"
BARE = "pgbackrest info"  # what no module can save

# Prints the seconds and the most memory (KiB) of a module's process.
_MODULE = """
import contextlib, importlib, io, json, resource, sys, time
start = time.perf_counter()
from ansible.module_utils import basic
basic._ANSIBLE_ARGS = sys.stdin.buffer.read()
basic._ANSIBLE_PROFILE = "legacy"
text = io.StringIO()
with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
    importlib.import_module("ansible_collections.pgops.pgbackrest.plugins.modules." + sys.argv[1]).main()
seconds = time.perf_counter() - start
result = json.loads(text.getvalue())
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([seconds, memory, result.get("failed", False), result.get("msg", "")]))
"""


@dataclass
class Curves:
    """What was measured of one kind of growth: seconds and memory by name, as points; all seconds of the last size."""

    seconds: dict[str, list[list[float]]] = field(default_factory=dict)
    memory: dict[str, list[list[float]]] = field(default_factory=dict)
    last: measure.Measured = field(default_factory=dict)

    def add(self, size: int, tasks: measure.Measured, module: str, alone: t.Sequence[tuple[float, float]]) -> None:
        """One point of each line."""
        plays = {name if name == BARE else f"{name}, whole play": values for name, values in tasks.items()}
        self.last = {**plays, f"module {module} alone": [seconds for seconds, dummy in alone]}
        for name, values in self.last.items():
            self.seconds.setdefault(name, []).append([size, measure.median(values)])
        self.memory.setdefault(f"module {module}", []).append([size, max(kib for dummy, kib in alone) / 1024])


def run(context: Context) -> dict[str, t.Any]:
    """Measure all sizes, small ones first."""
    cluster = protected(empty(context.directory / "main"))
    tree = fill_module_tree(context.directory / "modules")
    archive, backups = Curves(), Curves()
    segments, counts = (sizes[:2] if context.smoke else sizes for sizes in (SEGMENTS, BACKUPS))
    for size in segments:
        context.say(f"-- {size} archived segments")
        target = lengthen(cluster, size)
        task = {**common(cluster), "delta": True, "type": "time", "target": target}
        measure_one(context, cluster, tree, archive, size, "restore", task)
    for size in counts:
        context.say(f"-- {size} backups")
        multiply(cluster, size)
        measure_one(context, cluster, tree, backups, size, "backup_info", common(cluster))
    return {
        "notes": [
            "The archive has grown by empty files with the names of segments, between a real backup and real WAL.",
            "The backups are entries of backup.info: all that pgBackRest itself reads to tell about them.",
            "The plan is the module restore in check mode, with a time before the newest commit as target; it reads "
            "the newest WAL. The memory is the most that the module's process took.",
        ],
        "tables": [
            {
                "key": "most-segments",
                "title": f"A plan over {segments[-1]:,} archived segments",
                "measured": archive.last,
            },
            {"key": "most-backups", "title": f"The state of {counts[-1]:,} backups", "measured": backups.last},
        ],
        "curves": [
            curve("segments", "Plan of a restore", "archived segments", "s", archive.seconds),
            curve("segments-memory", "Memory of a plan", "archived segments", "MiB", archive.memory),
            curve("backups", "State of the backups", "backups", "s", backups.seconds),
            curve("backups-memory", "Memory of backup_info", "backups", "MiB", backups.memory),
        ],
    }


def curve(key: str, title: str, x: str, y: str, lines: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Lines for the report."""
    return {"key": key, "title": title, "x": x, "y": y, "lines": lines, "log": True}


def measure_one(
    context: Context, cluster: Cluster, tree: Path, curves: Curves, size: int, module: str, params: dict[str, t.Any]
) -> None:
    """One size: whole plays side by side, then the module alone."""
    name = "plan" if module == "restore" else module
    plays = {PING: play({"ansible.builtin.ping": {}}), name: play({f"pgops.pgbackrest.{module}": params})}
    if module == "backup_info":
        plays["status"] = status_play(cluster)
    books = {each: write_play(context.directory / f"{each}.yml", text) for each, text in plays.items()}

    works: dict[str, measure.Work] = {each: partial(play_book, book) for each, book in books.items()}
    if module == "backup_info":
        works[BARE] = partial(bare_info, cluster)
    tasks = measure.interleaved(works, context.runs, say=context.say)
    alone = [run_module(tree, module, params) for dummy in range(context.runs)]
    shown = ", ".join(f"{seconds:.2f} s and {kib / 1024:.0f} MiB" for seconds, kib in alone)
    context.say(f"the module alone: {shown}")
    curves.add(size, tasks, module, alone)


def bare_info(cluster: Cluster) -> None:
    """What pgBackRest itself takes."""
    cluster.pgbackrest("--output=json", "info")


def protected(directory: Path) -> Cluster:
    """A stopped cluster with one backup."""
    cluster = Cluster(directory, VERSIONS[0], free_port())
    cluster.initdb()
    cluster.protect()
    cluster.backup()
    cluster.archive()
    cluster.stop()
    return cluster


def common(cluster: Cluster) -> dict[str, str]:
    """Options of all modules."""
    return {"stanza": cluster.stanza, "config": str(cluster.config)}


def run_module(tree: Path, module: str, params: dict[str, t.Any]) -> tuple[float, float]:
    """Seconds and KiB of one run in check mode, as on a host."""
    internal = {"_ansible_check_mode": True, "_ansible_diff": False, "_ansible_remote_tmp": "/tmp"}
    arguments = json.dumps({"ANSIBLE_MODULE_ARGS": {**params, **internal}})
    argv = ["env", f"PYTHONPATH={tree}", PYTHON, "-c", _MODULE, module]
    finished = as_user(argv, input=arguments)
    if finished.returncode:
        raise RuntimeError(finished.stderr)
    seconds, memory, failed, message = json.loads(finished.stdout)
    if failed:
        raise RuntimeError(message)
    return seconds, memory


def play(*tasks: dict[str, t.Any]) -> list[dict[str, t.Any]]:
    """A play on this host as the user of the clusters."""
    become = {"become": True, "become_user": USER, "become_method": "ansible.builtin.su"} if as_postgres() else {}
    named = [{"name": f"Task {number}", **task} for number, task in enumerate(tasks, 1)]
    return [{"name": "Growth", "hosts": "localhost", "gather_facts": False, **become, "tasks": named}]


def status_play(cluster: Cluster) -> list[dict[str, t.Any]]:
    """The playbook status from where it reads the repositories on; what it has asked before is given."""
    plays = yaml.safe_load((COLLECTION / "playbooks/status.yml").read_text(encoding="utf-8"))
    names = ("Ask what the repositories hold", "Keep what the host said", "Judge", "THE BACKUPS")
    known = {"stanza": cluster.stanza, "owner": USER, "hosts": ["localhost"], "repositories": []}
    given = {
        "__pgbackrest_clusters": [known],
        "__pgbackrest_host": {"pgbackrest": {"version": "2.45"}},
        "__pgbackrest_archiving": {"results": []},
        "__pgbackrest_schedule": {"results": []},
        "pgbackrest_clusters": [{"stanza": cluster.stanza}],
        "pgbackrest_stanza": cluster.stanza,
        "pgbackrest_hosts": ["localhost"],
    }
    (found,) = play()
    found["tasks"] = [task for task in plays[-1]["tasks"] if task["name"] in names]
    return [
        {**found, "vars": {**plays[-1]["vars"], **given}, "environment": {"PGBACKREST_CONFIG": str(cluster.config)}}
    ]


def write_play(path: Path, text: list[dict[str, t.Any]]) -> Path:
    """A playbook."""
    path.write_text(yaml.safe_dump(text, sort_keys=False), encoding="utf-8")
    return path


def play_book(path: Path) -> None:
    """Run a playbook in check mode."""
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": os.environ.get("ANSIBLE_COLLECTIONS_PATH", str(hosts.BUILD / "collections")),
        "ANSIBLE_PIPELINING": "true",
        "LC_ALL": "C.UTF-8",
    }
    variables = json.dumps({"ansible_connection": "local", "ansible_python_interpreter": PYTHON})
    argv = [PLAYBOOK, "--check", "--inventory", "localhost,", "--extra-vars", variables, str(path)]
    finished = subprocess.run(argv, capture_output=True, text=True, check=False, env=environment)
    if finished.returncode:
        raise RuntimeError(finished.stdout + finished.stderr)
