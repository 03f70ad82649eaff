# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""archive_command written, read and judged; settings read, wanted and compared."""

from __future__ import annotations

import doctest
import os
import subprocess
import typing as t

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils import _archive_command, _archiving
from ansible_collections.pgops.pgbackrest.plugins.module_utils._archive_command import (
    WAL_PATH,
    Program,
    archive_command,
    judge,
    quote,
    split_command,
)
from ansible_collections.pgops.pgbackrest.plugins.module_utils._archiving import (
    changes,
    conf_file_problem,
    configuration_problem,
    file_problem,
    file_settings,
    fixed_problem,
    foreign,
    normalise,
    pending,
    read_settings,
    render_file,
    state,
    wanted_settings,
    without_auto_conf,
)
from hypothesis import given, settings as hypothesis_settings, strategies as st

PROGRAM = Program("/usr/bin/pgbackrest", "main")
WITH_CONFIG = Program("/usr/bin/pgbackrest", "main", config="/a b/c.conf")
COMMAND = '/usr/bin/pgbackrest --stanza=main archive-push "%p"'
WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n"), min_size=0, max_size=20)
PATHS = WORDS.map(lambda text: f"/srv/{text}")
DEFAULTS = {
    "wal_level": ("replica", "postmaster"),
    "archive_library": ("", "sighup"),
    "archive_command": ("", "sighup"),
    "archive_timeout": ("0", "sighup"),
    "archive_mode": ("off", "postmaster"),
}
PARAMS: dict[str, t.Any] = {
    "state": "enabled",
    "archive_mode": "on",
    "wal_level": "replica",
    "archive_timeout": None,
    "force": False,
}


def line(name: str, value: str, file: str = "/pgdata/postgresql.conf", number: int = 7) -> dict[str, t.Any]:
    return {"sourcefile": file, "sourceline": number, "name": name, "setting": value, "error": None}


def row(name: str, running: str | None = None, source: str = "default", waits: bool = False) -> dict[str, t.Any]:
    default, context = DEFAULTS[name]
    setting = default if running is None else running
    facts = {"name": name, "setting": setting, "boot_val": default, "context": context}
    return {**facts, "source": source, "pending_restart": waits}


def server(*lines: dict[str, t.Any], **running: str) -> dict[str, _archiving.Setting]:
    """Settings of a server with these lines in its files and these values in force."""
    rows = {name: row(name, running.get(name)) for name in DEFAULTS}
    if rows["archive_mode"]["setting"] == "off":
        rows["archive_command"]["setting"] = "(disabled)"
    return read_settings(rows, lines)


def test_documented_examples_hold() -> None:
    for module in (_archive_command, _archiving):
        assert doctest.testmod(module).failed == 0


@given(st.lists(WORDS, min_size=1, max_size=5))
def test_quoted_words_are_read_back(words: list[str]) -> None:
    command = " ".join(quote(word).replace("%", "%%") for word in words)
    assert split_command(command) == words


@hypothesis_settings(max_examples=25, deadline=None)
@given(st.lists(WORDS, min_size=1, max_size=8))
def test_quoted_words_are_what_the_shell_sees(words: list[str]) -> None:
    script = "for word in " + " ".join(map(quote, words)) + '; do printf "%s\\n" "$word"; done'
    output = subprocess.run(["/bin/sh", "-c", script], capture_output=True, check=True).stdout
    assert output.decode().split("\n")[:-1] == words


@given(PATHS, WORDS.filter(bool), st.none() | PATHS, st.none() | PATHS)
def test_the_command_is_what_it_should_be(path: str, stanza: str, config: str | None, config_path: str | None) -> None:
    program = Program(path, stanza, config, config_path)
    assert judge(archive_command(program), program) == ("same", "")
    other = Program(path, stanza + "x", config, config_path)
    assert judge(archive_command(program), other)[0] == "foreign"


