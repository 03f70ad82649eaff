# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes clones by the playbook, and looks at what they and their source are."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import threading
import time
import typing as t

import playbook
import yaml
from live import as_postgres, wait_for

DIRECTORY = "/var/lib/postgresql/clones"
REPOSITORY = "/backup"
RESTORES = "^[^ ]*pgbackrest .*restore"  # command lines, as patterns for pgrep
MARK = "PGOPS_TESTS_RUN"  # variable by which all processes of a play are found
ROWS = "SELECT count(*), md5(string_agg(id || ' ' || at, ',' ORDER BY id)) FROM ledger"


def variables(name: str, **given: t.Any) -> dict[str, t.Any]:
    """Variables of the playbook."""
    return {"clone_name": name, "clone_result": result_file(name), **given}


def result_file(name: str) -> str:
    """Where the play writes its result."""
    return playbook.ephemeral(f"{name}.json")


def result(name: str) -> dict[str, t.Any]:
    """What the play wrote there."""
    with open(result_file(name), encoding="utf-8") as file:
        return t.cast("dict[str, t.Any]", json.load(file))


def make(name: str, *arguments: str, **given: t.Any) -> dict[str, t.Any]:
    """Make a clone, and return what the play hands to the next step."""
    playbook.succeed("clone", *arguments, variables=variables(name, **given))
    return result(name)


def remove(name: str, **given: t.Any) -> playbook.Outcome:
    """Remove a clone."""
    return playbook.succeed("clone", variables={"clone_name": name, "clone_state": "absent", **given})


def sql_file(name: str, text: str) -> str:
    """A file with SQL on the controller."""
    path = playbook.ephemeral(name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def said(outcome: playbook.Outcome) -> str:
    """The output as one line of words: Ansible wraps long sentences."""
    return " ".join(outcome.output.split())


def refused_together(host: str, cases: t.Mapping[str, t.Mapping[str, t.Any]]) -> dict[str, str]:
    """Ask for several clones that are refused, and return what is told of each.

    One run of Ansible, in which the host has a name and variables of its own for each.
    """
    where = {"ansible_docker_host": f"{os.environ['MOLECULE_SCENARIO_NAME']}-{host}"}
    names = {name: f"case-{number}" for number, name in enumerate(cases)}
    hosts = {names[name]: {"clone_name": names[name], **given, **where} for name, given in cases.items()}
    path = playbook.ephemeral("refused.yml")
    with open(path, "w", encoding="utf-8") as file:
        yaml.safe_dump({"refused": {"hosts": hosts}}, file)
    command = playbook.command_of("clone", f"--inventory={path}", variables={"clone_hosts": "refused"})
    form = {"ANSIBLE_CALLBACK_RESULT_FORMAT": "json", "ANSIBLE_CALLBACK_FORMAT_PRETTY": "false"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **form})
    assert playbook.SECRETS not in done.stdout + done.stderr, "A secret stands in what Ansible printed."
    told: dict[str, str] = dict.fromkeys(names.values(), "")
    for alias, result in re.findall(
        r"^fatal: \[([\w-]+)\]: FAILED! => (\{.*\})$", done.stdout + done.stderr, re.MULTILINE
    ):
        told[alias] += _words(json.loads(result))
    assert all(told.values()), done.stdout
    assert "REMOVED" not in done.stdout  # that nothing was left of it is no news
    return {name: told[alias] for name, alias in names.items()}


def _words(result: dict[str, t.Any]) -> str:
    """Message and problems of a failed task."""
    problems = [problem for problem in result.get("problems") or [] if isinstance(problem, dict)]
    parts = [result["msg"], *(part for problem in problems for part in problem.values())]
    return " ".join(" ".join(map(str, parts)).split()) + " "


# What must not change


def repository(host: t.Any) -> dict[str, str]:
    """Path to hash of every file of the repository."""
    lines = host.check_output(f"find {REPOSITORY} -type f -exec sha256sum {{}} +").splitlines()
    return {path: digest for digest, path in (line.split(maxsplit=1) for line in lines)}


def only_own_wal(before: dict[str, str], after: dict[str, str]) -> None:
    """Nothing of the repository has changed, but for new WAL of the source, which is on its first timeline."""
    assert {path: digest for path, digest in after.items() if path in before} == before
    wal = re.compile(
        rf"{REPOSITORY}/archive/main/15-1/00000001[0-9A-F]{{8}}/00000001[0-9A-F]{{16}}-[0-9a-f]{{40}}\.zst"
    )
    assert [path for path in after if path not in before and not wal.fullmatch(path)] == []


