# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What became of a recovery, and whether it is what was asked for. Pure. Private to the collection.

Sources: PostgreSQL documentation, "Recovery Target" and "Recovery Control Functions"; the words of timeline history
files and of the log from src/backend/access/transam/xlogrecovery.c (xlog.c before PostgreSQL 15).
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass
from datetime import datetime, timezone

from ._target import RecoveryTarget, parse_time
from ._wal import format_lsn, parse_lsn

# A recovery leaves these behind in postgresql.auto.conf (pgbackrest#1565, pgbackrest#2417).
_TARGET_SETTINGS = (
    "recovery_target",
    "recovery_target_action",
    "recovery_target_inclusive",
    "recovery_target_lsn",
    "recovery_target_name",
    "recovery_target_time",
    "recovery_target_timeline",
    "recovery_target_xid",
)
# What PostgreSQL before 13 writes when the WAL ended before the target: the stop point that it never set.
_NEVER = datetime(2000, 1, 1, 1, tzinfo=timezone.utc)

_TIME = r"(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?(?:[+-][\d:]+))"
_HISTORY_REASONS = (
    re.compile(rf"^(?P<side>before|after) {_TIME}"),
    re.compile(r"^(?P<side>before|after) LSN (?P<lsn>[0-9A-F]+/[0-9A-F]+)"),
    re.compile(r"^(?P<side>before|after) transaction (?P<xid>\d+)"),
    re.compile(r'^at restore point "(?P<name>.*)"'),
    re.compile(r"^(?P<consistent>reached consistency)"),
    re.compile(r"^(?P<end>no recovery target specified)"),
)
_LOG_STOPS = (
    re.compile(
        rf"recovery stopping (?P<side>before|after) (?:commit|abort) of transaction (?P<xid>\d+)(?:, time {_TIME})?"
    ),
    re.compile(r'recovery stopping (?P<side>before|after) WAL location \(LSN\) "(?P<lsn>[0-9A-F]+/[0-9A-F]+)"'),
    re.compile(r'recovery stopping at restore point "(?P<name>.*?)"(?:, time|$)'),
    re.compile(r"(?P<consistent>recovery stopping after reaching consistency)"),
)
_START = re.compile(r"starting PostgreSQL \d|database system was (?:shut down|interrupted)")
_STOPPED = re.compile(r"received (?:fast|smart|immediate) shutdown request")
_FATAL = re.compile(r"\b(?:FATAL|PANIC):\s+(?P<text>.*)$")
# Refused connections are no news while a server recovers; statements may hold what nobody should see.
_NOISE = re.compile(
    r"\b(?:STATEMENT|DEBUG\d?):|LOG:\s+(?:statement|execute |duration)|restored log file|the database system is"
)
_PASSWORD = re.compile(
    r"(?P<name>\b(?:password|passwd|secret|passphrase)\w*\s*[=:]\s*)(?P<value>'[^']*'|[^\s'\"]+)", re.I
)
_LAST_LINES = 30


@dataclass(frozen=True)
class Observation:
    """What can be seen of a server at one moment.

    ``status`` is that of postmaster.pid (starting, ready, standby, stopping), ``control`` the state in pg_control.
    ``connected`` False leaves what only SQL knows at its default. LSNs are byte positions.
    """

    alive: bool
    control: str = ""
    status: str = ""
    standby: bool = False
    connected: bool = False
    in_recovery: bool = True
    paused: bool = False
    timeline: int = 0
    checkpoint_timeline: int = 0  # that of the last checkpoint, as pg_control has it
    replay_lsn: int | None = None
    last_commit: datetime | None = None


@dataclass(frozen=True)
class Stop:
    """Why and where a recovery stopped; only what its kind of target is about is set."""

    side: str | None = None
    time: datetime | None = None
    lsn: int | None = None
    xid: int | None = None
    name: str | None = None
    consistent: bool = False
    end: bool = False


@dataclass(frozen=True)
class Verdict:
    """Whether the stop point is the target's; ``reached`` None when nobody can tell. ``text`` is a sentence."""

    reached: bool | None
    text: str


def outcome(seen: Observation) -> str:
    """``promoted``, ``paused``, ``following``, ``exited``, or ``recovering`` while nothing is decided."""
    if not seen.alive:
        return "exited"
    if seen.connected:
        if not seen.in_recovery:
            return "promoted"
        if seen.paused:
            return "paused"
        return "following" if seen.standby else "recovering"
    # With hot_standby=off nobody can connect; the postmaster notes "standby" once it replays.
    return "following" if seen.standby and seen.status.startswith("standby") else "recovering"


def shut_itself_down(lines: t.Sequence[str]) -> bool:
    """Whether a server that is not there any more ended at its target, as recovery_target_action=shutdown asks."""
    return any("shutdown at recovery target" in line for line in lines)


def decide(wanted: str, found: str, promote: bool) -> str:
    """What to do about an outcome: ``done``, ``wait``, ``promote`` or ``fail``."""
    if found == wanted:
        return "done"
    if found == "recovering" or (wanted == "paused" and found == "following"):
        return "wait"
    if wanted == "promoted" and found in ("paused", "following"):
        return "promote" if promote else "fail"
    return "fail"


