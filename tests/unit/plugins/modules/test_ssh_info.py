# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import typing as t
from pathlib import Path

import pytest
from ansible_collections.pgops.pgbackrest.plugins.modules import ssh_info

Run = t.Callable[..., dict[str, t.Any]]
OPTIONS = 'restrict,command="/usr/local/libexec/pgops-pgbackrest/ssh-command repo main web"'
KEY = "ssh-ed25519 AAAAC3Nza1"
OTHER = "ssh-ed25519 AAAAC3Nza2"


@pytest.fixture(name="home")
def home_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Home of the only user."""
    (tmp_path / ".ssh").mkdir()
    monkeypatch.setattr(ssh_info, "home_of", lambda user: str(tmp_path) if user == "pgbackrest" else None)
    return tmp_path


@pytest.fixture(name="look")
def look_fixture(run_module: Run, home: Path) -> Run:
    def look(**params: t.Any) -> dict[str, t.Any]:
        return run_module("ssh_info", {"user": "pgbackrest", **params})

    return look


def test_a_user_without_anything(look: Run, home: Path) -> None:
    (home / ".ssh").rmdir()
    result = look(known_hosts=[{"name": "db1", "key": KEY}], authorized_keys=[{"key": KEY}], script=str(home / "x"))
    assert result == {
        "changed": False,
        "home": str(home),
        "client": True,
        "public_key": "",
        "unknown_hosts": ["db1"],
        "unauthorized_keys": [KEY],
        "script_checksum": None,
    }


def test_no_such_user(look: Run) -> None:
    assert look(user="somebody")["home"] is None


@pytest.mark.parametrize(
    ("files", "key"),
    [
        ({"id_ed25519": "x", "id_ed25519.pub": f"{KEY} pgbackrest@backup1\n"}, KEY),
        ({"id_ed25519.pub": f"{KEY} pgbackrest@backup1\n"}, ""),
        ({"id_ed25519": "x"}, ""),
    ],
)
def test_key_pair(look: Run, home: Path, files: dict[str, str], key: str) -> None:
    for name, text in files.items():
        (home / ".ssh" / name).write_text(text, encoding="utf-8")
    assert look()["public_key"] == key


@pytest.mark.parametrize(
    ("line", "known"),
    [
        (f"db1 {KEY}", True),
        (f"db1 {KEY} a comment", True),
        (f"db1,10.0.0.5 {KEY}", True),
        (f"[db1]:2222 {KEY}", False),
        (f"db12 {KEY}", False),
        (f"db1 {OTHER}", False),
        (f"# db1 {KEY}", False),
        (f"@revoked db1 {KEY}", False),
        ("", False),
    ],
)
def test_known_host(look: Run, home: Path, line: str, known: bool) -> None:
    (home / ".ssh" / "known_hosts").write_text(f"elsewhere {OTHER}\n{line}\n", encoding="utf-8")
    assert look(known_hosts=[{"name": "db1", "key": KEY}])["unknown_hosts"] == ([] if known else ["db1"])


def test_known_host_on_another_port(look: Run, home: Path) -> None:
    (home / ".ssh" / "known_hosts").write_text(f"[db1]:2222 {KEY}\n", encoding="utf-8")
    assert look(known_hosts=[{"name": "[db1]:2222", "key": KEY}])["unknown_hosts"] == []


@pytest.mark.parametrize(
    ("lines", "allowed"),
    [
        ([f"{OPTIONS} {KEY} pgbackrest@db1"], True),
        ([f"{OPTIONS}   {KEY}"], True),
        ([f"{OTHER} me", f"{OPTIONS} {KEY}"], True),
        ([f"{KEY} pgbackrest@db1"], False),
        ([f"{OPTIONS.replace(' web', '')} {KEY}"], False),
        ([f"{OPTIONS} {OTHER}"], False),
        ([f"# {OPTIONS} {KEY}"], False),
        ([f"{OPTIONS} {KEY}", KEY], False),  # the second line lets it have a shell
        ([OPTIONS], False),
    ],
)
def test_authorized_key(look: Run, home: Path, lines: list[str], allowed: bool) -> None:
    (home / ".ssh" / "authorized_keys").write_text("\n".join(lines) + "\n", encoding="utf-8")
    result = look(authorized_keys=[{"key": f"{KEY} comment", "options": OPTIONS}])
    assert result["unauthorized_keys"] == ([] if allowed else [f"{KEY} comment"])


@pytest.mark.parametrize(("mode", "known"), [(0o755, True), (0o700, False), (0o777, False)])
def test_script(look: Run, home: Path, mode: int, known: bool) -> None:
    script = home / "ssh-command"
    script.write_text("#!/bin/sh\n", encoding="utf-8")
    script.chmod(mode)
    wanted = hashlib.sha1(script.read_bytes()).hexdigest() if known else None
    assert look(script=str(script))["script_checksum"] == wanted


def test_a_file_that_cannot_be_read(look: Run, home: Path) -> None:
    (home / ".ssh" / "known_hosts").mkdir()
    result = look()
    assert result["failed"]
    assert result["msg"].endswith("Run the task as root (become).")
