# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What module find_target refuses before it reads any WAL."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

LOG = ["--log-level-console=off", "--log-level-stderr=warn"]
VERSION = (["pgbackrest", "version"], 0, "pgBackRest 2.45\n", "")
FROM = "2026-11-22 20:00:00+00:00"
Run = t.Callable[..., dict[str, t.Any]]
Text = t.Callable[[str], str]


@pytest.fixture(name="config")
def config_fixture(tmp_path: Path) -> str:
    path = tmp_path / "pgbackrest.conf"
    path.write_text("[global]\nrepo1-path=/srv/cluster/repo\n[main]\npg1-path=/srv/cluster/pgdata\n", encoding="utf-8")
    return str(path)


def info(config: str, output: str) -> tuple[list[str], int, str, str]:
    return ["pgbackrest", f"--config={config}", "--stanza=main", *LOG, "--output=json", "info"], 0, output, ""


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"from": "2026-11-22 20:00:00"}, "no offset from UTC"),
        ({"from": "yesterday"}, "not in the form"),
        ({"from": FROM, "until": "2026-11-22 19:00:00+00:00"}, "before it begins"),
        ({"from": FROM, "kinds": ["rewrite"]}, "value of kinds must be one or more of"),
    ],
)
def test_bad_options_start_nothing(run_module: Run, config: str, options: dict[str, t.Any], words: str) -> None:
    result = run_module("find_target", {"stanza": "main", "config": config, **options})
    assert result["failed"] and words in result["msg"]


def test_stanza_that_cannot_be_read(run_module: Run, fixture_text: Text, config: str) -> None:
    answer = info(config, fixture_text("info_missing_2.45.json"))
    result = run_module("find_target", {"stanza": "main", "config": config, "from": FROM}, commands=[VERSION, answer])
    assert result["failed"] and "can be read" in result["msg"] and "Repository 1" in result["msg"]


@pytest.mark.parametrize(
    ("version", "words"),
    [('"15"', "pg_waldump of PostgreSQL 15 is not on this host"), ('"12"', "PostgreSQL 13 to 18, not of 12")],
)
def test_wal_that_cannot_be_read(
    run_module: Run, fixture_text: Text, config: str, tmp_path: Path, version: str, words: str
) -> None:
    answer = info(config, fixture_text("info_full_2.45.json").replace('"version":"15"', f'"version":{version}'))
    options = {"stanza": "main", "config": config, "from": FROM, "bindir": str(tmp_path)}
    result = run_module("find_target", options, commands=[VERSION, answer])
    assert result["failed"] and words in result["msg"]