@given(st.text(max_size=60))
def test_any_command_gets_a_verdict(command: str) -> None:
    verdict, reason = judge(command, PROGRAM)
    assert bool(reason) == (verdict == "foreign")
    assert verdict != "same"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("a %p %f %% %%p 50%", ["a", WAL_PATH, "\0f", "%", "%p", "50%"]),
        ("""a"b c"'d e'\\ f  g""", ["ab cd e f", "g"]),
        ('"a\\"b\\$c\\d"', ['a"b$c\\d']),
        ("a '' \"\"", ["a", "", ""]),
        ("a > b", None),
        ("a $HOME", None),
        ('a "`b`"', None),
        ("a 'b", None),
        ("a\nb", None),
        ("a\\", None),
    ],
)
def test_split_command(command: str, words: list[str] | None) -> None:
    assert split_command(command) == words


@pytest.mark.parametrize(
    ("command", "verdict"),
    [
        ("", "none"),
        ("  ", "none"),
        ("/bin/true", "dummy"),
        ("true %p", "dummy"),
        (":", "dummy"),
        ("cd .", "dummy"),
        ("exit 0", "dummy"),
        (COMMAND, "same"),
        ("/usr/bin/pgbackrest --stanza main archive-push %p", "same"),
        ("/usr/bin/pgbackrest archive-push '%p' \"--stanza=main\" --no-log-timestamp", "same"),
        ("/usr/bin/../bin/pgbackrest --stanza=main archive-push %p", "same"),
        ("/opt/pgbackrest --stanza=main archive-push %p", "outdated"),
        ("/usr/bin/pgbackrest --stanza=main archive-push pg_wal/%f", "outdated"),
        ("/usr/bin/pgbackrest --stanza=main archive-push %%p", "outdated"),
    ],
)
def test_judge(command: str, verdict: str) -> None:
    assert judge(command, PROGRAM) == (verdict, "")


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("/bin/false", "not pgBackRest"),
        ("wal-g wal-push %p", "not pgBackRest"),
        ("/usr/local/bin/pgbackrest.sh %p", "not pgBackRest"),
        ("sudo pgbackrest --stanza=main archive-push %p", "not pgBackRest"),
        ("pgbackrest --stanza=main archive-push %p || true", "a shell script"),
        ("PGBACKREST_REPO1_PATH=/x/pgbackrest pgbackrest --stanza=main archive-push %p", "a shell script"),
        ("test ! -f /a/%f && cp %p /a/%f", "a shell script"),
        ("pgbackrest --stanza=demo archive-push %p", "pgBackRest for the stanza demo"),
        ("pgbackrest archive-push %p", "pgBackRest without a stanza"),
        ("pgbackrest --stanza=main info", "not an archive-push"),
        (
            "pgbackrest --stanza=main --config=/b archive-push %p",
            "pgBackRest with --config=/b, another configuration",
        ),
        (
            "pgbackrest --stanza=main --config-path=/b archive-push %p",
            "pgBackRest with --config-path=/b, another configuration",
        ),
        ("pgbackrest --stanza=main --repo1-path=/b archive-push %p", "pgBackRest with --repo1-path of its own"),
        ("pgbackrest --stanza=main --no-config archive-push %p", "pgBackRest with --no-config of its own"),
    ],
)
def test_foreign_commands(command: str, reason: str) -> None:
    assert judge(command, PROGRAM) == ("foreign", reason)


def test_configuration_belongs_to_the_command() -> None:
    assert judge(COMMAND, WITH_CONFIG) == ("foreign", "pgBackRest with no --config, another configuration")
    assert judge(archive_command(WITH_CONFIG), WITH_CONFIG) == ("same", "")


def test_name_and_path_of_the_same_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_archive_command.shutil, "which", lambda name: os.path.join("/usr/bin", name))
    assert judge("pgbackrest --stanza=main archive-push %p", PROGRAM) == ("same", "")
    assert judge("pgbackrest --stanza=main archive-push %p", Program("/opt/pgbackrest", "main")) == ("outdated", "")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("archive_mode", "Yes", "on"),
        ("archive_mode", "0", "off"),
        ("archive_mode", "ALWAYS", "always"),
        ("wal_level", "archive", "replica"),
        ("wal_level", "Logical", "logical"),
        ("archive_timeout", " 1.5 min ", "90"),
        ("archive_timeout", "2h", "7200"),
        ("archive_timeout", "3 parsecs", "3 parsecs"),
        ("archive_command", "TRUE", "TRUE"),
    ],
)
def test_normalise(name: str, value: str, expected: str) -> None:
    assert normalise(name, value) == expected


