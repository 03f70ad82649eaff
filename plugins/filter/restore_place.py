# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: restore_place
short_description: Choose the cluster that a play restores
version_added: 0.1.0
author: ["pgops contributors (@pgops)"]
description:
  - Used by the role P(pgops.pgbackrest.restore#role). That of the only host of the stanza that is no standby.

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
    place: "{{ hostvars | pgops.pgbackrest.restore_place(ansible_play_hosts, '') }}"
"""

RETURN = r"""
_value:
  description: Host, stanza and cluster, the other hosts of the stanza in RV(ignore:standbys), and sentences in
    RV(ignore:problems) when there is no choice.
  type: dict
"""

import typing as t

from ..plugin_utils._restore_place import place


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"restore_place": place}
