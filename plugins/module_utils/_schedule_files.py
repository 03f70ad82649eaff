# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files of scheduled backups: found, compared, written, removed. Private to the collection."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import hashlib
import inspect
import os
import pwd
import shutil
import stat
import sys
import typing as t
from dataclasses import dataclass, field

from . import _scheduled_backup
from ._cluster import user_name
from ._config_place import Refused
from ._schedule import (
    MARKER,
    RUNNER,
    How,
    Job,
    cron_file_name,
    cron_text,
    is_ours,
    read_headers,
    service_text,
    timer_text,
)
from ._schedule_systemd import STAMP_DIRECTORY, SYSTEMD_DIRECTORY
from ._scheduled_backup import STATE_DIRECTORY

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

CRON_DIRECTORY = "/etc/cron.d"
_INTERPRETER = "/usr/bin/python3"
_CRON_DAEMONS = ("cron", "crond", "fcron", "cronie")
_FILE_MODE, _PROGRAM_MODE = 0o644, 0o755


@dataclass(frozen=True)
class Found:
    """Our files on this host: texts of this stanza's by path, and whether other stanzas have some, too."""

    own: dict[str, str] = field(default_factory=dict)
    others: bool = False


def find(stanza: str | None) -> Found:
    """The files of a stanza, or of all."""
    own, others = {}, False
    for path in sorted(_candidates()):
        text = read(path)
        stanzas = {header.get("stanza") for header in read_headers(text or "")}
        if text is not None and stanzas and (stanza is None or stanza in stanzas):
            own[path] = text
        else:
            others = others or bool(stanzas)
    return Found(own, others)


def _candidates() -> t.Iterator[str]:
    for suffix in (".service", ".timer"):
        yield from glob.iglob(os.path.join(glob.escape(SYSTEMD_DIRECTORY), f"pgbackrest-*{suffix}"))
    yield from glob.iglob(os.path.join(glob.escape(CRON_DIRECTORY), "pgbackrest-*"))


def read(path: str) -> str | None:
    """Text of a file; None when there is no such regular file."""
    if os.path.islink(path) or not os.path.isfile(path):
        return None
    with open(path, encoding="utf-8", errors="replace") as stream:
        return stream.read()


def wanted_files(jobs: t.Sequence[Job], how: How, scheduler: str) -> dict[str, str]:
    """Paths and texts of the files that shall be there."""
    if not jobs:
        return {}
    if scheduler == "cron":
        path = os.path.join(CRON_DIRECTORY, cron_file_name(jobs[0].stanza))
        return {RUNNER: runner_text(), path: cron_text(jobs, how, os.uname().nodename)}
    files = {RUNNER: runner_text()}
    for job in jobs:
        files[os.path.join(SYSTEMD_DIRECTORY, f"{job.unit}.service")] = service_text(job, how)
        files[os.path.join(SYSTEMD_DIRECTORY, f"{job.unit}.timer")] = timer_text(job, how)
    return files


def runner_text() -> str:
    """The program that takes the backups: our own file, for the Python that runs this module."""
    same = os.path.realpath(_INTERPRETER) == os.path.realpath(sys.executable)
    return f"#!{_INTERPRETER if same else sys.executable} -I\n{MARKER}\n{inspect.getsource(_scheduled_backup)}"


def refuse_foreign(wanted: t.Iterable[str], stanza: str) -> None:
    """Raise Refused when a file that is to be written is somebody else's."""
    problems = []
    for path in wanted:
        if not os.path.lexists(path):
            continue
        text = read(path)
        owners = [header["stanza"] for header in read_headers(text or "")]
        if text is None:
            problems.append(f"{path} is a link or a directory: remove it (systemctl unmask, where it masks the unit).")
        elif not is_ours(text):
            problems.append(f"{path} was written by somebody else: move what it does into entries, then remove it.")
        elif owners and stanza not in owners:
            problems.append(f"{path} belongs to stanza {owners[0]}, whose name is too similar: rename a stanza.")
    if problems:
        raise Refused(problems)


