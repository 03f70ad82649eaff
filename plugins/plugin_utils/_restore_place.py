# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which cluster of which host a play restores. Pure. Private to the collection."""

from __future__ import annotations

import typing as t

from . import _model_cluster, _model_input as model
from ._model_input import Mapping

Record = t.Dict[str, t.Any]

_PROGRAMS = "Run the playbook pgops.pgbackrest.site for it first, with --limit if it has to be alone."


def place(hostvars: Mapping, hosts: t.Sequence[str], wanted: str) -> Record:
    """The ``host`` and ``cluster`` to restore, the ``standbys`` of its stanza, and ``problems`` instead of a choice.

    ``hosts`` are those of the play, ``wanted`` is the name of the stanza, or empty for the only one.
    """
    mine = {host: model.variables_of(hostvars, host).get("__pgbackrest_clusters") or [] for host in hosts}
    names = sorted({cluster["stanza"] for clusters in mine.values() for cluster in clusters})
    name = wanted or (names[0] if len(names) == 1 else "")
    members = {host: cluster for host, clusters in mine.items() for cluster in clusters if cluster["stanza"] == name}
    found: Record = {"host": "", "stanza": name, "cluster": {}, "standbys": [], "problems": []}
    if not members:
        return {**found, "problems": [_no_stanza(hostvars, hosts, names, wanted)]}
    following = {host for host, cluster in members.items() if is_standby(cluster)}
    chosen = [host for host in members if host not in following]
    others = _others(hostvars, members, name)
    found["problems"] = _choice_problems(name, members, chosen, others)
    if not found["problems"]:
        host = chosen[0]
        found.update(host=host, cluster=members[host], standbys=_standbys(hostvars, members, others, host))
        found["problems"] = _program_problems(hostvars, host)
    return found


def is_standby(cluster: Mapping) -> bool:
    """Whether a cluster follows another one. One that was restored and still recovers, or waits at its target, does not
    although it is in recovery, too."""
    if cluster.get("recovery"):
        return bool(cluster["recovery"] == "standby" and cluster["role"] != "primary")
    return bool(cluster["role"] == "standby")


def _others(hostvars: Mapping, members: Mapping, name: str) -> dict[str, Mapping | None]:
    """The hosts of the stanza that are not in the play, with their cluster where it could be seen."""
    hosts = [host for cluster in members.values() for host in cluster["hosts"] if host not in members]
    known = {host: _model_cluster.of_other_host(hostvars, host, name) for host in hosts if host in hostvars}
    return {host: known.get(host) for host in hosts}


def _no_stanza(hostvars: Mapping, hosts: t.Sequence[str], names: t.Sequence[str], wanted: str) -> str:
    if names and not wanted:
        return f"The hosts of this play have the stanzas {' and '.join(names)}. Name one of them in restore_stanza."
    if names:
        return (
            f"No host of this play has a cluster of stanza {wanted}, only of {' and '.join(names)}. Correct "
            "restore_stanza or the limit."
        )
    seen = [
        f"{host} has {', '.join(cluster['name'] for cluster in clusters) or 'no PostgreSQL cluster'}"
        for host in hosts
        for clusters in [(model.variables_of(hostvars, host).get("__pgbackrest_host") or {}).get("clusters") or []]
    ]
    return (
        f"No host of this play has the cluster that its variables name ({'; '.join(seen)}). Correct the limit, "
        "pgbackrest_clusters, or make the configuration of the cluster first, with pg_createcluster on Debian."
    )


def _choice_problems(name: str, members: Mapping, chosen: t.Sequence[str], others: Mapping) -> list[str]:
    """What stands against restoring one of these hosts."""
    if len(chosen) > 1:
        states = " and ".join(f"{host} ({_state(members[host])})" for host in chosen)
        return [
            f"Of stanza {name}, {states} are no standbys, and only one of them can be restored. Limit the play to that "
            "one (--limit), and make sure that the other stays down or is rebuilt from it."
        ]
    if not chosen:
        where = " and ".join(members)
        primaries = [host for host, cluster in others.items() if cluster and not is_standby(cluster)]
        hint = (
            f"Restore its primary {primaries[0]}; a standby is rebuilt from that with restore_rebuild_standbys."
            if primaries
            else "Promote the one that shall be the primary, then restore that."
        )
        return [f"{where} of stanza {name} {'is a standby' if len(members) == 1 else 'are standbys'}. {hint}"]
    rivals = [host for host, cluster in others.items() if cluster and cluster["running"] and not is_standby(cluster)]
    if rivals:
        return [
            f"{rivals[0]} runs as primary of stanza {name}, too, so {chosen[0]} would become a second one. Restore "
            f"{rivals[0]}, or stop it and keep it down."
        ]
    return []


def _state(cluster: Mapping) -> str:
    running = "running" if cluster["running"] else "stopped"
    return f"{running}, {cluster['role']}" if cluster["role"] != "unknown" else f"{running}, its role cannot be told"


def _standbys(hostvars: Mapping, members: Mapping, others: Mapping, chosen: str) -> list[Record]:
    """All other hosts of the stanza: ``state`` is ``play``, ``outside`` of it, or ``unseen``."""
    found = [
        {"host": host, "state": "play", "name": cluster["name"], "data_directory": cluster["data_directory"]}
        for host, cluster in members.items()
        if host != chosen
    ]
    for host, cluster in others.items():
        known = cluster or {"name": "", "data_directory": ""}
        state = "outside" if cluster else "unseen"
        found.append({"host": host, "state": state, "name": known["name"], "data_directory": known["data_directory"]})
    return found


def _program_problems(hostvars: Mapping, host: str) -> list[str]:
    looked = model.variables_of(hostvars, host).get("__pgbackrest_host") or {}
    missing = [name for name in ("pgbackrest", "psycopg2") if not looked.get(name)]
    return [f"{host} has no {' and no '.join(missing)}. {_PROGRAMS}"] if missing else []
