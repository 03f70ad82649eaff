# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The examples of the README, typed as they stand there by somebody who has nothing else. The tests are one story.

Only moments and the identity of the plan are those of this run. What the README shows must be what comes out, but for
numbers. To copy from whole outputs: MOLECULE_ARGS=--destroy=never, then .build/molecule/readme/readme/outputs.txt.
"""

from __future__ import annotations

import os
import re
import shlex
import typing as t
from pathlib import Path

import pexpect
import playbook
import pytest
import yaml
from live import as_postgres, query, wait_for, wait_until_archived

pytestmark = pytest.mark.timeout(900)
README = Path(os.environ["MOLECULE_PROJECT_DIRECTORY"], "README.md")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# A word with a digit in it, and the unit after it.
NUMBER = re.compile(r"[\w.,:+/-]*\d[\w.,:+/-]*(?:\s+(?:s|min|h|d|B|KiB|MiB|GiB)\b)?")
PASSWORD = f"{playbook.SECRETS}-vault"
PASSPHRASE = f"{playbook.SECRETS}-readme"
ORDERS = "SELECT count(*), md5(string_agg(o::text, ',' ORDER BY id)) FROM orders AS o"
Block = tuple[str, str]


@pytest.fixture
def db1(on: t.Any) -> t.Any:
    return on("db1")


@pytest.fixture(scope="session", name="work")
def work_fixture(on: t.Callable[[str], t.Any]) -> Path:
    """The directory in which somebody works. How the host is reached is what no README can know."""
    rule = "dba ALL=(ALL) NOPASSWD: ALL"
    on("db1").check_output("useradd --create-home --shell /bin/bash dba && echo %s >/etc/sudoers.d/dba", rule)
    reached = {
        "ansible_connection": "community.docker.docker",
        "ansible_docker_host": f"{os.environ['MOLECULE_SCENARIO_NAME']}-db1",
        "ansible_user": "dba",
        "ansible_python_interpreter": "/usr/bin/python3",
    }
    work = Path(playbook.ephemeral("readme"))
    (work / "host_vars").mkdir(parents=True)
    (work / "host_vars/db1.yml").write_text(yaml.safe_dump(reached))
    (work / "inventory.yml").write_text(only(example("Protect"), "yaml"))
    (work / "mask.sql").write_text(only(example("Clone"), "sql"))
    (work / "secrets.yml").write_text(f"vault_pgbackrest: {PASSPHRASE}\n")
    return work


# The README


def example(heading: str) -> list[Block]:
    """Kind and text of each block below a heading."""
    match = re.search(rf"^### {heading}\n(.*?)^##", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert match, heading
    return BLOCK.findall(match.group(1))


def only(blocks: list[Block], kind: str) -> str:
    """The one block of this kind."""
    (text,) = (text for found, text in blocks if found == kind)
    return text


def commands(blocks: list[Block]) -> list[str]:
    """The commands of an example, each in one line."""
    text = "".join(text for kind, text in blocks if kind == "console").replace("\\\n", " ")
    return [line for line in text.splitlines() if line]


def definitions() -> list[str]:
    """What is typed once, for all commands after it."""
    return [line for line in commands(example("Protect")) if re.match(r"export |\w+\(\) ", line)]


def typed(work: Path, command: str) -> str:
    """Type one command, and the vault's password where it is asked for. It must succeed."""
    script = shlex.join(["bash", "-c", "\n".join([*definitions(), command])])
    answers = {"(?i)password: ?$": f"{PASSWORD}\n"}
    # Without the setting of the other scenarios, which spares Ansible much, and is not everybody's.
    environment = {**os.environ, "EDITOR": "cp secrets.yml", "ANSIBLE_PIPELINING": "false"}
    output, status = pexpect.run(
        script, cwd=str(work), env=environment, events=answers, withexitstatus=True, encoding="utf-8", timeout=None
    )
    output = output.replace("\r\n", "\n")
    with (work / "outputs.txt").open("a", encoding="utf-8") as file:
        file.write(f"$ {command}\n{output}\n")
    assert status == 0, output
    assert playbook.SECRETS not in output
    return str(output)


def shape(text: str) -> str:
    """The words of a text without numbers, columns and where its lines end."""
    return re.sub(r"#(?: #)+", "#", " ".join(NUMBER.sub("#", text).split()))


