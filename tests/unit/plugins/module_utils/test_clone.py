# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A clone: its command line, its request, its directory, its port, its units."""

from __future__ import annotations

import doctest
import json
import os
import socket
import time
import types
import typing as t
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils import (
    _clone_command,
    _clone_port,
    _clone_request,
    _clone_systemd,
    _clone_task,
)
from ansible_collections.pgops.pgbackrest.plugins.module_utils._clone_checks import source_stanza
from ansible_collections.pgops.pgbackrest.plugins.module_utils._clone_command import (
    closed_settings,
    hba_text,
    ident_text,
    needed_settings,
    open_settings,
    setting_problems,
    words,
)
from ansible_collections.pgops.pgbackrest.plugins.module_utils._clone_place import (
    Place,
    left_by_a_restore,
    read_text,
    remove_files,
    restored_and_never_started,
    write_text,
)
from ansible_collections.pgops.pgbackrest.plugins.module_utils._clone_port import free_port, holder, reserved_ports
from ansible_collections.pgops.pgbackrest.plugins.module_utils._clone_request import (
    Wanted,
    differences,
    expiry,
    half_done,
    new_marker,
    place_problems,
    read_request,
    still_to_run,
)
from ansible_collections.pgops.pgbackrest.plugins.module_utils._cluster import user_name

ME = user_name(os.geteuid())
PLACE = Place("trial", "/srv/clones/trial", "postgres")
NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
PARAMS: dict[str, t.Any] = {
    "name": "trial",
    "directory": None,
    "owner": "postgres",
    "stanza": "main",
    "request": None,
    "port": 0,
    "listen_addresses": "localhost",
    "settings": {},
    "hba": [],
    "left_out": [],
    "sql": [],
    "ttl": 0,
    "target_type": "default",
    "target": None,
    "target_exclusive": False,
    "known_lsn": None,
    "archive_stanza": None,
}
CONTROL = """\
wal_level setting:                    replica
max_connections setting:              150
max_worker_processes setting:         8
max_wal_senders setting:              10
max_prepared_xacts setting:           3
max_locks_per_xact setting:           64
track_commit_timestamp setting:       off
"""


@pytest.mark.parametrize("module", [_clone_command, _clone_request])
def test_doctests(module: types.ModuleType) -> None:
    assert doctest.testmod(module).failed == 0


# The command line


def test_needed_settings_are_read_from_pg_controldata() -> None:
    assert needed_settings(CONTROL) == {
        "max_connections": 150,
        "max_worker_processes": 8,
        "max_wal_senders": 10,
        "max_prepared_transactions": 3,
        "max_locks_per_transaction": 64,
    }


@pytest.mark.parametrize(("given", "closed", "opened"), [(None, 150, 150), (50, 150, 50), ("400", 400, 400)])
def test_recovery_has_what_the_source_had_and_the_open_clone_what_was_asked_for(
    given: t.Any, closed: int, opened: int
) -> None:
    settings = {} if given is None else {"max_connections": given}
    needed = needed_settings(CONTROL)
    assert closed_settings(PLACE, 15, 5433, settings, needed)["max_connections"] == str(closed)
    found = open_settings(PLACE, 15, 5433, settings, needed, "localhost", "/run/pg", None)
    assert found["max_connections"] == str(opened)


def test_the_closed_server_is_out_of_reach_whatever_is_given() -> None:
    settings = {"unix_socket_permissions": "0777", "autovacuum": True, "log_statement": "all", "ssl": True}
    found = closed_settings(PLACE, 15, 5433, settings, {})
    assert found["listen_addresses"] == ""
    assert found["unix_socket_directories"] == "/srv/clones/trial/run"
    assert found["unix_socket_permissions"] == "0700"
    assert (found["archive_mode"], found["log_statement"], found["ssl"]) == ("off", "none", "on")


