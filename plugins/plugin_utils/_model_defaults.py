# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the roles set where the user says nothing: the one table. Private to the collection.

docs/defaults.md shows the same table; a unit test compares. Nothing here may ever lose WAL, so there is no
archive-push-queue-max, and nothing here decides how long backups are kept.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ..module_utils import _catalogue as catalogue
from ._model_input import Mapping, truth

Version = t.Tuple[int, ...]


@dataclass(frozen=True)
class Facts:
    """What the defaults are computed from."""

    version: Version
    cpus: int
    hosts: int = 1
    # What the host of the file does: "database" archives and restores, "backup" takes backups. A host without
    # repository host does both.
    duties: frozenset[str] = frozenset({"database", "backup"})


@dataclass(frozen=True)
class Default:
    """One tuned option; ``repo-`` options are set for each repository, ``shown`` is the value in words."""

    option: str
    shown: str
    value: t.Callable[[Facts], t.Any]
    duty: str
    reason: str
    command: str | None = None
    since: Version = (2, 45)
    only: t.Callable[[Facts], bool] = lambda facts: True


def _share(divisor: int, most: int = 999, least: int = 1) -> t.Callable[[Facts], int]:
    return lambda facts: min(max(facts.cpus // divisor, least), most, facts.cpus)


DEFAULTS = (
    Default("compress-type", "zst", lambda facts: "zst", "both", "A quarter of the CPU time of gz for smaller files."),
    Default(
        "compress-level",
        "2",
        lambda facts: 2,
        "both",
        "Of the levels of zst the fastest one whose files are not larger than those of gz.",
    ),
    Default(
        "start-fast",
        "true",
        lambda facts: True,
        "backup",
        "A backup begins with a checkpoint at once and does not wait for the next regular one.",
    ),
    Default(
        "repo-bundle",
        "true",
        lambda facts: True,
        "backup",
        "Small files are stored together: far fewer files, requests and renames.",
    ),
    Default(
        "repo-block",
        "true",
        lambda facts: True,
        "backup",
        "Differential and incremental backups store changed blocks, not whole files. pgBackRest has it since 2.46 and "
        "recommends it since 2.52.1.",
        since=(2, 52, 1),
    ),
    Default(
        "backup-standby",
        "prefer",
        lambda facts: "prefer",
        "backup",
        "With a repository host and several hosts: files are read from a standby when there is one, else from the "
        "primary. Before 2.54 there is no such choice, and a backup without standby fails.",
        since=(2, 54),
        only=lambda facts: facts.hosts > 1 and "database" not in facts.duties,
    ),
    Default(
        "archive-async",
        "true",
        lambda facts: True,
        "database",
        "WAL is pushed and fetched ahead in parallel, so that archiving keeps up with a busy primary.",
    ),
    Default(
        "delta",
        "true",
        lambda facts: True,
        "database",
        "A restore into an existing data directory replaces only what differs.",
        command="restore",
    ),
    Default(
        "process-max",
        "a quarter of the CPUs, 1 to 4",
        _share(4, 4),
        "database",
        "Archiving runs beside the database and must leave it room.",
        command="archive-push",
    ),
    Default(
        "process-max",
        "half of the CPUs, 1 to 8",
        _share(2, 8),
        "database",
        "A standby or a recovery waits for WAL and needs it fast.",
        command="archive-get",
    ),
    Default(
        "process-max",
        "half of the CPUs, at least 2 if there are so many",
        _share(2, least=2),
        "backup",
        "A backup runs beside the database. One process alone reads, compresses and writes in turn. "
        "With a repository host the host with the fewest CPUs counts.",
        command="backup",
    ),
    Default(
        "process-max",
        "all CPUs",
        _share(1),
        "database",
        "The database is down while it is restored.",
        command="restore",
    ),
    Default(
        "process-max",
        "half of the CPUs",
        _share(2),
        "backup",
        "Checksums of the whole repository are computed.",
        command="verify",
    ),
)


def tuned(facts: Facts) -> list[Default]:
    """The defaults that hold for a file."""
    return [
        default
        for default in DEFAULTS
        if (default.duty == "both" or default.duty in facts.duties)
        and facts.version >= default.since
        and default.only(facts)
    ]


def without_overridden(found: t.Iterable[Default], options: Mapping, repository: Mapping) -> list[Default]:
    """The defaults that the user has not decided: an option for the stanza counts for its commands as well.

    ``repository`` has its keys without ``repo-``. Without bundles there are no block incremental backups. A level means
    another thing for another type.
    """
    decided = {f"repo-{key}" for key in repository}
    if "compress-type" in options:
        decided.add("compress-level")
    if not truth(repository.get("bundle", True)):
        decided.add("repo-block")
    return [default for default in found if default.option not in options and default.option not in decided]


def table() -> str:
    """The defaults as a table in Markdown.

    The columns: option, section, value, on which host, from which version on, why.
    """
    hosts = {"both": "both", "database": "database", "backup": "where backups run"}
    lines = ["| option | section | value | host | since | why |", "|---|---|---|---|---|---|"]
    for default in DEFAULTS:
        option = default.option.replace("repo-", "repoN-")
        section = f"`[stanza:{default.command}]`" if default.command else "`[stanza]`"
        since = catalogue.version_text(default.since) if default.since > (2, 45) else ""
        lines.append(
            f"| `{option}` | {section} | {default.shown} | {hosts[default.duty]} | {since} | {default.reason} |"
        )
    return "\n".join(lines) + "\n"
