# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The work of whole modules grows as the number of backups does, and not as its square.

Work is counted in instructions of the collection's code, which is the same in each run and on each machine.
"""

from __future__ import annotations

import json
import sys
import typing as t
from pathlib import Path
from types import FrameType

import pytest

Run = t.Callable[..., dict[str, t.Any]]
Command = tuple[list[str], int, str, str]

QUIET = ["--log-level-console=off", "--log-level-stderr=warn"]
LONG = ["--log-level-console=detail", "--log-level-stderr=off"]
VERSION = (["pgbackrest", "version"], 0, "pgBackRest 2.45\n", "")
DAY = 86400
CHAIN = 7
FEW = 10 * CHAIN


class Work:
    """Counts the instructions that the collection's own code executes."""

    def __init__(self) -> None:
        self.instructions = 0

    def trace(self, frame: FrameType, event: str, arg: object) -> t.Any:
        """For ``sys.settrace``."""
        if "/plugins/module" not in frame.f_code.co_filename:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self.count

    def count(self, frame: FrameType, event: str, arg: object) -> t.Any:
        """One event of a traced frame."""
        self.instructions += event == "opcode"
        return self.count


def work(function: t.Callable[[], object]) -> int:
    """Instructions of one call."""
    counted, before = Work(), sys.gettrace()
    sys.settrace(counted.trace)
    try:
        function()
    finally:
        sys.settrace(before)
    return counted.instructions


def label(number: int, full: int) -> str:
    """Name of a backup that builds upon a full one."""
    name = f"20200101-{full:06d}F"
    return name if number == full else f"{name}_20200101-{number:06d}I"


def backup(number: int) -> dict[str, t.Any]:
    """As ``info`` tells it: chains of a full backup and incremental ones."""
    full = number - number % CHAIN
    chain = [label(each, full) for each in range(full, number)]
    wal = f"00000001{number // 256:08X}{number % 256:08X}"
    return {
        "archive": {"start": wal, "stop": wal},
        "database": {"id": 1, "repo-key": 1},
        "error": False,
        "info": {"delta": 10, "size": 100, "repository": {"delta": 5, "size": 50}},
        "label": label(number, full),
        "lsn": {"start": f"0/{number:X}000028", "stop": f"0/{number:X}000100"},
        "prior": chain[-1] if chain else None,
        "reference": chain or None,
        "timestamp": {"start": number * DAY, "stop": number * DAY + 60},
        "type": "incr" if chain else "full",
    }


def info(count: int) -> list[dict[str, t.Any]]:
    """The answer of ``pgbackrest info`` for a stanza with so many backups."""
    fine = {"code": 0, "message": "ok"}
    backups = [backup(number) for number in range(count)]
    archive = {"min": backups[0]["archive"]["start"], "max": backups[-1]["archive"]["stop"]}
    return [
        {
            "name": "main",
            "status": {**fine, "lock": {"backup": {"held": False}}},
            "repo": [{"key": 1, "cipher": "none", "status": fine}],
            "db": [{"id": 1, "repo-key": 1, "system-id": 7711103432488110519, "version": "15"}],
            "archive": [{"database": {"id": 1, "repo-key": 1}, "id": "15-1", **archive}],
            "backup": backups,
        }
    ]


@pytest.fixture(name="config")
def config_fixture(tmp_path: Path) -> str:
    path = tmp_path / "pgbackrest.conf"
    path.write_text("[global]\nrepo1-path=/srv/repo\n[main]\npg1-host=db\npg1-path=/srv/pgdata\n", encoding="utf-8")
    return str(path)


def reading(config: str, count: int) -> Command:
    """The command that asks for all backups, and its answer."""
    argv = ["pgbackrest", f"--config={config}", "--stanza=main", *QUIET, "--output=json", "info"]
    return argv, 0, json.dumps(info(count)), ""


def removing(config: str, count: int) -> Command:
    """The dry run of an expire of all but the newest chains, with the WAL between backups, and its answer."""
    argv = ["pgbackrest", f"--config={config}", "--stanza=main", *LONG, "--repo=1", "--dry-run", "expire"]
    found = info(count)[0]["backup"][: -2 * CHAIN]
    texts = [f"repo1: remove expired backup {each['label']}" for each in found]
    texts += [f"repo1: 15-1 remove archive, start = {wal}, stop = {wal}" for wal in map(first_wal, found)]
    lines = [f"2026-11-23 00:00:00.000 P00   INFO: [DRY-RUN] {text}" for text in texts]
    ended = "2026-11-23 00:00:00.000 P00   INFO: expire command end: completed successfully (1ms)"
    return argv, 0, "\n".join([*lines, ended]), ""


def first_wal(found: dict[str, t.Any]) -> str:
    """First segment of a backup."""
    return str(found["archive"]["start"])


@pytest.mark.parametrize(
    ("module", "options", "scripts"),
    [
        ("backup_info", {}, [reading]),
        ("backup_info", {"newest": 3}, [reading]),
        ("backup_info", {"backups": False}, [reading]),
        ("expire", {}, [reading, removing]),
        ("backup", {"max_age": "1d"}, [reading]),
    ],
)
def test_work_grows_as_the_backups_do(
    run_module: Run, config: str, module: str, options: dict[str, t.Any], scripts: list[t.Callable[..., Command]]
) -> None:
    def instructions(count: int) -> int:
        commands = [VERSION, *(script(config, count) for script in scripts)]
        params = {"stanza": "main", "config": config, **options}
        results: list[dict[str, t.Any]] = []
        done = work(lambda: results.append(run_module(module, params, check=True, commands=commands)))
        assert not results[0].get("failed"), results[0]
        return done

    few, more, many = (instructions(count) for count in (FEW, 2 * FEW, 3 * FEW))
    assert more - few > FEW  # each backup is looked at
    assert many - more < 1.1 * (more - few), (few, more, many)
