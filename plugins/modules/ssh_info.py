#!/usr/bin/python
# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ssh_info
short_description: Tell what a user lacks for pgBackRest's SSH transport
description:
  - Looks in one round trip at a user's key pair, at the hosts that it trusts, and at the keys that may log in as it.
  - Nothing of all this need be there, not even the user.
version_added: 0.1.0
author: ["pgops contributors (@pgops)"]
extends_documentation_fragment:
  - pgops.pgbackrest._attributes.INFO
options:
  user:
    description: The user.
    type: str
    required: true
  known_hosts:
    description: The hosts that the user must trust.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: How the file C(known_hosts) names the host, V(db1), or V([db1]:2222) for a port other than 22.
        type: str
        required: true
      key:
        description: Type and key of the host.
        type: str
        required: true
  authorized_keys:
    description: The keys that must be able to log in.
    type: list
    elements: dict
    default: []
    suboptions:
      key:
        description: Type and public key. A comment after them is passed over.
        type: str
        required: true
      options:
        description: Its options, exactly as they must stand before it.
        type: str
        default: ""
  script:
    description: A file whose checksum is returned, such as the forced command.
    type: path
notes:
  - Run it as root (C(become)), or as the user.
"""

EXAMPLES = r"""
---
- name: Look at the keys of pgbackrest
  pgops.pgbackrest.ssh_info:
    user: pgbackrest
    known_hosts:
      - name: db1
        key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG1nNoJAjFzHjXWlnyWKRD0xyqXM3dC3Oe7yiGt2WtZX
  become: true
  register: result

- name: Fail when it cannot reach db1
  ansible.builtin.assert:
    that: result.public_key and not result.unknown_hosts
"""

RETURN = r"""
home:
  description: The home directory. V(null) when there is no such user.
  type: str
  returned: success
  sample: /var/lib/pgbackrest
client:
  description: Whether the programs C(ssh) and C(ssh-keygen) are there.
  type: bool
  returned: success
  sample: true
public_key:
  description: The user's public ed25519 key. Empty when there is no key pair.
  type: str
  returned: success
  sample: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG1nNoJAjFzHjXWlnyWKRD0xyqXM3dC3Oe7yiGt2WtZX
unknown_hosts:
  description: Names of those of O(known_hosts) that are not in the user's C(known_hosts), or with another key.
  type: list
  elements: str
  returned: success
unauthorized_keys:
  description: Those of O(authorized_keys) that are not in the user's C(authorized_keys), or with other options.
  type: list
  elements: str
  returned: success
script_checksum:
  description: SHA-1 of O(script). V(null) when it is missing or may not be run by everybody.
  type: str
  returned: success
"""

import os
import pwd
import stat
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._cluster import ClusterError, read_text
from ..module_utils._ssh import unauthorized, unknown


def home_of(user: str) -> str | None:
    """Home directory of a user, None when there is no such user."""
    try:
        return pwd.getpwnam(user).pw_dir
    except KeyError:
        return None


def public_key(directory: str) -> str:
    """Type and key of the pair, without comment; '' unless both halves are there."""
    path = os.path.join(directory, "id_ed25519")
    words = (read_text(f"{path}.pub") or "").split()
    return " ".join(words[:2]) if os.path.exists(path) else ""


def script_checksum(module: AnsibleModule, path: str | None) -> str | None:
    """SHA-1 of a script that everybody can run."""
    if not path or not os.path.isfile(path) or stat.S_IMODE(os.stat(path).st_mode) != 0o755:
        return None
    return t.cast("str", module.sha1(path))


def look(module: AnsibleModule) -> dict[str, t.Any]:
    """What the module returns."""
    params = module.params
    home = home_of(params["user"])
    directory = os.path.join(home or "/nonexistent", ".ssh")
    hosts = [(host["name"], host["key"]) for host in params["known_hosts"]]
    keys = [(entry["key"], entry["options"]) for entry in params["authorized_keys"]]
    return {
        "home": home,
        "client": all(module.get_bin_path(program) for program in ("ssh", "ssh-keygen")),
        "public_key": public_key(directory),
        "unknown_hosts": unknown(read_text(os.path.join(directory, "known_hosts")), hosts),
        "unauthorized_keys": unauthorized(read_text(os.path.join(directory, "authorized_keys")), keys),
        "script_checksum": script_checksum(module, params["script"]),
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "user": {"type": "str", "required": True},
            "known_hosts": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "name": {"type": "str", "required": True},
                    "key": {"type": "str", "required": True, "no_log": False},
                },
            },
            "authorized_keys": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "no_log": False,
                "options": {
                    "key": {"type": "str", "required": True, "no_log": False},
                    "options": {"type": "str", "default": ""},
                },
            },
            "script": {"type": "path"},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(changed=False, **look(module))
    except (ClusterError, OSError) as error:
        module.fail_json(msg=f"{error}. Run the task as root (become).")


if __name__ == "__main__":
    main()
