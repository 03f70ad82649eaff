# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a stanza needs: nothing, creating, upgrading, or a person who looks at it. Private to the collection."""

from __future__ import annotations

import re
import typing as t
from dataclasses import asdict, dataclass

from ._cli import PgBackRest
from ._cluster import ClusterError, postmaster, read_control_data
from ._messages import PgBackRestError
from ._repository import MISSING_STANZA, NO_BACKUP, OK, Repository, Stanza

# Repository states from which one can tell what is in it.
_READABLE = (OK, NO_BACKUP, *MISSING_STANZA)


@dataclass(frozen=True)
class Identity:
    """Which cluster it is. ``path`` is its data directory when that lies on this host."""

    system_id: int
    version: str
    path: str | None = None


def local_cluster(settings: t.Mapping[str, list[str]]) -> Identity | None:
    """The stanza's cluster on this host, by its control file; None when it lies on other hosts only."""
    for option in sorted(settings, key=_index):
        match = re.match(r"(pg\d+)-path$", option)
        if match and f"{match.group(1)}-host" not in settings:
            path = settings[option][0]
            try:
                control = read_control_data(path)
            except ClusterError as error:
                raise PgBackRestError(
                    str(error), next_step=f"Check {option} in the configuration, and which user runs the task."
                ) from None
            return Identity(control.system_identifier, control.pg_version, path)
    return None


def known_cluster(
    settings: t.Mapping[str, list[str]], system_id: str | None, version: str | None, missing: bool = False
) -> Identity | None:
    """The stanza's cluster: by its control file when it lies on this host, else as the user says, else None.

    With ``missing`` a data directory that is gone or cannot be read is no error.
    """
    try:
        found = local_cluster(settings)
    except PgBackRestError:
        if not missing:
            raise
        return None
    said = _said_cluster(system_id, version) if system_id and version else None
    if found and said and (found.system_id, found.version) != (said.system_id, said.version):
        raise PgBackRestError(
            f"The cluster in {found.path} is PostgreSQL {found.version} with system identifier {found.system_id}, not "
            f"{said.version} with {said.system_id} as the options pg_version and system_id say"
        )
    return found or said


def _said_cluster(system_id: str, version: str) -> Identity:
    if not system_id.isdigit():
        raise PgBackRestError(f"system_id must be a number as pg_controldata shows it, not {system_id!r}")
    if not re.fullmatch(r"\d+(\.\d+)?", version):
        raise PgBackRestError(f"pg_version must be a major version such as 17, not {version!r}")
    # pgBackRest knows 15.3 as 15, but 9.6 as 9.6.
    return Identity(int(system_id), version if version.startswith("9.") else version.partition(".")[0])


def _index(option: str) -> int:
    digits = re.search(r"\d+", option)
    return int(digits.group()) if digits else 0


def refuse_unreadable(stanza: Stanza, command: str) -> None:
    """Raise when a repository does not tell what is in it."""
    for repository in stanza.repositories:
        if repository.status_code not in _READABLE:
            raise PgBackRestError(repository.problem(), command=command)


def require_repository(stanza: Stanza, repo_key: int, command: str) -> None:
    """Raise unless the stanza stands in this repository."""
    found = next((repository for repository in stanza.repositories if repository.key == repo_key), None)
    if found is None:
        keys = ", ".join(str(repository.key) for repository in stanza.repositories)
        raise PgBackRestError(
            f"The configuration has no repository {repo_key}, only {keys}",
            command=command,
            next_step="Correct the option repo, or configure that repository.",
        )
    if found.status_code in MISSING_STANZA:
        raise PgBackRestError(
            f"stanza {stanza.name} is missing in repository {repo_key}",
            55,
            command=command,
            next_step=f"Create stanza {stanza.name} with the module pgops.pgbackrest.stanza.",
        )
    if found.status_code not in _READABLE:
        raise PgBackRestError(found.problem(), command=command)


def refuse_other_cluster(stanza: Stanza, cluster: Identity | None, repo_key: int, command: str) -> None:
    """Raise when this repository belongs to another cluster than the one that is there, as pgBackRest does itself.

    Said before it is asked whether its backups are young enough, because they are of no use for this cluster.
    """
    known = stanza.current_database(repo_key)
    if cluster is None or known is None or (known.system_id, known.version) == (cluster.system_id, cluster.version):
        return
    raise PgBackRestError(
        f"the cluster in {cluster.path} is PostgreSQL {cluster.version} with system identifier {cluster.system_id}, "
        f"but stanza {stanza.name} in repository {repo_key} belongs to PostgreSQL {known.version} with system "
        f"identifier {known.system_id}",
        51,
        command=command,
        next_step="Check that pg1-path and the stanza's name belong together; after an upgrade of PostgreSQL use the "
        "module pgops.pgbackrest.stanza.",
    )


