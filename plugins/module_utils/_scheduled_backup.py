# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Take a scheduled backup of one stanza with pgBackRest, and keep how it ended.

The module pgops.pgbackrest.schedule installs the text of this file as a program for systemd and cron. It needs nothing
but Python. On a standby it does nothing. A repository that fails does not keep the next one from its backup.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import typing as t
from datetime import datetime, timezone

STATE_DIRECTORY = "/var/lib/pgops-pgbackrest"

_ERROR = re.compile(r"^(?:.*P\d\d +)?ERROR: \[(?P<code>\d{3})\]: (?P<text>.*)")
_JSON = re.compile(r"^\[\{.*", re.MULTILINE | re.DOTALL)
_PSQL_PLACES = ("/usr/pgsql-*/bin/psql", "/usr/lib/postgresql/*/bin/psql")
_NO_CONNECTION = 2  # exit status of psql
_RETRY_WAIT = 5
_LOCKED = 50  # exit status of pgBackRest; also when it may not open the lock file
_LOCK_WAIT = 60


class Failure(Exception):
    """A backup failed; the text says why."""


class Interrupted(Exception):
    """Somebody wants this program to end."""


def state_name(kind: str, repos: t.Sequence[int]) -> str:
    """Name of a schedule within its stanza; the file with its results is called so.

    >>> state_name("full", []), state_name("diff", [1, 2])
    ('full', 'diff-repo1-repo2')
    """
    return "-".join([kind, *(f"repo{repo}" for repo in repos)])


def parse(words: t.Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Take a scheduled backup with pgBackRest.")
    parser.add_argument("--stanza", required=True)
    parser.add_argument("--type", required=True, choices=["full", "diff", "incr"])
    parser.add_argument("--repo", type=int, action="append", default=[], help="default: every repository")
    parser.add_argument("--executable", default="pgbackrest")
    parser.add_argument("--config")
    parser.add_argument("--config-path")
    parser.add_argument("--port", type=int, help="port of the local cluster: do nothing when it is a standby")
    parser.add_argument("--socket-directory")
    parser.add_argument("--login-user")
    parser.add_argument("--login-db", default="postgres")
    parser.add_argument("--wait-for-server", type=int, default=60, help="seconds to wait for the local cluster")
    parser.add_argument("--wait-for-lock", type=int, default=3600, help="seconds to wait for a backup taken by others")
    parser.add_argument("--delay", type=int, default=0, help="seconds to wait at the beginning")
    parser.add_argument("--quiet", action="store_true", help="print warnings and errors only")
    parser.add_argument("--state-directory", default=STATE_DIRECTORY)
    return parser.parse_args(words)


def say(text: str, stream: t.TextIO | None = None) -> None:
    """Print a sentence at once."""
    stream = stream or sys.stdout
    stream.write(text + "\n")
    stream.flush()


def words(options: argparse.Namespace, *more: str) -> list[str]:
    """Command line of pgBackRest."""
    places = [("config", options.config), ("config-path", options.config_path)]
    given = [f"--{name}={value}" for name, value in places if value]
    return [options.executable, *given, f"--stanza={options.stanza}", *more]


def ask(argv: t.Sequence[str]) -> tuple[int, str, str]:
    """Exit status and output of a short program."""
    environment = {**os.environ, "LC_ALL": "C", "PGCONNECT_TIMEOUT": "10"}
    try:
        # pylint: disable-next=ansible-bad-function  # there is no module here
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, check=False, env=environment, errors="replace"
        )
    except OSError as error:
        raise Failure(f"{argv[0]} cannot be started: {error.strerror}") from None
    return done.returncode, done.stdout, done.stderr


def last_error(line: str, error: str) -> str:
    """The last error so far, with the reason that follows after a colon on the next line.

    >>> last_error("   FileOpenError: it is gone", last_error("P00  ERROR: [041]: unable to load info file:", ""))
    '[041] unable to load info file: FileOpenError: it is gone'
    """
    found = _ERROR.match(line)
    if found:
        return f"[{found.group('code')}] {found.group('text').strip()}"
    return f"{error} {line.strip()}" if error.endswith(":") and line[:1].isspace() else error


def follow(argv: t.Sequence[str]) -> tuple[int, str]:
    """Run a long program and print its lines; returns its exit status and its last error."""
    error = ""
    try:
        # pylint: disable-next=ansible-bad-function  # there is no module here
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace"
        )
    except OSError as problem:
        raise Failure(f"{argv[0]} cannot be started: {problem.strerror}") from None
    with process:
        output = t.cast("t.TextIO", process.stdout)
        try:
            for line in output:
                say(line.rstrip("\n"))
                error = last_error(line, error)
        except Interrupted:
            process.terminate()
            say(output.read().rstrip("\n"))
            raise
    return process.returncode, error


