# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Usage: tree.py remember | compare. Print what changed on this host, as far as a play of ours might have done it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import typing as t

MEMORY = "/run/pgops-tests-tree.json"
ROOTS = (
    "/etc",
    "/usr/local",
    "/var/lib/dpkg/status",
    "/var/lib/pgbackrest",
    "/var/lib/pgops-pgbackrest",
    "/var/lib/postgresql",
    "/var/log/pgbackrest",
    "/var/spool",
    "/backup",
)
# In a data directory only its settings are ours; the server writes the rest.
OF_THE_SERVER = ("base", "global", "log", "pg_", "postmaster.")
# What the asynchronous archiver touches each time that the server archives.
OF_ARCHIVING = re.compile(r"/var/spool/pgbackrest/lock(/.*)?|/var/log/pgbackrest/[^/]+-archive-push-async\.log")


def describe(path: str) -> list[t.Any]:
    """Everything about a file that a write changes."""
    status = os.lstat(path)
    facts = [oct(status.st_mode), status.st_uid, status.st_gid]
    if os.path.islink(path):
        return [*facts, os.readlink(path)]
    if os.path.isfile(path):
        with open(path, "rb") as file:
            facts.append(hashlib.sha256(file.read()).hexdigest())
    return [*facts, status.st_mtime_ns]


def listing(root: str) -> t.Iterator[str]:
    """All paths at and below ``root``."""
    if os.path.lexists(root):
        yield root
    for directory, directories, files in os.walk(root):
        if os.path.basename(directory) == "archive":  # the server archives when it likes to
            directories.clear()
            continue
        if "PG_VERSION" in files:
            directories[:] = [name for name in directories if not name.startswith(OF_THE_SERVER)]
            files = [name for name in files if not name.startswith(OF_THE_SERVER)]
        paths = (os.path.join(directory, name) for name in directories + files)
        yield from (path for path in paths if not OF_ARCHIVING.fullmatch(path))


def tree() -> dict[str, list[t.Any]]:
    """Path to description. The time of a data directory itself changes with its postmaster.pid."""
    found = {path: describe(path) for root in ROOTS for path in listing(root)}
    return {
        path: facts[:-1] if os.path.exists(os.path.join(path, "PG_VERSION")) else facts for path, facts in found.items()
    }


def main(action: str) -> None:
    """Keep the present state, or print the difference to the one kept."""
    now = tree()
    if action == "remember":
        with open(MEMORY, "w", encoding="utf-8") as file:
            json.dump(now, file)
        return
    with open(MEMORY, encoding="utf-8") as file:
        before = json.load(file)
    for path in sorted(set(before) | set(now)):
        if before.get(path) != now.get(path):
            print(path, "was", before.get(path), "and is", now.get(path))


main(sys.argv[1])
