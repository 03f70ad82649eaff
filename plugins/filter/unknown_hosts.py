# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: unknown_hosts
short_description: Hosts of stanzas that were not looked at
version_added: 0.1.0
author: ["pgops contributors (@pgops)"]
description:
  - Used by the role P(pgops.pgbackrest.database#role), when a play is limited to some hosts of a stanza.
positional: hosts
options:
  _input:
    description: The magic variable C(hostvars).
    type: dict
    required: true
  hosts:
    description: The hosts of the play.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
---
- name: Show them
  ansible.builtin.debug:
    msg: "{{ hostvars | pgops.pgbackrest.unknown_hosts(ansible_play_hosts) }}"
"""

RETURN = r"""
_value:
  description: Names of hosts of the inventory.
  type: list
  elements: str
"""

import typing as t

from ..plugin_utils import _model_cluster
from ..plugin_utils._model_input import Mapping


def unknown_hosts(hostvars: Mapping, hosts: t.Iterable[str]) -> list[str]:
    """The hosts."""
    return _model_cluster.unknown_hosts(hostvars, hosts)


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"unknown_hosts": unknown_hosts}
