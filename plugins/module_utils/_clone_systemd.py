# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The units of a clone: its server, and the timer that removes it. Private to the collection."""

from __future__ import annotations

import contextlib
import os
import typing as t
from datetime import datetime

from ._clone_command import MARKER
from ._clone_place import Place, read_text, removed_names
from ._schedule_systemd import STAMP_DIRECTORY, SYSTEMD_DIRECTORY, order, runs, show, unit_word

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

_SERVER = """\
{marker}
# {directory}
[Unit]
Description=PostgreSQL clone {name}
Documentation=https://www.postgresql.org/docs/current/app-postgres.html
RequiresMountsFor={path}
After=network.target

[Service]
Type=simple
User={owner}
UMask=0077
ExecStart={command}
KillMode=mixed
KillSignal=SIGINT
TimeoutStopSec=300
OOMScoreAdjust=-100

[Install]
WantedBy=multi-user.target
"""
_REMOVAL = """\
{marker}
# {directory}
[Unit]
Description=Removal of PostgreSQL clone {name}

[Service]
Type=oneshot
TimeoutStartSec=infinity
ExecCondition={grep} -qF {identity} {clone_json}
ExecStart=-{systemctl} disable --now {unit}.service
ExecStart=-{as_owner} {pg_ctl} -D {data} -m immediate -w stop
ExecStart={as_owner} {rm} -rf --one-file-system -- {files}
ExecStart=-{as_owner} {rmdir} -- {path}
ExecStart=-{rmdir} -- {path}
ExecStart=-{systemctl} disable --now {unit}-removal.timer
ExecStart={rm} -f -- {units}
ExecStart={systemctl} daemon-reload
"""
_TIMER = """\
{marker}
# {directory}
[Unit]
Description=End of PostgreSQL clone {name}

[Timer]
OnCalendar={moment} UTC
AccuracySec=1s
Persistent=true

[Install]
WantedBy=timers.target
"""
# $1 is the log: opened as the owner, and not by systemd as root.
_LOGGING = 'log=$1; shift; exec "$@" >>"$log" 2>&1'


def available() -> bool:
    """Whether this task can and may have units."""
    return runs() and os.geteuid() == 0


def server_text(place: Place, argv: t.Sequence[str]) -> str:
    """The unit of the server."""
    words = ["/bin/sh", "-c", _LOGGING, "sh", place.log, *argv]
    return _SERVER.format(**_common(place), owner=place.owner, command=_in_lines([unit_word(word) for word in words]))


def _in_lines(words: t.Sequence[str]) -> str:
    """Words of a command, the settings of PostgreSQL at its end each on a line of its own."""
    first = words.index("-D") + 2
    lines = [" ".join(words[:first]), *(" ".join(words[at : at + 2]) for at in range(first, len(words), 2))]
    return " \\\n    ".join(lines)


def removal_text(module: AnsibleModule, place: Place, bindir: str, identity: str) -> str:
    """The unit that removes this very clone; files are removed as their owner, without following links."""
    names = ("systemctl", "rm", "rmdir", "runuser", "grep")
    programs = {name: module.get_bin_path(name, required=True) for name in names}
    files = [os.path.join(place.directory, name) for name in removed_names()]
    units = [*(unit_path(place, suffix) for suffix in _SUFFIXES), _stamp(place)]
    return _REMOVAL.format(
        **_common(place),
        unit=place.unit,
        grep=programs["grep"],
        identity=identity,
        clone_json=unit_word(place.marker),
        systemctl=programs["systemctl"],
        rm=programs["rm"],
        rmdir=programs["rmdir"],
        as_owner=f"{programs['runuser']} -u {unit_word(place.owner)} --",
        pg_ctl=unit_word(os.path.join(bindir, "pg_ctl")),
        data=unit_word(place.data),
        files=" ".join(map(unit_word, files)),
        units=" ".join(map(unit_word, units)),
    )


def timer_text(place: Place, expires_at: str) -> str:
    """The unit that starts the removal, also when the host was down at that moment."""
    moment = datetime.fromisoformat(expires_at).strftime("%Y-%m-%d %H:%M:%S")
    return _TIMER.format(**_common(place), moment=moment)


