#!/usr/bin/python
# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: tls_info
short_description: Tell which certificates of pgBackRest's TLS transport do not serve, or not for long
description:
  - Looks at all certificates of a host in one round trip, and says for each what is wrong with it.
  - These are C(server.crt), one client certificate C(STANZA.crt) for each stanza, their keys, and C(ca.crt), the
    authority that the host trusts.
  - A certificate serves when it is there with its key, has the wanted names, is signed by the authority and lives long
    enough, and when pgBackRest takes the permissions of the key.
  - Certificates that do not serve do not make the task fail. Look at RV(due).
version_added: 0.1.0
author: ["pgops contributors (@pgops)"]
extends_documentation_fragment:
  - pgops.pgbackrest._attributes.INFO
options:
  directory:
    description: Directory of the certificates and keys.
    type: path
    default: /etc/pgbackrest/cert
  server_name:
    description: Common name of the certificate of the server.
    type: str
    required: true
  server_alt_names:
    description: Names by which other hosts reach the server, such as V(DNS:db1) and V(IP:10.0.0.5). More do no harm.
    type: list
    elements: str
    default: []
  stanzas:
    description:
      - Stanzas that need a client certificate. Its common name is the stanza, to which C(tls-server-auth) grants it.
    type: list
    elements: str
    default: []
  owner:
    description: The user who runs pgBackRest with these keys.
    type: str
  renew_before:
    description: A certificate is due when less than this is left of its life, such as V(30d).
    type: str
    default: 0s
  authority_content:
    description: What C(ca.crt) must hold. The certificates must then be signed by this authority.
    type: str
  authority_directory:
    description:
      - On the host that signs certificates, the directory of the authority's own C(ca.crt) and C(ca.key).
        The C(ca.crt) in O(directory) must be the same.
    type: path
  authority_renew_before:
    description: The same as O(renew_before) for the authority's own certificate.
    type: str
    default: 0s
  unit:
    description: Unit of systemd that runs the server.
    type: str
    default: pgbackrest.service
notes:
  - Run it as root (C(become)), because the keys are readable for their owners only.
  - Names, lives and signatures are read by the Python package C(cryptography). Without it all certificates are due.
"""

EXAMPLES = r"""
---
- name: Look at the certificates
  pgops.pgbackrest.tls_info:
    server_name: db1.example.com
    server_alt_names: ["DNS:db1.example.com"]
    stanzas: [main]
    owner: postgres
    renew_before: 30d
  become: true
  register: result

- name: Fail when one does not serve
  ansible.builtin.assert:
    that: not result.problems
    fail_msg: "{{ result.problems | join(' ') }}"
"""

RETURN = r"""
due:
  description: The certificates that do not serve.
  type: list
  elements: dict
  returned: success
  contains:
    name:
      description: V(server), or the stanza.
      type: str
      returned: success
      sample: server
    path:
      description: Its file.
      type: str
      returned: success
      sample: /etc/pgbackrest/cert/server.crt
    key:
      description: File of its private key.
      type: str
      returned: success
      sample: /etc/pgbackrest/cert/server.key
    common_name:
      description: The common name that it must have.
      type: str
      returned: success
      sample: db1.example.com
    subject_alt_names:
      description: The names that it must have.
      type: list
      elements: str
      returned: success
      sample: ["DNS:db1.example.com"]
    usage:
      description: What it is for, C(serverAuth) or C(clientAuth).
      type: str
      returned: success
      sample: serverAuth
    problems:
      description: What is wrong with it, as sentences.
      type: list
      elements: str
      returned: success
      sample: ["/etc/pgbackrest/cert/server.crt expires at 2026-12-01T00:00:00+00:00."]
problems:
  description: What is wrong with C(ca.crt) and all certificates, as sentences.
  type: list
  elements: str
  returned: success
  sample: ["/etc/pgbackrest/cert/server.crt expires at 2026-12-01T00:00:00+00:00."]
expiry:
  description: End of the life of each certificate by name, V(null) when it cannot be read.
  type: dict
  returned: success
  sample: {server: "2027-12-24T10:00:00+00:00", main: "2027-12-24T10:00:00+00:00"}
authority:
  description: The authority.
  type: dict
  returned: success
  contains:
    due:
      description: Whether C(ca.crt) in O(directory) is missing or not what it must be.
      type: bool
      returned: success
      sample: false
    content:
      description: What C(ca.crt) must hold, or else what it holds. V(null) when neither is known.
      type: str
      returned: success
    problems:
      description: What is wrong with the authority's own certificate in O(authority_directory), as sentences.
      type: list
      elements: str
      returned: success
server:
  description: The unit of the server as systemd knows it.
  type: dict
  returned: success
  sample: {enabled: true, loaded: true, running: true, stale: false, user: postgres}
  contains:
    enabled:
      description: Whether it starts with the host.
      type: bool
      returned: success
    loaded:
      description: Whether systemd is there and knows the unit.
      type: bool
      returned: success
    running:
      description: Whether the server runs.
      type: bool
      returned: success
    stale:
      description:
        - Whether it runs since before its certificate, the authority or a configuration file was written last, without
          having been reloaded.
      type: bool
      returned: success
    user:
      description: The user that it runs as. Empty for root.
      type: str
      returned: success
cryptography:
  description: Whether the Python package C(cryptography) is there.
  type: bool
  returned: success
  sample: true
