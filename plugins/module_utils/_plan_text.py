# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A restore plan in words, without secrets. Pure. Private to the collection."""

from __future__ import annotations

import re
import textwrap
import typing as t

from ._repository import iso_time

if t.TYPE_CHECKING:
    from ._plan import Plan

MASK = "********"
_WIDTH = 110
_HOW = {
    "full": "into an empty directory",
    "delta": "in place (delta): what differs from the backup is overwritten, what is not in it is deleted",
    "swap": "beside the old directory (swap), which then makes way and is kept",
}
_SECRET_WORDS = re.compile(
    r"((?:\w|-)*(?:pass|secret|token|key)(?:\w|-)*\s*[=:]\s*)((?:''|\\'|[^'\s])+|'(?:\\.|''|[^'\\])*')", re.IGNORECASE
)
_SECRET_IN_URI = re.compile(r"(://[^:/@\s]*:)([^@\s]+)(@)")


def text(plan: Plan) -> list[str]:
    """The plan in lines for people: a title, then what will happen, one fact after the other."""
    request = plan.request
    if plan.done:
        return [f"Nothing to do: {request.pgdata} already holds this restore of stanza {request.stanza}."]
    facts = [*_what(plan), *_wal_lines(plan), *_where(plan), *(("note", warning) for warning in plan.warnings)]
    lines = [f"Plan {plan.id}: restore of stanza {request.stanza} to {request.pgdata}"]
    for title, sentence in facts:
        lines += _wrapped(title, sentence)
    return lines


def _what(plan: Plan) -> t.Iterator[tuple[str, str]]:
    backup, proof = plan.backup, plan.proof
    yield "how", _HOW[plan.mode]
    yield (
        "from",
        f"{backup.type} backup {backup.label} of repository {backup.repo_key}, ended {iso_time(backup.stop)}, "
        f"{human_size(backup.size)}",
    )
    yield "to", plan.request.target.sentence()
    if proof and proof.route.reason:
        yield "timeline", f"{proof.route.timeline}, because {proof.route.reason}"
    elif proof:
        yield "timeline", str(proof.route.timeline)


def _wal_lines(plan: Plan) -> t.Iterator[tuple[str, str]]:
    proof, rescue = plan.proof, plan.rescue
    if proof:
        window, wal = proof.window, proof.wal
        last = window["latest_time"] or window["latest_lsn"] or "the end of the archived WAL"
        yield "window", f"{window['earliest_time']} to {last} can be reached from this backup"
        here = f", {wal['from_local']} of them only on this host" if wal["from_local"] else ""
        count = "1 segment" if wal["segments"] == 1 else f"{wal['segments']} segments"
        most = "at most " if plan.request.target.type == "time" else ""  # the place of a time is not known before
        yield "replay", f"{most}WAL {wal['first']} to {wal['last']}: {count}, {human_size(wal['bytes'])}{here}"
    if rescue and rescue.names:
        files = "1 WAL file" if len(rescue.names) == 1 else f"{len(rescue.names)} WAL files"
        yield "rescue", f"{files} that no repository has, {human_size(rescue.size)}, kept in {rescue.directory}"


def _where(plan: Plan) -> t.Iterator[tuple[str, str]]:
    directory = plan.directory
    for place in plan.overwrites:
        yield "overwrite", f"{place['path']}: {place['content']}, {human_size(place['bytes'])}"
    if plan.keeps:
        kept = _dated(plan, plan.keeps)
        yield "keep", f"{directory.path}, {human_size(plan.occupied)} ({directory.sentence()}), as {kept}"
    for destination in plan.destinations:
        path = _dated(plan, destination.path or "plain files in the data directory")
        yield destination.kind, f"{destination.name} to {path}"
    if plan.zeroed():
        yield "leave out", f"databases with the OIDs {', '.join(map(str, sorted(plan.zeroed())))}"
    for system in plan.space.file_systems:
        yield "space", system.text()
    for name, value in sorted(mask_settings(plan.settings()).items()):
        if not name.startswith("recovery_target"):  # the target is told above
            yield "setting", f"{name} = {value}"


def _dated(plan: Plan, path: str) -> str:
    """A path that a swap makes. Before the swap nobody knows the time that will be in it."""
    stamp = plan.request.stamp
    return path.replace(stamp, "<time>") if plan.request.plan_only and stamp else path


def _wrapped(title: str, sentence: str) -> list[str]:
    return textwrap.wrap(
        sentence,
        _WIDTH,
        initial_indent=f"  {title:<10} ",
        subsequent_indent=" " * 13,
        break_long_words=False,
        break_on_hyphens=False,
    )


def mask_settings(settings: t.Mapping[str, str]) -> dict[str, str]:
    """Settings with the secrets in connection strings and commands masked.

    >>> mask_settings({"primary_conninfo": "host=db1 password=geheim user=rep"})
    {'primary_conninfo': 'host=db1 password=******** user=rep'}
    """
    return {
        name: _SECRET_IN_URI.sub(rf"\g<1>{MASK}\g<3>", _SECRET_WORDS.sub(rf"\g<1>{MASK}", value))
        for name, value in settings.items()
    }


def secrets_in(settings: t.Mapping[str, str]) -> set[str]:
    """The secrets that ``mask_settings`` masks."""
    found = {match.group(2) for value in settings.values() for match in _SECRET_WORDS.finditer(value)}
    found |= {match.group(2) for value in settings.values() for match in _SECRET_IN_URI.finditer(value)}
    return found | {secret.strip("'") for secret in found if secret.strip("'")}


def human_size(size: int) -> str:
    """A size in bytes for people.

    >>> human_size(29 * 1024**2)
    '29.0 MiB'
    """
    value, unit = float(size), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{int(value)} B" if unit == "B" else f"{value:.1f} {unit}"
