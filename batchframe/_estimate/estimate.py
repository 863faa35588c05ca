"""The estimate of tokens and cost, as ranges with notes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass, replace
from decimal import Decimal
from typing import Any, Final

import pandas as pd

from batchframe._base.ranges import Range
from batchframe._display import (
    UNKNOWN,
    Card,
    CardRepr,
    Details,
    Table,
    count,
    money,
    plural,
    round_up,
)

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
_FOLDED: Final = ("flex_cost", "priority_cost")
_SHOWN: Final = tuple(name for name in _FIGURES if name not in _FOLDED)


@dataclass(frozen=True, repr=False)
class Estimate(CardRepr):
    """Estimated tokens and cost of requests before submission.

    Attributes
    ----------
    rows, requests, duplicates, reused, skipped, files
        The number of rows; requests to send; duplicate rows; requests answered by an earlier job,
        which are not sent again; rows without a request; input files.
    input_tokens, output_tokens
        Ranges of tokens. Output includes reasoning and the framing that the service adds to an
        answer. ``expected`` is None if typical reasoning is unknown; ``high`` is None if nothing
        limits the output.
    cost, standard_cost
        Ranges of `Decimal` USD through the Batch API and through the realtime API; None if the
        price is unknown. Cached input is not expected, since it is only known afterwards. The
        lower bound assumes that all eligible input is read from the prompt cache, the upper bound
        that it is written to it, if that costs more. Where price books disagree, the range spans
        their prices.
    flex_cost, priority_cost
        The same in the realtime API's cheaper and faster tiers.
    input_cost
        The part of `cost` due to input tokens.
    unbounded_reasoning
        Whether reasoning tokens have no upper bound.
    exact
        Whether the input tokens equal the service's own count.
    notes
        Limitations of these figures.
    bounded
        Whether each ``high`` is an upper bound. If not, it is None or a likely maximum from
        earlier answers.
    sent_as
        Name of the job that has sent these requests, or some of them.

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
    bounded: bool = True
    sent_as: str | None = None

    def __add__(self, other: Estimate) -> Estimate:
        def total(name: str) -> Any:
            own, others = getattr(self, name), getattr(other, name)
            return None if own is None or others is None else own + others

        return Estimate(
            **{name: total(name) for name in (*_COUNTS, *RANGES)},
            exact=self.exact and other.exact,
            notes=tuple(dict.fromkeys((*self.notes, *other.notes))),
            unbounded_reasoning=self.unbounded_reasoning or other.unbounded_reasoning,
            bounded=self.bounded and other.bounded,
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
        >>> plan = frame.bf.requests("{{ text }}", model="gpt-4.1", output=["+", "-"])
        >>> estimate = plan.estimate()
        >>> estimate.saved == estimate.cost.expected
        True
        """
        if self.cost is None or not self.requests:
            return None
        cost = _middle(self.cost) or Decimal(0)
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
        is_likely = not self.bounded and self.output_tokens.high is not None
        head = ("", "low", "expected", "high (likely)" if is_likely else "high")
        requests = f"{plural(self.requests, 'request')} in {plural(self.files, 'file')}"
        return Card(
            title=f"Estimate for {plural(self.rows, 'row')}: {requests}",
            figures=self._figures,
            facts=self._facts,
            table=Table("tokens and USD", head, self._lines(_SHOWN)),
            details=Details(
                "How exact is this? Other tiers",
                table=Table("other tiers, in real time", head, self._lines(_FOLDED)),
                notes=self.notes,
            ),
        )

    def _lines(self, names: Iterable[str]) -> tuple[tuple[str, ...], ...]:
        figures = ((_FIGURES[name], getattr(self, name)) for name in names)
        return tuple((label, *_format_ends(ends, write)) for (label, write), ends in figures)

    @property
    def _figures(self) -> tuple[tuple[str, str], ...]:
        """The headline: rows, requests, about and at most."""
        sizes = ("rows", count(self.rows)), ("requests", count(self.requests))
        if self.cost is None:
            return (*sizes, ("cost", UNKNOWN))
        about = ("at least", money(self.cost.low))
        if self.cost.expected is not None:
            about = ("about", money(self.cost.expected))
        if self.cost.high is None:
            return (*sizes, about, ("at most", "no upper bound"))
        most = "at most" if self.bounded else "likely at most"
        return (*sizes, about, (most, money(self.cost.high)))

    @property
    def _facts(self) -> tuple[tuple[str, str], ...]:
        """What is saved, and the cost of 1,000 rows."""
        facts = []
        rows = self.rows - self.skipped
        cost, standard = _middle(self.cost), _middle(self.standard_cost)
        if self.requests and cost is not None:
            if standard is not None and standard > cost:
                facts.append(("the batch saves", f"{money(standard - cost)} of {money(standard)}"))
            facts.append(("1,000 rows", f"about {money(cost * 1000 / rows)}"))
        return (*self._submitted, *facts, *self._unsent_facts())

    @property
    def _submitted(self) -> tuple[tuple[str, str], ...]:
        if self.sent_as is None:
            return ()
        rest = "; submit() sends the rest" if self.requests else "; submit() only finds it"
        return (("submitted", f"as job {self.sent_as}{rest}"),)

    @property
    def _next_step(self) -> str:
        """The line that submits the requests, with the upper bound as limit."""
        if self.cost is None or not self.requests:
            return "job = plan.submit()"
        if self.cost.high is None:
            return (
                "pilot = plan.pilot(20)  # shows answers, and the likely cost\njob = plan.submit()"
            )
        likely = "" if self.bounded else ', on_unbounded="warn"'
        return f"job = plan.submit(max_cost={round_up(self.cost.high)}{likely})"

    def _unsent_facts(self) -> tuple[tuple[str, str], ...]:
        parts = []
        if self.duplicates:
            parts.append(plural(self.duplicates, "duplicate"))
        if self.reused:
            parts.append(f"{plural(self.reused, 'request')} already answered")
        if self.skipped:
            parts.append(f"{self.skipped:,} skipped")
        if not parts:
            return ()
        savings = f": saves about {money(self.saved)}" if self.saved else ""
        return (("not sent", ", ".join(parts) + savings),)


def _middle(cost: Range[Decimal] | None) -> Decimal | None:
    """Return the expected cost, or the lower bound without one."""
    if cost is None:
        return None
    return cost.low if cost.expected is None else cost.expected


def _format_ends(ends: Range[Any] | None, formatter: Any) -> tuple[str, ...]:
    """Format the low, expected and high values of a range."""
    if ends is None:
        return (UNKNOWN,) * 3
    high = "no bound" if ends.high is None else formatter(ends.high)
    low, expected = formatter(ends.low), formatter(ends.expected)
    return ("", low, "") if low == high else (low, expected, high)
