# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is done about each standby, before it is done. Pure. Private to the collection."""

from __future__ import annotations

import typing as t

from . import _model_input as model
from ._model_input import Mapping
from ._progress_line import size
from ._standby_words import in_our_words, sentence, told
from ._status_text import wrapped

Record = t.Dict[str, t.Any]

RESTORED = ("provision", "rebuild")
_OF_THE_LOGIN = {"upstream_pg_hba", "upstream_password", "upstream_role"}
_WORDS = {
    "none": "nothing",
    "start": "start",
    "repoint": "repoint",
    "rebuild": "REBUILD",
    "provision": "provision",
    "refuse": "REFUSED",
    "unknown": "not known",
}


def judged(seen: Record | None, upstream_action: str, standby: str, upstream: str) -> Record:
    """The ``action`` for one standby with its ``reason``, from the result of the module ``standby`` in check mode.

    A standby whose upstream is built in this play was held against the primary. Whether it follows the right server
    shows when that one stands. One that could not log in, because check mode has only pretended to let it in, has no
    ``action``.
    """
    if seen is None:
        return {"action": "provision", "reason": "pgBackRest is not there yet.", "streams": False}
    if "action" not in seen:
        return _foreseen(seen, upstream)
    action, reason = seen["action"], seen.get("reason") or ""
    streams = bool(seen.get("streaming"))
    if upstream_action in (*RESTORED, "start") and action in ("none", "repoint"):
        reason = f"{upstream}, which it follows, comes first. Then it is looked at again."
        return {"action": "none", "reason": reason, "streams": False}
    return {"action": action, "reason": reason, "hint": seen.get("hint") or "", "streams": streams}


def _foreseen(failed: Record, upstream: str) -> Record:
    """What check mode can tell where the login has failed."""
    found = told(failed)
    state = (failed.get("local") or {}).get("state")
    until = f"Whether it can log in shows once {upstream} is changed."
    if not found["codes"] or set(found["codes"]) - _OF_THE_LOGIN:
        return {"action": "unknown", "reason": f"{until} Until then: {found['why']}", "streams": False}
    if state in ("missing", "empty"):
        return {"action": "provision", "reason": f"There are no data. {until}", "streams": False}
    return {"action": "unknown", "reason": until, "streams": False}


def _served(host: str, given: Record) -> list[str]:
    """What the host that is followed gets so that it lets standbys in: given in a run, planned in check mode."""
    before, after = given["before"], given["after"]
    role, was = after["user"] or {}, before["user"]
    texts = [f"a line in pg_hba.conf: {' '.join(line.split())}" for line in given["lines"]]
    texts += [f"the slot {name}" for name in after["slots"] if name not in before["slots"]]
    texts += [f"no slot {name} any more" for name in before["slots"] if name not in after["slots"]]
    if role and not was:
        texts.insert(0, f"the role {given['user']}, with the given password")
    elif role != was:
        texts.insert(0, f"REPLICATION and the given password for the role {given['user']}")
    verb = "would get" if given["pretended"] else "has got"
    return [line for text in texts for line in wrapped(text, f"  {host:<8} {verb:<10} ")]


def of_host(hostvars: Mapping, host: str) -> Record:
    """What the role knows of the standby on a host."""
    return dict(model.variables_of(hostvars, host).get("__pgbackrest_standby") or {})


def plan(place: Record, hostvars: Mapping, confirm: str, served: t.Mapping[str, Record] | None = None) -> Record:
    """``lines`` for people, the same in ``data``, and ``unconfirmed``, a sentence when something is to be confirmed.

    ``served`` has what each host was given that is followed and was changed so that it lets standbys in. The fact
    ``__pgbackrest_standby`` of each host has ``judgement``, ``plan`` (of the module restore) and ``failed``.
    """
    records = {host: _record(host, link, of_host(hostvars, host)) for host, link in place["standbys"].items()}
    overwritten = [host for host, record in records.items() if record["overwrites"]]
    lines = [f"{place['stanza']}: standbys of {place['primary']} ({place['cluster']['name']})"]
    lines += [line for host, given in (served or {}).items() for line in _served(host, given)]
    lines += [line for record in records.values() for line in _lines(record)]
    return {
        "lines": lines,
        "data": {
            "stanza": place["stanza"],
            "primary": place["primary"],
            "standbys": list(records.values()),
            "changed": list(served or {}),
        },
        "unconfirmed": _unconfirmed(place["stanza"], overwritten, records, confirm),
    }


def _record(host: str, link: Record, known: Record) -> Record:
    judgement, failed = known.get("judgement") or {}, known.get("failed")
    action = "refuse" if failed else judgement.get("action", "unknown")
    restore = known.get("plan") or {}
    backup = restore.get("backup") or {}
    state = (restore.get("directory") or {}).get("state")
    return {
        "host": host,
        "follows": link["host"],
        "slot": link["slot"],
        "action": action,
        "reason": (failed or {}).get("why") or _reason(judgement),
        "codes": (failed or {}).get("codes") or [],
        "backup": {name: backup.get(name) for name in ("label", "type", "repo_key")} if backup else None,
        "bytes": restore.get("expected_bytes"),
        "wal_bytes": (restore.get("wal") or {}).get("bytes"),
        "rescue_bytes": (restore.get("rescue") or {}).get("bytes"),
        "timeline": known.get("timeline"),
        # What an earlier run has begun to overwrite need not be confirmed again.
        "overwrites": [item["path"] for item in restore.get("overwrites") or []] if state == "cluster" else [],
        "warnings": [in_our_words(text) for text in restore.get("warnings") or []],
    }


def _reason(judgement: Record) -> str:
    words = f"{judgement.get('reason') or ''} {judgement.get('hint') or ''}".strip()
    return in_our_words(words) if words else "It was not looked at."


def _lines(record: Record) -> list[str]:
    begin = f"  {record['host']:<8} {_WORDS[record['action']]:<10} "
    lines = wrapped(record["reason"], begin)
    more = []
    if record["backup"]:
        backup = record["backup"]
        more.append(
            f"from {backup['type']} backup {backup['label']}, repository {backup['repo_key']}: "
            f"{size(record['bytes'] or 0)}, WAL {size(record['wal_bytes'] or 0)}"
        )
    more += [f"overwrites {path}: only files that differ are copied" for path in record["overwrites"]]
    if record["rescue_bytes"]:
        more.append(f"keeps {size(record['rescue_bytes'])} of WAL that no repository has")
    if record["timeline"]:
        more.append(
            f"stays on timeline {record['timeline']}, because the archive has a newer one that is not the primary's"
        )
    more += [f"note: {warning}" for warning in record["warnings"]]
    if record["action"] not in ("refuse", "unknown"):
        slot = f", slot {record['slot']}" if record["slot"] else ""
        more += [f"follows {record['follows']}{slot}"]
    return lines + [line for text in more for line in wrapped(text, " " * len(begin))]


def _unconfirmed(stanza: str, overwritten: t.Sequence[str], records: t.Mapping[str, Record], confirm: str) -> str:
    if not overwritten or confirm == stanza:
        return ""
    paths = " and ".join(f"{' and '.join(records[host]['overwrites'])} on {host}" for host in overwritten)
    given = f"standby_confirm is {confirm}, which is not the stanza. Give" if confirm else "Add"
    return sentence(
        f"No standby was stopped or changed. The plan above overwrites {paths}. {given} standby_confirm={stanza} to "
        "have it done"
    )
