# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Barman as it competes: its method rsync over SSH to this host, and its method postgres."""

from __future__ import annotations

import contextlib
import os
import subprocess
import typing as t
from pathlib import Path

from .throwaway import USER, Cluster, as_postgres, checked, empty, free_port, size, wait_until, write


class Barman:
    """One method of Barman, with a home of its own."""

    def __init__(self, directory: Path, cluster: Cluster, method: str, ssh_command: str) -> None:
        self.cluster = cluster
        self.home = empty(directory) / "home"
        empty(self.home)
        self.base, self.incoming = self.home / "bench/base", self.home / "bench/incoming"
        reached = f"host={cluster.socket_dir} port={cluster.port} user={USER}"
        lines: dict[str, t.Any] = {
            "description": method,
            "conninfo": f"{reached} dbname=postgres",
            "backup_method": method,
            "archiver": "on",
            "immediate_checkpoint": "true",
            **(
                {"ssh_command": ssh_command, "parallel_jobs": os.cpu_count(), "reuse_backup": "link"}
                if method == "rsync"
                else {"streaming_conninfo": reached}
            ),
        }
        common: dict[str, t.Any] = {"barman_user": USER, "barman_home": self.home, "log_file": directory / "log"}
        sections = {"barman": common, "bench": lines}
        text = "".join(f"[{name}]\n{_lines(section)}" for name, section in sections.items())
        self.config = write(directory / "barman.conf", text)
        self.archive = f'exec cp "$1" {self.incoming}/'
        self.run("check", "bench", check=False)  # makes the directories
        self.incremental = self.backup if method == "rsync" else None

    def run(self, *words: str, check: bool = True) -> None:
        """Run a command."""
        argv = ["barman", "-q", "-c", str(self.config), *words]
        if check:
            checked(argv)
        else:
            subprocess.run([*as_postgres(), *argv], capture_output=True, check=False, cwd="/")

    def begin(self) -> None:
        """No backup."""
        empty(self.base)

    def ready(self) -> None:
        """A first segment of WAL, without which Barman takes no backup."""
        self.cluster.sql("SELECT pg_switch_wal() FROM pg_logical_emit_message(true, '', '')")
        trouble = f"No WAL comes to {self.incoming}."
        wait_until(lambda: any(self.incoming.iterdir()), trouble, self.cluster, seconds=60)
        self.run("archive-wal", "bench")

    def backup(self) -> None:
        self.run("backup", "bench")

    full = backup
    incremental: t.Callable[[], None] | None

    def forget_incremental(self) -> None:
        """Remove all backups but the first."""
        for path in sorted(self.base.iterdir())[1:]:
            self.run("delete", "bench", path.name)

    def restore(self, target: Path) -> None:
        self.run("recover", "bench", "latest", str(target))

    delta = restore  # by rsync, which copies what differs in size or time

    def size(self) -> int:
        """Bytes of the backups, files with several names once."""
        return size(self.base)


@contextlib.contextmanager
def ssh_server(directory: Path) -> t.Iterator[str]:
    """An SSH server of the clusters' user on a port of the loopback interface; gives the command that reaches it."""
    empty(directory)
    port = free_port()
    for name in ("host", "client"):
        checked(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / name)])
    settings = {
        "Port": port,
        "ListenAddress": "127.0.0.1",
        "HostKey": directory / "host",
        "AuthorizedKeysFile": directory / "client.pub",
        "PidFile": "none",
        "StrictModes": "no",
        "UsePAM": "no",
    }
    config = write(directory / "sshd_config", "".join(f"{name} {value}\n" for name, value in settings.items()))
    argv = ["/usr/sbin/sshd", "-D", "-f", str(config), "-E", str(directory / "log")]
    server = subprocess.Popen(argv, cwd="/", user=USER if os.geteuid() == 0 else None)
    try:
        known = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
        yield f"ssh -F none -i {directory}/client -p {port} {known} -q {USER}@127.0.0.1"
    finally:
        server.terminate()
        server.wait()


def _lines(section: t.Mapping[str, t.Any]) -> str:
    return "".join(f"{name} = {value}\n" for name, value in section.items())
