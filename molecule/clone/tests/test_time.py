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
COUNT = "SELECT count(*) FROM pgbench_accounts"
# What the play costs beside the work on the host, on a host that does other things as well.
FIXED = 40


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


def test_time_of_a_clone(ci1: t.Any, capsys: pytest.CaptureFixture[str]) -> None:
    make("timed")  # for its configuration, and to have all files of the play in memory
    configure_bare(ci1)
    remove("timed")
    ours, stock = bare(ci1), bare(ci1, "--process-max=1")
    result: dict[str, t.Any] = {}
    warm(ci1)
    wall = timed(lambda: result.update(make("timed")))
    size = query(ci1, "SELECT pg_size_pretty(sum(pg_database_size(datname))) FROM pg_database", port=result["port"])
    assert int(query(ci1, COUNT, port=result["port"])) > 0
    remove("timed")
    seconds, total = result["seconds"], result["seconds"]["total"]
    phases = ", ".join(f"{name} {value:.1f}" for name, value in seconds.items() if name != "total")
    table = [
        f"| {size} of databases | seconds | clone ÷ this |",
        "|---|---|---|",
        row("bare restore and start, pgBackRest's defaults", sum(stock), total, f"{stock[0]:.1f} + {stock[1]:.1f}"),
        row("bare restore and start, the clone's settings", sum(ours), total, f"{ours[0]:.1f} + {ours[1]:.1f}"),
        row("clone ready to query, from the role's first task", total, total, phases),
        row("clone, the whole play with the start of Ansible", wall, total, ""),
    ]
    with open(playbook.ephemeral("time.md"), "w", encoding="utf-8") as file:
        file.write("\n".join(table) + "\n")
    with capsys.disabled():
        print("\n" + "\n".join(table))
    assert wall <= 1.3 * sum(stock) + FIXED


def row(what: str, seconds: float, total: float, parts: str) -> str:
    """A line of the table."""
    return f"| {what}{f' ({parts})' if parts else ''} | {seconds:.1f} | {total / seconds:.2f} |"
