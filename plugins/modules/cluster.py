#!/usr/bin/python
# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cluster
short_description: Give a restored data directory the configuration of a cluster
description:
  - Debian keeps the configuration of a cluster below C(/etc/postgresql), so that no backup has it. This module makes it
    around a data directory that was restored on a host without that cluster, and lets C(pg_createcluster) integrate it.
    After that the unit C(postgresql@VERSION-NAME) exists and is started at boot.
  - It writes C(postgresql.conf) with O(settings), C(pg_hba.conf) with the lines that Debian gives to a new cluster, and
    C(pg_ident.conf). Files of these names in the data directory are taken as they are.
  - On hosts without C(pg_createcluster), as those of the RHEL family, the configuration lies in the data directory and
    came with the backup. There it writes only files that are missing.
  - A cluster that is configured already is left as it is, whatever O(settings) say.
  - The module does not start the cluster.
version_added: 0.1.0
author: ["pgops contributors (@pgops)"]
extends_documentation_fragment:
  - pgops.pgbackrest._attributes
attributes:
  check_mode:
    details:
      - The data directory may be missing, because a restore in check mode has only pretended to write it.
  platform:
    platforms: debian, posix
    description: Runs on the host of the cluster.
options:
  version:
    description: Major version of PostgreSQL. Its server must be installed.
    type: str
    required: true
  name:
    description: Name of the cluster on Debian.
    type: str
    default: main
  data_directory:
    description: The data directory, which holds a restored cluster.
    type: path
    required: true
  port:
    description: Port that the cluster will listen on.
    type: int
    default: 5432
  socket_directory:
    description: Directory of its Unix socket. Without it the one that the packages use.
    type: path
  settings:
    description:
      - Settings for C(postgresql.conf), for example those that M(pgops.pgbackrest.replication) returns.
      - Locations and the port are not taken from here.
      - They are readable for everybody on Debian. Secrets do not belong here.
    type: dict
    default: {}
notes:
  - Run it as root (C(become)).
seealso:
  - module: pgops.pgbackrest.restore
  - module: pgops.pgbackrest.replication
"""

EXAMPLES = r"""
---
- name: Configure the restored cluster
  pgops.pgbackrest.cluster:
    version: "17"
    data_directory: /var/lib/postgresql/17/main
    settings:
      max_connections: 200
      shared_buffers: 1GB
  become: true

- name: Start it
  ansible.builtin.systemd_service:
    name: postgresql@17-main
    state: started
  become: true
"""

RETURN = r"""
layout:
  description: V(debian), or V(directory) where the configuration lies in the data directory.
  returned: success
  type: str
  sample: debian
configuration_directory:
  description: Where the configuration lies.
  returned: success
  type: str
  sample: /etc/postgresql/17/main
unit:
  description: Unit of systemd for the cluster. V(null) where Debian's packages are not in use.
  returned: success
  type: str
  sample: postgresql@17-main
