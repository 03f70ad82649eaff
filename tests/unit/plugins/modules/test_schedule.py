# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module schedule: what it writes and every command it starts, in directories of the test."""

from __future__ import annotations

import getpass
import os
import stat
import sys
import typing as t
from pathlib import Path

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils import (
    _schedule_files,
    _schedule_plan,
    _schedule_systemd,
)
from ansible_collections.pgops.pgbackrest.plugins.modules import schedule

Run = t.Callable[..., dict[str, t.Any]]

USER = "nobody" if os.geteuid() == 0 else getpass.getuser()  # root is refused
ENTRIES: list[dict[str, t.Any]] = [
    {"type": "full", "calendar": "Sun 02:00"},
    {"type": "diff", "calendar": "Mon..Sat 02:00", "repo": [2]},
]
PARAMS: dict[str, t.Any] = {"stanza": "main", "entries": ENTRIES, "user": USER}
FULL, DIFF = "pgbackrest-main-full", "pgbackrest-main-diff-repo2"
UNITS = [f"{FULL}.service", f"{FULL}.timer", f"{DIFF}.service", f"{DIFF}.timer"]
ANALYZE = (["systemd-analyze", "calendar", "--", "Sun 02:00", "Mon..Sat 02:00"], 0, "", "")
RELOAD = (["systemctl", "daemon-reload"], 0, "", "")
START = (["systemctl", "enable", "--now", "--", f"{FULL}.timer", f"{DIFF}.timer"], 0, "", "")
GOOD = {"LoadState": "loaded", "ActiveState": "active", "UnitFileState": "enabled", "NeedDaemonReload": "no"}
NONE = {"LoadState": "not-found", "ActiveState": "inactive", "UnitFileState": ""}


class Places(t.NamedTuple):
    """Where everything is in a test."""

    systemd: Path
    cron: Path
    state: Path
    stamps: Path
    runner: Path

    def files(self) -> dict[str, str]:
        """All files that stand there, with their texts."""
        found = [path for path in self.systemd.parent.rglob("*") if path.is_file()]
        return {path.name: path.read_text(encoding="utf-8") for path in found}


@pytest.fixture(name="places")
def places_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """A host with systemd and cron."""
    names = ("systemd", "cron.d", "state", "stamps", "libexec/scheduled-backup")
    places = Places(*(tmp_path / name for name in names))
    for directory in places[:2]:
        directory.mkdir()
    (tmp_path / "running").mkdir()
    for module in (_schedule_files, _schedule_plan):
        monkeypatch.setattr(module, "SYSTEMD_DIRECTORY", str(places.systemd))
    for module in (_schedule_files, schedule):
        monkeypatch.setattr(module, "CRON_DIRECTORY", str(places.cron))
        monkeypatch.setattr(module, "STATE_DIRECTORY", str(places.state))
    monkeypatch.setattr(_schedule_files, "STAMP_DIRECTORY", str(places.stamps))
    monkeypatch.setattr(_schedule_files, "RUNNER", str(places.runner))
    monkeypatch.setattr(_schedule_systemd, "RUNNING", str(tmp_path / "running"))
    monkeypatch.setattr(schedule, "has_cron_daemon", lambda: True)
    return places


@pytest.fixture(name="without_systemd")
def without_systemd_fixture(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_schedule_systemd, "RUNNING", str(places.systemd / "nothing"))


def show_named(units: dict[str, dict[str, str]]) -> t.Any:
    """The question for the properties of units, with its answer."""
    argv = ["systemctl", "show", f"--property={','.join(_schedule_systemd.PROPERTIES)}", "--", *units]
    blocks = ["\n".join(f"{key}={value}" for key, value in {**v, "Id": name}.items()) for name, v in units.items()]
    return (argv, 0, "\n\n".join(blocks) + "\n", "")


def all_units(properties: dict[str, str]) -> t.Any:
    return show_named(dict.fromkeys(UNITS, properties))


