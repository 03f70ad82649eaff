# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module backup_info with real repositories."""

from __future__ import annotations

import subprocess
import time
import typing as t

import pytest

Run = t.Callable[..., dict[str, t.Any]]


@pytest.mark.matrix
def test_before_and_after_the_first_backups(run: Run, protected: t.Any) -> None:
    """From a stanza without a backup to one that can be recovered."""
    empty = run("backup_info", protected.common)
    assert not empty["failed"] and not empty["healthy"] and not empty["changed"]
    assert empty["problems"] == [
        "main: Repository 1: no valid backups. Take a backup with the module pgops.pgbackrest.backup."
    ]
    assert empty["stanzas"][0]["last"] == {"full": None, "diff": None, "incr": None}

    labels = [protected.backup("full"), protected.backup("incr")]
    result = run("backup_info", protected.common)
    stanza = result["stanzas"][0]
    assert result["healthy"] and result["problems"] == [] and stanza["running"] is None
    assert [backup["label"] for backup in stanza["backups"]] == labels
    assert stanza["windows"][0]["earliest_backup"] == labels[0]
    assert stanza["last"]["diff"]["label"] == labels[0] and stanza["last"]["incr"]["label"] == labels[1]
    assert 0 <= stanza["last"]["full"]["age"] < 60
    assert stanza["databases"][0]["version"] == str(protected.pg_major)

    detailed = run("backup_info", {**protected.common, "set": labels[1]})["stanzas"][0]["backups"]
    assert [backup["label"] for backup in detailed] == [labels[1]]
    assert [database["name"] for database in detailed[0]["details"]["databases"]] == ["postgres"]


def test_check_mode_reads_the_same_and_writes_nothing(run: Run, protected: t.Any, tree_hash: t.Any) -> None:
    label = protected.backup()
    before = tree_hash(protected.repo)
    result = run("backup_info", protected.common, check=True)
    assert result["stanzas"][0]["backups"][0]["label"] == label
    assert tree_hash(protected.repo) == before


def test_all_stanzas_with_one_that_has_its_own_passphrase(run: Run, protected: t.Any) -> None:
    """Without a stanza pgbackrest info reads the passphrase from [global] only."""
    protected.backup()
    text = protected.config.read_text(encoding="utf-8").replace(f"repo1-path={protected.repo}\n", "")
    own = f"repo1-path={protected.make_directory('other')}\nrepo1-cipher-type=aes-256-cbc\nrepo1-cipher-pass=secret\n"
    cluster = text[text.index("pg1-path") :]
    protected.config.write_text(
        text.replace("[main]", f"[main]\nrepo1-path={protected.repo}")
        + f"[other]\n{own}{cluster}"
        + f"[global]\nrepo1-path={protected.make_directory('empty')}\n",
        encoding="utf-8",
    )
    params = {key: value for key, value in protected.common.items() if key != "stanza"}
    assert run("stanza", {**protected.common, "stanza": "other"})["changed"]
    result = run("backup_info", params)
    assert {stanza["name"]: stanza["healthy"] for stanza in result["stanzas"]} == {"main": True, "other": False}
    assert "secret" not in str(result)


def test_percent_of_a_running_backup(run: Run, protected: t.Any) -> None:
    """The percent comes from the text form before 2.48 and from the JSON since; `matrix` shows both, but takes long."""
    protected.sql(
        "create table big as select i, repeat(md5(i::text), 8) as filler from generate_series(1, 150000) as i"
    )
    protected.sql("checkpoint")
    argv = [protected.executable, f"--config={protected.config}", "--stanza=main", "--type=full", "backup"]
    argv[1:1] = ["--compress-type=gz", "--compress-level=9"]
    prefix = ["runuser", "-u", "postgres", "--"] if protected.root.owner() == "postgres" else []
    with subprocess.Popen([*prefix, *argv], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/") as process:
        seen: list[t.Any] = []
        while process.poll() is None and len(seen) < 1:
            running = run("backup_info", protected.common)["stanzas"][0]["running"]
            if running and running["percent"] is not None:
                seen.append(running)
            time.sleep(0.05)
    assert process.returncode == 0
    assert seen and seen[0]["command"] == "backup" and 0 <= seen[0]["percent"] <= 100
