# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: kept_clusters
short_description: Clusters that have repositories on a host
version_added: 0.1.0
author: ["pgops contributors (@pgops)"]
description:
  - Used by the role P(pgops.pgbackrest.repository#role).
  - Only hosts count that the role P(pgops.pgbackrest.database#role) looked at in this play.
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
    msg: "{{ hostvars | pgops.pgbackrest.kept_clusters(inventory_hostname) }}"
"""

RETURN = r"""
_value:
  description: One mapping for each stanza, as P(pgops.pgbackrest.clusters#filter) returns it.
  type: list
  elements: dict
"""

import typing as t

from ..plugin_utils import _model_cluster
from ..plugin_utils._model_input import Mapping


def kept_clusters(hostvars: Mapping, name: str) -> list[Mapping]:
    """The clusters."""
    return _model_cluster.kept(hostvars, name)


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"kept_clusters": kept_clusters}
