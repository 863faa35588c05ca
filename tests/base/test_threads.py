"""What is done in threads comes out in the order in which it went in."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pandas as pd
import pytest

import batchframe as bf
from batchframe._base.threads import in_turn
from batchframe._estimate.counting import count_input


def test_the_order_stays_whatever_ends_first() -> None:
    def work(number: int) -> int:
        time.sleep(0.002 * (number % 3))
        return number

    assert list(in_turn(work, range(40))) == list(range(40))


def test_no_more_is_taken_than_is_worked_on() -> None:
    taken: list[int] = []

    def things() -> Iterator[int]:
        for number in range(1_000):
            taken.append(number)
            yield number

    results = in_turn(lambda number: number, things())
    assert next(results) == 0
    assert len(taken) <= 5
    results.close()  # type: ignore[attr-defined]


def test_what_the_work_raises_is_raised_and_no_thread_is_left() -> None:
    before = threading.active_count()

    def work(number: int) -> int:
        if number == 3:
            raise ValueError(number)
        return number

    results = in_turn(work, range(100))
    with pytest.raises(ValueError, match="3"):
        list(results)
    assert threading.active_count() == before


def test_each_of_many_rows_has_the_tokens_of_its_own_text() -> None:
    # Of many batches, and no two neighbours alike.
    words = [1 + (row * 7) % 13 for row in range(6_000)]
    frame = pd.DataFrame({"text": [f"{row} " + "a " * n for row, n in enumerate(words)]})
    asked = bf.requests(frame, "{{ text }}", model="gpt-4.1")._table
    counted = count_input(asked, exact=True).tokens
    for row in (0, 999, 1_000, 2_500, 4_321, 5_999):
        alone = bf.requests(frame.iloc[[row]], "{{ text }}", model="gpt-4.1")._table
        assert counted[row] == count_input(alone, exact=True).tokens[0]