@pytest.mark.parametrize("major", [10, 11, 12, 15, 17, 18])
def test_settings_that_a_version_does_not_have_are_left_out(major: int) -> None:
    found = set(open_settings(PLACE, major, 5433, {}, {}, "*", "/run/pg", None))
    assert ("primary_conninfo" in found) == (major >= 12)
    assert ("archive_library" in found) == (major >= 15)
    assert ("sync_replication_slots" in found) == (major >= 17)
    assert {"archive_mode", "synchronous_standby_names", "max_logical_replication_workers", "hba_file"} <= found


def test_archiving_is_on_with_a_stanza_of_its_own_only() -> None:
    off = open_settings(PLACE, 15, 5433, {}, {}, "*", "/run/pg", None)
    assert (off["archive_mode"], off["archive_command"]) == ("off", "")
    on = open_settings(PLACE, 15, 5433, {}, {}, "*", "/run/pg", "push %p")
    assert (on["archive_mode"], on["archive_command"]) == ("on", "push %p")
    assert closed_settings(PLACE, 15, 5433, {}, {})["archive_command"] == ""


@pytest.mark.parametrize(
    ("settings", "words_in_sentence"),
    [
        ({"port": 1}, "port"),
        ({"Archive_Mode": "on"}, "Archive_Mode"),
        ({"config_file": "x"}, "config_file"),
        ({"a b": 1}, "a b"),
        ({"work_mem=1;": 1}, "work_mem=1;"),
        ({"work_mem": "1\n2"}, "work_mem"),
        ({"work_mem": ["1"]}, "work_mem"),
    ],
)
def test_settings_that_cannot_be_given(settings: dict[str, t.Any], words_in_sentence: str) -> None:
    ((sentence, hint),) = setting_problems(settings)
    assert words_in_sentence in sentence and hint


def test_settings_of_extensions_can_be_given() -> None:
    assert setting_problems({"pg_stat_statements.max": 100, "ssl": True, "search_path": ""}) == []


def test_roles_are_quoted_in_the_files_of_authentication() -> None:
    assert 'local all "big ""boss""" peer map=clone' in hba_text([], 'big "boss"', 15).split("\n")
    assert ident_text("postgres", 'a"b').split("\n")[1] == 'clone "postgres" "a""b"'
    assert "scram-sha-256" in hba_text([], "postgres", 14) and "md5" in hba_text([], "postgres", 13)
    assert hba_text(["host all all all reject"], "postgres", 15).split("\n")[3:] == ["host all all all reject", ""]


# The request


def wanted(**params: t.Any) -> Wanted:
    found, problems = read_request({**PARAMS, **params})
    assert not problems and found is not None
    return found


def script(name: str, sql: str = "SELECT 1") -> dict[str, str]:
    return {"database": "postgres", "name": name, "sql": sql}


def marker_of(asked: Wanted, phase: str, states: t.Sequence[str]) -> dict[str, t.Any]:
    entries = [{**shown, "state": state} for shown, state in zip(asked.shown_scripts, states, strict=False)]
    return {**new_marker(asked, "id", NOW, 5433, {}), "phase": phase, "sql": entries}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"target_type": "immediate"}, "target was the end of the archived WAL"),
        ({"left_out": [5]}, "left_out was none and is 5 now"),
        ({"archive_stanza": "own"}, "archive_stanza was none and is own now"),
        ({"request": {"set": "20260501-020003F"}}, "set was none and is 20260501-020003F now"),
        ({"stanza": "other"}, "stanza was main and is other now"),
        ({"sql": [script("a.sql")]}, "the SQL was none and is a.sql in postgres now"),
    ],
)
def test_other_data_are_another_clone(change: dict[str, t.Any], word: str) -> None:
    marker = json.loads(json.dumps(marker_of(wanted(), "open", [])))
    assert differences(wanted(), marker) == []
    (found,) = differences(wanted(**change), marker)
    assert word in found


