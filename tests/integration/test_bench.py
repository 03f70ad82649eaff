# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The benchmark works from measuring to the rendered page, and the tuned defaults are worth it. No time is asserted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.pgops.pgbackrest.tests.bench import __main__ as program, backup, knobs, measure


@pytest.mark.timeout(600)
def test_smoke(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["backup", "--smoke", "--runs=2", "--megabytes=60", f"--output={tmp_path}"]
    assert program.main(words) == 0
    assert "full:\nround 1 of 2: " in capsys.readouterr().out

    result = json.loads((tmp_path / "benchmarks-backup.json").read_text(encoding="utf-8"))
    tables = {table["key"]: table["measured"] for table in result["tables"]}
    assert set(tables) == {"full", "incremental", "restore", "delta"}
    for measured in tables.values():
        assert {len(values) for values in measured.values()} == {2}
    full = tables["full"]
    ratio = measure.median(measure.ratios(full, to=backup.STOCK)[backup.OURS])
    assert ratio > 1, f"The defaults are not faster than stock pgBackRest: {full}"
    sizes = result["tables"][0]["beside"]["size (MB)"]
    assert int(sizes[backup.OURS]) <= int(sizes[backup.STOCK])

    page = (tmp_path / program.PAGE).read_text(encoding="utf-8")
    assert f"| {backup.OURS} |" in page
    assert "**Full backup**" in page


@pytest.mark.timeout(600)
def test_smoke_of_single_options(tmp_path: Path) -> None:
    assert program.main(["knobs", "--smoke", f"--output={tmp_path}"]) == 0

    result = json.loads((tmp_path / "benchmarks-knobs.json").read_text(encoding="utf-8"))
    tables = {table["key"]: table for table in result["tables"]}
    assert set(tables) == {"full", "restore", "incremental", "restore-incremental"}
    files = {name: int(text.replace(",", "")) for name, text in tables["full"]["beside"]["files"].items()}
    assert files[knobs.DEFAULTS] < files["repo1-bundle=n"] / 10
    sizes = {name: float(text) for name, text in tables["incremental"]["beside"]["size (MB)"].items()}
    assert sizes[knobs.DEFAULTS] < sizes["repo1-block=n"]
