# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import doctest
import typing as t

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils import (
    _catalogue as catalogue,
    _config_program as config_program,
    _config_rules as config_rules,
    _config_together as config_together,
    _config_value as config_value,
)
from hypothesis import given, settings, strategies as st

STANZA = {"main": {"pg1-path": "/pg"}}
S3 = {
    "repo1-type": "s3",
    "repo1-s3-bucket": "bucket",
    "repo1-s3-endpoint": "s3.example.com",
    "repo1-s3-region": "eu",
    "repo1-s3-key": "the-key",
    "repo1-s3-key-secret": "the-secret",
}


def problems(sections: dict[str, t.Any], version: tuple[int, ...] = (2, 45), others: t.Any = ()) -> list[str]:
    return config_rules.problems(sections, version, {} if others == () else others)


@pytest.mark.parametrize("module", [catalogue, config_program, config_together, config_value])
def test_examples_in_the_documentation(module: t.Any) -> None:
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize(
    ("version", "type_", "allow"),
    [((2, 45), "boolean", None), ((2, 53, 1), "boolean", None), ((2, 54), "string-id", ["n", "prefer", "y"])],
)
def test_an_option_is_what_it_is_in_its_version(version: tuple[int, ...], type_: str, allow: t.Any) -> None:
    option = catalogue.find("backup-standby", version)
    assert option and (option.type, option.allow) == (type_, allow)


def test_versions_between_and_after_those_known() -> None:
    assert catalogue.find("repo-block", (2, 45, 9)) == catalogue.find("repo-block", (2, 45))
    assert catalogue.find("priority", (3, 1)) == catalogue.find("priority", (2, 60))
    assert catalogue.find("cipher-pass", (2, 59, 1)) and not catalogue.find("cipher-pass", (2, 60))


@pytest.mark.parametrize(
    ("sections", "version"),
    [
        (STANZA, (2, 45)),
        ({"global": {"repo1-path": "/r", "repo1-cipher-type": "aes-256-cbc", "repo1-cipher-pass": "a # b"}}, (2, 45)),
        ({"global": {**S3, "repo1-storage-verify-tls": False}, **STANZA}, (2, 45)),
        ({"global": {"compress-type": "zst", "compress-level": 15}, "global:backup": {"delta": "y"}}, (2, 45)),
        ({"global": {"log-level-console": "off", "buffer-size": "64K", "db-timeout": "30m"}}, (2, 45)),
        ({"global": {"process-max": "4"}}, (2, 45)),
        ({"global": {"repo1-bundle": True, "repo1-block": True}}, (2, 46)),
        ({"global": {"repo1-bundle": True, "repo1-block": True, "beta": True}}, (2, 45)),
        ({"global": {"repo1-block": False}}, (2, 46)),
        ({"global": {"backup-standby": "prefer"}}, (2, 54)),
        ({"global": {"backup-standby": True}}, (2, 60)),
        ({"global": {"checksum-page-error": True}}, (2, 60)),
        ({"global": {"brand-new-option": 1}}, (2, 61)),
        ({"main": {"pg1-path": "/a", "pg256-path": "/b", "pg256-host": "h", "pg1-version-force": 15}}, (2, 49)),
        ({"main": {"pg1-path": "/a", "exclude": "one", "recovery-option": {"a": "b=c"}, "db-include": []}}, (2, 45)),
        ({"global": {"repo1-host": "h", "repo1-host-type": "tls", "repo1-host-cert-file": "/c"},
          "main": {"pg1-path": "/a", "repo1-host-key-file": "/k"}}, (2, 45)),
    ],
)  # fmt: skip
def test_valid_configurations(sections: dict[str, t.Any], version: tuple[int, ...]) -> None:
    assert problems(sections, version) == []


