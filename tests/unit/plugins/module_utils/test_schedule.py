# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import doctest
import typing as t

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils import (
    _schedule,
    _schedule_files,
    _schedule_systemd,
    _scheduled_backup,
)
from ansible_collections.pgops.pgbackrest.plugins.module_utils._schedule import (
    MARKER,
    How,
    Job,
    command,
    cron_file_name,
    cron_text,
    cron_word,
    escape_unit,
    full_unit_name,
    is_ours,
    jobs,
    name_problems,
    read_headers,
    service_text,
    stable_delay,
    timer_text,
    unit_word,
)
from ansible_collections.pgops.pgbackrest.plugins.module_utils._schedule_systemd import epoch, parse_show

JOB = Job("main", "full", (), ("Sun 02:00",), ("0 2 * * 0",))
TWO = Job("main", "diff", (1, 2), ("Mon 02:00", "Wed 14:00"), ("0 2 * * 1", "0 14 * * 3"))
HOW = How("postgres", 1800, "alert@%n.service", ("--port=5432",))

SERVICE = """\
# Managed by Ansible (pgops.pgbackrest.schedule)
# {"stanza": "main", "type": "full", "repos": [], "schedule": ["Sun 02:00"], "user": "postgres"}
[Unit]
Description=pgBackRest full backup of stanza main
Documentation=https://pgbackrest.org/command.html#command-backup
Wants=network-online.target
After=network-online.target postgresql.service
OnFailure=alert@%n.service

[Service]
Type=oneshot
User=postgres
ExecStart=/usr/local/libexec/pgops-pgbackrest/scheduled-backup --stanza=main --type=full --port=5432
TimeoutStartSec=infinity
Nice=10
CPUWeight=20
IOWeight=20
IOSchedulingClass=best-effort
IOSchedulingPriority=7
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
"""
TIMER = """\
# Managed by Ansible (pgops.pgbackrest.schedule)
# {"stanza": "main", "type": "diff", "repos": [1, 2], "schedule": ["Mon 02:00", "Wed 14:00"], "user": "postgres"}
[Unit]
Description=Time for: pgBackRest diff backup of stanza main in repository 1 and 2

[Timer]
OnCalendar=Mon 02:00
OnCalendar=Wed 14:00
Persistent=true
RandomizedDelaySec=1800
FixedRandomDelay=true

[Install]
WantedBy=timers.target
"""
CRON = """\
# Managed by Ansible (pgops.pgbackrest.schedule)
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

# {"stanza": "main", "type": "diff", "repos": [1, 2], "schedule": ["0 2 * * 1", "0 14 * * 3"], "user": "postgres", \
"delay": 0}
0 2 * * 1 postgres nice -n 10 /usr/local/libexec/pgops-pgbackrest/scheduled-backup --stanza=main --type=diff \
--repo=1 --repo=2 --quiet
0 14 * * 3 postgres nice -n 10 /usr/local/libexec/pgops-pgbackrest/scheduled-backup --stanza=main --type=diff \
--repo=1 --repo=2 --quiet
"""


@pytest.mark.parametrize("module", [_schedule, _schedule_files, _schedule_systemd, _scheduled_backup])
def test_examples_in_docstrings(module: t.Any) -> None:
    assert doctest.testmod(module).failed == 0


def test_texts() -> None:
    assert service_text(JOB, HOW) == SERVICE
    assert timer_text(TWO, HOW) == TIMER
    assert cron_text([TWO], How("postgres", 0, None, ()), "db1") == CRON


def test_nothing_is_said_that_is_not_wanted() -> None:
    how = How("postgres", 0, None, ())
    assert "OnFailure" not in service_text(JOB, how)
    assert "Delay" not in timer_text(JOB, how)


@pytest.mark.parametrize("text", [service_text(JOB, HOW), timer_text(JOB, HOW), cron_text([JOB, TWO], HOW, "db1")])
def test_our_texts_can_be_read_again(text: str) -> None:
    assert is_ours(text)
    first, *more = read_headers(text)
    assert (first["stanza"], first["type"], first["repos"], first["user"]) == ("main", "full", [], "postgres")
    assert [header["repos"] for header in more] in ([], [[1, 2]])


@pytest.mark.parametrize(
    "text", ["", "[Timer]\n", f"# mine\n# too\n{MARKER}\n# {{}}\n", "# Managed by Ansible\n# {\"stanza\": \"main\"}\n"]
)  # fmt: skip
def test_texts_of_others(text: str) -> None:
    assert not is_ours(text) and read_headers(text) == []


def test_a_damaged_header_is_no_header() -> None:
    assert read_headers(f"{MARKER}\n# {{nonsense\n") == []


def test_entries_of_one_kind_become_one_job() -> None:
    entries: list[dict[str, t.Any]] = [
        {"type": "full", "calendar": "Sun  02:00"},
        {"type": "diff", "calendar": "Mon..Sat 02:00", "repo": [2, 1]},
        {"type": "diff", "calendar": "Wed 14:00", "repo": [1, 2, 2]},
        {"type": "diff", "calendar": "Wed 14:00", "repo": [1, 2]},
        {"type": "diff", "calendar": "Wed 14:00"},
    ]
    found, problems = jobs("main", entries, "systemd")
    assert problems == []
    assert [(job.unit, job.calendars, job.crons) for job in found] == [
        ("pgbackrest-main-full", ("Sun 02:00",), ()),
        ("pgbackrest-main-diff-repo1-repo2", ("Mon..Sat 02:00", "Wed 14:00"), ()),
        ("pgbackrest-main-diff", ("Wed 14:00",), ()),
    ]


