# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is going to be done about standbys, and what came of it."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

import pytest
from ansible_collections.pgops.pgbackrest.plugins.plugin_utils._standby_plan import judged, plan
from ansible_collections.pgops.pgbackrest.plugins.plugin_utils._standby_summary import failure, summary
from ansible_collections.pgops.pgbackrest.plugins.plugin_utils._standby_words import in_our_words, told

PLACE: dict[str, t.Any] = {
    "stanza": "main",
    "primary": "db1",
    "cluster": {"name": "17/main"},
    "standbys": {
        "db2": {"host": "db1", "level": 1, "slot": "db2"},
        "db3": {"host": "db2", "level": 2, "slot": ""},
    },
    "upstreams": {"db1": {"slots": {"present": ["db2"], "absent": ["db3"]}}},
}
BACKUP = {"label": "20261123-034631F", "type": "full", "repo_key": 1, "stop_time": "2026-11-23"}
STREAMS = {"action": "none", "reason": "It streams from db1, port 5432 on timeline 1.", "streaming": True}
DIVERGED = {"action": "rebuild", "reason": "They have diverged.", "streaming": False}
LAG = {"bytes": 4096, "seconds": 0.0}
ROOT = Path(__file__).resolve().parents[4]
KNOWN = {"data_directory": "/data", "running": True, "begun": True, "restored": False}


def restore_plan(state: str = "cluster", **changes: t.Any) -> dict[str, t.Any]:
    return {
        "backup": BACKUP,
        "directory": {"state": state},
        "expected_bytes": 30 * 1024**2,
        "wal": {"bytes": 32 * 1024**2},
        "rescue": None,
        "overwrites": [{"path": "/data", "bytes": 1}],
        "warnings": [],
        **changes,
    }


def hostvars(**known: t.Any) -> dict[str, t.Any]:
    return {host: {"__pgbackrest_standby": facts} for host, facts in known.items()}


def judgement(seen: dict[str, t.Any] | None, above: str = "") -> dict[str, t.Any]:
    return judged(seen, above, "db3", "db2")


# The decision


def test_what_the_module_says_counts() -> None:
    assert judgement({**STREAMS, "hint": ""}) == {
        "action": "none",
        "reason": STREAMS["reason"],
        "hint": "",
        "streams": True,
    }
    assert judgement(DIVERGED)["action"] == "rebuild"


def test_a_host_without_pgbackrest_is_provisioned() -> None:
    assert judgement(None) == {"action": "provision", "reason": "pgBackRest is not there yet.", "streams": False}


@pytest.mark.parametrize("above", ["provision", "rebuild", "start"])
def test_whom_it_follows_comes_first(above: str) -> None:
    """Against the primary every conninfo is wrong."""
    found = judgement({"action": "repoint", "reason": "It follows db2."}, above)
    assert (found["action"], found["streams"]) == ("none", False)
    assert found["reason"] == "db2, which it follows, comes first. Then it is looked at again."
    assert judgement({**STREAMS}, above)["streams"] is False
    assert judgement(DIVERGED, above)["action"] == "rebuild"


def test_an_upstream_that_only_changes_whom_it_follows_is_there() -> None:
    assert judgement({"action": "repoint", "reason": "It follows db2."}, "repoint")["action"] == "repoint"


LOGIN = {"code": "upstream_pg_hba", "sentence": "No pg_hba.conf entry.", "hint": "Let it in."}
DOWN = {"code": "upstream_unreachable", "sentence": "Connection refused.", "hint": "Start it."}


@pytest.mark.parametrize(
    ("state", "problems", "action", "reason"),
    [
        ("missing", [LOGIN], "provision", "There are no data. Whether it can log in shows once db2 is changed."),
        ("stopped", [LOGIN], "unknown", "Whether it can log in shows once db2 is changed."),
        (
            "missing",
            [DOWN],
            "unknown",
            "Whether it can log in shows once db2 is changed. Until then: Connection refused. Start it.",
        ),
    ],
)
def test_check_mode_cannot_log_in_before_the_primary_is_changed(
    state: str, problems: list[dict[str, str]], action: str, reason: str
) -> None:
    failed = {"failed": True, "msg": "x", "problems": problems, "local": {"state": state}}
    assert judgement(failed) == {"action": action, "reason": reason, "streams": False}
    assert judgement({"failed": True, "msg": "No connection"})["reason"].endswith("Until then: No connection.")


