# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The objects for AWX: surveys that the playbooks take, a credential that shows no secret, what makes them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

ROOT = Path(__file__).resolve().parents[2]
AWX = ROOT / "playbooks/files/awx"
# Whose arguments the variables of a playbook are, and how they begin there. The playbook backup has no role.
ROLE_OF = {"clone": "clone", "restore": "restore", "site": "database", "standby": "standby"}
# Which files of a project AWX takes for playbooks.
PLAYBOOK = re.compile(r"^\s*?-?\s*?(?:hosts|include|import_playbook):\s*?.*?$", re.MULTILINE)
# Answers of somebody who fills in everything.
ANSWERS = {
    "backup_annotations": "reason=release 42,by=ann",
    "backup_max_age": "24h",
    "clone_db_include": "shop,crm",
    "clone_name": "ci-42",
    "clone_port": "5477",
    "clone_ttl": "4h",
    "restore_before_drop": "true",
    "restore_drop_from": "2026-05-01 14:30:00+02:00",
    "standby_pg_hba": "10.0.0.0/8,192.168.1.0/24",
    "standby_slot": "true",
}
STATS = "ansible.builtin.set_stats"
SECRET = """Only-for-these-tests-'"\\ \u00fc {{ 7 * 7 }} <&>"""
# What the modules of awx.awx 24.6.1 take, as far as it is needed: words are names of options, text unless marked.
MODULES = {
    "controller_meta": "",
    "credential_type": "name description kind inputs:dict injectors:dict",
    "job_template": (
        "name description job_type organization project inventory playbook execution_environment credentials:list"
        " extra_vars:dict ask_limit_on_launch:bool ask_job_type_on_launch:bool survey_enabled:bool survey_spec:dict"
    ),
    "workflow_job_template": (
        "name description organization ask_limit_on_launch:bool survey_enabled:bool survey_spec:dict"
    ),
    "workflow_job_template_node": (
        "workflow_job_template organization lookup_organization identifier unified_job_template approval_node:dict"
        " success_nodes:list"
    ),
}
STAND_IN = """
import json
from ansible.module_utils.basic import AnsibleModule
spec = [word.partition(":") for word in {spec!r}.split()]
module = AnsibleModule({{name: {{"type": kind or "str"}} for name, dummy, kind in spec}})
with open({log!r}, "a") as file:
    file.write(json.dumps([{name!r}, module.params]) + "\\n")
module.exit_json()
"""


class Loader(yaml.SafeLoader):
    """Reads what Ansible must not template as text."""


Loader.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(node))

CONTENT = yaml.load((AWX / "controller.yml").read_text(encoding="utf-8"), Loader)
TEMPLATES = {template["name"]: template for template in CONTENT["controller_templates"]}
(WORKFLOW,) = CONTENT["controller_workflows"]
WITH_SURVEY = [template for template in [*TEMPLATES.values(), WORKFLOW] if template["survey_enabled"]]
QUESTIONS = [
    pytest.param(template, question, id=f"{template['name']}-{question['variable']}")
    for template in WITH_SURVEY
    for question in template["survey_spec"]["spec"]
]


def playbook_of(template: dict[str, t.Any]) -> str:
    """The playbook that a template runs; of the workflow that of its jobs."""
    return Path(template.get("playbook", "restore.yml")).stem


def option_of(playbook: str, variable: str) -> dict[str, t.Any]:
    """The argument of a role that a variable is, or what the playbook without a role says of it."""
    if playbook in ROLE_OF:
        text = (ROOT / "roles" / ROLE_OF[playbook] / "meta/argument_specs.yml").read_text(encoding="utf-8")
        return t.cast("dict[str, t.Any]", yaml.safe_load(text)["argument_specs"]["main"]["options"][variable])
    head = (ROOT / f"playbooks/{playbook}.yml").read_text(encoding="utf-8")
    found = re.search(rf"^#   {variable} +(.*)$", head, re.MULTILINE)
    assert found, f"{variable} is not in the comment of the playbook {playbook}"
    if found[1].startswith("true: "):
        return {"type": "bool", "default": False}
    words = re.match(r"(\w+) \(default\), (\w+) or (\w+)$", found[1])
    return {"type": "str", "default": words[1], "choices": list(words.groups())} if words else {"type": "str"}


