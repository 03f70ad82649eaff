# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options about the pgbackrest program that the modules share. Private to the collection."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  config:
    description:
      - Configuration file that pgBackRest reads instead of its default one.
      - With it pgBackRest reads no C(conf.d) directory.
      - Mutually exclusive with O(config_path).
    type: path
  config_path:
    description:
      - Directory in which pgBackRest looks for C(pgbackrest.conf) and C(conf.d/*.conf) instead of C(/etc/pgbackrest).
    type: path
  executable:
    description:
      - Name or path of the pgBackRest program. It must be version 2.45 or newer.
    type: str
    default: pgbackrest
notes:
  - Run it as the user who owns the cluster or the repository (C(become_user)), usually C(postgres).
    As root it is refused where the files belong to somebody else.
"""

    STANZA = r"""
options:
  stanza:
    description: Name of the stanza. It must stand in pgBackRest's configuration.
    type: str
    required: true
"""

    PROGRESS = r"""
options:
  progress_file:
    description:
      - File in which the module keeps its progress as JSON while it works, for whoever wants to watch.
        It is removed at the end.
      - The action plugin of this module chooses one by itself and prints a line every few seconds while the module
        runs. It prints nothing when the work is short, in check mode, with O(ignore:async), or on connections that
        cannot do it.
      - Work that takes longer than a few seconds goes on when the connection is lost, and the task waits half an hour
        for the host to come back. A task that is cancelled ends its work.
    type: path
"""
