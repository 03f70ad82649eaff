# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The record of a stanza as a block of text. Pure. Private to the collection."""

from __future__ import annotations

import textwrap
import typing as t
from datetime import datetime, timezone

from ._model_cluster import at_target
from ._progress_line import duration, size

Record = t.Dict[str, t.Any]

WIDTH = 100
_LONGEST_PROBLEM = 500  # the data has all of it
_LABEL = 12  # columns before the text of a line


def lines_of(report: Record) -> list[str]:
    """What is of no stanza, and the blocks of all stanzas, an empty line between them."""
    result = [line for problem in report["general"] for line in textwrap.wrap(problem, WIDTH)]
    for stanza in report["stanzas"]:
        result += [*([""] if result else []), *block(stanza)]
    return result


def block(record: Record) -> list[str]:
    """Verdict and problems, hosts, repositories, archive, schedule."""
    return [
        f"{record['stanza']}: {verdict(record['problems'])}, seen {clock(record['time'])}",
        *(
            line
            for number, problem in enumerate(record["problems"], 1)
            for line in _wrapped(f"{number}.", shortened(problem))
        ),
        *labelled("hosts", [host_line(host, record["hosts"]) for host in record["hosts"]]),
        *(line for repository in record["repositories"] for line in repository_lines(repository)),
        *labelled("archive", archive_lines(record)),
        *labelled("schedule", schedule_lines(record)),
        *labelled("running", running_lines(record["running"])),
    ]


def verdict(problems: t.Sequence[str]) -> str:
    """``OK``, ``1 PROBLEM`` or ``3 PROBLEMS``."""
    return f"{len(problems)} PROBLEM{'S' if len(problems) > 1 else ''}" if problems else "OK"


