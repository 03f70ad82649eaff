# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Throw-away hosts with systemd and a cluster each, and plays on them over SSH: containers like those of molecule."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import subprocess
import tempfile
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

COLLECTION = Path(__file__).resolve().parents[2]
BUILD = COLLECTION / ".build"
TOOLS = COLLECTION / "tests/tools"
PLAYBOOK = str(BUILD / "hosts/bin/ansible-playbook")
SUITE = "bookworm"
FORKS = "50"
# What docs/performance.md advises.
SETTINGS = "[defaults]\ninternal_poll_interval = 0.02\n[connection]\npipelining = true\n"
LABEL = "--label=pgops.pgbackrest.tests=bench"
PASSPHRASE = "Only-for-these-tests-of-speed"
_CLUSTER = (
    "v=$(ls /usr/lib/postgresql | tail -n 1)"
    " && pg_createcluster $v main -- --encoding UTF8 && systemctl start postgresql@$v-main"
)
_SSH = 'install -d -m 0700 /root/.ssh && echo "$0" >/root/.ssh/authorized_keys && ssh-keygen -A && systemctl start ssh'


@dataclass(frozen=True)
class Play:
    """What a run of a playbook took, in all and of the controller's processors, and the results of its tasks."""

    seconds: float
    controller: float
    results: list[dict[str, t.Any]]

    def reaching(self, host: str) -> list[str]:
        """The names of the tasks that were carried out on a host, not only on the controller."""
        return [result["task"] for result in self.results if result["host"] == host and result["reached"]]

    def task(self, module: str) -> list[float]:
        """The seconds that each task of a module took."""
        return [result["seconds"] for result in self.results if result["action"].rpartition(".")[2] == module]


class Hosts:
    """The hosts of one inventory."""

    def __init__(self, directory: Path, addresses: t.Mapping[str, str], processors: t.Collection[int]) -> None:
        """``processors`` are those of the controller, none for all."""
        self.directory, self.addresses, self.names = directory, addresses, list(addresses)
        self.bound = ["taskset", "--cpu-list", _listed(processors)] if processors else []
        (directory / "ansible.cfg").write_text(SETTINGS, encoding="ascii")
        self.inventory = directory / "hosts.json"
        self.variables = variables(directory / "key")
        self.write()

    def write(self) -> None:
        """Write the inventory, after a change of the variables too."""
        found = {name: {"ansible_host": address} for name, address in self.addresses.items()}
        groups = {"database": {"hosts": found, "vars": self.variables}}
        self.inventory.write_text(json.dumps(groups), encoding="utf-8")

    def play(self, name: str, *words: str, limit: t.Sequence[str] | None = None) -> Play:
        """Run a playbook, one of the collection or a file. Raises when it fails."""
        log = self.directory / "results.jsonl"
        log.unlink(missing_ok=True)
        found = name if name.endswith(".yml") else f"pgops.pgbackrest.{name}"
        limited = ["--limit", ",".join(["localhost", *limit])] if limit else []
        command = [*self.bound, PLAYBOOK, "-i", str(self.inventory), found, *limited, *words]
        # Each play has to connect anew, as it must where nobody ran one just before.
        with tempfile.TemporaryDirectory() as connections:
            before, start = _processor(), time.perf_counter()
            ended = subprocess.run(
                command, env=self.environment(log, connections), capture_output=True, text=True, check=False
            )
            seconds, controller = time.perf_counter() - start, _processor() - before
        if ended.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{ended.stdout}{ended.stderr}")
        results = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
        return Play(seconds, controller, results)

    def environment(self, log: Path, connections: str) -> dict[str, str]:
        """The environment of a play; the results of its tasks go to ``log``, its connections to a directory."""
        return {
            **os.environ,
            "ANSIBLE_CALLBACKS_ENABLED": "results",
            "ANSIBLE_CALLBACK_PLUGINS": str(Path(__file__).parent / "callback"),
            "ANSIBLE_COLLECTIONS_PATH": os.environ.get("ANSIBLE_COLLECTIONS_PATH", str(BUILD / "collections")),
            "ANSIBLE_CONFIG": str(self.directory / "ansible.cfg"),
            "ANSIBLE_FORKS": FORKS,
            "ANSIBLE_INJECT_FACT_VARS": "false",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": connections,
            "BENCH_RESULTS": str(log),
            "LC_ALL": "C.UTF-8",
        }

    def run(self, name: str, *words: str, user: str = "root") -> str:
        """What a command on a host prints."""
        return docker("exec", "--user", user, name, *words)

    def timed(self, name: str, *words: str, user: str = "postgres") -> float:
        """The seconds that a command takes on a host."""
        start = time.perf_counter()
        self.run(name, *words, user=user)
        return time.perf_counter() - start


