# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who may replicate, in ``pg_hba.conf``. Pure. Private to the collection.

Source: PostgreSQL documentation, "The pg_hba.conf File" and "pg_hba_file_rules".
"""

from __future__ import annotations

import ipaddress
import re
import typing as t
from dataclasses import dataclass

HEADER = "# Managed by Ansible (pgops.pgbackrest.replication): standbys"
_PLAIN = re.compile(r"[A-Za-z0-9_.-]+")
_KEYWORDS = ("all", "replication", "sameuser", "samerole", "samegroup")
KEYWORDS = ("all", "samehost", "samenet")  # in place of an address
Network = t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]


@dataclass(frozen=True)
class Rule:
    """One row of ``pg_hba_file_rules``. ``error`` is set in place of the rest when the line is wrong."""

    line: int
    type: str = ""
    databases: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    address: str | None = None
    netmask: str | None = None
    method: str = ""
    error: str | None = None


def rules_of(rows: t.Iterable[t.Mapping[str, t.Any]]) -> list[Rule]:
    """Rules from the rows of the view."""
    return [
        Rule(
            line=int(row["line_number"]),
            type=row["type"] or "",
            databases=tuple(row["database"] or ()),
            users=tuple(row["user_name"] or ()),
            address=row["address"],
            netmask=row["netmask"],
            method=row["auth_method"] or "",
            error=row["error"],
        )
        for row in rows
    ]


def as_network(address: str) -> Network | None:
    """The network of an IP address or of one with a mask; None for a name.

    >>> as_network("10.0.0.5")
    IPv4Network('10.0.0.5/32')
    """
    try:
        return ipaddress.ip_network(address, strict=False)
    except ValueError:
        return None


def deciding(rules: t.Iterable[Rule], user: str, groups: t.Collection[str], address: str) -> Rule | None:
    """The first rule for replication of this user from all of this address; None when there is none."""
    return next((rule for rule in rules if _is_meant(rule, user, groups) and _covers(rule, address)), None)


def line_for(user: str, address: str) -> str:
    """The line that lets a user replicate from an address.

    >>> line_for("replicator", "10.0.0.5")
    'host    replication     replicator      10.0.0.5/32             scram-sha-256'
    """
    network = as_network(address)
    who = user if _PLAIN.fullmatch(user) and user not in _KEYWORDS else f'"{user}"'
    return f"{'host':<7} {'replication':<15} {who:<15} {str(network or address):<23} scram-sha-256"


def added(text: str, lines: t.Sequence[str]) -> str:
    """The file with these lines at its end, below our header."""
    text = text if text.endswith("\n") or not text else text + "\n"
    header = "" if HEADER in text.split("\n") else f"\n{HEADER}\n"
    return text + header + "".join(f"{line}\n" for line in lines)


def _is_meant(rule: Rule, user: str, groups: t.Collection[str]) -> bool:
    if rule.error or not rule.type.startswith("host") or "replication" not in rule.databases:
        return False
    return any(name in ("all", user) or (name.startswith("+") and name[1:] in groups) for name in rule.users)


def _covers(rule: Rule, address: str) -> bool:
    """Whether the rule is about the whole of an address. What ``samehost`` and ``samenet`` mean is not asked."""
    given = (rule.address or "").lower()
    if given == "all":
        return True
    wanted = as_network(address)
    if wanted is None:
        return given == address.lower() or (given.startswith(".") and address.lower().endswith(given))
    network = as_network(f"{given}/{_length(rule.netmask)}" if rule.netmask else given)
    if isinstance(network, ipaddress.IPv4Network) and isinstance(wanted, ipaddress.IPv4Network):
        return wanted.subnet_of(network)
    if isinstance(network, ipaddress.IPv6Network) and isinstance(wanted, ipaddress.IPv6Network):
        return wanted.subnet_of(network)
    return False


def _length(netmask: str) -> int:
    return bin(int(ipaddress.ip_address(netmask))).count("1")
