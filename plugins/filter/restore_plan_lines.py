# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: restore_plan_lines
short_description: Show the plan of a restore
version_added: 0.1.0
author: ["pgops contributors (@pgops)"]
description:
  - Used by the role P(pgops.pgbackrest.restore#role). Texts of modules name their options; these name the
    role's variables.

positional: stanza, rest
options:
  _input:
    description: The plan of M(pgops.pgbackrest.restore).
    type: dict
    required: true
  stanza:
    description: Name of the stanza, to say how the plan is carried out. Empty for a plan that will be.
    type: str
    required: true
  rest:
    description: Outcome of the recovery when the restore itself was done before, and something is left to do.
    type: str
    default: ''
"""

EXAMPLES = r"""
---
- name: Show it
  ansible.builtin.debug:
    msg: "{{ restore.plan | pgops.pgbackrest.restore_plan_lines('main') }}"
"""

RETURN = r"""
_value:
  description: Lines of text.
  type: list
  elements: str
"""

import typing as t

from ..plugin_utils._restore_words import plan_lines


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"restore_plan_lines": plan_lines}
