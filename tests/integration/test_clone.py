# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module clone: real restores of a source under writes, real servers, started without systemd."""

from __future__ import annotations

import copy
import json
import time
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

import pytest

Run = t.Callable[..., dict[str, t.Any]]
NOW = "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00')"


def codes(result: dict[str, t.Any]) -> list[str]:
    """Codes of the problems of a refused task."""
    assert result["failed"], result
    return [problem["code"] for problem in result.get("problems", [])]


def well(result: dict[str, t.Any]) -> dict[str, t.Any]:
    """The result of a task that did not fail."""
    assert not result["failed"], result
    return result


@dataclass
class Lab:
    """A protected source and one clone of it below a directory of its own."""

    source: t.Any
    run: Run
    name: str = "trial"
    options: dict[str, t.Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.parent = self.source.make_directory("c")
        self.sockets = self.source.make_directory("s")
        self.directory = self.parent / self.name
        self.data = self.directory / "data"

    def restore(self, **options: t.Any) -> dict[str, t.Any]:
        """Restore into the directory of the clone, as the role does."""
        off = {"archive_mode": "off"} if self.source.pg_major >= 12 else {}
        places = {"pgdata": str(self.data), "workspace": str(self.directory / "restore")}
        places["tablespace_map_all"] = str(self.directory / "tablespaces")
        return well(self.run("restore", {**self.source.restoring, **places, **off, **options}))

    def clone(self, check: bool = False, root: bool = False, **options: t.Any) -> dict[str, t.Any]:
        """Run the module."""
        return self.run("clone", {**self.params, **options}, check=check, root=root)

    @property
    def params(self) -> dict[str, t.Any]:
        """What every run of the module gets."""
        given = {"name": self.name, "directory": str(self.directory), "stanza": "main", "bindir": self.source.bindir}
        given.update(owner=self.source_owner, login_user=self.source_owner, socket_directory=str(self.sockets))
        return {**given, "timeout": 60, **self.options}

    @property
    def source_owner(self) -> str:
        """User who runs the source."""
        return self.source.pgdata.owner()

    def remove(self, **options: t.Any) -> dict[str, t.Any]:
        """Let the module remove the clone."""
        return self.clone(state="absent", **options)

    def server(self, port: int, directory: Path | None = None) -> t.Any:
        """The clone as a cluster that can be asked."""
        twin = copy.copy(self.source)
        twin.port, twin.socket_dir = port, str(directory or self.sockets)
        return twin

    def rows(self, result: dict[str, t.Any], sql: str = "SELECT v FROM t ORDER BY v") -> list[str]:
        """What a query on the open clone says."""
        found = self.server(result["clone"]["port"], Path(result["clone"]["socket_directory"]))
        return [row[0] for row in found.sql(sql)]

    @property
    def marker(self) -> dict[str, t.Any]:
        """clone.json."""
        return t.cast("dict[str, t.Any]", json.loads((self.directory / "clone.json").read_text(encoding="utf-8")))

    @property
    def pid(self) -> int | None:
        """Process of the server of the clone."""
        path = self.data / "postmaster.pid"
        return int(path.read_text(encoding="utf-8").split("\n")[0]) if path.exists() else None

    def stop(self, mode: str = "immediate") -> None:
        """Stop the server of the clone, whoever started it."""
        if self.pid:
            twin = copy.copy(self.source)
            twin.pgdata = self.data
            twin.stop(mode)


@pytest.fixture(name="lab")
def lab_fixture(protected: t.Any, run: Run) -> t.Iterator[Lab]:
    """A source with a backup and two commits after it, and nothing of a clone yet."""
    protected.sql("CREATE TABLE t (v text)")
    protected.sql("INSERT INTO t VALUES ('in backup')")
    protected.backup()
    time.sleep(1.1)  # pgBackRest compares whole seconds
    protected.sql("INSERT INTO t VALUES ('later')")
    protected.archive()
    lab = Lab(protected, run)
    yield lab
    lab.stop()


@pytest.mark.matrix
def test_a_clone_is_ready_unchanged_the_second_time_and_goes_without_a_trace(lab: Lab) -> None:
    lab.restore()
    before = sorted(str(path) for path in lab.source.root.rglob("*") if lab.parent not in path.parents)
    first = well(lab.clone(target_type="default"))
    assert (first["changed"], first["state"]) == (True, "open")
    clone = first["clone"]
    assert lab.rows(first) == ["in backup", "later"]
    assert clone["recovered_to"]["reached"] is True
    assert clone["databases"] == ["postgres"]
    assert set(first["seconds"]) == {"start", "recovery", "drop", "sql", "open"}
    for name, value in {"archive_mode": "off", "archive_command": "(disabled)", "port": str(clone["port"])}.items():
        assert lab.rows(first, f"SHOW {name}") == [value]
    if lab.source.pg_major >= 12:
        auto = (lab.data / "postgresql.auto.conf").read_text(encoding="utf-8")
        assert "recovery_target" not in auto and "restore_command" not in auto

    marker = (lab.directory / "clone.json").read_bytes()
    check = well(lab.clone(target_type="default", check=True))
    assert (check["changed"], check["state"], check["diff"]["before"]) == (False, "open", check["diff"]["after"])
    second = well(lab.clone(target_type="default"))
    assert (second["changed"], second["clone"]) == (False, clone)
    assert (lab.directory / "clone.json").read_bytes() == marker

    assert well(lab.remove(check=True))["changed"]
    assert lab.directory.is_dir()
    assert well(lab.remove())["changed"]
    assert not lab.directory.exists()
    assert lab.pid is None
    after = sorted(str(path) for path in lab.source.root.rglob("*") if lab.parent not in path.parents)
    assert [path for path in after if "/pgdata/" not in path] == [path for path in before if "/pgdata/" not in path]
    assert not well(lab.remove())["changed"]
