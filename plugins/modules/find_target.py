#!/usr/bin/python
# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: find_target
short_description: Find in the archived WAL what dropped or truncated tables, and the target to restore to before it
description:
  - Lists the commits of a time range that dropped or truncated permanent relations (tables, materialized views,
    sequences, with their indexes and TOAST tables) or a database. Each comes with time, transaction ID, place in the
    WAL, database, files, and with the target for M(pgops.pgbackrest.restore) that is just before it.
  - It reads the WAL of the archive, and what this host still has of it, with C(pg_waldump). PostgreSQL may run, be
    stopped, or its data directory be gone.
  - Rewrites (C(VACUUM FULL), C(CLUSTER), C(REINDEX), C(REFRESH MATERIALIZED VIEW), C(ALTER TABLE) with a new type or
    tablespace), temporary tables, rolled back transactions and tables that the same transaction had made are told apart
    and not listed. What cannot be told for certain has the kind V(unknown) with a reason.
  - Unlogged tables are listed like others, although no restore brings their rows back.
  - WAL has no names, only the numbers of files. A name is told only where it is certain, and RV(candidates[].relations)
    says where it is from.
version_added: 0.1.0
author: ["pgops contributors (@pgops)"]
extends_documentation_fragment:
  - pgops.pgbackrest._attributes.INFO
  - pgops.pgbackrest._pgbackrest
  - pgops.pgbackrest._pgbackrest.STANZA
  - pgops.pgbackrest._pgbackrest.PROGRESS
  - pgops.pgbackrest._postgresql
attributes:
  platform:
    platforms: posix
    description: Runs on the database host. Needs C(pg_waldump) of PostgreSQL 13 to 18, of the cluster's major version.
options:
  from:
    description:
      - Beginning of the time range, with its offset from UTC, such as V(2026-11-23 02:00:00+00:00).
      - WAL that was archived more than ten minutes earlier is not looked at, but for transactions that began there.
    type: str
    required: true
  until:
    description: End of the time range, with its offset from UTC. Without it this is now.
    type: str
  repo:
    description: Number of the repository. Without it this is the one with the lowest number that can be read.
    type: int
  timeline:
    description:
      - Look at this timeline and those it came from only. Without it all timelines are looked at.
    type: int
  database:
    description: Name or OID of a database. Only what happened in it, or to it, is listed.
    type: str
  filenode:
    description: Number of a file. Only commits that removed it are listed.
    type: int
  xid:
    description: ID of a transaction or subtransaction. Only it is listed.
    type: int
  relations:
    description: The least number of relations that a commit dropped or truncated.
    type: int
    default: 1
  kinds:
    description:
      - What to list. V(drop_index) is a commit that dropped nothing but indexes, such as
        C(REINDEX CONCURRENTLY); no row is lost by it.
    type: list
    elements: str
    choices: [drop, truncate, drop_database, drop_index, unknown]
    default: [drop, truncate, drop_database, unknown]
  names:
    description:
      - Log in to a running server of this cluster (O(login_host) and so on) and take names from it.
      - A server in recovery that has not come to the commit yet, such as a delayed standby or a copy paused before it,
        knows the names of all relations. The primary knows the present names of truncated tables.
      - When the login fails this is a warning, and the search goes on without.
      - Without it only databases get a name, from the list in the newest backup before the commit.
    type: bool
    default: false
  bindir:
    description:
      - Directory of PostgreSQL's programs. Without it they are looked for in C(/usr/lib/postgresql/VERSION/bin),
        C(/usr/pgsql-VERSION/bin) and the path.
    type: path
seealso:
  - module: pgops.pgbackrest.restore
"""

EXAMPLES = r"""
---
- name: Look for what was dropped last night
  pgops.pgbackrest.find_target:
    stanza: main
    from: "2026-11-23 01:30:00+00:00"
    until: "2026-11-23 03:00:00+00:00"
  become: true
  become_user: postgres
  register: result

- name: Show the commits to choose from
  ansible.builtin.debug:
    var: result.text

