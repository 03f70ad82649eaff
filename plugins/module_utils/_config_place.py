# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a configuration file lies: permissions, replacing, removing. Private to the collection."""

from __future__ import annotations

import os
import stat
import typing as t

from ._config_file import HEADER, RawSections, parse, read, replaced_main_file

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

DEFAULT_MODE = "0640"
# What the packages of pgBackRest put into /etc/pgbackrest.conf; the path is also the default.
_PACKAGED: tuple[RawSections, ...] = ({}, {"global": {}}, {"global": {"repo1-path": ["/var/lib/pgbackrest"]}})


class Refused(Exception):
    """What was asked for is wrong; ``problems`` are sentences with hints, ``str()`` is all of them."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        numbered = [f"({number}) {problem}" for number, problem in enumerate(problems, 1)]
        super().__init__(problems[0] if len(problems) == 1 else f"{len(problems)} problems: {' '.join(numbered)}")


def file_mode(path: str, mode: str | int | None) -> int | None:
    """Permissions that the file will have when ``mode`` is asked for; None when it is not a number (``u=rw``)."""
    if mode is None:
        return stat.S_IMODE(os.stat(path).st_mode) if os.path.exists(path) else int(DEFAULT_MODE, 8)
    try:
        return mode if isinstance(mode, int) else int(mode, 8)
    except (TypeError, ValueError):
        return None


def check_place(path: str, mode: int | None, has_secrets: bool, may_lack_directory: bool) -> None:
    """Raise Refused when the file cannot stand there or when its secrets could be read by anybody."""
    directory, name = os.path.split(path)
    found = []
    if os.path.isdir(path):
        found.append(f"{path} is a directory: name the file in it.")
    elif os.path.exists(path) and not os.access(path, os.R_OK):
        found.append(f"{path} cannot be read by this user: run the task as its owner or as root (become).")
    if not os.path.isdir(directory) and not may_lack_directory:
        found.append(f"The directory {directory} does not exist: set directories: true to have it made.")
    if os.path.basename(directory) == "conf.d" and not name.endswith(".conf"):
        found.append(f"pgBackRest reads only *.conf in {directory}: let the name {name} end in .conf.")
    if has_secrets and mode is None:
        found.append("mode is no number, but the file holds secrets: write it as a number such as '0640'.")
    elif has_secrets and not os.path.isdir(path) and t.cast(int, mode) & stat.S_IRWXO:
        found.append(
            f"The file holds secrets, and mode {mode:04o} lets every user read or change it: set mode: '0640'."
        )
    if found:
        raise Refused(found)


def check_foreign(path: str, after: str) -> None:
    """Raise Refused when the task would replace or remove what somebody else has written, or take it out of use.

    A file that says the same as ``after`` may be replaced: nothing but its comments is lost.
    """
    before, old = read(path), replaced_main_file(path)
    if before.strip() and not before.startswith(HEADER) and parse(before) != parse(after):
        raise Refused([_foreign_sentence(path, before, "stands there")])
    if after and old and parse(read(old)) not in _PACKAGED:
        raise Refused([_foreign_sentence(old, read(old), f"would not be read any more beside {path}")])


def _foreign_sentence(path: str, content: str, what: str) -> str:
    sections = ", ".join(f"[{section}]" for section in parse(content)) or "no section"
    return (
        f"{path} {what}, and this collection has not written it (it has {sections}). Take over what you need of it, "
        "then set replace: always (in the roles pgbackrest_replace_configuration: true). backup: true keeps a copy."
    )


def place_warnings(path: str, params: t.Mapping[str, t.Any]) -> list[str]:
    """What does not hinder this task, but the next ones."""
    directory, found = os.path.dirname(path), []
    if not os.path.isdir(directory) and not params["directories"]:
        found.append(f"The directory {directory} does not exist yet: set directories: true to have it made.")
    if os.geteuid() == 0 and not os.path.exists(path) and not params["owner"] and not params["group"]:
        found.append(
            f"{path} will belong to root, and pgBackRest run by another user may not read it: set owner or group."
        )
    return found


def write(module: AnsibleModule, path: str, content: str) -> dict[str, str]:
    """Replace the file in one step, with its owner and mode kept. A new one is for this user only at first.

    Returns ``backup_file`` when a copy was asked for.
    """
    directory = os.path.dirname(path)
    if not os.access(directory, os.W_OK):
        raise Refused([f"This user may not write in {directory}: run the task as its owner or as root (become)."])
    kept = _backup(module, path)
    candidate = os.path.join(module.tmpdir, "pgbackrest.conf")
    previous = os.umask(0o077)
    try:
        with open(candidate, "w", encoding="utf-8", newline="") as stream:
            stream.write(content)
        module.atomic_move(candidate, path, unsafe_writes=module.params["unsafe_writes"])
    finally:
        os.umask(previous)
    return kept


def remove(module: AnsibleModule, path: str) -> dict[str, str]:
    """Remove the file; returns ``backup_file`` when a copy was asked for."""
    if os.path.isdir(path) and not os.path.islink(path):
        raise Refused([f"{path} is a directory: name the file in it."])
    if not os.access(os.path.dirname(path), os.W_OK):
        raise Refused([f"This user may not remove {path}: run the task as its owner or as root (become)."])
    kept = _backup(module, path)
    os.unlink(path)
    return kept


def _backup(module: AnsibleModule, path: str) -> dict[str, str]:
    if not module.params["backup"] or not os.path.exists(path):
        return {}
    previous = os.umask(0o077)
    try:
        return {"backup_file": module.backup_local(path)}
    finally:
        os.umask(previous)
