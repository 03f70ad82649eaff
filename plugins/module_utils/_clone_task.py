# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the module clone does, from its options to its result. Private to the collection."""

from __future__ import annotations

import fcntl
import os
import typing as t
import uuid
from contextlib import ExitStack, contextmanager, nullcontext
from datetime import datetime, timezone

from ._clone_checks import (
    data_problems,
    host_problems,
    installed,
    marker_problems,
    port_problems,
    request_problems,
    source_stanza,
    stanza_problems,
    user_problems,
)
from ._clone_command import closed_settings
from ._clone_open import limit_its_time, open_changes, open_up, resolved_socket_directory, wish_for
from ._clone_place import Place, acting_as, left_by_a_restore, read_marker, remove_files, write_marker
from ._clone_port import free_port
from ._clone_request import Wanted, new_marker, place_of, place_problems, read_request
from ._clone_server import Server, readable_control
from ._clone_systemd import available, present_units, remove_units
from ._clone_work import HEADING, Work, fill
from ._cluster import read_control_data, tablespaces
from ._lock_holders import lock_all
from ._problem import PlanError, Problem
from ._progress import Progress

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

_KEPT = "The clone is left as it is"
_NOT_REMOVED = "Nothing was removed"
Marker = t.Optional[t.Dict[str, t.Any]]


def present(module: AnsibleModule, locks: ExitStack) -> dict[str, t.Any]:
    """Have the clone ready; returns the result of the task."""
    wanted = _wanted(module)
    place = wanted.place
    _lock(module, place, locks)
    marker = read_marker(place)
    _refuse(marker_problems(place, marker))
    if marker:
        _refuse(request_problems(wanted, marker))
    major, bindir = installed(place, module.params["bindir"])
    server = Server(module, place, bindir or "", module.params["login_user"] or place.owner, available())
    problems = [*host_problems(module, wanted, marker), *data_problems(place, marker, server if bindir else None)]
    if module.check_mode and marker is None:
        problems = [problem for problem in problems if problem.code != "no_data"]
    _refuse(problems or stanza_problems(module, place, marker))
    act = _predict if module.check_mode else _make
    return act(module, wanted, marker, server, major)


def absent(module: AnsibleModule, locks: ExitStack) -> dict[str, t.Any]:
    """Remove the clone and nothing else; returns the result of the task."""
    place = place_of(module.params)
    _refuse(place_problems(place) or user_problems(place), _NOT_REMOVED)
    occupied = place.there() and bool(os.listdir(place.directory))
    units = present_units(place) if available() else []
    after = {"state": "absent"}
    if not occupied and not units:
        return {"changed": False, "state": "absent", "diff": {"before": after, "after": after}}
    _lock(module, place, locks)
    marker = read_marker(place) if occupied else None
    _refuse(marker_problems(place, marker) if marker else [], _NOT_REMOVED)
    if occupied and marker is None and not left_by_a_restore(place):
        sentence = f"{place.directory} has no clone.json, so it is not known to be a clone."
        _refuse([Problem("not_ours", sentence, "Look at it, and remove it by hand.")], _NOT_REMOVED)
    state = marker["phase"] if marker else "unfinished" if occupied else "absent"
    before = {"state": state, "directory": place.entries(), "units": units}
    if not module.check_mode:
        _remove(module, place, occupied)
    removed = {"directory": place.directory, "units": units}
    return {"changed": True, "state": state, "diff": {"before": before, "after": after}, "removed": removed}


def _wanted(module: AnsibleModule) -> Wanted:
    wanted, problems = read_request(module.params)
    _refuse(problems or user_problems(place_of(module.params)))
    return t.cast(Wanted, wanted)


def _refuse(problems: t.Sequence[Problem], heading: str = HEADING) -> None:
    if problems:
        raise PlanError(problems, heading)


def _lock(module: AnsibleModule, place: Place, locks: ExitStack) -> None:
    if module.check_mode or not place.there():
        return
    if lock_all(locks, [place.directory])[1]:
        hint = "Wait until it ends; this task changed nothing."
        raise PlanError([Problem("locked", f"Another task works on {place.directory}.", hint)], _KEPT)


def _make(module: AnsibleModule, wanted: Wanted, marker: Marker, server: Server, major: int) -> dict[str, t.Any]:
    """Make the clone, go on with it, or let the open one be as it shall be."""
    before = _described(marker)
    socket_directory = resolved_socket_directory(wanted.place, module.params["socket_directory"])
    if marker is None:
        marker = _begin(module, wanted, server, major, socket_directory)
    port = module.params["port"] or marker["port"]
    _refuse(port_problems(port, wanted.place, marker, server, socket_directory))
    work = Work(module, wanted, server, major, marker, Progress(module.params["progress_file"]))
    try:
        changed = limit_its_time(work, server.bindir)
        if marker["phase"] == "closed":
            work.note(port=port)
            fill(work)
        changed = bool(_open(work, port, socket_directory)) or changed
    finally:
        work.progress.end()
    diff = {"before": before, "after": _described(work.marker)}
    return {"changed": changed, "state": "open", "diff": diff, **_result(work.marker, server)}


def _open(work: Work, port: int, socket_directory: str) -> list[str]:
    """Let the server be open as it shall be; returns what was done."""
    wish = wish_for(work, port, socket_directory)
    steps = open_changes(work, wish)
    if steps:
        work.tell("opening the clone")
        with work.timed("open") if work.marker["phase"] == "closed" else nullcontext():
            open_up(work, wish, steps)
    if steps or not work.marker.get("databases"):
        _look_around(work)
    return steps


