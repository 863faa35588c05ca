"""What is kept of each row, and what is needed beside it for a while."""

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
from batchframe._models.price import Price
from batchframe._requests.input_files import pack

NAME = 16  # bytes


def a_row(act: Callable[[int], Any], few: int, *, at_the_peak: bool) -> float:
    """Measure the bytes that each further row takes, at the peak or while the answer is kept."""
    act(100)  # what only the first call takes
    taken = []
    for rows in (few, 3 * few):
        tracemalloc.start()
        kept = act(rows)
        taken.append(tracemalloc.get_traced_memory()[at_the_peak])
        tracemalloc.stop()
        del kept
    return (taken[1] - taken[0]) / (2 * few)


def test_requests_and_their_tokens_keep_three_names_worth_of_a_row() -> None:
    texts = pd.DataFrame({"text": [f"text {i}" for i in range(15_000)]})
    frames = {rows: texts[:rows] for rows in (100, 5_000, 15_000)}

    def ask(rows: int) -> bf.Requests:
        asked = frames[rows].bf.requests("{{ text }}", model="gpt-4.1")
        assert asked.estimate(exact=True).requests == rows
        return asked

    assert a_row(ask, 5_000, at_the_peak=False) < 3 * NAME


@pytest.mark.parametrize("distinct", [1, 2, 100_000])
def test_equal_rows_are_found_beside_three_names_of_each(distinct: int) -> None:
    known = np.frombuffer(np.random.default_rng(1).bytes(NAME * 30_000), "V16")

    def find(rows: int) -> Any:
        given = known[np.arange(rows) % distinct]
        return given, digests.group(given)

    assert a_row(find, 10_000, at_the_peak=True) < NAME + 3 * NAME


def test_requests_are_priced_and_divided_some_at_a_time() -> None:
    rates = Price("", "batch", Decimal(1), output=Decimal(2), cache_write=Decimal(3))
    numbers = np.arange(300_000)

    def price(rows: int) -> None:
        tokens = numbers[:rows]
        read = counting.InputTokens(tokens, tokens, tokens, exact=True, notes=())
        assert pricing.cost_range(rates, read, ranges.Range.exactly(7)) is not None

    def divide(rows: int) -> None:
        assert pack(numbers[:rows], 50_000, 10**12, numbers[:rows], 10**12)

    assert a_row(price, 100_000, at_the_peak=True) < 1
    assert a_row(divide, 100_000, at_the_peak=True) < 1
