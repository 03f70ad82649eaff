# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action plugins under a real ansible-playbook, with a local connection."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import typing as t
from pathlib import Path

import pytest

PACKAGE = "ansible_collections.pgops.pgbackrest.plugins"
COLLECTION = Path(__file__).resolve().parents[2]

# A module that works for some seconds, with the action plugin of the real ones.
MODULE = f"""#!/usr/bin/python
from __future__ import annotations
import os, signal, time
from ansible.module_utils.basic import AnsibleModule
from {PACKAGE}.module_utils._handover import hand_over_long_work
from {PACKAGE}.module_utils._progress import Progress

spec = dict(stanza={{}}, seconds={{"type": "float"}}, progress_file={{"type": "path"}}, password={{"no_log": True}},
            end=dict(choices=["well", "failed", "killed"], default="well"))
module = AnsibleModule(spec, supports_check_mode=True)
hand_over_long_work(module)
progress = Progress(module.params["progress_file"])
began = time.time()
while time.time() - began < module.params["seconds"]:
    time.sleep(0.1)
    progress.report(25.0, 1024**3, 4 * 1024**3, text="text")
progress.end()
module.warn("be warned")
if module.params["end"] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
if module.params["end"] == "failed":
    module.fail_json(msg="it failed", detail=1)
module.exit_json(changed=True, detail=[1], diff={{"before": "a", "after": "b"}})
"""
ACTION = f"""
from __future__ import annotations
from {PACKAGE}.plugin_utils._watched_action import WatchedAction
class ActionModule(WatchedAction):
    pass
"""
LINE = re.compile(r"^\[localhost\] slow main: 25 % · 1\.0 GiB of 4\.0 GiB · .* left · text$", re.MULTILINE)


