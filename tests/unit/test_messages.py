# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""docs/messages.md and docs/restore.md show what the roles and modules really say, and all of it.

The tables in docs/messages.md are made from the cases of test_model.py and a few more. After a change write them again:

    PYTHONPATH=.build/collections .build/tests/bin/python tests/unit/test_messages.py
"""

from __future__ import annotations

import ast
import importlib
import re
import typing as t
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/messages.md"
SOURCES = [ROOT / "plugins/plugin_utils" / name for name in ("_model_problems.py", "_model_shape.py")]
BEGIN, END = "<!-- begin: tests/unit/test_messages.py -->\n", "<!-- end -->\n"

model: t.Any = importlib.import_module(
    "ansible_collections.pgops.pgbackrest.tests.unit.plugins.plugin_utils.test_model"
)
Row = tuple[str, str]


# What was written, and what the roles say


def other_variables() -> list[tuple[dict[str, t.Any], str]]:
    """Bad variables that test_model.py does not have."""
    kept, local = model.KEPT, model.LOCAL
    return [
        ({"repositories": [kept, {**kept, "host": "repo2"}]}, "pgbackrest_repositories names the repository hosts"),
        ({"repositories": [kept, {**kept, "host-type": "ssh"}]}, "pgbackrest_repositories mixes host-type"),
        ({"repositories": [{**kept, "host-type": "http"}]}, "pgbackrest_repositories[0]: host-type is"),
        ({"repositories": [{**local, "shared": "maybe"}]}, "pgbackrest_repositories[0]: shared is"),
        ({"repositories": [{**local, 5: "x"}]}, "pgbackrest_repositories[0] has the key 5"),
    ]


def of_variables() -> t.Iterator[Row]:
    """One row for each bad variable."""
    for variables, beginning in [*model.BAD_INPUT, *other_variables()]:
        yield written(variables), expected(model.single(**variables).problems(), beginning)


def of_hosts() -> t.Iterator[str]:
    """Sentences about hosts that are not as they must be."""
    for found, beginning in model.BAD_HOST:
        yield expected(host(found).problems(), beginning)
    for change, beginning in model.BAD_SITE:
        site = model.with_repository_host()
        change(site)
        yield expected(site.problems(), beginning)
    yield from other_hosts()


def other_hosts() -> t.Iterator[str]:
    """Hosts that test_model.py does not have, or of which it takes no site."""
    facts, cluster = model.facts, model.cluster
    yield expected(
        host(facts(cluster(), version=None), package_source="none").problems(), "pgBackRest is not installed"
    )
    yield expected(host(facts(cluster(), psycopg2=False), package_source="none").problems(), "psycopg2 is not")
    two = [cluster(), cluster(name="15/web", data_directory="/srv/web")]
    entries: list[dict[str, t.Any]] = [{"stanza": "a", "cluster": "15/main"}, {"stanza": "b", "cluster": "15/web"}]
    owners = facts(two[0], {**two[1], "owner": "web"})
    yield expected(host(owners, clusters=entries).problems(), "The clusters of db1 have different owners")
    for number, entry in enumerate(entries, 1):
        entry["repositories"] = [{**model.KEPT, "host": f"repo{number}"}]
    kept = model.Site({"db1": facts(*two), "repo1": facts(), "repo2": facts()}, clusters=entries)
    yield expected(kept.problems(), "The clusters of db1 use the repository hosts")
    shared = model.Site({"repo1": facts(cluster())}, repositories=[model.LOCAL])
    variables = model.role_defaults("repository")
    yield from model.problems.of_repository_host(variables, shared.hostvars, "repo1", ["tls"])


def host(found: dict[str, t.Any], **variables: t.Any) -> t.Any:
    """A single host with these facts."""
    return model.single(found, **variables)


def expected(sentences: list[str], beginning: str) -> str:
    """The sentence that is meant."""
    return next(sentence for sentence in sentences if sentence.startswith(beginning))


def written(variables: dict[str, t.Any]) -> str:
    """Variables as YAML in one line, without what is right in them."""
    return "; ".join(f"pgbackrest_{name}: {shown(value)}" for name, value in variables.items())


def shown(value: t.Any) -> str:
    """A value in YAML's flow style. Of a repository only what makes it bad: … stands for the rest."""
    if isinstance(value, dict):
        bases: list[dict[str, t.Any]] = [model.S3, model.KEPT, model.LOCAL, {}]
        base = next(base for base in bases if not base or resembles(value, base))
        missing = [key for key in base if key not in value]
        if missing and all(value[key] == base[key] for key in value):
            return f"{{… without {' and '.join(missing)}}}"
        pairs = [f"{key}: {shown(item)}" for key, item in value.items() if key not in base or item != base[key]]
        return f"{{{', '.join([*(['…'] if base else []), *pairs])}}}"
    if isinstance(value, list):
        return f"[{', '.join(shown(item) for item in value)}]"
    return str(value).lower() if isinstance(value, bool) else str(value) or '""'