@pytest.fixture(name="installed")
def installed_fixture(run_module: Run, places: Places) -> Places:
    """A host on which the schedule stands."""
    commands = [all_units(NONE), ANALYZE, RELOAD, START]
    assert run_module("schedule", PARAMS, commands=commands, uid=0)["changed"] is True
    return places


def test_installs_everything(run_module: Run, places: Places) -> None:
    result = run_module("schedule", PARAMS, commands=[all_units(NONE), ANALYZE, RELOAD, START], uid=0)
    assert sorted(places.files()) == sorted([*UNITS, "scheduled-backup"])
    assert stat.S_IMODE(places.runner.stat().st_mode) == 0o755
    assert stat.S_IMODE((places.systemd / f"{FULL}.timer").stat().st_mode) == 0o644
    assert (places.state / "main").owner() == USER
    assert (result["scheduler"], [one["timer"] for one in result["schedules"]]) == (
        "systemd", [f"{FULL}.timer", f"{DIFF}.timer"],
    )  # fmt: skip
    headers = [diff["before_header"] for diff in result["diff"]]
    assert headers == [
        str(places.runner),
        *(str(places.systemd / unit) for unit in UNITS),
        str(places.state / "main"),
        f"{FULL}.timer",
        f"{DIFF}.timer",
    ]
    assert "sha256" in result["diff"][0]["after"]


def test_the_program_that_is_installed_runs(installed: Places) -> None:
    text = installed.runner.read_text(encoding="utf-8")
    interpreter = text.splitlines()[0]
    assert interpreter.startswith("#!/") and interpreter.endswith(" -I")
    assert os.path.realpath(interpreter[2:-3]) == os.path.realpath(sys.executable)
    compile(text, "scheduled-backup", "exec")
    assert text.splitlines()[1] == "# Managed by Ansible (pgops.pgbackrest.schedule)"


def test_one_question_when_nothing_changes(run_module: Run, installed: Places) -> None:
    before = installed.files()
    result = run_module("schedule", PARAMS, commands=[all_units(GOOD)], uid=0)
    assert result["changed"] is False and result["diff"] == []
    assert installed.files() == before


def test_check_mode_writes_nothing(run_module: Run, places: Places) -> None:
    result = run_module("schedule", PARAMS, check=True, commands=[all_units(NONE), ANALYZE], uid=0)
    assert result["changed"] is True and len(result["diff"]) == 8
    assert places.files() == {} and not places.state.exists()


def test_check_mode_of_a_removal_writes_nothing(run_module: Run, installed: Places) -> None:
    before = installed.files()
    commands = [show_named(dict.fromkeys(sorted(UNITS), GOOD))]
    params = {**PARAMS, "state": "absent"}
    assert run_module("schedule", params, check=True, commands=commands, uid=0)["changed"] is True
    assert installed.files() == before


def test_a_new_calendar(run_module: Run, installed: Places) -> None:
    params = {**PARAMS, "entries": [{**ENTRIES[0], "calendar": "Sat  03:00"}, ENTRIES[1]]}
    commands = [
        all_units(GOOD),
        (["systemd-analyze", "calendar", "--", "Sat 03:00", "Mon..Sat 02:00"], 0, "", ""),
        RELOAD,
        (["systemctl", "restart", "--", f"{FULL}.timer"], 0, "", ""),
    ]
    assert run_module("schedule", params, commands=commands, uid=0)["changed"] is True
    assert "OnCalendar=Sat 03:00\n" in installed.files()[f"{FULL}.timer"]


def test_only_what_is_not_right_is_changed(run_module: Run, installed: Places) -> None:
    units = dict.fromkeys(UNITS, GOOD)
    units[f"{DIFF}.timer"] = {**GOOD, "ActiveState": "inactive"}
    units[f"{FULL}.service"] = {**GOOD, "NeedDaemonReload": "yes"}
    (installed.systemd / f"{FULL}.service").chmod(0o666)
    commands = [show_named(units), RELOAD, (["systemctl", "enable", "--now", "--", f"{DIFF}.timer"], 0, "", "")]
    result = run_module("schedule", PARAMS, commands=commands, uid=0)
    assert result["changed"] is True
    assert stat.S_IMODE((installed.systemd / f"{FULL}.service").stat().st_mode) == 0o644
    assert [diff["before_header"] for diff in result["diff"]] == [
        str(installed.systemd / f"{FULL}.service"), f"{DIFF}.timer",
    ]  # fmt: skip


