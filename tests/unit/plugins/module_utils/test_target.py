# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Recovery targets: what is accepted, what is refused and in which words."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils import _target
from ansible_collections.pgops.pgbackrest.plugins.module_utils._target import TargetError, parse_target
from hypothesis import given, strategies as st


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-05-01 14:30:00+02:00", "2026-05-01 14:30:00+02:00"),
        ("2026-05-01 14:30:00+02", "2026-05-01 14:30:00+02:00"),
        ("2026-05-01 14:30:00 +0530", "2026-05-01 14:30:00+05:30"),
        ("2026-05-01T14:30:00Z", "2026-05-01 14:30:00+00:00"),
        ("2026-05-01T14:30Z", "2026-05-01 14:30:00+00:00"),
        ("2026-05-01 14:30:00.5-03:30", "2026-05-01 14:30:00.500000-03:30"),
        ("2026-05-01 14:30:00,123456+00", "2026-05-01 14:30:00.123456+00:00"),
    ],
)
def test_times_are_normalised(text: str, expected: str) -> None:
    assert parse_target("time", text).value == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("2026-05-01 14:30:00", "has no offset from UTC"),
        ("2026-05-01", "has no time of day. .* write T"),
        ("2026-10-25T02:30:00", "add one, such as 2026-10-25T02:30:00+00:00 for UTC"),
        ("2026-05-01 14:30:00 Europe/Berlin", "is not in the form"),
        ("2026-05-01 14:30:00 CET", "is not in the form"),
        ("yesterday", "is not in the form"),
        ("2026-02-30 10:00:00Z", "is not a time of the calendar"),
        ("2026-05-01 10:00:00+25:00", "impossible offset"),
        ("2026-05-01 10:00:00+02:75", "impossible offset"),
        ("2026-05-01 10:00:00.1234567Z", "is not in the form"),
    ],
)
def test_ambiguous_or_wrong_times_are_refused(text: str, reason: str) -> None:
    with pytest.raises(TargetError, match=reason.replace("+", r"\+")):
        parse_target("time", text)


@given(
    st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1)),
    st.integers(-15 * 60, 15 * 60),
)
def test_a_time_means_the_same_moment_after_normalising(naive: datetime, offset: int) -> None:
    moment = naive.replace(tzinfo=timezone(timedelta(minutes=offset)))
    target = parse_target("time", moment.isoformat())
    assert target.moment == moment
    assert _target.parse_time(target.value or "") == moment
    assert " " in (target.value or "") and "T" not in (target.value or "")


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("lsn", "0/3000028", "0/3000028"),
        ("lsn", " 1A/ff ", "1A/ff"),
        ("xid", "0745", "745"),
        ("name", "été 1", "été 1"),
    ],
)
def test_other_targets(kind: str, value: str, expected: str) -> None:
    assert parse_target(kind, value).value == expected


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        ("lsn", "3000028", "is not an LSN such as"),
        ("xid", "abc", "is not a transaction ID"),
        ("xid", "2", "begin at 3"),
        ("xid", str((5 << 32) + 745), "32 bits that WAL has: 745"),
        ("name", "it's", "has a quote"),
        ("name", "a\nb", "control character"),
        ("name", "é" * 32, "longer than 63 bytes"),
        ("time", None, "Type time needs a target"),
        ("default", "0/1", "Type default takes no target"),
    ],
)
def test_targets_that_cannot_be(kind: str, value: str | None, reason: str) -> None:
    with pytest.raises(TargetError, match=reason):
        parse_target(kind, value)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(TargetError) as error:
        parse_target("immediate", "5", timeline="soon", action=None, exclusive=True)
    assert len(error.value.problems) == 4
    with pytest.raises(TargetError, match="Type standby takes no target_action"):
        parse_target("standby", action="promote")


@pytest.mark.parametrize(
    ("text", "expected"), [("latest", "latest"), ("Current", "current"), ("0x1F", "31"), ("3", "3")]
)
def test_timelines(text: str, expected: str) -> None:
    assert parse_target("default", timeline=text).timeline == expected


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "newest", "99999999999"])
def test_timelines_that_cannot_be(text: str) -> None:
    with pytest.raises(TargetError, match="neither current nor latest"):
        parse_target("default", timeline=text)


# What pgBackRest 2.45 and 2.60.0 write for these options.
@pytest.mark.parametrize(
    ("target", "major", "settings", "signal"),
    [
        (parse_target("default"), 15, {}, "recovery.signal"),
        (parse_target("default", timeline="1"), 15, {"recovery_target_timeline": "1"}, "recovery.signal"),
        (parse_target("standby"), 15, {}, "standby.signal"),
        (parse_target("standby"), 11, {"standby_mode": "on"}, "recovery.conf"),
        (parse_target("none"), 15, {}, None),
        (parse_target("preserve"), 15, {}, None),
        (
            parse_target("immediate", action="promote"),
            15,
            {
                "recovery_target": "immediate",
                "recovery_target_timeline": "current",
                "recovery_target_action": "promote",
            },
            "recovery.signal",
        ),
        (parse_target("immediate"), 11, {"recovery_target": "immediate"}, "recovery.conf"),
        (
            parse_target("xid", "745", action="pause", exclusive=True),
            15,
            {"recovery_target_xid": "745", "recovery_target_inclusive": "false"},
            "recovery.signal",
        ),
        (parse_target("lsn", "0/3", timeline="current"), 11, {"recovery_target_lsn": "0/3"}, "recovery.conf"),
    ],
)
def test_settings_and_signal_files(
    target: _target.RecoveryTarget, major: int, settings: dict[str, str], signal: str | None
) -> None:
    assert target.settings(major) == settings
    assert target.signal_file(major) == signal


def test_a_target_in_words() -> None:
    target = parse_target("time", "2026-05-01 14:30:00Z", timeline="current", action="promote", exclusive=True)
    assert target.sentence() == "time 2026-05-01 14:30:00+00:00 (exclusive) on timeline current, then promote"
    assert parse_target("lsn", "0/3").to_dict()["action"] == "pause"
    assert parse_target("standby").to_dict()["action"] is None
