# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which cluster of a host is meant, and what is known about it. Private to the collection."""

from __future__ import annotations

import typing as t

from . import _model_input as model
from ._model_input import Mapping

_LOOKED = "__pgbackrest_host"
_SHOWN = (
    "number",
    "type",
    "host",
    "host-type",
    "path",
    "s3-bucket",
    "s3-endpoint",
    "azure-container",
    "azure-account",
    "gcs-bucket",
    "sftp-host",
)
_KNOWN = (
    "name",
    "data_directory",
    "port",
    "socket_directory",
    "unit",
    "owner",
    "group",
    "pg_version",
    "system_identifier",
    "role",
    "recovery",
    "running",
)


def find(host: Mapping, wanted: str | None) -> Mapping | None:
    """The cluster of the host that is meant; without a name its only one."""
    clusters = host.get("clusters") or []
    if not wanted:
        return clusters[0] if len(clusters) == 1 else None
    for cluster in clusters:
        if str(wanted).rstrip("/") in (cluster["name"], str(cluster["data_directory"]).rstrip("/")):
            return t.cast("Mapping", cluster)
    return None


def resolved(variables: Mapping, host: Mapping, name: str, hostvars: Mapping) -> list[dict[str, t.Any]]:
    """The clusters of a host with all that the roles need to know, without secrets.

    What the input leaves unclear is left out here; ``_model_problems`` says what is wrong with it.
    """
    ours = {stanza for found in host.get("configuration") or [] if found["ours"] for stanza in found["stanzas"]}
    return [
        {**_resolve(entry, cluster, name, hostvars), "configured": entry["stanza"] in ours}
        for entry in model.entries(variables)
        for cluster in [find(host, entry["cluster"])]
        if cluster and isinstance(entry["stanza"], str)
    ]


def _scheduled(entry: Mapping) -> Mapping:
    """An entry of the schedule with its repositories as a list of numbers, as the module ``schedule`` takes them."""
    repo = entry.get("repo")
    numbers = repo if isinstance(repo, (list, tuple)) or repo is None else [repo]
    return {**entry, **({} if numbers is None else {"repo": list(numbers)})}


def _are_mappings(repositories: t.Any) -> bool:
    return isinstance(repositories, (list, tuple)) and all(isinstance(item, t.Mapping) for item in repositories)


def _resolve(entry: Mapping, cluster: Mapping, name: str, hostvars: Mapping) -> dict[str, t.Any]:
    repository_host = model.repository_host(entry)
    there = model.variables_of(hostvars, repository_host)
    return {
        **{key: cluster.get(key) for key in _KNOWN},
        "stanza": entry["stanza"],
        "stanza_file": model.STANZA_FILE.format(entry["stanza"]),
        "hosts": entry["hosts"],
        "repositories": [shown(number, item) for number, item in enumerate(entry["repositories"], 1)],
        "schedule": [_scheduled(item) for item in entry["schedule"]],
        "repository_host": repository_host,
        "transport": model.transport(entry),
        "backup_host": repository_host or name,
        "backup_user": model.value(there, "pgbackrest_repository_user") if repository_host else cluster.get("owner"),
        "backup_group": model.value(there, "pgbackrest_repository_group") if repository_host else cluster.get("group"),
    }


def shown(number: int, repository: Mapping) -> dict[str, t.Any]:
    """What may be seen of a repository."""
    host = repository.get("host") or ""
    found = {"type": "posix", "path": "/var/lib/pgbackrest", **repository, "number": number, "host": host}
    found["host-type"] = model.host_type(repository) if host else ""
    return {key: found[key] for key in _SHOWN if key in found}


def of_other_host(hostvars: Mapping, host: str, stanza: str) -> Mapping | None:
    """The cluster of a stanza on any of its hosts that was looked at, in this play or by delegation."""
    variables = model.variables_of(hostvars, host)
    for cluster in variables.get("__pgbackrest_clusters") or []:
        if cluster["stanza"] == stanza:
            return t.cast("Mapping", cluster)
    facts = model.learned(hostvars, host)
    if not facts:
        return None
    for entry in model.entries(variables):
        if entry["stanza"] == stanza:
            return find(facts, entry["cluster"])
    return find(facts, None)


def at_target(cluster: Mapping) -> bool:
    """Whether a cluster was restored and has not been opened: it waits at its target, or is on its way there."""
    return bool(cluster.get("recovery") == "target" and cluster["role"] != "primary")


def undecided(host: str, name: str, running: bool) -> str:
    """What a cluster ``at_target`` needs: somebody who decides."""
    decide = "with the same target and restore_target_action=promote to open it, or with another target."
    if running:
        return (
            f"PostgreSQL {name} on {host} was restored and is paused at its recovery target, or on its way there. It "
            "takes no writes and is not protected until somebody decides: look at its data, then run the playbook "
            f"restore again {decide}"
        )
    return (
        f"PostgreSQL {name} on {host} does not run, and the recovery of its restore has not ended. It is not protected "
        f"until somebody decides: run the playbook restore again as it was to go on, {decide}"
    )


def unseen(entry: Mapping, hostvars: Mapping) -> list[str]:
    """Hosts of a stanza whose cluster is not known, because they could not be looked at."""
    return [
        host
        for host in entry["hosts"]
        if not of_other_host(hostvars, host, entry["stanza"]) and not is_bare(hostvars, host)
    ]


def is_bare(hostvars: Mapping, host: str) -> bool:
    """Whether a host was looked at and has no cluster at all, as one that shall become a standby."""
    facts = model.learned(hostvars, host)
    return bool(facts) and not facts["clusters"]


def kept(hostvars: Mapping, keeper: str) -> list[Mapping]:
    """The clusters with repositories on this host, of all hosts that were looked at in this play; each stanza once."""
    found: dict[str, Mapping] = {}
    for host in hostvars:
        for cluster in model.variables_of(hostvars, host).get("__pgbackrest_clusters") or []:
            if cluster["repository_host"] == keeper:
                found.setdefault(cluster["stanza"], cluster)
    return list(found.values())


def kept_transports(hostvars: Mapping, keeper: str) -> list[str]:
    """How database hosts reach the repositories on this host, also those hosts that are not in this play."""
    found = {cluster["transport"] for cluster in kept(hostvars, keeper)}
    for host in hostvars:
        for entry in model.entries(model.variables_of(hostvars, host)):
            if _are_mappings(entry["repositories"]) and model.repository_host(entry) == keeper:
                found.add(model.transport(entry))
    return sorted(found)


def unknown_hosts(hostvars: Mapping, hosts: t.Iterable[str]) -> list[str]:
    """Hosts that stanzas of these hosts name and that were not looked at, or could not be."""
    named: dict[str, None] = {}
    for host in hosts:
        clusters = model.variables_of(hostvars, host).get("__pgbackrest_clusters") or []
        for cluster in clusters or _wanted_of_bare(hostvars, host):
            named.update(dict.fromkeys(filter(None, [*cluster["hosts"], cluster["repository_host"]])))
    return [host for host in named if host in hostvars and not model.variables_of(hostvars, host).get(_LOOKED)]


def _wanted_of_bare(hostvars: Mapping, host: str) -> list[dict[str, t.Any]]:
    """The hosts of the stanzas that a host without any cluster is of."""
    entries = model.entries(model.variables_of(hostvars, host)) if is_bare(hostvars, host) else []
    return [
        {"hosts": entry["hosts"], "repository_host": model.repository_host(entry)}
        for entry in entries
        if isinstance(entry["hosts"], (list, tuple)) and _are_mappings(entry["repositories"])
    ]