# The plan


LINE = "host    replication     replicator      10.0.0.2/32            scram-sha-256"
NOTHING: dict[str, t.Any] = {"user": None, "slots": ["old"], "pg_hba": []}
ROLE = {"login": True, "replication": True, "password": "right"}


@pytest.mark.parametrize(
    ("role", "pretended", "verb", "first"),
    [
        (None, True, "would get ", "the role replicator, with the given password"),
        (
            {**ROLE, "password": "wrong"},
            False,
            "has got   ",
            "REPLICATION and the given password for the role replicator",
        ),
    ],
)
def test_plan_tells_what_the_primary_gets(
    role: dict[str, t.Any] | None, pretended: bool, verb: str, first: str
) -> None:
    given = {
        "user": "replicator",
        "before": {**NOTHING, "user": role},
        "after": {"user": ROLE, "slots": ["db2"], "pg_hba": [LINE]},
        "lines": [LINE],
        "pretended": pretended,
    }
    found = plan(PLACE, hostvars(), "", {"db1": given})
    assert [line.strip() for line in found["lines"][1:5]] == [
        f"db1      {verb} {first}",
        f"db1      {verb} a line in pg_hba.conf: host replication replicator 10.0.0.2/32 scram-sha-256",
        f"db1      {verb} the slot db2",
        f"db1      {verb} no slot old any more",
    ]
    assert found["data"]["changed"] == ["db1"]


def test_plan() -> None:
    found = plan(
        PLACE,
        hostvars(
            db2={"judgement": judgement(DIVERGED), "plan": restore_plan(rescue={"bytes": 16 * 1024**2})},
            db3={"judgement": judgement(None), "plan": restore_plan("missing", overwrites=[], warnings=["Look."])},
        ),
        "",
    )
    assert found["lines"] == [
        "main: standbys of db1 (17/main)",
        "  db2      REBUILD    They have diverged.",
        "                      from full backup 20261123-034631F, repository 1: 30.0 MiB, WAL 32.0 MiB",
        "                      overwrites /data: only files that differ are copied",
        "                      keeps 16.0 MiB of WAL that no repository has",
        "                      follows db1, slot db2",
        "  db3      provision  pgBackRest is not there yet.",
        "                      from full backup 20261123-034631F, repository 1: 30.0 MiB, WAL 32.0 MiB",
        "                      note: Look.",
        "                      follows db2",
    ]
    assert found["unconfirmed"] == (
        "No standby was stopped or changed. The plan above overwrites /data on db2. Add standby_confirm=main to have "
        "it done."
    )
    assert [item["action"] for item in found["data"]["standbys"]] == ["rebuild", "provision"]


def test_a_timeline_of_somebody_else() -> None:
    """Somebody promoted another host, whose timeline is in the archive."""
    known = {"judgement": judgement(DIVERGED), "plan": restore_plan(), "timeline": 4}
    lines = plan(PLACE, hostvars(db2=known), "")["lines"]
    assert lines[4].strip() == "stays on timeline 4, because the archive has a newer one that is not the"
    assert lines[5].strip() == "primary's"


@pytest.mark.parametrize(
    ("confirm", "sentence"),
    [("main", ""), ("orders", "standby_confirm is orders, which is not the stanza. Give standby_confirm=main")],
)
def test_confirm(confirm: str, sentence: str) -> None:
    known = {"judgement": judgement(DIVERGED), "plan": restore_plan()}
    found = plan(PLACE, hostvars(db2=known), confirm)["unconfirmed"]
    assert (sentence in found) if sentence else found == ""


@pytest.mark.parametrize("state", ["unfinished", "missing", "empty"])
def test_what_an_earlier_run_has_begun_is_not_confirmed_again(state: str) -> None:
    known = {"judgement": judgement(DIVERGED), "plan": restore_plan(state)}
    assert plan(PLACE, hostvars(db2=known), "")["unconfirmed"] == ""


