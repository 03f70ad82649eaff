# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a play wants of the standby on one host. Pure. Private to the collection.

Values may be text, because they come from surveys; what is empty is not given. The password is not among what is
returned, so that nobody shows it.
"""

from __future__ import annotations

import re
import typing as t

from ._survey import Given, Record, Survey

_SLOT = re.compile(r"[a-z0-9_]{1,63}")
_PARAMETER = re.compile(r"[a-z_]+")
# These say whom to follow and as whom, which other variables do.
_OWN_PARAMETERS = {
    "host": "standby_upstream names the host, and its pgbackrest_address is how it is reached",
    "hostaddr": "standby_upstream names the host, and its pgbackrest_address is how it is reached",
    "port": "the port is that of the cluster that is followed",
    "user": "it has a place of its own, standby_user",
    "password": "it has a place of its own, standby_password",
    "dbname": "a standby connects to no database",
    "replication": "a standby always replicates",
}
_OWN_SETTINGS = {
    "primary_conninfo": "it is made of standby_user, standby_password and standby_conninfo",
    "primary_slot_name": "the slot has a place of its own, standby_slot",
    "standby_mode": "a standby always has it",
}


def request(given: Given, host: str, names: t.Iterable[str] = ()) -> Record:
    """What is wanted of the host, and ``problems`` of the input.

    ``names`` are the variables of the play, to see a misspelled one.

    >>> wanted = request({"slot": "yes", "pg_hba": "10.0.0.0/8", "repo": "2"}, "db-2.example")
    >>> wanted["slot"], wanted["addresses"], wanted["restore"], wanted["problems"]
    ('db_2_example', ['10.0.0.0/8'], {'repo': 2}, [])
    """
    survey = Survey("standby_", given)
    survey.misspelled(names)
    asks, networks = _hba(survey)
    throttle = survey.text("throttle") or "0"
    if not re.fullmatch(r"\d{1,6}", throttle):
        survey.refuse(f"standby_throttle must be a number, 0 for no limit, but is {throttle!r}.")
        throttle = "0"
    options = {"repo": survey.number("repo"), "set": survey.text("set"), "bindir": survey.path("bindir")}
    return {
        "stanza": survey.text("stanza"),
        "upstream": survey.text("upstream"),
        "user": survey.text("user") or "replicator",
        "conninfo": _parameters(survey),
        "slot": _slot(survey, host),
        "hba": asks,
        "addresses": networks,
        "create_user": _create_user(survey),
        "confirm": survey.text("confirm"),
        "throttle": int(throttle),
        "recovery_options": _settings(survey),
        "recovery_timeout": survey.number("recovery_timeout") or 3600,
        "file": survey.text("file"),
        "restore": {name: value for name, value in options.items() if value},
        "problems": survey.problems,
    }


def fit(name: str) -> str:
    """The name of a host as the name of a slot.

    >>> fit("DB-2.example.com")
    'db_2_example_com'
    """
    return re.sub(r"[^a-z0-9_]", "_", name.lower())[:63]


def _slot(survey: Survey, host: str) -> str:
    """Name of the slot; empty without one."""
    value = survey.text("slot")
    if value.lower() in ("", "false", "no", "off", "0"):
        return ""
    if value.lower() in ("true", "yes", "on", "1"):
        return fit(host)
    if not _SLOT.fullmatch(value):
        survey.refuse(
            "standby_slot must be true, false, or the name of a slot (a to z, 0 to 9 and _, at most 63), but is "
            f"{value!r}."
        )
    return value


def _hba(survey: Survey) -> tuple[bool, list[str]]:
    """Whether pg_hba.conf of the primary may get lines, and the networks that are named for them."""
    words = survey.words("pg_hba") if isinstance(survey.given.get("pg_hba"), (list, tuple)) else []
    value = survey.text("pg_hba").lower()
    if not words and value in ("", "false", "no", "off", "0"):
        return False, []
    if not words and value in ("true", "yes", "on", "1"):
        return True, []
    words = words or survey.words("pg_hba")
    wrong = [word for word in words if re.search(r"[\s#\"']", word)]
    if wrong:
        survey.refuse(
            f"standby_pg_hba must be true, false, or addresses such as 10.0.0.0/8 with commas between them, but has "
            f"{wrong[0]!r}."
        )
    return True, words


def _create_user(survey: Survey) -> bool:
    wanted = bool(survey.flag("create_user"))
    if wanted and not survey.text("password"):
        survey.refuse("standby_create_user needs standby_password, the password of the new user.")
    return wanted


def _parameters(survey: Survey) -> dict[str, str]:
    """More parameters of the connection."""
    found = dict(survey.pairs("conninfo"))
    for name, value in found.items():
        if name in _OWN_PARAMETERS:
            survey.refuse(f"standby_conninfo has {name}: take it out, because {_OWN_PARAMETERS[name]}.")
        elif not _PARAMETER.fullmatch(name) or not value:
            survey.refuse(f"standby_conninfo: {name!r} needs a name and a value, as in sslmode=verify-full.")
    return found


def _settings(survey: Survey) -> dict[str, str]:
    """More recovery settings."""
    found = dict(survey.pairs("recovery_options"))
    for name, value in found.items():
        if name in _OWN_SETTINGS:
            survey.refuse(f"standby_recovery_options has {name}: take it out, because {_OWN_SETTINGS[name]}.")
        elif name == "restore_command" or not name or not value:
            survey.refuse(
                "restore_command is written by pgBackRest: take it out of standby_recovery_options."
                if name == "restore_command"
                else f"standby_recovery_options: {name!r} needs a name and a value, as in recovery_min_apply_delay=1h."
            )
    return found
