# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: input_problems
short_description: What is wrong with the variables of a host
version_added: 0.1.0
author: ["pgops contributors (@pgops)"]
description:
  - Used by the roles P(pgops.pgbackrest.database#role) and P(pgops.pgbackrest.repository#role) before anything changes.
  - Every problem is a sentence that says where it is, what is wrong, and what to write.
positional: hostvars, name, groups, transports
options:
  _input:
    description: The variables of the role, by their names.
    type: dict
    required: true
  hostvars:
    description: The magic variable C(hostvars). What the role has learned about each host stands there.
    type: dict
    required: true
  name:
    description: The host's name in the inventory.
    type: str
    required: true
  groups:
    description: The magic variable C(groups).
    type: dict
    required: true
  transports:
    description: On a repository host, how it is reached (V(tls), V(ssh)). Without it the host is a database host.
    type: list
    elements: str
"""

EXAMPLES = r"""
---
- name: Refuse what cannot work
  ansible.builtin.fail:
    msg: "{{ problems }}"
  vars:
    problems: "{{ variables | pgops.pgbackrest.input_problems(hostvars, inventory_hostname, groups) }}"
  when: problems | length > 0
"""

RETURN = r"""
_value:
  description: The sentences. None when all is well.
  type: list
  elements: str
"""

import typing as t

from ..plugin_utils import _model_problems
from ..plugin_utils._model_input import Mapping


def input_problems(
    variables: Mapping,
    hostvars: Mapping,
    name: str,
    groups: Mapping,
    transports: t.Sequence[str] | None = None,
) -> list[str]:
    """All problems at once."""
    if transports is None:
        return _model_problems.of_database_host(variables, hostvars, name, groups)
    return _model_problems.of_repository_host(variables, hostvars, name, transports)


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"input_problems": input_problems}
