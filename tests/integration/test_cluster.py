# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is read of a data directory without PostgreSQL's programs, compared with what the server says."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.pgops.pgbackrest.plugins.module_utils import _cluster, _wal


@pytest.mark.matrix
def test_control_data_and_postmaster(cluster: t.Any) -> None:
    pgdata = str(cluster.pgdata)
    assert _cluster.read_control_data(pgdata).state == "shut down"
    assert _cluster.postmaster(pgdata) is None
    cluster.start()
    cluster.sql("CHECKPOINT")
    found = _cluster.read_control_data(pgdata)
    rows = cluster.sql(
        "SELECT system_identifier, checkpoint_lsn, redo_lsn, timeline_id "
        "FROM pg_control_system(), pg_control_checkpoint()"
    )
    assert rows == [
        (
            str(found.system_identifier),
            _wal.format_lsn(found.checkpoint_lsn),
            _wal.format_lsn(found.redo_lsn),
            str(found.timeline),
        )
    ]
    assert (found.pg_version, found.state) == (str(cluster.pg_major), "in production")
    server = _cluster.postmaster(pgdata)
    assert server and server.alive and server.state == "ready"
    assert (server.port, server.socket_directory) == (cluster.port, cluster.socket_dir)
    sql = "SELECT pg_walfile_name(lsn), lsn FROM pg_current_wal_lsn() AS lsn"
    name, lsn = cluster.sql(sql)[0]
    assert _wal.segment_at(_wal.parse_lsn(lsn) - 1, found.timeline).name() == name


def test_auto_conf_as_alter_system_writes_it(cluster: t.Any) -> None:
    cluster.start()
    value = 'it\'s \\ "a" \u2028 # b'
    cluster.sql("ALTER SYSTEM SET archive_command = '" + value.replace("'", "''") + "'")
    assert _cluster.auto_conf_settings(str(cluster.pgdata)) == {"archive_command": value}
