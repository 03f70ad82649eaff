# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Having a stanza: creating and upgrading it where that is needed. Private to the collection."""

from __future__ import annotations

import typing as t

from ._cli import PgBackRest
from ._repository import Stanza, parse_info
from ._stanza import expected_state, known_cluster, needed_actions, refuse_unreadable, refuse_unready, state_of

Said = t.Tuple[t.Optional[str], t.Optional[str]]
_DONE = {"create": "Created", "upgrade": "Upgraded"}


def read(pgbackrest: PgBackRest) -> Stanza:
    """The stanza over all repositories. Raises when one of them does not tell."""
    stanza = parse_info(pgbackrest.info())[0]
    refuse_unreadable(stanza, "info")
    return stanza


def act(pgbackrest: PgBackRest, actions: t.Sequence[str], online: bool) -> None:
    """Create and upgrade.

    Both work on all repositories in turn and stop at the first that needs the other, so with both to do they take
    turns: each passes over the repositories that are done.
    """
    both = len(actions) > 1
    for action in ["create", "upgrade", "create"] if both else actions:
        passed = {"create": (0, 28), "upgrade": (0, 55)}[action] if both else (0,)
        pgbackrest.run(f"stanza-{action}", {"online": online}, ok=passed)


def have(
    pgbackrest: PgBackRest, check_mode: bool, upgrade: bool = True, online: bool = True, said: Said = (None, None)
) -> tuple[list[str], Stanza, dict[str, t.Any]]:
    """Make the stanza present. Raises PgBackRestError.

    ``said`` are system identifier and version of PostgreSQL as the user says, for a cluster on another host. Returns
    what was done (or would be, in check mode), the stanza as it was read last, and its state ``before`` and ``after``.
    """
    pgbackrest.require_stanza("stanza-create")
    stanza = read(pgbackrest)
    cluster = known_cluster(pgbackrest.settings("stanza-create"), *said)
    actions = needed_actions(stanza, cluster, upgrade)
    old = state_of(stanza)
    new = expected_state(stanza, actions, cluster)
    if actions and check_mode:
        refuse_unready(pgbackrest, cluster if online else None, f"stanza-{actions[0]}")
    elif not check_mode:
        if actions:
            act(pgbackrest, actions, online)
        elif cluster is None:
            pgbackrest.run("stanza-create", {"online": online})  # changes nothing, but compares
        if actions or cluster is None:
            stanza = read(pgbackrest)
            new = state_of(stanza)
    return actions, stanza, {"before": old, "after": new}


def sentence(actions: t.Sequence[str], stanza: str, check_mode: bool) -> str:
    """What was done, or would be."""
    if not actions:
        return f"Stanza {stanza} is as it should be."
    if check_mode:
        return f"Would {' and '.join(actions)} stanza {stanza}."
    return " ".join(f"{_DONE[action]} stanza {stanza}." for action in actions)
