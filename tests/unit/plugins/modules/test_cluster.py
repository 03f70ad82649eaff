# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module cluster on directories of the test; pg_createcluster itself was run by hand on a Debian host."""

from __future__ import annotations

import importlib
import os
import types
import typing as t
from pathlib import Path

import pytest

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
        self.debian = True

    def command(self, *more: str) -> list[str]:
        words = ["pg_createcluster", "--start-conf", "auto", "-d", str(self.pgdata), "-p", "5433"]
        return [*words, *more, "17", "main"]

    def integrate(self, data_directory: Path | None = None) -> None:
        """What pg_createcluster does."""
        path = self.etc / "17/main/postgresql.conf"
        path.parent.mkdir(parents=True)
        path.write_text(f"data_directory = '{data_directory or self.pgdata}'\n")

    def texts(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in self.pgdata.glob("*.conf")}


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

    def run(commands: t.Sequence[t.Any] = (), check: bool = False, **params: t.Any) -> dict[str, t.Any]:
        words = {"version": "17", "data_directory": str(host.pgdata), "port": 5433, **params}
        if not host.debian:
            monkeypatch.setattr(
                importlib.import_module(f"{PACKAGE}.modules.cluster"), "AnsibleModule", _without_programs(basic)
            )
        return run_module("cluster", words, check, commands=commands)

    return run


def _without_programs(basic: t.Any) -> t.Any:
    class Module(basic.AnsibleModule):
        def get_bin_path(self, arg: str, required: bool = False, opt_dirs: t.Any = None) -> None:
            return None

    return Module


def test_debian(host: Host, cluster: Run) -> None:
    settings = {"max_connections": 200, "log_line_prefix": "%m %c ", "port": 1, "data_directory": "/x"}
    foretold = cluster(check=True, settings=settings)
    assert host.texts() == {}
    argv = host.command("-o", "log_line_prefix=%%m %%c ")
    result = cluster([(argv, 0, "", "")], settings=settings)
    assert result == foretold and result["changed"]
    assert (result["layout"], result["unit"]) == ("debian", "postgresql@17-main")
    assert result["configuration_directory"] == f"{host.etc}/17/main"
    texts = host.texts()
    assert sorted(texts) == ["pg_hba.conf", "pg_ident.conf", "postgresql.conf"]
    assert texts["postgresql.conf"].splitlines()[1:] == ["log_line_prefix = '%m %c '", "max_connections = '200'"]
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in host.pgdata.glob("*.conf"))
    host.integrate()
    assert not cluster(settings=settings)["changed"]


def test_tls_as_debian_has_it_in_new_clusters(host: Host, cluster: Run, tmp_path: Path) -> None:
    (tmp_path / "no.key").touch(0o600)
    give(tmp_path / "no.key")
    cluster([(host.command("-o", "ssl=on"), 0, "", "")])
    assert "ssl = 'on'" in host.texts()["postgresql.conf"] and "no.key" in host.texts()["postgresql.conf"]
    cluster([(host.command("-o", "ssl=off"), 0, "", "")], settings={"ssl": False})
    assert "ssl = 'off'" in host.texts()["postgresql.conf"] and "no.key" not in host.texts()["postgresql.conf"]


def test_after_an_interruption_it_goes_on_and_keeps_what_others_wrote(host: Host, cluster: Run) -> None:
    failed = cluster([(host.command(), 1, "", "Error: no initdb program\n")], settings={"work_mem": "1MB"})
    assert failed["failed"] and "Error: no initdb program. Correct that and run it again." in failed["msg"]
    (host.pgdata / "pg_hba.conf").write_text("# mine\n")
    cluster([(host.command(), 0, "", "")], settings={"work_mem": "2MB"})
    assert "work_mem = '2MB'" in host.texts()["postgresql.conf"] and host.texts()["pg_hba.conf"] == "# mine\n"


def test_pg_createcluster_removes_what_it_fails_on(tmp_path: Path) -> None:
    module = importlib.import_module(f"{PACKAGE}.modules.cluster")
    failing = types.SimpleNamespace(run_command=lambda argv, environ_update: (1, "", "Error: no space left"))
    with pytest.raises(module.ClusterError, match=r"no space left\. It has removed the data directory: restore that"):
        module.integrate(failing, [], str(tmp_path))


def test_a_link_is_not_followed(host: Host, cluster: Run, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("# Managed by Ansible (pgops.pgbackrest.cluster)\nold\n")
    os.symlink(tmp_path / "elsewhere", host.pgdata / "postgresql.conf")
    cluster([(host.command(), 0, "", "")])
    assert (tmp_path / "elsewhere").read_text().endswith("old\n")
    assert not (host.pgdata / "postgresql.conf").is_symlink()


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
    host.integrate(Path("/srv/other"))
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
