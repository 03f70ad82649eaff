# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the modules say about a clone, in the words of the playbook. Pure. Private to the collection."""

from __future__ import annotations

import re
import typing as t

from . import _restore_words
from ._progress_line import duration
from ._status_text import wrapped

Record = t.Dict[str, t.Any]

# After the words of the playbook restore; longer texts first.
_IN_OUR_WORDS = (
    (
        r"Remove it first \(state: absent\), then restore again, or give this one another name\.",
        "Take another clone_name, or clone_replace=true to have it removed first.",
    ),
    (r"remove it \(state: absent\) and restore again\.", "run the play with clone_replace=true."),
    (r"\b(set|repo)(?= was )", r"clone_\1"),
    (r"\bin restore_workspace\b", "in clone_directory"),
    (r"\bthe module restore with archive_mode off\b", "a clone"),
    (r"\brestore_(target_(?!action)\w+|set|repo|bindir|allow_unproven|recovery_timeout)\b", r"clone_\1"),
    (r"\bdb_include\b", "clone_db_include"),
    (r"\b(replace): true\b", r"clone_\1=true"),
    (r"\bstate: absent\b", "clone_state=absent"),
    (r"\b(archive_stanza|listen_addresses)\b", r"clone_\1"),
    (r"(?<=\bin )(port|directory|settings|hba|ttl|name|owner)\b(?=[.,;:]| and\b)", r"clone_\1"),
    (r"\b(?:in|with a longer) timeout\b", "in clone_recovery_timeout"),
)


def in_our_words(text: str) -> str:
    """A text of the modules for the user of the playbook.

    >>> in_our_words("Set allow_unproven: true, or name one in set.")
    'Set clone_allow_unproven=true, or name one in clone_set.'
    """
    text = _restore_words.in_our_words(text)
    for pattern, ours in _IN_OUR_WORDS:
        text = re.sub(rf"(?<!clone_){pattern}", ours, text)
    return text


def plan_lines(plan: Record, wanted: Record, state: str = "") -> list[str]:
    """The plan of the restore, and what follows it. ``state``: what is there of the clone already."""
    if plan.get("mode") == "none":
        text = f"Nothing to do: the clone {wanted['name']} is there. To make it anew set clone_replace=true."
        if state == "open":
            return wrapped(text, "")
        lines = wrapped(f"The clone {wanted['name']} is restored already, and is not open yet.", "")
    else:
        lines = [in_our_words(line) for line in _restore_words.plan_lines(plan, "")]
    sql = [f"{item['name']} in {item['database']}" for item in wanted["sql"]]
    lifetime = wanted["clone"].get("ttl")
    facts = {
        "sql": f"before anybody can connect: {', '.join(sql)}" if sql else "",
        "open": _opened(wanted["clone"]),
        "removed": f"{duration(lifetime)} after it was begun" if lifetime else "",
    }
    return [*lines, *(f"  {label:<10} {text}" for label, text in facts.items() if text)]


def _opened(options: Record) -> str:
    port = f"port {options['port']}" if options.get("port") else "a free port"
    archive = options.get("archive_stanza")
    archiving = f"archives to the stanza {archive}" if archive else "archives nothing"
    return f"{port} on {options.get('listen_addresses') or 'no address'}; {archiving}"


def refusal(result: Record) -> Record:
    """Why there is no clone: ``lines`` for people, the ``codes`` of the problems, and ``words`` to fail with."""
    problems = [
        {**problem, "sentence": in_our_words(problem["sentence"]), "hint": in_our_words(problem["hint"])}
        for problem in result.get("problems") or []
        if isinstance(problem, dict)  # those of the module config are sentences, and stand in its message
    ]
    told = _restore_words.refusal({**result, "problems": problems})
    words = _why(problems) if problems else in_our_words(_restore_words.reasons(result, [], "clone"))
    return {"lines": told["lines"] if len(problems) > 1 else [], "codes": told["codes"], "words": words}


def _why(problems: t.Sequence[Record]) -> str:
    """The last words of a play, which are the first that are read: one problem in full, or the first of them."""
    first, codes = problems[0], ", ".join(problem["code"] for problem in problems)
    if len(problems) == 1:
        return " ".join(f"The clone is refused ({codes}). {first['sentence']} {first['hint']}".split())
    return f"The clone is refused for {len(problems)} reasons, see above: {codes}. The first: {first['sentence']}"
