# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module archiving on a server that exists in memory; the real one is in the integration tests."""

from __future__ import annotations

import importlib
import typing as t
from pathlib import Path

import pytest

PACKAGE = "ansible_collections.pgops.pgbackrest.plugins"
VERSION = (["pgbackrest", "version"], 0, "pgBackRest 2.45\n", "")
DEFAULTS = {
    "wal_level": ("replica", "postmaster"),
    "archive_library": ("", "sighup"),
    "archive_command": ("", "sighup"),
    "archive_timeout": ("0", "sighup"),
    "archive_mode": ("off", "postmaster"),
}
Run = t.Callable[..., dict[str, t.Any]]


class Server:
    """PostgreSQL as far as the module sees it: files of settings, values in force, reloads."""

    def __init__(self, pgdata: Path) -> None:
        self.pgdata = pgdata
        self.files: dict[str, dict[str, str]] = {"postgresql.conf": {}, "postgresql.auto.conf": {}}
        self.running = {name: default for name, (default, context) in DEFAULTS.items()}
        self.waiting: set[str] = set()
        self.superuser, self.patroni = True, False
        self.error: str | None = None
        self.included: list[Path] = []
        self.done: list[str] = []

    def lines(self) -> list[dict[str, t.Any]]:
        from ansible_collections.pgops.pgbackrest.plugins.module_utils._cluster import parse_settings

        files = {str(self.pgdata / "postgresql.conf"): self.files["postgresql.conf"]}
        files.update({str(path): parse_settings(path.read_text()) for path in self.included if path.exists()})
        files[str(self.pgdata / "postgresql.auto.conf")] = self.files["postgresql.auto.conf"]
        return [
            {"sourcefile": file, "sourceline": 1, "name": name, "setting": value, "error": self.error}
            for file, values in files.items()
            for name, value in values.items()
        ]

    def reload(self) -> None:
        self.done.append("reload")
        values = {row["name"]: row["setting"] for row in self.lines()}
        for name, (default, context) in DEFAULTS.items():
            value = values.get(name, default)
            if context == "sighup":
                self.running[name] = value
            elif value != self.running[name]:
                self.waiting.add(name)
            else:
                self.waiting.discard(name)

    def restart(self) -> None:
        self.reload()
        self.running.update({row["name"]: row["setting"] for row in self.lines()})
        self.waiting.clear()

    def settings(self, connection: t.Any, names: t.Sequence[str]) -> dict[str, dict[str, t.Any]]:
        shown = dict(self.running)
        if shown["archive_mode"] == "off":
            shown["archive_command"] = "(disabled)"
        return {
            name: {
                "name": name,
                "setting": shown[name],
                "boot_val": default,
                "context": context,
                "source": "default",
                "pending_restart": name in self.waiting,
            }
            for name, (default, context) in DEFAULTS.items()
        }

    def query(self, connection: t.Any, sql: str, args: t.Any = None) -> list[dict[str, t.Any]]:
        if "pg_reload_conf" in sql:
            self.reload()
            return []
        if "pg_file_settings" in sql:
            return self.lines()
        facts = {"in_recovery": False, "data_directory": str(self.pgdata), "patroni": self.patroni}
        return [{"role": "app", "superuser": self.superuser, **facts}]

    def alter_system(self, connection: t.Any, name: str, value: str | None) -> None:
        self.done.append(f"{name}={value}")
        if value is None:
            self.files["postgresql.auto.conf"].pop(name, None)
        else:
            self.files["postgresql.auto.conf"][name] = value


@pytest.fixture(name="server")
def server_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    server = Server(tmp_path)
    utils = importlib.import_module(f"{PACKAGE}.module_utils._archiving_server")
    for name in ("settings", "query", "alter_system"):
        monkeypatch.setattr(utils, name, getattr(server, name))
    monkeypatch.setattr(utils, "RELOAD_TIMEOUT", 0.0)
    monkeypatch.setattr(importlib.import_module(f"{PACKAGE}.modules.archiving"), "connect", lambda module: None)
    return server


@pytest.fixture(name="archiving")
def archiving_fixture(run_module: Run, server: Server, tmp_path: Path) -> Run:
    """Run the module with a configuration that fits the server."""
    config = tmp_path / "pgbackrest.conf"
    config.write_text(f"[main]\npg1-path={tmp_path}\n", encoding="utf-8")

    def run(check: bool = False, **params: t.Any) -> dict[str, t.Any]:
        commands = [] if params.get("state") == "disabled" else [VERSION]
        return run_module("archiving", {"stanza": "main", "config": str(config), **params}, check, commands=commands)

    return run


def command(tmp_path: Path) -> str:
    return f'pgbackrest --config={tmp_path}/pgbackrest.conf --stanza=main archive-push "%p"'


def test_enable(archiving: Run, server: Server, tmp_path: Path) -> None:
    foretold = archiving(check=True)
    assert server.done == []
    result = archiving()
    assert result == foretold
    assert result["changed"] and result["restart_required"] and result["pending_restart"] == ["archive_mode"]
    assert result["archive_command"] == command(tmp_path)
    assert server.done == [f"archive_command={command(tmp_path)}", "archive_mode=on", "reload"]
    assert result["previous_settings"] == {name: DEFAULTS[name][0] for name in sorted(DEFAULTS)}
    assert result["diff"]["after"] == {**result["settings"], "pending_restart": ["archive_mode"]}
    again = archiving()
    assert not again["changed"] and again["restart_required"] and len(server.done) == 3
    assert again["diff"]["before"] == again["diff"]["after"]
    server.restart()
    assert not archiving()["restart_required"]


