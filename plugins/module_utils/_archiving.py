# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What PostgreSQL must have set so that it archives to a stanza. Pure. Private to the collection.

Sources: PostgreSQL documentation, "Setting Up WAL Archiving", "pg_settings", "pg_file_settings".
"""

from __future__ import annotations

import os
import re
import typing as t
from dataclasses import dataclass

from ._archive_command import Program, archive_command, judge
from ._cluster import parse_settings

# In the order in which they are written: when archiving is switched on the command stands before the mode does.
NAMES = ("wal_level", "archive_library", "archive_command", "archive_timeout", "archive_mode")
AUTO_CONF = "postgresql.auto.conf"
FILE_HEADER = "# Managed by Ansible (pgops.pgbackrest.archiving)"

_SWITCHES = {"on": "on", "true": "on", "yes": "on", "1": "on", "off": "off", "false": "off", "no": "off", "0": "off"}
_WAL_LEVELS = {"minimal": 0, "archive": 1, "hot_standby": 1, "replica": 1, "logical": 2}
_SECONDS = {"": 1.0, "us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
# Sources of pg_settings that win over every configuration file.
_FIXED_SOURCES = ("command line", "override")
# Errors in pg_file_settings that keep the server from taking over the rest of the files are all but this one.
_HARMLESS_ERROR = "setting could not be applied"


@dataclass(frozen=True)
class Setting:
    """One setting of the server.

    ``running`` is the value in force, None when the server does not show it. ``coming`` is the value after the next
    reload and restart. ``fixed`` when no configuration file can change it. ``where`` says what sets it.
    """

    name: str
    running: str | None
    coming: str
    needs_restart: bool
    pending: bool
    fixed: bool
    where: str

    @property
    def stale(self) -> bool:
        """Whether the server has not yet read its configuration files."""
        return not self.fixed and not self.pending and self.running is not None and self.running != self.coming


# The settings


def normalise(name: str, value: str) -> str:
    """One spelling for each value of a setting.

    >>> normalise("archive_mode", "TRUE"), normalise("wal_level", "hot_standby"), normalise("archive_timeout", "5min")
    ('on', 'replica', '300')
    """
    if name == "archive_mode":
        return _SWITCHES.get(value.lower(), value.lower())
    if name == "wal_level":
        return "replica" if _WAL_LEVELS.get(value.lower()) == 1 else value.lower()
    match = re.fullmatch(r"\s*([\d.]+)\s*([a-z]*)\s*", value) if name == "archive_timeout" else None
    if match and match.group(2) in _SECONDS:
        return str(round(float(match.group(1)) * _SECONDS[match.group(2)]))
    return value


def read_settings(
    rows: t.Mapping[str, t.Mapping[str, t.Any]], file_rows: t.Sequence[t.Mapping[str, t.Any]]
) -> dict[str, Setting]:
    """The settings in rows of ``pg_settings`` (by name) and ``pg_file_settings`` (in the order of ``seqno``)."""
    lines = {row["name"]: row for row in file_rows}  # the last line of a name counts
    # While archive_mode is off the server shows "(disabled)" in place of the command.
    hidden = "archive_command" if rows["archive_mode"]["setting"] == "off" else ""
    return {name: _setting(row, lines.get(name), name == hidden) for name, row in rows.items()}


def _setting(row: t.Mapping[str, t.Any], line: t.Mapping[str, t.Any] | None, hidden: bool) -> Setting:
    name = row["name"]
    fixed = row["source"] in _FIXED_SOURCES
    if fixed:
        coming, where = "" if hidden else row["setting"], "on the server's command line"
    elif line:
        coming, where = line["setting"], f"in {line['sourcefile']}, line {line['sourceline']}"
    else:
        coming, where = row["boot_val"], "by default"
    return Setting(
        name=name,
        running=None if hidden else normalise(name, row["setting"] or ""),
        coming=normalise(name, coming or ""),
        needs_restart=row["context"] == "postmaster",
        pending=row["pending_restart"],
        fixed=fixed,
        where=where,
    )


def wanted_settings(
    settings: t.Mapping[str, Setting], params: t.Mapping[str, t.Any], program: Program
) -> dict[str, str]:
    """The values that make the state true; what is right already keeps its own way of saying it.

    ``params`` are the options of the module.
    """
    command = settings["archive_command"].coming
    verdict = judge(command, program)[0]
    if params["state"] == "disabled":
        ends = bool(params["force"] and foreign(settings, params, program))
        empties = verdict in ("same", "outdated") or (ends and verdict == "foreign")
        wanted = {"archive_mode": "off", "archive_command": "" if empties else command}
        return {**wanted, "archive_library": ""} if ends and "archive_library" in settings else wanted
    wanted = {
        "archive_library": "",
        "archive_command": command if verdict == "same" else archive_command(program),
        "archive_mode": params["archive_mode"],
        "wal_level": max((settings["wal_level"].coming, params["wal_level"]), key=_wal_rank),
    }
    if params["archive_timeout"] is not None:
        wanted["archive_timeout"] = str(params["archive_timeout"])
    return {name: value for name, value in wanted.items() if name in settings}


def _wal_rank(level: str) -> int:
    return _WAL_LEVELS.get(level, 0)


def changes(settings: t.Mapping[str, Setting], wanted: t.Mapping[str, str]) -> dict[str, str]:
    """The settings to write, in an order in which a failure half-way does no harm."""
    order = NAMES[::-1] if wanted["archive_mode"] == "off" else NAMES
    return {name: wanted[name] for name in order if name in wanted and settings[name].coming != wanted[name]}


def foreign(settings: t.Mapping[str, Setting], params: t.Mapping[str, t.Any], program: Program) -> str:
    """A sentence about the foreign archiving that the state would end, "" when there is none."""
    if params["state"] == "disabled" and settings["archive_mode"].coming == "off":
        return ""
    library = settings.get("archive_library")
    if library and library.coming:
        return f"archive_library is set to {library.coming} {library.where}."
    command = settings["archive_command"]
    verdict, reason = judge(command.coming, program)
    return f"archive_command is «{command.coming}» {command.where}: {reason}." if verdict == "foreign" else ""


def pending(settings: t.Mapping[str, Setting], written: t.Mapping[str, str] | None = None) -> list[str]:
    """Names of the settings that wait for a restart, or would wait after ``written`` and a reload."""
    if written is None:
        return sorted(name for name, setting in settings.items() if setting.pending)
    result = []
    for name, setting in settings.items():
        differs = setting.running != written.get(name, setting.coming)
        if setting.needs_restart and not setting.fixed and (differs or (setting.pending and name not in written)):
            result.append(name)
    return sorted(result)


def state(settings: t.Mapping[str, Setting]) -> dict[str, str]:
    """Values to show: those in force, and for what needs a restart or is not shown by the server the coming ones."""
    return {
        name: setting.running if setting.running is not None and _shows_running(setting) else setting.coming
        for name, setting in sorted(settings.items())
    }


def _shows_running(setting: Setting) -> bool:
    return setting.stale and not setting.needs_restart


# What stands in the way


def fixed_problem(settings: t.Mapping[str, Setting], written: t.Mapping[str, str]) -> str:
    """A sentence when a setting to write is set where no configuration file can change it, else ""."""
    for name in written:
        if settings[name].fixed:
            value = settings[name].running or "a value that is not shown"
            return (
                f"{name} is set to {value} {settings[name].where}, where neither ALTER SYSTEM nor a file can change it "
                f"to {written[name]!r}. Take it out of the start options of PostgreSQL and restart it."
            )
    return ""


def file_problem(file_rows: t.Sequence[t.Mapping[str, t.Any]]) -> str:
    """A sentence when the server cannot read its configuration files and so would take over nothing, else ""."""
    for row in file_rows:
        if row["error"] and row["error"] != _HARMLESS_ERROR:
            return (
                f"{row['sourcefile']}, line {row['sourceline']} is wrong ({row['error']}): PostgreSQL takes over no "
                "setting as long as that line stands."
            )
    return ""


def local_paths(options: t.Mapping[str, list[str]]) -> list[str]:
    """Data directories of the stanza on this host."""
    return [
        values[-1]
        for key, values in sorted(options.items())
        if re.fullmatch(r"pg\d+-path", key) and f"{key[:-5]}-host" not in options
    ]


def configuration_problem(options: t.Mapping[str, list[str]], stanza: str, data_directory: str) -> str:
    """A sentence when pgBackRest's ``options`` for the stanza do not fit the cluster, else "".

    pgBackRest pushes nothing from another directory than its ``pgN-path`` (error 032).
    """
    local = local_paths(options)
    if not local:
        return f"The stanza {stanza} is not in pgBackRest's configuration (pg1-path is missing)."
    if os.path.realpath(data_directory) not in [os.path.realpath(path) for path in local]:
        return (
            f"PostgreSQL runs in {data_directory}, but pgBackRest's configuration says {', '.join(local)} for the "
            f"stanza {stanza} (pg1-path). pgBackRest would refuse to push this cluster's WAL."
        )
    return ""


# The file


def render_file(values: t.Mapping[str, str]) -> str:
    """Text of a file for ``conf.d`` with these settings."""
    lines = [f"{name} = '{_escaped(values[name])}'" for name in NAMES if name in values]
    return "\n".join([FILE_HEADER, *lines, ""])


def file_settings(text: str) -> dict[str, str] | None:
    """The settings in a file that holds nothing but settings of archiving; None for any other file."""
    values = parse_settings(text)
    return values if set(values) <= set(NAMES) else None


def conf_file_problem(
    path: str,
    rows: t.Mapping[str, t.Mapping[str, t.Any]],
    file_rows: t.Sequence[t.Mapping[str, t.Any]],
    written: t.Mapping[str, str],
) -> str:
    """A sentence when the settings ``written`` to the file ``path`` do not count, else "".

    ``file_rows`` are those without postgresql.auto.conf, seen after the file was written.
    """
    if not any(os.path.realpath(row["sourcefile"]) == os.path.realpath(path) for row in file_rows):
        return (
            f"PostgreSQL does not read {path}. Add include_dir = '{os.path.dirname(path)}' to postgresql.conf, or name "
            "a file in a directory that it includes."
        )
    settings = read_settings(rows, file_rows)
    for name in written:
        if settings[name].coming != written[name]:
            return f"{name} in {path} does not count, because it is set again {settings[name].where}."
    return ""


def without_auto_conf(file_rows: t.Sequence[t.Mapping[str, t.Any]]) -> list[t.Mapping[str, t.Any]]:
    """The rows of ``pg_file_settings`` that ALTER SYSTEM has not written."""
    return [row for row in file_rows if os.path.basename(row["sourcefile"]) != AUTO_CONF]


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "''")
