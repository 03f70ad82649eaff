# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the modules say, in the words of the playbook. Pure. Private to the collection."""

from __future__ import annotations

import re
import textwrap
import typing as t

from ._model_cluster import at_target
from ._status_text import WIDTH, wrapped

Record = t.Dict[str, t.Any]

_INDENT = " " * 13  # of lines of a plan that go on

# Texts of the modules name their options. Here stands what a user of the playbook gives instead, longer texts first.
_IN_OUR_WORDS = (
    (
        r"To rebuild this standby set type: standby\.",
        "To rebuild this standby restore its primary with restore_rebuild_standbys=true, both hosts in the play.",
    ),
    (r", and a running cluster is never overwritten\. The plan holds once it is stopped\.", ". The play stops it."),
    (
        r"Set promote: true to promote it, or state: \w+ if this is what you want\.",
        "Run the play with restore_target_action=promote to promote it.",
    ),
    (r"Run the task again with delta: true\.", "Run the play again."),
    (
        r"Look at its log, remove the cause, and start it or restore again\.",
        "Remove the cause before the play is run again.",
    ),
    (r" Name its log in log_file to see its last words\.", " Look at its log."),
    (r"Check stanza and pgdata\.", "Check restore_stanza, and the hosts of the play."),
    (r"Check pgdata\.", "Check pgbackrest_clusters, and the hosts of the play."),
    (r"Add become: true and become_user: .* to the task\.", "Give it to the user who runs PostgreSQL there."),
    (r", or run the task as another user\.", "."),
    (
        r"Map it: link_map: \{(\w+): (.*)\}\.",
        r"Map it in pgBackRest's configuration: pgbackrest_options: {link-map: \1=\2}.",
    ),
    (r"\bmap it with link_map\b", "map it with pgbackrest_options: {link-map: …}"),
    (r"\bwith link_map\b", "with pgbackrest_options: {link-map: …}"),
    (r"\bset type: immediate\b", "set restore_target_immediate=true"),
    (r"\bleave type: (\w+) and its target away\b", r"leave out restore_target_\1"),
    (r"\bin the option workspace\b", "in restore_workspace"),
    (r"\bCheck the \w+, set and target_timeline\b", "Check the target, restore_set and restore_target_timeline"),
    (r", and set: a backup\b", ", and restore_set: a backup"),
    (r"\b([Nn]ame\b[^.]*\b)?in set\b", r"\1in restore_set"),
    (r"\bin bindir\b", "in restore_bindir"),
    (r"\barchive_mode: off\b", "the module restore with archive_mode off"),
    (r"\b(swap|delta): true\b", r"restore_mode=\1"),
    (r"\b(link_all|repeat|allow_unproven): true\b", r"restore_\1=true"),
    (r"(?<!restore_)\b(target_timeline|target_exclusive|target_action|tablespace_map)\b", r"restore_\1"),
    (r"\bwith a longer timeout\b", "with a longer restore_recovery_timeout"),
    (r"\b([Rr])un the task again\b", r"\1un the play again"),
    (r"\bthis task\b", "this play"),
)


def in_our_words(text: str) -> str:
    """A text of a module for the user of the playbook.

    >>> in_our_words("Set allow_unproven: true, or say in target_timeline which one you mean.")
    'Set restore_allow_unproven=true, or say in restore_target_timeline which one you mean.'
    """
    for pattern, ours in _IN_OUR_WORDS:
        text = re.sub(pattern, ours, text)
    return text


def plan_lines(plan: Record, stanza: str, rest: str = "") -> list[str]:
    """The plan, and how to have it done; nothing about that without the name of the stanza.

    ``rest`` is the outcome of the recovery when the restore itself is done, and something is left to do.
    """
    if plan.get("mode") == "none" or not plan.get("id"):
        texts = [*plan["text"], *([_what_is_left(rest, stanza)] if rest else [])]
        return [line for text in texts for line in wrapped(in_our_words(text), "")]
    lines = [line for fact in _facts(plan["text"]) for line in _translated(fact)]
    if not stanza:
        return lines
    return [*lines, f"  {'next':<10} to have exactly this done: restore_confirm={stanza} restore_plan={plan['id']}"]


