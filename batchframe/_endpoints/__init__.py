"""Endpoints of the Batch API: one module each, listed in the table below."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from batchframe._base.errors import RequestError, format_list
from batchframe._endpoints import (
    chat,
    completions,
    embeddings,
    images,
    moderations,
    responses,
    videos,
)
from batchframe._endpoints.bulk import ColumnarReader
from batchframe._endpoints.endpoint import (
    STATUSES,
    Answer,
    Endpoint,
    OutputLimit,
    Status,
    files_of,
    tokens_of,
    with_files,
)
from batchframe._endpoints.moderations import flagged_categories
from batchframe._endpoints.videos import file_named_in
from batchframe._tokens.counter import TokenCount
from batchframe._tokens.output import count_answer

__all__ = [
    "STATUSES",
    "Answer",
    "ColumnarReader",
    "Endpoint",
    "OutputLimit",
    "Status",
    "count_tokens",
    "endpoint_of",
    "file_named_in",
    "files_of",
    "flagged_categories",
    "open_endpoint",
    "tokens_of",
    "with_files",
]

_ENDPOINTS: Final = {
    endpoint.path.value: endpoint
    for endpoint in (
        chat.CHAT,
        responses.RESPONSES,
        embeddings.EMBEDDINGS,
        completions.COMPLETIONS,
        moderations.MODERATIONS,
        images.IMAGES,
        images.EDITS,
        videos.VIDEOS,
    )
}


# In this order: the first word that an endpoint's path contains decides the advice.
_MEANT: Final = {
    "edit": "/v1/images/edits",
    "variation": "/v1/images/edits",
    "image": "/v1/images/generations",
    "embed": "/v1/embeddings",
    "moderat": "/v1/moderations",
    "chat": "/v1/chat/completions",
    "message": "/v1/chat/completions",
    "respon": "/v1/responses",
    "completion": "/v1/completions",
}


def endpoint_of(path: str) -> Endpoint:
    """Return the endpoint at a path such as "/v1/chat/completions".

    Raises
    ------
    RequestError
        If batchframe does not support it.
    """
    if path in _ENDPOINTS:
        return _ENDPOINTS[path]
    if "/audio/" in path:
        raise RequestError(
            f"endpoint: batchframe sends no audio ({path!r}). Fix: transcribe first, "
            "client.audio.transcriptions.create(...), and send the text."
        )
    supported = [name for name, endpoint in _ENDPOINTS.items() if not endpoint.retired]
    suggestion = next((name for word, name in _MEANT.items() if word in path.lower()), None)
    guess = "" if suggestion is None else f"Did you mean {suggestion!r}? "
    raise RequestError(
        f"endpoint: not supported ({path!r}). {guess}Fix: use one of {format_list(supported)}."
    )


def open_endpoint(path: str) -> Endpoint:
    """Return the endpoint at a path, if it accepts requests.

    Raises
    ------
    RequestError
        If batchframe does not support it, or it was shut down.

    Examples
    --------
    >>> open_endpoint("/v1/videos")
    Traceback (most recent call last):
        ...
    batchframe.errors.RequestError: endpoint: /v1/videos was shut down by OpenAI on 2026-09-24. ...
    """
    endpoint = endpoint_of(path)
    if endpoint.retired:
        raise RequestError(endpoint.retired)
    return endpoint


def count_tokens(
    body: Mapping[str, Any],
    *,
    endpoint: str = "/v1/chat/completions",
    answer: str | Mapping[str, Any] | None = None,
) -> TokenCount:
    """Count the input tokens of a request body, or the tokens of an answer.

    Text, roles and names are counted as the service does. Tools, JSON schemas, images and earlier
    calls are approximated: then ``exact`` is False, `notes` give the reasons, and `fewer` and
    `more` the possible error. The same applies if the tokenizer or the rules of the model are not
    published, or no tokenizer is installed. What only the service sees (files, audio, hosted tools,
    stored prompts) has no upper bound: `more` is None.

    Parameters
    ----------
    body
        The request body, including ``model``.
    endpoint
        ``"/v1/chat/completions"``, ``"/v1/responses"``, ``"/v1/embeddings"``,
        ``"/v1/completions"``, ``"/v1/moderations"``, ``"/v1/images/generations"`` or
        ``"/v1/images/edits"``.
    answer
        An answer, to count its output tokens instead: a string, or an assistant message with
        ``content``, ``refusal`` and ``tool_calls``. The count includes the framing tokens that
        the service adds to the text, as recorded, but not reasoning tokens.

    Raises
    ------
    RequestError
        If the endpoint is not supported or was shut down, or the body has no model or no input.

    Examples
    --------
    >>> body = {
    ...     "model": "gpt-4o",
    ...     "messages": [{"role": "user", "content": "What's the weather like in SF?"}],
    ... }
    >>> count_tokens(body)
    TokenCount(tokens=14, exact=True)
    >>> count_tokens({"model": "gpt-3.5-turbo-instruct", "prompt": "Say hello"},
    ...              endpoint="/v1/completions")
    TokenCount(tokens=2, exact=True)
    >>> count_tokens(body, answer="Sunny.")
    TokenCount(tokens=2, exact=False)
    """
    if answer is not None:
        return count_answer(body, open_endpoint(endpoint).path, answer)
    return open_endpoint(endpoint).count_tokens(body)
