# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: restore_held
short_description: Repositories that have a backup of a timeline
version_added: 0.1.0
author: ["pgops contributors (@pgops)"]
description:
  - Used by the role P(pgops.pgbackrest.restore#role). A backup of the new timeline is one that was
    taken since the restore.

positional: timeline
options:
  _input:
    description: The stanzas of M(pgops.pgbackrest.backup_info).
    type: list
    elements: dict
    required: true
  timeline:
    description: The timeline that the restored cluster is on.
    type: int
    required: true
"""

EXAMPLES = r"""
---
- name: Show them
  ansible.builtin.debug:
    msg: "{{ info.stanzas | pgops.pgbackrest.restore_held(2) }}"
"""

RETURN = r"""
_value:
  description: Numbers of the repositories.
  type: list
  elements: int
"""

import typing as t

from ..plugin_utils._restore_summary import held


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"restore_held": held}
