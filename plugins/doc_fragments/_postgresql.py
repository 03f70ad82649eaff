# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options for the connection to PostgreSQL that the modules share. Private to the collection."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  login_host:
    description:
      - Host name of the server, or the directory of its Unix socket.
      - Without it libpq's default socket is used.
    type: str
  login_port:
    description: Port of the server.
    type: int
    default: 5432
  login_user:
    description: Role to log in with. Without it the name of the operating system user is used.
    type: str
  login_password:
    description: Password of that role. Peer authentication over the socket needs none.
    type: str
  login_db:
    description: Database to connect to.
    type: str
    default: postgres
requirements:
  - psycopg2 on the host (Debian package C(python3-psycopg2))
"""
