# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The text of pgbackrest verify and the verdict that follows, with recorded answers of three versions."""

from __future__ import annotations

import json
import typing as t
from dataclasses import replace

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils import _verify
from ansible_collections.pgops.pgbackrest.plugins.module_utils._repository import Stanza, parse_info
from hypothesis import given, strategies as st

Text = t.Callable[[str], str]
VERSIONS = ["2.45", "2.55.1", "2.60.0"]
W = "0000000{}00000000000000{:02X}".format


def stanza(text: str) -> Stanza:
    return parse_info(json.loads(text))[0]


def judge(text: str, info: Stanza, **options: t.Any) -> _verify.Verdict:
    answer = _verify.parse_verify(text.split("\n"), "main")
    return _verify.assess(answer, info, info.repositories[0], **options)


def codes(verdict: _verify.Verdict) -> list[str]:
    return [problem.code for problem in verdict.problems]


@pytest.mark.parametrize("version", VERSIONS)
def test_healthy(fixture_text: Text, version: str) -> None:
    info = stanza(fixture_text(f"info_verify_{version}.json"))
    verdict = judge(fixture_text(f"verify_healthy_{version}.txt"), info)
    assert verdict.verdict == "valid" and verdict.problems == [] and verdict.notes == []
    assert [backup["verdict"] for backup in verdict.backups] == ["valid"] * 4
    assert verdict.archives[0]["checked"] == verdict.archives[0]["valid"] == 9


@pytest.mark.parametrize("version", VERSIONS)
def test_nothing_is_valid_without_a_word_of_pgbackrest(fixture_text: Text, version: str) -> None:
    """Take away any line of the result: the verdict is not valid any more."""
    info = stanza(fixture_text(f"info_verify_{version}.json"))
    lines = fixture_text(f"verify_healthy_{version}.txt").split("\n")
    start = lines.index("stanza: main")
    ranges = [number for number, line in enumerate(lines) if "wal start" in line]
    essential = [number for number in range(start, len(lines) - 1) if not lines[number].startswith("    missing")][:-1]
    for number in [*ranges, *essential]:
        verdict = judge("\n".join(lines[:number] + lines[number + 1 :]), info)
        assert verdict.verdict != "valid" and verdict.problems, lines[number]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("status: ok", "status: fine"),
        ("status: ok", "status: error"),
        ("status: valid", "status: probably valid"),
        ("total valid files: 964", "total valid files: 963"),
        ("total files checked: 964, total valid files: 964", "total files checked: 0, total valid files: 0"),
        ("total valid WAL: 9", "total valid WAL: 8"),
        ("missing: 0", "missing: 1"),
        ("stanza: main\nstatus", "stanza: other\nstatus"),
        ("  archiveId: 15-1,", "  archiveId: 16-1,"),
        ("  backup: 2026", "  something new\n  backup: 2026"),
    ],
)
def test_a_result_that_says_something_else(fixture_text: Text, old: str, new: str) -> None:
    info = stanza(fixture_text("info_verify_2.60.0.json"))
    text = fixture_text("verify_healthy_2.60.0.txt")
    assert old in text
    verdict = judge(text.replace(old, new), info)
    assert verdict.verdict != "valid" and verdict.problems


@given(st.text())
def test_any_other_text_is_no_verdict(text: str) -> None:
    answer = _verify.parse_verify(text.split("\n"), "main")
    assert not any(entry.is_valid() for entry in answer.backups.values())


@pytest.mark.parametrize("version", VERSIONS)
def test_damaged(fixture_text: Text, version: str) -> None:
    info = stanza(fixture_text(f"info_verify_{version}.json"))
    verdict = judge(fixture_text(f"verify_damaged_{version}.txt"), info)
    full, incr, last, other = verdict.backups
    assert verdict.verdict == "damaged"
    assert codes(verdict) == ["backup_damaged"] * 3 + ["manifest", "wal_damaged", "wal_gap"]
    assert [backup["verdict"] for backup in verdict.backups] == ["damaged"] * 3 + ["degraded"]
    files = [(file["path"].partition("/")[2], file["reason"]) for file in full["files"]]
    assert files == [
        ("pg_data/base/1/1247.gz", "checksum"),
        ("pg_data/base/1/1249.gz", "checksum"),
        ("pg_data/base/1/1255.gz", "missing"),
    ]
    assert (full["missing"], full["checksum"], full["checked"]) == (1, 2, 964) and not full["missing_wal"]
    assert incr["files"] == [] and incr["through"] == [full["label"]] and incr["missing_wal"] == [W(1, 3)]
    assert "using copy" in last["manifest"] or "missing file" in last["manifest"]
    assert other["manifest"].endswith("/backup.manifest.copy' for read") and not other["through"]
    archive = verdict.archives[0]
    assert [segment["segment"] for segment in archive["segments"]] == [W(1, 3)]
    assert [gap["missing"] for gap in archive["gaps"]] == [W(1, 6)]
    hint = verdict.problems[-1].hint
    assert hint.startswith(f"No moment from there until the end of backup {other['label']} can be reached")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_bundle_whose_damage_pgbackrest_does_not_pass_on(fixture_text: Text, version: str) -> None:
    info = stanza(fixture_text(f"info_bundled_{version}.json"))
    verdict = judge(fixture_text(f"verify_bundled_{version}.txt"), info)
    full, incr = verdict.backups
    assert full["verdict"] == "damaged" and incr["through"] == [full["label"]]
    if version == "2.45":
        assert incr["status"] == "invalid" and incr["verdict"] == "damaged"
    else:
        assert incr["status"] == "valid" and incr["verdict"] == "doubtful"
        assert codes(verdict) == ["backup_damaged", "depends_on_damaged"]


