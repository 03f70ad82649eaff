# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module config with the real program, each version that is there."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import typing as t
from pathlib import Path

import pytest

from .conftest import USER, Programs, as_user

Run = t.Callable[..., dict[str, t.Any]]
Hash = t.Callable[[t.Any], str]

pytestmark = pytest.mark.matrix

GLOBAL = {
    "repo1-path": "/tmp/pgops-no-such-repository",
    "repo1-cipher-type": "aes-256-cbc",
    "repo1-cipher-pass": "correct-horse # battery=staple",
    "repo1-retention-full": 2,
    "repo1-bundle": True,
    "repo2-type": "s3",
    "repo2-s3-bucket": "bucket",
    "repo2-s3-endpoint": "s3.example.com",
    "repo2-s3-region": "eu-1",
    "repo2-s3-key": "access-key-1",
    "repo2-s3-key-secret": "access-secret-1",
    "repo2-storage-verify-tls": False,
    "compress-type": "zst",
    "compress-level": 7,
    "archive-async": True,
    "archive-get-queue-max": "1GiB",
    "spool-path": "/tmp",
    "buffer-size": "4MiB",
    "log-level-console": "off",
    "db-timeout": 600,
    "exclude": ["junk", "a = b"],
    "start-fast": True,
    "tls-server-address": "*",
    "tls-server-auth": {"client-1": "main", "client-2": "*"},
    "tls-server-ca-file": "/etc/ca.crt",
    "tls-server-cert-file": "/etc/server.crt",
    "tls-server-key-file": "/etc/server.key",
}
OPTIONS: dict[str, t.Any] = {
    "global": GLOBAL,
    "global:archive-push": {"process-max": 4},
    "main": {
        "pg1-path": "/tmp/pg main",
        "pg1-port": 5433,
        "recovery-option": {"primary_conninfo": "host=a password=conn-secret", "primary_slot_name": "s"},
        "tablespace-map": {"ts1": "/tmp/ts 1"},
    },
    "main:restore": {"delta": True},
}
SECRETS = ("correct-horse", "access-key-1", "access-secret-1", "conn-secret")


@pytest.fixture(name="params")
def params_fixture(root_directory: Path, programs: Programs) -> dict[str, t.Any]:
    directory = root_directory / "etc"
    directory.mkdir()
    if os.geteuid() == 0:
        shutil.chown(directory, USER)
    return {"path": str(directory / "pgbackrest.conf"), "options": OPTIONS, "executable": programs.executable}


