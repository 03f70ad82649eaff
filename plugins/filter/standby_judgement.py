# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: standby_judgement
short_description: Decide what a standby needs
version_added: 0.1.0
author: ["pgops contributors (@pgops)"]
description:
  - Used by the role P(pgops.pgbackrest.standby#role).
positional: upstream_action, host, upstream
options:
  _input:
    description:
      - Result of M(pgops.pgbackrest.standby) in check mode, V(null) where it cannot run yet.
      - That of a failed task where check mode has only pretended to let the standby in.
    type: raw
    required: true
  upstream_action:
    description: What is done about the host that it follows. Empty for the primary.
    type: str
    required: true
  host:
    description: The host of the standby.
    type: str
    required: true
  upstream:
    description: The host that it follows.
    type: str
    required: true
"""

EXAMPLES = r"""
---
- name: Decide
  ansible.builtin.set_fact:
    judgement: "{{ seen | pgops.pgbackrest.standby_judgement('', 'db2', 'db1') }}"
"""

RETURN = r"""
_value:
  description: The action with its reason.
  type: dict
"""

import typing as t

from ..plugin_utils._standby_plan import judged


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"standby_judgement": judged}
