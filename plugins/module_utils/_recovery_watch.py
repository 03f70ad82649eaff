# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting for the end of a recovery. Private to the collection."""

from __future__ import annotations

import os
import typing as t
from time import monotonic, sleep

from ._cluster import ClusterError
from ._directory import free_bytes
from ._plan_text import human_size
from ._progress import Progress
from ._recovery import (
    Observation,
    Verdict,
    decide,
    judge,
    judge_end,
    outcome,
    replay_progress,
    shut_itself_down,
    stop_from_history,
    stop_from_log,
    telling,
    why_exited,
)
from ._server_watch import (
    archiving_switched_off,
    checkpoint,
    clean,
    end_of_parent,
    find_log,
    observe,
    promote,
    read_log,
    recovery_settings,
    resume,
)
from ._sql import HAS_PSYCOPG2, DatabaseError, connect
from ._wal import format_lsn, parse_lsn

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

    from ._target import RecoveryTarget

_SEGMENT = 16 * 1024**2  # bytes, but for clusters made with another size
_GRACE = 5.0  # seconds for the server to appear, and for a server that says "ready" to let us in
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0  # seconds between two looks; in between a tenth of what was waited


class RecoveryFailed(Exception):
    """Recovery came to another end than the wanted one; the text says which and what to do next."""


