# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""pgBackRest as it competes: stock, and as the role ``database`` configures it by default."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

from ...plugins.module_utils._config_file import render
from ...plugins.plugin_utils import _model_configuration
from .throwaway import Cluster, Programs, checked, empty, size, write

STANZA = "main"
Sections = dict[str, dict[str, t.Any]]


class PgBackRest:
    """A configuration of one pgBackRest, with a repository, locks and a spool of its own."""

    def __init__(self, directory: Path, programs: Programs, cluster: Cluster, tuned: bool, **options: t.Any) -> None:
        self.executable = programs.executable
        self.directory, self.repo = empty(directory), empty(directory / "repo")
        self.places = {f"{name}-path": str(empty(directory / name)) for name in ("log", "lock", "spool")}
        reached = {"path": str(cluster.pgdata), "port": cluster.port, "socket-path": cluster.socket_dir}
        sections = defaults(programs, self.repo, reached, options) if tuned else stock(self.repo, reached, options)
        sections["global"] = {**self.places, **sections.get("global", {})}
        self.config = write(directory / "pgbackrest.conf", render(sections))
        self.archive = f'exec {" ".join(self.words())} archive-push "$1"'

    def words(self) -> list[str]:
        """The beginning of every command."""
        return [self.executable, f"--config={self.config}", f"--stanza={STANZA}"]

    def run(self, *words: str) -> str:
        """Run a command, which must succeed."""
        return checked([*self.words(), "--log-level-console=off", *words]).stdout

    def begin(self) -> None:
        """An empty repository with its stanza."""
        empty(self.repo)
        self.run("stanza-create")

    def full(self) -> None:
        self.run("--type=full", "backup")

    def incremental(self) -> None:
        self.run("--type=incr", "backup")

    def forget_incremental(self) -> None:
        """Remove the incremental backup, if there is one."""
        labels = sorted(path.name for path in (self.repo / "backup" / STANZA).glob("*_*"))
        for label in labels:
            self.run(f"--set={label}", "expire")

    def restore(self, target: Path) -> None:
        self.run(f"--pg1-path={target}", "restore")

    def delta(self, target: Path) -> None:
        self.run(f"--pg1-path={target}", "--delta", "restore")

    def size(self) -> int:
        """Bytes of the backups, without archived WAL."""
        return size(self.repo / "backup")


def stock(repo: Path, reached: t.Mapping[str, t.Any], options: t.Mapping[str, t.Any]) -> Sections:
    """The least that pgBackRest can do with: where the cluster and the repository are."""
    return {STANZA: {**{f"pg1-{name}": value for name, value in reached.items()}, "repo1-path": str(repo), **options}}


def defaults(
    programs: Programs, repo: Path, reached: t.Mapping[str, t.Any], options: t.Mapping[str, t.Any]
) -> Sections:
    """What the role writes on a host with one local repository, by the function that renders it there."""
    entry = {
        "stanza": STANZA,
        "hosts": ["localhost"],
        "repositories": [{"type": "posix", "path": str(repo), "retention-full": 2}],
        "options": dict(options),
    }
    cluster = {
        "stanza": STANZA,
        "data_directory": reached["path"],
        "port": reached["port"],
        "socket_directory": reached["socket-path"],
    }
    version = ".".join(map(str, programs.pgbackrest_version))
    found = {"clusters": [cluster], "cpus": os.cpu_count(), "pgbackrest": {"version": version}}
    hostvars = {"localhost": {"__pgbackrest_host": found, "__pgbackrest_clusters": [cluster]}}
    return _model_configuration.database_file(entry, hostvars, "localhost")
