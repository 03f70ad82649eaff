# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: restore_request
short_description: Check which restore a survey asks for
version_added: 0.1.0
author: ["pgops contributors (@pgops)"]
description:
  - Used by the role P(pgops.pgbackrest.restore#role). Makes options of M(pgops.pgbackrest.restore) and its companions
    from values that may all be text, and says everything that is wrong with them.

positional: names
options:
  _input:
    description: The role's variables without their prefix C(restore_). What is empty counts as not given.
    type: dict
    required: true
  names:
    description: Names of variables that begin with C(restore_), to find a misspelled one.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
---
- name: Show the target
  ansible.builtin.debug:
    msg: "{{ ({'target_time': '2026-05-01 14:30+02'} | pgops.pgbackrest.restore_request).target }}"
"""

RETURN = r"""
_value:
  description: Options for the modules, what the role does with them, and the sentences in RV(ignore:problems).
  type: dict
"""

import typing as t

from ..plugin_utils._restore_request import request


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"restore_request": request}
