# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: clone_plan_lines
short_description: Show the plan of a clone
version_added: 0.1.0
author: ["pgops contributors (@pgops)"]
description:
  - Used by the role P(pgops.pgbackrest.clone#role). Texts of modules name their options; these name the
    role's variables.

positional: wanted, state
options:
  _input:
    description: The plan of M(pgops.pgbackrest.restore).
    type: dict
    required: true
  wanted:
    description: What is asked for, from P(pgops.pgbackrest.clone_request#filter).
    type: dict
    required: true
  state:
    description: What is there of the clone already, as M(pgops.pgbackrest.clone) says it.
    type: str
    default: ""
"""

EXAMPLES = r"""
---
- name: Show it
  ansible.builtin.debug:
    msg: "{{ restore.plan | pgops.pgbackrest.clone_plan_lines(wanted) }}"
"""

RETURN = r"""
_value:
  description: Lines of text.
  type: list
  elements: str
"""

import typing as t

from ..plugin_utils._clone_words import plan_lines


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"clone_plan_lines": plan_lines}
