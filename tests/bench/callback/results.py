# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes one line of JSON for each result of a task to the file that BENCH_RESULTS names."""

from __future__ import annotations

import json
import os
import time
import typing as t

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = r"""
name: results
type: aggregate
short_description: Results of tasks for the benchmark
description: Results of tasks for the benchmark.
"""

# These are carried out on the controller alone.
_CONTROLLER = {
    "assert",
    "debug",
    "fail",
    "include_role",
    "include_tasks",
    "meta",
    "set_fact",
    "set_stats",
    "validate_argument_spec",
}


class CallbackModule(CallbackBase):
    """One line for each task of each host."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "results"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._started: dict[tuple[str, str], float] = {}
        self._lines: list[str] = []

    def v2_runner_on_start(self, host: t.Any, task: t.Any) -> None:
        self._started[host.name, task._uuid] = time.monotonic()

    def _write(self, result: t.Any, skipped: bool = False) -> None:
        task = result._task
        reached = not skipped and task.action.rpartition(".")[2] not in _CONTROLLER
        line = {"task": task.name, "action": task.action, "host": result._host.name, "reached": reached}
        seconds = time.monotonic() - self._started[result._host.name, task._uuid]
        ended = {"seconds": seconds, "changed": bool(result._result.get("changed"))}
        self._lines.append(json.dumps({**line, **ended}) + "\n")

    def v2_runner_on_ok(self, result: t.Any) -> None:
        self._write(result)

    def v2_runner_on_skipped(self, result: t.Any) -> None:
        self._write(result, skipped=True)

    def v2_runner_on_failed(self, result: t.Any, ignore_errors: bool = False) -> None:
        self._write(result)

    def v2_playbook_on_stats(self, stats: t.Any) -> None:
        with open(os.environ["BENCH_RESULTS"], "w", encoding="utf-8") as stream:
            stream.writelines(self._lines)
