# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which restore a survey asks for, and everything that is wrong with it."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.pgops.pgbackrest.plugins.plugin_utils._restore_request import request

ROLE = Path(__file__).resolve().parents[4] / "roles/restore"
DEFAULTS = {
    name.removeprefix("restore_"): value
    for name, value in yaml.safe_load((ROLE / "defaults/main.yml").read_text(encoding="utf-8")).items()
}
DEFAULTS["plan"] = ""  # there it is what an earlier job of a workflow has told
LATEST = {"type": "default", "target": None, "target_exclusive": False, "target_timeline": None}


def wanted(names: t.Sequence[str] = (), **given: t.Any) -> dict[str, t.Any]:
    return request({**DEFAULTS, **given}, names)


def problems(names: t.Sequence[str] = (), **given: t.Any) -> list[str]:
    return t.cast("list[str]", wanted(names, **given)["problems"])


def test_role_hands_every_variable_to_the_filter() -> None:
    handed = yaml.safe_load((ROLE / "vars/main.yml").read_text(encoding="utf-8"))["__pgbackrest_restore_given"]
    assert handed == {name: f"{{{{ restore_{name} }}}}" for name in handed}
    assert set(handed) == set(DEFAULTS)


@pytest.mark.parametrize("given", [{}, dict.fromkeys(DEFAULTS, ""), dict.fromkeys(DEFAULTS)], ids=["", "empty", "null"])
def test_empty_is_not_given(given: dict[str, t.Any]) -> None:
    found = wanted(**given)
    assert found["problems"] == []
    assert found["module"] == {}
    assert found["target"] == LATEST
    assert (found["mode"], found["action"], found["drop"]) == ("swap", "promote", None)
    assert (found["backup"], found["backup_type"], found["recovery_timeout"]) == (True, "incr", 3600)


@pytest.mark.parametrize(
    ("given", "target"),
    [
        ({"target_time": "2026-05-01 14:30:00+02:00"}, {"type": "time", "target": "2026-05-01 14:30:00+02:00"}),
        ({"target_lsn": "0/3000028", "target_exclusive": "yes"}, {"type": "lsn", "target": "0/3000028"}),
        ({"target_xid": 744}, {"type": "xid", "target": "744"}),
        ({"target_name": "before", "target_timeline": 2}, {"type": "name", "target": "before"}),
        ({"target_immediate": "true"}, {"type": "immediate"}),
    ],
)
def test_each_target(given: dict[str, t.Any], target: dict[str, t.Any]) -> None:
    found = wanted(**given)
    assert found["problems"] == []
    expected = {**LATEST, **target, "target_exclusive": "target_exclusive" in given}
    expected["target_timeline"] = "2" if "target_timeline" in given else None
    assert found["target"] == expected


def test_text_of_a_survey_becomes_options() -> None:
    given = {"set": "20260501-020003F", "repo": "2", "repeat": "Yes", "link_all": "false", "plan": "20260501-020003F-1"}
    maps = {"tablespace_map": "fast=/mnt/fast, 16388 = /mnt/slow", "workspace": "/srv/w", "recovery_timeout": "60"}
    found = wanted(**given, **maps, allow_unproven="off", backup="no", confirm=" main ", mode="delta")
    assert found["problems"] == []
    assert found["module"] == {
        "set": "20260501-020003F",
        "repo": 2,
        "plan": "20260501-020003F-1",
        "repeat": True,
        "link_all": False,
        "workspace": "/srv/w",
        "tablespace_map": {"fast": "/mnt/fast", "16388": "/mnt/slow"},
    }
    assert (found["recovery_timeout"], found["backup"], found["confirm"], found["mode"]) == (60, False, "main", "delta")


def test_a_drop_and_its_filters() -> None:
    found = wanted(before_drop="true", drop_from="2026-05-01 14:00+02", drop_xid="744", target_timeline="2")
    assert found["problems"] == []
    assert found["drop"] == {"from": "2026-05-01 14:00+02", "xid": 744, "timeline": 2}


