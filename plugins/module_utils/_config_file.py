# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The text of pgBackRest's configuration files. Private to the collection.

Structure to text, text to structure, what holds for a command, and the same text without its secrets.
"""

from __future__ import annotations

import difflib
import glob
import os
import re
import typing as t

from ._option_names import ALIASES, GROUPS, SECRETS

Value = t.Union[str, int, bool, t.List[t.Any], t.Dict[str, t.Any]]
Sections = t.Mapping[str, t.Mapping[str, Value]]
RawSections = t.Dict[str, t.Dict[str, t.List[str]]]

HEADER = "# Managed by Ansible (pgops.pgbackrest.config)"
MASK = "********"

_DEFAULT_PATH = "/etc/pgbackrest"
_OLD_DEFAULT_FILE = "/etc/pgbackrest.conf"
_GROUP_KEY = re.compile(r"^(pg|repo|db)(\d*)-(.+)$")
_NAME_OF_A_SECRET = re.compile(r"pass|secret|token|credential|(^|[-_])key$", re.IGNORECASE)
_PLAIN_KEY = re.compile(r"^[\w-]+$")
_PASSWORD = re.compile(r"password\s*=\s*'?([^'\s]+)", re.IGNORECASE)
_WHITE = " \t\r\n"
# Options that say where a repository is, with their defaults.
_PLACE = {
    "type": "posix",
    "path": "/var/lib/pgbackrest",
    "s3-bucket": "",
    "s3-endpoint": "",
    "azure-container": "",
    "azure-account": "",
    "gcs-bucket": "",
    "sftp-host": "",
}
_NEARLY = 0.87


def split_key(key: str) -> tuple[str, int | None]:
    """Name of the option and index of a key as it is written.

    >>> split_key("repo2-path"), split_key("repo-path"), split_key("db-timeout")
    (('repo-path', 2), ('repo-path', None), ('db-timeout', None))
    """
    match = _GROUP_KEY.match(key)
    if not match or not match.group(2):
        return key, None
    return f"{match.group(1)}-{match.group(3)}", int(match.group(2))


def canonical(key: str) -> str:
    """The key that pgBackRest documents today for one that may be deprecated.

    >>> canonical("retention-full"), canonical("db2-path"), canonical("repo1-s3-host"), canonical("compress-type")
    ('repo1-retention-full', 'pg2-path', 'repo1-storage-host', 'compress-type')
    """
    name, index = split_key(key)
    name = ALIASES.get(name, name)
    group, dash, rest = name.partition("-")
    return f"{group}{1 if index is None else index}-{rest}" if dash and group in GROUPS else name


def secret(key: str) -> bool:
    """Whether the value of this key, deprecated and misspelt keys included, must not be shown.

    Besides the options that pgBackRest redacts itself these are ``recovery-option`` (it may hold a password in
    primary_conninfo), ``repo-s3-process-cmd``, and every name that reads like one of a secret.
    """
    name, index = split_key(canonical(key.replace("_", "-")))
    return name in SECRETS or bool(_NAME_OF_A_SECRET.search(name)) or _is_nearly_a_secret(name)


def _is_nearly_a_secret(name: str) -> bool:
    """Whether a misspelt name means a secret, such as ``repo-cipher-pas``; no option of pgBackRest is that near."""
    return bool(difflib.get_close_matches(name, SECRETS, n=1, cutoff=_NEARLY))


def lines(key: str, value: Value) -> list[str]:
    """The lines of one option.

    >>> lines("delta", True), lines("exclude", ["a", "b"]), lines("link-map", {"pg_wal": "/wal"})
    (['delta=y'], ['exclude=a', 'exclude=b'], ['link-map=pg_wal=/wal'])
    """
    if isinstance(value, t.Mapping):
        return [f"{key}={subkey}={value[subkey]}" for subkey in sorted(value)]
    if isinstance(value, list):
        return [f"{key}={item}" for item in value]
    return [f"{key}={text(value)}"]


def text(value: Value) -> str:
    """A single value as pgBackRest writes it: ``y`` and ``n`` for booleans."""
    if isinstance(value, bool):
        return "y" if value else "n"
    return str(value)


def render(sections: Sections) -> str:
    """Text of a configuration file.

    The order is fixed, whatever the order of the mappings: [global], its command sections, each stanza and its
    command sections; options by name and index. Lists keep their order. Empty sections are left out.
    """
    blocks = [HEADER]
    for name in sorted(sections, key=_section_order):
        options = sections[name]
        body = [line for key in sorted(options, key=_natural) for line in lines(key, options[key])]
        if body:
            blocks.append("\n".join([f"[{name}]", *body]))
    return "\n\n".join(blocks) + "\n"


def parse(content: str) -> RawSections:
    """Sections, keys and the values of each key in the order of its lines; keys as written.

    Reads as pgBackRest does: a line whose first character is ``#`` is a comment, the whole rest of a line after the
    first ``=`` is the value, blanks around both do not count. Lines that pgBackRest refuses are passed over.
    """
    result: RawSections = {}
    section = ""
    for line in _stripped_lines(content):
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
            result.setdefault(section, {})
        elif line and not line.startswith("#") and "=" in line:
            key, value = line.split("=", 1)
            result.setdefault(section, {}).setdefault(key.rstrip(_WHITE), []).append(value.lstrip(_WHITE))
    return result


def mask(content: str, previous: str = "") -> str:
    """The same text with ``********`` for every secret, those in comments and in lines without ``=`` included.

    A secret to which ``previous`` gives another value gets ``******** (changed)``, so that a diff shows it.
    """
    changed, section, result = _changed_secrets(parse(previous), parse(content)), "", []
    for line in content.split("\n"):
        body, masked = line.strip(_WHITE), _masked(line)
        section = body[1:-1] if body.startswith("[") and body.endswith("]") else section
        if (section, body.partition("=")[0].rstrip(_WHITE)) in changed:
            masked = masked.replace(MASK, f"{MASK} (changed)", 1)
        result.append(masked)
    return "\n".join(result)


def lost_passphrases(before: str, after: str) -> list[str]:
    """Keys of passphrases in ``after`` with which repositories of ``before`` cannot be read any more.

    A repository is known by its place, whatever its number. Those on a repository host are left to that host.
    """
    old, new = _passphrases(parse(before)), _passphrases(parse(after))
    return sorted({key for place, (key, given) in new.items() if place in old and old[place][1] != given})


def _passphrases(sections: RawSections) -> dict[tuple[str, ...], tuple[str, str]]:
    """Key and value of the passphrase of each repository that is on no other host, by section and place."""
    found = {}
    for section, options in sections.items():
        pairs = map(split_key, options)
        for number in sorted({index for name, index in pairs if index and name.startswith("repo-")}):
            given = {name: options.get(f"repo{number}-{name}", [""])[-1] for name in (*_PLACE, "cipher-pass")}
            if f"repo{number}-host" not in options:
                place = (section, *(given[name] or default for name, default in _PLACE.items()))
                found[place] = (f"repo{number}-cipher-pass", given["cipher-pass"])
    return found


def _changed_secrets(before: RawSections, after: RawSections) -> set[tuple[str, str]]:
    return {
        (section, key)
        for section, options in after.items()
        for key, values in options.items()
        if secret(key) and before.get(section, {}).get(key, values) != values
    }


def secret_values(sections: t.Mapping[str, t.Any]) -> set[str]:
    """The values that must appear nowhere. Takes any structure, because it serves before anything is validated.

    Of recovery-option and repo-s3-process-cmd only what may be a secret: Ansible hides a value wherever it occurs, and
    hiding every "on" or slot name would spoil paths and messages.
    """
    found: set[str] = set()
    for section, options in sections.items():
        for key, value in (options if isinstance(options, dict) else {section: options}).items():
            if secret(str(key)):
                found.update(leaf for leaf in _leaves(value) if _may_be_secret(str(key), leaf))
    passwords = [match.group(1) for value in found for match in _PASSWORD.finditer(value)]
    return {value for value in [*found, *passwords] if value}


def _may_be_secret(key: str, value: str) -> bool:
    name = split_key(canonical(key.replace("_", "-")))[0]
    if name == "recovery-option":
        return bool(_NAME_OF_A_SECRET.search(value)) or "://" in value
    return name != "repo-s3-process-cmd" or len(value) >= 8


def masked_sections(sections: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The same structure with ``********`` for every secret."""
    return {
        section: {key: MASK if secret(str(key)) else value for key, value in options.items()}
        if isinstance(options, dict)
        else (MASK if secret(section) else options)
        for section, options in sections.items()
    }


