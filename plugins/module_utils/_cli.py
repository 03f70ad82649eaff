# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Running the pgbackrest program. Private to the collection.

The only place that starts ``pgbackrest``: arguments are lists, never a shell; log levels are explicit; messages are
parsed; every failure becomes one exception that carries pgBackRest's code, message and hint and says what to do next.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
import time
import typing as t
from collections import deque
from dataclasses import dataclass, field

from ._cluster import user_name
from ._config_file import canonical, effective, files, read_files
from ._repository import readable_reason

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

MINIMUM_VERSION = (2, 45)

COMMON_ARGUMENTS: dict[str, dict[str, t.Any]] = {
    "config": {"type": "path"},
    "config_path": {"type": "path"},
    "executable": {"type": "str", "default": "pgbackrest"},
}
COMMON_EXCLUSIONS = [("config", "config_path")]

# Names as in pgBackRest's error.yaml; a code is also the exit status.
ERROR_NAMES = {
    26: "checksum",
    27: "config",
    28: "file-invalid",
    29: "format",
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
    49: "host-connect",
    50: "lock-acquire",
    51: "backup-mismatch",
    55: "file-missing",
    56: "db-connect",
    57: "db-query",
    58: "db-mismatch",
    62: "stop",
    63: "term",
    68: "archive-command-invalid",
    72: "host-invalid",
    75: "backup-set-invalid",
    76: "tablespace-map",
    78: "link-map",
    80: "db-missing",
    81: "db-invalid",
    82: "archive-timeout",
    87: "archive-disabled",
    95: "crypto",
    99: "json-format",
    101: "service",
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
    68: "Let PostgreSQL archive to this stanza with the module pgops.pgbackrest.archiving.",
    72: "Run the command on the repository host.",
    82: "PostgreSQL's log says why its archive_command failed, and pg_stat_archiver which segment it is stuck at.",
    87: "Switch archiving on with the module pgops.pgbackrest.archiving and restart PostgreSQL.",
    95: "Check repo1-cipher-type and repo1-cipher-pass: the repository was made with another passphrase or with none.",
    105: "The other side refuses this host or these credentials. Check certificates, keys and tls-server-auth there.",
    103: "The repository belongs to another cluster or version. Check pg1-path and the stanza name; after an upgrade "
    "of PostgreSQL use the module pgops.pgbackrest.stanza.",
}

_WRITE_CONFIGURATION = "Write it with the module pgops.pgbackrest.config, or correct the option config."
_RETRYABLE = {27, 49, 56, 57, 82, 101, 106}
_MESSAGE = re.compile(
    r"^(?:\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} )?(?:P\d\d +)?"
    r"(?P<level>ERROR|ASSERT|WARN|INFO|DETAIL|DEBUG|TRACE): (?:\[(?P<code>\d{3})\]: )?(?P<text>.*)$"
)
_LOG_OPTIONS: dict[str, t.Any] = {"log_level_console": "off", "log_level_stderr": "warn"}
_LONG_LOG_OPTIONS: dict[str, t.Any] = {"log_level_console": "detail", "log_level_stderr": "off"}
_LOCALE = {"LANGUAGE": "C", "LC_ALL": "C"}
_RETRY_WAIT = 3  # seconds before the first repetition; a lock of a killed process is gone after about one
_LONGEST_RETRY_WAIT = 60
_PIECE = 1 << 16  # characters
_DEFAULT_REPOSITORY = "/var/lib/pgbackrest"
_DEFAULT_LOCK_PATH = "/tmp/pgbackrest"

_Taken = t.TypeVar("_Taken")


@dataclass(frozen=True)
class Message:
    """One message of pgBackRest: ``level`` such as WARN, ``code`` of an error, ``text``, and its ``hint`` if any."""

    level: str
    code: int | None
    text: str
    hint: str | None = None


