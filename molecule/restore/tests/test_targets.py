# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every type of target, in place and beside, on three pairs of versions. Each test goes on where the last one ended.

Each type is restored on one of the clusters. With PGOPS_ALL_RESTORES=1 it is restored on all of them, in two turns, the
second one with the modes exchanged, so that all combinations come.
"""

from __future__ import annotations

import json
import os
import typing as t
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import playbook
import pytest
import service
from live import On, as_postgres, backups, query, stanza_info

T = t.TypeVar("T")
# Variables of a play for each cluster.
Given = dict[str, dict[str, str]]

VERSIONS = {"pg15": "15 / 2.45", "pg17": "17 / 2.55.1", "pg18": "18 / 2.60.0"}
MODES = ("delta", "swap")
TYPES = ("latest", "time", "lsn", "xid", "name", "immediate")
# Which clusters are restored to a type of target, and how often.
ALL = os.environ.get("PGOPS_ALL_RESTORES", "") not in ("", "0")
ONE = {"latest": "pg15", "time": "pg18", "lsn": "pg17", "xid": "pg18", "name": "pg15", "immediate": "pg17"}
TURNS = (0, 1) if ALL else (0,)
# Here the plan comes first, in check mode, and then a second run, which has nothing to do.
IN_FULL = ("time", 0)
# Here the clusters that are restored by a swap return to a commit that their last restore has cut off.
BACK = ("xid", 0)

# Transactions in their order, with numbers of rows that tell by the sum which of them are there.
STEPS = {"a": 1000, "b": 100, "c": 10, "d": 1}
ROWS = (
    "SELECT count(*), (SELECT story || ', ' || step FROM ledger ORDER BY id DESC LIMIT 1),"
    " md5(string_agg(l::text, ',' ORDER BY id)), (SELECT count(*) FROM customer) FROM ledger AS l"
)
MOMENT = (
    "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00',"
    " pg_current_wal_insert_lsn()"
)
# Plays on three hosts at once take long on a busy machine.
pytestmark = pytest.mark.timeout(900)
TREE = Path(__file__).parents[2] / "shared" / "tree.py"


@dataclass(frozen=True)
class Story:
    """What went on after a backup: the rows after each commit, and what names the moments after b and c."""

    backup: str
    timeline: int
    rows: dict[str, str]
    b: dict[str, str]
    c: dict[str, str]


@dataclass
class Cluster:
    """A cluster, whose host and stanza have the same name: what went on in it, and what its last backup holds."""

    name: str
    host: t.Any
    stories: list[Story] = field(default_factory=list)
    in_backup: str = ""

    def mode(self, kind: str, turn: int) -> str:
        """The modes alternate between the clusters and from type to type."""
        return MODES[(list(VERSIONS).index(self.name) + TYPES.index(kind) + turn) % len(MODES)]

    def restored_to(self, kind: str, turn: int) -> tuple[dict[str, str], str]:
        """Variables of the play that name the target, and the rows that are then there."""
        story = self.stories[-1]
        # Nothing but a time and an LSN tells which backups ended before the target.
        the_set = {} if kind in ("latest", "time", "lsn") else {"restore_set": story.backup}
        if self.goes_back(kind, turn):
            story = self.stories[-2]
            the_set = {"restore_set": story.backup, "restore_target_timeline": str(story.timeline)}
            return {"restore_target_xid": story.c["xid"], **the_set}, story.rows["c"]
        if kind == "latest":
            return {}, story.rows["d"]
        if kind == "immediate":
            return {"restore_target_immediate": "true", **the_set}, self.in_backup
        return {f"restore_target_{kind}": story.b[kind], **the_set}, story.rows["b"]

    def goes_back(self, kind: str, turn: int) -> bool:
        return (kind, turn) == BACK and self.mode(kind, turn) == "swap"


def each(clusters: list[Cluster], work: t.Callable[[Cluster], T]) -> dict[str, T]:
    """Do something with all clusters at once."""
    with ThreadPoolExecutor(len(VERSIONS)) as pool:
        return dict(zip([cluster.name for cluster in clusters], pool.map(work, clusters), strict=True))


def commit(story: str, step: str) -> str:
    """SQL of a transaction that writes rows and returns its number."""
    return (
        f"BEGIN; INSERT INTO ledger SELECT last + n, '{story}', '{step}'"
        f" FROM (SELECT coalesce(max(id), 0) AS last FROM ledger) AS l, generate_series(1, {STEPS[step]}) AS n;"
        " SELECT pg_current_xact_id(); COMMIT"
    )


def go_on(cluster: Cluster, story: str) -> None:
    """Four commits. Between b and c lies everything that a target can name."""
    commands = [commit(story, "a"), commit(story, "b"), ROWS, MOMENT, f"SELECT pg_create_restore_point('{story}')"]
    commands += [commit(story, "c"), ROWS, MOMENT, commit(story, "d"), ROWS]
    said = as_postgres(cluster.host, "psql -XAtq -v ON_ERROR_STOP=1" + " -c %s" * len(commands), *commands)
    _a, xid_b, b, moment_b, _point, xid_c, c, moment_c, _d, d = said.splitlines()
    names = [
        {"xid": xid, **dict(zip(("time", "lsn"), moment.split("|"), strict=True))}
        for xid, moment in ((xid_b, moment_b), (xid_c, moment_c))
    ]
    names[0]["name"] = story
    assert len({cluster.in_backup, b, c, d}) == 4
    newest = backups(stanza_info(cluster.host, cluster.name))[-1]
    cluster.stories.append(Story(newest, service.timeline(cluster.host), {"b": b, "c": c, "d": d}, *names))


def kept(cluster: Cluster) -> list[str]:
    """Old data directories that a swap left."""
    listed = cluster.host.check_output("ls -d /var/lib/postgresql/*/main.before-* || true")
    return [str(path) for path in listed.splitlines()]


def servers(clusters: list[Cluster]) -> dict[str, str]:
    """What changes with every start of PostgreSQL."""
    return each(clusters, lambda cluster: query(cluster.host, "SELECT pg_postmaster_start_time()"))


def tree(clusters: list[Cluster], action: str) -> dict[str, str]:
    code = TREE.read_text(encoding="utf-8")
    return each(clusters, lambda cluster: str(cluster.host.check_output("python3 -c %s %s", code, action)))


def plans(clusters: list[Cluster]) -> dict[str, str]:
    """Identity of the plan that the last play made for each cluster."""
    found = {}
    for cluster in clusters:
        with open(playbook.ephemeral(f"{cluster.name}.json"), encoding="utf-8") as file:
            found[cluster.name] = json.load(file)["plan"]["id"]
    return found


@pytest.fixture(scope="module")
def all_clusters(on: On) -> list[Cluster]:
    found = [Cluster(name, on(name)) for name in VERSIONS]
    each(
        found,
        lambda cluster: query(cluster.host, "CREATE TABLE IF NOT EXISTS ledger (id bigint, story text, step text)"),
    )
    return found


@pytest.fixture(scope="module")
def table() -> list[str]:
    """Lines of the table that the release note shows."""
    return [
        "| Target | Mode | PostgreSQL / pgBackRest | Rows expected | Rows found | Newest row |",
        "|---|---|---|---|---|---|",
    ]


@pytest.mark.parametrize(("kind", "turn"), [(kind, turn) for turn in TURNS for kind in TYPES])
def test_restore(all_clusters: list[Cluster], table: list[str], kind: str, turn: int) -> None:
    clusters = [cluster for cluster in all_clusters if ALL or cluster.name == ONE[kind]]
    each(clusters, lambda cluster: go_on(cluster, f"{kind}-{turn}"))
    wanted = each(clusters, lambda cluster: cluster.restored_to(kind, turn))
    before = each(clusters, lambda cluster: service.before_restore(cluster.host, cluster.name))
    given = {
        cluster.name: {
            **wanted[cluster.name][0],
            "restore_hosts": cluster.name,
            "restore_mode": cluster.mode(kind, turn),
            "restore_confirm": cluster.name,
            "restore_file": playbook.ephemeral(f"{cluster.name}.json"),
        }
        for cluster in clusters
    }
    ask_for_the_timeline([cluster for cluster in clusters if cluster.goes_back(kind, turn)], given)
    if (kind, turn) == IN_FULL:
        for name, plan in plan_only(clusters, given).items():
            given[name]["restore_plan"] = plan
    play(clusters, given)

    rows = each(clusters, lambda cluster: query(cluster.host, ROWS))
    assert rows == {name: expected for name, (_targets, expected) in wanted.items()}
    if (kind, turn) == IN_FULL:
        assert plans(clusters) == {name: variables["restore_plan"] for name, variables in given.items()}
        run_again(clusters, given)
    each(clusters, lambda cluster: service.check_in_service(cluster.host, cluster.name, before[cluster.name]))
    playbook.succeed("status", variables={"status_fail": "true"})
    for cluster in clusters:
        cluster.in_backup = rows[cluster.name]
        mode = cluster.mode(kind, turn)
        assert len(kept(cluster)) == (mode == "swap")
        cluster.host.check_output("rm -rf /var/lib/postgresql/*/main.before-*")
        expected, (number, newest, *_rest) = wanted[cluster.name][1].split("|")[0], rows[cluster.name].split("|")
        target = f"{kind}, before an earlier restore" if cluster.goes_back(kind, turn) else kind
        table.append(f"| {target} | {mode} | {VERSIONS[cluster.name]} | {expected} | {number} | {newest} |")


def play(clusters: list[Cluster], given: Given, *arguments: str) -> dict[str, playbook.Outcome]:
    """Restore all clusters at once, each by a play of its own."""
    return each(clusters, lambda cluster: playbook.succeed("restore", *arguments, variables=given[cluster.name]))


def ask_for_the_timeline(clusters: list[Cluster], given: Given) -> None:
    """A target that lies on one of several timelines is not guessed, and nothing is stopped for it."""
    before = servers(clusters)
    without = {name: {**variables, "restore_target_timeline": ""} for name, variables in given.items()}
    outcomes = each(clusters, lambda cluster: playbook.run("restore", variables=without[cluster.name]))
    for outcome in outcomes.values():
        assert outcome.rc != 0
        assert "see above: timeline." in " ".join(outcome.output.split()), outcome.output
    assert servers(clusters) == before


def plan_only(clusters: list[Cluster], given: Given) -> dict[str, str]:
    """Check mode returns the plan, needs no confirmation for that, and touches nothing."""
    unconfirmed = {name: {**variables, "restore_confirm": ""} for name, variables in given.items()}
    before = servers(clusters)
    tree(clusters, "remember")
    for name, outcome in play(clusters, unconfirmed, "--check").items():
        assert outcome.changed()[name] == 0
    assert set(tree(clusters, "compare").values()) == {""}
    assert servers(clusters) == before
    return plans(clusters)


def run_again(clusters: list[Cluster], given: Given) -> None:
    """The same restore once more has nothing to do, and leaves what the cluster did since alone."""
    each(clusters, lambda cluster: query(cluster.host, "INSERT INTO customer VALUES (0, 'since')"))
    before = servers(clusters)
    for name, outcome in play(clusters, given).items():
        assert outcome.changed()[name] == 0, outcome.output
    assert servers(clusters) == before
    since = "DELETE FROM customer WHERE name = 'since' RETURNING id"
    assert set(each(clusters, lambda cluster: query(cluster.host, since)).values()) == {"0"}


def test_table(table: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Not a proof of its own: it shows what the others have proven."""
    assert len(table) == 2 + len(TYPES) * len(TURNS) * (len(VERSIONS) if ALL else 1)
    text = "\n".join(table[:2] + sorted(table[2:], key=lambda line: line.split("|")[1:4])) + "\n"
    with open(playbook.ephemeral("targets.md"), "w", encoding="utf-8") as file:
        file.write(text)
    with capsys.disabled():
        print(f"\n{text}")