def assert_shows(blocks: list[Block], output: str) -> None:
    """The first block of text shows what came out. A line … stands for any number of lines."""
    shown = next(text for kind, text in blocks if kind == "text")
    pattern = ".*?".join(re.escape(f"{shape(part)} ") for part in shown.split("…\n"))
    assert re.search(pattern, shape(output)), f"The README shows:\n{shown}\nWhat came out:\n{output}"


def moment(host: t.Any) -> str:
    """Now, as a target: a commit lies before it, and one after it is archived."""
    query(host, "INSERT INTO customer VALUES (0, 'before')")
    query(host, "SELECT pg_sleep(1)")  # the target has whole seconds, and must be later than that commit
    found = query(host, "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS+00:00')")
    query(host, "INSERT INTO customer VALUES (0, 'after')")
    close_segment(host)
    return found


def close_segment(host: t.Any) -> None:
    """Have all WAL so far in the archive."""
    wait_until_archived(host, query(host, "SELECT pg_walfile_name(pg_switch_wal())"))


def in_shop(host: t.Any, sql: str, *, port: int = 5432) -> str:
    """Rows of an SQL command in the database of the examples."""
    return as_postgres(host, "psql -XAtq -v ON_ERROR_STOP=1 -d shop -p %s -c %s", str(port), sql)


# The examples


def test_protect(db1: t.Any, work: Path) -> None:
    query(db1, "CREATE DATABASE shop")
    columns = "n AS id, 'customer ' || n AS customer"
    in_shop(db1, f"CREATE TABLE orders AS SELECT {columns} FROM generate_series(1, 5000) AS n")
    blocks = example("Protect")
    vault, *rest = [line for line in commands(blocks) if line not in definitions()]
    assert vault.startswith("ansible-vault create")
    typed(work, vault)
    assert (work / "vault.yml").read_text().startswith("$ANSIBLE_VAULT")
    check, protect, status = rest
    typed(work, check)
    assert not db1.file("/etc/pgbackrest").exists
    typed(work, protect)
    assert_shows(blocks, typed(work, status))


def test_restore(db1: t.Any, work: Path) -> None:
    rows = in_shop(db1, ORDERS)
    since = moment(db1)
    in_shop(db1, "DROP TABLE orders")
    close_segment(db1)
    blocks = example("Restore")
    plan, restore = [re.sub(r"(?<=restore_drop_from=)\S+", since, line) for line in commands(blocks)]
    planned = typed(work, plan)
    assert_shows(blocks, planned)
    (identity,) = re.findall(r"^ *Plan ([\w-]+): restore of stanza main", planned, re.MULTILINE)
    restored = typed(work, re.sub(r"(?<=restore_plan=)\S+", identity, restore))
    first = next(number for number, (kind, dummy) in enumerate(blocks) if kind == "text")
    assert_shows(blocks[first + 1 :], restored)
    assert in_shop(db1, ORDERS) == rows


def test_clone(db1: t.Any, work: Path) -> None:
    at = moment(db1)
    in_shop(db1, "DELETE FROM orders")
    close_segment(db1)
    blocks = example("Clone")
    make, remove = [re.sub(r"(?<=clone_target_time=)\S+", at, line) for line in commands(blocks)]
    made = typed(work, make)
    assert_shows(blocks, made)
    port = int(re.findall(r"port (\d+) on localhost", made)[0])
    seen = "SELECT count(*), max(length(customer)), count(*) FILTER (WHERE customer LIKE 'customer%') FROM orders"
    assert in_shop(db1, seen, port=port) == "5000|32|0"
    connect = re.findall(r"on db1: (sudo -u postgres psql -p \d+ shop)", made)[0]
    assert db1.check_output(f"cd / && {connect} -XAtc 'SELECT count(*) FROM orders'") == "5000"
    file = in_shop(db1, "SELECT pg_relation_filepath('orders')", port=port)
    assert db1.run(f"grep -qaF customer /var/lib/postgresql/clones/review/data/{file}").rc == 1  # no old rows
    assert in_shop(db1, "SELECT count(*) FROM orders") == "0"
    typed(work, remove)
    wait_for(lambda: not db1.file("/var/lib/postgresql/clones/review").exists, "no clone")
