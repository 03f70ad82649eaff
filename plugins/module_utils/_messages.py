# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the pgbackrest program says. Private to the collection.

Messages are parsed, and every failure becomes one exception that carries pgBackRest's code, message and hint and says
what to do next. Pure.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from ._repository import readable_reason

# Names as in pgBackRest's error.yaml; a code is also the exit status.
ERROR_NAMES = {
    26: "checksum",
    27: "config",
    28: "file-invalid",
    29: "format",
    30: "command-required",
    31: "option-invalid",
    32: "option-invalid-value",
    37: "option-required",
    38: "pg-running",
    39: "protocol",
    40: "path-not-empty",
    41: "file-open",
    42: "file-read",
    43: "param-required",
    44: "archive-mismatch",
    45: "archive-duplicate",
    46: "version-not-supported",
    47: "path-create",
    48: "command-invalid",
    49: "host-connect",
    50: "lock-acquire",
    51: "backup-mismatch",
    52: "file-sync",
    53: "path-open",
    54: "path-sync",
    55: "file-missing",
    56: "db-connect",
    57: "db-query",
    58: "db-mismatch",
    60: "file-remove",
    61: "path-remove",
    62: "stop",
    63: "term",
    64: "file-write",
    67: "feature-not-supported",
    68: "archive-command-invalid",
    69: "link-expected",
    70: "link-destination",
    72: "host-invalid",
    73: "path-missing",
    74: "file-move",
    75: "backup-set-invalid",
    76: "tablespace-map",
    78: "link-map",
    79: "file-close",
    80: "db-missing",
    81: "db-invalid",
    82: "archive-timeout",
    83: "file-mode",
    87: "archive-disabled",
    88: "file-owner",
    89: "user-missing",
    93: "file-exists",
    94: "memory",
    95: "crypto",
    96: "param-invalid",
    97: "path-close",
    98: "file-info",
    99: "json-format",
    100: "kernel",
    101: "service",
    102: "execute",
    103: "repo-invalid",
    104: "command",
    105: "access",
    106: "clock",
}

# What the user does next, for the failures that automation meets most.
_CONFIGURATION_STEP = (
    "Look for it in pgBackRest's configuration file; the module pgops.pgbackrest.config finds such mistakes before it "
    "writes. A comment at the end of a line counts as part of the value."
)
_NEXT_STEPS = {
    27: "Check that PostgreSQL runs and that pg1-path, pg1-port and pg1-socket-path in the configuration point to it.",
    28: "The stanza was made for another cluster or another version of PostgreSQL. Compare with the module "
    "pgops.pgbackrest.stanza, which upgrades it after an upgrade of PostgreSQL and refuses anything else.",
    29: _CONFIGURATION_STEP,
    31: _CONFIGURATION_STEP,
    32: _CONFIGURATION_STEP,
    38: "Stop PostgreSQL on this data directory first.",
    39: "Install the same pgBackRest version on every host of the stanza.",
    41: "Run the task as the user who owns the files (become_user) and check their permissions.",
    42: "Run the task as the user who owns the files (become_user) and check their permissions.",
    44: "The archive belongs to another cluster. Give this cluster a stanza or repository of its own.",
    45: "A segment with this name and other content is already in the repository. Find out which cluster wrote it "
    "before you remove anything.",
    46: "Install a pgBackRest that knows this PostgreSQL version.",
    47: "Create the directory or let the user of this task write to its parent (become_user).",
    49: "Check that the host is up, its port is open and its pgBackRest service runs.",
    51: "Check that pg1-path and the stanza's name belong together; after an upgrade of PostgreSQL use the module "
    "pgops.pgbackrest.stanza.",
    56: "Check that PostgreSQL runs and accepts connections of this user on the port and socket in the configuration.",
    58: "Check that pg1-path, pg1-port and pg1-socket-path in the configuration belong to the same cluster.",
    62: "Somebody stopped pgBackRest on purpose. When that reason is gone run: pgbackrest --stanza=STANZA start",
    63: "Somebody or something terminated it (SIGTERM, SIGINT or SIGHUP). Run the task again.",
    64: "Look whether the file system of that file is full, and whether the kernel's log tells of a broken device.",
    68: "Let PostgreSQL archive to this stanza with the module pgops.pgbackrest.archiving.",
    72: "Run the command on the repository host.",
    82: "PostgreSQL's log says why its archive_command failed, and pg_stat_archiver which segment it is stuck at.",
    87: "Switch archiving on with the module pgops.pgbackrest.archiving and restart PostgreSQL.",
    95: "Check repo1-cipher-type and repo1-cipher-pass: the repository was made with another passphrase or with none.",
    105: "The other side refuses this host or these credentials. Check certificates, keys and tls-server-auth there.",
    103: "The repository belongs to another cluster or version. Check pg1-path and the stanza name; after an upgrade "
    "of PostgreSQL use the module pgops.pgbackrest.stanza.",
}

WRITE_CONFIGURATION = "Write it with the module pgops.pgbackrest.config, or correct the option config."
_RETRYABLE = {27, 49, 56, 57, 82, 101, 106}
_MESSAGE = re.compile(
    r"^(?:\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} )?(?:P\d\d +)?"
    r"(?P<level>ERROR|ASSERT|WARN|INFO|DETAIL|DEBUG|TRACE): (?:\[(?P<code>\d{3})\]: )?(?P<text>.*)$"
)
_JSON = re.compile(r"^[\[{]", re.MULTILINE)


