# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the server of a clone is started, closed and open. Pure. Private to the collection.

A backup brings the source's postgresql.auto.conf along, which wins over every configuration file. Only the command line
wins over that. So whatever must not come from the source stands there: where the server listens, to whom it archives
and replicates, whose changes it subscribes to.
"""

from __future__ import annotations

import os
import re
import typing as t

from ._clone_place import Place

MARKER = "# Managed by Ansible (pgops.pgbackrest.clone)"
# Recovery needs at least the source's values: names in pg_controldata's output and of the settings.
_NEEDED = {
    "max_connections": "max_connections",
    "max_worker_processes": "max_worker_processes",
    "max_wal_senders": "max_wal_senders",
    "max_prepared_xacts": "max_prepared_transactions",
    "max_locks_per_xact": "max_locks_per_transaction",
}
_NEEDED_LINE = re.compile(r"^(?P<name>\w+) setting:\s+(?P<value>\d+)$", re.MULTILINE)
_SETTING_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")
_OPTIONS_OF_THEIR_OWN = {
    "port": "port",
    "listen_addresses": "listen_addresses",
    "unix_socket_directories": "socket_directory",
    "archive_mode": "archive_stanza",
    "archive_command": "archive_stanza",
    "archive_library": "archive_stanza",
}
_FIXED = (
    "config_file",
    "data_directory",
    "external_pid_file",
    "hba_file",
    "ident_file",
    "log_destination",
    "logging_collector",
)
_HBA_TYPES = ("local", "host", "hostssl", "hostnossl", "hostgssenc", "hostnogssenc")

Settings = t.Dict[str, str]


def needed_settings(control: str) -> dict[str, int]:
    """Settings that recovery needs, as ``pg_controldata`` tells them.

    >>> needed_settings("wal_level setting:  replica\\nmax_prepared_xacts setting:    7\\n")
    {'max_prepared_transactions': 7}
    """
    found = {match.group("name"): int(match.group("value")) for match in _NEEDED_LINE.finditer(control)}
    return {setting: found[name] for name, setting in _NEEDED.items() if name in found}


def text_of(value: t.Any) -> str:
    """The value of a setting as PostgreSQL takes it.

    >>> [text_of(value) for value in (True, False, 5, "1GB", None)]
    ['on', 'off', '5', '1GB', '']
    """
    if isinstance(value, bool):
        return "on" if value else "off"
    return "" if value is None else str(value)


def setting_problems(settings: t.Mapping[str, t.Any]) -> list[tuple[str, str]]:
    """Sentence and hint of each setting that cannot be given."""
    found = []
    for name, value in settings.items():
        own = _OPTIONS_OF_THEIR_OWN.get(str(name).lower())
        if not _SETTING_NAME.fullmatch(str(name)):
            found.append((f"settings has the name {name!r}.", "Write the name of a setting of PostgreSQL."))
        elif own:
            found.append((f"settings has {name}, for which there is an option.", f"Use {own}."))
        elif str(name).lower() in _FIXED:
            found.append((f"settings has {name}, which every clone has its own way.", "Leave it out."))
        elif isinstance(value, (dict, list)) or re.search(r"[\x00-\x1f]", text_of(value)):
            found.append((f"settings has no plain value for {name}.", "Write a number, a word or text in one line."))
    return found


def hba_problems(lines: t.Sequence[str]) -> list[str]:
    """Lines that cannot stand in pg_hba.conf."""
    return [line for line in lines if "\n" in line or not line.split() or line.split()[0].lower() not in _HBA_TYPES]


def closed_settings(
    place: Place, major: int, port: int, given: t.Mapping[str, t.Any], needed: dict[str, int]
) -> Settings:
    """Settings until the clone opens: only its owner and root get at the socket, and nobody over the network."""
    result = _own_settings(place, major, needed)
    result.update({"autovacuum": "off", **_given(given)})
    for name, least in needed.items():
        value = result.get(name, "")
        result[name] = str(max(least, int(value))) if value.isdigit() else str(least)
    result.update(
        {
            "port": str(port),
            "listen_addresses": "",
            "unix_socket_directories": place.run,
            "unix_socket_permissions": "0700",
            "hba_file": place.closed_hba,
            "archive_mode": "off",
            # Limits of the source are not for the work behind closed doors.
            "default_transaction_read_only": "off",
            "idle_in_transaction_session_timeout": "0",
            "lock_timeout": "0",
            "statement_timeout": "0",
            # The SQL may hold what nobody should read in a log.
            "log_statement": "none",
            "log_min_duration_statement": "-1",
            "log_min_error_statement": "panic",
        }
    )
    if major >= 17:
        result["transaction_timeout"] = "0"
    return result


def open_settings(
    place: Place,
    major: int,
    port: int,
    given: t.Mapping[str, t.Any],
    needed: dict[str, int],
    listen: str,
    socket_directory: str,
    archive_command: str | None,
) -> Settings:
    """Settings of the clone that is ready."""
    result = {**_own_settings(place, major, needed), **_given(given)}
    result.update(
        {
            "port": str(port),
            "listen_addresses": listen,
            "unix_socket_directories": socket_directory,
            "hba_file": place.hba,
            "archive_mode": "on" if archive_command else "off",
            "archive_command": archive_command or "",
        }
    )
    return result


def words(settings: t.Mapping[str, str]) -> list[str]:
    """Settings as arguments of the server.

    >>> words({"port": "5433", "archive_command": ""})
    ['-c', 'archive_command=', '-c', 'port=5433']
    """
    return [word for name, value in sorted(settings.items()) for word in ("-c", f"{name}={value}")]


def configuration_text() -> str:
    """The configuration file, which says where the settings are."""
    return (
        f"{MARKER}\n"
        "# The settings of this clone stand on the command line of its server, because only that wins over the\n"
        "# postgresql.auto.conf of its source. SHOW and pg_settings tell them; the module changes them.\n"
    )


def closed_hba_text() -> str:
    """Everybody who gets at the socket in the private directory."""
    return f"{MARKER}\nlocal all all trust\n"


def hba_text(lines: t.Sequence[str], role: str, major: int) -> str:
    """Who may connect: the owner of the clone as its superuser, then the given lines or the default."""
    # Roles of older versions may have MD5 passwords; there the method md5 takes SCRAM as well.
    method = "scram-sha-256" if major >= 14 else "md5"
    default = ["local all all peer", f"host all all 127.0.0.1/32 {method}", f"host all all ::1/128 {method}"]
    quoted = role.replace('"', '""')
    own = f'local all "{quoted}" peer map=clone'
    return "\n".join([MARKER, "# The module itself connects so.", own, *(lines or default), ""])


def ident_text(owner: str, role: str) -> str:
    """The owner of the clone is its superuser, whatever the role is called."""
    quoted = role.replace('"', '""')
    return f'{MARKER}\nclone "{owner}" "{quoted}"\n'


def _own_settings(place: Place, major: int, needed: dict[str, int]) -> Settings:
    """What every clone has, open or closed; settings of the user may change it."""
    settings = {
        "config_file": place.configuration,
        "ident_file": place.ident,
        "external_pid_file": os.path.join(place.run, "server.pid"),
        "cluster_name": place.name,
        "archive_command": "",
        "log_destination": "stderr",
        "logging_collector": "off",
        "ssl": "off",
        "synchronous_standby_names": "",
        "max_logical_replication_workers": "0",  # it would take over the source's subscriptions
        "unix_socket_group": "",
        "unix_socket_permissions": "0777",
    }
    if major >= 12:
        settings.update(
            {
                "primary_conninfo": "",
                "primary_slot_name": "",
                "recovery_end_command": "",
                "archive_cleanup_command": "",
                "recovery_min_apply_delay": "0",
            }
        )
    if major >= 15:
        settings["archive_library"] = ""
    if major >= 17:
        settings["sync_replication_slots"] = "off"
    return {**settings, **{name: str(value) for name, value in needed.items()}}


def _given(settings: t.Mapping[str, t.Any]) -> Settings:
    return {str(name).lower(): text_of(value) for name, value in settings.items()}
