# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures of the unit tests: whole modules run in this process, only the programs they start are scripted."""

from __future__ import annotations

import importlib
import json
import typing as t
from pathlib import Path

import pytest
from ansible.module_utils import basic

PACKAGE = "ansible_collections.pgops.pgbackrest.plugins"
Command = tuple[list[str], int, str, str]


class Finished(Exception):
    """A module ended; ``result`` is what it returned."""

    def __init__(self, result: dict[str, t.Any]) -> None:
        super().__init__(result.get("msg", ""))
        self.result = result


@pytest.fixture(name="fixture_text")
def fixture_text_fixture() -> t.Callable[[str], str]:
    """Text of a recorded output below ``tests/unit/fixtures``."""
    directory = Path(__file__).parent / "fixtures"
    return lambda name: (directory / name).read_text(encoding="utf-8")


@pytest.fixture(name="run_module")
def run_module_fixture(monkeypatch: pytest.MonkeyPatch) -> t.Callable[..., dict[str, t.Any]]:
    """Run a module by name; returns its result, with ``failed`` as Ansible sets it.

    ``commands`` scripts the programs: (argv, rc, stdout, stderr) in the order in which they must be started. An
    executable word ``pgbackrest`` stands for the program wherever it is. All must have run at the end.
    """

    def run(
        name: str,
        params: dict[str, t.Any],
        check: bool = False,
        diff: bool = True,
        commands: t.Sequence[Command] = (),
        uid: int = 1000,
    ) -> dict[str, t.Any]:
        expected = list(commands)
        cli = importlib.import_module(f"{PACKAGE}.module_utils._cli")

        def next_output(argv: t.Sequence[str]) -> tuple[int, str, str]:
            assert expected, f"unexpected command: {argv}"
            wanted, rc, stdout, stderr = expected.pop(0)
            assert list(argv) == wanted
            return rc, stdout, stderr

        def fake_stream(
            argv: t.Sequence[str], environment: t.Any, on_line: t.Callable[[str], None], keep_open: t.Any = ()
        ) -> int:
            rc, stdout, dummy = next_output(argv)
            for line in stdout.splitlines():
                on_line(line)
            return rc

        def fake_pipe(
            argv: t.Sequence[str], environment: t.Any, take: t.Callable[[t.Iterator[str]], None]
        ) -> tuple[int, str]:
            rc, stdout, stderr = next_output(argv)
            take(iter([stdout]))
            return rc, stderr

        def finish(module: t.Any, **result: t.Any) -> t.NoReturn:
            raise Finished(result)

        def fail(module: t.Any, msg: str, **result: t.Any) -> t.NoReturn:
            raise Finished({"msg": msg, "failed": True, **result})

        internal = {"_ansible_check_mode": check, "_ansible_diff": diff, "_ansible_remote_tmp": "/tmp"}
        arguments = json.dumps({"ANSIBLE_MODULE_ARGS": {**params, **internal}})
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", arguments.encode())
        monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
        monkeypatch.setattr(basic.AnsibleModule, "run_command", lambda module, argv, **kwargs: next_output(argv))
        monkeypatch.setattr(basic.AnsibleModule, "get_bin_path", lambda module, arg, required=False, opt_dirs=None: arg)
        monkeypatch.setattr(basic.AnsibleModule, "exit_json", finish)
        monkeypatch.setattr(basic.AnsibleModule, "fail_json", fail)
        monkeypatch.setattr(cli, "stream", fake_stream)
        monkeypatch.setattr(cli, "pipe", fake_pipe)
        monkeypatch.setattr(cli.os, "geteuid", lambda: uid)
        monkeypatch.setattr(cli.time, "sleep", lambda seconds: None)
        module = importlib.import_module(f"{PACKAGE}.modules.{name}")
        with pytest.raises(Finished) as finished:
            module.main()
        assert not expected, f"not started: {[argv for argv, *dummy in expected]}"
        return finished.value.result

    return run
