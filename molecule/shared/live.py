# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tests of the scenarios ask the live hosts."""

from __future__ import annotations

import contextlib
import json
import os
import time
import typing as t

import testinfra

# Type of the fixture ``on``: the name of a host to the host.
On = t.Callable[[str], t.Any]

SCRATCH = "/var/lib/postgresql/scratch"
SCRATCH_PORT = 5999
# Long enough for a host that does two things at a time; a test that passes never waits for it.
PATIENCE = 120


def connect(name: str) -> t.Any:
    """The host of the scenario with that name in the inventory."""
    return testinfra.get_host(f"docker://{os.environ['MOLECULE_SCENARIO_NAME']}-{name}")


def as_postgres(host: t.Any, command: str, *arguments: str) -> str:
    """Output of a command that the user postgres runs."""
    return str(host.check_output(f"cd / && runuser -u postgres -- {command}", *arguments))


def query(host: t.Any, sql: str, *, port: int = 5432) -> str:
    """Rows of an SQL command, as psql writes them without any decoration."""
    return as_postgres(host, "psql -XAtq -v ON_ERROR_STOP=1 -p %s -c %s", str(port), sql)


def wait_for(condition: t.Callable[[], object], what: str) -> None:
    """Come back when ``condition`` is true."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"After {PATIENCE} s there is still not: {what}"
        time.sleep(0.3)


def rows(host: t.Any, *, port: int = 5432) -> str:
    """What tells whether two clusters hold the same data."""
    return query(host, "SELECT count(*), md5(string_agg(c::text, ',' ORDER BY id)) FROM customer AS c", port=port)


def add_rows(host: t.Any, number: int = 1000, *, port: int = 5432) -> str:
    """Commit rows that no backup holds yet. Returns the WAL segment that they end in, closed by a switch."""
    query(
        host,
        "INSERT INTO customer SELECT m + n, md5(random()::text)"
        f" FROM (SELECT max(id) AS m FROM customer) AS last, generate_series(1, {number}) AS n",
        port=port,
    )
    return query(host, "SELECT pg_walfile_name(pg_switch_wal())", port=port)


def archived(host: t.Any, segment: str, *, port: int = 5432) -> bool:
    """Whether PostgreSQL takes this segment for archived."""
    return query(host, "SELECT last_archived_wal FROM pg_stat_archiver", port=port)[-16:] >= segment[-16:]


def wait_until_archived(host: t.Any, segment: str, *, port: int = 5432) -> None:
    """Come back when PostgreSQL takes this segment for archived."""
    wait_for(lambda: archived(host, segment, port=port), f"archived WAL segment {segment}")


def stanza_info(host: t.Any, stanza: str = "main", *, user: str = "postgres") -> dict[str, t.Any]:
    """The stanza as ``pgbackrest info`` describes it."""
    command = f"cd / && runuser -u {user} -- pgbackrest --stanza=%s --output=json --log-level-console=off info"
    found = json.loads(host.check_output(command, stanza))
    assert len(found) == 1
    return t.cast("dict[str, t.Any]", found[0])


def backups(information: dict[str, t.Any], repository: int = 1) -> list[str]:
    """Labels of the backups in a repository, oldest first."""
    return [found["label"] for found in information["backup"] if found["database"]["repo-key"] == repository]


def newest_segment(information: dict[str, t.Any], repository: int = 1) -> str:
    """The newest WAL segment in a repository."""
    return str(next(a["max"] for a in information["archive"] if a["database"]["repo-key"] == repository))


def start_unit(host: t.Any, unit: str) -> str:
    """Run a oneshot service to its end and return what it said. A failed one fails the test."""
    cursor = host.check_output("journalctl -n 0 --show-cursor").rpartition("cursor: ")[2]
    result = host.run("systemctl start %s", unit)
    said = str(host.check_output("journalctl -o cat --unit %s --after-cursor %s", unit, cursor))
    assert result.rc == 0, said
    return said


@contextlib.contextmanager
def restored(host: t.Any, *, stanza: str = "main", repository: int = 1) -> t.Iterator[int]:
    """A cluster restored from one repository to the end of its WAL, beside the one it comes from. Gives its port."""
    version, cluster = query(host, "SHOW config_file").split("/")[3:5]
    settings = {
        "config_file": f"/etc/postgresql/{version}/{cluster}/postgresql.conf",
        "data_directory": SCRATCH,
        "port": str(SCRATCH_PORT),
        "archive_mode": "off",
        "external_pid_file": "",
        "cluster_name": "scratch",
    }
    options = " ".join(f"-c {name}={value!r}" for name, value in settings.items())
    control = f"/usr/lib/postgresql/{version}/bin/pg_ctl -D {SCRATCH} -l {SCRATCH}.log -w -t {PATIENCE}"
    as_postgres(
        host,
        f"pgbackrest --stanza=%s --repo=%s --pg1-path={SCRATCH} --archive-mode=off --log-level-console=warn restore",
        stanza,
        str(repository),
    )
    try:
        as_postgres(host, f"{control} -o %s start", options)
        wait_for(
            lambda: query(host, "SELECT pg_is_in_recovery()", port=SCRATCH_PORT) == "f",
            "a restored cluster out of recovery",
        )
        yield SCRATCH_PORT
    finally:
        host.run(f"cd / && runuser -u postgres -- {control} -m immediate stop")
        host.check_output(f"rm -r {SCRATCH}")