def resembles(value: dict[str, t.Any], base: dict[str, t.Any]) -> bool:
    """Whether nearly all of the base stands in the value."""
    return bool(value) and sum(value.get(key) == base[key] for key in base) >= len(base) - 1


def table() -> str:
    """Both tables of the page."""
    lines = ["| you wrote | you read |", "|---|---|"]
    lines += [f"| `{cell(wrong)}` | {prose(sentence)} |" for wrong, sentence in dict.fromkeys(of_variables())]
    told = {sentence for dummy, sentence in of_variables()}
    others = [text for text in dict.fromkeys(of_hosts()) if text not in told]
    lines += ["", "About the hosts as they are:", "", *(f"- {prose(text)}" for text in others)]
    return "\n".join(lines) + "\n"


def cell(text: str) -> str:
    return text.replace("|", "\\|")


def prose(text: str) -> str:
    """Text of which Markdown shows every character."""
    return re.sub(r"([*|<>])", r"\\\1", text)


# Every sentence of the sources


def templates(path: Path) -> t.Iterator[str]:
    """A pattern for each sentence that a function of the file may give."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Yield) and node.value:
            yield from patterns(node.value)
        elif isinstance(node, ast.YieldFrom) and isinstance(node.value, ast.GeneratorExp):
            yield from patterns(node.value.elt)
        elif isinstance(node, ast.Return) and node.value:
            yield from patterns(node.value)


def patterns(node: ast.expr) -> t.Iterator[str]:
    """The same for an expression, when it is a sentence."""
    if isinstance(node, ast.IfExp):
        yield from (*patterns(node.body), *patterns(node.orelse))
    elif isinstance(node, ast.BinOp):
        yield from patterns(node.left)
    elif isinstance(node, ast.JoinedStr):
        words = [re.escape(str(part.value)) if isinstance(part, ast.Constant) else ".*" for part in node.values]
        if len(" ".join(words).split()) > 4:
            yield "".join(words)


def test_page_shows_what_the_roles_say() -> None:
    assert table() in PAGE.read_text(encoding="utf-8"), f"write it again: {__doc__}"


def test_page_shows_every_sentence() -> None:
    sentences = [*(sentence for dummy, sentence in of_variables()), *of_hosts()]
    known = [pattern for path in SOURCES for pattern in templates(path)]
    assert len(known) > 40
    assert [pattern for pattern in known if not any(re.search(pattern, text, re.DOTALL) for text in sentences)] == []


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("roles/database/tasks/restart.yml", "to take effect, and archives nothing before."),
        ("plugins/modules/archiving.py", "PostgreSQL archives by something else: "),
        ("plugins/modules/archiving.py", "Patroni manages this cluster."),
        (
            "plugins/modules/config.py",
            "is not the passphrase that stands there, and the repository is the same: pgBackRest could ",
        ),
        ("plugins/module_utils/_stanza.py", "is not the one that stanza "),
        ("roles/repository/tasks/tls_learn_authority.yml", "shall sign the certificates of "),
    ],
)
def test_page_quotes_what_fails_while_the_play_runs(file: str, words: str) -> None:
    assert words in (ROOT / file).read_text(encoding="utf-8")
    assert words in PAGE.read_text(encoding="utf-8")


# Every problem of a restore

RESTORE_PAGE = ROOT / "docs/restore.md"
OF_OTHER_MODULES = ("_expire.py", "_verify.py")
OF_OTHER_CONCEPTS = ("_clone", "_replication", "_standby", "_upstream")
RESTORE_SOURCES = [
    path
    for path in sorted((ROOT / "plugins/module_utils").glob("_*.py"))
    if path.name not in OF_OTHER_MODULES and not path.name.startswith(OF_OTHER_CONCEPTS)
]
PROBLEM_ROW = re.compile(r"^\| `(\w+)` \| (.*?) \| (.+) \|$", re.MULTILINE)
GAP = "…"
WORDED_ELSEWHERE = {  # problems that get their sentence from a function
    "running": ("_plan_checks.py", "PostgreSQL runs on "),
    "target": ("_target.py", " has no offset from UTC"),
}


def told_problems() -> set[Row]:
    """Code and sentence of each problem in the sources of a restore; what differs each time is a …."""
    found = set()
    for path in RESTORE_SOURCES:
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef):
                found |= set(problems_of(function))
    return found


def problems_of(function: ast.FunctionDef) -> t.Iterator[Row]:
    """The problems that a function makes."""
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Problem":
            code, sentence = node.args[:2]
            assert isinstance(code, ast.Constant), f"{function.name}: write the code of a problem where it is made"
            for text in wordings(sentence, function):
                yield str(code.value), text


def wordings(node: ast.expr, function: ast.FunctionDef) -> list[str]:
    """What an expression may say: several texts when it is chosen or assigned in several places."""
    if isinstance(node, ast.Constant):
        return [str(node.value)]
    if isinstance(node, ast.JoinedStr):
        return ["".join(str(part.value) if isinstance(part, ast.Constant) else GAP for part in node.values)]
    if isinstance(node, ast.BinOp):
        return [left + right for left in wordings(node.left, function) for right in wordings(node.right, function)]
    if isinstance(node, ast.IfExp):
        return [*wordings(node.body, function), *wordings(node.orelse, function)]
    if isinstance(node, ast.Name):
        assigned = [
            each.value
            for each in ast.walk(function)
            if isinstance(each, ast.Assign) and any(isinstance(x, ast.Name) and x.id == node.id for x in each.targets)
        ]
        return [text for value in assigned for text in wordings(value, function)] or [GAP]
    return [GAP]


def says(text: str, shown: str) -> bool:
    """Whether the parts of what is shown stand in the text, in this order."""
    place = 0
    for part in filter(None, (part.strip() for part in shown.replace("\\|", "|").split(GAP))):
        place = text.find(part, place)
        if place < 0:
            return False
        place += len(part)
    return True


def shown_problems() -> list[tuple[str, str, str]]:
    """Code, sentence and advice in the tables of the page."""
    page = RESTORE_PAGE.read_text(encoding="utf-8")
    return PROBLEM_ROW.findall(page[page.index("\n## Messages\n") :])


def test_runbook_shows_every_problem_of_a_restore() -> None:
    told, shown = told_problems(), shown_problems()
    assert len({code for code, dummy in told}) > 40
    assert {code for code, *dummy in shown} == {code for code, dummy in told}


def test_runbook_quotes_what_the_plan_says() -> None:
    told = told_problems()
    wrong = [
        (code, sentence)
        for code, sentence, dummy in shown_problems()
        if not any(code == known and says(text, sentence) for known, text in told)
    ]
    assert [row for row in wrong if row[0] not in WORDED_ELSEWHERE] == []


@pytest.mark.parametrize("code", sorted(WORDED_ELSEWHERE))
def test_runbook_quotes_what_is_worded_elsewhere(code: str) -> None:
    file, words = WORDED_ELSEWHERE[code]
    assert words in (ROOT / "plugins/module_utils" / file).read_text(encoding="utf-8")
    assert any(words.strip() in sentence for known, sentence, dummy in shown_problems() if known == code)


def test_a_sentence_that_is_not_said_is_seen() -> None:
    assert says("/srv/pg is not empty (a broken cluster).", "… is not empty (…).")
    assert not says("/srv/pg is not empty (a broken cluster).", "… is empty.")


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("plugins/plugin_utils/_restore_failure.py", "is as it was, and "),
        ("plugins/plugin_utils/_restore_failure.py", " may hold half a restore"),
        ("plugins/plugin_utils/_restore_failure.py", "The old directory was put back to "),
        ("plugins/plugin_utils/_restore_failure.py", "Nothing was put back, because recovery goes on."),
        ("plugins/plugin_utils/_restore_failure.py", "It takes writes since an earlier run"),
        ("plugins/plugin_utils/_restore_failure.py", " The restore itself is done"),
        ("plugins/plugin_utils/_restore_summary.py", "RESTORED ALREADY"),
        ("plugins/plugin_utils/_restore_words.py", " is down, perhaps since an earlier run of this play"),
    ],
)
def test_runbook_quotes_what_the_play_says_at_its_end(file: str, words: str) -> None:
    assert words in (ROOT / file).read_text(encoding="utf-8")
    assert words.strip() in RESTORE_PAGE.read_text(encoding="utf-8")


def test_no_secret_stands_on_the_page() -> None:
    assert not re.search("open sesame|key of s3|secret of s3", PAGE.read_text(encoding="utf-8"))


def main() -> None:
    """Write the tables into the page."""
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    PAGE.write_text(before + BEGIN + table() + END + rest.split(END, 1)[1], encoding="utf-8")


if __name__ == "__main__":
    main()
