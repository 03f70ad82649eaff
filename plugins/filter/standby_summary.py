# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: standby_summary
short_description: Sum up what was done about standbys
version_added: 0.1.0
author: ["pgops contributors (@pgops)"]
description:
  - Used by the role P(pgops.pgbackrest.standby#role).
positional: hostvars, hosts, slots
options:
  _input:
    description: Result of P(pgops.pgbackrest.standby_place#filter).
    type: dict
    required: true
  hostvars:
    description: The magic variable C(hostvars). What the role knows of each standby stands there.
    type: dict
    required: true
  hosts:
    description: The hosts that are still in the play.
    type: list
    elements: str
    required: true
  slots:
    description: Replication slots of the primary.
    type: list
    elements: dict
    default: []
"""

EXAMPLES = r"""
---
- name: Show it
  ansible.builtin.debug:
    msg: "{{ (place | pgops.pgbackrest.standby_summary(hostvars, ansible_play_hosts)).lines }}"
"""

RETURN = r"""
_value:
  description: Text in RV(ignore:lines), the same in RV(ignore:data), and in RV(ignore:failed) why a standby failed.
  type: dict
"""

import typing as t

from ..plugin_utils._standby_summary import summary


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"standby_summary": summary}
