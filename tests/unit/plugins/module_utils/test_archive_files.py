# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Both ways to see the files of an archive."""

from __future__ import annotations

import json
import os
import typing as t
from pathlib import Path

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils._archive_files import files_in_directory, files_in_json
from hypothesis import given, strategies as st

LOG = "0000000100000000"
SEGMENT = f"{LOG}00000003-{'a' * 40}.gz"
# As 2.45 prints it.
RECORDED = (
    '{".":{"type":"path"},"0000000100000000":{"type":"path"},"0000000100000000/we\\"ird\\nname":{"type":"file","size":0,'
    '"time":7},"0000000100000001":{"type":"link","destination":"}, {\\"a\\": "},"00000002.history":{"type":"file",'
    '"size":0,"time":1795430391},"fifo":{"type":"special"}}\n'
)


def pieces(text: str, size: int) -> t.Iterator[str]:
    return (text[start : start + size] for start in range(0, len(text), size))


@pytest.mark.parametrize("before", ["", "P00   WARN: configuration file contains invalid option 'x'\n"])
@pytest.mark.parametrize("size", [1, 7, 64, 1000])
def test_json_in_pieces_after_messages(before: str, size: int) -> None:
    found = list(files_in_json(pieces(before + RECORDED, size)))
    assert found == [(f'{LOG}/we"ird\nname', 7), ("00000002.history", 1795430391)]


_TEXT = st.text(st.characters(codec="utf-8"))
_FILE = st.fixed_dictionaries({"type": st.just("file"), "size": st.integers(0), "time": st.integers(0)})
_OTHER = st.fixed_dictionaries({"type": st.sampled_from(["path", "link"]), "destination": _TEXT})


@given(st.dictionaries(_TEXT, _FILE | _OTHER), st.integers(1, 50), st.sampled_from([None, 2]), st.booleans())
def test_json_of_any_kind(listing: dict[str, t.Any], size: int, indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(listing, indent=indent, ensure_ascii=ascii_only)
    expected = [(name, entry["time"]) for name, entry in listing.items() if entry["type"] == "file"]
    assert list(files_in_json(pieces(text, size))) == expected


@pytest.mark.parametrize("text", ["", "no JSON", RECORDED[:-2], RECORDED[:-30], '{"a": 1}', "[]", RECORDED + "more"])
def test_what_is_not_understood_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="not the JSON of a listing"):
        list(files_in_json(iter([text])))


def test_files_of_a_directory(tmp_path: Path) -> None:
    for name in (LOG, "0000000200000000", "no log", "0000000100000001"):
        (tmp_path / name).mkdir()
    (tmp_path / "0000000300000000").symlink_to(LOG)
    (tmp_path / LOG / "00000001000000000000000A-x").symlink_to("/etc/hostname")
    (tmp_path / LOG / "directory").mkdir()
    for number, name in enumerate(("00000002.history", f"{LOG}/{SEGMENT}", "0000000200000000/x", "no log/y")):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (5, 1000.9 + number))
    expected = [("00000002.history", 1000), (f"{LOG}/{SEGMENT}", 1001), ("0000000200000000/x", 1002)]
    assert sorted(files_in_directory(str(tmp_path))) == sorted(expected)


def test_what_expires_meanwhile_is_passed_over(tmp_path: Path) -> None:
    for name in (LOG, "0000000100000001"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "one").touch()
        (tmp_path / name / "two").touch()
    found = files_in_directory(str(tmp_path))
    first = next(found)[0].partition("/")[0]
    for name in (LOG, "0000000100000001"):
        for file in ("one", "two"):
            (tmp_path / name / file).unlink()
        (tmp_path / name).rmdir()
    assert [path for path, dummy in found if not path.startswith(first)] == []


def test_a_directory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(files_in_directory(str(tmp_path / "none")))
