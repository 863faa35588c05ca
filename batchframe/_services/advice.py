"""Causes of service errors and how to fix them, from ``refusals.toml``.

Error codes are not standardized across services, so messages are matched too.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from typing import Final, Literal

import msgspec


@dataclass(frozen=True)
class Refusal:
    """A known cause of rejected requests.

    Attributes
    ----------
    advice
        What to do, as a sentence.
    codes
        Error codes that identify the cause, regardless of the message.
    phrases
        Substrings of messages that identify the cause, in lower case.
    status
        HTTP status that identifies the cause if neither does.
    passes
        Whether a retry after some seconds may succeed.
    queue
        Unit of the limit of a full queue, "tokens" or "requests"; None for other causes.
    limits
        Patterns of the queue's limit in messages in lower case: a number, and maybe a unit.
    source
        Source of the codes and messages.
    """

    advice: str
    source: str
    codes: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()
    status: int | None = None
    passes: bool = False
    queue: Literal["tokens", "requests"] | None = None
    limits: tuple[str, ...] = ()


def _read_refusals() -> tuple[Refusal, ...]:
    table = tomllib.loads((files(__package__) / "refusals.toml").read_text(encoding="utf-8"))
    return msgspec.convert(table["refusal"], tuple[Refusal, ...])


REFUSALS: Final = _read_refusals()


def refusal_of(code: str | None, message: str | None, status: int | None = None) -> Refusal | None:
    """Identify a refusal by its code, its message or its HTTP status.

    Examples
    --------
    >>> refusal_of(None, "Enqueued token limit reached for gpt-4o.").codes
    ('token_limit_exceeded', 'enqueued_token_limit_reached')
    >>> refusal_of("context_length_exceeded", "Too long.", 400) is None
    True
    """
    text = (message or "").lower()
    matches = (
        *(refusal for refusal in REFUSALS if code in refusal.codes),
        *(refusal for refusal in REFUSALS if any(words in text for words in refusal.phrases)),
        *(refusal for refusal in REFUSALS if status is not None and status == refusal.status),
    )
    return next(iter(matches), None)


def advice(code: str | None, message: str | None, status: int | None = None) -> str:
    """Return advice on a refusal; an empty string if the cause is unknown.

    Examples
    --------
    >>> advice("ip_not_authorized", None)
    "The project does not allow this machine's IP address. Fix: add it to the allowlist, ...
    """
    refusal = refusal_of(code, message, status)
    return "" if refusal is None else refusal.advice


def advice_on(reason: str) -> str:
    """Return advice on an error message that contains the code.

    An empty string if the cause is unknown.

    Examples
    --------
    >>> advice_on("HTTP 429, rate_limit_exceeded: Slow down.")
    "Too many requests in a short time ...
    """
    refusals = [refusal for refusal in REFUSALS if any(code in reason for code in refusal.codes)]
    return refusals[0].advice if refusals else advice(None, reason)


def is_full(code: str | None, message: str | None) -> bool:
    """Check whether an error says that the service's queue is full.

    Examples
    --------
    >>> is_full("token_limit_exceeded", None), is_full("insufficient_quota", "No money.")
    (True, False)
    """
    return _full_queue(code, message) is not None


def _full_queue(code: str | None, message: str | None) -> Refusal | None:
    text = (message or "").lower()
    return next(
        (
            refusal
            for refusal in REFUSALS
            if refusal.queue
            and (code in refusal.codes or any(words in text for words in refusal.phrases))
        ),
        None,
    )


@dataclass(frozen=True)
class StatedLimit:
    """Limit of a queue, as an error message states it."""

    unit: Literal["tokens", "requests"]
    number: int


def stated_limit(message: str | None) -> StatedLimit | None:
    """Read the queue's limit from a full-queue error; None if missing.

    Examples
    --------
    >>> stated_limit("Enqueued token limit reached for m in organization o. Limit: 90,000 enqueued")
    StatedLimit(unit='tokens', number=90000)
    >>> stated_limit("The number of enqueued tokens has surpassed the configured limit of 30K.")
    StatedLimit(unit='tokens', number=30000)
    """
    text = (message or "").lower()
    refusal = _full_queue(None, text)
    if refusal is None or refusal.queue is None:
        return None
    for match in filter(None, (re.search(pattern, text) for pattern in refusal.limits)):
        digits, unit = match.groups(default="")
        if number := int(digits.replace(",", "")) * _UNITS[unit]:
            return StatedLimit(refusal.queue, number)
    return None


_UNITS: Final = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9}


def may_pass(code: str | None, message: str | None) -> bool:
    """Return whether a retry after some seconds may succeed."""
    refusal = refusal_of(code, message)
    return refusal is None or refusal.passes
