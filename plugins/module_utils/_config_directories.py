# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The directories on this host that a configuration file names: which, may they be used, make them.

Private to the collection.
"""

from __future__ import annotations

import grp
import os
import pwd
import re
import stat
import typing as t

from ._cli import local_paths
from ._cluster import user_name
from ._config_file import RawSections, effective, merge
from ._config_place import Refused

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

MODE = "0750"
ENTER, WRITE = 0o1, 0o3
_WRITTEN = re.compile(r"(log|spool|lock|repo\d+)-path$")


def named(own: RawSections, others: t.Sequence[RawSections] = ()) -> list[str]:
    """Directories in which pgBackRest writes on this host and which ``own`` names; ``others`` are read with it.

    Not the repositories of another host or of an object store, and never a data directory.
    """
    together = merge([own, *others])
    found: list[str] = []
    for section, options in own.items():
        owner, dummy, command = section.partition(":")
        place = (None if owner == "global" else owner, command or None)
        repositories = local_paths(effective(together, *place))
        for key, values in effective({section: options}, *place).items():
            if _WRITTEN.match(key) and (not key.startswith("repo") or values[-1] in repositories):
                found.append(os.path.normpath(values[-1]))
    return list(dict.fromkeys(found))


def missing(directory: str) -> list[str]:
    """The directory and those above it that do not exist, in the order in which they must be made."""
    result: list[str] = []
    while not os.path.exists(directory) and directory not in ("", os.sep):
        result.insert(0, directory)
        directory = os.path.dirname(directory)
    return result


def user_of(path: str, owner: str | None) -> int | None:
    """The user to whom the file belongs when it is written; None when that user does not exist yet."""
    if owner is None:
        return os.stat(path).st_uid if os.path.exists(path) else os.geteuid()
    try:
        return int(owner) if owner.isdigit() else pwd.getpwnam(owner).pw_uid
    except KeyError:
        return None


def problems(directories: t.Sequence[str], uid: int | None, bits: int = WRITE) -> list[str]:
    """Why directories cannot be made, or are of no use to the user ``uid``, who needs the permission ``bits``."""
    found = []
    for directory in directories:
        absent = missing(directory)
        existing = os.path.dirname(absent[0]) if absent else directory
        if not os.path.isdir(existing):
            found.append(f"{existing} is no directory: name another place for {directory}, or move it away.")
        elif absent and not os.access(existing, os.W_OK | os.X_OK):
            found.append(f"This user may not make {directory}: run the task as root (become), with owner and group.")
        elif not absent and uid is not None and not may(os.stat(directory), uid, bits):
            found.append(
                f"{directory} belongs to {user_name(os.stat(directory).st_uid)}, and {user_name(uid)}, to whom the "
                f"file belongs, may not {'write in' if bits == WRITE else 'enter'} it: change its owner or mode with "
                "ansible.builtin.file, or name another directory."
            )
    return list(dict.fromkeys(found))


def may(status: os.stat_result, uid: int, bits: int) -> bool:
    """Whether the mode gives a user these permissions; what access control lists allow is not seen."""
    shift = 6 if status.st_uid == uid else 3 if status.st_gid in _groups(uid) else 0
    return uid == 0 or (stat.S_IMODE(status.st_mode) >> shift) & bits == bits


def make(module: AnsibleModule, directories: t.Sequence[str], uid: int | None) -> None:
    """Make directories that do not exist, for the owner and group of the file."""
    owner = module.params["owner"] or (None if uid in (None, os.geteuid()) else str(uid))
    for directory in directories:
        try:
            os.mkdir(directory, 0o700)
        except OSError as error:
            raise Refused([f"{directory} cannot be made: {error.strerror}."]) from None
        wanted = {**module.params, "owner": owner, "mode": MODE, "attributes": None}
        module.set_fs_attributes_if_different(module.load_file_common_arguments(wanted, path=directory), True)


def _groups(uid: int) -> set[int]:
    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        return set()
    return {user.pw_gid, *(group.gr_gid for group in grp.getgrall() if user.pw_name in group.gr_mem)}