def test_fresh_server_gets_a_command_before_the_mode() -> None:
    found = server()
    wanted = wanted_settings(found, PARAMS, PROGRAM)
    written = changes(found, wanted)
    assert written == {"archive_command": COMMAND, "archive_mode": "on"}
    assert list(written) == ["archive_command", "archive_mode"]
    assert pending(found, written) == ["archive_mode"]
    assert state(found)["archive_command"] == ""


def test_right_settings_stay() -> None:
    command = "/usr/bin/pgbackrest --stanza=main archive-push %p"
    lines = [line("archive_mode", "true"), line("wal_level", "logical"), line("archive_command", command)]
    found = server(*lines, archive_mode="on", wal_level="logical", archive_command=command)
    assert changes(found, wanted_settings(found, PARAMS, PROGRAM)) == {}
    assert pending(found) == [] and not any(setting.stale for setting in found.values())


def test_last_line_counts() -> None:
    auto = line("archive_mode", "off", "/pgdata/postgresql.auto.conf", 3)
    found = server(line("archive_mode", "on"), auto, archive_mode="off")
    assert (found["archive_mode"].coming, found["archive_mode"].where) == (
        "off",
        "in /pgdata/postgresql.auto.conf, line 3",
    )
    assert without_auto_conf([line("archive_mode", "on"), auto]) == [line("archive_mode", "on")]


@pytest.mark.parametrize(
    ("coming", "asked", "written"), [("minimal", "replica", "replica"), ("replica", "logical", "logical")]
)
def test_wal_level_is_raised(coming: str, asked: str, written: str) -> None:
    found = server(line("wal_level", coming), wal_level=coming)
    assert wanted_settings(found, {**PARAMS, "wal_level": asked}, PROGRAM)["wal_level"] == written


def test_archive_timeout_only_when_asked() -> None:
    found = server(line("archive_timeout", "1min"), archive_timeout="60")
    assert "archive_timeout" not in wanted_settings(found, PARAMS, PROGRAM)
    assert "archive_timeout" not in changes(found, wanted_settings(found, {**PARAMS, "archive_timeout": 60}, PROGRAM))
    assert changes(found, wanted_settings(found, {**PARAMS, "archive_timeout": 0}, PROGRAM))["archive_timeout"] == "0"


def test_old_server_has_no_library() -> None:
    rows = {name: row(name) for name in DEFAULTS if name != "archive_library"}
    assert "archive_library" not in wanted_settings(read_settings(rows, []), PARAMS, PROGRAM)


@pytest.mark.parametrize(
    ("command", "force", "written"),
    [
        (COMMAND, False, {"archive_mode": "off", "archive_command": ""}),
        ("/opt/pgbackrest --stanza=main archive-push %p", False, {"archive_mode": "off", "archive_command": ""}),
        ("/bin/true", False, {"archive_mode": "off"}),
        ("wal-g wal-push %p", True, {"archive_mode": "off", "archive_command": ""}),
    ],
)
def test_disabled(command: str, force: bool, written: dict[str, str]) -> None:
    found = server(line("archive_mode", "on"), line("archive_command", command), archive_mode="on")
    params = {**PARAMS, "state": "disabled", "force": force}
    result = changes(found, wanted_settings(found, params, PROGRAM))
    assert result == written and next(iter(result)) == "archive_mode"


@pytest.mark.parametrize("force", [False, True])
def test_disabled_leaves_a_sleeping_foreign_command(force: bool) -> None:
    found = server(line("archive_command", "wal-g wal-push %p"))
    params = {**PARAMS, "state": "disabled", "force": force}
    assert changes(found, wanted_settings(found, params, PROGRAM)) == {}
    assert foreign(found, params, PROGRAM) == ""


def test_foreign_sentences() -> None:
    found = server(line("archive_command", "wal-g wal-push %p"))
    sentence = "archive_command is «wal-g wal-push %p» in /pgdata/postgresql.conf, line 7: not pgBackRest."
    assert foreign(found, PARAMS, PROGRAM) == sentence
    found = server(line("archive_library", "basic_archive"), line("archive_command", COMMAND))
    sentence = "archive_library is set to basic_archive in /pgdata/postgresql.conf, line 7."
    assert foreign(found, PARAMS, PROGRAM) == sentence
    assert wanted_settings(found, {**PARAMS, "force": True}, PROGRAM)["archive_library"] == ""
    assert foreign(server(), PARAMS, PROGRAM) == ""


