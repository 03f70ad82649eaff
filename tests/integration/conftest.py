# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures of the integration tests: real modules, real pgBackRest, real throw-away clusters.

Servers and modules run as the user ``postgres`` when the tests run as root, because PostgreSQL refuses root, and as the
user of the tests otherwise. Programs beside the distribution's are taken from ``$PGOPS_TOOLS_DIR``
(``postgresql/<major>/bin``, ``pgbackrest/<version>/pgbackrest``).
"""

from __future__ import annotations

import getpass
import glob
import hashlib
import itertools
import json
import os
import pwd
import random
import re
import shutil
import socket
import subprocess
import tempfile
import time
import typing as t
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path

import ansible
import pytest

PYTHON = "/usr/bin/python3"  # the one that Debian's python3-psycopg2 serves
COLLECTION = Path(__file__).resolve().parents[2]
MODULES = "ansible_collections.pgops.pgbackrest.plugins.modules"
USER = "postgres" if os.geteuid() == 0 else getpass.getuser()
PASSPHRASE = "correct-horse-battery-staple"
UTC_NOW = "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00')"


@dataclass(frozen=True)
class Programs:
    """One pair of PostgreSQL and pgBackRest."""

    pg_major: int
    bindir: str
    pgbackrest_version: tuple[int, ...]
    executable: str

    def __str__(self) -> str:
        return f"pg{self.pg_major}-pgbackrest{'.'.join(map(str, self.pgbackrest_version))}"


def as_user(argv: t.Sequence[str], user: str = USER, **kwargs: t.Any) -> subprocess.CompletedProcess[str]:
    """Run a program as the user of the cluster, or as root when the tests do."""
    prefix = ["runuser", "-u", user, "--"] if os.geteuid() == 0 else []
    return subprocess.run([*prefix, *argv], text=True, capture_output=True, cwd="/", check=False, **kwargs)


def checked(argv: t.Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a program as the user of the cluster; it must succeed."""
    result = as_user(argv)
    assert result.returncode == 0, f"{argv}: {result.stdout}{result.stderr}"
    return result


def pgbackrest_version(executable: str) -> tuple[int, ...]:
    """Version of a pgBackRest program."""
    text = subprocess.run([executable, "version"], capture_output=True, text=True, check=True).stdout
    return tuple(int(number) for number in re.findall(r"\d+", text))


def postgresql_bindirs() -> dict[int, str]:
    """Server programs found, by major version; the distribution's win."""
    tools = os.environ.get("PGOPS_TOOLS_DIR", "/nonexistent")
    found = glob.glob(f"{tools}/postgresql/*/bin/pg_ctl") + glob.glob("/usr/lib/postgresql/*/bin/pg_ctl")
    return {int(Path(path).parents[1].name): str(Path(path).parent) for path in found}


def pgbackrest_executables() -> list[str]:
    """pgBackRest programs found, the distribution's first."""
    tools = os.environ.get("PGOPS_TOOLS_DIR", "/nonexistent")
    own = shutil.which("pgbackrest")
    return [*([own] if own else []), *sorted(glob.glob(f"{tools}/pgbackrest/*/pgbackrest"))]


def all_programs() -> list[Programs]:
    """The distribution's pair first, then each other PostgreSQL and each other pgBackRest, once where that can be."""
    clusters = postgresql_bindirs()
    backrests = {pgbackrest_version(path): path for path in reversed(pgbackrest_executables())}
    if not clusters or not backrests:
        return []
    own_major = next((major for major, path in clusters.items() if path.startswith("/usr/lib")), max(clusters))
    own = pgbackrest_version(pgbackrest_executables()[0])
    pairs, free = [(own_major, own)], sorted(set(clusters) - {own_major})
    others = sorted(set(backrests) - {own})
    for version in others:
        fitting = [major for major in free if supports(version, major)]
        taken = fitting if version == others[-1] else fitting[:1]
        fallback = [major for major in sorted(clusters) if supports(version, major)][:1]
        pairs += [(major, version) for major in taken or fallback]
        free = [major for major in free if major not in taken]
    return [Programs(major, clusters[major], version, backrests[version]) for major, version in pairs]


