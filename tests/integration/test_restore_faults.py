# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module restore killed, or out of room, at each step: what is left, and that the next run loses no row.

The cluster of these tests crashed while archiving failed: its last three rows are in WAL that only this host has.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import typing as t
from pathlib import Path

import pytest

Run = t.Callable[..., dict[str, t.Any]]
Hash = t.Callable[[t.Any], str]
Fault = tuple[str, str, int]

ALL_ROWS = ["in backup", "first", "second", "third", "third", "third"]
USER = "postgres" if os.geteuid() == 0 else getpass.getuser()

# Runs the module, and does something just before the nth call of one of its functions.
_FAULTY = """
import importlib, json, os, signal, sys
from ansible.module_utils import basic
basic._ANSIBLE_ARGS = sys.stdin.buffer.read()
basic._ANSIBLE_PROFILE = "legacy"
(where, name, number), room = json.loads(sys.argv[1])
plugins = "ansible_collections.pgops.pgbackrest.plugins."
module = importlib.import_module(plugins + "modules.restore")
place = importlib.import_module(where if where == "os" else plugins + "module_utils." + where)
original, calls = getattr(place, name), []

def faulty(*args, **kwargs):
    calls.append(name)
    if len(calls) == number and room is None:
        os.kill(os.getpid(), signal.SIGKILL)
    if len(calls) == number:
        fill(room)
    return original(*args, **kwargs)

def fill(path):
    with open(path, "wb", buffering=0) as file:
        for size in (1024**2, 1024):
            try:
                while file.write(bytes(size)):
                    pass
            except OSError:
                pass

setattr(place, name, faulty)
module.main()
"""


