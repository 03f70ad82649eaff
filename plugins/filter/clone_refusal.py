# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: clone_refusal
short_description: Say why a clone was not made
version_added: 0.1.0
author: ["pgops contributors (@pgops)"]
description:
  - Used by the role P(pgops.pgbackrest.clone#role). Texts of modules name their options; these name the
    role's variables.

options:
  _input:
    description: The failed result of a module.
    type: dict
    required: true
"""

EXAMPLES = r"""
---
- name: Show it
  ansible.builtin.debug:
    msg: "{{ (ansible_failed_result | pgops.pgbackrest.clone_refusal).lines }}"
"""

RETURN = r"""
_value:
  description: Text in RV(ignore:lines), codes of the problems in RV(ignore:codes), and sentences in RV(ignore:words).
  type: dict
"""

import typing as t

from ..plugin_utils._clone_words import refusal


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"clone_refusal": refusal}
