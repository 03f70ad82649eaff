# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Certificates for pgBackRest's TLS server and its clients: do they still serve? Private to the collection.

``cryptography`` may be missing and is as old as 38 on Debian 12.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import pwd
import re
import stat
import typing as t
from dataclasses import dataclass

try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

    HAS_CRYPTOGRAPHY = True
except ImportError:
    HAS_CRYPTOGRAPHY = False

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True)
class Wanted:
    """One certificate as it shall be; ``owner`` runs pgBackRest with its key. An empty ``common_name`` is any."""

    name: str
    path: str
    key: str
    common_name: str
    names: tuple[str, ...] = ()
    owner: str | None = None
    renew_before: int = 0


def problems(wanted: Wanted, authority: str | None, now: datetime.datetime) -> tuple[list[str], str | None]:
    """Sentences that say why a certificate does not serve, and the end of its life as text."""
    missing = [f"{path} is missing." for path in (wanted.path, wanted.key) if not os.path.exists(path)]
    if missing:
        return missing, None
    found = key_problems(wanted)
    if not HAS_CRYPTOGRAPHY:
        return [*found, f"{wanted.path} cannot be read without Python's cryptography."], None
    certificates = load(read(wanted.path) or "")
    if not certificates:
        return [*found, f"{wanted.path} holds no certificate."], None
    certificate = certificates[0]
    found += _matching_key(wanted, certificate)
    found += _names(wanted, certificate)
    found += _lifetime(wanted, certificate, now)
    if authority is not None and not is_signed(certificate, [*load(authority), *certificates[1:]]):
        found.append(f"{wanted.path} is not signed by the authority.")
    return found, not_after(certificate).isoformat()


def read(path: str) -> str | None:
    """Text of a file, None when it is missing."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return None


def load(text: str) -> list[x509.Certificate]:
    """The certificates in a text in PEM format; none when one of them is broken."""
    try:
        return [x509.load_pem_x509_certificate(found.encode()) for found in _PEM.findall(text)]
    except ValueError:
        return []


def same(left: str | None, right: str | None) -> bool:
    """Whether two texts hold the same certificates."""
    return left is not None and right is not None and left.split() == right.split()


def key_problems(wanted: Wanted) -> list[str]:
    """pgBackRest takes a key with mode 0600 of its own user, or with 0640 of root, and nothing else."""
    info = os.stat(wanted.key)
    mode = stat.S_IMODE(info.st_mode)
    if mode & ~0o640 or (mode & 0o040 and info.st_uid != 0):
        return [f"{wanted.key} has mode {mode:04o}: pgBackRest takes a key only with 0600, or with 0640 owned by root."]
    if wanted.owner and info.st_uid != _uid(wanted.owner) and not (info.st_uid == 0 and mode & 0o040):
        return [f"{wanted.key} does not belong to {wanted.owner}."]
    return []


def _uid(user: str) -> int | None:
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        return None


def _matching_key(wanted: Wanted, certificate: x509.Certificate) -> list[str]:
    with open(wanted.key, "rb") as file:
        content = file.read()
    try:
        public = serialization.load_pem_private_key(content, password=None).public_key()
    except (TypeError, ValueError):
        return [f"{wanted.key} is no private key that can be read without passphrase."]
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if public.public_bytes(*form) != certificate.public_key().public_bytes(*form):
        return [f"{wanted.key} is not the key of {wanted.path}."]
    return []


def _names(wanted: Wanted, certificate: x509.Certificate) -> list[str]:
    common = [str(found.value) for found in certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)]
    if wanted.common_name and common != [wanted.common_name]:
        return [f"{wanted.path} is for {', '.join(common) or 'nobody'}, not for {wanted.common_name}."]
    lacking = sorted({_normal(name) for name in wanted.names} - alternative_names(certificate))
    return [f"{wanted.path} does not name {', '.join(lacking)}."] if lacking else []


def alternative_names(certificate: x509.Certificate) -> set[str]:
    """Names such as ``DNS:db1`` and ``IP:10.0.0.5``."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    hosts = {f"DNS:{name.lower()}" for name in names.get_values_for_type(x509.DNSName)}
    return hosts | {f"IP:{address}" for address in names.get_values_for_type(x509.IPAddress)}


def _normal(name: str) -> str:
    kind, dummy, text = name.partition(":")
    return f"IP:{ipaddress.ip_address(text)}" if kind == "IP" else f"{kind}:{text.lower()}"


def _lifetime(wanted: Wanted, certificate: x509.Certificate, now: datetime.datetime) -> list[str]:
    end = not_after(certificate)
    if end <= now:
        return [f"{wanted.path} expired at {end.isoformat()}."]
    if end - now < datetime.timedelta(seconds=wanted.renew_before):
        return [f"{wanted.path} expires at {end.isoformat()}."]
    return []


def not_after(certificate: x509.Certificate) -> datetime.datetime:
    """End of the life of a certificate, with offset."""
    if hasattr(certificate, "not_valid_after_utc"):  # since 42
        return certificate.not_valid_after_utc
    return certificate.not_valid_after.replace(tzinfo=datetime.timezone.utc)


def is_signed(certificate: x509.Certificate, issuers: t.Iterable[x509.Certificate]) -> bool:
    """Whether one of the issuers has signed a certificate."""
    return any(issuer.subject == certificate.issuer and _verifies(certificate, issuer) for issuer in issuers)


def _verifies(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    key, algorithm = issuer.public_key(), certificate.signature_hash_algorithm
    signature, content = certificate.signature, certificate.tbs_certificate_bytes
    try:
        if isinstance(key, rsa.RSAPublicKey) and algorithm:
            key.verify(signature, content, padding.PKCS1v15(), algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey) and algorithm:
            key.verify(signature, content, ec.ECDSA(algorithm))
        else:
            return True  # another kind of key: the user's own authority, left to pgBackRest
    except InvalidSignature:
        return False
    return True
