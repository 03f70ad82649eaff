# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What stands against a clone on this host. Reads only. Private to the collection."""

from __future__ import annotations

import os
import pwd
import re
import typing as t
from datetime import datetime, timezone

from ._cli import PgBackRest
from ._clone_place import Place, acting_as, belongs_to, restored_and_never_started
from ._clone_port import holder
from ._clone_request import Wanted, differences, expiry, half_done
from ._clone_server import Server
from ._clone_systemd import available, foreign_units, present_units
from ._cluster import auto_conf_settings, pg_major, read_text, user_name
from ._problem import Problem
from ._programs import find_programs
from ._repository import find_stanza, parse_info
from ._sql import HAS_PSYCOPG2

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

_STANZA = re.compile(r"--stanza[= ]\"?'?(?P<name>[^\s\"']+)")
Marker = t.Optional[t.Dict[str, t.Any]]


def user_problems(place: Place) -> list[Problem]:
    """Whether this user may make and remove this clone; nothing else is asked before that is certain."""
    try:
        uid = pwd.getpwnam(place.owner).pw_uid
    except KeyError:
        return [Problem("owner", f"There is no user {place.owner} on this host.", "Name another owner.")]
    if uid == 0:
        return [Problem("owner", "The owner of a clone cannot be root.", "PostgreSQL refuses that: name another one.")]
    if os.geteuid() not in (0, uid):
        sentence = f"The clone belongs to {place.owner}, and this task runs as {user_name(os.geteuid())}."
        return [Problem("owner", sentence, f"Run it as root or as {place.owner} (become), or name another owner.")]
    if os.path.lexists(place.directory) and not place.there():
        sentence = f"{place.directory} is a link or a file, and no directory."
        return [Problem("directory", sentence, "Name the directory itself, or another one.")]
    there = belongs_to(place)
    if there not in (None, place.owner):
        sentence = f"The directory {place.directory} belongs to {there}, not to {place.owner}."
        return [Problem("owner", sentence, "Name another directory, or give this one to the owner.")]
    if foreign_units(place):
        sentence = f"{' and '.join(foreign_units(place))} is not of this clone in {place.directory}."
        return [Problem("unit", sentence, "Give the clone another name, or remove the clone that has it.")]
    if os.geteuid() != 0 and present_units(place):
        sentence = f"{present_units(place)[0]} is a unit of systemd, which only root can change."
        return [Problem("owner", sentence, "Run the task as root (become).")]
    return []


def marker_problems(place: Place, marker: Marker) -> list[Problem]:
    """Whether clone.json is that of this clone."""
    if marker is None and place.foreign():
        found = place.foreign()
        what = f"{', '.join(found[:5])}{' …' if len(found) > 5 else ''}"
        sentence = f"{place.directory} holds what is not of a clone: {what}."
        return [Problem("not_ours", sentence, "Name a directory that is empty or does not exist yet.")]
    if marker is None or (marker.get("name"), marker.get("directory")) == (place.name, place.directory):
        return []
    sentence = f"{place.marker} is of the clone {marker.get('name')} in {marker.get('directory')}."
    return [Problem("not_ours", sentence, "Name the directory of this clone, or another name.")]


def request_problems(wanted: Wanted, marker: t.Mapping[str, t.Any]) -> list[Problem]:
    """Whether the clone that is there is the one that is asked for."""
    different = differences(wanted, marker)
    half = half_done(marker)
    again = "Remove it first (state: absent), then restore again, or give this one another name."
    if different:
        sentence = f"The clone {wanted.place.name} was made of another request: {'; '.join(different)}."
        return [Problem("other_request", sentence, again)]
    if half:
        sentence = (
            f"{half} failed or was interrupted half-way in the clone {wanted.place.name}, so part of it may be done."
        )
        return [Problem("sql_half_done", sentence, again)]
    return []


def data_problems(place: Place, marker: Marker, server: Server | None) -> list[Problem]:
    """Whether the data directory is one to make the clone of."""
    with acting_as(place.owner):
        complete = os.path.exists(os.path.join(place.data, "PG_VERSION"))
        fresh = complete and restored_and_never_started(place.data)
    if not complete:
        hint = f"Restore it there with the module restore (pgdata: {place.data})."
        return [Problem("no_data", f"{place.data} holds no cluster.", hint)]
    running = server.running() if server else None
    if running and server and (marker is None or (marker["phase"] == "closed" and not server.is_closed(running))):
        sentence = f"A server runs on {place.data} that is not of this module (process {running.pid})."
        return [Problem("running", sentence, "Stop it when it is only a trial, and restore again.")]
    if marker is None and not fresh:
        sentence = f"{place.data} was started before, and there is no {os.path.basename(place.marker)} beside it."
        hint = "A clone is made of a fresh restore: name an empty directory and restore there."
        return [Problem("not_fresh", sentence, hint)]
    return []


