"""Causes of service errors and how to fix them, from ``refusals.toml``.

Error codes are not standardized across services, so messages are matched too.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

import msgspec


@dataclass(frozen=True)
class Refusal:
    """A known cause of rejected requests.

    Attributes
    ----------
    advice
        What to do, as a sentence.
    codes
        Error codes that identify the cause, whatever the message is.
    phrases
        Substrings of messages that identify the cause, in lower case.
    status
        HTTP status that identifies the cause if neither does.
    passes
        Whether a retry after some seconds may succeed.
    source
        Source of the codes and messages.
    """

    advice: str
    source: str
    codes: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()
    status: int | None = None
    passes: bool = False


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


def may_pass(code: str | None, message: str | None) -> bool:
    """Return whether a retry after some seconds may succeed."""
    refusal = refusal_of(code, message)
    return refusal is None or refusal.passes
