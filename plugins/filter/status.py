# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: status
short_description: Join what hosts said about their backups, and say what is wrong
description:
  - Makes one record per stanza from what the info modules of this collection said on the hosts of the stanza, and adds
    the problems that no single module can see.
  - The playbook C(pgops.pgbackrest.status) asks the hosts and shows the result.
version_added: 0.1.0
author: ["pgops contributors (@pgops)"]
positional: now
options:
  _input:
    description: One element for each host of the play.
    type: list
    elements: dict
    required: true
    suboptions:
      host:
        description: Inventory name of the host.
        type: str
        required: true
      look:
        description: Result of M(pgops.pgbackrest.host_info).
        type: dict
        required: true
      stanzas:
        description: Names of the stanzas that the variables give this host.
        type: list
        elements: str
        required: true
      hosts:
        description: The hosts of the stanza by the variables.
        type: list
        elements: str
        default: []
      clusters:
        description: The clusters of the host, as P(pgops.pgbackrest.clusters#filter) returns them.
        type: list
        elements: dict
        default: []
      info:
        description: Results of M(pgops.pgbackrest.backup_info), one per stanza, whose name is in RV(ignore:item).
        type: list
        elements: dict
        default: []
      archiving:
        description: The same of M(pgops.pgbackrest.archiving_info).
        type: list
        elements: dict
        default: []
      schedule:
        description: The same of M(pgops.pgbackrest.schedule_info).
        type: list
        elements: dict
        default: []
  now:
    description: The present, in seconds since 1970.
    type: float
    required: true
  hosts:
    description: Inventory names of all hosts of the play. One that O(_input) says nothing of is a problem.
    type: list
    elements: str
    default: []
seealso:
  - plugin: pgops.pgbackrest.status_text
    plugin_type: filter
"""

EXAMPLES = r"""
---
- name: Fail when a stanza has problems
  ansible.builtin.assert:
    that: report.healthy
    fail_msg: "{{ report.problems | join(' ') }}"
  vars:
    seen: [{host: db1, stanzas: [main], look: {unreachable: true, msg: timed out}}]
    report: "{{ seen | pgops.pgbackrest.status(1795381179) }}"
"""

RETURN = r"""
_value:
  description: The stanzas with their problems. docs/status.md shows all keys.
  type: dict
  contains:
    healthy:
      description: Whether there are stanzas and none has a problem.
      type: bool
    problems:
      description: All problems, each with the name of its stanza before it.
      type: list
      elements: str
    general:
      description: Those of them that are of no stanza. They have no name before them.
      type: list
      elements: str
    stanzas:
      description: The stanzas by name, each with its own RV(ignore:healthy) and RV(ignore:problems).
      type: list
      elements: dict
"""

import typing as t

from ..plugin_utils._status import status


class FilterModule:
    """The filter status."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"status": status}
