# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes the execution environment as users do, from the definition that they have, with ansible-builder.

No registry of images and no Galaxy is asked: the base image is made here, and the collections are archives made here.
"""

from __future__ import annotations

import glob
import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import typing as t

import yaml
from playbook import ephemeral

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "../.."))
DEFINITION = f"{ROOT}/playbooks/files/awx/execution-environment.yml"
REQUIREMENTS = f"{ROOT}/tests/requirements/base_image.txt"
SUITE, PYTHON = "bookworm", "3.11"
# What the host has for PostgreSQL is taken away: a controller has neither psycopg2 nor programs of PostgreSQL.
BASE = """\
FROM pgops-pgbackrest/{suite}:{tag}
RUN apt-get purge --yes --quiet=2 --autoremove postgresql-common postgresql-client-common python3-psycopg2
COPY . /base
RUN PYTHONPATH=$(echo /base/wheels/pip-*.whl) python3 -m pip install --break-system-packages --root-user-action ignore \
    --no-index --find-links /base/wheels --requirement /base/base_image.txt && rm -r /base
CMD ["bash"]
"""
# For Debian instead of the RHEL family, and it has pip.
OPTIONS = {"package_manager_path": "/usr/bin/apt-get", "skip_pip_install": True}


def run(*words: str) -> str:
    """Output of a program that must succeed."""
    done = subprocess.run(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env={**os.environ, "DOCKER_BUILDKIT": "0"},  # not everywhere does docker have the other builder
    )
    assert done.returncode == 0, f"{' '.join(words)}: {done.stdout}"
    return done.stdout


def image() -> str:
    """The execution environment, made anew when something of it has changed."""
    given = definition(base_image(), archives())
    contents = [file_list(entry["src"]) for entry in given["additional_build_files"]]
    version = importlib.metadata.version("ansible-builder")
    reference = reference_of("execution-environment", yaml.safe_dump(given), *contents, version)
    if not exists(reference):
        with open(ephemeral("environment.yml"), "w", encoding="utf-8") as file:
            yaml.safe_dump(given, file)
        words = ["--file", file.name, "--context", ephemeral("context"), "--tag", reference, "--verbosity", "3"]
        words += ["--container-runtime", "docker", "--extra-build-cli-args", "--force-rm --network none"]
        run("ansible-builder", "build", *words)
        remove_older("execution-environment", reference)
    return reference


def definition(base: str, files: t.Sequence[str]) -> dict[str, t.Any]:
    """The users' definition, with another base image and with the same collections from archives."""
    given: dict[str, t.Any] = yaml.safe_load(text_of(DEFINITION))
    given["images"]["base_image"]["name"] = base
    given["additional_build_files"] = [{"src": path, "dest": "archives"} for path in files]
    given["dependencies"]["galaxy"]["collections"] = [
        {"name": f"archives/{os.path.basename(path)}", "type": "file"} for path in files
    ]
    given["options"] = OPTIONS
    return given


# Collections


def archives() -> list[str]:
    """What Galaxy would give: our collection as it is now, others as the package ansible has them."""
    names = [entry["name"] for entry in yaml.safe_load(text_of(DEFINITION))["dependencies"]["galaxy"]["collections"]]
    out = ephemeral("collections")
    shutil.rmtree(out, ignore_errors=True)
    sources = [ROOT if name == "pgops.pgbackrest" else unpacked(name, f"{out}/{name}") for name in names]
    run("ansible-galaxy", "collection", "build", *sources, "--output-path", out)
    found = sorted(glob.glob(f"{out}/*.tar.gz"))
    assert len(found) == len(names)
    return found


def unpacked(name: str, directory: str) -> str:
    """A collection of the package ansible, as its sources were: the package leaves files out, and their list is old."""
    shutil.copytree(os.path.join(sysconfig.get_path("purelib"), "ansible_collections", *name.split(".")), directory)
    os.remove(f"{directory}/FILES.json")
    with open(f"{directory}/MANIFEST.json", encoding="utf-8") as file:
        known = json.load(file)["collection_info"]
    os.remove(file.name)
    keys = ("namespace", "name", "version", "readme", "authors", "dependencies")
    with open(f"{directory}/galaxy.yml", "w", encoding="utf-8") as file:
        yaml.safe_dump({key: known[key] for key in keys}, file)
    return directory


def file_list(path: str) -> str:
    """The files of an archive with their checksums. The archive itself is another one each time."""
    with tarfile.open(path) as files:
        member = files.extractfile("FILES.json")
        assert member
        return member.read().decode()


# Images


def base_image() -> str:
    """An image with Ansible, ansible-runner, pip and an SSH client."""
    dockerfile = BASE.format(suite=SUITE, tag=os.environ["PGOPS_IMAGES_TAG"])
    files = [REQUIREMENTS, os.path.join(os.path.dirname(REQUIREMENTS), "ansible.txt")]
    reference = reference_of("base", dockerfile, *map(text_of, files))
    if not exists(reference):
        context = ephemeral("base")
        shutil.rmtree(context, ignore_errors=True)
        os.makedirs(context)
        for path in files:
            shutil.copy(path, context)
        with open(f"{context}/Dockerfile", "w", encoding="utf-8") as file:
            file.write(dockerfile)
        kind = ["--python-version", PYTHON, "--platform", f"manylinux2014_{platform.machine()}"]
        words = ["download", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:", *kind]
        run(sys.executable, "-m", "pip", *words, "--dest", f"{context}/wheels", "--requirement", REQUIREMENTS)
        run("docker", "build", "--force-rm", "--network", "none", "--tag", reference, context)
        remove_older("base", reference)
    return reference


def text_of(path: str) -> str:
    """Content of a file."""
    with open(path, encoding="utf-8") as file:
        return file.read()


def reference_of(name: str, *parts: str) -> str:
    """Name of an image that is made of this."""
    return f"pgops-pgbackrest/{name}:{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:12]}"


def exists(reference: str) -> bool:
    """Whether this very image was made already."""
    return reference in run("docker", "images", "--format", "{{.Repository}}:{{.Tag}}").split()


def remove_older(name: str, reference: str) -> None:
    """Remove images of that name but this one, and what is left of building them."""
    found = run("docker", "images", "--format", "{{.Repository}}:{{.Tag}}", f"pgops-pgbackrest/{name}").split()
    for older in set(found) - {reference}:
        run("docker", "rmi", older)
    run("docker", "image", "prune", "--force", "--filter", "label=pgops.pgbackrest.tests")
