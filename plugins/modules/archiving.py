#!/usr/bin/python
# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: archiving
short_description: Let PostgreSQL archive its WAL to a stanza
description:
  - Sets C(archive_mode), C(archive_command) and C(wal_level) of a running PostgreSQL so that it archives its WAL to a
    stanza of pgBackRest, reloads it, and says whether it must be restarted.
  - What is right already is not touched, wherever and however it is written. An C(archive_command) that does the same
    with other quotes, another order of the options, or a name in place of a path, is right. More options of
    pgBackRest in it are left as they are, but for those of a repository.
  - Archiving by anything else is not ended unless O(force=true). This is an C(archive_command) that is a script or
    another tool, one for another stanza, configuration or repository of pgBackRest, and an C(archive_library).
    Commands that only throw the WAL away, such as C(/bin/true) and C(cd .), are replaced without asking.
  - An C(archive_mode) that a restore with archiving off left behind in C(postgresql.auto.conf) is set right, too.
  - It works on a standby as well. A standby archives nothing before it is promoted, unless O(archive_mode=always).
  - The module does not restart PostgreSQL. See RV(restart_required).
  - In check mode pgBackRest's configuration may lack the stanza, because an earlier task has only pretended to write
    it. So a task in check mode also tells whether archiving by anything else stands in the way, before anything is
    written.
version_added: 0.1.0
author: ["pgops contributors (@pgops)"]
extends_documentation_fragment:
  - pgops.pgbackrest._attributes
  - pgops.pgbackrest._pgbackrest
  - pgops.pgbackrest._pgbackrest.stanza
  - pgops.pgbackrest._postgresql
