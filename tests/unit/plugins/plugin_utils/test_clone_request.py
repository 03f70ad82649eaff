# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which clone a survey asks for, and everything that is wrong with it."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.pgops.pgbackrest.plugins.plugin_utils._clone_request import request

ROLE = Path(__file__).resolve().parents[4] / "roles/clone"
DEFAULTS = {
    name.removeprefix("clone_"): value
    for name, value in yaml.safe_load((ROLE / "defaults/main.yml").read_text(encoding="utf-8")).items()
}
LATEST = {"type": "default", "target": None, "target_exclusive": False, "target_timeline": None}
FILES = {"mask.sql": "UPDATE customer SET name = ''", "ci/role.sql": "CREATE ROLE ci", "empty.sql": " \n"}


def read(path: str) -> str:
    if path == "latin.sql":
        return b"\xe9".decode()
    if path not in FILES:
        raise FileNotFoundError(2, "No such file or directory", path)
    return FILES[path]


def wanted(names: t.Sequence[str] = (), stanzas: t.Sequence[str] = ("main",), **given: t.Any) -> dict[str, t.Any]:
    return request({**DEFAULTS, "name": "ci-42", **given}, names, stanzas, read)


def problems(names: t.Sequence[str] = (), **given: t.Any) -> list[str]:
    return t.cast("list[str]", wanted(names, **given)["problems"])


def test_role_hands_every_variable_to_the_filter() -> None:
    handed = yaml.safe_load((ROLE / "vars/main.yml").read_text(encoding="utf-8"))["__pgbackrest_clone_given"]
    assert handed == {name: f"{{{{ clone_{name} }}}}" for name in handed}
    assert set(handed) == set(DEFAULTS)


@pytest.mark.parametrize("given", [{}, dict.fromkeys(DEFAULTS, ""), dict.fromkeys(DEFAULTS)], ids=["", "empty", "null"])
def test_empty_is_not_given(given: dict[str, t.Any]) -> None:
    found = wanted(**{**given, "name": "ci-42"})
    assert found["problems"] == []
    assert found["restore"] == {}
    assert found["target"] == LATEST
    assert (found["state"], found["stanza"], found["owner"]) == ("present", "main", "postgres")
    assert found["directory"] == "/var/lib/postgresql/clones/ci-42"
    assert (found["sql"], found["replace"]) == ([], False)
    assert set(found["clone"]) <= {"listen_addresses", "timeout"}


def test_text_of_a_survey_becomes_options() -> None:
    found = wanted(
        target_time="2026-05-01 14:30:00+02:00",
        set="20260501-020003F",
        repo="2",
        db_include="shop, crm",
        port="6000",
        hba="local all all peer\nhost all ci 10.0.0.0/8 scram-sha-256",
        settings="fsync=off, work_mem = 64MB",
        ttl="4h",
        recovery_timeout="60",
        allow_unproven="yes",
        bindir="/opt/pg/bin",
        archive_stanza="clone42",
        replace="Yes",
    )
    assert found["problems"] == []
    assert found["target"] == {**LATEST, "type": "time", "target": "2026-05-01 14:30:00+02:00"}
    assert found["restore"] == {
        "set": "20260501-020003F",
        "repo": 2,
        "db_include": ["shop", "crm"],
        "allow_unproven": True,
        "bindir": "/opt/pg/bin",
    }
    assert found["clone"] == {
        "port": 6000,
        "listen_addresses": "localhost",
        "hba": ["local all all peer", "host all ci 10.0.0.0/8 scram-sha-256"],
        "settings": {"fsync": "off", "work_mem": "64MB"},
        "bindir": "/opt/pg/bin",
        "ttl": 14400,
        "timeout": 60,
        "archive_stanza": "clone42",
    }
    assert found["replace"] is True


def test_lists_and_mappings_are_taken_as_they_are() -> None:
    given: dict[str, t.Any] = {"hba": ["local all all peer"], "db_include": ["shop"]}
    given["settings"] = {"fsync": False, "max_connections": 20}
    found = wanted((), **given)
    assert found["clone"]["settings"] == {"fsync": "off", "max_connections": "20"}
    assert found["clone"]["hba"] == ["local all all peer"]
    assert found["restore"]["db_include"] == ["shop"]


def test_end_of_a_backup_means_the_newest_one() -> None:
    assert wanted(target_immediate=True)["restore"]["set"] == "latest"
    assert wanted(target_immediate=True, set="20260501-020003F")["restore"]["set"] == "20260501-020003F"


