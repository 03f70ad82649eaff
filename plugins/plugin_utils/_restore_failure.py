# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a play does about a restore that did not come to its end, and what it says. Pure. Private to the collection."""

from __future__ import annotations

import typing as t

from ._restore_words import in_our_words

Record = t.Dict[str, t.Any]

_AGAIN = "Run the play again as it was: it goes on from there."


def failure(facts: Record) -> Record:
    """Whether to ``put_back`` the old directory of a swap, whether to ``start`` the server that is then there,
    ``words`` about how things stand when that is done, and PostgreSQL's own lines in ``log``.

    ``facts`` has the failed ``task`` and its ``result``, and whether the module restore had ended well (``restored``).
    Afterwards it has where the directories are (``moved``), and the ``trouble`` there was with them.
    """
    result = facts["result"]
    found: Record = {
        "put_back": False,
        "start": False,
        "runs": result.get("outcome") not in ("exited", None),
        "log": result.get("log") or [],
    }
    found.update(_after_the_restore(facts) if facts["restored"] else _before_its_end(facts))
    why = _sentence(result.get("msg") or result.get("exception") or "No reason was given")
    if facts.get("trouble"):
        found["words"] = (
            f"{_sentence(facts['trouble'])} So things could not be put back as they were{_kept(facts)}. Look at "
            f"PostgreSQL's log and at {facts['cluster']['data_directory']}, remove the cause, and run the play again."
        )
    return {**found, "words": f"{why} {found['words']}"}


def unprotected(facts: Record) -> str:
    """How things stand when the ``cluster`` recovered well, but its archiving or backup failed with ``result``."""
    result, pgdata = facts["result"], facts["cluster"]["data_directory"]
    failed = next((item for item in result.get("results") or [] if item.get("failed")), result)  # of a loop
    why = _sentence(failed.get("msg") or failed.get("exception") or "No reason was given")
    return (
        f"{why} The restore itself is done: {pgdata} is restored, recovered, and takes writes. Only its protection is "
        "missing: without archiving and a backup, what is written now can get lost. Remove the cause and run the play "
        "again as it was: it restores nothing, and does the rest."
    )


def _sentence(text: t.Any) -> str:
    text = in_our_words(" ".join(str(text).split()))
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _kept(facts: Record) -> str:
    return f"; the old directory is {facts['kept']}" if facts["kept"] and not facts.get("moved") else ""


def _before_its_end(facts: Record) -> Record:
    """The server could not be stopped, or the module restore failed."""
    pgdata, running, problems = facts["cluster"]["data_directory"], facts["cluster"]["running"], _problems(facts)
    if facts["done"]:
        return {"words": "Nothing was stopped."}
    if not facts["task"].endswith("restore"):
        return {"words": f"Nothing was restored or overwritten. {_AGAIN}"}
    if facts["mode"] == "swap" or (problems and not problems & _AFTER_WRITING):
        state = "PostgreSQL runs on it again" if running else "PostgreSQL is stopped, as it was before"
        return {"start": running, "words": f"{pgdata} is as it was, and {state}."}
    return {
        "words": f"{pgdata} may hold half a restore: PostgreSQL is stopped and must not be started. Remove the "
        "cause and run the play again: it keeps the files that are right already and restores the rest."
    }


# Problems that are found after the data directory was written to.
_AFTER_WRITING = {"verify", "io"}


def _problems(facts: Record) -> set[str]:
    return {problem["code"] for problem in facts["result"].get("problems") or []}


def _after_the_restore(facts: Record) -> Record:
    """PostgreSQL could not be started, or recovery came to a wrong end, or to none."""
    pgdata, outcome = facts["cluster"]["data_directory"], facts["result"].get("outcome")
    running = facts["cluster"]["running"] or facts["done"]  # an earlier run has stopped it then
    if outcome == "timeout":
        return {"words": f"Nothing was put back, because recovery goes on. {_AGAIN}"}
    if facts["done"] and outcome == "promoted":
        return {"words": "It takes writes since an earlier run, so nothing was stopped or put back."}
    if not facts["kept"]:
        return {
            "words": f"{pgdata} holds the restored cluster, and nothing was kept that could be put back. When the "
            "cause is removed, run the play again: it starts PostgreSQL and waits for the verdict. For another target "
            "run it with that."
        }
    state = "PostgreSQL runs on it again" if running else "PostgreSQL is stopped, as it was before"
    failed = (facts.get("moved") or {}).get("failed")
    return {
        "put_back": True,
        "start": running,
        "words": f"The old directory was put back to {pgdata}, and {state}. What was restored is now {failed}: look at "
        "it for the cause.",
    }
