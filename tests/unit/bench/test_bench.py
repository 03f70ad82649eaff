# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The pure parts of the benchmark: the order of runs, figures made of measurements, pages made of results."""

from __future__ import annotations

import doctest
import functools
import itertools
import json
import typing as t
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.pgops.pgbackrest.tests.bench import (
    __main__ as program,
    cpu_groups,
    data,
    measure,
    pgbench,
    report,
)

MACHINE = {
    "measured": "2026-11-23 10:00 UTC",
    "cpu": "AMD EPYC",
    "cpus": 2,
    "memory_mib": 24000,
    "kernel": "6.1",
    "system": "Debian",
    "filesystem": "ext4",
    "load_before": 0.1,
    "programs": {"pgbackrest": "pgBackRest 2.45", "absent": ""},
}
TABLE = {
    "key": "full",
    "title": "Full backup",
    "baseline": "stock",
    "measured": {"stock": [60.0, 80.0, 70.0], "tuned": [10.0, 10.0, 14.0]},
    "beside": {"size": {"stock": "900 MB", "tuned": "800 MB"}},
}
CURVE = {
    "key": "hosts",
    "title": "Hosts",
    "x": "hosts",
    "y": "s",
    "lines": {"a": [[1, 2.0], [20, 3.0]], "b": [[1, 4.0]]},
}
RESULT = {"part": "backup", "runs": 3, "machine": MACHINE, "notes": ["Warm."], "tables": [TABLE], "curves": [CURVE]}


def test_every_round_has_all_and_begins_with_another_one() -> None:
    done: list[str] = []
    competitors: dict[str, measure.Work] = {name: functools.partial(done.append, name) for name in "abc"}
    prepared: list[str] = []
    measured = measure.interleaved(competitors, 4, before=prepared.append)
    assert "".join(done) == "abcbcacababc"
    assert prepared == done
    assert {name: len(values) for name, values in measured.items()} == {"a": 4, "b": 4, "c": 4}


def test_a_competitor_may_measure_itself() -> None:
    values = itertools.count(5.0)
    assert measure.interleaved({"rate": lambda: next(values)}, 2) == {"rate": [5.0, 6.0]}


def test_ratios_are_made_round_by_round() -> None:
    found = report.compare(TABLE)
    assert found["tuned"] == [6.0, 8.0, 5.0]
    assert report.compare({**TABLE, "more": "rate"})["tuned"] == [1 / 6, 1 / 8, 1 / 5]


def test_table_of_measurements() -> None:
    assert report.measurements(TABLE).splitlines() == [
        "|  | median (s) | least to greatest | times stock | size |",
        "| --- | ---: | ---: | ---: | ---: |",
        "| stock | 70.0 | 60.0 to 80.0 | 1.00 | 900 MB |",
        "| tuned | 10.0 | 10.0 to 14.0 | **6.00** (5.00 to 8.00) | 800 MB |",
    ]


def test_points_of_a_curve_leave_out_what_was_not_measured() -> None:
    assert report.points(CURVE).splitlines()[2:] == ["| 1 | 2.00 | 4.00 |", "| 20 | 3.00 |  |"]


def test_the_page_is_written_between_its_markers_and_stays_the_same() -> None:
    text = "before\n<!-- bench backup: begin -->\nold\n<!-- bench backup: end -->\nafter\n"
    page = report.page(text, [RESULT])
    assert page.startswith(
        "before\n<!-- bench backup: begin -->\n\nMeasured 2026-11-23 10:00 UTC on 2 × AMD EPYC, 23 GiB"
    )
    assert "old" not in page
    assert "![Full backup](benchmarks-backup-full.svg)" in page
    assert "![Hosts](benchmarks-backup-hosts.svg)" in page
    assert page.endswith("<!-- bench backup: end -->\nafter\n")
    assert report.page(page, [RESULT]) == page


def test_a_page_without_place_for_a_part_is_refused() -> None:
    with pytest.raises(ValueError, match="no place for the part backup"):
        report.page("nothing", [RESULT])


def test_the_published_page_has_a_place_for_each_part_and_shows_the_published_results() -> None:
    docs = program.COLLECTION / "docs"
    text = (docs / program.PAGE).read_text(encoding="utf-8")
    for part in program.PARTS:
        assert report.BEGIN.format(part) in text
        assert report.END.format(part) in text
    results = [json.loads(path.read_text(encoding="utf-8")) for path in docs.glob("benchmarks-*.json")]
    assert report.page(text, results) == text
    for result in results:
        drawn = [table for table in result.get("tables", ()) if table.get("baseline")] + list(result.get("curves", ()))
        for chart in drawn:
            assert (docs / report.chart_name(result["part"], chart["key"])).exists()


def test_results_are_written_and_rendered(tmp_path: Path) -> None:
    (tmp_path / "benchmarks-backup.json").write_text(json.dumps(RESULT), encoding="utf-8")
    program.render(tmp_path)
    assert "| tuned | 10.0 |" in (tmp_path / program.PAGE).read_text(encoding="utf-8")


def test_an_unknown_part_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        program.arguments(["everything"])
    assert "There is no part everything" in capsys.readouterr().err


