# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the module restore does, from its options to its result. Private to the collection."""

from __future__ import annotations

import os
import typing as t
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace

from ._cli import PgBackRest
from ._directory import Directory, occupied, read_directory
from ._lock_holders import lock_all
from ._plan import Plan, Request, mask_settings, secrets_in
from ._plan_facts import read_plan, read_request
from ._problem import PlanError, Problem
from ._progress import Progress
from ._receipt import Receipt, digest, wish
from ._recovery_settings import forget_standby_settings, keep_standby_settings, standby_settings
from ._restore import Work, execute, wal_to_put
from ._swap import kept_directories
from ._workspace import (
    default_workspace,
    done_before,
    home,
    interrupted,
    make_workspace,
    plan_put_back,
    put_back,
    settle,
    stamp_of,
    workspace_problems,
)

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

_SHOWN = ("plan", "backup", "recovery_settings", "kept", "rescued", "restored_at")


@dataclass(frozen=True)
class Wanted:
    """The request, as the task says it (``asked``, without what the host adds) and as the plan takes it."""

    request: Request
    asked: dict[str, t.Any]
    workspace: str


def restore(module: AnsibleModule, locks: ExitStack) -> dict[str, t.Any]:
    """Plan, and outside check mode carry the plan out; returns the result of the task."""
    backrest = PgBackRest(module, module.params["stanza"])
    wanted = read_wanted(module, backrest)
    request, check = wanted.request, module.check_mode
    descriptors, busy = lock_all(locks, [home(request.pgdata), wanted.workspace])
    settled = _settled(wanted, bool(busy or check))
    if settled and not check:
        descriptors += lock_all(locks, [home(request.pgdata)])[0]  # another directory stands there now
    missing = [path for path in (wanted.workspace, request.pgdata) if not os.path.lexists(path)]
    directory = read_directory(request.pgdata)
    receipt = done_before(wanted.workspace, wanted.asked, directory, request.repeat, request.plan_id)
    if receipt and not busy:
        return _as_before(module, receipt, directory, settled)
    plan = _plan(backrest, wanted, bool(busy))
    result: dict[str, t.Any] = {"plan": plan.to_dict(), "backup": plan.backup.to_dict(), "diff": diff(plan)}
    result["recovery_settings"] = mask_settings(plan.settings())
    result["changed"] = not plan.done or bool(wal_to_put(plan) or settled)
    warnings = [*filter(None, [settled]), *(plan.warnings if module.params["plan_warnings"] else [])]
    if not check:
        plan, held = _make_places(backrest, wanted, plan, missing, locks)
        progress = Progress(module.params["progress_file"])
        work = Work(backrest, progress, module.params["process_max"], (*descriptors, *held))
        done, told = execute(work, plan, _receipt(wanted, plan, result))
        forget_standby_settings(wanted.workspace)
        result.update(done, kept_directories=_kept(request.pgdata))
        warnings += told
    for warning in warnings:
        module.warn(warning)
    return result


def put_back_kept(module: AnsibleModule, locks: ExitStack) -> dict[str, t.Any]:
    """Put the directory that a swap kept back; returns the result of the task."""
    backrest = PgBackRest(module, module.params["stanza"])
    wanted = read_wanted(module, backrest)
    pgdata, workspace = wanted.request.pgdata, wanted.workspace
    busy = lock_all(locks, [home(pgdata), workspace])[1]
    problems = workspace_problems(wanted.request)
    if busy:
        problems.append(
            Problem("locked", f"A restore works on {busy}.", "Wait until it ends; this task changed nothing.")
        )
    if problems:
        raise PlanError(problems, "Nothing was put back")
    settled = interrupted(workspace, pgdata) if module.check_mode else settle(workspace, pgdata, None)
    if settled:
        module.warn(settled)
    exchange = plan_put_back(workspace, pgdata)
    if exchange is None:
        return {"changed": bool(settled), "diff": {"before": {}, "after": {}}}
    if not module.check_mode:
        put_back(workspace, exchange)
    moves = {"from": exchange.coming, "to": exchange.place, "failed": exchange.away}
    return {"changed": True, "put_back": moves, "diff": _put_back_diff(exchange.place, moves)}


def read_wanted(module: AnsibleModule, backrest: PgBackRest) -> Wanted:
    """What the task wants. Raises PlanError about bad options."""
    params = module.params
    if params["pgdata"] is None:
        backrest.require_stanza("restore")
    request = read_request(params, backrest.settings("restore"), module.check_mode)
    asked = wish(params, request.pgdata, request.target)
    workspace = os.path.normpath(params["workspace"] or default_workspace(request.pgdata))
    request = replace(
        request,
        swap=params["swap"],
        workspace=workspace,
        stamp=stamp_of(workspace, request.pgdata) if params["swap"] else None,
        plan_id=params["plan"],
        repeat=params["repeat"],
        allow_unproven=params["allow_unproven"],
        bindir=params["bindir"],
    )
    if request.target.type == "standby":
        found = standby_settings(request.pgdata, workspace)
        module.no_log_values.update(secrets_in(found))
        kept = {name: value for name, value in found.items() if name not in request.inherited_recovery_options}
        request = replace(request, recovery_options={**kept, **request.recovery_options})
    return Wanted(request, asked, workspace)