@dataclass(frozen=True)
class Message:
    """One message of pgBackRest: ``level`` such as WARN, ``code`` of an error, ``text``, and its ``hint`` if any."""

    level: str
    code: int | None
    text: str
    hint: str | None = None


class PgBackRestError(Exception):
    """pgBackRest failed, or could not be asked.

    ``code`` is pgBackRest's (None when the program did not run), ``name`` its name, ``hint`` pgBackRest's own,
    ``command`` the pgBackRest command, ``next_step`` what the user does next, ``facts`` more for the module's result.
    """

    def __init__(
        self,
        message: str,
        code: int | None = None,
        hint: str | None = None,
        command: str = "",
        next_step: str | None = None,
        facts: t.Mapping[str, t.Any] | None = None,
    ) -> None:
        self.message = message
        self.code = code
        self.name = ERROR_NAMES.get(code or 0, "unknown" if code else "usage")
        self.hint = hint
        self.command = command
        self.next_step = next_step
        self.facts = dict(facts or {})
        super().__init__(message)

    def __str__(self) -> str:
        parts = [self.message if self.message.endswith((".", "?", "!")) else self.message + "."]
        if self.code is not None:
            parts[0] = f"pgbackrest {self.command} failed with error {self.code:03d} ({self.name}): {parts[0]}"
        if self.hint:
            parts.append(f"pgBackRest's hint: {self.hint}{'' if self.hint.endswith(('.', '?', '!')) else '.'}")
        if self.next_step:
            parts.append(self.next_step)
        return " ".join(parts)

    def result(self) -> dict[str, t.Any]:
        """Arguments for ``fail_json``."""
        error = {"code": self.code, "name": self.name, "message": self.message, "hint": self.hint}
        described = {**error, "command": self.command, "next_step": self.next_step}
        return {**self.facts, "msg": str(self), "error": described}


def parse_messages(text: str) -> list[Message]:
    """Messages in pgBackRest's output, continuation lines joined, ``HINT:`` lines apart.

    Understands the short form of standard error and the long form with time and process of the console.
    """
    result: list[Message] = []
    for line in text.split("\n"):  # not splitlines(): a wrong passphrase fills messages with arbitrary characters
        match = _MESSAGE.match(line)
        if match:
            code = int(match.group("code")) if match.group("code") else None
            result.append(Message(match.group("level"), code, match.group("text")))
        elif result and line[:1].isspace() and line.strip():
            result[-1] = _continued(result[-1], line.strip())
    return result


def _continued(message: Message, line: str) -> Message:
    if line.startswith("HINT:"):
        hint = line[len("HINT:") :].strip()
        return Message(message.level, message.code, message.text, f"{message.hint}; {hint}" if message.hint else hint)
    if message.hint:
        return Message(message.level, message.code, message.text, f"{message.hint} {line}")
    return Message(message.level, message.code, f"{message.text} {line}")


def strip_messages(stdout: str) -> str:
    """Output from its first JSON line on: warnings about the configuration may come before it (since 2.53)."""
    begin = _JSON.search(stdout)
    return stdout[begin.start() :] if begin else ""


def is_retryable(error: PgBackRestError) -> bool:
    """Whether the same command may succeed later without anybody's help."""
    if error.code == 50:
        return "temporarily unavailable" in error.message.lower()
    return error.code in _RETRYABLE


def error_from(
    command: str, rc: int, messages: t.Sequence[Message], output: str, stanza: str | None
) -> PgBackRestError:
    """The exception for a command that ended with ``rc``."""
    errors = [message for message in messages if message.level in ("ERROR", "ASSERT")]
    if not errors:
        last = output.strip().splitlines()[-1:] or ["it printed nothing"]
        return PgBackRestError(f"pgBackRest gave no error message ({last[0]})", rc, None, command)
    # The last error is the reason; a first one may be a detail of a worker process, told as part of it.
    error = errors[-1]
    text, hint = error.text.rstrip(":"), error.hint
    garbled = readable_reason(error.text)
    reasons = [m.text for m in messages if m.level == "WARN" and m.text.startswith("unable to check")]
    if garbled:
        text, hint = garbled, None  # it would talk of stanza-create
    elif error.code in (27, 56) and reasons:
        # "no database found": why is only told by the warnings before it, and the hint guesses.
        text, hint = ": ".join([text, *reasons]), None
    return PgBackRestError(text, error.code or rc, hint, command, next_step(error, stanza))


def next_step(error: Message, stanza: str | None) -> str | None:
    """What the user does about an error, where there is something to say."""
    if error.code == 50:
        if "temporarily unavailable" in error.text.lower():
            return "Another pgBackRest process works on this stanza. Wait until it ends, or let the task retry."
        return "Run the task as the user who owns the lock directory (become_user)."
    if readable_reason(error.text):
        return _NEXT_STEPS[95]
    if error.code == 37 and "option: repo" in error.text:
        return "Say in the option repo which repository is meant."
    if error.code == 37 and "stanza" in (error.hint or ""):
        return f"Configure stanza {stanza} (pg1-path) with the module pgops.pgbackrest.config, or correct its name."
    if error.code == 55 and ("archive.info" in error.text or "backup.info" in error.text):
        return f"Create stanza {stanza} with the module pgops.pgbackrest.stanza."
    if error.code == 55 and re.search(r"missing file '[^']*\.conf'", error.text):
        return WRITE_CONFIGURATION
    if error.code == 31 and "root" in error.text:
        return "Add become: true and become_user with the user who owns the cluster."
    step = _NEXT_STEPS.get(error.code or 0)
    return step.replace("STANZA", stanza or "STANZA") if step else None
