# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: clone_summary
short_description: Sum up a clone
version_added: 0.1.0
author: ["pgops contributors (@pgops)"]
description:
  - Used by the role P(pgops.pgbackrest.clone#role).

options:
  _input:
    description: Results of the tasks of the role.
    type: dict
    required: true
"""

EXAMPLES = r"""
---
- name: Show it
  ansible.builtin.debug:
    msg: "{{ (facts | pgops.pgbackrest.clone_summary).lines }}"
"""

RETURN = r"""
_value:
  description: Text in RV(ignore:lines), the same in RV(ignore:data), and for a shell in RV(ignore:env).
  type: dict
"""

import typing as t

from ..plugin_utils._clone_summary import summary


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"clone_summary": summary}
