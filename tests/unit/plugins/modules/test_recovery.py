# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module recovery with scripted observations of a server."""

from __future__ import annotations

import typing as t
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils import _recovery_watch as watch
from ansible_collections.pgops.pgbackrest.plugins.module_utils._recovery import Observation
from ansible_collections.pgops.pgbackrest.plugins.module_utils._sql import DatabaseError

RunModule = t.Callable[..., dict[str, t.Any]]
RECOVERING = Observation(alive=True, timeline=1)
PAUSED = Observation(alive=True, connected=True, paused=True, timeline=1, replay_lsn=0x3000060)
FOLLOWING = Observation(alive=True, connected=True, standby=True, timeline=1, replay_lsn=0x3000060)
PROMOTED = Observation(alive=True, connected=True, in_recovery=False, timeline=2, checkpoint_timeline=2)
BEFORE_CHECKPOINT = replace(PROMOTED, checkpoint_timeline=1)
EXITED = Observation(alive=False, timeline=1, control="in archive recovery")
REFUSED = Observation(alive=True, timeline=1, status="ready   ")


@pytest.fixture(name="server")
def server_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> t.Callable[..., list[str]]:
    """Script what is seen of the server, one observation a look, the last for ever; returns what it is told."""
    (tmp_path / "PG_VERSION").write_text("15\n", encoding="ascii")
    (tmp_path / "pg_wal").mkdir()
    clock = [0.0]
    monkeypatch.setattr(watch, "monotonic", lambda: clock[0])
    monkeypatch.setattr(watch, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    monkeypatch.setattr(watch, "HAS_PSYCOPG2", True)

    def script(*seen: Observation, log: str = "", history: str = "", settings: str = "") -> list[str]:
        told: list[str] = []
        looks = list(seen)

        def observe(module: t.Any, pgdata: str) -> tuple[Observation, DatabaseError | None]:
            look = looks.pop(0) if len(looks) > 1 else looks[0]
            return look, None if look.connected or not look.alive else DatabaseError("no entry for this role")

        monkeypatch.setattr(watch, "observe", observe)
        monkeypatch.setattr(watch, "resume", lambda module, pgdata: told.append("resume"))
        monkeypatch.setattr(watch, "checkpoint", lambda module, pgdata: told.append("checkpoint"))
        monkeypatch.setattr(watch, "promote", lambda module, pgdata: told.append("promote"))

        def clean(module: t.Any, pgdata: str, names: t.Iterable[str]) -> None:
            told.extend(f"reset {name}" for name in names)
            (tmp_path / "postgresql.auto.conf").write_text("", encoding="utf-8")

        monkeypatch.setattr(watch, "clean", clean)
        (tmp_path / "log").write_text(log, encoding="utf-8")
        (tmp_path / "postgresql.auto.conf").write_text(settings, encoding="utf-8")
        if history:
            (tmp_path / "pg_wal/00000002.history").write_text(history, encoding="utf-8")
        return told

    return script


@pytest.fixture(name="recover")
def recover_fixture(run_module: RunModule, tmp_path: Path) -> RunModule:
    """Run the module on the scripted server."""

    def recover(check: bool = False, **params: t.Any) -> dict[str, t.Any]:
        options = {"pgdata": str(tmp_path), "log_file": str(tmp_path / "log"), "timeout": 30, **params}
        return run_module("recovery", options, check=check)

    return recover


AT_NAME = {"target_type": "name", "target": "rp"}
STOPPED = 'LOG:  recovery stopping at restore point "rp", time 2026-05-01 12:00:00+00\n'
HISTORY = '1\t0/3000148\tat restore point "rp"\n'


def test_it_waits_and_cleans(server: t.Any, recover: RunModule) -> None:
    settings = "recovery_target_name = 'rp'\nwork_mem = '4MB'\n"
    told = server(RECOVERING, RECOVERING, PROMOTED, history=HISTORY, settings=settings)
    result = recover(**AT_NAME)
    assert told == ["reset recovery_target_name"]
    assert (result["changed"], result["outcome"], result["reached"]) == (True, "promoted", True)
    assert (result["timeline_before"], result["timeline"], result["stop"]["lsn"]) == (1, 2, "0/3000148")
    assert result["diff"] == {
        "before": {
            "state": "recovering",
            "timeline": 1,
            "timeline_of_checkpoint": None,
            "recovery_settings": {"recovery_target_name": "rp"},
        },
        "after": {"state": "promoted", "timeline": 2, "timeline_of_checkpoint": 2, "recovery_settings": {}},
    }


def test_clean_can_be_left_out(server: t.Any, recover: RunModule) -> None:
    told = server(PROMOTED, history=HISTORY, settings="recovery_target_name = 'rp'\n")
    assert recover(clean=False)["changed"] is False
    assert told == []


def test_checkpoint_that_ends_a_promotion_is_not_waited_for(server: t.Any, recover: RunModule) -> None:
    told = server(RECOVERING, BEFORE_CHECKPOINT, PROMOTED, history=HISTORY)
    assert recover(**AT_NAME)["changed"]
    assert told == ["checkpoint"]
    assert recover(**AT_NAME)["changed"] is False
    assert told == ["checkpoint"]


def test_checkpoint_can_be_left_to_the_server(server: t.Any, recover: RunModule) -> None:
    told = server(BEFORE_CHECKPOINT, history=HISTORY)
    assert (recover(**AT_NAME, checkpoint=False)["changed"], told) == (False, [])


SHUT_DOWN = STOPPED + "LOG:  shutdown at recovery target\n"


def test_server_that_ends_at_its_target_as_asked(server: t.Any, recover: RunModule) -> None:
    server(RECOVERING, EXITED, log=SHUT_DOWN)
    result = recover(state="shut_down", **AT_NAME)
    assert (result["outcome"], result["reached"]) == ("shut_down", True)


@pytest.mark.parametrize(
    ("seen", "log", "sentence"),
    [
        (EXITED, "LOG:  nothing\n", "PostgreSQL is not running."),
        (EXITED, SHUT_DOWN.replace("rp", "other"), "Recovery stopped at restore point other, not at"),
        (PROMOTED, "", "and will not be shut down."),
    ],
)
def test_server_that_does_not_end_at_its_target(
    server: t.Any, recover: RunModule, seen: Observation, log: str, sentence: str
) -> None:
    server(RECOVERING, seen, log=log, history=HISTORY)
    result = recover(state="shut_down", **AT_NAME)
    assert result["failed"] and sentence in result["msg"]


def test_log_of_an_earlier_shutdown_does_not_hide_a_server_that_is_about_to_start(
    server: t.Any, recover: RunModule
) -> None:
    server(EXITED, EXITED, RECOVERING, PROMOTED, log=SHUT_DOWN, history=HISTORY)
    assert recover(**AT_NAME)["outcome"] == "promoted"


def test_a_pause_is_resumed_once(server: t.Any, recover: RunModule) -> None:
    told = server(PAUSED, PAUSED, PAUSED, RECOVERING, PROMOTED, log=STOPPED, history=HISTORY)
    result = recover(promote=True, **AT_NAME)
    assert told == ["resume"]
    assert (result["changed"], result["reached"]) == (True, True)


def test_a_standby_is_promoted_after_its_pause_ended(server: t.Any, recover: RunModule) -> None:
    told = server(PAUSED, PAUSED, FOLLOWING, FOLLOWING, PROMOTED, history="1\t0/3\tno recovery target specified\n")
    assert recover(promote=True)["outcome"] == "promoted"
    assert told == ["resume", "promote"]


def test_a_pause_at_another_point_is_left_alone(server: t.Any, recover: RunModule) -> None:
    told = server(PAUSED, log=STOPPED)
    result = recover(promote=True, target_type="name", target="other")
    assert (result["failed"], result["changed"], told) == (True, False, [])
    assert "It is left as it is" in result["msg"]


def test_a_pause_that_would_end_the_server_is_not_resumed(server: t.Any, recover: RunModule) -> None:
    hint = "WARNING:  hot standby is not possible because of insufficient parameter settings\n"
    told = server(PAUSED, log=hint)
    assert "Raise them and start the server again" in recover(promote=True)["msg"]
    assert told == []


def test_a_silent_promotion_short_of_the_target_fails_and_cleans_nothing(server: t.Any, recover: RunModule) -> None:
    told = server(PROMOTED, history='1\t0/3000148\tat restore point ""\n', settings="recovery_target_name = 'rp'\n")
    result = recover(**AT_NAME)
    assert (result["failed"], result["reached"], told) == (True, False, [])
    assert "Do not use this server" in result["msg"]


def test_a_server_that_ends_is_told_with_its_lines(server: t.Any, recover: RunModule) -> None:
    server(RECOVERING, EXITED, log="FATAL:  recovery ended before configured recovery target was reached\n")
    result = recover(**AT_NAME)
    assert (result["failed"], result["outcome"]) == (True, "exited")
    assert "Choose an earlier target" in result["msg"]
    assert result["log"] == ["FATAL:  recovery ended before configured recovery target was reached"]


def test_a_server_that_appears_late_is_waited_for(server: t.Any, recover: RunModule) -> None:
    server(EXITED, EXITED, RECOVERING, PROMOTED, history=HISTORY)
    assert recover(**AT_NAME)["outcome"] == "promoted"


def test_a_login_that_never_works_is_told_soon(server: t.Any, recover: RunModule) -> None:
    server(REFUSED)
    assert recover(timeout=10000)["msg"] == "no entry for this role"


def test_too_long(server: t.Any, recover: RunModule) -> None:
    server(RECOVERING)
    result = recover()
    assert (result["failed"], result["outcome"], result["stop"]) == (True, "timeout", None)
    assert "not promoted after 30 seconds" in result["msg"]


@pytest.mark.parametrize(
    ("seen", "params", "changed"),
    [
        (RECOVERING, {}, False),
        (EXITED, {}, False),
        (PAUSED, {"promote": True}, True),
        (PAUSED, {}, False),
        (PAUSED, {"state": "paused"}, False),
        (PROMOTED, {}, True),
        (PROMOTED, {"clean": False}, False),
        (BEFORE_CHECKPOINT, {"clean": False}, True),
        (BEFORE_CHECKPOINT, {"clean": False, "checkpoint": False}, False),
        (PROMOTED, {"state": "following"}, False),
    ],
)
def test_check_mode_looks_once(
    server: t.Any, recover: RunModule, seen: Observation, params: dict[str, t.Any], changed: bool
) -> None:
    told = server(seen, settings="recovery_target_name = 'rp'\n")
    result = recover(check=True, **params)
    assert (result.get("failed", False), result["changed"], told) == (False, changed, [])
    assert (result["diff"]["before"] != result["diff"]["after"]) == changed


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"target_type": "time", "target": "2026-05-01 12:00"}, "no offset from UTC"),
        ({"target_type": "name"}, "Type name needs a target"),
        ({"target_type": "immediate", "target": "x"}, "takes no target"),
        ({"target": "x"}, "required by 'target'"),
        ({"target_exclusive": True}, "target_exclusive needs target_type"),
        ({"known_lsn": "0/3000028", "target_type": "immediate"}, "known_lsn needs target_type=default"),
        ({"known_lsn": "3000028", "target_type": "default"}, "is not an LSN"),
    ],
)
def test_bad_input(server: t.Any, recover: RunModule, params: dict[str, t.Any], words: str) -> None:
    server(PROMOTED)
    assert words in recover(**params)["msg"]
