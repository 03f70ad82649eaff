# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: clone_request
short_description: Check which clone a survey asks for
version_added: 0.1.0
author: ["pgops contributors (@pgops)"]
description:
  - Used by the role P(pgops.pgbackrest.clone#role). Makes options of M(pgops.pgbackrest.restore) and
    M(pgops.pgbackrest.clone) from values that may all be text, reads the SQL files, and says everything that is wrong
    with them.

positional: names, stanzas
options:
  _input:
    description: The role's variables without their prefix C(clone_). What is empty counts as not given.
    type: dict
    required: true
  names:
    description: Names of variables that begin with C(clone_), to find a misspelled one.
    type: list
    elements: str
    default: []
  stanzas:
    description: The stanzas that the inventory names. The only one is meant where no other is given.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
---
- name: Show the target
  ansible.builtin.debug:
    msg: "{{ ({'name': 'ci', 'target_lsn': '0/3000028'} | pgops.pgbackrest.clone_request([], ['main'])).target }}"
"""

RETURN = r"""
_value:
  description: Options for the modules, what the role does with them, and the sentences in RV(ignore:problems).
  type: dict
"""

import typing as t

from ..plugin_utils._clone_request import request


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"clone_request": request}
