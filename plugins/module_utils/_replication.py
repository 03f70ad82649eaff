# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a server lacks so that standbys can replicate from it. Pure. Private to the collection.

Sources: PostgreSQL documentation, "Log-Shipping Standby Servers", "Hot Standby", "pg_replication_slots".
"""

from __future__ import annotations

import hashlib
import re
import typing as t
from dataclasses import dataclass, field
from datetime import datetime, timezone

from . import _hba as hba
from ._problem import Problem
from ._scram import matches

# A standby refuses to start when its value is smaller than the primary's.
LEAST = (
    "max_connections",
    "max_locks_per_transaction",
    "max_prepared_transactions",
    "max_wal_senders",
    "max_worker_processes",
)
SLOT = re.compile(r"[a-z0-9_]{1,63}")
# What belongs to one host or one server: places, certificates, addresses, archiving, recovery, whom to wait for.
_OWN = re.compile(
    r"(data_directory|hba_file|ident_file|config_file|external_pid_file|stats_temp_directory|log_directory|port|"
    r"cluster_name|unix_socket_\w+|bonjour\w*|ssl|ssl_\w+|krb_\w+|gss_accept_delegation|archive_\w+|restore_command|"
    r"recovery_\w+|promote_trigger_file|trigger_file|primary_\w+|synchronous_standby_names|synchronized_standby_slots|"
    r"oauth_\w+)"
)
_SECRET = re.compile(r"passw|passphrase|secret|token|credential|conninfo|private", re.IGNORECASE)
_NO_SECRET = ("password_encryption",)
_EVERYWHERE = ("*", "0.0.0.0", "::")
_LOOPBACK = ("localhost", "127.0.0.1", "::1", "")


@dataclass(frozen=True)
class Role:
    """The role of the standbys as it is. ``verifier`` is what the server keeps for its password."""

    exists: bool = False
    login: bool = False
    replication: bool = False
    verifier: str | None = None
    valid_until: datetime | None = None
    groups: tuple[str, ...] = ()

    def password_is(self, name: str, password: str) -> str:
        """``right``, ``md5`` for the right one in the old form, ``wrong`` or ``none``."""
        if not self.verifier:
            return "none"
        if matches(password, self.verifier):
            return "right"
        old = "md5" + hashlib.md5((password + name).encode()).hexdigest()
        return "md5" if self.verifier == old else "wrong"


@dataclass(frozen=True)
class Slot:
    """One replication slot. ``kept`` are the bytes of WAL that it holds back."""

    name: str
    physical: bool = True
    active: bool = False
    restart_lsn: str | None = None
    wal_status: str | None = None
    kept: int | None = None

    @property
    def lost(self) -> bool:
        """Whether the WAL it stood for is gone; such a slot is of no use any more."""
        return self.wal_status == "lost"


@dataclass(frozen=True)
class Server:
    """The server as it is."""

    in_recovery: bool
    settings: t.Mapping[str, str]
    role: Role
    slots: t.Sequence[Slot] = ()
    rules: t.Sequence[hba.Rule] = ()


@dataclass(frozen=True)
class Wanted:
    """What the task asks for; ``addresses`` have no names in them any more, of which one may have several.

    ``standbys`` is how many there are at least.
    """

    user: str
    password: str | None = None
    create_user: bool = False
    addresses: t.Sequence[str] = ()
    present: t.Sequence[str] = ()
    absent: t.Sequence[str] = ()
    standbys: int = 1


@dataclass(frozen=True)
class Work:
    """What has to be done."""

    create_role: bool = False
    role_options: tuple[str, ...] = ()
    set_password: bool = False
    lines: tuple[str, ...] = ()
    create: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    busy: tuple[str, ...] = field(default=(), compare=False)  # to be dropped, but somebody uses them

    @property
    def any(self) -> bool:
        """Whether there is anything to do."""
        return self != Work()


def work(server: Server, wanted: Wanted) -> Work:
    """What must change. Nothing about the role unless the task may create it."""
    role, slots = server.role, {slot.name: slot for slot in server.slots}
    options = [word for word, has in (("LOGIN", role.login), ("REPLICATION", role.replication)) if not has]
    mine = wanted.create_user and not server.in_recovery
    stale = [name for name in wanted.present if name in slots and slots[name].lost and not slots[name].active]
    unwanted = [name for name in wanted.absent if name in slots]
    return Work(
        create_role=mine and not role.exists,
        role_options=tuple(options) if mine else (),
        set_password=bool(mine and wanted.password and role.password_is(wanted.user, wanted.password) != "right"),
        lines=tuple(
            hba.line_for(wanted.user, address)
            for address in wanted.addresses
            if not hba.deciding(server.rules, wanted.user, role.groups, address)
        ),
        create=tuple(name for name in wanted.present if name not in slots or name in stale),
        drop=(*stale, *(name for name in unwanted if not slots[name].active)),
        busy=tuple(name for name in unwanted if slots[name].active),
    )


def problems(server: Server, wanted: Wanted, now: datetime | None = None) -> list[Problem]:
    """Everything that keeps standbys from replicating and that this task does not set right."""
    return [
        *_of_settings(server, wanted),
        *_of_role(server, wanted, now or datetime.now(timezone.utc)),
        *_of_hba(server, wanted),
        *_of_slots(server, wanted),
    ]


def _of_settings(server: Server, wanted: Wanted) -> t.Iterator[Problem]:
    settings, needed = server.settings, max(wanted.standbys, len(wanted.present))
    if settings["wal_level"] == "minimal":
        yield Problem(
            "wal_level",
            "wal_level is minimal, with which no standby can follow.",
            "Set wal_level=replica and restart the server. The module pgops.pgbackrest.archiving sets it.",
        )
    if int(settings["max_wal_senders"]) < needed:
        yield Problem(
            "max_wal_senders",
            f"max_wal_senders is {settings['max_wal_senders']}, and {needed} standbys need a connection each.",
            f"Set max_wal_senders to {needed + 2} or more and restart the server.",
        )
    listening = [word.strip() for word in settings["listen_addresses"].split(",")]
    outside = [address for address in wanted.addresses if not _is_loopback(address)]
    if outside and all(word in _LOOPBACK for word in listening):
        yield Problem(
            "listen_addresses",
            f"The server listens on {settings['listen_addresses'] or 'no address'!r} only, so that no other host "
            "reaches it.",
            "Set listen_addresses to * or to an address of this host, and restart the server.",
        )


def _is_loopback(address: str) -> bool:
    network = hba.as_network(address)
    return network.is_loopback if network else address == "localhost"


def _of_role(server: Server, wanted: Wanted, now: datetime) -> t.Iterator[Problem]:
    role, name = server.role, wanted.user
    mine = wanted.create_user and not server.in_recovery
    where = "Do so on the primary, this server is a standby." if server.in_recovery else "Or set create_user: true."
    if not role.exists and not mine:
        yield Problem(
            "user_missing", f"There is no role {name}.", f"Create it with LOGIN, REPLICATION and a password. {where}"
        )
    if role.exists and not mine and not (role.login and role.replication):
        missing = " and ".join(
            word for word, has in (("LOGIN", role.login), ("REPLICATION", role.replication)) if not has
        )
        yield Problem(
            "user_replication",
            f"The role {name} lacks {missing}.",
            f"Give it with ALTER ROLE {name} {missing.replace(' and', '')}. {where}",
        )
    if role.exists and not mine and wanted.password:
        yield from _of_password(server, wanted, where)
    if role.valid_until and role.valid_until <= now:
        yield Problem(
            "user_expired",
            f"The password of role {name} was valid until {role.valid_until.isoformat()} only.",
            f"Prolong it with ALTER ROLE {name} VALID UNTIL 'infinity'.",
        )


def _of_password(server: Server, wanted: Wanted, where: str) -> t.Iterator[Problem]:
    state = server.role.password_is(wanted.user, wanted.password or "")
    if state == "md5" and work(server, wanted).lines:
        yield Problem(
            "user_md5",
            f"The password of role {wanted.user} is kept as md5, with which scram-sha-256 in pg_hba.conf refuses it.",
            f"Set the password again with password_encryption=scram-sha-256. {where}",
        )
    if state in ("wrong", "none"):
        what = "has no password" if state == "none" else "has another password than the given one"
        yield Problem(
            "user_password", f"The role {wanted.user} {what}.", f"Give the right one, or set it on the server. {where}"
        )


def _of_hba(server: Server, wanted: Wanted) -> t.Iterator[Problem]:
    wrong = next((rule for rule in server.rules if rule.error), None)
    if wrong and wanted.addresses:
        yield Problem(
            "pg_hba_wrong",
            f"Line {wrong.line} of pg_hba.conf is wrong: {wrong.error}.",
            "Correct it first, because the server reads nothing of that file before.",
        )
    for address in wanted.addresses:
        rule = hba.deciding(server.rules, wanted.user, server.role.groups, address)
        if rule and rule.method == "reject":
            yield Problem(
                "pg_hba_rejects",
                f"Line {rule.line} of pg_hba.conf rejects replication of {wanted.user} from {address}.",
                "Take that line away, or put one that lets the standby in before it.",
            )


def _of_slots(server: Server, wanted: Wanted) -> t.Iterator[Problem]:
    slots = {slot.name: slot for slot in server.slots}
    for name in [*wanted.present, *wanted.absent]:
        if name in slots and not slots[name].physical:
            yield Problem(
                "slot_is_logical",
                f"The slot {name} is one of logical replication.",
                "Give the standby's slot another name.",
            )
    todo = work(server, wanted)
    total, limit = len(slots) - len(todo.drop) + len(todo.create), int(server.settings["max_replication_slots"])
    if todo.create and total > limit:
        yield Problem(
            "max_replication_slots",
            f"max_replication_slots is {limit}, and {total} slots are needed.",
            f"Set max_replication_slots to {total} or more and restart the server, or drop slots that nobody uses.",
        )


def standby_settings(rows: t.Iterable[t.Mapping[str, t.Any]]) -> dict[str, str]:
    """Of the rows of ``pg_settings`` those that a standby should have as well, as text for a configuration file.

    What stands in ``postgresql.auto.conf`` comes with a backup. But a primary that listens only since its backup would
    give standbys that nobody reaches when they are promoted, so that setting counts wherever it stands. The five that
    a standby must not have smaller are always among them.
    """
    found = {row["name"]: row["value"] for row in rows if row["name"] in LEAST or _is_for_standby(row)}
    return dict(sorted(found.items()))


def _is_for_standby(row: t.Mapping[str, t.Any]) -> bool:
    name, file = row["name"], row["sourcefile"] or ""
    if row["source"] != "configuration file":
        return False
    if name == "listen_addresses":
        return row["value"] in _EVERYWHERE
    if file.endswith("/postgresql.auto.conf"):
        return False
    return not (_OWN.fullmatch(name) or (_SECRET.search(name) and name not in _NO_SECRET))
