# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan of pgbackrest expire and the guard on it, with recorded answers of three versions."""

from __future__ import annotations

import json
import typing as t
from dataclasses import replace

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils import _expire
from ansible_collections.pgops.pgbackrest.plugins.module_utils._messages import parse_messages
from ansible_collections.pgops.pgbackrest.plugins.module_utils._repository import Stanza, parse_info

Text = t.Callable[[str], str]
VERSIONS = ["2.45", "2.55.1", "2.60.0"]
W = "0000000100000000000000{:02X}".format


def stanza(text: str) -> Stanza:
    return parse_info(json.loads(text))[0]


def parsed(text: str) -> _expire.Removal:
    return _expire.parse_expire(parse_messages(text))


def codes(before: Stanza, removal: _expire.Removal, keep: int = 1, label: str | None = None) -> list[str]:
    return [problem.code for problem in _expire.refusals(before, 1, removal, keep, label)]


@pytest.mark.parametrize("version", VERSIONS)
def test_plan_and_outcome_agree(fixture_text: Text, version: str) -> None:
    before = stanza(fixture_text(f"info_expire_{version}.json"))
    after = stanza(fixture_text(f"info_expired_{version}.json"))
    plan, done = parsed(fixture_text(f"expire_plan_{version}.txt")), parsed(fixture_text(f"expire_done_{version}.txt"))
    full, diff, incr, newest = (backup.label for backup in before.backups)
    assert plan == done and plan.labels == {full, diff, incr} and plan.ended and not plan.unknown
    assert plan.wal == [("15-1", W(1), W(6))]
    assert _expire.after_removal(before, 1, plan) == after
    record = _expire.describe_repository(before, after, 1, plan)
    assert [gone["label"] for gone in record["expired"]] == [full, diff, incr]
    assert [gone["dependents"] for gone in record["expired"]] == [[diff, incr], [incr], []]
    assert record["kept"] == record["usable_full"] == [newest] and record["leftovers"] == []
    assert record["archive"][0]["wal_min_before"] == W(1) and record["archive"][0]["wal_min_after"] == W(7)
    assert record["window"]["before"]["earliest_backup"] == full and "no longer from" in record["window"]["change"]


def test_who_needs_a_backup(fixture_text: Text) -> None:
    before = stanza(fixture_text("info_expire_2.45.json"))
    full, diff, incr, newest = (backup.label for backup in before.backups)
    assert _expire.dependents(before, 1, [full, newest]) == {full: [diff, incr], newest: []}
    assert _expire.dependents(before, 2, [full]) == {full: []}
    chain = replace(before, backups=[replace(backup, references=[]) for backup in before.backups])
    assert _expire.dependents(chain, 1, [full, diff]) == {full: [diff, incr], diff: [incr]}
    unlisted = replace(before, backups=before.backups[1:])  # info does not list what others still need
    assert _expire.dependents(unlisted, 1, [full]) == {full: [diff, incr]}


@pytest.mark.parametrize("version", VERSIONS)
def test_nothing_to_do(fixture_text: Text, version: str) -> None:
    before = stanza(fixture_text(f"info_expire_{version}.json"))
    for name in ("expire_nothing", "expire_unset"):
        plan = parsed(fixture_text(f"{name}_{version}.txt"))
        assert not plan and plan.ended and codes(before, plan, keep=9) == []
    assert plan.warnings and plan.warnings[0].startswith("option 'repo1-retention-full' is not set")


@pytest.mark.parametrize("version", VERSIONS)
def test_one_backup_and_the_hole_it_leaves(fixture_text: Text, version: str) -> None:
    """WAL between the full backups goes too: the older one can be restored to its own end only."""
    before = stanza(fixture_text(f"info_expire_{version}.json"))
    plan = parsed(fixture_text(f"expire_set_{version}.txt"))
    full, diff, incr, newest = (backup.label for backup in before.backups)
    assert plan.labels == {diff, incr} and plan.wal == [("15-1", W(1), W(1)), ("15-1", W(3), W(6))]
    assert codes(before, plan, keep=2, label=diff) == [] and codes(before, plan, keep=3) == ["too_few_left"]
    assert codes(before, plan, label=full) == ["not_planned"]
    record = _expire.describe_repository(before, _expire.after_removal(before, 1, plan), 1, plan)
    assert record["kept"] == [full, newest] and record["archive"][0]["wal_min_after"] == W(2)
    change = record["window"]["change"]
    assert "can still be recovered from" in change and f"{full} can be restored to its own end only" in change


