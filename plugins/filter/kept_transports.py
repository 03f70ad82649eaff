# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: kept_transports
short_description: How database hosts reach the repositories on a host
version_added: 0.1.0
author: ["pgops contributors (@pgops)"]
description:
  - Used by the role P(pgops.pgbackrest.repository#role).
  - It reads the variables of all hosts of the inventory, because what the host offers must not
    depend on the limit of a run.
positional: name
options:
  _input:
    description: The magic variable C(hostvars).
    type: dict
    required: true
  name:
    description: The repository host's name in the inventory.
    type: str
    required: true
"""

EXAMPLES = r"""
---
- name: Show them
  ansible.builtin.debug:
    msg: "{{ hostvars | pgops.pgbackrest.kept_transports(inventory_hostname) }}"
"""

RETURN = r"""
_value:
  description: V(tls), V(ssh), both or none.
  type: list
  elements: str
"""

import typing as t

from ..plugin_utils import _model_cluster
from ..plugin_utils._model_input import Mapping


def kept_transports(hostvars: Mapping, name: str) -> list[str]:
    """The transports."""
    return _model_cluster.kept_transports(hostvars, name)


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"kept_transports": kept_transports}
