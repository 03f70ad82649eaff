# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How pgBackRest is called."""

from __future__ import annotations

import os
import sys
import typing as t
from pathlib import Path

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils import _cli
from ansible_collections.pgops.pgbackrest.plugins.module_utils._messages import PgBackRestError
from hypothesis import given, strategies as st

Text = t.Callable[[str], str]
LOG = ["--log-level-console=off", "--log-level-stderr=warn"]


class FakeModule:
    """As much of AnsibleModule as the runner uses; commands are scripted as (rc, stdout, stderr)."""

    def __init__(self, *answers: tuple[int, str, str], **params: t.Any) -> None:
        self.params = {"config": None, "config_path": None, "executable": "pgbackrest", **params}
        self.answers = list(answers)
        self.commands: list[list[str]] = []

    def get_bin_path(self, name: str) -> str | None:
        return None if name == "missing" else f"/usr/bin/{name}"

    def run_command(self, argv: list[str], **options: t.Any) -> tuple[int, str, str]:
        assert options["expand_user_and_vars"] is False and options["environ_update"]["LC_ALL"] == "C"
        self.commands.append(argv)
        return self.answers.pop(0)


@pytest.fixture(name="ordinary_user", autouse=True)
def ordinary_user_fixture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(_cli.time, "sleep", lambda seconds: None)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, []),
        ({"set": None}, []),
        ({"delta": True, "online": False}, ["--delta", "--no-online"]),
        ({"type": "full", "repo": 2}, ["--type=full", "--repo=2"]),
        ({"db_include": ["a", "b"]}, ["--db-include=a", "--db-include=b"]),
        ({"annotation": {"k": "v w"}}, ["--annotation=k=v w"]),
    ],
)
def test_words(options: dict[str, t.Any], expected: list[str]) -> None:
    assert _cli.words("backup", options, ["x"]) == [*expected, "backup", "x"]


@given(st.dictionaries(st.from_regex(r"[a-z]+(_[a-z]+)*", fullmatch=True), st.text(min_size=1)))
def test_one_word_for_each_value_whatever_it_holds(options: dict[str, str]) -> None:
    assert len(_cli.words("info", options)) == len(options) + 1


@pytest.mark.parametrize(
    ("text", "version"), [("pgBackRest 2.45", (2, 45)), ("pgBackRest 2.55.1", (2, 55, 1)), ("nothing", ())]
)
def test_versions(text: str, version: tuple[int, ...]) -> None:
    assert _cli.parse_version(text) == version


def test_program_missing() -> None:
    with pytest.raises(PgBackRestError, match="The program missing is not on this host"):
        _cli.PgBackRest(FakeModule(executable="missing")).run("check")


@pytest.mark.parametrize("text", ["pgBackRest 2.44", "pgBackRest 1.29"])
def test_program_too_old(text: str) -> None:
    with pytest.raises(PgBackRestError, match="the collection needs 2.45 or newer"):
        _cli.PgBackRest(FakeModule((0, text, ""))).require_version()


def test_run_repeats_what_may_pass(fixture_text: Text) -> None:
    locked = (50, "", fixture_text("backup_locked_2.45.txt"))
    module = FakeModule(locked, locked, (0, "", "WARN: careful\n"))
    output = _cli.PgBackRest(module, "main").run("backup", {"type": "full"}, retries=2)
    assert output.warnings() == ["careful"]
    assert module.commands == [["/usr/bin/pgbackrest", "--stanza=main", *LOG, "--type=full", "backup"]] * 3
    with pytest.raises(PgBackRestError, match="Another pgBackRest process works"):
        _cli.PgBackRest(FakeModule(locked, locked), "main").run("backup", retries=1)


def test_run_does_not_repeat_what_stays(fixture_text: Text) -> None:
    module = FakeModule((62, "", fixture_text("backup_stopped_2.45.txt")))
    with pytest.raises(PgBackRestError):
        _cli.PgBackRest(module, "main").run("backup", retries=5)
    assert len(module.commands) == 1


def test_run_long_gives_every_line_and_keeps_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "program"
    program.write_text(f"#!{sys.executable}\nprint('P00   INFO: begin')\nprint('P01 DETAIL: file')\n", encoding="utf-8")
    program.chmod(0o755)
    module = FakeModule()
    monkeypatch.setattr(module, "get_bin_path", lambda name: str(program))
    lines: list[str] = []
    output = _cli.PgBackRest(module, "main").run_long("backup", on_line=lines.append)
    assert lines == ["P00   INFO: begin", "P01 DETAIL: file"]
    assert [message.text for message in output.messages] == ["begin"]


