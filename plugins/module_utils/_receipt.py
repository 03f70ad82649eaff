# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The receipt of a finished restore: the same request, made again, is then done. Private to the collection.

It is written last of all, into the workspace. What the cluster did since (recovered, promoted, taken writes) does not
matter to it, so that a second run finds its restore done and leaves those writes alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import typing as t
from dataclasses import asdict, dataclass, field, fields

from ._cluster import ClusterError
from ._directory import Directory
from ._durable import read_json, remove, write_json

NAME = "receipt.json"
MARK = "pgbackrest_restore.json"  # in the data directory: says which restore made it
_OPTIONS = (
    "stanza",
    "set",
    "repo",
    "tablespace_map",
    "tablespace_map_all",
    "link_map",
    "link_all",
    "db_include",
    "db_exclude",
    "recovery_options",
    "archive_mode",
)


@dataclass(frozen=True)
class Receipt:
    """What was asked and done. ``request`` has secrets masked, ``digest`` is that of the whole request.

    ``mark`` is what the restored directory has in its file ``pgbackrest_restore.json``, ``kept`` the directory that a
    swap moved away, ``result`` what the task returned.
    """

    pgdata: str
    system_id: int
    plan_id: str
    restored_at: str
    request: dict[str, t.Any]
    digest: str
    kept: str | None = None
    rescued: dict[str, t.Any] = field(default_factory=dict)
    result: dict[str, t.Any] = field(default_factory=dict)
    mark: str | None = None

    def fits(self, request: t.Mapping[str, t.Any], directory: Directory) -> bool:
        """Whether this is the receipt of that request, for the cluster that the directory holds.

        A cluster that was to pause at its target needs no new restore to be promoted there, once it was started.
        """
        identifier = directory.control.system_identifier if directory.control else None
        salt = self.digest.partition(":")[0]
        paused = [] if directory.backup_label else _paused_before(request)
        same = self.digest in [digest(one, salt) for one in (request, *paused)]
        return same and self.pgdata == directory.path and self.system_id == identifier and not directory.unfinished


def wish(params: t.Mapping[str, t.Any], pgdata: str, target: t.Any) -> dict[str, t.Any]:
    """What the task asks for, as far as the restored cluster depends on it; ``target`` is a RecoveryTarget.

    How it comes there (delta, swap) is no part of it. It is what the user said, not what came out of it, so that
    another backup or a newer configuration does not turn the same request into another one.
    """
    meant = {name: value for name, value in target.to_dict().items() if name != "text"}
    return {**{name: params.get(name) for name in _OPTIONS}, "pgdata": pgdata, "target": meant}


def _paused_before(request: t.Mapping[str, t.Any]) -> list[dict[str, t.Any]]:
    """The request that a promotion at the target may follow."""
    if request["target"]["action"] != "promote":
        return []
    return [{**request, "target": {**request["target"], "action": "pause"}}]


def digest(request: t.Mapping[str, t.Any], salt: str | None = None) -> str:
    """Salted hash of a request with its secrets."""
    salt = salt or secrets.token_hex(8)
    text = json.dumps(request, sort_keys=True, default=str)
    return f"{salt}:{hashlib.sha256((salt + text).encode()).hexdigest()}"


def read_receipt(workspace: str) -> Receipt | None:
    """The receipt in a workspace; None when there is none. Raises ClusterError when it is broken."""
    path = os.path.join(workspace, NAME)
    data = read_json(path)
    return None if data is None else from_dict(data, path)


def from_dict(data: t.Mapping[str, t.Any], path: str = NAME) -> Receipt:
    """The receipt as it was written. Raises ClusterError."""
    names = {item.name for item in fields(Receipt)}
    try:
        return Receipt(**{name: value for name, value in data.items() if name in names})
    except TypeError:
        raise ClusterError(f"{path} is not a receipt of this collection. Look at it, and move it away.") from None


def write_mark(pgdata: str) -> str:
    """Mark a restored directory, so that no other one that is moved to its place is taken for it; returns the mark."""
    mark = secrets.token_hex(8)
    path = os.path.join(pgdata, MARK)
    write_json(path, {"mark": mark})
    if os.geteuid() == 0:  # a backup must be able to read it
        status = os.stat(pgdata)
        os.chown(path, status.st_uid, status.st_gid)
    return mark


def read_mark(pgdata: str) -> str | None:
    """The mark of a restored directory; None without a readable one."""
    try:
        return (read_json(os.path.join(pgdata, MARK)) or {}).get("mark")
    except ClusterError:
        return None


def write_receipt(workspace: str, receipt: Receipt) -> None:
    """Put the receipt into its workspace."""
    write_json(os.path.join(workspace, NAME), asdict(receipt))


def remove_receipt(workspace: str) -> None:
    """Take the receipt away: the directory does not hold that restore any more."""
    remove(os.path.join(workspace, NAME))
