# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where PostgreSQL's programs of a major version are."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.pgops.pgbackrest.plugins.module_utils._programs import Programs, find_programs


def install(directory: Path, major: int, *names: str) -> str:
    directory.mkdir(parents=True, exist_ok=True)
    for name in names or ("postgres", "pg_waldump"):
        path = directory / name
        path.write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {major}.4 (Debian {major}.4-1)'\n", encoding="utf-8")
        path.chmod(0o755)
    return str(directory)


def test_the_usual_places_come_before_path(tmp_path: Path) -> None:
    first = install(tmp_path / "lib/15/bin", 15)
    other = install(tmp_path / "path", 17, "postgres")
    places = (f"{tmp_path}/lib/{{major}}/bin", f"{tmp_path}/pgsql-{{major}}/bin")
    assert find_programs(15, None, places, other) == Programs(first, True, True)
    assert find_programs(17, None, places, other) == Programs(other, True, False)
    assert find_programs(16, None, places, other) == Programs(None)
    second = install(tmp_path / "pgsql-16/bin", 16)
    assert find_programs(16, None, places, other).bindir == second


def test_a_named_directory_must_have_the_version(tmp_path: Path) -> None:
    named = install(tmp_path / "own", 15)
    assert find_programs(15, named, ()) == Programs(named, True, True)
    wrong = find_programs(17, named, ())
    assert (wrong.bindir, wrong.postgres) == (None, False)
    assert wrong.other == f"{named} has no PostgreSQL 17"


def test_programs_that_do_not_run_do_not_count(tmp_path: Path) -> None:
    broken = Path(install(tmp_path / "broken", 15))
    (broken / "postgres").chmod(0o644)
    (broken / "pg_waldump").write_text("#!/nonexistent\n", encoding="utf-8")
    assert find_programs(15, str(broken), ()).bindir is None
