# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Standby and upstream together: judged, and waited for. Private to the collection."""

from __future__ import annotations

import typing as t
from dataclasses import replace
from time import monotonic, sleep

from . import _standby_local as local_side, _upstream as upstream_side
from ._conninfo import address, parse, shown
from ._problem import PlanError, Problem
from ._recovery import last_words, telling
from ._server_watch import find_log, read_log
from ._standby import PAUSED, Judgement, Local, Upstream, Wanted, in_force, judge, lag, streams, without_stream
from ._wal import format_lsn

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0  # seconds between two looks
_GRACE = 5.0  # seconds for a server that was just started to appear


class StandbyFailed(Exception):
    """The standby does not follow; the text says why and what to do next."""


class Watch:
    """A standby and its upstream, and what is known of both. Making one looks at nothing."""

    def __init__(self, module: AnsibleModule, wanted: Wanted) -> None:
        self._module, self._wanted = module, wanted
        self._pgdata = str(module.params["pgdata"])
        self._log_file: str | None = None
        self._old_receiver: int | None = None  # which a server ends that reads another connection
        self.wrote = False
        self.local = Local("missing")
        self.upstream: Upstream | None = None
        self.judgement: Judgement | None = None

    def look(self) -> None:
        """Look at both and judge. Raises PlanError when the upstream cannot be followed, and ClusterError."""
        self.look_here()
        name = upstream_side.connection_name()
        connection = upstream_side.open_connection(self._wanted.upstream, name)
        try:
            self._refuse_itself(name)
            self.upstream = upstream_side.read(connection)
        except upstream_side.errors() as error:
            problem = upstream_side.refusal(self._wanted.upstream, error)
            raise PlanError([problem], upstream_side.HEADING) from None
        finally:
            connection.close()
        identifier = self._module.params["system_identifier"]
        other = upstream_side.other_cluster(self._wanted.upstream, self.upstream, identifier)
        if other:
            raise PlanError([other], upstream_side.HEADING)
        self.judgement = judge(self.local, self.upstream, self._wanted)

    def look_here(self) -> None:
        """Look at this host only."""
        self.local = local_side.look(self._module, self._pgdata)
        if self.local.alive or self._log_file is None:
            self._log_file = find_log(self._pgdata, self._module.params["log_file"]) or self._log_file

    def _refuse_itself(self, name: str) -> None:
        if self.local.connected and local_side.answers(self._module, self._pgdata, name):
            problem = Problem(
                "upstream_is_itself",
                f"{address(self._wanted.upstream)} is the server of {self._pgdata} itself.",
                "Name the server to follow, not this one.",
            )
            raise PlanError([problem], upstream_side.HEADING)

    @property
    def to_write(self) -> bool:
        """Whether the files do not yet say whom to follow as wanted, or the server has not read them."""
        action = self.judgement.action if self.judgement else None
        return action in ("repoint", "start") and not local_side.is_right(self.local, self._wanted)

    def refuse(self, actions: t.Container[str]) -> None:
        """Raise StandbyFailed when one of these actions is needed."""
        if self.judgement and self.judgement.action in actions:
            raise StandbyFailed(self.judgement.text())

    def repoint(self) -> None:
        """Write whom to follow. Raises DatabaseError and ClusterError."""
        local, wanted = self.local, self._wanted
        if local.receiver and (local.running_conninfo, local.running_slot) != (wanted.conninfo, wanted.slot):
            self._old_receiver = local.receiver.pid
        local_side.repoint(self._module, self._pgdata, local, wanted)
        self.wrote = True

    @property
    def to_unmute(self) -> bool:
        """Whether an interrupted run has left something to undo."""
        return self.local.connected and local_side.is_muted(self._pgdata)

    def unmute(self) -> None:
        """Undo it. Raises DatabaseError."""
        local_side.unmute(self._module, self._pgdata)

    def restart_required(self) -> bool:
        """Whether a running server cannot read whom to follow without a restart, which PostgreSQL 12 and older need."""
        if not self.local.alive or self.local.pg_version >= 13:
            return False
        if self.local.pg_version == 12:
            return not in_force(self.local, self._wanted)
        return not local_side.read_since_start(self._pgdata)

    def wait(self, timeout: int) -> None:
        """Wait until the standby streams. Raises StandbyFailed, PlanError, ClusterError."""
        began, pause, seen_alive = monotonic(), _SHORTEST_PAUSE, False
        while True:
            self.look_here()
            seen_alive = seen_alive or self.local.alive
            if self._arrived():
                self.look()
                self._refuse_paused()
                return
            waited = monotonic() - began
            if not self.local.alive and (seen_alive or waited > _GRACE):
                raise StandbyFailed(self._not_running())
            self._refuse_hopeless()
            if waited > timeout:
                raise StandbyFailed(self._too_long(timeout))
            sleep(pause)
            pause = min(_LONGEST_PAUSE, pause * 1.5)

    def _arrived(self) -> bool:
        receiver, upstream = self.local.receiver, self.upstream
        if not streams(self.local, self._wanted) or receiver is None or upstream is None:
            return False
        return receiver.pid != self._old_receiver and self.local.timeline >= upstream.timeline

    def _refuse_paused(self) -> None:
        """A standby that streams but replays nothing is of no use. Raises StandbyFailed."""
        if not self.local.paused:
            return
        words = next((line for line in reversed(self.log()) if "insufficient parameter settings" in line), None)
        raise StandbyFailed(
            f"{PAUSED} Its settings are smaller than those of the upstream: {words.strip()} Raise them and restart it."
            if words
            else f"{PAUSED} Somebody has asked for that; SELECT pg_wal_replay_resume() ends it."
        )

    def _refuse_hopeless(self) -> None:
        """Raise when no waiting helps. What looks like that is looked at anew, because the upstream goes on."""
        if self.upstream and judge(self.local, self.upstream, self._wanted).action in ("rebuild", "refuse"):
            self.look()
            self.refuse(("rebuild", "refuse"))

    def _not_running(self) -> str:
        words = last_words(self.log())
        return (
            f"PostgreSQL ended: {words}. Remove the cause, start it and run this again."
            if words
            else "The standby does not run. Start it and run this again."
        )

    def _too_long(self, timeout: int) -> str:
        local, upstream = self.local, self.upstream
        where = f"The standby does not stream from {address(self._wanted.upstream)} after {timeout} seconds."
        if not local.connected:
            return f"{where} It takes no connections: {local.error} PostgreSQL goes on; run this again later."
        state = without_stream(local, upstream) if upstream else ""
        words = last_words(self.log())
        reason = f" PostgreSQL says: {words}." if words and not local.missing_segment else ""
        hint = (
            "If the archive does not have that WAL either, the standby must be rebuilt."
            if local.missing_segment
            else "PostgreSQL goes on; run this again, with a longer timeout if it has much to replay."
        )
        return f"{where} {state}{reason} {hint}"

    def log(self) -> list[str]:
        """PostgreSQL's log since its last start."""
        return read_log(self._log_file)

    def result(self) -> dict[str, t.Any]:
        """The module's result."""
        local, upstream, found = self.local, self.upstream, self.judgement
        judged = {"action": found.action, "reason": found.reason.rstrip(), "hint": found.hint} if found else {}
        return {
            **judged,
            "streaming": streams(local, self._wanted),
            "upstream": _shown_upstream(upstream),
            "local": shown_local(local),
            "lag": lag(local, upstream) if upstream else {"bytes": None, "seconds": None},
            "log_file": self._log_file,
        }

    def failure(self) -> dict[str, t.Any]:
        """The module's result when it fails."""
        return {"changed": self.wrote, **self.result(), "log": telling(self.log())}

    def foretold(self) -> Local:
        """The standby as it will be told to follow."""
        return replace(self.local, conninfo=self._wanted.conninfo, slot=self._wanted.slot)