def as_answer(value: t.Any) -> str:
    """A default as a survey shows it."""
    return str(value).lower() if isinstance(value, bool) else "" if value in (None, {}, []) else str(value)


# Surveys


@pytest.mark.parametrize(("template", "question"), QUESTIONS)
def test_question_is_an_argument(template: dict[str, t.Any], question: dict[str, t.Any]) -> None:
    option = option_of(playbook_of(template), question["variable"])
    choices = ["false", "true"] if option["type"] == "bool" else option.get("choices")
    kinds = {"int": "integer", "str": "text", "raw": "text", "bool": "multiplechoice"}
    assert question["type"] == ("multiplechoice" if choices else kinds[option["type"]])
    assert sorted(question.get("choices", [])) == sorted(choices or [])
    default = "" if "{{" in str(option.get("default")) else as_answer(option.get("default"))
    assert as_answer(question["default"]) == default
    assert isinstance(question["default"], int if question["type"] == "integer" else str)
    assert not choices or question["default"] in choices


@pytest.mark.parametrize(("template", "question"), QUESTIONS)
def test_answers_are_of_the_type_of_the_argument(template: dict[str, t.Any], question: dict[str, t.Any]) -> None:
    variable = question["variable"]
    validator = ArgumentSpecValidator({variable: option_of(playbook_of(template), variable)})
    for answer in question.get("choices") or [ANSWERS.get(variable, as_answer(question["default"]))]:
        assert validator.validate({variable: str(answer)}).error_messages == []


@pytest.mark.parametrize("template", WITH_SURVEY, ids=lambda template: template["name"])
def test_survey_is_one_that_awx_takes(template: dict[str, t.Any]) -> None:
    spec = template["survey_spec"]
    assert set(spec) == {"name", "description", "spec"}
    variables = [question["variable"] for question in spec["spec"]]
    assert len(variables) == len(set(variables))
    for question in spec["spec"]:
        assert set(question) - {"choices"} == {
            *("question_name", "question_description", "variable"),
            *("required", "type", "default"),
        }
        assert all(isinstance(choice, str) for choice in question.get("choices", []))
        assert question["type"] != "password", "a secret would stand among the variables of the job"
        assert not question["required"] or question["default"] == ""


def variables_of(template: dict[str, t.Any]) -> set[str]:
    return {question["variable"] for question in template["survey_spec"]["spec"]}


# Templates and the workflow


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=lambda template: template["name"])
def test_playbook_of_a_template_is_in_the_project(template: dict[str, t.Any]) -> None:
    text = (AWX / "project" / template["playbook"]).read_text(encoding="utf-8")
    assert PLAYBOOK.search(text)
    (play,) = yaml.safe_load(text)
    assert play["import_playbook"] == f"pgops.pgbackrest.{playbook_of(template)}"
    assert (ROOT / "playbooks" / template["playbook"]).is_file()


def test_every_file_of_the_project_has_a_template() -> None:
    assert {path.name for path in (AWX / "project").glob("*.yml")} == {t["playbook"] for t in TEMPLATES.values()}


def test_workflow_restores_only_what_was_approved() -> None:
    nodes = {node["identifier"]: node for node in WORKFLOW["simplified_workflow_nodes"]}
    assert [node.get("success_nodes") for node in nodes.values()] == [["approve"], ["restore"], None]
    assert "approval_node" in nodes["approve"]
    plan, restore = (TEMPLATES[nodes[name]["unified_job_template"]] for name in ("plan", "restore"))
    assert (plan["job_type"], restore["job_type"]) == ("check", "run")
    assert variables_of(WORKFLOW) == variables_of(plan) | {"restore_confirm"}
    assert re.match(r"\{\{ pgbackrest_restore_plan \| mandatory\(", restore["extra_vars"]["restore_plan"])
    assert "extra_vars" not in TEMPLATES["pgBackRest restore"]
    assert variables_of(TEMPLATES["pgBackRest restore"]) == variables_of(plan) | {"restore_confirm", "restore_plan"}