def test_own_lines_of_cron_win() -> None:
    entries: list[dict[str, t.Any]] = [
        {"type": "full", "calendar": "Sun 02:00"},
        {"type": "full", "calendar": "*-*~01", "cron": "5 3 1 * *"},
    ]
    found, problems = jobs("main", entries, "cron")
    assert problems == [] and found[0].crons == ("0 2 * * 0", "5 3 1 * *")


@pytest.mark.parametrize(
    ("entry", "scheduler", "problem"),
    [
        ({"cron": "0 2 * * 0"}, "systemd", "systemd needs calendar, such as 'Sun 02:00'"),
        ({}, "cron", "say when"),
        ({"calendar": "*-*~01"}, "cron", "calendar '*-*~01' cannot be translated for cron (cron has no such form"),
        ({"cron": "0 25 * * *"}, "cron", "'25' is no hour of cron: it goes from 0 to 23."),
        ({"calendar": "Sun 02:00\nExecStart=/bin/sh"}, "systemd", "calendar must be one line"),
        ({"cron": "0 2 * * 0\n* * * * * root id"}, "cron", "cron must be one line"),
        ({"calendar": "daily", "repo": [0, 1]}, "systemd", "there is no repository 0: their numbers go from 1 to 256."),
    ],
)
def test_problems_of_entries(entry: dict[str, t.Any], scheduler: str, problem: str) -> None:
    problems = jobs("main", [{"type": "diff", "calendar": "daily"}, {"type": "full", **entry}], scheduler)[1]
    assert problems[0].startswith(f"Entry 2 (full): {problem}")


@pytest.mark.parametrize("stanza", ["", ".", "..", "a/b", "a\\", "a\nb", "a\x7f"])
def test_stanzas_that_cannot_name_a_file(stanza: str) -> None:
    assert len(name_problems(stanza, [], None)) == 1


def test_names_and_words() -> None:
    assert name_problems("my stanza", ["--config=/etc/x"], "alert@%n.service") == []
    assert name_problems("main", ["--config=/x\n[Service]"], "a b") == [
        "'--config=/x\\n[Service]' holds a control character: correct it.",
        "on_failure 'a b' is no name of a unit, such as alert@%n.service.",
    ]
    assert [full_unit_name(name) for name in ("alert", "a.target", None, "")] == [
        "alert.service", "a.target", None, None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("stanza", "unit", "file"),
    [
        ("main", "main", "pgbackrest-main"),
        ("my-db_1.x", "my-db_1.x", "pgbackrest-my-db_1_x2ex"),
        ("a b@%", "a\\x20b\\x40\\x25", "pgbackrest-a_x20b_x40_x25"),
        ("ä", "\\xc3\\xa4", "pgbackrest-_xc3_xa4"),
    ],
)
def test_special_characters_in_names(stanza: str, unit: str, file: str) -> None:
    assert escape_unit(stanza) == unit
    assert cron_file_name(stanza) == file


@pytest.mark.parametrize(
    ("word", "unit", "cron"),
    [
        ("--stanza=main", "--stanza=main", "--stanza=main"),
        ("--a=b c", '"--a=b c"', "'--a=b c'"),
        ("50%", '"50%%"', "50\\%"),
        ("5 %", '"5 %%"', "'5 \\%'"),
        ("$HOME", '"$$HOME"', "'$HOME'"),
        ('"\\', '"\\"\\\\"', "'\"\\'"),
        ("it's;id", '"it\'s;id"', "'it'\"'\"'s;id'"),
    ],
)
def test_words_of_commands(word: str, unit: str, cron: str) -> None:
    assert unit_word(word) == unit
    assert cron_word(word) == cron


def test_command() -> None:
    assert command(TWO, HOW)[1:] == ["--stanza=main", "--type=diff", "--repo=1", "--repo=2", "--port=5432"]


def test_delays_are_stable_and_spread() -> None:
    delays = [stable_delay(1800, f"db{number}", JOB) for number in range(200)]
    assert delays == [stable_delay(1800, f"db{number}", JOB) for number in range(200)]
    assert 0 <= min(delays) < 100 and 1700 < max(delays) <= 1800 and len(set(delays)) > 150
    assert stable_delay(0, "db1", JOB) == 0
    assert stable_delay(1800, "db1", JOB) != stable_delay(1800, "db1", TWO)


def test_answer_of_systemctl_show() -> None:
    text = "Result=success\nId=a.timer\nFragmentPath=/x=y\n\nId=b\\x20c.service\nLoadState=not-found\n\n\n"
    assert parse_show(text) == {
        "a.timer": {"Result": "success", "Id": "a.timer", "FragmentPath": "/x=y"},
        "b\\x20c.service": {"Id": "b\\x20c.service", "LoadState": "not-found"},
    }


@pytest.mark.parametrize("text", [None, "", "n/a", "infinity", "Sun nonsense"])
def test_no_time(text: str | None) -> None:
    assert epoch(text) is None