@dataclass(frozen=True)
class Output:
    """What a command gave: exit status, standard output and the messages of both streams."""

    rc: int
    stdout: str
    messages: list[Message] = field(default_factory=list)

    def warnings(self) -> list[str]:
        """The texts of all WARN messages."""
        return [message.text for message in self.messages if message.level == "WARN"]


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


def words(command: str, options: t.Mapping[str, t.Any], arguments: t.Sequence[str] = ()) -> list[str]:
    """Command line words of a command, without the program.

    >>> words("restore", {"delta": True, "online": False, "set": None, "db_include": ["a"], "annotation": {"k": "v"}})
    ['--delta', '--no-online', '--db-include=a', '--annotation=k=v', 'restore']
    """
    result: list[str] = []
    for key, value in options.items():
        name = key.replace("_", "-")
        if value is None:
            continue
        if isinstance(value, bool):
            result.append(f"--{name}" if value else f"--no-{name}")
        elif isinstance(value, t.Mapping):
            result.extend(f"--{name}={subkey}={subvalue}" for subkey, subvalue in value.items())
        elif isinstance(value, (list, tuple)):
            result.extend(f"--{name}={item}" for item in value)
        else:
            result.append(f"--{name}={value}")
    return [*result, command, *arguments]


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


def parse_version(text: str) -> tuple[int, ...]:
    """Version numbers in ``pgBackRest 2.55.1``.

    >>> parse_version("pgBackRest 2.60dev")
    (2, 60)
    """
    match = re.search(r"(\d+(?:\.\d+)+)", text)
    return tuple(int(part) for part in match.group(1).split(".")) if match else ()


def strip_messages(stdout: str) -> str:
    """Output from its first JSON line on: warnings about the configuration may come before it (since 2.53)."""
    lines = stdout.splitlines(keepends=True)
    for number, line in enumerate(lines):
        if line[:1] in "[{" and not _MESSAGE.match(line):
            return "".join(lines[number:])
    return ""


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
    return PgBackRestError(text, error.code or rc, hint, command, _next_step(error, stanza))


def _next_step(error: Message, stanza: str | None) -> str | None:
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
        return _WRITE_CONFIGURATION
    if error.code == 31 and "root" in error.text:
        return "Add become: true and become_user with the user who owns the cluster."
    step = _NEXT_STEPS.get(error.code or 0)
    return step.replace("STANZA", stanza or "STANZA") if step else None


def stream(
    argv: t.Sequence[str],
    environment: t.Mapping[str, str],
    on_line: t.Callable[[str], None],
    keep_open: t.Sequence[int] = (),
) -> int:
    """Run a program and hand on each line as soon as it stands; returns the exit status.

    The program inherits the file descriptors ``keep_open``, and with them the locks they hold.

    ``AnsibleModule.run_command`` gives output only at the end, and a backup of a million files would fill the memory.
    """
    # pylint: disable-next=ansible-bad-function  # run_command cannot stream, see above
    with subprocess.Popen(
        list(argv),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(environment),
        errors="replace",
        universal_newlines=True,
        pass_fds=tuple(keep_open),
    ) as process:
        for line in process.stdout or ():
            on_line(line.rstrip("\n"))
    return process.returncode


def pipe(
    argv: t.Sequence[str], environment: t.Mapping[str, str], take: t.Callable[[t.Iterator[str]], None]
) -> tuple[int, str]:
    """Run a program and let ``take`` read its standard output in pieces; returns exit status and standard error."""
    # pylint: disable-next=ansible-bad-function  # run_command gives output only at the end
    with tempfile.TemporaryFile("w+", errors="replace") as errors, subprocess.Popen(
        list(argv),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,
        env=dict(environment),
        errors="replace",
        universal_newlines=True,
    ) as process:
        pieces = iter(lambda: process.stdout.read(_PIECE) if process.stdout else "", "")
        take(pieces)
        deque(pieces, 0)  # to its end, or the program would fail
        rc = process.wait()
        errors.seek(0)
        return rc, errors.read()


