# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: restore_unprotected
short_description: Say how things stand when only the protection failed
version_added: 0.1.0
author: ["pgops contributors (@pgops)"]
description:
  - Used by the role P(pgops.pgbackrest.restore#role). The cluster is restored and runs then, but
    archiving, its proof or the backup failed.

options:
  _input:
    description: The failed result, and the cluster.
    type: dict
    required: true
"""

EXAMPLES = r"""
---
- name: Say it
  ansible.builtin.fail:
    msg: "{{ {'result': ansible_failed_result, 'cluster': cluster} | pgops.pgbackrest.restore_unprotected }}"
"""

RETURN = r"""
_value:
  description: Sentences.
  type: str
"""

import typing as t

from ..plugin_utils._restore_failure import unprotected


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"restore_unprotected": unprotected}
