#!/usr/bin/python
# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: stanza
short_description: Create, upgrade or delete a stanza in pgBackRest's repositories
description:
  - Makes sure that a stanza stands in every configured repository and belongs to the cluster that is there now, or that
    it is gone from one repository.
  - Creates it where it is missing, and upgrades it after PostgreSQL was upgraded to a newer major version.
  - Refuses a cluster of the same version with another system identifier. C(pgbackrest stanza-upgrade) would accept it
    silently and mix backups and WAL of two clusters in one stanza.
version_added: 0.1.0
author: ["pgops contributors (@pgops)"]
extends_documentation_fragment:
  - pgops.pgbackrest._attributes
  - pgops.pgbackrest._pgbackrest
  - pgops.pgbackrest._pgbackrest.STANZA
options:
  state:
    description:
      - V(present) creates or upgrades the stanza in all repositories where that is needed.
      - V(absent) deletes all backups and all WAL of the stanza from one repository. Nothing brings them back.
        It is no way out after a host, a disk or a cluster was lost, because a restore needs just these.
    type: str
    choices: [present, absent]
    default: present
  upgrade:
    description:
      - Whether O(state=present) may upgrade the stanza when PostgreSQL is of a newer major version than the stanza.
        If not, the task fails then.
      - Backups of the old version stay and can be restored until they expire.
    type: bool
    default: true
  online:
    description:
      - Whether pgBackRest connects to PostgreSQL and compares what it says with the data directory.
      - With V(false) PostgreSQL may be stopped.
    type: bool
    default: true
  system_id:
    description:
      - System identifier of the cluster (C(pg_controldata)), when its data directory lies on another host.
      - pgBackRest cannot tell an upgraded cluster from another one. So a stanza whose cluster lies on another host is
        upgraded only with O(system_id) and O(pg_version). It is created without them.
      - On the cluster's own host both are read from the data directory, and these options must agree.
    type: str
  pg_version:
    description: Major version of that cluster, such as V(17). Goes with O(system_id).
    type: str
  confirm:
    description:
      - The name of the stanza once more. Must equal O(stanza) with O(state=absent).
    type: str
  repo:
    description:
      - Number of the repository to delete the stanza from. Required with O(state=absent) when several repositories are
        configured.
    type: int
  force:
    description: Whether to delete the stanza although PostgreSQL runs.
    type: bool
    default: false
seealso:
  - module: pgops.pgbackrest.config
  - module: pgops.pgbackrest.check
  - module: pgops.pgbackrest.backup_info
"""

EXAMPLES = r"""
---
- name: Create the stanza, or upgrade it after an upgrade of PostgreSQL
  pgops.pgbackrest.stanza:
    stanza: main
  become: true
  become_user: postgres

- name: The same on a repository host, with what pg_controldata says on the database host
  pgops.pgbackrest.stanza:
    stanza: main
    system_id: "7711103432488110519"
    pg_version: "17"
  become: true
  become_user: pgbackrest

- name: Delete all backups of a cluster that is gone
  pgops.pgbackrest.stanza:
    stanza: old
    state: absent
    confirm: old
    repo: 1
  become: true
  become_user: postgres
"""

RETURN = r"""
msg:
  description: What was done, or would be in check mode.
  type: str
  returned: always
  sample: Created stanza main.
actions:
  description: The pgBackRest commands that were needed, V(create), V(upgrade) or V(delete).
  type: list
  elements: str
  returned: success
  sample: [create]
