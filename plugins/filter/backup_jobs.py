# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: backup_jobs
short_description: Choose where each backup runs
version_added: 0.1.0
author: ["pgops contributors (@pgops)"]
description:
  - Used by the playbook C(pgops.pgbackrest.backup). A backup runs on the repository host of the stanza, or on the
    primary when there is none.

positional: wanted
options:
  _input:
    description: By host, its clusters as P(pgops.pgbackrest.clusters#filter) resolves them.
    type: dict
    required: true
  wanted:
    description: What P(pgops.pgbackrest.backup_request#filter) returned.
    type: dict
    required: true
"""

EXAMPLES = r"""
---
- name: Say where the backups run
  ansible.builtin.debug:
    msg: "{{ ({inventory_hostname: clusters} | pgops.pgbackrest.backup_jobs(wanted)).hosts }}"
"""

RETURN = r"""
_value:
  description: By host in RV(ignore:hosts) the backups that it starts, RV(ignore:words) about hosts that start none, and
    sentences in RV(ignore:problems).
  type: dict
"""

import typing as t

from ..plugin_utils._backup_jobs import jobs


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"backup_jobs": jobs}