class Watch:
    """A recovering server and what is known of it. Making one looks at nothing."""

    def __init__(self, module: AnsibleModule, target: RecoveryTarget | None) -> None:
        self._module = module
        self._pgdata = str(module.params["pgdata"])
        self._target = target
        self._seen = Observation(alive=False)
        self._error: DatabaseError | None = None
        self._log_file: str | None = None
        self._told: set[str] = set()
        self._alive_once = False
        self.timed_out = False

    @property
    def acted(self) -> bool:
        """Whether this task told the server to do something."""
        return bool(self._told)

    @property
    def outcome(self) -> str:
        """Outcome as of the last look."""
        if self.timed_out:
            return "timeout"
        found = outcome(self._seen)
        return "shut_down" if found == "exited" and shut_itself_down(self.log()) else found

    def look(self) -> None:
        """Look at the server once. Raises ClusterError, and DatabaseError when SQL will never work."""
        if not HAS_PSYCOPG2:
            connect(self._module)
        self._seen, self._error = observe(self._module, self._pgdata)
        self._alive_once = self._alive_once or self._seen.alive
        if self._log_file is None or self._seen.alive:
            self._log_file = find_log(self._pgdata, self._module.params["log_file"]) or self._log_file

    def look_anyway(self) -> None:
        """Look at the server once, and take a directory that holds no cluster for a server that is not there."""
        try:
            self.look()
        except ClusterError:
            self._seen = Observation(alive=False)

    def wait(self, wanted: str, may_promote: bool, timeout: int, progress: Progress) -> None:
        """Wait for the wanted outcome, promoting if need be. Raises RecoveryFailed, ClusterError, DatabaseError."""
        began, first = monotonic(), None
        reachable = began
        while True:
            self.look()
            now = monotonic()
            if self._error is None or self._seen.status.strip() != "ready":
                reachable = now
            if self._error is not None and now - reachable > _GRACE:
                raise self._error
            found = self.outcome
            missing = found in ("exited", "shut_down") and not self._alive_once and now - began < _GRACE
            if not missing and not self._step(decide(wanted, found, may_promote), found, wanted):
                return
            if now - began > timeout:
                self.timed_out = True
                raise RecoveryFailed(self._too_long(wanted, timeout, found))
            first = first or self._seen.replay_lsn
            percent, done, total, text = replay_progress(first or 0, self._seen, self._target)
            progress.report(percent, done, total, text=text)
            sleep(min(_LONGEST_PAUSE, max(_SHORTEST_PAUSE, (now - began) / 10)))

    def _step(self, step: str, found: str, wanted: str) -> bool:
        """Do what the outcome asks for; returns whether to wait on."""
        if step == "fail":
            raise RecoveryFailed(self._why_not(found, wanted))
        if step == "done" or (step == "promote" and found not in self._told):
            verdict = self.verdict()
            if verdict.reached is False:
                raise RecoveryFailed(f"{verdict.text} {_NOT_REACHED[step]}")
        if step == "promote" and found not in self._told:
            self._refuse_unsafe_resume(found)
            self._told.add(found)
            (resume if found == "paused" else promote)(self._module, self._pgdata)
        return step != "done"

    def _refuse_unsafe_resume(self, found: str) -> None:
        # PostgreSQL 14 and newer pause when max_connections and such are smaller than the primary's.
        lines = [line for line in self.log() if "insufficient parameter settings" in line]
        if found == "paused" and lines and stop_from_log(self.log()) is None:
            raise RecoveryFailed(
                "Recovery is paused because settings of this server are smaller than those of the primary, and "
                f"would end when resumed. PostgreSQL says: {lines[-1].strip()} Raise them and start the server again."
            )

    def clean(self) -> None:
        """Take the settings of the restore out of ``postgresql.auto.conf``. Raises DatabaseError."""
        names = list(self.settings())
        if names:
            self._told.add("cleaned")
            clean(self._module, self._pgdata, names)

    def checkpoint(self) -> None:
        """Write the checkpoint that ends the promotion, unless the server has done so. Raises DatabaseError."""
        if self._seen.checkpoint_timeline < self._seen.timeline:
            self._told.add("checkpoint")
            checkpoint(self._module, self._pgdata)
            self.look()

    def settings(self) -> dict[str, str]:
        """Settings of the restore that stand in ``postgresql.auto.conf``."""
        return recovery_settings(self._pgdata)

    def log(self) -> list[str]:
        """PostgreSQL's log since its last start."""
        return read_log(self._log_file)

    def verdict(self) -> Verdict:
        """The comparison of stop point and target."""
        found = outcome(self._seen)
        if found in ("recovering", "following"):
            return Verdict(None, "Recovery has not ended.")
        if found == "promoted":
            return self._verdict_of_promoted()
        stop = stop_from_log(self.log())
        if found == "exited" and stop is None:
            return Verdict(None, "PostgreSQL is not running.")
        return judge(self._target, stop, self._seen.last_commit)

    def _verdict_of_promoted(self) -> Verdict:
        end = end_of_parent(self._pgdata, self._seen.timeline)
        if end is None and self._seen.timeline == 1 and self._target is not None:
            return Verdict(
                False,
                "The server takes writes on timeline 1: it did not recover from the archive, as a restore makes it.",
            )
        verdict = judge(self._target, stop_from_history(end.reason) if end else None, self._seen.last_commit)
        known = self._module.params["known_lsn"]
        if end is None or known is None or not verdict.reached:
            return verdict
        return judge_end(end.lsn, parse_lsn(known), end.timeline) or verdict

    def _why_not(self, found: str, wanted: str) -> str:
        if found in ("exited", "shut_down"):
            hint = "" if self._log_file else " Name its log in log_file to see its last words."
            return why_exited(self._seen, self.log(), _no_room(self._pgdata)) + hint
        if found == "promoted":
            return f"The server is promoted already and will not be {_in_words(wanted)}. Restore again to change that."
        if wanted == "promoted":
            return (
                f"The server is {found} and will not be promoted by itself. Set promote: true to promote it, or "
                f"state: {found} if this is what you want. {self.verdict().text}"
            )
        return f"The server is {found}, not {_in_words(wanted)}. {self.verdict().text}"

    def _too_long(self, wanted: str, timeout: int, found: str) -> str:
        where = replay_progress(0, self._seen, None)[3] if found == "recovering" else f"it is {found}"
        reason = f" {self._error}" if self._error and self._seen.status.strip() == "ready" else ""
        return (
            f"The server is not {_in_words(wanted)} after {timeout} seconds: {where}.{reason} PostgreSQL goes on. Run "
            "the task again, with a longer timeout if the archive is large."
        )

    def summary(self) -> dict[str, t.Any]:
        """What the diff shows."""
        return {
            "state": self.outcome,
            "timeline": self._seen.timeline or None,
            "timeline_of_checkpoint": self._seen.checkpoint_timeline or None,
            "recovery_settings": self.settings(),
        }

    def result(self) -> dict[str, t.Any]:
        """The module's result."""
        verdict = self.verdict()
        end = end_of_parent(self._pgdata, self._seen.timeline)
        return {
            "outcome": self.outcome,
            "reached": verdict.reached,
            "verdict": verdict.text,
            "timeline": self._seen.timeline or None,
            "timeline_before": end.timeline if end else None,
            "stop": self._stop(end.lsn if end else None, end.reason if end else None),
            "recovery_settings": self.settings(),
            "archiving_off": archiving_switched_off(self._pgdata),
            "log_file": self._log_file,
        }

    def failure(self) -> dict[str, t.Any]:
        """The module's result when it fails."""
        return {"changed": self.acted, "log": telling(self.log()), **self.result()}

    def _stop(self, lsn: int | None, reason: str | None) -> dict[str, t.Any] | None:
        found = outcome(self._seen)
        if found not in ("promoted", "paused"):
            return None
        position = lsn if found == "promoted" else self._seen.replay_lsn
        commit = self._seen.last_commit
        return {
            "lsn": format_lsn(position) if position else None,
            "last_commit": commit.isoformat() if commit else None,
            "reason": reason if found == "promoted" else None,
        }


def _in_words(wanted: str) -> str:
    return wanted.replace("_", " ")


_NOT_REACHED = {
    "done": "Do not use this server as it is. Restore again with a target that the archive reaches.",
    "promote": "It is left as it is. Resume or promote it by hand if this is what you want, or restore again.",
}


def _no_room(directory: str) -> str:
    """A sentence when not even a WAL segment fits any more, '' otherwise."""
    if not os.path.isdir(directory):
        return ""
    free = free_bytes(directory)
    return f" {directory} has {human_size(free)} free, less than a WAL segment." if free < _SEGMENT else ""