def test_one_that_is_refused_is_shown_with_the_reason() -> None:
    problem = {"code": "upstream_password", "sentence": "Wrong password.", "hint": "Correct it."}
    refused = {
        "failed": failure({"problems": [problem], "msg": "x"}, "pgops.pgbackrest.standby", {**KNOWN, "begun": False})
    }
    found = plan(PLACE, hostvars(db2=refused), "")
    assert found["lines"][1] == (
        "  db2      REFUSED    Wrong password. Correct it. Nothing was stopped or overwritten there."
    )
    assert found["lines"][2] == "  db3      not known  It was not looked at."
    assert found["data"]["standbys"][0]["codes"] == ["upstream_password"]


# A failure


STAGES = [
    ("pgops.pgbackrest.standby", {"begun": False}, [], "Nothing was stopped or overwritten there."),
    ("ansible.builtin.systemd_service", {}, [], "Nothing was overwritten there. Remove the cause"),
    (
        "pgops.pgbackrest.restore",
        {},
        ["verify"],
        "/data may hold half a restore: PostgreSQL is stopped and must not be",
    ),
    ("pgops.pgbackrest.restore", {}, [], "/data may hold half a restore: PostgreSQL is stopped and must not be"),
    ("pgops.pgbackrest.restore", {}, ["space"], "/data is as it was, and PostgreSQL is stopped. Remove the cause"),
    ("pgops.pgbackrest.cluster", {"restored": True}, [], "/data is restored, but PostgreSQL does not run on it."),
    ("pgops.pgbackrest.standby", {"restored": True}, [], "PostgreSQL goes on with what it does."),
]


@pytest.mark.parametrize(("task", "known", "codes", "words"), STAGES)
def test_how_things_stand(task: str, known: dict[str, t.Any], codes: list[str], words: str) -> None:
    problems = [{"code": code, "sentence": "Bad.", "hint": ""} for code in codes]
    found = failure({"msg": "Bad", "problems": problems}, task, {**KNOWN, **known})
    assert found["why"].startswith(f"Bad. {words}"), found["why"]
    assert found["codes"] == codes


def test_only_words_of_a_failed_task_are_kept() -> None:
    result = {"msg": "It failed", "log": ["FATAL: no"], "invocation": {"module_args": {"password": "Geheim"}}}
    assert told(result) == {"why": "It failed.", "codes": [], "log": ["FATAL: no"]}


# The summary


def done(seen: dict[str, t.Any] | None, **changes: t.Any) -> dict[str, t.Any]:
    return {
        "new": False,
        "judgement": judgement(seen),
        "verdict": {**STREAMS, "lag": LAG, "local": {"timeline": 2}},
        **changes,
    }


def test_summary() -> None:
    restored = {
        "plan": {"backup": BACKUP},
        "restored": {"bytes": 30 * 1024**2, "copied_bytes": 2 * 1024**2, "seconds": 1.0},
        "rescued": {"path": "/data.restore/rescued/4711", "files": ["1"]},
    }
    clock = {"begin": 10.0, "stop": 11.0, "restore": 14.0, "ready": 16.5}
    idle = {"name": "db4", "active": False, "kept": 3 * 1024**3}
    used = {"name": "db2", "active": False, "kept": 1024}
    found = summary(
        PLACE,
        hostvars(db2=done(DIVERGED, restore=restored, clock=clock), db3=done(None, new=True, clock=clock)),
        ["db1", "db2", "db3"],
        [idle, used],
    )
    assert found["lines"] == [
        "main: ALL FOLLOW; primary db1 (17/main)",
        "  host  done         from              copied               took  now",
        "  db2   rebuilt      20261123-034631F  2.0 MiB of 30.0 MiB  6 s   streams from db1 through slot db2, 4.0 KiB "
        "behind",
        "  db3   provisioned                                         6 s   streams from db2, 4.0 KiB behind",
        "  db2 had WAL that no repository has. It is kept in /data.restore/rescued/4711: remove it when you",
        "  are sure that nothing in it is missed.",
        "  Slot db4 on db1 is used by nobody and holds back 3.0 GiB of WAL. If it is not needed: SELECT",
        "  pg_drop_replication_slot('db4')",
        "  db3: new. Run the playbook site once more, so that backups know of it. Bring pg_hba.conf of the",
        "  primary as far as clients need it there: no backup has that file on Debian.",
    ]
    assert found["failed"] == {} and found["data"]["healthy"]
    record = found["data"]["standbys"][0]
    assert record["seconds"] == {"stop": 1.0, "restore": 3.0, "ready": 2.5}
    assert (record["copied_bytes"], record["bytes"], record["streaming"]) == (2 * 1024**2, 30 * 1024**2, True)


