#!/usr/bin/python
# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_info
short_description: Read what a host has for backups with pgBackRest
description:
  - Tells in one round trip what a play must know about a host before it installs or configures anything. These are its
    PostgreSQL clusters, pgBackRest with its configuration files, the distribution, and the libraries that modules need.
  - Nothing of all this need be there. A cluster that is broken does not make the task fail, see
    RV(clusters[].problem).
version_added: 0.1.0
author: ["pgops contributors (@pgops)"]
extends_documentation_fragment:
  - pgops.pgbackrest._attributes.INFO
attributes:
  platform:
    description: Runs on any host of a play, with or without pgBackRest.
options:
  data_directories:
    description:
      - More data directories to look at.
      - Without it those clusters are found that C(pg_lsclusters) would show on Debian (C(/etc/postgresql)), and those
        of systemd units C(postgresql.service) and C(postgresql-VERSION.service) that set C(PGDATA), as the packages
        of PGDG and of the RHEL family do.
    type: list
    elements: path
    default: []
  executable:
    description: Name or path of the pgBackRest program.
    type: str
    default: pgbackrest
notes:
  - Run it as root (C(become)). Another user may not be able to read the data directories and configuration files.
seealso:
  - module: pgops.pgbackrest.backup_info
"""

EXAMPLES = r"""
---
- name: Look at the host
  pgops.pgbackrest.host_info:
  become: true
  register: host

- name: Fail when a cluster is broken
  ansible.builtin.assert:
    that: host.clusters | rejectattr('problem', 'none') | length == 0
    fail_msg: "{{ host.clusters | map(attribute='problem') | select | join(' ') }}"

- name: Show the clusters that run as primary
  ansible.builtin.debug:
    msg: "{{ host.clusters | selectattr('running') | selectattr('role', 'eq', 'primary') | map(attribute='name') }}"
"""

RETURN = r"""
pgbackrest:
  description: The program, V(null) when it is not on the host.
  type: dict
  returned: success
  sample: {executable: /usr/bin/pgbackrest, version: 2.55.1}
  contains:
    executable:
      description: Path of the program.
      type: str
      returned: success
      sample: /usr/bin/pgbackrest
    version:
      description: Its version. It may be older than 2.45, which the other modules refuse.
      type: str
      returned: success
      sample: 2.55.1
