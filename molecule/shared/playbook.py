# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs a playbook of the collection against the hosts of a scenario, as molecule runs it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import typing as t
from dataclasses import dataclass

import yaml

# What all passphrases and keys in the inventories begin with.
SECRETS = "Only-for-these-tests"


@dataclass(frozen=True)
class Outcome:
    """How a play ended."""

    rc: int
    output: str
    recap: dict[str, dict[str, int]]

    def changed(self) -> dict[str, int]:
        """Host to its number of changed tasks."""
        return {host: counts["changed"] for host, counts in self.recap.items()}


def ephemeral(name: str) -> str:
    """Path of a file in the directory that molecule keeps for this scenario."""
    return os.path.join(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], name)


def inventories() -> list[str]:
    """The inventories of the scenario, as options of ansible-playbook."""
    with open(os.environ["MOLECULE_FILE"], encoding="utf-8") as file:
        scenario = yaml.safe_load(file)
    return [f"--inventory={ephemeral('inventory')}", *scenario["ansible"]["executor"]["args"]["ansible_playbook"]]


def command_of(name: str, *arguments: str, variables: t.Mapping[str, t.Any] | None = None) -> list[str]:
    """Command line of a playbook."""
    extra = ["--extra-vars", json.dumps(dict(variables or {}))]
    return ["ansible-playbook", *inventories(), *arguments, *extra, f"pgops.pgbackrest.{name}"]


def run(name: str, *arguments: str, **parts: t.Any) -> Outcome:
    """Run a playbook to its end, be it good or bad. No secret stands in what it said."""
    done = subprocess.run(
        command_of(name, *arguments, **parts), capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    output = done.stdout + done.stderr
    assert SECRETS not in output, "A secret stands in what Ansible printed."
    recap = {
        host: {key: int(count) for key, count in re.findall(r"(\w+)=(\d+)", counts)}
        for host, counts in re.findall(r"^(\S+) +: (ok=.*)$", done.stdout.partition("PLAY RECAP")[2], re.MULTILINE)
    }
    return Outcome(done.returncode, output, recap)


def succeed(name: str, *arguments: str, **parts: t.Any) -> Outcome:
    """Run a playbook that must end well."""
    outcome = run(name, *arguments, **parts)
    assert outcome.rc == 0, outcome.output
    return outcome
