# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import doctest
import re
import typing as t
from pathlib import Path

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils import (
    _config_file as config_file,
    _option_names,
    _options,
)
from hypothesis import given, settings, strategies as st

WORDS = st.text(st.characters(blacklist_categories=["Cc", "Cs", "Zs", "Zl", "Zp"]), min_size=1, max_size=20)
VALUES = st.lists(WORDS, min_size=1, max_size=3).map(" ".join)
NAMES = st.from_regex(r"[a-z][a-z0-9]{0,8}(-[a-z]{1,8}){0,2}", fullmatch=True)
SUBKEYS = st.from_regex(r"[a-z_]{1,10}", fullmatch=True)
SCALARS = st.one_of(VALUES, st.integers(), st.booleans())
OPTIONS = st.dictionaries(
    NAMES,
    st.one_of(
        SCALARS,
        st.lists(VALUES, min_size=1, max_size=3),
        st.dictionaries(SUBKEYS, VALUES, min_size=1, max_size=3),
    ),
    min_size=1,
    max_size=5,
)
OWNERS = st.sampled_from(["global", "main", "web-1"])
SECTIONS = st.dictionaries(
    st.one_of(OWNERS, OWNERS.map(lambda owner: f"{owner}:backup")), OPTIONS, min_size=1, max_size=4
)
SECRET_KEYS = st.sampled_from(
    ["repo1-cipher-pass", "repo12-s3-key", "repo-s3-key-secret", "repo1-azure-account", "repo2-s3-process-cmd"]
)


def raw_values(value: t.Any) -> list[str]:
    """The values of an option as they stand behind the first = of each line."""
    if isinstance(value, dict):
        return [f"{key}={value[key]}" for key in sorted(value)]
    if isinstance(value, list):
        return value
    return [{True: "y", False: "n"}[value] if isinstance(value, bool) else str(value)]


def test_examples_in_the_documentation() -> None:
    assert doctest.testmod(config_file).failed == 0


@settings(deadline=None, max_examples=60)
@given(SECTIONS)
def test_parse_gives_back_what_render_wrote(sections: dict[str, t.Any]) -> None:
    expected = {
        section: {key: raw_values(value) for key, value in options.items()} for section, options in sections.items()
    }
    assert config_file.parse(config_file.render(sections)) == expected


@settings(deadline=None, max_examples=60)
@given(SECTIONS, st.randoms())
def test_render_does_not_depend_on_the_order_of_mappings(sections: dict[str, t.Any], random: t.Any) -> None:
    def shuffled(mapping: dict[str, t.Any]) -> dict[str, t.Any]:
        items = list(mapping.items())
        random.shuffle(items)
        return {key: shuffled(value) if isinstance(value, dict) else value for key, value in items}

    assert config_file.render(shuffled(sections)) == config_file.render(sections)


@settings(deadline=None, max_examples=60)
@given(SECTIONS, SECRET_KEYS, VALUES.filter(lambda value: len(value) > 7 and "*" not in value))
def test_no_secret_passes_the_mask(sections: dict[str, t.Any], key: str, value: str) -> None:
    value = f"<{value}>"
    text = config_file.render({**sections, "main": {key: value, "recovery-option": {"primary_conninfo": value}}})
    foreign = f"{text}#{key} = {value}\n  {key}   =  {value}  \n{key}: {value}\nrecovery-option = a = {value}\n"
    masked = config_file.mask(foreign)
    assert value not in masked
    assert len(masked.split("\n")) == len(foreign.split("\n"))


@settings(deadline=None, max_examples=60)
@given(SECTIONS)
def test_mask_changes_nothing_but_secrets(sections: dict[str, t.Any]) -> None:
    harmless = {
        section: {key: value for key, value in options.items() if not config_file.secret(key)}
        for section, options in sections.items()
    }
    text = config_file.render(harmless)
    assert config_file.mask(text) == text


