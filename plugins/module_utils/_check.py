# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The proof that WAL reaches every repository. Private to the collection.

``run`` makes PostgreSQL finish a WAL segment; ``look`` says what can be told without that. Both return a dictionary
with ``msg``, ``duration`` (seconds, None from ``look``), ``repositories``, ``proven`` and ``not_proven``.
"""

from __future__ import annotations

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ._backup import counting_backups, useful_warnings
from ._cli import PgBackRest
from ._repository import Stanza, newest_backup, parse_info
from ._stanza import local_cluster, refuse_other_cluster, refuse_unready, require_repository

# The commands that need a right configuration for WAL to arrive and to be of use.
PARSED_FOR = ("check", "archive-push", "backup")
CONSISTENT = "Configuration, repositories and cluster belong together."
ARRIVED = "A new WAL segment reached every repository."


def read(pgbackrest: PgBackRest, known: Stanza | None = None) -> Stanza:
    """The stanza. Raises unless it can be read in every repository and belongs to the cluster on this host.

    ``known`` is what another part of the same task has just read.
    """
    stanza = known or parse_info(pgbackrest.info())[0]
    cluster = local_cluster(pgbackrest.settings("check"))
    for repository in stanza.repositories:
        require_repository(stanza, repository.key, "check")
        refuse_other_cluster(stanza, cluster, repository.key, "check")
    return stanza


def last_segments(stanza: Stanza) -> dict[int, tuple[str, str | None]]:
    """Name and last WAL segment of the present cluster's archive in each repository."""
    current = {repository.key: stanza.current_database(repository.key) for repository in stanza.repositories}
    return {
        archive.repo_key: (archive.id, archive.wal_max)
        for archive in stanza.archives
        if (database := current.get(archive.repo_key)) and database.id == archive.database_id
    }


def compare(before: Stanza, after: Stanza) -> list[dict[str, t.Any]]:
    """The archives before and after the check, each with the newest full backup beside it."""
    old = last_segments(before)
    full = {key: newest_backup(counting_backups(after, "full", key)) for key in last_segments(after)}
    return [
        {
            "repo_key": key,
            "archive_id": name,
            "wal_max_before": old.get(key, (name, None))[1],
            "wal_max_after": segment,
            "advanced": segment is not None and segment != old.get(key, (name, None))[1],
            "full_backup": backup.label if (backup := full[key]) else None,
        }
        for key, (name, segment) in sorted(last_segments(after).items())
    ]


def look(module: AnsibleModule, pgbackrest: PgBackRest) -> dict[str, t.Any]:
    """What can be said without a switch of the WAL."""
    stanza = read(pgbackrest)
    refuse_unready(pgbackrest, local_cluster(pgbackrest.settings("check")), "check")
    warnings = [text for name in PARSED_FOR for text in pgbackrest.run("help", arguments=[name]).warnings()]
    for text in useful_warnings(warnings):
        module.warn(f"pgBackRest: {text}")
    return {
        "msg": f"{CONSISTENT} Whether WAL arrives can only be told outside check mode.",
        "duration": None,
        "repositories": compare(stanza, stanza),
        "proven": [CONSISTENT],
        "not_proven": [
            "That PostgreSQL answers, and that its archive_mode and archive_command are right.",
            "That a WAL segment reaches every repository.",
        ],
    }


def run(
    module: AnsibleModule, pgbackrest: PgBackRest, timeout: int | None, retries: int, known: Stanza | None = None
) -> dict[str, t.Any]:
    """Run the check; returns what it has proven. ``timeout`` is in seconds. Raises PgBackRestError."""
    before = read(pgbackrest, known)
    # Before 2.5x the check does not see a stop file, and waits in vain for WAL that archive-push refuses to take.
    pgbackrest.refuse_stopped("check")
    began = time.monotonic()
    output = pgbackrest.run("check", {"archive_timeout": timeout}, retries=retries)
    duration = round(time.monotonic() - began, 1)
    for text in useful_warnings(output.warnings()):
        module.warn(f"pgBackRest: {text}")
    archives = compare(before, read(pgbackrest))
    arrived = bool(archives) and all(archive["advanced"] for archive in archives)
    ends = ", ".join(f"repository {a['repo_key']} now ends with {a['wal_max_after']}" for a in archives)
    standby = "No new WAL segment was sent: pgBackRest cannot do that on a standby. Run the check on the primary too."
    return {
        "msg": f"WAL reached every repository in {duration} s: {ends}." if arrived else f"{CONSISTENT} {standby}",
        "duration": duration,
        "repositories": archives,
        "proven": [CONSISTENT, *([ARRIVED] if arrived else [])],
        "not_proven": [] if arrived else [standby],
    }
