# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: clone_source
short_description: Find pgBackRest's configuration for a clone
version_added: 0.1.0
author: ["pgops contributors (@pgops)"]
description:
  - Used by the role P(pgops.pgbackrest.clone#role). It is the file that is named, that of the host, or one of the
    clone's own, made from the variables of the inventory.

positional: variables, facts, name
options:
  _input:
    description: What is asked for, from P(pgops.pgbackrest.clone_request#filter).
    type: dict
    required: true
  variables:
    description: The variables C(pgbackrest_repositories), C(pgbackrest_options) and C(pgbackrest_clusters).
    type: dict
    required: true
  facts:
    description: The result of M(pgops.pgbackrest.host_info).
    type: dict
    required: true
  name:
    description: The host's name in the inventory.
    type: str
    required: true
"""

EXAMPLES = r"""
---
- name: Find it
  ansible.builtin.set_fact:
    source: "{{ wanted | pgops.pgbackrest.clone_source(variables, host, inventory_hostname) }}"
"""

RETURN = r"""
_value:
  description: The path in RV(ignore:file), null for the host's own configuration, whether it is the clone's in
    RV(ignore:own), and sentences in RV(ignore:problems).
  type: dict
"""

import typing as t

from ..plugin_utils._clone_configuration import configuration


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"clone_source": configuration}
