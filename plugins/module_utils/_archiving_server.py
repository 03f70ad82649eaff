# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The settings of archiving on a running server: read, written, reloaded. Private to the collection."""

from __future__ import annotations

import os
import tempfile
import time
import typing as t

from ._archiving import (
    NAMES,
    Setting,
    conf_file_problem,
    configuration_problem,
    file_settings,
    local_paths,
    read_settings,
    render_file,
    without_auto_conf,
)
from ._config_file import effective, files, read_files
from ._sql import alter_system, query, settings

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

RELOAD_TIMEOUT = 10.0  # seconds until the processes of the server have read its files


class ArchivingError(Exception):
    """The state cannot be made true; the text says why and what to do."""


def file_rows(connection: t.Any) -> list[dict[str, t.Any]]:
    """What stands in the server's configuration files now, whether it has read them or not."""
    return query(connection, "SELECT sourcefile, sourceline, name, setting, error FROM pg_file_settings ORDER BY seqno")


def read(connection: t.Any) -> dict[str, Setting]:
    """The settings of archiving as they are and as they will be."""
    return read_settings(settings(connection, NAMES), file_rows(connection))


def server_facts(connection: t.Any) -> dict[str, t.Any]:
    """``in_recovery``, ``data_directory``, and whether ``patroni`` runs the server. Raises unless for a superuser."""
    sql = "SELECT current_user AS role, current_setting('is_superuser') = 'on' AS superuser"
    login = query(connection, sql)[0]
    if not login["superuser"]:
        raise ArchivingError(
            f"The role {login['role']} is no superuser and cannot change settings of the server. Use login_user, or "
            "run the task as the user postgres (become_user)."
        )
    # The file alone says little: a restored copy of a managed cluster has it, too.
    sql = (
        "SELECT pg_is_in_recovery() AS in_recovery, current_setting('data_directory') AS data_directory, "
        "source = 'command line' AND (pg_stat_file('patroni.dynamic.json', true)).size IS NOT NULL AS patroni "
        "FROM pg_settings WHERE name = 'cluster_name'"
    )
    return query(connection, sql)[0]


def check_configuration(params: t.Mapping[str, t.Any], data_directory: str, may_lack: bool = False) -> None:
    """Raise when pgBackRest's configuration does not let it push the WAL of this cluster.

    With ``may_lack`` it is no problem that the configuration says nothing about the stanza.
    """
    found = files(params["config"], params["config_path"])
    for path in found:
        if not os.access(path, os.R_OK):
            raise ArchivingError(f"{path} cannot be read by this user. Run the task as the owner of the cluster.")
    options = effective(read_files(params["config"], params["config_path"]), params["stanza"], "archive-push")
    problem = configuration_problem(options, params["stanza"], data_directory)
    if problem and (local_paths(options) or not may_lack):
        read_of = f"Files read: {', '.join(found)}." if found else "There is no configuration file."
        raise ArchivingError(f"{problem} {read_of} Correct it with the module pgops.pgbackrest.config first.")


def check_conf_file(path: str) -> None:
    """Raise when the file cannot be written or belongs to somebody else."""
    directory = os.path.dirname(path)
    if not os.path.isabs(path):
        raise ArchivingError(f"The option conf_file must be an absolute path, not {path}.")
    if not os.access(directory, os.W_OK):
        why = "is not writable for this user" if os.path.isdir(directory) else "does not exist"
        raise ArchivingError(f"The directory {directory} of conf_file {why}.")
    if file_settings(_read_file(path) or "") is None:
        raise ArchivingError(
            f"{path} holds settings that have nothing to do with archiving, and is not overwritten. Give conf_file a "
            "file of its own."
        )


def write_auto_conf(connection: t.Any, written: t.Mapping[str, str]) -> None:
    """Write the settings to postgresql.auto.conf."""
    for name, value in written.items():
        alter_system(connection, name, value)


def write_conf_file(module: AnsibleModule, connection: t.Any, path: str, written: t.Mapping[str, str]) -> None:
    """Write the file, prove that the server reads it, and take away what overrides it in postgresql.auto.conf."""
    old = _read_file(path)
    owner = os.stat(query(connection, "SHOW data_directory")[0]["data_directory"]).st_uid
    _write_file(module, path, render_file({**(file_settings(old or "") or {}), **written}), owner)
    rows = file_rows(connection)
    others = without_auto_conf(rows)
    problem = conf_file_problem(path, settings(connection, NAMES), others, written)
    if problem:
        _write_file(module, path, old, owner)
        undone = "removed again" if old is None else "put back as it was"
        raise ArchivingError(f"{problem} The file was {undone}; PostgreSQL was not reloaded.")
    for name in written:
        if any(row["name"] == name and row not in others for row in rows):
            alter_system(connection, name, None)


def reload_server(connection: t.Any, names: t.Collection[str]) -> dict[str, Setting]:
    """Let the server read its files; returns the settings once its processes have, because they do so by and by."""
    query(connection, "SELECT pg_reload_conf()")
    deadline = time.monotonic() + RELOAD_TIMEOUT
    while True:
        found = read(connection)
        waiting = [found[name] for name in sorted(names) if found[name].stale]
        if not waiting:
            return found
        if time.monotonic() > deadline:
            raise ArchivingError(
                f"PostgreSQL was reloaded, but {waiting[0].name} is still {waiting[0].running!r} and not "
                f"{waiting[0].coming!r} as set {waiting[0].where}. Its log says why."
            )
        time.sleep(0.1)


def _read_file(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ArchivingError(f"{path} cannot be read: {error}.") from None


def _write_file(module: AnsibleModule, path: str, text: str | None, owner: int) -> None:
    """Replace a file in one step, or with None remove it. A new one belongs to ``owner`` when root writes it."""
    if text is None:
        os.unlink(path)
        return
    new = not os.path.exists(path)
    handle, temporary = tempfile.mkstemp(dir=module.tmpdir)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    module.atomic_move(temporary, path)
    if new:
        os.chmod(path, 0o644)
        if os.geteuid() == 0:
            os.chown(path, owner, -1)
