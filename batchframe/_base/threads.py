"""Work on things in threads, a few of them at once, what comes of them in their order.

For work that leaves the interpreter to other threads: Arrow, tokenizers, hashes.
Must not know: what is done.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

_T = TypeVar("_T")
_R = TypeVar("_R")

_AT_ONCE: Final = min(os.cpu_count() or 1, 4)


def in_turn(work: Callable[[_T], _R], things: Iterable[_T]) -> Iterator[_R]:
    """Yield what the work makes of each thing; they are taken as they are needed.

    Examples
    --------
    >>> list(in_turn(len, ["one", "three"]))
    [3, 5]
    """
    waiting = deque[Future[_R]]()
    with ThreadPoolExecutor(_AT_ONCE) as workers:
        for thing in things:
            waiting.append(workers.submit(work, thing))
            if len(waiting) > _AT_ONCE:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
