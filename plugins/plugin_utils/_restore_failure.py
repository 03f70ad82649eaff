# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a play does about a restore that did not come to its end, and what it says. Pure. Private to the collection."""

from __future__ import annotations

import typing as t

Record = t.Dict[str, t.Any]

_AGAIN = "Run the play again as it was: it goes on from there."
# These come after the data directory was written to.
_AFTER_WRITING = ("verify",)


def failure(facts: Record) -> Record:
    """Whether to ``put_back`` the old directory of a swap, to ``start`` the server that is then there, ``words`` about
    how things stand, and PostgreSQL's own lines in ``log``.

    ``facts`` has the failed ``task`` and its ``result``; ``restored`` whether the module restore has ended well.
    """
    result, cluster = facts["result"], facts["cluster"]
    why = _sentence(result.get("msg") or result.get("exception") or "no reason was given")
    found: Record = {
        "put_back": False,
        "start": False,
        "runs": result.get("outcome") not in ("exited", None),
        "log": result.get("log") or [],
    }
    if not facts["restored"]:
        return {**found, **_before_the_end(facts, why)}
    if result.get("outcome") == "timeout":
        return {**found, "words": f"{why} Nothing was put back, because recovery goes on. {_AGAIN}"}
    if facts["done"] and result.get("outcome") == "promoted":
        words = f"{why} The cluster takes writes since an earlier run, so nothing was put back or stopped."
        return {**found, "words": words}
    if not facts["kept"]:
        return {**found, "words": f"{why} {_stands(facts)}"}
    found.update(put_back=True, start=cluster["running"])
    state = "and PostgreSQL is started on it again" if cluster["running"] else "which was stopped before and stays so"
    words = (
        f"{why} The old directory {facts['kept']} was put back to {cluster['data_directory']}, {state}. What "
        f"was restored is kept beside it as {cluster['data_directory']}.failed-*, to look at and remove."
    )
    return {**found, "words": words}


def _sentence(text: t.Any) -> str:
    text = " ".join(str(text).split())
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _before_the_end(facts: Record, why: str) -> Record:
    """The server could not be stopped, or the module restore failed."""
    cluster = facts["cluster"]
    if not str(facts["task"]).endswith("restore"):
        return {"words": f"{why} Nothing was restored or overwritten."}
    problems = facts["result"].get("problems") or []
    untouched = facts["mode"] == "swap" or (problems and all(item["code"] not in _AFTER_WRITING for item in problems))
    if untouched:
        state = "so PostgreSQL is started again as it was" if cluster["running"] else "and PostgreSQL stays stopped"
        return {
            "start": cluster["running"],
            "words": f"{why} {cluster['data_directory']} was not changed, {state}.",
        }
    words = (
        f"{why} {cluster['data_directory']} may hold half a restore: PostgreSQL is stopped and must not be started. "
        "Remove the cause and run the play again: it keeps the files that are right already and restores the rest."
    )
    return {"words": words}


def _stands(facts: Record) -> str:
    where = facts["cluster"]["data_directory"]
    return (
        f"{where} holds the restored cluster, which was restored over the old one, so there is nothing to put back. "
        "When the cause is removed, run the play again: it starts PostgreSQL and waits for the verdict. For another "
        "target run it with that: files that are right already are kept."
    )
