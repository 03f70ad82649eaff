# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs job templates with ansible-runner as the controller does: private directory, answers as text, no terminal."""

from __future__ import annotations

import contextlib
import functools
import glob
import json
import os
import shutil
import signal
import subprocess
import time
import typing as t
import uuid
from dataclasses import dataclass

import yaml
from jinja2.sandbox import ImmutableSandboxedEnvironment
from live import PATIENCE
from playbook import SECRETS, ephemeral, inventories

AWX = os.path.join(os.path.dirname(__file__), "../../playbooks/files/awx")
# Variables of the inventory that a credential brings, by its fields.
SECRET_FIELDS = {"cipher_pass": "vault_pgbackrest_cipher_pass"}
MARK = "PGOPS_TESTS_JOB"  # variable by which all processes of a job are found
SETTINGS = {"idle_timeout": 0, "job_timeout": 0, "pexpect_timeout": 1, "suppress_ansible_output": True}


class Unsafe(str):
    """Text that a user has given: the controller marks it, so that it is not templated."""


class Loader(yaml.SafeLoader):
    """Reads the objects for AWX."""


class Dumper(yaml.SafeDumper):
    """Writes variables as the controller does."""


Loader.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(node))
Dumper.add_representer(Unsafe, lambda dumper, text: dumper.represent_scalar("!unsafe", str(text)))


@dataclass(frozen=True)
class Environment:
    """The image that a job runs in, and how it reaches the hosts from there."""

    image: str
    network: str
    user: str
    key: str

    @property
    def settings(self) -> dict[str, t.Any]:
        """What ansible-runner is told of the container."""
        return {
            "process_isolation": True,
            "process_isolation_executable": "docker",
            "container_image": self.image,
            "container_options": [f"--network={self.network}"],
        }

    @property
    def connection(self) -> dict[str, str]:
        """Variables of the hosts."""
        return {"ansible_connection": "ssh", "ansible_user": self.user}


@dataclass(frozen=True)
class Job:
    """A job that has ended."""

    status: str
    rc: int
    events: list[dict[str, t.Any]]

    @property
    def text(self) -> str:
        """Its output."""
        return "".join(event["stdout"] + "\n" for event in self.events if event["stdout"])

    @property
    def artifacts(self) -> dict[str, t.Any]:
        """What it hands to the next job of a workflow."""
        ends = [event for event in self.events if event["event"] == "playbook_on_stats"]
        return t.cast("dict[str, t.Any]", ends[-1]["event_data"]["artifact_data"]) if ends else {}

    @property
    def changed(self) -> dict[str, int]:
        """Host to its number of changed tasks."""
        (end,) = [event for event in self.events if event["event"] == "playbook_on_stats"]
        return t.cast("dict[str, int]", end["event_data"]["changed"])


@functools.cache
def content() -> dict[str, t.Any]:
    """The objects for AWX."""
    with open(os.path.join(AWX, "controller.yml"), encoding="utf-8") as file:
        return t.cast("dict[str, t.Any]", yaml.load(file, Loader))


def template_of(name: str) -> dict[str, t.Any]:
    """A job template by its name without the word that all begin with."""
    (found,) = [one for one in content()["controller_templates"] if one["name"] == f"pgBackRest {name}"]
    return dict(found)


def answers_of(template: t.Mapping[str, t.Any], given: t.Mapping[str, str]) -> dict[str, str]:
    """The answers to a survey, where nobody changes a default that is not given."""
    questions = {question["variable"]: question for question in template["survey_spec"].get("spec", [])}
    assert set(given) <= set(questions), "The survey does not ask for that."
    return {name: given.get(name, str(question["default"])) for name, question in questions.items()}


def workflow_answers(**given: str) -> dict[str, str]:
    """The answers to the survey of the workflow."""
    (workflow,) = content()["controller_workflows"]
    return answers_of(workflow, given)


@functools.cache
def inventory(**connection: str) -> tuple[str, dict[str, str]]:
    """The inventory of the scenario as a script, as the controller writes it, and the secrets taken out of it."""
    words = ["ansible-inventory", *inventories(), "--list"]
    listed = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    secrets: dict[str, str] = {}
    for variables in listed["_meta"]["hostvars"].values():
        variables.update(connection)
        for field, name in SECRET_FIELDS.items():
            secrets[field] = variables[name]
            variables[name] = "{{ (lookup('file', lookup('env', 'PGOPS_SECRETS')) | from_json)." + field + " }}"
    text = json.dumps(listed)
    assert secrets and SECRETS not in text
    return f"#!/usr/bin/env python3\nprint({text!r})\n", secrets


