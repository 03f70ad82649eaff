# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which clone a play is asked for. Pure but for the SQL files. Private to the collection."""

from __future__ import annotations

import os
import re
import typing as t

from ..module_utils._backup import parse_age
from ._survey import Given, Record, Survey

DIRECTORY = "/var/lib/postgresql/clones"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_SQL_FILE = re.compile(r"(?:([^/:.][^/:]*):)?(.+)")
_STATES = ("present", "absent")


def read_text(path: str) -> str:
    """Text of a file on the controller."""
    with open(path, encoding="utf-8") as file:
        return file.read()


def request(
    given: Given,
    names: t.Iterable[str] = (),
    stanzas: t.Sequence[str] = (),
    read: t.Callable[[str], str] = read_text,
) -> Record:
    """What is asked for: ``restore`` and ``clone`` as the modules take it, the rest for the role, and ``problems``.

    ``names`` are the variables of the play, to see a misspelled one; ``stanzas`` those that the inventory names.
    ``identity`` is what makes two requests the same clone, beside the SQL: the module compares that itself, because
    files that have not ended yet may be corrected.

    >>> wanted = request({"name": "ci-42", "target_time": "2026-05-01 14:30+02", "ttl": "4h"}, stanzas=["main"])
    >>> wanted["stanza"], wanted["directory"], wanted["clone"]["ttl"], wanted["problems"]
    ('main', '/var/lib/postgresql/clones/ci-42', 14400, [])
    """
    survey = Survey("clone_", given)
    survey.misspelled(names)
    state = survey.choice("state", _STATES)
    found: Record = {
        "name": _name(survey),
        "state": state,
        "owner": survey.text("owner") or "postgres",
        "directory": survey.path("directory") or f"{DIRECTORY}/{survey.text('name')}",
        "file": _on_controller(survey.text("result")),
        "env": _on_controller(survey.text("env")),
        "problems": survey.problems,
    }
    if state == "absent":
        return found
    stanza, target, sql = _stanza(survey, stanzas), _target(survey), _sql(survey, read)
    restore, clone = _restore_options(survey, target), _clone_options(survey, stanza)
    return {
        **found,
        "stanza": stanza,
        "config": survey.path("config"),
        "replace": survey.flag("replace"),
        "target": target,
        "restore": restore,
        "clone": clone,
        "sql": sql,
        "identity": {
            "stanza": stanza,
            "target": target,
            "archive_stanza": clone.get("archive_stanza"),
            **{name: restore.get(name) for name in ("set", "repo", "db_include")},
        },
    }


def _on_controller(path: str) -> str:
    """A path as the user means it, who runs Ansible somewhere. Modules that run there begin at the playbook."""
    return os.path.abspath(os.path.expanduser(path)) if path else ""


def _name(survey: Survey) -> str:
    name = survey.text("name")
    if not name:
        survey.refuse("clone_name must be given, a name such as ci-42 for the clone.")
    elif not _NAME.fullmatch(name):
        survey.refuse(
            f"clone_name must be at most 40 small letters, digits, - and _, and begin with a letter or digit, but is "
            f"{name!r}."
        )
    return name


def _stanza(survey: Survey, stanzas: t.Sequence[str]) -> str:
    """The stanza to clone, the only one of the inventory where none is given."""
    known = list(dict.fromkeys(map(str, stanzas)))
    if not survey.text("stanza") and len(known) != 1:
        among = f"The inventory names {', '.join(known)}." if known else "The inventory names none."
        survey.refuse(f"clone_stanza must be given, the stanza to clone. {among}")
    return survey.text("stanza") or (known[0] if len(known) == 1 else "")


def _target(survey: Survey) -> Record:
    """The target as the module restore takes it."""
    kinds = survey.targets()
    if len(kinds) > 1:
        names = " and ".join(f"clone_target_{kind}" for kind in kinds)
        survey.refuse(f"{names} are given. Give one of them: a clone is of one moment.")
    return survey.target(kinds[0] if kinds else "default")


def _restore_options(survey: Survey, target: Record) -> Record:
    """Options of the module restore, those that are not given left out."""
    # Which backup an end of a backup means is said by nothing else; the newest is what everybody means.
    label = survey.text("set") or ("latest" if target["type"] == "immediate" else "")
    options = {
        "set": label,
        "repo": survey.number("repo"),
        "db_include": survey.words("db_include"),
        "allow_unproven": survey.flag("allow_unproven") or None,
        "bindir": survey.path("bindir"),
    }
    return {name: value for name, value in options.items() if value not in (None, "", [])}


def _clone_options(survey: Survey, stanza: str) -> Record:
    """Options of the module clone, those that are not given left out."""
    port = survey.number("port") if survey.text("port") not in ("", "0") else 0
    if port is not None and port > 65535:
        survey.refuse(f"clone_port must be at most 65535, but is {port}.")
    options = {
        "port": port,
        "listen_addresses": survey.text("listen_addresses"),
        "hba": _lines(survey, "hba"),
        "settings": _settings(survey),
        "bindir": survey.path("bindir"),
        "ttl": _ttl(survey),
        "timeout": survey.number("recovery_timeout"),
        "archive_stanza": _archive_stanza(survey, stanza),
    }
    return {name: value for name, value in options.items() if value not in (None, "", 0, [], {})}


def _archive_stanza(survey: Survey, stanza: str) -> str:
    found = survey.text("archive_stanza")
    if found and found == stanza:
        survey.refuse(
            f"clone_archive_stanza is {stanza}, the stanza that is cloned: the clone would archive among the WAL of "
            "its source, and neither could be restored any more. Leave it empty, and the clone archives nothing, or "
            "name a stanza of its own."
        )
    return found


def _lines(survey: Survey, name: str) -> list[str]:
    """Lines from a list or from text."""
    value = survey.given.get(name)
    parts = value if isinstance(value, (list, tuple)) else survey.text(name).splitlines()
    return [str(line).strip() for line in parts if str(line).strip()]


def _settings(survey: Survey) -> dict[str, str]:
    """Settings of the server, as PostgreSQL writes them."""
    pairs = survey.pairs("settings")
    for key, value in pairs:
        if not key or not value:
            survey.refuse(f"clone_settings: {key!r} needs a name and a value, as in work_mem=64MB.")
    return {key: {"True": "on", "False": "off"}.get(value, value) for key, value in pairs}


def _ttl(survey: Survey) -> int:
    """How long the clone lives, in seconds; 0 for ever."""
    value = survey.text("ttl")
    try:
        return parse_age(value or "0")
    except ValueError:
        survey.refuse(f"clone_ttl must be a whole number with s, m, h, d or w, such as 4h or 2d, but is {value!r}.")
        return 0


def _sql(survey: Survey, read: t.Callable[[str], str]) -> list[Record]:
    """The SQL files with their databases, read now: one that is missing is seen before anything is done."""
    default = survey.text("sql_database") or "postgres"
    return [item for word in survey.words("sql_files") for item in _sql_file(survey, word, default, read)]


def _sql_file(survey: Survey, word: str, default: str, read: t.Callable[[str], str]) -> list[Record]:
    match = _SQL_FILE.fullmatch(word)
    database, path = match.groups() if match else (None, word)
    try:
        text = read(path)
    except OSError as error:
        survey.refuse(f"clone_sql_files: {path} cannot be read on the controller: {error.strerror}.")
        return []
    except UnicodeDecodeError:
        survey.refuse(f"clone_sql_files: {path} is not text in UTF-8.")
        return []
    if not text.strip():
        survey.refuse(f"clone_sql_files: {path} is empty.")
    return [{"database": database or default, "name": path, "sql": text}]
