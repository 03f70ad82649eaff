#!/usr/bin/python

# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: config
short_description: Manage a pgBackRest configuration file
version_added: 0.1.0
description:
  - Writes one configuration file of pgBackRest, the main file or one file of C(conf.d), from YAML.
  - The file is checked before it replaces anything, by what the collection knows about every option of the installed
    version, and by pgBackRest itself. pgBackRest passes over most mistakes with a warning or in silence;
    here each of them is a failure, and all are reported at once.
  - The file is O(options) and nothing else. Lines that somebody added by hand are removed.
author:
  - pgops contributors (@pgops)
extends_documentation_fragment:
  - ansible.builtin.files
  - pgops.pgbackrest._attributes
options:
  path:
    description:
      - The file, such as C(/etc/pgbackrest/pgbackrest.conf) or C(/etc/pgbackrest/conf.d/main.conf).
      - Its directory must exist, unless O(directories=true). A symbolic link is followed.
    type: path
    required: true
  options:
    description:
      - Sections with their options. Required with O(state=present).
      - A section is V(global), V(global:COMMAND), the name of a stanza, or V(STANZA:COMMAND).
      - Options have pgBackRest's names as in its configuration reference, with index where it has one, such as
        C(repo1-path). Deprecated names are refused.
      - Values are YAML values. A boolean becomes C(y) or C(n). Sizes and times are whole numbers or texts such as
        V(4GiB) and V(30m). An option that may stand several times takes a list (C(exclude)) or a mapping
        (C(recovery-option), C(tablespace-map), C(tls-server-auth)). An empty list or mapping writes nothing.
      - An option that has no effect without another, or that pgBackRest requires with another, is checked with the
        other files that pgBackRest reads together with this one. So write the main file before the files of C(conf.d).
        In check mode the other files may not have their new content yet, so a file of C(conf.d) is then checked alone.
      - A C(#) after a blank is refused in values, except in those of secrets. pgBackRest knows comments only on
        lines of their own and would take it as part of the value.
      - Values of secrets are masked in results and in the diff. Secrets are what pgBackRest itself redacts
        (C(repo1-cipher-pass), C(repo1-s3-key-secret) and others), C(recovery-option) and C(repo1-s3-process-cmd).
    type: dict
  state:
    description: Whether the file shall be there.
    type: str
    choices: [absent, present]
    default: present
  also:
    description:
      - More files to write, one after the other after that of O(path), with the same program, checks and permissions.
        What is wrong with one of them leaves it and those after it as they are.
      - One task with many files takes far less time than many tasks.
      - Only with O(state=present).
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: As O(path).
        type: path
        required: true
      options:
        description: As O(options).
        type: dict
        required: true
      owner:
        description: As O(owner), which counts where this is left out.
        type: str
      group:
        description: As O(group), which counts where this is left out.
        type: str
  backup:
    description: Keep a copy of the file beside it before it is replaced or removed.
    type: bool
    default: false
  directories:
    description:
      - Make the directories on this host that the file needs and names. These are its own directory, C(log-path),
        C(spool-path), C(lock-path), and C(repoN-path) of repositories that lie on this host.
      - New directories get O(owner) and O(group) of the file, and mode V(0750). Without O(owner) they belong to the
        user to whom the file belongs.
      - Existing directories are left as they are. It is a failure when the user to whom the file belongs may not write
        in one of them, or may not enter that of the file.
    type: bool
    default: false
  replace:
    description:
      - Whether a file may be replaced or removed that this module has not written.
      - With V(own) such a file is a failure, unless it says the same as O(options). So is the main file
        C(/etc/pgbackrest/pgbackrest.conf) while C(/etc/pgbackrest.conf) holds more than its package put there, because
        pgBackRest would no longer read that.
    type: str
    choices: [always, own]
    default: always
  keep_passphrases:
    description:
      - Refuse to change, add or remove the passphrase of a repository that stays where it is, because nothing in it
        could be read any more, and the file may be the last place where the old one stands. Without it such a change
        is a warning.
      - A repository that gets another number, or another place, is no such change.
    type: bool
    default: false
  mode:
    description:
      - Permissions of the file. A new file gets V(0640), an existing one keeps what it has.
      - A file with secrets must not be readable for others. With secrets write the mode as a number, such as V('0640').
  executable:
    description:
      - Name or path of the pgBackRest program. It must be version 2.45 or newer.
      - In check mode the program may be missing, because an earlier task has only pretended to install it. The options
        are then checked for the newest version that the collection knows.
    type: str
    default: pgbackrest
notes:
  - While pgBackRest checks the file, its content stands in Ansible's temporary directory on the host, readable for
    this user only. Nothing else is written in check mode.
"""

EXAMPLES = r"""
---
- name: Settings for all stanzas
  pgops.pgbackrest.config:
    path: /etc/pgbackrest/pgbackrest.conf
    owner: postgres
    group: postgres
    options:
      global:
        repo1-path: /var/lib/pgbackrest
        repo1-cipher-type: aes-256-cbc
        repo1-cipher-pass: "{{ vault_repo1_passphrase }}"
        repo1-retention-full: 2
        repo1-bundle: true
        compress-type: zst
        start-fast: true
        log-level-file: detail
      global:archive-push:
        process-max: 2

- name: One cluster in a file of its own, which is not taken from somebody else
  pgops.pgbackrest.config:
    path: /etc/pgbackrest/conf.d/main.conf
    owner: postgres
    group: postgres
    mode: "0640"
    directories: true
    replace: own
    options:
      main:
        pg1-path: /var/lib/postgresql/15/main
        pg1-port: 5432
        exclude: [pg_stat_tmp, junk]
        recovery-option:
          primary_conninfo: "host=db1 user=replicator"

- name: The main file, and the file of a cluster
  pgops.pgbackrest.config:
    path: /etc/pgbackrest/pgbackrest.conf
    options:
      global: {start-fast: true}
    also:
      - path: /etc/pgbackrest/conf.d/main.conf
        options:
          main: {pg1-path: /var/lib/postgresql/17/main}
    owner: postgres
    group: postgres

- name: A cluster that is no more
  pgops.pgbackrest.config:
    path: /etc/pgbackrest/conf.d/old.conf
    state: absent
"""

RETURN = r"""
path:
  description: The file. When it is there its owner, group, mode and size are returned beside it.
  returned: always
  type: str
  sample: /etc/pgbackrest/conf.d/main.conf
stanzas:
  description: Names of the stanzas that O(options) configures.
  returned: success
  type: list
  elements: str
  sample: [main]
directories:
  description: The directories that were made, or in check mode would be.
  returned: O(state=present) and O(directories=true)
  type: list
  elements: str
  sample: [/etc/pgbackrest, /etc/pgbackrest/conf.d, /var/spool/pgbackrest]
pgbackrest_version:
  description: Version of the program for which the options were checked.
  returned: O(state=present)
  type: str
  sample: "2.55.1"
backup_file:
  description: The copy of the file as it was before.
  returned: O(backup=true) and the file was replaced or removed
  type: str
  sample: /etc/pgbackrest/conf.d/main.conf.4711.2026-11-22@20:26:11~
also:
  description: The files of O(also), each with what is returned for the file of O(path), and whether it was changed.
  returned: success and O(also) is given
  type: list
  elements: dict
  contains:
    path:
      description: The file.
      type: str
      returned: always
      sample: /etc/pgbackrest/conf.d/main.conf
    changed:
      description: Whether it was changed.
      type: bool
      returned: always
    stanzas:
      description: Names of the stanzas that it configures.
      type: list
      elements: str
      returned: always
      sample: [main]
problems:
  description: What is wrong with the options, each a sentence with a hint. Nothing was written.
  returned: failure because of the options
  type: list
  elements: str
  sample: ["[global] repo1-block needs pgBackRest 2.46, this host has 2.45, where it works only as beta (beta: true)."]
"""

import functools
import os
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _config_directories as places
from ..module_utils._catalogue import NEWEST, version_text
from ..module_utils._cli import PgBackRest, parse_version
from ..module_utils._config_file import (
    lost_passphrases,
    mask,
    masked_sections,
    merge,
    neighbours,
    parse,
    read,
    render,
    secret_values,
)
from ..module_utils._config_place import (
    DEFAULT_MODE,
    Refused,
    check_foreign,
    check_place,
    file_mode,
    place_warnings,
    remove,
    write,
)
from ..module_utils._config_program import verdict
from ..module_utils._config_rules import problems, warnings
from ..module_utils._messages import PgBackRestError

ALSO: dict[str, dict[str, t.Any]] = {
    "path": {"type": "path", "required": True},
    "options": {"type": "dict", "required": True, "no_log": True},
    "owner": {"type": "str"},
    "group": {"type": "str"},
}


@functools.lru_cache(maxsize=1)
def installed(module: AnsibleModule) -> tuple[PgBackRest | None, str]:
    """The program and its version; in check mode it may not be there yet."""
    if module.check_mode and not module.get_bin_path(module.params["executable"]):
        newest = version_text(NEWEST)
        module.warn(
            f"The program {module.params['executable']} is not on this host yet: the options are checked for "
            f"pgBackRest {newest}, and not by the program itself."
        )
        return None, newest
    program = PgBackRest(module)
    return program, program.version_text


def validate(
    module: AnsibleModule, path: str, options: dict[str, t.Any], program: PgBackRest | None, version: str
) -> None:
    """Raise Refused with all problems, those the catalogue knows, or else those pgBackRest tells."""
    texts = [read(name) for name in neighbours(path)]
    only_this = module.check_mode and os.path.basename(os.path.dirname(path)) == "conf.d"
    numbers = parse_version(version)
    found = problems(options, numbers, None if only_this else merge(map(parse, texts)))
    if found:
        raise Refused(found)
    if program:
        found, with_neighbours = verdict(program, options, path, texts, module.tmpdir)
        if found:
            raise Refused([f"pgBackRest {version} says: {sentence}." for sentence in found])
        for sentence in with_neighbours:
            module.warn(f"pgBackRest says about {path} together with the other files it reads: {sentence}.")


def prepare(module: AnsibleModule, path: str, options: dict[str, t.Any]) -> list[str]:
    """The directories to make, none of them made yet. Raise Refused when one could not be made or used."""
    if not module.params["directories"]:
        return []
    owner = module.params["owner"]
    uid = places.user_of(path, owner)
    if uid is None and not module.check_mode:
        raise Refused([f"The user {owner} is not on this host: install what makes it first, or correct owner."])
    others = [parse(read(name)) for name in neighbours(path)]
    own, named = os.path.dirname(path), places.named(parse(render(options)), others)
    found = [*places.problems([own], uid, places.ENTER), *places.problems(named, uid)]
    if found:
        raise Refused(found)
    return list(dict.fromkeys(part for directory in [own, *named] for part in places.missing(directory)))


def check(module: AnsibleModule, path: str, options: dict[str, t.Any]) -> tuple[str, list[str]]:
    """Raise Refused when the file must not be written; returns the program's version and the directories to make."""
    program, version = installed(module)
    validate(module, path, options, program, version)
    may_lack = module.check_mode or module.params["directories"]
    check_place(path, file_mode(path, module.params["mode"]), bool(secret_values(options)), may_lack)
    if module.params["replace"] == "own":
        check_foreign(path, render(options))
    directories = prepare(module, path, options)
    for warning in [*warnings(options, parse_version(version)), *place_warnings(path, module.params)]:
        module.warn(warning)
    return version, directories


def protect_passphrases(module: AnsibleModule, lost: t.Sequence[str]) -> None:
    """Raise Refused when passphrases change that repositories were made with, or warn about it."""
    if lost and module.params["keep_passphrases"]:
        raise Refused(
            [
                f"{key} is not the passphrase that stands there, and the repository is the same: pgBackRest could "
                "read none of its backups. Write the old passphrase, and for a new one add a new repository. If "
                "what stands there is wrong, set keep_passphrases: false (in the roles "
                "pgbackrest_replace_configuration: true, which keeps a copy of the file)."
                for key in lost
            ]
        )
    for key in lost:
        module.warn(
            f"{key} changes: pgBackRest cannot read what is in the repository with another passphrase. For a new "
            "passphrase start a new repository."
        )


def present(module: AnsibleModule, path: str, options: dict[str, t.Any]) -> dict[str, t.Any]:
    """Let the file say what the options say."""
    if not any(options.values()):
        raise Refused(["options name no option: use state: absent to remove the file."])
    version, directories = check(module, path, options)
    exists, before, after = os.path.exists(path), read(path), render(options)
    protect_passphrases(module, lost_passphrases(before, after))
    result: dict[str, t.Any] = {"changed": before != after or bool(directories), "pgbackrest_version": version}
    if module.params["directories"]:
        result["directories"] = directories
    if not module.check_mode:
        places.make(module, directories, places.user_of(path, module.params["owner"]))
        result.update(write(module, path, after) if before != after else {})
    attributes = module.load_file_common_arguments(module.params, path=path)
    if not exists and attributes["mode"] is None:
        attributes["mode"] = DEFAULT_MODE
    attribute_diff: dict[str, t.Any] = {}
    result["changed"] = module.set_fs_attributes_if_different(attributes, result["changed"], attribute_diff)
    return {**result, "diff": difference(path, before, after, attribute_diff, directories)}


def difference(
    path: str, before: str, after: str, attributes: t.Mapping[str, t.Any], directories: t.Sequence[str] = ()
) -> t.Any:
    """The diff without secrets; with those of new directories, and of the owner or mode of an existing file."""
    diffs: list[dict[str, t.Any]] = []
    if directories:
        text = "".join(f"{directory}\n" for directory in directories)
        diffs.append({"before": "", "after": text, "before_header": "directories", "after_header": "directories"})
    diffs.append({"before": mask(before), "after": mask(after, before), "before_header": path, "after_header": path})
    if attributes and before:
        header = f"{path} (owner and permissions)"
        diffs.append({**attributes, "before_header": header, "after_header": header})
    return diffs[0] if len(diffs) == 1 else diffs


def absent(module: AnsibleModule, path: str) -> dict[str, t.Any]:
    """Let the file not be there."""
    if not os.path.lexists(path):
        return {"changed": False}
    if module.params["replace"] == "own":
        check_foreign(path, "")
    diff = difference(path, read(path), "", {})
    kept = {} if module.check_mode else remove(module, path)
    return {"changed": True, "diff": diff, **kept}


def take_files(module: AnsibleModule) -> list[dict[str, t.Any]]:
    """The files with their options; from now on only the secrets among these are hidden in what the module returns."""
    given = [module.params, *module.params["also"]]
    files = []
    for params in given:
        path = os.path.realpath(params["path"]) if module.params["state"] == "present" else params["path"]
        place = {name: params[name] or module.params[name] for name in ("owner", "group")}
        files.append({"path": path, "options": params["options"] or {}, **place})
    module.no_log_values = set().union(*(secret_values(file["options"]) for file in files))
    for params, file in zip(given, files):
        params["options"] = masked_sections(file["options"])
    return files


def let_one(module: AnsibleModule, file: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Let one file be as asked for, or end the module."""
    path, options, state = file["path"], file["options"], module.params["state"]
    module.params.update(owner=file["owner"], group=file["group"])
    try:
        result = present(module, path, options) if state == "present" else absent(module, path)
    except PgBackRestError as error:
        module.fail_json(**error.result())
    except Refused as refused:
        done = "written" if state == "present" else "removed"
        module.fail_json(msg=f"{path} was not {done}. {refused}", problems=refused.problems)
    stanzas = dict.fromkeys(section.partition(":")[0] for section in options)
    return {"path": path, "stanzas": [name for name in stanzas if name != "global"], **result}


def together(files: t.Sequence[dict[str, t.Any]]) -> dict[str, t.Any]:
    """The result: that of the first file, what became of the others, and all their diffs."""
    if len(files) == 1:
        return files[0]
    diffs = [file.pop("diff") for file in files]
    flat = [part for diff in diffs for part in (diff if isinstance(diff, list) else [diff])]
    changed = any(file["changed"] for file in files)
    return {**files[0], "changed": changed, "diff": flat, "also": list(files[1:])}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            # no_log keeps the values out of the system log until take_files() tells secrets from the rest.
            "options": {"type": "dict", "no_log": True},
            "state": {"type": "str", "choices": ["absent", "present"], "default": "present"},
            "also": {"type": "list", "elements": "dict", "default": [], "options": ALSO},
            "backup": {"type": "bool", "default": False},
            "directories": {"type": "bool", "default": False},
            "replace": {"type": "str", "choices": ["always", "own"], "default": "always"},
            "keep_passphrases": {"type": "bool", "default": False, "no_log": False},
            "executable": {"type": "str", "default": "pgbackrest"},
        },
        add_file_common_args=True,
        required_if=[("state", "present", ["options"])],
        supports_check_mode=True,
    )
    if module.params["also"] and module.params["state"] == "absent":
        module.fail_json(msg="also is for state: present. Remove each file by a task of its own.")
    module.exit_json(**together([let_one(module, file) for file in take_files(module)]))


if __name__ == "__main__":
    main()
