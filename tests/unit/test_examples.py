# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The examples in README, guides, roles and module documentation are what Ansible, modules and roles accept."""

from __future__ import annotations

import functools
import importlib
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
EXAMPLE = re.compile(r"<!-- example: ([\w ]+) -->\n```\w+\n(.*?)```", re.DOTALL)
GIVEN = re.compile(r"-e [\"']?(\w+)=")
NAMED = re.compile(r"`(?:-e )?((?:clone|restore|status)_\w+)(?:=[^`]*)?`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
MODULES = sorted(path.stem for path in (ROOT / "plugins/modules").glob("*.py"))
ROLES = sorted(path.parent.name for path in (ROOT / "roles").glob("*/tasks"))
PLAYBOOKS = sorted(path.stem for path in (ROOT / "playbooks").glob("*.yml"))
TOPOLOGIES = sorted(path.parent.name for path in (ROOT / "docs/topologies").glob("*/inventory.yml"))
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "roles").glob("*/README.md"))]
BLOCKS = [
    pytest.param(block, id=f"{path.relative_to(ROOT)}-{number}")
    for path in DOCUMENTS
    for number, block in enumerate(BLOCK.findall(path.read_text(encoding="utf-8")))
]

model: t.Any = importlib.import_module(
    "ansible_collections.pgops.pgbackrest.tests.unit.plugins.plugin_utils.test_model"
)


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


# Playbooks and tasks


def with_blocks(tasks: t.Iterable[dict[str, t.Any]]) -> t.Iterator[dict[str, t.Any]]:
    """Tasks, and those in their blocks."""
    for task in tasks:
        yield task
        for part in ("block", "rescue", "always"):
            yield from with_blocks(task.get(part, []))


def check(plays: list[dict[str, t.Any]], documentation: dict[str, t.Any]) -> None:
    """Our modules and roles have every option that they are given."""
    for task in (task for play in plays for task in with_blocks(play.get("tasks", []))):
        for name in (key for key in task if key.startswith("pgops.pgbackrest.")):
            assert set(task[name] or {}) <= set(documentation[name]["doc"]["options"]), task
    for role in (role for play in plays for role in play.get("roles", [])):
        check_names(role.get("vars", {}))


def as_plays(examples: str) -> list[dict[str, t.Any]]:
    """A play with the tasks in the documentation of a module."""
    return [{"hosts": "database", "tasks": yaml.safe_load(examples)}]


def test_ansible_accepts_all_plays(documentation: dict[str, t.Any], tmp_path: Path) -> None:
    """All at once, because each start of Ansible takes a second."""
    playbooks = [as_plays(found["examples"]) for found in documentation.values()]
    contents = [yaml.safe_load(param.values[0]) for param in BLOCKS]
    playbooks += [content for content in contents if isinstance(content, list)]
    assert len(playbooks) > len(MODULES)
    for number, plays in enumerate(playbooks):
        (tmp_path / f"{number}.yml").write_text(yaml.safe_dump(plays), encoding="utf-8")
    run("ansible-playbook", "--syntax-check", "-i", "database,", *map(str, sorted(tmp_path.glob("*.yml"))))


# Inventories and variables


@functools.cache
def known_variables() -> frozenset[str]:
    """The variables of our roles."""
    return frozenset(name for role in ROLES for name in model.role_defaults(role))


def check_names(variables: t.Iterable[str]) -> None:
    """Variables that look like those of our roles are."""
    assert {name for name in variables if name.startswith("pgbackrest_")} <= known_variables()


def check_inventory(path: Path) -> None:
    """Ansible reads the inventory, and the roles find nothing wrong with it on hosts as they are meant."""
    listed = json.loads(run("ansible-inventory", "-i", str(path), "--list"))
    members = {group: listed.get(group, {}).get("hosts", []) for group in ("database", "repository")}
    assert members["database"], listed
    assert "ungrouped" not in listed, listed
    given = listed["_meta"]["hostvars"]  # without hosts that have no variables
    hostvars = {name: given.get(name, {}) for names in members.values() for name in names}
    assert set(given) <= set(hostvars)
    for variables in hostvars.values():
        check_names(variables)
    check_site(hostvars, members)