"""

import grp
import os
import pwd
import re
import shutil
import tempfile
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _cluster_layout as layout
from ..module_utils._cluster import ClusterError, parse_settings, pg_major, read_text, user_name
from ..module_utils._clusters import conf_settings
from ..module_utils._durable import remove

ARGUMENTS: dict[str, dict[str, t.Any]] = {
    "version": {"type": "str", "required": True},
    "name": {"type": "str", "default": "main"},
    "data_directory": {"type": "path", "required": True},
    "port": {"type": "int", "default": 5432},
    "socket_directory": {"type": "path"},
    "settings": {"type": "dict", "default": {}},
}
_NAME = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.-]*")
_SETTING = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?")


def check_input(params: t.Mapping[str, t.Any]) -> None:
    """Raise for options that can be refused without looking at the host."""
    if not re.fullmatch(r"\d{2}", params["version"]):
        raise ClusterError(f"The option version must be a major version such as 17, not {params['version']!r}.")
    if not _NAME.fullmatch(params["name"]):
        raise ClusterError(f"{params['name']!r} is no name of a cluster: letters, digits, points, underscores, dashes.")
    if not 1024 <= params["port"] <= 65535:
        raise ClusterError(f"The option port must be from 1024 to 65535, not {params['port']}.")
    if not os.path.isabs(params["data_directory"]):
        raise ClusterError(f"The option data_directory must be an absolute path, not {params['data_directory']}.")
    for name, value in params["settings"].items():
        if not _SETTING.fullmatch(str(name)):
            raise ClusterError(f"{name!r} in settings is no name of a setting.")
        if value is None or isinstance(value, (dict, list)) or any(ord(letter) < 32 for letter in str(value)):
            raise ClusterError(f"The value of {name} in settings must be a text or number in one line.")


def check_directory(pgdata: str, version: str) -> None:
    """Raise unless a cluster of this version is there that root may give files to."""
    major = pg_major(pgdata)
    if major is None:
        raise ClusterError(f"{pgdata} holds no cluster. Restore it first, with the module pgops.pgbackrest.restore.")
    if major != version:
        raise ClusterError(f"{pgdata} holds a cluster of PostgreSQL {major}, not {version}. Correct the version.")
    if os.stat(pgdata).st_uid == 0:
        raise ClusterError(f"{pgdata} belongs to root, whom PostgreSQL refuses. Restore it as its owner.")


def is_configured(params: t.Mapping[str, t.Any], debian: bool) -> bool:
    """Whether there is nothing to do. Raises ClusterError when the configuration is that of another directory."""
    pgdata = params["data_directory"]
    if not debian:
        return all(os.path.exists(os.path.join(pgdata, name)) for name in layout.NAMES)
    path = os.path.join(layout.configuration_directory(params["version"], params["name"]), "postgresql.conf")
    if not os.path.exists(path) or is_leftover(path, pgdata):
        return False
    configured = conf_settings(path).get("data_directory", "")
    if os.path.realpath(configured) != os.path.realpath(pgdata):
        raise ClusterError(
            f"{path} is the configuration of {configured or 'no directory'}, not of {pgdata}. Choose another name, or "
            f"remove that cluster if nobody needs it: pg_dropcluster --stop {params['version']} {params['name']}."
        )
    return True


def is_leftover(path: str, pgdata: str) -> bool:
    """Whether this ``postgresql.conf`` is one that pg_createcluster began with and did not come to an end."""
    directory = parse_settings(read_text(path) or "").get("data_directory")
    return directory == layout.stand_in(pgdata) or (
        directory is None and (read_text(path) or "").startswith(layout.HEADER)
    )


def wanted_settings(params: t.Mapping[str, t.Any], debian: bool, owner: int | None) -> dict[str, t.Any]:
    """Settings for the file: the given ones without locations, and TLS as Debian has it in every new cluster."""
    given = {name: value for name, value in params["settings"].items() if name not in layout.LOCATIONS}
    if debian:
        readable = owner is not None and all(may_read(path, owner) for path in layout.SNAKEOIL.values())
        return {**({"ssl": True, **layout.SNAKEOIL} if readable and "ssl" not in given else {}), **given}
    socket = params["socket_directory"]
    return {**given, "port": params["port"], **({"unix_socket_directories": socket} if socket else {})}


def may_read(path: str, uid: int) -> bool:
    """Whether this user may read the file, by its group as well."""
    try:
        status, user = os.stat(path), pwd.getpwuid(uid)
    except (OSError, KeyError):
        return False
    groups = {user.pw_gid, *(entry.gr_gid for entry in grp.getgrall() if user.pw_name in entry.gr_mem)}
    mine = (status.st_uid == uid, status.st_gid in groups, True)
    return any(held and status.st_mode & bit for held, bit in zip(mine, (0o400, 0o040, 0o004)))


def write_files(directory: str, texts: t.Mapping[str, str], owner: os.stat_result) -> None:
    """Write files that are whole or not there, and never through a link that the owner may have put there."""
    for name, text in texts.items():
        handle, temporary = tempfile.mkstemp(dir=directory, prefix=f".{name}.")
        with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
        if os.geteuid() == 0:
            os.chown(temporary, owner.st_uid, owner.st_gid, follow_symlinks=False)
        os.replace(temporary, os.path.join(directory, name))


def integrate(module: AnsibleModule, where: str, texts: t.Mapping[str, str], settings: t.Mapping[str, t.Any]) -> None:
    """Let pg_createcluster integrate a directory that stands for the data directory, and then name the right one.

    When it fails it drops what it was given: that must not be the restored data. Raises ClusterError.
    """
    params, pgdata = module.params, module.params["data_directory"]
    stand_in, owner = layout.stand_in(pgdata), os.stat(os.path.join(pgdata, "PG_VERSION"))
    if os.path.exists(where) and is_leftover(os.path.join(where, "postgresql.conf"), pgdata):
        shutil.rmtree(where)
    remove_stand_in(stand_in)
    os.mkdir(stand_in, 0o700)
    if os.geteuid() == 0:
        os.chown(stand_in, owner.st_uid, owner.st_gid, follow_symlinks=False)
    write_files(stand_in, {"PG_VERSION": f"{params['version']}\n", **texts}, owner)
    defaults = parse_settings(read_text(layout.DEFAULTS) or "")
    argv = layout.command(params, settings, defaults, module.get_bin_path("pg_createcluster", required=True))
    rc, stdout, stderr = module.run_command(argv, environ_update={"LC_ALL": "C", "LANG": "C"})
    if rc:
        said = " ".join((stderr or stdout).split()) or f"it ended with {rc}"
        raise ClusterError(f"pg_createcluster could not integrate the cluster: {said}. Correct that and run it again.")
    finish(os.path.join(where, "postgresql.conf"), pgdata, owner)


def remove_stand_in(path: str) -> None:
    """Remove the directory of an earlier run. Raises ClusterError when it is somebody else's."""
    if not os.path.lexists(path):
        return
    known = {"PG_VERSION", *layout.NAMES}
    names = os.listdir(path) if os.path.isdir(path) and not os.path.islink(path) else ["?"]
    if any(name not in known and not name.startswith(tuple(f".{each}." for each in known)) for name in names):
        raise ClusterError(f"{path} is in the way: this module works there. Move it away.")
    shutil.rmtree(path)


