# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs the module of the same name, as Ansible would without this file, and lets the filters be loaded only once.

Ansible forks a process for each task of each host. It loads action plugins before it forks, filters and tests after
that: all of the collection with all that they import, in each process that uses one, which takes 0.15 s, and all of its
own, which takes 0.01 s. All roles begin with host_info, so what is loaded here is there in all processes that follow.
"""

from __future__ import annotations

from ansible.plugins.action import normal
from ansible.plugins.loader import filter_loader, test_loader

filter_loader.get("pgops.pgbackrest.clusters")
filter_loader.get("bool")
test_loader.get("changed")


class ActionModule(normal.ActionModule):
    """What Ansible does for a module without a plugin of its own."""