def test_a_large_output_is_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\nyes | head -c 300000\necho 'WARN: odd' >&2\nexit ${RC:-0}\n", encoding="utf-8")
    program.chmod(0o755)
    module = FakeModule()
    monkeypatch.setattr(module, "get_bin_path", lambda name: str(program))
    pgbackrest = _cli.PgBackRest(module, "main")
    assert pgbackrest.read("repo-ls", {}, [], lambda pieces: [len(piece) for piece in pieces]) == [65536] * 4 + [37856]
    assert pgbackrest.read("repo-ls", {}, [], lambda pieces: next(pieces)[:4]) == "y\ny\n"  # and the rest is let go
    monkeypatch.setenv("RC", "41")
    with pytest.raises(PgBackRestError) as caught:
        pgbackrest.read("repo-ls", {}, [], list)
    assert caught.value.code == 41


def test_info_after_warnings_and_with_control_characters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "program"
    text = '#!/bin/sh\nprintf "$ANSWER"\necho "ERROR: [041]: closed" >&2\nexit ${RC:-0}\n'
    program.write_text(text, encoding="utf-8")
    program.chmod(0o755)
    module = FakeModule()
    monkeypatch.setattr(module, "get_bin_path", lambda name: str(program))
    monkeypatch.setenv("ANSWER", r'P00   WARN: strange option\n[{"name": "a\tb"}]')
    assert _cli.PgBackRest(module).info() == [{"name": "a\tb"}]
    monkeypatch.setenv("ANSWER", "nothing")
    with pytest.raises(PgBackRestError, match="did not print JSON"):
        _cli.PgBackRest(module).info()
    monkeypatch.setenv("RC", "41")
    with pytest.raises(PgBackRestError, match=r"info failed with error 041 \(file-open\): closed"):
        _cli.PgBackRest(module).info()


def configured(tmp_path: Path, text: str) -> FakeModule:
    path = tmp_path / "pgbackrest.conf"
    path.write_text(text, encoding="utf-8")
    return FakeModule(config=str(path))


def test_require_stanza(tmp_path: Path) -> None:
    module = configured(tmp_path, "[main]\npg1-path=/data\n")
    _cli.PgBackRest(module, "main").require_stanza("backup")
    with pytest.raises(PgBackRestError, match="Stanza other is not in the configuration"):
        _cli.PgBackRest(module, "other").require_stanza("backup")
    with pytest.raises(PgBackRestError, match=r"There is no configuration file /nonexistent\.conf"):
        _cli.PgBackRest(FakeModule(config="/nonexistent.conf"), "main").require_stanza("backup")


def test_the_environment_counts_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGBACKREST_PG1_PATH", "/other")
    pgbackrest = _cli.PgBackRest(configured(tmp_path, "[main]\npg1-path=/data\n"), "main")
    assert pgbackrest.setting("pg1-path", "backup") == ["/other"]


@pytest.mark.parametrize("name", ["main.stop", "all.stop"])
def test_stop_files(tmp_path: Path, name: str) -> None:
    pgbackrest = _cli.PgBackRest(configured(tmp_path, f"[global]\nlock-path={tmp_path}\n"), "main")
    assert pgbackrest.stop_file() is None
    pgbackrest.refuse_stopped("check")
    (tmp_path / name).touch()
    with pytest.raises(PgBackRestError, match=f"the stop file {tmp_path}/{name} exists"):
        pgbackrest.refuse_stopped("check")


def test_stanzas_with_their_own_repository(tmp_path: Path) -> None:
    text = "[global]\nrepo1-path=/r\n[a]\npg1-path=/a\n[b]\nrepo1-cipher-pass=x\n[c:info]\nrepo-path=/c\n"
    text += "[d]\nrepo1-retention-full=2\n"
    module = configured(tmp_path, text)
    assert _cli.PgBackRest(module).stanzas_with_own_repository() == ["b", "c"]


def test_root_is_refused_where_files_belong_to_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = configured(tmp_path, f"[main]\npg1-path={tmp_path}\n")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(_cli, "_owner_uid", lambda path: 1234)
    with pytest.raises(PgBackRestError, match=f"This task runs as root, but {tmp_path} belongs to 1234"):
        _cli.PgBackRest(module, "main").refuse_foreign_root("backup")
    monkeypatch.setattr(_cli, "_owner_uid", lambda path: 0)
    _cli.PgBackRest(module, "main").refuse_foreign_root("backup")
