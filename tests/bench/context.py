# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every part of the benchmark is given."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Context:
    """How large, how often, where; and how to tell people how far it is."""

    runs: int
    megabytes: int
    smoke: bool
    directory: Path  # of the user who runs PostgreSQL, on the file system that is measured; removed at the end
    say: t.Callable[[str], None]
