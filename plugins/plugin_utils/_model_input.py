# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The variables of the roles as they come from inventory, surveys and ``-e``. Private to the collection.

``variables`` is always a mapping with the names of the roles' variables. Where they come from another host's
``hostvars``, defaults of the roles are missing; ``value`` supplies them.
"""

from __future__ import annotations

import typing as t

from ansible.module_utils.parsing.convert_bool import BOOLEANS_FALSE, BOOLEANS_TRUE

from ..module_utils import _catalogue as catalogue

Mapping = t.Mapping[str, t.Any]

OF_A_CLUSTER = ("stanza", "hosts", "repositories", "options", "schedule")
# Defaults that count for other hosts, too. A unit test compares them with defaults/main.yml of the roles.
DEFAULTS: dict[str, t.Any] = {
    "pgbackrest_clusters": [],
    "pgbackrest_repository_user": "pgbackrest",
    "pgbackrest_repository_group": "pgbackrest",
    "pgbackrest_ssh_port": 22,
    "pgbackrest_tls_port": 8432,
    "pgbackrest_tls_ca_host": "",
}
STANZA_FILE = "/etc/pgbackrest/conf.d/{}.conf"
# Repositories of these types are no directory of the host, so every host of the stanza reaches the same one.
REMOTE_TYPES = ("azure", "cifs", "gcs", "s3", "sftp")


def value(variables: Mapping, name: str) -> t.Any:
    """A variable of this or another host."""
    found = variables.get(name)
    return DEFAULTS.get(name) if found is None else found


def variables_of(hostvars: Mapping, name: str) -> Mapping:
    """The variables of a host; none when it is not in the inventory, for which ``hostvars`` has no KeyError."""
    found = hostvars[name] if name in hostvars else {}  # noqa: SIM401
    return t.cast("Mapping", found)


def learned(hostvars: Mapping, name: str) -> Mapping:
    """What host_info said about a host; nothing when the host was not looked at.

    A cluster that the play is about to make there counts as if it were there already.
    """
    variables = variables_of(hostvars, name)
    found = variables.get("__pgbackrest_host") or {}
    if "clusters" not in found:  # the host was unreachable
        return {}
    return with_planned(found, variables.get("__pgbackrest_planned") or [])


def with_planned(found: Mapping, planned: t.Sequence[Mapping]) -> Mapping:
    """What host_info said, with clusters that the play is about to make in place of what is in their directories."""
    places = [cluster["data_directory"] for cluster in planned]
    others = [cluster for cluster in found.get("clusters") or [] if cluster["data_directory"] not in places]
    return {**found, "clusters": [*others, *planned]} if planned else found


def truth(given: t.Any) -> bool | None:
    """Truth as Ansible reads it, None when the value is neither.

    >>> truth("yes"), truth("False"), truth(1), truth("maybe")
    (True, False, True, None)
    """
    word = str(given).strip().lower()
    return True if word in BOOLEANS_TRUE else False if word in BOOLEANS_FALSE else None


def whole_number(given: t.Any) -> int | None:
    """A whole number that may come as text, None when it is none.

    >>> whole_number("8432"), whole_number(2), whole_number("2x"), whole_number(True)
    (8432, 2, None, None)
    """
    text = str(given).strip()
    return int(text) if not isinstance(given, bool) and text.isdecimal() else None


def entries(variables: Mapping) -> list[dict[str, t.Any]]:
    """The wanted clusters, each with all keys of OF_A_CLUSTER, ``cluster`` and where each key was given.

    Keys that an entry of ``pgbackrest_clusters`` does not have come from the flat variables.
    """
    given = value(variables, "pgbackrest_clusters") or [{}]
    flat = {key: variables.get(f"pgbackrest_{key}") for key in OF_A_CLUSTER}
    return [
        {"cluster": None, **flat, **entry, "where": _origins(number, entry)}
        for number, entry in enumerate(given)
        if isinstance(entry, t.Mapping)
    ]


def entry_of(variables: Mapping, stanza: str) -> dict[str, t.Any]:
    """The entry of a stanza, which must be there."""
    return next(entry for entry in entries(variables) if entry["stanza"] == stanza)


def _origins(number: int, entry: Mapping) -> dict[str, str]:
    own = f"pgbackrest_clusters[{number}]"
    origins = {key: f"{own}.{key}" if key in entry else f"pgbackrest_{key}" for key in OF_A_CLUSTER}
    return {**origins, "cluster": f"{own}.cluster" if entry else "pgbackrest_clusters"}


def repository_host(entry: Mapping) -> str:
    """The host that keeps repositories of a stanza, '' when there is none."""
    return next((str(repository["host"]) for repository in entry["repositories"] if repository.get("host")), "")


def host_type(repository: Mapping) -> str:
    """How a repository host is reached."""
    return str(repository.get("host-type") or "tls")


def transport(entry: Mapping) -> str:
    """How the hosts of a stanza reach its repository host: tls, ssh, or '' when there is none."""
    return next((host_type(repository) for repository in entry["repositories"] if repository.get("host")), "")


def command_options(options: Mapping) -> dict[str, Mapping]:
    """The part of the options that is for single commands."""
    return {name: given for name, given in options.items() if isinstance(given, t.Mapping) and not _is_hash(name)}


def stanza_options(options: Mapping) -> dict[str, t.Any]:
    """The part of the options that is for the whole stanza."""
    commands = command_options(options)
    return {name: given for name, given in options.items() if name not in commands}


def _is_hash(name: str) -> bool:
    option = catalogue.find(name, catalogue.NEWEST)
    return bool(option and option.type == "hash")


def as_pgbackrest(name: str, given: t.Any) -> t.Any:
    """A value for an option; words such as "true", which surveys send, become booleans where the option takes them.

    >>> as_pgbackrest("repo-bundle", "true"), as_pgbackrest("compress-type", "none"), as_pgbackrest("start-fast", "x")
    (True, 'none', 'x')
    """
    option = catalogue.find(name, catalogue.NEWEST)
    takes_yes_no = option and (option.type == "boolean" or {"y", "n"} <= set(option.allow or ()))
    read = truth(given) if takes_yes_no and isinstance(given, str) else None
    return given if read is None else read
