# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Configuration files for a data directory that came without them. Pure. Private to the collection.

Debian keeps them below ``/etc/postgresql`` and so out of every backup. Source: pg_createcluster of postgresql-common.
"""

from __future__ import annotations

import typing as t

from ._cluster import parse_settings
from ._recovery_settings import quoted

HEADER = "# Managed by Ansible (pgops.pgbackrest.cluster)"
CONFIGURATIONS = "/etc/postgresql"
DEFAULTS = "/etc/postgresql-common/createcluster.conf"
SNAKEOIL = {
    "ssl_cert_file": "/etc/ssl/certs/ssl-cert-snakeoil.pem",
    "ssl_key_file": "/etc/ssl/private/ssl-cert-snakeoil.key",
}
# Where things are is for pg_createcluster to say.
LOCATIONS = (
    "data_directory",
    "hba_file",
    "ident_file",
    "config_file",
    "external_pid_file",
    "port",
    "unix_socket_directories",
    "stats_temp_directory",
    "include",
    "include_dir",
    "include_if_exists",
)
NAMES = ("pg_hba.conf", "pg_ident.conf", "postgresql.conf")
_HBA = (
    ("local", "all", "postgres", "", "peer"),
    ("local", "all", "all", "", "peer"),
    ("host", "all", "all", "127.0.0.1/32", "{method}"),
    ("host", "all", "all", "::1/128", "{method}"),
    ("local", "replication", "all", "", "peer"),
    ("host", "replication", "all", "127.0.0.1/32", "{method}"),
    ("host", "replication", "all", "::1/128", "{method}"),
)


def configuration_directory(version: str, name: str) -> str:
    """Where Debian keeps the files of a cluster."""
    return f"{CONFIGURATIONS}/{version}/{name}"


def stand_in(pgdata: str) -> str:
    """The directory that pg_createcluster is given, because it drops the one it is given when it fails."""
    return f"{pgdata}.configure"


def with_data_directory(text: str, pgdata: str) -> str:
    """The text of ``postgresql.conf`` with this data directory in place of any other."""
    lines = [line for line in text.rstrip("\n").split("\n") if "data_directory" not in parse_settings(line)]
    return "\n".join([*lines, f"data_directory = {quoted(pgdata)}"]) + "\n"


def files(version: str, owner: str, settings: t.Mapping[str, t.Any]) -> dict[str, str]:
    """The three files that pg_createcluster moves to the configuration directory, by name."""
    lines = [f"{name} = {quoted(as_text(value))}" for name, value in sorted(settings.items())]
    return {
        "pg_hba.conf": _text(hba_lines(version, owner)),
        "pg_ident.conf": _text([]),
        "postgresql.conf": _text(lines),
    }


def hba_lines(version: str, owner: str) -> list[str]:
    """The lines of Debian's ``pg_hba.conf``."""
    method = "scram-sha-256" if int(version) >= 14 else "md5"
    rows = [(kind, database, owner if user == "postgres" else user, *rest) for kind, database, user, *rest in _HBA]
    return [
        f"{kind:<7} {database:<15} {user:<15} {address:<23} {how.format(method=method)}"
        for kind, database, user, address, how in rows
    ]


def as_text(value: t.Any) -> str:
    """A setting as PostgreSQL writes it.

    >>> as_text(True)
    'on'
    """
    return ("on" if value else "off") if isinstance(value, bool) else str(value)


def command(
    params: t.Mapping[str, t.Any], settings: t.Mapping[str, t.Any], defaults: t.Mapping[str, str], program: str
) -> list[str]:
    """The words that integrate the directory that stands for the data directory.

    What Debian sets in every new cluster (``defaults``) wins over the file, unless it is named here.
    """
    words = [program, "--start-conf", "auto", "-d", stand_in(params["data_directory"]), "-p", str(params["port"])]
    if params["socket_directory"]:
        words += ["-s", params["socket_directory"]]
    for name in sorted(set(defaults) & set(settings)):
        words += ["-o", f"{name}={as_text(settings[name]).replace('%', '%%')}"]
    return [*words, params["version"], params["name"]]


def _text(lines: t.Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in [HEADER, *lines])