def test_one_schedule_less(run_module: Run, installed: Places) -> None:
    installed.stamps.mkdir()
    (installed.stamps / f"stamp-{DIFF}.timer").touch()
    for name in ("full", "diff-repo2"):
        (installed.state / "main" / f"{name}.json").write_text("{}", encoding="utf-8")
    commands = [
        show_named({**dict.fromkeys(UNITS, GOOD), f"{DIFF}.service": {**GOOD, "ActiveState": "failed"}}),
        (["systemctl", "disable", "--now", "--", f"{DIFF}.timer"], 0, "", ""),
        RELOAD,
        (["systemctl", "reset-failed", "--", f"{DIFF}.service"], 0, "", ""),
    ]
    assert run_module("schedule", {**PARAMS, "entries": ENTRIES[:1]}, commands=commands, uid=0)["changed"] is True
    assert sorted(installed.files()) == ["full.json", f"{FULL}.service", f"{FULL}.timer", "scheduled-backup"]


def test_removes_everything_but_what_others_need(run_module: Run, installed: Places) -> None:
    other = {**PARAMS, "stanza": "other", "entries": ENTRIES[:1]}
    units = [f"pgbackrest-other-full.{kind}" for kind in ("service", "timer")]
    commands = [
        show_named(dict.fromkeys(units, NONE)),
        (["systemd-analyze", "calendar", "--", "Sun 02:00"], 0, "", ""),
        RELOAD,
        (["systemctl", "enable", "--now", "--", units[1]], 0, "", ""),
    ]
    run_module("schedule", other, commands=commands, uid=0)
    commands = [
        show_named(dict.fromkeys(sorted(UNITS), GOOD)),
        (["systemctl", "disable", "--now", "--", f"{DIFF}.timer", f"{FULL}.timer"], 0, "", ""),
        RELOAD,
    ]
    absent = {"stanza": "main", "state": "absent"}
    assert run_module("schedule", absent, commands=commands, uid=0)["changed"] is True
    assert sorted(installed.files()) == [*units, "scheduled-backup"]
    assert os.listdir(installed.state) == ["other"]
    assert run_module("schedule", absent, uid=0)["changed"] is False
    commands = [
        show_named(dict.fromkeys(units, GOOD)),
        (["systemctl", "disable", "--now", "--", units[1]], 0, "", ""),
        RELOAD,
    ]
    assert run_module("schedule", {"stanza": "other"}, commands=commands, uid=0)["changed"] is True
    assert installed.files() == {}


def test_from_systemd_to_cron_and_back(run_module: Run, installed: Places) -> None:
    params = {**PARAMS, "scheduler": "cron", "splay": "0"}
    commands = [
        show_named(dict.fromkeys(sorted(UNITS), GOOD)),
        (["systemctl", "disable", "--now", "--", f"{DIFF}.timer", f"{FULL}.timer"], 0, "", ""),
        RELOAD,
    ]
    result = run_module("schedule", params, commands=commands, uid=0)
    assert result["changed"] is True
    assert [one["schedule"] for one in result["schedules"]] == [["0 2 * * 0"], ["0 2 * * 1-6"]]
    assert sorted(installed.files()) == ["pgbackrest-main", "scheduled-backup"]
    assert run_module("schedule", params, uid=0)["changed"] is False
    commands = [all_units(NONE), ANALYZE, RELOAD, START]
    assert run_module("schedule", PARAMS, commands=commands, uid=0)["changed"] is True
    assert sorted(installed.files()) == sorted([*UNITS, "scheduled-backup"])


