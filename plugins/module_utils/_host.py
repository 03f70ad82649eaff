# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a role must know about a host beside its clusters. Reads only. Private to the collection."""

from __future__ import annotations

import glob
import importlib
import os
import re
import shlex
import typing as t

from ._cluster import ClusterError, read_text
from ._config_file import HEADER, files, parse, read

_OS_RELEASE = ("/etc/os-release", "/usr/lib/os-release")
_SYSTEMD = "/run/systemd/system"
_SSH = "/etc/ssh"
_CPU_MAX = "/sys/fs/cgroup/cpu.max"
_FAMILIES = (("debian", {"debian", "ubuntu"}), ("redhat", {"rhel", "fedora", "centos"}))


def service_manager() -> str:
    """``systemd`` when it runs this host, else ``none`` (sd_booted(3))."""
    return "systemd" if os.path.isdir(_SYSTEMD) else "none"


def importable(name: str) -> bool:
    """Whether the Python of this process can import a library, as modules of other collections will need it."""
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


def distribution() -> dict[str, str]:
    """``os_family``, ``distribution`` and ``release``, from os-release."""
    values = parse_os_release(next(filter(None, map(_text, _OS_RELEASE)), ""))
    names = {values.get("ID", ""), *values.get("ID_LIKE", "").split()}
    return {
        "os_family": next((family for family, members in _FAMILIES if names & members), "other"),
        "distribution": values.get("ID", ""),
        "release": values.get("VERSION_CODENAME") or values.get("VERSION_ID", ""),
    }


def parse_os_release(text: str) -> dict[str, str]:
    r"""Variables of an os-release file, quoted as in the shell.

    >>> parse_os_release('ID=debian\n# a comment\nVERSION="13 (trixie)"')
    {'ID': 'debian', 'VERSION': '13 (trixie)'}
    """
    result = {}
    for line in text.splitlines():
        match = re.match(r"\s*(\w+)=(.*)$", line)
        if match:
            result[match.group(1)] = _unquoted(match.group(2))
    return result


def _unquoted(value: str) -> str:
    try:
        return "".join(shlex.split(value))
    except ValueError:
        return value


def cpus() -> int:
    """CPUs that work on this host can use: those it may run on, or fewer when a container has a quota."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, dummy, period = (_text(_CPU_MAX) or "").partition(" ")
    if quota.isdigit() and period.isdigit() and int(period):
        usable = min(usable, -(-int(quota) // int(period)))
    return max(usable, 1)


def ssh_host_keys() -> dict[str, str]:
    """Public keys of the SSH server by type, without their comments."""
    result = {}
    for path in sorted(glob.glob(os.path.join(_SSH, "ssh_host_*_key.pub"))):
        words = (_text(path) or "").split()
        if len(words) >= 2:
            result[os.path.basename(path)[len("ssh_host_") : -len("_key.pub")]] = " ".join(words[:2])
    return result


def configuration() -> list[dict[str, t.Any]]:
    """pgBackRest's configuration files in the order in which it reads them: whose they are, and which stanzas."""
    return [_configuration_file(path) for path in files()]


def _configuration_file(path: str) -> dict[str, t.Any]:
    content = read(path)
    names = [section.partition(":")[0] for section in parse(content)]
    stanzas = [name for name in dict.fromkeys(names) if name not in ("", "global")]
    return {
        "path": path,
        "readable": os.access(path, os.R_OK),
        "ours": content.startswith(HEADER),
        "stanzas": stanzas,
    }


def _text(path: str) -> str | None:
    """Text of a file, None when it is not there or may not be read."""
    try:
        return read_text(path)
    except ClusterError:
        return None