@pytest.mark.parametrize(
    ("section", "key", "value", "sentence"),
    [
        ("global", "repo0-path", "/r", "repo0-path has index 0, but indexes run from 1 to 256."),
        ("main", "pg0-path", "/r", "pg0-path has index 0, but indexes run from 1 to 256."),
        ("global", "repo257-path", "/r", "repo257-path has index 257, but indexes run from 1 to 256."),
        ("global", "repo01-path", "/r", "repo01-path is not pgBackRest's spelling: write repo1-path."),
        ("global", "repo1_path", "/r", "repo1_path is not pgBackRest's spelling: write repo1-path."),
        ("global", "Compress-Type", "gz", "Compress-Type is not pgBackRest's spelling: write compress-type."),
        ("global", "repo-path", "/r", "repo-path needs an index: write repo1-path."),
        ("global", "repo-bundle", True, "repo-bundle needs an index: write repo1-bundle."),
        ("main", "db-path", "/r", "db-path is the deprecated name of pg1-path: write pg1-path."),
        ("main", "db-user", "a", "db-user is the deprecated name of pg1-host-user: write pg1-host-user."),
        ("global", "retention-full", 2,
         "retention-full is the deprecated name of repo1-retention-full: write repo1-retention-full."),
        ("global", "no-delta", True, "no-delta is a form for the command line: write delta: false."),
        ("global", "reset-delta", True,
         "reset-delta is a form for the command line: write nothing, or the default of delta."),
        ("global", "compres-type", "gz", "compres-type is no option of pgBackRest: did you mean compress-type?"),
        ("global", "repo2-pth", "/r", "repo2-pth is no option of pgBackRest: did you mean repo2-path?"),
        ("global", "xyzzy", 1,
         "xyzzy is no option of pgBackRest: look for the name in pgBackRest's configuration reference."),
        ("global", "set", "x", "set is for the command line only: leave it out."),
        ("global", "pg1-path", "/a", "pg1-path belongs to a stanza: move it to the section of the stanza."),
        ("main:archive-get", "start-fast", True,
         "start-fast is not valid for the command archive-get, only for backup."),
        ("global", "priority", 5, "priority needs pgBackRest 2.58, this host has 2.45."),
        ("global", "repo1-type", "sftp", "repo1-type: sftp needs pgBackRest 2.46, this host has 2.45."),
        ("global", "backup-standby", "prefer", "backup-standby: prefer needs pgBackRest 2.54, this host has 2.45."),
        ("global", "repo1-path", None, "repo1-path has no value: leave the option out to get pgBackRest's default."),
        ("global", "repo1-path", "", "repo1-path is empty: leave it out to get pgBackRest's default."),
        ("global", "repo1-path", "r", "repo1-path is 'r', but it takes an absolute path: begin it with /."),
        ("global", "repo1-path", "/a//b", "repo1-path is '/a//b': pgBackRest refuses // in a path, remove one /."),
        ("global", "repo1-path", ["/a"], "repo1-path takes one value, not a list."),
        ("global", "repo1-path", "/a ",
         "repo1-path begins or ends with a blank, which pgBackRest would cut off: remove it."),
        ("global", "repo1-path", True,
         'repo1-path is a YAML boolean, but it takes a path: quote the word, such as "on".'),
        ("global", "db-timeout", 0.5,
         "db-timeout is 0.5, but pgBackRest takes no fractions: write a whole number, or quote a name or version."),
        ("global", "archive-timeout", "0.5",
         "archive-timeout is '0.5', but it takes a time: whole seconds, or a whole number with ms, s, m, h, d or w."),
        ("global", "archive-timeout", "2d", "archive-timeout is '2d', but it must lie between 100ms and 1d."),
        ("global", "process-max", 0, "process-max is '0', but it must lie between 1 and 999."),
        ("global", "process-max", "two", "process-max is 'two', but it takes a whole number."),
        ("global", "compress-level", 99, None),
        ("global", "compress-type", "zstd",
         "compress-type is 'zstd', but it takes one of none, bz2, gz, lz4, zst. Did you mean zst?"),
        ("global", "log-level-console", False,
         'log-level-console is a YAML boolean, but it takes one of off, error, warn, info, detail, debug, trace: '
         'quote the word, such as "off".'),
        ("global", "delta", "yes", "delta is 'yes', but pgBackRest takes only y or n: write true or false."),
        ("global", "repo1-bundle-limit", "1.5G",
         "repo1-bundle-limit is '1.5G', but it takes a size: a whole number with or without unit, such as 64MiB."),
        ("global", "repo1-bundle-limit", "1k", "repo1-bundle-limit is '1k', but it must lie between 8KiB and 1PiB."),
        ("main", "link-map", "pg_wal=/w", "link-map takes a mapping, such as {name: value}."),
        ("main", "exclude", {"a": "b"}, "exclude takes a list, not a mapping."),
        ("main", "exclude", [True], "exclude is a YAML boolean, which may not be what you mean: quote the word."),
        ("main", "link-map", {"a=b": "/c"}, "link-map has the key 'a=b': keys are words without =."),
        ("main", "pg1-user", "a # the user",
         "pg1-user holds ' #', but pgBackRest knows no comment at the end of a line and would take it as part of the "
         "value: put the comment on a line of the playbook."),
        ("main", "pg1-user", "a\nb",
         "pg1-user holds a line break or control character: one option is one line; check how the value is quoted."),
    ],
)  # fmt: skip
def test_what_is_wrong_with_one_option(section: str, key: str, value: t.Any, sentence: str | None) -> None:
    if sentence is None:
        assert problems({section: {key: value}}) == []  # without compress-type its limits are not known
    else:
        assert problems({section: {key: value}}) == [f"[{section}] {sentence}"]