@pytest.mark.parametrize(("words", "expected"), [([], (5, 2500)), (["--smoke"], (1, 100)), (["--runs=2"], (2, 2500))])
def test_sizes(words: list[str], expected: tuple[int, int]) -> None:
    asked = program.arguments(words)
    assert (asked.runs, asked.megabytes) == expected


# Data


@pytest.mark.parametrize("kind", data.SHARES)
def test_rows_are_the_same_each_time_and_as_many_as_asked_for(kind: str) -> None:
    def rows() -> list[bytes]:
        return list(data.limited(data.Content(pool=100_000).rows(kind, 1), 50_000))

    first = rows()
    assert first == rows()
    columns = data._COLUMNS[kind].count(",") + 1
    assert {line.count(b"\t") for line in first} == {columns - 1}
    assert {line.count(b"\n") for line in first} == {1}
    assert first[0].startswith(b"100000000\t")
    size = sum(taken for dummy, taken in itertools.islice(data.Content(pool=100_000).rows(kind, 1), len(first)))
    assert 50_000 <= size < 53_000


def test_damage_overwrites_its_share_of_user_tables_only(tmp_path: Path) -> None:
    (tmp_path / "base/5").mkdir(parents=True)
    names = ["16384", "16385", "16386", "16387", "1259", "pg_filenode.map"]
    for name in names:
        (tmp_path / "base/5" / name).write_bytes(bytes(20 * 1024 * 1024))
    assert data.relations(tmp_path) == {f"base/5/{name}": 20 * 1024 * 1024 for name in names[:4]}
    data.damage(tmp_path, 0.05)
    changed = [sum(map(bool, (tmp_path / "base/5" / name).read_bytes())) for name in names]
    assert 0.045 < sum(changed) / (80 * 1024 * 1024) < 0.055
    assert changed[1:] == [0] * 5


def test_shares_are_the_whole() -> None:
    assert sum(data.SHARES.values()) == pytest.approx(1)


def test_text_compresses_as_text_does_and_files_do_not() -> None:
    import zlib

    def shrinks(kind: str) -> float:
        lines: t.Iterator[bytes] = data.limited(data.Content(pool=1_000_000).rows(kind, 0), 300_000)
        last = [line.rsplit(b"\t", 1)[1].strip() for line in lines]
        raw = b"".join(bytes.fromhex(part[3:].decode()) if part.startswith(b"\\\\x") else part for part in last)
        return len(raw) / len(zlib.compress(raw))

    assert 1.5 < shrinks("documents") < 4
    assert shrinks("files") < 1.1
    assert shrinks("tokens") < 1.01


# Queries beside a backup


def test_transactions_of_a_window_are_found_though_the_last_line_is_not_complete(tmp_path: Path) -> None:
    assert doctest.testmod(pgbench).failed == 0
    lines = [f"0 {number} {1000 + number} 0 1700000000 {number * 1000:06}\n" for number in range(100)]
    logs = [tmp_path / name for name in ("log.1", "log.1.1")]
    for number, log in enumerate(logs):
        log.write_text("".join(lines[number::2]) + "0 100 2000 0 17000", encoding="utf-8")
    assert pgbench.logged_until(logs[0]) == pytest.approx(1700000000.098)
    assert pgbench.all_reach(logs, 1700000000.097)
    assert not pgbench.all_reach(logs, 1700000000.0985)
    assert not pgbench.all_reach([], 0)
    queries = pgbench.Pgbench(t.cast("t.Any", SimpleNamespace(bindir="", socket_dir="", port=1)), tmp_path)
    found = queries.between(1700000000.0095, 1700000000.0145)
    assert sorted(found) == pytest.approx([1.010, 1.011, 1.012, 1.013, 1.014])


@pytest.mark.parametrize(
    ("files", "own", "weights", "origin"),
    [
        (["cpu/cpu.shares"], "3:cpu,cpuacct:/a\n0::/b\n", {"cpu.shares": ["1024", "1024", "204"]}, "cpu/a"),
        (["cgroup.subtree_control"], "0::/b\n", {"cpu.weight": ["100", "100", "20"]}, "b"),
    ],
)
def test_groups_have_the_weights_of_units(
    tmp_path: Path, files: list[str], own: str, weights: dict[str, list[str]], origin: str
) -> None:
    assert doctest.testmod(cpu_groups).failed == 0
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "own").write_text(own, encoding="utf-8")
    groups = cpu_groups.Groups(tmp_path, str(tmp_path / "own"))
    made = groups.make(100, 20)
    ((name, expected),) = weights.items()
    assert [(path / name).read_text(encoding="utf-8") for path in (groups.outer, *made)] == expected
    assert {path.parent for path in made} == {groups.outer}
    assert sorted(tmp_path.rglob("cgroup.subtree_control")) == sorted(
        path / "cgroup.subtree_control" for path in (tmp_path, groups.outer) if name == "cpu.weight"
    )
    assert groups.origin == tmp_path / origin


def test_groups_are_left_out_where_there_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_groups, "ROOT", tmp_path / "absent")
    with cpu_groups.weighted(20) as found:
        assert found == []