def stop_from_history(reason: str) -> Stop | None:
    """The stop point in the last line of a timeline history file.

    >>> stop_from_history("after LSN 0/3000028").lsn
    50331688
    """
    return _first_stop(_HISTORY_REASONS, reason)


def stop_from_log(lines: t.Sequence[str]) -> Stop | None:
    """The last stop point that the log tells of."""
    found = (_first_stop(_LOG_STOPS, line) for line in reversed(lines))
    return next((stop for stop in found if stop), None)


def _first_stop(patterns: t.Sequence[re.Pattern[str]], text: str) -> Stop | None:
    match = next((match for match in (pattern.search(text) for pattern in patterns) if match), None)
    if not match:
        return None
    part = match.groupdict()
    return Stop(
        side=part.get("side"),
        time=parse_time(part["time"]) if part.get("time") else None,
        lsn=parse_lsn(part["lsn"]) if part.get("lsn") else None,
        xid=int(part["xid"]) if part.get("xid") else None,
        name=part.get("name"),
        consistent=bool(part.get("consistent")),
        end=bool(part.get("end")),
    )


def judge(target: RecoveryTarget | None, stop: Stop | None, last_commit: datetime | None = None) -> Verdict:
    """Compare where recovery stopped with where it should have."""
    if target is None or target.type in ("none", "preserve"):
        return Verdict(None, "No target was given to compare the stop point with.")
    if stop is None:
        return Verdict(
            None, f"Where recovery stopped is not on record, so it cannot be compared with {_meant(target)}."
        )
    if target.type in ("default", "standby"):
        if stop.end:
            return Verdict(True, "Recovery ended with the last archived WAL, as asked.")
        return Verdict(False, f"Recovery stopped {where(stop)}, not at the end of the archived WAL.")
    if stop.end:
        return Verdict(False, f"Recovery ran to the end of the WAL without a target, not to {_meant(target)}.")
    return _COMPARISONS[target.type](target, stop, last_commit)


def judge_end(ended: int, known: int, timeline: int) -> Verdict | None:
    """Whether recovery to the end of the WAL passed the newest record that was ``known`` before; None when it did.

    PostgreSQL takes any WAL that it cannot fetch for the end, also when the repository is only out of reach.
    """
    if ended > known:
        return None
    return Verdict(
        False,
        f"Recovery ended at {format_lsn(ended)}, but when the restore was planned there was WAL to "
        f"{format_lsn(known)}. PostgreSQL could not fetch what lies between, took that for the end, and opened too "
        f"early. Look whether the repository can be read and the WAL of timeline {timeline} is there, then restore "
        f"again along that timeline "
        f"(target_timeline: {timeline}, repeat: true).",
    )


def _judge_time(target: RecoveryTarget, stop: Stop, last_commit: datetime | None) -> Verdict:
    wanted = t.cast(datetime, target.moment)
    if stop.time is None:
        return _elsewhere(target, stop)
    if stop.time < _NEVER:
        return _too_early(target)
    if last_commit is not None and (last_commit > wanted or (target.exclusive and last_commit == wanted)):
        return Verdict(False, f"A commit of {_moment(last_commit)} was replayed, which is after {_meant(target)}.")
    if stop.time < wanted or (stop.time == wanted and not target.exclusive):
        return Verdict(False, f"Recovery stopped {where(stop)}, which is before {_meant(target)}.")
    return Verdict(True, f"Recovery stopped {where(stop)}, the first commit after {_meant(target)}.")


def _judge_lsn(target: RecoveryTarget, stop: Stop, dummy: datetime | None) -> Verdict:
    if stop.lsn is None:
        return _elsewhere(target, stop)
    if stop.lsn == 0:
        return _too_early(target)
    if stop.lsn < parse_lsn(t.cast(str, target.value)):
        return Verdict(False, f"Recovery stopped {where(stop)}, which is before {_meant(target)}.")
    return Verdict(True, f"Recovery stopped {where(stop)}, at {_meant(target)}.")


def _judge_xid(target: RecoveryTarget, stop: Stop, dummy: datetime | None) -> Verdict:
    if stop.xid is None:
        return _elsewhere(target, stop)
    if stop.xid == 0:
        return _too_early(target)
    wanted_side = "before" if target.exclusive else "after"
    if stop.xid != int(t.cast(str, target.value)) or stop.side != wanted_side:
        return _elsewhere(target, stop)
    return Verdict(True, f"Recovery stopped {where(stop)}, as asked.")


def _judge_name(target: RecoveryTarget, stop: Stop, dummy: datetime | None) -> Verdict:
    if stop.name == "":
        return _too_early(target)
    if stop.name != target.value:
        return _elsewhere(target, stop)
    return Verdict(True, f"Recovery stopped {where(stop)}, as asked.")


def _judge_immediate(target: RecoveryTarget, stop: Stop, dummy: datetime | None) -> Verdict:
    if not stop.consistent:
        return _elsewhere(target, stop)
    return Verdict(True, "Recovery stopped as soon as the backup was consistent, as asked.")