@pytest.mark.parametrize(
    ("section", "options", "sentence"),
    [
        ("global:bakup", {}, "[global:bakup] names no pgBackRest command: did you mean backup?"),
        ("main:help", {}, "[main:help] names no pgBackRest command."),
        ("globals", {}, "[globals] would be a stanza: write global."),
        ("Global", {}, "[Global] would be a stanza: write global."),
        ("backup", {"delta": True},
         "[backup] would be a stanza: write global:backup for options of the command backup."),
        ("", {}, "[] is no name for a section: write global, global:command, stanza or stanza:command."),
        ("a b", {}, "[a b] is no name for a section: write global, global:command, stanza or stanza:command."),
        ("a]\n[b", {}, "[a]\n[b] is no name for a section: write global, global:command, stanza or stanza:command."),
        ("main", None, "[main] must be a mapping of options."),
        ("repo1-path", "/r", "[repo1-path] must be a mapping of options: it is an option, "
         "put it below a section such as global."),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_section(section: str, options: t.Any, sentence: str) -> None:
    assert problems({section: options}) == [sentence]


@pytest.mark.parametrize(
    ("sections", "sentence"),
    [
        ({"global": {"repo1-cipher-pass": "geheim"}},
         "[global] repo1-cipher-pass would be ignored: repo1-cipher-type is none by default; set it to aes-256-cbc, "
         "or leave the option out."),
        ({"global": {"repo1-cipher-type": "none", "repo1-cipher-pass": "geheim"}},
         "[global] repo1-cipher-pass would be ignored: repo1-cipher-type is none; set it to aes-256-cbc, or leave "
         "the option out."),
        ({"global": {"repo1-cipher-type": "aes-256-cbc"}, **STANZA},
         "[main] repo1-cipher-pass is missing: pgBackRest requires it when repo1-cipher-type is aes-256-cbc."),
        ({"global": {key: value for key, value in S3.items() if key != "repo1-type"}},
         "[global] repo1-s3-bucket, repo1-s3-endpoint, repo1-s3-region, repo1-s3-key, repo1-s3-key-secret would be "
         "ignored: repo1-type is posix by default; set it to s3, or leave the option out."),
        ({"global": {key: value for key, value in S3.items() if key != "repo1-s3-region"}, **STANZA},
         "[main] repo1-s3-region is missing: pgBackRest requires it when repo1-type is s3."),
        ({"global": {**S3, "repo1-s3-bucket": "a.b"}},
         "[global] repo1-s3-bucket has a dot in its name, so no TLS certificate fits it: set repo1-s3-uri-style to "
         "path, or rename the bucket (RFC 2818)."),
        ({"global": {"compress-type": "none", "compress-level": 3}},
         "[global] compress-level would be ignored: compress-type is none; set it to bz2 or gz or lz4 or zst, or "
         "leave the option out."),
        ({"global": {"compress-type": "gz"}, "main": {"pg1-path": "/a", "compress-level": 15}},
         "[main] compress-level is '15', but it must lie between -1 and 9."),
        ({"global": {"repo1-block": True, "repo1-bundle": True}},
         "[global] repo1-block needs pgBackRest 2.46, this host has 2.45, where it works only as beta (beta: true)."),
        ({"global": {"db-timeout": "1h"}},
         "[global] protocol-timeout (1830 s) must be greater than db-timeout (3600 s): raise protocol-timeout or "
         "lower db-timeout."),
        ({"global": {"repo1-path": "/r", "repo2-path": "/r/"}},
         "[global] repo1-path and repo2-path are both /r/: give each local repository a path of its own."),
        ({"main": {"pg2-path": "/a"}}, "[main] pg1-path is missing: pgBackRest requires it."),
        ({"main": {"pg1-port": 5432}},
         "[main] pg1-port would be ignored: pg1-path is not set; set it, or leave the option out."),
        ({"global": {"repo1-host-config": "/c"}},
         "[global] repo1-host-config would be ignored: repo1-host is not set; set it, or leave the option out."),
    ],
)  # fmt: skip
def test_what_is_wrong_with_options_together(sections: dict[str, t.Any], sentence: str) -> None:
    assert sentence in problems(sections)


def test_all_problems_are_told_at_once() -> None:
    found = problems({"global": {"a": 1, "repo0-path": "/x", "delta": "maybe"}, "main": {"db-path": "/x"}})
    assert len(found) == 4


def test_what_another_file_may_supply_is_not_refused() -> None:
    sections = {"main": {"pg1-path": "/a", "repo1-cipher-pass": "x", "pg2-port": 1, "repo1-s3-bucket": "b"}}
    assert problems(sections, others=None) == []
    assert "[main] pg2-path is missing: pgBackRest requires it." in problems(sections)


def test_another_file_supplies_and_contradicts() -> None:
    sections = {"main": {"pg1-path": "/a", "repo1-cipher-pass": "x"}}
    assert problems(sections, others={"global": {"repo-cipher-type": ["aes-256-cbc"]}}) == []
    assert problems(sections, others={"global": {"repo1-cipher-type": ["none"]}}) == [
        "[main] repo1-cipher-pass would be ignored: repo1-cipher-type is none; set it to aes-256-cbc, "
        "or leave the option out."
    ]
    lists_add_up = {"global": {"delta": ["y"], "exclude": ["b"]}}
    assert problems({"global": {"delta": True, "exclude": ["a"]}}, others=lists_add_up) == [
        "[global] delta also stands in another file that pgBackRest reads together with this one, and it refuses that: "
        "keep one of them."
    ]  # fmt: skip


@settings(deadline=None)
@given(st.text(min_size=6).map(lambda text: f"S3CR3T{text}"), st.sampled_from(["repo1-cipher-pass", "repo1-gcs-key"]))
def test_no_sentence_quotes_a_secret(value: str, key: str) -> None:
    for sections in ({"global": {key: value}}, {"global": {key: [value]}}, {key: value}, {"main": {key: {"a": value}}}):
        assert "S3CR3T" not in " ".join(problems(sections))


def test_warnings() -> None:
    sections: dict[str, dict[str, t.Any]] = {
        "global": {"archive-push-queue-max": "1GiB", "job-retry": 1, "beta": False, "delta": True}
    }
    first, second = config_rules.warnings(sections, (2, 45))
    assert first.startswith("[global] archive-push-queue-max: when the queue is full pgBackRest drops WAL")
    assert second.startswith("[global] job-retry is internal to pgBackRest")


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({"global": {"repo1-path": "/r", "start-fast": True}, **STANZA}, [("main", "backup")]),
        ({"global": {"delta": True}}, [(None, "backup")]),
        ({"global": {"tls-server-port": 8433}, **STANZA}, [(None, "server"), ("main", "backup")]),
        ({"global": {"archive-async": True, "start-fast": True, "link-all": True}, **STANZA},
         [("main", "archive-push"), ("main", "backup"), ("main", "restore")]),
        ({"a": {"pg1-path": "/a"}, "b": {"pg1-path": "/b"}, "b:check": {"db-timeout": 9}},
         [("a", "backup"), ("b", "check")]),
    ],
)  # fmt: skip
def test_the_program_is_asked_as_little_as_needed(sections: dict[str, t.Any], expected: t.Any) -> None:
    assert config_program.questions(sections, (2, 45)) == expected
