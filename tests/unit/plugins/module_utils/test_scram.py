# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Verifiers of passwords, compared with those that others computed."""

from __future__ import annotations

import base64

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils._scram import matches, verifier

# The keys of the exchange in RFC 7677.
RFC = (
    "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
    "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
)


def test_verifier_of_the_standard() -> None:
    assert verifier("pencil", base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")) == RFC
    assert matches("pencil", RFC) and not matches("pencils", RFC)


@pytest.mark.parametrize("kept", [None, "", "md5aa9b5d1b", "SCRAM-SHA-256$4096:x$y:z", RFC[:-1]])
def test_what_is_no_verifier_matches_nothing(kept: str | None) -> None:
    assert not matches("pencil", kept)


# From src/test/authentication/t/002_saslprep.pl of PostgreSQL: the right column may log in.
@pytest.mark.parametrize(
    ("password", "given", "same"),
    [
        ("IX", "I\u00adX", True),
        ("IX", "\u2168", True),
        ("a", "\u00aa", True),
        ("foo bar", "foo\u1680bar", True),
        ("bar\u1680", "bar ", True),
        ("\u0627\u0031", "\u0627\u0031 ", False),
        ("foo\u0007bar", "foobar", False),
        ("\u0627abc\u0627", "\u0627abc\u0627", True),
        ("p\u00e4ss", "p\u0061\u0308ss", True),
    ],
)
def test_passwords_that_mean_the_same(password: str, given: str, same: bool) -> None:
    assert matches(given, verifier(password, b"0123456789abcdef")) is same
