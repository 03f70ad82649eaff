# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The execution environment has what runs on the controller needs: packages, and collections."""

from __future__ import annotations

import ast
import re
import sys
import typing as t
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
DEFINITION = ROOT / "playbooks/files/awx/execution-environment.yml"
METADATA = ROOT / "meta/execution-environment.yml"
PROJECT = ROOT / "playbooks/files/awx/project/collections/requirements.yml"
ON_HOSTS = {"modules", "module_utils", "doc_fragments"}
OURS = {"ansible.builtin", "pgops.pgbackrest"}
ACTION = re.compile(r"([a-z_]+\.[a-z_]+)\.\w+")
# Filters, tests and lookups with their collection
PLUGIN = re.compile(r"(?:\||\bis(?: not)?|\b(?:lookup|query|q)\(['\"])\s*([a-z_]+\.[a-z_]+)\.\w+")


def read(path: Path) -> t.Any:
    """Content of a YAML file."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


# Python packages


def imported(path: Path) -> t.Iterator[str | Path]:
    """What a file of plugins imports: names of packages, and files of this collection."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield str(node.module).partition(".")[0]
        elif isinstance(node, ast.ImportFrom):
            directory = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            files = [directory.with_suffix(".py"), *(directory / f"{alias.name}.py" for alias in node.names)]
            yield from (file for file in files if file.is_file())


def packages(directories: t.Iterable[str]) -> set[str]:
    """Packages that these kinds of plugins need, with all that they import."""
    found: set[str] = set()
    seen: set[Path] = set()
    files = [path for name in directories for path in (ROOT / "plugins" / name).glob("*.py")]
    while files:
        path = files.pop()
        if path not in seen:
            seen.add(path)
            for item in imported(path):
                files += [item] if isinstance(item, Path) else []
                found |= {item} if isinstance(item, str) else set()
    assert len(seen) > 60
    return found - sys.stdlib_module_names - {"ansible"}


def required() -> set[str]:
    """Python packages that ansible-builder installs for the collection."""
    file = read(METADATA)["dependencies"].get("python")
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines() if file else []
    return {re.split(r"[^\w-]", line)[0] for line in lines if line and not line.startswith("#")}


def test_controller_has_the_packages_that_plugins_import() -> None:
    on_controller = {path.name for path in (ROOT / "plugins").iterdir() if path.is_dir()} - ON_HOSTS - {"__pycache__"}
    assert {"action", "filter", "plugin_utils"} <= on_controller
    assert packages(on_controller) == required()


def test_packages_of_modules_are_seen() -> None:
    assert packages(["modules"]) == {"cryptography", "psycopg2"}


def test_metadata_names_files_that_are_there() -> None:
    assert read(METADATA)["version"] == 1
    assert all((ROOT / file).is_file() for file in read(METADATA)["dependencies"].values())


# Collections


def actions(content: t.Any) -> t.Iterator[tuple[str, dict[str, t.Any]]]:
    """Collections whose modules are run, each with the task."""
    if isinstance(content, list):
        for item in content:
            yield from actions(item)
    elif isinstance(content, dict):
        for key, value in content.items():
            found = ACTION.fullmatch(str(key))
            if found:
                yield found[1], content
            yield from actions(value)


SOURCES = [*ROOT.glob("roles/*/*/*.yml"), *ROOT.glob("playbooks/*.yml"), *ROOT.glob("playbooks/tasks/*.yml")]
ACTIONS = [found for path in SOURCES for found in actions(read(path))]
BY_MODULES = {name for name, dummy in ACTIONS} - OURS
BY_PLUGINS = {name for path in SOURCES for name in PLUGIN.findall(path.read_text(encoding="utf-8"))} - OURS


def named(entries: list[dict[str, str]]) -> set[str]:
    """Names in a list of collections."""
    assert all(set(entry) == {"name"} for entry in entries), "one of them keeps to a version"
    return {entry["name"] for entry in entries}


def test_collections_are_those_that_roles_and_playbooks_use() -> None:
    assert BY_MODULES
    wanted = {*BY_MODULES, *BY_PLUGINS, "pgops.pgbackrest"}
    assert named(read(DEFINITION)["dependencies"]["galaxy"]["collections"]) == wanted
    assert named(read(PROJECT)["collections"]) == wanted


def test_excluded_are_collections_of_which_only_modules_are_used_on_hosts() -> None:
    excluded = set(read(DEFINITION)["dependencies"]["exclude"]["all_from_collections"])
    assert excluded <= BY_MODULES - BY_PLUGINS
    for name, task in ACTIONS:
        assert name not in excluded or task.get("delegate_to") != "localhost", task


def test_base_image_is_said_to_need_what_the_collection_needs() -> None:
    (version,) = re.findall(r">=(\d+\.\d+)", read(ROOT / "meta/runtime.yml")["requires_ansible"])
    for path in (DEFINITION, ROOT / "docs/awx.md"):
        assert f"ansible-core {version} or later" in path.read_text(encoding="utf-8")
