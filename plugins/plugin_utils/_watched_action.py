# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action behind long work: runs the module and shows its progress. Private to the collection.

The module (``module_utils/_handover.py``) answers at once when its work is short. Else it goes on in the background on
the target, and this action asks every few seconds how far it is. A lost connection does not harm the work; a task that
is cancelled (SIGINT, SIGTERM, the task keyword ``timeout``) ends it.
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
import signal
import threading
import time
import typing as t
from contextlib import contextmanager

from ansible import constants as C
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.vars import merge_hash

from ..module_utils._handover import JOB_VARIABLE
from ._progress_line import describe, duration, recent_rate

PATIENCE = 30 * 60  # seconds without a connection before the task gives up; the work goes on all the same
_INTERVAL = 5  # seconds between two lines
_RETRY_PAUSE = 5  # seconds between two attempts to reach the host again

# Waits until the work has ended, but not longer than an interval; prints the state and the progress. It looks often, as
# a shell cannot wait for a process that is not its own; where sleep knows no fractions, once a second.
_WATCH = """
job={job}; read -r pid boot 2>/dev/null <"$job.pid"
now=$(cat /proc/sys/kernel/random/boot_id 2>/dev/null || echo -)
alive() {{ [ "$boot" = "$now" ] && kill -0 "$pid" 2>/dev/null && ! grep -qs ') Z ' "/proc/$pid/stat"; }}
n={steps}; while [ "$n" -gt 0 ] && [ ! -e "$job" ] && alive; do sleep 0.1 2>/dev/null || sleep 1; n=$((n - 1)); done
alive && state=running || state=lost; [ -e "$job" ] && state=done; [ "$pid" ] || state=${{state#lost}}
echo "pgops-state=$state"; cat "$job.progress" 2>/dev/null || :"""
_CANCEL = """
job={job}; read -r pid boot 2>/dev/null <"$job.pid" || exit 0
kill -s TERM -- "-$pid" 2>/dev/null
n=40; while [ "$n" -gt 0 ] && [ ! -e "$job" ] && kill -0 "$pid" 2>/dev/null; do sleep 0.25; n=$((n - 1)); done
{forget}"""
_FORGET = 'rm -f "$job" "$job.pid" "$job.progress" "$job.out" "$job.err"'
_FORGET_AND_SAY = "job={job}; " + _FORGET + "; echo pgops-state=done"
_ERRORS = 'job={job}; echo pgops-state=lost; tail -n 1 "$job.err" 2>/dev/null || :'
_JOB_KEYS = ("ansible_job_id", "started", "finished", "results_file")


