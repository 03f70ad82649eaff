# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: repository_configuration
short_description: Content of a stanza's file on its repository host
version_added: 0.1.0
author: ["pgops contributors (@pgops)"]
description:
  - Used by the role P(pgops.pgbackrest.database#role), which writes the file on the repository host.
  - It names all hosts of the stanza as pg1, pg2 and so on, in the order of C(pgbackrest_hosts).
  - It is empty when one of these hosts could not be looked at.
positional: stanza, hostvars
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
"""

EXAMPLES = r"""
---
- name: Write the file of the stanza on the repository host
  pgops.pgbackrest.config:
    path: /etc/pgbackrest/conf.d/main.conf
    options: "{{ variables | pgops.pgbackrest.repository_configuration('main', hostvars) }}"
  delegate_to: backup1
"""

RETURN = r"""
_value:
  description: Sections for O(pgops.pgbackrest.config#module:options). They hold secrets.
  type: dict
"""

import typing as t

from ..plugin_utils import _model_configuration
from ..plugin_utils._model_input import Mapping, entry_of


def repository_configuration(variables: Mapping, stanza: str, hostvars: Mapping) -> dict[str, t.Any]:
    """Sections of the file."""
    return _model_configuration.repository_file(entry_of(variables, stanza), hostvars)


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"repository_configuration": repository_configuration}