configuration:
  description:
    - pgBackRest's configuration files as it looks them up, in the order in which it reads them. These are
      C(/etc/pgbackrest/pgbackrest.conf), or C(/etc/pgbackrest.conf) when that is absent, and
      C(/etc/pgbackrest/conf.d/*.conf).
  type: list
  elements: dict
  returned: success
  sample:
    - {path: /etc/pgbackrest/pgbackrest.conf, readable: true, ours: true, stanzas: []}
    - {path: /etc/pgbackrest/conf.d/main.conf, readable: true, ours: true, stanzas: [main]}
  contains:
    path:
      description: The file.
      type: str
      returned: success
    readable:
      description: Whether the user of this task may read it. When not, nothing is known about it.
      type: bool
      returned: success
    ours:
      description: Whether the module M(pgops.pgbackrest.config) has written it.
      type: bool
      returned: success
    stanzas:
      description: Names of the stanzas that have a section in it.
      type: list
      elements: str
      returned: success
clusters:
  description: The PostgreSQL clusters of the host.
  type: list
  elements: dict
  returned: success
  sample:
    - name: 15/main
      pg_version: "15"
      data_directory: /var/lib/postgresql/15/main
      port: 5432
      socket_directory: /var/run/postgresql
      unit: postgresql@15-main
      owner: postgres
      group: postgres
      running: true
      role: primary
      recovery: null
      system_identifier: "7711103432488110519"
      problem: null
  contains:
    name:
      description: Debian's version and name of the cluster, elsewhere the data directory.
      type: str
      returned: success
    pg_version:
      description: Major version of PostgreSQL. V(null) when it cannot be told.
      type: str
      returned: success
    data_directory:
      description: The data directory.
      type: str
      returned: success
    port:
      description: Port of the running server, or the one that its configuration files name.
      type: int
      returned: success
    socket_directory:
      description:
        - First directory of the Unix sockets of the running server, or the one that its configuration files name.
        - V(null) when they name none, and for a running server that has none.
      type: str
      returned: success
    unit:
      description: The systemd unit of the cluster. V(null) for one of O(data_directories) that no unit is known of.
      type: str
      returned: success
    owner:
      description:
        - Owner of the data directory. When that is gone, or belongs to root as the mount point of a new disk does, the
          owner of the configuration or of the directories around.
      type: str
      returned: success
    group:
      description: Group of the same.
      type: str
      returned: success
    running:
      description: Whether the server runs. V(false) also when the user of this task cannot see it.
      type: bool
      returned: success
    role:
      description:
        - V(standby) while it is in archive recovery, or when its next start begins one. V(primary) otherwise.
        - V(unknown) when C(pg_control) cannot be read, and for a stopped cluster that was a standby and has lost the
          file that says so.
      type: str
      returned: success
    recovery:
      description:
        - V(standby) when the directory has C(standby.signal), V(target) when it has only C(recovery.signal), as a
          restored cluster has until its recovery ends. V(null) with neither.
        - Before PostgreSQL 12 the same as C(recovery.conf) says.
      type: str
      returned: success
    system_identifier:
      description: System identifier, V(null) when C(pg_control) cannot be read.
      type: str
      returned: success
    problem:
      description: Why something about the cluster could not be read, and what to do. V(null) when all is known.
      type: str
      returned: success
cpus:
  description: Number of CPUs that can be used, with the limits of a container.
  type: int
  returned: success
  sample: 4
service_manager:
  description: V(systemd) or V(none).
  type: str
  returned: success
  sample: systemd
os_family:
  description: V(debian), V(redhat) or V(other).
  type: str
  returned: success
  sample: debian
distribution:
  description: Name of the distribution as in C(os-release).
  type: str
  returned: success
  sample: debian
release:
  description: Code name of the release, or its number when it has no code name.
  type: str
  returned: success
  sample: trixie
psycopg2:
  description: Whether the Python that runs modules has psycopg2.
  type: bool
  returned: success
  sample: true
cryptography:
  description: Whether the Python that runs modules has cryptography.
  type: bool
  returned: success
  sample: false
ssh_host_keys:
  description: Public keys of the SSH server by type.
  type: dict
  returned: success
  sample: {ed25519: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPzsxkvPl7XgUNRBYUn6vJoXUn4nRm1jPZ0tXb8lZlRu"}
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _host as host
from ..module_utils._cli import PgBackRest
from ..module_utils._clusters import clusters
from ..module_utils._messages import PgBackRestError


def program(module: AnsibleModule) -> dict[str, t.Any] | None:
    """The program with its version, None when it is not there."""
    if not module.get_bin_path(module.params["executable"]):
        return None
    pgbackrest = PgBackRest(module)
    return {"executable": pgbackrest.executable, "version": pgbackrest.installed_version()}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "data_directories": {"type": "list", "elements": "path", "default": []},
            "executable": {"type": "str", "default": "pgbackrest"},
        },
        supports_check_mode=True,
    )
    try:
        pgbackrest = program(module)
    except PgBackRestError as error:
        module.fail_json(**error.result())
    module.exit_json(
        changed=False,
        pgbackrest=pgbackrest,
        configuration=host.configuration(),
        clusters=clusters(module.params["data_directories"]),
        cpus=host.cpus(),
        service_manager=host.service_manager(),
        **host.distribution(),
        psycopg2=host.importable("psycopg2"),
        cryptography=host.importable("cryptography"),
        ssh_host_keys=host.ssh_host_keys(),
    )


if __name__ == "__main__":
    main()
