# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Long work goes on in the background, so that its action plugin can watch it. Private to the collection.

A module forks at its beginning. The child does the work in a session of its own. The parent waits three seconds: if the
child has ended it passes the child's answer on, as if nothing had happened; else it answers that the work was handed
over, and ends. Ansible's own ``async`` would serve as well, but every short task would pay for a second payload, and
it needs files that an unprivileged ``become_user`` can read where pipelining needs none.

Files beside ``JOB`` (mode 0600): ``JOB.pid`` "pid boot-id", ``JOB.progress``, ``JOB.out`` and ``JOB.err`` while the
work runs; ``JOB`` is the answer and appears whole when the work has ended.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import signal
import sys
import time
import typing as t

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

JOB_VARIABLE = "PGOPS_PGBACKREST_JOB"
SHORT_WORK = 3.0  # seconds
_KEPT = 24 * 3600.0  # seconds after which nobody comes for an answer any more
_SUFFIXES = ("", ".pid", ".progress", ".out", ".err")


def hand_over_long_work(module: AnsibleModule) -> None:
    """Return in the process that is to do the work.

    Without the action plugin, in check mode, or where no job file can be written, that is this very process.
    """
    name = os.environ.pop(JOB_VARIABLE, "")
    if not name or module.check_mode or module.params.get("progress_file"):
        return
    job = os.path.expanduser(name)
    try:
        os.makedirs(os.path.dirname(job), mode=0o700, exist_ok=True)
        streams = [_create(job + suffix) for suffix in (".out", ".err")]
    except OSError:
        return
    _sweep(os.path.dirname(job))
    sys.stdout.flush()
    sys.stderr.flush()
    reader, writer = os.pipe()
    child = os.fork()
    if child:
        os.close(writer)
        _answer(child, reader, job)
    os.close(reader)  # the writing end stays open until this process ends: that is how the parent learns of it
    _settle(job, streams)
    module.params["progress_file"] = f"{job}.progress"


def _sweep(directory: str) -> None:
    """Remove old answers that nobody fetched, because their play was killed, as by a controller that cancels a job."""
    for name in os.listdir(directory):
        path = os.path.join(directory, name)
        if name.startswith("pgops-") and "." not in name:
            with contextlib.suppress(OSError):  # somebody else sweeps as well
                if time.time() - os.path.getmtime(path) > _KEPT:
                    forget(path)


def _settle(job: str, streams: t.Sequence[int]) -> None:
    """Leave the connection: own session, own files. On SIGTERM end in good order."""
    os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in zip((null, *streams), (0, 1, 2)):
        os.dup2(source, target)
        os.close(source)
    with os.fdopen(_create(f"{job}.pid"), "w") as file:
        file.write(f"{os.getpid()} {boot_id()}\n")
    signal.signal(signal.SIGTERM, _end)
    atexit.register(_publish, job)


def _end(number: int, dummy: t.Any) -> t.NoReturn:
    raise SystemExit(128 + number)


def _publish(job: str) -> None:
    sys.stdout.flush()
    os.replace(f"{job}.out", job)


def _answer(child: int, reader: int, job: str) -> t.NoReturn:
    """Answer to the controller and end, leaving the removal of Ansible's temporary files to the child."""
    ended, dummy, dummy = select.select([reader], [], [], SHORT_WORK)
    if not ended:
        os.write(1, json.dumps({"changed": False, "pgops_job": job}).encode())
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    for stream, suffixes in ((1, ("", ".out")), (2, (".err",))):
        for suffix in suffixes:
            _copy(job + suffix, stream)
    forget(job)
    os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))


def _copy(path: str, stream: int) -> None:
    if os.path.exists(path):
        with open(path, "rb") as source, os.fdopen(os.dup(stream), "wb") as target:
            target.write(source.read())


def forget(job: str) -> None:
    """Remove the files of a job."""
    for suffix in _SUFFIXES:
        if os.path.exists(job + suffix):
            os.unlink(job + suffix)


def boot_id() -> str:
    """What tells this run of the operating system from the next; ``-`` where it has no such thing."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return "-"


def _create(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