def psql() -> str:
    """The client program, which is not in the path everywhere."""
    found = shutil.which("psql") or next((path for place in _PSQL_PLACES for path in sorted(glob.glob(place))), None)
    if not found:
        raise Failure("psql is not on this host, so nobody knows whether it is a standby: install PostgreSQL's client")
    return found


def is_standby(options: argparse.Namespace) -> bool:
    """Whether the local cluster is in recovery. A server that is just starting gets some time."""
    given = [("host", options.socket_directory), ("port", options.port), ("username", options.login_user)]
    argv = [psql(), "--no-psqlrc", "--no-password", "--tuples-only", "--no-align", f"--dbname={options.login_db}"]
    argv += [f"--{name}={value}" for name, value in given if value]
    patience = time.monotonic() + options.wait_for_server
    while True:
        status, answer, errors = ask([*argv, "--command=SELECT pg_is_in_recovery()"])
        if status == 0 and answer.strip() in ("t", "f"):
            return answer.strip() == "t"
        if status != _NO_CONNECTION or time.monotonic() >= patience:
            reason = " ".join(errors.split()) or "no answer"
            raise Failure(f"the cluster on port {options.port} did not say whether it is a standby: {reason}")
        time.sleep(_RETRY_WAIT)


def read_stanza(options: argparse.Namespace, *more: str) -> dict[str, t.Any]:
    """What the repositories hold, as pgBackRest tells it."""
    quiet = ["--output=json", "--log-level-console=off", "--log-level-stderr=error", *more, "info"]
    status, answer, errors = ask(words(options, *quiet))
    found = _JSON.search(answer)
    if status != 0 or not found:
        error = ""
        for line in (answer + errors).splitlines():
            error = last_error(line, error)
        raise Failure(f"pgbackrest info failed with exit status {status}: {error or 'it gave no reason'}")
    return t.cast("dict[str, t.Any]", json.loads(found.group())[0])


def backups(stanza: t.Mapping[str, t.Any], repo: int) -> dict[str, t.Any]:
    """The backups in one repository by their labels."""
    return {found["label"]: found for found in stanza["backup"] if found["database"]["repo-key"] == repo}


def back_up(options: argparse.Namespace, repo: int, known: t.Container[str]) -> dict[str, t.Any]:
    """Take a backup in one repository and look at it; returns its times and label."""
    started = int(time.time())
    level = "warn" if options.quiet else "info"
    logging = [f"--log-level-console={level}", "--log-level-stderr=off", "--no-log-timestamp"]
    argv = words(options, *logging, f"--type={options.type}", f"--repo={repo}", "backup")
    patience = time.monotonic() + options.wait_for_lock
    status, error = follow(argv)
    while status == _LOCKED and "temporarily unavailable" in error and time.monotonic() < patience:
        time.sleep(_LOCK_WAIT)
        status, error = follow(argv)
    if status != 0:
        raise Failure(error or f"pgbackrest backup ended with exit status {status}")
    there = backups(read_stanza(options, f"--repo={repo}"), repo)
    label = max(
        (name for name in there if name not in known), key=lambda name: there[name]["timestamp"]["stop"], default=""
    )
    if not label:
        raise Failure("pgbackrest backup ended well, but the repository shows no new backup")
    if there[label].get("error"):
        # pgBackRest itself ends well with such a backup.
        raise Failure(f"backup {label} has page checksum errors: find the damaged tables with pg_amcheck")
    return {**moment(started), "label": label}


def moment(started: int) -> dict[str, t.Any]:
    """When something began, and that it ends now."""
    now = int(time.time())
    readable = str(datetime.fromtimestamp(now, timezone.utc))
    return {"started": started, "finished": now, "finished_time": readable, "duration": now - started}


def read_state(path: str) -> dict[str, t.Any]:
    """How it ended so far; nothing when there is no readable file."""
    with contextlib.suppress(OSError, ValueError), open(path, encoding="utf-8") as stream:
        state = json.load(stream)
        if isinstance(state, dict):
            return state
    return {}


