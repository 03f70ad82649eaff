# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wrong with the variables themselves, before any host is asked. Private to the collection.

Every function returns sentences that say where, what is wrong, and what to write instead.
"""

from __future__ import annotations

import re
import typing as t

from ..module_utils import _catalogue as catalogue
from ..module_utils._backup import parse_age
from ..module_utils._config_file import secret
from ..module_utils._schedule import full_unit_name, name_problems
from . import _model_input as model
from ._model_input import Mapping

_STANZA = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
_PREFIXED = re.compile(r"^repo\d*[-_](.+)$")
_TYPES = ("full", "diff", "incr")
_SCHEDULE_KEYS = ("type", "calendar", "cron", "repo")
_DAY_NAMES = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_SHORTHANDS = (
    *("minutely", "hourly", "daily", "weekly", "monthly", "quarterly"),
    *("semiannually", "semi-annually", "yearly", "annually", "anually", "biannually", "bi-annually"),
)
_REPOSITORY_TYPES = ("azure", "cifs", "gcs", "posix", "s3", "sftp")
_HOST_TYPES = ("tls", "ssh")

_LISTS = ("pgbackrest_hosts", "pgbackrest_clusters", "pgbackrest_repositories", "pgbackrest_schedule")
_OF_MAPPINGS = ("pgbackrest_clusters", "pgbackrest_repositories", "pgbackrest_schedule")
_BOOLEANS = ("pgbackrest_restart_allowed", "pgbackrest_replace_configuration", "pgbackrest_allow_unencrypted")
_NUMBERS = ("pgbackrest_tls_port", "pgbackrest_ssh_port")
_DAYS = ("pgbackrest_tls_days", "pgbackrest_tls_authority_days")
_TIMES = ("pgbackrest_schedule_splay", "pgbackrest_tls_renew_before")
_WORDS = ("pgbackrest_address", "pgbackrest_tls_listen", "pgbackrest_tls_unit")
_LISTS_OF_TEXT = (
    "pgbackrest_packages",
    "pgbackrest_pgdg_packages",
    "pgbackrest_tls_cryptography_packages",
    "pgbackrest_ssh_from",
)
_CHOICES = {
    "pgbackrest_package_source": ("distribution", "pgdg", "none"),
    "pgbackrest_tls_certificates": ("issued", "provided"),
}


def wrong_types(variables: Mapping) -> list[str]:
    """Variables that are no list, mapping, number … as they must be. With these nothing else can be checked."""
    found = [
        *_wrong_lists(variables),
        *_wrong_mappings(variables),
        *(_problem_of_flag(name, variables[name]) for name in _BOOLEANS if name in variables),
        *(_problem_of_port(name, variables[name]) for name in _NUMBERS if name in variables),
        *(
            _problem_of_choice(name, variables[name], allowed)
            for name, allowed in _CHOICES.items()
            if name in variables
        ),
        *(_problem_of_days(name, variables[name]) for name in _DAYS if name in variables),
        *(_problem_of_time(name, variables[name]) for name in _TIMES if name in variables),
        *(_problem_of_word(name, variables[name]) for name in _WORDS if name in variables),
        *(_problem_of_texts(name, variables[name]) for name in _LISTS_OF_TEXT if name in variables),
        _problem_of_unit(variables.get("pgbackrest_schedule_on_failure")),
    ]
    return [sentence for sentence in found if sentence]


def _wrong_lists(variables: Mapping) -> t.Iterator[str]:
    candidates = [(name, variables[name], name in _OF_MAPPINGS) for name in _LISTS if name in variables]
    for number, entry in enumerate(_mappings(variables.get("pgbackrest_clusters"))):
        for key in ("hosts", "repositories", "schedule"):
            if key in entry:
                candidates.append((f"pgbackrest_clusters[{number}].{key}", entry[key], key != "hosts"))
    for name, given, of_mappings in candidates:
        if not isinstance(given, (list, tuple)):
            yield f"{name} must be a list{' of mappings' if of_mappings else ' of names of hosts'}."
        elif of_mappings:
            wrong = [number for number, item in enumerate(given) if not isinstance(item, t.Mapping)]
            yield from (f"{name}[{number}] must be a mapping, such as {{key: value}}." for number in wrong)


def _wrong_mappings(variables: Mapping) -> t.Iterator[str]:
    given = {name: variables[name] for name in ("pgbackrest_options",) if name in variables}
    for number, entry in enumerate(_mappings(variables.get("pgbackrest_clusters"))):
        if "options" in entry:
            given[f"pgbackrest_clusters[{number}].options"] = entry["options"]
    for name, options in given.items():
        if not isinstance(options, t.Mapping):
            yield f"{name} must be a mapping of pgBackRest's options, such as {{compress-level: 6}}."


def _mappings(given: t.Any) -> list[Mapping]:
    return [item if isinstance(item, t.Mapping) else {} for item in given] if isinstance(given, (list, tuple)) else []


def _problem_of_flag(name: str, given: t.Any) -> str | None:
    return None if model.truth(given) is not None else f"{name} is {given!r}: write true or false."


def _problem_of_port(name: str, given: t.Any) -> str | None:
    number = model.whole_number(given)
    fits = number is not None and 1 <= number <= 65535
    return None if fits else f"{name} is {given!r}: write the number of a port, 1 to 65535."


def _problem_of_days(name: str, given: t.Any) -> str | None:
    return None if model.whole_number(given) else f"{name} is {given!r}: write a number of days, 1 or more."


def _problem_of_time(name: str, given: t.Any) -> str | None:
    try:
        parse_age(str(given))
    except ValueError:
        return f"{name} is {given!r}: write a whole number with s, m, h, d or w, such as 30m or 30d."
    return None


def _problem_of_word(name: str, given: t.Any) -> str | None:
    fits = isinstance(given, str) and len(given.split()) == 1 and given == given.strip()
    return None if fits else f"{name} is {given!r}: write one word without blanks, or leave it out for the default."


def _problem_of_texts(name: str, given: t.Any) -> str | None:
    fits = isinstance(given, (list, tuple)) and all(isinstance(item, str) and item for item in given)
    return None if fits else f"{name} is {given!r}: write a list of texts, such as [a, b]."


def _problem_of_unit(given: t.Any) -> str | None:
    if not given or isinstance(given, str) and not name_problems("-", [], full_unit_name(given)):
        return None
    return f"pgbackrest_schedule_on_failure is {given!r}: write the name of a systemd unit, such as alert@%n.service."


def _problem_of_choice(name: str, given: t.Any, allowed: t.Sequence[str]) -> str | None:
    return None if given in allowed else f"{name} is {given!r}: write {_or(allowed)}{_close(str(given), allowed)}."


def _or(words: t.Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]


def _close(word: str, candidates: t.Iterable[str]) -> str:
    close = catalogue.similar(word, candidates)
    return f" (did you mean {close}?)" if close else ""


def problems(entry: Mapping, name: str, hosts: t.Container[str], unencrypted: bool) -> list[str]:
    """What is wrong with one entry on host ``name``; ``hosts`` is the inventory."""
    return [
        *_keys(entry),
        *_stanza(entry),
        *_hosts(entry, name, hosts),
        *_repositories(entry, hosts, unencrypted),
        *_options(entry),
        *_schedule(entry),
    ]


def doubles(entries: t.Sequence[Mapping]) -> t.Iterator[str]:
    """Entries for the same stanza or the same cluster."""
    for key in ("stanza", "cluster"):
        seen: dict[str, str] = {}
        for entry in entries:
            given = str(entry[key] or "").rstrip("/")
            if given and given in seen:
                yield (
                    f"{entry['where'][key]} is {given}, as is {seen[given]}: a stanza is for one cluster, and a "
                    "cluster has one stanza. Give each entry its own."
                )
            seen.setdefault(given, entry["where"][key])


def _keys(entry: Mapping) -> t.Iterator[str]:
    known = (*model.OF_A_CLUSTER, "cluster")
    for key in entry:
        if key not in (*known, "where"):
            where = entry["where"]["cluster"].rpartition(".")[0]
            yield f"{where} has the unknown key {key}: its keys are {', '.join(known)}{_close(str(key), known)}."


def is_name(given: t.Any) -> bool:
    """Whether a stanza can have this name."""
    return isinstance(given, str) and bool(_STANZA.match(given)) and not _is_a_word_of_pgbackrest(given)


def _is_a_word_of_pgbackrest(given: str) -> bool:
    return given in ("global", "all") or given in catalogue.COMMANDS


def without_misplaced(entry: Mapping) -> dict[str, t.Any]:
    """The entry without keys and options that are refused here already, so that nothing is said of them twice."""
    repositories = [
        {key: given for key, given in repository.items() if isinstance(key, str) and not _PREFIXED.match(key)}
        for repository in entry["repositories"]
    ]
    options = {key: given for key, given in entry["options"].items() if not _misplaced(entry, str(key), given)}
    return {**entry, "repositories": repositories, "options": options}


def _stanza(entry: Mapping) -> t.Iterator[str]:
    given, where = entry["stanza"], entry["where"]["stanza"]
    if not isinstance(given, str) or not _STANZA.match(given):
        yield (
            f"{where} is {given!r}: a stanza has a name of letters, digits, '_', '-' and '.' that begins with a letter "
            "or digit, because files and units are named after it."
        )
    elif _is_a_word_of_pgbackrest(given):
        yield f"{where} is {given}, a word with a meaning of its own to pgBackRest: take another name."


def _hosts(entry: Mapping, name: str, hosts: t.Container[str]) -> t.Iterator[str]:
    given, where = list(entry["hosts"]), entry["where"]["hosts"]
    for host in given:
        if host not in hosts:
            yield f"{where} names {host}, which is not in the inventory: write names of the inventory."
    if name not in given:
        yield (
            f"{where} is [{', '.join(map(str, given))}] and lacks {name} itself: list all hosts of the stanza, the "
            "primary and its standbys."
        )
    for host in sorted({host for host in given if given.count(host) > 1}):
        yield f"{where} names {host} twice: name each host once."


def _repositories(entry: Mapping, hosts: t.Container[str], unencrypted: bool) -> t.Iterator[str]:
    given, where = entry["repositories"], entry["where"]["repositories"]
    if not given:
        yield (
            f"{where} is empty, and there is no backup without a repository: write at least one, such as "
            "{type: posix, path: /var/lib/pgbackrest, retention-full: 2}."
        )
    keepers = list(dict.fromkeys(str(repository["host"]) for repository in given if repository.get("host")))
    for number, repository in enumerate(given):
        here = f"{where}[{number}]"
        yield from _keys_of_repository(here, number, repository)
        yield from _kind(here, repository)
        yield from _place(here, repository, entry, hosts, keepers)
        yield from _protection(here, repository, unencrypted)
    if len(keepers) > 1:
        yield (
            f"{where} names the repository hosts {' and '.join(keepers)}: a stanza has one repository host. Further "
            "repositories may lie on it, or in an object store."
        )
    kinds = {model.host_type(repository) for repository in given if repository.get("host")}
    if len(kinds) > 1:
        yield f"{where} mixes host-type {_or(sorted(kinds))}: use one for all repositories on {keepers[0]}."


def _keys_of_repository(here: str, number: int, repository: t.Mapping[t.Any, t.Any]) -> t.Iterator[str]:
    for key, given in repository.items():
        prefixed = _PREFIXED.match(str(key))
        if prefixed:
            yield (
                f"{here} has the key {key}: leave out repo{number + 1}-, the place in the list is the number. Write "
                f"{prefixed.group(1).replace('_', '-')}."
            )
        elif not isinstance(key, str):
            yield f"{here} has the key {key!r}: keys are names of pgBackRest's options without repo{number + 1}-."
        elif secret(f"repo1-{key}") and given == "":
            yield (
                f"{here}: {key} is empty. Perhaps the variable that holds it is: give it a value, or leave the key out."
            )


def _kind(here: str, repository: Mapping) -> t.Iterator[str]:
    kind, host = repository.get("type"), repository.get("host")
    if not kind and not host:
        yield (
            f"{here} has neither type nor host: write type {_or(_REPOSITORY_TYPES)}, or host, the inventory name of a "
            "repository host."
        )
    if host and model.host_type(repository) not in _HOST_TYPES:
        yield f"{here}: host-type is {repository['host-type']!r}: write tls or ssh."
    if not host:
        lonely = [key for key in repository if str(key).startswith("host-")]
        if lonely:
            yield f"{here} has {', '.join(lonely)} but no host: write the inventory name of the repository host."


def _place(
    here: str, repository: Mapping, entry: Mapping, hosts: t.Container[str], keepers: t.Sequence[str]
) -> t.Iterator[str]:
    host, several = repository.get("host"), len(set(entry["hosts"])) > 1
    local = not host and repository.get("type") == "posix"
    if host and host in entry["hosts"]:
        yield (
            f"{here}: host is {host}, which is a host of the stanza itself. Leave host out for a repository on the "
            "only host of a cluster; with standbys keep it on a host of its own."
        )
    elif host and host not in hosts:
        yield f"{here}: host is {host}, which is not in the inventory: write the inventory name of a repository host."
    if local and keepers:
        yield (
            f"{here} is a directory of the database host, while backups run on {keepers[0]}, which cannot reach it: "
            f"write host: {keepers[0]}, or use an object store."
        )
    elif local and several and not model.truth(repository.get("shared", False)):
        yield (
            f"{here} is a directory, which each of {', '.join(map(str, entry['hosts']))} would have for itself, and "
            "after a failover the backups would be on the wrong host: write host, the inventory name of a repository "
            "host, or shared: true when all hosts mount the same directory."
        )


def _protection(here: str, repository: Mapping, unencrypted: bool) -> t.Iterator[str]:
    outside = repository.get("host") or repository.get("type") in model.REMOTE_TYPES
    if "retention-full" not in repository:
        yield (
            f"{here} does not say how many full backups to keep: write retention-full, such as retention-full: 2 "
            "(9999999 keeps all). Nothing is deleted that you have not decided on."
        )
    encrypted = "cipher-pass" in repository and repository.get("cipher-type", "aes-256-cbc") != "none"
    if outside and not encrypted and not unencrypted:
        yield (
            f"{here} lies outside the host and has no cipher-pass: write one (keep it in a vault, without it no backup "
            "can be read), or set pgbackrest_allow_unencrypted: true."
        )
    if "shared" in repository and model.truth(repository["shared"]) is None:
        yield f"{here}: shared is {repository['shared']!r}: write true or false."


def _options(entry: Mapping) -> t.Iterator[str]:
    for key, given in entry["options"].items():
        reason = _misplaced(entry, str(key), given)
        if reason:
            yield f"{entry['where']['options']} has {key}{reason}"


def _misplaced(entry: Mapping, key: str, given: t.Any) -> str | None:
    """Why an option does not belong into the options."""
    of_repository = re.match(r"^repo(\d*)-(.+)$", key)
    of_cluster = re.match(r"^pg\d+-(.+)$", key)
    if of_repository:
        place = f"{entry['where']['repositories']}[{int(of_repository.group(1) or 1) - 1}]"
        return f": options of a repository stand with it. Write {of_repository.group(2)} in {place}."
    if of_cluster:
        return f": the role numbers the hosts. Write pg-{of_cluster.group(1)}, it counts for all."
    if key.startswith("tls-server-"):
        return ": it belongs to the host. Use the variables pgbackrest_tls_*."
    if key not in catalogue.COMMANDS and key in model.command_options({key: given}):
        return f" with options below it, but pgBackRest has no such command{_close(key, catalogue.COMMANDS)}."
    return None


def _schedule(entry: Mapping) -> t.Iterator[str]:
    for number, item in enumerate(entry["schedule"]):
        here = f"{entry['where']['schedule']}[{number}]"
        for key in item:
            if key not in _SCHEDULE_KEYS:
                close = _close(str(key), _SCHEDULE_KEYS)
                yield f"{here} has the unknown key {key}: its keys are {', '.join(_SCHEDULE_KEYS)}{close}."
        kind = item.get("type")
        if kind not in _TYPES:
            yield f"{here}: type is {kind!r}: write {_or(_TYPES)}{_close(str(kind), _TYPES)}."
        if not (item.get("calendar") or item.get("cron")):
            yield f'{here} says not when: write calendar, such as calendar: "Sun 02:00".'
        yield from _times(here, item)
        yield from _repository_of_schedule(here, item, len(entry["repositories"]))


def _times(here: str, item: Mapping) -> t.Iterator[str]:
    calendar = item.get("calendar")
    if isinstance(calendar, str) and _misread(calendar):
        yield (
            f"{here}: calendar is {calendar!r}, and {_misread(calendar)} is no day, date or time of systemd: write it "
            'such as "Sun 02:00", "Mon..Fri 22:30" or "*-*-01 04:00".'
        )
    for key in ("calendar", "cron"):
        given = item.get(key)
        if given is not None and not isinstance(given, str):
            yield f"{here}: {key} is {given!r}: write a text in quotes."
    cron = item.get("cron")
    if isinstance(cron, str) and cron and not cron.startswith("@") and len(cron.split()) != 5:
        yield f'{here}: cron is {cron!r}: write five fields, such as "0 2 * * 0".'


def _misread(calendar: str) -> str | None:
    """A word that systemd cannot mean. It knows more forms than are told apart here, and has the last word."""
    words = calendar.split()
    if len(words) == 1 and words[0].lower() in _SHORTHANDS:
        return None
    if words and words[0][0].isalpha():
        days = re.split(r",|\.\.|-", words[0].rstrip(","))
        if any(day and day.lower() not in (*_DAY_NAMES, *(name[:3] for name in _DAY_NAMES)) for day in days):
            return words[0]
    for word in words:
        clock = re.match(r"(\d+):(\d+)", word)
        if clock and (int(clock.group(1)) > 23 or int(clock.group(2)) > 59):
            return word
    return None


def _repository_of_schedule(here: str, item: Mapping, repositories: int) -> t.Iterator[str]:
    if item.get("repo") is None:
        return
    number = model.whole_number(item["repo"])
    if number is None or not 1 <= number <= repositories:
        yield (
            f"{here}: repo is {item['repo']!r}, but the stanza has repositories 1 to {repositories}: write one of "
            "these numbers, or leave repo out for all."
        )
