# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a server that is gone has left its last words."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils import _server_watch
from ansible_collections.pgops.pgbackrest.plugins.module_utils._server_watch import find_log


@pytest.fixture(name="host")
def host_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host as Debian's packages lay it out, with the clusters 15/main and 15/web, the second one elsewhere."""
    for name, line in (("main", ""), ("web", f"data_directory = '{tmp_path}/disk/web'\t# use data elsewhere\n")):
        configuration = tmp_path / "etc/15" / name / "postgresql.conf"
        configuration.parent.mkdir(parents=True)
        configuration.write_text(f"port = 5432\n#data_directory = '{tmp_path}/x'\n{line}", encoding="utf-8")
        log = tmp_path / f"log/postgresql-15-{name}.log"
        log.parent.mkdir(exist_ok=True)
        log.write_text("", encoding="utf-8")
    monkeypatch.setattr(_server_watch, "_DEBIAN_CONFIGURATIONS", f"{tmp_path}/etc/*/*/postgresql.conf")
    monkeypatch.setattr(_server_watch, "_DEBIAN_LOGS", f"{tmp_path}/log")
    return tmp_path


@pytest.mark.parametrize("pgdata", ["disk/web", "disk/web/"])
def test_configuration_knows_the_cluster_of_a_directory(host: Path, pgdata: str) -> None:
    assert find_log(f"{host}/{pgdata}", None) == f"{host}/log/postgresql-15-web.log"


def test_path_tells_the_cluster(host: Path) -> None:
    assert find_log(f"{host}/15/main", None) == f"{host}/log/postgresql-15-main.log"


@pytest.mark.parametrize("pgdata", ["disk/web2", "x", "15/other"])
def test_no_log_of_another_cluster_is_taken(host: Path, pgdata: str) -> None:
    assert find_log(f"{host}/{pgdata}", None) is None


def test_named_log_is_taken(host: Path) -> None:
    assert find_log(f"{host}/disk/web", "/var/log/mine.log") == "/var/log/mine.log"