def test_summary_of_failures() -> None:
    why = failure({"msg": "No space left"}, "pgops.pgbackrest.restore", KNOWN)
    found = summary(PLACE, hostvars(db2=done(STREAMS), db3={"failed": why}), ["db2", "db3"])
    assert found["lines"][0] == "main: 1 OF 2 FOLLOW; primary db1 (17/main)"
    assert found["lines"][3].split() == ["db3", "FAILED", "see", "below"]
    assert list(found["failed"]) == ["db3"] and found["failed"]["db3"].startswith("No space left. /data may hold half")
    assert not found["data"]["healthy"]


def test_one_that_was_lost_on_the_way_does_not_count_as_good() -> None:
    found = summary(PLACE, hostvars(db2=done(STREAMS), db3=done(STREAMS)), ["db2"])
    assert found["failed"] == {"db3": "It was lost on the way, see its own failure."}
    found = summary(PLACE, hostvars(db2=done(STREAMS), db3={"judgement": judgement(DIVERGED)}), ["db2", "db3"])
    assert list(found["failed"]) == ["db3"]


def test_one_that_replays_from_the_archive_says_so() -> None:
    verdict = {"streaming": False, "reason": "It replays from the archive.", "lag": LAG}
    found = summary(PLACE, hostvars(db2=done(STREAMS), db3=done(STREAMS, verdict=verdict)), ["db2", "db3"])
    assert "It replays from the archive." in found["lines"][3]


@pytest.mark.parametrize(
    ("text", "ours"),
    [
        ("Set create_user: true, or ask.", "Set standby_create_user: true, or ask."),
        ("name the directory of its programs in bindir.", "name the directory of its programs in standby_bindir."),
        (
            "Correct host and port of the upstream.",
            "Correct standby_upstream, or pgbackrest_address of the host it names.",
        ),
        ("Run the task again.", "Run the play again."),
        ("Wait with a longer timeout.", "Wait with a longer standby_recovery_timeout."),
    ],
)
def test_words_of_the_modules(text: str, ours: str) -> None:
    assert in_our_words(text) == ours


def test_no_option_of_a_module_is_left_in_what_they_advise() -> None:
    sources = [ROOT / "plugins/module_utils" / name for name in ("_upstream.py", "_replication.py", "_standby.py")]
    for text in (path.read_text(encoding="utf-8") for path in sources):
        # Texts that go over several lines of the source as they are said.
        for sentence in re.findall(r'"([A-Z][^"]*\.)"', re.sub(r'"\n\s+f?"', "", text)):
            ours = in_our_words(sentence)
            assert not re.search(r"(?<!standby_)\b(create_user|bindir|option addresses)\b|\bmodule\b", ours), ours


def test_the_guide_has_every_problem() -> None:
    page = (ROOT / "docs/standby.md").read_text(encoding="utf-8")
    told = set()
    for name in ("replication", "standby"):
        source = (ROOT / f"plugins/modules/{name}.py").read_text(encoding="utf-8")
        told |= set(re.findall(r"V\((\w+)\)", source[source.index("A C(code) is one of") :].partition("returned:")[0]))
    assert len(told) > 20
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == told


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("_standby_place.py", "and is never overwritten"),
        ("_standby_place.py", "all run as primaries, and only one of them can be right"),
        ("_standby_place.py", "runs as a primary"),
        ("_standby_summary.py", "may hold half a restore: "),
        ("_standby_summary.py", "It was lost on the way"),
    ],
)
def test_the_guide_quotes_what_the_play_says(file: str, words: str) -> None:
    assert words in (ROOT / "plugins/plugin_utils" / file).read_text(encoding="utf-8")
    assert words in (ROOT / "docs/standby.md").read_text(encoding="utf-8")
