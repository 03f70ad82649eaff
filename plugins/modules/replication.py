#!/usr/bin/python
# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: replication
short_description: Let standbys replicate from a server
description:
  - Makes true that standbys can follow a running PostgreSQL. There are a role that may replicate, lines in
    C(pg_hba.conf) that let it in, and replication slots, as far as the task asks for them.
  - All that stands in the way is told at once, before anything is written. This is a C(wal_level) of V(minimal), too
    few C(max_wal_senders), a role without C(REPLICATION), a line that rejects the standby, and such.
  - It also tells what a standby must know, which are the settings that it should have as well, the system identifier
    and the timeline.
  - It works on a standby that other standbys follow, too. There it writes no role.
version_added: 0.1.0
author: ["pgops contributors (@pgops)"]
extends_documentation_fragment:
  - pgops.pgbackrest._attributes
  - pgops.pgbackrest._postgresql
attributes:
  platform:
    description: Runs on the host of the server that standbys follow.
options:
  user:
    description: Role with which the standbys log in.
    type: str
    required: true
  password:
    description:
      - Password of O(user).
      - The server gets a verifier of it (SCRAM-SHA-256) that is computed here, so that neither a log nor a statistic of
        the server shows the password.
      - Without O(create_user) it is only compared with what the server has.
    type: str
  create_user:
    description: Create O(user) when it is missing, and set right what it lacks, C(LOGIN), C(REPLICATION), the password.
    type: bool
    default: false
  addresses:
    description:
      - Addresses of standbys, as IP address, network, or name. A name is looked up on this host, because PostgreSQL
        compares names with what DNS says of an address.
      - V(samenet), V(samehost), V(all), and a suffix such as V(.example.org), are taken as they are.
      - For each that no line of C(pg_hba.conf) is about, a line is added that asks for the password
        (C(scram-sha-256)), and PostgreSQL is reloaded. What the file has already counts, with any method of
        authentication. Lines are never removed.
      - Without this option C(pg_hba.conf) is not touched.
    type: list
    elements: str
    default: []
  slots:
    description: Physical replication slots.
    type: dict
    default: {}
    suboptions:
      present:
        description:
          - Slots that must be there. A new one holds back WAL from the moment on at which a standby uses it.
          - One that has lost its WAL (C(max_slot_wal_keep_size)) is made again.
        type: list
        elements: str
        default: []
      absent:
        description: Slots that must not be there. One that a standby uses now is left alone, with a warning.
        type: list
        elements: str
        default: []
requirements:
  - A superuser of PostgreSQL 10 or newer.
seealso:
  - module: pgops.pgbackrest.standby
  - module: pgops.pgbackrest.restore
"""

EXAMPLES = r"""
---
- name: Let two standbys follow
  pgops.pgbackrest.replication:
    user: replicator
    password: "{{ vault_replicator }}"
    create_user: true
    addresses: [10.0.0.12, 10.0.0.13]
    slots:
      present: [db2, db3]
  become: true
  become_user: postgres

- name: See whether a role can replicate, without changing anything
  pgops.pgbackrest.replication:
    user: replicator
    password: "{{ vault_replicator }}"
  become: true
  become_user: postgres
  check_mode: true

- name: Drop the slot of a standby that is gone, so that it holds back no WAL
  pgops.pgbackrest.replication:
    user: replicator
    slots:
      absent: [db4]
  become: true
  become_user: postgres
"""

RETURN = r"""
system_identifier:
  description: System identifier of the cluster.
  returned: success
  type: str
  sample: "7711103432488110519"
timeline:
  description: Timeline that the server writes, or follows.
  returned: success
  type: int
  sample: 2
in_recovery:
  description: Whether the server is a standby itself.
  returned: success
  type: bool
  sample: false
port:
  description: Port that the server listens on.
  returned: success
  type: int
  sample: 5432
settings:
  description:
    - Settings that a standby should have as well, as text for a configuration file. They are those of the server's
      configuration files without what belongs to one host, such as locations, certificates, addresses, archiving,
      recovery and passwords.
    - Those of C(postgresql.auto.conf) are left out, as they come with a backup, but for C(listen_addresses) that is
      V(*) or the like.
    - The five that must not be smaller on a standby are always among them, C(max_connections),
      C(max_locks_per_transaction), C(max_prepared_transactions), C(max_wal_senders) and C(max_worker_processes).
  returned: success
  type: dict
  sample:
    max_connections: "100"
    max_locks_per_transaction: "64"
    max_prepared_transactions: "0"
    max_wal_senders: "10"
    max_worker_processes: "8"
    shared_buffers: 128MB
slots:
  description: All replication slots of the server after the run.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name.
      type: str
      returned: success
    physical:
      description: Whether it is one of physical replication.
      type: bool
      returned: success
    active:
      description: Whether somebody uses it now.
      type: bool
      returned: success
    restart_lsn:
      description: Oldest WAL that it holds back. V(null) before its first use.
      type: str
      returned: success
    wal_status:
      description: State of that WAL as C(pg_replication_slots) has it. V(null) before PostgreSQL 13.
      type: str
      returned: success
    kept:
      description: Bytes of WAL that it holds back.
      type: int
      returned: success
  sample:
    - {name: db2, physical: true, active: true, restart_lsn: 0/5000148, wal_status: reserved, kept: 0}
lines:
  description: Lines that were added to C(pg_hba.conf).
  returned: success
  type: list
  elements: str
  sample: ["host    replication     replicator      10.0.0.12/32            scram-sha-256"]
