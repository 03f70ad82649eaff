# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: backup_request
short_description: Check which backup a survey asks for
version_added: 0.1.0
author: ["pgops contributors (@pgops)"]
description:
  - Used by the playbook C(pgops.pgbackrest.backup). Makes options of M(pgops.pgbackrest.backup) from values that may
    all be text, and says what is wrong with them.

options:
  _input:
    description: V(type), V(stanza), V(repo), V(max_age) and V(annotations). What is empty counts as not given.
    type: dict
    required: true
"""

EXAMPLES = r"""
---
- name: Show the annotations
  ansible.builtin.debug:
    msg: "{{ ({'annotations': 'reason=release 42, by=ann'} | pgops.pgbackrest.backup_request).annotations }}"
"""

RETURN = r"""
_value:
  description: The same keys with their right types, and the sentences in RV(ignore:problems).
  type: dict
"""

import typing as t

from ..plugin_utils._backup_jobs import request


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"backup_request": request}