def check_site(hostvars: dict[str, dict[str, t.Any]], members: dict[str, list[str]]) -> None:
    """The roles find nothing wrong."""
    site = model.Site({name: meant(name, hostvars[name], name in members["database"]) for name in hostvars})
    for name, variables in hostvars.items():
        site.hostvars[name].update(variables)
    for name in members["database"]:
        facts = site.hostvars[name]["__pgbackrest_host"]
        site.hostvars[name]["__pgbackrest_clusters"] = model.clusters(site.variables(name), facts, name, site.hostvars)
    for name in members["database"]:
        assert site.problems(name) == []
    for name in members["repository"]:
        variables = {**model.role_defaults("repository"), **hostvars[name]}
        transports = model.cluster_model.kept_transports(site.hostvars, name)
        assert transports, f"no cluster has a repository on {name}"
        assert model.problems.of_repository_host(variables, site.hostvars, name, transports) == []


def meant(name: str, variables: dict[str, t.Any], has_clusters: bool) -> dict[str, t.Any]:
    """What host_info would say of a host of an inventory. The first host of a stanza has its primary."""
    if not has_clusters:
        return t.cast("dict[str, t.Any]", model.facts())
    role = "primary" if variables.get("pgbackrest_hosts", [name])[0] == name else "standby"
    entries = variables.get("pgbackrest_clusters") or [{"cluster": "15/main"}]
    found = [
        model.cluster(name=entry["cluster"], data_directory=f"/var/lib/postgresql/{entry['cluster']}", role=role)
        for entry in entries
    ]
    return t.cast("dict[str, t.Any]", model.facts(*found))


def check_variables(variables: dict[str, t.Any]) -> None:
    """The roles find nothing wrong with variables of a single host."""
    check_names(variables)
    check_site(
        {"db1": {"pgbackrest_repositories": [model.LOCAL], **variables}}, {"database": ["db1"], "repository": []}
    )


@pytest.mark.parametrize("block", BLOCKS)
def test_example_of_a_document(block: str, documentation: dict[str, t.Any], tmp_path: Path) -> None:
    content = yaml.safe_load(block)
    if isinstance(content, list):
        check(content, documentation)
    elif {"all", "database"} & set(content):
        path = tmp_path / "inventory.yml"
        path.write_text(block, encoding="utf-8")
        check_inventory(path)
    else:
        check_variables(content)


def test_an_example_is_the_same_in_all_documents() -> None:
    """So what is run for the README holds for the others."""
    found: dict[str, list[str]] = {}
    for path in DOCUMENTS:
        for name, text in EXAMPLE.findall(path.read_text(encoding="utf-8")):
            found.setdefault(name, []).append(text)
    assert len(found["clone"]) == len(found["restore plan"]) == 2  # README and README.ko
    assert {name: texts for name, texts in found.items() if len(set(texts)) > 1} == {}


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_a_module(name: str, documentation: dict[str, t.Any]) -> None:
    check(as_plays(documentation[f"pgops.pgbackrest.{name}"]["examples"]), documentation)


# Topologies


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_topology_is_quoted_and_run(name: str) -> None:
    text = (ROOT / f"docs/topologies/{name}/inventory.yml").read_text(encoding="utf-8")
    page = (ROOT / "docs/topologies.md").read_text(encoding="utf-8")
    assert f"(topologies/{name}/inventory.yml)\n\n```yaml\n{text.removeprefix('---' + chr(10))}```" in page
    scenarios = {path.parent.name: yaml.safe_load(path.read_text()) for path in ROOT.glob("molecule/*/molecule.yml")}
    assert name in scenarios, "no scenario of molecule runs it"
    playbook_arguments = scenarios[name].get("ansible", {}).get("executor", {}).get("args", {}).get("ansible_playbook")
    if playbook_arguments:  # else those of .config/molecule/config.yml
        assert any(words.endswith(f"/docs/topologies/{name}/inventory.yml") for words in playbook_arguments)
    platforms = {platform["name"] for platform in scenarios[name]["platforms"]}
    hosts = hosts_of(yaml.safe_load(text))
    assert hosts
    assert hosts <= platforms


