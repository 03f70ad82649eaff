# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module replication on a server that exists in memory; real ones are in the integration tests."""

from __future__ import annotations

import importlib
import re
import types
import typing as t
from pathlib import Path

import pytest

PACKAGE = "ansible_collections.pgops.pgbackrest.plugins"
Run = t.Callable[..., dict[str, t.Any]]
PASSWORD = "it's a secret"


class Server:
    """PostgreSQL as far as the module sees it."""

    def __init__(self, root: Path) -> None:
        self.hba = root / "pg_hba.conf"
        self.hba.write_text("local all all peer\n")
        self.values = {
            "wal_level": "replica",
            "max_wal_senders": "10",
            "max_replication_slots": "10",
            "listen_addresses": "*",
            "hba_file": str(self.hba),
            "port": "5432",
            "max_connections": "100",
        }
        self.role: dict[str, t.Any] | None = None
        self.slots: dict[str, bool] = {}
        self.superuser, self.in_recovery, self.refuses_hba = True, False, False
        self.said: list[str] = []
        self.loads = 0

    def query(self, connection: t.Any, sql: str, args: t.Any = None) -> list[dict[str, t.Any]]:
        self.said.append(sql)
        for words, answer in (
            ("is_superuser", self.login),
            ("pg_control_system", self.identity),
            ("FROM pg_settings", self.settings),
            ("pg_hba_file_rules", self.rules),
            ("pg_authid", self.roles),
            ("pg_conf_load_time", self.load),
            ("FROM pg_replication_slots", self.slot_rows),
            ("set_config", list),
        ):
            if words in sql:
                return answer()
        self.write(sql, args)
        return []

    def write(self, sql: str, args: t.Any) -> None:
        words = sql.split()
        if "pg_drop_replication_slot" in sql:
            del self.slots[args[0]]
        elif "pg_create_physical_replication_slot" in sql:
            self.slots[args[0]] = False
        else:
            assert words[1:4] == ["ROLE", '"replicator"', "WITH"], sql
            before = self.role or {"rolcanlogin": False, "replication": False, "rolpassword": None}
            assert words[0] == ("ALTER" if self.role else "CREATE")
            self.role = {
                "rolcanlogin": before["rolcanlogin"] or "LOGIN" in words,
                "replication": before["replication"] or "REPLICATION" in words,
                "rolpassword": args[0] if args else before["rolpassword"],
                "valid_until": None,
                "groups": [],
            }

    def login(self) -> list[dict[str, t.Any]]:
        return [{"role": "app", "superuser": self.superuser}]

    def identity(self) -> list[dict[str, t.Any]]:
        return [{"system_identifier": 7711103432488110519, "in_recovery": self.in_recovery, "timeline": 2}]

    def settings(self) -> list[dict[str, t.Any]]:
        return [{"name": n, "value": v, "source": "default", "sourcefile": None} for n, v in self.values.items()]

    def roles(self) -> list[dict[str, t.Any]]:
        return [self.role] if self.role else []

    def load(self) -> list[dict[str, t.Any]]:
        self.loads += 1
        return [{"time": self.loads}]

    def slot_rows(self) -> list[dict[str, t.Any]]:
        return [{"name": name, "active": active} for name, active in sorted(self.slots.items())]

    def rules(self) -> list[dict[str, t.Any]]:
        rows = []
        for number, line in enumerate(self.hba.read_text().splitlines(), 1):
            words = line.split()
            if words[:1] == ["host"]:
                address, mask = words[3].split("/")
                error = "wrong" if self.refuses_hba else None
                row = {"line_number": number, "type": "host", "database": [words[1]], "user_name": [words[2]]}
                netmask = {"32": "255.255.255.255", "24": "255.255.255.0"}[mask]
                rows.append({**row, "address": address, "netmask": netmask, "auth_method": words[4], "error": error})
        return rows

    def state(self) -> tuple[t.Any, ...]:
        return (self.hba.read_text(), dict(self.role or {}), dict(self.slots), self.loads)


@pytest.fixture(name="server")
def server_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    server = Server(tmp_path)
    utils = importlib.import_module(f"{PACKAGE}.module_utils._replication_server")
    monkeypatch.setattr(utils, "query", server.query)
    connection = types.SimpleNamespace(close=lambda: server.said.append("closed"))
    module = importlib.import_module(f"{PACKAGE}.modules.replication")
    monkeypatch.setattr(module, "connect", lambda module: connection)
    return server


@pytest.fixture(name="replication")
def replication_fixture(run_module: Run, server: Server) -> Run:
    def run(check: bool = False, **params: t.Any) -> dict[str, t.Any]:
        result = run_module("replication", {"user": "replicator", "password": PASSWORD, **params}, check)
        assert PASSWORD not in str(result) and "SCRAM" not in str(result)
        return result

    return run


WANTED: dict[str, t.Any] = {"create_user": True, "addresses": ["10.0.0.1", "10.0.1.0/24"], "slots": {"present": ["b"]}}