def tasks_of(path: Path) -> t.Iterator[dict[str, t.Any]]:
    """All tasks of a file, those in blocks and plays included."""
    entries = list(yaml.safe_load(path.read_text(encoding="utf-8")) or [])
    while entries:
        entry = entries.pop()
        yield entry
        entries += [task for part in ("tasks", "block", "rescue", "always") for task in entry.get(part, [])]


def test_what_is_handed_on_takes_the_place_of_what_was_before() -> None:
    """Else Ansible would write the identity of a plan twice, one behind the other."""
    files = [*ROOT.glob("roles/*/tasks/*.yml"), *ROOT.glob("playbooks/*.yml")]
    stats = [task[STATS] for path in files for task in tasks_of(path) if STATS in task]
    assert len(stats) > 6
    assert all(one["aggregate"] is False for one in stats)
    handed_on = {name for one in stats for name in one["data"]}
    assert handed_on == set(re.findall(r"\bpgbackrest_\w+", (ROOT / "docs/awx.md").read_text(encoding="utf-8"))) - {
        "pgbackrest_repositories"
    }


# The credential


def rendered(inputs: dict[str, str]) -> dict[str, t.Any]:
    """What the job reads, with the template rendered as AWX does it."""
    (kind,) = CONTENT["controller_credential_types"]
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined)
    text = environment.from_string(kind["injectors"]["file"]["template"]).render(inputs)
    return t.cast("dict[str, t.Any]", json.loads(text))


def test_secrets_go_to_a_file_only() -> None:
    (kind,) = CONTENT["controller_credential_types"]
    assert set(kind["injectors"]) == {"file", "env"}
    assert kind["injectors"]["env"] == {"PGOPS_SECRETS": "{{ tower.filename }}"}
    assert all(field["secret"] for field in kind["inputs"]["fields"])


@pytest.mark.parametrize("given", [{}, {"cipher_pass": SECRET, "standby_password": SECRET}])
def test_secrets_arrive_as_they_are(given: dict[str, str]) -> None:
    (kind,) = CONTENT["controller_credential_types"]
    names = [field["id"] for field in kind["inputs"]["fields"]]
    assert rendered(given) == {**dict.fromkeys(names, ""), **given}


# Playbooks


@pytest.fixture(name="play")
def play_fixture(tmp_path: Path) -> t.Callable[..., subprocess.CompletedProcess[str]]:
    """Run a playbook as a job: variables are text."""
    program = str(Path(sys.executable).parent / "ansible-playbook")
    environment = {**os.environ, "ANSIBLE_HOME": str(tmp_path / "home"), "ANSIBLE_NOCOLOR": "1", "LC_ALL": "C.UTF-8"}

    def run(name: str, *words: str, path: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        paths = f"{path}:{environment.get('ANSIBLE_COLLECTIONS_PATH') or environment['PYTHONPATH']}"
        return subprocess.run(
            [program, name, "-e", json.dumps(variables), *words],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**environment, "ANSIBLE_COLLECTIONS_PATH": paths.lstrip(":")},
        )

    return run


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=lambda template: template["name"])
def test_playbook_takes_the_answers_as_text(
    play: t.Callable[..., t.Any], tmp_path: Path, template: dict[str, t.Any]
) -> None:
    """It comes as far as the first host, on which no module can run."""
    (tmp_path / "hosts").write_text("[database]\ndb1\n[clone]\ndb1\n", encoding="utf-8")
    questions = template["survey_spec"].get("spec", [])
    answers = {question["variable"]: as_answer(question["default"]) for question in questions}
    answers.update({name: ANSWERS[name] for name in answers if name in ANSWERS})
    if not questions:
        answers["pgbackrest_restore_plan"] = "20260501-100000F-01234567"
    result = play(
        str(AWX / "project" / template["playbook"]),
        *("-i", str(tmp_path / "hosts"), "--check", "-e", json.dumps(template.get("extra_vars", {}))),
        **answers,
        ansible_connection="local",
        ansible_python_interpreter="/nonexistent/python3",
    )
    assert re.search(r"TASK \[pgops.pgbackrest.\w+ : Look at the host\]", result.stdout), result.stdout + result.stderr
    assert "/nonexistent/python3" in result.stdout + result.stderr


