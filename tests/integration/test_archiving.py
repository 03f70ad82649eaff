# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module archiving on a real PostgreSQL."""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import shutil
import subprocess
import time
import typing as t
from pathlib import Path

import pytest

SETTINGS = ("archive_mode", "archive_command", "wal_level", "archive_timeout")


@pytest.fixture(name="server")
def server_fixture(cluster: t.Any) -> t.Any:
    """A started cluster with pgBackRest's configuration, which does not archive."""
    cluster.write_config()
    cluster.start()
    return cluster


def options(cluster: t.Any, **more: t.Any) -> dict[str, t.Any]:
    return {**cluster.common, **cluster.login, **more}


def fingerprint(cluster: t.Any) -> tuple[str, list[tuple[str, ...]]]:
    """Every configuration file with its time, and every setting of the server with the time of its last reload."""
    digest = hashlib.sha256()
    for path in sorted([*cluster.pgdata.glob("*.conf"), *cluster.root.glob("conf.d/*")]):
        digest.update(f"{path} {path.lstat().st_mtime_ns}".encode() + path.read_bytes())
    sql = "SELECT name, setting, source, pending_restart FROM pg_settings WHERE source <> 'client' ORDER BY name"
    return digest.hexdigest(), [*cluster.sql(sql), *cluster.sql("SELECT pg_conf_load_time()")]


def shown(cluster: t.Any) -> dict[str, str]:
    return {name: cluster.sql(f"SHOW {name}")[0][0] for name in SETTINGS}


def warnings(result: dict[str, t.Any]) -> str:
    return json.dumps(result["warnings"]) if result.get("warnings") else ""


def restart(cluster: t.Any, *words: str) -> None:
    """Stop and start, with more words on the server's command line."""
    cluster.stop()
    if not words:
        cluster.start()
        return
    argv = [f"{cluster.bindir}/pg_ctl", "-D", str(cluster.pgdata), "-l", str(cluster.log_file), "-w", "-o"]
    prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    subprocess.run([*prefix, *argv, " ".join(words), "start"], check=True, cwd="/", stdout=subprocess.DEVNULL)


def right(cluster: t.Any) -> str:
    return f'{cluster.executable} --config={cluster.config} --stanza=main archive-push "%p"'


def own(path: Path) -> Path:
    """Give a path to the user of the cluster."""
    if os.geteuid() == 0:
        shutil.chown(path, "postgres", pwd.getpwnam("postgres").pw_gid)
    return path


def applied(run: t.Any, cluster: t.Any, **more: t.Any) -> dict[str, t.Any]:
    """Check mode that changes nothing, the change it foretold, and a second run that changes nothing."""
    before = fingerprint(cluster)
    foretold = run("archiving", options(cluster, **more), check=True)
    assert not foretold["failed"], foretold
    assert fingerprint(cluster) == before
    result = run("archiving", options(cluster, **more))
    assert not result["failed"], result
    assert result["changed"] and foretold["changed"]
    keys = ("settings", "previous_settings", "restart_required", "pending_restart", "archive_command", "diff")
    assert {key: foretold[key] for key in keys} == {key: result[key] for key in keys}
    between = fingerprint(cluster)
    again = run("archiving", options(cluster, **more))
    assert not again["changed"], again
    assert again["settings"] == result["settings"] and again["restart_required"] == result["restart_required"]
    assert fingerprint(cluster) == between
    return t.cast("dict[str, t.Any]", result)


def refused(run: t.Any, cluster: t.Any, modes: t.Sequence[bool] = (True, False), **more: t.Any) -> str:
    """The message of a run that fails, in check mode alike, and leaves everything as it was."""
    before = fingerprint(cluster)
    message = ""
    for check in modes:
        result = run("archiving", options(cluster, **more), check=check)
        assert result["failed"], result
        assert not message or message == result["msg"]
        message = result["msg"]
    assert fingerprint(cluster) == before
    return message


