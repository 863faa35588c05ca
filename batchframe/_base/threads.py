"""Ordered work in threads, for functions that release the GIL."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

_T = TypeVar("_T")
_R = TypeVar("_R")

_AT_ONCE: Final = min(os.cpu_count() or 1, 4)


def ordered_map(function: Callable[[_T], _R], items: Iterable[_T]) -> Iterator[_R]:
    """Map a function over items in a thread pool; yield in input order.

    Examples
    --------
    >>> list(ordered_map(len, ["one", "three"]))
    [3, 5]
    """
    waiting = deque[Future[_R]]()
    with ThreadPoolExecutor(_AT_ONCE) as workers:
        for item in items:
            waiting.append(workers.submit(function, item))
            if len(waiting) > _AT_ONCE:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
