# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The program that takes scheduled backups, with small scripts in place of pgBackRest and psql."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import typing as t
from pathlib import Path

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils import _scheduled_backup as runner

Run = t.Callable[..., int]

# Keeps its backups as lines "repository label error" in a file, and does what other files beside it say.
PGBACKREST = """\
import json, os, sys, time
here = os.path.dirname(sys.argv[0])
def read(name):
    path = os.path.join(here, name)
    return open(path).read() if os.path.exists(path) else ""
with open(os.path.join(here, "calls"), "a") as log:
    log.write(" ".join(sys.argv[1:]) + "\\n")
options = dict(word[2:].partition("=")[::2] for word in sys.argv[1:-1])
repo = int(options.get("repo", 0))
lines = [line.split() for line in read("backups").splitlines()]
if sys.argv[-1] == "info":
    if read("info-error"):
        print(read("info-error"))
        sys.exit(37)
    found = [
        {"label": label, "error": error == "true", "timestamp": {"stop": number}, "database": {"repo-key": int(key)}}
        for number, (key, label, error) in enumerate(lines) if not repo or repo == int(key)
    ]
    print("P00   WARN: configuration file contains invalid option 'x'")
    print(json.dumps([{"name": "main", "repo": [{"key": 1}, {"key": 2}], "backup": found}]))
    sys.exit(0)
print("P00   INFO: backup command begin")
if read("slow"):
    open(os.path.join(here, "slow.begun"), "w").close()
    time.sleep(60)
error = read("error-%d" % repo)
if error:
    if "temporarily" in error:
        os.unlink(os.path.join(here, "error-%d" % repo))
    print(error)
    sys.exit(int(error.split("[")[1][:3]))
if not read("forgetful"):
    with open(os.path.join(here, "backups"), "a") as log:
        log.write("%d new-%d %s\\n" % (repo, len(lines), "true" if read("damaged") else "false"))
"""
# A shell of cron or of a terminal, and what it starts: of a terminal that leads a process group of its own.
SESSION = """\
import os, runpy, sys
os.setsid()
if os.fork():
    os.wait()
    sys.exit()
os.nice(int(sys.argv[2]))
if sys.argv[3] == "terminal":
    os.setpgid(0, 0)
words = ["--stanza=main", "--type=full", "--executable=/nonexistent", "--state-directory=/nonexistent"]
runpy.run_path(sys.argv[1])["main"](words)
print(open("/proc/self/autogroup").read())
"""
PSQL = """\
import os, sys
here = os.path.dirname(sys.argv[0])
with open(os.path.join(here, "psql-calls"), "a") as log:
    log.write(" ".join(sys.argv[1:]) + "\\n")
answer = open(os.path.join(here, "answers")).read().splitlines()
if len(answer) > 1:
    open(os.path.join(here, "answers"), "w").write("\\n".join(answer[1:]))
rc, text = answer[0].split(" ", 1)
print(text, file=sys.stdout if rc == "0" else sys.stderr)
sys.exit(int(rc))
"""


@pytest.fixture(name="bin_directory")
def bin_directory_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Programs that do as the test says; the directory is the first of the path."""
    directory = tmp_path / "bin"
    directory.mkdir()
    for name, text in (("pgbackrest", PGBACKREST), ("psql", PSQL)):
        (directory / name).write_text(f"#!{sys.executable}\n{text}", encoding="utf-8")
        (directory / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
    return directory


@pytest.fixture(name="state_directory")
def state_directory_fixture(tmp_path: Path) -> Path:
    directory = tmp_path / "state" / "main"
    directory.mkdir(parents=True)
    return directory


@pytest.fixture(name="run")
def run_fixture(bin_directory: Path, state_directory: Path, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[Run]:
    """Run the program in this process, without waiting."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}

    def run(*words: str, kind: str = "full") -> int:
        common = ["--stanza=main", f"--type={kind}", f"--state-directory={state_directory.parent}"]
        return runner.main([*common, *words])

    monkeypatch.setattr(runner, "_RETRY_WAIT", 0)
    monkeypatch.setattr(runner, "_LOCK_WAIT", 0)
    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


def state(directory: Path, name: str = "full") -> dict[str, t.Any]:
    return t.cast("dict[str, t.Any]", json.loads((directory / f"{name}.json").read_text(encoding="utf-8")))


def calls(directory: Path, command: str = "backup") -> list[str]:
    return [line for line in (directory / "calls").read_text(encoding="utf-8").splitlines() if line.endswith(command)]


