# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is looked at on the host for a restore plan."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils import _cli
from ansible_collections.pgops.pgbackrest.plugins.module_utils._plan_facts import read_only_archives


@pytest.fixture(name="closed")
def closed_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Repositories below this one are read-only, for root as well; each has an archive of stanza main."""
    for name in ("one", "two"):
        (tmp_path / name / "archive" / "main").mkdir(parents=True)
    access: t.Callable[[str, int], bool] = os.access

    def refused(path: str, mode: int) -> bool:
        return access(path, mode) and not (mode & os.W_OK and path.startswith(str(tmp_path)))

    monkeypatch.setattr(os, "access", refused)
    return tmp_path


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"repo1-path": "one"}, [1]),
        ({"repo1-path": "one", "repo1-type": "cifs", "repo2-path": "two"}, [1, 2]),
        ({"repo1-path": "one", "repo1-host": "backup", "repo2-path": "two"}, [2]),
        ({"repo1-path": "one", "repo1-type": "s3"}, []),
        ({"repo2-path": "two"}, [2]),
        ({"repo2-path": "three"}, []),  # no archive of this stanza there: told elsewhere
        ({}, []),  # repository 1 is at pgBackRest's default
    ],
)
def test_archives_that_cannot_be_written_to(
    closed: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, str], expected: list[int]
) -> None:
    monkeypatch.setattr(_cli, "_DEFAULT_REPOSITORY", str(closed / "none"))
    settings = {name: [str(closed / value) if name.endswith("path") else value] for name, value in options.items()}
    found = read_only_archives(settings, "main")
    assert sorted(found) == expected
    assert all(
        archive == os.path.join(settings[f"repo{key}-path"][0], "archive/main") for key, archive in found.items()
    )
    assert read_only_archives(settings, "other") == {}


def test_the_default_repository_counts_as_any_other(closed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_cli, "_DEFAULT_REPOSITORY", str(closed / "one"))
    for settings in ({}, {"repo1-retention-full": ["2"]}):
        assert read_only_archives(settings, "main") == {1: str(closed / "one/archive/main")}


def test_an_archive_that_can_be_written_to_is_none_of_them(tmp_path: Path) -> None:
    (tmp_path / "archive" / "main").mkdir(parents=True)
    assert read_only_archives({"repo1-path": [str(tmp_path)]}, "main") == {}
