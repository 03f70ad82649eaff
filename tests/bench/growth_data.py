# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Repositories that look as after years, made in a minute: a long archive, and many backups.

Both begin as real ones. An archive grows by empty files with the names of segments between a real backup and real WAL,
which nothing reads: a plan reads the names of all and the content of the newest. The backups are entries of the file
backup.info, which is all that pgBackRest's info reads of them; it checks the file's checksum, so that is made, too.
"""

from __future__ import annotations

import configparser
import hashlib
import json
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from .throwaway import Cluster, checked, own

SEGMENTS_IN_A_LOG = 256  # of 16 MiB
_CHECKSUM = "b" * 40
_INCREMENTAL_AFTER_FULL = 6  # a full backup a week, an incremental one each other day
_COPIES = ("backup.info", "backup.info.copy")


def lengthen(cluster: Cluster, last: int) -> str:
    """Let the WAL of a stopped cluster go on at segment ``last``, archive it, and fill the archive up to there.

    Returns a target time right before the newest commit. The cluster is stopped again.
    """
    before = newest(cluster)
    checked([f"{cluster.bindir}/pg_resetwal", f"--next-wal-file={name(last)}", "-D", str(cluster.pgdata)])
    cluster.start()
    cluster.sql("CREATE TABLE IF NOT EXISTS grown (v int)")
    cluster.sql("INSERT INTO grown VALUES (1)")
    target = cluster.sql("SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00')")[0][0]
    time.sleep(0.05)  # the next commit is to be later than the target
    cluster.sql("INSERT INTO grown VALUES (2)")
    cluster.archive()
    cluster.stop()
    fill(archive(cluster), before + 1, last)
    return target


def newest(cluster: Cluster) -> int:
    """Number of the last archived segment."""
    found = cluster.info()["archive"][-1]["max"]
    return int(found[8:16], 16) * SEGMENTS_IN_A_LOG + int(found[16:], 16)


def archive(cluster: Cluster) -> Path:
    """The directory of the archive."""
    return cluster.repo / "archive" / cluster.stanza / str(cluster.info()["archive"][-1]["id"])


def fill(directory: Path, first: int, end: int) -> None:
    """Empty files for the segments of timeline 1 from ``first`` up to and without ``end`` that are not there."""
    for log in range(first // SEGMENTS_IN_A_LOG, (end - 1) // SEGMENTS_IN_A_LOG + 1):
        below = directory / f"00000001{log:08X}"
        if not below.exists():
            below.mkdir(mode=0o750)
            own(below)
        numbers = range(max(first, log * SEGMENTS_IN_A_LOG), min(end, (log + 1) * SEGMENTS_IN_A_LOG))
        there = {path[:24] for path in os.listdir(below)}
        opened = os.open(below, os.O_RDONLY)
        for segment in (name(number) for number in numbers if name(number) not in there):
            os.close(os.open(f"{segment}-{_CHECKSUM}.zst", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=opened))
        os.close(opened)


def name(number: int) -> str:
    """Name of a segment of timeline 1.

    >>> name(257)
    '000000010000000100000001'
    """
    return f"00000001{number // SEGMENTS_IN_A_LOG:08X}{number % SEGMENTS_IN_A_LOG:08X}"


def multiply(cluster: Cluster, count: int) -> None:
    """Let the stanza have so many backups: its real one, and before it copies of that, a day between them."""
    directory = cluster.repo / "backup" / cluster.stanza
    text = (directory / _COPIES[0]).read_text(encoding="utf-8")
    for copy in _COPIES:
        (directory / copy).write_text(with_backups(text, count), encoding="utf-8")


def with_backups(text: str, count: int) -> str:
    """The file backup.info with so many backups; the newest one stays as it is."""
    sections = _sections(text)
    label, entry = list(sections["backup:current"].items())[-1]
    sections["backup:current"] = {**_older(json.loads(entry), count - 1), label: entry}
    sections["backrest"].pop("backrest-checksum")
    sections["backrest"]["backrest-checksum"] = json.dumps(checksum(sections))
    blocks = (
        "\n".join([f"[{section}]", *(f"{key}={value}" for key, value in values.items()), ""])
        for section, values in sections.items()
    )
    return "\n".join(blocks)


def checksum(sections: dict[str, dict[str, str]]) -> str:
    """What pgBackRest computes over an info file: over its sections as JSON, without the checksum itself."""
    parts = (
        f'"{section}":{{{",".join(f"{json.dumps(key)}:{value}" for key, value in values.items())}}}'
        for section, values in sections.items()
    )
    return hashlib.sha1(f"{{{','.join(parts)}}}".encode(), usedforsecurity=False).hexdigest()


def _sections(text: str) -> dict[str, dict[str, str]]:
    parser = configparser.RawConfigParser(delimiters=("=",), comment_prefixes=(), strict=False)
    # Names are kept as they are written. Assigning it is what configparser documents; its types forbid it.
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    return {section: dict(parser.items(section)) for section in parser.sections()}


def _older(model: dict[str, object], count: int) -> dict[str, str]:
    """Entries of older backups, by label, oldest first."""
    stop = datetime.fromtimestamp(int(str(model["backup-timestamp-stop"])), UTC)
    found: dict[str, str] = {}
    chain: list[str] = []
    for number in range(count, 0, -1):
        begin = stop - timedelta(days=number)
        if not chain or len(chain) > _INCREMENTAL_AFTER_FULL:
            chain = []
        label = f"{chain[0]}_{begin:%Y%m%d-%H%M%S}I" if chain else f"{begin:%Y%m%d-%H%M%S}F"
        entry = {
            **model,
            "backup-timestamp-start": int(begin.timestamp()),
            "backup-timestamp-stop": int(begin.timestamp()) + 60,
            "backup-type": "incr" if chain else "full",
        }
        if chain:
            entry.update({"backup-prior": chain[-1], "backup-reference": list(chain)})
        found[label] = json.dumps(dict(sorted(entry.items())), separators=(",", ":"))
        chain.append(label)
    return found
