# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A user's SSH files: whom it trusts and who may log in. Private to the collection."""

from __future__ import annotations

import typing as t

_MARKS = ("#", "@")  # comments; @revoked and @cert-authority are none of ours


def unknown(known_hosts: str | None, wanted: t.Iterable[tuple[str, str]]) -> list[str]:
    """Names of the hosts whose key is not there. A name stands as ``db1`` or ``[db1]:2222``, a key as ``TYPE BASE64``.

    Lines with hashed names are not read.
    """
    present: set[tuple[str, ...]] = set()
    for words in _lines(known_hosts):
        if len(words) > 2:
            present.update((name, words[1], words[2]) for name in words[0].split(","))
    return [name for name, key in wanted if (name, *key.split()[:2]) not in present]


def unauthorized(authorized_keys: str | None, wanted: t.Iterable[tuple[str, str]]) -> list[str]:
    """The keys that do not stand there, or stand there with other options, in the order wanted."""
    present: dict[str, list[str]] = {}
    for line in (authorized_keys or "").splitlines():
        entry = split_entry(line.strip())
        if entry:
            present.setdefault(entry[1], []).append(entry[0])
    return [key for key, options in wanted if present.get(" ".join(key.split()[:2])) != [options]]


def split_entry(line: str) -> tuple[str, str] | None:
    """Options and key of a line of ``authorized_keys``; None for a line without key.

    >>> split_entry('restrict,command="x \\\\"y z" ssh-ed25519 AAAA me')
    ('restrict,command="x \\\\"y z"', 'ssh-ed25519 AAAA')
    >>> split_entry("ssh-ed25519 AAAA")
    ('', 'ssh-ed25519 AAAA')
    """
    if not line or line.startswith(_MARKS):
        return None
    options, rest = "", line
    if not _is_type(line.split()[0]):
        end = _end_of_options(line)
        options, rest = line[:end], line[end:]
    words = rest.split()
    return (options, " ".join(words[:2])) if len(words) > 1 and _is_type(words[0]) else None


def _is_type(word: str) -> bool:
    return word.startswith(("ssh-", "ecdsa-", "sk-"))


def _end_of_options(line: str) -> int:
    """Where the first blank outside quotes is."""
    quoted = escaped = False
    for position, character in enumerate(line):
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == '"':
            quoted = not quoted
        elif character in " \t" and not quoted:
            return position
    return len(line)


def _lines(text: str | None) -> t.Iterator[list[str]]:
    for line in (text or "").splitlines():
        if line.strip() and not line.strip().startswith(_MARKS):
            yield line.split()
