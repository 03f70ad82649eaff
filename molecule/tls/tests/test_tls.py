# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A repository host for two clusters over TLS: who may do what, what a change touches, what a fault costs."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import typing as t

import pytest
from live import (
    On,
    add_rows,
    as_postgres,
    backups,
    newest_segment,
    query,
    restored,
    rows,
    stanza_info,
    start_unit,
    wait_for,
    wait_until_archived,
)

CERTIFICATES = "/etc/pgbackrest/cert"
DATABASES = {"a": "db-a", "b": "db-b"}


def repository_info(on: On, stanza: str) -> dict[str, t.Any]:
    return stanza_info(on("backup1"), stanza, user="pgbackrest")


def status_over(on: On, stanza: str, certificate: str, authority: str = f"{CERTIFICATES}/ca.crt") -> dict[str, t.Any]:
    """What db-a reads of a stanza with a certificate, without any configuration file."""
    output = as_postgres(
        on("db-a"),
        "pgbackrest --no-config --log-level-file=off --log-level-console=off --io-timeout=5 --output=json"
        " --repo1-host=backup1 --repo1-host-type=tls --repo1-host-ca-file=%s --repo1-host-cert-file=%s"
        " --repo1-host-key-file=%s --stanza=%s info",
        authority,
        f"{certificate}.crt",
        f"{certificate}.key",
        stanza,
    )
    return t.cast("dict[str, t.Any]", json.loads(output)[0]["repo"][0]["status"])


def files(host: t.Any, *paths: str) -> dict[str, str]:
    """Checksum of each file at or below the paths that exist, and its place: another inode is a written file."""
    listed = host.check_output(f"find {' '.join(paths)} -type f -printf '%p %i %T@ %m %u\\n' 2>/dev/null || true")
    sums = host.check_output(f"find {' '.join(paths)} -type f -exec sha256sum {{}} + 2>/dev/null || true")
    found = {line.split(" ", 1)[0]: line for line in listed.splitlines()}
    return {path: found[path] + checksum for checksum, path in (line.split(maxsplit=1) for line in sums.splitlines())}