class Cancelled(BaseException):
    """SIGINT or SIGTERM arrived; ``number`` says which."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class WatchedAction(ActionBase):
    """Base of the actions ``backup``, ``restore`` and ``recovery``."""

    _supports_check_mode = True
    _supports_async = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(tmp, task_vars)
        if not self._can_watch():
            return self._merge(result, self._execute_module(task_vars=task_vars, wrap_async=self._task.async_val))
        directory = str(self.get_shell_option("async_dir", default="~/.ansible_async"))
        self._job = f"{directory}/pgops-{secrets.token_hex(8)}"
        self._host = str(self._task.delegate_to or (task_vars or {}).get("inventory_hostname", ""))
        self._began = time.time()
        with _signals_as_exceptions():
            answer = self._run_or_cancel(task_vars)
        return self._merge(result, _as_plain(answer))

    def _run_or_cancel(self, task_vars: dict[str, t.Any] | None) -> dict[str, t.Any]:
        ended = False
        try:
            answer = self._run_watched(task_vars)
            ended = True
        except AnsibleConnectionFailure:
            ended = True  # out of sight, not cancelled
            raise
        finally:
            if not ended:
                self._cancel()
        return answer

    def _can_watch(self) -> bool:
        """Whether the work can go on in the background here."""
        connection = self._connection
        return not (
            self._task.check_mode
            or self._task.async_val
            or self._task.args.get("progress_file")
            or getattr(connection, "has_native_async", False)
            or getattr(connection, "always_pipeline_modules", False)
            or getattr(connection, "force_persistence", False)
            or getattr(connection._shell, "SHELL_FAMILY", "sh") != "sh"
        )

    def _run_watched(self, task_vars: dict[str, t.Any] | None) -> dict[str, t.Any]:
        first = self._start(task_vars)
        if first is not None and "pgops_job" not in first:
            return first
        if first is not None:
            self._job = str(first.pop("pgops_job"))
        self._watch()
        answer = self._fetch(task_vars)
        return self._merge(first or {}, answer)

    def _start(self, task_vars: dict[str, t.Any] | None) -> dict[str, t.Any] | None:
        """The module's first answer; None when the connection broke but the work has begun."""
        environment = self._task.environment
        self._task.environment = [*(environment or []), {JOB_VARIABLE: self._job}]
        try:
            return self._execute_module(task_vars=task_vars)
        except AnsibleConnectionFailure:
            # Asked once only: a host that was never there is unreachable, and nobody wants to wait to hear that.
            if not self._has_begun():
                raise
            return None
        finally:
            self._task.environment = environment

    def _has_begun(self) -> bool:
        try:
            return self._answer(_WATCH, steps=0).partition("\n")[0] in ("running", "done", "lost")
        except AnsibleConnectionFailure:
            return False

    def _watch(self) -> None:
        """Show a line every few seconds until the work has ended."""
        samples: list[tuple[float, int]] = []
        steps = 0
        while True:
            state, dummy, text = self._ask(_WATCH, steps=steps).partition("\n")
            if state != "running":
                return
            steps = _INTERVAL * 10
            self._show(text, samples)

    def _show(self, text: str, samples: list[tuple[float, int]]) -> None:
        record = _parse(text)
        if record:
            samples[:] = samples or [(record["started"], 0)]
            if record["updated"] > samples[-1][0]:
                samples.append((record["updated"], int(record.get("done") or 0)))
        if self._play_context.no_log or self._task.no_log:
            record.pop("text", None)
        self._say(describe(record, recent_rate(samples)) or f"running for {duration(time.time() - self._began)}")

    def _fetch(self, task_vars: dict[str, t.Any] | None) -> dict[str, t.Any]:
        """The module's answer, read by Ansible's own module for that; its files are removed."""
        directory, dummy, name = self._job.rpartition("/")
        arguments = {"jid": name, "mode": "status", "_async_dir": directory}
        answer = self._persist(
            lambda: self._execute_module("ansible.legacy.async_status", module_args=arguments, task_vars=task_vars)
        )
        if answer.get("msg") == "could not find job" or not answer.get("finished"):
            answer = self._lost()
        self._ask(_FORGET_AND_SAY)
        return {key: value for key, value in answer.items() if key not in _JOB_KEYS}

    def _lost(self) -> dict[str, t.Any]:
        errors = self._ask(_ERRORS).partition("\n")[2].strip().splitlines()
        reason = f" Its last words: {errors[-1].rstrip('.')}." if errors and not self._task.no_log else ""
        what = f"The process of {self._label()} on the host ended without an answer."
        return {
            "failed": True,
            "msg": f"{what}{reason} It was killed, or the host was restarted. Look at the state there, then run the "
            "task again.",
        }

    def _cancel(self) -> None:
        self._say("cancelled; the work on the host is ended, run the task again to resume it")
        self._low_level_execute_command(_CANCEL.format(job=self._quoted_job(), forget=_FORGET))

    def _ask(self, script: str, **values: t.Any) -> str:
        """Output of a script on the host after its marker. Waits for a lost connection to come back."""
        return t.cast(str, self._persist(lambda: self._answer(script, **values)))

    def _answer(self, script: str, **values: t.Any) -> str:
        output = self._low_level_execute_command(script.format(job=self._quoted_job(), **values))
        dummy, marker, answer = str(output["stdout"]).replace("\r", "").partition("pgops-state=")
        if not marker:
            raise AnsibleConnectionFailure(f"The host does not answer: {output['stderr']}")
        return answer

    def _persist(self, attempt: t.Callable[[], t.Any]) -> t.Any:
        lost: float | None = None
        while True:
            try:
                answer = attempt()
            except AnsibleConnectionFailure:
                if lost is None:
                    self._say("the connection is lost; the work goes on there, trying to reach the host again")
                lost = lost or time.time()
                if time.time() - lost > PATIENCE:
                    raise
                time.sleep(_RETRY_PAUSE)
                continue
            if lost is not None:
                self._say("the connection is back")
            return answer

    def _say(self, text: str) -> None:
        # A callback that writes a document to standard output must stay alone there.
        stderr = "json" in str(C.DEFAULT_STDOUT_CALLBACK)
        self._display.display(f"[{self._host}] {self._label()}: {text}", stderr=stderr)

    def _label(self) -> str:
        subject = self._task.args.get("stanza") or self._task.args.get("pgdata") or ""
        return f"{str(self._task.action).rpartition('.')[2]} {subject}".strip()

    def _quoted_job(self) -> str:
        return self._job if self._job.startswith("~/") else shlex.quote(self._job)

    def _merge(self, first: dict[str, t.Any], second: dict[str, t.Any]) -> dict[str, t.Any]:
        return t.cast("dict[str, t.Any]", merge_hash(first, second))


def _as_plain(answer: dict[str, t.Any]) -> dict[str, t.Any]:
    """The answer without the traces of being watched."""
    arguments = answer.get("invocation", {}).get("module_args", {})
    if "progress_file" in arguments:
        arguments["progress_file"] = None
    return answer


def _parse(text: str) -> dict[str, t.Any]:
    try:
        record = json.loads(text.partition("\n")[0])
    except ValueError:
        return {}
    return record if isinstance(record, dict) and {"started", "updated"} <= set(record) else {}


@contextmanager
def _signals_as_exceptions() -> t.Iterator[None]:
    """SIGINT and SIGTERM raise Cancelled inside and take their course after it.

    Ansible's own handlers would end this process before it can reach the host.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def cancel(number: int, dummy: t.Any) -> t.NoReturn:
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        raise Cancelled(number)

    before = {number: signal.signal(number, cancel) for number in (signal.SIGINT, signal.SIGTERM)}
    arrived = 0
    try:
        yield
    except Cancelled as cancelled:
        arrived = cancelled.number
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if arrived:
        os.kill(os.getpid(), arrived)
        raise KeyboardInterrupt