- name: Restore to just before the only one
  pgops.pgbackrest.restore:
    stanza: main
    swap: true
    type: "{{ result.candidates[0].restore.type }}"
    target: "{{ result.candidates[0].restore.target }}"
    target_exclusive: "{{ result.candidates[0].restore.target_exclusive }}"
    target_timeline: "{{ result.candidates[0].restore.target_timeline }}"
    target_action: promote
  become: true
  become_user: postgres
  when: result.candidates | length == 1
"""

RETURN = r"""
candidates:
  description: The commits found, oldest first.
  type: list
  elements: dict
  returned: success
  contains:
    xid:
      description: ID of the transaction.
      type: int
      returned: success
      sample: 744
    time:
      description: When it was committed, in UTC.
      type: str
      returned: success
      sample: "2026-11-23 02:14:07.008644+00:00"
    lsn:
      description: Where its commit record begins.
      type: str
      returned: success
      sample: 0/200EBD8
    timeline:
      description: Timeline on which it was committed.
      type: int
      returned: success
      sample: 1
    kind:
      description: V(drop), V(truncate), V(drop_database), V(drop_index) or V(unknown).
      type: str
      returned: success
      sample: drop
    kinds:
      description: All that it did, the gravest first.
      type: list
      elements: str
      returned: success
      sample: [drop]
    database:
      description: The database, with its name and where that is from. Both are V(null) where it is not known.
      type: dict
      returned: success
      sample: {oid: 16384, name: app, name_from: backup 20261122-205937F}
    relations:
      description:
        - The files that went with the commit, each of one relation. RV(candidates[].reason) says so when some of them
          belong to relations that only have a new file. Empty for a database.
        - The C(type) is known with the name and is V(table), V(materialized view), V(sequence), V(index) or
          V(TOAST table).
      type: list
      elements: dict
      returned: success
      sample: [{file: base/16384/16388, name: null, name_from: null, type: null}]
    count:
      description: How many relations were dropped, or truncated, at least. V(0) for a database.
      type: int
      returned: success
      sample: 1
    reason:
      description: Why the kind is unknown, or what else there is to know. V(null) for a plain case.
      type: str
      returned: success
      sample: null
    restore:
      description:
        - Options of M(pgops.pgbackrest.restore) that lead to just before the commit. Before the end of a database they
          lead to where PostgreSQL began to remove it.
      type: dict
      returned: success
      sample: {type: lsn, target: 0/200EBD8, target_exclusive: true, target_timeline: "1"}
    text:
      description: The same in a line of at most 110 characters.
      type: str
      returned: success
      sample: "2026-11-23 02:14:07+00:00  xid 744  dropped 1 relation in database app: files 16388"
text:
  description:
    - The line of each candidate, and one that says what was looked at. Where the range begins before the oldest backup,
      two more say so.
  type: list
  elements: str
  returned: success
  sample:
    - "2026-11-23 02:14:07+00:00  xid 744  dropped 1 relation in database app: files 16388"
    - "One commit found; 51230 commits in 25 segments looked at, 2 rewrites and the like left out."
scanned:
  description:
    - What was looked at. V(first) and V(last) are V(null) when there was no WAL in the time range.
    - RV(ignore:skipped) commits removed files but lost nothing, such as rewrites.
  type: dict
  returned: success
  sample:
    first: "000000010000000000000012"
    last: "00000001000000000000002A"
    segments: 25
    commits: 51230
    bytes: 419430400
    skipped: 2
repo_key:
  description: Number of the repository.
  type: int
  returned: success
  sample: 1
error:
  description: pgBackRest's error with its code, name, message, hint, command and the next step.
  type: dict
  returned: when pgBackRest failed
  sample:
    code: 55
    name: file-missing
    message: unable to open missing file '/etc/pgbackrest.conf' for read
    hint: null
    command: repo-ls
    next_step: "Write it with the module pgops.pgbackrest.config, or correct the option config."