class PgBackRest:
    """The program with the options that all commands of a task share. Making one runs nothing."""

    def __init__(self, module: AnsibleModule, stanza: str | None = None) -> None:
        self._module = module
        self._stanza = stanza
        self._executable: str | None = None
        self._version_text: str | None = None

    @property
    def executable(self) -> str:
        """Absolute path of the program."""
        if self._executable is None:
            name = self._module.params["executable"]
            found = self._module.get_bin_path(name)
            if not found:
                raise PgBackRestError(
                    f"The program {name} is not on this host",
                    next_step="Install the package pgbackrest, or name the program in the option executable.",
                )
            self._executable = t.cast(str, found)
        return self._executable

    def installed_version(self) -> str:
        """Version as the program prints it, such as ``2.55.1``, whether the collection can use it or not."""
        rc, stdout, stderr = self._execute([self.executable, "version"])
        text = stdout.strip().split(" ")[-1]
        if rc != 0 or not parse_version(text):
            raise PgBackRestError(f"{self.executable} version did not answer as pgBackRest does: {stdout or stderr}")
        return text

    @property
    def version_text(self) -> str:
        """Version such as ``2.55.1``. Fails when it is older than 2.45."""
        if self._version_text is None:
            text = self.installed_version()
            if parse_version(text) < MINIMUM_VERSION:
                raise PgBackRestError(
                    f"This host has pgBackRest {text}; the collection needs 2.45 or newer",
                    next_step="Upgrade the package pgbackrest on all hosts of the stanza.",
                )
            self._version_text = text
        return self._version_text

    @property
    def version(self) -> tuple[int, ...]:
        """Version as numbers, such as ``(2, 55, 1)``."""
        return parse_version(self.version_text)

    def require_version(self) -> None:
        """Raise when the program is missing or older than 2.45, before anything else is asked of it."""
        self._version_text = self.version_text

    def settings(self, command: str | None) -> dict[str, list[str]]:
        """What configuration files and environment say for a command; defaults are not in it."""
        raw = read_files(self._module.params.get("config"), self._module.params.get("config_path"))
        return {**effective(raw, self._stanza, command), **_environment_settings(os.environ)}

    def setting(self, option: str, command: str) -> list[str]:
        """Values that the configuration gives an option for a command, such as ``pg1-path``; [] when none."""
        return self.settings(command).get(option, [])

    def stanzas_with_own_repository(self) -> list[str]:
        """Stanzas whose sections say something about repositories: ``info`` without a stanza does not see that."""
        raw = read_files(self._module.params.get("config"), self._module.params.get("config_path"))
        owners = {section.partition(":")[0] for section, options in raw.items() if any(map(_about_repository, options))}
        return sorted(owners - {"", "global"})

    def require_stanza(self, command: str) -> None:
        """Raise unless the configuration names the data directory of the stanza, as most commands need.

        pgBackRest says so too (error 037), but not in check mode, where the command does not run.
        """
        if any(re.match(r"pg\d+-path$", option) for option in self.settings(command)):
            return
        self._require_configuration(command)
        raise PgBackRestError(
            f"Stanza {self._stanza} is not in the configuration: no section [{self._stanza}] with pg1-path",
            37,
            command=command,
            next_step=f"Configure stanza {self._stanza} (pg1-path) with the module pgops.pgbackrest.config, "
            "or correct its name.",
        )

    def stop_file(self) -> str | None:
        """The file that keeps pgBackRest from working on this stanza on this host; None without it.

        Internal to pgBackRest, but no command tells (pgbackrest#2046).
        """
        directory = self.setting("lock-path", "stop") or [_DEFAULT_LOCK_PATH]
        candidates = [os.path.join(directory[0], f"{name}.stop") for name in (self._stanza, "all")]
        return next((path for path in candidates if os.path.exists(path)), None)

    def refuse_stopped(self, command: str) -> None:
        """Raise when a stop file stands in the way, where the command itself would not say so, or only much later."""
        path = self.stop_file()
        if path:
            error = Message("ERROR", 62, f"the stop file {path} exists")
            raise PgBackRestError(error.text, 62, command=command, next_step=_next_step(error, self._stanza))

    def run(
        self,
        command: str,
        options: t.Mapping[str, t.Any] | None = None,
        arguments: t.Sequence[str] = (),
        stanza: bool = True,
        ok: t.Collection[int] = (0,),
        retries: int = 0,
    ) -> Output:
        """Run a command to its end. Raises PgBackRestError unless the exit status is in ``ok``."""

        def attempt() -> Output:
            argv = self._argv(command, {**_LOG_OPTIONS, **(options or {})}, arguments, stanza)
            rc, stdout, stderr = self._execute(argv)
            # Since 2.53 messages about the configuration stand on standard output, whatever the log levels.
            return Output(rc, stdout, parse_messages(stderr) + parse_messages(stdout))

        return self._checked(command, attempt, ok, retries)

    def run_long(
        self,
        command: str,
        options: t.Mapping[str, t.Any] | None = None,
        on_line: t.Callable[[str], None] | None = None,
        retries: int = 0,
        keep_open: t.Sequence[int] = (),
    ) -> Output:
        """Run a command that takes its time; ``on_line`` gets every line of its detailed log at once."""

        def attempt() -> Output:
            kept: list[str] = []

            def take(line: str) -> None:
                if on_line:
                    on_line(line)
                if " DETAIL: " not in line:
                    kept.append(line)

            argv = self._argv(command, {**_LONG_LOG_OPTIONS, **(options or {})}, (), True)
            rc = stream(argv, {**os.environ, **_LOCALE}, take, keep_open)
            text = "\n".join(kept)
            return Output(rc, text, parse_messages(text))

        return self._checked(command, attempt, (0,), retries)

    def read(
        self,
        command: str,
        options: t.Mapping[str, t.Any],
        arguments: t.Sequence[str],
        take: t.Callable[[t.Iterator[str]], _Taken],
    ) -> _Taken:
        """Run a command that prints much; returns what ``take`` makes of its output, which it gets piece by piece."""
        taken: list[_Taken] = []

        def attempt() -> Output:
            argv = self._argv(command, {**_LOG_OPTIONS, **options}, arguments, True)
            rc, text = pipe(argv, {**os.environ, **_LOCALE}, lambda pieces: taken.append(take(pieces)))
            return Output(rc, "", parse_messages(text))

        self._checked(command, attempt, (0,), 0)
        return taken[-1]

    def info(self, **options: t.Any) -> list[dict[str, t.Any]]:
        """The answer of ``info --output=json``: one element per stanza.

        Exit status 0 says nothing about health: see the status codes inside (``_repository.parse_info``).
        """
        stanza = self._stanza is not None
        output = self.run("info", {"output": "json", **options}, stanza=stanza)
        try:
            # Not strict: messages inside may hold control characters of a repository with another passphrase.
            return t.cast("list[dict[str, t.Any]]", json.loads(strip_messages(output.stdout), strict=False))
        except ValueError:
            raise PgBackRestError(f"pgbackrest info did not print JSON but: {output.stdout[:200]!r}") from None

    def refuse_foreign_root(self, command: str) -> None:
        """Raise when root is about to work on files of another user.

        pgBackRest 2.59 and newer refuse root themselves; older ones leave files behind that the owner of the cluster
        cannot read (pgbackrest#1693).
        """
        if os.geteuid() != 0:
            return
        for path in local_paths(self.settings(command)):
            uid = _owner_uid(path)
            if uid:
                owner = user_name(uid)
                raise PgBackRestError(
                    f"This task runs as root, but {path} belongs to {owner}",
                    command=command,
                    next_step=f"Add become: true and become_user: {owner} to the task.",
                )

    def _require_configuration(self, command: str) -> None:
        config, config_path = self._module.params.get("config"), self._module.params.get("config_path")
        found = files(config, config_path)
        if not found:
            raise PgBackRestError(
                f"There is no configuration file {config or os.path.join(config_path or '/etc/pgbackrest', '*.conf')}",
                55,
                command=command,
                next_step=_WRITE_CONFIGURATION,
            )
        closed = [path for path in found if not os.access(path, os.R_OK)]
        if closed:
            user = user_name(os.geteuid())
            raise PgBackRestError(
                f"{user} may not read the configuration file {closed[0]}",
                41,
                command=command,
                next_step=f"Let {user} read it (the module pgops.pgbackrest.config sets owner, group and mode), or "
                "name its owner with become_user.",
            )

    def _argv(
        self, command: str, options: t.Mapping[str, t.Any], arguments: t.Sequence[str], stanza: bool
    ) -> list[str]:
        shared = {
            "config": self._module.params.get("config"),
            "config_path": self._module.params.get("config_path"),
            "stanza": self._stanza if stanza else None,
        }
        return [self.executable, *words(command, {**shared, **options}, arguments)]

    def _execute(self, argv: t.Sequence[str]) -> tuple[int, str, str]:
        return t.cast(
            "tuple[int, str, str]",
            self._module.run_command(list(argv), environ_update=_LOCALE, expand_user_and_vars=False, errors="replace"),
        )

    def _checked(self, command: str, attempt: t.Callable[[], Output], ok: t.Collection[int], retries: int) -> Output:
        if command not in ("help", "version"):
            self.refuse_foreign_root(command)
        wait = _RETRY_WAIT
        while True:
            output = attempt()
            if output.rc in ok:
                return output
            error = error_from(command, output.rc, output.messages, output.stdout, self._stanza)
            if retries <= 0 or not is_retryable(error):
                raise error
            retries -= 1
            time.sleep(wait)
            wait = min(2 * wait, _LONGEST_RETRY_WAIT)