def supports(version: tuple[int, ...], major: int) -> bool:
    """Whether a pgBackRest knows a PostgreSQL (its release notes)."""
    newest = 15 if version < (2, 48) else 16 if version < (2, 54) else 17 if version < (2, 55) else 18
    return major <= newest


PROGRAMS = all_programs()


@dataclass
class Cluster:
    """A throw-away cluster with a repository and a configuration of its own, all below ``root``."""

    root: Path
    programs: Programs
    port: int
    stanza: str = "main"
    options: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.pgdata = self.root / "pgdata"
        self.socket_dir = str(self.root / "socket")
        self.log_file = self.root / "log" / "postgresql.log"
        self.config = self.root / "pgbackrest.conf"
        self.repo = self.root / "repo"
        self.bindir = self.programs.bindir
        self.pg_major = self.programs.pg_major
        self.executable = self.programs.executable
        self.pgbackrest_version = self.programs.pgbackrest_version
        for name in ("socket", "log", "repo", "lock", "spool"):
            self.make_directory(name)

    def make_directory(self, name: str) -> Path:
        """A directory below root that belongs to the cluster's user."""
        path = self.root / name
        path.mkdir(mode=0o750, parents=True, exist_ok=True)
        if os.geteuid() == 0:
            shutil.chown(path, USER, pwd.getpwnam(USER).pw_gid)
        return path

    @property
    def common(self) -> dict[str, str]:
        """Options that most modules take."""
        return {"stanza": self.stanza, "config": str(self.config), "executable": self.executable}

    @property
    def restoring(self) -> dict[str, t.Any]:
        """Options of the module restore: where the programs are, and whether they can look into WAL."""
        blind = not os.path.exists(f"{self.bindir}/pg_waldump")
        return {**self.common, "bindir": self.bindir, **({"allow_unproven": True} if blind else {})}

    @property
    def backup_lock(self) -> Path:
        """File that a backup locks; since 2.53 there is one for each repository."""
        return self.root / "lock" / ("main-backup.lock" if self.pgbackrest_version < (2, 53) else "main-backup-1.lock")

    @property
    def login(self) -> dict[str, t.Any]:
        """Options for the connection to the cluster."""
        return {"login_host": self.socket_dir, "login_port": self.port}

    def initdb(self) -> None:
        """Make the data directory, with settings that keep it to itself."""
        checked([f"{self.bindir}/initdb", "-D", str(self.pgdata), "-A", "trust", "-E", "UTF8", "--no-locale", "-N"])
        lines = {
            "port": self.port,
            "listen_addresses": "''",
            "unix_socket_directories": f"'{self.socket_dir}'",
            "fsync": "off",
            "wal_level": "replica",
            "max_wal_senders": 3,
            "hot_standby": "on",
        }
        with open(self.pgdata / "postgresql.conf", "a", encoding="utf-8") as file:
            file.writelines(f"{name} = {value}\n" for name, value in lines.items())

    def configure(self, **settings: str) -> None:
        """Add settings to postgresql.conf."""
        with open(self.pgdata / "postgresql.conf", "a", encoding="utf-8") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())

    def write_config(self, extra: dict[str, str] | None = None) -> None:
        """Write pgBackRest's configuration; ``extra`` are more lines of [global]."""
        settings = {
            "repo1-path": str(self.repo),
            "repo1-retention-full": "2",
            "log-path": str(self.root / "log"),
            "lock-path": str(self.root / "lock"),
            "spool-path": str(self.root / "spool"),
            "start-fast": "y",
            "log-level-file": "off",
            **self.options,
            **(extra or {}),
        }
        lines = ["[global]", *(f"{key}={value}" for key, value in settings.items())]
        lines += [f"[{self.stanza}]", f"pg1-path={self.pgdata}", f"pg1-port={self.port}"]
        lines += [f"pg1-socket-path={self.socket_dir}", ""]
        self.config.write_text("\n".join(lines), encoding="utf-8")
        os.chmod(self.config, 0o640)
        if os.geteuid() == 0:
            shutil.chown(self.config, USER, pwd.getpwnam(USER).pw_gid)

    def start(self, wait: bool = True) -> None:
        """Start the server."""
        words = ["-D", str(self.pgdata), "-l", str(self.log_file), "-w" if wait else "-W", "-t", "30", "start"]
        result = as_user([f"{self.bindir}/pg_ctl", *words])
        assert result.returncode == 0, result.stdout + result.stderr + self.log_tail()

    def stop(self, mode: str = "fast") -> None:
        """Stop the server if it runs."""
        if (self.pgdata / "postmaster.pid").exists():
            as_user([f"{self.bindir}/pg_ctl", "-D", str(self.pgdata), "-m", mode, "-w", "-t", "30", "stop"])

    def log_tail(self) -> str:
        """End of the server's log."""
        return self.log_file.read_text(encoding="utf-8")[-2000:] if self.log_file.exists() else ""

    def sql(self, text: str, database: str = "postgres") -> list[tuple[str, ...]]:
        """Rows of a statement, as text."""
        words = ["-h", self.socket_dir, "-p", str(self.port), "-d", database, "-XAtq", "-v", "ON_ERROR_STOP=1"]
        program = next((p for p in (f"{self.bindir}/psql", "/usr/bin/psql") if os.path.exists(p)), "psql")
        output = checked([program, *words, "-F", "\x1f", "-c", text]).stdout
        return [tuple(line.split("\x1f")) for line in output.splitlines()]

    def open_up(self) -> None:
        """Start a restored cluster and wait until it has recovered and takes writes."""
        self.start()
        deadline = time.monotonic() + 30
        while self.sql("SELECT pg_is_in_recovery()") != [("f",)]:
            assert time.monotonic() < deadline, self.log_tail()
            time.sleep(0.05)

    def rows(self, table: str = "t") -> list[str]:
        """Open the restored cluster, read the table of ``write_history`` and stop it."""
        self.open_up()
        found = [row[0] for row in self.sql(f"SELECT v FROM {table} ORDER BY v")]
        self.stop()
        order = {"in backup": 0, "first": 1, "second": 2}
        return sorted(found, key=lambda value: order.get(value, len(order)))

    def pgbackrest(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run pgBackRest itself on this stanza."""
        argv = [self.executable, f"--config={self.config}", f"--stanza={self.stanza}", *words]
        return checked(argv) if check else as_user(argv)

    def backup(self, kind: str = "full", *words: str) -> str:
        """Take a backup; returns its label."""
        self.pgbackrest(f"--type={kind}", *words, "backup")
        return t.cast(str, self.info()["backup"][-1]["label"])

    def info(self) -> dict[str, t.Any]:
        """The stanza's element of ``info --output=json``."""
        output = self.pgbackrest("--output=json", "--log-level-console=off", "info").stdout
        return t.cast("dict[str, t.Any]", json.loads(output[output.index("[{") :])[0])

    def archive(self) -> None:
        """Switch the WAL and wait until the finished segment stands in the repository."""
        self.pgbackrest("check")

    def protect(self) -> None:
        """Configuration, archiving and stanza, without our modules."""
        self.write_config()
        command = f"{self.executable} --config={self.config} --stanza={self.stanza} archive-push %p"
        self.configure(archive_mode="on", archive_command=command)
        self.start()
        self.pgbackrest("stanza-create")


@pytest.fixture(scope="session", name="module_tree")
def module_tree_fixture() -> t.Iterator[Path]:
    """The collection's plugins and Ansible's module_utils where every user can read them, as on a target host."""
    with tempfile.TemporaryDirectory(prefix="pgops-modules-", dir="/tmp") as directory:
        yield fill_module_tree(Path(directory))


def fill_module_tree(tree: Path) -> Path:
    """Copy what a module needs on a host into a directory."""
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(COLLECTION / "plugins", tree / "ansible_collections/pgops/pgbackrest/plugins", ignore=ignore)
    source = Path(ansible.__file__).parent
    (tree / "ansible").mkdir()
    (tree / "ansible/__init__.py").touch()
    shutil.copy(source / "release.py", tree / "ansible/release.py")
    for name in ("module_utils", "_internal"):
        if (source / name).is_dir():
            shutil.copytree(source / name, tree / "ansible" / name, ignore=ignore)
    subprocess.run(["chmod", "-R", "a+rX", tree], check=True)
    return tree


@pytest.fixture(name="run")
def run_fixture(module_tree: Path) -> t.Callable[..., dict[str, t.Any]]:
    """Run a module as on a host; returns its result with ``failed``. A traceback fails the test."""

    def run(
        module: str,
        params: dict[str, t.Any],
        check: bool = False,
        diff: bool = True,
        root: bool = False,
        environment: dict[str, str] | None = None,
    ) -> dict[str, t.Any]:
        internal = {"_ansible_check_mode": check, "_ansible_diff": diff, "_ansible_remote_tmp": "/tmp"}
        arguments = json.dumps({"ANSIBLE_MODULE_ARGS": {**params, **internal}})
        settings = {"PYTHONPATH": str(module_tree), "PYTHONDONTWRITEBYTECODE": "1", **(environment or {})}
        argv = ["env", *(f"{key}={value}" for key, value in settings.items()), PYTHON, "-c", _START, module]
        finished = as_user(argv, "root" if root else USER, input=arguments)
        assert "Traceback" not in finished.stderr + finished.stdout, finished.stderr + finished.stdout
        assert finished.stdout.strip(), finished.stderr
        result = t.cast("dict[str, t.Any]", json.loads(finished.stdout.strip().splitlines()[-1]))
        result.setdefault("failed", finished.returncode != 0)
        return result

    return run


# Starts a module in the way of ansible-core 2.18 to 2.21: the arguments come on standard input.
_START = f"""
import importlib, sys
from ansible.module_utils import basic
basic._ANSIBLE_ARGS = sys.stdin.buffer.read()
basic._ANSIBLE_PROFILE = "legacy"
importlib.import_module("{MODULES}." + sys.argv[1]).main()
"""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests with the distribution's programs, and those marked ``matrix`` with other pairs, too.

    That is one other pair, so that each gets its share of the tests, or all with PGOPS_ALL_VERSIONS=1.
    """
    if "programs" in metafunc.fixturenames:
        others = PROGRAMS[1:] if metafunc.definition.get_closest_marker("matrix") else []
        if others and os.environ.get("PGOPS_ALL_VERSIONS", "") in ("", "0"):
            others = [others[zlib.crc32(metafunc.function.__name__.encode()) % len(others)]]
        metafunc.parametrize("programs", [*PROGRAMS[:1], *others], ids=str, scope="function")


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known, and refuse to run without programs rather than pass without a test."""
    config.addinivalue_line("markers", "matrix: run with other pairs of PostgreSQL and pgBackRest, too")
    if not PROGRAMS:
        raise pytest.UsageError("PostgreSQL or pgBackRest is missing: run the tests with `make integration`")


_TENS = itertools.count(random.randrange(300))


def free_port() -> int:
    """A port with nine free ones after it, which no other test of this run has.

    Below those that the kernel gives to clients, and each of six workers has three thousand of its own.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
    tens = (12_000 + worker % 6 * 3000 + next(_TENS) % 300 * 10 for _time in range(300))
    return next(first for first in tens if not any(map(_is_taken, range(first, first + 10))))


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(name="root_directory")
def root_directory_fixture() -> t.Iterator[Path]:
    """A directory of the cluster's user; short, because the path of a socket may have 107 bytes only."""
    path = Path(tempfile.mkdtemp(prefix="pgops-", dir="/tmp"))
    if os.geteuid() == 0:
        shutil.chown(path, USER, pwd.getpwnam(USER).pw_gid)
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(name="cluster")
def cluster_fixture(root_directory: Path, programs: Programs) -> t.Iterator[Cluster]:
    """A fresh cluster, not started."""
    cluster = Cluster(root_directory, programs, free_port())
    cluster.initdb()
    yield cluster
    cluster.stop("immediate")


@pytest.fixture(name="protected")
def protected_fixture(cluster: Cluster) -> Cluster:
    """A started cluster that archives, with its stanza created."""
    cluster.protect()
    return cluster


@pytest.fixture(name="tree_hash")
def tree_hash_fixture() -> t.Callable[[str | Path], str]:
    """Hash over names, modes, times and contents of everything below a path."""

    def tree_hash(top: str | Path) -> str:
        digest = hashlib.sha256()
        for path in sorted(Path(top).rglob("*")):
            status = path.lstat()
            digest.update(f"{path} {status.st_mode} {status.st_uid} {status.st_mtime_ns}\n".encode())
            if path.is_file() and not path.is_symlink():
                digest.update(path.read_bytes())
        return digest.hexdigest()

    return tree_hash


@dataclass(frozen=True)
class Snapshot:
    """A stopped cluster kept to be put back, and what its targets are called."""

    copy: Path
    cluster: t.Any
    marks: dict[str, str]


@pytest.fixture(scope="module", name="snapshots")
def snapshots_fixture() -> t.Iterator[dict[str, Snapshot]]:
    """One snapshot for each pair of programs: a backup takes longer than most of the tests."""
    found: dict[str, Snapshot] = {}
    yield found
    for snapshot in found.values():
        shutil.rmtree(snapshot.copy.parent)


@pytest.fixture(name="stopped")
def stopped_fixture(
    request: pytest.FixtureRequest, programs: t.Any, snapshots: dict[str, Snapshot]
) -> t.Iterator[t.Any]:
    """A stopped cluster with a backup and two commits after it."""
    if str(programs) not in snapshots:
        cluster = request.getfixturevalue("protected")
        marks = write_history(cluster)
        copy = Path(tempfile.mkdtemp(prefix="pgops-snapshot-", dir="/tmp")) / "root"
        subprocess.run(["cp", "-a", str(cluster.root), str(copy)], check=True)
        snapshots[str(programs)] = Snapshot(copy, cluster, marks)
    snapshot = snapshots[str(programs)]
    root = snapshot.cluster.root
    shutil.rmtree(root, ignore_errors=True)
    subprocess.run(["cp", "-a", str(snapshot.copy), str(root)], check=True)
    cluster = replace(snapshot.cluster, options={})
    yield cluster
    cluster.stop("immediate")
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(name="history")
def history_fixture(stopped: t.Any, programs: t.Any, snapshots: dict[str, Snapshot]) -> dict[str, str]:
    """What each kind of target is called in the stopped cluster."""
    return snapshots[str(programs)].marks


def write_history(cluster: t.Any) -> dict[str, str]:
    """A backup and two commits; the cluster is stopped after them."""
    cluster.sql("CREATE TABLE t (v text)")
    cluster.sql("INSERT INTO t VALUES ('in backup')")
    marks = {"label": cluster.backup()}
    time.sleep(1.1)  # pgBackRest compares whole seconds
    marks["xid"] = cluster.sql("INSERT INTO t VALUES ('first') RETURNING txid_current()")[0][0]
    marks["lsn"] = cluster.sql("SELECT pg_current_wal_lsn()")[0][0]
    cluster.sql("SELECT pg_create_restore_point('before_second')")
    marks["time"] = cluster.sql(UTC_NOW)[0][0]
    time.sleep(0.05)
    cluster.sql("INSERT INTO t VALUES ('second')")
    cluster.archive()
    cluster.stop()
    return marks