def _what_is_left(outcome: str, stanza: str) -> str:
    states = {
        "paused": "The cluster waits at the target, read-only: it is promoted, and takes writes then.",
        "recovering": "The cluster still recovers: the play waits for that.",
        "exited": "PostgreSQL does not run: it is started, and recovers.",
    }
    how = f" To have that done: restore_confirm={stanza}." if stanza else ""
    left = states.get(outcome, f"The cluster is {outcome}, which is not what is asked for.")
    return f"What is left to do: {left} Archiving and the backup follow.{how}"


def _facts(lines: t.Sequence[str]) -> list[list[str]]:
    """The lines of each fact of a plan: those that go on are indented."""
    facts: list[list[str]] = []
    for line in lines:
        if facts and line.startswith(_INDENT):
            facts[-1].append(line)
        else:
            facts.append([line])
    return facts


def _translated(fact: list[str]) -> list[str]:
    whole = " ".join([fact[0], *(line.strip() for line in fact[1:])])
    ours = in_our_words(whole)
    if ours == whole:
        return fact
    return textwrap.wrap(ours, WIDTH, subsequent_indent=_INDENT, break_long_words=False, break_on_hyphens=False)


def refusal(result: Record, cluster: Record | None = None, server_by: str = "") -> Record:
    """Why there is no plan: ``lines`` for people, the ``codes`` of the problems, and ``words`` to fail with.

    ``cluster`` is what would be restored, and its server is started by ``server_by``: systemd, pg_ctlcluster or pg_ctl.
    """
    problems = result.get("problems") or []
    lines = [line for number, problem in enumerate(problems, 1) for line in _told(number, problem)]
    codes = [problem["code"] for problem in problems]
    words = [f"Nothing was stopped or changed. {in_our_words(reasons(result, codes, 'restore'))}"]
    if problems:
        words.append(f"{'The first: ' if len(problems) > 1 else ''}{in_our_words(problems[0]['sentence'])}")
    if cluster and not cluster["running"] and not _NOT_TO_START & set(codes):
        words.append(_down(cluster, server_by))
    return {"lines": lines, "codes": codes, "words": " ".join(words)}


def reasons(result: Record, codes: t.Sequence[str], what: str) -> str:
    """Why something is refused, in one sentence: its problems are told above, all else is what the module says."""
    if not codes:
        return " ".join(str(result.get("msg") or result.get("exception") or "No reason was given.").split())
    count = "one reason" if len(codes) == 1 else f"{len(codes)} reasons"
    return f"The {what} is refused for {count}, see above: {', '.join(codes)}."


# Problems that say themselves what is about the server, or that make a start wrong.
_NOT_TO_START = {"running", "stale_pid", "locked", "patroni", "foreign_cluster"}


def _down(cluster: Record, server_by: str) -> str:
    """An earlier run may have stopped the server and not come further, and this one will not start it."""
    name, pgdata = cluster["name"], cluster["data_directory"]
    if not cluster["system_identifier"]:
        return f"PostgreSQL {name} is down, and must not be started: {pgdata} holds no whole cluster."
    if at_target(cluster):
        return (
            f"PostgreSQL {name} is down, and {pgdata} holds a restore whose recovery has not ended. Run the play again "
            "as it was for that restore: it goes on from there."
        )
    started_by = {
        "systemd": f"systemctl start {cluster['unit']}",
        "pg_ctlcluster": f"pg_ctlcluster {name.replace('/', ' ')} start, as {cluster['owner']}",
    }
    start = started_by.get(server_by, f"pg_ctl start --pgdata={pgdata}, as {cluster['owner']}")
    return (
        f"PostgreSQL {name} is down, perhaps since an earlier run of this play, and nothing starts it now. {pgdata} "
        f"holds no half restore. To have it back as it is: {start}"
    )


def _told(number: int, problem: Record) -> list[str]:
    hint = in_our_words(problem["hint"])
    return [
        *wrapped(in_our_words(problem["sentence"]), f"{number}. "),
        *(wrapped(hint, "   ") if hint else []),
    ]
