# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two ways to see the files of an archive: its directory on this host, or ``pgbackrest repo-ls``. Private.

The directory is several times faster. Both give one file after another, so that a million of them need no memory here.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import typing as t

from ._archive_listing import Entry

_LOG = re.compile(r"[0-9A-F]{16}")
_STRING = r'"(?:[^"\\]|\\.)*"'
_MEMBER = re.compile(rf"[{{,\s]*({_STRING})\s*:\s*(\{{(?:[^{{}}\"]|{_STRING})*\}})")
_BEGINNING = re.compile(r"^\{", re.MULTILINE)


def files_in_directory(path: str) -> t.Iterator[Entry]:
    """Files of an archive id that lies on this host. Raises OSError; what goes meanwhile is passed over."""
    with os.scandir(path) as entries:
        top = list(entries)
    yield from _files(top, "")
    for log in top:
        if _LOG.fullmatch(log.name) and log.is_dir(follow_symlinks=False):
            with contextlib.suppress(FileNotFoundError), os.scandir(log.path) as entries:
                yield from _files(entries, f"{log.name}/")


def files_in_json(chunks: t.Iterable[str]) -> t.Iterator[Entry]:
    """Files in the answer of ``repo-ls --recurse --output=json``, read piece by piece. Raises ValueError."""
    for name, entry in _members(_without_messages(chunks)):
        if entry.get("type") == "file":
            yield name, entry["time"]


def _files(entries: t.Iterable[os.DirEntry[str]], above: str) -> t.Iterator[Entry]:
    for entry in entries:
        try:
            if entry.is_file(follow_symlinks=False):
                yield above + entry.name, int(entry.stat(follow_symlinks=False).st_mtime)
        except FileNotFoundError:
            continue


def _members(chunks: t.Iterator[str]) -> t.Iterator[tuple[str, dict[str, t.Any]]]:
    """Keys and values of a JSON object whose values are flat objects. Raises ValueError for anything else."""
    text = ""
    for chunk in chunks:
        text += chunk
        end, member = 0, _MEMBER.match(text)
        while member:
            yield json.loads(member.group(1), strict=False), json.loads(member.group(2), strict=False)
            end = member.end()
            member = _MEMBER.match(text, end)
        text = text[end:]
    if text.strip() not in ("}", "{}"):
        raise ValueError(f"not the JSON of a listing: {text[:200]!r}")


def _without_messages(chunks: t.Iterable[str]) -> t.Iterator[str]:
    """Output from the line on that begins its JSON: warnings about the configuration may come before it."""
    text, rest = "", iter(chunks)
    for chunk in rest:
        text += chunk
        beginning = _BEGINNING.search(text)
        if beginning:
            yield text[beginning.start() :]
            yield from rest
            return
    yield text
