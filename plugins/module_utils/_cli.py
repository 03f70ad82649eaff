# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Running the pgbackrest program. Private to the collection.

The only place that starts ``pgbackrest``: arguments are lists, never a shell, and log levels are explicit.
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
from ._messages import (
    WRITE_CONFIGURATION,
    Message,
    PgBackRestError,
    error_from,
    is_retryable,
    next_step,
    parse_messages,
    strip_messages,
)
from ._repository import without_raw_backups

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

MINIMUM_VERSION = (2, 45)

COMMON_ARGUMENTS: dict[str, dict[str, t.Any]] = {
    "config": {"type": "path"},
    "config_path": {"type": "path"},
    "executable": {"type": "str", "default": "pgbackrest"},
}
COMMON_EXCLUSIONS = [("config", "config_path")]

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
class Output:
    """What a command gave: exit status, standard output and the messages of both streams."""

    rc: int
    stdout: str
    messages: list[Message] = field(default_factory=list)

    def warnings(self) -> list[str]:
        """The texts of all WARN messages."""
        return [message.text for message in self.messages if message.level == "WARN"]


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


def parse_version(text: str) -> tuple[int, ...]:
    """Version numbers in ``pgBackRest 2.55.1``.

    >>> parse_version("pgBackRest 2.60dev")
    (2, 60)
    """
    match = re.search(r"(\d+(?:\.\d+)+)", text)
    return tuple(int(part) for part in match.group(1).split(".")) if match else ()


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
            raise PgBackRestError(error.text, 62, command=command, next_step=next_step(error, self._stanza))

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
        # Thousands of backups make megabytes, all of which AnsibleModule.run_command copies for each 32 KiB of them.
        argv = self._argv("info", {**_LOG_OPTIONS, "output": "json", **options}, (), self._stanza is not None)

        def attempt() -> Output:
            pieces: list[str] = []
            rc, errors = pipe(argv, {**os.environ, **_LOCALE}, pieces.extend)
            stdout = "".join(pieces)
            return Output(rc, stdout, parse_messages(errors) + parse_messages(stdout))

        output = self._checked("info", attempt, (0,), 0)
        try:
            # Not strict: messages inside may hold control characters of a repository with another passphrase.
            found = json.loads(strip_messages(output.stdout), strict=False, object_hook=without_raw_backups)
            return t.cast("list[dict[str, t.Any]]", found)
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
                next_step=WRITE_CONFIGURATION,
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
