# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils import (
    _config_file as config_file,
    _config_place as config_place,
)

NOBODY = {"owner": None, "group": None, "directories": False}


@pytest.mark.parametrize(
    ("uid", "params", "expected"),
    [
        (0, NOBODY, ["will belong to root"]),
        (0, {**NOBODY, "owner": "postgres"}, []),
        (1000, NOBODY, []),
    ],
)
def test_a_new_file_of_root_is_worth_a_warning(
    uid: int, params: dict[str, str | None], expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config_place.os, "geteuid", lambda: uid)
    found = config_place.place_warnings(str(tmp_path / "pgbackrest.conf"), params)
    assert len(found) == len(expected) and all(part in text for part, text in zip(expected, found, strict=True))


def test_a_missing_directory_is_seen_before_the_real_run(tmp_path: Path) -> None:
    params = {**NOBODY, "owner": "x"}
    found = config_place.place_warnings(str(tmp_path / "etc/pgbackrest.conf"), params)
    assert found == [f"The directory {tmp_path}/etc does not exist yet: set directories: true to have it made."]
    assert config_place.place_warnings(str(tmp_path / "etc/x.conf"), {**params, "directories": True}) == []


@pytest.fixture(name="etc")
def etc_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(config_file, "_DEFAULT_PATH", str(tmp_path / "pgbackrest"))
    monkeypatch.setattr(config_file, "_OLD_DEFAULT_FILE", str(tmp_path / "pgbackrest.conf"))
    (tmp_path / "pgbackrest").mkdir()
    return tmp_path


OURS = config_file.render({"main": {"pg1-path": "/pg"}})


@pytest.mark.parametrize(
    ("before", "after", "refused"),
    [
        ("[main]\npg1-path=/other\n", OURS, True),
        ("# by hand\n[main]\npg1-path = /pg\n", OURS, False),
        (f"{config_file.HEADER}\n[main]\npg1-path=/other\n", OURS, False),
        (f"# first\n{config_file.HEADER}\n[main]\npg1-path=/other\n", OURS, True),
        ("\n", OURS, False),
        ("[main]\npg1-path=/pg\n", "", True),
        (OURS, "", False),
        ("# nothing but a comment\n", "", False),
    ],
)
def test_a_file_of_somebody_else(etc: Path, before: str, after: str, refused: bool) -> None:
    path = etc / "main.conf"
    path.write_text(before)
    if not refused:
        config_place.check_foreign(str(path), after)
        return
    with pytest.raises(config_place.Refused) as error:
        config_place.check_foreign(str(path), after)
    assert str(error.value) == (
        f"{path} stands there, and this collection has not written it (it has [main]). Take over what you need of it, "
        "then set replace: always (in the roles pgbackrest_replace_configuration: true). backup: true keeps a copy."
    )


@pytest.mark.parametrize(
    ("content", "refused"),
    [
        ("[global]\nrepo1-path=/var/lib/pgbackrest\n#repo1-retention-full=2\n\n#[main]\n", False),
        ("", False),
        ("[global]\nrepo1-path=/srv/backup\n", True),
        ("[global]\nrepo1-path=/var/lib/pgbackrest\n[main]\npg1-path=/pg\n", True),
    ],
)
def test_the_old_main_file_that_would_not_be_read_any_more(etc: Path, content: str, refused: bool) -> None:
    old, new = etc / "pgbackrest.conf", etc / "pgbackrest/pgbackrest.conf"
    old.write_text(content)
    config_place.check_foreign(str(etc / "pgbackrest/conf.d/main.conf"), OURS)
    if refused:
        with pytest.raises(config_place.Refused, match=f"{old} would not be read any more beside {new}, and this"):
            config_place.check_foreign(str(new), OURS)
        new.write_text(OURS)  # then the old one is out of use already
    config_place.check_foreign(str(new), OURS)
