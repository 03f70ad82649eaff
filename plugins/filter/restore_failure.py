# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: restore_failure
short_description: Judge what a failed restore has left
version_added: 0.1.0
author: ["pgops contributors (@pgops)"]
description:
  - Used by the role P(pgops.pgbackrest.restore#role). Says whether the old directory comes back, whether
    PostgreSQL is started, and how things stand.

options:
  _input:
    description: The failed task, its result, and what the role knows about the restore.
    type: dict
    required: true
"""

EXAMPLES = r"""
---
- name: Judge
  ansible.builtin.set_fact:
    failure: "{{ facts | pgops.pgbackrest.restore_failure }}"
"""

RETURN = r"""
_value:
  description: What to do in RV(ignore:put_back) and RV(ignore:start), sentences in RV(ignore:words), and
    PostgreSQL's lines in RV(ignore:log).
  type: dict
"""

import typing as t

from ..plugin_utils._restore_failure import failure


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"restore_failure": failure}