@pytest.mark.usefixtures("without_systemd")
def test_cron_where_there_is_no_systemd(run_module: Run, places: Places) -> None:
    result = run_module("schedule", {**PARAMS, "local_cluster": {"port": 5433}}, uid=0)
    assert (result["changed"], result["scheduler"]) == (True, "cron")
    text = places.files()["pgbackrest-main"]
    assert f"\n0 2 * * 0 {USER} nice -n 10 " in text and "--stanza=main --type=full --port=5433 --quiet" in text
    assert stat.S_IMODE((places.cron / "pgbackrest-main").stat().st_mode) == 0o644
    assert run_module("schedule", {**PARAMS, "local_cluster": {"port": 5433}}, uid=0)["changed"] is False


def test_options_reach_the_program(run_module: Run, places: Places) -> None:
    params = {
        **PARAMS,
        "entries": ENTRIES[:1],
        "splay": "2h",
        "on_failure": "alert",
        "executable": "/opt/pgbackrest",
        "config_path": "/etc/my dir",
        "local_cluster": {"port": 5433, "socket_directory": "/run/x", "user": "u", "database": "d"},
    }
    units = [f"{FULL}.service", f"{FULL}.timer"]
    commands = [
        show_named({**dict.fromkeys(units, NONE), "alert.service": GOOD}),
        (["systemd-analyze", "calendar", "--", "Sun 02:00"], 0, "", ""),
        RELOAD,
        (["systemctl", "enable", "--now", "--", units[1]], 0, "", ""),
    ]
    run_module("schedule", params, commands=commands, uid=0)
    text = places.files()[units[0]]
    assert "\nOnFailure=alert.service\n" in text
    assert (
        'scheduled-backup --stanza=main --type=full --executable=/opt/pgbackrest "--config-path=/etc/my dir" '
        "--port=5433 --socket-directory=/run/x --login-user=u --login-db=d\n"
    ) in text
    assert "\nRandomizedDelaySec=7200\n" in places.files()[units[1]]


def test_a_calendar_that_systemd_does_not_understand(run_module: Run, places: Places) -> None:
    params = {**PARAMS, "entries": [*ENTRIES, {"type": "diff", "calendar": "Sux 02:00", "repo": [2]}]}
    bad = "Failed to parse calendar specification 'Sux 02:00': Invalid argument\n"
    commands = [
        all_units(NONE),
        (["systemd-analyze", "calendar", "--", "Sun 02:00", "Mon..Sat 02:00", "Sux 02:00"], 1, "", bad),
        (["systemd-analyze", "calendar", "--", "Sun 02:00"], 0, "", ""),
        (["systemd-analyze", "calendar", "--", "Mon..Sat 02:00"], 0, "", ""),
        (["systemd-analyze", "calendar", "--", "Sux 02:00"], 1, "", bad),
    ]
    for check in (True, False):
        result = run_module("schedule", params, check=check, commands=commands, uid=0)
        assert result["failed"] is True
        assert result["problems"] == [
            f"Entry 3 (diff): systemd does not understand calendar 'Sux 02:00': {bad.strip()}."
        ]
    assert places.files() == {}


def write_foreign(path: Path) -> None:
    path.write_text("[Timer]\nOnCalendar=daily\n", encoding="utf-8")


def link(path: Path) -> None:
    path.symlink_to("/dev/null")


def write_similar(path: Path) -> None:
    header = '# {"stanza": "other"}\n'
    path.write_text(f"# Managed by Ansible (pgops.pgbackrest.schedule)\n{header}", encoding="utf-8")


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (write_foreign, "was written by somebody else: move what it does into entries, then remove it."),
        (link, "is a link or a directory: remove it (systemctl unmask, where it masks the unit)."),
        (write_similar, "belongs to stanza other, whose name is too similar: rename a stanza."),
    ],
)
def test_files_of_others_are_left_alone(
    run_module: Run, places: Places, make: t.Callable[[Path], None], problem: str
) -> None:
    path = places.systemd / f"{DIFF}.timer"
    make(path)
    before = path.lstat()
    result = run_module("schedule", PARAMS, uid=0)
    assert result["problems"] == [f"{path} {problem}"]
    assert path.lstat() == before and os.listdir(places.systemd) == [path.name]


