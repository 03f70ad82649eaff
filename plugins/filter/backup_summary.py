# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: backup_summary
short_description: Sum up the backups that a play took
version_added: 0.1.0
author: ["pgops contributors (@pgops)"]
description:
  - Used by the playbook C(pgops.pgbackrest.backup).

positional: held
options:
  _input:
    description: Results of M(pgops.pgbackrest.backup) in a loop, whose item is C(job).
    type: list
    elements: dict
    required: true
  held:
    description: Results of M(pgops.pgbackrest.backup_info) about the same repositories.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
---
- name: Show the backups
  ansible.builtin.debug:
    msg: "{{ (taken.results | pgops.pgbackrest.backup_summary(held.results)).lines }}"
"""

RETURN = r"""
_value:
  description: Text in RV(ignore:lines), and the backups as data in RV(ignore:backups).
  type: dict
"""

import typing as t

from ..plugin_utils._backup_jobs import summary


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"backup_summary": summary}
