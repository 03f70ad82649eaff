# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module host_info on this host and on real clusters."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import typing as t

import pytest

from .conftest import USER

Run = t.Callable[..., dict[str, t.Any]]


def look(run: Run, cluster: t.Any, **more: t.Any) -> dict[str, t.Any]:
    """What the module says about the cluster."""
    params = {"data_directories": [str(cluster.pgdata)], "executable": cluster.executable}
    result = run("host_info", params, **more)
    assert not result["failed"] and not result["changed"], result
    return next(found for found in result["clusters"] if found["data_directory"] == str(cluster.pgdata))


def system_identifier(cluster: t.Any) -> str:
    return str(cluster.sql("SELECT system_identifier FROM pg_control_system()")[0][0])


@pytest.mark.matrix
def test_cluster_as_it_runs_stops_and_follows(run: Run, cluster: t.Any, tree_hash: t.Any) -> None:
    cluster.start()
    identifier = system_identifier(cluster)
    expected = {
        "name": str(cluster.pgdata),
        "pg_version": str(cluster.pg_major),
        "data_directory": str(cluster.pgdata),
        "port": cluster.port,
        "socket_directory": cluster.socket_dir,
        "unit": None,
        "owner": USER,
        "group": cluster.pgdata.group(),
        "running": True,
        "role": "primary",
        "recovery": None,
        "system_identifier": identifier,
        "problem": None,
    }
    assert look(run, cluster) == expected
    cluster.stop()
    before = tree_hash(cluster.root)
    assert look(run, cluster) == {**expected, "running": False}
    assert tree_hash(cluster.root) == before
    signal = cluster.pgdata / ("recovery.conf" if cluster.pg_major < 12 else "standby.signal")
    signal.write_text("standby_mode = on\n" if cluster.pg_major < 12 else "", encoding="utf-8")
    if os.geteuid() == 0:
        shutil.chown(signal, USER)
    assert look(run, cluster)["role"] == "standby"
    cluster.start()
    assert look(run, cluster) == {**expected, "role": "standby", "recovery": "standby"}
    cluster.stop()
    signal.unlink()
    assert look(run, cluster)["role"] == "unknown"


def test_port_and_socket_come_from_the_server(run: Run, cluster: t.Any) -> None:
    cluster.start()
    cluster.configure(port="1", unix_socket_directories="/elsewhere")
    found = look(run, cluster)
    assert (found["port"], found["socket_directory"]) == (cluster.port, cluster.socket_dir)
    cluster.stop("immediate")
    found = look(run, cluster)
    assert (found["running"], found["port"], found["socket_directory"]) == (False, 1, "/elsewhere")


def test_crashed_server_does_not_run(run: Run, cluster: t.Any) -> None:
    cluster.start()
    left_behind = (cluster.pgdata / "postmaster.pid").read_text(encoding="utf-8")
    cluster.stop()
    # After a crash of the host another process may have the number of the server: this one.
    number = str(os.getpid())
    path = cluster.pgdata / "postmaster.pid"
    path.write_text("\n".join([number, *left_behind.splitlines()[1:]]), encoding="utf-8")
    if os.geteuid() == 0:
        shutil.chown(path, USER)
    try:
        assert look(run, cluster)["running"] is False
    finally:
        path.unlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="runs as another user")
def test_user_who_may_not_read_the_cluster(run: Run, cluster: t.Any) -> None:
    shutil.chown(cluster.pgdata, 0, 0)
    try:
        found = look(run, cluster)
        assert found["problem"].endswith("cannot be read: Permission denied")
        assert (found["running"], found["role"], found["owner"]) == (False, "unknown", "root")
        assert look(run, cluster, root=True)["problem"] is None
    finally:
        shutil.chown(cluster.pgdata, USER, USER)


def test_program_is_missing(run: Run, root_directory: t.Any) -> None:
    result = run("host_info", {"executable": f"{root_directory}/pgbackrest"}, check=True)
    assert not result["failed"] and result["pgbackrest"] is None


@pytest.mark.skipif(not shutil.which("pg_lsclusters"), reason="needs postgresql-common")
def test_clusters_of_the_host_are_those_of_pg_lsclusters(run: Run) -> None:
    told = json.loads(subprocess.run(["pg_lsclusters", "--json"], capture_output=True, check=True).stdout)
    found = run("host_info", {}, root=os.geteuid() == 0)["clusters"]
    found = [cluster for cluster in found if cluster["unit"].startswith("postgresql@")]
    assert [(cluster["name"], cluster["data_directory"], cluster["port"], cluster["running"]) for cluster in found] == [
        (f"{other['version']}/{other['cluster']}", other["pgdata"], int(other["port"]), bool(other["running"]))
        for other in told
    ]