def _begin(
    module: AnsibleModule, wanted: Wanted, server: Server, major: int, socket_directory: str
) -> dict[str, t.Any]:
    """The first clone.json, with the port that the clone keeps."""
    place = wanted.place
    _refuse_settings(module, wanted, server, major)
    with acting_as(place.owner):
        identifier = str(read_control_data(place.data).system_identifier)
    facts = {"system_identifier": identifier, "source_stanza": source_stanza(place), "server": None}
    with _parent_locked(place):
        port = t.cast(int, module.params["port"] or free_port(place, socket_directory))
        if not port:
            _refuse([Problem("port_in_use", "No port from 5433 to 5999 is free.", "Name one in port.")])
        _refuse(port_problems(port, place, None, server, socket_directory))
        marker = new_marker(wanted, uuid.uuid4().hex, datetime.now(timezone.utc), port, facts)
        write_marker(place, marker)
    return marker


def _refuse_settings(module: AnsibleModule, wanted: Wanted, server: Server, major: int) -> None:
    """Have PostgreSQL itself look at the settings before anything is done."""
    given = module.params["settings"]
    tried = closed_settings(wanted.place, major, module.params["port"] or 5433, given, server.needed())
    said = server.refused_settings(tried)
    if said:
        sentence = f"PostgreSQL {major} refuses the settings: {said.rstrip('.')}."
        hint = "Correct settings, or give in settings what the source has otherwise in postgresql.auto.conf."
        _refuse([Problem("settings", sentence, hint)])


@contextmanager
def _parent_locked(place: Place) -> t.Iterator[None]:
    """Two clones that begin at once must not take one port."""
    descriptor = os.open(os.path.dirname(place.directory), os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _look_around(work: Work) -> None:
    """Note what the open clone has."""
    rows = work.server.ask(
        "SELECT current_setting('server_version') AS version, "
        "array(SELECT datname::text FROM pg_database WHERE NOT datistemplate ORDER BY 1) AS databases"
    )
    work.note(pg_version=rows[0]["version"].split()[0], databases=rows[0]["databases"])


def _predict(module: AnsibleModule, wanted: Wanted, marker: Marker, server: Server, major: int) -> dict[str, t.Any]:
    """What the task would do."""
    place = wanted.place
    socket_directory = resolved_socket_directory(place, module.params["socket_directory"])
    now = datetime.now(timezone.utc)
    known = marker or new_marker(wanted, "", now, module.params["port"], {"needed": readable_control(server)})
    port = module.params["port"] or known["port"]
    if marker or module.params["port"]:
        _refuse(port_problems(port, place, marker, server, socket_directory))
    work = Work(module, wanted, server, major, dict(known), Progress(None))
    wish = wish_for(work, port, socket_directory)
    is_open = bool(marker and marker["phase"] == "open")
    steps = open_changes(work, wish) if is_open else ["make"]
    state = marker["phase"] if marker else "absent"
    work.marker.update(phase="open", server={**wish.shown, "port": port or None}, sql=wanted.shown_scripts)
    after = _described(work.marker) if steps else _described(marker)
    result = {"changed": bool(steps), "state": state, "diff": {"before": _described(marker), "after": after}}
    return {**result, **(_result(marker, server) if marker else {})}


def _described(marker: Marker) -> dict[str, t.Any]:
    if marker is None:
        return {"state": "absent"}
    left_out = marker["data"]["left_out"]
    return {
        "state": marker["phase"],
        "target": marker["data"]["target"],
        "left_out": left_out,
        "sql": [script["name"] for script in marker["sql"]],
        "archive_stanza": marker["data"]["archive_stanza"],
        **(marker.get("server") or {"expires_at": marker["expires_at"]}),
    }


def _result(marker: t.Mapping[str, t.Any], server: Server) -> dict[str, t.Any]:
    place, shown = server.place, marker.get("server") or {}
    names = ("name", "port", "directory", "created_at", "expires_at", "recovered_to", "dropped", "system_identifier")
    clone = {name: marker[name] for name in names}
    clone.update(
        data_directory=place.data,
        socket_directory=shown.get("socket_directory"),
        listen_addresses=shown.get("listen_addresses"),
        log_file=place.log,
        unit=f"{place.unit}.service" if server.unit else None,
        databases=marker.get("databases", []),
        pg_version=marker.get("pg_version"),
        sql=[{name: value for name, value in script.items() if name != "state"} for script in marker["sql"]],
        archive_stanza=marker["data"]["archive_stanza"],
    )
    return {"clone": clone, "seconds": marker["seconds"]}


def _remove(module: AnsibleModule, place: Place, there: bool) -> None:
    """Stop everything of the clone, then remove it."""
    if available():
        remove_units(module, place)
    if not there:
        return
    dummy, bindir = installed(place, module.params["bindir"])
    server = Server(module, place, bindir or "", place.owner, False)
    if server.running():
        if not bindir:
            sentence = f"A server runs on {place.data}, and its pg_ctl was not found."
            raise PlanError([Problem("programs", sentence, "Name the programs in bindir.")], _NOT_REMOVED)
        server.stop("immediate")
    with acting_as(place.owner):
        elsewhere = [path for path in tablespaces(place.data).values() if not _is_below(path, place.directory)]
    for path in elsewhere:
        module.warn(f"The tablespace {path} is outside of {place.directory}, so it is still there. Remove it by hand.")
    rest = remove_files(place)
    if rest:
        module.warn(f"{place.directory} is kept, because it has what is not of the clone: {', '.join(rest)}.")


def _is_below(path: str, directory: str) -> bool:
    return f"{os.path.normpath(path)}/".startswith(f"{directory}/")
