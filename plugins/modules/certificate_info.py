#!/usr/bin/python
# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: certificate_info
short_description: Tell which certificates of pgBackRest's TLS transport do not serve, or not for long
description:
  - Looks at any number of certificates and their keys in one round trip, and says for each what is wrong with it.
    A certificate serves when it is there with its key, has the wanted names, is signed by the authority and lives long
    enough, and when pgBackRest takes the permissions of the key.
  - Certificates that do not serve do not make the task fail. Look at RV(due).
version_added: 0.1.0
author: ["pgops contributors (@pgops)"]
extends_documentation_fragment:
  - pgops.pgbackrest._attributes.INFO
options:
  certificates:
    description: The certificates as they shall be.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: A name for the result.
        type: str
        required: true
      path:
        description: File of the certificate, in PEM format.
        type: path
        required: true
      key:
        description: File of its private key, in PEM format and without passphrase.
        type: path
        required: true
      common_name:
        description: The common name that it must have. pgBackRest's C(tls-server-auth) grants stanzas to this name.
        type: str
        required: true
      subject_alt_names:
        description: Names that it must have, such as V(DNS:db1) and V(IP:10.0.0.5). More do no harm.
        type: list
        elements: str
        default: []
      owner:
        description: The user who runs pgBackRest with this key.
        type: str
      renew_before:
        description: The certificate is due when less than this is left, such as V(30d).
        type: str
        default: 0s
  authority:
    description: File with the certificates of the authority that this host trusts.
    type: path
    required: true
  authority_content:
    description: What O(authority) must hold. The certificates must then be signed by this authority.
    type: str
  authority_source:
    description: The same as a file of this host.
    type: path
notes:
  - Run it as root (C(become)), because the keys are readable for their owners only.
  - Names, lives and signatures are read by the Python package C(cryptography). Without it all certificates are due.
"""

EXAMPLES = r"""
---
- name: Look at the certificate of the server
  pgops.pgbackrest.certificate_info:
    authority: /etc/pgbackrest/cert/ca.crt
    certificates:
      - name: server
        path: /etc/pgbackrest/cert/server.crt
        key: /etc/pgbackrest/cert/server.key
        common_name: db1.example.com
        subject_alt_names: ["DNS:db1.example.com"]
        owner: postgres
        renew_before: 30d
  become: true
  register: result

- name: Fail when it does not serve
  ansible.builtin.assert:
    that: not result.due
    fail_msg: "{{ result.problems | join(' ') }}"
"""

RETURN = r"""
due:
  description: Names of the certificates that do not serve, in the given order.
  type: list
  elements: str
  returned: success
  sample: [server]
problems:
  description: What is wrong, as sentences.
  type: list
  elements: str
  returned: success
  sample: ["/etc/pgbackrest/cert/server.crt expires at 2026-12-01T00:00:00+00:00."]
certificates:
  description: The certificates in the given order.
  type: list
  elements: dict
  returned: success
  contains:
    name:
      description: The given name.
      type: str
      returned: success
      sample: server
    not_after:
      description: End of its life. V(null) when it cannot be read.
      type: str
      returned: success
      sample: "2027-12-24T10:00:00+00:00"
    problems:
      description: What is wrong with it, as sentences.
      type: list
      elements: str
      returned: success
authority:
  description: The authority's certificates.
  type: dict
  returned: success
  contains:
    due:
      description: Whether O(authority) is missing or not what it must be.
      type: bool
      returned: success
      sample: false
    content:
      description: What O(authority) must hold, or else what it holds. V(null) when neither is known.
      type: str
      returned: success
cryptography:
  description: Whether the Python package C(cryptography) is there.
  type: bool
  returned: success
  sample: true
"""

import datetime
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._backup import parse_age
from ..module_utils._certificate import HAS_CRYPTOGRAPHY, Wanted, problems, read, same

CERTIFICATE = {
    "name": {"type": "str", "required": True},
    "path": {"type": "path", "required": True},
    "key": {"type": "path", "required": True, "no_log": False},
    "common_name": {"type": "str", "required": True},
    "subject_alt_names": {"type": "list", "elements": "str", "default": []},
    "owner": {"type": "str"},
    "renew_before": {"type": "str", "default": "0s"},
}


def wanted_certificate(given: t.Mapping[str, t.Any]) -> Wanted:
    """One element of the option. ValueError when it is wrong."""
    return Wanted(
        name=given["name"],
        path=given["path"],
        key=given["key"],
        common_name=given["common_name"],
        names=tuple(given["subject_alt_names"]),
        owner=given["owner"],
        renew_before=parse_age(given["renew_before"]),
    )


def look(params: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """What the module returns. ValueError when an option is wrong."""
    present = read(params["authority"])
    source = params["authority_source"]
    asked = read(source) if source else params["authority_content"]
    content = present if asked is None else asked
    now = datetime.datetime.now(datetime.timezone.utc)
    records: list[dict[str, t.Any]] = []
    for certificate in map(wanted_certificate, params["certificates"]):
        found, end = problems(certificate, content, now)
        records.append({"name": certificate.name, "not_after": end, "problems": found})
    authority_due = not same(present, content)
    own = [f"{params['authority']} is {'missing' if present is None else 'of another authority'}."]
    return {
        "due": [record["name"] for record in records if record["problems"]],
        "problems": [*(own if authority_due else []), *(text for record in records for text in record["problems"])],
        "certificates": records,
        "authority": {"due": authority_due, "content": content},
        "cryptography": HAS_CRYPTOGRAPHY,
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "certificates": {"type": "list", "elements": "dict", "required": True, "options": CERTIFICATE},
            "authority": {"type": "path", "required": True},
            "authority_content": {"type": "str"},
            "authority_source": {"type": "path"},
        },
        mutually_exclusive=[("authority_content", "authority_source")],
        supports_check_mode=True,
    )
    try:
        module.exit_json(changed=False, **look(module.params))
    except ValueError as error:
        module.fail_json(msg=f"certificates: {error}.")
    except OSError as error:
        module.fail_json(msg=f"{error}. Run the task as root (become).")


if __name__ == "__main__":
    main()