def test_unread_files() -> None:
    lines = [line("archive_mode", "on"), line("archive_command", COMMAND)]
    found = server(*lines, archive_mode="on", archive_command="/bin/true")
    assert found["archive_command"].stale and not found["archive_mode"].stale
    assert state(found)["archive_command"] == "/bin/true"
    found = server(*lines)
    assert found["archive_mode"].stale and not found["archive_command"].stale
    assert pending(found) == [] and pending(found, {}) == ["archive_mode"]


def test_pending_is_what_the_server_says() -> None:
    rows = {name: row(name, waits=name in ("archive_mode", "wal_level")) for name in DEFAULTS}
    found = read_settings(rows, [line("archive_mode", "on")])
    assert pending(found) == ["archive_mode", "wal_level"]
    assert not found["archive_mode"].stale
    assert pending(found, {"archive_mode": "off"}) == ["wal_level"]


def test_command_line_wins() -> None:
    rows = {name: row(name) for name in DEFAULTS}
    rows["wal_level"] = row("wal_level", "minimal", "command line")
    found = read_settings(rows, [line("wal_level", "logical")])
    written = changes(found, wanted_settings(found, PARAMS, PROGRAM))
    assert fixed_problem(found, written).startswith("wal_level is set to minimal on the server's command line, where")
    assert fixed_problem(found, {"archive_mode": "on"}) == ""
    rows["archive_command"] = {**row("archive_command", "(disabled)", "command line")}
    found = read_settings(rows, [])
    assert "a value that is not shown" in fixed_problem(found, {"archive_command": COMMAND})


def test_broken_files() -> None:
    harmless = {**line("work_mem", "x"), "error": "setting could not be applied"}
    assert file_problem([harmless, line("a", "b")]) == ""
    broken = {**line("", ""), "error": "syntax error"}
    assert file_problem([harmless, broken]).startswith("/pgdata/postgresql.conf, line 7 is wrong (syntax error)")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"pg1-path": ["/pgdata"]}, ""),
        ({"pg1-path": ["/other"], "pg1-host": ["a"], "pg2-path": ["/pgdata"]}, ""),
        ({}, "The stanza main is not in pgBackRest's configuration"),
        ({"pg1-path": ["/pgdata"], "pg1-host": ["a"]}, "The stanza main is not in pgBackRest's configuration"),
        ({"pg1-path": ["/other"]}, "PostgreSQL runs in /pgdata, but pgBackRest's configuration says /other"),
    ],
)
def test_configuration_problem(options: dict[str, list[str]], problem: str) -> None:
    found = configuration_problem(options, "main", "/pgdata")
    assert found.startswith(problem) and bool(found) == bool(problem)


@given(st.dictionaries(st.sampled_from(_archiving.NAMES), WORDS))
def test_file_is_read_back(values: dict[str, str]) -> None:
    assert file_settings(render_file(values)) == values


def test_file_of_somebody_else() -> None:
    assert file_settings("archive_mode = on\nport = 5432\n") is None
    assert file_settings("# nothing\n") == {}


def test_conf_file_problem() -> None:
    rows = {name: row(name) for name in DEFAULTS}
    mine = line("archive_mode", "on", "/etc/conf.d/a.conf", 2)
    problem = conf_file_problem("/etc/conf.d/a.conf", rows, [mine], {"archive_mode": "on"})
    assert problem == ""
    problem = conf_file_problem("/etc/conf.d/a.conf", rows, [], {"archive_mode": "on"})
    assert problem.startswith("PostgreSQL does not read /etc/conf.d/a.conf.")
    later = line("archive_mode", "off", "/etc/conf.d/b.conf", 9)
    problem = conf_file_problem("/etc/conf.d/a.conf", rows, [mine, later], {"archive_mode": "on"})
    assert problem.endswith("it is set again in /etc/conf.d/b.conf, line 9.")
