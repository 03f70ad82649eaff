# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""With which configuration of pgBackRest a clone is made. Pure. Private to the collection.

A host that has none for the stanza, as a runner of CI, gets one below the clone's directory: nothing in /etc, and it
goes with the clone. So does a clone that archives to a stanza of its own.
"""

from __future__ import annotations

import typing as t

from . import _model_configuration, _model_input as model, _model_shape
from ._model_input import Mapping

Record = t.Dict[str, t.Any]

_COMMANDS = ("restore", "archive-get")  # what a clone runs
_VARIABLES = ("pgbackrest_repositories", "pgbackrest_options", "pgbackrest_clusters")


def configuration(wanted: Mapping, variables: Mapping, facts: Mapping, name: str) -> Record:
    """``file``, the one to read (None for the host's own), ``own`` when it is the clone's, and ``problems``.

    ``variables`` are those of the inventory, ``facts`` what host_info says about the host ``name``.
    """
    stanza = wanted["stanza"]
    found: Record = {"file": None, "own": False, "problems": []}
    if wanted["config"]:
        return {**found, "file": wanted["config"]}
    archive_stanza = wanted["clone"].get("archive_stanza")
    if not archive_stanza and any(stanza in file["stanzas"] for file in facts["configuration"]):
        return found
    entry = _entry(variables, stanza)
    problems = _problems(entry, variables, stanza, name)
    return {"file": f"{wanted['directory']}/pgbackrest.conf", "own": True, "problems": problems}


def sections(wanted: Mapping, variables: Mapping, facts: Mapping, directory: str) -> Record:
    """The clone's own file, as the module config takes it. What pgBackRest writes comes below ``directory``."""
    stanza = wanted["stanza"]
    entry = {**_entry(variables, stanza), "hosts": ["here"]}
    found = _model_configuration.database_file(entry, {"here": {"__pgbackrest_host": facts}}, "here")
    commands = {f"{stanza}:{command}" for command in _COMMANDS}
    kept = {name: options for name, options in found.items() if name == stanza or name in commands}
    of_cluster = {f"pg1-{name}" for name in ("port", "socket-path", "user", "database")}
    kept[stanza] = {key: value for key, value in kept[stanza].items() if key not in of_cluster}
    kept[stanza]["pg1-path"] = f"{wanted['directory']}/data"
    archive_stanza = wanted["clone"].get("archive_stanza")
    if archive_stanza:
        kept[archive_stanza] = kept[stanza]
    places = {name: f"{directory}/{name[:-5]}" for name in ("log-path", "lock-path", "spool-path")}
    return {"global": places, **kept}


def _entry(variables: Mapping, stanza: str) -> Record:
    """Repositories and options of the stanza, from its own entry or the flat variables."""
    mine = [item for item in _mappings(variables.get("pgbackrest_clusters")) if item.get("stanza") == stanza]
    given = {key: variables.get(f"pgbackrest_{key}") for key in ("repositories", "options")}
    where = {key: f"pgbackrest_{key}" for key in (*model.OF_A_CLUSTER, "cluster")}
    known = {key: value for item in mine for key, value in item.items() if key in given}
    repositories = known.get("repositories", given["repositories"]) or []
    options = known.get("options", given["options"]) or {}
    return {"stanza": stanza, "repositories": repositories, "options": options, "schedule": [], "where": where}


def _mappings(given: t.Any) -> list[Mapping]:
    return [item for item in given if isinstance(item, t.Mapping)] if isinstance(given, list) else []


def _problems(entry: Record, variables: Mapping, stanza: str, name: str) -> list[str]:
    wrong = _model_shape.wrong_types({key: variables[key] for key in _VARIABLES if variables.get(key)})
    if wrong:
        return wrong
    lacks = f"{name} has no configuration of pgBackRest for a clone of the stanza {stanza}"
    if not entry["repositories"]:
        return [
            f"{lacks}. Give pgbackrest_repositories, from which it gets one of its own, or clone_config, the path of "
            f"one on {name}."
        ]
    hosts = sorted({str(repository["host"]) for repository in entry["repositories"] if repository.get("host")})
    if hosts:
        return [
            f"{lacks}, and the repository lies on {' and '.join(hosts)}, which lets only hosts in that it knows. Make "
            f"the clone on a host of the stanza, or give clone_config, the path of a configuration on {name} with "
            "which it reaches the repository, made as docs/clone.md says."
        ]
    # Retention is for those who take backups.
    repositories = [{"retention-full": 1, **repository} for repository in entry["repositories"]]
    whole = {**entry, "repositories": repositories, "hosts": [name], "cluster": None}
    return _model_shape.problems(whole, name, [name], unencrypted=True)
