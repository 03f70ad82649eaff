# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wrong with a stanza, each with what to do about it. Pure. Private to the collection."""

from __future__ import annotations

import re
import typing as t
from datetime import datetime

from ..module_utils._backup import COUNTS_AS
from ..module_utils._schedule_calendar import next_run, to_cron
from ._model_cluster import at_target, undecided
from ._progress_line import duration

Record = t.Dict[str, t.Any]

OK = 0
CAN_BE_READ = (OK, 2)  # with and without backups; of others pgBackRest does not know the cipher
_MODULE = re.compile(r"\bthe module pgops\.pgbackrest\.(archiving|backup|config|schedule|stanza)\b")
_WORDS_BEFORE = re.compile(r"^(?:(?:Task|Action|Module) failed: )+")
_GRACE = 7200  # seconds that a scheduled backup may take and start late (splay, accuracy) without being called late
_REASON_LINES = 4
_CRON_FIELDS = 5
_OBSERVED = 30  # moments of a calendar


def problems(record: Record, seen: t.Sequence[Record], info: Record) -> list[str]:
    """All problems, the most basic ones first."""
    found = [
        *hosts_not_reached(seen),
        *clusters_down(record),
        *roles(record),
        *versions(record),
        *unanswered(seen, "info", "read the repositories"),
        *info.get("problems", []),
        *repositories_not_read(seen, info),
        *no_full_backup(record),
        *unencrypted(record),
        *unanswered(seen, "archiving", "look at PostgreSQL's archiving"),
        *archiving(seen),
        *archive_behind(record),
        *schedules_unanswered(seen),
        *schedules(seen),
        *late(record),
    ]
    return list(dict.fromkeys(_MODULE.sub(_playbook, " ".join(text.split())) for text in found))


def _playbook(module: re.Match[str]) -> str:
    """Texts of the modules name their like. Here stands the playbook that does the same."""
    return f"the playbook {'backup' if module.group(1) == 'backup' else 'site'}"


def answered(answer: Record) -> bool:
    """Whether a module was asked and has answered."""
    return bool(answer) and not answer.get("failed") and not answer.get("unreachable")


def reason(answer: Record) -> str:
    """Why a module did not answer, as a sentence. What a broken connection says may stand in its errors."""
    message = _WORDS_BEFORE.sub("", str(answer.get("msg") or "it gave no reason").strip())
    lines = [line for text in (message, answer.get("module_stderr") or "") for line in str(text).splitlines()]
    text = " ".join([line.strip() for line in lines if line.strip()][:_REASON_LINES])
    return text if text.endswith((".", "!", "?")) else f"{text}."


def hosts_not_reached(seen: t.Sequence[Record]) -> list[str]:
    """Hosts that Ansible could not ask."""
    return [
        f"{view['host']} cannot be asked: {view['trouble']} Look whether it is up and whether Ansible "
        f"reaches it (ansible -m ping {view['host']})."
        for view in seen
        if view["trouble"]
    ]


def clusters_down(record: Record) -> list[str]:
    """Clusters that are not there, stopped, or restored and not opened yet, and hosts without pgBackRest."""
    found = []
    for host in record["hosts"]:
        if not host["reached"]:
            continue
        if host["cluster"] is None:
            found.append(f"{host['host']} has no cluster of this stanza. Correct pgbackrest_clusters, or restore it.")
        elif at_target(host):
            found.append(undecided(host["host"], host["cluster"], host["running"]))
        elif not host["running"]:
            found.append(
                f"PostgreSQL {host['cluster']} on {host['host']} does not run, so it archives nothing. Start it"
                f"{' (systemctl start ' + host['unit'] + ')' if host['unit'] else ''}, and look at its log when it "
                "does not stay up."
            )
        if host["pgbackrest"] is None:
            found.append(f"pgBackRest is not installed on {host['host']}. Run the playbook site for it.")
    return found


def roles(record: Record) -> list[str]:
    """No primary or two of them. Says nothing while a host may become the primary: one that is unknown or restored."""
    names = {
        role: [host["host"] for host in record["hosts"] if host["role"] == role] for role in ("primary", "standby")
    }
    if len(names["primary"]) > 1:
        return [
            f"{' and '.join(names['primary'])} are all primary, and archive to one stanza. Find out which one the "
            "applications use, stop the other, and rebuild it as a standby."
        ]
    if names["primary"] or not names["standby"] or not all(host["reached"] for host in record["hosts"]):
        return []
    if any(at_target(host) for host in record["hosts"]):
        return []
    if len(record["hosts"]) == 1:
        return [
            f"{names['standby'][0]} is a standby, but pgbackrest_hosts names only itself. Name all hosts of the "
            "stanza there, so that its primary can be found."
        ]
    return [f"None of {', '.join(names['standby'])} is primary. Promote one, or add the primary to pgbackrest_hosts."]


def versions(record: Record) -> list[str]:
    """pgBackRest refuses to talk to another version of itself."""
    by_version: dict[str, list[str]] = {}
    for host in record["hosts"]:
        if host["pgbackrest"]:
            by_version.setdefault(host["pgbackrest"], []).append(host["host"])
    if len(by_version) < 2:
        return []
    text = ", ".join(f"{version} on {' and '.join(hosts)}" for version, hosts in sorted(by_version.items()))
    return [f"The versions of pgBackRest differ: {text}. Install the same one on all hosts of the stanza."]