@pytest.mark.matrix
def test_enable_then_archive(run: t.Any, server: t.Any) -> None:
    result = applied(run, server)
    assert result["archive_command"] == right(server)
    assert result["restart_required"] and result["pending_restart"] == ["archive_mode"]
    assert result["previous_settings"]["archive_mode"] == "off"
    assert result["settings"]["archive_mode"] == "on"
    restart(server)
    after = run("archiving", options(server))
    assert not after["changed"] and not after["restart_required"]
    server.pgbackrest("stanza-create")
    server.archive()
    assert server.info()["archive"][0]["max"]


@pytest.mark.matrix
def test_stanza_settings_and_proof_in_one(run: t.Any, server: t.Any) -> None:
    asked = options(server, stanza_create=True, check=True)
    foretold = run("archiving", asked, check=True)
    assert (foretold["changed"], foretold["stanza_actions"], foretold["proof"]) == (True, ["create"], None), foretold
    assert not list(server.repo.iterdir())
    first = run("archiving", asked)
    assert (first["stanza_actions"], first["restart_required"], first["proof"]) == (["create"], True, None), first
    assert first["diff"] == foretold["diff"]
    assert first["diff"]["before"]["stanza"] != first["diff"]["after"]["stanza"]
    restart(server)
    second = run("archiving", asked)
    assert (second["changed"], second["stanza_actions"], second["restart_required"]) == (False, [], False), second
    assert [archive["advanced"] for archive in second["proof"]["repositories"]] == [True]
    assert second["diff"]["before"] == second["diff"]["after"]
    looked = run("archiving", asked, check=True)
    assert not looked["changed"] and looked["proof"]["duration"] is None


def test_what_was_done_before_the_proof_failed(run: t.Any, protected: t.Any) -> None:
    protected.pgbackrest("stop")
    result = run("archiving", options(protected, check=True, archive_timeout=30))
    assert result["failed"] and "stop" in result["msg"], result
    assert result["changed"] and result["settings"]["archive_timeout"] == "30"
    assert shown(protected)["archive_timeout"] == "30s"


def test_nothing_to_prove_where_archiving_ends(run: t.Any, protected: t.Any) -> None:
    assert refused(run, protected, state="disabled", check=True) == "The option check is for state=enabled."
    message = refused(run, protected, state="disabled", stanza_create=True)
    assert message == "The option stanza_create is for state=enabled."


@pytest.mark.matrix
def test_disable(run: t.Any, protected: t.Any) -> None:
    result = applied(run, protected, state="disabled")
    assert result["archive_command"] == "" and result["pending_restart"] == ["archive_mode"]
    assert "keeps all WAL in pg_wal" in warnings(result)
    restart(protected)
    assert shown(protected)["archive_mode"] == "off"
    again = run("archiving", options(protected, state="disabled"))
    assert not again["changed"] and not again["restart_required"] and not warnings(again)
    assert applied(run, protected)["settings"]["archive_mode"] == "on"


@pytest.mark.matrix
def test_paths_with_spaces_archive_for_real(run: t.Any, cluster: t.Any) -> None:
    programs = own(cluster.make_directory("my programs"))
    program = programs / "pgbackrest"
    program.write_text(f'#!/bin/sh\nexec {cluster.executable} "$@"\n')
    program.chmod(0o755)
    cluster.make_directory('50% of it\'s $x "here"')
    cluster.config = cluster.root / '50% of it\'s $x "here"' / "pgbackrest.conf"
    cluster.write_config()
    cluster.start()
    result = applied(run, cluster, executable=str(program))
    assert result["archive_command"].startswith(f'"{program}" \'--config={cluster.root}/50%% of it')
    restart(cluster)
    cluster.pgbackrest("stanza-create")
    cluster.archive()
    assert shown(cluster)["archive_command"] == result["archive_command"]
    assert cluster.sql("SELECT failed_count FROM pg_stat_archiver") == [("0",)]


def reload_with(cluster: t.Any, command: str) -> None:
    """Set an archive_command in postgresql.conf and wait until the server has it."""
    cluster.configure(archive_command=command.replace("'", "''"))
    cluster.sql("SELECT pg_reload_conf()")
    for _attempt in range(50):
        if shown(cluster)["archive_command"] == command:
            return
        time.sleep(0.1)
    raise AssertionError(cluster.log_tail())


