# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which hosts of a play are standbys of which primary, and the clusters that they are to have. Pure.

Private to the collection.
"""

from __future__ import annotations

import re
import typing as t

from . import _model_cluster, _model_input as model
from ._model_input import Mapping
from ._standby_request import fit

Record = t.Dict[str, t.Any]
Clusters = t.Dict[str, t.Optional[Mapping]]

_DEBIAN_NAME = re.compile(r"(\d+(?:\.\d+)?)/([^/]+)")
_OF_A_PRIMARY = ("port", "socket_directory", "owner", "group", "pg_version", "system_identifier")

_DIFFERENT = (
    " They are different clusters: one may be the empty one that a package has made. Once that is stopped, the play "
    "names the command that removes it."
)


def place(hostvars: Mapping, hosts: t.Sequence[str], wanted: str) -> Record:
    """The primary of the stanza, the standbys among ``hosts`` (those of the play), and ``problems``.

    ``wanted`` is the name of the stanza, or empty for the only one. What each host wants, its ``upstream`` and
    ``slot``, stands in its fact ``__pgbackrest_standby_asked``.
    """
    mine = {host: _entries(hostvars, host) for host in hosts}
    names = sorted({name for entries in mine.values() for name in entries})
    name = wanted or (names[0] if len(names) == 1 else "")
    entries = {host: found[name] for host, found in mine.items() if name in found}
    result: Record = {"stanza": name, "primary": "", "cluster": {}, "standbys": {}, "planned": {}, "depth": 1}
    result.update(connecting=[], upstreams={}, problems=[])
    if not entries:
        return {**result, "problems": [_no_stanza(names, wanted)]}
    listed = list(next(iter(entries.values()))["hosts"])
    clusters = {host: _model_cluster.of_other_host(hostvars, host, name) for host in listed}
    problems = [*_list_problems(name, entries, listed, hostvars), *_primary_problems(hostvars, name, clusters)]
    if problems:
        return {**result, "problems": problems}
    primary = next(host for host, cluster in clusters.items() if is_primary(cluster))
    return {**result, **_below(hostvars, name, primary, entries, clusters)}


def _below(hostvars: Mapping, name: str, primary: str, entries: t.Mapping[str, Record], clusters: Clusters) -> Record:
    """What is to stand below the primary, of the hosts in ``entries``."""
    standbys = [host for host in entries if host != primary]
    links, problems = _links(hostvars, primary, standbys, clusters)
    planned = {}
    for host in standbys:
        planned[host], why = _planned(hostvars, host, entries[host], clusters, primary)
        problems += why
    problems += [] if standbys else [_nothing_to_do(primary, list(clusters))]
    problems += [] if _is_configured(hostvars, primary, name) else [_not_protected(hostvars, primary, entries)]
    upstreams = _upstreams(hostvars, primary, links)
    for link in links.values():
        upstream = planned.get(link["host"]) or clusters.get(link["host"]) or {}
        link.update(address=_address(hostvars, link["host"]), port=upstream.get("port"))
    return {
        "primary": primary,
        "cluster": clusters[primary],
        "address": _address(hostvars, primary),
        "standbys": links,
        "planned": planned,
        "depth": max([1, *(link["level"] for link in links.values())]),
        "connecting": [host for host in standbys if not _is_connected(hostvars, host, name)],
        "upstreams": upstreams,
        "problems": [*problems, *_slot_problems(upstreams)],
    }


def is_primary(cluster: Mapping | None) -> bool:
    """Whether a cluster takes writes now."""
    return bool(cluster and cluster["running"] and cluster["role"] == "primary")


def _entries(hostvars: Mapping, host: str) -> dict[str, Record]:
    """What a host says of each of its stanzas: ``hosts``, and which ``cluster`` it is there."""
    variables = model.variables_of(hostvars, host)
    found = {}
    for entry in model.entries(variables):
        hosts = entry["hosts"] if isinstance(entry["hosts"], (list, tuple)) else [host]
        found[str(entry["stanza"] or "main")] = {"hosts": list(hosts), "cluster": entry["cluster"]}
    for cluster in variables.get("__pgbackrest_clusters") or []:
        found.setdefault(cluster["stanza"], {"cluster": None})["hosts"] = list(cluster["hosts"])
    return found


def _address(hostvars: Mapping, host: str) -> str:
    return str(model.variables_of(hostvars, host).get("pgbackrest_address") or host)


def _is_connected(hostvars: Mapping, host: str, stanza: str) -> bool:
    """Whether pgBackRest is there and knows the stanza."""
    facts = model.learned(hostvars, host)
    return bool(facts.get("pgbackrest") and facts.get("psycopg2") and _is_configured(hostvars, host, stanza))


def _is_configured(hostvars: Mapping, host: str, stanza: str) -> bool:
    return any(stanza in file["stanzas"] for file in model.learned(hostvars, host).get("configuration") or [])


# What is wrong


def _no_stanza(names: t.Sequence[str], wanted: str) -> str:
    if not wanted:
        return f"The hosts of this play have the stanzas {' and '.join(names)}. Name one of them in standby_stanza."
    return f"No host of this play has stanza {wanted}, only {' and '.join(names)}. Correct standby_stanza or the limit."


def _list_problems(
    name: str, entries: t.Mapping[str, Record], listed: t.Sequence[str], hostvars: Mapping
) -> t.Iterator[str]:
    first = next(iter(entries), "")
    strangers = [host for host in listed if host not in hostvars]
    if strangers:
        yield (
            f"pgbackrest_hosts of stanza {name} is [{', '.join(listed)}], but the inventory has no host "
            f"{' and '.join(strangers)}: correct the name, or take it out."
        )
    for host, entry in entries.items():
        if entry["hosts"] != listed:
            yield (
                f"pgbackrest_hosts of stanza {name} is [{', '.join(listed)}] on {first}, but "
                f"[{', '.join(entry['hosts'])}] on {host}: write the same list, in the same order, for all hosts of "
                "the stanza."
            )
        elif host not in listed:
            yield f"pgbackrest_hosts of stanza {name} is [{', '.join(listed)}] and lacks {host}: add it at the end."


def _primary_problems(hostvars: Mapping, name: str, clusters: Clusters) -> t.Iterator[str]:
    primaries = [host for host, cluster in clusters.items() if is_primary(cluster)]
    if not primaries:
        states = ", ".join(f"{host} {_state(hostvars, host, cluster)}" for host, cluster in clusters.items())
        yield (
            f"No host of stanza {name} runs as a primary, and a standby needs one to follow: {states}. Start the "
            "primary, promote the standby that shall become it, or restore it (playbook pgops.pgbackrest.restore)."
        )
    elif len(primaries) > 1:
        commands = " or ".join(f"{_stop(clusters[host])} on {host}" for host in primaries)
        another = len({(clusters[host] or {}).get("system_identifier") for host in primaries}) > 1
        yield (
            f"{' and '.join(primaries)} of stanza {name} all run as primaries, and only one of them can be right. Stop "
            f"the one that shall become a standby ({commands}), and keep everybody from starting it."
            + (_DIFFERENT if another else "")
        )


def _not_protected(hostvars: Mapping, primary: str, entries: t.Mapping[str, Record]) -> str:
    variables = model.variables_of(hostvars, primary if primary in entries else next(iter(entries)))
    keepers = [entry["host"] for entry in variables.get("pgbackrest_repositories") or [] if entry.get("host")]
    limit = ",".join(dict.fromkeys([primary, *map(str, keepers)]))
    return (
        f"The primary {primary} is not protected yet, so there is no backup to make a standby of. Run first: "
        f"pgops.pgbackrest.site --limit {limit}"
    )


def _stop(cluster: Mapping | None) -> str:
    unit = (cluster or {}).get("unit")
    return f"systemctl stop {unit}" if unit else "pg_ctl stop"


def _state(hostvars: Mapping, host: str, cluster: Mapping | None) -> str:
    if cluster:
        return f"{'runs' if cluster['running'] else 'is stopped'} ({cluster['role']})"
    return "has no cluster" if _model_cluster.is_bare(hostvars, host) else "could not be looked at"


def _nothing_to_do(primary: str, listed: t.Sequence[str]) -> str:
    others = [host for host in listed if host != primary]
    return f"This play has no standby of the stanza, only its primary {primary}. " + (
        f"Run it with {' and '.join(others)}, too." if others else "Add the others to pgbackrest_hosts."
    )


# Whom each standby follows


def _links(
    hostvars: Mapping, primary: str, standbys: t.Sequence[str], clusters: Clusters
) -> tuple[dict[str, Record], list[str]]:
    """The ``host`` that each standby follows, and its ``level``: 1 follows the primary, 2 one that does, and so on."""
    follows: dict[str, Record] = {}
    problems: list[str] = []
    for host in standbys:
        asked = model.variables_of(hostvars, host).get("__pgbackrest_standby_asked") or {}
        upstream, slot = asked.get("upstream") or primary, asked.get("slot") or ""
        follows[host] = {"host": upstream, "slot": slot, "level": 1}
        if upstream != primary:
            problems += _upstream_problems(host, upstream, primary, standbys, clusters)
    if not problems:
        for host, link in follows.items():
            link["level"] = _level(host, follows)
            if not link["level"]:
                problems.append(
                    f"standby_upstream of {host} leads back to {host} itself: let one of the hosts follow the primary "
                    f"{primary}."
                )
    return follows, problems


def _upstream_problems(
    host: str, upstream: str, primary: str, standbys: t.Sequence[str], clusters: Clusters
) -> t.Iterator[str]:
    cluster = clusters.get(upstream)
    if upstream not in clusters:
        yield (
            f"standby_upstream of {host} is {upstream}, which is no host of the stanza ({', '.join(clusters)}): name "
            f"one of them, or leave it out to follow the primary {primary}."
        )
    elif upstream == host:
        yield f"standby_upstream of {host} is {host} itself: name another host, or leave it out to follow {primary}."
    elif upstream not in standbys and not (cluster and cluster["running"]):
        yield (
            f"standby_upstream of {host} is {upstream}, which does not run and is not in this play: run the play with "
            f"{upstream}, too, or leave standby_upstream out to follow the primary {primary}."
        )


def _level(host: str, follows: t.Mapping[str, Record]) -> int:
    """How many hosts lie between this one and the primary, and one; 0 when it follows itself."""
    level, upstream = 1, follows[host]["host"]
    while upstream in follows:
        level, upstream = level + 1, follows[upstream]["host"]
        if level > len(follows):
            return 0
    return level


def _upstreams(hostvars: Mapping, primary: str, links: t.Mapping[str, Record]) -> dict[str, Record]:
    """What each host that is followed must do for it: let in ``addresses``, have ``slots``.

    Slots that are named after a host of this play and that nobody uses any more are to go.
    """
    found = {}
    for upstream in dict.fromkeys([primary, *(link["host"] for link in links.values())]):
        followers = {host: link for host, link in links.items() if link["host"] == upstream}
        present = [link["slot"] for link in followers.values() if link["slot"]]
        found[upstream] = {
            "level": links[upstream]["level"] if upstream in links else 0,
            "addresses": [_address(hostvars, host) for host in followers],
            "slots": {
                "present": present,
                "absent": [name for name in map(fit, [primary, *links]) if name not in present],
            },
        }
    return found


def _slot_problems(upstreams: t.Mapping[str, Record]) -> t.Iterator[str]:
    for upstream, wanted in upstreams.items():
        names = wanted["slots"]["present"]
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield (
                f"standby_slot is {name} for several standbys of {upstream}: write true, which names each slot after "
                "its host, or another name for each."
            )


# The cluster of each standby


def _planned(hostvars: Mapping, host: str, entry: Record, clusters: Clusters, primary: str) -> tuple[Record, list[str]]:
    """The cluster of a standby as it will be, and what stands against it."""
    model_of = clusters[primary] or {}
    wished = str(entry["cluster"] or "")
    here = _model_cluster.find(model.learned(hostvars, host), entry["cluster"])
    others = [cluster["name"] for cluster in model.learned(hostvars, host).get("clusters") or []]
    if not model.learned(hostvars, host):
        return {}, [f"{host} could not be looked at: see its own failure."]
    if here:
        as_standby = {"role": "standby", "recovery": "standby", "planned": True, "problem": None}
        known = {"pg_version": here.get("pg_version") or model_of["pg_version"]}
        return {**here, **known, **as_standby}, list(_in_the_way(host, here, model_of, primary))
    if others and not wished:
        return {}, [
            f"{host} has several clusters, {', '.join(others)}, and pgbackrest_clusters does not say which of them is "
            "the standby: write an entry for it."
        ]
    return _new(host, wished, model_of, primary, model.learned(hostvars, host).get("os_family") == "debian")


def _in_the_way(host: str, here: Mapping, model_of: Mapping, primary: str) -> t.Iterator[str]:
    """Another cluster where the standby is to be."""
    theirs, ours = here.get("system_identifier"), model_of["system_identifier"]
    same_version = here.get("pg_version") in (None, model_of["pg_version"])
    if (theirs is None or theirs == ours) and same_version:
        return
    remove = _remove(here)
    what = (
        f"another cluster (system identifier {theirs}) than {primary} ({ours})"
        if same_version
        else f"a cluster of PostgreSQL {here['pg_version']}, but {primary} has PostgreSQL {model_of['pg_version']}"
    )
    yield (
        f"{here['name']} on {host} is {what}, and is never overwritten. Name the right cluster in pgbackrest_clusters. "
        f"If this one is not needed, as the empty one that a package has made, remove it on {host}: {remove}"
    )


def _remove(here: Mapping) -> str:
    match = _DEBIAN_NAME.fullmatch(here["name"])
    if match:
        return f"pg_dropcluster --stop {match.group(1)} {match.group(2)}"
    return f"{_stop(here)}; rm -r {here['data_directory']}"


def _new(host: str, wished: str, model_of: Mapping, primary: str, debian: bool) -> tuple[Record, list[str]]:
    """A cluster that is made, as that of the primary."""
    version = model_of["pg_version"]
    name = wished or (model_of["name"] if _DEBIAN_NAME.fullmatch(model_of["name"]) else f"{version}/main")
    match = _DEBIAN_NAME.fullmatch(name)
    if not debian:
        return {}, [
            f"{host} has no PostgreSQL {version}: install its server package, which brings a unit that names the data "
            "directory. It need not hold a cluster."
        ]
    if not match or match.group(1) != version:
        return {}, [
            f"pgbackrest_clusters of {host} names the cluster {name}, which is not there and cannot be made as a "
            f"standby of PostgreSQL {version} on {primary}: write a name such as {version}/main."
        ]
    like = name == model_of["name"]
    return {
        **{key: model_of[key] for key in _OF_A_PRIMARY},
        "name": name,
        "data_directory": model_of["data_directory"] if like else f"/var/lib/postgresql/{name}",
        "unit": f"postgresql@{name.replace('/', '-')}",
        "running": False,
        "role": "standby",
        "recovery": "standby",
        "problem": None,
        "planned": True,
        "missing": True,
    }, []