def _shown_upstream(upstream: Upstream | None) -> dict[str, t.Any]:
    if upstream is None:
        return {"reachable": False, "system_identifier": None, "timeline": None, "lsn": None, "in_recovery": None}
    return {
        "reachable": True,
        "system_identifier": upstream.system_identifier,
        "timeline": upstream.timeline,
        "lsn": format_lsn(upstream.lsn),
        "in_recovery": upstream.in_recovery,
    }


def shown_local(local: Local) -> dict[str, t.Any]:
    """The standby as module result, secrets masked."""
    receiver = local.receiver
    return {
        "state": local.content,
        "system_identifier": local.system_identifier,
        "pg_version": str(local.pg_version) if local.pg_version else None,
        "cluster_state": local.cluster_state,
        "running": local.alive,
        "in_recovery": local.in_recovery if local.connected else None,
        "standby": local.standby,
        "timeline": local.timeline or None,
        "lsn": format_lsn(local.lsn) if local.lsn else None,
        "primary_conninfo": masked(local.conninfo),
        "primary_slot_name": local.slot,
        "receiver": {"status": receiver.status, "host": receiver.host, "port": receiver.port, "slot": receiver.slot}
        if receiver
        else None,
        "paused": local.paused,
        "missing_segment": local.missing_segment,
    }


def masked(conninfo: str) -> str:
    """A connection string without its secrets."""
    try:
        return shown(parse(conninfo))
    except ValueError:
        return "********"
