#!/usr/bin/python
# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: archiving_info
short_description: Read whether PostgreSQL archives its WAL to a stanza
description:
  - Tells whether a PostgreSQL server is set to archive its WAL to a stanza of pgBackRest, what it has archived last,
    how much WAL waits, and why.
  - Archiving that does not work does not make the task fail, and neither does a server that does not run. Look at
    RV(healthy) and RV(problems).
  - This is the view of PostgreSQL. Whether WAL arrives in every repository is proven by M(pgops.pgbackrest.check).
version_added: 0.1.0
author: ["pgops contributors (@pgops)"]
extends_documentation_fragment:
  - pgops.pgbackrest._attributes.INFO
  - pgops.pgbackrest._pgbackrest
  - pgops.pgbackrest._pgbackrest.stanza
  - pgops.pgbackrest._postgresql
options:
  max_wait:
    description: Seconds that finished WAL may wait to be archived before it is a problem, when no try has failed.
    type: int
    default: 300
requirements:
  - A superuser of PostgreSQL 10 or newer, or from PostgreSQL 12 on a member of C(pg_monitor).
seealso:
  - module: pgops.pgbackrest.archiving
  - module: pgops.pgbackrest.check
  - module: pgops.pgbackrest.backup_info
"""

EXAMPLES = r"""
---
- name: Look at archiving
  pgops.pgbackrest.archiving_info:
    stanza: main
  become: true
  become_user: postgres
  register: archiving

- name: Fail when it does not work
  ansible.builtin.assert:
    that: archiving.healthy
    fail_msg: "{{ archiving.problems | join(' ') }}"
"""

RETURN = r"""
healthy:
  description: Whether there is no problem.
  type: bool
  returned: success
  sample: false
problems:
  description: What is wrong and what to do about it, each with a sentence or more.
  type: list
  elements: str
  returned: success
  sample:
    - >-
      12 WAL files wait to be archived (192.0 MiB), the oldest for 7 min 3 s. The last try failed 40 s ago at
      000000010000000000000027. PostgreSQL goes on trying, and keeps all WAL in pg_wal until it succeeds. PostgreSQL's
      log says why.
running:
  description:
    - Whether PostgreSQL let this task in. When not, RV(problems) says why, and all below that depends on it is V(null).
  type: bool
  returned: success
  sample: true
archives_to_stanza:
  description:
    - Whether the settings in force push WAL to this stanza. On a standby, whether they will after a promotion.
  type: bool
  returned: success
  sample: true
in_recovery:
  description: Whether the server is a standby, or in recovery.
  type: bool
  returned: success
  sample: false
data_directory:
  description: The data directory of the server.
  type: str
  returned: success
  sample: /var/lib/postgresql/15/main
system_identifier:
  description: System identifier of the cluster.
  type: str
  returned: success
  sample: "7711103432488110519"
timeline:
  description: Timeline that the server writes, on a standby that of its last restart point.
  type: int
  returned: success
  sample: 1
current_wal:
  description: The WAL segment that the server has written to last. V(null) on a standby.
  type: str
  returned: success
  sample: "000000010000000000000033"
settings:
  description: The settings of archiving in force.
  type: dict
  returned: success
  sample:
    archive_command: /usr/bin/pgbackrest --stanza=main archive-push "%p"
    archive_library: ""
    archive_mode: "on"
    archive_timeout: "0"
    wal_level: replica
  contains:
    archive_command:
      description: Command that archives a WAL segment. Empty while C(archive_mode) is V(off).
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
pending_restart:
  description: The settings of archiving that change with the next restart.
  type: list
  elements: str
  returned: success
  sample: []
