# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import importlib.util
import typing as t
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture(name="generator", scope="module")
def generator_fixture() -> t.Any:
    spec = importlib.util.spec_from_file_location("generate_options", ROOT / "tests/tools/generate_options.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["_options.py", "_option_names.py"])
def test_generated_file_fits_the_catalogue(generator: t.Any, name: str) -> None:
    text = (ROOT / "plugins/module_utils" / name).read_text(encoding="utf-8")
    assert text == generator.generate()[name], "run python3 tests/tools/generate_options.py"


def test_generated_lines_are_short(generator: t.Any) -> None:
    assert max(len(line) for text in generator.generate().values() for line in text.splitlines()) <= 120


def test_every_option_of_every_version_is_found(generator: t.Any) -> None:
    """The spans say for each version the same as the catalogue does."""
    catalogue_module = importlib.import_module("ansible_collections.pgops.pgbackrest.plugins.module_utils._catalogue")
    raw = generator.load()
    for number, text in enumerate(raw["versions"]):
        present = {
            name
            for name, spans in raw["options"].items()
            if any(raw["versions"].index(span["from"]) <= number <= raw["versions"].index(span["to"]) for span in spans)
        }
        found = {name for name in raw["options"] if catalogue_module.find(name, generator.version(text))}
        assert found == present, text
