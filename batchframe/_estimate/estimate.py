"""The estimate of tokens and cost, as ranges with notes."""

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
"""The displayed ranges, with label and number format."""


@dataclass(frozen=True, repr=False)
class Estimate(CardRepr):
    """Estimated tokens and cost of requests before submission.

    Attributes
    ----------
    rows, requests, duplicates, reused, skipped, files
        The number of rows; requests to send; duplicate rows; requests answered by an earlier job,
        which are not sent again; rows without a request; input files.
    input_tokens, output_tokens
        Ranges of tokens. Output tokens exclude reasoning unless ``max_completion_tokens`` bounds
        it; `notes` says so.
    cost, standard_cost
        Ranges of `Decimal` USD through the Batch API and through the realtime API; None if the
        price is unknown. Cached input is not expected, since it is only known afterwards. The
        upper bound assumes that all eligible input is written to the prompt cache, if that costs
        more.
    flex_cost, priority_cost
        The same in the realtime API's cheaper and faster tiers.
    input_cost
        The part of `cost` due to input tokens.
    unbounded_reasoning
        Whether unbounded reasoning tokens are added to the output tokens and costs.
    exact
        Whether the input tokens equal the service's own count.
    notes
        Limitations of these figures.

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
            own, others = getattr(self, name), getattr(other, name)
            return None if own is None or others is None else own + others

        return Estimate(
            **{name: total(name) for name in (*_COUNTS, *RANGES)},
            exact=self.exact and other.exact,
            notes=tuple(dict.fromkeys((*self.notes, *other.notes))),
            unbounded_reasoning=self.unbounded_reasoning or other.unbounded_reasoning,
        )

    @property
    def saved(self) -> Decimal | None:
        """The approximate savings from duplicates and reused answers in USD.

        Each is valued at the mean batch cost of a sent request: the expected cost or, if unknown,
        the lower bound. None if the price is unknown or nothing is sent.

        Examples
        --------
        >>> import pandas as pd, batchframe as bf
        >>> frame = pd.DataFrame({"text": ["good", "good"]})
        >>> requests = frame.bf.requests("{{ text }}", model="gpt-4.1", output=["+", "-"])
        >>> estimate = requests.estimate()
        >>> estimate.saved == estimate.cost.expected
        True
        """
        if self.cost is None or not self.requests:
            return None
        cost = self.cost.low if self.cost.expected is None else self.cost.expected
        return cost * (self.duplicates + self.reused) / self.requests

    def with_notes(self, *notes: str) -> Estimate:
        """Return a copy with additional notes."""
        return replace(self, notes=(*self.notes, *notes))

    def to_frame(self) -> pd.DataFrame:
        """Return the ranges as a frame with low, expected and high columns.

        Tokens are int and costs are `Decimal`, so the columns have dtype object; unknown values
        are None.
        """
        ranges: dict[str, Range[Any] | None] = {name: getattr(self, name) for name in _FIGURES}
        return pd.DataFrame.from_dict(
            {name: astuple(ends) if ends else (None,) * 3 for name, ends in ranges.items()},
            orient="index",
            columns=["low", "expected", "high"],
            dtype=object,
        )

    def _card(self) -> Card:
        suffix = " + reasoning" if self.unbounded_reasoning else ""
        figures = tuple(
            (
                label,
                *_format_ends(
                    getattr(self, name), formatter, "" if name == "input_tokens" else suffix
                ),
            )
            for name, (label, formatter) in _FIGURES.items()
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
            parts.append(plural(self.duplicates, "duplicate"))
        if self.reused:
            parts.append(f"{plural(self.reused, 'request')} already answered")
        if not parts:
            return ()
        savings = "" if self.saved is None else f": saves about {money(self.saved)}"
        return (("not sent", " and ".join(parts) + savings),)


def _format_ends(ends: Range[Any] | None, formatter: Any, suffix: str) -> tuple[str, ...]:
    """Format the low, expected and high values of a range."""
    if ends is None:
        return (UNKNOWN,) * 3
    high = "no bound" if ends.high is None else formatter(ends.high) + suffix
    return (formatter(ends.low), formatter(ends.expected), high)
