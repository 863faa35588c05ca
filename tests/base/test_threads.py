"""Results of worker threads keep the input order."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from batchframe._base.threads import ordered_map
from tests.support.closing import wait_until_closed


def test_results_keep_the_input_order() -> None:
    def work(number: int) -> int:
        time.sleep(0.002 * (number % 3))
        return number

    assert list(ordered_map(work, range(40))) == list(range(40))


def test_only_as_many_items_as_workers_are_taken() -> None:
    taken: list[int] = []

    def things() -> Iterator[int]:
        for number in range(1_000):
            taken.append(number)
            yield number

    results = ordered_map(lambda number: number, things())
    assert next(results) == 0
    assert len(taken) <= 5
    results.close()  # type: ignore[attr-defined]


def test_an_exception_of_the_function_is_raised_and_no_thread_remains() -> None:
    wait_until_closed()
    before = set(threading.enumerate())

    def work(number: int) -> int:
        if number == 3:
            raise ValueError(number)
        return number

    results = ordered_map(work, range(100))
    with pytest.raises(ValueError, match="3"):
        list(results)
    assert not set(threading.enumerate()) - before