def test_rendered_text_is_in_a_fixed_readable_order() -> None:
    sections: config_file.Sections = {
        "web": {"pg1-path": "/w"},
        "main:backup": {"delta": True},
        "main": {"pg2-path": "/b", "pg10-path": "/c", "pg1-path": "/a", "exclude": ["z", "a"], "db-include": []},
        "global:archive-push": {"process-max": 2},
        "global": {"start-fast": False, "link-map": {"pg_wal": "/wal", "conf": "/etc"}},
        "empty": {},
    }
    assert config_file.render(sections) == (
        "# Managed by Ansible (pgops.pgbackrest.config)\n"
        "\n[global]\nlink-map=conf=/etc\nlink-map=pg_wal=/wal\nstart-fast=n\n"
        "\n[global:archive-push]\nprocess-max=2\n"
        "\n[main]\nexclude=z\nexclude=a\npg1-path=/a\npg2-path=/b\npg10-path=/c\n"
        "\n[main:backup]\ndelta=y\n"
        "\n[web]\npg1-path=/w\n"
    )


def test_parse_reads_as_pgbackrest_does() -> None:
    text = "# c\n[global]\r\n  # indented comment\n a = b = c # d \n;x=1\nno equals sign\n[m]\nexclude=1\n\nexclude=2\n"
    assert config_file.parse(text) == {
        "global": {"a": ["b = c # d"], ";x": ["1"]},
        "m": {"exclude": ["1", "2"]},
    }


@pytest.mark.parametrize(
    ("key", "today"),
    [
        ("repo-path", "repo1-path"),
        ("repo2-s3-verify-tls", "repo2-storage-verify-tls"),
        ("repo-azure-host", "repo1-storage-host"),
        ("db-user", "pg1-host-user"),
        ("db3-ssh-port", "pg3-host-port"),
        ("backup-host", "repo1-host"),
        ("hardlink", "repo1-hardlink"),
        ("archive-queue-max", "archive-push-queue-max"),
        ("retention-archive-type", "repo1-retention-archive-type"),
        ("db-include", "db-include"),
        ("repo", "repo"),
        ("unknown", "unknown"),
    ],
)
def test_deprecated_names(key: str, today: str) -> None:
    assert config_file.canonical(key) == today


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("repo1-cipher-pass", True),
        ("repo-cipher-pass", True),
        ("repo256-s3-token", True),
        ("repo1_cipher_pass", True),
        ("recovery-option", True),
        ("repo1-s3-process-cmd", True),
        ("repo1-gcs-key", True),
        ("repo1-cipherpas-pass", True),
        ("repo1-new-secret-of-2-99", True),
        ("repo1-gcs-key-type", False),
        ("repo1-host-key-file", False),
        ("repo1-s3-kms-key-id", False),
        ("repo1-path", False),
        ("tls-server-key-file", False),
    ],
)
def test_names_of_secrets(key: str, expected: bool) -> None:
    assert config_file.secret(key) is expected


def test_secret_values_are_found_in_any_structure() -> None:
    sections = {
        "global": {"repo1-cipher-pass": "abc", "repo1-s3-key": 12, "repo1-path": "/x", "repo1-s3-token": None},
        "main": {"recovery-option": {"primary_conninfo": "host=a password = 'xyz' port=1", "primary_slot_name": "s"}},
        "repo1-s3-key-secret": "without section",
        "n": {"repo1-s3-process-cmd": ["cmd", "--key=0815"]},
    }
    assert config_file.secret_values(sections) == {
        "abc", "12", "host=a password = 'xyz' port=1", "xyz", "without section", "--key=0815",
    }  # fmt: skip
    assert "abc" not in str(config_file.masked_sections(sections))


def test_precedence_of_sections() -> None:
    raw = config_file.parse(
        "[global]\nretention-full=1\nprocess-max=1\nexclude=a\ndelta=n\n[global:backup]\nprocess-max=2\n"
        "[main]\npg1-path=/a\nexclude=b\nprocess-max=3\n[main:backup]\nprocess-max=4\n[other]\ndelta=y\n"
    )
    assert config_file.effective(raw, "main", "backup") == {
        "process-max": ["4"], "pg1-path": ["/a"], "exclude": ["b"], "delta": ["n"], "repo1-retention-full": ["1"],
    }  # fmt: skip
    assert config_file.effective(raw, "main", "check")["process-max"] == ["3"]
    assert config_file.effective(raw, None, "backup")["process-max"] == ["2"]
    assert config_file.effective(raw, None, None)["process-max"] == ["1"]