def test_where_it_listens_is_no_other_clone() -> None:
    marker = marker_of(wanted(), "open", [])
    assert differences(wanted(port=6000, ttl=60, settings={"work_mem": 1}, listen_addresses="*"), marker) == []


def test_a_file_that_has_not_ended_may_be_another_one_until_the_clone_opens() -> None:
    before = wanted(sql=[script("a.sql"), script("b.sql")])
    after = wanted(sql=[script("a.sql"), script("b.sql", "SELECT 2"), script("c.sql")])
    closed = marker_of(before, "closed", ["done"])
    assert differences(after, closed) == []
    assert [each["name"] for each in still_to_run(after, closed)] == ["b.sql", "c.sql"]
    assert differences(wanted(sql=[script("a.sql", "SELECT 3")]), closed) != []
    assert differences(after, marker_of(before, "open", ["done", "done"])) != []
    assert half_done(marker_of(before, "closed", ["done", "running"])) == "b.sql"
    assert half_done(closed) is None


def test_the_end_counts_from_the_beginning() -> None:
    assert expiry("2026-05-01T12:00:00+00:00", 0) is None
    assert new_marker(wanted(ttl=90), "id", NOW, 5433, {})["expires_at"] == "2026-05-01T12:01:30+00:00"


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"name": ""}, "name"),
        ({"name": "A"}, "name"),
        ({"name": "-a"}, "name"),
        ({"name": "a/../b"}, "name"),
        ({"name": "a" * 41}, "name"),
        ({"directory": "relative/path/of/it"}, "directory"),
        ({"directory": "/srv"}, "directory"),
        ({"directory": "/srv/" + "a" * 100}, "directory"),
        ({"port": 22}, "port"),
        ({"port": 70000}, "port"),
        ({"ttl": -5}, "ttl"),
        ({"target_type": None, "target": "x"}, "target"),
        ({"target_type": "time", "target": "2026-05-01 12:00"}, "target"),
        ({"target_type": "time"}, "target"),
        ({"target_type": "xid", "target": "800", "known_lsn": "0/1"}, "target"),
        ({"archive_stanza": "main"}, "stanza_in_use"),
        ({"hba": [""]}, "hba"),
        ({"hba": ["host all all all trust\nlocal all all trust"]}, "hba"),
        ({"listen_addresses": "a\nb"}, "listen_addresses"),
        ({"sql": [script("a.sql", "\\connect app")]}, "sql"),
    ],
)
def test_bad_input_is_named(params: dict[str, t.Any], code: str) -> None:
    found, problems = read_request({**PARAMS, **params})
    assert found is None
    assert [problem.code for problem in problems] == [code]


@pytest.mark.parametrize("name", ["a", "0", "pr-1234_x", "a" * 40])
def test_good_names(name: str) -> None:
    assert place_problems(Place(name, f"/srv/clones/{name}", "postgres")) == []


# The directory


@pytest.fixture(name="place")
def place_fixture(tmp_path: Path) -> Place:
    directory = tmp_path / "clones" / "trial"
    directory.mkdir(parents=True)
    return Place("trial", str(directory), ME)


