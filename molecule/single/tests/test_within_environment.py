# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A job in an execution environment made by ansible-builder: nothing but that image, and SSH to the host."""

from __future__ import annotations

import os
import typing as t

import environment
import pytest
import runner
from live import backups, stanza_info

USER = "awx"
INSTALLED = "/usr/share/ansible/collections/ansible_collections"


@pytest.fixture
def db1(on: t.Any) -> t.Any:
    return on("db1")


def admitted(host: t.Any) -> str:
    """Let a user in over SSH who may become root. Returns the private key."""
    home = f"/home/{USER}/.ssh"
    host.check_output(f"useradd --create-home --shell /bin/bash {USER}")
    host.check_output(f"echo '{USER} ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/{USER}")
    host.check_output(f"install --directory --owner {USER} --mode 700 {home}")
    host.check_output(f"ssh-keygen -q -t ed25519 -N '' -f {home}/key && mv {home}/key.pub {home}/authorized_keys")
    host.check_output("ssh-keygen -A && systemctl start ssh")
    return str(host.file(f"{home}/key").content_string)


@pytest.mark.timeout(900)  # two images are made when they are not there
def test_status_in_the_execution_environment(db1: t.Any) -> None:
    image = environment.image()
    within = runner.Environment(image, os.environ["MOLECULE_SCENARIO_NAME"], USER, admitted(db1))
    job = runner.succeed("status", within=within)
    paths = {event["event_data"]["task_path"] for event in job.events if event["event"] == "playbook_on_task_start"}
    assert len(paths) > 5
    assert all(path.startswith(f"{INSTALLED}/pgops/pgbackrest/") for path in paths)
    status = job.artifacts["pgbackrest_status"]
    assert status["problems"] == []
    newest = {found["stanza"]: found["repositories"][0]["newest"] for found in status["stanzas"]}
    assert newest == {name: backups(stanza_info(db1, name))[-1] for name in ("main", "web")}
