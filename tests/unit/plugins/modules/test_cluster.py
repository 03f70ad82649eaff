# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module cluster on directories of the test; pg_createcluster itself was run by hand on a Debian host."""

from __future__ import annotations

import importlib
import os
import shutil
import typing as t
from pathlib import Path

import pytest

FILES = ["pg_hba.conf", "pg_ident.conf", "postgresql.conf"]
PACKAGE = "ansible_collections.pgops.pgbackrest.plugins"
Run = t.Callable[..., dict[str, t.Any]]


def give(path: Path) -> None:
    """PostgreSQL's files never belong to root, who may run the tests."""
    if os.geteuid() == 0:
        os.chown(path, 65534, 65534)


class Host:
    """A host with a restored data directory, and Debian's configuration below ``etc``."""

    def __init__(self, root: Path) -> None:
        self.pgdata, self.etc = root / "data", root / "etc"
        self.pgdata.mkdir()
        (self.pgdata / "PG_VERSION").write_text("17\n")
        give(self.pgdata)
        self.defaults = root / "createcluster.conf"
        self.defaults.write_text("ssl = on\nlog_line_prefix = '%%m [%%p] '\n")
        self.debian, self.ends = True, "well"
        self.started: list[list[str]] = []

    def command(self, *more: str) -> list[str]:
        words = ["pg_createcluster", "--start-conf", "auto", "-d", f"{self.pgdata}.configure", "-p", "5433"]
        return [*words, *more, "17", "main"]

    def configured(self, data_directory: Path | None = None) -> Path:
        """A cluster that has its configuration."""
        path = self.etc / "17/main/postgresql.conf"
        path.parent.mkdir(parents=True)
        path.write_text(f"data_directory = '{data_directory or self.pgdata}'\n")
        return path

    def run(self, argv: list[str], environ_update: dict[str, str]) -> tuple[int, str, str]:
        """What pg_createcluster does with the directory that it is given, when it fails as well."""
        self.started.append(argv)
        assert environ_update["LC_ALL"] == "C"
        given, where = Path(argv[argv.index("-d") + 1]), self.etc / "17/main"
        assert sorted(path.name for path in given.iterdir()) == ["PG_VERSION", *FILES]
        if where.exists():
            return 1, "", "Error: cluster configuration already exists"
        where.mkdir(parents=True)
        for name in FILES:
            (given / name).rename(where / name)
            if self.ends == "killed":
                return 1, "", "Error: killed"
        with (where / "postgresql.conf").open("a") as file:
            file.write(f"data_directory = '{given}'\nport = 5433\n")
        if self.ends == "failed":
            shutil.rmtree(given)
            return 1, "", "Error: no space left\n"
        return (0, "", "") if self.ends == "well" else (1, "", "Error: killed")

    def texts(self) -> dict[str, str]:
        """The configuration."""
        where = self.etc / "17/main" if self.debian else self.pgdata
        return {path.name: path.read_text() for path in where.glob("*.conf")}

    def files(self) -> list[str]:
        """What is where the data is, and beside it."""
        return sorted([*(path.name for path in self.pgdata.iterdir()), *(p.name for p in self.pgdata.parent.iterdir())])


@pytest.fixture(name="host")
def host_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    host = Host(tmp_path)
    layout = importlib.import_module(f"{PACKAGE}.module_utils._cluster_layout")
    monkeypatch.setattr(layout, "CONFIGURATIONS", str(host.etc))
    monkeypatch.setattr(layout, "DEFAULTS", str(host.defaults))
    monkeypatch.setattr(layout, "SNAKEOIL", {"ssl_key_file": str(tmp_path / "no.key")})
    return host


@pytest.fixture(name="cluster")
def cluster_fixture(run_module: Run, host: Host, monkeypatch: pytest.MonkeyPatch) -> Run:
    from ansible.module_utils import basic

    class Module(basic.AnsibleModule):
        def get_bin_path(self, arg: str, required: bool = False, opt_dirs: t.Any = None) -> str | None:
            assert arg == "pg_createcluster"
            return arg if host.debian else None

        def run_command(self, argv: list[str], **more: t.Any) -> tuple[int, str, str]:
            return host.run(argv, **more)

    monkeypatch.setattr(importlib.import_module(f"{PACKAGE}.modules.cluster"), "AnsibleModule", Module)

    def run(check: bool = False, **params: t.Any) -> dict[str, t.Any]:
        return run_module(
            "cluster", {"version": "17", "data_directory": str(host.pgdata), "port": 5433, **params}, check
        )

    return run


def test_debian(host: Host, cluster: Run) -> None:
    settings = {"max_connections": 200, "log_line_prefix": "%m %c ", "port": 1, "data_directory": "/x"}
    before = host.files()
    foretold = cluster(check=True, settings=settings)
    assert host.texts() == {} and host.files() == before
    result = cluster(settings=settings)
    assert result == foretold and result["changed"]
    assert host.started == [host.command("-o", "log_line_prefix=%%m %%c ")]
    assert (result["layout"], result["unit"]) == ("debian", "postgresql@17-main")
    assert result["configuration_directory"] == f"{host.etc}/17/main"
    assert sorted(host.texts()) == FILES
    assert host.texts()["postgresql.conf"].splitlines()[1:] == [
        "log_line_prefix = '%m %c '",
        "max_connections = '200'",
        "port = 5433",
        f"data_directory = '{host.pgdata}'",
    ]
    assert host.files() == sorted([*before, "etc"])
    assert not cluster(settings=settings)["changed"] and len(host.started) == 1


