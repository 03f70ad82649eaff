# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: stanza_configuration
short_description: Content of a stanza's file on a database host
version_added: 0.1.0
author: ["pgops contributors (@pgops)"]
description:
  - Used by the role P(pgops.pgbackrest.database#role).
  - The tuned defaults come from the host's CPUs and the version of its pgBackRest. What the user says counts more.
positional: stanza, hostvars, name
options:
  _input:
    description: The variables of the role, by their names.
    type: dict
    required: true
  stanza:
    description: The name of the stanza.
    type: str
    required: true
  hostvars:
    description: The magic variable C(hostvars). What the role has learned about each host stands there.
    type: dict
    required: true
  name:
    description: The host's name in the inventory.
    type: str
    required: true
"""

EXAMPLES = r"""
---
- name: Write the file of the stanza
  pgops.pgbackrest.config:
    path: /etc/pgbackrest/conf.d/main.conf
    options: "{{ variables | pgops.pgbackrest.stanza_configuration('main', hostvars, inventory_hostname) }}"
"""

RETURN = r"""
_value:
  description: Sections for O(pgops.pgbackrest.config#module:options). They hold secrets.
  type: dict
"""

import typing as t

from ..plugin_utils import _model_configuration
from ..plugin_utils._model_input import Mapping, entry_of


def stanza_configuration(variables: Mapping, stanza: str, hostvars: Mapping, name: str) -> dict[str, t.Any]:
    """Sections of the file."""
    return _model_configuration.database_file(entry_of(variables, stanza), hostvars, name)


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"stanza_configuration": stanza_configuration}