def write_state(path: str, state: t.Mapping[str, t.Any]) -> None:
    """Replace the file in one step. Everybody may read it."""
    handle, candidate = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".")
    try:
        with open(handle, "w", encoding="utf-8") as stream:
            json.dump(state, stream, indent=1, sort_keys=True)
            stream.write("\n")
            os.fchmod(stream.fileno(), 0o644)
        os.replace(candidate, path)
    except BaseException:
        os.unlink(candidate)
        raise


@contextlib.contextmanager
def turn(directory: str, stanza: str, quiet: bool) -> t.Iterator[None]:
    """Wait until no other scheduled backup of the stanza runs: pgBackRest itself would not wait, but fail."""
    try:
        handle = os.open(os.path.join(directory, "lock"), os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError:  # a backup matters more than its turn; writing the result will tell
        yield
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not quiet:
                say(f"Another scheduled backup of stanza {stanza} runs: waiting for its end.")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def each_repository(options: argparse.Namespace, state: dict[str, t.Any]) -> None:
    """Take the backups, one repository after the other. Raises Failure when one of them failed."""
    stanza = read_stanza(options)
    failures = []
    for repo in options.repo or [repository["key"] for repository in stanza["repo"]]:
        record = state.setdefault("repositories", {}).setdefault(str(repo), {})
        started = int(time.time())
        try:
            record["last_success"] = back_up(options, repo, backups(stanza, repo))
        except (Failure, Interrupted) as failure:
            record["last_failure"] = {**moment(started), "message": str(failure)}
            failures.append(f"repository {repo}: {failure}")
            if isinstance(failure, Interrupted):
                break
    if failures:
        raise Failure("; ".join(failures))


def run(options: argparse.Namespace, state: dict[str, t.Any]) -> tuple[str, str]:
    """Take the backups unless this is a standby; returns the result and a sentence."""
    if options.port and is_standby(options):
        return "standby", f"The cluster on port {options.port} is a standby; the backup is taken on the primary."
    each_repository(options, state)
    return "success", f"The {options.type} backup of stanza {options.stanza} is done."


def attempt(options: argparse.Namespace, state: dict[str, t.Any]) -> tuple[str, str]:
    """Run, and write down how it ended; returns the result and a sentence."""
    started = int(time.time())
    try:
        result, message = run(options, state)
    except (Failure, Interrupted) as failure:
        result, message = (
            "failure",
            f"The {options.type} backup of stanza {options.stanza} failed: {str(failure).rstrip('.:?')}.",
        )
    ended = moment(started)
    state.update(stanza=options.stanza, type=options.type, last_run={**ended, "result": result, "message": message})
    if result == "success":
        state["last_success"] = ended
    if result == "failure":
        state["last_failure"] = {**ended, "message": message}
    return result, message


def lower_session() -> None:
    """Let a low priority count against other sessions, too.

    Linux may share the CPUs among sessions (sched(7), autogroup), and nice alone counts within its own session only.
    For units of systemd CPUWeight does it. A job of a terminal stays in the terminal's session, which is left alone.
    """
    with contextlib.suppress(OSError):
        if os.nice(0) > 0:
            with contextlib.suppress(OSError):
                os.setsid()
            if os.getsid(0) == os.getpid():
                with open("/proc/self/autogroup", "w", encoding="ascii") as stream:
                    stream.write(str(os.nice(0)))


def heed_signals(handler: t.Any) -> None:
    """What happens when somebody wants this program to end."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, handler)


def interrupt(number: int, dummy: t.Any) -> t.NoReturn:
    """End in order, and only once."""
    heed_signals(signal.SIG_IGN)
    raise Interrupted(f"it was ended by signal {signal.Signals(number).name}")


def main(argv: t.Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    options = parse(argv)
    heed_signals(interrupt)
    lower_session()
    directory = os.path.join(options.state_directory, options.stanza)
    path = os.path.join(directory, f"{state_name(options.type, options.repo)}.json")
    result, message = "failure", "No backup was begun."
    try:
        time.sleep(options.delay)
        with turn(directory, options.stanza, options.quiet):
            state = read_state(path)
            result, message = attempt(options, state)
            heed_signals(signal.SIG_IGN)
            write_state(path, state)
    except Interrupted as interrupted:
        message = f"No backup was begun: {interrupted}."
    except OSError as error:
        result, message = "failure", f"{message} The result could not be written to {path}: {error.strerror}."
    if result == "failure":
        say(message, sys.stderr)
    elif not options.quiet:
        say(message)
    return 1 if result == "failure" else 0


if __name__ == "__main__":
    raise SystemExit(main())
