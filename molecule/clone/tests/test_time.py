# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long a clone takes, beside a bare restore of the same backup to the same target, until it takes writes.

PGOPS_CLONE_MB=2000 makes it 2 GB, PGOPS_CLONE_ROUNDS=3 measures three times, one after another in turns.
"""

from __future__ import annotations

import os
import time
import typing as t
from statistics import median

import playbook
import pytest
from cloning import DIRECTORY, REPOSITORY, make, remove
from live import as_postgres, query, wait_for

pytestmark = pytest.mark.timeout(1500)
BARE, BARE_PORT = "/var/lib/postgresql/bare", 6600
COUNT = "SELECT count(*) FROM pgbench_accounts"
# What the play costs beside the work on the host, on a host that does other things as well.
FIXED = 40
ROUNDS = int(os.environ.get("PGOPS_CLONE_ROUNDS", "1"))


def timed(work: t.Callable[[], object]) -> float:
    """Seconds of some work."""
    began = time.monotonic()
    work()
    return time.monotonic() - began


def configure_bare(host: t.Any) -> None:
    """Give the bare restore the configuration of the clone, with another place."""
    own = f"s,{DIRECTORY}/timed/data,{BARE}/data,; s,{DIRECTORY}/timed,{BARE},"
    as_postgres(host, f"mkdir -p {BARE}/pgbackrest/log {BARE}/pgbackrest/lock {BARE}/pgbackrest/spool")
    as_postgres(host, "sh -c %s", f"sed '{own}' {DIRECTORY}/timed/pgbackrest.conf >{BARE}/pgbackrest.conf")


def bare(host: t.Any, *options: str) -> tuple[float, float]:
    """Seconds of pgbackrest restore, and from there until the cluster takes writes."""
    warm(host)
    program = f"pgbackrest --config={BARE}/pgbackrest.conf --stanza=main --archive-mode=off --log-level-console=off"
    restored = timed(lambda: as_postgres(host, " ".join([program, *options, "restore"])))
    server = f"-p {BARE_PORT} -c unix_socket_directories=/tmp -c archive_mode=off -c listen_addresses="
    as_postgres(host, f"touch {BARE}/data/postgresql.conf {BARE}/data/pg_ident.conf")
    as_postgres(host, f"tee {BARE}/data/pg_hba.conf <<'END'\nlocal all all peer\nEND")
    control = f"/usr/lib/postgresql/15/bin/pg_ctl -D {BARE}/data -l {BARE}/server.log -w -t 300"

    def start() -> None:
        as_postgres(host, f"{control} -o %s start", server)
        ask = f"cd / && runuser -u postgres -- psql -h /tmp -p {BARE_PORT} -XAtc 'SELECT pg_is_in_recovery()'"
        wait_for(lambda: host.run(ask).stdout.strip() == "f", "a cluster that takes writes")

    started = timed(start)
    as_postgres(host, f"{control} -m fast stop")
    host.check_output(f"rm -rf {BARE}/data")
    return restored, started


def warm(host: t.Any) -> None:
    """Have the repository in memory, as far as it fits, for whoever reads it next."""
    host.check_output(f"find {REPOSITORY}/backup -type f -exec cat {{}} + >/dev/null && sync")


def timed_clone(host: t.Any) -> dict[str, float]:
    """Seconds of a clone by phase, and of the whole play as ``wall``."""
    warm(host)
    result: dict[str, t.Any] = {}
    wall = timed(lambda: result.update(make("timed")))
    assert int(query(host, COUNT, port=result["port"])) > 0
    return {**result["seconds"], "wall": wall}


def test_time_of_a_clone(ci1: t.Any, capsys: pytest.CaptureFixture[str]) -> None:
    port = make("timed")["port"]  # for its configuration, and to have all files of the play in memory
    size = query(ci1, "SELECT pg_size_pretty(sum(pg_database_size(datname))) FROM pg_database", port=port)
    configure_bare(ci1)
    stock, ours, clones = [], [], []
    for _round in range(ROUNDS):
        remove("timed")
        stock.append(bare(ci1, "--process-max=1"))
        ours.append(bare(ci1))
        clones.append(timed_clone(ci1))
    remove("timed")
    clone = {name: median(run.get(name, 0) for run in clones) for name in clones[0]}
    phases = ", ".join(f"{name} {clone[name]:.1f}" for name in clone if name not in ("total", "wall"))
    table = [
        f"| {size} of databases, {'one run' if ROUNDS == 1 else f'median of {ROUNDS}'} | seconds | clone ÷ this |",
        "|---|---|---|",
        row("bare restore and start, pgBackRest's defaults", median(map(sum, stock)), clone, parts_of(stock)),
        row("bare restore and start, the clone's settings", median(map(sum, ours)), clone, parts_of(ours)),
        row("clone ready to query, from the role's first task", clone["total"], clone, phases),
        row("clone, the whole play with the start of Ansible", clone["wall"], clone, ""),
    ]
    with open(playbook.ephemeral("time.md"), "w", encoding="utf-8") as file:
        file.write("\n".join(table) + "\n")
    with capsys.disabled():
        print("\n" + "\n".join(table))
    assert clone["wall"] <= 1.3 * median(map(sum, stock)) + FIXED


def parts_of(runs: t.Sequence[tuple[float, float]]) -> str:
    """Restore and start."""
    return " + ".join(f"{median(part):.1f}" for part in zip(*runs))


def row(what: str, seconds: float, clone: t.Mapping[str, float], parts: str) -> str:
    """A line of the table."""
    return f"| {what}{f' ({parts})' if parts else ''} | {seconds:.1f} | {clone['total'] / seconds:.2f} |"
