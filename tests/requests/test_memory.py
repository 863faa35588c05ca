"""Memory per row, kept and at the peak."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

import batchframe as bf
from batchframe._base import digests, ranges
from batchframe._estimate import counting, pricing
from batchframe._models.price_range import Price, PriceRange
from batchframe._requests.input_files import pack

NAME = 16  # bytes


def a_row(act: Callable[[int], Any], few: int, *, at_the_peak: bool) -> float:
    """Measure the bytes per additional row, at the peak or kept."""
    act(100)  # memory of the first call only
    measured = []
    for rows in (few, 3 * few):
        tracemalloc.start()
        result = act(rows)
        measured.append(tracemalloc.get_traced_memory()[at_the_peak])
        tracemalloc.stop()
        del result
    return (measured[1] - measured[0]) / (2 * few)


def test_requests_and_tokens_need_about_fifty_bytes_per_row() -> None:
    texts = pd.DataFrame({"text": [f"text {i}" for i in range(15_000)]})
    frames = {rows: texts[:rows] for rows in (100, 5_000, 15_000)}

    def ask(rows: int) -> bf.Requests:
        requests = frames[rows].bf.requests("{{ text }}", model="gpt-4.1")
        assert requests.estimate(exact=True).requests == rows
        return requests

    assert a_row(ask, 5_000, at_the_peak=False) < 3 * NAME


@pytest.mark.parametrize("distinct", [1, 2, 100_000])
def test_duplicates_are_found_within_fifty_bytes_per_row(distinct: int) -> None:
    names = np.frombuffer(np.random.default_rng(1).bytes(NAME * 30_000), "V16")

    def find(rows: int) -> Any:
        row_digests = names[np.arange(rows) % distinct]
        return row_digests, digests.group(row_digests)

    assert a_row(find, 10_000, at_the_peak=True) < NAME + 3 * NAME


def test_requests_are_priced_and_divided_in_blocks() -> None:
    book = Price("", "batch", Decimal(1), output=Decimal(2), cache_write=Decimal(3))
    rates = PriceRange.of([book])
    numbers = np.arange(300_000)

    def price(rows: int) -> None:
        tokens = numbers[:rows]
        input_tokens = counting.InputTokens(tokens, tokens, tokens, exact=True, notes=())
        assert pricing.cost_range(rates, input_tokens, ranges.Range.exactly(7)) is not None

    def divide(rows: int) -> None:
        assert pack(numbers[:rows], 50_000, 10**12, numbers[:rows], 10**12)

    assert a_row(price, 100_000, at_the_peak=True) < 1
    assert a_row(divide, 100_000, at_the_peak=True) < 1
