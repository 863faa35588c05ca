"""The estimate of tokens and cost, as ranges with their reasons."""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace
from decimal import Decimal
from typing import Any, Final

import pandas as pd

from batchframe._base.ranges import Range
from batchframe._display import UNKNOWN, Card, CardRepr, Table, count, money, plural

_COUNTS: Final = ("rows", "requests", "duplicates", "reused", "skipped", "files")
RANGES: Final = (
    "input_tokens", "output_tokens", "cost", "standard_cost", "flex_cost", "priority_cost",
    "input_cost",
)  # fmt: skip
_FIGURES: Final[dict[str, tuple[str, Any]]] = {
    "input_tokens": ("input tokens", count),
    "output_tokens": ("output tokens", count),
    "cost": ("batch cost", money),
    "standard_cost": ("standard cost", money),
    "flex_cost": ("flex cost", money),
    "priority_cost": ("priority cost", money),
}
"""The ranges that are shown: how each is labeled, and how its numbers are written."""


@dataclass(frozen=True, repr=False)
class Estimate(CardRepr):
    """What some requests will take, before anything is sent.

    Attributes
    ----------
    rows, requests, duplicates, reused, skipped, files
        Numbers of rows; of requests to send; of rows that ask what another row asks already; of
        requests that an earlier job answered, which are not sent again; of rows without a
        request; of input files.
    input_tokens, output_tokens
        Ranges of tokens. Those of reasoning are not among the output tokens unless
        ``max_completion_tokens`` bounds them; `notes` says so.
    cost, standard_cost
        Ranges of `Decimal` USD through the Batch API and through the realtime API; None where no
        price is known. Nothing is taken to be read from the prompt cache: that shows only
        afterwards. The high end takes all that may be to be written to it, where that is dearer.
    flex_cost, priority_cost
        The same in the realtime API's cheaper and faster tiers.
    input_cost
        The part of `cost` that the input makes.
    unbounded_reasoning
        Whether reasoning tokens, which nothing bounds, come on top of the output tokens and costs.
    exact
        Whether the input tokens are counted as the service counts them.
    notes
        What limits these figures, in words.

    Examples
    --------
    >>> import pandas as pd, batchframe as bf
    >>> frame = pd.DataFrame({"text": ["good", "bad", "good"]})
    >>> estimate = frame.bf.requests("{{ text }}", model="gpt-4.1", output=["+", "-"]).estimate()
    >>> estimate.rows, estimate.requests, estimate.duplicates
    (3, 2, 1)
    >>> estimate.cost.high < estimate.standard_cost.high
    True
    """

    rows: int
    requests: int
    duplicates: int
    reused: int
    skipped: int
    files: int
    input_tokens: Range[int]
    output_tokens: Range[int]
    cost: Range[Decimal] | None
    standard_cost: Range[Decimal] | None
    exact: bool
    notes: tuple[str, ...]
    flex_cost: Range[Decimal] | None = None
    priority_cost: Range[Decimal] | None = None
    input_cost: Range[Decimal] | None = None
    unbounded_reasoning: bool = False

    def __add__(self, other: Estimate) -> Estimate:
        def total(name: str) -> Any:
            ours, theirs = getattr(self, name), getattr(other, name)
            return None if ours is None or theirs is None else ours + theirs

        return Estimate(
            **{name: total(name) for name in (*_COUNTS, *RANGES)},
            exact=self.exact and other.exact,
            notes=tuple(dict.fromkeys((*self.notes, *other.notes))),
            unbounded_reasoning=self.unbounded_reasoning or other.unbounded_reasoning,
        )

    @property
    def saved(self) -> Decimal | None:
        """What is saved by the rows and requests that are not sent, in USD through the Batch API.

        About: each is taken for the mean of those that are sent, at the expected cost or, where
        that is not known, the low one. None where no price is known, or nothing is sent.

        Examples
        --------
        >>> import pandas as pd, batchframe as bf
        >>> frame = pd.DataFrame({"text": ["good", "good"]})
        >>> known = frame.bf.requests("{{ text }}", model="gpt-4.1", output=["+", "-"]).estimate()
        >>> known.saved == known.cost.expected
        True
        """
        if self.cost is None or not self.requests:
            return None
        cost = self.cost.low if self.cost.expected is None else self.cost.expected
        return cost * (self.duplicates + self.reused) / self.requests

    def with_notes(self, *notes: str) -> Estimate:
        """Return the same figures with further notes."""
        return replace(self, notes=(*self.notes, *notes))

    def to_frame(self) -> pd.DataFrame:
        """Return the ranges as a frame: one row a figure; low, expected, high.

        Tokens are int and money is `Decimal`, so the columns have dtype object; unknown is None.
        """
        ranges: dict[str, Range[Any] | None] = {name: getattr(self, name) for name in _FIGURES}
        return pd.DataFrame.from_dict(
            {name: astuple(found) if found else (None,) * 3 for name, found in ranges.items()},
            orient="index",
            columns=["low", "expected", "high"],
            dtype=object,
        )

    def _card(self) -> Card:
        more = " + reasoning" if self.unbounded_reasoning else ""
        figures = tuple(
            (label, *_ends(getattr(self, name), words, "" if name == "input_tokens" else more))
            for name, (label, words) in _FIGURES.items()
        )
        requests = f"{plural(self.requests, 'request')} in {plural(self.files, 'file')}"
        return Card(
            title=f"Estimate for {plural(self.rows, 'row')}: {requests}",
            facts=self._unsent_facts(),
            table=Table("tokens and USD", ("", "low", "expected", "high"), figures),
            notes=self.notes,
        )

    def _unsent_facts(self) -> tuple[tuple[str, str], ...]:
        parts = []
        if self.duplicates:
            parts.append(f"{plural(self.duplicates, 'row')} equal to another")
        if self.reused:
            parts.append(f"{plural(self.reused, 'request')} answered before")
        if not parts:
            return ()
        worth = "" if self.saved is None else f": saves about {money(self.saved)}"
        return (("not sent", " and ".join(parts) + worth),)


def _ends(ends: Range[Any] | None, words: Any, more: str) -> tuple[str, ...]:
    """Write the low, expected and high end of a range."""
    if ends is None:
        return (UNKNOWN,) * 3
    high = "no bound" if ends.high is None else words(ends.high) + more
    return (words(ends.low), words(ends.expected), high)