def _leaves(value: t.Any) -> t.Iterator[str]:
    if isinstance(value, (list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _leaves(item)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


def _masked(line: str) -> str:
    body = line.strip(_WHITE)
    key, equals, value = (part.strip(_WHITE) for part in body.lstrip("# \t").partition("="))
    if not equals or not _PLAIN_KEY.match(key):
        return _masked_if_suspicious(line, body)
    if not secret(key):
        return line
    if canonical(key) == "recovery-option" and "=" in value:
        value = value.split("=", 1)[1].lstrip(_WHITE)
    start = line.rindex(value)
    return line[:start] + MASK + line[start + len(value) :] if value else line


def _masked_if_suspicious(line: str, body: str) -> str:
    """Lines that are no key and value: comments, sections, and what pgBackRest refuses or takes for an odd key."""
    named = any(secret(word) for word in re.split(r"[^\w-]+", body))
    stray = body and not body.startswith(("#", "[")) and "=" not in body
    return line.replace(body, "# " + MASK if body.startswith("#") else MASK) if named or stray else line


def merge(contents: t.Iterable[RawSections]) -> RawSections:
    """Several files as the one that pgBackRest makes of them."""
    result: RawSections = {}
    for content in contents:
        for section, options in content.items():
            for key, values in options.items():
                result.setdefault(section, {}).setdefault(key, []).extend(values)
            result.setdefault(section, {})
    return result


def files(config: str | None = None, config_path: str | None = None) -> list[str]:
    """The files that pgBackRest reads with these options, in its order. They exist, but may not be readable."""
    if config:
        return [config] if os.path.exists(config) else []
    path = config_path or _DEFAULT_PATH
    main = os.path.join(path, "pgbackrest.conf")
    if path == _DEFAULT_PATH and not os.path.exists(main):
        main = _OLD_DEFAULT_FILE
    included = sorted(glob.glob(os.path.join(glob.escape(path), "conf.d", "*.conf")))
    return [name for name in [main, *included] if os.path.exists(name)]


def neighbours(path: str) -> list[str]:
    """The other files that pgBackRest reads together with this one."""
    directory, name = os.path.split(path)
    if os.path.basename(directory) == "conf.d":
        directory = os.path.dirname(directory)
    elif path == _OLD_DEFAULT_FILE:
        directory = _DEFAULT_PATH
    elif name != "pgbackrest.conf":
        return []
    main_files = {path, _OLD_DEFAULT_FILE} if name == "pgbackrest.conf" else {path}
    return [other for other in files(None, directory) if other not in main_files]


def replaced_main_file(path: str) -> str | None:
    """The old main file that pgBackRest reads now, and reads no more once ``path`` is there; None without one."""
    if path != os.path.join(_DEFAULT_PATH, "pgbackrest.conf") or os.path.exists(path):
        return None
    return _OLD_DEFAULT_FILE if os.path.exists(_OLD_DEFAULT_FILE) else None


def read(path: str) -> str:
    """Text of a file, "" when it is absent or this user may not read it. Any bytes survive a round trip."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as stream:
            return stream.read()
    except (FileNotFoundError, PermissionError):
        return ""


def read_files(config: str | None = None, config_path: str | None = None) -> RawSections:
    """The configuration that pgBackRest reads with ``--config`` or ``--config-path``, as one.

    Without either: ``/etc/pgbackrest/pgbackrest.conf`` (``/etc/pgbackrest.conf`` when that is absent) and
    ``/etc/pgbackrest/conf.d/*.conf``. A file that is absent or not readable counts as empty: the program tells what
    is wrong with it better than we can.
    """
    return merge(parse(read(path)) for path in files(config, config_path))


def section_chain(stanza: str | None, command: str | None) -> list[str]:
    """Names of the sections that count, the strongest first (pgBackRest, src/config/parse.c, phase 3)."""
    owners = [owner for owner in (stanza, "global") if owner]
    return [name for owner in owners for name in ([f"{owner}:{command}", owner] if command else [owner])]


def effective(raw: RawSections, stanza: str | None, command: str | None) -> dict[str, list[str]]:
    """What the files say for a command: canonical key to its values. Defaults are not in it."""
    result: dict[str, list[str]] = {}
    for section in section_chain(stanza, command):
        for key, values in raw.get(section, {}).items():
            result.setdefault(canonical(key), values)
    return result


def _stripped_lines(content: str) -> t.Iterator[str]:
    return (line.strip(_WHITE) for line in content.split("\n"))


def _natural(key: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", key)]


def _section_order(name: str) -> tuple[bool, str, str]:
    owner, dummy, command = name.partition(":")
    return owner != "global", owner, command