def host_problems(module: AnsibleModule, wanted: Wanted, marker: Marker) -> list[Problem]:
    """Whether the host has what a clone needs."""
    params, place, found = module.params, wanted.place, []
    if not HAS_PSYCOPG2:
        sentence = "This host has no psycopg2 for the Python of this task."
        found.append(Problem("psycopg2", sentence, "Install Debian's package python3-psycopg2."))
    if wanted.ttl and not available():
        sentence = "ttl needs systemd and root: a timer of systemd removes the clone."
        hint = "Run the task as root (become), or leave ttl out and remove the clone with state: absent."
        found.append(Problem("ttl", sentence, hint))
    if marker:
        end = expiry(marker["created_at"], wanted.ttl)
        if end and datetime.fromisoformat(end) <= datetime.now(timezone.utc):
            sentence = f"The time of the clone {place.name} ended at {end}."
            found.append(Problem("ttl", sentence, "Remove it (state: absent), or give it a longer ttl."))
    major, bindir = installed(place, params["bindir"])
    if major and not bindir:
        sentence = f"There are no programs of PostgreSQL {major} on this host."
        found.append(Problem("programs", sentence, f"Install PostgreSQL {major}, or name its programs in bindir."))
    return found


def installed(place: Place, bindir: str | None) -> tuple[int, str | None]:
    """Major version of the restored cluster (0 without one), and where the programs for it are."""
    with acting_as(place.owner):
        major = int(pg_major(place.data) or 0) if os.path.isdir(place.data) else 0
    programs = find_programs(major, bindir) if major else None
    return major, programs.bindir if programs and programs.postgres else None


def port_problems(port: int, place: Place, marker: Marker, server: Server, socket_directory: str) -> list[Problem]:
    """Whether the wanted port is free, or the clone's own."""
    running = server.running()
    if not port or (marker and running and running.port == port):
        return []
    by = holder(port, socket_directory)
    if by is None:
        return []
    hint = "Choose another port, or 0 for a free one."
    return [Problem("port_in_use", f"The port {port} of the clone {place.name} is in use by {by}.", hint)]


def source_stanza(place: Place) -> str | None:
    """The stanza that the restored directory recovers from, as its restore_command tells."""
    with acting_as(place.owner):
        settings = auto_conf_settings(place.data)
        recovery = read_text(os.path.join(place.data, "recovery.conf")) or ""
    match = _STANZA.search(settings.get("restore_command", "") or recovery)
    return match.group("name") if match else None


class _AsOwner(PgBackRest):
    """The program as the owner of the clone, whoever runs the task."""

    def __init__(self, module: AnsibleModule, stanza: str, owner: str) -> None:
        super().__init__(module, stanza)
        self._owner = owner

    def refuse_foreign_root(self, command: str) -> None:
        return

    def _execute(self, argv: t.Sequence[str]) -> tuple[int, str, str]:
        if os.geteuid() == 0:
            argv = [self._module.get_bin_path("runuser", required=True), "-u", self._owner, "--", *argv]
        return super()._execute(argv)


def stanza_problems(module: AnsibleModule, place: Place, marker: Marker) -> list[Problem]:
    """Whether the clone may archive to ``archive_stanza``. Raises PgBackRestError."""
    name = module.params["archive_stanza"]
    if not name:
        return []
    source = (marker or {}).get("source_stanza") or source_stanza(place)
    if name == source:
        sentence = f"archive_stanza is {name}, the stanza that {place.data} was restored from."
        hint = "A clone that archives there would mix its WAL with the source's. Name a stanza of its own."
        return [Problem("stanza_in_use", sentence, hint)]
    backrest = _AsOwner(module, name, place.owner)
    paths = backrest.setting("pg1-path", "archive-push")
    if [os.path.normpath(path) for path in paths] != [place.data]:
        sentence = f"The configuration says {' and '.join(paths) or 'nothing'} for pg1-path of the stanza {name}."
        return [Problem("stanza_path", sentence, f"Let pg1-path of this stanza be {place.data}.")]
    if marker and marker["data"]["archive_stanza"] == name:
        return []  # made for this clone
    stanza = find_stanza(parse_info(backrest.info()), name)
    missing = {repository.key for repository in stanza.missing_in()} if stanza else set()
    there = [repository for repository in stanza.repositories if repository.key not in missing] if stanza else []
    if there:
        sentence = f"Repository {there[0].key} has the stanza {name} already, or cannot say whether it has."
        hint = "Only a stanza that is made for this clone may take its WAL: name another one."
        return [Problem("stanza_in_use", sentence, hint)]
    return []
