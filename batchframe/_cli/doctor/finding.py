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


def words_of(finding: Finding) -> str:
    """Write a finding as a line or two.

    Examples
    --------
    >>> print(words_of(Finding("key", "problem", "OPENAI_API_KEY is not set.", "Set it.")))
    problem  key         OPENAI_API_KEY is not set.
                         Set it.
    """
    told = f"{finding.verdict:<8} {finding.subject:<11} {finding.told}"
    return told if finding.next_step is None else f"{told}\n{'':<20} {finding.next_step}"