def test_from_nothing(replication: Run, server: Server) -> None:
    before = server.state()
    foretold = replication(check=True, **WANTED)
    assert server.state() == before
    result = replication(**WANTED)
    assert result["changed"] and {**result, "slots": 0} == {**foretold, "slots": 0}
    assert [slot["name"] for slot in result["slots"]] == [slot["name"] for slot in foretold["slots"]] == ["b"]
    assert [line.split()[3] for line in result["lines"]] == ["10.0.0.1/32", "10.0.1.0/24"]
    assert result["diff"]["before"] == {"user": None, "slots": [], "pg_hba": []}
    assert result["diff"]["after"]["user"] == {"login": True, "replication": True, "password": "right"}
    assert (result["system_identifier"], result["timeline"], result["port"]) == ("7711103432488110519", 2, 5432)
    assert result["settings"] == {"max_connections": "100", "max_wal_senders": "10"}
    after = server.state()
    assert server.role and server.role["rolpassword"].startswith("SCRAM-SHA-256$4096:")
    again = replication(**WANTED)
    assert not again["changed"] and server.state() == after
    assert again["diff"]["before"] == again["diff"]["after"]


def test_the_log_is_quiet_before_the_role_is_written(replication: Run, server: Server) -> None:
    replication(**WANTED)
    quiet = [number for number, sql in enumerate(server.said) if "set_config" in sql]
    role = next(number for number, sql in enumerate(server.said) if "CREATE ROLE" in sql)
    assert len(quiet) == 7 and max(quiet) < role
    assert server.said[role] == 'CREATE ROLE "replicator" WITH LOGIN REPLICATION PASSWORD %s'
    assert server.said[-1] == "closed"


def test_what_is_right_already_is_not_touched(replication: Run, server: Server) -> None:
    replication(**WANTED)
    kept = server.role
    server.hba.write_text("host replication all 10.0.0.0/24 md5\nhost replication all 10.0.1.0/24 cert\n")
    server.said.clear()
    assert not replication(**WANTED)["changed"] and server.role is kept
    assert not any(words in sql for sql in server.said for words in ("ROLE", "pg_conf_load_time", "set_config"))


def test_slots(replication: Run, server: Server) -> None:
    server.role = {"rolcanlogin": 1, "replication": 1, "rolpassword": None, "valid_until": None, "groups": []}
    server.slots = {"old": False, "busy": True, "kept": False}
    result = replication(password=None, slots={"present": ["kept"], "absent": ["old", "busy", "never"]})
    assert result["changed"] and server.slots == {"busy": True, "kept": False}
    assert not replication(password=None, slots={"absent": ["busy"]})["changed"]


def test_a_line_that_the_server_does_not_take_is_put_back(replication: Run, server: Server) -> None:
    server.refuses_hba = True
    before = server.hba.read_text()
    result = replication(**WANTED)
    assert result["failed"] and "does not accept line" in result["msg"] and server.hba.read_text() == before


def test_a_standby_gets_no_role(replication: Run, server: Server) -> None:
    server.in_recovery = True
    result = replication(**WANTED)
    assert [problem["code"] for problem in result["problems"]] == ["user_missing"]
    assert "Do so on the primary, this server is a standby." in result["msg"]


def test_problems_and_no_superuser(replication: Run, server: Server) -> None:
    server.values.update(wal_level="minimal", max_wal_senders="0")
    before = server.state()
    for check in (True, False):
        result = replication(check, **WANTED)
        assert [problem["code"] for problem in result["problems"]] == ["wal_level", "max_wal_senders"]
    assert server.state() == before
    server.superuser = False
    assert [problem["code"] for problem in replication(**WANTED)["problems"]] == ["superuser"]


def test_names_are_looked_up(replication: Run, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    utils = importlib.import_module(f"{PACKAGE}.module_utils._replication_server")

    def look_up(name: str, *dummy: t.Any, **more: t.Any) -> list[t.Any]:
        if name == "gone":
            raise OSError(-2, "Name or service not known")
        return [(2, 1, 6, "", (address, 0)) for address in ("10.0.0.7", "10.0.0.7", "fe80::1%eth0")]

    monkeypatch.setattr(utils.socket, "getaddrinfo", look_up)
    given = ["db2", ".example.org", "10.0.0.7", "samenet", "all"]
    assert utils.resolve(given) == ["10.0.0.7", "fe80::1", ".example.org", "samenet", "all"]
    result = replication(create_user=True, addresses=["gone", "10.0.0.1"])
    assert [problem["code"] for problem in result["problems"]] == ["address_unknown"]
    assert "does not know the address of gone: Name or service not known." in result["msg"]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"user": ""}, "must be the name of a role"),
        ({"user": "public"}, "keeps the name public for itself"),
        ({"user": 'a"b'}, "without double quotes"),
        ({"slots": {"present": ["Db2"]}}, "'Db2' is no name of a slot"),
        ({"slots": {"absent": ["a" * 64]}}, "is no name of a slot"),
        ({"slots": {"present": ["a"], "absent": ["a"]}}, "named more than once"),
        ({"addresses": ["10.0.0.1 trust"]}, "is no address"),
        ({"addresses": [""]}, "is no address"),
    ],
)
def test_bad_input(replication: Run, server: Server, wrong: dict[str, t.Any], words: str) -> None:
    result = replication(**wrong)
    assert result["failed"] and words in result["msg"] and server.said == []


def test_the_documentation_names_every_problem() -> None:
    root = Path(__file__).resolve().parents[4]
    sources = [
        (root / f"plugins/module_utils/{name}.py").read_text() for name in ("_replication", "_replication_server")
    ]
    made = {code for text in sources for code in re.findall(r'Problem\(\s*"(\w+)"', text)}
    documented = (root / "plugins/modules/replication.py").read_text()
    named = re.search(r"A C\(code\) is one of (.*?)\.\n", documented, re.DOTALL)
    assert named and set(re.findall(r"V\((\w+)\)", named.group(1))) == made
