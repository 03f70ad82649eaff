# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Shows the progress of the module of the same name while it runs."""

from __future__ import annotations

from ..plugin_utils._watched_action import WatchedAction


class ActionModule(WatchedAction):
    """The module clone with progress lines."""

    def _label(self) -> str:
        return f"clone {self._task.args.get('name', '')}".strip()