def test_restore_as_approved_wants_an_approved_plan(play: t.Callable[..., t.Any], tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("[database]\ndb1\n", encoding="utf-8")
    variables = TEMPLATES["pgBackRest restore as approved"]["extra_vars"]
    result = play(
        str(AWX / "project/restore.yml"),
        *("-i", str(tmp_path / "hosts"), "-e", json.dumps(variables)),
        restore_confirm="main",
    )
    assert result.returncode != 0
    assert "No job of this workflow has planned a restore." in result.stdout + result.stderr
    assert "Look at" not in result.stdout


def stand_in(tmp_path: Path) -> Path:
    """A collection awx.awx that notes what its modules are given."""
    directory = tmp_path / "ansible_collections/awx/awx"
    (directory / "plugins/modules").mkdir(parents=True)
    for name, spec in MODULES.items():
        text = STAND_IN.format(spec=spec, name=name, log=str(tmp_path / "log"))
        (directory / f"plugins/modules/{name}.py").write_text(text, encoding="utf-8")
    return tmp_path


def test_objects_are_made(play: t.Callable[..., t.Any], tmp_path: Path) -> None:
    names = {"awx_project": "databases", "awx_inventory": "live", "awx_credentials": "SSH, pgBackRest"}
    result = play("pgops.pgbackrest.awx", path=str(stand_in(tmp_path)), **names)
    assert result.returncode == 0, result.stdout + result.stderr
    belongs: dict[str, t.Any] = {"organization": "Default", "project": "databases", "inventory": "live"}
    belongs |= {"credentials": ["SSH", "pgBackRest"], "execution_environment": None}
    made = [json.loads(line) for line in (tmp_path / "log").read_text(encoding="utf-8").splitlines()]
    templates = {given["name"]: given for name, given in made if name == "job_template"}
    assert set(templates) == set(TEMPLATES)
    for name, given in templates.items():
        assert given == {"extra_vars": None, "ask_job_type_on_launch": False, **TEMPLATES[name], **belongs}
    nodes = [given for name, given in made if name == "workflow_job_template_node"]
    assert [node["identifier"] for node in nodes] == ["plan", "approve", "restore", "plan", "approve"]
    assert [node["success_nodes"] for node in nodes] == [None, None, None, ["approve"], ["restore"]]
    assert [node["approval_node"] is not None for node in nodes] == [False, True, False, False, False]
    (kind,) = [given for name, given in made if name == "credential_type"]
    assert kind == CONTENT["controller_credential_types"][0]
    (workflow,) = [given for name, given in made if name == "workflow_job_template"]
    assert workflow["survey_spec"] == WORKFLOW["survey_spec"]


def test_playbook_says_what_to_install(play: t.Callable[..., t.Any]) -> None:
    result = play("pgops.pgbackrest.awx", awx_project="p", awx_inventory="i", awx_collection="no.such")
    assert result.returncode != 0
    assert "The collection no.such does not work here: " in result.stdout
    assert "ansible-galaxy collection install no.such" in result.stdout


def test_playbook_asks_for_project_and_inventory(play: t.Callable[..., t.Any]) -> None:
    result = play("pgops.pgbackrest.awx", awx_project="p")
    assert result.returncode != 0
    assert "-e awx_inventory=" in result.stdout


def test_status_is_not_that_of_an_earlier_job(play: t.Callable[..., t.Any], tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("[database]\ndb1\n", encoding="utf-8")
    result = play(
        str(AWX / "project/status.yml"),
        *("-i", str(tmp_path / "hosts"), "-e", json.dumps({"pgbackrest_status": {"healthy": True, "stanzas": []}})),
        status_fail="true",
        ansible_connection="local",
        ansible_python_interpreter="/nonexistent/python3",
    )
    assert result.returncode != 0
    assert "db1  NOT REACHED" in result.stdout
