"""Count the input tokens of all requests, or of a sample if slow."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from batchframe._base.progress import Advance, progress
from batchframe._base.ranges import Range
from batchframe._base.threads import ordered_map
from batchframe._endpoints import endpoint_of
from batchframe._estimate.constant_parts import CUTTABLE, Division, divide
from batchframe._estimate.sampling import extrapolate, sample_of
from batchframe._recipe.slots import column_name
from batchframe._recipe.template import Template, map_leaves
from batchframe._requests.lines import body_of
from batchframe._requests.table import RequestTable
from batchframe._tokens.bodies import TOO_LONG
from batchframe._tokens.counter import Tally, TokenCount, TokenCounter, token_counter

# Filling a template with strings of two lengths shows whether it is counted as plain text.
_FILLING: Final = "a"
_LONGER_FILLING: Final = "a b c"

PATIENCE: Final = 10.0
"""Seconds; if an exact count would take longer, a sample is counted by default."""
SEED: Final = 20_261_121
_FEW_BYTES: Final = 4 * 2**20
"""Up to this size, all requests are counted with any engine."""
_PROBE: Final = 256
_SAMPLE: Final = 5_000
_LARGEST: Final = 500
"""Maximum number of largest requests to count in addition to the sample, if time allows."""
_MIN_LARGEST: Final = 20
"""Minimum number of largest requests to count, regardless of time."""
_SAMPLE_SECONDS: Final = 3.0
_IN_PIECES: Final = 0.01

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class InputTokens:
    """The input tokens of the requests, with bounds.

    Attributes
    ----------
    tokens
        The expected number for each request.
    low, high
        The bounds for each request; `high` is None if unbounded.
    exact
        Whether every number equals the service's own count.
    notes
        Notes on the counts.
    chance
        The sampling error of the total; None if all requests were counted.
    is_least
        Whether `tokens` are the fewest possible, so that none are expected.
    """

    tokens: Numbers
    low: Numbers
    high: Numbers | None
    exact: bool
    notes: tuple[str, ...]
    chance: int | None = None
    is_least: bool = False

    @cached_property
    def total(self) -> Range[int]:
        """The total tokens of all requests."""
        high = None if self.high is None else int(self.high.sum())
        return Range(int(self.low.sum()), None if self.is_least else int(self.tokens.sum()), high)


def scaled(tokens: Numbers, total: int) -> Numbers:
    """Scale all numbers proportionally so that they sum to `total`.

    Examples
    --------
    >>> scaled(np.array([10, 20, 30]), 66).tolist()
    [11, 22, 33]
    """
    before = int(tokens.sum())
    if before in {0, total}:
        return tokens
    ends = np.cumsum(tokens, dtype=float)
    ends *= total / before
    shares: Numbers = np.diff(np.rint(ends, out=ends), prepend=0.0).astype(np.int64)
    return shares


@dataclass(frozen=True, eq=False)
class _Counted:
    """Counted tokens, with lower and upper deviations and notes."""

    tokens: Numbers
    fewer: Numbers
    more: Numbers | None
    notes: tuple[str, ...]


def count_input(
    table: RequestTable,
    *,
    exact: bool | None = None,
    patience: float = PATIENCE,
    clock: Callable[[], float] = time.perf_counter,
) -> InputTokens:
    """Count the input tokens of every request, or of a sample.

    Constant text is counted once. The time of the second part of a random sample decides whether
    all requests are counted.

    Parameters
    ----------
    exact
        True counts all requests, False a sample; None decides by `patience`, in seconds.
    """
    # The size of an image is enough to count its tokens.
    table = table.sketched()
    counter = token_counter(table.recipe.model)
    around = _tokens_around(table, counter)
    count: Callable[..., _Counted] = (
        _one_by_one if around is None else partial(_by_column, counter=counter, around=around)
    )
    sample = sample_of(table.to_send, _SAMPLE, SEED)
    volume = float(table.size[: table.to_send].sum())
    is_small = volume <= _FEW_BYTES
    if exact or len(sample) == table.to_send or (is_small and exact is None):
        return _input_tokens(count(table, with_bar=True))
    # The first call includes one-time work such as loading a vocabulary.
    warm_up_places, probe_places = np.sort(sample[:_PROBE]), np.sort(sample[_PROBE : 2 * _PROBE])
    warm_up = count(part_of(table, warm_up_places))
    part = part_of(table, probe_places)
    start_time = clock()
    probe = count(part)
    speed = float(part.size.sum()) / max(clock() - start_time, 1e-6)
    if exact is None and volume / speed <= patience:
        return _input_tokens(count(table, with_bar=True))
    bytes_in_time = _SAMPLE_SECONDS * speed
    size = int(np.clip(bytes_in_time / (volume / table.to_send), 3 * _PROBE, len(sample)))
    largest = _largest(table, bytes_in_time)
    sample_places = np.sort(sample[2 * _PROBE : size])
    largest_places = np.setdiff1d(largest, sample[:size])
    further = [count(part_of(table, places)) for places in (sample_places, largest_places)]
    places = np.concatenate([warm_up_places, probe_places, sample_places, largest_places])
    return _extrapolate_counts(table, places, largest, (warm_up, probe, *further))


def _largest(table: RequestTable, most_bytes: float) -> Numbers:
    """Find the largest requests, which a random sample may miss."""
    sizes = table.size[: table.to_send]
    order = np.argsort(sizes, kind="stable")[::-1][: min(_LARGEST, table.to_send // 10)]
    count = int(np.searchsorted(np.cumsum(sizes[order]), most_bytes))
    return np.sort(order[: max(count, _MIN_LARGEST)])


def part_of(table: RequestTable, positions: Numbers) -> RequestTable:
    """Select some of the requests to send, in the order of their rows."""
    order = np.sort(positions)
    return replace(table, first_row=table.first_row[order], size=table.size[order], reused=0)


def _input_tokens(counts: _Counted) -> InputTokens:
    tokens, fewer, more = counts.tokens, counts.fewer, counts.more
    low = np.maximum(tokens - fewer, 0) if fewer.any() else tokens
    high = None
    if more is not None:
        high = tokens + more if more.any() else tokens
    return InputTokens(tokens, low, high, not counts.notes, counts.notes)


def _extrapolate_counts(
    table: RequestTable, places: Numbers, largest: Numbers, parts: Sequence[_Counted]
) -> InputTokens:
    """Extrapolate counts of the sample and largest requests to all."""
    counts = np.concatenate([part.tokens for part in parts])
    others = np.ones(table.to_send, np.bool_)
    others[largest] = False
    is_sampled = others[places]
    at = places[is_sampled] - np.searchsorted(largest, places[is_sampled])
    tokens = np.zeros(table.to_send, np.int64)
    tokens[others], span = extrapolate(table.size[: table.to_send][others], at, counts[is_sampled])
    tokens[places] = counts
    chance = (span.high or 0) - (span.expected or 0)
    weights = np.where(is_sampled, int(others.sum()) / len(at), 1.0)
    fewer = chance + _weighted_sum([part.fewer for part in parts], weights)
    more = [part.more for part in parts if part.more is not None]
    total, high = int(tokens.sum()), None
    if len(more) == len(parts):
        high = scaled(tokens, total + chance + _weighted_sum(more, weights))
    note = (
        f"Input tokens are estimated from {len(at):,} random requests and the {len(largest):,} "
        "largest (99% interval). To count all: estimate(exact=True)."
    )
    return InputTokens(
        tokens,
        scaled(tokens, max(total - fewer, 0)),
        high,
        exact=False,
        notes=tuple(dict.fromkeys([note, *(note for part in parts for note in part.notes)])),
        chance=chance,
    )


def _weighted_sum(parts: Sequence[Numbers], weights: npt.NDArray[np.float64]) -> int:
    return math.ceil(float((np.concatenate(parts) * weights).sum()))


def _tokens_around(table: RequestTable, counter: TokenCounter) -> TokenCount | None:
    """Count the tokens around the rendered templates.

    None if a template is not counted as a separate string: in an image URL, or with messages from
    a prompt function.
    """
    slots = [slot for slot in table.envelope.slots if getattr(slot, "constant", None) is None]
    templates = [slot for slot in slots if isinstance(slot, Template)]
    if len(templates) < len(slots):
        return None
    endpoint = endpoint_of(table.recipe.endpoint)
    body = endpoint.body(table.recipe)
    short, long = (
        endpoint.count_tokens(_fill_templates(body, text)) for text in (_FILLING, _LONGER_FILLING)
    )
    inside, inside_long = (
        int(counter.count([_filled(slot, text) for slot in templates]).sum())
        for text in (_FILLING, _LONGER_FILLING)
    )
    if long.tokens - short.tokens != inside_long - inside:
        return None
    return replace(short, tokens=short.tokens - inside)


def _fill_templates(body: Any, text: str) -> Any:
    """Replace every template that varies by row with a short string."""

    def fill(leaf: Any) -> Any:
        if not isinstance(leaf, Template):
            return leaf
        return _filled(leaf, text) if leaf.constant is None else leaf.constant

    return map_leaves(body, fill)


def _filled(template: Template, text: str) -> str:
    """Return a short string that ends as the template does.

    What follows it, such as a schema after the system message, may merge with a full stop.
    """
    last = template.parts[-1]
    return text + last if isinstance(last, str) else text


def _by_column(
    table: RequestTable, counter: TokenCounter, around: TokenCount, *, with_bar: bool = False
) -> _Counted:
    """Count the strings of each template and add the tokens around them."""
    divisions = _divisions(table, counter)
    constants = [text for division in divisions for text in division.constants]
    constant_tokens = around.tokens + int(counter.count(constants).sum())
    pieces = [piece for division in divisions for piece in division.pieces]
    # Distinct requests with a single varying string have distinct strings.
    is_distinct = len(pieces) == 1 and table.recipe.dedupe

    def count(batch: pa.RecordBatch) -> Tally:
        tokens = np.full(batch.num_rows, constant_tokens, np.int64)
        all_exact = np.ones(batch.num_rows, np.bool_)
        for piece in pieces:
            columns = {cell: batch[column_name(cell)] for cell in piece.cells}
            tally = counter.tally(piece.render(columns, batch.num_rows), distinct=is_distinct)
            tokens += tally.tokens
            all_exact &= tally.exact
        return Tally(tokens, all_exact)

    tokens, end, all_exact = np.zeros(table.to_send, np.int64), 0, True
    with _progress(table, visible=with_bar) as advance:
        for tally in ordered_map(count, (batch for _, batch in table.request_batches())):
            start, end = end, end + len(tally.tokens)
            tokens[start:end] = tally.tokens
            all_exact = all_exact and bool(tally.exact.all())
            advance(end - start)
    share, notes = counter.relative_error, around.notes
    if not all_exact and counter.exact:
        share, notes = _IN_PIECES, (*notes, TOO_LONG)
    margin = np.ceil((tokens - around.tokens) * share).astype(np.int64) if share else np.int64(0)
    # A broadcast scalar takes no memory.
    fewer = np.broadcast_to(around.fewer + margin, tokens.shape)
    more = None if around.more is None else np.broadcast_to(around.more + margin, tokens.shape)
    return _Counted(tokens, fewer, more, notes)


def _divisions(table: RequestTable, counter: TokenCounter) -> list[Division]:
    slots = (slot for slot in table.envelope.slots if isinstance(slot, Template))
    split = divide if counter.encoding in CUTTABLE else (lambda slot: Division((), (slot,)))
    return [split(slot) for slot in slots if slot.constant is None]


def _one_by_one(table: RequestTable, *, with_bar: bool = False) -> _Counted:
    """Count each request body separately."""
    endpoint = endpoint_of(table.recipe.endpoint)
    counts: list[TokenCount] = []
    with _progress(table, visible=with_bar) as advance:
        for request in table.requests_to_send():
            counts.append(endpoint.count_tokens(body_of(request)))
            advance(1)
    more = [count.more for count in counts if count.more is not None]
    return _Counted(
        np.array([count.tokens for count in counts], np.int64),
        np.array([count.fewer for count in counts], np.int64),
        np.array(more, np.int64) if len(more) == len(counts) else None,
        tuple(dict.fromkeys(note for count in counts for note in count.notes)),
    )


def _progress(table: RequestTable, *, visible: bool) -> AbstractContextManager[Advance]:
    if not visible:
        return nullcontext(lambda _: None)
    return progress("counting tokens", table.to_send, " requests")