def hosts_of(group: t.Any) -> set[str]:
    """Names of hosts in an inventory or a part of it."""
    if not isinstance(group, dict):
        return set()
    inner = (hosts_of(value) for key, value in group.items() if key not in ("hosts", "vars"))
    return set(group.get("hosts") or {}).union(*inner)


def test_config_of_molecule_takes_the_inventory_of_the_scenario() -> None:
    text = (ROOT / ".config/molecule/config.yml").read_text(encoding="utf-8")
    assert "/docs/topologies/${MOLECULE_SCENARIO_NAME}/inventory.yml" in text


# What is named is there


def test_roles_are_documented() -> None:
    shown = json.loads(run("ansible-doc", "-t", "role", "-j", *(f"pgops.pgbackrest.{name}" for name in ROLES)))
    for name in ROLES:
        options = shown[f"pgops.pgbackrest.{name}"]["entry_points"]["main"]["options"]
        assert set(options) == set(model.role_defaults(name))
        assert (ROOT / "roles" / name / "README.md").is_file()


def in_tables(path: str) -> list[str]:
    """Names that have a row of their own in a document."""
    text = (ROOT / path).read_text(encoding="utf-8")
    return re.findall(r"^\| `pgops\.pgbackrest\.(\w+)` \|", text, re.MULTILINE)


def test_readme_and_guide_name_everything() -> None:
    assert sorted(in_tables("README.md")) == sorted({*ROLES, *PLAYBOOKS})
    assert sorted(in_tables("docs/modules.md")) == MODULES
    assert f"made of {len(MODULES)} modules" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", DOCUMENTS, ids=[str(path.relative_to(ROOT)) for path in DOCUMENTS])
def test_what_a_document_names_is_there(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert set(re.findall(r"pgops\.pgbackrest\.(\w+)", text)) <= {*MODULES, *ROLES, *PLAYBOOKS}
    # By playbooks, to the next job of a workflow; and a program of somebody else
    others = r"status|backups|backup_label|clone|restore|restore_plan|standby|exporter"
    assert set(re.findall(rf"\bpgbackrest_(?!(?:{others})\b)\w+[a-z]\b", text)) <= {
        name.removeprefix("__") for name in known_variables()
    }
    for link in LINK.findall(text):
        file, dummy, anchor = link.partition("#")
        if not file.startswith("http"):
            target = (path.parent / file).resolve() if file else path
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("path", DOCUMENTS, ids=[str(path.relative_to(ROOT)) for path in DOCUMENTS])
def test_variables_of_commands_are_those_of_a_role_or_playbook(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    known = known_variables() | playbook_variables() | {"restore_command"}  # which is PostgreSQL's
    assert {*GIVEN.findall(text), *NAMED.findall(text)} <= known


@functools.cache
def playbook_variables() -> frozenset[str]:
    """Variables that the playbooks take: those in the comment at their beginning."""
    heads = [
        re.match(r"(?:---\n)?((?:#.*\n)*)", path.read_text(encoding="utf-8")) for path in ROOT.glob("playbooks/*.yml")
    ]
    found = {
        name
        for head in heads
        if head
        for name in re.findall(r"\b(?:awx|clone|restore|backup|status)_\w+", head.group(1))
    }
    assert {"clone_hosts", "restore_hosts", "backup_hosts", "status_hosts"} <= found
    return frozenset(found)


def test_architecture_names_every_private_file_of_the_modules() -> None:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    files = {path.name for path in (ROOT / "plugins/module_utils").glob("_*.py")} - {"__init__.py"}
    assert len(files) > 60
    assert {name for name in files if f"`{name}`" not in text} == set()
    assert {name for name in re.findall(r"`(_\w+\.py)`", text) if not list(ROOT.glob(f"plugins/*/{name}"))} == set()


def test_runbook_names_every_target() -> None:
    text = (ROOT / "docs/restore.md").read_text(encoding="utf-8")
    targets = {name for name in known_variables() if re.match("restore_(target|drop|before_drop)", name)}
    assert len(targets) > 10
    assert {name for name in targets if name not in text} == set()


def anchors(path: Path) -> set[str]:
    """Names by which the headings of a page are linked."""
    headings = HEADING.findall(path.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