# Each systemd has about five, all users root together have 128 where nobody has set it: enough for 25 hosts.
INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")


@contextlib.contextmanager
def started(directory: Path, count: int, say: t.Callable[[str], None], apart: bool = False) -> t.Iterator[Hosts]:
    """Hosts with a running cluster each. They are removed at the end.

    With ``apart`` the controller has the first processor for itself and the hosts all others, if there are several.
    """
    os.environ["DOCKER_HOST"] = checked("docker.sh", "start").strip()
    checked("images.sh", "build", SUITE)
    image = f"pgops-pgbackrest/{SUITE}:{checked('images.sh', 'tag').strip()}"
    network = f"pgops-bench-{os.getpid()}"
    names = [f"{network}-{number}" for number in range(1, count + 1)]
    key = directory / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    addresses = {}
    first, *others = sorted(os.sched_getaffinity(0)) if apart else [0]
    options = [f"--cpuset-cpus={_listed(others)}"] if others else []
    wanted = 128 + 8 * count
    before = int(INOTIFY.read_text(encoding="ascii"))
    try:
        if before < wanted:
            INOTIFY.write_text(str(wanted), encoding="ascii")
        docker("network", "create", LABEL, network)
        for number, name in enumerate(names, 1):
            addresses[name] = start_one(
                name, image, network, key.with_suffix(".pub").read_text(encoding="ascii"), options
            )
            if number % 10 == 0 or number == count:
                say(f"{number} of {count} hosts run")
        yield Hosts(directory, addresses, [first] if others else [])
    finally:
        for name in names:
            subprocess.run(["docker", "rm", "--force", "--volumes", name], capture_output=True, check=False)
        subprocess.run(["docker", "network", "rm", network], capture_output=True, check=False)
        if before < wanted:
            INOTIFY.write_text(str(before), encoding="ascii")


def start_one(name: str, image: str, network: str, public_key: str, more: t.Sequence[str]) -> str:
    """One host with what systemd needs, much less than all privileges. Returns its address."""
    groups = "/sys/fs/cgroup/unified" if os.path.isdir("/sys/fs/cgroup/unified") else "/sys/fs/cgroup"
    options = ["--security-opt=seccomp=unconfined", "--security-opt=apparmor=unconfined", "--cgroupns=host"]
    options += ["--tmpfs=/run", "--tmpfs=/run/lock", "--tmpfs=/tmp:exec", "--stop-signal=SIGRTMIN+3"]
    options += [f"--network={network}", "--cap-add=SYS_ADMIN", LABEL, f"--volume={groups}:/sys/fs/cgroup:rw"]
    docker("run", "--detach", f"--name={name}", f"--hostname={name}", *options, *more, image)
    for _time in range(300):
        state = subprocess.run(
            ["docker", "exec", name, "systemctl", "is-system-running"], capture_output=True, check=False
        )
        if state.stdout.strip() in (b"running", b"degraded"):
            break
        time.sleep(0.2)  # systemd tells nobody outside when it is ready
    else:
        raise RuntimeError(f"systemd in {name} does not come up: {state.stdout.decode().strip()}")
    docker("exec", name, "sh", "-c", f"{_CLUSTER} && {_SSH}", public_key)
    addresses = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    return docker("inspect", "--format", addresses, name).strip()


def variables(key: Path) -> dict[str, t.Any]:
    """The variables of all hosts: an encrypted repository on each, and how they are reached."""
    repository = {
        "type": "posix",
        "path": "/var/lib/pgbackrest",
        "retention-full": 2,
        "cipher-pass": PASSPHRASE,
    }
    return {
        "ansible_python_interpreter": "/usr/bin/python3",
        "ansible_ssh_common_args": "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null",
        "ansible_ssh_private_key_file": str(key),
        "ansible_user": "root",
        "pgbackrest_restart_allowed": True,
        "pgbackrest_repositories": [repository],
    }


def checked(tool: str, *words: str) -> str:
    """What one of the tools of the tests prints."""
    environment = {"PGOPS_TOOLS_DIR": "/var/cache/pgops-pgbackrest", **os.environ}
    return subprocess.run([TOOLS / tool, *words], env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout


def docker(*words: str) -> str:
    """What Docker prints."""
    ended = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(f"docker {' '.join(words)} failed: {ended.stderr}")
    return ended.stdout


def _listed(processors: t.Iterable[int]) -> str:
    return ",".join(map(str, processors))


def _processor() -> float:
    """Seconds of processor that ended child processes have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
