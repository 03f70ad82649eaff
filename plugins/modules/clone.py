#!/usr/bin/python
# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: clone
short_description: Make an independent cluster of a restored data directory
version_added: 0.1.0
author: ["pgops contributors (@pgops)"]
description:
  - Takes what M(pgops.pgbackrest.restore) has put into C(<directory>/data) and makes a cluster of its own of it, with
    its own port, that never archives to the stanza of its source and follows nobody.
  - Everything happens behind closed doors first. The server listens on no address, and its socket is in a directory
    that only its owner may enter. There it recovers, the result is compared with the target, databases that the restore
    left out are dropped, and O(sql) runs. Only when all that has ended the clone opens. If anything fails the clone
    stays closed, its server is stopped, and the next run goes on from there.
  - A backup brings the source's C(postgresql.auto.conf) along, which wins over every configuration file. So everything
    that must not come from the source stands on the command line of the server. That is where it listens, archiving,
    replication, subscriptions, and the settings that the source must have for recovery.
  - Everything of a clone is below O(directory), beside the units of systemd. It is no cluster of Debian's layout.
  - With systemd, and as root, the server is the unit C(postgresql-clone-<name>.service), which starts at boot.
    Otherwise C(pg_ctl) starts it.
  - With O(state=absent) the clone is removed, and nothing else.
extends_documentation_fragment:
  - pgops.pgbackrest._attributes
  - pgops.pgbackrest._pgbackrest
  - pgops.pgbackrest._pgbackrest.progress
attributes:
  check_mode:
    details:
      - Says in RV(state) what is there now, and refuses what could not be done. A clone that has no data yet is
        foretold without looking at them.
  platform:
    description: Runs on the host of the clone.
options:
  name:
    description:
      - Name of the clone, of small letters, digits, C(_) and C(-), at most 40.
    type: str
    required: true
  state:
    description:
      - V(present) makes the clone and lets it be as asked for.
      - V(absent) stops it, removes its units and its files. Only a directory with the C(clone.json) of this name is
        removed, or one where a restore for a clone did not come to its end. What else lies there is kept.
    type: str
    choices: [present, absent]
    default: present
  directory:
    description:
      - Directory of the clone. Its data directory is C(data) in it.
      - Default is C(/var/lib/postgresql/clones/<name>).
    type: path
  owner:
    description: User who owns the files and runs the server. The task runs as this user or as root.
    type: str
    default: postgres
  stanza:
    description: Stanza of the source. It is noted, and O(archive_stanza) must be another one.
    type: str
  request:
    description:
      - What else the clone was restored from, such as the label of the backup. It is noted in C(clone.json), and
        another value makes it another clone. O(sql) need not be in it.
    type: dict
  port:
    description:
      - Port of the clone.
      - With V(0) it is the first free one from 5433 on, which is kept from then on.
    type: int
    default: 0
  listen_addresses:
    description: Addresses that the open clone listens on.
    type: str
    default: localhost
  socket_directory:
    description:
      - Directory of the socket of the open clone.
      - Where O(owner) cannot write to it, the socket is in C(<directory>/run).
    type: path
    default: /var/run/postgresql
  settings:
    description:
      - Settings of PostgreSQL, such as C(shared_buffers). They win over those of the source.
      - They stand on the command line of the server, so every user of the host can see them.
      - What recovery needs is never less than at the source while the clone is closed.
      - Logical replication workers are off unless C(max_logical_replication_workers) stands here. They would take over
        the subscriptions of the source.
    type: dict
    default: {}
  hba:
    description:
      - Lines of C(pg_hba.conf) for the open clone. A line by which O(owner) connects as O(login_user) comes first.
      - Default is C(peer) on the socket, and C(scram-sha-256) from this host (C(md5), which takes both, before
        PostgreSQL 14).
    type: list
    elements: str
    default: []
  bindir:
    description:
      - Directory of PostgreSQL's programs.
      - Default is where packages put those of the major version of the data, and then C(PATH).
    type: path
  left_out:
    description:
      - OIDs of databases that were not restored, RV(ignore:plan.databases_left_out) of M(pgops.pgbackrest.restore).
        They are dropped.
    type: list
    elements: int
    default: []
  sql:
    description:
      - SQL to run before anybody can connect, in this order, each in a session of its own. The first error ends it.
      - Statements run one after the other, as with C(psql), each in its own transaction unless the file says otherwise.
        When an error leaves nothing behind, as in a file with C(BEGIN) and C(COMMIT), the next run tries the file
        again. Otherwise the clone must be made again.
      - Commands of C(psql) and C(COPY FROM STDIN) are refused.
    type: list
    elements: dict
    default: []
    suboptions:
      database:
        description: Database to run it in.
        type: str
        default: postgres
      name:
        description: What to call it in messages, usually the name of the file.
        type: str
        required: true
      sql:
        description: The text of the file.
        type: str
        required: true
  ttl:
    description:
      - Seconds after its creation when the clone is removed, by a timer of systemd, also when it never opened.
        V(0) means that it stays.
      - Needs systemd and root.
    type: int
    default: 0
  target_type:
    description:
      - The kind of target that the restore was given, to compare the stop point with, as in
        M(pgops.pgbackrest.recovery).
    type: str
    choices: [default, immediate, lsn, name, time, xid]
  target:
    description: The target, in the form that the restore took.
    type: str
  target_exclusive:
    description: Whether recovery had to stop before the target and not after it.
    type: bool
    default: false
  known_lsn:
    description:
      - With O(target_type=default), the newest record of the WAL that is known, RV(ignore:plan.window.latest_lsn) of
        M(pgops.pgbackrest.restore). A recovery that ended before it is a failure.
    type: str
  timeout:
    description:
      - How long to wait for the recovery, in seconds. The closed server goes on after that, and the task may be run
        again.
    type: int
    default: 3600
  archive_stanza:
    description:
      - A stanza of its own that the open clone archives to. Without it the clone does not archive.
      - The configuration must name C(<directory>/data) as its C(pg1-path). It must not be the stanza of the source, and
        no repository may have it yet. M(pgops.pgbackrest.stanza) creates it afterwards.
      - O(config), O(config_path) and O(executable) are for this stanza.
    type: str
  login_user:
    description: Superuser of the cluster to do all this as. Default is the name of O(owner).
    type: str
