# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Questions and orders to systemd, its places and its words. Private to the collection."""

from __future__ import annotations

import os
import re
import typing as t
from datetime import datetime, timezone

from ._config_place import Refused

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

RUNNING = "/run/systemd/system"
SYSTEMD_DIRECTORY = "/etc/systemd/system"
STAMP_DIRECTORY = "/var/lib/systemd/timers"
PROPERTIES = (
    "Id",
    "LoadState",
    "ActiveState",
    "SubState",
    "UnitFileState",
    "NeedDaemonReload",
    "FragmentPath",
    "Result",
    "ExecMainStatus",
    "ExecMainExitTimestamp",
    "NextElapseUSecRealtime",
    "LastTriggerUSec",
)
# systemctl writes times in the zone and language of its environment.
_ENVIRONMENT = {"TZ": "UTC", "LC_ALL": "C"}
_PLAIN_WORD = re.compile(r"[A-Za-z0-9_@+=:,./-]+")

Unit = t.Dict[str, str]


def runs() -> bool:
    """Whether systemd manages this host."""
    return os.path.isdir(RUNNING)


def show(module: AnsibleModule, units: t.Sequence[str]) -> dict[str, Unit]:
    """Properties of units by name; of a unit that does not exist, too."""
    if not units:
        return {}
    argv = ["systemctl", "show", f"--property={','.join(PROPERTIES)}", "--", *units]
    return parse_show(_run(module, argv))


def parse_show(text: str) -> dict[str, Unit]:
    """Properties in the answer of ``systemctl show``: lines with name and value, units apart by an empty line."""
    blocks = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in text.split("\n\n")]
    return {block["Id"]: block for block in blocks if block.get("Id")}


def unit_word(word: str) -> str:
    r"""One word of ExecStart.

    >>> unit_word("--stanza=main"), unit_word("--stanza=50% of $x")
    ('--stanza=main', '"--stanza=50%% of $$x"')
    """
    if _PLAIN_WORD.fullmatch(word):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"'


def epoch(text: str | None) -> int | None:
    """Seconds since 1970 of a time as systemctl shows it in UTC; None when there is none.

    >>> epoch("Sun 2026-11-29 02:00:00 UTC"), epoch(""), epoch("n/a")
    (1795917600, None, None)
    """
    words = (text or "").split()
    try:
        moment = datetime.strptime(" ".join(words[1:3]), "%Y-%m-%d %H:%M:%S")
    except ValueError:
        return None
    return int(moment.replace(tzinfo=timezone.utc).timestamp())


def calendar_problems(module: AnsibleModule, calendars: t.Sequence[str]) -> dict[str, str]:
    """Calendars that systemd does not understand, with what it says."""
    if not calendars or _analyze(module, calendars) is None:
        return {}
    verdicts = {calendar: _analyze(module, [calendar]) for calendar in calendars}
    return {calendar: reason for calendar, reason in verdicts.items() if reason is not None}


def _analyze(module: AnsibleModule, calendars: t.Sequence[str]) -> str | None:
    argv = ["systemd-analyze", "calendar", "--", *calendars]
    rc, dummy, stderr = module.run_command(argv, environ_update=_ENVIRONMENT)
    return None if rc == 0 else " ".join(stderr.split())


def order(module: AnsibleModule, *words: str) -> None:
    """Let systemd do something. Raises Refused with its words when it does not."""
    _run(module, ["systemctl", *words])


def _run(module: AnsibleModule, argv: t.Sequence[str]) -> str:
    rc, stdout, stderr = module.run_command(list(argv), environ_update=_ENVIRONMENT)
    if rc != 0:
        said = " ".join((stderr or stdout).split())
        raise Refused([f"{' '.join(argv[:2])} failed with exit status {rc}: {said}"])
    return t.cast(str, stdout)