def finish(path: str, pgdata: str, owner: os.stat_result) -> None:
    """Name the data directory, which says that all is done, and remove what is not needed any more."""
    text = layout.with_data_directory(read_text(path) or "", pgdata)
    write_files(os.path.dirname(path), {os.path.basename(path): text}, owner)
    os.chmod(path, 0o644)
    remove_stand_in(layout.stand_in(pgdata))
    for name in layout.NAMES:
        remove(os.path.join(pgdata, name))


def present(pgdata: str) -> dict[str, str]:
    """Configuration files that the data directory has, and their texts."""
    texts = {name: read_text(os.path.join(pgdata, name)) for name in layout.NAMES}
    return {name: f"{text}\n" for name, text in texts.items() if text is not None}


def write(module: AnsibleModule, where: str, settings: t.Mapping[str, t.Any], debian: bool) -> None:
    """Make the configuration. Raises ClusterError."""
    pgdata, version = module.params["data_directory"], module.params["version"]
    owner, own = os.stat(pgdata), present(pgdata)
    texts = {**layout.files(version, user_name(owner.st_uid), settings), **own}
    if debian:
        integrate(module, where, texts, settings)
    else:
        write_files(pgdata, {name: text for name, text in texts.items() if name not in own}, owner)


def run(module: AnsibleModule) -> dict[str, t.Any]:
    """Make the state true, or in check mode foretell it."""
    params, pgdata = module.params, module.params["data_directory"]
    check_input(params)
    debian = bool(module.get_bin_path("pg_createcluster"))
    changed = not is_configured(params, debian)
    there = os.path.exists(pgdata)
    if changed and (there or not module.check_mode):
        check_directory(pgdata, params["version"])
    where = layout.configuration_directory(params["version"], params["name"]) if debian else pgdata
    owner = os.stat(pgdata).st_uid if there else None
    settings = wanted_settings(params, debian, owner)
    if changed and not module.check_mode:
        write(module, where, settings, debian)
    after = {"configuration_directory": where, "port": params["port"], "settings": settings}
    return {
        "changed": changed,
        "layout": "debian" if debian else "directory",
        "configuration_directory": where,
        "unit": f"postgresql@{params['version']}-{params['name']}" if debian else None,
        "diff": {"before": {} if changed else after, "after": after},
    }


def main() -> None:
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    try:
        result = run(module)
    except ClusterError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename or module.params['data_directory']}: {error.strerror}. Run it as root.")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
