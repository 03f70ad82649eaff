# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs the playbook ``restore``, waits for points in its work, and hurts it there."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import time
import typing as t
from dataclasses import dataclass

from live import PATIENCE, connect, query, wait_for
from playbook import SECRETS, command_of, ephemeral

PORTS = {"main": 5432, "web": 5433}
REPOSITORY = "/var/lib/pgbackrest"
MARK = "PGOPS_TESTS_RUN"  # variable by which all processes of a play are found
# Command lines, as patterns for pgrep. No shell that looks for them is found by them.
ASKS = "^[^ ]*pgbackrest .*(info|version)"
RESTORES = "^[^ ]*pgbackrest .*restore"
CHECKS = "^[^ ]*pgbackrest .*check"
HASH = os.path.join(os.path.dirname(__file__), "..", "files", "hash_files.py")


@dataclass
class Ended:
    """How a play ended."""

    rc: int
    output: str

    def failure(self) -> dict[str, t.Any]:
        """What the task returned that failed."""
        assert self.rc != 0, self.output
        found = re.findall(r"^fatal: \[[^]]+\]: FAILED! => (\{.*\})$", self.output, re.MULTILINE)
        assert found, self.output
        result: dict[str, t.Any] = json.loads(found[-1])
        # Of a refused plan it names the codes of the problems; the sentences stand before that.
        codes = re.search(r"The restore is refused for .*, see above: ([a-z_, ]+)\.", str(result.get("msg")))
        if codes:
            shown = re.findall(r"^TASK \[[^]]*WHY NOT\] .*\n.*? => (\{.*\})$", self.output, re.MULTILINE)
            result["msg"] = " ".join(line.strip() for line in json.loads(shown[-1])["msg"])
            result["problems"] = [{"code": code} for code in codes.group(1).split(", ")]
        return result

    def message(self) -> str:
        """What it says to people: the sentence of the task that failed."""
        return str(self.failure()["msg"])

    def changed(self) -> int:
        """Number of tasks that changed something."""
        return int(re.findall(r"^db1 +: .*changed=(\d+)", self.output, re.MULTILINE)[-1])


class Play:
    """A run of the playbook that can be killed."""

    def __init__(self, stanza: str, **variables: t.Any) -> None:
        self.mark = f"{os.getpid()}-{time.monotonic_ns()}"
        self.log = ephemeral(f"play-{self.mark}.log")
        given = {"restore_stanza": stanza, "restore_confirm": stanza, **variables}
        environment = {
            **os.environ,
            MARK: self.mark,
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
            "ANSIBLE_CALLBACK_FORMAT_PRETTY": "false",
        }
        with open(self.log, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                command_of("restore", variables=given),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
            )

    def output(self) -> str:
        """What it has said so far."""
        with open(self.log, encoding="utf-8") as log:
            return log.read()

    def end(self) -> Ended:
        """Wait for its end. No secret stands in what it said."""
        rc = self.process.wait(timeout=3 * PATIENCE)
        output = self.output()
        assert SECRETS not in output, "A secret stands in what Ansible printed."
        return Ended(rc, output)

    def kill(self) -> None:
        """Kill the controller with all its processes. Nobody on the host hears of it."""
        for number in self._processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        self.process.wait()

    def _processes(self) -> list[int]:
        wanted, found = f"{MARK}={self.mark}".encode(), []
        for name in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError), open(f"/proc/{name}/environ", "rb") as file:
                if wanted in file.read().split(b"\0"):
                    found.append(int(name))
        return found


def play(stanza: str, **variables: t.Any) -> Ended:
    """Run the playbook to its end, be it good or bad."""
    return Play(stanza, **variables).end()


def finish(stanza: str, **variables: t.Any) -> Ended:
    """Run the playbook, which must succeed."""
    ended = play(stanza, **variables)
    assert ended.rc == 0, ended.output
    return ended


def container() -> str:
    """Docker's name of the host."""
    return f"{os.environ['MOLECULE_SCENARIO_NAME']}-db1"


