# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Verifiers of passwords as PostgreSQL keeps them. Pure. Private to the collection.

With one made here the server never sees the password, and so no log of it can show it.
Sources: RFC 5803, RFC 4013; src/common/scram-common.c and saslprep.c of PostgreSQL.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import stringprep
import typing as t
import unicodedata

_ITERATIONS = 4096  # PostgreSQL's own number
_VERIFIER = re.compile(
    r"SCRAM-SHA-256\$(?P<iterations>\d+):(?P<salt>[A-Za-z0-9+/=]+)\$"
    r"(?P<stored>[A-Za-z0-9+/=]{44}):(?P<server>[A-Za-z0-9+/=]{44})"
)
_PROHIBITED: t.Sequence[t.Callable[[str], bool]] = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
    stringprep.in_table_a1,
)


def verifier(password: str, salt: bytes, iterations: int = _ITERATIONS) -> str:
    """What ``pg_authid.rolpassword`` holds for a password.

    >>> verifier("pencil", b"0123456789abcdef")[:44]
    'SCRAM-SHA-256$4096:MDEyMzQ1Njc4OWFiY2RlZg==$'
    """
    salted = hashlib.pbkdf2_hmac("sha256", _prepared(password), salt, iterations)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    return f"SCRAM-SHA-256${iterations}:{_text(salt)}${_text(stored)}:{_text(server)}"


def matches(password: str, kept: str | None) -> bool:
    """Whether the kept verifier is one of SCRAM for this password."""
    match = _VERIFIER.fullmatch(kept or "")
    if not match:
        return False
    made = verifier(password, base64.b64decode(match.group("salt")), int(match.group("iterations")))
    return hmac.compare_digest(made, kept or "")


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _prepared(password: str) -> bytes:
    """The password after SASLprep; as it is when SASLprep refuses it, as PostgreSQL and libpq do."""
    if password.isascii():
        return password.encode("ascii")
    mapped = "".join(
        " " if stringprep.in_table_c12(character) else character
        for character in password
        if not stringprep.in_table_b1(character)
    )
    normal = unicodedata.normalize("NFKC", mapped)
    refused = not normal or any(table(character) for character in normal for table in _PROHIBITED)
    return (password if refused or _mixes_directions(normal) else normal).encode("utf-8")


def _mixes_directions(text: str) -> bool:
    if not any(stringprep.in_table_d1(character) for character in text):
        return False
    ends = stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])
    return not ends or any(stringprep.in_table_d2(character) for character in text)
