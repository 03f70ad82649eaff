# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A restore plan in words, without secrets. Pure. Private to the collection."""

from __future__ import annotations

import re
import typing as t

from ._repository import iso_time

if t.TYPE_CHECKING:
    from ._plan import Plan

MASK = "********"
_SECRET_WORDS = re.compile(
    r"((?:\w|-)*(?:pass|secret|token|key)(?:\w|-)*\s*[=:]\s*)((?:''|\\'|[^'\s])+|'(?:\\.|''|[^'\\])*')", re.IGNORECASE
)
_SECRET_IN_URI = re.compile(r"(://[^:/@\s]*:)([^@\s]+)(@)")


def text(plan: Plan) -> list[str]:
    """The plan in lines for people."""
    backup, pgdata, space = plan.backup, plan.request.pgdata, plan.space
    if plan.done:
        return [f"Nothing to do: {pgdata} already holds this restore of stanza {plan.request.stanza}."]
    how = "delta: what differs is overwritten, what is not in the backup is deleted" if plan.delta else "full"
    return [
        f"Restore of stanza {plan.request.stanza} to {pgdata} ({how})",
        f"from   {backup.type} backup {backup.label} of repository {backup.repo_key}, ended {iso_time(backup.stop)}",
        f"to     {plan.request.target.sentence()}",
        *(f"over   {place['path']}: {place['content']}, {human_size(place['bytes'])}" for place in plan.overwrites),
        *(f"map    {d.kind} {d.name} to {d.path or 'plain files in the data directory'}" for d in plan.destinations),
        f"space  {human_size(space['needed'])} needed, {human_size(space['free'])} free",
        *(f"note   {warning}" for warning in plan.warnings),
    ]


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
