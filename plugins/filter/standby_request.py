# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: standby_request
short_description: Check what a survey wants of a standby
version_added: 0.1.0
author: ["pgops contributors (@pgops)"]
description:
  - Used by the role P(pgops.pgbackrest.standby#role). Makes options of modules from values that may all be
    text, and says everything that is wrong with them. The password is not in the result.
positional: host, names
options:
  _input:
    description: The role's variables without their prefix C(standby_). What is empty counts as not given.
    type: dict
    required: true
  host:
    description: The host's name in the inventory.
    type: str
    required: true
  names:
    description: Names of variables that begin with C(standby_), to find a misspelled one.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
---
- name: Show the slot
  ansible.builtin.debug:
    msg: "{{ ({'slot': 'yes'} | pgops.pgbackrest.standby_request('db-2')).slot }}"
"""

RETURN = r"""
_value:
  description: Options for the modules, what the role does with them, and the sentences in RV(ignore:problems).
  type: dict
"""

import typing as t

from ..plugin_utils._standby_request import request


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"standby_request": request}