def refuse_unready(pgbackrest: PgBackRest, cluster: Identity | None, command: str) -> None:
    """Raise where the command would fail at once: for check mode, in which it does not run.

    A server in another container cannot be seen, but its postmaster.pid can.
    """
    pgbackrest.refuse_stopped(command)
    remote = any(re.match(r"pg\d+-host$", option) for option in pgbackrest.settings(command))
    if cluster and cluster.path and not remote and postmaster(cluster.path) is None:
        raise PgBackRestError(
            f"PostgreSQL does not run on {cluster.path}", 56, command=command, next_step="Start PostgreSQL first."
        )


def needed_actions(stanza: Stanza, cluster: Identity | None, upgrade: bool) -> list[str]:
    """``create`` and ``upgrade`` if the stanza needs them. Raises PgBackRestError where neither would be right.

    ``stanza-upgrade`` takes any cluster for an upgraded one, a new initdb of the same version included
    (pgbackrest#1515): WAL and backups of two clusters would mix in one stanza. So this is decided here.
    """
    actions = []
    if stanza.missing_in():
        actions.append("create")
    if cluster and any(_is_outdated(stanza, repository, cluster) for repository in stanza.repositories):
        if not upgrade:
            raise PgBackRestError(
                f"Stanza {stanza.name} has not been upgraded to PostgreSQL {cluster.version}, and upgrade is false",
                next_step="Set upgrade to true. The backups of the old version stay until they expire.",
            )
        actions.append("upgrade")
    return actions


def _is_outdated(stanza: Stanza, repository: Repository, cluster: Identity) -> bool:
    known = stanza.current_database(repository.key)
    if known is None or (known.system_id, known.version) == (cluster.system_id, cluster.version):
        return False
    where = f"The cluster{f' in {cluster.path}' if cluster.path else ''}"
    if _number(cluster.version) > _number(known.version):
        return True
    if cluster.version == known.version:
        raise PgBackRestError(
            f"{where} (system identifier {cluster.system_id}) is not the one that stanza {stanza.name} in repository "
            f"{repository.key} belongs to ({known.system_id}), though both are PostgreSQL {known.version}: it was made "
            "anew by initdb, or it is another cluster. Nothing was changed",
            next_step="If the old cluster was lost, with its host or disk for instance, leave the stanza alone: its "
            "backups bring that cluster back, and the playbook pgops.pgbackrest.restore does it. If the new cluster is "
            "to stay beside it, give it a stanza of its own. Otherwise check pg1-path and the stanza's name.",
        )
    raise PgBackRestError(
        f"{where} is PostgreSQL {cluster.version}, older than the {known.version} of stanza {stanza.name} in "
        f"repository {repository.key}. Nothing was changed",
        next_step="Check pg1-path: it seems to be the data directory from before an upgrade.",
    )


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def state_of(stanza: Stanza) -> dict[str, t.Any]:
    """What of a stanza a task can change, for comparison and diff: each repository's current cluster, or None."""
    current = {repository.key: stanza.current_database(repository.key) for repository in stanza.repositories}
    return {
        f"repo{key}": {"database_id": found.id, "version": found.version, "system_id": found.system_id}
        if found
        else None
        for key, found in current.items()
    }


def expected_state(stanza: Stanza, actions: t.Sequence[str], cluster: Identity | None) -> dict[str, t.Any]:
    """``state_of`` after the actions, for check mode. A cluster on another host is not known before."""
    state = state_of(stanza)
    for name, current in state.items():
        unknown = {"version": cluster.version, "system_id": cluster.system_id} if cluster else {}
        if current is None and "create" in actions:
            state[name] = {"database_id": 1, **unknown}
        elif current and "upgrade" in actions and cluster and current["system_id"] != cluster.system_id:
            state[name] = {"database_id": current["database_id"] + 1, **unknown}
    return state


def contents(stanza: Stanza, repo_key: int) -> dict[str, t.Any]:
    """What would be lost with the stanza in one repository."""
    backups = [backup for backup in stanza.backups if backup.repo_key == repo_key]
    archives = [archive for archive in stanza.archives if archive.repo_key == repo_key]
    sizes = [backup.repo_delta for backup in backups if backup.repo_delta is not None]
    return {
        "repo_key": repo_key,
        "backups": [backup.label for backup in backups],
        "archives": [asdict(archive) for archive in archives],
        "repo_size": sum(sizes),
    }


def describe_contents(found: t.Mapping[str, t.Any]) -> str:
    """``contents`` as part of a sentence.

    >>> describe_contents({"repo_key": 1, "backups": ["20260101-000000F"], "archives": [], "repo_size": 3145728})
    '1 backup (20260101-000000F, 3.0 MiB) and no WAL in repository 1'
    """
    labels = found["backups"]
    span = labels[0] if len(labels) == 1 else f"{labels[0]} to {labels[-1]}" if labels else ""
    count = f"{len(labels) or 'no'} backup{'' if len(labels) == 1 else 's'}"
    detail = f" ({span}, {found['repo_size'] / 1024**2:.1f} MiB)" if labels else ""
    segments = [f"{a['id']} {a['wal_min']} to {a['wal_max']}" for a in found["archives"] if a["wal_min"]]
    wal = f"WAL {', '.join(segments)}" if segments else "no WAL"
    return f"{count}{detail} and {wal} in repository {found['repo_key']}"
