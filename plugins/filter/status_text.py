# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: status_text
short_description: The health of backups as text for people
description:
  - Shows each stanza as one block of lines that are at most 100 columns wide.
version_added: 0.1.0
author: ["pgops contributors (@pgops)"]
options:
  _input:
    description: What the filter P(pgops.pgbackrest.status#filter) returned, as in C(pgbackrest_status).
    type: dict
    required: true
seealso:
  - plugin: pgops.pgbackrest.status
    plugin_type: filter
"""

EXAMPLES = r"""
---
- name: Show what the playbook status has found
  ansible.builtin.debug:
    msg: "{{ pgbackrest_status | pgops.pgbackrest.status_text }}"
"""

RETURN = r"""
_value:
  description: The lines.
  type: list
  elements: str
"""

import typing as t

from ..plugin_utils._status_text import lines_of


class FilterModule:
    """The filter status_text."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"status_text": lines_of}