SAME = (
    '"{executable}" --stanza=main --config="{config}" archive-push %p',
    "pgbackrest --config {config} --stanza main archive-push '%p'",
    "{executable} archive-push %p --stanza=main --config={config} --log-level-console=info",
)
FOREIGN = {
    "barman-wal-archive backup main %p": "not pgBackRest",
    "pgbackrest --config={config} --stanza=demo archive-push %p": "pgBackRest for the stanza demo",
    "pgbackrest --config=/etc/other.conf --stanza=main archive-push %p": "--config=/etc/other.conf",
    "pgbackrest --config={config} --stanza=main archive-push %p || true": "a shell script",
}


def test_what_does_the_same_is_not_touched(run: t.Any, server: t.Any) -> None:
    server.configure(archive_mode="TRUE")
    restart(server)
    for text in SAME:
        command = text.format(executable=server.executable, config=server.config)
        reload_with(server, command)
        before = fingerprint(server)
        result = run("archiving", options(server))
        assert not result["failed"] and not result["changed"], result
        assert result["archive_command"] == command
        assert fingerprint(server) == before


def test_foreign_command_only_with_force(run: t.Any, server: t.Any) -> None:
    server.configure(archive_mode="on")
    restart(server)
    for text, reason in FOREIGN.items():
        command = text.format(config=server.config)
        reload_with(server, command)
        message = refused(run, server)
        assert reason in message and command in message
        assert f"in {server.pgdata}/postgresql.conf, line " in message and "force: true" in message
    refused(run, server, state="disabled")
    result = applied(run, server, force=True)
    assert result["archive_command"] == right(server) and not result["restart_required"]
    assert shown(server)["archive_command"] == right(server)


def test_foreign_command_behind_archive_mode_off_is_seen(run: t.Any, server: t.Any) -> None:
    server.configure(archive_command="wal-g wal-push %p")
    restart(server)
    assert "wal-g wal-push %p" in refused(run, server)
    result = run("archiving", options(server, state="disabled"))
    assert not result["failed"] and not result["changed"]


def test_disabled_with_force_ends_foreign_archiving(run: t.Any, server: t.Any) -> None:
    server.configure(archive_mode="on", archive_command="wal-g wal-push %p")
    restart(server)
    applied(run, server, state="disabled", force=True)
    assert shown(server)["archive_command"] == ""


def test_archive_library_is_foreign(run: t.Any, server: t.Any) -> None:
    server.configure(archive_mode="on", archive_library="basic_archive")
    server.stop()
    server.configure(**{"basic_archive.archive_directory": str(server.repo)})
    server.start()
    assert "archive_library is set to basic_archive in" in refused(run, server)
    result = applied(run, server, force=True)
    assert result["settings"]["archive_library"] == "" and result["archive_command"] == right(server)


def test_dummy_is_replaced(run: t.Any, server: t.Any) -> None:
    server.configure(archive_mode="on")
    restart(server)
    for command in ("cd .", ":"):
        reload_with(server, command)
        assert run("archiving", options(server), check=True)["archive_command"] == right(server)
    reload_with(server, "/bin/true")
    assert applied(run, server)["archive_command"] == right(server)
    assert shown(server)["archive_command"] == right(server)


@pytest.mark.matrix
def test_wal_level_is_raised_but_never_lowered(run: t.Any, server: t.Any) -> None:
    server.configure(wal_level="minimal", max_wal_senders="0")
    restart(server)
    result = applied(run, server)
    assert result["pending_restart"] == ["archive_mode", "wal_level"]
    restart(server)
    assert applied(run, server, wal_level="logical")["pending_restart"] == ["wal_level"]
    restart(server)
    result = run("archiving", options(server))
    assert not result["changed"] and result["settings"]["wal_level"] == "logical"


def test_left_behind_by_a_restore(run: t.Any, protected: t.Any) -> None:
    with open(protected.pgdata / "postgresql.auto.conf", "a", encoding="utf-8") as file:
        file.write("\n# Recovery settings generated by pgBackRest restore on 2026-11-22\narchive_mode = 'off'\n")
    restart(protected)
    assert shown(protected)["archive_mode"] == "off"
    result = applied(run, protected)
    assert result["diff"]["before"]["archive_mode"] == "off" and result["restart_required"]
    restart(protected)
    protected.archive()