def diff(plan: Plan) -> dict[str, t.Any]:
    """The directory before and after, secrets masked."""
    before = _shown(plan.directory)
    if plan.done:
        return {"before": before, "after": before}
    backup, database = plan.backup, plan.database
    after = {
        "directory": f"cluster {database.system_id}, PostgreSQL {database.version}, backup set {backup.label} of "
        f"repository {backup.repo_key}, to recover to {plan.request.target.sentence()}",
        "recovery_settings": mask_settings(plan.settings()),
    }
    return {"before": before, "after": after}


def _settled(wanted: Wanted, look_only: bool) -> str | None:
    """What an interrupted exchange left, or what was made of it; None when there was none."""
    pgdata, workspace = wanted.request.pgdata, wanted.workspace
    return interrupted(workspace, pgdata) if look_only else settle(workspace, pgdata, wanted.asked)


def _plan(backrest: PgBackRest, wanted: Wanted, busy: bool) -> Plan:
    """The plan. Raises PlanError with everything against it, the workspace included."""
    problems = workspace_problems(wanted.request)
    try:
        plan = read_plan(backrest, wanted.request, busy)
    except PlanError as error:
        beside = wanted.workspace == default_workspace(wanted.request.pgdata)
        if beside and any(problem.code == "not_writable" for problem in error.problems):
            problems = []  # the same directory again
        raise PlanError([*error.problems, *problems]) from None
    if problems:
        raise PlanError(problems)
    return plan


def _make_places(
    backrest: PgBackRest, wanted: Wanted, plan: Plan, missing: t.Sequence[str], locks: ExitStack
) -> tuple[Plan, list[int]]:
    """Make and lock what was missing before the plan; the plan, made again where somebody came first."""
    pgdata, workspace = wanted.request.pgdata, wanted.workspace
    make_workspace(workspace)
    if pgdata in missing and not wanted.request.swap:
        os.makedirs(pgdata, mode=0o700, exist_ok=True)
    descriptors, busy = lock_all(locks, [path for path in missing if os.path.isdir(path)])
    if busy or (pgdata in missing and os.path.isdir(pgdata) and os.listdir(pgdata)):
        plan = _plan(backrest, wanted, bool(busy))
    if wanted.request.target.type == "standby":
        keep_standby_settings(workspace, wanted.request.recovery_options)
    return plan, descriptors


def _receipt(wanted: Wanted, plan: Plan, result: t.Mapping[str, t.Any]) -> Receipt:
    options = wanted.asked["recovery_options"]
    shown = {**wanted.asked, "recovery_options": mask_settings({k: str(v) for k, v in (options or {}).items()})}
    kept = {name: result[name] for name in ("plan", "backup", "recovery_settings")}
    return Receipt(
        pgdata=wanted.request.pgdata,
        system_id=plan.database.system_id,
        plan_id=plan.id,
        restored_at="",
        request=shown,
        digest=digest(wanted.asked),
        result=kept,
    )


def _as_before(module: AnsibleModule, receipt: Receipt, directory: Directory, settled: str | None) -> dict[str, t.Any]:
    """The result where this very request was carried out before."""
    text = (
        f"Nothing to do: this very restore of {receipt.pgdata} was done at {receipt.restored_at}, and what the cluster "
        "did since is left alone. To do it again set repeat: true."
    )
    for warning in filter(None, (settled, text if module.params["plan_warnings"] else None)):
        module.warn(warning)
    shown = {name: receipt.result[name] for name in _SHOWN if name in receipt.result}
    plan = {**shown.get("plan", {}), "mode": "none", "overwrites": [], "text": [text]}
    state = _shown(directory)
    shown.update(plan=plan, kept_directories=_kept(receipt.pgdata))
    return {**shown, "changed": bool(settled), "diff": {"before": state, "after": state}}


def _kept(pgdata: str) -> list[dict[str, t.Any]]:
    """All that this swap and earlier ones have moved away, with its size; None where that cannot be read."""
    found: list[dict[str, t.Any]] = []
    for path in kept_directories(home(pgdata)):
        found.append({"path": path, "bytes": None})
        with suppress(OSError):
            found[-1]["bytes"] = occupied(path)
    return found


def _shown(directory: Directory) -> dict[str, t.Any]:
    return {"directory": directory.sentence(), "recovery_settings": mask_settings(directory.settings or {})}


def _put_back_diff(place: str, moves: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    return {
        "before": {place: "the restored cluster", moves["from"]: "the cluster from before the restore"},
        "after": {place: "the cluster from before the restore", moves["failed"]: "the restored cluster"},
    }
