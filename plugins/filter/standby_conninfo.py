# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: standby_conninfo
short_description: Write a connection string of PostgreSQL
version_added: 0.1.0
author: ["pgops contributors (@pgops)"]
description:
  - Used by the role P(pgops.pgbackrest.standby#role).
options:
  _input:
    description: Parameters of libpq.
    type: dict
    required: true
"""

EXAMPLES = r"""
---
- name: Show it
  ansible.builtin.debug:
    msg: "{{ {'host': 'db1', 'user': 'replicator'} | pgops.pgbackrest.standby_conninfo }}"
"""

RETURN = r"""
_value:
  description: The connection string.
  type: str
"""

import typing as t

from ..module_utils._conninfo import build


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"standby_conninfo": build}
