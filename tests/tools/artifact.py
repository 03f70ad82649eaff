# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check what a built collection holds: nothing but what its users need, and nothing of that missing.

Usage: artifact.py <archive> [<version that it is the release of>]
"""

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
REQUIRED = {
    *("MANIFEST.json", "FILES.json", "README.md", "COPYING", "CHANGELOG.rst", "meta/runtime.yml"),
    *("meta/execution-environment.yml", "playbooks/files/awx/execution-environment.yml"),
}


def problems(names: list[str]) -> list[str]:
    """Sentences on the files, relative to the collection, that are too many or too few."""
    unexpected = [name for name in names if not EXPECTED.fullmatch(name) or UNWANTED.search(name)]
    missing = sorted(REQUIRED.difference(names))
    return [f"{name} must not be in it" for name in unexpected] + [f"{name} is missing" for name in missing]


def release_problems(archive: tarfile.TarFile, version: str) -> list[str]:
    """Sentences on a release whose files do not say that they are of this version."""
    expected = {
        "MANIFEST.json": rf'^  "version": "{version}",$',
        "CHANGELOG.rst": rf"^v{version}$",
        "changelogs/changelog.yaml": rf"^  {version}:$",
    }
    found = []
    for name, pattern in expected.items():
        member = archive.extractfile(name) if name in archive.getnames() else None
        text = member.read().decode() if member else ""
        if not re.search(pattern, text, re.MULTILINE):
            found.append(f"{name} does not have {pattern}")
    return found


def main(path: str, version: str | None = None) -> None:
    """Check one archive."""
    with tarfile.open(path) as archive:
        names = [member.name for member in archive if not member.isdir()]
        found = problems(names) + (release_problems(archive, version) if version else [])
    if found:
        sys.exit(f"{path}: " + "; ".join(found))
    print(f"{path}: {len(names)} files as expected")


main(*sys.argv[1:])