def play(*arguments: str) -> None:
    """Run the play again. It must succeed."""
    project, scenario = os.environ["MOLECULE_PROJECT_DIRECTORY"], os.environ["MOLECULE_SCENARIO_NAME"]
    inventories = (
        f"{os.environ['MOLECULE_EPHEMERAL_DIRECTORY']}/inventory",
        f"{project}/docs/topologies/{scenario}/inventory.yml",
        f"{project}/molecule/shared/inventory.yml",
    )
    result = subprocess.run(
        [
            "ansible-playbook",
            *(f"--inventory={inventory}" for inventory in inventories),
            *arguments,
            f"{project}/molecule/shared/converge.yml",
        ],
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": f"{project}/.build/collections", "ANSIBLE_PIPELINING": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def serial(host: t.Any, name: str) -> str:
    return str(host.check_output(f"openssl x509 -noout -serial -in {CERTIFICATES}/{name}.crt"))


def server_process(host: t.Any) -> str:
    return str(host.check_output("systemctl show --property=MainPID --value pgbackrest.service"))


@pytest.mark.parametrize("stanza", DATABASES)
def test_wal_arrives(on: On, stanza: str) -> None:
    host = on(DATABASES[stanza])
    segment = add_rows(host)
    wait_until_archived(host, segment)
    assert newest_segment(repository_info(on, stanza)) >= segment


@pytest.mark.parametrize("stanza", DATABASES)
def test_backup_is_restorable(on: On, stanza: str) -> None:
    host = on(DATABASES[stanza])
    wait_until_archived(host, add_rows(host))
    with restored(host, stanza=stanza) as port:
        assert rows(host, port=port) == rows(host)


def test_scheduled_backup_reads_the_database_over_tls(on: On) -> None:
    before = backups(repository_info(on, "a"))
    start_unit(on("backup1"), "pgbackrest-a-diff.service")
    assert len(backups(repository_info(on, "a"))) == len(before) + 1


def test_servers_run_as_those_who_may_read(on: On) -> None:
    for name, user in (("backup1", "pgbackrest"), ("db-a", "postgres"), ("db-b", "postgres")):
        service = on(name).service("pgbackrest.service")
        assert service.is_running
        assert service.is_enabled
        assert on(name).check_output(f"ps -o user= -p {server_process(on(name))}") == user


def test_private_keys_are_nowhere_twice_and_for_nobody_else(on: On) -> None:
    seen = []
    for name, user in (("backup1", "pgbackrest"), ("db-a", "postgres"), ("db-b", "postgres")):
        for path in on(name).check_output(f"ls {CERTIFICATES}/*.key").split():
            file = on(name).file(path)
            assert (file.user, file.mode) == (user, 0o600)
            seen.append(file.sha256sum)
    assert len(seen) == len(set(seen)) == 3 + 2 + 2
    authority = on("backup1").file("/etc/pgbackrest/ca/ca.key")
    assert (authority.user, authority.mode) == ("root", 0o600)
    assert not on("db-a").file("/etc/pgbackrest/ca").exists


def test_a_certificate_is_for_its_stanza_only(on: On) -> None:
    assert status_over(on, "a", f"{CERTIFICATES}/a")["code"] == 0
    refused = status_over(on, "b", f"{CERTIFICATES}/a")
    assert refused["code"] == 99
    assert "access denied" in refused["message"]


def test_the_certificate_of_a_server_is_for_no_stanza(on: On) -> None:
    refused = status_over(on, "a", f"{CERTIFICATES}/server")
    assert refused["code"] == 99
    assert "unsupported certificate" in refused["message"]


@pytest.fixture(name="stranger")
def stranger_fixture(on: On) -> t.Iterator[str]:
    """A certificate for stanza a that another authority has signed: itself."""
    path = "/var/lib/postgresql/stranger"
    as_postgres(
        on("db-a"),
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=a"
        f" -keyout {path}.key -out {path}.crt",
    )
    yield path
    on("db-a").check_output(f"rm {path}.key {path}.crt")


def test_a_certificate_of_another_authority_is_refused(on: On, stranger: str) -> None:
    refused = status_over(on, "a", stranger)
    assert refused["code"] == 99
    assert "unknown ca" in refused["message"]


def test_a_server_of_another_authority_is_not_trusted(on: On, stranger: str) -> None:
    refused = status_over(on, "a", f"{CERTIFICATES}/a", authority=f"{stranger}.crt")
    assert refused["code"] == 99
    assert "unable to verify certificate presented by 'backup1:8432" in refused["message"]


def test_the_repository_host_needs_the_certificate_of_the_stanza(on: On) -> None:
    command = "cd / && runuser -u pgbackrest -- pgbackrest --stanza=a --log-level-file=off check"
    on("backup1").check_output(command)
    result = on("backup1").run(
        f"{command} --pg1-host-cert-file={CERTIFICATES}/b.crt --pg1-host-key-file={CERTIFICATES}/b.key"
    )
    assert result.rc != 0
    assert "access denied" in result.stdout + result.stderr


def test_nothing_is_lost_while_the_repository_host_is_down(on: On) -> None:
    host = on("db-a")
    on("backup1").check_output("systemctl stop pgbackrest.service")
    with contextlib.ExitStack() as stack:
        stack.callback(on("backup1").run, "systemctl start pgbackrest.service")
        segments = [add_rows(host) for dummy in range(3)]
        wait_for(
            lambda: query(host, "SELECT last_failed_wal FROM pg_stat_archiver")[-16:] >= segments[0][-16:],
            "a failed attempt to archive",
        )
        assert newest_segment(repository_info(on, "a")) < segments[0]
    wait_until_archived(host, segments[-1])
    assert newest_segment(repository_info(on, "a")) >= segments[-1]
    with restored(host, stanza="a") as port:
        assert rows(host, port=port) == rows(host)


def test_play_for_one_cluster_leaves_every_byte_of_the_other(on: On) -> None:
    of_a = ("/etc/pgbackrest", "/etc/systemd/system", "/var/lib/pgops-pgbackrest", "/usr/local", "/etc/postgresql")
    before = {name: files(on(name), *of_a) for name in ("backup1", "db-a")}
    play("--limit", "db-b,backup1", "--extra-vars", json.dumps({"pgbackrest_options": {"archive-timeout": 90}}))
    after = {name: files(on(name), *of_a) for name in ("backup1", "db-a")}
    assert "archive-timeout=90" in on("db-b").file("/etc/pgbackrest/conf.d/b.conf").content_string
    assert after["db-a"] == before["db-a"]
    changed = {path for path in before["backup1"] if before["backup1"][path] != after["backup1"].get(path)}
    assert changed | (set(after["backup1"]) - set(before["backup1"])) == {"/etc/pgbackrest/conf.d/b.conf"}


def test_certificates_are_renewed_while_wal_goes_on(on: On) -> None:
    names = {"backup1": ("server", "a", "b"), "db-a": ("server", "a"), "db-b": ("server", "b")}
    before = {(host, name): serial(on(host), name) for host in names for name in names[host]}
    processes = {host: server_process(on(host)) for host in names}
    failed = query(on("db-a"), "SELECT failed_count FROM pg_stat_archiver")
    on("db-a").check_output(
        "systemd-run --uid=postgres --unit=load --property=Restart=always --property=RestartSec=1"
        " psql -XAtqc \"INSERT INTO customer SELECT max(id) + 1, 'x' FROM customer\" -c 'SELECT pg_switch_wal()'"
    )
    try:
        play("--extra-vars", "pgbackrest_tls_days=500 pgbackrest_tls_renew_before=400d")
    finally:
        on("db-a").check_output("systemctl stop load.service")
    after = {(host, name): serial(on(host), name) for host in names for name in names[host]}
    assert not [name for name, number in after.items() if before[name] == number]
    # Read again, and not started again.
    assert {host: server_process(on(host)) for host in names} == processes
    shown = on("db-a").check_output(
        f"openssl s_client -connect backup1:8432 -CAfile {CERTIFICATES}/ca.crt -verify_return_error </dev/null"
        " 2>/dev/null | openssl x509 -noout -serial"
    )
    assert shown == after[("backup1", "server")]
    segment = add_rows(on("db-a"))
    wait_until_archived(on("db-a"), segment)
    assert query(on("db-a"), "SELECT failed_count FROM pg_stat_archiver") == failed
    on("backup1").check_output("cd / && runuser -u pgbackrest -- pgbackrest --stanza=a --log-level-file=off check")