def tree(host: t.Any) -> set[str]:
    """What a play could leave on the host: configuration, units, clones. Not what the servers of clones write."""
    places = f"/etc /run/systemd/transient /var/log/pgbackrest /var/spool {DIRECTORY}"
    of_servers = f"-path '{DIRECTORY}/*/data/*' -prune -o -path '{DIRECTORY}/*/postgresql.log' -o"
    shown = "-printf '%p %m %u %s %l\\n'"
    return set(host.check_output(f"find {places} {of_servers} {shown} 2>/dev/null; true").splitlines())


def traces(host: t.Any, name: str) -> str:
    """Whatever there is of a clone: files, units, processes."""
    return str(
        host.check_output(
            f"ls -d {DIRECTORY}/{name} 2>/dev/null; find /etc/systemd /run/systemd -name '*clone-{name}*';"
            f" systemctl list-units --all --plain --no-legend '*clone-{name}*';"
            f" pgrep -af '{DIRECTORY}/{name}[/ ]' | grep -v pgrep; true"
        )
    )


# Work that goes on beside a play


@contextlib.contextmanager
def writing(host: t.Any) -> t.Iterator[None]:
    """One client of the source commits all the time, each commit a row in the ledger."""
    as_postgres(host, "tee /var/lib/postgresql/write.sql <<'END'\nINSERT INTO ledger DEFAULT VALUES\nEND")
    command = "cd / && runuser -u postgres -- pgbench --no-vacuum --client=1 --rate=200 --time=600"
    thread = threading.Thread(target=host.run, args=(f"{command} --file=/var/lib/postgresql/write.sql postgres",))
    thread.start()
    try:
        yield
        assert host.run("pgrep -x pgbench").rc == 0, "the source did not go on writing"
    finally:
        host.run("pkill -x pgbench")
        thread.join()


@contextlib.contextmanager
def asking(host: t.Any, port: int) -> t.Iterator[list[tuple[float, str, int]]]:
    """Try to connect all the time, by TCP and by the socket. The list grows at the end: time, where, exit status."""
    script = (
        "rm -f /run/tests-stop; until [ -e /run/tests-stop ]; do for where in localhost /var/run/postgresql; do"
        f' pg_isready -q -t 1 -h $where -p {port}; echo "$(date +%s.%N) $where $?"; done; sleep 0.1; done'
    )
    said: list[str] = []
    thread = threading.Thread(target=lambda: said.append(host.check_output(script)))
    thread.start()
    found: list[tuple[float, str, int]] = []
    try:
        yield found
    finally:
        host.check_output("touch /run/tests-stop")
        thread.join()
        words = [line.split() for line in said[0].splitlines()]
        found += [(float(moment), where, int(status)) for moment, where, status in words]


class Play:
    """A run of the playbook that can be killed."""

    def __init__(self, name: str, **given: t.Any) -> None:
        self.mark = f"{os.getpid()}-{time.monotonic_ns()}"
        self.log = playbook.ephemeral(f"play-{self.mark}.log")
        with open(self.log, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                playbook.command_of("clone", variables=variables(name, **given)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, MARK: self.mark},
            )

    def output(self) -> str:
        """What it has said so far."""
        with open(self.log, encoding="utf-8") as log:
            return log.read()

    def wait_until(self, host: t.Any, condition: str) -> None:
        """Come back when a condition, in bash, has come true on the host. The play must be at work all the time."""

        def holds() -> bool:
            assert self.process.poll() is None, f"The play ended before {condition}:\n{self.output()}"
            return bool(host.run(condition).rc == 0)

        wait_for(holds, condition)

    def end(self) -> playbook.Outcome:
        """Wait for its end. No secret stands in what it said."""
        rc = self.process.wait(timeout=300)
        assert playbook.SECRETS not in self.output(), "A secret stands in what Ansible printed."
        return playbook.Outcome(rc, self.output(), {})

    def kill(self) -> None:
        """Kill the controller with all its processes. Nobody on the host hears of it."""
        wanted = f"{MARK}={self.mark}".encode()
        for name in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError), open(f"/proc/{name}/environ", "rb") as file:
                if wanted in file.read().split(b"\0"):
                    os.kill(int(name), signal.SIGKILL)
        self.process.wait()
