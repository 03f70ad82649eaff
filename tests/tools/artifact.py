# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check what a built collection holds: nothing but what its users need, and nothing of that missing."""

from __future__ import annotations

import re
import sys
import tarfile

EXPECTED = re.compile(
    r"""
    (MANIFEST|FILES)\.json
    | (README|CONTRIBUTING)\.md | COPYING | CHANGELOG\.rst | changelogs/changelog\.yaml
    | meta/(runtime|execution-environment)\.yml
    | docs/[\w/-]+(\.ko)?\.(md|yml|svg)
    | plugins/[a-z_]+/\w+\.py
    | playbooks/[\w/-]+(\.yml|\.yaml|\.j2|\.cfg)
    | roles/\w+/[\w./-]+
    """,
    re.VERBOSE,
)
UNWANTED = re.compile(r"(^|/)(\.|__pycache__|tests?/|molecule/)|\.pyc$")
REQUIRED = {"MANIFEST.json", "FILES.json", "README.md", "COPYING", "CHANGELOG.rst", "meta/runtime.yml"}


def problems(names: list[str]) -> list[str]:
    """Sentences on the files, relative to the collection, that are too many or too few."""
    unexpected = [name for name in names if not EXPECTED.fullmatch(name) or UNWANTED.search(name)]
    missing = sorted(REQUIRED.difference(names))
    return [f"{name} must not be in it" for name in unexpected] + [f"{name} is missing" for name in missing]


def main(path: str) -> None:
    """Check one archive."""
    with tarfile.open(path) as archive:
        names = [member.name for member in archive if not member.isdir()]
    found = problems(names)
    if found:
        sys.exit(f"{path}: " + "; ".join(found))
    print(f"{path}: {len(names)} files as expected")


main(sys.argv[1])
