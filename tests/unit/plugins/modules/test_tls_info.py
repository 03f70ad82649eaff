# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime
import ipaddress
import os
import pwd
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils import _certificate
from ansible_collections.pgops.pgbackrest.plugins.modules import tls_info
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

Run = t.Callable[..., dict[str, t.Any]]
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
UID = os.geteuid()
ME = pwd.getpwuid(UID).pw_name
PROPERTIES = "--property=LoadState,ActiveState,UnitFileState,User,StateChangeTimestampMonotonic"
SHOW = ["systemctl", "show", PROPERTIES, "--", "pgbackrest.service"]


def running(since: float = 0.0) -> str:
    """What systemd says of a server that was started or reloaded so many seconds ago; negative is in the future."""
    when = int((time.monotonic() - since) * 1e6)
    text = "User=postgres\nLoadState=loaded\nActiveState=active\nUnitFileState=enabled\n"
    return f"{text}StateChangeTimestampMonotonic={when}\n"


@dataclass(frozen=True)
class Authority:
    """An authority that signs."""

    key: Key
    certificate: x509.Certificate

    @property
    def text(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def certificate(
    key: Key, subject: str, issuer: Authority | None = None, days: float = 100, names: tuple[str, ...] = ()
) -> x509.Certificate:
    """A certificate of a key, its own when there is no issuer."""
    now = datetime.datetime.now(datetime.UTC)
    alternatives: list[x509.GeneralName] = []
    for text in names:
        kind, dummy, value = text.partition(":")
        address = ipaddress.ip_address(value) if kind == "IP" else None
        alternatives.append(x509.IPAddress(address) if address else x509.DNSName(value))
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(issuer.certificate.subject if issuer else name(subject))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=200))
        .not_valid_after(now + datetime.timedelta(days=days, minutes=5))
    )
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    return builder.sign(issuer.key if issuer else key, hashes.SHA256())


def authority(subject: str = "pgBackRest backup1", key: Key | None = None) -> Authority:
    key = key or ec.generate_private_key(ec.SECP256R1())
    return Authority(key, certificate(key, subject, days=3650))


