# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tablespaces that are newer than the backup: replay makes them. Pure. Private to the collection.

Recovery that passes the creation of a tablespace makes it again where it was, whatever tablespace_map says, and writes
into that directory. When another cluster still uses it, the kept one of a swap or the original of a copy, that one is
destroyed.
"""

from __future__ import annotations

from ._directory import Directory
from ._plan_request import Facts, Request
from ._problem import Problem
from ._repository import Backup

_NO_REPLAY = ("immediate", "none")  # nothing that came after the backup is replayed


def tablespace_problems(request: Request, backup: Backup, facts: Facts) -> list[Problem]:
    """Why such tablespaces keep this backup from being restored."""
    others = _newer(backup, facts.original_tablespaces)
    if request.target.type in _NO_REPLAY:
        others = {}
    problems = [_endangers_original(facts, backup, oid, path) for oid, path in sorted(others.items())]
    if request.target.type != "standby":  # a copy of its primary: nothing on it is the only one
        own = _of_directory(backup, facts.directory)
        problems += [_of_cluster(request, backup, oid, path) for oid, path in sorted(own.items())]
    return problems


def tablespace_warnings(request: Request, backup: Backup, facts: Facts) -> list[str]:
    """What becomes of them on a standby."""
    if request.target.type != "standby":
        return []
    return [
        f"The tablespace {oid} at {path} is newer than the backup: recovery makes it again and overwrites its files."
        for oid, path in sorted(_of_directory(backup, facts.directory).items())
    ]


def _newer(backup: Backup, tablespaces: dict[str, str]) -> dict[str, str]:
    """OID and path of those that the backup does not have."""
    if backup.details is None:
        return {}
    known = {str(item["oid"]) for item in backup.details.get("tablespaces", [])}
    return {oid: path for oid, path in tablespaces.items() if oid not in known}


def _of_directory(backup: Backup, directory: Directory) -> dict[str, str]:
    return _newer(backup, directory.tablespaces) if directory.state == "cluster" else {}


def _of_cluster(request: Request, backup: Backup, oid: str, path: str) -> Problem:
    link = f"{request.pgdata}/pg_tblspc/{oid}"
    sentence = f"The tablespace {oid} at {path} is newer than backup set {backup.label}. "
    if request.swap:
        sentence += (
            "Recovery that passes its creation would overwrite it, and the old directory, which still needs it, could "
            "not be put back."
        )
    else:
        sentence += (
            "A restore in place removes its link: its files would stay there and belong to no cluster, or be "
            "overwritten when recovery passes its creation."
        )
    hint = (
        "Name in set a backup that has the tablespace, if the target allows. Otherwise save what is in it, and give it "
        f"up: remove the link {link} while the server is stopped."
    )
    return Problem("tablespace_newer", sentence, hint)


def _endangers_original(facts: Facts, backup: Backup, oid: str, path: str) -> Problem:
    sentence = (
        f"The tablespace {oid} at {path} of the original cluster {facts.configured_pgdata} is newer than backup set "
        f"{backup.label}: a copy that is recovered past its creation would overwrite it."
    )
    hint = "Name in set a backup that has the tablespace, set type: immediate, or make the copy on another host."
    return Problem("tablespace_newer", sentence, hint)
