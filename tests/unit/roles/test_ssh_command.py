# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The forced command of the SSH transport, with a pgbackrest that shows its arguments."""

from __future__ import annotations

import shutil
import subprocess
import typing as t
from dataclasses import dataclass
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "roles/repository/files/ssh-command"
SHELLS = [shell for shell in ("dash", "bash", "busybox") if shutil.which(shell)]
PUSH = (
    "pgbackrest --archive-async --exec-id=4711-0af3 --log-level-console=off --log-level-file=off "
    "--log-level-stderr=error --process=2 --remote-type=repo --repo=1 --stanza=main archive-push:remote"
)
# What pgBackRest 2.60 sends when every option that travels is set.
CREATE = (
    "pgbackrest --buffer-size=2MiB --db-timeout=100 --exec-id=1-2 --io-timeout=30 --lock=main-archive-1.lock "
    "--lock=main-backup-1.lock --log-level-console=off --log-level-file=detail --log-level-stderr=error "
    "--log-subprocess --no-log-timestamp --no-neutral-umask --pg1-path=/var/lib/postgresql/18/main --pg1-port=5432 "
    "--pg1-socket-path=/var/run/postgresql --pg1-user=postgres --process=0 --protocol-timeout=200 --remote-type=repo "
    "--repo=1 --no-sck-keep-alive --stanza=main stanza-create:remote"
)


@dataclass(frozen=True)
class Ended:
    """What the script did; ``log`` is what it told syslog."""

    returncode: int
    stdout: str
    stderr: str
    log: str


Run = t.Callable[..., Ended]