@dataclass(frozen=True)
class Change:
    """One file or directory that is, or would be, different: texts before and after, None for absent."""

    path: str
    before: str | None
    after: str | None

    def diff(self) -> dict[str, str]:
        """For Ansible's diff mode. Of the program only its checksum."""
        texts = [_shown(self.path, text) for text in (self.before, self.after)]
        return {"before": texts[0], "after": texts[1], "before_header": self.path, "after_header": self.path}


def _shown(path: str, text: str | None) -> str:
    if path != RUNNER or text is None:
        return text or ""
    return f"{MARKER}\nsha256: {hashlib.sha256(text.encode()).hexdigest()}\n"


def file_changes(found: Found, wanted: t.Mapping[str, str]) -> list[Change]:
    """What must be written and removed. The program goes with the last schedule of the host."""
    result = [
        Change(path, read(path), text) for path, text in wanted.items() if read(path) != text or not _mode_fits(path)
    ]
    result += [Change(path, text, None) for path, text in found.own.items() if path not in wanted]
    runner = read(RUNNER)
    if RUNNER not in wanted and not found.others and runner is not None and is_ours(runner):
        result.append(Change(RUNNER, runner, None))
    return result


def _mode(path: str) -> int:
    return _PROGRAM_MODE if path == RUNNER else _FILE_MODE


def _mode_fits(path: str) -> bool:
    return stat.S_IMODE(os.stat(path).st_mode) == _mode(path)


def write(module: AnsibleModule, change: Change) -> None:
    """Let the file be as it shall be, in one step."""
    if change.after is None:
        os.unlink(change.path)
        return
    os.makedirs(os.path.dirname(change.path), mode=0o755, exist_ok=True)
    candidate = os.path.join(module.tmpdir, "pgbackrest-schedule")
    with open(candidate, "w", encoding="utf-8") as stream:
        stream.write(change.after)
    os.chmod(candidate, _mode(change.path))
    module.atomic_move(candidate, change.path)
    os.chmod(change.path, _mode(change.path))


def state_changes(stanza: str, jobs: t.Sequence[Job], user: str) -> list[Change]:
    """What must change about the directory of the results, and results of jobs that are gone."""
    directory = os.path.join(STATE_DIRECTORY, stanza)
    before, after = _described(directory), f"owner: {user}\nmode: 0755\n" if jobs else None
    result = [Change(directory, before, after)] if before != after else []
    kept = {f"{job.name}.json" for job in jobs}
    for path in sorted(glob.glob(os.path.join(glob.escape(directory), "*.json"))) if jobs else ():
        if os.path.basename(path) not in kept:
            result.append(Change(path, read(path), None))
    return result


def _described(directory: str) -> str | None:
    if not os.path.isdir(directory):
        return None
    status = os.stat(directory)
    return f"owner: {user_name(status.st_uid)}\nmode: {stat.S_IMODE(status.st_mode):04o}\n"


def write_state(change: Change, user: str) -> None:
    """Let the directory of the results be as it shall be, or remove what is not wanted any more."""
    if change.after is None:
        shutil.rmtree(change.path) if os.path.isdir(change.path) else os.unlink(change.path)
        return
    account = pwd.getpwnam(user)
    os.makedirs(change.path, mode=0o755, exist_ok=True)
    os.chown(change.path, account.pw_uid, account.pw_gid)
    os.chmod(change.path, 0o755)


def has_cron_daemon() -> bool:
    """Whether a cron daemon runs."""
    for path in glob.iglob("/proc/[0-9]*/comm"):
        with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as stream:
            if stream.read().strip() in _CRON_DAEMONS:
                return True
    return False


def is_locked(stanza: str) -> bool:
    """Whether a scheduled backup of the stanza runs now."""
    with contextlib.suppress(OSError), open(os.path.join(STATE_DIRECTORY, stanza, "lock"), "rb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def forget_timer(unit: str) -> None:
    """Remove what systemd remembers of a timer; another one of this name would start at once to make up for it."""
    links = os.path.join(SYSTEMD_DIRECTORY, "timers.target.wants", unit)
    for path in (links, os.path.join(STAMP_DIRECTORY, f"stamp-{unit}")):
        if os.path.lexists(path):
            os.unlink(path)
