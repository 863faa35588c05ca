"""Calls of the openai client, with bounded response size and time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, ParamSpec, TypeVar

import openai

from batchframe._base.clock import SYSTEM
from batchframe._base.errors import ServiceError
from batchframe._base.safe_text import REFRESH
from batchframe._services.openai_values import failure, is_transports, words

_P = ParamSpec("_P")
_T = TypeVar("_T")
# Errors that the package raises for an unexpected body.
_UNREADABLE: Final = (AttributeError, TypeError, ValueError, RecursionError)
_NOTHING_LOST: Final = "No data was lost. Fix: "
_SLOWEST: Final = 1000
"""Bytes per second."""


def stated_length(response: Any) -> int | None:
    # For a compressed body this is not the size of the file.
    length = response.headers.get("content-length", "")
    plain = response.headers.get("content-encoding", "identity") == "identity"
    return int(length) if plain and length.isdecimal() else None


def call(request: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    try:
        return request(*args, **kwargs)
    except (openai.OpenAIError, *_UNREADABLE) as reason:
        # The package parses responses without handling invalid JSON.
        raised = failure(reason)
    except Exception as reason:
        if not is_transports(reason):
            raise
        raised = ServiceError.unreachable(words(reason))
    raise raised


def chunks(response: Any, what: str, most: int, patience: float) -> Iterator[bytes]:
    """Yield a body as it arrives; raise if it stalls or is truncated."""
    body = iter(response.iter_bytes())
    got = last_got = 0
    last_check = SYSTEM.elapsed()
    while True:
        try:
            chunk = next(body, None)
        except Exception as reason:
            if not is_transports(reason):
                raise
            raised = ServiceError(
                f"The response broke off while reading {what}: {words(reason)}. {_NOTHING_LOST}"
                + REFRESH
                + "."
            )
            raised.broke_off = True
            break
        if chunk is None:
            return
        got += len(chunk)
        if got > most:
            raise ServiceError(
                f"The service sent more than {most:,} bytes of {what}, so reading stopped. "
                f"{_NOTHING_LOST}" + REFRESH + "."
            )
        passed = SYSTEM.elapsed() - last_check
        if passed > patience:
            if got - last_got < _SLOWEST * passed:
                raise ServiceError.too_slow(what, got - last_got, passed)
            last_got, last_check = got, SYSTEM.elapsed()
        yield chunk
    raise raised
