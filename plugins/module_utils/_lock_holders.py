# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Locks of directories, and who holds them after pgBackRest was killed. Private to the collection."""

from __future__ import annotations

import contextlib
import glob
import os
import time
import typing as t
from contextlib import ExitStack

from ._directory import lock_directory

_PATIENCE = 30.0  # seconds; the workers of a killed pgBackRest 2.45 were seen to wait 15 for it
_PAUSE = 0.25


def lock_after_workers(path: str) -> int | None:
    """As ``lock_directory``, but waits for what a killed pgBackRest leaves behind.

    Its workers have inherited the lock and do nothing more, but take some seconds to learn that they are alone.
    """
    end = time.monotonic() + _PATIENCE
    while True:
        descriptor = lock_directory(path)
        if descriptor is not None:
            return descriptor
        held_by = holders(path)
        if not all(map(_is_worker, held_by)) or time.monotonic() > end:
            return None
        if not held_by:  # it has just ended, or this user does not see it
            return lock_directory(path)
        time.sleep(_PAUSE)


def lock_all(locks: ExitStack, paths: t.Iterable[str]) -> tuple[list[int], str | None]:
    """Lock those of the directories that are there, until ``locks`` ends; also returns the one locked by others."""
    descriptors: list[int] = []
    for path in paths:
        try:
            descriptor = lock_after_workers(path)
        except OSError:
            continue
        if descriptor is None:
            return descriptors, path
        locks.callback(os.close, descriptor)
        descriptors.append(descriptor)
    return descriptors, None


def holders(path: str) -> list[list[str]]:
    """Command lines of the processes that have this directory open, as far as this user sees."""
    status = os.stat(path)
    return [_words(process) for process in glob.glob("/proc/[0-9]*") if _has_open(process, status)]


def _is_worker(words: list[str]) -> bool:
    """Whether this is a worker of pgBackRest, or a process that is just ending."""
    return not any(words) or words[-1].endswith((":local", ":remote"))


def _has_open(process: str, status: os.stat_result) -> bool:
    with contextlib.suppress(OSError):  # it has ended, or belongs to somebody else
        for name in os.listdir(f"{process}/fd"):
            with contextlib.suppress(OSError):
                if os.path.samestat(os.stat(f"{process}/fd/{name}"), status):
                    return True
    return False


def _words(process: str) -> list[str]:
    """The command line of a process."""
    try:
        with open(f"{process}/cmdline", encoding="utf-8", errors="replace") as file:
            return file.read().rstrip("\0").split("\0")
    except OSError:
        return []
