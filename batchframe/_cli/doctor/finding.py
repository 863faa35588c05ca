"""What a check found, as data and as a line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes
    ----------
    verdict
        "warning" if work can go on, "problem" if it cannot.
    next_step
        What to do about it.
    """

    subject: str
    verdict: Verdict
    told: str
    next_step: str | None = None

    def __str__(self) -> str:
        """Write the finding as a line or two.

        Examples
        --------
        >>> print(Finding("key", "problem", "OPENAI_API_KEY is not set.", "Set it."))
        problem  key         OPENAI_API_KEY is not set.
                             Set it.
        """
        line = f"{self.verdict:<8} {self.subject:<11} {self.told}"
        return line if self.next_step is None else f"{line}\n{'':<20} {self.next_step}"
