# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Configuration files for a data directory without any, and the words for pg_createcluster."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils._cluster import parse_settings
from ansible_collections.pgops.pgbackrest.plugins.module_utils._cluster_layout import (
    HEADER,
    as_text,
    command,
    configuration_directory,
    files,
    hba_lines,
    with_data_directory,
)

PARAMS: dict[str, t.Any] = {
    "version": "17",
    "name": "main",
    "data_directory": "/srv/pg",
    "port": 5433,
    "socket_directory": None,
}


def test_files() -> None:
    found = files("17", "postgres", {"b": "it's", "a": 1, "log_line_prefix": "%m 'x' \\"})
    assert sorted(found) == ["pg_hba.conf", "pg_ident.conf", "postgresql.conf"]
    assert all(text.startswith(f"{HEADER}\n") for text in found.values())
    assert parse_settings(found["postgresql.conf"]) == {"a": "1", "b": "it's", "log_line_prefix": "%m 'x' \\"}


def test_hba_lines() -> None:
    lines = [line.split() for line in hba_lines("17", "pgadmin")]
    assert lines[0] == ["local", "all", "pgadmin", "peer"]
    assert ["host", "all", "all", "127.0.0.1/32", "scram-sha-256"] in lines
    assert ["host", "all", "all", "::1/128", "md5"] in [line.split() for line in hba_lines("13", "postgres")]
    assert not any("trust" in line for line in lines)


@pytest.mark.parametrize(("value", "text"), [(True, "on"), (False, "off"), (5, "5"), ("1GB", "1GB")])
def test_as_text(value: t.Any, text: str) -> None:
    assert as_text(value) == text


def test_command() -> None:
    words = ["--start-conf", "auto", "-d", "/srv/pg.configure", "-p", "5433"]
    assert command(PARAMS, {"work_mem": "1MB"}, {"log_line_prefix": "x"}, "pc") == ["pc", *words, "17", "main"]
    defaults = {"ssl": "on", "log_line_prefix": "%%m "}
    settings = {"ssl": False, "log_line_prefix": "%m %c "}
    assert command({**PARAMS, "socket_directory": "/run/x"}, settings, defaults, "pc") == [
        *("pc", *words, "-s", "/run/x"),
        *("-o", "log_line_prefix=%%m %%c ", "-o", "ssl=off", "17", "main"),
    ]


def test_with_data_directory() -> None:
    text = "port = 1\ndata_directory = '/x'\t\t# use data in another directory\n#data_directory = 'y'\n\n"
    assert with_data_directory(text, "/srv/pg") == "port = 1\n#data_directory = 'y'\ndata_directory = '/srv/pg'\n"


def test_configuration_directory() -> None:
    assert configuration_directory("17", "main") == "/etc/postgresql/17/main"