"""

import typing as t
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timezone

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._cli import COMMON_ARGUMENTS, COMMON_EXCLUSIONS, PgBackRest
from ..module_utils._drop_names import BackupNames, ServerNames, pg_class_files
from ..module_utils._drop_report import candidate, reach, summary
from ..module_utils._drop_search import (
    Find,
    Scanned,
    Wal,
    examine,
    find_commits,
    keep,
    may_match,
    pg_class_by_database,
    read_wal,
)
from ..module_utils._drops import DEFAULT_KINDS, KINDS
from ..module_utils._handover import hand_over_long_work
from ..module_utils._messages import PgBackRestError
from ..module_utils._programs import find_programs
from ..module_utils._progress import Progress
from ..module_utils._repository import Archive, Database, Stanza, find_stanza, parse_info
from ..module_utils._sql import LOGIN_ARGUMENTS, DatabaseError
from ..module_utils._target import parse_time
from ..module_utils._wal_reader import WalError, WalReader

ARGUMENTS: dict[str, dict[str, t.Any]] = {
    **COMMON_ARGUMENTS,
    **LOGIN_ARGUMENTS,
    "stanza": {"type": "str", "required": True},
    "from": {"type": "str", "required": True},
    "until": {"type": "str"},
    "repo": {"type": "int"},
    "timeline": {"type": "int"},
    "database": {"type": "str"},
    "filenode": {"type": "int"},
    "xid": {"type": "int"},
    "relations": {"type": "int", "default": 1},
    "kinds": {"type": "list", "elements": "str", "choices": list(KINDS), "default": list(DEFAULT_KINDS)},
    "names": {"type": "bool", "default": False},
    "bindir": {"type": "path"},
    "progress_file": {"type": "path"},
}
VERSIONS = range(13, 19)  # whose records are understood
READABLE = (0, 2)  # status of a repository: ok, or without a backup


@dataclass(frozen=True)
class Place:
    """Where the WAL is: the repository, its cluster, and the archive of that."""

    repo: int
    database: Database
    archive: Archive


def time_range(params: t.Mapping[str, t.Any]) -> tuple[datetime, datetime]:
    """Beginning and end in UTC. Raises ValueError."""
    begin = parse_time(params["from"]).astimezone(timezone.utc)
    until = parse_time(params["until"]).astimezone(timezone.utc) if params["until"] else datetime.now(timezone.utc)
    if until < begin:
        end = f"ends ({until})" if params["until"] else f"ends now ({until:%Y-%m-%d %H:%M:%S}+00:00)"
        raise ValueError(f"The time range {end} before it begins ({begin}). Check the offsets from UTC.")
    return begin, until


def find_place(stanza: Stanza, repo: int | None) -> Place:
    """The archive to read. Raises WalError."""
    usable = [each.key for each in stanza.repositories if each.status_code in READABLE and repo in (None, each.key)]
    database = stanza.current_database(usable[0]) if usable else None
    if database is None:
        reasons = [each.problem() for each in stanza.repositories if repo in (None, each.key)]
        raise WalError(" ".join([f"No repository of stanza {stanza.name} can be read.", *reasons]))
    return Place(usable[0], database, stanza.archive_of(database))


def waldump_directory(database: Database, bindir: str | None) -> str:
    """Directory of a pg_waldump that understands this WAL. Raises WalError."""
    major = int(database.version.split(".")[0])
    if major not in VERSIONS:
        raise WalError(f"find_target understands the WAL of PostgreSQL 13 to 18, not of {database.version}.")
    programs = find_programs(major, bindir)
    if not programs.pg_waldump or programs.bindir is None:
        found = f" {programs.other}." if programs.other else ""
        raise WalError(
            f"pg_waldump of PostgreSQL {major} is not on this host.{found} Install PostgreSQL's server package of this "
            "version (Debian package postgresql-VERSION), or name its directory in the option bindir."
        )
    return programs.bindir


class Names:
    """All sources of names for one run."""

    def __init__(self, backups: BackupNames, server: ServerNames | None) -> None:
        self._backups = backups
        self._server = server

    def oid(self, database: str | None) -> int | None:
        """OID of a database that the user named. Raises WalError."""
        if database is None or database.isdigit():
            return int(database) if database else None
        oid = self._server.oid(database) if self._server else None
        oid = self._backups.oid(database) if oid is None else oid
        if oid is None:
            raise WalError(
                f"Nobody knows a database {database}: neither a backup of that time nor, with names: true, the running "
                "server. Give its OID in the option database."
            )
        return oid

    def entry(self, find: Find) -> dict[str, t.Any]:
        """A find as result."""
        known = self._server.database(find.database) if self._server else None
        known = known or self._backups.name(find.database, find.end.commit.time.timestamp())
        return candidate(find, known, self._server.relations(find) if self._server else {})


def log_in(module: AnsibleModule, system_id: int, wal: Wal, resources: ExitStack) -> ServerNames | None:
    """The running server as a source of names. The search is worth something without them, so a failure only warns."""
    try:
        server = ServerNames(module, system_id, wal.histories)
    except DatabaseError as error:
        module.warn(f"No names of relations: {error}")
        return None
    resources.callback(server.close)
    return server


def search(
    params: t.Mapping[str, t.Any], reader: WalReader, wal: Wal, database: int | None, pgdata: str
) -> tuple[list[Find], Scanned]:
    """What was lost in the time range, as far as the options ask for it, and what was looked at."""
    begin, until = time_range(params)
    progress = Progress(params["progress_file"])

    def report(done: int, total: int, unit: str) -> None:
        progress.report(100 * done / total if total else None, done, total, unit)

    try:
        commits, scanned = find_commits(reader, wal, begin, until, report)
        wanted = [each for each in commits if may_match(each[1], database, params["filenode"], params["xid"])]
        known = pg_class_by_database(pg_class_files(pgdata))
        finds, scanned.skipped = examine(reader, wal, wanted, known, report)
    finally:
        progress.end()
    return keep(finds, params["kinds"], database, params["relations"]), scanned


def run(module: AnsibleModule) -> dict[str, t.Any]:
    """Find what the parameters ask for; returns the result."""
    params = module.params
    begin = time_range(params)[0].timestamp()
    backrest = PgBackRest(module, params["stanza"])
    backrest.require_version()
    backrest.require_stanza("archive-get")
    backrest.refuse_foreign_root("archive-get")
    stanza = find_stanza(parse_info(backrest.info(repo=params["repo"])), params["stanza"])
    if stanza is None:
        raise WalError(f"pgBackRest knows no stanza {params['stanza']}.")
    place = find_place(stanza, params["repo"])
    bindir = waldump_directory(place.database, params["bindir"])
    pgdata = backrest.setting("pg1-path", "archive-get")[0]
    source = (params["stanza"], place.archive, place.database.system_id, place.database.version)
    with ExitStack() as resources:
        reader = resources.enter_context(WalReader(backrest, *source, pgdata, bindir, f"{pgdata}.restore"))
        wal = read_wal(reader, params["timeline"])
        server = log_in(module, place.database.system_id, wal, resources) if params["names"] else None
        backups = stanza.usable_backups(place.repo)
        names = Names(BackupNames(backrest, stanza.name, backups, begin), server)
        finds, scanned = search(params, reader, wal, names.oid(params["database"]), pgdata)
        candidates = [names.entry(find) for find in sorted(finds, key=lambda find: find.end.commit.time)]
    looked = scanned.to_dict(wal.size)
    limits = reach(place.repo, min((backup.stop for backup in backups), default=None), begin, looked["first"])
    return {
        "changed": False,
        "candidates": candidates,
        "text": [*summary(candidates, looked), *limits],
        "scanned": looked,
        "repo_key": place.repo,
    }


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, mutually_exclusive=COMMON_EXCLUSIONS, supports_check_mode=True)
    hand_over_long_work(module)
    try:
        module.exit_json(**run(module))
    except (ValueError, WalError, DatabaseError) as error:
        module.fail_json(msg=str(error))
    except PgBackRestError as error:
        module.fail_json(**error.result())


if __name__ == "__main__":
    main()