def local_paths(settings: t.Mapping[str, list[str]]) -> list[str]:
    """Data directories and repositories on this host among the settings of a command.

    >>> local_paths({"pg1-path": ["/a"], "pg2-path": ["/b"], "pg2-host": ["h"], "repo1-path": ["/"]})
    ['/a', '/']
    >>> local_paths({"pg1-path": ["/a"], "repo1-path": ["/"], "repo1-type": ["s3"]})
    ['/a']
    """
    found = []
    for option, values in settings.items():
        match = re.match(r"((?:pg|repo)\d+)-path$", option)
        if match and f"{match.group(1)}-host" not in settings and _is_local(settings.get(f"{match.group(1)}-type")):
            found.extend(values)
    return found


def local_repository(settings: t.Mapping[str, list[str]], repo: int) -> str | None:
    """Directory of this repository; None when it is not on this host.

    >>> local_repository({"repo1-host": ["h"], "repo2-path": ["/b"]}, 2), local_repository({"repo1-host": ["h"]}, 1)
    ('/b', None)
    """
    key = f"repo{repo}-"
    own = {name: values for name, values in settings.items() if name.startswith(key)}
    return next(iter(local_paths({f"{key}path": [_DEFAULT_REPOSITORY], **own})), None)


def _about_repository(option: str) -> bool:
    return bool(re.match(r"repo\d*-(?!retention)", canonical(option)))


def _is_local(repository_type: list[str] | None) -> bool:
    return (repository_type or ["posix"])[0] in ("posix", "cifs")


def _environment_settings(environment: t.Mapping[str, str]) -> dict[str, list[str]]:
    """Options in variables such as ``PGBACKREST_PG1_PATH``; they win over the configuration files."""
    prefix = "PGBACKREST_"
    return {
        name[len(prefix) :].lower().replace("_", "-"): [value]
        for name, value in environment.items()
        if name.startswith(prefix)
    }


def _owner_uid(path: str) -> int | None:
    return os.stat(path).st_uid if os.path.exists(path) else None
