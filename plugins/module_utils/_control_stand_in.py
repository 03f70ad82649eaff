# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A ``pg_control`` that says whose cluster it is and nothing else. Private to the collection.

``pgbackrest archive-get`` reads ``global/pg_control`` below pg1-path to learn system identifier and version; without it
it fetches nothing. After the loss of a data directory there is none, just when WAL must be looked at before a restore.
What pgBackRest checks besides is alike for all clusters of a major version: the versions of the file and of the
catalogue, the page size, and (2.55.1 and 2.60.0, not 2.45) the checksum. Tried with these three programs and
PostgreSQL 10 to 18.
"""

from __future__ import annotations

import os
import struct

_SIZE = 8192
_PAGE = 8192
_RELATION_SEGMENT = 131072
_WAL_SEGMENT = 16 * 1024**2  # pgBackRest only looks at it for PostgreSQL 10, which knows no other
# By major version: pg_control_version, catalog_version_no, and the offsets of blcksz and crc in ControlFileData
# (src/include/catalog/pg_control.h, src/include/catalog/catversion.h).
_LAYOUTS = {
    10: (1002, 201707211, 216, 288),
    11: (1100, 201809051, 208, 280),
    12: (1201, 201909212, 216, 288),
    13: (1300, 202007201, 216, 288),
    14: (1300, 202107181, 216, 288),
    15: (1300, 202209061, 216, 288),
    16: (1300, 202307071, 216, 288),
    17: (1700, 202406281, 216, 288),
    18: (1800, 202506291, 216, 292),
}
_CASTAGNOLI = 0x82F63B78  # polynomial of CRC-32C, bits reversed


def knows(pg_major: int) -> bool:
    """Whether a stand-in can be made for this major version."""
    return pg_major in _LAYOUTS


def stand_in(system_id: int, pg_major: int) -> bytes:
    """Content of a ``pg_control`` of this cluster."""
    control_version, catalog_version, sizes, checksum = _LAYOUTS[pg_major]
    data = bytearray(_SIZE)
    struct.pack_into("=QII", data, 0, system_id, control_version, catalog_version)
    struct.pack_into("=IIII", data, sizes, _PAGE, _RELATION_SEGMENT, _PAGE, _WAL_SEGMENT)
    struct.pack_into("=I", data, checksum, crc32c(bytes(data[:checksum])))
    return bytes(data)


def write_stand_in(directory: str, system_id: int, pg_major: int) -> None:
    """Make ``directory`` look like the data directory of this cluster to pgBackRest, and to nobody else."""
    os.makedirs(os.path.join(directory, "global"), mode=0o700)
    with open(os.path.join(directory, "global", "pg_control"), "wb") as file:
        file.write(stand_in(system_id, pg_major))


def crc32c(data: bytes) -> int:
    """CRC-32C as PostgreSQL computes it.

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _bit in range(8):
            value = (value >> 1) ^ (_CASTAGNOLI if value & 1 else 0)
    return value ^ 0xFFFFFFFF
