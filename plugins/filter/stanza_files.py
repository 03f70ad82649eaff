# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: stanza_files
short_description: Configuration files of the stanzas on a database host
version_added: 0.1.0
author: ["pgops contributors (@pgops)"]
description:
  - Used by the role P(pgops.pgbackrest.database#role).
  - The tuned defaults come from the host's CPUs and the version of its pgBackRest. What the user says counts more.
positional: clusters, hostvars, name
options:
  _input:
    description: The variables of the role, by their names.
    type: dict
    required: true
  clusters:
    description: The clusters of the host, as P(pgops.pgbackrest.clusters#filter) has found them.
    type: list
    elements: dict
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
- name: Write the files of the stanzas after the main file
  pgops.pgbackrest.config:
    path: /etc/pgbackrest/pgbackrest.conf
    options: {global: {start-fast: true}}
    also: "{{ variables | pgops.pgbackrest.stanza_files(clusters, hostvars, inventory_hostname) }}"
"""

RETURN = r"""
_value:
  description: Files for O(pgops.pgbackrest.config#module:also). They hold secrets.
  type: list
  elements: dict
"""

import typing as t

from ..plugin_utils import _model_configuration
from ..plugin_utils._model_input import Mapping, entry_of


def stanza_files(
    variables: Mapping, clusters: t.Iterable[Mapping], hostvars: Mapping, name: str
) -> list[dict[str, t.Any]]:
    """One file for each cluster, which belongs to its owner."""
    return [
        {
            "path": cluster["stanza_file"],
            "options": _model_configuration.database_file(entry_of(variables, cluster["stanza"]), hostvars, name),
            "owner": cluster["owner"],
            "group": cluster["group"],
        }
        for cluster in clusters
    ]


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"stanza_files": stanza_files}
