# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import doctest
from pathlib import Path

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils import _config_file, _host

# Lines of /etc/os-release as the distributions ship them.
DEBIAN = 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nVERSION_ID="13"\nVERSION_CODENAME=trixie\nID=debian\n'
UBUNTU = 'VERSION_ID="24.04"\nVERSION_CODENAME=noble\nID=ubuntu\nID_LIKE=debian\n'
ROCKY = 'NAME="Rocky Linux"\nID="rocky"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.4"\n'
FEDORA = 'ID=fedora\nVERSION_ID=41\nVERSION_CODENAME=""\n'
ARCH = "ID=arch\n"


def test_documented_examples_hold() -> None:
    assert doctest.testmod(_host).failed == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (DEBIAN, ("debian", "debian", "trixie")),
        (UBUNTU, ("debian", "ubuntu", "noble")),
        (ROCKY, ("redhat", "rocky", "9.4")),
        (FEDORA, ("redhat", "fedora", "41")),
        (ARCH, ("other", "arch", "")),
        ('ID="a\nVERSION_ID=3\n', ("other", '"a', "3")),
        (None, ("other", "", "")),
    ],
)
def test_distribution(
    text: str | None, expected: tuple[str, str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_host, "_OS_RELEASE", (str(tmp_path / "absent"), str(tmp_path / "os-release")))
    if text is not None:
        (tmp_path / "os-release").write_text(text)
    assert tuple(_host.distribution().values()) == expected


@pytest.mark.parametrize(
    ("quota", "expected"),
    [(None, 8), ("max 100000", 8), ("150000 100000", 2), ("50000 100000", 1), ("1600000 100000", 8), ("x", 8)],
)
def test_cpus(quota: str | None, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_host.os, "sched_getaffinity", lambda pid: set(range(8)))
    monkeypatch.setattr(_host, "_CPU_MAX", str(tmp_path / "cpu.max"))
    if quota is not None:
        (tmp_path / "cpu.max").write_text(quota + "\n")
    assert _host.cpus() == expected


def test_service_manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_host, "_SYSTEMD", str(tmp_path))
    assert _host.service_manager() == "systemd"
    monkeypatch.setattr(_host, "_SYSTEMD", str(tmp_path / "absent"))
    assert _host.service_manager() == "none"


def test_ssh_host_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_host, "_SSH", str(tmp_path))
    (tmp_path / "ssh_host_ed25519_key.pub").write_text("ssh-ed25519 AAAAC3 root@db1\n")
    (tmp_path / "ssh_host_rsa_key.pub").write_text("ssh-rsa AAAAB3\n")
    (tmp_path / "ssh_host_ecdsa_key.pub").write_text("")
    (tmp_path / "ssh_host_ed25519_key").write_text("PRIVATE")
    assert _host.ssh_host_keys() == {"ed25519": "ssh-ed25519 AAAAC3", "rsa": "ssh-rsa AAAAB3"}


def test_importable() -> None:
    assert _host.importable("json") and not _host.importable("no_such_library_anywhere")


@pytest.fixture(name="etc")
def etc_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(_config_file, "_DEFAULT_PATH", str(tmp_path / "pgbackrest"))
    monkeypatch.setattr(_config_file, "_OLD_DEFAULT_FILE", str(tmp_path / "pgbackrest.conf"))
    (tmp_path / "pgbackrest/conf.d").mkdir(parents=True)
    return tmp_path


def test_configuration(etc: Path) -> None:
    assert _host.configuration() == []
    old, main, stanza = etc / "pgbackrest.conf", etc / "pgbackrest/pgbackrest.conf", etc / "pgbackrest/conf.d/a.conf"
    old.write_text("[global]\nrepo1-cipher-pass=correct-horse\n\n[b:backup]\nx=1\n[b]\npg1-path=/b\n[a]\n")
    stanza.write_text(_config_file.render({"a": {"pg1-path": "/a"}, "a:backup": {"process-max": 2}}))
    ours = {"path": str(stanza), "readable": True, "ours": True, "stanzas": ["a"]}
    assert _host.configuration() == [
        {"path": str(old), "readable": True, "ours": False, "stanzas": ["b", "a"]},
        ours,
    ]
    main.write_text(_config_file.render({"global": {"log-path": "/var/log/pgbackrest"}}))
    assert _host.configuration() == [{"path": str(main), "readable": True, "ours": True, "stanzas": []}, ours]


def test_configuration_of_somebody_else(etc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, *args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = etc / "pgbackrest/pgbackrest.conf"
    path.write_text("[a]\n")
    monkeypatch.setattr("builtins.open", refuse)
    monkeypatch.setattr(_host.os, "access", lambda path, mode: False)
    assert _host.configuration() == [{"path": str(path), "readable": False, "ours": False, "stanzas": []}]