def wait_until(run: Play, *conditions: str, then: str = "true") -> None:
    """Run ``then`` on the host when the conditions have come true there one after the other, all of them bash.

    The play must be at work all the time.
    """
    script = "".join(f"until {condition}; do sleep 0.03; done; " for condition in conditions) + then
    with subprocess.Popen(["docker", "exec", container(), "bash", "-c", script], stdin=subprocess.DEVNULL) as watch:
        end = time.monotonic() + PATIENCE
        try:
            while watch.poll() is None:
                assert run.process.poll() is None, f"The play ended before {conditions}:\n{run.output()}"
                assert time.monotonic() < end, f"It never came to {conditions}:\n{run.output()}"
                time.sleep(0.02)
        finally:
            watch.kill()
    assert watch.returncode == 0, f"{then!r} failed"


def data(stanza: str) -> str:
    """The data directory."""
    return {"main": "/var/lib/postgresql/15/main", "web": "/srv/disk/web"}[stanza]


def works(pattern: str) -> str:
    """Condition: there is a process with such a command line."""
    return f"pgrep -f '{pattern}' >/dev/null"


def is_stopped(stanza: str) -> str:
    """Condition: the server is down."""
    return f"[ ! -e {data(stanza)}/postmaster.pid ]"


def is_half_restored(stanza: str) -> str:
    """Condition: pgBackRest writes files."""
    manifests = " ".join(f"{place}/backup.manifest" for place in (data(stanza), f"{data(stanza)}.restore/data"))
    return f"{{ {works(RESTORES)} && ls {manifests} 2>/dev/null | grep -q . ; }}"


def has_receipt(stanza: str) -> str:
    """Condition: a restore has ended since ``forget_receipts``."""
    return f"[ {data(stanza)}.restore/receipt.json -nt /run/tests-marker ]"


def replays(stanza: str) -> str:
    """Condition: the server recovers."""
    return works(startup(stanza))


def startup(stanza: str) -> str:
    """Pattern of the process that replays WAL."""
    return f"^postgres: 15/{stanza}: startup"


def is_promoted(stanza: str) -> str:
    """Condition: the server is up and out of recovery."""
    ask = f"runuser -u postgres -- psql -XAtqp {PORTS[stanza]} -c 'SELECT pg_is_in_recovery()' 2>/dev/null"
    return f'[ "$(cd /; {ask})" = f ]'


def send(name: str, pattern: str) -> str:
    """Action: a signal to all processes with such a command line."""
    return f"pkill -{name} -f '{pattern}'"


def set_marker(host: t.Any) -> None:
    """From now on, ``has_receipt`` means a new one."""
    host.check_output("touch /run/tests-marker")


def hashes(host: t.Any, *roots: str) -> dict[str, str]:
    """Path to hash of everything below these directories."""
    with open(HASH, encoding="utf-8") as script:
        lines = host.check_output(f"python3 - {' '.join(roots)} <<'END'\n{script.read()}\nEND").splitlines()
    return dict(line.split(" ", 1) for line in lines)


def server(host: t.Any, stanza: str) -> str:
    """Which postmaster runs, and since when."""
    return f"{host.file(data(stanza)).is_directory} " + str(
        host.check_output("cat %s", f"{data(stanza)}/postmaster.pid").splitlines()[:4]
    )


@contextlib.contextmanager
def untouched(host: t.Any, stanza: str) -> t.Iterator[None]:
    """The same server runs before and after, and every byte of the data directories and the repository is the same.

    All but the WAL segments that the servers write to: there they note every 15 seconds which transactions run.
    """
    written = tuple(_settled(host, each) for each in PORTS)

    def present() -> tuple[str, dict[str, str]]:
        found = hashes(host, "/var/lib/postgresql", f"{data('web')}*", f"{REPOSITORY}/archive", f"{REPOSITORY}/backup")
        return server(host, stanza), {path: facts for path, facts in found.items() if path not in written}

    before = present()
    yield
    after = present()
    assert after[0] == before[0]
    assert {path for path in {*before[1], *after[1]} if before[1].get(path) != after[1].get(path)} == set()


