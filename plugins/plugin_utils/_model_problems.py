# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Everything that is wrong with what is asked for on a host, as sentences. Private to the collection.

The variables alone come first, then what they say about the hosts as they are. Nothing here changes anything.
"""

from __future__ import annotations

import re
import typing as t

from ..module_utils import _config_rules as rules
from ..module_utils._catalogue import version_text
from ..module_utils._config_file import parse, render
from . import _model_cluster, _model_configuration as configuration, _model_input as model, _model_shape as shape
from ._model_input import Mapping

_OLDEST = (2, 45)
_MAIN_FILES = (configuration.MAIN_FILE, "/etc/pgbackrest.conf")
_IP_CERTIFICATES = (2, 53)
_IP_ADDRESS = re.compile(r"^[\d.]+$|:")
_REPOSITORY = re.compile(r"\brepo(\d+)-([a-z0-9-]+)")
_ABOUT = re.compile(r"^\[(?P<stanza>[^\]:]+):?(?P<command>[^\]]*)\] (?P<text>(?:repo(?P<number>\d+)-)?.*)$", re.DOTALL)


def of_database_host(variables: Mapping, hostvars: Mapping, name: str, groups: Mapping) -> list[str]:
    """All problems of a database host, each once."""
    found = shape.wrong_types(variables)
    if found:
        return found
    entries = model.entries(variables)
    unencrypted = bool(model.truth(variables["pgbackrest_allow_unencrypted"]))
    found += _authority(variables, hostvars)
    found += shape.doubles(entries)
    for entry in entries:
        found += shape.problems(entry, name, hostvars, unencrypted)
    found += _packages(variables, model.learned(hostvars, name), name)
    for entry in entries:
        found += _of_entry(entry, hostvars, name, groups)
    found += _across_clusters(variables, hostvars, name)
    for entry in entries:
        if _model_cluster.find(model.learned(hostvars, name), entry["cluster"]) and shape.is_name(entry["stanza"]):
            found += _content(variables, shape.without_misplaced(entry), hostvars, name)
            found += _foreign_files(variables, entry, hostvars, name)
    return list(dict.fromkeys(found))


def of_repository_host(variables: Mapping, hostvars: Mapping, name: str, transports: t.Container[str]) -> list[str]:
    """All problems of a repository host that database hosts reach in these ways."""
    found = shape.wrong_types(variables)
    if found:
        return found
    host = model.learned(hostvars, name)
    found += _authority(variables, hostvars)
    found += _packages(variables, host, name)
    found += _without_systemd(host, name, transports)
    found += _shared_with_database(variables, host, name, hostvars)
    found += _foreign(variables, host, name, configuration.MAIN_FILE)
    return list(dict.fromkeys(found))


# Single hosts


def _packages(variables: Mapping, host: Mapping, name: str) -> t.Iterator[str]:
    program, source = host.get("pgbackrest"), variables["pgbackrest_package_source"]
    if not program:
        if source == "none":
            yield (
                f"pgBackRest is not installed on {name}, and pgbackrest_package_source is none: install it, or let the "
                "role do it with distribution or pgdg."
            )
        elif host.get("os_family") not in ("debian", "redhat"):
            yield (
                f"pgBackRest is not installed on {name}, and the role knows no packages for {host.get('distribution')}"
                ": install pgBackRest and psycopg2, and set pgbackrest_package_source: none."
            )
    elif not host.get("psycopg2") and source == "none" and host.get("clusters"):
        yield (
            f"psycopg2 is not installed on {name} for its Python, and pgbackrest_package_source is none: install it "
            "(Debian package python3-psycopg2), or let the role do it with distribution or pgdg."
        )
    elif configuration.version(host) < _OLDEST:
        yield f"{name} has pgBackRest {program['version']}, but 2.45 is the oldest that is supported: upgrade it."


def _without_systemd(host: Mapping, name: str, transports: t.Container[str]) -> t.Iterator[str]:
    if host.get("service_manager") == "none" and "tls" in transports:
        yield f"pgBackRest's TLS server is run by systemd, which {name} does not have: use host-type: ssh."


def _shared_with_database(variables: Mapping, host: Mapping, name: str, hostvars: Mapping) -> t.Iterator[str]:
    """Log, spool and lock directories have one owner, so the database on a repository host must run as it."""
    user = variables["pgbackrest_repository_user"]
    for cluster in hostvars[name].get("__pgbackrest_clusters") or []:
        if cluster["owner"] != user:
            yield (
                f"{name} is a repository host and has the cluster {cluster['name']} of {cluster['owner']}, but "
                f"pgBackRest's directories on a host belong to one user: set pgbackrest_repository_user: "
                f"{cluster['owner']} for {name}, or move the repository to a host of its own."
            )


def _foreign(variables: Mapping, host: Mapping, name: str, path: str) -> t.Iterator[str]:
    """Files that stand where ours would, or that ours would hide."""
    if model.truth(variables["pgbackrest_replace_configuration"]):
        return
    advice = "Look what is in it, and set pgbackrest_replace_configuration: true to replace it."
    for found in host.get("configuration") or []:
        hidden = found["path"] == "/etc/pgbackrest.conf" and path == configuration.MAIN_FILE and found["stanzas"]
        if found["path"] == path and not found["ours"]:
            yield f"{path} on {name} was not written by this collection. {advice}"
        elif hidden and not found["ours"]:
            yield (
                f"/etc/pgbackrest.conf on {name} configures {', '.join(found['stanzas'])}, and pgBackRest no longer "
                f"reads it once {path} is there. Put these stanzas into the variables, and set "
                "pgbackrest_replace_configuration: true."
            )


def _foreign_files(variables: Mapping, entry: Mapping, hostvars: Mapping, name: str) -> t.Iterator[str]:
    path = model.STANZA_FILE.format(entry["stanza"])
    host = model.learned(hostvars, name)
    yield from _foreign(variables, host, name, configuration.MAIN_FILE)
    yield from _foreign(variables, host, name, path)
    keeper = model.repository_host(entry)
    if keeper:
        yield from _foreign(variables, model.learned(hostvars, keeper), keeper, path)
    for found in host.get("configuration") or []:
        if entry["stanza"] in found["stanzas"] and found["path"] not in (path, *_MAIN_FILES):
            yield (
                f"{found['path']} on {name} configures {entry['stanza']}, too, and pgBackRest refuses an option that "
                "stands in two files: move what you need into the variables and remove that section."
            )


# One stanza and its hosts


def _of_entry(entry: Mapping, hostvars: Mapping, name: str, groups: Mapping) -> t.Iterator[str]:
    host = model.learned(hostvars, name)
    cluster = _model_cluster.find(host, entry["cluster"])
    if not cluster:
        yield _no_cluster(entry, host, name)
        return
    stopped = not cluster.get("running") and not cluster.get("planned")
    if cluster.get("problem"):
        yield f"Cluster {cluster['name']} on {name}: {cluster['problem']}"
    elif stopped and not _model_cluster.at_target(cluster):
        yield (
            f"Cluster {cluster['name']} on {name} is not running: start it"
            + (f" (systemctl start {cluster['unit']})" if cluster.get("unit") else "")
            + ". Archiving, stanza and check need it."
        )
    elif _is_lone_standby(cluster, entry):
        yield (
            f"{name} is a standby, but {entry['where']['hosts']} of stanza {entry['stanza']} names no other host: list "
            "its primary and all standbys."
        )
    yield from _keeper(entry, hostvars, groups, name)
    known = {other: model.learned(hostvars, other) for other in entry["hosts"]}
    if model.repository_host(entry):
        known[model.repository_host(entry)] = model.learned(hostvars, model.repository_host(entry))
    yield from _versions(entry, known)
    yield from _transport(entry, known, hostvars)
    yield from _one_cluster(entry, hostvars)
    yield from _same_list(entry, hostvars)


def _is_lone_standby(cluster: Mapping, entry: Mapping) -> bool:
    follows = cluster["role"] == "standby" and not _model_cluster.at_target(cluster)
    return follows and len(entry["hosts"]) == 1


def _no_cluster(entry: Mapping, host: Mapping, name: str) -> str:
    clusters = [cluster["name"] for cluster in host.get("clusters") or []]
    where = entry["where"]["cluster"]
    if not clusters and len(entry["hosts"]) > 1:
        return (
            f"{name} has no PostgreSQL cluster. If it shall be a standby of stanza {entry['stanza']}, protect the "
            f"others first (--limit '!{name}'), and make it one with the playbook pgops.pgbackrest.standby. If not, "
            f"take it out of {entry['where']['hosts']}, or create its cluster."
        )
    if not clusters:
        return f"{name} has no PostgreSQL cluster: create one first, or name its data directory in pgbackrest_clusters."
    if entry["cluster"]:
        return f"{where} is {entry['cluster']}, but {name} has {', '.join(clusters)}: write one of these."
    return (
        f"{name} has several clusters, {', '.join(clusters)}, and {where} does not say which is meant: write an entry "
        f"for each, such as {{stanza: {entry['stanza']}, cluster: {clusters[0]}}}."
    )


def _keeper(entry: Mapping, hostvars: Mapping, groups: Mapping, name: str) -> t.Iterator[str]:
    keeper = model.repository_host(entry)
    if not keeper or keeper not in hostvars or keeper in entry["hosts"]:
        return
    if not model.learned(hostvars, keeper):
        yield f"{keeper}, the repository host of stanza {entry['stanza']}, could not be looked at: see its own failure."
    elif "repository" in groups and keeper not in groups["repository"]:
        yield (
            f"{keeper}, the repository host of stanza {entry['stanza']}, is not in the inventory group repository, so "
            "nothing sets it up: add it to the group."
        )
    elif _lacks(entry["stanza"], model.learned(hostvars, keeper)):
        for host in _model_cluster.unseen(entry, hostvars):
            if model.learned(hostvars, host).get("clusters") or host not in hostvars:
                continue  # its own problem is told elsewhere
            yield (
                f"{host} of stanza {entry['stanza']} could not be looked at, and {keeper} must know where its cluster "
                f"is: let the play reach {host}, or take it out of {entry['where']['hosts']}."
            )
    if _is_stranger(entry["stanza"], model.learned(hostvars, keeper)):
        yield (
            f"{keeper}, the repository host of stanza {entry['stanza']}, does not know this stanza yet and is not in "
            f"this play: run it with both, such as --limit {name},{keeper}."
        )


def _is_stranger(stanza: str, keeper: Mapping) -> bool:
    """Whether a repository host that the play leaves out lacks the stanza. Then it has no key for it either."""
    return bool(keeper.get("outside")) and _lacks(stanza, keeper)


def _lacks(stanza: str, keeper: Mapping) -> bool:
    """Whether a repository host has no file for a stanza."""
    path = model.STANZA_FILE.format(stanza)
    return all(found["path"] != path for found in keeper.get("configuration") or [])


def _versions(entry: Mapping, known: Mapping) -> t.Iterator[str]:
    """pgBackRest on both ends must be equal to the last digit."""
    versions = {name: host["pgbackrest"]["version"] for name, host in known.items() if host.get("pgbackrest")}
    if len(set(versions.values())) > 1:
        shown = ", ".join(f"{name}: {version}" for name, version in versions.items())
        yield (
            f"The hosts of stanza {entry['stanza']} have different versions of pgBackRest ({shown}), and they refuse "
            "to talk to each other: install the same version on all of them."
        )


def _transport(entry: Mapping, known: Mapping, hostvars: Mapping) -> t.Iterator[str]:
    if model.transport(entry) != "tls":
        return
    for name, host in known.items():
        yield from _without_systemd(host, name, ["tls"])
        address = str(model.variables_of(hostvars, name).get("pgbackrest_address") or name)
        if _IP_ADDRESS.search(address) and host and configuration.version(host) < _IP_CERTIFICATES:
            yield (
                f"{name} is reached as {address}, but pgBackRest {version_text(configuration.version(host))} takes no "
                "IP addresses in certificates (2.53 does): set pgbackrest_address to a name."
            )


def _one_cluster(entry: Mapping, hostvars: Mapping) -> t.Iterator[str]:
    """One primary at most, and all hosts have the same cluster."""
    found = {host: _model_cluster.of_other_host(hostvars, host, entry["stanza"]) for host in entry["hosts"]}
    clusters = {host: cluster for host, cluster in found.items() if cluster}
    identifiers = {host: cluster["system_identifier"] for host, cluster in clusters.items()}
    primaries = [host for host, cluster in clusters.items() if cluster["role"] == "primary"]
    stanza, where = entry["stanza"], entry["where"]["hosts"]
    if len(set(filter(None, identifiers.values()))) > 1:
        shown = ", ".join(f"{host}: {identifier}" for host, identifier in identifiers.items())
        yield (
            f"The hosts of stanza {stanza} have different clusters (system identifiers {shown}): {where} may list only "
            "one primary and its standbys. Give other clusters stanzas of their own. If one is the empty one that a "
            "package has made, remove it on that host (pg_dropcluster)."
        )
    elif len(primaries) > 1:
        yield f"{' and '.join(primaries)} of stanza {stanza} are all primaries: end all but one of them first."
    elif any(_model_cluster.at_target(cluster) for cluster in clusters.values()):
        for host, cluster in clusters.items():
            if _model_cluster.at_target(cluster):
                yield _model_cluster.undecided(host, cluster["name"], cluster["running"])
    elif len(clusters) == len(entry["hosts"]) > 1 and _all_standbys(clusters.values()):
        yield f"None of {', '.join(clusters)} is a primary: add the primary of stanza {stanza} to {where}."


def _all_standbys(clusters: t.Iterable[Mapping]) -> bool:
    return all(cluster["role"] == "standby" for cluster in clusters)


def _same_list(entry: Mapping, hostvars: Mapping) -> t.Iterator[str]:
    for other in entry["hosts"]:
        for cluster in model.variables_of(hostvars, other).get("__pgbackrest_clusters") or []:
            if cluster["stanza"] == entry["stanza"] and list(cluster["hosts"]) != list(entry["hosts"]):
                yield (
                    f"{entry['where']['hosts']} of stanza {entry['stanza']} is [{', '.join(entry['hosts'])}], but "
                    f"[{', '.join(map(str, cluster['hosts']))}] on {other}: write the same list, in the same order, "
                    "for all hosts of the stanza."
                )


# All stanzas of a host


def _authority(variables: Mapping, hostvars: Mapping) -> t.Iterator[str]:
    signs = model.value(variables, "pgbackrest_tls_ca_host")
    if signs and signs not in hostvars:
        yield (
            f"pgbackrest_tls_ca_host is {signs}, which is not in the inventory: write the inventory name of the host "
            "that signs certificates, or leave it out for the repository host."
        )


def _across_clusters(variables: Mapping, hostvars: Mapping, name: str) -> t.Iterator[str]:
    clusters = hostvars[name].get("__pgbackrest_clusters") or []
    directories: dict[str, str] = {}
    for cluster in clusters:
        other = directories.setdefault(cluster["data_directory"], cluster["stanza"])
        if other != cluster["stanza"]:
            yield (
                f"The stanzas {other} and {cluster['stanza']} are both for the cluster {cluster['name']} of {name}: a "
                "cluster archives to one stanza. Give it one stanza with several repositories."
            )
    owners = {cluster["owner"]: cluster["name"] for cluster in clusters}
    if len(owners) > 1:
        shown = ", ".join(f"{cluster} of {owner}" for owner, cluster in owners.items())
        yield (
            f"The clusters of {name} have different owners ({shown}), but pgBackRest's log, spool and lock directories "
            "on a host belong to one user: let one user own them."
        )
    keepers = sorted({cluster["repository_host"] for cluster in clusters if cluster["transport"] == "tls"})
    if len(keepers) > 1 and not model.value(variables, "pgbackrest_tls_ca_host"):
        yield (
            f"The clusters of {name} use the repository hosts {' and '.join(keepers)} over TLS: set "
            "pgbackrest_tls_ca_host to the one that signs the certificates."
        )


# What would stand in the files


def _content(variables: Mapping, entry: Mapping, hostvars: Mapping, name: str) -> list[str]:
    """What is wrong with options and their values, by the rules of the module ``config`` for the installed version."""
    keeper = model.repository_host(entry)
    main = configuration.main_file(variables, [model.transport(entry)])
    files = [(name, configuration.database_file(entry, hostvars, name))]
    if keeper:
        files.append((keeper, configuration.repository_file(entry, hostvars)))
    found = []
    for host, sections in files:
        version = configuration.version(model.learned(hostvars, host))
        found += rules.problems(sections, version, parse(render(main)))
    return [_located(sentence, entry) for sentence in found]


def _located(sentence: str, entry: Mapping) -> str:
    """The sentence about a section and key of the file as one about the variable.

    >>> where = {"repositories": "pgbackrest_repositories", "options": "pgbackrest_options"}
    >>> _located("[main] repo2-x is no option: did you mean repo2-y?", {"stanza": "main", "where": where})
    'pgbackrest_repositories[1]: x is no option: did you mean y?'
    >>> _located("[main:backup] x is wrong.", {"stanza": "main", "where": where})
    'pgbackrest_options.backup: x is wrong.'
    """
    match = _ABOUT.match(sentence)
    if not match or match.group("stanza") != entry["stanza"]:
        return sentence
    number, command, text = match.group("number"), match.group("command"), match.group("text")
    if number and not command:
        where = entry["where"]["repositories"]
        text = text.replace(f"repo{number}-", "")
        text = _REPOSITORY.sub(lambda other: f"{other.group(2)} of {where}[{int(other.group(1)) - 1}]", text)
        return f"{where}[{int(number) - 1}]: {text}"
    return f"{entry['where']['options']}{'.' + command if command else ''}: {text}"
