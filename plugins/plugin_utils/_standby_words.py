# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the modules say, in the words of the playbook `standby`. Pure. Private to the collection."""

from __future__ import annotations

import re
import typing as t

Record = t.Dict[str, t.Any]

# Texts of the modules name their options. Here stands what a user of the playbook gives instead, longer texts first.
_IN_OUR_WORDS = (
    (r"\blet the module pgops\.pgbackrest\.replication set it \(create_user: true\)", "set standby_create_user: true"),
    (
        r"\bThe module pgops\.pgbackrest\.replication writes it with the option addresses\.",
        "standby_pg_hba: true does, for the address of the standby's host. Where the server sees another one, as "
        "behind NAT, give that one or its network, such as standby_pg_hba=10.0.0.0/8.",
    ),
    (
        r"\bThe module pgops\.pgbackrest\.replication does so with create_user: true\.",
        "standby_create_user: true does.",
    ),
    (r"\bThe module pgops\.pgbackrest\.archiving sets it\.", "The playbook pgops.pgbackrest.site sets it."),
    (r", and a running cluster is never overwritten\. The plan holds once it is stopped\.", ". The play stops it."),
    (r"Run the task again with delta: true\.", "Run the play again."),
    (r" Name its log in log_file to see its last words\.", " Look at its log."),
    (r"Check stanza and pgdata\.", "Check standby_stanza, and the hosts of the play."),
    (r"Check pgdata\.", "Check pgbackrest_clusters, and the hosts of the play."),
    (r"Add become: true and become_user: .* to the task\.", "Give it to the user who runs PostgreSQL there."),
    (r", or run the task as another user\.", "."),
    (
        r"Map it: link_map: \{(\w+): (.*)\}\.",
        r"Map it in pgBackRest's configuration: pgbackrest_options: {link-map: \1=\2}.",
    ),
    (r"\bmap it with link_map\b", "map it with pgbackrest_options: {link-map: …}"),
    (r"\bwith link_map\b", "with pgbackrest_options: {link-map: …}"),
    (r"Set swap: true instead of delta, which keeps the old directory: then nothing can be lost\.", "Move it away."),
    (r"Set delta: true to bring it back in place: .* Or restore into an empty directory\.", "Move it away."),
    (r"\b([Nn]ame\b[^.]*\b)?in set\b", r"\1in standby_set"),
    (r", and set: a backup\b", ", and standby_set: a backup"),
    (r"\bGive the right one, or\b", "Give the right one in standby_password, or"),
    (r"\bin bindir\b", "in standby_bindir"),
    (r"\bcreate_user: true\b", "standby_create_user: true"),
    (r"(?<!standby_)\bcreate_user\b", "standby_create_user"),
    (r"\b(in|of) addresses\b", r"\1 standby_pg_hba, or in pgbackrest_address of the standbys,"),
    (r"\bhost and port of the upstream\b", "standby_upstream, or pgbackrest_address of the host it names"),
    (r"\bwith a longer timeout\b", "with a longer standby_recovery_timeout"),
    (r"\b([Rr])un (?:the task|this) again\b", r"\1un the play again"),
    (r"\b([Tt])his task\b", r"\1his play"),
)


def in_our_words(text: t.Any) -> str:
    """A text of a module for the user of the playbook, in one line.

    >>> in_our_words("Install PostgreSQL 17, or name the directory of its programs in bindir.")
    'Install PostgreSQL 17, or name the directory of its programs in standby_bindir.'
    """
    words = " ".join(str(text).split())
    for pattern, ours in _IN_OUR_WORDS:
        words = re.sub(pattern, ours, words)
    return words


def told(result: Record) -> Record:
    """What is kept of a failed task: the sentence ``why``, ``codes`` of its problems, and PostgreSQL's lines.

    ``results`` of a module may hold much more, and secrets of other hosts are none of anybody's business.
    """
    problems = result.get("problems") or []
    texts = [f"{problem['sentence']} {problem['hint']}".strip() for problem in problems]
    why = " ".join(texts) or result.get("msg") or result.get("exception") or "No reason was given."
    return {
        "why": sentence(in_our_words(why)),
        "codes": [problem["code"] for problem in problems],
        "log": list(result.get("log") or []),
    }


def sentence(text: str) -> str:
    """A text with a full stop."""
    return text if text.endswith((".", "!", "?")) else f"{text}."