def write_pair(directory: Path, stem: str, key: Key, made: x509.Certificate) -> None:
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (directory / f"{stem}.key").write_bytes(text)
    (directory / f"{stem}.key").chmod(0o600)
    (directory / f"{stem}.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))


class Host:
    """A host with certificates that serve, until a test damages them."""

    def __init__(self, directory: Path, signer: Authority) -> None:
        self.directory, self.signer = directory, signer
        self.keys = {stem: ec.generate_private_key(ec.SECP256R1()) for stem in ("server", "main")}
        (directory / "ca.crt").write_text(signer.text, encoding="utf-8")
        self.issue("server", "db1", names=("DNS:db1", "IP:10.0.0.5"))
        self.issue("main", "main")

    def issue(self, stem: str, subject: str, **more: t.Any) -> None:
        made = certificate(self.keys[stem], subject, more.pop("issuer", self.signer), **more)
        write_pair(self.directory, stem, self.keys[stem], made)

    def params(self, **more: t.Any) -> dict[str, t.Any]:
        return {
            "directory": str(self.directory),
            "server_name": "db1",
            "server_alt_names": ["DNS:db1", "IP:10.0.0.5"],
            "stanzas": ["main"],
            "owner": ME,
            "renew_before": "30d",
            **more,
        }


@pytest.fixture(name="host")
def host_fixture(tmp_path: Path) -> Host:
    (tmp_path / "cert").mkdir()
    return Host(tmp_path / "cert", authority())


@pytest.fixture(name="look")
def look_fixture(run_module: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(tls_info, "CONFIGURATION", (str(tmp_path / "pgbackrest.conf"), str(tmp_path / "conf.d")))

    def look(params: dict[str, t.Any], unit: str = "") -> dict[str, t.Any]:
        return run_module("tls_info", params, commands=[(SHOW, 0, unit or running(), "")])

    return look


def due(result: dict[str, t.Any]) -> list[str]:
    return [record["name"] for record in result["due"]]


def test_certificates_that_serve(look: Run, host: Host) -> None:
    result = look(host.params(authority_content=f"{host.signer.text}\n"))
    assert (result["due"], result["problems"], result["changed"]) == ([], [], False)
    assert result["authority"] == {"due": False, "content": f"{host.signer.text}\n", "problems": []}
    assert result["server"] == {"enabled": True, "loaded": True, "running": True, "stale": False, "user": "postgres"}
    assert set(result["expiry"]) == {"server", "main"}
    assert result["cryptography"] is True


def test_a_bare_host(look: Run, tmp_path: Path) -> None:
    params = {"directory": str(tmp_path / "cert"), "server_name": "db1", "stanzas": ["main"]}
    result = look(params, unit="LoadState=not-found\nActiveState=inactive\n")
    assert due(result) == ["server", "main"]
    assert result["due"][1] == {
        "name": "main",
        "path": f"{tmp_path}/cert/main.crt",
        "key": f"{tmp_path}/cert/main.key",
        "common_name": "main",
        "subject_alt_names": [],
        "usage": "clientAuth",
        "problems": [f"{tmp_path}/cert/main.crt is missing.", f"{tmp_path}/cert/main.key is missing."],
    }
    assert result["due"][0]["usage"] == "serverAuth"
    assert result["authority"] == {"due": True, "content": None, "problems": []}
    assert result["server"] == {"enabled": False, "loaded": False, "running": False, "stale": False, "user": ""}


def wrong_key(host: Host) -> None:
    host.issue("server", "db1", names=("DNS:db1", "IP:10.0.0.5"))
    other = ec.generate_private_key(ec.SECP256R1())
    made = certificate(other, "db1", host.signer, names=("DNS:db1", "IP:10.0.0.5"))
    (host.directory / "server.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))


DAMAGES: dict[str, tuple[t.Callable[[Host], object], str, str]] = {
    "no certificate": (lambda host: (host.directory / "main.crt").unlink(), "main", "main.crt is missing."),
    "no key": (lambda host: (host.directory / "main.key").unlink(), "main", "main.key is missing."),
    "an empty file": (lambda host: (host.directory / "main.crt").write_text(""), "main", "holds no certificate."),
    "a broken file": (
        lambda host: (host.directory / "main.crt").write_text(
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
        ),
        "main",
        "holds no certificate.",
    ),
    "a broken key": (lambda host: (host.directory / "main.key").write_text("x"), "main", "is no private key"),
    "a key of another certificate": (wrong_key, "server", "server.key is not the key of"),
    "a key for all": (lambda host: (host.directory / "main.key").chmod(0o644), "main", "has mode 0644: pgBackRest"),
    "another stanza": (lambda host: host.issue("main", "web"), "main", "is for web, not for main."),
    "another address": (
        lambda host: host.issue("server", "db1", names=("DNS:db1", "IP:10.0.0.6")),
        "server",
        "does not name IP:10.0.0.5.",
    ),
    "no address": (lambda host: host.issue("server", "db1"), "server", "does not name DNS:db1, IP:10.0.0.5."),
    "nearly expired": (lambda host: host.issue("main", "main", days=29), "main", "main.crt expires at 20"),
    "expired": (lambda host: host.issue("main", "main", days=-1), "main", "main.crt expired at 20"),
    "another authority": (
        lambda host: host.issue("main", "main", issuer=authority()),
        "main",
        "is not signed by the authority.",
    ),
    "an authority of another name": (
        lambda host: host.issue("main", "main", issuer=authority("another")),
        "main",
        "is not signed by the authority.",
    ),
}


@pytest.mark.parametrize(("damage", "stem", "sentence"), DAMAGES.values(), ids=DAMAGES)
def test_a_certificate_that_does_not_serve(
    look: Run, host: Host, damage: t.Callable[[Host], object], stem: str, sentence: str
) -> None:
    damage(host)
    result = look(host.params())
    assert due(result) == [stem]
    assert len(result["problems"]) == 1
    assert sentence in result["problems"][0]
    assert result["due"][0]["problems"] == result["problems"]


def test_just_before_it_is_due(look: Run, host: Host) -> None:
    host.issue("main", "main", days=30)
    assert look(host.params())["problems"] == []


def test_a_key_of_somebody_else(look: Run, host: Host) -> None:
    result = look(host.params(owner="nobody" if ME != "nobody" else "daemon"))
    assert due(result) == ["server", "main"]
    assert "does not belong to" in result["problems"][0]


def test_a_replaced_authority_makes_all_certificates_due(look: Run, host: Host) -> None:
    other = authority()
    result = look(host.params(authority_content=other.text))
    assert due(result) == ["server", "main"]
    assert result["problems"][0] == f"{host.directory}/ca.crt is of another authority."
    assert result["authority"] == {"due": True, "content": other.text, "problems": []}


def test_a_renewed_authority_leaves_certificates_alone(look: Run, host: Host) -> None:
    renewed = authority(key=host.signer.key)
    result = look(host.params(authority_content=renewed.text))
    assert (result["due"], result["authority"]["due"]) == ([], True)


@pytest.fixture(name="own")
def own_fixture(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of the authority on its own host; its files belong to whoever runs the tests."""
    (tmp_path / "ca").mkdir()
    write_pair(tmp_path / "ca", "ca", host.signer.key, host.signer.certificate)
    monkeypatch.setattr(_certificate, "_uid", lambda user: UID)
    return tmp_path / "ca"


def test_the_host_of_the_authority(look: Run, host: Host, own: Path) -> None:
    result = look(host.params(authority_directory=str(own), authority_renew_before="397d"))
    assert result["problems"] == []
    assert result["authority"]["content"] == host.signer.text


def test_an_authority_that_would_die_before_what_it_signs(look: Run, host: Host, own: Path) -> None:
    result = look(host.params(authority_directory=str(own), authority_renew_before="4000d"))
    assert result["due"] == []
    assert result["authority"]["problems"] == result["problems"]
    assert "ca.crt expires at" in result["problems"][0]


def test_no_authority_yet(look: Run, host: Host, tmp_path: Path) -> None:
    result = look(host.params(authority_directory=str(tmp_path / "ca")))
    assert result["authority"]["problems"] == [f"{tmp_path}/ca/ca.crt is missing.", f"{tmp_path}/ca/ca.key is missing."]


def test_rsa_and_a_chain(look: Run, host: Host) -> None:
    """As a company's authority issues them: an intermediate certificate in the file of the server."""
    root = authority("root", rsa.generate_private_key(65537, 2048))
    key = rsa.generate_private_key(65537, 2048)
    between = Authority(key, certificate(key, "between", root, days=500))
    (host.directory / "ca.crt").write_text(root.text, encoding="utf-8")
    for stem, subject in (("server", "db1"), ("main", "main")):
        host.issue(stem, subject, issuer=between, names=("DNS:db1", "IP:10.0.0.5"))
    assert due(look(host.params())) == ["server", "main"]
    for stem in ("server", "main"):
        path = host.directory / f"{stem}.crt"
        path.write_text(path.read_text(encoding="utf-8") + between.text, encoding="utf-8")
    assert look(host.params())["problems"] == []


@pytest.mark.parametrize(
    "name", ["cert/server.crt", "cert/server.key", "cert/ca.crt", "pgbackrest.conf", "conf.d/a.conf"]
)
def test_a_server_that_has_not_read_a_file_again(look: Run, host: Host, tmp_path: Path, name: str) -> None:
    """As after a play that failed between writing and reloading."""
    (tmp_path / "conf.d").mkdir()
    for path in (tmp_path / "pgbackrest.conf", tmp_path / "conf.d" / "a.conf"):
        path.touch()
    for path in [*tmp_path.glob("**/*"), tmp_path]:
        os.utime(path, (time.time() - 3600,) * 2)
    assert not look(host.params(), unit=running(since=600))["server"]["stale"]
    os.utime(tmp_path / name, (time.time() - 60,) * 2)
    assert look(host.params(), unit=running(since=600))["server"]["stale"]
    assert not look(host.params(), unit=running(since=30))["server"]["stale"]


def test_a_stanza_that_was_removed(look: Run, host: Host, tmp_path: Path) -> None:
    for path in tmp_path.glob("**/*"):
        os.utime(path, (time.time() - 3600,) * 2)
    (tmp_path / "conf.d").mkdir()
    assert look(host.params(), unit=running(since=600))["server"]["stale"]


def test_without_cryptography_all_are_due(look: Run, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_certificate, "HAS_CRYPTOGRAPHY", False)
    result = look(host.params())
    assert due(result) == ["server", "main"]
    assert "cannot be read without Python's cryptography" in result["problems"][0]


@pytest.mark.parametrize("stanza", ["server", "ca"])
def test_a_stanza_that_is_called_like_another_certificate(run_module: Run, host: Host, stanza: str) -> None:
    result = run_module("tls_info", host.params(stanzas=[stanza]))
    assert result["failed"]
    assert "other certificates have these names" in result["msg"]


def test_an_age_that_is_none(run_module: Run, host: Host) -> None:
    result = run_module("tls_info", host.params(renew_before="a month"), commands=[(SHOW, 0, "", "")])
    assert result["failed"]
    assert "'a month' is not an age" in result["msg"]
