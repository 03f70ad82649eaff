# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What else competes: PostgreSQL's own program, and what the machine can do at most."""

from __future__ import annotations

from pathlib import Path

from .throwaway import Cluster, as_user, checked, empty, size


class BaseBackup:
    """``pg_basebackup``: a copy of the directory, or a file that the server compresses with zstd."""

    archive = "exit 0"
    incremental = None
    delta = None

    def __init__(self, directory: Path, cluster: Cluster, zstd: bool) -> None:
        self.cluster, self.zstd = cluster, zstd
        self.directory = directory
        self.copy = directory / "copy"

    def begin(self) -> None:
        """No backup."""
        empty(self.directory)

    def full(self) -> None:
        form = ["-F", "tar", "--compress=server-zstd"] if self.zstd else ["-F", "plain"]
        reached = ["-h", self.cluster.socket_dir, "-p", str(self.cluster.port)]
        checked([f"{self.cluster.bindir}/pg_basebackup", *reached, "-c", "fast", "-D", str(self.copy), *form])

    def restore(self, target: Path) -> None:
        if self.zstd:
            checked(["tar", "-I", "zstd -T0", "-x", "-f", str(self.copy / "base.tar.zst"), "-C", str(target)])
        else:
            checked(["cp", "-a", f"{self.copy}/.", str(target)])

    def size(self) -> int:
        """Bytes of the backup, without the WAL that is beside it."""
        return size(self.copy) - size(self.copy / "pg_wal")


class Limit:
    """Reading, compressing and writing, and nothing else: no order, no checksums, nothing made durable."""

    archive = "exit 0"
    incremental = None
    delta = None

    def __init__(self, directory: Path, cluster: Cluster) -> None:
        self.directory, self.pgdata = directory, cluster.pgdata

    def begin(self) -> None:
        """No backup, and a plain copy to restore from."""
        empty(self.directory)

    def full(self) -> None:
        what = ["-C", str(self.pgdata), "--exclude=./pg_wal/*", "-c", "."]
        result = as_user(["tar", "-I", "zstd -T0", "-f", str(self.directory / "backup.tar.zst"), *what])
        assert result.returncode <= 1, result.stderr  # 1: a file changed while it was read, because the server runs

    def size(self) -> int:
        """Bytes of the backup."""
        return size(self.directory)


class Copy(Limit):
    """The limit of a restore: files copied."""

    def restore(self, target: Path) -> None:
        checked(["cp", "-a", f"{self.pgdata}/base", str(target)])