class Playbook:
    """A directory with a playbook of one play on localhost."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "library").mkdir()
        (directory / "action_plugins").mkdir()
        for name in ("slow", "plain"):
            (directory / f"library/{name}.py").write_text(MODULE, encoding="utf-8")
        (directory / "action_plugins/slow.py").write_text(ACTION, encoding="utf-8")
        collections = directory / "collections/ansible_collections/pgops"
        collections.mkdir(parents=True)
        (collections / "pgbackrest").symlink_to(COLLECTION)
        self.home = directory / "home"
        self.home.mkdir()

    def start(self, *tasks: dict[str, t.Any], check: bool = False) -> subprocess.Popen[str]:
        """Start ansible-playbook in a session of its own."""
        play = {"hosts": "localhost", "gather_facts": False, "tasks": list(tasks)}
        play["vars"] = {"ansible_python_interpreter": "/usr/bin/python3"}
        (self.directory / "play.yml").write_text(json.dumps([play]), encoding="utf-8")
        argv = [sys.executable, "-m", "ansible.cli.playbook", "play.yml", "-i", "localhost,", "-c", "local", "-vvv"]
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")},
            "ANSIBLE_COLLECTIONS_PATH": str(self.directory / "collections"),
            "ANSIBLE_ASYNC_DIR": str(self.home / ".ansible_async"),
            "ANSIBLE_NOCOLOR": "1",
            "HOME": str(self.home),
            "LC_ALL": "C.UTF-8",
            "TMPDIR": str(self.directory),  # work that is killed leaves Ansible's payload there
        }
        return subprocess.Popen(
            [*argv, *(["--check"] if check else [])],
            cwd=self.directory,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def run(self, *tasks: dict[str, t.Any], check: bool = False) -> str:
        """Output of the play; nothing may be left behind by its work."""
        output = self.start(*tasks, check=check).communicate(timeout=90)[0]
        assert self.left_behind() == []
        return output

    def left_behind(self) -> list[Path]:
        """Files of jobs."""
        return list(self.home.glob(".ansible_async/pgops-*"))


@pytest.fixture(name="playbook")
def playbook_fixture(tmp_path: Path) -> Playbook:
    """A playbook with the modules ``slow``, which is watched, and ``plain``."""
    return Playbook(tmp_path)


def result(output: str) -> dict[str, t.Any]:
    """What the last task returned, without what Ansible adds to a failed one."""
    text = re.findall(
        r"^(?:changed|ok|fatal): \[localhost\](?:: FAILED!)? => (\{.*?^\})", output, re.MULTILINE | re.DOTALL
    )
    answer = t.cast("dict[str, t.Any]", json.loads(text[-1]))
    answer.get("invocation", {}).get("module_args", {}).pop("seconds", None)
    return answer


@pytest.mark.parametrize("end", ["well", "failed"])
def test_long_work_is_shown_and_answers_as_if_run_plainly(playbook: Playbook, end: str) -> None:
    options = {"stanza": "main", "end": end, "password": "geheim"}
    plain = playbook.run({"plain": {**options, "seconds": 0}})
    watched = playbook.run({"slow": {**options, "seconds": 4}})
    assert len(LINE.findall(watched)) == 1, watched
    assert result(watched) == result(plain)
    assert watched.count("[WARNING]: be warned") == plain.count("[WARNING]: be warned") == 1
    assert "geheim" not in re.sub(r"Using module|<127.*", "", watched)


def test_short_work_and_other_modes_are_silent(playbook: Playbook) -> None:
    slow = {"stanza": "main", "seconds": 0.1}
    output = playbook.run(
        {"slow": slow},
        {"slow": slow, "async": 30, "poll": 1},
        {"slow": {**slow, "progress_file": str(playbook.directory / "own")}},
        {"slow": slow, "loop": [1, 2]},
    )
    assert output.count("changed: [localhost]") >= 5, output
    assert "slow main:" not in output
    assert "slow main:" not in playbook.run({"slow": {"stanza": "main", "seconds": 4}}, check=True)


def test_without_log_no_text_is_shown(playbook: Playbook) -> None:
    output = playbook.run({"slow": {"stanza": "main", "seconds": 4}, "no_log": True})
    assert "slow main: 25 %" in output
    assert "· text" not in output
    assert '"detail"' not in output


def test_work_that_was_killed_is_told(playbook: Playbook) -> None:
    output = playbook.run({"slow": {"stanza": "main", "seconds": 4, "end": "killed"}})
    assert "slow main on the host ended without an answer" in output
    assert "Traceback" not in output


def test_the_task_timeout_and_an_interrupt_end_the_work(playbook: Playbook) -> None:
    output = playbook.run({"slow": {"stanza": "main", "seconds": 60}, "timeout": 5})
    assert "cancelled; the work on the host is ended" in output
    process = playbook.start({"slow": {"stanza": "main", "seconds": 60}})
    wait_for(lambda: any(path.stat().st_size for path in playbook.home.glob(".ansible_async/*.pid")))
    pid = int(next(playbook.home.glob(".ansible_async/*.pid")).read_text(encoding="ascii").split()[0])
    time.sleep(4)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=30)
    wait_for(lambda: is_gone(pid) and playbook.left_behind() == [])


def is_gone(pid: int) -> bool:
    """Whether a process has ended; where the first process reaps nobody it may stay as a zombie."""
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_for(condition: t.Callable[[], bool]) -> None:
    """Wait until a condition holds; it must do so within 20 seconds."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_real_backup_and_restore_show_percent_and_bytes(protected: t.Any, playbook: Playbook) -> None:
    slowed = protected.root / "slowed"
    slowed.write_text(
        f'#!/bin/bash\nset -o pipefail\n[[ ${{@: -1}} =~ ^(backup|restore)$ ]] || exec {protected.executable} "$@"\n'
        f'{protected.executable} "$@" | while IFS= read -r line; do\n'
        '  echo "$line"; case $line in *DETAIL*) read -rt 0.006 <> <(:);; esac\ndone\n',
        encoding="utf-8",
    )
    slowed.chmod(0o755)
    playbook.directory.chmod(0o755)
    common = {**protected.common, "executable": str(slowed)}
    become = {"become": True, "become_method": "su", "become_user": "postgres"} if os.geteuid() == 0 else {}
    as_owner = {
        **become,
        "vars": {"ansible_remote_tmp": str(protected.root / "tmp"), "ansible_async_dir": str(protected.root / "jobs")},
    }
    output = playbook.run({"pgops.pgbackrest.backup": {**common, "type": "full"}, **as_owner})
    assert re.search(r"^\[localhost\] backup main: \d+ % · [\d.]+ [KM]iB of [\d.]+ [KM]iB · ", output, re.MULTILINE), (
        output
    )
    protected.stop()
    output = playbook.run({"pgops.pgbackrest.restore": {**common, "delta": True}, **as_owner})
    assert '"changed": true' in output, output
    assert "[localhost] restore main: " in output
    assert not list((protected.root / "jobs").iterdir())