def test_files_of_others_survive_a_removal(run_module: Run, places: Places) -> None:
    for name in ("pgbackrest-main-incr.timer", "pgbackrest.service", "pgbackrest-main-old.service"):
        write_foreign(places.systemd / name)
    write_foreign(places.cron / "pgbackrest-main")
    assert run_module("schedule", {"stanza": "main", "state": "absent"}, uid=0)["changed"] is False
    assert len(places.files()) == 4


@pytest.mark.parametrize(
    ("properties", "problem"),
    [
        ({"LoadState": "loaded", "FragmentPath": f"/usr/lib/systemd/system/{FULL}.service"}, "remove it first"),
        ({"LoadState": "masked", "FragmentPath": f"/run/systemd/system/{FULL}.service"}, "systemctl unmask --runtime"),
    ],
)
def test_units_from_elsewhere(run_module: Run, places: Places, properties: dict[str, str], problem: str) -> None:
    units = dict.fromkeys(UNITS, NONE)
    units[f"{FULL}.service"] = {**NONE, **properties}
    result = run_module("schedule", PARAMS, commands=[show_named(units)], uid=0)
    assert problem in result["problems"][0] and places.files() == {}


def test_an_unknown_unit_for_failures(run_module: Run, places: Places) -> None:
    params = {**PARAMS, "on_failure": "nope"}
    shown = show_named({**dict.fromkeys(UNITS, NONE), "nope.service": NONE})
    result = run_module("schedule", params, commands=[shown], uid=0)
    assert result["problems"][0].startswith("systemd does not know nope.service") and places.files() == {}
    assert run_module("schedule", params, check=True, commands=[shown, ANALYZE], uid=0)["changed"] is True


def test_systemd_says_no(run_module: Run, places: Places) -> None:
    commands = [all_units(NONE), ANALYZE, RELOAD, (START[0], 1, "", "Failed to enable unit: no.\n")]
    result = run_module("schedule", PARAMS, commands=commands, uid=0)
    assert result["msg"] == (
        "The backups of stanza main could not be scheduled. systemctl enable failed with exit status 1: "
        "Failed to enable unit: no."
    )
    assert places.files()


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ({"stanza": "a/b"}, "stanza 'a/b' cannot be part of the name of a file"),
        ({"splay": "soon"}, "splay 'soon' is not a time: write a whole number with s, m, h, d or w"),
        ({"user": "root"}, "Backups must not run as root"),
        ({"user": "no-such-user"}, "There is no user no-such-user on this host"),
        ({"on_failure": "a b"}, "on_failure 'a b.service' is no name of a unit"),
        ({"scheduler": "cron", "on_failure": "alert"}, "on_failure names a unit of systemd, and cron cannot"),
        ({"entries": [{"type": "full", "cron": "@daily"}]}, "Entry 1 (full): systemd needs calendar"),
    ],
)
def test_refused_before_anything_is_asked(
    run_module: Run, places: Places, params: dict[str, t.Any], problem: str
) -> None:
    result = run_module("schedule", {**PARAMS, **params}, uid=0)
    assert len(result["problems"]) == 1 and result["problems"][0].startswith(problem)
    assert places.files() == {}


def test_only_root(run_module: Run, places: Places) -> None:
    assert "add become: true" in run_module("schedule", PARAMS, uid=1000)["msg"]
    assert places.files() == {}


@pytest.mark.usefixtures("without_systemd")
def test_no_systemd_and_no_cron(run_module: Run, places: Places) -> None:
    assert "systemd does not run" in run_module("schedule", {**PARAMS, "scheduler": "systemd"}, uid=0)["msg"]
    places.cron.rmdir()
    assert "install cron" in run_module("schedule", PARAMS, uid=0)["msg"]
    assert run_module("schedule", PARAMS, check=True, uid=0)["changed"] is True
