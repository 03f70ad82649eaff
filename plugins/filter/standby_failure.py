# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: standby_failure
short_description: Say how things stand when a standby has failed
version_added: 0.1.0
author: ["pgops contributors (@pgops)"]
description:
  - Used by the role P(pgops.pgbackrest.standby#role).
positional: task, known
options:
  _input:
    description: The failed result of a task.
    type: dict
    required: true
  task:
    description: Name of the module that failed.
    type: str
    required: true
  known:
    description: Its data directory, and what was done before the task.
    type: dict
    required: true
"""

EXAMPLES = r"""
---
- name: Say it
  ansible.builtin.debug:
    msg: "{{ (ansible_failed_result | pgops.pgbackrest.standby_failure('restore', known)).why }}"
"""

RETURN = r"""
_value:
  description: The sentences in RV(ignore:why), codes of problems, and lines of PostgreSQL's log.
  type: dict
"""

import typing as t

from ..plugin_utils._standby_summary import failure


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"standby_failure": failure}
