# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wrong with options of a configuration file together. Private to the collection.

pgBackRest ignores an option without a word when what it depends on does not hold, for example a passphrase without
cipher type; and it tells what is missing only when a command needs it.
"""

from __future__ import annotations

import typing as t

from . import _catalogue as catalogue, _config_value
from ._config_file import RawSections, Sections, lines, section_chain, text

if t.TYPE_CHECKING:
    from ._catalogue import Option, Version

_OWN_SIDES = ("pg-local", "repo-local")


def owner_and_command(section: str) -> tuple[str | None, str | None]:
    """Stanza (None for global) and command of a section.

    >>> owner_and_command("global:backup"), owner_and_command("main")
    ((None, 'backup'), ('main', None))
    """
    owner, dummy, command = section.partition(":")
    return (None if owner == "global" else owner), command or None


def indexed(name: str, index: int | None) -> str:
    """Key of an option with its index.

    >>> indexed("repo-path", 2)
    'repo2-path'
    """
    group, dummy, rest = name.partition("-")
    return name if index is None else f"{group}{index}-{rest}"


class Together:
    """The checks that need several options: own file and others as one, every key by its name of today."""

    def __init__(self, sections: Sections, version: Version, others: RawSections | None) -> None:
        self.own = {name: {key: _values(value) for key, value in options.items()} for name, options in sections.items()}
        self.own = {name: {key: found for key, found in keys.items() if found} for name, keys in self.own.items()}
        self.version = version
        self.complete = others is not None
        self.others = {
            name: {catalogue.canonical(key): found for key, found in options.items()}
            for name, options in (others or {}).items()
        }

    def problems(self) -> list[str]:
        """All problems, each once, without the full stop."""
        found = self._set_twice() + self._without_beta() + self._without_effect()
        for stanza in self._stanzas():
            if self.complete and stanza:
                found += self._missing(stanza)
            found += self._timeouts(stanza) + self._same_paths(stanza) + self._bucket_names(stanza)
        return list(dict.fromkeys(found))

    def _stanzas(self) -> list[str | None]:
        owners = dict.fromkeys(owner_and_command(section)[0] for section in self.own)
        stanzas: list[str | None] = [owner for owner in owners if owner]
        if not stanzas:
            stanzas.append(None)
        return stanzas

    def _values_at(self, section: str, key: str) -> list[str]:
        return self.own.get(section, {}).get(key) or self.others.get(section, {}).get(key) or []

    def _related(self, section: str) -> list[str]:
        """Sections that count for some command together with this one."""
        owner, command = owner_and_command(section)
        result = []
        for name in dict.fromkeys([*self.own, *self.others]):
            other_owner, other_command = owner_and_command(name)
            same_owner = owner is None or other_owner is None or owner == other_owner
            if same_owner and (command is None or other_command is None or command == other_command):
                result.append(name)
        return result

    def _possible(self, section: str, key: str) -> list[str]:
        """All values that the key has in sections that count together with this one."""
        return [value for name in self._related(section) for value in self._values_at(name, key)]

    def _resolved(self, stanza: str | None, key: str) -> str | None:
        """The value for a stanza and no command in particular; the default where no file can say otherwise."""
        for section in section_chain(stanza, None):
            values = self._values_at(section, key)
            if values:
                return values[0]
        option = catalogue.find(catalogue.split_key(key)[0], self.version)
        return option.default if option and self.complete else None

    def _set_twice(self) -> list[str]:
        found = []
        for section, options in self.own.items():
            for key in options:
                option = catalogue.find(catalogue.split_key(key)[0], self.version)
                if option and option.type not in ("list", "hash") and key in self.others.get(section, {}):
                    found.append(
                        f"[{section}] {key} also stands in another file that pgBackRest reads together with this one, "
                        "and it refuses that: keep one of them"
                    )
        return found

    def _without_beta(self) -> list[str]:
        found = []
        for section, options in self.own.items():
            for key in options:
                name = catalogue.split_key(key)[0]
                option = catalogue.find(name, self.version)
                if name != "beta" and option and option.beta and "y" not in self._possible(section, "beta"):
                    until, here = catalogue.beta_until(name), catalogue.version_text(self.version)
                    needs = f"needs pgBackRest {catalogue.version_text(until)}, this host has {here}" if until else ""
                    found.append(f"[{section}] {key} {needs or 'is beta'}, where it works only as beta (beta: true)")
        return found

    def _without_effect(self) -> list[str]:
        """Options that pgBackRest would pass over because what they depend on does not hold."""
        reasons: dict[tuple[str, str], list[str]] = {}
        for section, options in self.own.items():
            for key, values in options.items():
                reason = self._inactive(section, key)
                if reason and not self._harmless(key, values):
                    reasons.setdefault((section, reason), []).append(key)
        return [
            f"[{section}] {', '.join(keys)} would be ignored: {reason}" for (section, reason), keys in reasons.items()
        ]

    def _harmless(self, key: str, values: list[str]) -> bool:
        option = catalogue.find(catalogue.split_key(key)[0], self.version)
        return bool(option and option.depend and values[0] == option.depend.get("else"))

    def _inactive(self, section: str, key: str) -> str | None:
        """Why an option has no effect, None when it has or when another file may say."""
        name, index = catalogue.split_key(key)
        option = catalogue.find(name, self.version)
        if not option or not option.depend:
            return None
        controller = catalogue.find(option.depend["option"], self.version)
        if not controller or controller.section == "command-line" or controller.name in _OWN_SIDES:
            return None
        controller_key = indexed(controller.name, index)
        values = self._possible(section, controller_key)
        if not values and not self.complete:
            return None
        wanted = option.depend.get("values")
        if not values and controller.default is None:
            advice = f"set it to {' or '.join(wanted)}" if wanted else "set it"
            return f"{controller_key} is not set; {advice}, or leave the option out"
        if wanted and not set(values or [controller.default or ""]) & set(wanted):
            is_now = values[0] if values else f"{controller.default} by default"
            return f"{controller_key} is {is_now}; set it to {' or '.join(wanted)}, or leave the option out"
        return self._inactive(section, controller_key)

    def _missing(self, stanza: str) -> list[str]:
        """Options without default that a stanza lacks, for all repositories, clusters and servers of the file."""
        found = []
        for prefix, index in self._groups(stanza):
            for option in catalogue.required_names(prefix, self.version):
                key = indexed(option.name, index)
                if not self._possible(stanza, key) and self._needed(stanza, option, index):
                    found.append(f"[{stanza}] {key} is missing: {self._why(stanza, option, index)}")
        return found

    def _groups(self, stanza: str) -> list[tuple[str, int | None]]:
        keys = [key for section in self._related(stanza) for key in self.own.get(section, {})]
        found: set[tuple[str, int | None]] = set()
        for key in keys:
            name, index = catalogue.split_key(key)
            if index:
                found.add((name.split("-")[0] + "-", index))
            elif key.startswith("tls-server-"):
                found.add(("tls-server-", None))
        if any(prefix == "pg-" for prefix, index in found):
            found.add(("pg-", 1))  # pgBackRest always asks for the first cluster
        return sorted(found, key=lambda group: (group[0], group[1] or 0))

    def _needed(self, stanza: str, option: Option, index: int | None) -> bool:
        if not option.depend:
            return True
        key = indexed(option.depend["option"], index)
        value, wanted = self._resolved(stanza, key), option.depend.get("values")
        holds = value in wanted if wanted else value is not None
        return holds and self._inactive(stanza, key) is None

    def _why(self, stanza: str, option: Option, index: int | None) -> str:
        if not option.depend:
            return "pgBackRest requires it"
        key = indexed(option.depend["option"], index)
        return f"pgBackRest requires it when {key} is {self._resolved(stanza, key) or 'set'}"

    def _timeouts(self, stanza: str | None) -> list[str]:
        keys = ("db-timeout", "protocol-timeout")
        if not any(key in options for options in self.own.values() for key in keys):
            return []
        values = [_config_value.milliseconds(self._resolved(stanza, key) or "") for key in keys]
        if values[0] is None or values[1] is None or values[0] < values[1]:
            return []
        return [
            f"[{stanza or 'global'}] protocol-timeout ({values[1] // 1000} s) must be greater than db-timeout "
            f"({values[0] // 1000} s): raise protocol-timeout or lower db-timeout"
        ]

    def _repositories(self, stanza: str | None) -> list[int]:
        keys = [key for section in section_chain(stanza, None) for key in self.own.get(section, {})]
        keys += [key for section in section_chain(stanza, None) for key in self.others.get(section, {})]
        indexes = {index or 0 for name, index in map(catalogue.split_key, keys) if name.startswith("repo-")}
        return sorted(indexes - {0})

    def _same_paths(self, stanza: str | None) -> list[str]:
        seen: dict[str, int] = {}
        found = []
        for index in self._repositories(stanza):
            kind = self._resolved(stanza, f"repo{index}-type")
            path = self._resolved(stanza, f"repo{index}-path") or ("/var/lib/pgbackrest" if self.complete else None)
            if kind not in ("posix", "cifs") or not path or self._resolved(stanza, f"repo{index}-host"):
                continue
            first = seen.setdefault(path.rstrip("/"), index)
            if first != index:
                found.append(
                    f"[{stanza or 'global'}] repo{first}-path and repo{index}-path are both {path}: "
                    "give each local repository a path of its own"
                )
        return found

    def _bucket_names(self, stanza: str | None) -> list[str]:
        found = []
        for index in self._repositories(stanza):
            bucket, style, verify = (
                self._resolved(stanza, f"repo{index}-{name}")
                for name in ("s3-bucket", "s3-uri-style", "storage-verify-tls")
            )
            if self.complete and bucket and "." in bucket and style != "path" and verify != "n":
                found.append(
                    f"[{stanza or 'global'}] repo{index}-s3-bucket has a dot in its name, so no TLS certificate fits "
                    f"it: set repo{index}-s3-uri-style to path, or rename the bucket (RFC 2818)"
                )
        return found


def _values(value: t.Any) -> list[str]:
    if isinstance(value, (list, dict)):
        return [line.split("=", 1)[1] for line in lines("key", value)]
    return [text(value)]