_COMPARISONS = {
    "time": _judge_time,
    "lsn": _judge_lsn,
    "xid": _judge_xid,
    "name": _judge_name,
    "immediate": _judge_immediate,
}


def _elsewhere(target: RecoveryTarget, stop: Stop) -> Verdict:
    return Verdict(False, f"Recovery stopped {where(stop)}, not at {_meant(target)}.")


def _too_early(target: RecoveryTarget) -> Verdict:
    return Verdict(
        False,
        f"The archived WAL ended before {_meant(target)} was reached. PostgreSQL before 13 promotes there all the "
        "same.",
    )


def _meant(target: RecoveryTarget) -> str:
    words = {"default": "the end of the archived WAL", "standby": "the end of the archived WAL"}
    words["immediate"] = "the end of the backup"
    return words.get(target.type) or f"the target {target.type} {target.value}"


def where(stop: Stop) -> str:
    """Where recovery stopped, such as ``before the commit of`` a moment."""
    if stop.end:
        return "at the end of the WAL"
    if stop.consistent:
        return "at the end of the backup"
    if stop.name is not None:
        return f"at restore point {stop.name}"
    if stop.lsn is not None:
        return f"{stop.side} LSN {format_lsn(stop.lsn)}"
    if stop.time is not None:
        return f"{stop.side} the commit of {_moment(stop.time)}"
    return f"{stop.side} transaction {stop.xid}"


def _moment(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).isoformat(sep=" ")


def since_last_start(lines: t.Sequence[str]) -> list[str]:
    """The lines of a server's log from its last start on; all when that is not among them."""
    starts = [number for number, line in enumerate(lines) if _START.search(line)]
    if not starts:
        return list(lines)
    first = starts[-1]
    # PostgreSQL 12 and newer say "starting PostgreSQL" a few lines before "database system was ...".
    if len(starts) > 1 and "starting PostgreSQL" in lines[starts[-2]] and "starting PostgreSQL" not in lines[first]:
        first = starts[-2]
    return list(lines[first:])


def telling(lines: t.Sequence[str]) -> list[str]:
    """The last lines of a log that tell about recovery, secrets masked."""
    kept = [_PASSWORD.sub(r"\g<name>********", line) for line in lines if line.strip() and not _NOISE.search(line)]
    return kept[-_LAST_LINES:]


def last_words(lines: t.Sequence[str]) -> str | None:
    """The reason that PostgreSQL gave before it ended: its last FATAL or PANIC; None without one."""
    matches = (_FATAL.search(line) for line in reversed(lines) if not _NOISE.search(line))
    return next((match.group("text").strip() for match in matches if match), None)


def why_exited(seen: Observation, lines: t.Sequence[str], room: str = "") -> str:
    """A sentence or two on a server that is not there any more, and what to do next.

    ``room`` says that its file system is full, where it is: the log of the server need not.
    """
    if shut_itself_down(lines):
        return (
            "PostgreSQL reached its target and shut itself down, as recovery_target_action=shutdown asks. Restore with "
            "another target_action, or take the setting away, and start it again."
        )
    if any(_STOPPED.search(line) for line in lines):
        return "PostgreSQL was stopped while the task waited, or before. Start it again."
    words = last_words(lines)
    if words and "before configured recovery target was reached" in words:
        return (
            f"PostgreSQL ended: {words}. The archived WAL does not reach the target, or not on this timeline. Choose "
            "an earlier target or another target_timeline, and restore again."
        )
    said = f"PostgreSQL ended: {words}." if words else "PostgreSQL is not running."
    state = f" Its pg_control says: {seen.control}." if seen.control else ""
    return f"{said}{state}{room} Look at its log, remove the cause, and start it or restore again."


def left_behind(settings: t.Mapping[str, str]) -> dict[str, str]:
    """Of the settings in ``postgresql.auto.conf`` those that a restore by pgBackRest put there for one recovery.

    ALTER SYSTEM drops the comments of that file, pgBackRest's own among them, so names and values must do.
    """
    found = {name: settings[name] for name in _TARGET_SETTINGS if name in settings}
    command = settings.get("restore_command", "")
    if "archive-get" in command and "pgbackrest" in command.lower():
        found["restore_command"] = command
    return dict(sorted(found.items()))


def replay_progress(
    start: int, seen: Observation, target: RecoveryTarget | None
) -> tuple[float | None, int, int | None, str]:
    """Percent, bytes replayed, bytes to replay, and a text; percent and total only with a target that is an LSN."""
    if seen.replay_lsn is None:
        return None, 0, None, "PostgreSQL recovers and takes no connections yet"
    done = max(0, seen.replay_lsn - start)
    last = f" ({_moment(seen.last_commit)})" if seen.last_commit else ""
    text = f"replayed to {format_lsn(seen.replay_lsn)}{last}"
    if target is None or target.type != "lsn":
        return None, done, None, text
    total = max(0, parse_lsn(t.cast(str, target.value)) - start)
    return (min(100.0, done * 100 / total) if total else None), done, max(total, done), text
