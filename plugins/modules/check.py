#!/usr/bin/python
# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: check
short_description: Prove that WAL reaches every repository
description:
  - Runs C(pgbackrest check). It compares configuration, PostgreSQL and stanza, makes PostgreSQL finish a WAL segment,
    and waits until that segment stands in every repository.
  - Fails when anything on this way is not right, and says what.
  - On a standby pgBackRest cannot switch WAL and looks at the repositories only. RV(not_proven) says so then.
version_added: 0.1.0
author: ["pgops contributors (@pgops)"]
extends_documentation_fragment:
  - pgops.pgbackrest._attributes
  - pgops.pgbackrest._pgbackrest
  - pgops.pgbackrest._pgbackrest.STANZA
attributes:
  check_mode:
    support: partial
    description: Can run in check mode and report what it would change, without changing anything.
    details:
      - C(pgbackrest check) cannot run without a switch of the WAL, so it does not run in check mode.
      - Instead the module reads configuration and repositories and sees whether PostgreSQL runs. RV(not_proven) says
        what only a real run can tell.
  diff_mode:
    support: none
    description: There is nothing that changes.
  idempotent:
    support: full
    description: Reports no change. A WAL segment is finished and archived as PostgreSQL does all the time.
options:
  archive_timeout:
    description:
      - How many seconds to wait for the WAL segment. Without it C(archive-timeout) of the configuration counts, or 60.
    type: int
  retries:
    description:
      - How often to try again when the failure may pass, such as a PostgreSQL that is just starting.
      - The first repetition comes after 3 seconds, each next one after twice as long, at most a minute.
    type: int
    default: 0
seealso:
  - module: pgops.pgbackrest.archiving
  - module: pgops.pgbackrest.stanza
  - module: pgops.pgbackrest.backup_info
"""

EXAMPLES = r"""
---
- name: Prove that archiving works
  pgops.pgbackrest.check:
    stanza: main
  become: true
  become_user: postgres

- name: The same right after a start of PostgreSQL
  pgops.pgbackrest.check:
    stanza: main
    archive_timeout: 30
    retries: 5
  become: true
  become_user: postgres
"""

RETURN = r"""
msg:
  description: What was proven.
  type: str
  returned: always
  sample: "WAL reached every repository in 0.7 s: repository 1 now ends with 000000010000000000000005."
duration:
  description: How long the check took, in seconds. V(null) in check mode.
  type: float
  returned: success
  sample: 0.7
repositories:
  description: The archive of the present cluster in each repository.
  type: list
  elements: dict
  returned: success
  sample:
    - repo_key: 1
      archive_id: 15-1
      wal_max_before: "000000010000000000000004"
      wal_max_after: "000000010000000000000005"
      advanced: true
      full_backup: 20261122-205937F
  contains:
    repo_key:
      description: Number of the repository.
      type: int
      returned: success
      sample: 1
    archive_id:
      description: Name of the archive.
      type: str
      returned: success
      sample: 15-1
    wal_max_before:
      description: Its last WAL segment before, V(null) when there was none.
      type: str
      returned: success
      sample: "000000010000000000000004"
    wal_max_after:
      description: Its last WAL segment after the check.
      type: str
      returned: success
      sample: "000000010000000000000005"
    advanced:
      description: Whether a new segment arrived.
      type: bool
      returned: success
      sample: true
    full_backup:
      description: Label of its newest full backup without page checksum errors, V(null) when there is none.
      type: str
      returned: success
      sample: 20261122-205937F
proven:
  description: What this run has shown to be true.
  type: list
  elements: str
  returned: success
  sample: [A new WAL segment reached every repository.]
not_proven:
  description: What it has not shown.
  type: list
  elements: str
  returned: success
  sample: []
error:
  description: pgBackRest's error with its code, name, message, hint, command and the next step.
  type: dict
  returned: when the check failed
  sample:
    code: 87
    name: archive-disabled
    message: archive_mode must be enabled
    hint: null
    command: check
    next_step: Switch archiving on with the module pgops.pgbackrest.archiving and restart PostgreSQL.
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _check as check
from ..module_utils._cli import COMMON_ARGUMENTS, COMMON_EXCLUSIONS, PgBackRest
from ..module_utils._messages import PgBackRestError

ARGUMENTS: dict[str, dict[str, t.Any]] = {
    **COMMON_ARGUMENTS,
    "stanza": {"type": "str", "required": True},
    "archive_timeout": {"type": "int"},
    "retries": {"type": "int", "default": 0},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, mutually_exclusive=COMMON_EXCLUSIONS, supports_check_mode=True)
    params = module.params
    pgbackrest = PgBackRest(module, params["stanza"])
    try:
        pgbackrest.require_version()
        pgbackrest.require_stanza("check")
        if module.check_mode:
            result = check.look(module, pgbackrest)
        else:
            result = check.run(module, pgbackrest, params["archive_timeout"], params["retries"])
    except PgBackRestError as error:
        module.fail_json(**error.result())
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