def test_disable(archiving: Run, server: Server, tmp_path: Path) -> None:
    server.files["postgresql.conf"] = {"archive_mode": "on", "archive_command": command(tmp_path)}
    server.restart()
    result = archiving(state="disabled")
    assert result["changed"] and result["restart_required"] and result["archive_command"] == ""
    assert server.done[1:] == ["archive_mode=off", "archive_command=", "reload"]
    assert not archiving(state="disabled")["changed"]


@pytest.mark.parametrize("state", ["enabled", "disabled"])
def test_foreign(archiving: Run, server: Server, state: str) -> None:
    server.files["postgresql.conf"] = {"archive_mode": "on", "archive_command": "wal-g wal-push %p"}
    server.restart()
    server.done.clear()
    result = archiving(state=state)
    assert result["failed"] and "«wal-g wal-push %p» in" in result["msg"] and "force: true" in result["msg"]
    assert archiving(check=True, state=state)["msg"] == result["msg"]
    assert server.done == []
    assert archiving(state=state, force=True)["changed"]


def test_reload_alone(archiving: Run, server: Server, tmp_path: Path) -> None:
    server.files["postgresql.conf"] = {"archive_mode": "on", "archive_command": command(tmp_path)}
    result = archiving()
    assert result["changed"] and server.done == ["reload"] and result["restart_required"]
    assert result["diff"]["before"] != result["diff"]["after"]
    assert not archiving()["changed"]


def test_file(archiving: Run, server: Server, tmp_path: Path) -> None:
    path = tmp_path / "archiving.conf"
    server.included = [path]
    server.files["postgresql.auto.conf"] = {"archive_mode": "off"}
    params = {"method": "file", "conf_file": str(path)}
    assert archiving(check=True, **params)["changed"] and not path.exists()
    assert archiving(**params)["changed"]
    assert server.done == ["archive_mode=None", "reload"]
    assert path.read_text().splitlines() == [
        "# Managed by Ansible (pgops.pgbackrest.archiving)",
        f"archive_command = '{command(tmp_path)}'",
        "archive_mode = 'on'",
    ]
    assert not archiving(**params)["changed"]


def test_file_that_the_server_does_not_read(archiving: Run, server: Server, tmp_path: Path) -> None:
    path = tmp_path / "archiving.conf"
    result = archiving(method="file", conf_file=str(path))
    assert "does not read" in result["msg"] and not path.exists() and server.done == []
    path.write_text("archive_timeout = 60\n")
    result = archiving(method="file", conf_file=str(path))
    assert "does not read" in result["msg"] and path.read_text() == "archive_timeout = 60\n"


@pytest.mark.parametrize(
    ("attribute", "value", "sentence"),
    [
        ("superuser", False, "The role app is no superuser"),
        ("patroni", True, "Patroni manages this cluster."),
        ("error", "syntax error", "line 1 is wrong (syntax error)"),
    ],
)
def test_server_that_cannot_be_changed(
    archiving: Run, server: Server, attribute: str, value: t.Any, sentence: str
) -> None:
    server.files["postgresql.conf"] = {"archive_timeout": "0"}
    setattr(server, attribute, value)
    result = archiving()
    assert result["failed"] and sentence in result["msg"] and server.done == []


def test_patroni_with_what_is_right_already(archiving: Run, server: Server, tmp_path: Path) -> None:
    server.files["postgresql.conf"] = {"archive_mode": "on", "archive_command": command(tmp_path)}
    server.restart()
    server.patroni = True
    assert not archiving().get("failed")


def test_reload_without_effect(archiving: Run, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "reload", lambda: None)
    result = archiving()
    assert result["failed"] and "PostgreSQL was reloaded, but archive_mode is still 'off'" in result["msg"]


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"archive_timeout": -1}, "archive_timeout must be a number of seconds"),
        ({"executable": "a\nb"}, "executable must not hold control characters"),
        ({"method": "file", "conf_file": "a.conf"}, "conf_file must be an absolute path"),
        ({"method": "file", "conf_file": "/nonexistent/a.conf"}, "does not exist"),
        ({"method": "file"}, "conf_file"),
        ({"config_path": "/etc/pgbackrest"}, "mutually exclusive"),
    ],
)
def test_bad_input(run_module: Run, server: Server, params: dict[str, t.Any], sentence: str) -> None:
    result = run_module("archiving", {"stanza": "main", "config": "/etc/a.conf", **params})
    assert result["failed"] and sentence in result["msg"] and server.done == []


def test_stanza_is_not_configured(archiving: Run) -> None:
    assert "The stanza other is not in pgBackRest's configuration" in archiving(stanza="other")["msg"]


def test_stanza_is_not_configured_yet_in_check_mode(archiving: Run, server: Server) -> None:
    result = archiving(stanza="other", check=True)
    assert result["restart_required"] and server.done == []
    server.files["postgresql.conf"] = {"archive_mode": "on", "archive_command": "wal-g wal-push %p"}
    server.restart()
    assert "«wal-g wal-push %p»" in archiving(stanza="other", check=True)["msg"]


def test_stanza_of_another_directory_is_refused_in_check_mode(archiving: Run, server: Server, tmp_path: Path) -> None:
    server.pgdata = tmp_path / "other"
    assert "pg1-path" in archiving(check=True)["msg"]


def test_program_is_too_old(run_module: Run, server: Server) -> None:
    old = (["pgbackrest", "version"], 0, "pgBackRest 2.44\n", "")
    result = run_module("archiving", {"stanza": "main"}, commands=[old])
    assert "needs 2.45 or newer" in result["msg"] and server.done == []