def test_a_backup_in_every_repository(run: Run, bin_directory: Path, state_directory: Path) -> None:
    (bin_directory / "backups").write_text("1 old false\n2 old false\n", encoding="utf-8")
    assert run() == 0
    logging = "--log-level-console=info --log-level-stderr=off --no-log-timestamp"
    assert calls(bin_directory) == [f"--stanza=main {logging} --type=full --repo={repo} backup" for repo in (1, 2)]
    found = state(state_directory)
    assert found["last_run"]["result"] == "success" and "last_failure" not in found
    assert found["last_success"]["started"] <= found["last_success"]["finished"]
    labels = {repo: record["last_success"]["label"] for repo, record in found["repositories"].items()}
    assert labels == {"1": "new-2", "2": "new-3"}
    path = state_directory / "full.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert sorted(os.listdir(state_directory)) == ["full.json", "lock"]


def test_given_repositories_and_options(run: Run, bin_directory: Path, state_directory: Path) -> None:
    options = ["--repo=2", "--quiet", "--config=/etc/x.conf", f"--executable={bin_directory}/pgbackrest"]
    assert run(*options, kind="diff") == 0
    assert calls(bin_directory) == [
        "--config=/etc/x.conf --stanza=main --log-level-console=warn --log-level-stderr=off --no-log-timestamp "
        "--type=diff --repo=2 backup"
    ]
    assert state(state_directory, "diff-repo2")["type"] == "diff"