def test_only_what_is_the_clones_is_removed_and_no_link_is_followed(place: Place, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    directory = Path(place.directory)
    for name in ("data", "tablespaces", "restore", "run"):
        (directory / name).mkdir()
    (directory / "data" / "pg_wal").symlink_to(outside)
    (directory / "pg_hba.conf").symlink_to(outside / "kept")
    (directory / "clone.json").touch()
    assert remove_files(place) == []
    assert not directory.exists()
    assert (outside / "kept").exists()


def test_what_is_not_the_clones_stays(place: Place) -> None:
    directory = Path(place.directory)
    (directory / "clone.json").touch()
    (directory / "dump.sql").touch()
    assert remove_files(place) == ["dump.sql"]
    assert [path.name for path in directory.iterdir()] == ["dump.sql"]


def test_a_data_directory_that_is_a_link_is_not_emptied(place: Place, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "kept").touch()
    (Path(place.directory) / "data").symlink_to(tmp_path / "outside")
    remove_files(place)
    assert (tmp_path / "outside" / "kept").exists()


@pytest.mark.parametrize(
    ("files", "unfinished"),
    [
        (["restore/receipt.json", "data/PG_VERSION", "data/backup_label"], True),
        (["restore/x", "data/PG_VERSION", "data/backup.manifest"], True),
        (["restore/x"], True),
        (["restore/x", "data/PG_VERSION", "data/recovery.signal", "pgbackrest.conf"], True),
        (["restore/x", "data/PG_VERSION"], False),  # it was started
        (["data/PG_VERSION", "data/backup_label"], False),
        (["restore/x", "data/PG_VERSION", "data/backup_label", "dump.sql"], False),
        (["data/PG_VERSION", "initdb_postgresql.log", "backups/x"], False),
    ],
)
def test_the_rest_of_a_restore_is_told_from_anything_else(place: Place, files: list[str], unfinished: bool) -> None:
    for name in files:
        path = Path(place.directory) / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert left_by_a_restore(place) is unfinished
    fresh = "data/PG_VERSION" in files and {"data/backup_label", "data/recovery.signal"} & set(files)
    assert restored_and_never_started(place.data) is bool(fresh)


def test_a_file_is_written_once_and_never_through_a_link(place: Place, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("kept", encoding="utf-8")
    os.symlink(tmp_path / "outside", place.hba)
    os.symlink(tmp_path / "outside", f"{place.hba}.tmp")
    assert write_text(place, place.hba, "ours")
    assert (tmp_path / "outside").read_text(encoding="utf-8") == "kept"
    assert read_text(place.hba) == "ours"
    assert os.stat(place.hba).st_mode & 0o777 == 0o600
    assert not write_text(place, place.hba, "ours")


@pytest.mark.parametrize(
    ("file", "line", "stanza"),
    [
        ("postgresql.auto.conf", "restore_command = 'pgbackrest --stanza=main archive-get %f \"%p\"'", "main"),
        ("recovery.conf", "restore_command = '/usr/bin/pgbackrest --stanza=a.b archive-get %f \"%p\"'", "a.b"),
        ("postgresql.auto.conf", "restore_command = 'cp /wal/%f %p'", None),
        ("postgresql.auto.conf", "", None),
    ],
)
def test_the_stanza_of_the_source_is_read_from_its_restore_command(
    place: Place, file: str, line: str, stanza: str | None
) -> None:
    os.mkdir(place.data)
    (Path(place.data) / file).write_text(f"{line}\n", encoding="utf-8")
    assert source_stanza(place) == stanza


# The port


def test_a_port_that_somebody_has_is_passed_over(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "clones" / "other"
    other.mkdir()
    (other / "clone.json").write_text('{"port": 5435}', encoding="utf-8")
    (tmp_path / "clones" / "broken").mkdir()
    (tmp_path / "clones" / "broken" / "clone.json").write_text("{", encoding="utf-8")
    monkeypatch.setattr(_clone_port, "clusters", lambda: [{"port": 5433}, {"port": None}])
    assert reserved_ports(place) == {5433, 5435}
    monkeypatch.setattr(_clone_port, "holder", lambda port, directory: "it" if port == 5434 else None)
    assert free_port(place, str(tmp_path)) == 5436


def test_clones_that_begin_at_once_take_two_ports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one chooses when the first has written down what it took."""

    def choose(place: Place, socket_directory: str) -> int | None:
        found = free_port(place, socket_directory)
        time.sleep(0.3)  # time for the other one to choose the same, if it were not kept from it
        return found

    def begin(name: str) -> int:
        place = Place(name, str(tmp_path / name), ME)
        os.makedirs(place.data)
        wanted = Wanted(place, None, {}, [], 0)
        module = types.SimpleNamespace(params={"port": 0})
        return int(_clone_task._begin(t.cast(t.Any, module), wanted, t.cast(t.Any, None), 15, str(tmp_path))["port"])

    monkeypatch.setattr(_clone_port, "clusters", list)
    monkeypatch.setattr(_clone_port, "holder", lambda port, directory: None)
    control = types.SimpleNamespace(system_identifier=1)
    for name, double in {
        "_refuse_settings": lambda *arguments: None,
        "port_problems": lambda *arguments: [],
        "read_control_data": lambda path: control,
        "free_port": choose,
    }.items():
        monkeypatch.setattr(_clone_task, name, double)
    with ThreadPoolExecutor() as pool:
        assert set(pool.map(begin, ("one", "two"))) == {5433, 5434}


def test_the_holder_of_a_port_is_told(tmp_path: Path) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        assert holder(listening.getsockname()[1], str(tmp_path)) == "a program that listens on it"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert holder(port, str(tmp_path)) is None
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / f".s.PGSQL.{port}"))
        assert holder(port, str(tmp_path)) is None  # left behind by a server that is gone
        server.listen()
        assert holder(port, str(tmp_path)) == f"the server of {tmp_path}/.s.PGSQL.{port}"


# The units


class Module:
    """The little that units ask of AnsibleModule."""

    tmpdir = "/tmp"

    def get_bin_path(self, name: str, required: bool = False) -> str:
        return f"/usr/bin/{name}"


def test_the_unit_runs_the_very_command(tmp_path: Path) -> None:
    argv = ["/usr/lib/postgresql/15/bin/postgres", "-D", PLACE.data, *words({"a": "50% of $x", "b": ""})]
    text = _clone_systemd.server_text(PLACE, argv)
    assert "User=postgres\n" in text
    assert '    -c "a=50%% of $$x" \\\n    -c b=\n' in text
    assert f'"log=$$1; shift; exec \\"$$@\\" >>\\"$$log\\" 2>&1" sh {PLACE.log} {argv[0]} -D {PLACE.data} \\\n' in text


def test_the_removal_names_this_clone_only_and_works_as_its_owner() -> None:
    text = _clone_systemd.removal_text(t.cast(t.Any, Module()), PLACE, "/usr/lib/postgresql/15/bin", "abc123")
    assert "ExecCondition=/usr/bin/grep -qF abc123 /srv/clones/trial/clone.json\n" in text
    (removing,) = [line for line in text.split("\n") if "rm -rf" in line]
    assert removing.startswith("ExecStart=/usr/bin/runuser -u postgres -- /usr/bin/rm -rf --one-file-system -- ")
    assert all(path.startswith("/srv/clones/trial/") for path in removing.split(" -- ")[2].split())
    assert removing.endswith("/srv/clones/trial/clone.json")


def test_the_timer_has_an_absolute_time_and_makes_up_for_a_host_that_was_down() -> None:
    text = _clone_systemd.timer_text(PLACE, "2026-05-01T13:00:00+00:00")
    assert "OnCalendar=2026-05-01 13:00:00 UTC\n" in text and "Persistent=true\n" in text


def test_units_of_others_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_clone_systemd, "SYSTEMD_DIRECTORY", str(tmp_path))
    unit = tmp_path / "postgresql-clone-trial.service"
    assert (_clone_systemd.present_units(PLACE), _clone_systemd.foreign_units(PLACE)) == ([], [])
    unit.write_text(_clone_systemd.server_text(PLACE, ["postgres", "-D", PLACE.data]), encoding="utf-8")
    assert (_clone_systemd.present_units(PLACE), _clone_systemd.foreign_units(PLACE)) == ([str(unit)], [])
    elsewhere = Place("trial", "/srv/other/trial", "postgres")
    assert (_clone_systemd.present_units(elsewhere), _clone_systemd.foreign_units(elsewhere)) == ([], [str(unit)])
    unit.write_text("[Unit]\n", encoding="utf-8")
    assert _clone_systemd.foreign_units(PLACE) == [str(unit)]
