# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The content of pgBackRest's configuration files, as sections for the module ``config``. Private to the collection.

A file in ``conf.d`` holds what belongs to one stanza and nothing else: pgBackRest refuses an option of [global] that
stands in two files. Only ``tls-server-auth`` may, because it is a list.
"""

from __future__ import annotations

import typing as t

from ..module_utils._catalogue import NEWEST
from ..module_utils._config_file import secret
from . import _model_cluster, _model_input as model
from ._model_defaults import Facts, tuned, without_overridden
from ._model_input import Mapping

Sections = t.Dict[str, t.Dict[str, t.Any]]

MAIN_FILE = "/etc/pgbackrest/pgbackrest.conf"
CERTIFICATES = "/etc/pgbackrest/cert"
# Absolute values of [global], the same on every host, whatever stanzas it has. The lock path is not below /tmp as
# with pgBackRest itself: there a cleaner may remove the file by which `pgbackrest stop` holds a stanza.
PLACES = {
    "log-path": "/var/log/pgbackrest",
    "spool-path": "/var/spool/pgbackrest",
    "lock-path": "/var/spool/pgbackrest/lock",
}
_DEFAULT_PORTS = {"tls": 8432, "ssh": 22}


def main_file(variables: Mapping, transports: t.Container[str]) -> Sections:
    """The main file of a host that reaches others, or is reached, in these ways."""
    options: dict[str, t.Any] = dict(PLACES)
    if "tls" in transports:
        options["tls-server-address"] = variables["pgbackrest_tls_listen"]
        if model.whole_number(variables["pgbackrest_tls_port"]) != _DEFAULT_PORTS["tls"]:
            options["tls-server-port"] = variables["pgbackrest_tls_port"]
        options.update(_certificate("tls-server-", "server"))
    return {"global": options}


def database_file(entry: Mapping, hostvars: Mapping, name: str) -> Sections:
    """The file of a stanza on a host that has its cluster."""
    stanza = entry["stanza"]
    cluster = _model_cluster.of_other_host(hostvars, name, stanza) or {}
    keeper = model.repository_host(entry)
    host = model.learned(hostvars, name)
    facts = Facts(
        version(host), _cpus(host), len(entry["hosts"]), frozenset({"database"} if keeper else {"database", "backup"})
    )
    options = _cluster_options(1, cluster, entry["options"])
    for number, repository in enumerate(entry["repositories"], 1):
        if repository.get("host"):
            options.update(_remote_repository(number, repository, stanza, hostvars))
            if len(entry["repositories"]) > 1:
                options.update(_told_twice(number, repository))
        else:
            options.update(_own_repository(number, repository, facts))
    return _with_auth(entry, _sections(entry, options, facts))


def repository_file(entry: Mapping, hostvars: Mapping) -> Sections:
    """The file of a stanza on its repository host: pg1, pg2 … are the hosts of the stanza in their order.

    Nothing when a host could not be looked at. Then the file that is there is as good as can be. A host that has no
    cluster yet is left out, and its number with it.
    """
    if _model_cluster.unseen(entry, hostvars):
        return {}
    stanza, keeper = entry["stanza"], model.repository_host(entry)
    options: dict[str, t.Any] = {}
    infos = [model.learned(hostvars, name) for name in (keeper, *entry["hosts"])]
    for number, name in enumerate(entry["hosts"], 1):
        if _model_cluster.is_bare(hostvars, name):
            continue
        cluster = _model_cluster.of_other_host(hostvars, name, stanza) or {}
        options.update(_remote_cluster(number, name, cluster, model.transport(entry), stanza, hostvars))
        options.update(_cluster_options(number, cluster, entry["options"]))
    facts = Facts(
        version(infos[0]), min(_cpus(info) for info in infos), len(entry["hosts"]), duties=frozenset({"backup"})
    )
    for number, repository in enumerate(entry["repositories"], 1):
        options.update(_own_repository(number, repository, facts))
    return _with_auth(entry, _sections(entry, options, facts))


def version(host: Mapping) -> tuple[int, ...]:
    """Version of the host's pgBackRest; the newest that is known when it is not installed yet."""
    program = host.get("pgbackrest")
    return tuple(int(number) for number in program["version"].split(".")) if program else NEWEST


def _cpus(host: Mapping) -> int:
    return int(host.get("cpus") or 1)


def _cluster_options(number: int, cluster: Mapping, options: Mapping) -> dict[str, t.Any]:
    """Where the cluster is, and options of the group ``pg`` that the user gave without index."""
    found = {"path": cluster.get("data_directory"), "port": cluster.get("port")}
    if cluster.get("socket_directory"):
        found["socket-path"] = cluster["socket_directory"]
    found.update({name[3:]: given for name, given in options.items() if name.startswith("pg-")})
    return {f"pg{number}-{name}": given for name, given in found.items() if given is not None}


