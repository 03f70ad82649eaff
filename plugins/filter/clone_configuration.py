# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: clone_configuration
short_description: Content of pgBackRest's configuration of one clone
version_added: 0.1.0
author: ["pgops contributors (@pgops)"]
description:
  - Used by the role P(pgops.pgbackrest.clone#role). Repositories and options are those of the inventory. Nothing in it
    leads out of the clone's directory but the repositories.

positional: variables, facts, directory
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
  directory:
    description: Where logs, locks and the spool come to.
    type: path
    required: true
"""

EXAMPLES = r"""
---
- name: Write it
  pgops.pgbackrest.config:
    path: /var/lib/postgresql/clones/ci/pgbackrest.conf
    options: "{{ wanted | pgops.pgbackrest.clone_configuration(variables, host, wanted.directory ~ '/pgbackrest') }}"
"""

RETURN = r"""
_value:
  description: Sections for O(pgops.pgbackrest.config#module:options). They hold secrets.
  type: dict
"""

import typing as t

from ..plugin_utils._clone_configuration import sections


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"clone_configuration": sections}
