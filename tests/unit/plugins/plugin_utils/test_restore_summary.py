# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a play says about a restore that has ended."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.pgops.pgbackrest.plugins.plugin_utils._restore_summary import held, phases, summary
from ansible_collections.pgops.pgbackrest.plugins.plugin_utils._status_text import WIDTH

KEPT = "/var/lib/postgresql/15/main.before-20260501T123000Z"
RESCUED = "/var/lib/postgresql/15/main.restore/rescued/7711102130744859195"
PLAN = {
    "id": "20260501-020003F-1a2b3c4d",
    "mode": "swap",
    "backup": {"label": "20260501-020003F", "type": "full", "repo_key": 1},
    "target": {"text": "time 2026-05-01 14:30:00+02:00, then promote"},
    "rescue": {"segments": 2, "bytes": 32 << 20, "path": RESCUED},
}
RECOVERY = {
    "outcome": "promoted",
    "reached": True,
    "verdict": "Recovery stopped before the commit of 2026-05-01 12:30:02.1+00:00, the first commit after the target.",
    "stop": {"lsn": "0/5000148", "last_commit": "2026-05-01T12:29:58+00:00", "reason": "before 2026-05-01 12:30:02+00"},
    "timeline": 2,
    "timeline_before": 1,
}
RESULT = {
    "restored_at": "2026-05-01 13:00:05+00:00",
    "kept": KEPT,
    "kept_directories": [{"path": KEPT, "bytes": 3 << 30}],
    "rescued": {"path": RESCUED, "files": ["000000010000000000000007", "000000010000000000000008"], "handed_back": []},
}
TAKEN = {"changed": True, "job": {"repo": 1}, "backup": {"type": "incr", "label": "20260501-020003F_20260501-130201I"}}


def facts(**more: t.Any) -> dict[str, t.Any]:
    return {
        "host": "db1",
        "done": False,
        "ended": False,
        "cluster": {"stanza": "main", "data_directory": "/var/lib/postgresql/15/main", "port": 5432},
        "wanted": {"backup": True},
        "drop": {},
        "plan": PLAN,
        "result": RESULT,
        "recovery": RECOVERY,
        "backups": [TAKEN],
        "held": [],
        "clock": {"begin": 0, "plan": 2.0, "stop": 3.5, "restore": 95.5, "recovery": 100, "backup": 110},
        "standbys": [],
        "rebuilt": {},
        **more,
    }


def lines(**more: t.Any) -> list[str]:
    found: list[str] = summary(facts(**more))["lines"]
    assert all(len(line) <= WIDTH for line in found), found
    return found


def test_everything_a_tired_human_wants_to_know() -> None:
    assert lines() == [
        "main on db1: RESTORED. The cluster takes writes.",
        "  from        full backup 20260501-020003F of repository 1",
        "  to          asked: time 2026-05-01 14:30:00+02:00",
        "              reached: Recovery stopped before the commit of 2026-05-01 12:30:02.1+00:00, the first",
        "              commit after the target.",
        "              last commit 2026-05-01 12:29:58+00:00, end of the WAL at 0/5000148",
        "  timeline    2, before it 1",
        "  took        1 min 50 s: plan 2.0 s, stop 1.5 s, restore 1 min 32 s, recovery 4.5 s, backup 10.0 s",
        f"  kept        the old directory, 3.0 GiB: {KEPT}",
        "              2 WAL files that no repository has, 32.0 MiB:",
        f"              {RESCUED}",
        "              Remove them with rm -r when you are sure that nothing in them is missed.",
        "  backup      repository 1: incr 20260501-020003F_20260501-130201I",
    ]


def test_every_directory_that_uses_disk_is_named() -> None:
    pgdata = "/d.failed-b/pg"
    paths = [
        f"{pgdata}.before-20260401T120000Z",
        f"{pgdata}.failed-20260402T120000Z",
        f"{pgdata}.before-20260501T123000Z",
    ]
    sizes = dict(zip(paths, [1 << 30, None, 3 << 30], strict=True))
    kept = [{"path": path, "bytes": size} for path, size in sizes.items()]
    result = {**RESULT, "kept": paths[-1], "kept_directories": kept}
    found = " ".join(" ".join(lines(result=result)).split())
    assert (
        f" kept the old directory of an earlier restore, 1.0 GiB: {paths[0]} "
        f"a restored directory that was given up: {paths[1]} "
        f"the old directory, 3.0 GiB: {paths[2]} 2 WAL files "
    ) in found
    assert summary(facts(result=result))["data"]["kept_directories"] == kept
    # A restore in place keeps nothing, but what earlier ones kept is still there.
    assert paths[0] in " ".join(lines(result={**result, "kept": None}))
    assert not [line for line in lines(result={"kept": KEPT, "kept_directories": []}) if line.startswith("  kept")]


@pytest.mark.parametrize(
    ("more", "backed_up"),
    [
        ({}, True),
        ({"backups": []}, False),
        ({"backups": [{**TAKEN, "failed": True}]}, False),
        ({"wanted": {"backup": False}, "backups": []}, False),
        ({"recovery": {**RECOVERY, "outcome": "paused", "timeline": 1}, "backups": []}, False),
        ({"recovery": {**RECOVERY, "outcome": "shut_down"}, "backups": []}, False),
        (
            {"done": True, "backups": [], "held": [{"windows": [{"repo_key": 1, "latest_timeline": 2}]}]},
            True,
        ),
        (
            {"done": True, "backups": [], "held": [{"windows": [{"repo_key": 1, "latest_timeline": 1}]}]},
            False,
        ),
    ],
)
def test_nothing_is_to_be_removed_before_the_restored_cluster_has_a_backup(
    more: dict[str, t.Any], backed_up: bool
) -> None:
    found = " ".join(" ".join(lines(**more)).split())
    assert ("Remove them with rm -r" in found) is backed_up
    assert (
        "Leave them there until the restored cluster is open, archives, and has a backup." in found
    ) is not backed_up


