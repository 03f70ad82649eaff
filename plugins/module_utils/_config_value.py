# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a value fits an option. Private to the collection.

``problem`` says what is wrong and what to write instead. It never quotes the value of a secret.
"""

from __future__ import annotations

import re
import typing as t

from ._catalogue import Option, similar
from ._config_file import secret

_SIZE = re.compile(r"^(\d+)(?:([kmgtp])(?:i?b)?|b)?$", re.IGNORECASE)
_TIME = re.compile(r"^(\d+)(ms|[smhdw])?$", re.IGNORECASE)
_INTEGER = re.compile(r"^-?\d+$")
_MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_YES_NO = "write true or false"


def problem(key: str, option: Option, value: t.Any, limits: t.Sequence[int] | None = None) -> str | None:
    """What is wrong with the value of ``key``, None when nothing is. ``limits`` are those that hold here."""
    if value is None:
        return f"{key} has no value: leave the option out to get pgBackRest's default"
    if isinstance(value, float):
        return f"{key} is {value}, but pgBackRest takes no fractions: write a whole number, or quote a name or version"
    if option.type == "hash":
        return _hash_problem(key, value)
    if option.type == "list":
        return _list_problem(key, value)
    if isinstance(value, (list, dict)):
        kind = "list" if isinstance(value, list) else "mapping"
        return f"{key} takes one value, not a {kind}"
    return _scalar_problem(key, option, value, limits)


def size(value: str) -> int | None:
    """Bytes of a size such as ``16MiB``; pgBackRest's units are powers of 1024.

    >>> size("16MiB"), size("64k"), size("1.5G")
    (16777216, 65536, None)
    """
    match = _SIZE.match(value)
    return int(match.group(1)) * 1024 ** (" kmgtp".index((match.group(2) or " ").lower())) if match else None


def milliseconds(value: str) -> int | None:
    """Milliseconds of a time such as ``30m``; without unit it is seconds.

    >>> milliseconds("30m"), milliseconds("5"), milliseconds("0.5")
    (1800000, 5000, None)
    """
    match = _TIME.match(value)
    return int(match.group(1)) * _MILLISECONDS[(match.group(2) or "s").lower()] if match else None


def _hash_problem(key: str, value: t.Any) -> str | None:
    if not isinstance(value, dict):
        return f"{key} takes a mapping, such as {{name: value}}"
    for subkey, subvalue in value.items():
        if not isinstance(subkey, str) or not subkey.strip() or "=" in subkey:
            return f"{key} has the key {subkey!r}: keys are words without ="
        found = _text_problem(f"a key of {key}", subkey, False) or _item_problem(f"{key}: {subkey}", key, subvalue)
        if found:
            return found
    return None


def _list_problem(key: str, value: t.Any) -> str | None:
    if isinstance(value, dict):
        return f"{key} takes a list, not a mapping"
    items = value if isinstance(value, list) else [value]
    return next((found for found in (_item_problem(key, key, item) for item in items) if found), None)


def _item_problem(where: str, key: str, value: t.Any) -> str | None:
    if isinstance(value, bool):
        return f"{where} is a YAML boolean, which may not be what you mean: quote the word"
    if not isinstance(value, (str, int)):
        return f"{where} must be a text or a whole number: quote it if it is a text"
    return _text_problem(where, str(value), secret(key))


def _text_problem(where: str, value: str, is_secret: bool) -> str | None:
    if not value:
        return f"{where} is empty: leave it out to get pgBackRest's default"
    if any(ord(character) < 32 or ord(character) == 127 for character in value):
        return f"{where} holds a line break or control character: one option is one line; check how the value is quoted"
    if value != value.strip():
        return f"{where} begins or ends with a blank, which pgBackRest would cut off: remove it"
    if " #" in value and not is_secret:
        return (
            f"{where} holds ' #', but pgBackRest knows no comment at the end of a line and would take it as part of "
            "the value: put the comment on a line of the playbook"
        )
    return None


def _scalar_problem(key: str, option: Option, value: t.Any, limits: t.Sequence[int] | None) -> str | None:
    if isinstance(value, bool) and not _takes_yes_no(option):
        return f"{key} is a YAML boolean, but {_expected(option)}: quote the word, such as {_quoted(option, value)}"
    if not isinstance(value, (str, int)):
        return f"{key} must be a text, a whole number or a boolean"
    text = ("y" if value else "n") if isinstance(value, bool) else str(value)
    found = _text_problem(key, text, secret(key))
    if found:
        return found
    shown = "the value (not shown)" if secret(key) else repr(text)
    return _CHECKS.get(option.type, _accept)(key, option, text, shown, limits)


def _takes_yes_no(option: Option) -> bool:
    return option.type == "boolean" or bool(option.allow and {"y", "n"} <= set(option.allow))


def _expected(option: Option) -> str:
    return f"it takes one of {', '.join(option.allow)}" if option.allow else f"it takes a {option.type}"


def _quoted(option: Option, value: bool) -> str:
    words = ("on", "yes", "true") if value else ("off", "no", "none", "false")
    return '"' + next((word for word in words if word in (option.allow or ())), words[0]) + '"'


def _boolean(key: str, option: Option, text: str, shown: str, limits: t.Any) -> str | None:
    return None if text in ("y", "n") else f"{key} is {shown}, but pgBackRest takes only y or n: {_YES_NO}"


def _choice(key: str, option: Option, text: str, shown: str, limits: t.Any) -> str | None:
    if not option.allow or text in option.allow:
        return None
    close = similar(text.lower(), option.allow)
    hint = f" Did you mean {close}?" if close else ""
    return f"{key} is {shown}, but it takes one of {', '.join(option.allow)}.{hint}"


def _integer(key: str, option: Option, text: str, shown: str, limits: t.Any) -> str | None:
    if not _INTEGER.match(text):
        return f"{key} is {shown}, but it takes a whole number"
    return _limits(key, int(text), shown, limits, str)


def _size(key: str, option: Option, text: str, shown: str, limits: t.Any) -> str | None:
    number = size(text)
    if number is None:
        return f"{key} is {shown}, but it takes a size: a whole number with or without unit, such as 64MiB"
    if option.allow and number not in [size(allowed) for allowed in option.allow]:
        return f"{key} is {shown}, but it takes one of {', '.join(_bytes(size(item) or 0) for item in option.allow)}"
    return _limits(key, number, shown, limits, _bytes)


def _time(key: str, option: Option, text: str, shown: str, limits: t.Any) -> str | None:
    number = milliseconds(text)
    if number is None:
        return f"{key} is {shown}, but it takes a time: whole seconds, or a whole number with ms, s, m, h, d or w"
    return _limits(key, number, shown, limits, _duration)


def _path(key: str, option: Option, text: str, shown: str, limits: t.Any) -> str | None:
    if not text.startswith("/"):
        return f"{key} is {shown}, but it takes an absolute path: begin it with /"
    return f"{key} is {shown}: pgBackRest refuses // in a path, remove one /" if "//" in text else None


def _accept(key: str, option: Option, text: str, shown: str, limits: t.Any) -> str | None:
    return None


def _limits(key: str, number: int, shown: str, limits: t.Any, show: t.Callable[[int], str]) -> str | None:
    if not limits or limits[0] <= number <= limits[1]:
        return None
    return f"{key} is {shown}, but it must lie between {show(limits[0])} and {show(limits[1])}"


def _bytes(number: int) -> str:
    for unit in ("", "KiB", "MiB", "GiB", "TiB"):
        if number % 1024 or number == 0:
            return f"{number}{unit}"
        number //= 1024
    return f"{number}PiB"


def _duration(number: int) -> str:
    unit = next(unit for unit in ("w", "d", "h", "m", "s", "ms") if number % _MILLISECONDS[unit] == 0)
    return f"{number // _MILLISECONDS[unit]}{unit}"


_CHECKS: dict[str, t.Callable[[str, Option, str, str, t.Any], str | None]] = {
    "boolean": _boolean,
    "string-id": _choice,
    "integer": _integer,
    "size": _size,
    "time": _time,
    "path": _path,
}