def unanswered(seen: t.Sequence[Record], name: str, what: str) -> list[str]:
    """Modules that failed on a host that was reached."""
    return [
        f"{view['host']} could not {what}: {reason(view[name])}"
        for view in seen
        if view[name] and not answered(view[name]) and not view["trouble"]
    ]


def repositories_not_read(seen: t.Sequence[Record], info: Record) -> list[str]:
    """Repositories that one host cannot read though another one can."""
    good = {entry["key"] for entry in info.get("repositories", []) if entry["status_code"] == OK}
    return [
        f"{view['host']}, unlike another host, cannot read the repository. {problem}"
        for view in seen
        for stanza in view["info"].get("stanzas", [])
        for entry, problem in zip((e for e in stanza["repositories"] if e["status_code"] != OK), stanza["problems"])
        if entry["key"] in good
    ]


def no_full_backup(record: Record) -> list[str]:
    """Repositories from which nothing can be restored. Those with a bad status are told by backup_info."""
    return [
        f"Repository {repository['key']} has no usable backup of the present cluster, so nothing can be restored from "
        "it. Take one with the playbook backup (backup_type: full)."
        for repository in record["repositories"]
        if repository["status_code"] == OK and repository["window"] is None
    ]


def unencrypted(record: Record) -> list[str]:
    """Repositories outside the host that everybody who reaches them can read."""
    return [
        f"Repository {repository['key']} lies outside the host and is not encrypted. A cipher cannot be added later: "
        "add a second repository with cipher-pass, and retire this one when the second holds enough."
        for repository in record["repositories"]
        if repository["cipher"] == "none" and (repository["host"] or repository["type"] not in ("posix", "cifs"))
    ]


def archiving(seen: t.Sequence[Record]) -> list[str]:
    """What archiving_info says about each running cluster."""
    several = len(seen) > 1
    return [
        f"{view['host']}: {problem}" if several else str(problem)
        for view in seen
        if answered(view["archiving"]) and view["declared"].get("running")
        for problem in view["archiving"]["problems"]
    ]


def archive_behind(record: Record) -> list[str]:
    """Repositories that do not have what PostgreSQL believes to be archived."""
    archive = record["archive"]
    if archive is None or not archive["last_segment"]:
        return []
    return [
        f"Repository {repository['key']} ends with WAL segment {repository['window']['to_wal'] or '(none)'}, but "
        f"PostgreSQL on {archive['host']} has archived {archive['last_segment']}. Look whether archive_command reaches "
        "this repository, and into pgBackRest's archive-push log."
        for repository in record["repositories"]
        if repository["window"] and (repository["window"]["to_wal"] or "") < archive["last_segment"]
    ]


def schedules_unanswered(seen: t.Sequence[Record]) -> list[str]:
    """Hosts that could not say how their scheduled backups are."""
    return [
        f"{view['declared']['backup_host']} cannot be asked about scheduled backups: {reason(view['schedule'])}"
        for view in seen
        if view["schedule"] and not answered(view["schedule"])
    ]


def schedules(seen: t.Sequence[Record]) -> list[str]:
    """What schedule_info says, and schedules that the variables want but no host has."""
    return [
        problem
        for view in seen
        if answered(view["schedule"])
        for problem in _schedules_of_host(
            view["declared"]["backup_host"], view["declared"]["schedule"], view["schedule"]["schedules"]
        )
    ]


def _schedules_of_host(host: str, wanted: t.Sequence[Record], there: t.Sequence[Record]) -> list[str]:
    found = [
        f"Scheduled {entry['name']} backup on {host}: {problem}" for entry in there for problem in entry["problems"]
    ]
    missing = sorted({entry["type"] for entry in wanted} - {entry["type"] for entry in there})
    if missing:
        found.append(f"{host} has no schedule for {' and '.join(missing)} backups. Run the playbook site for it.")
    return found


def late(record: Record) -> list[str]:
    """Repositories whose newest backup is older than the longest time between two scheduled ones.

    Says nothing about schedules that have told their problem themselves, and about calendars that cron could not have.
    """
    return [
        f"The newest backup in repository {repository['key']} that counts as {entry['type']} is {duration(age)} old, "
        f"though the schedule ({entry['when']}) lets at most {duration(between)} pass. Look at the clock of "
        f"{entry['host']} and at who removes backups, and take one with the playbook backup."
        for entry, between in ((entry, longest_gap(entry["when"])) for entry in record["schedule"])
        if between and not entry["problems"] and not entry["running"]
        for repository in record["repositories"]
        if not entry["repos"] or repository["key"] in entry["repos"]
        for age in _newest_age(repository, entry["type"])
        if age > between + _GRACE
    ]


def _newest_age(repository: Record, kind: str) -> list[int]:
    """Age of the newest backup that counts as this type, if there is one."""
    return sorted(repository["last"][name]["age"] for name in COUNTS_AS[kind] if repository["last"][name])[:1]


def longest_gap(calendars: str) -> int | None:
    """The most seconds that pass between two moments of a schedule, None when that cannot be told.

    >>> longest_gap("Sun 02:00") // 86400, longest_gap("Mon..Sat 02:00") // 86400, longest_gap("0 2 * * *") // 86400
    (7, 2, 1)
    """
    try:
        crons = [text if len(text.split()) == _CRON_FIELDS else to_cron(text) for text in calendars.split("; ")]
    except ValueError:
        return None
    moments = [datetime(2024, 1, 1)]
    while len(moments) < _OBSERVED:
        moment = next_run(crons, moments[-1])
        if moment is None:
            return None
        moments.append(moment)
    return max(int((after - before).total_seconds()) for before, after in zip(moments[1:], moments[2:]))
