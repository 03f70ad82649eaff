# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The commands in docs/ci.md, run on the host ci1 as a runner would run them. Only the repository is another one."""

from __future__ import annotations

import base64
import os
import re
import typing as t

import cloning
import playbook
import pytest
import yaml
from live import query

pytestmark = pytest.mark.timeout(900)
WORK = "/root/work"
EXPRESSION = re.compile(r"\$\{\{ *([\w.]+) *\}\}")
VALUES = {
    "github.run_id": "4711",
    "github.run_attempt": "1",
    "secrets.BACKUP_KEY": "key",
    "secrets.BACKUP_SECRET": "secret",
    "secrets.BACKUP_PASSPHRASE": f"{playbook.SECRETS}-5f1c",
}
MIGRATION = "ALTER TABLE orders ADD COLUMN total numeric;\nUPDATE orders SET total = id * 2;\n"


def page() -> str:
    """The guide."""
    with open(os.path.join(os.environ["MOLECULE_PROJECT_DIRECTORY"], "docs/ci.md"), encoding="utf-8") as file:
        return file.read()


def block(beginning: str, kind: str) -> str:
    """The first block of some kind after some words."""
    match = re.search(rf"{re.escape(beginning)}.*?```{kind}\n(.*?)```", page(), re.DOTALL)
    assert match, beginning
    return match.group(1)


def pipeline(name: str) -> dict[str, t.Any]:
    """One of the two files."""
    text = EXPRESSION.sub(lambda match: VALUES[match.group(1)], block(f"<!-- ci: {name} -->", "yaml"))
    return t.cast("dict[str, t.Any]", yaml.safe_load(text))


def put(host: t.Any, path: str, text: str) -> None:
    """Write a file on the host."""
    encoded = base64.b64encode(text.encode()).decode()
    host.check_output("mkdir -p %s && echo %s | base64 -d >%s", os.path.dirname(path), encoded, path)


def inventory() -> str:
    """That of the guide, with a repository that is a directory."""
    content = yaml.safe_load(block("`ci/inventory.yml` says", "yaml"))
    repository = content["clone"]["vars"]["pgbackrest_repositories"][0]
    assert repository["type"] == "s3"
    secret = {"cipher-pass": repository["cipher-pass"]}
    content["clone"]["vars"]["pgbackrest_repositories"] = [{"type": "posix", "path": cloning.REPOSITORY, **secret}]
    return str(yaml.safe_dump(content))


@pytest.fixture(name="checkout")
def checkout_fixture(ci1: t.Any) -> t.Iterator[t.Any]:
    """The runner with a checkout of the application."""
    ci1.check_output("rm -rf %s", WORK)
    put(ci1, f"{WORK}/ci/inventory.yml", inventory())
    put(ci1, f"{WORK}/ci/mask.sql", block("`ci/mask.sql` makes", "sql"))
    put(ci1, f"{WORK}/ci/migrate.sh", block("`ci/migrate.sh` is", "sh"))
    put(ci1, f"{WORK}/migrations/0042_orders.sql", MIGRATION)
    yield ci1
    ci1.check_output("rm -rf %s", WORK)


def run(host: t.Any, script: str, environment: t.Mapping[str, str], path: t.Sequence[str] = ()) -> t.Any:
    """Run a script as a runner does; no secret stands in what it says."""
    exports = [f"export {name}='{value}'" for name, value in environment.items()]
    exports += [f"PATH={directory}:$PATH" for directory in path]
    put(host, f"{WORK}/.step", "\n".join([f"cd {WORK}", *exports, script]))
    done = host.run("bash --noprofile --norc -eo pipefail %s </dev/null", f"{WORK}/.step")
    assert playbook.SECRETS not in done.stdout + done.stderr
    return done


def lines(host: t.Any, path: str) -> list[str]:
    """Lines of a file that steps add to."""
    return str(host.run("cat %s", path).stdout).splitlines()


def github(host: t.Any, job: dict[str, t.Any]) -> dict[str, t.Any]:
    """Run the steps of a job; exit status of each by its name. After a failure only those with always() run."""
    done: dict[str, t.Any] = {}
    for step in job["steps"]:
        failed = any(result.rc for result in done.values())
        if "run" not in step or (failed and step.get("if") != "always()"):
            continue
        files = {"GITHUB_ENV": f"{WORK}/.env", "GITHUB_PATH": f"{WORK}/.path"}
        kept = dict(line.split("=", 1) for line in lines(host, files["GITHUB_ENV"]))
        environment = {**job["env"], **files, **kept}
        done[step["name"]] = run(host, step["run"], environment, lines(host, files["GITHUB_PATH"]))
    return done


def test_github_actions(db1: t.Any, checkout: t.Any) -> None:
    job = pipeline("github")["jobs"]["migration"]
    steps = {step["name"]: step for step in job["steps"] if "run" in step}
    looking = "psql --no-psqlrc -At --dbname shop -c 'SELECT count(*), sum(total), max(length(customer)) FROM orders'"
    look = {"name": "look", "run": f"{looking} >seen"}
    at = job["steps"].index(steps["Migrate"])
    before = cloning.repository(db1)
    done = github(checkout, {**job, "steps": [*job["steps"][: at + 1], look, *job["steps"][at + 1 :]]})
    failed = {name: result.stdout + result.stderr for name, result in done.items() if result.rc}
    assert not failed, "\n".join(failed.values())
    assert list(done) == [*list(steps)[:4], "look", "Remove the clone"]
    assert checkout.file(f"{WORK}/seen").content_string.strip() == "5000|25005000|32"
    assert "READY" in done["Clone last night's backup"].stdout
    assert cloning.traces(checkout, "ci-4711-1") == ""
    cloning.only_own_wal(before, cloning.repository(db1))
    assert query(db1, "SELECT count(*) FROM pg_database WHERE datname = 'shop'") == "1"


def test_gitlab_with_a_migration_that_fails(checkout: t.Any) -> None:
    """The job fails, and the clone is removed all the same."""
    put(checkout, f"{WORK}/migrations/0042_orders.sql", "ALTER TABLE order ADD COLUMN total numeric;\n")
    job = pipeline("gitlab")["migration"]
    given = {name: value for name, value in VALUES.items() if name.startswith("secrets.")}
    environment = {name.partition(".")[2]: value for name, value in given.items()}
    environment.update({name: value.replace("$CI_JOB_ID", "815") for name, value in job["variables"].items()})
    script = run(checkout, "\n".join([*job["before_script"], *job["script"]]), environment)
    assert script.rc != 0
    assert "syntax error" in script.stderr, script.stderr
    assert "postgresql-clone-ci-815.service" in cloning.traces(checkout, "ci-815")
    assert '"port"' in checkout.file(f"{WORK}/clone.json").content_string
    after = run(checkout, "\n".join(job["after_script"]), environment)
    assert after.rc == 0, after.stdout
    assert cloning.traces(checkout, "ci-815") == ""
