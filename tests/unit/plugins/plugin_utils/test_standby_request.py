# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a survey says of standbys."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.pgops.pgbackrest.plugins.plugin_utils._standby_request import fit, request

ROLE = Path(__file__).resolve().parents[4] / "roles/standby"
DEFAULTS = yaml.safe_load((ROLE / "defaults/main.yml").read_text(encoding="utf-8"))


def given(**changes: t.Any) -> dict[str, t.Any]:
    return {**{name[8:]: value for name, value in DEFAULTS.items()}, **changes}


def test_defaults_and_an_empty_survey_are_the_same() -> None:
    wanted = request(given(), "db2")
    assert wanted["problems"] == []
    assert request(dict.fromkeys(given(), ""), "db2") == wanted
    assert wanted == {
        "stanza": "",
        "upstream": "",
        "user": "replicator",
        "conninfo": {},
        "slot": "",
        "hba": False,
        "addresses": [],
        "create_user": False,
        "confirm": "",
        "throttle": 0,
        "recovery_options": {},
        "recovery_timeout": 3600,
        "file": "",
        "restore": {},
        "problems": [],
    }


def test_text_is_read() -> None:
    wanted = request(
        given(
            conninfo="sslmode=verify-full,connect_timeout=5",
            slot="yes",
            pg_hba="true",
            create_user="true",
            password="Geheim",
            throttle="2",
            repo="2",
            set="latest",
            bindir="/opt/pg/bin",
            recovery_options={"recovery_min_apply_delay": "1h"},
            recovery_timeout="60",
        ),
        "DB-2.example",
    )
    assert wanted["problems"] == []
    assert wanted["conninfo"] == {"sslmode": "verify-full", "connect_timeout": "5"}
    assert (wanted["slot"], wanted["hba"], wanted["addresses"]) == ("db_2_example", True, [])
    assert (wanted["create_user"], wanted["throttle"], wanted["recovery_timeout"]) == (True, 2, 60)
    assert wanted["restore"] == {"repo": 2, "set": "latest", "bindir": "/opt/pg/bin"}
    assert wanted["recovery_options"] == {"recovery_min_apply_delay": "1h"}


def test_the_password_is_not_handed_on() -> None:
    assert "Geheim" not in str(request(given(password="Geheim", create_user=True), "db2"))


@pytest.mark.parametrize(
    ("value", "slot"), [(True, "db2"), ("on", "db2"), (False, ""), ("no", ""), ("", ""), ("own_name", "own_name")]
)
def test_slot(value: t.Any, slot: str) -> None:
    assert request(given(slot=value), "db2")["slot"] == slot


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, (True, [])),
        ("no", (False, [])),
        ("10.0.0.0/8, samenet", (True, ["10.0.0.0/8", "samenet"])),
        (["db2.example"], (True, ["db2.example"])),
        ([], (False, [])),
    ],
)
def test_pg_hba(value: t.Any, expected: t.Any) -> None:
    wanted = request(given(pg_hba=value), "db2")
    assert (wanted["hba"], wanted["addresses"]) == expected


BAD = [
    ({"slot": "My-Slot"}, "standby_slot must be true, false, or the name of a slot"),
    ({"pg_hba": "10.0.0.0/8 trust"}, "standby_pg_hba must be true, false, or addresses such as 10.0.0.0/8"),
    ({"create_user": True}, "standby_create_user needs standby_password, the password of the new user."),
    ({"create_user": "perhaps"}, "standby_create_user must be true or false, but is 'perhaps'."),
    ({"throttle": "many"}, "standby_throttle must be a number, 0 for no limit, but is 'many'."),
    ({"conninfo": {"host": "db9"}}, "standby_conninfo has host: take it out, because standby_upstream names the host"),
    (
        {"conninfo": "password=x"},
        "standby_conninfo has password: take it out, because it has a place of its own, standby_password.",
    ),
    ({"conninfo": "sslmode"}, "standby_conninfo: 'sslmode' needs a name and a value, as in sslmode=verify-full."),
    ({"recovery_options": {"primary_slot_name": "x"}}, "standby_recovery_options has primary_slot_name: take it out"),
    ({"recovery_options": "restore_command=x"}, "restore_command is written by pgBackRest"),
    ({"recovery_options": "recovery_min_apply_delay"}, "standby_recovery_options: 'recovery_min_apply_delay' needs"),
    ({"repo": "one"}, "standby_repo must be a number from 1 on, or empty, but is 'one'."),
    ({"bindir": "bin"}, "standby_bindir must be an absolute path, but is 'bin'."),
    ({"recovery_timeout": "1h"}, "standby_recovery_timeout must be a number from 1 on"),
]


@pytest.mark.parametrize(("change", "sentence"), BAD, ids=[sentence[:40] for dummy, sentence in BAD])
def test_bad_input(change: dict[str, t.Any], sentence: str) -> None:
    found = request(given(**change), "db2")["problems"]
    assert len(found) == 1 and found[0].startswith(sentence), found


def test_a_misspelled_variable_is_seen() -> None:
    found = request(given(), "db2", ["standby_hosts", "standby_upstraem", "standby_of_mine"])["problems"]
    assert found == ["standby_upstraem is no variable of this playbook. Did you mean standby_upstream?"]


def test_names_of_slots_are_fit() -> None:
    assert fit("x" * 70) == "x" * 63
