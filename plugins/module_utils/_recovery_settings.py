# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Recovery settings in the files of a restored cluster. Private to the collection."""

from __future__ import annotations

import os
import typing as t

from ._cluster import parse_settings, read_text
from ._durable import read_json, remove, sync_directory, write_json

_STANDBY = ("primary_conninfo", "primary_slot_name")
_KEPT = "standby.json"


def append_settings(path: str, settings: t.Mapping[str, str]) -> None:
    """Add settings to a configuration file of PostgreSQL, quoted, and all at once.

    pgBackRest would take them as ``--recovery-option`` on its command line, where every user sees them, repeat them in
    its log, and write quotes unescaped.
    """
    text = _read(path)
    lines = "".join(f"{name} = {quoted(value)}\n" for name, value in settings.items())
    _replace(path, (text if text.endswith("\n") or not text else text + "\n") + lines)


def correct_restore_command(path: str, built_at: str, home: str | None) -> None:
    """Make restore_command right for a cluster that was restored in one directory and comes to another.

    pgBackRest repeats the ``--pg1-path`` that it was given in restore_command. ``home`` takes its place there, or
    nothing where the configuration names the directory.
    """
    if not os.path.exists(path):
        return
    text = _read(path)
    corrected = "\n".join(_corrected(line, built_at, home) for line in text.split("\n"))
    if corrected != text:
        _replace(path, corrected)


def quoted(value: str) -> str:
    """The value of a setting as PostgreSQL's configuration files write it.

    >>> quoted("host=db1 password='s'")
    "'host=db1 password=''s'''"
    """
    escaped = value.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"


def standby_settings(pgdata: str, workspace: str) -> dict[str, str]:
    """How the standby in this directory reaches its primary.

    An interrupted restore has overwritten that, but kept it in the workspace before.
    """
    names = ("postgresql.auto.conf", "recovery.conf")  # the latter before PostgreSQL 12
    present = [parse_settings(read_text(os.path.join(pgdata, name)) or "") for name in names if os.path.isdir(pgdata)]
    found = {key: settings[key] for settings in present for key in _STANDBY if settings.get(key)}
    kept = read_json(os.path.join(workspace, _KEPT)) or {}
    return {**{key: str(value) for key, value in kept.items() if key in _STANDBY}, **found}


def keep_standby_settings(workspace: str, settings: t.Mapping[str, str]) -> None:
    """Keep them for the run after an interruption."""
    kept = {name: settings[name] for name in _STANDBY if name in settings}
    if kept:
        write_json(os.path.join(workspace, _KEPT), kept)


def forget_standby_settings(workspace: str) -> None:
    """The restore has ended, and its directory has them."""
    remove(os.path.join(workspace, _KEPT))


def _corrected(line: str, built_at: str, home: str | None) -> str:
    if not line.startswith("restore_command = "):
        return line
    for quote in ('"', ""):  # pgBackRest quotes words with a space in them
        line = line.replace(
            f" {quote}--pg1-path={built_at}{quote} ", f" {quote}--pg1-path={home}{quote} " if home else " "
        )
    return line


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


def _replace(path: str, text: str) -> None:
    status, temporary = os.stat(path), f"{path}.tmp"  # the name ALTER SYSTEM uses too, so no backup ever has it
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
        file.flush()
        os.fchmod(file.fileno(), status.st_mode & 0o777)
        if os.geteuid() == 0:
            os.fchown(file.fileno(), status.st_uid, status.st_gid)
        os.fsync(file.fileno())
    os.replace(temporary, path)
    sync_directory(os.path.dirname(path))