def test_files_are_read_as_pgbackrest_looks_them_up(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "pgbackrest.conf").write_text("[global]\nexclude=1\n", encoding="utf-8")
    (tmp_path / "conf.d" / "b.conf").write_text("[global]\nexclude=3\n[b]\npg1-path=/b\n", encoding="utf-8")
    (tmp_path / "conf.d" / "a.conf").write_bytes(b"[global]\nexclude=2\xff\n")
    (tmp_path / "conf.d" / "c.cnf").write_text("[c]\npg1-path=/c\n", encoding="utf-8")
    raw = config_file.read_files(config_path=str(tmp_path))
    assert raw == {"global": {"exclude": ["1", "2\udcff", "3"]}, "b": {"pg1-path": ["/b"]}}
    assert config_file.read_files(config=str(tmp_path / "pgbackrest.conf")) == {"global": {"exclude": ["1"]}}
    assert config_file.read_files(config=str(tmp_path / "absent.conf")) == {}


def test_neighbours(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    names = ["pgbackrest.conf", "conf.d/a.conf", "conf.d/b.conf", "other.conf"]
    main, a, b, other = (str(tmp_path / name) for name in names)
    for path in (main, a, b, other):
        Path(path).touch()
    assert config_file.neighbours(a) == [main, b]
    assert config_file.neighbours(main) == [a, b]
    assert config_file.neighbours(other) == []


def test_a_changed_secret_shows_in_the_diff_but_not_its_value() -> None:
    before = "[global]\nrepo1-cipher-pass=old\nrepo1-s3-key=same\n"
    after = "[global]\nrepo1-cipher-pass=new\nrepo1-s3-key=same\nrepo2-cipher-pass=first\n"
    assert config_file.mask(after, before) == (
        "[global]\nrepo1-cipher-pass=******** (changed)\nrepo1-s3-key=********\nrepo2-cipher-pass=********\n"
    )


@pytest.mark.parametrize(
    ("before", "after", "lost"),
    [
        ("repo1-path=/a\nrepo1-cipher-pass=1", "repo1-path=/a\nrepo1-cipher-pass=2", ["repo1-cipher-pass"]),
        ("repo1-cipher-pass=1", "repo1-path=/var/lib/pgbackrest\nrepo1-cipher-pass=2", ["repo1-cipher-pass"]),
        ("repo1-path=/a\nrepo1-cipher-pass=1", "repo1-path=/a", ["repo1-cipher-pass"]),
        ("repo1-path=/a", "repo1-path=/a\nrepo1-cipher-pass=1", ["repo1-cipher-pass"]),
        ("repo1-path=/a\nrepo1-cipher-pass=1", "repo2-path=/a\nrepo2-cipher-pass=2", ["repo2-cipher-pass"]),
        ("repo1-path=/a\nrepo1-cipher-pass=1", "repo2-path=/a\nrepo2-cipher-pass=1", []),
        ("repo1-path=/a\nrepo1-cipher-pass=1", "repo1-path=/b\nrepo1-cipher-pass=2", []),
        ("repo1-type=s3\nrepo1-s3-bucket=a", "repo1-type=s3\nrepo1-s3-bucket=b\nrepo1-cipher-pass=2", []),
        ("repo1-host=b\nrepo1-path=/a", "repo1-host=b\nrepo1-path=/a\nrepo1-cipher-pass=2", []),
    ],
)
def test_passphrases_belong_to_the_place_of_a_repository(before: str, after: str, lost: list[str]) -> None:
    assert config_file.lost_passphrases(f"[main]\n{before}\n", f"[main]\n{after}\n") == lost


@pytest.mark.parametrize("key", ["repo1-cipher-pas", "repo1-ciper-pss", "repo1-s3-kye-secret"])
def test_a_misspelt_secret_is_masked(key: str) -> None:
    assert config_file.mask(f"[global]\n{key}=TopSecret1\n") == f"[global]\n{key}=********\n"


def test_no_option_is_taken_for_a_misspelt_secret() -> None:
    hidden = {name for name in _options.OPTIONS if config_file.secret(name)} - _option_names.SECRETS
    assert hidden <= {name for name in hidden if re.search("pass|secret|token|credential|key$", name)}