def test_tls_as_debian_has_it_in_new_clusters(host: Host, cluster: Run, tmp_path: Path) -> None:
    (tmp_path / "no.key").touch(0o600)
    give(tmp_path / "no.key")
    cluster()
    assert "ssl = 'on'" in host.texts()["postgresql.conf"] and "no.key" in host.texts()["postgresql.conf"]
    shutil.rmtree(host.etc)
    cluster(settings={"ssl": False})
    assert "ssl = 'off'" in host.texts()["postgresql.conf"] and "no.key" not in host.texts()["postgresql.conf"]
    assert host.started == [host.command("-o", "ssl=on"), host.command("-o", "ssl=off")]


@pytest.mark.parametrize("ends", ["failed", "killed", "killed later"])
def test_pg_createcluster_drops_no_data_and_is_run_again(host: Host, cluster: Run, ends: str) -> None:
    (host.pgdata / "pg_hba.conf").write_text("# mine\n")
    host.ends = ends
    failed = cluster(settings={"work_mem": "1MB"})
    assert failed["failed"] and "Error: " in failed["msg"] and "Correct that and run it again." in failed["msg"]
    assert (host.pgdata / "PG_VERSION").exists() and (host.pgdata / "pg_hba.conf").exists()
    host.ends = "well"
    if ends == "killed":  # it cleans up when it can
        shutil.rmtree(host.etc)
    assert cluster(check=True)["changed"]
    assert cluster(settings={"work_mem": "2MB"})["changed"]
    assert "work_mem = '2MB'" in host.texts()["postgresql.conf"] and host.texts()["pg_hba.conf"] == "# mine\n"
    assert not any(name.endswith((".configure", ".conf")) for name in host.files() if name != "createcluster.conf")
    assert not cluster()["changed"]


def test_a_cluster_of_somebody_else_is_no_leftover(host: Host, cluster: Run) -> None:
    path = host.configured()
    assert not cluster()["changed"] and path.exists() and host.started == []


def test_what_is_in_the_way_is_not_removed(host: Host, cluster: Run) -> None:
    other = Path(f"{host.pgdata}.configure")
    other.mkdir()
    (other / "notes").touch()
    assert "is in the way" in cluster()["msg"] and (other / "notes").exists()


def test_elsewhere_than_on_debian(host: Host, cluster: Run) -> None:
    host.debian = False
    (host.pgdata / "postgresql.conf").write_text("# came with the backup\n")
    result = cluster(settings={"work_mem": "1MB"})
    assert (result["changed"], result["layout"], result["unit"]) == (True, "directory", None)
    assert host.texts()["postgresql.conf"] == "# came with the backup\n" and "peer" in host.texts()["pg_hba.conf"]
    assert not cluster()["changed"]
    (host.pgdata / "postgresql.conf").unlink()
    cluster(socket_directory="/run/x")
    lines = host.texts()["postgresql.conf"].splitlines()[1:]
    assert lines == ["port = '5433'", "unix_socket_directories = '/run/x'"]


def test_check_mode_before_the_restore(host: Host, cluster: Run) -> None:
    assert cluster(check=True, data_directory=f"{host.pgdata}/later")["changed"]
    assert "holds no cluster. Restore it first" in cluster(data_directory=f"{host.pgdata}/later")["msg"]


def test_the_configuration_of_another_directory(host: Host, cluster: Run) -> None:
    host.configured(Path("/srv/other"))
    for check in (True, False):
        assert "is the configuration of /srv/other, not of" in cluster(check=check)["msg"]
        assert "pg_dropcluster --stop 17 main" in cluster(check=check)["msg"]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"version": "9.6"}, "must be a major version such as 17"),
        ({"version": "16"}, "holds a cluster of PostgreSQL 17, not 16"),
        ({"name": "a/b"}, "is no name of a cluster"),
        ({"name": "-x"}, "is no name of a cluster"),
        ({"port": 80}, "must be from 1024 to 65535"),
        ({"data_directory": "data"}, "must be an absolute path"),
        ({"settings": {"a b": 1}}, "is no name of a setting"),
        ({"settings": {"work_mem": "1\nport = 1"}}, "must be a text or number in one line"),
        ({"settings": {"work_mem": None}}, "must be a text or number in one line"),
    ],
)
def test_bad_input(host: Host, cluster: Run, wrong: dict[str, t.Any], words: str) -> None:
    result = cluster(**wrong)
    assert result["failed"] and words in result["msg"]
    assert host.texts() == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a directory of root's")
def test_a_directory_of_roots(host: Host, cluster: Run) -> None:
    os.chown(host.pgdata, 0, 0)
    assert "belongs to root" in cluster()["msg"] and host.texts() == {}


def test_who_may_read(tmp_path: Path) -> None:
    module = importlib.import_module(f"{PACKAGE}.modules.cluster")
    path = tmp_path / "key"
    assert not module.may_read(str(path), os.getuid())
    path.touch(0o600)
    assert module.may_read(str(path), os.getuid())
    path.chmod(0o000)
    assert not module.may_read(str(path), os.getuid())
