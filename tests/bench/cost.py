# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Part ``cost``: what the collection's own code takes, beside the bare commands that do the same."""

from __future__ import annotations

import typing as t

from . import hosts
from .context import Context
from .growth import refuse_changes
from .measure import Measured, interleaved, median

NAME = "cost"
PROGRAMS = {"ansible": [hosts.PLAYBOOK, "--version"]}
CLUSTER = "v=$(ls /usr/lib/postgresql | tail -n 1); unit=postgresql@$v-main"
BACKUP = ("pgbackrest", "--stanza=main", "--type=full", "backup")
RESTORE = f"""{CLUSTER}
systemctl stop $unit
runuser -u postgres -- pgbackrest --stanza=main --delta restore
systemctl start $unit
# 20 minutes at most; the check then fails for a cluster that still recovers.
for n in $(seq 12000); do
    [ "$(runuser -u postgres -- psql -tAc 'select pg_is_in_recovery()')" = f ] && break
    sleep 0.1
done
runuser -u postgres -- pgbackrest --stanza=main check
"""
# pgBackRest then takes its time over little data, and the module shows its progress.
SLOW = {"compress-type": "gz", "compress-level": 9, "process-max": 1}
DATA = """create table t as select string_agg(md5(i::text || j::text), ' ')
from generate_series(1, {}) i, generate_series(1, 60) j group by i"""


def run(context: Context) -> dict[str, t.Any]:
    """Measure on one host."""
    with hosts.started(context.directory, 1, context.say) as found:
        context.say("protecting the host")
        found.play("site")
        host = Host(context, found)
        tables = [host.site(), host.backup("backup", "Full backup of an empty cluster")]
        host.fill(3_000 if context.smoke else 60_000)
        tables += [host.backup("progress", "Full backup that takes so long that progress is shown"), host.restore()]
        return {
            "notes": [
                "The host is a container with systemd on this machine, reached over SSH with pipelining. Each run "
                "connects anew. The seconds of a playbook are those of the "
                "whole command, with the start of `ansible-playbook`; those of a task go from its start to its result.",
                "A task that does nothing is `ansible.builtin.ping` as another user.",
                "The bare restore stops PostgreSQL, runs `pgbackrest restore`, starts PostgreSQL, waits for the end of "
                "recovery and runs `pgbackrest check`. The playbook does that, too, and besides looks, plans, proves.",
            ],
            "tables": tables,
            "facts": host.facts(),
        }


class Host:
    """One host, and what was measured on it."""

    def __init__(self, context: Context, found: hosts.Hosts) -> None:
        self.context, self.found, self.name = context, found, found.names[0]
        self.unchanged: list[hosts.Play] = []
        self.ping = context.directory / "ping.yml"
        task = "{ansible.builtin.ping: , become: true, become_user: postgres}"
        facts = "{ansible.builtin.setup: , become: true}"
        tasks = f"[{task}, {task}, {facts}]"
        self.ping.write_text(f"[{{hosts: database, gather_facts: false, tasks: {tasks}}}]\n", encoding="utf-8")

    def measure(self, competitors: t.Mapping[str, t.Callable[[], float]]) -> Measured:
        """Seconds of each, interleaved."""
        return interleaved(competitors, self.context.runs, say=self.context.say)

    def site(self) -> dict[str, t.Any]:
        """An unchanged run of the playbook, beside one that only gathers facts."""

        def site() -> float:
            play = self.found.play("site")
            refuse_changes(play)
            self.unchanged.append(play)
            return play.seconds

        measured = self.measure(
            {
                "site, unchanged": site,
                "a play with two tasks that do nothing, and facts": lambda: self.found.play(str(self.ping)).seconds,
            }
        )
        return {"key": "site", "title": "Unchanged run of site on one host", "measured": measured}

    def backup(self, key: str, title: str) -> dict[str, t.Any]:
        """The bare command beside the module, the playbook, and a task that does nothing."""
        taken: list[hosts.Play] = []

        def playbook() -> float:
            taken.append(self.found.play("backup", "-e", "backup_type=full"))
            return taken[-1].seconds

        measured = self.measure(
            {
                "pgbackrest backup": lambda: self.found.timed(self.name, *BACKUP),
                "the playbook backup": playbook,
                "a task that does nothing": lambda: self.found.play(str(self.ping)).task("ping")[-1],
            }
        )
        module = [play.task("backup")[0] for play in taken]
        # Interleaved with the others, as it is a part of the playbook's run.
        return {"key": key, "title": title, "measured": {**measured, "the module backup": module}}

    def restore(self) -> dict[str, t.Any]:
        """The commands that one would type beside the playbook."""
        words = [f"-e{name}" for name in ("restore_confirm=main", "restore_mode=delta", "restore_repeat=true")]

        def playbook() -> float:
            return self.found.play("restore", *words, "-erestore_backup=false").seconds

        def bare() -> float:
            return self.found.timed(self.name, "sh", "-ec", RESTORE, user="root")

        measured = self.measure({"the bare commands": bare, "the playbook restore": playbook})
        return {"key": "restore", "title": "Restore in place with recovery to the end", "measured": measured}

    def fill(self, rows: int) -> None:
        """Give the cluster data, and let pgBackRest work on it slowly."""
        self.found.run(self.name, "psql", "--quiet", "--command", DATA.format(rows), user="postgres")
        self.found.variables["pgbackrest_options"] = SLOW
        self.found.write()
        self.found.play("site")

    def facts(self) -> list[list[str]]:
        """Single figures of the unchanged run."""
        reaching = {len(play.reaching(self.name)) for play in self.unchanged}
        processor = median([play.controller for play in self.unchanged])
        return [
            ["unchanged site: tasks that reach the host", ", ".join(map(str, sorted(reaching)))],
            ["unchanged site: processor on the controller", f"{processor:.1f} s"],
        ]