options:
  state:
    description:
      - V(enabled) makes PostgreSQL archive to this stanza.
      - V(disabled) sets C(archive_mode) to V(off), and empties an C(archive_command) that pushes to this stanza.
        C(wal_level) and C(archive_timeout) stay as they are.
      - From the reload to the restart archiving is still on and has no command. In this time PostgreSQL keeps all
        WAL in C(pg_wal), so restart it soon. After the restart it removes what it does not need.
    type: str
    choices: [enabled, disabled]
    default: enabled
  method:
    description:
      - Where to write what is not right.
      - V(alter_system) writes to C(postgresql.auto.conf) with C(ALTER SYSTEM).
      - V(file) writes to O(conf_file). Values in C(postgresql.auto.conf) that would override the file are taken out
        of there with C(ALTER SYSTEM RESET).
    type: str
    choices: [alter_system, file]
    default: alter_system
  conf_file:
    description:
      - Absolute path of the file to write with O(method=file), for example
        V(/etc/postgresql/15/main/conf.d/archiving.conf). Its directory must exist.
      - PostgreSQL must read it (C(include_dir) or C(include) in C(postgresql.conf)). When it does not, or when another
        file overrides it, the module fails and puts the old file back. In check mode this cannot be seen before the
        file exists.
      - The file may hold nothing but settings of archiving. Any other file is refused.
    type: path
  archive_mode:
    description:
      - Value of C(archive_mode) with O(state=enabled).
      - With V(always) a standby archives, too. pgBackRest's C(check) and C(backup) refuse this unless its option
        C(archive-mode-check) is V(n). Then it is your job that only one server archives to the repository.
    type: str
    choices: ["on", always]
    default: "on"
  wal_level:
    description: Least C(wal_level) with O(state=enabled). V(logical) contains V(replica), and is not lowered.
    type: str
    choices: [replica, logical]
    default: replica
  archive_timeout:
    description:
      - Seconds after which PostgreSQL finishes a WAL segment that is not full, so that it is archived. V(0) is never.
      - Without this option the setting is not touched.
    type: int
  force:
    description: End archiving by anything else. Also write on a cluster that Patroni manages.
    type: bool
    default: false
  stanza_create:
    description:
      - With O(state=enabled) have the stanza first. It is created or upgraded where that is needed, as
        M(pgops.pgbackrest.stanza) does it.
      - The cluster must be a primary, and the task must run as the user who owns the repositories. With a repository
        host use M(pgops.pgbackrest.stanza) there.
    type: bool
    default: false
  check:
    description:
      - With O(state=enabled) prove afterwards that WAL reaches every repository, as M(pgops.pgbackrest.check) does it.
      - Nothing is proven as long as PostgreSQL must be restarted, and in check mode when something would change.
        RV(proof) is V(null) then.
    type: bool
    default: false
  retries:
    description: How often to try O(check) again when its failure may pass, as O(pgops.pgbackrest.check#module:retries).
    type: int
    default: 0
requirements:
  - A superuser of PostgreSQL 10 or newer.
seealso:
  - module: pgops.pgbackrest.config
  - module: pgops.pgbackrest.stanza
  - module: pgops.pgbackrest.check
"""

EXAMPLES = r"""
---
- name: Archive to the stanza main
  pgops.pgbackrest.archiving:
    stanza: main
  become: true
  become_user: postgres
  register: archiving

- name: Restart PostgreSQL when it is needed
  ansible.builtin.service:
    name: postgresql@15-main
    state: restarted
  become: true
  when: archiving.restart_required

- name: The same in one task with the stanza before and the proof after
  pgops.pgbackrest.archiving:
    stanza: main
    stanza_create: true
    check: true
  become: true
  become_user: postgres

- name: Keep the settings in a file of their own, and archive at least every five minutes
  pgops.pgbackrest.archiving:
    stanza: main
    method: file
    conf_file: /etc/postgresql/15/main/conf.d/archiving.conf
    archive_timeout: 300
  become: true
  become_user: postgres

- name: Take over from another tool
  pgops.pgbackrest.archiving:
    stanza: main
    force: true
  become: true
  become_user: postgres

- name: Archive no longer, before the stanza is removed
  pgops.pgbackrest.archiving:
    stanza: main
    state: disabled
  become: true
  become_user: postgres
"""

RETURN = r"""
restart_required:
  description:
    - Whether PostgreSQL must be restarted for C(archive_mode) or C(wal_level) to take effect. Comes from
      C(pending_restart) of C(pg_settings) after the reload. In check mode it is foretold.
    - It stays V(true) in later runs until PostgreSQL was restarted, also when they change nothing.
  type: bool
  returned: success
  sample: true
pending_restart:
  description: The settings of archiving that wait for the restart.
  type: list
  elements: str
  returned: success
  sample: [archive_mode]
archive_command:
  description: The C(archive_command) that counts after the run. Empty when there is none.
  type: str
  returned: success
  sample: /usr/bin/pgbackrest --stanza=main archive-push "%p"
settings:
  description: The settings after the run, as they are in force after the restart if one is required.
  type: dict
  returned: success
  contains: &settings
    archive_command:
      description: Command that archives a WAL segment.
      type: str
      returned: success
    archive_library:
      description: Module that archives in place of a command.
      type: str
      returned: PostgreSQL 15 and newer
    archive_mode:
      description: V(off), V(on) or V(always).
      type: str
      returned: success
    archive_timeout:
      description: Seconds.
      type: str
      returned: success
    wal_level:
      description: V(minimal), V(replica) or V(logical).
      type: str
      returned: success
  sample:
    archive_command: /usr/bin/pgbackrest --stanza=main archive-push "%p"
    archive_library: ""
    archive_mode: "on"
    archive_timeout: "0"
    wal_level: replica
previous_settings:
  description: The settings before the run.
  type: dict
  returned: success
  contains: *settings
  sample:
    archive_command: ""
    archive_library: ""
    archive_mode: "off"
    archive_timeout: "0"
    wal_level: replica
in_recovery:
  description: Whether the server is a standby, or in recovery.
  type: bool
  returned: success
  sample: false
stanza_actions:
  description: What was done to the stanza, or would be, as RV(pgops.pgbackrest.stanza#module:actions).
  type: list
  elements: str
  returned: with O(stanza_create=true)
  sample: [create]
proof:
  description: What M(pgops.pgbackrest.check) returns. V(null) when nothing could be proven yet.
  type: dict
  returned: with O(check=true)
  sample:
    msg: "WAL reached every repository in 0.7 s: repository 1 now ends with 000000010000000000000005."
    duration: 0.7
    proven:
      - Configuration, repositories and cluster belong together.
      - A new WAL segment reached every repository.
    not_proven: []
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _archiving_server as server, _check, _stanza_create
from ..module_utils._archive_command import Program
from ..module_utils._archiving import (
    Setting,
    changes,
    file_problem,
    fixed_problem,
    foreign,
    pending,
    state,
    wanted_settings,
)
from ..module_utils._archiving_server import ArchivingError
from ..module_utils._cli import COMMON_ARGUMENTS, COMMON_EXCLUSIONS, PgBackRest
from ..module_utils._messages import PgBackRestError
from ..module_utils._repository import Stanza
from ..module_utils._sql import LOGIN_ARGUMENTS, DatabaseError, connect

ARGUMENTS: dict[str, dict[str, t.Any]] = {
    **COMMON_ARGUMENTS,
    **LOGIN_ARGUMENTS,
    "stanza": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["enabled", "disabled"], "default": "enabled"},
    "method": {"type": "str", "choices": ["alter_system", "file"], "default": "alter_system"},
    "conf_file": {"type": "path"},
    "archive_mode": {"type": "str", "choices": ["on", "always"], "default": "on"},
    "wal_level": {"type": "str", "choices": ["replica", "logical"], "default": "replica"},
    "archive_timeout": {"type": "int"},
    "force": {"type": "bool", "default": False},
    "stanza_create": {"type": "bool", "default": False},
    "check": {"type": "bool", "default": False},
    "retries": {"type": "int", "default": 0},
}
UNCHANGED = "Nothing was changed."


def check_input(params: t.Mapping[str, t.Any]) -> None:
    """Raise for options that can be refused without asking any program."""
    for name in ("stanza", "config", "config_path", "executable", "conf_file"):
        if any(ord(character) < 32 for character in params[name] or ""):
            raise ArchivingError(f"The option {name} must not hold control characters.")
    if params["archive_timeout"] is not None and not 0 <= params["archive_timeout"] < 2**30:
        raise ArchivingError("The option archive_timeout must be a number of seconds from 0 to 1073741823.")
    if params["method"] == "file":
        server.check_conf_file(params["conf_file"])
    for name in ("stanza_create", "check"):
        if params[name] and params["state"] == "disabled":
            raise ArchivingError(f"The option {name} is for state=enabled.")


def find_program(params: t.Mapping[str, t.Any], pgbackrest: PgBackRest) -> Program:
    """The program for the archive_command; it is looked up only when archiving is switched on."""
    path = params["executable"]
    if params["state"] == "enabled":
        path = pgbackrest.executable if pgbackrest.version else path
    return Program(path, params["stanza"], params["config"], params["config_path"])


def check_obstacles(
    force: bool, before: t.Mapping[str, Setting], written: t.Mapping[str, str], other: str, patroni: bool
) -> None:
    """Raise when the settings must not or cannot be written. ``other`` is the foreign archiving they would end."""
    if other and not force:
        raise ArchivingError(
            f"PostgreSQL archives by something else: {other} {UNCHANGED} When nobody needs that archive any more, take "
            "that setting out and reload PostgreSQL, or let this module end it with force: true."
        )
    if patroni and not force:
        raise ArchivingError(
            "Patroni manages this cluster. Set archive_mode and archive_command in its dynamic configuration "
            "(patronictl edit-config), because what is written here holds on this member only and overrides "
            f"Patroni's settings. {UNCHANGED} Set force: true to write it all the same."
        )
    problem = fixed_problem(before, written)
    if problem:
        raise ArchivingError(f"{problem} {UNCHANGED}")


def write(module: AnsibleModule, connection: t.Any, written: t.Mapping[str, str]) -> None:
    """Write the settings in the way that the task asks for."""
    if module.params["method"] == "file" and written:
        server.write_conf_file(module, connection, module.params["conf_file"], written)
    else:
        server.write_auto_conf(connection, written)


def warn(module: AnsibleModule, waiting: t.Collection[str]) -> None:
    """Tell what works against the user after all is done as asked."""
    if module.params["state"] == "disabled" and "archive_mode" in waiting:
        module.warn("PostgreSQL keeps all WAL in pg_wal until it is restarted. Restart it soon.")
    if module.params["state"] == "enabled" and module.params["archive_mode"] == "always":
        module.warn("pgBackRest refuses archive_mode=always in check and backup unless archive-mode-check is n.")


def result_of(
    before: t.Mapping[str, Setting], after: dict[str, str], waiting: list[str], changed: bool, in_recovery: bool
) -> dict[str, t.Any]:
    """The result of the module."""
    previous = state(before)
    return {
        "changed": changed,
        "restart_required": bool(waiting),
        "pending_restart": waiting,
        "archive_command": after["archive_command"],
        "settings": after,
        "previous_settings": previous,
        "in_recovery": in_recovery,
        "diff": {
            "before": {**previous, "pending_restart": pending(before)},
            "after": {**after, "pending_restart": waiting},
        },
    }


def archive(module: AnsibleModule, pgbackrest: PgBackRest, connection: t.Any) -> dict[str, t.Any]:
    """Make the settings right, or in check mode foretell it."""
    params = module.params
    program = find_program(params, pgbackrest)
    facts = server.server_facts(connection)
    if params["state"] == "enabled":
        server.check_configuration(params, facts["data_directory"], may_lack=module.check_mode)
    before = server.read(connection)
    wanted = wanted_settings(before, params, program)
    written = changes(before, wanted)
    changed = bool(written) or any(before[name].stale for name in wanted)
    after = {name: written.get(name, setting.coming) for name, setting in sorted(before.items())}
    waiting = pending(before, written) if changed else pending(before)
    if changed:
        check_obstacles(params["force"], before, written, foreign(before, params, program), facts["patroni"])
        problem = file_problem(server.file_rows(connection))
        if problem:
            raise ArchivingError(f"{problem} {UNCHANGED}")
    if changed and not module.check_mode:
        write(module, connection, written)
        found = server.reload_server(connection, wanted)
        after, waiting = state(found), pending(found)
    warn(module, waiting)
    return result_of(before, after, waiting, changed, facts["in_recovery"])


def with_stanza(result: dict[str, t.Any], actions: list[str], states: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The result of a task that had the stanza, too."""
    diff = {when: {**result["diff"][when], "stanza": states[when]} for when in ("before", "after")}
    return {
        "changed": result["changed"] or states["before"] != states["after"],
        "stanza_actions": actions,
        "diff": diff,
    }


def run(module: AnsibleModule, result: dict[str, t.Any]) -> None:
    """Do what is asked for. ``result`` always says what has been done so far."""
    params = module.params
    check_input(params)
    pgbackrest = PgBackRest(module, params["stanza"])
    connection = connect(module)  # first: nothing is created for a cluster that does not answer
    stanza = None
    if params["stanza_create"]:
        pgbackrest.require_version()
        actions, stanza, states = _stanza_create.have(pgbackrest, module.check_mode)
        result.update(changed=states["before"] != states["after"], stanza_actions=actions)
    result.update(archive(module, pgbackrest, connection))
    if params["stanza_create"]:
        result.update(with_stanza(result, actions, states))
    if params["check"]:
        pgbackrest.require_version()
        result["proof"] = prove(module, pgbackrest, result, stanza)


def prove(
    module: AnsibleModule, pgbackrest: PgBackRest, result: t.Mapping[str, t.Any], stanza: Stanza | None
) -> dict[str, t.Any] | None:
    """The proof that WAL arrives, None when it cannot be had yet."""
    if result["restart_required"] or (module.check_mode and result["changed"]):
        return None
    pgbackrest.require_stanza("check")
    if module.check_mode:
        return _check.look(module, pgbackrest)
    return _check.run(module, pgbackrest, None, module.params["retries"], stanza)


def main() -> None:
    module = AnsibleModule(
        argument_spec=ARGUMENTS,
        mutually_exclusive=COMMON_EXCLUSIONS,
        required_if=[("method", "file", ["conf_file"])],
        supports_check_mode=True,
    )
    result: dict[str, t.Any] = {"changed": False}
    try:
        run(module, result)
    except PgBackRestError as error:
        module.fail_json(**{**result, **error.result()})
    except (ArchivingError, DatabaseError) as error:
        module.fail_json(**{**result, "msg": str(error)})
    module.exit_json(**result)


if __name__ == "__main__":
    main()
