# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: standby_place
short_description: Find the standbys of a play and their primary
version_added: 0.1.0
author: ["pgops contributors (@pgops)"]
description:
  - Used by the role P(pgops.pgbackrest.standby#role). Also the clusters that hosts without one are to have.
positional: hosts, stanza
options:
  _input:
    description: The magic variable C(hostvars). What the role has learned about each host stands there.
    type: dict
    required: true
  hosts:
    description: The hosts of the play.
    type: list
    elements: str
    required: true
  stanza:
    description: Name of the stanza, or empty for the only one of these hosts.
    type: str
    required: true
"""

EXAMPLES = r"""
---
- name: Choose
  ansible.builtin.set_fact:
    place: "{{ hostvars | pgops.pgbackrest.standby_place(ansible_play_hosts, '') }}"
"""

RETURN = r"""
_value:
  description: Primary, standbys with whom they follow, planned clusters, and sentences in RV(ignore:problems).
  type: dict
"""

import typing as t

from ..plugin_utils._standby_place import place


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"standby_place": place}
