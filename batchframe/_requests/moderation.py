"""Find requests that the moderation endpoint flags before submission.

Texts are sent in groups, and long ones in pieces; each image is sent alone, since the endpoint
accepts one image per request ("too_many_images", reported 2026-04). A request is flagged if any
part of it is. The endpoint is free (OpenAI moderation guide, 2026-11), so a call may be repeated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from typing import Any, Final, Literal

import msgspec

from batchframe._base.clock import SYSTEM, Backoff, Clock, Retries
from batchframe._base.errors import ServiceError, shorten
from batchframe._base.progress import progress
from batchframe._endpoints import flagged_categories
from batchframe._requests.lines import body_of
from batchframe._requests.table import RequestTable
from batchframe._services.protocol import Service

MODEL: Final = "omni-moderation-latest"

_TEXTS_PER_CALL: Final = 32
_PIECE: Final = 10_000
"""Characters per piece: in any script, fewer than the model's 32,768 token limit."""
_OVERLAP: Final = 200
_MAX_CONCURRENT: Final = 8
_ATTEMPTS: Final = 6
_BACKOFF: Final = Backoff(maximum=30.0)

_PROMPT_KEYS: Final = {
    "messages", "input", "instructions", "prompt", "images", "input_reference", "mask",
}  # fmt: skip
_TEXT_KEYS: Final = {"arguments", "content", "input", "instructions", "output", "prompt", "text"}
_IMAGE_KEYS: Final = {"image_url", "url"}


_Call = list[tuple[int, Any]]
"""The texts, or the one image, of a moderation call, with their request numbers."""


def flagged(
    table: RequestTable, service: Service, model: str = MODEL, clock: Clock = SYSTEM
) -> dict[int, str]:
    """Moderate all requests; return reasons for flagged ones by number.

    Parameters
    ----------
    model
        The moderation model; images are left out for older models, which accept text only.

    Raises
    ------
    ServiceError
        If a request cannot be moderated; the message names its row.
    """
    flags: dict[int, dict[str, None]] = {}
    calls = _calls(table, with_images=not model.startswith("text-"))
    with progress("moderating", table.requests, " requests") as advance:
        pool = ThreadPoolExecutor(_MAX_CONCURRENT)
        try:
            while block := list(islice(calls, _MAX_CONCURRENT)):
                verdicts = pool.map(
                    lambda item: _verdicts(table, service, model, item, clock), block
                )
                for number, categories in chain.from_iterable(verdicts):
                    flags.setdefault(number, {}).update(dict.fromkeys(categories))
                # Pieces and images of one request are adjacent.
                advance(len({number for call in block for number, _ in call}))
        finally:
            # Pending calls are free, so an interrupt need not wait for them.
            pool.shutdown(wait=False, cancel_futures=True)
    return {
        number: f"held back: {model} flags it{' as ' if names else ''}{', '.join(names)}"
        for number, names in flags.items()
    }


def _verdicts(
    table: RequestTable, service: Service, model: str, call: _Call, clock: Clock
) -> list[tuple[int, tuple[str, ...]]]:
    """Return the flagged requests of a call with their categories."""
    numbers, inputs = zip(*call, strict=True)
    try:
        answer = _moderate_with_retries(service, {"model": model, "input": list(inputs)}, clock)
        verdicts = flagged_categories(answer)
        if len(verdicts) == len(numbers):
            pairs = zip(numbers, verdicts, strict=True)
            return [(number, categories) for number, categories in pairs if categories is not None]
        problem = f"{len(verdicts)} results for {len(numbers)} inputs"
    except ServiceError as reason:
        problem = reason.cause or str(reason)
    except msgspec.ValidationError as reason:
        problem = f"invalid response: {reason}"
    suffix = " or later" if len(set(numbers)) > 1 else ""
    raise ServiceError(
        f"Moderation failed at {table.where(numbers[0])}{suffix}: {shorten(problem)}. "
        "Nothing was submitted. Fix: use a client of OpenAI, where moderation is free, "
        "plan.moderate(client=openai.OpenAI())."
    )


def _moderate_with_retries(service: Service, body: Mapping[str, Any], clock: Clock) -> Any:
    """Call the endpoint; retry with backoff while it is rate limited."""
    retries = Retries(_BACKOFF, clock, attempts=_ATTEMPTS)
    while True:
        try:
            return service.moderate(body)
        except ServiceError as reason:
            if reason.status != 429 or not retries.pause():  # noqa: PLR2004 - HTTP's own number
                raise


def _calls(table: RequestTable, *, with_images: bool) -> Iterator[_Call]:
    """Group the texts of all requests in order; yield images separately."""
    texts: _Call = []
    for number, request in enumerate(table.requests_to_send()):
        contents = list(_contents_of(body_of(request)))
        text = "\n\n".join(text for kind, text in contents if kind == "text" and text.strip())
        for piece in _pieces(text):
            texts.append((number, piece))
            if len(texts) == _TEXTS_PER_CALL:
                yield texts
                texts = []
        for url in (url for kind, url in contents if kind == "image" and with_images):
            yield [(number, {"type": "image_url", "image_url": {"url": url}})]
    if texts:
        yield texts


def _pieces(text: str) -> Iterator[str]:
    """Split a string into overlapping pieces, so that no cut hides a phrase.

    Examples
    --------
    >>> [len(piece) for piece in _pieces("a" * 25_000)]
    [10000, 10000, 5400]
    """
    for start in range(0, max(len(text) - _OVERLAP, min(len(text), 1)), _PIECE - _OVERLAP):
        yield text[start : start + _PIECE]


def _contents_of(body: Mapping[str, Any]) -> Iterator[tuple[Literal["text", "image"], str]]:
    """Find the texts and images of a request at any endpoint.

    Examples
    --------
    >>> parts = [{"type": "text", "text": "Hi"}, {"image_url": {"url": "https://a.org/1.png"}}]
    >>> list(_contents_of({"model": "m", "messages": [{"role": "user", "content": parts}]}))
    [('text', 'Hi'), ('image', 'https://a.org/1.png')]
    """
    for key in _PROMPT_KEYS & body.keys():
        yield from _leaves(key, body[key])


def _leaves(key: str, value: Any) -> Iterator[tuple[Literal["text", "image"], str]]:
    if isinstance(value, str):
        if key in _TEXT_KEYS:
            yield "text", value
        elif key in _IMAGE_KEYS:
            yield "image", value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _leaves(str(name), inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(key, inner)