def shortened(problem: str) -> str:
    """A problem without the middle of a very long error of pgBackRest: what is wrong stands first, what to do last."""
    if len(problem) <= _LONGEST_PROBLEM:
        return problem
    start = textwrap.shorten(problem, _LONGEST_PROBLEM // 2, placeholder=" [...]")
    end = problem[-_LONGEST_PROBLEM // 2 :].partition(" ")[2]
    return f"{start} {end}"


def clock(epoch: int, seconds: bool = False) -> str:
    """A moment in UTC.

    >>> clock(1795381179), clock(1795381179, seconds=True)
    ('2026-11-22 20:59 UTC', '2026-11-22 20:59:39 UTC')
    """
    moment = datetime.fromtimestamp(epoch, timezone.utc)
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC" if seconds else "%Y-%m-%d %H:%M UTC")


def labelled(label: str, lines: t.Sequence[str]) -> list[str]:
    """Lines with a label before the first one, each at most WIDTH wide."""
    result: list[str] = []
    for number, line in enumerate(lines):
        result += _wrapped("" if number else label, line)
    return result


def _wrapped(label: str, text: str) -> list[str]:
    """A text with a label before it; further lines stand below the text. Problems have numbers, which are shorter."""
    indent = " " * (5 if label.endswith(".") else 2 + _LABEL)
    first = f"  {label}".ljust(len(indent))
    wrapper = textwrap.TextWrapper(WIDTH, first, indent, break_long_words=False, break_on_hyphens=False)
    return wrapper.wrap(text) or [first.rstrip()]


def wrapped(text: str, begin: str) -> list[str]:
    """Lines of a text; those after the first stand below its text."""
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=begin,
        subsequent_indent=" " * len(begin),
        break_long_words=False,
        break_on_hyphens=False,
    )


def host_line(host: Record, hosts: t.Sequence[Record]) -> str:
    """Name, role, versions."""
    name = host["host"].ljust(max(len(other["host"]) for other in hosts))
    if not host["asked"]:
        return f"{name}  not asked: outside this play"
    if not host["reached"]:
        return f"{name}  NOT REACHED"
    if host["cluster"] is None:
        return f"{name}  no cluster"
    role = "RECOVERS" if at_target(host) else host["role"] or "unknown"
    state = role if host["running"] else "DOWN"
    program = f"pgBackRest {host['pgbackrest']}" if host["pgbackrest"] else "no pgBackRest"
    return f"{name}  {state:<7}  PostgreSQL {host['cluster']}, {program}"


def repository_lines(repository: Record) -> list[str]:
    """Where it is, what it can bring back, what it holds."""
    cipher = {None: "encryption not known", "none": "NOT ENCRYPTED"}.get(repository["cipher"], "encrypted")
    where = f"{repository['type']}: {repository['place']}, {cipher}"
    return labelled(f"repo {repository['key']}", [where, *_contents(repository)])


def _contents(repository: Record) -> list[str]:
    if not repository["readable"]:
        return ["cannot be read"]
    if repository["newest"] is None:
        return ["no backup"]
    ages = [f"{kind} {duration(found['age'])} ago" for kind, found in repository["last"].items() if found]
    if not repository["last"]["full"]:
        ages.insert(0, "NO FULL")
    counts = [f"{count} {kind}" for kind, count in repository["backups"].items() if count]
    stored = f"{size(repository['stored'])} stored for {size(repository['cluster_size'])} of cluster"
    return [
        f"recoverable  {window_text(repository['window'])}",
        f"last backup  {', '.join(ages)}",
        f"newest       {repository['newest']}",
        f"holds        {', '.join(counts)}; {stored}",
    ]


def window_text(window: Record | None) -> str:
    """From when to when, and how long that is."""
    if window is None:
        return "NOTHING"
    start = clock(window["from"], seconds=True)
    if window["to"] is None:
        return f"{start} to the end of {window['to_wal']}" if window["to_wal"] else f"{start}, no WAL after it"
    return f"{start} to {clock(window['to'], seconds=True)} ({duration(window['seconds'])})"


def archive_lines(record: Record) -> list[str]:
    """How WAL flows on the primary."""
    archive = record["archive"]
    if archive is None:
        return ["not known: no running primary was asked"]
    if archive["last_wal"]:
        newest = f"last {archive['last_segment'] or archive['last_wal']}, {duration(archive['age'])} ago"
    else:
        newest = "nothing archived yet"
    parts = [newest, f"{archive['waiting']} waiting"]
    if archive["failed_count"]:
        when = f", last {duration(archive['failed_age'])} ago" if archive["failed_age"] is not None else ""
        parts.append(f"{archive['failed_count']} failed tries{when}")
    else:
        parts.append("no failures")
    if archive["failing"]:
        parts.append("FAILING NOW")
    return ["; ".join(parts)]


def schedule_lines(record: Record) -> list[str]:
    """Each scheduled backup: when next, how the last one went. A repository host is named before them."""
    entries = record["schedule"]
    if not entries:
        return ["none seen"]
    elsewhere = entries[0]["host"] not in [host["host"] for host in record["hosts"]]
    names = [entry["type"] + (f" repo {_list(entry['repos'])}" if entry["repos"] else "") for entry in entries]
    widths = [max(map(len, names)), max(len(entry["when"]) for entry in entries)]
    lines = [
        f"{name:<{widths[0]}}  {entry['when']:<{widths[1]}}  {schedule_line(entry, record['time'])}"
        for name, entry in zip(names, entries)
    ]
    return [*([f"on {entries[0]['host']}"] if elsewhere else []), *lines]


def _list(numbers: t.Sequence[int]) -> str:
    return ",".join(map(str, numbers))


def schedule_line(entry: Record, now: int) -> str:
    """When a scheduled backup runs next, and how the last one went."""
    due = entry["next"]
    upcoming = f"next {clock(due)} (in {duration(max(0, due - now))})" if due else "NO NEXT RUN"
    return f"{'runs now' if entry['running'] else upcoming}, {outcome(entry, now)}"


def outcome(entry: Record, now: int) -> str:
    """How the last run ended, and when the last one ended well."""
    succeeded = entry["last_success"]
    ago = f"{duration(max(0, now - succeeded))} ago" if succeeded else "never"
    if entry["last_result"] == "failure":
        return f"LAST RUN FAILED, success {ago}"
    return f"last success {ago}" if succeeded else "no success yet"


def running_lines(running: Record | None) -> list[str]:
    """A backup or restore that runs now."""
    if not running:
        return []
    percent = "" if running["percent"] is None else f", {running['percent']:.0f} % done"
    return [f"{running['command']}{percent}"]