seealso:
  - module: pgops.pgbackrest.restore
  - module: pgops.pgbackrest.recovery
requirements:
  - psycopg2 on the host (Debian package C(python3-psycopg2))
"""

EXAMPLES = r"""
---
- name: Restore the newest state for a clone
  pgops.pgbackrest.restore:
    stanza: main
    pgdata: /var/lib/postgresql/clones/trial/data
    workspace: /var/lib/postgresql/clones/trial/restore
    tablespace_map_all: /var/lib/postgresql/clones/trial/tablespaces
    archive_mode: 'off'
  become: true
  become_user: postgres
  register: restored

- name: Mask what nobody should see, and open the clone for four hours
  pgops.pgbackrest.clone:
    name: trial
    stanza: main
    target_type: default
    known_lsn: "{{ restored.plan.window.latest_lsn }}"
    sql:
      - name: mask.sql
        database: app
        sql: "{{ lookup('ansible.builtin.file', 'mask.sql') }}"
    settings:
      shared_buffers: 128MB
    ttl: 14400
  become: true
  register: trial

- name: Say where it is
  ansible.builtin.debug:
    msg: "port {{ trial.clone.port }}, as of {{ trial.clone.recovered_to.time }}"

- name: Remove it
  pgops.pgbackrest.clone:
    name: trial
    state: absent
  become: true
"""

RETURN = r"""
state:
  description:
    - V(open) after the task. In check mode, and with O(state=absent), what was there before. V(absent), V(closed) for a
      clone that is not finished, V(unfinished) for a restore that never became one, or V(open).
  returned: success
  type: str
  sample: open
clone:
  description: The clone.
  returned: success, with O(state=present), when there is one
  type: dict
  contains:
    name: {description: Its name., type: str, returned: always, sample: trial}
    port: {description: Its port., type: int, returned: always, sample: 5433}
    listen_addresses: {description: Addresses that it listens on., type: str, returned: always, sample: localhost}
    socket_directory:
      description: Directory of its socket.
      type: str
      returned: always
      sample: /var/run/postgresql
    directory: {description: Its directory., type: str, returned: always, sample: /var/lib/postgresql/clones/trial}
    data_directory:
      description: Its data directory.
      type: str
      returned: always
      sample: /var/lib/postgresql/clones/trial/data
    log_file:
      description: The log of its server.
      type: str
      returned: always
      sample: /var/lib/postgresql/clones/trial/postgresql.log
    unit:
      description: Its unit. Null without one.
      type: str
      returned: always
      sample: postgresql-clone-trial.service
    created_at: {description: When it was begun., type: str, returned: always, sample: '2026-05-01T12:00:00+00:00'}
    expires_at:
      description: When it will be removed. Null when it stays.
      type: str
      returned: always
      sample: '2026-05-01T16:00:00+00:00'
    recovered_to:
      description: Where recovery stopped, as in M(pgops.pgbackrest.recovery). The time is that of the last commit.
      type: dict
      returned: always
      sample:
        lsn: 0/5000148
        reached: true
        reason: no recovery target specified
        time: '2026-05-01T11:58:02.118000+00:00'
        timeline: 2
        verdict: Recovery ended with the last archived WAL, as asked.
    databases: {description: Its databases., type: list, elements: str, returned: always, sample: [app, postgres]}
    dropped: {description: Databases that were dropped., type: list, elements: str, returned: always, sample: [big]}
    sql:
      description: What was run, with the hash of its text and the seconds that it took.
      type: list
      elements: dict
      returned: always
      sample: [{database: app, name: mask.sql, seconds: 1.62, sha256: 5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d0}]
    archive_stanza: {description: The stanza that it archives to., type: str, returned: always, sample: trial}
    pg_version: {description: Version of its server., type: str, returned: always, sample: '15.8'}
    system_identifier:
      description: Its system identifier, which is that of the source.
      type: str
      returned: always
      sample: '7711102130744859195'
