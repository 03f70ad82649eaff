# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Scheduled backups as texts: jobs, names, units of systemd, a file for cron. Pure. Private to the collection.

Each file that we write begins with MARKER and says in a line of JSON what it schedules. So we know our own files, and
read them again without understanding units or lines of cron.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import typing as t
from dataclasses import dataclass

from ._schedule_calendar import parse_cron, to_cron
from ._schedule_systemd import unit_word
from ._scheduled_backup import state_name

MARKER = "# Managed by Ansible (pgops.pgbackrest.schedule)"
RUNNER = "/usr/local/libexec/pgops-pgbackrest/scheduled-backup"

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_UNIT = re.compile(r"[A-Za-z0-9:_.\\@%-]+")
_UNIT_KIND = re.compile(r"\.(service|target|socket|path|timer|slice|mount|automount|scope)$")
_SECTION = "# {"

# No mount namespaces (PrivateTmp, ProtectSystem …): pgBackRest's locks lie in /tmp by default and must be seen by all,
# and many containers cannot make them.
_SERVICE = """\
[Unit]
Description={description}
Documentation=https://pgbackrest.org/command.html#command-backup
Wants=network-online.target
After=network-online.target postgresql.service{on_failure}

[Service]
Type=oneshot
User={user}
ExecStart={command}
TimeoutStartSec=infinity
Nice=10
CPUWeight=20
IOWeight=20
IOSchedulingClass=best-effort
IOSchedulingPriority=7
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
"""
_TIMER = """\
[Unit]
Description=Time for: {description}

[Timer]
{calendars}
Persistent=true{splay}

[Install]
WantedBy=timers.target
"""
_CRON_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Job:
    """All scheduled backups of one type in the same repositories; no repository stands for every one.

    ``calendars`` are for systemd, ``crons`` for cron.
    """

    stanza: str
    type: str
    repos: tuple[int, ...]
    calendars: tuple[str, ...]
    crons: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name within the stanza."""
        return state_name(self.type, self.repos)

    @property
    def unit(self) -> str:
        """Name of its units without suffix."""
        return f"pgbackrest-{escape_unit(self.stanza)}-{self.name}"

    @property
    def description(self) -> str:
        """For people."""
        where = f" in repository {' and '.join(map(str, self.repos))}" if self.repos else ""
        return f"pgBackRest {self.type} backup of stanza {self.stanza}{where}"


@dataclass(frozen=True)
class How:
    """What all jobs of a stanza have in common: ``options`` are words for the runner, ``splay`` is in seconds."""

    user: str
    splay: int
    on_failure: str | None
    options: tuple[str, ...]


def jobs(stanza: str, entries: t.Sequence[t.Mapping[str, t.Any]], scheduler: str) -> tuple[list[Job], list[str]]:
    """The jobs that the entries ask for, and what is wrong with them.

    Entries of the same type and repositories become one job: its result is one, and so is the name of its unit.
    """
    times: dict[tuple[str, tuple[int, ...]], list[tuple[str, str]]] = {}
    problems = []
    for number, entry in enumerate(entries, 1):
        key = (entry["type"], tuple(sorted(set(entry.get("repo") or ()))))
        where = f"Entry {number} ({entry['type']})"
        problems += [f"{where}: {problem}" for problem in _entry_problems(entry)]
        try:
            times.setdefault(key, []).append(_times(entry, scheduler))
        except ValueError as error:
            problems.append(f"{where}: {error}")
    return [
        Job(stanza, kind, repos, _distinct(pair[0] for pair in pairs), _distinct(pair[1] for pair in pairs))
        for (kind, repos), pairs in times.items()
    ], problems


def _distinct(texts: t.Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for text in texts if text))


def _entry_problems(entry: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    for name in ("calendar", "cron"):
        if _CONTROL.search(entry.get(name) or ""):
            yield f"{name} must be one line without control characters."
    for repo in entry.get("repo") or ():
        if not 1 <= repo <= 256:
            yield f"there is no repository {repo}: their numbers go from 1 to 256."


def _times(entry: t.Mapping[str, t.Any], scheduler: str) -> tuple[str, str]:
    """Calendar and line of cron of an entry; ValueError with a sentence when the scheduler cannot have it."""
    calendar, cron = (" ".join((entry.get(name) or "").split()) for name in ("calendar", "cron"))
    if scheduler == "systemd":
        if not calendar:
            raise ValueError("systemd needs calendar, such as 'Sun 02:00'; cron: is for hosts without systemd.")
        return calendar, ""
    if cron:
        try:
            parse_cron(cron)
        except ValueError as error:
            raise ValueError(f"{error}.") from None
        return calendar, cron
    if not calendar:
        raise ValueError("say when: give calendar, such as 'Sun 02:00', or cron, such as '0 2 * * 0'.")
    try:
        return calendar, to_cron(calendar)
    except ValueError as error:
        raise ValueError(
            f"calendar {calendar!r} cannot be translated for cron ({error}): add cron, such as cron: '0 2 * * 0'."
        ) from None


def name_problems(stanza: str, words: t.Iterable[str], on_failure: str | None) -> list[str]:
    """What is wrong with the names of a stanza and a unit, and with words for a command line."""
    found = []
    if not stanza or stanza in (".", "..") or re.search(r"[/\\]", stanza) or _CONTROL.search(stanza):
        found.append(f"stanza {stanza!r} cannot be part of the name of a file: correct it.")
    found += [f"{word!r} holds a control character: correct it." for word in words if _CONTROL.search(word)]
    if on_failure and not _UNIT.fullmatch(on_failure):
        found.append(f"on_failure {on_failure!r} is no name of a unit, such as alert@%n.service.")
    return found


def full_unit_name(name: str | None) -> str | None:
    """Name of a unit with its suffix; without one it is a service.

    >>> full_unit_name("alert@%n"), full_unit_name("panic.target")
    ('alert@%n.service', 'panic.target')
    """
    return f"{name}.service" if name and not _UNIT_KIND.search(name) else name or None


def escape_unit(text: str) -> str:
    r"""Text as part of a unit's name, other characters as systemd-escape writes them.

    >>> escape_unit("my-db.1"), escape_unit("a b@c")
    ('my-db.1', 'a\\x20b\\x40c')
    """
    return _escape(text, r"[A-Za-z0-9_.-]", "\\x")


def cron_file_name(stanza: str) -> str:
    """Name of a stanza's file for cron, which passes over files with other characters, such as dots.

    >>> cron_file_name("my-db.1")
    'pgbackrest-my-db_x2e1'
    """
    return f"pgbackrest-{_escape(stanza, '[A-Za-z0-9_-]', '_x')}"


def _escape(text: str, plain: str, sign: str) -> str:
    return "".join(
        each if re.match(plain, each) else "".join(f"{sign}{byte:02x}" for byte in each.encode()) for each in text
    )


def cron_word(word: str) -> str:
    r"""One word of a command in cron, which takes ``%`` for the end of a line even between quotes.

    >>> cron_word("--stanza=50% off")
    "'--stanza=50\\% off'"
    """
    return shlex.quote(word).replace("%", "\\%")


def command(job: Job, how: How) -> list[str]:
    """The runner with its arguments."""
    repos = [f"--repo={repo}" for repo in job.repos]
    return [RUNNER, f"--stanza={job.stanza}", f"--type={job.type}", *repos, *how.options]


def header(job: Job, times: t.Sequence[str], how: How, delay: int | None = None) -> str:
    """The line that says what a file, or a part of it, schedules."""
    facts: dict[str, t.Any] = {"stanza": job.stanza, "type": job.type, "repos": job.repos, "schedule": times}
    facts.update(user=how.user, **({} if delay is None else {"delay": delay}))
    return f"# {json.dumps(facts)}"


def service_text(job: Job, how: How) -> str:
    """The unit that takes the backup."""
    text = _SERVICE.format(
        description=job.description.replace("%", "%%"),
        on_failure=f"\nOnFailure={how.on_failure}" if how.on_failure else "",
        user=how.user,
        command=" ".join(unit_word(word) for word in command(job, how)),
    )
    return f"{MARKER}\n{header(job, job.calendars, how)}\n{text}"


def timer_text(job: Job, how: How) -> str:
    """The unit that starts it, on each host at its own moment within the splay."""
    text = _TIMER.format(
        description=job.description.replace("%", "%%"),
        calendars="\n".join(f"OnCalendar={calendar}" for calendar in job.calendars),
        splay=f"\nRandomizedDelaySec={how.splay}\nFixedRandomDelay=true" if how.splay else "",
    )
    return f"{MARKER}\n{header(job, job.calendars, how)}\n{text}"


def cron_text(wanted: t.Sequence[Job], how: How, host: str) -> str:
    """The file for cron."""
    parts = [f"{MARKER}\n{_CRON_PATH}\n"]
    for job in wanted:
        delay = stable_delay(how.splay, host, job)
        quiet = ["--quiet", *([f"--delay={delay}"] if delay else [])]
        words = " ".join(cron_word(word) for word in [*command(job, how), *quiet])
        lines = [f"{cron} {how.user} nice -n 10 {words}\n" for cron in job.crons]
        parts.append(f"{header(job, job.crons, how, delay)}\n{''.join(lines)}")
    return "\n".join(parts)


def stable_delay(splay: int, host: str, job: Job) -> int:
    """Seconds up to the splay, on each host for each job always the same."""
    digest = hashlib.sha256(f"{host} {job.stanza} {job.name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % (splay + 1)


def is_ours(text: str) -> bool:
    """Whether this module wrote the text."""
    return MARKER in text.split("\n", 2)[:2]  # a program has its interpreter before


def read_headers(text: str) -> list[dict[str, t.Any]]:
    """What a file of ours schedules."""
    found = []
    for line in text.splitlines() if is_ours(text) else ():
        if line.startswith(_SECTION):
            try:
                found.append(json.loads(line[2:]))
            except ValueError:
                continue
    return found
