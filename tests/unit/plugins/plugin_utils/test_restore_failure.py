# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a play does about a restore that did not come to its end, and what it says."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.pgops.pgbackrest.plugins.plugin_utils._restore_failure import failure, unprotected

MODULE = "pgops.pgbackrest.restore"
KEPT = "/data/main.before-20260501T123000Z"
FAILED = "/data/main.failed-20260501T123500Z"
RECOVERED_WRONGLY = {"msg": "PostgreSQL ended: no luck.", "outcome": "exited", "log": ["FATAL:  no luck"]}


def judged(
    task: str = MODULE,
    running: bool = True,
    mode: str = "swap",
    done: bool = False,
    restored: bool = False,
    kept: str = "",
    **more: t.Any,
) -> dict[str, t.Any]:
    facts = {
        "task": task,
        "result": {"msg": "It did not work"},
        "cluster": {"data_directory": "/data/main", "running": running},
        "mode": mode,
        "done": done,
        "restored": restored,
        "kept": kept,
    }
    return failure({**facts, **more})


def acts(found: dict[str, t.Any]) -> tuple[bool, bool]:
    return found["put_back"], found["start"]


def refused(*codes: str) -> dict[str, t.Any]:
    return {"msg": "The restore is refused.", "problems": [{"code": code} for code in codes]}


def test_server_that_does_not_stop() -> None:
    found = judged(task="ansible.builtin.systemd_service")
    assert acts(found) == (False, False)
    assert found["words"] == (
        "It did not work. Nothing was restored or overwritten. Run the play again as it was: it goes on from there."
    )


@pytest.mark.parametrize("running", [True, False])
@pytest.mark.parametrize(
    ("mode", "result"),
    [
        ("delta", refused("plan_changed")),
        ("swap", refused("space", "locked")),
        ("swap", {"msg": "pgBackRest was killed"}),
        ("swap", refused("io")),
    ],
)
def test_server_starts_again_where_nothing_was_overwritten(mode: str, result: dict[str, t.Any], running: bool) -> None:
    found = judged(mode=mode, result=result, running=running)
    assert acts(found) == (False, running)
    state = "PostgreSQL runs on it again." if running else "PostgreSQL is stopped, as it was before."
    assert found["words"].endswith(f"/data/main is as it was, and {state}")


@pytest.mark.parametrize("result", [{"msg": "pgBackRest was killed"}, refused("verify"), refused("io")])
def test_half_a_delta_restore_is_not_started(result: dict[str, t.Any]) -> None:
    found = judged(mode="delta", result=result)
    assert acts(found) == (False, False)
    assert "/data/main may hold half a restore: PostgreSQL is stopped and must not be started." in found["words"]


@pytest.mark.parametrize(("running", "runs"), [(True, False), (False, True)])
def test_old_directory_comes_back_as_it_was(running: bool, runs: bool) -> None:
    result = {**RECOVERED_WRONGLY, "outcome": "paused" if runs else "exited"}
    before = judged(restored=True, kept=KEPT, result=result, running=running)
    assert acts(before) == (True, running)
    assert (before["runs"], before["log"]) == (runs, ["FATAL:  no luck"])
    after = judged(restored=True, kept=KEPT, result=result, running=running, moved={"failed": FAILED})
    assert "The old directory was put back to /data/main" in after["words"]
    assert f"What was restored is now {FAILED}" in after["words"]


def test_server_of_an_earlier_run_was_there_to_be_used() -> None:
    found = judged(restored=True, done=True, running=False, kept=KEPT, result=RECOVERED_WRONGLY)
    assert acts(found) == (True, True)


def test_start_that_fails_brings_the_old_directory_back() -> None:
    found = judged(task="ansible.builtin.systemd_service", restored=True, kept=KEPT)
    assert acts(found) == (True, True)
    assert found["runs"] is False


def test_recovery_that_takes_long_goes_on() -> None:
    found = judged(restored=True, kept=KEPT, result={"msg": "Not promoted after 60 seconds.", "outcome": "timeout"})
    assert acts(found) == (False, False)
    assert "recovery goes on" in found["words"]


def test_cluster_in_use_since_an_earlier_run_is_never_put_away() -> None:
    result = {"msg": "Recovery stopped elsewhere.", "outcome": "promoted"}
    found = judged(restored=True, done=True, kept=KEPT, result=result)
    assert acts(found) == (False, False)
    assert "takes writes since an earlier run" in found["words"]


def test_delta_has_nothing_to_put_back() -> None:
    found = judged(mode="delta", restored=True, result=RECOVERED_WRONGLY)
    assert acts(found) == (False, False)
    assert "nothing was kept that could be put back" in found["words"]


def test_second_run_that_fails_before_anything() -> None:
    found = judged(done=True, result={"msg": "No connection."})
    assert (acts(found), found["words"]) == ((False, False), "No connection. Nothing was stopped.")


def test_trouble_with_the_roll_back_is_told_with_the_place_of_the_old_directory() -> None:
    found = judged(restored=True, kept=KEPT, result=RECOVERED_WRONGLY, trouble="The unit does not stop")
    assert found["words"] == (
        "PostgreSQL ended: no luck. The unit does not stop. So things could not be put back as they were; the old "
        f"directory is {KEPT}. Look at PostgreSQL's log and at /data/main, remove the cause, and run the play again."
    )
    assert "put back to" not in found["words"]


def test_cluster_without_protection() -> None:
    facts = {"result": {"msg": "pgbackrest check failed with error 082"}, "cluster": {"data_directory": "/data/main"}}
    said = unprotected(facts)
    assert said.startswith("pgbackrest check failed with error 082. The restore itself is done: /data/main is restored")
    assert said.endswith("run the play again as it was: it restores nothing, and does the rest.")


def test_backup_that_failed_in_one_of_several_repositories() -> None:
    results = [{"changed": True, "backup": {}}, {"failed": True, "msg": "No room. Run the task again."}]
    facts = {"result": {"msg": "One or more items failed", "results": results}, "cluster": {"data_directory": "/d"}}
    assert unprotected(facts).startswith("No room. Run the play again. The restore itself is done")


def test_words_are_those_of_the_playbook() -> None:
    result = {"msg": "Set promote: true to promote it, or state: paused if this is what you want.", "outcome": "paused"}
    words = judged(restored=True, result=result)["words"]
    assert words.startswith("Run the play with restore_target_action=promote to promote it. ")