@pytest.mark.parametrize("version", VERSIONS)
def test_without_usable_info_files(fixture_text: Text, version: str) -> None:
    info = stanza(fixture_text(f"info_verify_{version}.json"))
    verdict = judge(fixture_text(f"verify_closed_{version}.txt"), info)
    assert verdict.verdict == "damaged" and codes(verdict) == ["info_files"]
    assert {backup["verdict"] for backup in verdict.backups} == {"unknown"}


@pytest.mark.parametrize("version", VERSIONS)
def test_an_empty_repository(fixture_text: Text, version: str) -> None:
    """pgBackRest calls it ok. It is not, whether info lists backups or none."""
    info = stanza(fixture_text(f"info_verify_{version}.json"))
    text = fixture_text(f"verify_empty_{version}.txt")
    assert "status: ok" in text
    assert codes(judge(text, info)) == ["no_verdict"]
    nothing = judge(text, replace(info, backups=[], archives=[]))
    assert nothing.verdict == "unknown" and codes(nothing) == ["no_backup"]


def test_page_checksum_errors(fixture_text: Text) -> None:
    info = stanza(fixture_text("info_verify_2.60.0.json"))
    info = replace(info, backups=[replace(info.backups[0], error=True), *info.backups[1:]])
    verdict = judge(fixture_text("verify_healthy_2.60.0.txt"), info)
    assert verdict.verdict == "damaged" and codes(verdict) == ["backup_damaged"]
    assert "pages with wrong checksums were found when it was taken" in verdict.problems[0].sentence


def test_a_backup_that_info_does_not_list(fixture_text: Text) -> None:
    info = stanza(fixture_text("info_verify_2.60.0.json"))
    last = info.backups[-1]
    verdict = judge(fixture_text("verify_healthy_2.60.0.txt"), replace(info, backups=info.backups[:-1]))
    assert verdict.verdict == "valid"
    assert verdict.notes == [f"{last.label} lies in the repository, but info does not list it: it is of no use."]


def test_a_remark_is_no_success(fixture_text: Text) -> None:
    """A damaged backup.info whose copy serves: pgBackRest says ok, and only remarks on it."""
    info = stanza(fixture_text("info_verify_2.60.0.json"))
    text = fixture_text("verify_healthy_2.60.0.txt")
    begin, rest = text.split("\n", 1)
    remark = "2026-11-23 00:00:00.000 P00 DETAIL: required key 'db-\x01\x02' not found"
    verdict = judge(f"{begin}\n{remark}\n{rest}", info)
    assert verdict.verdict == "damaged" and codes(verdict) == ["remark"]
    assert "required key 'db-??' not found" in verdict.problems[0].sentence


def test_warnings_about_the_configuration_are_none(fixture_text: Text) -> None:
    info = stanza(fixture_text("info_verify_2.60.0.json"))
    warning = "P00   WARN: configuration file contains invalid option 'x'\n"
    answer = _verify.parse_verify((warning + fixture_text("verify_healthy_2.60.0.txt")).split("\n"), "main")
    assert answer.warnings == ["configuration file contains invalid option 'x'"]
    assert _verify.assess(answer, info, info.repositories[0]).verdict == "valid"


