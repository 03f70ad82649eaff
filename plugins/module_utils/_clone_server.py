# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The server of a clone: start, stop, ask. Private to the collection."""

from __future__ import annotations

import os
import shlex
import typing as t
from dataclasses import dataclass
from time import monotonic, sleep

from ._clone_command import needed_settings, words
from ._clone_place import Place, acting_as
from ._cluster import ClusterError, Postmaster, own_server
from ._recovery import last_words
from ._schedule_systemd import order
from ._server_watch import read_log
from ._sql import DatabaseError, connect, query

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

_STOP_PATIENCE = 600  # seconds for the last checkpoint
_START_PATIENCE = 60.0  # seconds for the open server to answer
_GRACE = 5.0  # seconds for its process to appear
_PAUSE = 0.05
_SESSION = (
    "SET statement_timeout = 0",
    "SET lock_timeout = 0",
    "SET idle_in_transaction_session_timeout = 0",
    "SET default_transaction_read_only = off",
    "SET synchronous_commit = on",
)


class CloneFailed(Exception):
    """The work did not come to its end; the text says where and why."""


@dataclass(frozen=True)
class Server:
    """How to start, stop and reach the server of a clone. ``unit``: whether systemd starts the open one."""

    module: AnsibleModule
    place: Place
    bindir: str
    role: str
    unit: bool

    def argv(self, settings: t.Mapping[str, str]) -> list[str]:
        """The server's command line."""
        return [os.path.join(self.bindir, "postgres"), "-D", self.place.data, *words(settings)]

    def running(self) -> Postmaster | None:
        """The server when it runs."""
        with acting_as(self.place.owner):
            found = own_server(self.place.data) if os.path.isdir(self.place.data) else None
        return found if found and found.alive else None

    def is_closed(self, server: Postmaster) -> bool:
        """Whether a running server is one that nobody but its owner reaches."""
        return server.socket_directory == self.place.run

    def needed(self) -> dict[str, int]:
        """Settings that recovery needs; none where the program that tells them is missing. Raises CloneFailed."""
        program = os.path.join(self.bindir, "pg_controldata")
        if not os.access(program, os.X_OK):
            return {}
        rc, stdout, stderr = self._run([program, "-D", self.place.data])
        if rc != 0:
            raise CloneFailed(f"pg_controldata cannot read {self.place.data}: {' '.join(stderr.split())}")
        return needed_settings(stdout)

    def refused_settings(self, settings: t.Mapping[str, str]) -> str | None:
        """What PostgreSQL says against these settings; None when it takes them."""
        tried = {**settings, "config_file": os.devnull}
        program = os.path.join(self.bindir, "postgres")
        rc, dummy, stderr = self._run([program, "-C", "cluster_name", "-D", self.place.data, *words(tried)])
        return None if rc == 0 else " ".join(stderr.split())

    def start(self, argv: t.Sequence[str]) -> None:
        """Start it without waiting. Raises CloneFailed."""
        options = " ".join(shlex.quote(word) for word in argv[3:])
        words_of_start = ["-D", self.place.data, "-l", self.place.log, "-s", "-W", "-o", options, "start"]
        rc, stdout, stderr = self._run([os.path.join(self.bindir, "pg_ctl"), *words_of_start])
        if rc != 0:
            raise CloneFailed(f"pg_ctl cannot start the server: {' '.join((stderr or stdout).split())}")

    def start_open(self, argv: t.Sequence[str]) -> None:
        """Start the open server, by its unit where there is systemd, and wait until it answers. Raises CloneFailed."""
        if self.unit:
            order(self.module, "start", f"{self.place.unit}.service")
        else:
            self.start(argv)
        self._wait_until_it_answers()

    def stop(self, mode: str = "fast") -> None:
        """Stop it, however it was started; it may be down. Raises CloneFailed."""
        if self.unit and os.path.exists(f"/etc/systemd/system/{self.place.unit}.service"):
            order(self.module, "stop", f"{self.place.unit}.service")
        if not self.running():
            return
        arguments = ["-D", self.place.data, "-s", "-m", mode, "-w", "-t", str(_STOP_PATIENCE), "stop"]
        rc, stdout, stderr = self._run([os.path.join(self.bindir, "pg_ctl"), *arguments])
        if rc != 0 and self.running():
            raise CloneFailed(f"pg_ctl cannot stop the server: {' '.join((stderr or stdout).split())}")

    def reload(self) -> None:
        """Let it read pg_hba.conf again."""
        self._run([os.path.join(self.bindir, "pg_ctl"), "-D", self.place.data, "-s", "reload"])

    def session(self, database: str = "postgres") -> t.Any:
        """A connection by the socket that the running server has. Raises DatabaseError."""
        server = self.running()
        if server is None:
            raise DatabaseError(f"The server of the clone {self.place.name} does not run.")
        self.module.params.update(
            login_host=server.socket_directory, login_port=server.port, login_user=self.role, login_db=database
        )
        try:
            with acting_as(self.place.owner):
                connection = connect(self.module)
        finally:
            self.module.params.update(login_host=None, login_db="postgres")
        for statement in _SESSION:
            query(connection, statement)
        return connection

    def ask(self, sql: str, args: t.Sequence[t.Any] | None = None) -> list[dict[str, t.Any]]:
        """Rows of one query in the database postgres. Raises DatabaseError."""
        connection = self.session()
        try:
            return query(connection, sql, args)
        finally:
            connection.close()

    def log(self) -> list[str]:
        """The server's log since its last start."""
        return log_of(self.place)

    def _wait_until_it_answers(self) -> None:
        began, seen = monotonic(), False
        while True:
            server = self.running()
            try:
                if server and server.state.strip() == "ready":
                    self.ask("SELECT 1")
                    return
            except DatabaseError as error:
                if monotonic() - began > _START_PATIENCE:
                    raise CloneFailed(str(error)) from None
            waited = monotonic() - began
            if waited > _START_PATIENCE or (server is None and (seen or waited > _GRACE)):
                raise CloneFailed(
                    f"The server does not come up: {last_words(self.log()) or 'its log does not say why'}."
                )
            seen = seen or server is not None
            sleep(_PAUSE)

    def _run(self, argv: t.Sequence[str]) -> tuple[int, str, str]:
        if os.geteuid() == 0:
            runuser = self.module.get_bin_path("runuser", required=True)
            argv = [runuser, "-u", self.place.owner, "--", *argv]
        # In the C locale, because the output of pg_controldata is translated.
        return t.cast(
            "tuple[int, str, str]", self.module.run_command(list(argv), environ_update={"LC_ALL": "C"}, cwd="/")
        )


def log_of(place: Place) -> list[str]:
    """The log of the server of this clone since its last start."""
    with acting_as(place.owner):
        return read_log(place.log)


def readable_control(server: Server) -> dict[str, int]:
    """As ``Server.needed``, {} where there is no data directory yet."""
    try:
        return server.needed() if os.path.isdir(server.place.data) else {}
    except (CloneFailed, ClusterError):
        return {}
