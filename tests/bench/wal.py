# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Part ``wal``: how fast WAL goes to the archive under a bulk load, and how fast it comes back in a long replay."""

from __future__ import annotations

import time
import typing as t
from pathlib import Path

from ...plugins.module_utils._archive_command import Program, archive_command
from . import data, throwaway
from .backup import OWN, with_newest_pgbackrest
from .context import Context
from .measure import interleaved, median
from .pgbackrest import STANZA, PgBackRest
from .throwaway import Cluster

NAME = "wal"
PROGRAMS = {
    "postgresql": [f"{OWN.bindir}/postgres", "--version"],
    "pgbackrest": [OWN.executable, "version"],
}
SEGMENT = 16 * 1024 * 1024
STOCK = "synchronous, stock"
# Writes WAL until there is so much more of it, as one transaction.
LOAD = """DO $$ DECLARE start pg_lsn := pg_current_wal_insert_lsn(); BEGIN
WHILE pg_current_wal_insert_lsn() - start < {size} LOOP INSERT INTO sink SELECT * FROM documents_1; END LOOP; END $$"""


def run(context: Context) -> dict[str, t.Any]:
    """The ways to archive, then the knobs of the way that the defaults take."""
    segments = max(context.megabytes // 25, 8)
    few = max(segments // 5, 8)
    with throwaway.running(context.directory / "cluster", OWN, archive_mode="on", archive_command="true") as cluster:
        data.load(cluster, 50)
        cluster.sql("CREATE TABLE sink (LIKE documents_1)")
        tables = compare(context, cluster, enter(context, cluster), segments)
        if not context.smoke:
            tables += compare(context, cluster, knobs(context, cluster), few, "knobs-", "; one option changed")
    return {"notes": notes(segments, few), "tables": tables}


def compare(
    context: Context, cluster: Cluster, archives: dict[str, PgBackRest], segments: int, key: str = "", what: str = ""
) -> list[dict[str, t.Any]]:
    """Push first; what is in the archives then is fetched. The first one is what the others are compared with."""
    behind: dict[str, list[float]] = {name: [] for name in archives}
    context.say("archive-push:")
    works = {name: pushing(cluster, segments, behind[name]) for name in archives}
    pushed = interleaved(works, context.runs, lambda name: ready(cluster, archives[name]), context.say)
    fetched = replay(context, cluster, archives, segments)
    late = {
        "not archived when the load ended": {
            name: f"{median(found):.0f} of {segments}" for name, found in behind.items()
        }
    }
    return [
        table(f"{key}push", f"WAL archived under a bulk load{what}", pushed, late),
        table(f"{key}get", f"WAL fetched and replayed{what}", fetched, {}),
    ]


def enter(context: Context, cluster: Cluster) -> dict[str, PgBackRest]:
    """The configurations that compete."""
    top, synchronous = context.directory, {"archive-async": False}
    found = {
        STOCK: PgBackRest(top / "stock", OWN, cluster, tuned=False),
        "synchronous, else the defaults": PgBackRest(top / "sync", OWN, cluster, tuned=True, **synchronous),
        "asynchronous, the defaults": PgBackRest(top / "async", OWN, cluster, tuned=True),
    }
    newest = with_newest_pgbackrest(OWN)
    if newest and not context.smoke:
        version = ".".join(map(str, newest.pgbackrest_version))
        found[f"the same with pgBackRest {version}"] = PgBackRest(top / "newest", newest, cluster, tuned=True)
    return found


def knobs(context: Context, cluster: Cluster) -> dict[str, PgBackRest]:
    """The defaults, and the defaults with one thing changed, all with the newest pgBackRest."""
    programs = with_newest_pgbackrest(OWN) or OWN
    changed: dict[str, dict[str, t.Any]] = {"the defaults": {}, "process-max=2": {"process-max": 2}}
    changed["process-max=4"] = {"process-max": 4}
    if programs.pgbackrest_version >= (2, 59):
        # With one segment a run may take the file of a backup and leave the segment, and the backup fails.
        changed["archive-push-batch-size=32MiB"] = {"archive-push-batch-size": "32MiB"}
        changed["archive-push-batch-size=64MiB"] = {"archive-push-batch-size": "64MiB"}
    top = context.directory
    return {
        name: PgBackRest(top / f"knob{number}", programs, cluster, tuned=True, **options)
        for number, (name, options) in enumerate(changed.items())
    }


def notes(segments: int, few: int) -> list[str]:
    """How it was measured."""
    return [
        f"One transaction writes {segments} segments of WAL (16 MB each, rows with text; {few} for single options) as "
        "fast as it can, beside the archiver. The rate counts from its begin until the last segment is archived.",
        "`archive_command` is the one that the module `archiving` writes. pgBackRest itself is configured as in the "
        "comparison of backups.",
        "Replay: a cluster restored from a backup taken before replays these segments from the archive, from its start "
        "until it takes writes. Its rate has PostgreSQL's own work in it.",
    ]


def ready(cluster: Cluster, archive: PgBackRest) -> None:
    """An empty archive that all new WAL goes to, and a backup to replay from."""
    cluster.sql("ALTER SYSTEM SET archive_command = 'true'")
    cluster.sql("SELECT pg_reload_conf()")
    cluster.sql("TRUNCATE sink")
    drain(cluster)
    archive.begin()
    command = archive_command(Program(archive.executable, STANZA, config=str(archive.config)))
    cluster.sql(f"ALTER SYSTEM SET archive_command = '{command}'")
    cluster.sql("SELECT pg_reload_conf()")
    cluster.sql("CHECKPOINT")  # without start-fast a backup would wait for the next regular one
    archive.full()
    drain(cluster)


def pushing(cluster: Cluster, segments: int, behind: list[float]) -> t.Callable[[], float]:
    """Work that returns segments per second, and notes in ``behind`` how many were not archived when the load ended."""

    def push() -> float:
        start = time.perf_counter()
        cluster.sql(LOAD.format(size=segments * SEGMENT))
        behind.append(float(len(list((cluster.pgdata / "pg_wal/archive_status").glob("*.ready")))))
        drain(cluster)
        return segments / (time.perf_counter() - start)

    return push


def drain(cluster: Cluster) -> None:
    """Finish the segment and wait until it is archived."""
    last = cluster.sql("SELECT pg_walfile_name(pg_switch_wal()) FROM pg_logical_emit_message(true, '', '')")[0][0]
    done = cluster.pgdata / f"pg_wal/archive_status/{last}.done"
    # Asking the server so often would be work that is measured.
    throwaway.wait_until(done.exists, f"{last} is not archived.", cluster)


def replay(
    context: Context, cluster: Cluster, archives: dict[str, PgBackRest], segments: int
) -> dict[str, list[float]]:
    """Segments per second of each archive in recoveries."""
    places = {name: context.directory / f"replay{number}" for number, name in enumerate(archives)}
    restored: dict[str, Cluster] = {}

    def before(name: str) -> None:
        if name in restored:
            restored[name].stop("immediate")
        restored[name] = restore(cluster, archives[name], places[name])

    def work(name: str) -> t.Callable[[], float]:
        def recover() -> float:
            start = time.perf_counter()
            open_up(restored[name])
            return segments / (time.perf_counter() - start)

        return recover

    context.say("archive-get:")
    try:
        return interleaved({name: work(name) for name in archives}, context.runs, before, context.say)
    finally:
        for other in restored.values():
            other.stop("immediate")


def restore(cluster: Cluster, archive: PgBackRest, place: Path) -> Cluster:
    """A cluster restored beside the first one, not started, which will recover all WAL and archive none."""
    other = Cluster(throwaway.empty(place), cluster.programs, throwaway.free_port())
    place.chmod(0o755)
    archive.run(f"--pg1-path={throwaway.empty(other.pgdata)}", "--archive-mode=off", "restore")
    other.configure(port=str(other.port), unix_socket_directories=other.socket_dir)
    return other


def open_up(cluster: Cluster) -> None:
    """Start a restored cluster and wait until it takes writes."""
    cluster.start(wait=False)
    pid_file = cluster.pgdata / "postmaster.pid"
    throwaway.wait_until(lambda: is_ready(pid_file), "The recovery does not end.", cluster)


def is_ready(pid_file: Path) -> bool:
    """Whether the server says in its file that it takes writes."""
    lines = pid_file.read_text(encoding="utf-8").splitlines() if pid_file.exists() else []
    return len(lines) > 7 and lines[7].strip() == "ready"


def table(key: str, title: str, measured: dict[str, list[float]], beside: dict[str, t.Any]) -> dict[str, t.Any]:
    """A table of rates."""
    found = {"key": key, "title": title, "unit": "segments/s", "more": "rate", "baseline": next(iter(measured))}
    return {**found, "measured": measured, "beside": beside}