REFUSED = {
    "two targets": (
        {"target_time": "2026-05-01 14:30Z", "target_xid": "744"},
        "restore_target_time and restore_target_xid are given. Give one of them",
    ),
    "a target and a drop": (
        {"target_immediate": True, "before_drop": True, "drop_from": "2026-05-01 14:30Z"},
        "restore_target_immediate and restore_before_drop are given.",
    ),
    "a time without offset": (
        {"target_time": "2026-05-01 14:30"},
        "The target time '2026-05-01 14:30' has no offset from UTC",
    ),
    "an LSN that is none": ({"target_lsn": "yesterday"}, "is not an LSN such as 0/3000028"),
    "a timeline that is none": ({"target_timeline": "newest"}, "The target timeline 'newest' is neither current"),
    "exclusive without a target": ({"target_exclusive": True}, "restore_target_exclusive"),
    "pause without a target": ({"target_action": "pause"}, "restore_target_action pause needs a target"),
    "an unknown action": ({"target_action": "open"}, "must be promote, pause or shutdown, but is 'open'."),
    "an unknown mode": ({"mode": "fast"}, "restore_mode must be swap or delta, but is 'fast'."),
    "an unknown backup": ({"backup_type": "all"}, "restore_backup_type must be incr, diff or full, but is 'all'."),
    "a word for a boolean": ({"repeat": "maybe"}, "restore_repeat must be true or false, but is 'maybe'."),
    "a word for a number": ({"repo": "first"}, "restore_repo must be a number from 1 on, or empty, but is 'first'."),
    "a timeout of nothing": ({"recovery_timeout": 0}, "restore_recovery_timeout must be a number from 1 on"),
    "a relative workspace": ({"workspace": "w"}, "restore_workspace must be an absolute path, but is 'w'."),
    "a tablespace without path": ({"tablespace_map": "fast"}, "restore_tablespace_map: 'fast' needs a name and"),
    "a drop without beginning": (
        {"before_drop": True},
        "restore_before_drop needs restore_drop_from, a time before it such as 2026-05-01T14:00+02:00.",
    ),
    "a drop from a naive time": ({"before_drop": True, "drop_from": "2026-05-01 14:00"}, "restore_drop_from: "),
    "a drop on a timeline by name": (
        {"before_drop": True, "drop_from": "2026-05-01 14:30Z", "target_timeline": "latest"},
        "With restore_before_drop, restore_target_timeline must be a number, but is 'latest'.",
    ),
    "a filter without drop": ({"drop_xid": "744"}, "restore_drop_xid needs restore_before_drop: true."),
}


@pytest.mark.parametrize(("given", "sentence"), REFUSED.values(), ids=REFUSED)
def test_one_problem_one_sentence(given: dict[str, t.Any], sentence: str) -> None:
    found = problems(**given)
    assert len(found) == 1, found
    assert sentence in found[0]
    assert found[0].endswith(".")


def test_all_problems_at_once() -> None:
    found = problems(mode="fast", repo="x", target_time="yesterday", drop_from="2026-05-01 14:30Z", backup="perhaps")
    assert len(found) == 5, found


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("restore_target_tiem", "restore_target_time"),
        ("restore_taget_time", "restore_target_time"),
        ("restore_confrim", "restore_confirm"),
        ("restore_stanzas", "restore_stanza"),
        ("restore_host", "restore_hosts"),
    ],
)
def test_misspelled_variable_is_refused(name: str, near: str) -> None:
    assert problems([name]) == [f"{name} is no variable of this playbook. Did you mean {near}?"]


def test_variables_of_others_are_none_of_its_business() -> None:
    others = ["restore_point_prefix", "restore_owner_email", "restore_test_database"]
    assert problems([*others, "restore_hosts", *(f"restore_{name}" for name in DEFAULTS)]) == []