seconds:
  description: How long the parts took when the clone was made.
  returned: success, with O(state=present), when there is one
  type: dict
  sample: {drop: 0.1, open: 0.6, recovery: 2.4, sql: 1.7, start: 0.1}
removed:
  description: What was removed, or would be removed in check mode.
  returned: with O(state=absent), when something was there
  type: dict
  sample:
    directory: /var/lib/postgresql/clones/trial
    units: [/etc/systemd/system/postgresql-clone-trial.service]
log:
  description: PostgreSQL's last log lines, without noise.
  returned: when the work on the clone fails, but for an SQL file
  type: list
  elements: str
  sample: ["FATAL:  recovery ended before configured recovery target was reached"]
problems:
  description: Everything that stands against the clone.
  returned: when the task is refused
  type: list
  elements: dict
  contains:
    code: {description: Name of the problem for programs., type: str, returned: always, sample: port_in_use}
    sentence:
      description: What is wrong.
      type: str
      returned: always
      sample: The port 5433 of the clone trial is in use by a program that listens on it.
    hint: {description: What to do next., type: str, returned: always, sample: Choose another port.}
"""

import typing as t
from contextlib import ExitStack

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._cli import COMMON_ARGUMENTS, COMMON_EXCLUSIONS
from ..module_utils._clone_place import read_marker
from ..module_utils._clone_request import place_of
from ..module_utils._clone_server import CloneFailed, log_of
from ..module_utils._clone_task import absent, present
from ..module_utils._clone_work import ScriptFailed
from ..module_utils._cluster import ClusterError
from ..module_utils._config_place import Refused
from ..module_utils._handover import hand_over_long_work
from ..module_utils._messages import PgBackRestError
from ..module_utils._problem import PlanError
from ..module_utils._recovery import telling
from ..module_utils._recovery_watch import RecoveryFailed
from ..module_utils._server_watch import WrongServer
from ..module_utils._sql import DatabaseError

ARGUMENTS: dict[str, dict[str, t.Any]] = {
    **COMMON_ARGUMENTS,
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "directory": {"type": "path"},
    "owner": {"type": "str", "default": "postgres"},
    "stanza": {"type": "str"},
    "request": {"type": "dict"},
    "port": {"type": "int", "default": 0},
    "listen_addresses": {"type": "str", "default": "localhost"},
    "socket_directory": {"type": "path", "default": "/var/run/postgresql"},
    "settings": {"type": "dict", "default": {}},
    "hba": {"type": "list", "elements": "str", "default": []},
    "bindir": {"type": "path"},
    "left_out": {"type": "list", "elements": "int", "default": []},
    "sql": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "database": {"type": "str", "default": "postgres"},
            "name": {"type": "str", "required": True},
            "sql": {"type": "str", "required": True, "no_log": True},
        },
    },
    "ttl": {"type": "int", "default": 0},
    "target_type": {"type": "str", "choices": ["default", "immediate", "lsn", "name", "time", "xid"]},
    "target": {"type": "str"},
    "target_exclusive": {"type": "bool", "default": False},
    "known_lsn": {"type": "str"},
    "timeout": {"type": "int", "default": 3600},
    "archive_stanza": {"type": "str"},
    "login_user": {"type": "str"},
    "progress_file": {"type": "path"},
}
_CLOSED = "The clone stays closed, and nobody can connect to it."
_NEXT = "Remove the cause and run the task again, or remove the clone with state: absent."


def prepare(module: AnsibleModule) -> None:
    """Parameters that the parts shared with the module recovery read."""
    place = place_of(module.params)
    module.params.update(
        pgdata=place.data,
        log_file=place.log,
        login_host=None,
        login_port=None,
        login_password=None,
        login_db="postgres",
        login_user=module.params["login_user"] or place.owner,
    )


def failure(module: AnsibleModule, text: str, of_sql: bool = False) -> dict[str, t.Any]:
    """The result of a task whose work failed. That of an SQL file says itself what to do, and needs no log."""
    place = place_of(module.params)
    marker = read_marker(place) or {}
    closed = marker.get("phase") == "closed"
    sentences = [text, *([_CLOSED] if closed else []), *([_NEXT] if closed and not of_sql else [])]
    result = {"msg": " ".join(sentences), "state": marker.get("phase", "absent")}
    return result if of_sql else {**result, "log": telling(log_of(place))}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, mutually_exclusive=COMMON_EXCLUSIONS, supports_check_mode=True)
    prepare(module)
    hand_over_long_work(module)
    try:
        with ExitStack() as locks:
            result = (present if module.params["state"] == "present" else absent)(module, locks)
    except (PgBackRestError, PlanError) as error:
        module.fail_json(**error.result())
    except ClusterError as error:
        module.fail_json(msg=str(error))
    except (CloneFailed, DatabaseError, RecoveryFailed, Refused, WrongServer) as error:
        module.fail_json(**failure(module, str(error), isinstance(error, ScriptFailed)))
    except OSError as error:
        module.fail_json(**failure(module, f"{error.filename or 'A file'}: {error.strerror or error}."))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
