# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: host_configuration
short_description: Content of pgBackRest's main file on a host
version_added: 0.1.0
author: ["pgops contributors (@pgops)"]
description:
  - Used by the roles P(pgops.pgbackrest.database#role) and P(pgops.pgbackrest.repository#role).
  - The file is the same for any number of stanzas.
positional: transports
options:
  _input:
    description: The variables of the role, by their names.
    type: dict
    required: true
  transports:
    description: How the host reaches others or is reached (V(tls), V(ssh)).
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
---
- name: Write the main file
  pgops.pgbackrest.config:
    path: /etc/pgbackrest/pgbackrest.conf
    options: "{{ variables | pgops.pgbackrest.host_configuration(transports) }}"
"""

RETURN = r"""
_value:
  description: Sections for O(pgops.pgbackrest.config#module:options).
  type: dict
"""

import typing as t

from ..plugin_utils import _model_configuration
from ..plugin_utils._model_input import Mapping


def host_configuration(variables: Mapping, transports: t.Container[str]) -> dict[str, t.Any]:
    """Sections of the main file."""
    return _model_configuration.main_file(variables, transports)


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"host_configuration": host_configuration}
