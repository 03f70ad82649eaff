# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which backups count, and which one is new."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils import _backup
from ansible_collections.pgops.pgbackrest.plugins.module_utils._repository import Stanza, parse_info
from hypothesis import given, strategies as st

Text = t.Callable[[str], str]
FULL1, INCR1, FULL2 = "20261122-205937F", "20261122-205937F_20261122-205940I", "20261122-205943F"


def stanza(text: str) -> Stanza:
    return parse_info(json.loads(text))[0]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("24h", 86400), ("7d", 604800), ("90", 90), ("90s", 90), ("5 m", 300), ("2W", 1209600), ("0", 0)],
)
def test_ages(text: str, seconds: int) -> None:
    assert _backup.parse_age(text) == seconds


@pytest.mark.parametrize("text", ["", "1.5h", "-1d", "h", "1y", "1h30m", "one day"])
def test_no_ages(text: str) -> None:
    with pytest.raises(ValueError, match="is not an age"):
        _backup.parse_age(text)


@given(st.integers(min_value=0, max_value=10**9))
def test_format_age_names_something_for_every_age(seconds: int) -> None:
    assert _backup.format_age(seconds)[0].isdigit()


def labels(found: Stanza, kind: str, repo_key: int | None = None) -> list[str]:
    return [backup.label for backup in _backup.counting_backups(found, kind, repo_key)]


def test_a_full_backup_counts_as_everything(fixture_text: Text) -> None:
    found = stanza(fixture_text("info_two_repositories_2.45.json"))
    assert labels(found, "full") == [FULL1, FULL2]
    assert labels(found, "diff") == [FULL1, FULL2]
    assert labels(found, "incr") == [FULL1, INCR1, FULL2]
    assert labels(found, "incr", 1) == [FULL1, INCR1]
    assert labels(found, "full", 2) == [FULL2]


def test_a_damaged_backup_does_not_count(fixture_text: Text) -> None:
    found = stanza(fixture_text("info_damaged_2.45.json"))
    assert labels(found, "incr", 1) == [FULL1, INCR1, "20261122-205949F"]


def test_backups_from_before_an_upgrade_do_not_count(fixture_text: Text) -> None:
    found = stanza(fixture_text("info_upgraded_2.45.json"))
    assert found.backups and labels(found, "incr") == []
    assert _backup.actual_type(found, "incr", 1) == "full"


def test_actual_type(fixture_text: Text) -> None:
    found = stanza(fixture_text("info_full_2.45.json"))
    assert _backup.actual_type(found, "incr", 1) == "incr"
    assert _backup.actual_type(found, "diff", 2) == "full"


def test_new_backup(fixture_text: Text) -> None:
    before = stanza(fixture_text("info_full_2.45.json"))
    after = stanza(fixture_text("info_two_repositories_2.45.json"))
    new = _backup.new_backup(before, after, 1)
    assert new is not None and new.label == INCR1
    assert _backup.new_backup(after, after, 1) is None


def test_last_backups(fixture_text: Text) -> None:
    last = _backup.last_backups(stanza(fixture_text("info_two_repositories_2.45.json")), 1795381286)
    assert last["full"] == {
        "label": FULL2,
        "type": "full",
        "repo_key": 2,
        "stop": 1795381186,
        "stop_time": "2026-11-22 20:59:46+00:00",
        "age": 100,
    }
    assert _backup.last_backups(stanza(fixture_text("info_empty_2.45.json")), 0) == dict.fromkeys(
        ("full", "diff", "incr")
    )


def test_warnings_are_said_once_and_not_without_end() -> None:
    texts = ["no prior backup exists, incr backup has been changed to full", "a", "a", "b"]
    assert _backup.useful_warnings(texts) == ["a", "b"]
    many = _backup.useful_warnings([str(number) for number in range(15)])
    assert len(many) == 11 and many[-1] == "5 more warnings of pgBackRest left out"