_SUFFIXES = (".service", "-removal.service", "-removal.timer")


def unit_path(place: Place, suffix: str) -> str:
    """Path of one of the units."""
    return os.path.join(SYSTEMD_DIRECTORY, f"{place.unit}{suffix}")


def present_units(place: Place) -> list[str]:
    """Paths of the units of this clone that are there."""
    return [path for path in (unit_path(place, suffix) for suffix in _SUFFIXES) if _is_ours(place, path)]


def foreign_units(place: Place) -> list[str]:
    """Units of these names that somebody else made, or that are of a clone in another directory."""
    paths = [unit_path(place, suffix) for suffix in _SUFFIXES]
    return [path for path in paths if os.path.lexists(path) and not _is_ours(place, path)]


def read_unit(place: Place, suffix: str) -> str | None:
    """Text of one of the units; None when it is missing."""
    return read_text(unit_path(place, suffix))


def write_units(module: AnsibleModule, place: Place, texts: t.Mapping[str, str | None]) -> bool:
    """Let units have these texts, None for absent; returns whether one was different.

    Systemd reads them when the next one is enabled.
    """
    different = {suffix: text for suffix, text in texts.items() if read_unit(place, suffix) != text}
    for suffix, text in different.items():
        path = unit_path(place, suffix)
        if text is None:
            os.unlink(path)
            continue
        candidate = os.path.join(module.tmpdir, os.path.basename(path))
        with open(candidate, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(candidate, 0o644)
        module.atomic_move(candidate, path)
        os.chmod(path, 0o644)
    return bool(different)


def set_timer(module: AnsibleModule, place: Place, bindir: str, identity: str, expires_at: str | None) -> bool:
    """Have the clone removed at this moment, or never; returns whether that is different now."""
    timer = f"{place.unit}-removal.timer"
    if expires_at is None:
        if read_unit(place, "-removal.timer") is None:
            return False
        order(module, "disable", "--now", timer)
        forget_stamp(place)
        write_units(module, place, {"-removal.timer": None, "-removal.service": None})
        order(module, "daemon-reload")
        return True
    removal = removal_text(module, place, bindir, identity)
    texts = {"-removal.service": removal, "-removal.timer": timer_text(place, expires_at)}
    if not write_units(module, place, texts) and timer_runs(module, place):
        return False
    forget_stamp(place)  # a timer of this name in the past would let this one start at once
    order(module, "enable", timer)
    order(module, "restart", timer)
    return True


def timer_runs(module: AnsibleModule, place: Place) -> bool:
    """Whether systemd waits for the end of the clone, and will after a restart of the host."""
    timer = f"{place.unit}-removal.timer"
    found = show(module, [timer]).get(timer, {})
    return (found.get("ActiveState"), found.get("UnitFileState")) == ("active", "enabled")


def forget_stamp(place: Place) -> None:
    """Remove what systemd remembers of the timer."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_stamp(place))


def _stamp(place: Place) -> str:
    return os.path.join(STAMP_DIRECTORY, f"stamp-{place.unit}-removal.timer")


def remove_units(module: AnsibleModule, place: Place) -> None:
    """Stop and remove all units of the clone."""
    there = [os.path.basename(path) for path in present_units(place)]
    for unit in there:
        if not unit.endswith("-removal.service"):
            order(module, "disable", "--now", unit)
    write_units(module, place, {suffix: None for suffix in _SUFFIXES if f"{place.unit}{suffix}" in there})
    forget_stamp(place)
    if there:
        order(module, "daemon-reload")


def _common(place: Place) -> dict[str, str]:
    return {
        "marker": MARKER,
        "directory": place.directory,
        "name": place.name,
        "path": unit_word(place.directory),
    }


def _is_ours(place: Place, path: str) -> bool:
    text = read_unit(place, path[len(os.path.join(SYSTEMD_DIRECTORY, place.unit)) :])
    return text is not None and text.split("\n")[:2] == [MARKER, f"# {place.directory}"]
