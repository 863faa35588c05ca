"""Reject requests that the service would reject, before submission.

The recipe checks what does not depend on rows. The recipe's ``allow`` disables single checks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from itertools import chain
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from batchframe._base.errors import RequestError, allow_hint, format_list
from batchframe._base.safe_text import requests_step
from batchframe._display import plural
from batchframe._endpoints import endpoint_of
from batchframe._estimate.counting import InputTokens
from batchframe._models.availability import ListedModels, check_model
from batchframe._models.rules import (
    CONTEXT_WINDOW,
    MODEL,
    context_window,
    is_known,
    is_parameter,
)
from batchframe._recipe.template import Template
from batchframe._requests.lines import body_of
from batchframe._requests.table import RequestTable
from batchframe._services.provider import OPENAI, Provider

_JSON: Final = "json"
_MESSAGES: Final = ("messages", "input", "instructions")
_TEXT_KEYS: Final = ("content", "text", "output", "arguments", "tool_calls", "function")
"""Keys with text in messages and input items, unlike names, types and URLs."""
_FORMAT: Final = "response_format"
_AS_KEYWORDS: Final = "pass its items to df.bf.requests(..., top_k=5), as keywords"
_OF_THE_CLIENT: Final = "pass a client that has it, submit(client=openai.OpenAI(...))"
_ELSEWHERE: Final = {
    "extra_body": _AS_KEYWORDS,
    "body": _AS_KEYWORDS,
    "completion_window": "the provider's profile has it. Fix, for a provider that offers another: "
    'submit(provider=bf.provider("groq", window="7d"))',
    "extra_headers": _OF_THE_CLIENT,
    "extra_query": _OF_THE_CLIENT,
    "timeout": "submit() has no timeout. Fix: submit(...).wait(timeout=3600)",
    "endpoint": 'pass it to df.bf.requests(..., endpoint="/v1/responses")',
}
"""Arguments of the openai package, and where they belong."""


def check_json_mode(table: RequestTable) -> None:
    """Raise if JSON mode is used without "JSON" in the messages.

    OpenAI rejects such a request with HTTP 400 (OpenAI structured outputs guide, JSON mode).

    Raises
    ------
    RequestError
        If a request lacks the word "JSON" in any case; the message names its first row.
    """
    recipe = table.recipe
    text = recipe.body.get("text")
    response_format = recipe.body.get("response_format")
    name, response_format = (
        ("text", text.get("format")) if isinstance(text, Mapping) else (_FORMAT, response_format)
    )
    is_json_mode = (
        isinstance(response_format, Mapping) and response_format.get("type") == "json_object"
    )
    if not is_json_mode or name in recipe.allow or not is_known(recipe.model):
        return
    texts = chain.from_iterable(_model_texts(endpoint_of(recipe.endpoint).body(recipe)))
    if any(isinstance(text, str) and _JSON in text.lower() for text in texts):
        return
    requests = table.sketched().requests_to_send()
    for number, body in enumerate(map(body_of, requests)):
        if not any(_JSON in part.lower() for parts in _model_texts(body) for part in parts):
            raise RequestError(
                f'{name}: JSON mode requires the word "JSON" in the messages, which is missing in '
                f'{table.where(number)}. Fix: add "Answer in JSON." to the prompt, or use output=.',
                next_step=allow_hint(name),
            )


def _model_texts(body: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Yield the parts of each string in the messages or input."""
    return _strings_in([body.get(name) for name in _MESSAGES])


def _strings_in(value: Any) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, str):
        yield (value,)
    elif isinstance(value, Template):
        yield tuple(value.parts)
    elif isinstance(value, list):
        yield from chain.from_iterable(map(_strings_in, value))
    elif isinstance(value, Mapping):
        yield from chain.from_iterable(
            _strings_in(value[key]) for key in _TEXT_KEYS if key in value
        )