def test_guard(fixture_text: Text) -> None:
    before = stanza(fixture_text("info_expire_2.60.0.json"))
    plan = parsed(fixture_text("expire_plan_2.60.0.txt"))
    newest = before.backups[-1]
    assert codes(before, plan, keep=0) == codes(before, plan, keep=1) == []
    problem = _expire.refusals(before, 1, plan, 2, None)[0]
    assert problem.code == "too_few_left" and f"only {newest.label} would remain" in problem.sentence
    damaged = replace(before, backups=[*before.backups[:-1], replace(newest, error=True)])
    problem = _expire.refusals(damaged, 1, plan, 1, None)[0]
    assert "none would remain" in problem.sentence and f"{newest.label} would stay, but with page" in problem.hint
    assert codes(damaged, plan, keep=0) == []
    upgraded = replace(
        before, databases=[*before.databases, replace(before.databases[0], id=2, system_id=42, version="16")]
    )
    assert codes(upgraded, plan) == ["too_few_left"]


@pytest.mark.parametrize(
    "line",
    [
        "P00   INFO: [DRY-RUN] repo1: throw away backup 20261123-002416F",
        "P00   INFO: [DRY-RUN] repo1: expire yearly backup 20261123-002416F",
        "P00   WARN: [DRY-RUN] 20261123-002416F is not needed",
    ],
)
def test_an_unknown_word_about_a_backup_is_no_plan(fixture_text: Text, line: str) -> None:
    before = stanza(fixture_text("info_expire_2.60.0.json"))
    text = fixture_text("expire_nothing_2.60.0.txt")
    assert codes(before, parsed(text)) == []
    assert codes(before, parsed(f"{line}\n{text}"), keep=0) == ["plan_unreadable"]


def test_a_plan_that_is_cut_off_is_none(fixture_text: Text) -> None:
    before = stanza(fixture_text("info_expire_2.60.0.json"))
    text = fixture_text("expire_plan_2.60.0.txt")
    assert codes(before, parsed("")) == ["plan_unreadable"]
    assert codes(before, parsed("\n".join(text.split("\n")[:2]))) == ["plan_unreadable"]


def test_a_dependent_that_would_stay(fixture_text: Text) -> None:
    before = stanza(fixture_text("info_expire_2.60.0.json"))
    plan = _expire.Removal(labels={before.backups[0].label}, ended=True)
    problem = _expire.refusals(before, 1, plan, 0, None)[0]
    assert problem.code == "plan_unreadable" and before.backups[2].label in problem.sentence


def test_other_messages() -> None:
    removal = parsed(
        "P00   WARN: [DRY-RUN] backup '20261123-002416F' missing manifest removed from backup.info\n"
        "P00   INFO: [DRY-RUN] repo1: remove archive path /r/archive/main/14-1\n"
        "P00 DETAIL: [DRY-RUN] repo1: 15-1 remove history file 00000002.history\n"
        "P00   INFO: [DRY-RUN] repo1: remove expired backup history manifest 20251123-002416F.manifest.gz\n"
        "P00   INFO: [DRY-RUN] repo1: 15-1 remove archive, start = 0000000100000000, stop = 0000000100000001\n"
    )
    assert removal.labels == {"20261123-002416F"} and removal.archives == ["14-1"] and len(removal.other) == 2
    assert removal.wal == [("15-1", "0000000100000000", "0000000100000001")] and not removal.unknown


def test_a_whole_directory_of_wal(fixture_text: Text) -> None:
    """A name of 16 digits stands for all segments that begin with it."""
    before = stanza(fixture_text("info_expire_2.60.0.json"))
    plan = _expire.Removal(wal=[("15-1", "0000000100000000", "0000000100000000")], ended=True)
    start = "000000010000000100000002"
    moved = replace(before, backups=[replace(before.backups[-1], wal_start=start, wal_stop=start)])
    assert _expire.after_removal(moved, 1, plan).archives[0].wal_min == start
    gone = _expire.after_removal(before, 1, _expire.Removal(archives=["15-1"]))
    assert gone.archives == []
