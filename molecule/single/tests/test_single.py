# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One host with two clusters, backed up on the host itself. The tests build on one another."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import playbook
import pytest
from live import (
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

PORTS = {"main": 5432, "web": 5433}
TIMERS = {
    "pgbackrest-main-full.timer",
    "pgbackrest-main-diff.timer",
    "pgbackrest-web-full.timer",
    "pgbackrest-web-incr.timer",
}
HURT = r"""
systemctl start --no-block pgbackrest-web-incr.service
until runuser -u postgres -- psql -XAtq -p 5433 -c \
    "SELECT 'connected' FROM pg_stat_activity WHERE application_name LIKE 'pgBackRest [backup]%'" | grep connected
do
    sleep 0.05
done
systemctl stop postgresql@15-web.service
"""


@pytest.fixture
def db1(on: t.Any) -> t.Any:
    return on("db1")


@pytest.fixture(params=sorted(PORTS))
def stanza(request: t.Any) -> str:
    return str(request.param)


@pytest.fixture
def port(stanza: str) -> int:
    return PORTS[stanza]


def passphrase(host: t.Any, stanza: str) -> str:
    lines = host.file(f"/etc/pgbackrest/conf.d/{stanza}.conf").content_string.splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)["repo1-cipher-pass"]


@pytest.fixture(name="results")
def results_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file to which plays write what each task did, and where."""
    callback = Path(__file__).resolve().parents[3] / "tests/bench/callback"
    monkeypatch.setenv("ANSIBLE_CALLBACK_PLUGINS", str(callback))
    monkeypatch.setenv("ANSIBLE_CALLBACKS_ENABLED", "results")
    monkeypatch.setenv("BENCH_RESULTS", str(tmp_path / "results"))
    return tmp_path / "results"


def failed_units(host: t.Any) -> list[str]:
    return [line.split()[0] for line in host.check_output("systemctl list-units --failed --plain -q").splitlines()]


def test_each_cluster_is_in_its_own_stanza(db1: t.Any, stanza: str, port: int) -> None:
    information = stanza_info(db1, stanza)
    assert information["status"]["code"] == 0
    system = query(db1, "SELECT system_identifier FROM pg_control_system()", port=port)
    assert str(information["db"][0]["system-id"]) == system


def test_an_unchanged_run_has_few_tasks(results: Path) -> None:
    """Two for the host and two for each cluster reach it; each other task costs the controller time, too."""
    assert playbook.succeed("site").changed()["db1"] == 0
    done = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
    reached = [result["reached"] for result in done if result["host"] == "db1"]
    assert reached.count(True) == 2 + 2 * len(PORTS)
    assert reached.count(False) <= 4 + 2 * len(PORTS)


def test_wal_arrives(db1: t.Any, stanza: str, port: int) -> None:
    segment = add_rows(db1, port=port)
    wait_until_archived(db1, segment, port=port)
    assert newest_segment(stanza_info(db1, stanza)) >= segment
    files = db1.check_output("find /var/lib/pgbackrest/archive/%s -name %s", stanza, f"{segment}-*")
    assert len(files.splitlines()) == 1


def test_repository_is_encrypted(db1: t.Any, stanza: str) -> None:
    for kind in ("backup", "archive"):
        directory = f"/var/lib/pgbackrest/{kind}/{stanza}"
        assert db1.check_output("head --bytes 8 %s", f"{directory}/{kind}.info") == "Salted__"
    segments = db1.check_output("find /var/lib/pgbackrest/archive/%s -type f -name '0000*'", stanza).splitlines()
    assert segments
    assert {db1.check_output("head --bytes 8 %s", path) for path in segments} == {"Salted__"}


def test_everything_is_restored(db1: t.Any, stanza: str, port: int) -> None:
    with restored(db1, stanza=stanza) as scratch:
        assert rows(db1, port=scratch) == rows(db1, port=port)


def test_timers_are_set(db1: t.Any) -> None:
    listed = json.loads(db1.check_output("systemctl list-timers --all --output=json 'pgbackrest-*'"))
    assert {timer["unit"] for timer in listed} == TIMERS
    assert all(timer["next"] for timer in listed)
    for timer in TIMERS:
        assert db1.service(timer).is_enabled
        assert db1.service(timer).is_running


@pytest.mark.parametrize(("stanza", "kind"), [("main", "diff"), ("web", "incr")])
def test_what_the_timer_starts_takes_a_backup(db1: t.Any, stanza: str, kind: str) -> None:
    before = backups(stanza_info(db1, stanza))
    start_unit(db1, f"pgbackrest-{stanza}-{kind}.service")
    after = stanza_info(db1, stanza)["backup"]
    assert [found["label"] for found in after[:-1]] == before
    assert after[-1]["type"] == kind


def test_secrets_are_for_the_owner_only(db1: t.Any, stanza: str) -> None:
    file = db1.file(f"/etc/pgbackrest/conf.d/{stanza}.conf")
    assert (file.user, file.group, file.mode) == ("postgres", "postgres", 0o640)
    assert db1.file("/etc/pgbackrest/pgbackrest.conf").mode & 0o007 == 0
    secret = passphrase(db1, stanza)
    holders = db1.check_output("grep -rlF -e %s /etc /home /root /run /srv /tmp /usr/local /var || true", secret)
    assert set(holders.splitlines()) == {f"/etc/pgbackrest/conf.d/{name}.conf" for name in PORTS}
    assert secret not in db1.check_output("journalctl --output cat --no-pager")


def test_repository_is_for_the_owner_only(db1: t.Any) -> None:
    for directory in ("/var/lib/pgbackrest", "/var/log/pgbackrest", "/var/spool/pgbackrest"):
        assert db1.file(directory).user == "postgres"
        assert db1.file(directory).mode & 0o007 == 0
    assert db1.check_output("find /var/lib/pgbackrest -not -user postgres -o -not -type l -perm /0007") == ""


def test_a_server_that_stops_during_its_backup_makes_the_unit_fail(db1: t.Any) -> None:
    before = backups(stanza_info(db1, "web"))
    cursor = db1.check_output("journalctl -n 0 --show-cursor").rpartition("cursor: ")[2]
    db1.check_output(HURT)
    unit = "pgbackrest-web-incr.service"
    state = f"systemctl show --property ActiveState --value {unit}"
    wait_for(lambda: db1.check_output(state) not in ("activating", "deactivating"), "an end of the backup")
    assert db1.check_output(state) == "failed"
    said = db1.check_output("journalctl -o cat --unit %s --after-cursor %s", unit, cursor)
    assert "ERROR: [" in said
    assert backups(stanza_info(db1, "web")) == before


def test_the_other_cluster_is_not_touched(db1: t.Any) -> None:
    start_unit(db1, "pgbackrest-main-diff.service")
    assert (
        db1.check_output("systemctl list-units --failed --plain --no-legend").split()[0]
        == "pgbackrest-web-incr.service"
    )


def test_it_works_again_when_the_server_is_back(db1: t.Any) -> None:
    db1.check_output("systemctl start postgresql@15-web.service")
    before = backups(stanza_info(db1, "web"))
    start_unit(db1, "pgbackrest-web-incr.service")
    assert len(backups(stanza_info(db1, "web"))) == len(before) + 1
    assert failed_units(db1) == []
    wait_until_archived(db1, add_rows(db1, port=5433), port=5433)
    as_postgres(db1, "pgbackrest --stanza=web check")