def test_one_failing_repository_does_not_stop_the_next(
    run: Run, bin_directory: Path, state_directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run() == 0
    before = state(state_directory)
    error = "P00  ERROR: [041]: unable to load info file:\n            FileOpenError: no\n            HINT: mount it?"
    (bin_directory / "error-1").write_text(error, encoding="utf-8")
    assert run() == 1
    after = state(state_directory)
    message = "The full backup of stanza main failed: repository 1: [041] unable to load info file: FileOpenError: no."
    assert after["last_run"]["message"] == after["last_failure"]["message"] == message
    assert after["last_success"] == before["last_success"]
    assert after["repositories"]["1"]["last_success"] == before["repositories"]["1"]["last_success"]
    assert after["repositories"]["2"]["last_success"]["label"] == "new-2"
    captured = capsys.readouterr()
    assert captured.err == message + "\n"
    assert error in captured.out


def test_page_checksum_errors_are_a_failure(run: Run, bin_directory: Path, state_directory: Path) -> None:
    (bin_directory / "damaged").write_text("yes", encoding="utf-8")
    assert run("--repo=1") == 1
    found = state(state_directory, "full-repo1")
    assert "backup new-0 has page checksum errors" in found["last_failure"]["message"]
    assert "last_success" not in found


def test_a_backup_that_nobody_sees_is_a_failure(run: Run, bin_directory: Path, state_directory: Path) -> None:
    (bin_directory / "backups").write_text("1 old false\n", encoding="utf-8")
    (bin_directory / "forgetful").write_text("yes", encoding="utf-8")
    assert run("--repo=1") == 1
    assert "shows no new backup" in state(state_directory, "full-repo1")["last_failure"]["message"]


def test_unreadable_repositories_are_a_failure(run: Run, bin_directory: Path, state_directory: Path) -> None:
    (bin_directory / "info-error").write_text("ERROR: [037]: info command requires option: x", encoding="utf-8")
    assert run() == 1
    message = "pgbackrest info failed with exit status 37: [037] info command requires option: x."
    assert state(state_directory)["last_run"]["message"].endswith(message)
    assert calls(bin_directory) == []


def test_waits_for_the_lock_of_others(run: Run, bin_directory: Path) -> None:
    error = "P00  ERROR: [050]: unable to acquire lock: Resource temporarily unavailable"
    (bin_directory / "error-1").write_text(error, encoding="utf-8")
    assert run("--repo=1") == 0
    assert len(calls(bin_directory)) == 2


@pytest.mark.parametrize(
    ("error", "patience"), [("Permission denied", 60), ("Resource temporarily unavailable", 0)]
)  # fmt: skip
def test_does_not_wait_in_vain(run: Run, bin_directory: Path, error: str, patience: int) -> None:
    (bin_directory / "error-1").write_text(f"ERROR: [050]: unable to acquire lock: {error}", encoding="utf-8")
    assert run("--repo=1", f"--wait-for-lock={patience}") == 1
    assert len(calls(bin_directory)) == 1


def test_a_standby_takes_no_backup(
    run: Run, bin_directory: Path, state_directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (bin_directory / "answers").write_text("0 f\n0 t", encoding="utf-8")
    cluster = ["--port=5433", "--socket-directory=/run/x", "--login-user=u", "--login-db=d"]
    assert run(*cluster) == 0
    before = state(state_directory)
    assert before["last_run"]["result"] == "success"
    assert run(*cluster) == 0
    after = state(state_directory)
    assert after["last_run"]["result"] == "standby"
    assert after["last_success"] == before["last_success"]
    assert len(calls(bin_directory)) == 2
    sentence = "The cluster on port 5433 is a standby; the backup is taken on the primary."
    assert capsys.readouterr().out.splitlines()[-1] == sentence
    asked = (bin_directory / "psql-calls").read_text(encoding="utf-8").splitlines()[0]
    assert asked == (
        "--no-psqlrc --no-password --tuples-only --no-align --dbname=d --host=/run/x --port=5433 --username=u "
        "--command=SELECT pg_is_in_recovery()"
    )


def test_a_server_that_is_starting_gets_time(run: Run, bin_directory: Path) -> None:
    (bin_directory / "answers").write_text("2 the database system is starting up\n0 f", encoding="utf-8")
    assert run("--port=5432") == 0
    assert len(calls(bin_directory)) == 2


@pytest.mark.parametrize(("answer", "patience"), [("2 no such file", 0), ("1 no database", 60), ("0 ?", 60)])
def test_no_backup_without_an_answer(
    run: Run, bin_directory: Path, state_directory: Path, answer: str, patience: int
) -> None:
    (bin_directory / "answers").write_text(answer, encoding="utf-8")
    assert run("--port=5432", f"--wait-for-server={patience}") == 1
    message = state(state_directory)["last_run"]["message"]
    assert "the cluster on port 5432 did not say whether it is a standby: " in message
    assert not (bin_directory / "calls").exists()


def test_no_psql(run: Run, state_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner.shutil, "which", lambda name: None)
    monkeypatch.setattr(runner, "_PSQL_PLACES", ())
    assert run("--port=5432") == 1
    assert "psql is not on this host" in state(state_directory)["last_run"]["message"]


def test_no_pgbackrest(run: Run, state_directory: Path) -> None:
    assert run("--executable=/nonexistent/pgbackrest") == 1
    message = "/nonexistent/pgbackrest cannot be started: No such file or directory."
    assert state(state_directory)["last_run"]["message"].endswith(message)


def test_quiet_unless_it_fails(run: Run, bin_directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (bin_directory / "answers").write_text("0 t", encoding="utf-8")
    assert run("--quiet", "--port=5432") == 0
    assert capsys.readouterr() == ("", "")
    assert run("--quiet", "--executable=/nonexistent/pgbackrest") == 1
    assert "cannot be started" in capsys.readouterr().err


def test_a_damaged_result_is_begun_anew(run: Run, state_directory: Path) -> None:
    (state_directory / "full.json").write_text("[1", encoding="utf-8")
    assert run() == 0
    assert state(state_directory)["last_run"]["result"] == "success"


def test_the_backup_matters_more_than_its_record(
    run: Run, bin_directory: Path, state_directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state_directory.rmdir()
    assert run() == 1
    assert len(calls(bin_directory)) == 2
    error = capsys.readouterr().err
    assert error.startswith("The full backup of stanza main is done. The result could not be written to ")


def test_backups_of_a_stanza_wait_for_each_other(run: Run, bin_directory: Path, state_directory: Path) -> None:
    with open(state_directory / "lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        seen: list[bool] = []

        def release() -> None:
            seen.append((bin_directory / "calls").exists())
            fcntl.flock(lock, fcntl.LOCK_UN)

        timer = threading.Timer(0.5, release)
        timer.start()
        assert run("--repo=1") == 0
        timer.join()
    assert seen == [False]


def test_a_signal_ends_the_backup_in_order(bin_directory: Path, state_directory: Path) -> None:
    (bin_directory / "slow").write_text("yes", encoding="utf-8")
    words = ["--stanza=main", "--type=full", f"--state-directory={state_directory.parent}"]
    with subprocess.Popen([sys.executable, runner.__file__, *words], stderr=subprocess.PIPE, text=True) as process:
        while not (bin_directory / "slow.begun").exists():
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        error = process.communicate(timeout=20)[1]
    message = "The full backup of stanza main failed: repository 1: it was ended by signal SIGTERM."
    assert (process.returncode, error) == (1, message + "\n")
    assert state(state_directory)["last_run"]["message"] == message
    assert len(calls(bin_directory)) == 1


def has_autogroups() -> bool:
    """Whether the kernel shares its processors among sessions."""
    found = Path("/proc/self/autogroup")
    return found.exists() and bool(found.read_text(encoding="utf-8"))


@pytest.mark.skipif(not has_autogroups(), reason="This kernel does not share its processors among sessions.")
@pytest.mark.skipif(os.nice(0) != 0, reason="The tests themselves run with another priority.")
@pytest.mark.parametrize(("nice", "kind", "expected"), [(7, "cron", "7"), (0, "cron", "0"), (7, "terminal", "0")])
def test_a_low_priority_counts_against_other_sessions(nice: int, kind: str, expected: str) -> None:
    argv = [sys.executable, "-c", SESSION, runner.__file__, str(nice), kind]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert "/nonexistent cannot be started" in done.stderr
    assert done.stdout.split()[-1] == expected
