# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Usage: hash_files.py directory... Print a hash of every file below them."""

from __future__ import annotations

import hashlib
import os
import sys


def describe(path: str) -> str:
    """Kind, owner, mode and content."""
    status = os.lstat(path)
    facts = f"{status.st_mode:o} {status.st_uid}:{status.st_gid}"
    if os.path.islink(path):
        return f"{facts} {os.readlink(path)}"
    if os.path.isfile(path):
        with open(path, "rb") as file:
            return f"{facts} {hashlib.sha256(file.read()).hexdigest()}"
    return facts


for root in sys.argv[1:]:
    for directory, directories, names in os.walk(root):
        for name in sorted(directories + names):
            path = os.path.join(directory, name)
            print(path, describe(path))
