# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module clone: what it says before there is anything of a clone. The rest needs servers: tests/integration."""

from __future__ import annotations

import os
import pwd
import typing as t
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils import _clone_checks, _clone_systemd
from ansible_collections.pgops.pgbackrest.plugins.modules import clone as module

Run = t.Callable[..., dict[str, t.Any]]
NOBODY = pwd.getpwnam("nobody").pw_uid


@pytest.fixture(name="clone")
def clone_fixture(run_module: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the module as nobody, who has no units."""
    monkeypatch.setattr(_clone_checks, "HAS_PSYCOPG2", True)
    monkeypatch.setattr(_clone_systemd, "SYSTEMD_DIRECTORY", str(tmp_path / "units"))
    monkeypatch.setattr(_clone_checks, "belongs_to", lambda place: "nobody" if place.there() else None)

    def clone(check: bool = False, **params: t.Any) -> dict[str, t.Any]:
        given = {"name": "trial", "directory": str(tmp_path / "clones" / "trial"), "owner": "nobody", **params}
        return run_module("clone", given, check=check, uid=NOBODY)

    return clone


def codes(result: dict[str, t.Any]) -> list[str]:
    assert result["failed"], result
    return [problem["code"] for problem in result["problems"]]


def test_nothing_there_is_nothing_to_remove(clone: Run, tmp_path: Path) -> None:
    assert clone(state="absent")["changed"] is False
    (tmp_path / "clones" / "trial").mkdir(parents=True)
    assert clone(state="absent")["changed"] is False


def test_a_clone_is_foretold_before_its_restore(clone: Run, tmp_path: Path) -> None:
    result = clone(check=True, port=6001, settings={"work_mem": "8MB"}, target_type="default")
    assert (result["changed"], result["state"], result["diff"]["before"]) == (True, "absent", {"state": "absent"})
    after = result["diff"]["after"]
    assert (after["state"], after["port"], after["settings"]) == ("open", 6001, {"work_mem": "8MB"})
    assert after["target"] == "the end of the archived WAL"
    assert not (tmp_path / "clones").exists()


def test_without_a_restore_there_is_nothing_to_make_it_of(clone: Run, tmp_path: Path) -> None:
    result = clone()
    assert codes(result) == ["no_data"]
    assert f"pgdata: {tmp_path}/clones/trial/data" in result["msg"]


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("state", ["present", "absent"])
def test_a_directory_with_something_else_is_left_alone(clone: Run, tmp_path: Path, check: bool, state: str) -> None:
    other = tmp_path / "clones" / "trial"
    other.mkdir(parents=True)
    (other / "PG_VERSION").write_text("15\n", encoding="utf-8")
    assert codes(clone(state=state, check=check)) == ["not_ours"]
    assert [path.name for path in other.iterdir()] == ["PG_VERSION"]


@pytest.mark.parametrize(
    ("marker", "code"),
    [('{"name": "other", "directory": "/srv/clones/other"}', "not_ours"), ("nonsense", None)],
)
def test_a_clone_json_of_another_clone_is_respected(clone: Run, tmp_path: Path, marker: str, code: str | None) -> None:
    directory = tmp_path / "clones" / "trial"
    directory.mkdir(parents=True)
    (directory / "clone.json").write_text(marker, encoding="utf-8")
    for state in ("present", "absent"):
        result = clone(state=state)
        assert result["failed"]
        assert code is None or codes(result) == [code]
    assert (directory / "clone.json").read_text(encoding="utf-8") == marker


def test_who_may_make_a_clone(clone: Run, run_module: Run, tmp_path: Path) -> None:
    assert codes(clone(owner="no-such-user")) == ["owner"]
    assert codes(clone(owner="root")) == ["owner"]
    other = run_module("clone", {"name": "trial", "directory": "/srv/clones/trial", "owner": "nobody"}, uid=NOBODY + 1)
    assert codes(other) == ["owner"]
    (tmp_path / "clones").mkdir()
    os.symlink("/srv", tmp_path / "clones" / "trial")
    assert codes(clone()) == ["directory"]
    assert codes(clone(state="absent")) == ["directory"]


def test_everything_that_is_wrong_is_told_at_once_and_the_sql_is_not(clone: Run) -> None:
    sql = [{"name": "a.sql", "sql": "SELECT 'Only-for-these-tests'; \\c app"}]
    result = clone(name="Trial", ttl=-1, port=1, sql=sql)
    assert codes(result) == ["name", "port", "sql", "ttl"]
    assert "1) " in result["msg"] and "4) " in result["msg"]
    assert "Only-for-these-tests" not in str(result)


@pytest.mark.parametrize(
    ("phase", "of_sql", "message"),
    [
        ("closed", True, f"It failed. {module._CLOSED}"),  # the text has said what to do
        ("closed", False, f"It failed. {module._CLOSED} {module._NEXT}"),
        ("open", False, "It failed."),
    ],
)
def test_an_sql_error_has_one_advice_and_no_log(
    monkeypatch: pytest.MonkeyPatch, phase: str, of_sql: bool, message: str
) -> None:
    monkeypatch.setattr(module, "place_of", lambda params: None)
    monkeypatch.setattr(module, "read_marker", lambda place: {"phase": phase})
    monkeypatch.setattr(module, "log_of", lambda place: ["FATAL:  it is so"])
    result = module.failure(t.cast(t.Any, SimpleNamespace(params={})), "It failed.", of_sql)
    log = {} if of_sql else {"log": ["FATAL:  it is so"]}
    assert result == {"msg": message, "state": phase, **log}