def _settled(host: t.Any, stanza: str) -> str:
    """Wait until a server has nothing more to write by itself. Returns the WAL segment that it writes to."""
    wal = f"{data(stanza)}/pg_wal"
    if query(host, "SELECT pg_is_in_recovery()", port=PORTS[stanza]) == "f":
        query(host, "CHECKPOINT", port=PORTS[stanza])
    wait_for(lambda: host.run(f"ls {wal}/archive_status/*.ready").rc != 0, "an archiver that has nothing to do")
    name = host.check_output("ls -t %s/ | grep -m 1 -E '^[0-9A-F]{24}$'", wal)
    return f"{host.file(wal).linked_to if host.file(wal).is_symlink else wal}/{name}"


def moment(host: t.Any, stanza: str) -> str:
    """Now, as the server sees it."""
    form = "YYYY-MM-DD HH24:MI:SS.US+00:00"
    return query(host, f"SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', '{form}')", port=PORTS[stanza])


def make_read_only(host: t.Any) -> None:
    """The file system of the repository takes nothing any more."""
    host.check_output(f"mount --bind {REPOSITORY} {REPOSITORY} && mount -o remount,bind,ro {REPOSITORY}")


def make_writable(host: t.Any) -> None:
    """Undo ``make_read_only``."""
    host.check_output("umount -l %s", REPOSITORY)


def break_archiving(host: t.Any, stanza: str) -> None:
    """No WAL arrives any more, as no directory for WAL takes files. The plan of a restore does not look there."""
    host.check_output("find %s -type d -exec chmod u-w {} +", f"{REPOSITORY}/archive/{stanza}/15-1")


def mend_archiving(host: t.Any, stanza: str) -> None:
    """Undo ``break_archiving``."""
    host.check_output("find %s -type d -exec chmod u+w {} +", f"{REPOSITORY}/archive/{stanza}/15-1")


def crash(host: t.Any, stanza: str) -> None:
    """Kill the server without any warning. It leaves postmaster.pid and WAL that no repository has."""
    host.check_output(
        "kill -9 $(head -n 1 %s/postmaster.pid) && while pgrep -f %s >/dev/null; do sleep 0.1; done",
        data(stanza),
        # The second: a process that was forked just now, and has no title yet.
        f"^(postgres: 15/{stanza}: |/usr/lib/postgresql/15/bin/postgres -D {data(stanza)} )",
    )


def lose_power() -> None:
    """End the host from one moment to the next, and start it again."""
    for action in ("kill", "start"):
        subprocess.run(["docker", action, container()], check=True, stdout=subprocess.DEVNULL)
    host = connect("db1")
    wait_for(
        lambda: host.run("systemctl is-system-running").stdout.strip() in ("running", "degraded"), "a running system"
    )


def state(host: t.Any, stanza: str) -> str:
    """What stands on the host, in words."""
    pgdata, workspace = data(stanza), f"{data(stanza)}.restore"

    def count(pattern: str) -> int:
        return len(host.run(f"ls -d {pattern} 2>/dev/null").stdout.split())

    status = host.run(f"pg_lsclusters -h 15 {stanza}").stdout.split()[3].partition(",")[0]
    facts = [
        f"server {status}",
        "half a restore in the data directory" if count(f"{pgdata}/backup.manifest") else "",
        "half a restore beside it" if count(f"{workspace}/data/backup.manifest") else "",
        "a whole restore, not started" if count(f"{pgdata}/recovery.signal") and status == "down" else "",
        "old directory kept" if count(f"{pgdata}.before-*") else "",
        f"{count(f'{workspace}/rescued/*/0*')} files of WAL rescued",
        "receipt" if count(f"{workspace}/receipt.json") else "no receipt",
    ]
    return ", ".join(filter(None, facts))


@dataclass
class Table:
    """A Markdown table that grows with the tests."""

    name: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]]

    def add(self, *cells: str) -> None:
        """One row more."""
        self.rows.append(cells)

    def text(self) -> str:
        """The table as Markdown."""
        lines = [self.head, ("---",) * len(self.head), *self.rows]
        return "".join("| " + " | ".join(_cell(cell) for cell in line) + " |\n" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


TRAPS = Table("traps", ("trap", "result", "server, data directory, repository", "what it says"), [])
FAULTS = Table("faults", ("fault", "mode", "what is left", "next run", "rows"), [])