"""

import datetime
import glob
import os
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._backup import parse_age
from ..module_utils._certificate import HAS_CRYPTOGRAPHY, Wanted, problems, read, same

PROPERTIES = "--property=LoadState,ActiveState,UnitFileState,User,StateChangeTimestampMonotonic"
CONFIGURATION = ("/etc/pgbackrest/pgbackrest.conf", "/etc/pgbackrest/conf.d")  # the second changes when a file goes
ARGUMENTS: dict[str, t.Any] = {
    "directory": {"type": "path", "default": "/etc/pgbackrest/cert"},
    "server_name": {"type": "str", "required": True},
    "server_alt_names": {"type": "list", "elements": "str", "default": []},
    "stanzas": {"type": "list", "elements": "str", "default": []},
    "owner": {"type": "str"},
    "renew_before": {"type": "str", "default": "0s"},
    "authority_content": {"type": "str"},
    "authority_directory": {"type": "path"},
    "authority_renew_before": {"type": "str", "default": "0s"},
    "unit": {"type": "str", "default": "pgbackrest.service"},
}


def wanted_certificates(params: t.Mapping[str, t.Any]) -> list[Wanted]:
    """The certificate of the server and those of the stanzas. ValueError when an option is wrong."""
    names = {"server": (params["server_name"], tuple(params["server_alt_names"]))}
    names.update({stanza: (stanza, ()) for stanza in params["stanzas"]})
    return [
        Wanted(
            name,
            os.path.join(params["directory"], f"{name}.crt"),
            os.path.join(params["directory"], f"{name}.key"),
            common_name,
            alternatives,
            params["owner"],
            parse_age(params["renew_before"]),
        )
        for name, (common_name, alternatives) in names.items()
    ]


def authority_problems(params: t.Mapping[str, t.Any], now: datetime.datetime) -> tuple[list[str], str | None]:
    """What is wrong with the authority of this host, if it is one, and its certificate as text."""
    directory = params["authority_directory"]
    if not directory:
        return [], params["authority_content"]
    path = os.path.join(directory, "ca.crt")
    left = parse_age(params["authority_renew_before"])
    content = read(path)
    own = Wanted("authority", path, os.path.join(directory, "ca.key"), "", (), "root", left)
    return problems(own, content, now)[0], content


def record(wanted: Wanted, found: list[str]) -> dict[str, t.Any]:
    """A certificate that does not serve, for the result."""
    return {
        "name": wanted.name,
        "path": wanted.path,
        "key": wanted.key,
        "common_name": wanted.common_name,
        "subject_alt_names": list(wanted.names),
        "usage": "serverAuth" if wanted.name == "server" else "clientAuth",
        "problems": found,
    }


def server(module: AnsibleModule) -> dict[str, t.Any]:
    """The unit of the server; nothing is true of it where there is no systemd."""
    program = module.get_bin_path("systemctl")
    text = module.run_command([program, "show", PROPERTIES, "--", module.params["unit"]])[1] if program else ""
    found = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    running = found.get("ActiveState") == "active"
    return {
        "enabled": found.get("UnitFileState") == "enabled",
        "loaded": found.get("LoadState") == "loaded",
        "running": running,
        "stale": running and int(found["StateChangeTimestampMonotonic"]) / 1e6 < last_write(module.params["directory"]),
        "user": found.get("User", ""),
    }


def last_write(directory: str) -> float:
    """When a file that the server reads was written last, in seconds of the monotonic clock as systemd has it."""
    names = [os.path.join(directory, name) for name in ("ca.crt", "server.crt", "server.key")]
    written = [
        os.stat(path).st_mtime
        for path in [*names, *CONFIGURATION, *glob.glob(f"{CONFIGURATION[1]}/*.conf")]
        if os.path.exists(path)
    ]
    return max(written, default=0.0) - time.time() + time.monotonic()


def look(params: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """What the module returns. ValueError when an option is wrong."""
    now = datetime.datetime.now(datetime.timezone.utc)
    path = os.path.join(params["directory"], "ca.crt")
    present = read(path)
    wrong, asked = authority_problems(params, now)
    content = present if asked is None else asked
    trust_due = not same(present, content)
    certificates = wanted_certificates(params)
    found = {wanted.name: problems(wanted, content, now) for wanted in certificates}
    own = [f"{path} is {'missing' if present is None else 'of another authority'}."] if trust_due else []
    return {
        "due": [record(wanted, found[wanted.name][0]) for wanted in certificates if found[wanted.name][0]],
        "problems": [*wrong, *own, *(sentence for sentences, dummy in found.values() for sentence in sentences)],
        "expiry": {name: end for name, (dummy, end) in found.items()},
        "authority": {"due": trust_due, "content": content, "problems": wrong},
        "cryptography": HAS_CRYPTOGRAPHY,
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec=ARGUMENTS,
        mutually_exclusive=[("authority_content", "authority_directory")],
        supports_check_mode=True,
    )
    if "server" in module.params["stanzas"] or "ca" in module.params["stanzas"]:
        module.fail_json(msg="A stanza cannot be called server or ca here: other certificates have these names.")
    try:
        module.exit_json(changed=False, server=server(module), **look(module.params))
    except ValueError as error:
        module.fail_json(msg=f"{error}.")
    except OSError as error:
        module.fail_json(msg=f"{error}. Run the task as root (become).")


if __name__ == "__main__":
    main()