deleted:
  description: What O(state=absent) deleted, or would delete in check mode. V(null) when there was nothing.
  type: dict
  returned: with O(state=absent)
  sample:
    repo_key: 1
    backups: [20261122-205937F, 20261122-205937F_20261122-205940I]
    repo_size: 3057310
    archives:
      - repo_key: 1
        database_id: 1
        id: 15-1
        wal_min: "000000010000000000000001"
        wal_max: "000000010000000000000026"
  contains:
    repo_key:
      description: Number of the repository.
      type: int
      returned: with O(state=absent)
      sample: 1
    backups:
      description: Labels of the backups.
      type: list
      elements: str
      returned: with O(state=absent)
      sample: [20261122-205937F]
    repo_size:
      description: Size of these backups in the repository, in bytes.
      type: int
      returned: with O(state=absent)
      sample: 3057310
    archives:
      description: The archived WAL, as in RV(pgops.pgbackrest.backup_info#module:stanzas[].archives).
      type: list
      elements: dict
      returned: with O(state=absent)
error:
  description: pgBackRest's error with its code, name, message, hint, command and the next step.
  type: dict
  returned: when pgBackRest failed
  sample:
    code: 56
    name: db-connect
    message: unable to find primary cluster - cannot proceed
    hint: are all available clusters in recovery?
    command: stanza-create
    next_step: Check that PostgreSQL runs.
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _stanza_create
from ..module_utils._backup import repository_keys
from ..module_utils._cli import COMMON_ARGUMENTS, COMMON_EXCLUSIONS, PgBackRest
from ..module_utils._cluster import postmaster
from ..module_utils._messages import PgBackRestError
from ..module_utils._repository import parse_info
from ..module_utils._stanza import Identity, contents, describe_contents, known_cluster, refuse_unreadable

ARGUMENTS: dict[str, dict[str, t.Any]] = {
    **COMMON_ARGUMENTS,
    "stanza": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "upgrade": {"type": "bool", "default": True},
    "online": {"type": "bool", "default": True},
    "system_id": {"type": "str"},
    "pg_version": {"type": "str"},
    "confirm": {"type": "str"},
    "repo": {"type": "int"},
    "force": {"type": "bool", "default": False},
}


def have(module: AnsibleModule, pgbackrest: PgBackRest) -> dict[str, t.Any]:
    """Make the stanza present; returns the result."""
    params = module.params
    said = params["system_id"], params["pg_version"]
    actions, _stanza, diff = _stanza_create.have(
        pgbackrest, module.check_mode, params["upgrade"], params["online"], said
    )
    message = _stanza_create.sentence(actions, params["stanza"], module.check_mode)
    return {"changed": diff["before"] != diff["after"], "actions": actions, "msg": message, "diff": diff}


def chosen_repository(pgbackrest: PgBackRest, repo: int | None, command: str) -> int:
    """The repository to delete from; with several the user has to say which."""
    keys = repository_keys(pgbackrest.settings(command))
    if repo is None and len(keys) > 1:
        raise PgBackRestError(
            f"Repositories {', '.join(map(str, keys))} are configured: the option repo must say from which one the "
            "stanza is to be deleted"
        )
    if repo is not None and repo not in keys:
        raise PgBackRestError(f"The configuration has no repository {repo}, only {', '.join(map(str, keys))}")
    return repo or keys[0]


def refuse_running(cluster: Identity | None, force: bool) -> None:
    """Raise when PostgreSQL seems to run; pgBackRest asks the same, but only after it was stopped."""
    if cluster and cluster.path and not force and postmaster(cluster.path):
        raise PgBackRestError(
            f"PostgreSQL runs on {cluster.path} (postmaster.pid exists)",
            38,
            command="stanza-delete",
            next_step="Stop PostgreSQL, or set force to true if this cluster really needs no backups.",
        )


def delete(pgbackrest: PgBackRest, repo_key: int, force: bool) -> None:
    """Delete the stanza from a repository. If that fails, archiving and backups work on as before."""
    stopped_before = pgbackrest.stop_file() is not None
    pgbackrest.run("stop")
    try:
        pgbackrest.run("stanza-delete", {"repo": repo_key, "force": force or None})
    except PgBackRestError:
        if not stopped_before:
            pgbackrest.run("start")
        raise


def remove(module: AnsibleModule, pgbackrest: PgBackRest) -> dict[str, t.Any]:
    """Make the stanza absent; returns the result."""
    name, force = module.params["stanza"], module.params["force"]
    repo_key = chosen_repository(pgbackrest, module.params["repo"], "stanza-delete")
    before = parse_info(pgbackrest.info(repo=repo_key))[0]
    refuse_unreadable(before, "info")
    if before.missing_in():
        message = f"Repository {repo_key} holds no stanza {name}."
        return {"changed": False, "actions": [], "deleted": None, "msg": message, "diff": {"before": {}, "after": {}}}
    pgbackrest.require_stanza("stanza-delete")
    refuse_running(known_cluster(pgbackrest.settings("stanza-delete"), None, None, missing=True), force)
    deleted = contents(before, repo_key)
    if not module.check_mode:
        delete(pgbackrest, repo_key, force)
        left = parse_info(pgbackrest.info(repo=repo_key))[0]
        if not left.missing_in():
            raise PgBackRestError(f"pgBackRest reported success, but stanza {name} is still in repository {repo_key}")
    verb = "Would delete" if module.check_mode else "Deleted"
    message = f"{verb} stanza {name}: {describe_contents(deleted)}."
    diff = {"before": deleted, "after": {}}
    return {"changed": True, "actions": ["delete"], "deleted": deleted, "msg": message, "diff": diff}


def main() -> None:
    module = AnsibleModule(
        argument_spec=ARGUMENTS,
        mutually_exclusive=COMMON_EXCLUSIONS,
        required_together=[("system_id", "pg_version")],
        required_if=[("state", "absent", ["confirm"])],
        supports_check_mode=True,
    )
    params = module.params
    if params["state"] == "absent" and params["confirm"] != params["stanza"]:
        module.fail_json(
            msg=f"confirm must be the name of the stanza, {params['stanza']!r}, not {params['confirm']!r}. "
            "Nothing was deleted."
        )
    pgbackrest = PgBackRest(module, params["stanza"])
    try:
        pgbackrest.require_version()
        module.exit_json(**(have if params["state"] == "present" else remove)(module, pgbackrest))
    except PgBackRestError as error:
        module.fail_json(**error.result())


if __name__ == "__main__":
    main()
