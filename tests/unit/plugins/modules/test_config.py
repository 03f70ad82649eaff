# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import stat
import typing as t
from pathlib import Path

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils import _config_program as config_program

Run = t.Callable[..., dict[str, t.Any]]

VERSION = (["pgbackrest", "version"], 0, "pgBackRest 2.55.1\n", "")
OPTIONS: dict[str, dict[str, t.Any]] = {
    "global": {"repo1-path": "/repo", "repo1-cipher-type": "aes-256-cbc", "repo1-cipher-pass": "correct-horse"},
    "main": {"pg1-path": "/pg", "recovery-option": {"primary_conninfo": "host=a password=battery-staple"}},
}
TEXT = (
    "# Managed by Ansible (pgops.pgbackrest.config)\n\n"
    "[global]\nrepo1-cipher-pass=correct-horse\nrepo1-cipher-type=aes-256-cbc\nrepo1-path=/repo\n\n"
    "[main]\npg1-path=/pg\nrecovery-option=primary_conninfo=host=a password=battery-staple\n"
)
MASKED = TEXT.replace("correct-horse", "********").replace("host=a password=battery-staple", "********")


@pytest.fixture(name="candidate")
def candidate_fixture(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The name that the file has while pgBackRest checks it."""
    path = str(tmp_path / "candidate.conf")

    def mkstemp(**options: str) -> tuple[int, str]:
        return os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600), path

    monkeypatch.setattr(config_program.tempfile, "mkstemp", mkstemp)
    return path


@pytest.fixture(name="path")
def path_fixture(tmp_path: Path) -> Path:
    directory = tmp_path / "etc"
    directory.mkdir()
    return directory / "pgbackrest.conf"


def ask(candidate: str, command: str, rc: int = 0, stdout: str = "", stderr: str = "", stanza: bool = True) -> t.Any:
    words = ["pgbackrest", f"--config={candidate}", *(["--stanza=main"] if stanza else [])]
    # The shared options stand first, so the order is config, stanza, log levels.
    return ([*words, "--log-level-console=off", "--log-level-stderr=warn", "help", command], rc, stdout, stderr)


def good(candidate: str) -> list[t.Any]:
    return [VERSION, ask(candidate, "restore")]


def test_writes_then_changes_nothing(run_module: Run, path: Path, candidate: str) -> None:
    params = {"path": str(path), "options": OPTIONS}
    result = run_module("config", params, commands=good(candidate))
    assert result["changed"] is True
    assert path.read_text(encoding="utf-8") == TEXT
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert result["diff"] == {
        "before": "", "after": MASKED, "before_header": str(path), "after_header": str(path),
    }  # fmt: skip
    assert (result["stanzas"], result["pgbackrest_version"]) == (["main"], "2.55.1")
    again = run_module("config", params, commands=good(candidate))
    assert again["changed"] is False
    assert again["diff"]["before"] == again["diff"]["after"] == MASKED
    assert not Path(candidate).exists()


def test_more_files_are_written_after_the_first(run_module: Run, path: Path, candidate: str) -> None:
    other = path.parent / "conf.d" / "web.conf"
    other.parent.mkdir()
    web = {**OPTIONS["global"], "pg1-path": str(path.parent), "repo1-path": str(path.parent)}
    also = [{"path": str(other), "options": {"web": web}}]
    params = {"path": str(path), "options": {"global": {"start-fast": True}}, "also": also}
    of_web = ask(candidate, "backup")
    of_web[0][2] = "--stanza=web"
    commands = [VERSION, ask(candidate, "backup", stanza=False), of_web]
    result = run_module("config", params, commands=commands)
    assert path.read_text(encoding="utf-8").endswith("[global]\nstart-fast=y\n")
    assert "repo1-cipher-pass=correct-horse" in other.read_text(encoding="utf-8")
    assert stat.S_IMODE(other.stat().st_mode) == 0o640
    assert (result["stanzas"], result["also"][0]["stanzas"]) == ([], ["web"])
    assert result["changed"] and result["also"][0]["changed"]
    assert "correct-horse" not in str(result)
    assert {part["after_header"] for part in result["diff"]} == {str(path), str(other)}
    other.write_text("", encoding="utf-8")
    again = run_module("config", params, commands=commands)
    assert again["changed"] and again["also"][0]["changed"]
    once_more = run_module("config", params, commands=commands)
    assert not once_more["changed"] and not once_more["also"][0]["changed"]


def test_what_is_wrong_with_one_file_leaves_it_and_those_after_it(run_module: Run, path: Path, candidate: str) -> None:
    others = [path.parent / f"{name}.conf" for name in ("wrong", "good")]
    also = [
        {"path": str(others[0]), "options": {"main": {"pg1-pfad": "/pg"}}},
        {"path": str(others[1]), "options": OPTIONS},
    ]
    params = {"path": str(path), "options": OPTIONS, "also": also}
    result = run_module("config", params, commands=good(candidate))
    assert result["msg"].startswith(f"{others[0]} was not written. ")
    assert path.exists() and not any(other.exists() for other in others)


def test_more_files_cannot_be_removed_together(run_module: Run, path: Path) -> None:
    params = {"path": str(path), "state": "absent", "also": [{"path": str(path), "options": OPTIONS}]}
    assert "a task of its own" in run_module("config", params)["msg"]


def test_check_mode_writes_nothing(run_module: Run, path: Path, candidate: str) -> None:
    path.write_text("[global]\nrepo-s3-key=foreign-secret\n", encoding="utf-8")
    path.chmod(0o640)
    result = run_module("config", {"path": str(path), "options": OPTIONS}, check=True, commands=good(candidate))
    assert result["changed"] is True
    assert result["diff"]["before"] == "[global]\nrepo-s3-key=********\n"
    assert path.read_text(encoding="utf-8") == "[global]\nrepo-s3-key=foreign-secret\n"
    assert os.listdir(path.parent) == ["pgbackrest.conf"]


def test_keeps_mode_and_a_copy(run_module: Run, path: Path, candidate: str) -> None:
    path.write_text("old\n", encoding="utf-8")
    path.chmod(0o600)
    params = {"path": str(path), "options": OPTIONS, "backup": True}
    result = run_module("config", params, commands=good(candidate))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Path(result["backup_file"]).read_text(encoding="utf-8") == "old\n"
    again = run_module("config", params, commands=good(candidate))
    assert "backup_file" not in again


def test_another_passphrase_is_refused_on_request(run_module: Run, path: Path, candidate: str) -> None:
    written = TEXT.replace("correct-horse", "wrong-horse")
    params = {"path": str(path), "options": OPTIONS}
    path.write_text(written, encoding="utf-8")
    path.chmod(0o600)
    for check in (True, False):
        result = run_module("config", {**params, "keep_passphrases": True}, check=check, commands=good(candidate))
        assert "repo1-cipher-pass is not the passphrase that stands there" in result["msg"]
        assert "horse" not in str(result) and path.read_text(encoding="utf-8") == written
    assert run_module("config", params, commands=good(candidate))["changed"]


def test_mode_alone_is_a_change(run_module: Run, path: Path, candidate: str) -> None:
    path.write_text(TEXT, encoding="utf-8")
    path.chmod(0o600)
    result = run_module("config", {"path": str(path), "options": OPTIONS, "mode": "0640"}, commands=good(candidate))
    assert result["changed"] is True
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [part.get("before") for part in result["diff"]][1] == {"mode": "0600"}


def test_all_problems_at_once_and_nothing_started_or_written(run_module: Run, path: Path) -> None:
    options = {"global": {"repo0-path": "/r", "delta": "yes", "repo1-cipher-pass": ["correct-horse"]}, "m": {}}
    result = run_module("config", {"path": str(path), "options": options}, commands=[VERSION])
    assert result["failed"] is True
    assert result["problems"] == [
        "[global] repo0-path has index 0, but indexes run from 1 to 256.",
        "[global] delta is 'yes', but pgBackRest takes only y or n: write true or false.",
        "[global] repo1-cipher-pass takes one value, not a list.",
    ]
    assert result["msg"] == (
        f"{path} was not written. 3 problems: (1) {result['problems'][0]} (2) {result['problems'][1]} "
        f"(3) {result['problems'][2]}"
    )
    assert not path.exists()


def test_a_warning_of_the_program_is_a_failure(run_module: Run, path: Path, candidate: str) -> None:
    warning = f"P00   WARN: '{candidate}' contains invalid option 'x'\n"
    help_text = "pgBackRest 2.55.1 - 'restore' command help\n\n  --recovery-option   [current=primary_conninfo=pw]\n"
    error = "ERROR: [032]: 'y' is not allowed for 'z' option\n       HINT: allowed values are a, b\n"
    commands = [VERSION, ask(candidate, "restore", 32, warning + help_text, error)]
    result = run_module("config", {"path": str(path), "options": OPTIONS}, commands=commands)
    assert result["problems"] == [
        "pgBackRest 2.55.1 says: 'y' is not allowed for 'z' option (allowed values are a, b).",
        f"pgBackRest 2.55.1 says: '{path}' contains invalid option 'x'.",
    ]
    assert not path.exists() and not Path(candidate).exists()


def test_what_only_the_neighbours_cause_is_no_failure(run_module: Run, path: Path, candidate: str) -> None:
    (path.parent / "conf.d").mkdir()
    (path.parent / "conf.d" / "a.conf").write_text("[global]\nbogus=1\n", encoding="utf-8")
    bad = ask(candidate, "restore", 0, "P00   WARN: configuration file contains invalid option 'bogus'\n")
    commands = [VERSION, bad, ask(candidate, "restore")]
    result = run_module("config", {"path": str(path), "options": OPTIONS}, commands=commands)
    assert result["changed"] is True


def test_secrets_that_everybody_could_read(run_module: Run, path: Path, candidate: str) -> None:
    result = run_module("config", {"path": str(path), "options": OPTIONS, "mode": "0644"}, commands=good(candidate))
    assert result["problems"] == [
        "The file holds secrets, and mode 0644 lets every user read or change it: set mode: '0640'."
    ]
    path.write_text("", encoding="utf-8")
    path.chmod(0o644)
    result = run_module("config", {"path": str(path), "options": OPTIONS}, commands=good(candidate))
    assert "mode 0644" in result["msg"]
    result = run_module("config", {"path": str(path), "options": OPTIONS, "mode": "u=rw"}, commands=good(candidate))
    assert result["problems"] == ["mode is no number, but the file holds secrets: write it as a number such as '0640'."]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("", "is a directory: name the file in it."),
        ("absent/x.conf", "does not exist: set directories: true to have it made."),
        ("conf.d/x.cnf", "let the name x.cnf end in .conf."),
    ],
)
def test_wrong_places(run_module: Run, path: Path, candidate: str, name: str, sentence: str) -> None:
    (path.parent / "conf.d").mkdir()
    result = run_module("config", {"path": str(path.parent / name), "options": OPTIONS}, commands=good(candidate))
    assert result["failed"] is True
    assert result["msg"].endswith(sentence)


def test_missing_directory_in_check_mode(run_module: Run, path: Path, candidate: str) -> None:
    params = {"path": str(path.parent / "later" / "x.conf"), "options": OPTIONS}
    assert run_module("config", params, check=True, commands=good(candidate))["changed"] is True


def test_a_link_stays_a_link(run_module: Run, path: Path, candidate: str) -> None:
    link = path.parent / "link.conf"
    link.symlink_to(path)
    result = run_module("config", {"path": str(link), "options": OPTIONS}, commands=good(candidate))
    assert result["path"] == str(path)
    assert link.is_symlink() and path.read_text(encoding="utf-8") == TEXT


def test_absent(run_module: Run, path: Path) -> None:
    params = {"path": str(path), "state": "absent", "backup": True}
    assert run_module("config", params)["changed"] is False
    path.write_text(TEXT, encoding="utf-8")
    checked = run_module("config", params, check=True)
    assert checked["changed"] is True and path.exists()
    result = run_module("config", params)
    assert (result["diff"]["before"], result["diff"]["after"]) == (MASKED, "")
    assert not path.exists() and Path(result["backup_file"]).exists()


@pytest.mark.parametrize("options", [{}, {"global": {}}])
def test_options_without_option(run_module: Run, path: Path, options: t.Any) -> None:
    result = run_module("config", {"path": str(path), "options": options})
    assert result["problems"] == ["options name no option: use state: absent to remove the file."]


def test_options_are_required(run_module: Run, path: Path) -> None:
    assert "options" in run_module("config", {"path": str(path)})["msg"]


def test_conf_d_file_is_checked_with_its_main_file(run_module: Run, path: Path, candidate: str) -> None:
    (path.parent / "conf.d").mkdir()
    stanza = {"main": {"pg1-path": "/pg", "repo1-cipher-pass": "correct-horse"}}
    params = {"path": str(path.parent / "conf.d" / "main.conf"), "options": stanza}
    result = run_module("config", params, commands=[VERSION])
    assert result["problems"] == [
        "[main] repo1-cipher-pass would be ignored: repo1-cipher-type is none by default; set it to aes-256-cbc, "
        "or leave the option out."
    ]
    assert run_module("config", params, check=True, commands=[VERSION, ask(candidate, "backup")])["changed"] is True
    path.write_text("[global]\nrepo1-cipher-type=aes-256-cbc\n", encoding="utf-8")
    assert run_module("config", params, commands=[VERSION, ask(candidate, "backup")])["changed"] is True


def placed(path: Path, **more: t.Any) -> dict[str, t.Any]:
    """Options that name every kind of directory below the one of the test."""
    top = path.parent.parent
    options = {
        "global": {"repo1-path": f"{top}/repo", "log-path": f"{top}/var/log", "repo2-host": "b", "repo2-path": "/far"},
        "main": {"pg1-path": f"{top}/pg", "spool-path": f"{top}/spool"},
    }
    return {"path": str(top / "new/conf.d/main.conf"), "options": options, "directories": True, **more}


def test_directories_are_foretold_made_and_then_left_alone(run_module: Run, path: Path, candidate: str) -> None:
    top, params = path.parent.parent, placed(path)
    made = [f"{top}/{name}" for name in ("new", "new/conf.d", "var", "var/log", "repo", "spool")]
    asked = [VERSION, ask(candidate, "restore")]
    planned = run_module("config", params, check=True, commands=asked, uid=os.getuid())
    assert (planned["changed"], planned["directories"], os.listdir(top)) == (True, made, ["etc"])
    result = run_module("config", params, commands=asked, uid=os.getuid())
    assert result["diff"] == planned["diff"]
    assert result["diff"][0]["after"].splitlines() == result["directories"] == made
    assert {stat.S_IMODE(os.stat(name).st_mode) for name in made} == {0o750}
    assert not (top / "pg").exists()
    (top / "repo").chmod(0o2770)
    again = run_module("config", params, commands=asked, uid=os.getuid())
    assert (again["changed"], again["directories"]) == (False, [])
    assert stat.S_IMODE((top / "repo").stat().st_mode) == 0o2770
    (top / "spool").rmdir()
    assert run_module("config", params, commands=asked, uid=os.getuid())["directories"] == [f"{top}/spool"]


def test_directory_of_another_user_is_refused_before_anything_is_made(
    run_module: Run, path: Path, candidate: str
) -> None:
    top = path.parent.parent
    (top / "repo").mkdir(mode=0o755)
    (top / "spool").touch()
    params = placed(path, owner="65534")
    result = run_module("config", params, commands=[VERSION, ask(candidate, "restore")])
    assert result["problems"][0].startswith(f"{top}/repo belongs to ")
    assert "to whom the file belongs, may not write in it: change its owner or mode" in result["problems"][0]
    assert result["problems"][1] == f"{top}/spool is no directory: name another place for {top}/spool, or move it away."
    assert sorted(os.listdir(top)) == ["etc", "repo", "spool"]


def test_owner_that_does_not_exist_yet(run_module: Run, path: Path, candidate: str) -> None:
    params = placed(path, owner="no-such-user")
    asked = [VERSION, ask(candidate, "restore")]
    assert run_module("config", params, check=True, commands=asked)["changed"] is True
    result = run_module("config", params, commands=asked)
    assert result["problems"] == [
        "The user no-such-user is not on this host: install what makes it first, or correct owner."
    ]
    assert os.listdir(path.parent.parent) == ["etc"]


def test_file_of_somebody_else_stays(run_module: Run, path: Path, candidate: str) -> None:
    text = "[main]\npg1-path=/by-hand\nrepo1-cipher-pass=foreign-secret\n"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o640)
    params = {"path": str(path), "options": OPTIONS, "replace": "own"}
    for check in (True, False):
        result = run_module("config", params, check=check, commands=good(candidate))
        assert "this collection has not written it (it has [main])" in result["msg"]
        assert "foreign-secret" not in str(result)
    removal = {"path": str(path), "state": "absent", "replace": "own"}
    assert run_module("config", removal)["msg"].startswith(f"{path} was not removed. {path} stands there")
    assert path.read_text(encoding="utf-8") == text
    run_module("config", {**params, "replace": "always"}, commands=good(candidate))
    assert run_module("config", params, commands=good(candidate))["changed"] is False
    assert run_module("config", removal)["changed"] is True
