# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connection strings of libpq. Pure; for modules and for the controller. Private to the collection.

Source: PostgreSQL documentation, "Connection Strings" and "Parameter Key Words" of libpq.
"""

from __future__ import annotations

import re
import typing as t
from urllib.parse import parse_qsl, unquote, urlsplit

SECRETS = ("password", "sslpassword")
# Those that make sense for a standby; ``replication`` and ``dbname`` are set by the server itself.
PARAMETERS = (
    "host",
    "hostaddr",
    "port",
    "user",
    "password",
    "passfile",
    "require_auth",
    "channel_binding",
    "connect_timeout",
    "options",
    "application_name",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
    "sslmode",
    "sslnegotiation",
    "sslcompression",
    "sslcert",
    "sslkey",
    "sslpassword",
    "sslcertmode",
    "sslrootcert",
    "sslcrl",
    "sslcrldir",
    "sslsni",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
    "requirepeer",
    "gssencmode",
    "krbsrvname",
    "gsslib",
    "gssdelegation",
    "service",
    "target_session_attrs",
    "load_balance_hosts",
)
# What counts when a parameter is missing, as pg_basebackup writes it out.
_DEFAULTS = {
    "port": "5432",
    "channel_binding": "prefer",
    "sslmode": "prefer",
    "sslnegotiation": "postgres",
    "sslcompression": "0",
    "sslcertmode": "allow",
    "sslsni": "1",
    "ssl_min_protocol_version": "TLSv1.2",
    "gssencmode": "prefer",
    "krbsrvname": "postgres",
    "gssdelegation": "0",
    "target_session_attrs": "any",
    "load_balance_hosts": "disable",
}
_SET_BY_SERVER = ("dbname", "replication", "fallback_application_name")
_PAIR = re.compile(r"\s*(?P<name>[^\s=']+)\s*=\s*(?P<value>'(?:[^'\\]|\\.)*'|(?:[^\s'\\]|\\.)*)(?=\s|$)", re.DOTALL)
_SAFE = re.compile(r"[^\s'\\]+")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_URIS = ("postgresql://", "postgres://")


def build(params: t.Mapping[str, t.Any]) -> str:
    """A connection string; parameters without a value are left out.

    >>> build({"host": "db1", "port": 5432, "password": "it's", "sslmode": None})
    "host=db1 port=5432 password='it\\\\'s'"
    """
    given = {name: str(value) for name, value in params.items() if value is not None and str(value) != ""}
    return " ".join(f"{name}={_quoted(value)}" for name, value in given.items())


def parse(text: str) -> dict[str, str]:
    """Parameters of a connection string or URI. ValueError, which never shows the text, when it is none.

    >>> parse("host = db1 password='a b'")
    {'host': 'db1', 'password': 'a b'}
    """
    if text.startswith(_URIS):
        return _parse_uri(text)
    found: dict[str, str] = {}
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _PAIR.match(text, position)
        if not match:
            raise ValueError("this is no connection string of libpq (name=value, values with spaces in single quotes)")
        value = match.group("value")
        value = value[1:-1] if value.startswith("'") else value
        found[match.group("name")] = _ESCAPED.sub(r"\1", value)
        position = match.end()
    return found


def differs(one: str | t.Mapping[str, t.Any], other: str | t.Mapping[str, t.Any], secrets: bool = True) -> bool:
    """Whether two connection strings, or their parameters, mean another connection. Defaults may be left out.

    ``secrets`` False leaves passwords out, which servers do not show.
    """
    return _meant(one, secrets) != _meant(other, secrets)


def shown(params: t.Mapping[str, t.Any]) -> str:
    """A connection string for people, secrets masked."""
    return build({name: "********" if name in SECRETS and value else value for name, value in params.items()})


def address(params: t.Mapping[str, t.Any]) -> str:
    """Host and port in words.

    >>> address({"host": "db1"})
    'db1, port 5432'
    """
    where = params.get("host") or params.get("hostaddr") or "the default socket"
    return f"{where}, port {params.get('port') or _DEFAULTS['port']}"


def _meant(given: str | t.Mapping[str, t.Any], secrets: bool) -> dict[str, str]:
    try:
        params = parse(given) if isinstance(given, str) else given
    except ValueError:
        return {"": str(given)}
    texts = {name: str(value) for name, value in params.items() if value is not None and str(value) != ""}
    return {
        name: value
        for name, value in texts.items()
        if name not in _SET_BY_SERVER and _DEFAULTS.get(name) != value and (secrets or name not in SECRETS)
    }


def _quoted(value: str) -> str:
    if _SAFE.fullmatch(value):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _parse_uri(text: str) -> dict[str, str]:
    try:
        parts = urlsplit(text)
        login, at_sign, place = parts.netloc.rpartition("@")
        hosts = [_host_and_port(item) for item in place.split(",")]
        query = parse_qsl(parts.query, strict_parsing=True) if parts.query else []
    except ValueError:
        raise ValueError("this is no connection URI of libpq (postgresql://user@host:port/)") from None
    user, dummy, password = login.partition(":")
    found = {"host": ",".join(host for host, port in hosts), "port": ",".join(port for host, port in hosts)}
    found = {**found, "user": unquote(user), "password": unquote(password), "dbname": unquote(parts.path.lstrip("/"))}
    return {name: value for name, value in {**found, **dict(query)}.items() if value.strip(",")}


def _host_and_port(item: str) -> tuple[str, str]:
    match = re.fullmatch(r"(?:\[(?P<v6>[^\]]*)\]|(?P<host>[^:]*))(?::(?P<port>\d*))?", item)
    if not match:
        raise ValueError(item)
    return unquote(match.group("v6") or match.group("host") or ""), match.group("port") or ""
