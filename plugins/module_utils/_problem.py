# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Named reasons why something must not be done. Pure. Private to the collection."""

from __future__ import annotations

import typing as t
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Problem:
    """One reason: ``code`` for programs, ``sentence`` says what is wrong and where, ``hint`` what to do next."""

    code: str
    sentence: str
    hint: str

    def text(self) -> str:
        """Sentence and hint."""
        return f"{self.sentence} {self.hint}".rstrip()


class PlanError(Exception):
    """The work must not begin, or did not end as planned; ``problems`` has all reasons."""

    def __init__(self, problems: t.Sequence[Problem], heading: str = "The restore is refused") -> None:
        self.problems = list(problems)
        texts = [problem.text() for problem in problems]
        numbered = [f"{number}) {text}" for number, text in enumerate(texts, 1)] if len(texts) > 1 else texts
        super().__init__(f"{heading}: {' '.join(numbered)}")

    def result(self) -> dict[str, t.Any]:
        """Arguments for ``fail_json``."""
        return {"msg": str(self), "problems": [asdict(problem) for problem in self.problems]}