archiver:
  description: What PostgreSQL's archiver has done since the server's statistics began.
  type: dict
  returned: success
  sample:
    archived_count: 38
    last_archived_wal: "000000010000000000000026"
    last_archived_time: 1795381180
    last_archived_age: 463
    failed_count: 4
    last_failed_wal: "000000010000000000000027"
    last_failed_time: 1795381603
    last_failed_age: 40
    failing: true
  contains:
    archived_count:
      description: Number of WAL files archived.
      type: int
      returned: success
    last_archived_wal:
      description: The last of them, V(null) when there is none.
      type: str
      returned: success
    last_archived_time:
      description: When that was, in seconds since 1970.
      type: int
      returned: success
    last_archived_age:
      description: Seconds since then.
      type: int
      returned: success
    failed_count:
      description: Number of failed tries.
      type: int
      returned: success
    last_failed_wal:
      description: The WAL file of the last failed try, V(null) when there is none.
      type: str
      returned: success
    last_failed_time:
      description: When that was, in seconds since 1970.
      type: int
      returned: success
    last_failed_age:
      description: Seconds since then.
      type: int
      returned: success
    failing:
      description: Whether the last failure is newer than the last success.
      type: bool
      returned: success
waiting:
  description: Number of finished WAL files that wait to be archived.
  type: int
  returned: success
  sample: 12
waiting_bytes:
  description: Their size.
  type: int
  returned: success
  sample: 201326592
oldest_waiting_age:
  description: Seconds that the oldest of them waits. V(null) when none waits.
  type: int
  returned: success
  sample: 423
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _archiver as archiver
from ..module_utils._archive_command import Program
from ..module_utils._archiving_server import ArchivingError, check_configuration
from ..module_utils._cli import COMMON_ARGUMENTS, COMMON_EXCLUSIONS, PgBackRest
from ..module_utils._messages import PgBackRestError
from ..module_utils._sql import HAS_PSYCOPG2, LOGIN_ARGUMENTS, DatabaseError, connect

ARGUMENTS: dict[str, dict[str, t.Any]] = {
    **COMMON_ARGUMENTS,
    **LOGIN_ARGUMENTS,
    "stanza": {"type": "str", "required": True},
    "max_wait": {"type": "int", "default": 300},
}
# What is not known while the server does not answer.
UNKNOWN = dict.fromkeys(
    (
        "in_recovery",
        "data_directory",
        "system_identifier",
        "timeline",
        "current_wal",
        "settings",
        "pending_restart",
        "archiver",
        "waiting",
        "waiting_bytes",
        "oldest_waiting_age",
    )
)


def configuration_problems(module: AnsibleModule, pgbackrest: PgBackRest, data_directory: str) -> list[str]:
    """What in pgBackRest keeps it from archiving, whatever PostgreSQL does."""
    try:
        pgbackrest.require_version()
        check_configuration(module.params, data_directory)
        pgbackrest.refuse_stopped("archive-push")
    except (ArchivingError, PgBackRestError) as error:
        return [str(error)]
    return []


def look(module: AnsibleModule, connection: t.Any) -> dict[str, t.Any]:
    """The state of the server, and what is wrong."""
    params = module.params
    stanza, pgbackrest = params["stanza"], PgBackRest(module, params["stanza"])
    path = module.get_bin_path(params["executable"]) or params["executable"]
    program = Program(path, stanza, params["config"], params["config_path"])
    state = archiver.read(connection)
    problem = archiver.settings_problem(state, program)
    why = archiver.why_it_fails(pgbackrest.settings("archive-push"), stanza)
    waiting = archiver.waiting_problem(state, params["max_wait"], why)
    problems = [*configuration_problems(module, pgbackrest, state["data_directory"]), problem, waiting]
    return {
        **state,
        "running": True,
        "archives_to_stanza": not problem,
        "problems": [sentence for sentence in problems if sentence],
    }


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, mutually_exclusive=COMMON_EXCLUSIONS, supports_check_mode=True)
    try:
        connection = connect(module)
    except DatabaseError as error:
        if not HAS_PSYCOPG2:
            module.fail_json(msg=str(error))
        result = {**UNKNOWN, "running": False, "archives_to_stanza": False, "problems": [str(error)]}
    else:
        try:
            result = look(module, connection)
        except DatabaseError as error:
            needed = "Log in as a superuser, or from PostgreSQL 12 on as a member of pg_monitor."
            module.fail_json(msg=f"{error} {needed}")
    module.exit_json(changed=False, healthy=not result["problems"], **result)


if __name__ == "__main__":
    main()