@pytest.fixture(name="run_faulty")
def run_faulty_fixture(module_tree: Path) -> t.Callable[..., subprocess.CompletedProcess[str]]:
    """Run the module until the fault. It is killed there, or the file ``room`` takes all room that is left."""

    def run_faulty(
        params: dict[str, t.Any], fault: Fault, room: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        argv = ["env", f"PYTHONPATH={module_tree}", "PYTHONDONTWRITEBYTECODE=1", "/usr/bin/python3", "-c", _FAULTY]
        prefix = ["runuser", "-u", USER, "--"] if os.geteuid() == 0 else []
        arguments = json.dumps({"ANSIBLE_MODULE_ARGS": {**params, "_ansible_remote_tmp": "/tmp"}})
        return subprocess.run(
            [*prefix, *argv, json.dumps([fault, str(room) if room else None])],
            input=arguments,
            text=True,
            capture_output=True,
            cwd="/",
            check=False,
        )

    return run_faulty


@pytest.fixture(scope="module", name="wreck")
def wreck_fixture() -> t.Iterator[Path]:
    """Where the crashed clusters are kept for the next test, one for each pair of programs."""
    path = Path(tempfile.mkdtemp(prefix="pgops-wreck-", dir="/tmp"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(name="crashed")
def crashed_fixture(stopped: t.Any, wreck: Path) -> t.Any:
    """A primary that was killed while archiving failed, with three segments that only it has."""
    copy = wreck / str(stopped.programs)
    if not copy.exists():
        crash(stopped)
        subprocess.run(["cp", "-a", str(stopped.root), str(copy)], check=True)
    refill(stopped.root, copy)
    return stopped


def crash(cluster: t.Any) -> None:
    """Write rows that are not archived, and kill the server."""
    with open(cluster.pgdata / "postgresql.auto.conf", "a", encoding="utf-8") as file:
        file.write("archive_command = 'false'\n")
    cluster.start()
    for last in (False, False, True):
        cluster.sql("INSERT INTO t VALUES ('third')")
        if not last:
            cluster.sql("SELECT pg_switch_wal()")
    pid = int((cluster.pgdata / "postmaster.pid").read_text(encoding="utf-8").split()[0])
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not any(Path(f"/proc/{child}").exists() for child in children(pid)) and not alive(pid))
    (cluster.pgdata / "postmaster.pid").unlink()  # as the message of the refusal says


def children(pid: int) -> list[int]:
    """Processes whose working directory is the same, as far as they tell."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if status.read_text(encoding="utf-8").rpartition(") ")[2].split()[1] == str(pid):
                found.append(int(status.parent.name))
    return found


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    with contextlib.suppress(OSError):
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    return False


def wait_for(condition: t.Callable[[], bool]) -> None:
    """Wait until a condition holds; it must do so within 20 seconds."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def refill(root: Path, source: Path) -> None:
    """Make a directory hold what another one holds."""
    for path in root.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    subprocess.run(["cp", "-a", f"{source}/.", str(root)], check=True)


def well(result: dict[str, t.Any]) -> dict[str, t.Any]:
    """The result of a task that did not fail."""
    assert not result["failed"], result
    return result


def rescued(cluster: t.Any) -> dict[str, bytes]:
    """WAL in the workspace, by name."""
    paths = (cluster.root / "pgdata.restore" / "rescued").glob("*/*")
    return {path.name: path.read_bytes() for path in paths if not path.name.endswith(".tmp")}


def unarchived(cluster: t.Any) -> dict[str, bytes]:
    """The three newest segments of the crashed cluster."""
    names = [f"{number:024X}" for number in (0x10000000000000004, 0x10000000000000005, 0x10000000000000006)]
    return {name: (cluster.pgdata / "pg_wal" / name).read_bytes() for name in names}


@pytest.mark.matrix
@pytest.mark.parametrize("mode", ["delta", "swap"])
def test_no_row_of_a_crashed_primary_is_lost(crashed: t.Any, run: Run, mode: str) -> None:
    only_here = unarchived(crashed)
    params = {**crashed.restoring, mode: True}
    planned = well(run("restore", params, check=True))["plan"]["rescue"]
    assert (planned["segments"], planned["bytes"]) == (3, 3 * 16 * 1024**2)
    assert not (crashed.root / "pgdata.restore").exists()
    result = well(run("restore", params))
    assert result["rescued"]["files"] == result["rescued"]["handed_back"] == sorted(only_here)
    assert rescued(crashed) == only_here
    *completed, unfinished = sorted(only_here)
    found = {path.name[:24] for path in (crashed.repo / "archive").rglob("*-*")}
    assert found.issuperset(completed)  # later restores need them, and PostgreSQL will not archive them
    assert unfinished not in found
    for name in only_here:
        path = crashed.pgdata / "pg_wal" / name
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.owner() == USER
    assert not well(run("restore", params))["changed"]
    crashed.open_up()
    assert [row[0] for row in crashed.sql("SELECT v FROM t ORDER BY v")] == sorted(ALL_ROWS)
    crashed.archive()
    assert rescued(crashed) == only_here


KILLED: list[tuple[str, Fault, bool]] = [
    # mode, where, whether the data directory is still the old one
    ("delta", ("_rescue", "copy_file", 2), True),
    ("delta", ("os", "fchmod", 2), True),
    ("delta", ("_restore", "_finish", 1), False),
    ("delta", ("_restore", "hand_back", 1), False),
    ("delta", ("_rescue", "sync_directory", 2), False),
    ("delta", ("_restore", "write_receipt", 1), False),
    ("swap", ("_restore", "_finish", 1), True),
    ("swap", ("_swap", "_rename", 1), True),
    ("swap", ("_swap", "_rename", 2), False),
    ("swap", ("_restore", "write_receipt", 1), False),
    ("swap", ("_restore", "drop_journal", 1), False),
]


@pytest.mark.parametrize(("mode", "fault", "untouched"), KILLED)
def test_a_killed_module_is_finished_by_the_next(
    crashed: t.Any, run: Run, run_faulty: t.Any, tree_hash: Hash, mode: str, fault: Fault, untouched: bool
) -> None:
    only_here, before = unarchived(crashed), tree_hash(crashed.pgdata)
    params = {**crashed.restoring, mode: True}
    assert run_faulty(params, fault).returncode in (-signal.SIGKILL, 128 + signal.SIGKILL)
    assert (crashed.pgdata.exists() and tree_hash(crashed.pgdata) == before) == untouched
    if not untouched:
        assert rescued(crashed) == only_here
    foreseen = run("restore", params, check=True)
    only_receipt = mode == "delta" and fault[1] in ("sync_directory", "write_receipt")
    assert well(foreseen)["changed"] != only_receipt, foreseen
    result = well(run("restore", params))
    assert result["restored_at"]
    assert rescued(crashed) == only_here
    assert not list((crashed.root / "pgdata.restore").rglob("*.tmp"))
    again = well(run("restore", params))
    assert not again["changed"]
    kept = list(crashed.root.glob("pgdata.before-*"))
    assert [str(path) for path in kept] == ([result["kept"]] if mode == "swap" else [])
    assert crashed.rows() == ALL_ROWS
    if kept:
        assert well(run("restore", {**crashed.restoring, "state": "put_back"}))["changed"]
        assert tree_hash(crashed.pgdata) == before


def test_another_request_undoes_what_was_interrupted(
    crashed: t.Any, history: dict[str, str], run: Run, run_faulty: t.Any, tree_hash: Hash
) -> None:
    before = tree_hash(crashed.pgdata)
    params = {**crashed.restoring, "swap": True}
    run_faulty(params, ("_swap", "_rename", 2))
    assert not crashed.pgdata.exists()
    other = {**params, "type": "immediate", "target_action": "promote"}
    planned = run("restore", other, check=True)
    assert "was killed while" in str(planned.get("warnings", planned)), planned
    assert not crashed.pgdata.exists()
    result = well(run("restore", other))
    assert "Undid the swap that was interrupted" in str(result["warnings"])
    assert tree_hash(result["kept"]) == tree_hash(crashed.root / Path(result["kept"]).name)
    assert crashed.rows() == ["in backup"]
    run_faulty({**crashed.restoring, "state": "put_back"}, ("_swap", "_rename", 2))
    assert not crashed.pgdata.exists()
    assert well(run("restore", {**crashed.restoring, "state": "put_back"}))["changed"]
    assert tree_hash(crashed.pgdata) == before


def test_pgbackrest_that_outlives_the_module_keeps_others_away(crashed: t.Any, run: Run, module_tree: Path) -> None:
    slowed = crashed.root / "slowed"
    slowed.write_text(
        f'#!/bin/bash\n{crashed.executable} "$@"; rc=$?\n[ "${{@: -1}}" != restore ] || sleep 4\nexit $rc\n',
        encoding="utf-8",
    )
    slowed.chmod(0o755)
    params = {**crashed.restoring, "swap": True}
    first = threading.Thread(target=ignoring, args=[run, {**params, "executable": str(slowed)}])
    first.start()
    data = crashed.root / "pgdata.restore" / "data"
    wait_for((data / "PG_VERSION").exists)
    kill("-c", "restore", tree=module_tree)
    first.join()
    refused = run("restore", params)
    assert [problem["code"] for problem in refused["problems"]] == ["locked"]
    wait_for(lambda: not processes(str(slowed)))
    assert well(run("restore", params))["changed"]
    assert crashed.rows() == ALL_ROWS


def ignoring(run: Run, params: dict[str, t.Any]) -> None:
    """Run the module that is going to be killed."""
    with contextlib.suppress(AssertionError):
        run("restore", params)


def kill(*words: str, tree: Path | None = None) -> None:
    """End the processes of this test with these words at once: ``words`` or the modules' ``tree`` are of this one."""
    for pid in processes(*words, tree=tree):
        os.kill(pid, signal.SIGKILL)


def processes(*wanted: str, tree: Path | None = None) -> list[int]:
    """Processes of the cluster's user with these words on their command line, and with modules from this tree."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = entry.read_bytes().decode(errors="replace").split("\0")
            if all(word in words for word in wanted) and entry.stat().st_uid == pwd.getpwnam(USER).pw_uid:
                environment = (entry.parent / "environ").read_bytes().split(b"\0")
                if tree is None or f"PYTHONPATH={tree}".encode() in environment:
                    found.append(int(entry.parent.name))
    return found


@pytest.mark.parametrize("mode", ["full", "delta", "swap"])
def test_a_restore_killed_before_its_first_file_is_done_again(stopped: t.Any, run: Run, mode: str) -> None:
    """pgBackRest makes all directories, then its manifest under another name; without a name nobody knows it."""
    begin_restore(stopped)
    (left,) = [path for path in stopped.pgdata.rglob("*") if not path.is_dir()]
    assert left.name == "backup.manifest.pgbackrest.tmp"
    params = {**stopped.restoring, **({mode: True} if mode != "full" else {})}
    plan = well(run("restore", params, check=True))["plan"]
    assert left.exists()
    assert plan["directory"]["text"] == "empty but for the beginning of a restore"
    taken = left.stat().st_blocks * 512  # as much as was written when it was killed
    assert [entry["bytes"] for entry in plan["overwrites"]] == ([] if mode == "swap" else [taken])
    result = well(run("restore", params))
    assert result["changed"]
    assert result["kept"] is None
    assert not list(stopped.root.glob("pgdata.before-*"))
    assert not well(run("restore", params))["changed"]
    assert stopped.rows() == ["in backup", "first", "second"]


def begin_restore(cluster: t.Any) -> None:
    """Kill pgBackRest between its directories and its first file; that takes a few tries."""
    argv = [cluster.executable, f"--config={cluster.config}", f"--stanza={cluster.stanza}", "restore"]
    user = USER if os.geteuid() == 0 else None
    for _time in range(30):
        shutil.rmtree(cluster.pgdata)
        cluster.make_directory(cluster.pgdata.name).chmod(0o700)
        unnamed, named = (cluster.pgdata / f"backup.manifest{end}" for end in (".pgbackrest.tmp", ""))
        with subprocess.Popen(argv, user=user, group=user, cwd="/", stdout=subprocess.DEVNULL) as process:
            while process.poll() is None and not os.path.exists(unnamed):
                pass
            process.kill()
        if unnamed.exists() and not named.exists():
            return
    raise AssertionError("pgBackRest was never caught before its manifest had its name")


@pytest.mark.parametrize("mode", ["delta", "swap"])
def test_a_killed_pgbackrest_and_a_lost_repository(crashed: t.Any, run: Run, tree_hash: Hash, mode: str) -> None:
    into = crashed.pgdata if mode == "delta" else crashed.root / "pgdata.restore" / "data"
    if mode == "delta":
        shutil.rmtree(crashed.pgdata / "base" / "1")
    before, only_here = tree_hash(crashed.pgdata), unarchived(crashed)
    params = {**crashed.restoring, mode: True, "process_max": 1}
    gone = crashed.root / "gone"
    for act, text in (
        (
            lambda: kill(f"--config={crashed.config}", "restore"),
            "signal 9",
        ),
        (lambda: shutil.move(crashed.repo, gone), "repo"),
    ):
        watcher = threading.Thread(target=when_files_arrive, args=[into, act])
        watcher.start()
        result = run("restore", params)
        watcher.join()
        assert result["failed"] and text in result["msg"], result
        assert f"{crashed.root}/pgdata.restore/rescued" in result["msg"]
        if mode == "delta":
            assert "holds half a restore now" in result["msg"]
        else:
            assert "is as it was and can be started" in result["msg"]
            assert tree_hash(crashed.pgdata) == before
        assert rescued(crashed) == only_here
        time.sleep(0.3)
    assert run("restore", params)["failed"]
    shutil.move(gone, crashed.repo)
    assert well(run("restore", params))["changed"]
    assert crashed.rows() == ALL_ROWS


def when_files_arrive(into: Path, act: t.Callable[[], t.Any]) -> None:
    """Do something as soon as pgBackRest has begun to write to a directory anew."""
    before = begun(into)
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if begun(into) not in (None, before):
            act()
            return
        time.sleep(0.002)


def begun(into: Path) -> int | None:
    """When the restore in a directory began; None when none did."""
    with contextlib.suppress(OSError):
        return (into / "backup.manifest").stat().st_mtime_ns
    return None


@pytest.fixture(name="small")
def small_fixture(crashed: t.Any) -> t.Iterator[Path]:
    """The root of the crashed cluster in a file system of its own with little room."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small file system")
    copy = crashed.root.with_name(f"{crashed.root.name}-copy")
    shutil.move(crashed.root, copy)
    crashed.root.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400m", "none", str(crashed.root)], check=False).returncode:
        pytest.skip("this machine allows no mount")
    try:
        subprocess.run(["cp", "-a", f"{copy}/.", str(crashed.root)], check=True)
        shutil.chown(crashed.root, USER)
        yield crashed.root
        crashed.stop("immediate")
    finally:
        subprocess.run(["umount", "-l", str(crashed.root)], check=True)
        shutil.rmtree(copy)


def leave_only_unarchived_wal(cluster: t.Any) -> None:
    """Have a delta restore, which empties pg_wal first, gain less room there than it needs to hand the WAL back.

    How many segments PostgreSQL keeps for later differs.
    """
    kept = unarchived(cluster)
    for path in (cluster.pgdata / "pg_wal").iterdir():
        if path.is_file() and path.name not in kept:
            path.unlink()


@pytest.mark.parametrize("mode", ["delta", "swap"])
def test_a_full_disk_costs_nothing(
    crashed: t.Any, small: Path, run: Run, run_faulty: t.Any, tree_hash: Hash, mode: str
) -> None:
    before, room = tree_hash(crashed.pgdata), crashed.make_directory("room") / "filler"
    params = {**crashed.restoring, mode: True}
    answer = json.loads(run_faulty(params, ("_rescue", "copy_file", 2), room).stdout.splitlines()[-1])
    assert "The restore stopped before it touched anything: 3 WAL files" in answer["msg"], answer
    assert "No space left on device" in answer["msg"], answer
    assert tree_hash(crashed.pgdata) == before
    assert len(rescued(crashed)) == 1
    assert not list((small / "pgdata.restore").rglob("*.tmp"))
    room.unlink()
    if mode == "delta":
        leave_only_unarchived_wal(crashed)
        for oid in ("1", "4", "5"):
            shutil.rmtree(crashed.pgdata / "base" / oid)
    answer = json.loads(run_faulty(params, ("_restore", "_restore", 1), room).stdout.splitlines()[-1])
    # pgBackRest hides the reason when a part of the data still fitted; the module then says what is free.
    assert "No space left on device" in answer["msg"] or re.search(r"/\S+ has 0 B free\.", answer["msg"]), answer
    left = {
        "delta": "is restored, but not complete: do not start it yet",
        "swap": f"{crashed.pgdata} is as it was and can be started",
    }
    assert left[mode] in answer["msg"], answer
    if mode == "swap":
        assert tree_hash(crashed.pgdata) == before
    room.unlink()
    assert well(run("restore", params))["changed"]
    assert rescued(crashed).keys() == {f"{number:024X}" for number in range(0x10000000000000004, 0x10000000000000007)}
    assert crashed.rows() == ALL_ROWS


def test_an_older_rescue_is_not_overwritten(crashed: t.Any, run: Run) -> None:
    name = f"{0x10000000000000006:024X}"
    system = crashed.info()["db"][0]["system-id"]
    for name_ in ("pgdata.restore", "pgdata.restore/rescued", f"pgdata.restore/rescued/{system}"):
        place = crashed.make_directory(name_)
    older = bytearray((crashed.pgdata / "pg_wal" / name).read_bytes())
    older[8 * 1024**2 :] = bytes(8 * 1024**2 - 1) + b"x"
    (place / name).write_bytes(older)
    shutil.chown(place / name, USER) if os.geteuid() == 0 else None
    newest = (crashed.pgdata / "pg_wal" / name).read_bytes()
    result = well(run("restore", {**crashed.restoring, "swap": True}))
    assert "differ. Both are kept" in str(result["warnings"])
    assert (place / name).read_bytes() == newest
    assert [path.read_bytes() for path in place.glob(f"{name}.*")] == [bytes(older)]
    assert crashed.rows() == ALL_ROWS
