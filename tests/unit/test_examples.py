# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The examples in README, guides and module documentation are playbooks and tasks that Ansible accepts."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"```yaml\n(.*?)```", re.DOTALL)
MODULES = sorted(path.stem for path in (ROOT / "plugins/modules").glob("*.py"))
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = [
    pytest.param(block, id=f"{path.name}-{number}")
    for path in DOCUMENTS
    for number, block in enumerate(BLOCK.findall(path.read_text(encoding="utf-8")))
]


@pytest.fixture(scope="session", name="documentation")
def documentation_fixture() -> dict[str, t.Any]:
    """What ansible-doc knows of our modules, fragments included."""
    output = run("ansible-doc", "-t", "module", "-j", *(f"pgops.pgbackrest.{name}" for name in MODULES))
    return t.cast("dict[str, t.Any]", json.loads(output))


def run(program: str, *words: str) -> str:
    """Output of one of Ansible's programs, which must succeed."""
    argv = [str(Path(sys.executable).parent / program), *words]
    result = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def with_blocks(tasks: t.Iterable[dict[str, t.Any]]) -> t.Iterator[dict[str, t.Any]]:
    """Tasks, and those in their blocks."""
    for task in tasks:
        yield task
        for part in ("block", "rescue", "always"):
            yield from with_blocks(task.get(part, []))


def check(plays: list[dict[str, t.Any]], documentation: dict[str, t.Any], directory: Path) -> None:
    """Ansible accepts the plays, and our modules have every option that they are given."""
    playbook = directory / "playbook.yml"
    playbook.write_text(yaml.safe_dump(plays), encoding="utf-8")
    run("ansible-playbook", "--syntax-check", "-i", "database,", str(playbook))
    for task in (task for play in plays for task in with_blocks(play["tasks"])):
        for name in (key for key in task if key.startswith("pgops.pgbackrest.")):
            assert set(task[name] or {}) <= set(documentation[name]["doc"]["options"]), task


@pytest.mark.parametrize("block", BLOCKS)
def test_example_of_a_document(block: str, documentation: dict[str, t.Any], tmp_path: Path) -> None:
    check(yaml.safe_load(block), documentation, tmp_path)


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_a_module(name: str, documentation: dict[str, t.Any], tmp_path: Path) -> None:
    examples = documentation[f"pgops.pgbackrest.{name}"]["examples"]
    check([{"hosts": "database", "tasks": yaml.safe_load(examples)}], documentation, tmp_path)
