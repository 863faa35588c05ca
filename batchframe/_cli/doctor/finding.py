"""Result of a check, as data and as a line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """Result of one check.

    Attributes
    ----------
    verdict
        "warning" if batchframe can be used, "problem" if not.
    next_step
        How to fix the problem.
    """

    subject: str
    verdict: Verdict
    told: str
    next_step: str | None = None

    def __str__(self) -> str:
        """Format the finding as one or two lines.

        Examples
        --------
        >>> print(Finding("key", "problem", "OPENAI_API_KEY is not set.", "Set it."))
        problem  key         OPENAI_API_KEY is not set.
                             Set it.
        """
        line = f"{self.verdict:<8} {self.subject:<11} {self.told}"
        return line if self.next_step is None else f"{line}\n{'':<20} {self.next_step}"
