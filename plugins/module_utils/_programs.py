# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""PostgreSQL's programs of one major version on this host. Reads only. Private to the collection."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import typing as t
from dataclasses import dataclass

# Debian's packages, and those of the PostgreSQL project for the RHEL family
_PLACES = ("/usr/lib/postgresql/{major}/bin", "/usr/pgsql-{major}/bin")
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")


@dataclass(frozen=True)
class Programs:
    """Where the programs of one major version are; ``bindir`` is None when there are none of that version here.

    ``other`` says what was found instead, as a sentence.
    """

    bindir: str | None
    postgres: bool = False
    pg_waldump: bool = False
    other: str | None = None

    def to_dict(self) -> dict[str, t.Any]:
        """The programs as module result."""
        return {"bindir": self.bindir, "postgres": self.postgres, "pg_waldump": self.pg_waldump}


def find_programs(
    major: int, bindir: str | None = None, places: t.Sequence[str] = _PLACES, path: str | None = None
) -> Programs:
    """The programs of a major version: in ``bindir``, which the user named, else in the usual places and in PATH."""
    if bindir is not None:
        return _programs(major, bindir) or Programs(None, other=f"{bindir} has no PostgreSQL {major}")
    candidates = [place.format(major=major) for place in places]
    in_path = shutil.which("postgres", path=path) or shutil.which("pg_waldump", path=path)
    if in_path:
        candidates.append(os.path.dirname(os.path.realpath(in_path)))
    found = (_programs(major, candidate) for candidate in candidates)
    return next((programs for programs in found if programs), Programs(None))


def _programs(major: int, bindir: str) -> Programs | None:
    there = {name: _version(os.path.join(bindir, name)) == major for name in ("postgres", "pg_waldump")}
    return Programs(bindir, there["postgres"], there["pg_waldump"]) if any(there.values()) else None


def _version(program: str) -> int | None:
    """Major version that a program of PostgreSQL tells; None when it does not run."""
    if not os.access(program, os.X_OK):
        return None
    try:
        # pylint: disable-next=ansible-bad-function  # needs no AnsibleModule: the reader of WAL has none
        result = subprocess.run(
            [program, "--version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "LC_ALL": "C"},
            text=True,
            check=False,
        )
    except OSError:
        return None
    match = _VERSION.search(result.stdout)
    return int(match.group(1)) if match else None
