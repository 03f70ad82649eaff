# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: standby_plan
short_description: Show what is going to be done about standbys
version_added: 0.1.0
author: ["pgops contributors (@pgops)"]
description:
  - Used by the role P(pgops.pgbackrest.standby#role).
positional: hostvars, confirm, served
options:
  _input:
    description: Result of P(pgops.pgbackrest.standby_place#filter).
    type: dict
    required: true
  hostvars:
    description: The magic variable C(hostvars). What the role knows of each standby stands there.
    type: dict
    required: true
  confirm:
    description: What the user confirms, the name of the stanza.
    type: str
    required: true
  served:
    description: What each host that is followed was given, so that it lets standbys in.
    type: dict
    default: {}
"""

EXAMPLES = r"""
---
- name: Show it
  ansible.builtin.debug:
    msg: "{{ (place | pgops.pgbackrest.standby_plan(hostvars, '')).lines }}"
"""

RETURN = r"""
_value:
  description: Text in RV(ignore:lines), the same in RV(ignore:data), and what is to be confirmed.
  type: dict
"""

import typing as t

from ..plugin_utils._standby_plan import plan


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"standby_plan": plan}
