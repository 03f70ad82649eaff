# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a stanza needs, decided without pgBackRest."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils import _stanza
from ansible_collections.pgops.pgbackrest.plugins.module_utils._messages import PgBackRestError
from ansible_collections.pgops.pgbackrest.plugins.module_utils._repository import Stanza, parse_info

Text = t.Callable[[str], str]
SYSTEM = 7711103432488110519


def stanza(text: str) -> Stanza:
    return parse_info(json.loads(text, strict=False))[0]


@pytest.fixture(name="present")
def present_fixture(fixture_text: Text) -> Stanza:
    return stanza(fixture_text("info_two_repositories_2.45.json"))


@pytest.fixture(name="missing")
def missing_fixture(fixture_text: Text) -> Stanza:
    return stanza(fixture_text("info_missing_2.45.json"))


def identity(version: str, system_id: int = SYSTEM) -> _stanza.Identity:
    return _stanza.Identity(system_id, version, "/srv/cluster/pgdata")


def test_nothing_to_do(present: Stanza) -> None:
    assert _stanza.needed_actions(present, identity("15"), True) == []
    assert _stanza.needed_actions(present, None, True) == []


def test_missing_is_created(missing: Stanza) -> None:
    assert _stanza.needed_actions(missing, identity("15"), True) == ["create"]
    assert _stanza.expected_state(missing, ["create"], identity("15")) == {
        "repo1": {"database_id": 1, "version": "15", "system_id": SYSTEM},
        "repo2": {"database_id": 1, "version": "15", "system_id": SYSTEM},
    }


@pytest.mark.parametrize("version", ["16", "17", "100"])
def test_a_newer_major_version_is_an_upgrade(present: Stanza, version: str) -> None:
    assert _stanza.needed_actions(present, identity(version, 1), True) == ["upgrade"]
    expected = _stanza.expected_state(present, ["upgrade"], identity(version, 1))
    assert expected["repo2"] == {"database_id": 2, "version": version, "system_id": 1}


def test_an_upgrade_can_be_forbidden(present: Stanza) -> None:
    with pytest.raises(PgBackRestError, match="upgrade is false"):
        _stanza.needed_actions(present, identity("16", 1), False)


def test_a_new_initdb_of_the_same_version_is_refused(present: Stanza) -> None:
    with pytest.raises(PgBackRestError, match="system identifier 1") as caught:
        _stanza.needed_actions(present, identity("15", 1), True)
    said = str(caught.value)
    assert str(SYSTEM) in said and "made anew by initdb" in said
    # It is what somebody reads who has lost a host and made a new cluster there: these backups are all that is left.
    assert "leave the stanza alone" in said and "pgops.pgbackrest.restore" in said
    assert not {"absent", "remove", "delete"} & set(said.lower().replace(".", " ").replace(":", " ").split())


@pytest.mark.parametrize("version", ["14", "9.6"])
def test_an_older_version_is_refused(present: Stanza, version: str) -> None:
    with pytest.raises(PgBackRestError, match="older than the 15"):
        _stanza.needed_actions(present, identity(version, 1), True)


def test_unreadable_is_refused(fixture_text: Text) -> None:
    with pytest.raises(PgBackRestError, match="Repository 2: unable to load info file .* passphrase"):
        _stanza.refuse_unreadable(stanza(fixture_text("info_wrong_passphrase_2.45.json")), "info")


def test_require_repository(present: Stanza, missing: Stanza) -> None:
    _stanza.require_repository(present, 2, "backup")
    with pytest.raises(PgBackRestError, match="no repository 3, only 1, 2"):
        _stanza.require_repository(present, 3, "backup")
    with pytest.raises(PgBackRestError, match="stanza main is missing in repository 1") as caught:
        _stanza.require_repository(missing, 1, "backup")
    assert caught.value.code == 55


def test_refuse_other_cluster(present: Stanza) -> None:
    _stanza.refuse_other_cluster(present, identity("15"), 1, "backup")
    _stanza.refuse_other_cluster(present, None, 1, "backup")
    with pytest.raises(PgBackRestError) as caught:
        _stanza.refuse_other_cluster(present, identity("16", 1), 1, "backup")
    assert caught.value.code == 51


def test_a_cluster_on_another_host_is_not_known(tmp_path: Path) -> None:
    assert _stanza.local_cluster({"pg1-path": [str(tmp_path)], "pg1-host": ["db1"]}) is None
    assert _stanza.local_cluster({}) is None
    said = _stanza.known_cluster({}, "42", "17.2")
    assert said == _stanza.Identity(42, "17")


def test_a_directory_without_a_cluster(tmp_path: Path) -> None:
    settings = {"pg1-path": [str(tmp_path)]}
    with pytest.raises(PgBackRestError, match="pg_control.*Check pg1-path in the configuration"):
        _stanza.local_cluster(settings)
    assert _stanza.known_cluster(settings, None, None, missing=True) is None


@pytest.mark.parametrize(("system_id", "version"), [("abc", "17"), ("42", "seventeen"), ("-1", "17")])
def test_nonsense_about_the_cluster(system_id: str, version: str) -> None:
    with pytest.raises(PgBackRestError, match="must be a"):
        _stanza.known_cluster({}, system_id, version)


def test_contents_are_told(present: Stanza) -> None:
    found = _stanza.contents(present, 1)
    assert found["backups"] == ["20261122-205937F", "20261122-205937F_20261122-205940I"]
    assert _stanza.describe_contents(found) == (
        "2 backups (20261122-205937F to 20261122-205937F_20261122-205940I, 2.9 MiB) and WAL 15-1 "
        "000000010000000000000001 to 000000010000000000000006 in repository 1"
    )
