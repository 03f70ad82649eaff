# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: clusters
short_description: PostgreSQL clusters of a host that pgBackRest shall protect
version_added: 0.1.0
author: ["pgops contributors (@pgops)"]
description:
  - Used by the role P(pgops.pgbackrest.database#role). It matches the wanted clusters with those that are on the host,
    and adds what the roles need to know about them.
  - The result holds no secrets.
positional: host, name, hostvars, planned
options:
  _input:
    description: The variables of the role, by their names.
    type: dict
    required: true
  host:
    description: What M(pgops.pgbackrest.host_info) returned for the host.
    type: dict
    required: true
  name:
    description: The host's name in the inventory.
    type: str
    required: true
  hostvars:
    description: The magic variable C(hostvars).
    type: dict
    required: true
  planned:
    description: Clusters that the play is about to make there. They count as if they were there.
    type: list
    elements: dict
    default: []
"""

EXAMPLES = r"""
---
- name: Know the clusters
  ansible.builtin.set_fact:
    clusters: "{{ variables | pgops.pgbackrest.clusters(host, inventory_hostname, hostvars) }}"
"""

RETURN = r"""
_value:
  description: One mapping for each cluster that was found. What is not clear is left out.
  type: list
  elements: dict
"""

import typing as t

from ..plugin_utils import _model_cluster, _model_shape
from ..plugin_utils._model_input import Mapping, with_planned


def clusters(
    variables: Mapping, host: Mapping, name: str, hostvars: Mapping, planned: t.Sequence[Mapping] = ()
) -> list[dict[str, t.Any]]:
    """The clusters that are wanted and there; none when the variables have wrong types."""
    if _model_shape.wrong_types(variables):
        return []
    return _model_cluster.resolved(variables, with_planned(host, planned), name, hostvars)


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"clusters": clusters}