def test_edited_but_not_reloaded(run: t.Any, protected: t.Any) -> None:
    protected.configure(archive_mode="off", archive_command="wal-g wal-push %p")
    protected.configure(archive_mode="always", archive_command=right(protected))
    result = applied(run, protected, archive_mode="always")
    assert result["pending_restart"] == ["archive_mode"]
    assert "archive-mode-check" in warnings(result)
    assert "archive" not in (protected.pgdata / "postgresql.auto.conf").read_text()
    assert shown(protected)["archive_command"] == right(protected)


def test_archive_timeout(run: t.Any, protected: t.Any) -> None:
    protected.configure(archive_timeout="5min")
    protected.sql("SELECT pg_reload_conf()")
    assert not run("archiving", options(protected, archive_timeout=300))["changed"]
    result = applied(run, protected, archive_timeout=60)
    assert result["settings"]["archive_timeout"] == "60" and shown(protected)["archive_timeout"] == "1min"
    assert "must be a number of seconds" in refused(run, protected, archive_timeout=-1)


@pytest.fixture(name="conf_file")
def conf_file_fixture(cluster: t.Any) -> Path:
    return t.cast(Path, cluster.make_directory("conf.d") / "archiving.conf")


@pytest.mark.matrix
def test_file(run: t.Any, server: t.Any, conf_file: Path) -> None:
    server.configure(include_dir=str(conf_file.parent))
    restart(server)
    with open(server.pgdata / "postgresql.auto.conf", "a", encoding="utf-8") as file:
        file.write("archive_mode = 'off'\narchive_command = '/bin/true'\n")
    result = applied(run, server, method="file", conf_file=str(conf_file), archive_timeout=60)
    assert result["restart_required"] and result["archive_command"] == right(server)
    assert "archive" not in (server.pgdata / "postgresql.auto.conf").read_text()
    assert f"archive_command = '{right(server)}'" in conf_file.read_text()
    restart(server)
    server.pgbackrest("stanza-create")
    server.archive()
    applied(run, server, method="file", conf_file=str(conf_file), state="disabled")
    assert "archive_mode = 'off'" in conf_file.read_text() and "archive_timeout = '60'" in conf_file.read_text()
    # The file, not postgresql.auto.conf, says what is wrong now; ALTER SYSTEM overrides it.
    assert applied(run, server)["archive_command"] == right(server)


def test_file_that_is_not_included(run: t.Any, server: t.Any, conf_file: Path) -> None:
    before = fingerprint(server)
    result = run("archiving", options(server, method="file", conf_file=str(conf_file)))
    assert "PostgreSQL does not read" in result["msg"] and "include_dir" in result["msg"]
    assert not conf_file.exists() and fingerprint(server) == before


def test_file_that_is_overridden(run: t.Any, server: t.Any, conf_file: Path) -> None:
    conf_file.write_text("# nothing\n")
    own(conf_file)
    server.configure(include_dir=str(conf_file.parent))
    server.configure(archive_mode="off")
    restart(server)
    result = run("archiving", options(server, method="file", conf_file=str(conf_file)))
    assert "archive_mode in" in result["msg"] and f"{server.pgdata}/postgresql.conf, line" in result["msg"]
    assert conf_file.read_text() == "# nothing\n"


def test_file_of_somebody_else(run: t.Any, server: t.Any) -> None:
    path = str(server.pgdata / "postgresql.conf")
    assert "is not overwritten" in refused(run, server, method="file", conf_file=path, force=True)
    assert "does not exist" in refused(run, server, method="file", conf_file="/nonexistent/a.conf")
    assert "absolute path" in refused(run, server, method="file", conf_file="a.conf")
    assert "conf_file" in refused(run, server, method="file")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_file_written_by_root_can_be_read_by_the_server(run: t.Any, server: t.Any, conf_file: Path) -> None:
    server.configure(include_dir=str(conf_file.parent))
    params = options(server, method="file", conf_file=str(conf_file), login_user="postgres")
    result = run("archiving", params, root=True)
    assert not result["failed"] and result["changed"], result
    assert conf_file.owner() == "postgres" and conf_file.stat().st_mode & 0o777 == 0o644


