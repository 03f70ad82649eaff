# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The open clone: what must change for it to be as it is asked for. Private to the collection."""

from __future__ import annotations

import contextlib
import os
import typing as t
from dataclasses import dataclass

from ._archive_command import Program, archive_command
from ._cli import PgBackRest
from ._clone_command import configuration_text, hba_text, ident_text, open_settings
from ._clone_place import Place, acting_as, read_text, write_text
from ._clone_request import expiry
from ._clone_systemd import read_unit, server_text, set_timer, timer_runs, timer_text, write_units
from ._clone_work import Work
from ._schedule_systemd import order, show

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


@dataclass(frozen=True)
class Wish:
    """How the open server shall be: its command line, its files, its unit."""

    argv: list[str]
    files: dict[str, str]
    unit: str | None
    socket_directory: str
    shown: dict[str, t.Any]  # for diff and clone.json


def resolved_socket_directory(place: Place, wanted: str) -> str:
    """Where the open server has its socket: below the clone where it cannot write to the wanted directory."""
    with acting_as(place.owner):
        fits = os.path.isdir(wanted) and os.access(wanted, os.W_OK | os.X_OK, effective_ids=True)
    return wanted if fits else place.run


def wish_for(work: Work, port: int, socket_directory: str) -> Wish:
    """How the open server shall be."""
    server, place, params = work.server, work.wanted.place, work.module.params
    settings = open_settings(
        place,
        work.major,
        port,
        params["settings"],
        work.marker["needed"],
        params["listen_addresses"],
        socket_directory,
        _archive_command(work.module),
    )
    argv = server.argv(settings)
    files = {
        place.configuration: configuration_text(),
        place.hba: hba_text(params["hba"], server.role, work.major),
        place.ident: ident_text(place.owner, server.role),
    }
    return Wish(
        argv,
        files,
        server_text(place, argv) if server.unit else None,
        socket_directory,
        shown_wish(work, port, socket_directory),
    )


def shown_wish(work: Work, port: int, socket_directory: str) -> dict[str, t.Any]:
    """The open server as the diff shows it."""
    params = work.module.params
    return {
        "port": port,
        "listen_addresses": params["listen_addresses"],
        "socket_directory": socket_directory,
        "settings": {str(name): params["settings"][name] for name in sorted(params["settings"])},
        "hba": list(params["hba"]),
        "expires_at": expiry(work.marker["created_at"], work.wanted.ttl),
    }


def open_changes(work: Work, wish: Wish) -> list[str]:
    """What must be done for the server to be as it shall be: names of the steps."""
    server, place, found = work.server, work.wanted.place, []
    with acting_as(place.owner):
        different = [path for path, text in wish.files.items() if read_text(path) != text]
    if not server.running():
        found.append("start")
    other_unit = wish.unit is not None and read_unit(place, ".service") != wish.unit
    if work.marker["command"] != wish.argv or other_unit or set(different) - {place.hba, place.ident}:
        found.append("restart")
    elif different:
        found.append("reload")
    if wish.unit and "restart" not in found and not _is_enabled(work):
        found.append("enable")
    if _timer_differs(work, wish.shown["expires_at"]):
        found.append("timer")
    return found


def open_up(work: Work, wish: Wish, changes: t.Collection[str]) -> None:
    """Let the server be as it shall be. Raises CloneFailed."""
    server, place = work.server, work.wanted.place
    if "restart" in changes:
        server.stop()
    for path, text in wish.files.items():
        write_text(place, path, text)
    if wish.unit:
        write_units(work.module, place, {".service": wish.unit})
        order(work.module, "enable", f"{place.unit}.service")
    work.note(phase="open", command=wish.argv, port=wish.shown["port"], server=wish.shown)
    if "restart" in changes or "start" in changes:
        server.start_open(wish.argv)
    elif "reload" in changes:
        server.reload()
    with acting_as(place.owner), contextlib.suppress(FileNotFoundError):
        os.unlink(place.closed_hba)


def limit_its_time(work: Work, bindir: str) -> bool:
    """Have it removed at its end, also when it never opens; returns whether that is different now."""
    expires_at = expiry(work.marker["created_at"], work.wanted.ttl)
    changed = work.marker["expires_at"] != expires_at
    if changed:
        work.note(ttl=work.wanted.ttl, expires_at=expires_at)
    place, server = work.wanted.place, work.server
    timer = server.unit and set_timer(work.module, place, bindir, work.marker["id"], expires_at)
    return changed or timer


def _timer_differs(work: Work, expires_at: str | None) -> bool:
    if work.marker["expires_at"] != expires_at or not work.server.unit:
        return bool(work.marker["expires_at"] != expires_at)
    place = work.wanted.place
    if expires_at is None:
        return read_unit(place, "-removal.timer") is not None
    return read_unit(place, "-removal.timer") != timer_text(place, expires_at) or not timer_runs(work.module, place)


def _is_enabled(work: Work) -> bool:
    unit = f"{work.wanted.place.unit}.service"
    return show(work.module, [unit]).get(unit, {}).get("UnitFileState") == "enabled"


def _archive_command(module: AnsibleModule) -> str | None:
    params = module.params
    if not params["archive_stanza"]:
        return None
    program = PgBackRest(module, params["archive_stanza"]).executable
    return archive_command(Program(program, params["archive_stanza"], params["config"], params["config_path"]))