problems:
  description:
    - Why standbys cannot replicate, all reasons at once.
    - A C(code) is one of V(superuser), V(wal_level), V(max_wal_senders), V(listen_addresses), V(address_unknown),
      V(user_missing), V(user_replication), V(user_password), V(user_md5), V(user_expired), V(pg_hba_wrong),
      V(pg_hba_rejects), V(slot_is_logical), V(max_replication_slots).
  returned: when something stands in the way
  type: list
  elements: dict
  contains:
    code:
      description: Name of the reason, for programs.
      type: str
      returned: always
    sentence:
      description: What is wrong.
      type: str
      returned: always
    hint:
      description: What to do next.
      type: str
      returned: always
  sample:
    - code: max_wal_senders
      sentence: max_wal_senders is 1, and 2 standbys need a connection each.
      hint: Set max_wal_senders to 4 or more and restart the server.
"""

import typing as t
from dataclasses import asdict, replace

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _replication_server as server
from ..module_utils._problem import PlanError
from ..module_utils._replication import SLOT, Server, Slot, Wanted, Work, problems, work
from ..module_utils._sql import LOGIN_ARGUMENTS, DatabaseError, connect

ARGUMENTS: dict[str, dict[str, t.Any]] = {
    **LOGIN_ARGUMENTS,
    "user": {"type": "str", "required": True},
    "password": {"type": "str", "no_log": True},
    "create_user": {"type": "bool", "default": False},
    "addresses": {"type": "list", "elements": "str", "default": []},
    "slots": {
        "type": "dict",
        "default": {},
        "options": {
            "present": {"type": "list", "elements": "str", "default": []},
            "absent": {"type": "list", "elements": "str", "default": []},
        },
    },
}


def input_problem(params: t.Mapping[str, t.Any]) -> str | None:
    """Why the options can be refused without asking the server."""
    slots = params["slots"]
    names = [*(slots.get("present") or []), *(slots.get("absent") or [])]
    bad = [name for name in names if not SLOT.fullmatch(name)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if not params["user"] or any(ord(character) < 32 or character == '"' for character in params["user"]):
        return "The option user must be the name of a role, without double quotes and control characters."
    if params["user"] in ("none", "public") or params["user"].startswith("pg_"):
        return f"PostgreSQL keeps the name {params['user']} for itself. Choose another user."
    if bad:
        return f"{bad[0]!r} is no name of a slot: lower-case letters, digits and underscores, 63 at most."
    if twice:
        return f"The slot {twice[0]} is named more than once."
    spaced = [address for address in params["addresses"] if not address or set(address) & set(' \t\r\n"#,')]
    return f"{spaced[0]!r} in addresses is no address." if spaced else None


def wanted_of(params: t.Mapping[str, t.Any]) -> Wanted:
    """What the options ask for. Raises PlanError for names that nobody knows."""
    return Wanted(
        user=params["user"],
        password=params["password"],
        create_user=params["create_user"],
        addresses=server.resolve(params["addresses"]),
        present=params["slots"].get("present") or [],
        absent=params["slots"].get("absent") or [],
        standbys=max(1, len(params["addresses"])),
    )


def foretold(slots: t.Sequence[Slot], todo: Work) -> list[Slot]:
    """The slots as they will be."""
    left = [slot for slot in slots if slot.name not in todo.drop]
    return sorted([*left, *(Slot(name) for name in todo.create)], key=lambda slot: slot.name)


def shown(found: Server, wanted: Wanted, slots: t.Sequence[Slot], lines: t.Sequence[str]) -> dict[str, t.Any]:
    """One side of the diff."""
    role = found.role
    state = role.password_is(wanted.user, wanted.password) if wanted.password else None
    return {
        "user": {"login": role.login, "replication": role.replication, "password": state} if role.exists else None,
        "slots": [slot.name for slot in slots],
        "pg_hba": list(lines),
    }


def after_work(found: Server, wanted: Wanted, todo: Work) -> dict[str, t.Any]:
    """The diff's other side, as it will be."""
    mine = wanted.create_user and not found.in_recovery
    role = replace(found.role, exists=True, login=True, replication=True) if mine else found.role
    after = shown(replace(found, role=role), wanted, foretold(found.slots, todo), todo.lines)
    if todo.set_password:
        after["user"]["password"] = "right"
    return after


def run(module: AnsibleModule, connection: t.Any) -> dict[str, t.Any]:
    """Make the state true, or in check mode foretell it."""
    identity = server.identity(connection)
    wanted = wanted_of(module.params)
    found, settings = server.read(connection, wanted.user, identity["in_recovery"])
    reasons = problems(found, wanted)
    if reasons:
        raise PlanError(reasons, server.HEADING)
    todo = work(found, wanted)
    slots = foretold(found.slots, todo)
    if todo.any and not module.check_mode:
        server.write_role(connection, todo, wanted.user, wanted.password)
        server.write_hba(module, connection, found.settings["hba_file"], todo)
        server.write_slots(connection, todo)
        slots = server.slots(connection)
    for name in todo.busy:
        module.warn(f"The slot {name} was not dropped, because it is in use. Stop who uses it and run the task again.")
    return {
        "changed": todo.any,
        "system_identifier": str(identity["system_identifier"]),
        "timeline": identity["timeline"],
        "in_recovery": identity["in_recovery"],
        "port": int(found.settings["port"]),
        "settings": settings,
        "slots": [asdict(slot) for slot in slots],
        "lines": list(todo.lines),
        "diff": {"before": shown(found, wanted, found.slots, []), "after": after_work(found, wanted, todo)},
    }


def main() -> None:
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    problem = input_problem(module.params)
    if problem:
        module.fail_json(msg=problem)
    try:
        connection = connect(module)
        try:
            result = run(module, connection)
        finally:
            connection.close()
    except PlanError as error:
        module.fail_json(**error.result())
    except DatabaseError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
