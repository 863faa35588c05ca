"""The one loop that repeats calls, since services are busy at times and connections break."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from batchframe._base.clock import SYSTEM
from batchframe._base.errors import ServiceError

_T = TypeVar("_T")


def retry(
    call: Callable[[], _T],
    tries: int,
    delay: Callable[[_T | ServiceError, int], float | None],
    sleep: Callable[[float], None] = SYSTEM.sleep,
) -> _T:
    """Call until there is nothing to wait for, `tries` times at most.

    Parameters
    ----------
    delay
        What was returned or raised, and the number of the try → seconds before the next one; None
        to take it as it is.

    Raises
    ------
    ServiceError
        What the last try raised.

    Examples
    --------
    >>> answers = iter(["busy", "busy", "done"])
    >>> retry(lambda: next(answers), 5, lambda answer, _: 0.0 if answer == "busy" else None)
    'done'
    """
    number = 0
    while True:
        number += 1
        try:
            outcome: _T | ServiceError = call()
        except ServiceError as error:
            outcome = error
        seconds = delay(outcome, number) if number < tries else None
        if seconds is not None:
            sleep(seconds)
        elif isinstance(outcome, ServiceError):
            raise outcome
        else:
            return outcome


def if_broken_off(outcome: object, _number: int) -> float | None:
    """Try again at once where an answer broke off."""
    return 0.0 if isinstance(outcome, ServiceError) and outcome.broke_off else None
