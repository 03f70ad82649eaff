# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long a clone takes, beside a bare restore and start of the same backup. PGOPS_CLONE_MB=2000 makes it 2 GB."""

from __future__ import annotations

import time
import typing as t

import playbook
import pytest
from cloning import DIRECTORY, REPOSITORY, make, remove
from live import as_postgres, query, wait_for

pytestmark = pytest.mark.timeout(1500)
BARE, BARE_PORT = "/var/lib/postgresql/bare", 6600
COUNT = "SELECT count(*), sum(abalance) FROM pgbench_accounts"
# What the play costs beside the work on the host, on a host that does other things as well.
FIXED = 40


def timed(work: t.Callable[[], object]) -> float:
    """Seconds of some work."""
    began = time.monotonic()
    work()
    return time.monotonic() - began


def bare_restore(host: t.Any) -> tuple[float, float]:
    """Seconds of pgbackrest restore, and from there until the cluster takes writes. With the clone's configuration."""
    own = f"s,{DIRECTORY}/timed/data,{BARE}/data,; s,{DIRECTORY}/timed,{BARE},"
    as_postgres(host, f"mkdir -p {BARE}/log {BARE}/lock {BARE}/spool")
    as_postgres(host, "sh -c %s", f"sed '{own}' {DIRECTORY}/timed/pgbackrest.conf >{BARE}/pgbackrest.conf")
    # The repository is read from memory by both, or from disk by both.
    host.check_output(f"find {REPOSITORY}/backup -type f -exec cat {{}} + >/dev/null")
    program = f"pgbackrest --config={BARE}/pgbackrest.conf --stanza=main --archive-mode=off --log-level-console=off"
    restored = timed(lambda: as_postgres(host, f"{program} restore"))
    options = f"-p {BARE_PORT} -c unix_socket_directories=/tmp -c archive_mode=off -c listen_addresses="
    as_postgres(host, f"touch {BARE}/data/postgresql.conf {BARE}/data/pg_ident.conf")
    as_postgres(host, f"tee {BARE}/data/pg_hba.conf <<'END'\nlocal all all peer\nEND")

    def start() -> None:
        as_postgres(
            host,
            f"/usr/lib/postgresql/15/bin/pg_ctl -D {BARE}/data -l {BARE}/log/server -w -t 300 -o %s start",
            options,
        )
        ask = f"cd / && runuser -u postgres -- psql -h /tmp -p {BARE_PORT} -XAtc 'SELECT pg_is_in_recovery()'"
        wait_for(lambda: host.run(ask).stdout.strip() == "f", "a cluster that takes writes")

    return restored, timed(start)


def test_time_of_a_clone(ci1: t.Any, capsys: pytest.CaptureFixture[str]) -> None:
    make("timed")  # for its configuration, and to have all files of the play in memory
    restored, started = bare_restore(ci1)
    as_postgres(ci1, f"/usr/lib/postgresql/15/bin/pg_ctl -D {BARE}/data -m fast stop")
    remove("timed")
    ci1.check_output(f"rm -rf {BARE}; find {REPOSITORY}/backup -type f -exec cat {{}} + >/dev/null")
    result: dict[str, t.Any] = {}
    wall = timed(lambda: result.update(make("timed")))
    size = query(ci1, "SELECT pg_size_pretty(sum(pg_database_size(datname))) FROM pg_database", port=result["port"])
    assert query(ci1, COUNT, port=result["port"]).partition("|")[0] != "0"
    remove("timed")
    bare, seconds = restored + started, result["seconds"]
    table = [
        "| what | seconds |",
        "|---|---|",
        f"| size of the databases | {size} |",
        f"| bare: pgbackrest restore | {restored:.1f} |",
        f"| bare: start until it takes writes | {started:.1f} |",
        f"| bare in all | {bare:.1f} |",
        *(f"| clone: {name} | {value:.1f} |" for name, value in seconds.items() if name != "total"),
        f"| clone in all, from the first task of the role on | {seconds['total']:.1f} |",
        f"| the whole play, with the start of Ansible | {wall:.1f} |",
        f"| ratio of the role to the bare one | {seconds['total'] / bare:.2f} |",
        f"| ratio of the whole play to the bare one | {wall / bare:.2f} |",
    ]
    with open(playbook.ephemeral("time.md"), "w", encoding="utf-8") as file:
        file.write("\n".join(table) + "\n")
    with capsys.disabled():
        print("\n" + "\n".join(table))
    assert wall <= 1.3 * bare + FIXED
