# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where everything of a clone is, and work there as its owner. Private to the collection.

The directory belongs to an unprivileged user, who could put links into it. So root reads, writes and removes nothing
there in its own name.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import typing as t
from dataclasses import dataclass

from . import _durable
from ._cluster import owner as owner_of
from ._directory import MANIFEST, SIGNAL_FILES

DEFAULT_PARENT = "/var/lib/postgresql/clones"
LONGEST_SOCKET = 107  # bytes, sun_path of Linux with its end
_MARKER = "clone.json"
# What may be there, and what is removed with the clone; the marker comes last.
_ENTRIES = (
    "data",
    "tablespaces",
    "restore",
    "run",
    "pgbackrest",
    "pgbackrest.conf",
    "postgresql.conf",
    "pg_hba.conf",
    "pg_ident.conf",
    "postgresql.log",
)


@dataclass(frozen=True)
class Place:
    """The directory of a clone and the names in it."""

    name: str
    directory: str
    owner: str

    @property
    def data(self) -> str:
        """The data directory."""
        return self._at("data")

    @property
    def run(self) -> str:
        """The directory of the socket while the clone is closed."""
        return self._at("run")

    @property
    def log(self) -> str:
        """The server's log."""
        return self._at("postgresql.log")

    @property
    def configuration(self) -> str:
        """The configuration file of the server."""
        return self._at("postgresql.conf")

    @property
    def hba(self) -> str:
        """Who may connect to the open clone."""
        return self._at("pg_hba.conf")

    @property
    def closed_hba(self) -> str:
        """Who may connect to the closed clone: who can reach its socket."""
        return os.path.join(self.run, "pg_hba.conf")

    @property
    def ident(self) -> str:
        """Users of the operating system and their roles."""
        return self._at("pg_ident.conf")

    @property
    def marker(self) -> str:
        """The file that says that this is the clone, and what it was made of."""
        return self._at(_MARKER)

    @property
    def unit(self) -> str:
        """The unit of the server, without suffix."""
        return f"postgresql-clone-{self.name}"

    def _at(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def there(self) -> bool:
        """Whether the directory is there."""
        return os.path.isdir(self.directory) and not os.path.islink(self.directory)

    def entries(self) -> list[str]:
        """Names in the directory that are the clone's."""
        with acting_as(self.owner):
            names = os.listdir(self.directory) if self.there() else []
        return sorted(name for name in names if name in (*_ENTRIES, _MARKER))

    def foreign(self) -> list[str]:
        """Names in the directory that nobody knows."""
        with acting_as(self.owner):
            names = os.listdir(self.directory) if self.there() else []
        return sorted(name for name in names if name not in (*_ENTRIES, _MARKER, f"{_MARKER}.tmp"))


@contextlib.contextmanager
def acting_as(owner: str) -> t.Iterator[None]:
    """Open, make and remove files as this user where root runs the task; everybody else stays who he is."""
    if os.geteuid() != 0:
        yield
        return
    account, group, groups = pwd.getpwnam(owner), os.getegid(), os.getgroups()
    os.initgroups(owner, account.pw_gid)
    os.setegid(account.pw_gid)
    os.seteuid(account.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)


def read_marker(place: Place) -> dict[str, t.Any] | None:
    """What clone.json says; None without one. Raises ClusterError."""
    with acting_as(place.owner):
        return _durable.read_json(place.marker)


def write_marker(place: Place, marker: t.Mapping[str, t.Any]) -> None:
    """Write clone.json."""
    with acting_as(place.owner):
        _durable.write_json(place.marker, marker)


def write_text(place: Place, path: str, text: str) -> bool:
    """Let a file have this text (mode 0600), all at once; returns whether it was different."""
    with acting_as(place.owner):
        if read_text(path) == text:
            return False
        _durable.write_text(path, text)
    return True


def read_text(path: str) -> str | None:
    """Text of a regular file; None when there is none."""
    if os.path.islink(path) or not os.path.isfile(path):
        return None
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def make_run_directory(place: Place) -> None:
    """Make the private directory of the socket, and let nobody else into one that is there."""
    with acting_as(place.owner):
        os.makedirs(place.run, mode=0o700, exist_ok=True)
        os.chmod(place.run, 0o700)


def restored_and_never_started(data: str) -> bool:
    """Whether this is a cluster as a restore leaves it, before its first start."""
    return os.path.exists(os.path.join(data, "PG_VERSION")) and any(
        os.path.exists(os.path.join(data, name)) for name in ("backup_label", *SIGNAL_FILES)
    )


def left_by_a_restore(place: Place) -> bool:
    """Whether the directory holds no more than a restore that nobody has started, complete or not."""
    with acting_as(place.owner):
        names = os.listdir(place.directory)
        # The role clone writes its configuration before the plan of the restore, which may refuse.
        begun = "restore" in names or {"pgbackrest.conf", "pgbackrest"} <= set(names)
        if not begun or not set(names) <= set(_ENTRIES):
            return False
        data = os.listdir(place.data) if os.path.isdir(place.data) else []
        return not data or MANIFEST in data or "PG_VERSION" not in data or restored_and_never_started(place.data)


def belongs_to(place: Place) -> str | None:
    """Name of the owner of the directory; None where it is missing."""
    return owner_of(place.directory) if place.there() else None


def remove_files(place: Place) -> list[str]:
    """Remove what is the clone's, the marker last, without following links; returns what else is there and stays."""
    with acting_as(place.owner):
        for name in (*_ENTRIES, f"{_MARKER}.tmp", _MARKER):
            _remove(os.path.join(place.directory, name))
        rest = sorted(os.listdir(place.directory))
        if not rest:
            with contextlib.suppress(PermissionError):  # the directory above may be root's
                os.rmdir(place.directory)
    if not rest and place.there():
        os.rmdir(place.directory)  # an empty directory or nothing
    return rest


def removed_names() -> tuple[str, ...]:
    """What `remove_files` removes, in its order."""
    return (*_ENTRIES, _MARKER)


def _remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)