def test_sql_files_and_their_databases() -> None:
    found = wanted(sql_files="shop:mask.sql, ci/role.sql", sql_database="crm")["sql"]
    assert found == [
        {"database": "shop", "name": "mask.sql", "sql": FILES["mask.sql"]},
        {"database": "crm", "name": "ci/role.sql", "sql": FILES["ci/role.sql"]},
    ]


def test_files_of_the_result_are_where_the_user_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = wanted(result="clone.json", env="/srv/clone.env")
    assert (found["file"], found["env"]) == (str(tmp_path / "clone.json"), "/srv/clone.env")
    assert (wanted()["file"], wanted()["env"]) == ("", "")


def test_identity_is_what_makes_a_clone_another_one() -> None:
    same = [wanted(), wanted(port="6000", ttl="1h", settings="fsync=off", recovery_timeout=9, sql_files="mask.sql")]
    others = [
        wanted(target_lsn="0/3000028"),
        wanted(set="20260501-020003F"),
        wanted(db_include="shop"),
        wanted(archive_stanza="other"),
        wanted(stanza="other"),
    ]
    assert same[0]["identity"] == same[1]["identity"]
    identities = [same[0]["identity"], *(found["identity"] for found in others)]
    assert all(one != other for number, one in enumerate(identities) for other in identities[:number])


def test_what_is_removed_needs_no_more_than_its_name() -> None:
    found = wanted(state="absent", stanzas=(), sql_files="missing.sql", ttl="later")
    assert found["problems"] == []
    assert (found["name"], found["state"]) == ("ci-42", "absent")


def test_stanza_of_the_inventory() -> None:
    assert wanted(stanzas=["a"])["stanza"] == "a"
    assert wanted(stanzas=["a", "b"], stanza="b")["stanza"] == "b"
    assert wanted(stanzas=["a", "b"])["problems"] == [
        "clone_stanza must be given, the stanza to clone. The inventory names a, b."
    ]


REFUSED = {
    "no name": ({"name": ""}, "clone_name must be given"),
    "a name with a path": ({"name": "../main"}, "clone_name must be at most 40 small letters, digits"),
    "a long name": ({"name": "x" * 41}, "clone_name must be at most 40"),
    "a state of its own": ({"state": "gone"}, "clone_state must be present or absent, but is 'gone'."),
    "a relative directory": ({"directory": "clones"}, "clone_directory must be an absolute path, but is 'clones'."),
    "two targets": (
        {"target_time": "2026-05-01 14:30Z", "target_xid": "744"},
        "clone_target_time and clone_target_xid are given. Give one of them: a clone is of one moment.",
    ),
    "a time without offset": ({"target_time": "2026-05-01 14:30"}, "has no offset from UTC"),
    "exclusive without a target": ({"target_exclusive": True}, "clone_target_exclusive"),
    "its source's stanza": ({"archive_stanza": "main"}, "clone_archive_stanza is main, the stanza that is cloned"),
    "a high port": ({"port": 70000}, "clone_port must be at most 65535, but is 70000."),
    "a word for a port": ({"port": "any"}, "clone_port must be a number from 1 on, or empty, but is 'any'."),
    "a word for a time": ({"ttl": "soon"}, "clone_ttl must be a whole number with s, m, h, d or w, such as 4h"),
    "a setting without value": ({"settings": "fsync"}, "clone_settings: 'fsync' needs a name and a value"),
    "a file that is missing": (
        {"sql_files": "shop:masc.sql"},
        "clone_sql_files: masc.sql cannot be read on the controller: No such file or directory.",
    ),
    "an empty file": ({"sql_files": "empty.sql"}, "clone_sql_files: empty.sql is empty."),
    "a file in another code": ({"sql_files": "latin.sql"}, "clone_sql_files: latin.sql is not text in UTF-8."),
    "a word for a boolean": ({"replace": "maybe"}, "clone_replace must be true or false, but is 'maybe'."),
}


@pytest.mark.parametrize(("given", "sentence"), REFUSED.values(), ids=REFUSED)
def test_one_problem_one_sentence(given: dict[str, t.Any], sentence: str) -> None:
    found = problems(**given)
    assert len(found) == 1, found
    assert sentence in found[0]
    assert found[0].endswith(".")


def test_all_problems_at_once() -> None:
    assert len(problems(name="A", target_time="yesterday", ttl="x", sql_files="none.sql", port="-1")) == 5


@pytest.mark.parametrize(
    ("name", "near"),
    [("clone_target_tiem", "clone_target_time"), ("clone_host", "clone_hosts"), ("clone_sqlfiles", "clone_sql_files")],
)
def test_misspelled_variable_is_refused(name: str, near: str) -> None:
    assert problems([name]) == [f"{name} is no variable of this playbook. Did you mean {near}?"]
