# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files that are there whole or not at all, also after a crash of the host. Private to the collection."""

from __future__ import annotations

import contextlib
import filecmp
import json
import os
import shutil
import typing as t

from ._cluster import ClusterError


def sync_directory(path: str) -> None:
    """Make the names in a directory last."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_private_directory(path: str) -> None:
    """Make a directory, and those above it, that only its owner may read."""
    if os.path.isdir(path):
        return
    parent = os.path.dirname(path)
    make_private_directory(parent)
    os.mkdir(path, 0o700)
    sync_directory(parent)


def write_text(path: str, text: str) -> None:
    """Replace a file (mode 0600) by this text, all at once. No link that lies there is followed."""
    temporary = f"{path}.tmp"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    sync_directory(os.path.dirname(path))


def write_json(path: str, data: t.Mapping[str, t.Any]) -> None:
    """Replace a file (mode 0600) by this data, all at once."""
    write_text(path, json.dumps(data, indent=1, sort_keys=True) + "\n")


def read_json(path: str) -> dict[str, t.Any] | None:
    """The data of a file; None when there is none. Raises ClusterError when it holds something else."""
    try:
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ClusterError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        data = None
    if not isinstance(data, dict):
        raise ClusterError(f"{path} is not what this collection wrote there. Look at it, and move it away.")
    return data


def remove(path: str) -> None:
    """Remove a file for good; it may be missing."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
        sync_directory(os.path.dirname(path))


def copy_file(source: str, target: str, mode: int = 0o600) -> None:
    """Copy a file under a temporary name, then give it its own; ``target`` appears whole.

    The names in the directory are the caller's to sync: that is needed once for many files.
    """
    temporary = f"{target}.tmp"
    try:
        with open(source, "rb") as reader, open(temporary, "wb", opener=_private) as writer:
            shutil.copyfileobj(reader, writer, 1024**2)
            writer.flush()
            os.fchmod(writer.fileno(), mode)
            os.fsync(writer.fileno())
        os.rename(temporary, target)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)  # on a full disk it is in the way of everybody
        raise


def same_content(one: str, other: str) -> bool:
    """Whether two files hold the same bytes."""
    return os.path.getsize(one) == os.path.getsize(other) and filecmp.cmp(one, other, shallow=False)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
