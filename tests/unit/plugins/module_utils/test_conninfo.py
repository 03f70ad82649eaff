# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connection strings of libpq."""

from __future__ import annotations

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils._conninfo import (
    address,
    build,
    differs,
    parse,
    shown,
)
from hypothesis import given, strategies as st

VALUES = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1)


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,10}", fullmatch=True), VALUES))
def test_what_is_built_is_read_back(params: dict[str, str]) -> None:
    assert parse(build(params)) == params


@pytest.mark.parametrize(
    ("text", "params"),
    [
        ("", {}),
        ("  host = db1   port=5433 ", {"host": "db1", "port": "5433"}),
        ("host='a b' password='it\\'s \\\\'", {"host": "a b", "password": "it's \\"}),
        ("password=a\\ b user=''", {"password": "a b", "user": ""}),
        ("postgresql://u%40x:p%2F@db1:5433/app?sslmode=require", {
            "host": "db1", "port": "5433", "user": "u@x", "password": "p/", "dbname": "app", "sslmode": "require",
        }),
        ("postgres://db1,db2:5433/", {"host": "db1,db2", "port": ",5433"}),
        ("postgres://[::1]/", {"host": "::1"}),
        ("postgres:///?host=/run/pg", {"host": "/run/pg"}),
    ],
)  # fmt: skip
def test_parse(text: str, params: dict[str, str]) -> None:
    assert parse(text) == params


@pytest.mark.parametrize("text", ["db1", "host=db1 x", "password='s3cret", "postgresql://u:s3cret@h:1:2/", "=1"])
def test_what_is_none_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(ValueError, match="this is no connection") as caught:
        parse(text)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("host=db1 user=r", "user=r host=db1", False),
        ("host=db1", "host=db1 port=5432 sslmode=prefer target_session_attrs=any", False),
        ("host=db1", "host=db1 dbname=replication replication=true fallback_application_name=x", False),
        ("host=db1", "host=db2", True),
        ("host=db1", "host=db1 sslmode=require", True),
        ("host=db1 password=a", "host=db1 password=b", True),
        ("host=db1 password=a", "host=db1", True),
        ("", "host=db1", True),
        ("not one", "host=db1", True),
    ],
)
def test_differs(one: str, other: str, expected: bool) -> None:
    assert differs(one, other) is expected
    assert differs(other, one) is expected


def test_differs_takes_parameters_and_may_leave_secrets_out() -> None:
    assert not differs({"host": "db1", "port": 5432, "user": None, "passfile": ""}, "host=db1")
    assert not differs({"host": "db1", "password": "a"}, "host=db1 password=b", secrets=False)


def test_shown() -> None:
    params = {"host": "db1", "password": "s", "sslpassword": "t", "user": "r"}
    assert shown(params) == "host=db1 password=******** sslpassword=******** user=r"
    assert shown({"host": "db1", "password": None}) == "host=db1"


def test_address() -> None:
    assert address({"hostaddr": "10.0.0.1", "port": 5433}) == "10.0.0.1, port 5433"
    assert address({}) == "the default socket, port 5432"
