# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module utils _swap, _workspace and _receipt: directories change places, interrupted anywhere."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import typing as t
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils import _lock_holders, _swap, _workspace
from ansible_collections.pgops.pgbackrest.plugins.module_utils._cluster import ClusterError, ControlData
from ansible_collections.pgops.pgbackrest.plugins.module_utils._directory import BackupLabel, Directory
from ansible_collections.pgops.pgbackrest.plugins.module_utils._problem import PlanError
from ansible_collections.pgops.pgbackrest.plugins.module_utils._receipt import (
    Receipt,
    digest,
    read_receipt,
    write_mark,
    write_receipt,
)

REQUEST: dict[str, t.Any] = {
    "stanza": "main",
    "recovery_options": {"primary_conninfo": "password=geheim"},
    "target": {"type": "time", "action": "pause"},
}
STAMP = "20260501T120000Z"


class Host:
    """A data directory, a restored one in the workspace, and the journal of their exchange."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.pgdata, self.work = root / "pg", root / "pg.restore"
        self.kept = root / f"pg.before-{STAMP}"
        for path, name in ((self.pgdata, "old"), (self.work / "data", "new")):
            path.mkdir(parents=True)
            (path / "PG_VERSION").write_text("15\n", encoding="utf-8")
            (path / name).touch()
        self.pgdata.chmod(0o750)
        self.exchange = _swap.Exchange(str(self.pgdata), str(self.kept), str(self.work / "data"))
        self.receipt = Receipt(str(self.pgdata), 7, "id", "now", {}, digest(REQUEST), str(self.kept))

    def begin(self, renames: int) -> None:
        """Write the journal and do some of the renames."""
        _swap.write_journal(str(self.work), _swap.Journal("swap", "moving", STAMP, self.exchange, asdict(self.receipt)))
        if renames:
            os.rename(self.pgdata, self.kept)
        if renames == 2:
            os.rename(self.work / "data", self.pgdata)

    def settle(self, request: t.Mapping[str, t.Any] | None) -> str | None:
        return _workspace.settle(str(self.work), str(self.pgdata), request)

    def which(self) -> str:
        """What stands in the place of the data directory."""
        return "new" if (self.pgdata / "new").exists() else "old"


@pytest.fixture(name="host")
def host_fixture(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_the_same_request_completes_an_exchange(host: Host, renames: int) -> None:
    host.begin(renames)
    assert (_workspace.interrupted(str(host.work), str(host.pgdata)) or "").startswith("An earlier run was killed")
    told = host.settle(REQUEST)
    if renames == 0:
        assert told is None and host.which() == "old"
        journal = _swap.read_journal(str(host.work))
        assert journal and (journal.stage, journal.stamp) == ("restoring", STAMP)
        return
    assert told and told.startswith("Completed the swap")
    assert host.which() == "new" and (host.kept / "old").exists()
    assert read_receipt(str(host.work)) == host.receipt
    assert _swap.read_journal(str(host.work)) is None
    assert host.settle(REQUEST) is None


@pytest.mark.parametrize("request_", [{"stanza": "main"}, None])
def test_another_request_undoes_an_exchange(host: Host, request_: dict[str, t.Any] | None) -> None:
    host.begin(1)
    told = host.settle(request_)
    assert told and told.startswith("Undid the swap")
    assert host.which() == "old" and (host.work / "data" / "new").exists() and not host.kept.exists()
    assert read_receipt(str(host.work)) is None
    host.begin(2)
    assert host.settle(request_)
    assert host.which() == "new" and read_receipt(str(host.work)) == host.receipt


def test_the_journal_of_another_directory_is_not_touched(host: Host) -> None:
    host.begin(1)
    assert _workspace.settle(str(host.work), str(host.root / "other"), REQUEST) is None
    assert not host.pgdata.exists()


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_putting_back_is_completed(host: Host, renames: int) -> None:
    host.begin(2)
    host.settle(REQUEST)
    exchange = _workspace.plan_put_back(str(host.work), str(host.pgdata))
    assert exchange and exchange.coming == str(host.kept) and exchange.away
    _swap.write_journal(str(host.work), _swap.Journal("put_back", "moving", STAMP, exchange))
    if renames:
        os.rename(exchange.place, exchange.away)
    if renames == 2:
        os.rename(exchange.coming, exchange.place)
    told = host.settle(None)
    assert (told is None) == (renames == 0)
    again = _workspace.plan_put_back(str(host.work), str(host.pgdata))
    assert (again is None) == (renames > 0)
    if again:
        _workspace.put_back(str(host.work), again)
    assert host.which() == "old"
    assert len(list(host.root.glob("pg.failed-*"))) == 1
    assert _workspace.plan_put_back(str(host.work), str(host.pgdata)) is None


def test_mode_is_taken_over_and_a_missing_place_is_filled(host: Host) -> None:
    (host.work / "data").chmod(0o700)
    _swap.carry_out(host.exchange)
    assert host.pgdata.stat().st_mode & 0o777 == 0o750
    (host.work / "data").mkdir()
    os.rename(host.pgdata, host.root / "gone")
    _swap.carry_out(_swap.Exchange(str(host.pgdata), None, str(host.work / "data")))
    assert host.pgdata.exists()


@pytest.mark.parametrize("where", ["place", "coming"])
def test_a_server_on_either_directory_stops_it(host: Host, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    path = getattr(host.exchange, where)
    (Path(path) / "postmaster.pid").write_text(f"{os.getpid()}\n{path}\n", encoding="utf-8")
    monkeypatch.chdir("/")
    _swap.refuse_running(path)  # the process that has this number now works elsewhere
    monkeypatch.chdir(path)
    with pytest.raises(ClusterError, match=f"PostgreSQL runs on {path} .process {os.getpid()}."):
        _swap.carry_out(host.exchange)
    assert host.which() == "old" and not host.kept.exists()


def test_what_cannot_be_put_back_is_said(host: Host) -> None:
    work, pgdata = str(host.work), str(host.pgdata)
    with pytest.raises(PlanError, match="has no receipt of a restore"):
        _workspace.plan_put_back(work, pgdata)
    write_receipt(work, Receipt(pgdata, 7, "id", "now", {}, digest(REQUEST)))
    with pytest.raises(PlanError, match="the last restore was no swap"):
        _workspace.plan_put_back(work, pgdata)
    write_receipt(work, host.receipt)
    with pytest.raises(PlanError, match="which the swap kept, is missing"):
        _workspace.plan_put_back(work, pgdata)


def test_a_receipt_fits_its_request_and_cluster_only(host: Host) -> None:
    write_receipt(str(host.work), host.receipt)
    assert "geheim" not in (host.work / "receipt.json").read_text(encoding="utf-8")
    control = ControlData(7, "15", "in production", 1, 1, 2)
    found = Directory(str(host.pgdata), "cluster", control=control)

    def done(request: t.Any, directory: Directory, repeat: bool = False, plan: str | None = None) -> bool:
        return _workspace.done_before(str(host.work), request, directory, repeat, plan) is not None

    assert done(REQUEST, found)
    assert not done(REQUEST, found, repeat=True)
    assert done(REQUEST, found, repeat=True, plan="id")
    assert not done(REQUEST, found, repeat=True, plan="other")
    assert not done({**REQUEST, "recovery_options": {"primary_conninfo": "password=other"}}, found)
    promoted = {**REQUEST, "target": {"type": "time", "action": "promote"}}
    assert done(promoted, found)
    assert not done(promoted, replace(found, backup_label=BackupLabel("0/1", "")))
    assert not done({**promoted, "stanza": "other"}, found)
    assert not done(REQUEST, Directory(str(host.pgdata), "missing"))
    assert not done(REQUEST, Directory("/elsewhere", "cluster", control=control))
    other = ControlData(8, "15", "in production", 1, 1, 2)
    assert not done(REQUEST, Directory(str(host.pgdata), "cluster", control=other))


def test_a_directory_that_was_moved_there_by_hand_is_not_the_restored_one(host: Host) -> None:
    found = Directory(str(host.pgdata), "cluster", control=ControlData(7, "15", "in production", 1, 1, 2))
    (host.pgdata).mkdir(exist_ok=True)
    write_receipt(str(host.work), replace(host.receipt, mark=write_mark(str(host.pgdata))))
    assert _workspace.done_before(str(host.work), REQUEST, found, False, None)
    for content in ('{"mark": "of another restore"}', "broken", None):
        mark = host.pgdata / "pgbackrest_restore.json"
        mark.unlink() if content is None else mark.write_text(content, encoding="utf-8")
        assert not _workspace.done_before(str(host.work), REQUEST, found, False, None)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"action": "swap"}'])
def test_broken_files_are_named(host: Host, text: str) -> None:
    for name, read in (("receipt.json", read_receipt), ("swap.json", _swap.read_journal)):
        (host.work / name).write_text(text, encoding="utf-8")
        with pytest.raises(ClusterError, match=f"{name} is not "):
            read(str(host.work))


@pytest.mark.parametrize("worker", [True, False])
def test_workers_of_a_killed_pgbackrest_are_waited_for(
    host: Host, monkeypatch: pytest.MonkeyPatch, worker: bool
) -> None:
    monkeypatch.setattr(_lock_holders, "_PAUSE", 0.02)
    descriptor = _lock_holders.lock_directory(str(host.pgdata))
    assert descriptor is not None
    code = "import sys; print(); sys.stdout.flush(); sys.stdin.read()"
    argv = [sys.executable, "-c", code, "restore:local" if worker else "restore"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[descriptor]) as process:
        assert process.stdin and process.stdout and process.stdout.readline()
        os.close(descriptor)
        threading.Timer(0.3, process.stdin.close).start()
        began = time.monotonic()
        with ExitStack() as locks:
            held, busy = _lock_holders.lock_all(locks, [str(host.pgdata), str(host.root / "absent")])
        if worker:
            assert len(held) == 1 and busy is None and time.monotonic() - began > 0.2
        else:
            assert (held, busy) == ([], str(host.pgdata)) and time.monotonic() - began < 0.2


def test_all_that_swaps_have_moved_away_is_found(tmp_path: Path) -> None:
    place = tmp_path / "a[b]" / "pg"
    times = ("20260501T120000Z", "20260401T120000Z", "20260403T120000Z")
    wanted = [f"{place}.before-{times[0]}", f"{place}.failed-{times[1]}", f"{place}.before-{times[2]}"]
    for path in (*wanted, str(place), f"{place}.before-me", f"{place}.restore", f"{place}2.before-{times[0]}"):
        os.makedirs(path)
    Path(f"{place}.failed-{times[0]}").touch()
    assert _swap.kept_directories(str(place)) == [wanted[1], wanted[2], wanted[0]]
