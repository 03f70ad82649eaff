# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module verify with real repositories, whole and damaged."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

Run = t.Callable[..., dict[str, t.Any]]
Hash = t.Callable[[t.Any], str]

# pgBackRest waits 15 s before it tries a file again that it cannot decompress.
AT_ONCE = {"job-retry": "0", "repo1-retention-full": "5"}
ENCRYPTED = {"repo1-cipher-type": "aes-256-cbc", "repo1-cipher-pass": "RIGHT-PASSPHRASE"}


def flip(path: Path) -> None:
    """Change one byte in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))


def wal(cluster: t.Any) -> list[Path]:
    """The archived WAL segments, oldest first."""
    return sorted(cluster.repo.glob("archive/main/*/*/*-*.gz"))


def verdicts(result: dict[str, t.Any], repository: int = 0) -> list[str]:
    """Verdicts of the backups of one repository, oldest first."""
    return [backup["verdict"] for backup in result["repositories"][repository]["backups"]]


def codes(result: dict[str, t.Any]) -> list[str]:
    """Codes of the problems."""
    assert result["failed"] and not result.get("changed") and "PASSPHRASE" not in str(result), result
    return [problem["code"] for problem in result["problems"]]


@pytest.mark.matrix
@pytest.mark.parametrize("options", [{}, {"repo1-bundle": "y", **ENCRYPTED}], ids=["plain", "bundled-encrypted"])
def test_whole_then_damaged(run: Run, cluster: t.Any, tree_hash: Hash, options: dict[str, str]) -> None:
    """One full and one incremental backup: first all is well, then a byte is flipped in what both need."""
    cluster.options = {**AT_ONCE, **options}
    cluster.protect()
    labels = [cluster.backup("full"), cluster.backup("incr")]
    before = tree_hash(cluster.repo), tree_hash(cluster.root / "lock")
    for check in (False, True):
        result = run("verify", cluster.common, check=check)
        assert not result["failed"] and not result["changed"] and result["verdict"] == "valid", result
        assert result["problems"] == [] and verdicts(result) == ["valid", "valid"]
        archive = result["repositories"][0]["archives"][0]
        assert archive["verdict"] == "valid" and archive["checked"] == archive["valid"] == len(wal(cluster))
        assert result["msg"] == f"Repository 1: 2 backups and {len(wal(cluster))} WAL segments are valid."
    assert (tree_hash(cluster.repo), tree_hash(cluster.root / "lock")) == before

    names = "bundle/*" if "repo1-bundle" in options else "pg_data/base/1/1255.gz"
    damaged = max((cluster.repo / "backup/main" / labels[0]).glob(names), key=lambda path: path.stat().st_size)
    flip(damaged)
    result = run("verify", cluster.common)
    # Since some version after 2.45 pgBackRest does not see that a bundle's damage reaches the backups that refer to it.
    blind = "repo1-bundle" in options and cluster.pgbackrest_version >= (2, 55)
    assert codes(result) == ["backup_damaged", "depends_on_damaged" if blind else "backup_damaged"]
    assert verdicts(result) == ["damaged", "doubtful" if blind else "damaged"] and result["verdict"] == "damaged"
    full, incr = result["repositories"][0]["backups"]
    assert full["checksum"] + full["other"] + full["size"] == 1 and full["checked"] == full["valid"] + 1
    assert len(full["files"]) == 1 and full["files"][0]["path"].startswith(f"{labels[0]}/")
    assert incr["through"] == [labels[0]] and labels[1] in result["msg"]


@pytest.mark.matrix
def test_every_kind_of_damage(run: Run, cluster: t.Any) -> None:
    """Two full backups and WAL behind them, damaged more and more."""
    cluster.options = AT_ONCE
    cluster.protect()
    labels = [cluster.backup("full") for dummy in range(2)]
    for _number in range(3):
        cluster.archive()
    first, second = (cluster.repo / "backup/main" / label for label in labels)

    (second / "backup.manifest.copy").unlink()
    result = run("verify", cluster.common)
    assert codes(result) == ["manifest"] and verdicts(result) == ["valid", "degraded"]
    assert result["verdict"] == "degraded" and f"{labels[1]} can still be restored" in result["msg"]

    (first / "pg_data/PG_VERSION.gz").unlink()
    control = first / "pg_data/global/pg_control.gz"
    control.write_bytes(control.read_bytes()[:100])
    only_one(run, cluster, *labels)
    flip(second / "backup.manifest")
    result = run("verify", cluster.common)
    assert codes(result) == ["backup_damaged", "backup_damaged"] and verdicts(result) == ["damaged", "damaged"]
    reasons = {Path(file["path"]).name: file["reason"] for file in result["repositories"][0]["backups"][0]["files"]}
    assert reasons["PG_VERSION.gz"] == "missing" and reasons["pg_control.gz"] in ("checksum", "other")
    assert "2 of " in result["msg"] and "pg_data/PG_VERSION.gz (missing)" in result["msg"]
    assert f"{labels[1]} is invalid: backup.manifest and its copy cannot be read" in result["msg"]

    (second / "backup.manifest").unlink()
    segments = wal(cluster)
    flip(segments[-1])
    segments[-2].unlink()
    needed = next(path for path in segments if path.name.startswith(cluster.info()["backup"][0]["archive"]["stop"]))
    needed.unlink()
    result = run("verify", cluster.common)
    full, other = result["repositories"][0]["backups"]
    assert codes(result) == ["backup_damaged", "backup_damaged", "wal_damaged", "wal_gap", "wal_gap"]
    assert f"{labels[1]} is invalid: backup.manifest and its copy are missing" in result["msg"]
    assert full["missing_wal"] and "WAL that it needs is missing or damaged: " in result["msg"] and not other["files"]
    archive = result["repositories"][0]["archives"][0]
    assert [segment["segment"] for segment in archive["segments"]] == [segments[-1].name[:24]]
    assert [gap["missing"] for gap in archive["gaps"]] == [path.name[:24] for path in (needed, segments[-2])]
    assert f"WAL is missing: {segments[-2].name[:24]}. No later moment can be reached from any backup" in result["msg"]

    segments[0].write_bytes(b"")  # pgBackRest reads the size of the segments from it, and gives up
    result = run("verify", cluster.common)
    assert result["failed"] and result["verdict"] != "valid" and result["problems"]


def only_one(run: Run, cluster: t.Any, damaged: str, degraded: str) -> None:
    """The option set, which pgBackRest knows since 2.55."""
    result = run("verify", {**cluster.common, "set": damaged})
    if cluster.pgbackrest_version < (2, 55):
        assert result["failed"] and "The option set needs pgBackRest 2.55, this host has 2.45" in result["msg"]
        return
    assert codes(result) == ["backup_damaged"] and verdicts(result) == ["damaged"]
    assert codes(run("verify", {**cluster.common, "set": degraded})) == ["manifest"]
    unknown = run("verify", {**cluster.common, "set": "20200101-000000F"})
    assert unknown["failed"] and unknown["error"]["code"] == 75 and "holds no backup 20200101-000000F" in unknown["msg"]


def test_two_repositories_of_which_one_is_damaged(run: Run, cluster: t.Any) -> None:
    other = cluster.make_directory("repo2")
    passphrase = {name.replace("1", "2", 1): value for name, value in ENCRYPTED.items()}
    cluster.options = {**AT_ONCE, **passphrase, "repo2-path": str(other), "repo2-retention-full": "2"}
    cluster.protect()
    empty = run("verify", cluster.common)
    assert codes(empty) == ["no_verdict", "no_verdict"] and "Take a backup with the module" in empty["msg"]
    cluster.backup("full", "--repo=1")
    label = cluster.backup("full", "--repo=2")
    flip(other / "backup/main" / label / "pg_data/base/1/1255.gz")
    result = run("verify", cluster.common)
    assert [repository["verdict"] for repository in result["repositories"]] == ["valid", "damaged"]
    assert codes(result) == ["backup_damaged"] and "Repository 2: backup" in result["msg"]
    assert not run("verify", {**cluster.common, "repo": 1})["failed"]
    assert "has no repository 3, only 1, 2" in run("verify", {**cluster.common, "repo": 3})["msg"]

    (cluster.repo / "archive/main/archive.info.copy").unlink()
    cluster.write_config({"repo2-cipher-pass": "WRONG-PASSPHRASE"})
    result = run("verify", cluster.common)
    assert codes(result) == ["remark", "no_verdict"] and "archive.info.copy" in result["msg"]
    assert [repository["verdict"] for repository in result["repositories"]] == ["damaged", "unknown"]
    assert "Check repo2-cipher-type and repo2-cipher-pass" in result["msg"]


def test_wal_that_retention_removed_is_no_damage(run: Run, cluster: t.Any) -> None:
    """With repo1-retention-archive older backups keep only the WAL that they need to become consistent."""
    cluster.options = {**AT_ONCE, "repo1-retention-archive": "1"}
    cluster.protect()
    for _number in range(2):
        cluster.backup()
        for _inner in range(2):
            cluster.archive()
    cluster.pgbackrest("expire")
    result = run("verify", cluster.common)
    gaps = result["repositories"][0]["archives"][0]["gaps"]
    assert not result["failed"] and len(gaps) == 1 and gaps[0]["by_retention"], result
    assert "Retention has removed" in result["repositories"][0]["notes"][0]
    cluster.options = AT_ONCE
    cluster.write_config()
    assert codes(run("verify", cluster.common)) == ["wal_gap"]


def test_stanza_unknown_or_not_created(run: Run, cluster: t.Any) -> None:
    cluster.write_config()
    result = run("verify", {**cluster.common, "stanza": "mian"})
    assert result["failed"] and result["error"]["code"] == 37
    assert "Stanza mian is not in the configuration" in result["msg"]
    assert codes(run("verify", cluster.common)) == ["no_verdict"]