def _oversized(table: RequestTable, input_tokens: InputTokens) -> tuple[int, npt.NDArray[np.int64]]:
    """Return the context window and the requests whose input exceeds it."""
    window = context_window(table.recipe.model)
    if window is None or CONTEXT_WINDOW in table.recipe.allow:
        return 0, np.zeros(0, np.int64)
    return window, np.flatnonzero(input_tokens.tokens > window)


def window_note(table: RequestTable, input_tokens: InputTokens) -> Iterator[str]:
    """Yield a note on requests that :func:`check_sending` would reject."""
    window, too_long = _oversized(table, input_tokens)
    if len(too_long):
        yield (
            f"{plural(len(too_long), 'request')} above the context window of "
            f"{table.recipe.model} ({window:,} tokens), first at row "
            f"{int(table.first_row[too_long[0]])}; submit() rejects them."
        )


def check_sending(
    table: RequestTable,
    input_tokens: InputTokens,
    provider: Provider,
    on: date,
    listed: ListedModels = dict,
) -> None:
    """Raise if the service would reject the requests at submission.

    Parameters
    ----------
    provider
        The provider; shutdown dates of models are known for OpenAI only.
    listed
        Asks the service for its models, which take precedence over the table.

    Raises
    ------
    RequestError
        If the service has no batches for the endpoint, if OpenAI has shut the model down or does
        not support it in batches, or if a prompt exceeds the context window; the message names
        its row.
    """
    _check_service(provider, table.recipe.endpoint)
    if MODEL not in table.recipe.allow and provider.key == OPENAI.key:
        check_model(table.recipe.model, on, listed)
    window, too_long = _oversized(table, input_tokens)
    if len(too_long):
        where = table.where(int(too_long[0]))
        others = "" if len(too_long) == 1 else f"; {len(too_long):,} requests are too long"
        raise RequestError(
            f"prompt: {int(input_tokens.tokens[too_long[0]]):,} input tokens in {where} exceed "
            f"the context window of {table.recipe.model} ({window:,} tokens){others}. "
            'Fix: df["text"] = df["text"].str.slice(0, 400_000), or use another model.',
            next_step=allow_hint("context_window"),
        )


def _check_service(provider: Provider, endpoint: str) -> None:
    if provider.other_shape is not None:
        raise RequestError(
            f"client: {provider.name} takes batches {provider.other_shape}, not as uploaded "
            "files. "
            "Nothing was sent. Fix: use another service, or run locally, "
            "plan.submit(client=batchframe.local.serve().client())."
        )
    endpoints = provider.endpoints
    if endpoints is not None and endpoint not in endpoints:
        raise RequestError(
            f"endpoint: {provider.name} is not known to support batches of {endpoint}, only of "
            f"{format_list(endpoints)}.",
            next_step="Fix: "
            + requests_step(f"endpoint={endpoints[0]!r}")
            + ". To skip this check: "
            f"submit(provider=bf.provider({provider.key!r}, endpoints=None)).",
        )


def refuse_parameters(given: Iterable[str]) -> None:
    """Raise for request parameters that you pass to ``submit()``.

    Raises
    ------
    RequestError
        If the name is a request body parameter.
    TypeError
        If the name is unknown.
    """
    for name in given:
        if name == "service_tier":
            raise RequestError(
                "service_tier: not a parameter of submit(). Batches are billed at the batch price, "
                "so omit it. Fix, if your service requires one: "
                'df.bf.requests(..., service_tier="default").submit(...).'
            )
        if name in _ELSEWHERE:
            raise RequestError(f"{name}: not a parameter of submit(); {_ELSEWHERE[name]}.")
        if is_parameter(name):
            raise RequestError(
                f"{name}: not a parameter of submit(). "
                f"Fix: df.bf.requests(..., {name}=...).submit(...)."
            )
        message = f"submit() got an unexpected keyword argument {name!r}"
        raise TypeError(message)
