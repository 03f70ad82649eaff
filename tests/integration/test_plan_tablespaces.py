# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A tablespace that was made after the backup: recovery makes it again where it was, over files still in use."""

from __future__ import annotations

import typing as t

Run = t.Callable[..., dict[str, t.Any]]
Hash = t.Callable[[t.Any], str]


def test_a_newer_tablespace_is_refused_until_a_backup_has_it(
    stopped: t.Any, history: dict[str, str], run: Run, tree_hash: Hash
) -> None:
    place = stopped.make_directory("newer")
    stopped.start()
    stopped.sql(f"CREATE TABLESPACE newer LOCATION '{place}'")
    stopped.sql("CREATE TABLE n TABLESPACE newer AS SELECT generate_series(1, 100) AS v")
    stopped.stop()
    copy = {"pgdata": str(stopped.root / "copy"), "archive_mode": "off", "tablespace_map_all": str(stopped.root / "ts")}
    before = tree_hash(stopped.root)
    for ways in ({"delta": True}, {"swap": True}, copy):
        refused = run("restore", {**stopped.restoring, **ways})
        assert [problem["code"] for problem in refused["problems"]] == ["tablespace_newer"], refused
        assert f" at {place} " in refused["msg"]
        assert f"is newer than backup set {history['label']}" in refused["msg"]
    assert tree_hash(stopped.root) == before
    # Nothing is replayed that came after the backup: the original is out of danger.
    early = run("restore", {**stopped.restoring, **copy, "type": "immediate"}, check=True)
    assert not early["failed"], early
    stopped.start()
    label = stopped.backup("incr")
    stopped.stop()
    result = run("restore", {**stopped.restoring, **copy})
    assert not result["failed"], result
    assert result["backup"]["label"] == label
    assert [item["path"] for item in result["plan"]["tablespaces"]] == [str(stopped.root / "ts" / "newer")]
