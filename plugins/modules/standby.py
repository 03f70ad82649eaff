#!/usr/bin/python
# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: standby
short_description: Judge a standby, let it follow the right server, and wait until it does
description:
  - Compares a data directory with the server that it shall follow (the upstream), and says what must be done so that
    it is a standby that follows. See RV(action).
  - The upstream is asked on a connection for replication with the very parameters that the standby will use. So a wrong
    address, a wrong password, a missing line in C(pg_hba.conf) and a server of another cluster are found before
    anything is stopped or written.
  - Tells whether the standby has diverged, by the history of timelines of the upstream and the position that the
    standby has reached.
  - Outside check mode it lets a standby that has not diverged follow the upstream (C(primary_conninfo) and
    C(primary_slot_name)), and waits until it streams.
  - The module neither restores nor starts nor stops anything.
version_added: 0.1.0
author: ["pgops contributors (@pgops)"]
extends_documentation_fragment:
  - pgops.pgbackrest._attributes
  - pgops.pgbackrest._postgresql
attributes:
  check_mode:
    details:
      - Judges what it sees now, and does not wait. It fails only when the upstream cannot be followed.
  platform:
    description: Runs on the host of the standby.
options:
  pgdata:
    description: The data directory of the standby. It may be missing.
    type: path
    required: true
  state:
    description:
      - V(following) means that the standby streams from the upstream.
      - V(configured) means that its files say whom to follow. It need not run. Use it before a standby is started that
        followed another server.
    type: str
    choices: [following, configured]
    default: following
  upstream:
    description:
      - The server to follow, as parameters of libpq. They become C(primary_conninfo).
      - Those that are not described more closely mean what libpq's documentation says of them.
    type: dict
    required: true
    suboptions:
      host:
        description: Host name, IP address, or directory of a Unix socket.
        type: str
      port:
        description: Port.
        type: int
      user:
        description: Role with C(LOGIN) and C(REPLICATION). Without it the name of the operating system user is used.
        type: str
      password:
        description:
          - Password of that role.
          - It is written to C(postgresql.auto.conf) (C(recovery.conf) before PostgreSQL 12), which only the owner of
            the cluster can read. It comes into no log and no command line.
        type: str
      hostaddr:
        description: IP address, which saves looking up O(upstream.host).
        type: str
      passfile:
        description: File with passwords on this host.
        type: str
      require_auth:
        description: Methods of authentication that are accepted.
        type: str
      channel_binding:
        description: Whether channel binding is asked for.
        type: str
      connect_timeout:
        description: Seconds to wait for a connection.
        type: str
      options:
        description: Command-line options for the server.
        type: str
      application_name:
        description: Name by which the upstream knows the standby, for C(synchronous_standby_names).
        type: str
      keepalives:
        description: Whether TCP keepalives are used.
        type: str
      keepalives_idle:
        description: Seconds after which the first TCP keepalive is sent.
        type: str
      keepalives_interval:
        description: Seconds after which a TCP keepalive is sent again.
        type: str
      keepalives_count:
        description: TCP keepalives that may be lost.
        type: str
      tcp_user_timeout:
        description: Milliseconds for which sent data may stay without an answer.
        type: str
      sslmode:
        description: Whether TLS is used, and what of the certificate is checked.
        type: str
      sslnegotiation:
        description: How TLS is begun.
        type: str
      sslcompression:
        description: Whether data is compressed over TLS.
        type: str
      sslcert:
        description: Client certificate.
        type: str
      sslkey:
        description: Private key of the client certificate.
        type: str
      sslpassword:
        description: Passphrase of that key.
        type: str
      sslcertmode:
        description: Whether a client certificate is sent.
        type: str
      sslrootcert:
        description: Certificates of the authorities that are trusted.
        type: str
      sslcrl:
        description: List of revoked certificates.
        type: str
      sslcrldir:
        description: Directory with lists of revoked certificates.
        type: str
      sslsni:
        description: Whether the host name is sent at the beginning of TLS.
        type: str
      ssl_min_protocol_version:
        description: Oldest version of TLS.
        type: str
      ssl_max_protocol_version:
        description: Newest version of TLS.
        type: str
      requirepeer:
        description: User of the operating system who must own the server.
        type: str
      gssencmode:
        description: Whether GSSAPI encrypts the connection.
        type: str
      krbsrvname:
        description: Name of the Kerberos service.
        type: str
      gsslib:
        description: Library for GSSAPI.
        type: str
      gssdelegation:
        description: Whether credentials are handed on.
        type: str
      service:
        description: Name in the service file of this host.
        type: str
      target_session_attrs:
        description: Which kind of server is accepted among several.
        type: str
      load_balance_hosts:
        description: Order in which several hosts are tried.
        type: str
  system_identifier:
    description: System identifier that the upstream must have. Another one is refused.
    type: str
  slot:
    description: Replication slot of the upstream through which the standby receives WAL. Without it none is used.
    type: str
  timeout:
    description:
      - How long to wait until the standby streams, in seconds. It may have to replay much from the archive first.
      - PostgreSQL goes on after that, and the task may be run again.
    type: int
    default: 3600
  log_file:
    description:
      - PostgreSQL's log file. Without it the module looks into C(current_logfiles), where the standard error of the
        server goes, and below C(/var/log/postgresql).
    type: path