def test_data_for_the_next_job() -> None:
    data = summary(facts())["data"]
    assert (data["stanza"], data["host"], data["restored"], data["outcome"]) == ("main", "db1", True, "promoted")
    assert (data["plan"]["id"], data["timeline"], data["kept"]) == (PLAN["id"], 2, KEPT)
    assert data["seconds"] == {"plan": 2.0, "stop": 1.5, "restore": 92.0, "recovery": 4.5, "backup": 10.0}
    assert [(backup["repo"], backup["label"]) for backup in data["backups"]] == [(1, TAKEN["backup"]["label"])]  # type: ignore[index]


def test_second_run_says_since_when_it_stands_there() -> None:
    found = lines(done=True, backups=[], held=[{"windows": [{"repo_key": 1, "latest_timeline": 2}]}])
    assert found[0] == "main on db1: RESTORED ALREADY, since 2026-05-01 13:00:05+00:00. The cluster takes writes."
    assert "  backup      repository 1: has one of this timeline" in found
    assert found[-2:] == [
        "  next        Nothing was restored now, and what the cluster did since is left alone. To restore",
        "              again: restore_repeat=true",
    ]
    assert "  took        16 s: plan 2.0 s, recovery 4.5 s, check 10.0 s" in found


@pytest.mark.parametrize(
    ("more", "names"),
    [
        ({}, ["plan", "stop", "restore", "recovery", "backup"]),
        ({"wanted": {"backup": False}, "backups": []}, ["plan", "stop", "restore", "recovery", "check"]),
        ({"done": True}, ["plan", "recovery", "backup"]),
        ({"done": True, "ended": True}, ["plan", "backup"]),
        ({"done": True, "ended": True, "backups": [{**TAKEN, "changed": False}]}, ["plan", "check"]),
    ],
)
def test_only_what_was_done_took_time(more: dict[str, t.Any], names: list[str]) -> None:
    assert list(summary(facts(**more))["data"]["seconds"]) == names


def test_pause_says_how_to_look_and_how_to_go_on() -> None:
    recovery = {**RECOVERY, "outcome": "paused", "timeline": 1, "timeline_before": None}
    found = lines(recovery=recovery, backups=[])
    assert found[0] == "main on db1: RESTORED. The cluster waits at the target, read-only."
    assert not [line for line in found if line.startswith("  backup")]
    assert "  next        Look at the data, read-only: psql --port 5432 on db1." in found
    assert "restore_target_action=promote" in " ".join(found)


def test_shutdown_says_what_stands() -> None:
    recovery = {**RECOVERY, "outcome": "shut_down", "stop": None, "timeline": None}
    found = " ".join(" ".join(lines(recovery=recovery, backups=[])).split())
    assert "PostgreSQL has shut down at the target." in found
    assert "run the play with restore_target_action=promote: it restores once more." in found


def test_no_backup_is_no_secret() -> None:
    assert "none was taken" in " ".join(lines(wanted={"backup": False}, backups=[]))


def test_drop_is_named() -> None:
    drop = {"text": "2026-05-01 12:30:02+00:00  xid 744  dropped 1 relation in database app: files 16388"}
    assert f"  before      {drop['text']}" in lines(drop=drop)


@pytest.mark.parametrize(
    ("state", "told", "words"),
    [
        ("play", {"rebuilt": True}, "db2 was rebuilt and follows"),
        ("play", {"rebuilt": False}, "db2 follows the new timeline"),
        ("play", {}, "db2 has the old data, and backups that copy from it fail. Rebuild it: run the play again with"),
        ("outside", {}, "db2 has the old data and is not in this play. Rebuild it: run the play with it and"),
        ("unseen", {}, "db2 could not be seen."),
    ],
)
def test_standbys_are_listed(state: str, told: dict[str, t.Any], words: str) -> None:
    standbys = [{"host": "db2", "state": state, "name": "15/main", "data_directory": "/data"}]
    found = summary(facts(standbys=standbys, rebuilt={"db2": told} if told else {}))
    assert words in " ".join(" ".join(found["lines"]).split())
    assert found["failed"] == []


def test_standby_that_could_not_be_rebuilt() -> None:
    standbys = [{"host": "db2", "state": "play", "name": "15/main", "data_directory": "/data"}]
    found = summary(facts(standbys=standbys, rebuilt={"db2": {"failed": "No space."}}))
    assert "  standbys    db2 FAILED, see below" in found["lines"]
    assert found["failed"] == ["db2 is not rebuilt: No space."]


def test_backups_of_the_new_timeline() -> None:
    timelines = enumerate((1, None, 2, 11), 1)
    windows = [{"repo_key": key, "latest_timeline": timeline} for key, timeline in timelines]
    assert held([{"windows": windows[3:]}, {"windows": windows[:3]}], 2) == [3, 4]
    assert held([], 2) == []


def test_phases_that_were_left_out() -> None:
    assert phases({"begin": "10.0", "plan": "12.5", "recovery": 20}) == {"plan": 2.5, "recovery": 7.5}
