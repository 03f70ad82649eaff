# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action behind long work, with a scripted host."""

from __future__ import annotations

import json
import typing as t
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
from ansible.errors import AnsibleConnectionFailure
from ansible_collections.pgops.pgbackrest.plugins.action import backup, recovery, restore
from ansible_collections.pgops.pgbackrest.plugins.plugin_utils import _watched_action as watched

RECORD = {"percent": 25.0, "done": 1024, "total": 4096, "unit": "bytes", "text": "", "started": 0.0, "updated": 2.0}
RUNNING = "pgops-state=running\r\n" + json.dumps(RECORD)
DONE = "pgops-state=done\n"
LONG = {"changed": False, "pgops_job": "/jobs/j", "ansible_facts": {"discovered": 1}}
ANSWER = {"changed": True, "label": "F", "finished": True, "ansible_job_id": "j", "results_file": "/jobs/j"}


class Host:
    """A scripted host: what the module answers, and what the shell prints. Exceptions are raised."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, modules: list[t.Any], outputs: list[t.Any]) -> None:
        self.modules, self.outputs = list(modules), list(outputs)
        self.module_calls: list[dict[str, t.Any]] = []
        self.commands: list[str] = []
        self.lines: list[str] = []
        task = SimpleNamespace(action="pgops.pgbackrest.backup", args={"stanza": "main"}, async_val=0, check_mode=False)
        self.task = SimpleNamespace(**vars(task), no_log=False, delegate_to=None, environment=[], diff=False)
        shell = SimpleNamespace(SHELL_FAMILY="sh", tmpdir="/tmp/t")
        self.connection = SimpleNamespace(_shell=shell, has_native_async=False, always_pipeline_modules=False)
        self.action = backup.ActionModule(
            self.task, self.connection, SimpleNamespace(no_log=False), MagicMock(), MagicMock(), MagicMock()
        )
        self.action._display = SimpleNamespace(display=lambda line, stderr=False: self.lines.append(line))
        monkeypatch.setattr(self.action, "get_shell_option", lambda option, default=None: default)
        monkeypatch.setattr(self.action, "_execute_module", self.execute)
        monkeypatch.setattr(self.action, "_low_level_execute_command", self.command)
        self.clock = 0.0
        monkeypatch.setattr(watched.time, "time", lambda: self.clock)
        monkeypatch.setattr(watched.time, "sleep", self.sleep)

    def sleep(self, seconds: float) -> None:
        self.clock += seconds

    def execute(self, module_name: str | None = None, **options: t.Any) -> dict[str, t.Any]:
        self.module_calls.append({"name": module_name, "environment": list(self.task.environment), **options})
        return t.cast("dict[str, t.Any]", self.next(self.modules))

    def command(self, cmd: str) -> dict[str, str]:
        self.commands.append(cmd)
        return {"stdout": self.next(self.outputs), "stderr": "gone"}

    @staticmethod
    def next(script: list[t.Any]) -> t.Any:
        item = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(item, BaseException):
            raise item
        return dict(item) if isinstance(item, dict) else item

    def run(self) -> dict[str, t.Any]:
        return self.action.run(task_vars={"inventory_hostname": "db1"})


LOST = AnsibleConnectionFailure("lost")


@pytest.mark.parametrize("plugin", [backup, restore, recovery])
def test_the_three_actions_are_watched(plugin: t.Any) -> None:
    assert issubclass(plugin.ActionModule, watched.WatchedAction)


def test_short_work_is_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, [{"changed": True, "invocation": {"module_args": {"progress_file": "/jobs/x"}}}], [DONE])
    assert host.run() == {"changed": True, "invocation": {"module_args": {"progress_file": None}}}
    assert (len(host.module_calls), host.commands, host.lines) == (1, [], [])
    assert list(host.module_calls[0]["environment"][0]) == ["PGOPS_PGBACKREST_JOB"]
    assert host.task.environment == []


def test_long_work_is_watched_and_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, [LONG, ANSWER], [RUNNING, RUNNING, DONE])
    assert host.run() == {"changed": True, "label": "F", "ansible_facts": {"discovered": 1}}
    assert host.lines == ["[db1] backup main: 25 % · 1.0 KiB of 4.0 KiB · 512 B/s · 6 s left"] * 2
    assert host.module_calls[1]["module_args"] == {"jid": "j", "mode": "status", "_async_dir": "/jobs"}
    assert host.commands[-1].startswith('job=/jobs/j; rm -f "$job"')


@pytest.mark.parametrize("garbage", [LOST, "connection closed"])
def test_a_lost_connection_is_waited_for(monkeypatch: pytest.MonkeyPatch, garbage: t.Any) -> None:
    host = Host(monkeypatch, [LONG, LOST, ANSWER], [RUNNING, garbage, garbage, DONE])
    assert host.run()["label"] == "F"
    assert host.lines[1:3] == [
        "[db1] backup main: the connection is lost; the work goes on there, trying to reach the host again",
        "[db1] backup main: the connection is back",
    ]


def test_a_connection_that_breaks_before_the_answer_is_taken_up(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, [LOST, ANSWER], ["pgops-state=running\n", DONE])
    assert host.run()["label"] == "F"


@pytest.mark.parametrize("output", ["pgops-state=\n", LOST])
def test_a_connection_that_never_was_is_the_connections_failure(monkeypatch: pytest.MonkeyPatch, output: t.Any) -> None:
    host = Host(monkeypatch, [LOST], [output])
    with pytest.raises(AnsibleConnectionFailure):
        host.run()
    assert (len(host.commands), host.lines) == (1, [])


def test_patience_ends_without_ending_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, [LONG], [RUNNING, LOST])
    with pytest.raises(AnsibleConnectionFailure):
        host.run()
    assert host.clock > watched.PATIENCE
    assert not any("TERM" in command for command in host.commands)


def test_anything_else_ends_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, [LONG], [RUNNING, TimeoutError(), DONE])
    with pytest.raises(TimeoutError):
        host.run()
    assert "kill -s TERM" in host.commands[-1]


@pytest.mark.parametrize("answer", [{"msg": "could not find job", "finished": True}, {"finished": False}])
def test_work_that_vanished_is_told(monkeypatch: pytest.MonkeyPatch, answer: dict[str, t.Any]) -> None:
    host = Host(monkeypatch, [LONG, answer], [RUNNING, "pgops-state=lost\n", "pgops-state=lost\nMemoryError\n", DONE])
    result = host.run()
    assert result["failed"] is True
    assert "ended without an answer. Its last words: MemoryError. It was killed" in result["msg"]


@pytest.mark.parametrize(
    ("of", "name", "value"),
    [
        ("task", "check_mode", True),
        ("task", "async_val", 60),
        ("task", "args", {"progress_file": "/x"}),
        ("connection", "has_native_async", True),
        ("connection", "always_pipeline_modules", True),
        ("connection", "force_persistence", True),
        ("connection", "_shell", SimpleNamespace(SHELL_FAMILY="powershell", tmpdir="t")),
    ],
)
def test_elsewhere_the_module_runs_plainly(monkeypatch: pytest.MonkeyPatch, of: str, name: str, value: t.Any) -> None:
    host = Host(monkeypatch, [{"changed": False}], [DONE])
    setattr(getattr(host, of), name, value)
    assert host.run() == {"changed": False}
    assert host.module_calls == [
        {"name": None, "environment": [], "task_vars": {"inventory_hostname": "db1"}, "wrap_async": host.task.async_val}
    ]