def test_command_line_wins(run: t.Any, server: t.Any) -> None:
    restart(server, "-c archive_mode=off")
    message = refused(run, server)
    assert "archive_mode is set to off on the server's command line" in message
    restart(server, "-c archive_mode=on -c archive_command=/bin/false")
    assert "archive_command is «/bin/false» on the server's command line" in refused(run, server)
    assert "archive_command is set to /bin/false on the server's command line" in refused(run, server, force=True)
    restart(server, "-c archive_command=/bin/false")
    assert "archive_command is set to a value that is not shown" in refused(run, server)


def test_patroni(run: t.Any, server: t.Any) -> None:
    (server.pgdata / "patroni.dynamic.json").write_text("{}")
    own(server.pgdata / "patroni.dynamic.json")
    assert run("archiving", options(server), check=True)["changed"]
    restart(server, "--cluster_name=batman")
    assert "Patroni manages this cluster" in refused(run, server)
    assert run("archiving", options(server, force=True))["changed"]


def test_standby(run: t.Any, server: t.Any) -> None:
    server.stop()
    (server.pgdata / "standby.signal").touch()
    own(server.pgdata / "standby.signal")
    server.start()
    result = applied(run, server)
    assert result["in_recovery"] and result["restart_required"]
    restart(server)
    assert not run("archiving", options(server))["restart_required"]


def test_server_is_down(run: t.Any, server: t.Any) -> None:
    server.stop()
    message = run("archiving", options(server))["msg"]
    assert "PostgreSQL cannot be reached on" in message and str(server.port) in message


def test_role_is_no_superuser(run: t.Any, server: t.Any) -> None:
    server.sql("CREATE ROLE app LOGIN")
    assert "The role app is no superuser" in refused(run, server, login_user="app")


def test_broken_configuration_of_the_server(run: t.Any, server: t.Any) -> None:
    with open(server.pgdata / "postgresql.conf", "a", encoding="utf-8") as file:
        file.write("no_such_setting = 1\n")
    message = refused(run, server)
    assert "unrecognized configuration parameter" in message and "postgresql.conf, line" in message


def test_psycopg2_is_missing(run: t.Any, server: t.Any, module_tree: Path, root_directory: Path) -> None:
    (root_directory / "psycopg2.py").write_text("raise ImportError('no')\n")
    result = run("archiving", options(server), environment={"PYTHONPATH": f"{root_directory}:{module_tree}"})
    assert "psycopg2" in result["msg"] and "python3-psycopg2" in result["msg"]


def test_program_is_missing_or_too_old(run: t.Any, server: t.Any) -> None:
    assert "is not on this host" in refused(run, server, executable="no-such-pgbackrest")
    program = server.root / "pgbackrest"
    program.write_text("#!/bin/sh\necho pgBackRest 2.44\n")
    program.chmod(0o755)
    assert "2.45 or newer" in refused(run, server, executable=str(program))


def test_configuration_does_not_fit(run: t.Any, server: t.Any) -> None:
    for missing, sentence in (
        ({"stanza": "other"}, "The stanza other is not in pgBackRest's configuration"),
        ({"config": "/nonexistent.conf"}, "There is no configuration file"),
    ):
        # In check mode an earlier task may only have pretended to write it.
        assert not run("archiving", options(server, **missing), check=True)["failed"]
        assert sentence in refused(run, server, modes=(False,), **missing)
    text = server.config.read_text()
    server.config.write_text(text.replace(f"pg1-path={server.pgdata}", "pg1-path=/elsewhere"))
    assert "but pgBackRest's configuration says /elsewhere" in refused(run, server)
    server.config.write_text(text)
    server.config.chmod(0o000)
    if os.geteuid() == 0:
        os.chown(server.config, 0, 0)
    assert "cannot be read by this user" in refused(run, server)
