# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What must be done so that a directory holds a standby that follows its upstream. Pure. Private to the collection.

Sources: PostgreSQL documentation, "Log-Shipping Standby Servers", "Timelines", "pg_stat_wal_receiver".
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ._conninfo import address, build, differs, parse, shown
from ._wal import HistoryEntry, format_lsn

PAUSED = "Its replay is paused."
ACTIONS = ("none", "start", "repoint", "rebuild", "provision", "refuse")


@dataclass(frozen=True)
class Receiver:
    """The process of a standby that receives WAL, as ``pg_stat_wal_receiver`` has it."""

    pid: int
    status: str
    host: str | None = None
    port: str | None = None
    slot: str | None = None
    user: str | None = None


@dataclass(frozen=True)
class Local:
    """The directory and its server. ``content`` is the state of ``_directory.Directory``; LSNs are byte positions.

    ``lsn`` is how far it has come for certain on ``timeline``. ``conninfo`` and ``slot`` stand in its files;
    ``running_conninfo`` and ``running_slot`` are in force, None when that cannot be seen.
    """

    content: str
    system_identifier: str | None = None
    pg_version: int = 0
    cluster_state: str | None = None
    timeline: int = 0
    lsn: int = 0
    standby: bool = False
    alive: bool = False
    connected: bool = False
    in_recovery: bool = True
    conninfo: str = ""
    slot: str = ""
    running_conninfo: str | None = None
    running_slot: str | None = None
    receiver: Receiver | None = None
    restore_command: str = ""
    missing_segment: str | None = None
    seconds: float | None = None
    paused: bool = False
    patroni: bool = False
    error: str | None = None


@dataclass(frozen=True)
class Upstream:
    """The server to follow, as it answered on a connection for replication."""

    system_identifier: str
    timeline: int
    lsn: int
    in_recovery: bool = False
    history: t.Sequence[HistoryEntry] = ()


@dataclass(frozen=True)
class Wanted:
    """Whom to follow: parameters of libpq, and the slot or an empty text."""

    upstream: t.Mapping[str, t.Any]
    slot: str = ""

    @property
    def conninfo(self) -> str:
        """Value for ``primary_conninfo``."""
        return build(self.upstream)


@dataclass(frozen=True)
class Judgement:
    """One of ``ACTIONS``, why, and what a human can do about it if anything."""

    action: str
    reason: str
    hint: str = field(default="")

    def text(self) -> str:
        """Reason and hint."""
        return f"{self.reason} {self.hint}".rstrip()


def judge(local: Local, upstream: Upstream, wanted: Wanted) -> Judgement:
    """The one action that is needed. ``local`` must have been looked at before ``upstream`` was."""
    found = (
        _without_cluster(local)
        or _foreign(local, upstream)
        or _primary(local, upstream)
        or _diverged(local, upstream)
        or _elsewhere(local, wanted)
        or _following(local, upstream, wanted)
    )
    if local.patroni and found.action in ("repoint", "rebuild"):
        hint = "Patroni manages it and says whom it follows: use patronictl (reinit, edit-config)."
        return Judgement("refuse", found.reason, hint)
    return found


def configured(local: Local, wanted: Wanted) -> bool:
    """Whether the files say whom to follow as wanted."""
    return not differs(local.conninfo, wanted.conninfo) and local.slot == wanted.slot


def in_force(local: Local, wanted: Wanted) -> bool:
    """Whether the server does what is wanted, as far as that can be seen."""
    if local.running_conninfo is not None:
        return not differs(local.running_conninfo, wanted.conninfo) and local.running_slot == wanted.slot
    if local.receiver is None:
        return True
    names = (wanted.upstream.get("user"), local.receiver.user)
    return _is_of(local.receiver, wanted) and (None in names or names[0] == names[1])


def streams(local: Local, wanted: Wanted) -> bool:
    """Whether the standby receives WAL from the wanted server, through the wanted slot."""
    return bool(
        local.connected
        and local.in_recovery
        and local.receiver
        and local.receiver.status == "streaming"
        and _is_of(local.receiver, wanted)
    )


def _is_of(receiver: Receiver, wanted: Wanted) -> bool:
    given = [str(wanted.upstream.get(name) or "") for name in ("host", "hostaddr")]
    hosts = [host for text in given for host in text.split(",") if host]
    ports = str(wanted.upstream.get("port") or 5432).split(",")
    if (receiver.slot or "") != wanted.slot:
        return False
    if not hosts:  # a service file names them
        return True
    return receiver.host in hosts and (receiver.port or "5432") in ports


def _without_cluster(local: Local) -> Judgement | None:
    if local.content in ("missing", "empty"):
        where = "There is no data directory." if local.content == "missing" else "The data directory is empty."
        return Judgement("provision", where)
    if local.content == "unfinished" or (local.content == "cluster" and local.system_identifier is None):
        return Judgement("rebuild", "The data directory holds a restore that did not end, or a broken cluster.")
    if local.content != "cluster":
        words = {"closed": "may not be read by this user", "file": "is no directory"}
        return Judgement(
            "refuse",
            f"The data directory {words.get(local.content, 'holds files, but no cluster')}.",
            "Look at it, and move away what is in the way.",
        )
    return None


