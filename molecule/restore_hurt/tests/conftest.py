# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Shows the tables of traps and faults when the tests have ended."""

from __future__ import annotations

import os
import sys
import typing as t

import pytest

sys.path.insert(0, os.path.dirname(__file__))
pytest.register_assert_rewrite("hurt")

import hurt  # noqa: E402
from playbook import ephemeral  # noqa: E402


@pytest.fixture
def db1(on: t.Any) -> t.Any:
    """The only host."""
    return on("db1")


def pytest_terminal_summary(terminalreporter: t.Any) -> None:
    """Show every table that has rows, and keep it as a file."""
    for table in (hurt.TRAPS, hurt.FAULTS):
        if table.rows:
            with open(ephemeral(f"{table.name}.md"), "w", encoding="utf-8") as file:
                file.write(table.text())
            terminalreporter.write_line("\n" + table.text())