def write(path: str, text: str, mode: int = 0o600) -> str:
    """A file of the private data directory."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as file:
        file.write(text)
    return path


def prepare(
    template: t.Mapping[str, t.Any], extra: t.Mapping[str, t.Any], within: Environment | None
) -> tuple[str, str]:
    """A private data directory, and the mark of the job's processes."""
    mark = uuid.uuid4().hex
    directory = ephemeral(f"jobs/{mark}")
    script, secrets = inventory(**(within.connection if within else {}))
    (kind,) = content()["controller_credential_types"]
    secret = ImmutableSandboxedEnvironment().from_string(kind["injectors"]["file"]["template"]).render(secrets)
    assert SECRETS in secret
    credential = write(f"{directory}/env/tmp{mark}", secret)
    if within:
        credential = credential.replace(directory, "/runner", 1)
        write(f"{directory}/env/ssh_key", within.key)
    write(f"{directory}/inventory/hosts", script, 0o700)
    shutil.copytree(os.path.join(AWX, "project"), f"{directory}/project")
    variables = {**template.get("extra_vars", {}), **{name: unsafe(value) for name, value in extra.items()}}
    variables |= {"awx_job_id": 1, "awx_job_launch_type": "manual", "awx_user_name": "admin"}
    write(f"{directory}/env/extravars", yaml.dump(variables, Dumper=Dumper))
    write(f"{directory}/env/settings", json.dumps({**SETTINGS, **(within.settings if within else {})}))
    write(f"{directory}/env/envvars", json.dumps({"PGOPS_SECRETS": credential, MARK: mark}))
    if template["job_type"] == "check":
        write(f"{directory}/env/cmdline", "--check")
    return directory, mark


def unsafe(value: t.Any) -> t.Any:
    """A value with all its text marked."""
    if isinstance(value, dict):
        return {key: unsafe(item) for key, item in value.items()}
    if isinstance(value, list):
        return [unsafe(item) for item in value]
    return Unsafe(value) if isinstance(value, str) else value


@contextlib.contextmanager
def launched(
    name: str,
    artifacts: t.Mapping[str, t.Any] | None = None,
    answers: t.Mapping[str, str] | None = None,
    check: bool = False,
    within: Environment | None = None,
    **given: str,
) -> t.Iterator[Launched]:
    """A running job, with the answers to its survey, or those to the survey of its workflow."""
    template = template_of(name)
    assert not check or template["ask_job_type_on_launch"], "The job type of this template is fixed."
    template |= {"job_type": "check"} if check else {}
    extra = {**(artifacts or {}), **(answers_of(template, given) if answers is None else answers)}
    directory, mark = prepare(template, extra, within)
    keep = ("PATH", "HOME", "LC_ALL", "DOCKER_HOST", "ANSIBLE_COLLECTIONS_PATH", "ANSIBLE_HOME")
    process = subprocess.Popen(
        ["ansible-runner", "run", directory, "--playbook", template["playbook"], "--ident", "1"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={name: os.environ[name] for name in keep if name in os.environ},
    )
    job = Launched(directory, mark, process)
    try:
        yield job
    finally:
        job.end_container()
        process.kill()
        process.wait()


@dataclass
class Launched:
    """A job that may still run."""

    directory: str
    mark: str
    process: subprocess.Popen[bytes]

    def ended(self) -> Job:
        """Wait for its end. No secret stands in what the controller keeps of it."""
        self.process.wait(timeout=600)
        artifacts = f"{self.directory}/artifacts/1"
        kept = [path for path in glob.glob(f"{artifacts}/**", recursive=True) if os.path.isfile(path)]
        for path in [*kept, f"{self.directory}/env/extravars"]:
            with open(path, "rb") as file:
                assert SECRETS.encode() not in file.read(), f"A secret stands in {path}."
        events = []
        for path in glob.glob(f"{artifacts}/job_events/*.json"):
            if not path.endswith("-partial.json"):
                with open(path, encoding="utf-8") as file:
                    events.append(json.load(file))
        with open(f"{artifacts}/status", encoding="utf-8") as status, open(f"{artifacts}/rc", encoding="utf-8") as rc:
            return Job(status.read(), int(rc.read()), sorted(events, key=lambda event: int(event["counter"])))

    def cancel(self) -> Job:
        """What the controller does: ansible-runner gets a signal, kills Ansible, and the container ends."""
        self.process.send_signal(signal.SIGTERM)
        job = self.ended()
        self.end_container()
        return job

    def end_container(self) -> None:
        """End every process that belongs to the job."""
        for path in glob.glob("/proc/[0-9]*/environ"):
            with contextlib.suppress(OSError), open(path, "rb") as file:
                if f"{MARK}={self.mark}".encode() in file.read().split(b"\0"):
                    os.kill(int(path.split("/")[2]), signal.SIGKILL)

    def wait_for_text(self, text: str) -> None:
        """Come back when this stands in the output."""
        end = time.monotonic() + PATIENCE
        while text not in self.output():
            assert self.process.poll() is None and time.monotonic() < end, f"The job does not say {text!r}."
            time.sleep(0.3)  # the file of the output tells nobody that it grows

    def output(self) -> str:
        """What it has said so far."""
        with contextlib.suppress(FileNotFoundError), open(
            f"{self.directory}/artifacts/1/stdout", encoding="utf-8"
        ) as file:
            return file.read()
        return ""


def run(name: str, artifacts: t.Mapping[str, t.Any] | None = None, **parts: t.Any) -> Job:
    """Run a job to its end, be it good or bad."""
    with launched(name, artifacts, **parts) as job:
        return job.ended()


def succeed(name: str, artifacts: t.Mapping[str, t.Any] | None = None, **parts: t.Any) -> Job:
    """Run a job that must end well."""
    job = run(name, artifacts, **parts)
    assert (job.status, job.rc) == ("successful", 0), job.text
    return job
