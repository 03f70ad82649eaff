# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""usage: role_arguments.py <directory of roles>

Checks that meta/argument_specs.yml and defaults/main.yml of each role name the same variables with the same defaults of
the right types. Ansible itself only validates with the specification; the defaults that count are the other file's.
"""

from __future__ import annotations

import sys
import typing as t
from pathlib import Path

import yaml

TYPES = {"bool": bool, "dict": dict, "int": int, "list": list, "path": str, "raw": object, "str": str}


def read(path: Path) -> dict[str, t.Any]:
    """A YAML file that holds a mapping."""
    return t.cast("dict[str, t.Any]", yaml.safe_load(path.read_text(encoding="utf-8")))


def has_type(value: t.Any, name: str) -> bool:
    """Whether a value is of the type, where a template in place of a number or list is none."""
    return isinstance(value, TYPES[name]) and (name == "bool" or not isinstance(value, bool))


def problems(defaults: dict[str, t.Any], options: dict[str, t.Any]) -> t.Iterator[str]:
    """What is not in step."""
    for name in sorted({*defaults, *options}):
        if name not in options:
            yield f"{name} is not in argument_specs.yml"
        elif name not in defaults:
            yield f"{name} has no default in defaults/main.yml"
        elif not options[name].get("description"):
            yield f"{name} has no description in argument_specs.yml"
        elif options[name].get("default") != defaults[name]:
            yield f"{name} is {defaults[name]!r} in defaults/main.yml, {options[name].get('default')!r} in the other"
        elif not has_type(defaults[name], options[name]["type"]):
            yield f"{name} is {defaults[name]!r}, which is no {options[name]['type']}"


def main(directory: Path) -> int:
    """Print all problems of all roles; the exit status."""
    found = []
    for role in sorted(path for path in directory.iterdir() if path.is_dir()):
        options = read(role / "meta/argument_specs.yml")["argument_specs"]["main"]["options"]
        found += [f"{role.name}: {problem}" for problem in problems(read(role / "defaults/main.yml"), options)]
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