def _foreign(local: Local, upstream: Upstream) -> Judgement | None:
    if local.system_identifier == upstream.system_identifier:
        return None
    return Judgement(
        "refuse",
        f"The data directory holds another cluster: its system identifier is {local.system_identifier}, that of the "
        f"upstream is {upstream.system_identifier}.",
        "Remove that cluster if nobody needs it.",
    )


def _primary(local: Local, upstream: Upstream) -> Judgement | None:
    if local.connected and not local.in_recovery:
        return Judgement(
            "rebuild",
            f"It is a primary itself, and takes writes on timeline {local.timeline}.{_newer(local, upstream)}",
        )
    if not local.standby:
        return Judgement(
            "rebuild",
            f"It was no standby when it ran last, on timeline {local.timeline}; what it has may not be in the "
            f"upstream.{_newer(local, upstream)}",
        )
    return None


def _newer(local: Local, upstream: Upstream) -> str:
    if local.timeline <= upstream.timeline:
        return ""
    return (
        f" That is newer than timeline {upstream.timeline} of the upstream: make sure that the upstream has the data "
        "you want to keep."
    )


def _diverged(local: Local, upstream: Upstream) -> Judgement | None:
    reached = f"It has come to {format_lsn(local.lsn)} on timeline {local.timeline}"
    if local.timeline == upstream.timeline:
        if local.lsn > upstream.lsn and not upstream.in_recovery:
            return Judgement(
                "rebuild", f"{reached}, which is further than the upstream is ({format_lsn(upstream.lsn)})."
            )
        return None
    if local.timeline > upstream.timeline and upstream.in_recovery:
        return Judgement(
            "refuse",
            f"{reached}, but the upstream, a standby as well, is still on timeline {upstream.timeline}.",
            "Let the upstream follow the primary first, then run this again.",
        )
    left = next((entry.lsn for entry in upstream.history if entry.timeline == local.timeline), None)
    if left is None:
        return Judgement(
            "rebuild",
            f"{reached}, which is not in the history of the upstream (timeline {upstream.timeline})."
            f"{_newer(local, upstream)}",
        )
    if local.lsn > left:
        return Judgement(
            "rebuild", f"{reached}, but the upstream left that timeline at {format_lsn(left)}. They have diverged."
        )
    return None


def _elsewhere(local: Local, wanted: Wanted) -> Judgement | None:
    if configured(local, wanted) and (not local.alive or in_force(local, wanted)):
        return None
    before = _followed(local)
    if not local.alive:
        return Judgement("start", f"It is stopped, has not diverged, and was to follow {before}.")
    return Judgement("repoint", f"It has not diverged, and follows {before}.")


def _followed(local: Local) -> str:
    try:
        params = parse(local.running_conninfo or local.conninfo)
    except ValueError:
        params = {}
    slot = local.slot if local.running_slot is None else local.running_slot
    through = f" through the slot {slot}" if slot else " without a slot"
    return f"{address(params)}{through} ({shown(params)})" if params else "nobody"


def _following(local: Local, upstream: Upstream, wanted: Wanted) -> Judgement:
    if not local.alive:
        return Judgement("start", "It is stopped, and has not diverged.")
    if streams(local, wanted):
        paused = f" {PAUSED}" if local.paused else ""
        return Judgement("none", f"It streams from {address(wanted.upstream)} on timeline {local.timeline}.{paused}")
    if not local.connected:
        return Judgement("none", f"It recovers, and takes no connections yet: {local.error or 'no reason is known'}")
    if local.missing_segment and not local.restore_command:
        return Judgement(
            "rebuild",
            f"The upstream no longer has the WAL that it needs next ({local.missing_segment}), and no restore_command "
            "is set that could fetch it.",
        )
    return Judgement("none", f"It is set up to follow {address(wanted.upstream)}. {without_stream(local, upstream)}")


def without_stream(local: Local, upstream: Upstream) -> str:
    """A sentence on a standby that does not stream."""
    behind = max(0, upstream.lsn - local.lsn)
    state = f"It is {behind} bytes behind." if local.lsn else ""
    if local.missing_segment:
        return (
            f"The upstream no longer has the WAL that it needs next ({local.missing_segment}), so it replays from the "
            f"archive. {state}"
        )
    if local.restore_command:
        return f"It does not stream now; what the archive has it replays from there. {state}"
    return f"It does not stream now. {state}"


def lag(local: Local, upstream: Upstream) -> dict[str, t.Any]:
    """How far behind a server is that has come to a position."""
    known = local.connected and local.in_recovery
    return {"bytes": max(0, upstream.lsn - local.lsn) if known else None, "seconds": local.seconds if known else None}