@pytest.mark.parametrize(
    ("ranges", "missing"),
    [
        ([(W(1, 1), W(1, 9))], []),
        ([(W(1, 1), W(1, 3)), (W(1, 5), W(1, 9))], [W(1, 4)]),
        ([(W(1, 1), W(1, 3)), (W(1, 6), W(1, 9))], [f"{W(1, 4)} to {W(1, 5)}"]),
        # a new timeline begins in the segment in which the old one ended, or after it
        ([(W(1, 1), W(1, 3)), (W(2, 3), W(2, 9))], []),
        ([(W(1, 1), W(1, 3)), (W(2, 4), W(2, 9))], []),
        ([(W(1, 1), W(1, 9)), (W(2, 3), W(2, 5))], []),
        ([(W(1, 1), W(1, 3)), (W(2, 6), W(2, 9))], [f"the segments between {W(1, 3)} and {W(2, 6)}"]),
        # the next log file
        ([(W(1, 1), "0000000100000000000000FF"), ("000000020000000100000000", "000000020000000100000001")], []),
        ([(W(1, 1), W(1, 3)), ("000000010000000100000001", "000000010000000100000002")], ["the segments between"]),
    ],
)
def test_gaps(ranges: list[tuple[str, str]], missing: list[str]) -> None:
    gaps = _verify.find_gaps([("15-1", start, stop) for start, stop in ranges])
    assert len(gaps) == len(missing)
    assert all(gap.text().startswith(text) for gap, text in zip(gaps, missing, strict=True))


def test_gaps_of_one_archive_are_not_those_of_another() -> None:
    assert _verify.find_gaps([("14-1", W(1, 1), W(1, 3)), ("15-2", W(1, 7), W(1, 9))]) == []


def gapped(fixture_text: Text) -> tuple[str, Stanza]:
    """A healthy answer in which the WAL between the last two backups is gone."""
    info = stanza(fixture_text("info_verify_2.60.0.json"))
    *dummy, older, last = info.backups
    whole = next(line for line in fixture_text("verify_healthy_2.60.0.txt").split("\n") if "wal start" in line)
    head = whole[: whole.index("wal start")]
    first = f"{head}wal start: {info.archives[0].wal_min}, wal stop: {older.wal_stop}"
    second = f"{head}wal start: {last.wal_start}, wal stop: {info.archives[0].wal_max}"
    backups = [*info.backups[:-1], replace(last, wal_start=W(1, 0x0A), wal_stop=W(1, 0x0A))]
    second = second.replace(str(last.wal_start), W(1, 0x0A))
    text = fixture_text("verify_healthy_2.60.0.txt").replace(whole, f"{first}\n{second}")
    return text, replace(info, backups=backups)


def test_a_gap_that_retention_explains(fixture_text: Text) -> None:
    text, info = gapped(fixture_text)
    assert codes(judge(text, info)) == ["wal_gap"]
    verdict = judge(text, info, gaps_by_retention=True)
    assert verdict.verdict == "valid" and verdict.archives[0]["gaps"][0]["by_retention"]
    assert verdict.notes[0].startswith("Retention has removed ")


def test_a_gap_that_retention_does_not_explain(fixture_text: Text) -> None:
    """It would have kept what the older backup needs, and all from the start of the younger one on."""
    text, info = gapped(fixture_text)
    *others, last = info.backups
    shifted = replace(info, backups=[*others, replace(last, wal_start=W(1, 9), wal_stop=W(1, 0x0A))])
    verdict = judge(text, shifted, gaps_by_retention=True)
    assert codes(verdict) == ["backup_damaged", "wal_gap"]


def test_one_backup_only(fixture_text: Text) -> None:
    info = stanza(fixture_text("info_verify_2.60.0.json"))
    text = fixture_text("verify_healthy_2.60.0.txt")
    verdict = judge(text, info, label=info.backups[1].label)
    assert verdict.verdict == "valid" and [backup["label"] for backup in verdict.backups] == [info.backups[1].label]


def test_what_expired_meanwhile_is_no_damage(fixture_text: Text) -> None:
    before = stanza(fixture_text("info_verify_2.60.0.json"))
    archive = before.archives[0]
    after = replace(before, backups=before.backups[-1:], archives=[replace(archive, wal_min=W(1, 4))])
    answer = _verify.parse_verify(fixture_text("verify_healthy_2.60.0.txt").split("\n"), "main")
    path = f"15-1/0000000100000000/{W(1, 2)}-0123.gz"
    entry = replace(answer.archives["15-1"], valid=8, missing=1)
    raced = replace(answer, files=[{"path": path, "reason": "missing"}], archives={"15-1": entry})
    assert codes(_verify.assess(raced, before, before.repositories[0])) == ["backup_damaged", "wal_damaged"]
    left = _verify.surviving(before, after)
    assert [backup.label for backup in left.backups] == [before.backups[-1].label]
    verdict = _verify.assess(_verify.without_expired_wal(raced, left, 1), left, left.repositories[0])
    assert verdict.verdict == "valid", verdict.problems