def _own_repository(number: int, repository: Mapping, facts: Facts) -> dict[str, t.Any]:
    """A repository as the host that reads and writes it sees it."""
    own = {key: given for key, given in _with_cipher(repository).items() if not _about_host(key)}
    if not own.get("type") or own["type"] in ("posix", "cifs"):
        own = {"path": "/var/lib/pgbackrest", **own}
    defaults = without_overridden(tuned(facts), {}, own)
    known = {default.option[5:]: default.value(facts) for default in defaults if default.option.startswith("repo-")}
    return {
        f"repo{number}-{key}": model.as_pgbackrest(f"repo-{key}", given)
        for key, given in {**known, **own}.items()
        if given is not None and not (given == "" and secret(f"repo1-{key}"))  # _model_shape speaks of an empty secret
    }


def _told_twice(number: int, repository: Mapping) -> dict[str, t.Any]:
    """What a host must know of a repository on a repository host, when the stanza has several repositories.

    pgBackRest asks the repository host for the cipher, so it stands there only. But with several repositories `info`
    asks for the first one and takes the others for unencrypted (pgbackrest#1932, pgbackrest#2291). And when the
    repository host calls, pgBackRest forgets that repositories lie elsewhere and wants them to differ in their paths.
    """
    own = _with_cipher(repository)
    return {f"repo{number}-{key}": own[key] for key in ("cipher-type", "cipher-pass", "path") if own.get(key)}


def _with_cipher(repository: Mapping) -> dict[str, t.Any]:
    return {**({"cipher-type": "aes-256-cbc"} if repository.get("cipher-pass") else {}), **repository}


def _about_host(key: str) -> bool:
    return key in ("host", "shared") or key.startswith("host-")


def _remote_repository(number: int, repository: Mapping, stanza: str, hostvars: Mapping) -> dict[str, t.Any]:
    """A repository as seen from a host that reaches it through its repository host."""
    name, kind = str(repository["host"]), model.host_type(repository)
    found = _remote(name, kind, stanza, hostvars)
    if kind == "ssh":
        found["host-user"] = model.value(model.variables_of(hostvars, name), "pgbackrest_repository_user")
    found.update({key: given for key, given in repository.items() if key.startswith("host-")})
    return {f"repo{number}-{key}": given for key, given in found.items() if given is not None}


def _remote_cluster(
    number: int, name: str, cluster: Mapping, kind: str, stanza: str, hostvars: Mapping
) -> dict[str, t.Any]:
    found = _remote(name, kind, stanza, hostvars)
    if kind == "ssh":
        found["host-user"] = cluster.get("owner")
    return {f"pg{number}-{key}": given for key, given in found.items() if given is not None}


def _remote(name: str, kind: str, stanza: str, hostvars: Mapping) -> dict[str, t.Any]:
    variables = model.variables_of(hostvars, name)
    found = {"host": variables.get("pgbackrest_address") or name, "host-type": kind}
    port = model.value(variables, f"pgbackrest_{kind}_port")
    if model.whole_number(port) != _DEFAULT_PORTS.get(kind):
        found["host-port"] = port
    return {**found, **_certificate("host-", stanza)} if kind == "tls" else found


def _certificate(prefix: str, name: str) -> dict[str, str]:
    return {
        f"{prefix}ca-file": f"{CERTIFICATES}/ca.crt",
        f"{prefix}cert-file": f"{CERTIFICATES}/{name}.crt",
        f"{prefix}key-file": f"{CERTIFICATES}/{name}.key",
    }


def _sections(entry: Mapping, options: Mapping, facts: Facts) -> Sections:
    """The sections of the stanza and of its commands; what the user says comes last and counts."""
    stanza, of_stanza = entry["stanza"], model.stanza_options(entry["options"])
    sections: Sections = {stanza: dict(options)}
    for default in without_overridden(tuned(facts), of_stanza, {}):
        if not default.option.startswith("repo-"):
            section = f"{stanza}:{default.command}" if default.command else stanza
            sections.setdefault(section, {})[default.option] = default.value(facts)
    sections[stanza].update({name: given for name, given in of_stanza.items() if not name.startswith("pg-")})
    for command, given in model.command_options(entry["options"]).items():
        sections.setdefault(f"{stanza}:{command}", {}).update(given)
    return {section: cleaned for section, given in sections.items() for cleaned in [_cleaned(given)] if cleaned}


def _cleaned(options: Mapping) -> dict[str, t.Any]:
    """Without what the user takes out by giving it no value."""
    return {name: model.as_pgbackrest(name, given) for name, given in options.items() if given is not None}


def _with_auth(entry: Mapping, sections: Sections) -> Sections:
    """With the line by which the TLS server lets the stanza's certificate use this stanza and no other."""
    if model.transport(entry) == "tls":
        sections["global"] = {"tls-server-auth": {entry["stanza"]: entry["stanza"]}}
    return sections
