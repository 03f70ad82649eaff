# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan of a restore: facts in, a plan or a list of named problems out. Pure. Private to the collection.

Order of use: ``candidates`` (_choice), ``find_route`` and ``prove`` (_proof), ``destinations`` (_plan_request), then
``make_plan`` with the facts about all places. The checks themselves are in _plan_checks and _plan_space.
"""

from __future__ import annotations

import hashlib
import json
import typing as t
from dataclasses import dataclass, replace

from ._choice import Choice
from ._directory import Directory
from ._plan_checks import (
    FIRST_USER_OID,
    archive_problems,
    directory_problems,
    identity_problems,
    is_elsewhere,
    keeper_problems,
    link_warnings,
    name_problems,
    place_problems,
    program_problems,
    setting_problems,
    stop_problems,
    wal_link_problems,
    warnings_of,
)
from ._plan_request import Destination, Facts, Request, absolute, destinations, option_problems, same_path, stands
from ._plan_space import Space, space_of, space_problems, space_warnings
from ._plan_tablespaces import tablespace_problems, tablespace_warnings
from ._plan_text import human_size, mask_settings, secrets_in, text
from ._problem import PlanError, Problem
from ._proof import Proof
from ._repository import Backup, Database
from ._rescue import Rescue
from ._swap import kept_path

__all__ = [  # what others need of the plan comes from here
    "Destination",
    "Facts",
    "Plan",
    "Request",
    "absolute",
    "destinations",
    "differences",
    "holds",
    "human_size",
    "make_plan",
    "mask_settings",
    "option_problems",
    "same_path",
    "secrets_in",
]

_MOOT_WHEN_DONE = ("not_empty", "space", "backup_running", "tablespace_newer", "repository_read_only")


@dataclass(frozen=True)
class Plan:
    """A restore that may be done; ``done`` when the directory holds it already. Sizes are bytes.

    The target of ``request`` names the timeline that was chosen for it. ``proof`` is None for types without recovery
    from the archive.
    """

    request: Request
    backup: Backup
    database: Database
    directory: Directory
    destinations: list[Destination]
    delta: bool
    overwrites: list[dict[str, t.Any]]
    space: Space
    warnings: list[str]
    done: bool = False
    rescue: Rescue | None = None
    proof: Proof | None = None
    occupied: int = 0  # what the data directory has now
    copy_of: str | None = None  # the stanza's own data directory, when this goes to another one

    @property
    def pg_major(self) -> int:
        """Major version of the backup."""
        return int(self.database.version.split(".")[0])

    @property
    def mode(self) -> str:
        """How it is done: none, swap, delta, full."""
        return "none" if self.done else "swap" if self.request.swap else "delta" if self.delta else "full"

    @property
    def keeps(self) -> str | None:
        """Where a swap moves the old directory."""
        filled = self.directory.state not in ("missing", "empty")
        home = self.directory.home or self.request.pgdata
        return kept_path(home, self.request.stamp or "") if self.mode == "swap" and filled else None

    @property
    def id(self) -> str:
        """Identity of the plan: the same as long as all that was decided is the same, whatever sizes and WAL do."""
        text_ = json.dumps(self._decisions(), sort_keys=True)
        return f"{self.backup.label}-{hashlib.sha256(text_.encode()).hexdigest()[:8]}"

    def settings(self) -> dict[str, str]:
        """Recovery settings of the restored cluster, restore_command of pgBackRest aside."""
        if self.request.target.type in ("none", "preserve"):
            return {}
        options = {**self.request.inherited_recovery_options, **self.request.recovery_options}
        archive_mode = {"archive_mode": "off"} if self.request.archive_mode == "off" else {}
        return {**self.request.target.settings(self.pg_major), **archive_mode, **options}

    def zeroed(self) -> frozenset[int]:
        """OIDs of the databases that are left out."""
        request, databases = self.request, (self.backup.details or {}).get("databases", [])
        if not request.db_include and not request.db_exclude:
            return frozenset()
        users = [database for database in databases if database["oid"] >= FIRST_USER_OID]
        return frozenset(database["oid"] for database in users if _is_left_out(database, request))

    def options(self) -> dict[str, t.Any]:
        """Options of ``pgbackrest restore``; recovery options are not among them, as they may hold secrets."""
        request = self.request
        return {
            "repo": self.backup.repo_key,
            "set": self.backup.label,
            "delta": self.delta,
            **request.target.options(self.pg_major),
            "archive_mode": request.archive_mode if request.archive_mode == "off" else None,
            "tablespace_map": request.tablespace_map or None,
            "tablespace_map_all": request.tablespace_map_all,
            "link_map": request.link_map or None,
            "link_all": True if request.link_all else None,
            "db_include": request.db_include or None,
            "db_exclude": request.db_exclude or None,
        }

    def text(self) -> list[str]:
        """The plan in lines for people."""
        return text(self)

    def to_dict(self) -> dict[str, t.Any]:
        """The plan as module result, secrets masked."""
        backup = self.backup.to_dict()
        shown = ("label", "type", "repo_key", "start_time", "stop_time", "lsn_stop", "wal_start", "size")
        return {
            "id": self.id,
            "stanza": self.request.stanza,
            "backup": {name: backup[name] for name in shown},
            "target": self.request.target.to_dict(),
            "directory": self.directory.to_dict(),
            "copy_of": self.copy_of,
            "mode": self.mode,
            "overwrites": self.overwrites,
            "keeps": self.keeps,
            "kept_bytes": self.occupied if self.keeps else None,
            "expected_bytes": self.backup.size,
            "window": self.proof.window if self.proof else None,
            "wal": self.proof.wal if self.proof else None,
            "rescue": (self.rescue or Rescue("")).to_dict(),
            "tablespaces": [d.to_dict() for d in self.destinations if d.kind == "tablespace"],
            "links": [d.to_dict() for d in self.destinations if d.kind == "link"],
            "databases_left_out": sorted(self.zeroed()),
            "space": self.space.to_dict(),
            "recovery_settings": mask_settings(self.settings()),
            "warnings": self.warnings,
            "text": self.text(),
        }

    def _decisions(self) -> dict[str, t.Any]:
        """What makes two plans the same. Secrets are left out: a short hash would allow to guess them."""
        request, proof = self.request, self.proof
        places = destinations(replace(request, stamp=None), self.backup)
        return {
            "stanza": request.stanza,
            "system": self.database.system_id,
            "pgdata": request.pgdata,
            "backup": [self.backup.repo_key, self.backup.label],
            "target": {**request.target.to_dict(), "timeline": proof.route.timeline if proof else None},
            "mode": "swap" if request.swap else "delta" if request.delta else "full",
            "places": [[place.kind, place.name, place.path] for place in places],
            "databases": sorted(self.zeroed()),
            "settings": mask_settings(self.settings()),
        }


def make_plan(
    request: Request, choice: Choice, database: Database | None, facts: Facts, proof: Proof | None = None
) -> Plan:
    """The plan, or PlanError with every problem found."""
    backup, directory = choice.backup, facts.directory
    problems = [*choice.problems, *directory_problems(request, facts), *keeper_problems(request, facts)]
    problems += [*stop_problems(request, facts), *archive_problems(request, facts)]
    problems += identity_problems(request, database, directory)
    if backup is None or database is None:
        raise PlanError(problems)
    if proof:
        problems += [problem for problem in proof.problems if problem not in problems]
    plan = _plan(_with_timeline(request, proof), choice, backup, database, facts, proof)
    problems += _problems(plan, facts)
    if holds(plan, directory):
        problems = [problem for problem in problems if problem.code not in _MOOT_WHEN_DONE]
        plan = replace(plan, done=True, overwrites=[])
    if request.plan_id and request.plan_id != plan.id:
        problems.append(_plan_changed(request.plan_id, plan))
    if problems:
        raise PlanError(problems)
    return plan


def _plan(
    request: Request, choice: Choice, backup: Backup, database: Database, facts: Facts, proof: Proof | None
) -> Plan:
    targets = destinations(request, backup)
    space = space_of(request, backup, facts, proof)
    return Plan(
        request=request,
        backup=backup,
        database=database,
        directory=facts.directory,
        destinations=targets,
        delta=facts.directory.state in ("cluster", "unfinished") and not request.swap,
        overwrites=[] if request.swap else _overwrites(facts),
        space=space,
        warnings=[
            *choice.warnings,
            *(proof.warnings if proof else []),
            *warnings_of(request, facts),
            *link_warnings(request, targets),
            *tablespace_warnings(request, backup, facts),
            *space_warnings(space),
        ],
        rescue=facts.rescue,
        proof=proof,
        occupied=facts.places[None].occupied if None in facts.places else 0,
        copy_of=facts.configured_pgdata if is_elsewhere(request, facts) else None,
    )


def _problems(plan: Plan, facts: Facts) -> list[Problem]:
    """What stands against this backup at these places."""
    request, backup = plan.request, plan.backup
    return [
        *name_problems(request, backup),
        *setting_problems(request, plan.pg_major),
        *program_problems(request, plan.database, facts),
        *place_problems(request, plan.destinations, facts),
        *wal_link_problems(request, plan.destinations, facts),
        *tablespace_problems(request, backup, facts),
        *space_problems(request, plan.space),
    ]


def _with_timeline(request: Request, proof: Proof | None) -> Request:
    """The request, with the timeline that was chosen for its target."""
    if proof is None or proof.route.written is None:
        return request
    return replace(request, target=replace(request.target, timeline=proof.route.written))


def _plan_changed(approved: str, plan: Plan) -> Problem:
    label = approved.rpartition("-")[0]
    what = (
        f"it starts from backup set {plan.backup.label}"
        if label != plan.backup.label
        else "the backup is the same, the target, a place or a setting is not"
    )
    sentence = f"The plan {approved} was approved, but what would be done now is plan {plan.id}: {what}."
    hint = "Look at the plan again (check mode), and approve the new one if it is right."
    return Problem("plan_changed", sentence, hint)


def differences(plan: Plan, found: Directory) -> list[str]:
    """What keeps a directory from holding exactly this restore, not yet started; [] when nothing does."""
    label, backup, target = found.backup_label, plan.backup, plan.request.target
    result = []
    if found.unfinished:
        result.append(f"{found.path}/backup.manifest is there, as after a restore that did not end")
    if not found.control or found.control.system_identifier != plan.database.system_id:
        result.append(f"{found.path}/global/pg_control is not that of cluster {plan.database.system_id}")
    if found.pg_version != plan.database.version:
        result.append(f"{found.path}/PG_VERSION says {found.pg_version}, not {plan.database.version}")
    if backup.lsn_start and (not label or (label.lsn, label.segment) != (backup.lsn_start, backup.wal_start)):
        result.append(f"{found.path}/backup_label is not that of backup set {backup.label}")
    result += [f"{d.kind} {d.name} is not at {d.path}" for d in plan.destinations if not stands(d, found)]
    if not plan.zeroed() <= found.zeroed:
        result.append("databases that were to be left out are not")
    return result + ([] if target.type == "preserve" else _setting_differences(plan, found))


def holds(plan: Plan, found: Directory) -> bool:
    """Whether nothing is left to do, because the directory holds exactly this restore, not yet started."""
    return bool(plan.backup.lsn_start) and not differences(plan, found) and found.zeroed == plan.zeroed()


def _setting_differences(plan: Plan, found: Directory) -> list[str]:
    expected = plan.request.target.signal_file(plan.pg_major)
    result = []
    if found.signals != ((expected,) if expected else ()):
        present_files = ", ".join(found.signals) or "no recovery file"
        result.append(f"{found.path} has {present_files} instead of {expected or 'none'}")
    if expected is None:
        return result
    present, wanted = dict(found.settings or {}), plan.settings()
    if "restore_command" not in wanted:
        command = present.pop("restore_command", "")
        if f"--stanza={plan.request.stanza} " not in command:
            result.append(f"restore_command does not read from stanza {plan.request.stanza}")
    if present != wanted:
        names = sorted(name for name in {**present, **wanted} if present.get(name) != wanted.get(name))
        result.append(f"recovery settings differ: {', '.join(names)}")
    return result


def _is_left_out(database: t.Mapping[str, t.Any], request: Request) -> bool:
    names = {database["name"], str(database["oid"])}
    return bool(names & set(request.db_exclude) or (request.db_include and not names & set(request.db_include)))


def _overwrites(facts: Facts) -> list[dict[str, t.Any]]:
    return [
        {
            "path": place.path,
            "bytes": place.occupied,
            "content": f"{destination.kind} {destination.name}" if destination else facts.directory.sentence(),
        }
        for destination, place in facts.places.items()
        if not place.empty
    ]