requirements:
  - PostgreSQL 10 or newer, and a role that is superuser on the standby
notes:
  - Run it as the user who owns the cluster (C(become_user)), usually C(postgres).
  - Without O(login_host) the module takes the socket and the port of the server that runs on O(pgdata).
seealso:
  - module: pgops.pgbackrest.replication
  - module: pgops.pgbackrest.restore
  - module: pgops.pgbackrest.recovery
"""

EXAMPLES = r"""
---
- name: See what must be done
  pgops.pgbackrest.standby:
    pgdata: /var/lib/postgresql/17/main
    upstream:
      host: db1
      user: replicator
      password: "{{ vault_replicator }}"
    slot: db2
  become: true
  become_user: postgres
  check_mode: true
  register: standby

- name: Rebuild it where it has diverged
  pgops.pgbackrest.restore:
    stanza: main
    pgdata: /var/lib/postgresql/17/main
    type: standby
    delta: true
  become: true
  become_user: postgres
  when: standby.action == 'rebuild'

- name: Let it follow, and wait until it streams
  pgops.pgbackrest.standby:
    pgdata: /var/lib/postgresql/17/main
    upstream:
      host: db1
      user: replicator
      password: "{{ vault_replicator }}"
      sslmode: verify-full
    slot: db2
  become: true
  become_user: postgres
"""

RETURN = r"""
action:
  description:
    - What must be done. After a run outside check mode it is V(none).
    - V(none) when the standby is set up to follow the upstream. RV(streaming) says whether it streams.
    - V(start) when it is stopped and has not diverged. When the task is C(changed) in check mode, run the module with
      O(state=configured) before.
    - V(repoint) when it has not diverged, but follows another server, or with other parameters or another slot. This
      module does that itself.
    - V(rebuild) when it has diverged, was a primary, or holds a restore that did not end. It must be restored with
      delta.
    - V(provision) when there is no data yet.
    - V(refuse) when something is in the way that nobody should overwrite, such as another cluster. See RV(hint).
  returned: when the upstream answered
  type: str
  sample: none
reason:
  description: Why, as a sentence.
  returned: when the upstream answered
  type: str
  sample: It streams from db1, port 5432 on timeline 1.
hint:
  description: What a human can do about it. Empty in most cases.
  returned: when the upstream answered
  type: str
  sample: ""
streaming:
  description: Whether the standby receives WAL from that very server, through that slot, now.
  returned: always
  type: bool
  sample: true
restart_required:
  description: Whether the standby must be restarted to follow the upstream, which PostgreSQL 12 and older need.
  returned: success
  type: bool
  sample: false
upstream:
  description: The server to follow.
  returned: always
  type: dict
  contains:
    reachable:
      description: Whether it answered.
      type: bool
      returned: always
    system_identifier:
      description: Its system identifier.
      type: str
      returned: always
    timeline:
      description: Its timeline.
      type: int
      returned: always
    lsn:
      description: Position that it has come to.
      type: str
      returned: always
    in_recovery:
      description: Whether it is a standby itself.
      type: bool
      returned: always
  sample:
    reachable: true
    system_identifier: "7711103432488110519"
    timeline: 1
    lsn: 0/5000148
    in_recovery: false
local:
  description: The standby as it is.
  returned: always
  type: dict
  contains:
    state:
      description: State of it. V(missing), V(empty), V(cluster), V(unfinished), V(other), V(file), V(closed).
      type: str
      returned: always
    system_identifier:
      description: Its system identifier.
      type: str
      returned: always
    pg_version:
      description: Major version of PostgreSQL.
      type: str
      returned: always
    cluster_state:
      description: State in C(pg_control).
      type: str
      returned: always
    running:
      description: Whether its server runs.
      type: bool
      returned: always
    in_recovery:
      description: Whether it is in recovery. V(null) when it cannot be asked.
      type: bool
      returned: always
    standby:
      description: Whether the directory is set up as a standby.
      type: bool
      returned: always
    timeline:
      description: Its timeline.
      type: int
      returned: always
    lsn:
      description: Position that it has replayed, or that it must have replayed when it does not run.
      type: str
      returned: always
    primary_conninfo:
      description: Whom its files tell it to follow, secrets masked.
      type: str
      returned: always
    primary_slot_name:
      description: Through which slot.
      type: str
      returned: always
    receiver:
      description: Its process that receives WAL, with C(status), C(host), C(port) and C(slot). V(null) without one.
      type: dict
      returned: always
    paused:
      description: Whether its replay is paused.
      type: bool
      returned: always
    missing_segment:
      description: WAL segment that it needs and that the upstream has removed, as its log tells.
      type: str
      returned: always
  sample:
    state: cluster
    system_identifier: "7711103432488110519"
    pg_version: "17"
    cluster_state: in archive recovery
    running: true
    in_recovery: true
    standby: true
    timeline: 1
    lsn: 0/5000148
    primary_conninfo: host=db1 user=replicator password=********
    primary_slot_name: db2
    receiver: {status: streaming, host: db1, port: "5432", slot: db2}
    paused: false
    missing_segment: null