def test_check_mode_then_written_then_unchanged(
    run: Run, params: dict[str, t.Any], root_directory: Path, tree_hash: Hash
) -> None:
    path = Path(params["path"])
    before = tree_hash(root_directory)
    planned = run("config", params, check=True)
    assert (planned["failed"], planned["changed"]) == (False, True)
    assert tree_hash(root_directory) == before
    first = run("config", params)
    assert first["changed"] is True and first["diff"] == planned["diff"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    written = tree_hash(root_directory)
    assert run("config", params, check=True)["changed"] is False
    second = run("config", params)
    assert second["changed"] is False
    assert tree_hash(root_directory) == written
    for result in (planned, first, second):
        assert not [secret for secret in SECRETS if secret in str(result)]


def test_pgbackrest_reads_what_was_written(run: Run, params: dict[str, t.Any]) -> None:
    run("config", params)
    shown = as_user([params["executable"], f"--config={params['path']}", "--stanza=main", "help", "backup"]).stdout
    assert "WARN" not in shown
    shown = " ".join(shown.split())  # 2.45 breaks lines within values
    for value in ("current=7", "current=zst", "current=5433", "current=/tmp/pg main", "current=600", "a = b"):
        assert value in shown


def test_removed_with_a_copy(run: Run, params: dict[str, t.Any], root_directory: Path, tree_hash: Hash) -> None:
    run("config", params)
    removal = {**params, "options": None, "state": "absent", "backup": True}
    before = tree_hash(root_directory)
    assert run("config", removal, check=True)["changed"] is True
    assert tree_hash(root_directory) == before
    result = run("config", removal)
    assert result["changed"] is True and not Path(params["path"]).exists()
    assert Path(result["backup_file"]).exists()
    assert not [secret for secret in SECRETS if secret in str(result)]
    assert run("config", removal)["changed"] is False


BAD_LINES = [
    ("global", "bogus-option", "1"),
    ("global", "pg1-path", "/x"),
    ("global", "set", "latest"),
    ("global", "no-start-fast", "y"),
    ("global:archive-get", "start-fast", "y"),
    ("global", "compress-type", "zip"),
    ("global", "process-max", "x"),
    ("global", "process-max", "0"),
    ("global", "compress-level-network", "99"),
    ("global", "repo1-path", "relative"),
    ("global", "repo1-path", "/a//b"),
    ("global", "delta", "yes"),
    ("global", "repo1-path", ""),
    ("global", "repo257-path", "/a"),
    ("main", "pg-path", "/a"),
    ("global", "buffer-size", "100k"),
    ("global", "archive-timeout", "soon"),
    ("global", "log-level-console", "n"),
    ("global", "repo1-type", "ftp"),
]


@pytest.mark.parametrize(("section", "key", "value"), BAD_LINES)
def test_the_catalogue_and_the_program_agree(
    run: Run, params: dict[str, t.Any], root_directory: Path, section: str, key: str, value: str
) -> None:
    """What pgBackRest complains about is refused before it is asked."""
    lines = {"main": {"pg1-path": "/tmp/x"}, section: {key: value}}
    if section == "main":
        lines = {"main": {key: value}}
    result = run("config", {**params, "options": lines})
    assert result["failed"] is True and "says" not in result["msg"] and len(result["problems"]) == 1
    assert not Path(params["path"]).exists()
    plain = root_directory / "plain.conf"
    text = "".join(f"[{name}]\n" + "".join(f"{k}={v}\n" for k, v in items.items()) for name, items in lines.items())
    plain.write_text(text, encoding="utf-8")
    command = section.partition(":")[2] or "backup"
    asked = subprocess.run(
        [params["executable"], f"--config={plain}", "--stanza=main", "help", command],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "WARN" in asked.stdout + asked.stderr or "ERROR" in asked.stdout + asked.stderr


def test_the_program_has_the_last_word(run: Run, params: dict[str, t.Any], programs: Programs) -> None:
    """Build conditions are known to the program alone: the old package has no libssh2."""
    sftp = {
        "repo1-type": "sftp", "repo1-sftp-host": "h", "repo1-sftp-host-user": "u", "repo1-sftp-private-key-file": "/k",
        "repo1-sftp-host-key-hash-type": "sha1",
    }  # fmt: skip
    result = run("config", {**params, "options": {"global": sftp, "main": {"pg1-path": "/x"}}})
    if programs.pgbackrest_version < (2, 46):
        assert "[global] repo1-type: sftp needs pgBackRest 2.46, this host has 2.45." in result["problems"]
    else:
        assert result["failed"] is False


def test_complaints_of_the_program_are_told(run: Run, params: dict[str, t.Any], root_directory: Path) -> None:
    """A program that has fewer options than its version promises."""
    wrapper = root_directory / "pgbackrest"
    wrapper.write_text(
        f'#!/bin/sh\nfor word; do case "$word" in --config=*) echo oops=1 >> "${{word#--config=}}";; esac; done\n'
        f'exec {params["executable"]} "$@"\n',
        encoding="utf-8",
    )
    wrapper.chmod(0o755)
    result = run("config", {**params, "executable": str(wrapper)})
    assert result["failed"] is True
    assert "says: configuration file contains invalid option 'oops'." in result["msg"]
    assert not Path(params["path"]).exists()


def test_duplicate_across_files(run: Run, params: dict[str, t.Any]) -> None:
    run("config", params)
    conf_d = Path(params["path"]).parent / "conf.d"
    conf_d.mkdir()
    if os.geteuid() == 0:
        shutil.chown(conf_d, USER)
    other = {**params, "path": str(conf_d / "main.conf")}
    result = run("config", {**other, "options": {"main": {"pg1-path": "/tmp/other"}}})
    assert result["problems"] == [
        "[main] pg1-path also stands in another file that pgBackRest reads together with this one, and it refuses "
        "that: keep one of them."
    ]
    assert run("config", {**other, "options": {"web": {"pg1-path": "/tmp/web"}}})["changed"] is True


def test_a_broken_neighbour_is_a_warning(run: Run, params: dict[str, t.Any]) -> None:
    conf_d = Path(params["path"]).parent / "conf.d"
    conf_d.mkdir()
    (conf_d / "foreign.conf").write_text("[global]\nbogus=1\n", encoding="utf-8")
    result = run("config", params)
    assert result["changed"] is True
    assert "configuration file contains invalid option 'bogus'" in str(result["warnings"])


def test_program_missing(run: Run, params: dict[str, t.Any]) -> None:
    result = run("config", {**params, "executable": "/nonexistent/pgbackrest"})
    assert result["failed"] is True and "is not on this host" in result["msg"]
    planned = run("config", {**params, "executable": "/nonexistent/pgbackrest"}, check=True)
    assert planned["changed"] is True and "not on this host yet" in str(planned["warnings"])


def test_program_too_old(run: Run, params: dict[str, t.Any], root_directory: Path) -> None:
    old = root_directory / "pgbackrest"
    old.write_text("#!/bin/sh\necho pgBackRest 2.33\n", encoding="utf-8")
    old.chmod(0o755)
    result = run("config", {**params, "executable": str(old)})
    assert "pgBackRest 2.33; the collection needs 2.45 or newer" in result["msg"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user's directory")
def test_directory_of_another_user(run: Run, params: dict[str, t.Any]) -> None:
    directory = Path(params["path"]).parent
    shutil.chown(directory, "root")
    result = run("config", params)
    assert result["problems"] == [
        f"This user may not write in {directory}: run the task as its owner or as root (become)."
    ]
    assert run("config", params, root=True)["changed"] is True


@pytest.mark.skipif(os.geteuid() != 0, reason="makes directories for another user")
def test_directories_for_the_user_of_the_file(run: Run, root_directory: Path, programs: Programs) -> None:
    top = root_directory / "host"
    options = {
        "global": {"log-path": f"{top}/log", "spool-path": f"{top}/spool", "lock-path": f"{top}/run/lock"},
        "main": {"pg1-path": f"{top}/pg", "repo1-path": f"{top}/repo", "repo1-retention-full": 1},
    }
    params = {
        "path": f"{top}/etc/conf.d/main.conf", "options": options, "executable": programs.executable,
        "directories": True, "replace": "own", "owner": USER, "group": USER, "mode": "0640",
    }  # fmt: skip
    planned = run("config", params, check=True, root=True)
    assert planned["changed"] is True and not top.exists()
    result = run("config", params, root=True)
    assert (result["failed"], result["diff"], result["directories"]) == (False, planned["diff"], planned["directories"])
    for name in ("", "etc", "etc/conf.d", "log", "spool", "run", "run/lock", "repo"):
        status = (top / name).stat()
        assert (stat.S_IMODE(status.st_mode), (top / name).owner(), (top / name).group()) == (0o750, USER, USER)
    argv = [programs.executable, f"--config-path={top}/etc", "--no-log-timestamp", "--output=json", "info"]
    assert '"path":"missing"' not in as_user(argv).stdout
    again = run("config", params, root=True)
    assert (again["changed"], again["directories"]) == (False, [])
    shutil.chown(top / "spool", "root")
    refused = run("config", {**params, "options": {"main": {"pg1-path": "/other"}, **options}}, root=True)
    assert f"{top}/spool belongs to root, and {USER}, to whom the file belongs, may not write in it" in refused["msg"]
    assert run("config", {**params, "directories": False}, root=True)["changed"] is False


def test_file_written_by_hand_is_kept(run: Run, params: dict[str, t.Any]) -> None:
    path = Path(params["path"])
    params = {**params, "options": {"main": {"pg1-path": "/pg"}}, "replace": "own"}
    path.write_text("[main]\npg1-path=/by-hand\n", encoding="utf-8")
    path.chmod(0o640)
    if os.geteuid() == 0:
        shutil.chown(path, USER)
    assert "this collection has not written it (it has [main])" in run("config", params)["msg"]
    assert path.read_text(encoding="utf-8") == "[main]\npg1-path=/by-hand\n"
    assert run("config", {**params, "replace": "always"})["changed"] is True
    assert run("config", params)["changed"] is False
