# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which request a receipt is for."""

from __future__ import annotations

import typing as t
from types import SimpleNamespace

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils._receipt import Receipt, digest, wish
from ansible_collections.pgops.pgbackrest.plugins.module_utils._target import parse_target

PGDATA = "/srv/pg"


def asked(action: str | None = "promote", name: str = "rp", **params: t.Any) -> dict[str, t.Any]:
    return wish({"stanza": "main", "swap": True, **params}, PGDATA, parse_target("name", name, None, action))


def fits(
    receipt_of: t.Mapping[str, t.Any], now: t.Mapping[str, t.Any], identifier: int = 7, started: bool = True
) -> bool:
    receipt = Receipt(PGDATA, 7, "id", "now", {}, digest(receipt_of))
    control = SimpleNamespace(system_identifier=identifier)
    directory: t.Any = SimpleNamespace(
        path=PGDATA, unfinished=None, control=control, backup_label=None if started else "label"
    )
    return receipt.fits(now, directory)


@pytest.mark.parametrize(
    ("before", "now", "same"),
    [
        ("promote", "promote", True),
        ("pause", "pause", True),
        ("pause", "promote", True),
        (None, "promote", True),
        ("promote", "pause", False),
        ("shutdown", "promote", False),
        ("pause", "shutdown", False),
    ],
)
def test_a_pause_is_followed_by_a_promotion_without_another_restore(before: str, now: str, same: bool) -> None:
    assert fits(asked(before), asked(now)) is same


def test_another_target_option_or_cluster_is_another_restore() -> None:
    assert not fits(asked("pause"), asked("promote", "other"))
    assert not fits(asked(), asked(repo=2))
    assert not fits(asked(), asked(), identifier=8)


def test_a_pause_that_was_never_started_would_not_promote() -> None:
    assert fits(asked("pause"), asked("pause"), started=False)
    assert not fits(asked("pause"), asked("promote"), started=False)