lag:
  description:
    - How far the standby is behind, in C(bytes) of WAL and in C(seconds). V(null) when it cannot be asked.
    - The seconds are those since the last commit that it replayed, and 0 when it has replayed all that it received.
  returned: always
  type: dict
  sample: {bytes: 0, seconds: 0.0}
log_file:
  description: PostgreSQL's log file, if one was found.
  returned: always
  type: str
  sample: /var/log/postgresql/postgresql-17-main.log
log:
  description: PostgreSQL's last log lines since its start, without noise.
  returned: when the standby does not follow
  type: list
  elements: str
  sample:
    - "FATAL:  could not start WAL streaming: ERROR:  replication slot \"db2\" does not exist"
problems:
  description:
    - Why the upstream cannot be followed.
    - A C(code) is one of V(upstream_unreachable), V(upstream_password), V(upstream_pg_hba), V(upstream_role),
      V(upstream_not_streaming), V(upstream_ssl), V(upstream_refused), V(upstream_other_cluster) and
      V(upstream_is_itself).
  returned: when the upstream cannot be followed
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
    - code: upstream_unreachable
      sentence: "db1, port 5432 says: Connection refused."
      hint: Check that it runs, that it listens to this host (listen_addresses), and that no firewall is between them.
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._cluster import ClusterError
from ..module_utils._conninfo import PARAMETERS, SECRETS
from ..module_utils._problem import PlanError
from ..module_utils._replication import SLOT
from ..module_utils._server_watch import WrongServer
from ..module_utils._sql import LOGIN_ARGUMENTS, DatabaseError
from ..module_utils._standby import Wanted
from ..module_utils._standby_watch import StandbyFailed, Watch, shown_local

ARGUMENTS: dict[str, dict[str, t.Any]] = {
    **LOGIN_ARGUMENTS,
    "pgdata": {"type": "path", "required": True},
    "state": {"type": "str", "choices": ["following", "configured"], "default": "following"},
    "upstream": {
        "type": "dict",
        "required": True,
        "options": {
            name: {"type": "int" if name == "port" else "str", "no_log": name in SECRETS} for name in PARAMETERS
        },
        "required_one_of": [("host", "hostaddr", "service")],
    },
    "system_identifier": {"type": "str"},
    "slot": {"type": "str"},
    "timeout": {"type": "int", "default": 3600},
    "log_file": {"type": "path"},
}


def wanted_of(params: t.Mapping[str, t.Any]) -> Wanted:
    """Whom to follow. Raises ValueError."""
    if params["slot"] and not SLOT.fullmatch(params["slot"]):
        raise ValueError(
            f"{params['slot']!r} is no name of a slot: lower-case letters, digits and underscores, 63 at most."
        )
    if params["timeout"] < 0:
        raise ValueError("The option timeout must not be negative.")
    given = {name: value for name, value in params["upstream"].items() if value is not None and value != ""}
    bad = [name for name, value in given.items() if any(ord(character) < 32 for character in str(value))]
    if bad:
        raise ValueError(f"The option upstream.{bad[0]} must not hold control characters.")
    return Wanted(given, params["slot"] or "")


def act(module: AnsibleModule, watch: Watch) -> None:
    """Make the state true. Raises StandbyFailed when that is not in the power of this module."""
    watch.refuse(("rebuild", "provision", "refuse"))
    if watch.to_unmute:
        watch.unmute()
    if watch.to_write:
        watch.repoint()
    if module.params["state"] == "following" and not watch.restart_required():
        watch.wait(module.params["timeout"])


def run(module: AnsibleModule, watch: Watch) -> dict[str, t.Any]:
    """Judge, and outside check mode act."""
    watch.look()
    before, changed = shown_local(watch.local), watch.to_write or watch.to_unmute
    after = shown_local(watch.foretold()) if watch.to_write else before
    if not module.check_mode:
        act(module, watch)
    names = ("primary_conninfo", "primary_slot_name")
    return {
        "changed": changed,
        "restart_required": watch.restart_required(),
        "diff": {side: {name: state[name] for name in names} for side, state in (("before", before), ("after", after))},
        **watch.result(),
    }


def main() -> None:
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    try:
        watch = Watch(module, wanted_of(module.params))
    except ValueError as error:
        module.fail_json(msg=str(error))
    try:
        result = run(module, watch)
    except PlanError as error:
        module.fail_json(**error.result(), **watch.result())
    except StandbyFailed as error:
        module.fail_json(msg=str(error), **watch.failure())
    except (ClusterError, DatabaseError, WrongServer) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