@pytest.fixture(name="run", params=SHELLS)
def run_fixture(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """Run the script as sshd does: through a shell, the client's words in the environment."""
    script, program, log = tmp_path / "ssh-command", tmp_path / "pgbackrest", tmp_path / "log"
    lines = SCRIPT.read_text(encoding="utf-8").splitlines()
    number = next(number for number, line in enumerate(lines) if line.startswith("export PATH="))
    lines[number] = f"export PATH={tmp_path}:/usr/bin:/bin"
    script.write_text("\n".join(lines) + "\n", encoding="utf-8")
    program.write_text('#!/bin/sh\nprintf "<%s>\\n" "$@"\n', encoding="utf-8")
    (tmp_path / "logger").write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >>{log}\n', encoding="utf-8")
    for path in (program, tmp_path / "logger"):
        path.chmod(0o755)
    shell = [request.param, "sh"] if request.param == "busybox" else [request.param]

    def run(command: str | None, *words: str) -> Ended:
        environment = {"SSH_CLIENT": "10.0.0.5 40000 22"}
        if command is not None:
            environment["SSH_ORIGINAL_COMMAND"] = command
        argv = [*shell, str(script), *(words or ("repo", "main", "web"))]
        result = subprocess.run(argv, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
        told = log.read_text(encoding="utf-8") if log.exists() else ""
        return Ended(result.returncode, result.stdout, result.stderr, told)

    return run


@pytest.mark.parametrize("command", [PUSH, CREATE, PUSH.replace("main", "web")])
def test_what_pgbackrest_sends_passes_unchanged(run: Run, command: str) -> None:
    result = run(command)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [f"<{word}>" for word in command.split()[1:]]
    assert not result.log


def test_what_the_repository_host_sends_passes(run: Run) -> None:
    command = CREATE.replace("--remote-type=repo --repo=1", "--remote-type=pg")
    assert run(command, "pg", "main").returncode == 0


def test_the_program_may_be_named_with_its_path(run: Run) -> None:
    assert run(PUSH.replace("pgbackrest ", "/usr/bin/pgbackrest ", 1)).stdout.startswith("<--archive-async>")


def test_a_value_in_quotes_stays_one_word(run: Run) -> None:
    result = run(CREATE.replace("/var/lib/postgresql/18/main", '"/data/my $(id) * cluster"'))
    assert result.returncode == 0
    assert "<--pg1-path=/data/my $(id) * cluster>" in result.stdout.splitlines()


REFUSED = {
    "a shell": (None, "there is no shell"),
    "an empty command": ("", "there is no shell"),
    "another program": ("rm -rf /", "only pgbackrest may be run"),
    "a program with a similar name": ("pgbackrest-x --stanza=main info:remote", "only pgbackrest may be run"),
    "no command": ("pgbackrest", "without a command"),
    "another stanza": (PUSH.replace("=main", "=other"), "stanza other is not among those of this key (main web)"),
    "a stanza whose name begins alike": (PUSH.replace("=main", "=main2"), "stanza main2 is not among"),
    "a pattern as stanza": (PUSH.replace("=main", "=*"), "stanza * is not among"),
    "two stanzas": (PUSH.replace("--repo=1", "--stanza=web"), "more than one stanza"),
    "no stanza": (PUSH.replace("--stanza=main ", ""), "no stanza is named"),
    "a stanza in a word of its own": (
        PUSH.replace("--stanza=main", "--stanza main"),
        "option --stanza may not be given",
    ),
    "the other side": (PUSH.replace("=repo ", "=pg "), "remote-type pg is not for this key"),
    "no side": (PUSH.replace("--remote-type=repo ", ""), "no remote-type is named"),
    "both sides": (PUSH.replace("--repo=1", "--remote-type=repo"), "more than one remote-type"),
    "a local command": (PUSH.replace(":remote", ""), "archive-push is no command for a remote host"),
    "removing a stanza": (PUSH.replace("archive-push", "stanza-delete"), "command stanza-delete may not be run"),
    "removing files": (PUSH.replace("archive-push", "repo-rm"), "command repo-rm may not be run"),
    "a server": (PUSH.replace("archive-push", "server"), "command server may not be run"),
    "more behind the command": (f"{PUSH} --config=/x", "archive-push:remote is no option"),
    "a second command": (f"{PUSH}; id", "archive-push:remote; is no option"),
    "an expansion": (PUSH.replace("--repo=1", "--repo=$(id)"), "--repo=$(id) is no option with a simple value"),
    "an open quote": (PUSH.replace("--repo=1", '--repo="1'), "a quote is not closed"),
    "two lines": (f"{PUSH}\nid", "characters that cannot be printed"),
    "a lock elsewhere": (CREATE.replace("main-backup-1.lock", "../../x"), "is no lock file"),
    "a lock of another stanza": (CREATE.replace("main-backup-1", "other-backup-1"), "no lock file of the stanzas"),
    "an option with a number that is none": (CREATE.replace("--pg1-port", "--pg1x-port"), "--pg1x-port may not"),
}


@pytest.mark.parametrize(("command", "sentence"), REFUSED.values(), ids=REFUSED)
def test_everything_else_is_refused(run: Run, command: str | None, sentence: str) -> None:
    result = run(command)
    assert result.returncode == 105
    assert not result.stdout
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.log.startswith("-t pgbackrest-ssh-command -p auth.warning -- refused 10.0.0.5: ")
    assert result.log.count("\n") == 1


@pytest.mark.parametrize(
    "option",
    [
        "config=/backup/archive/main/evil.conf",
        "config-path=/backup",
        "config-include-path=/backup",
        "cmd=/backup/evil",
        "cmd-ssh=/backup/evil",
        "repo1-path=/",
        "repo1-type=cifs",
        "repo1-host=elsewhere",
        "repo1-host-cmd=/backup/evil",
        "repo1-s3-process-cmd=/backup/evil",
        "repo1-cipher-type=none",
        "pg1-host=elsewhere",
        "pg1-host-cmd=/x",
        "log-path=/backup",
        "lock-path=/backup",
        "spool-path=/backup",
        "tls-server-auth=a=*",
        "allow-root",
    ],
)
def test_an_option_that_leads_elsewhere_is_refused(run: Run, option: str) -> None:
    result = run(PUSH.replace("--repo=1", f"--repo=1 --{option}"))
    assert (result.returncode, result.stdout) == (105, "")
    assert f"option --{option.split('=')[0]} may not be given" in result.stderr


@pytest.mark.parametrize("words", [(), ("repo",), ("both", "main")])
def test_a_wrong_line_in_authorized_keys_lets_nothing_through(run: Run, words: tuple[str, ...]) -> None:
    assert run(PUSH, *(words or ("",))).returncode == 105


def test_database_host_lets_nobody_archive(run: Run) -> None:
    result = run(PUSH.replace("=repo --repo=1", "=pg"), "pg", "main")
    assert result.returncode == 105
    assert "command archive-push may not be run" in result.stderr
