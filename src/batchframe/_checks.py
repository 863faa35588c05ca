"""Requests that the service is known to refuse, found row by row before anything is sent.

In: a request table, its input tokens, the service's base URL. Out: nothing, or an error that names
the row; or a note for the estimate.
Must not know: prices, files, the network.

What needs the recipe alone is checked by the recipe. Each check can be overruled: the recipe's
``allow`` says which.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from batchframe._counting import InputTokens
from batchframe._model_rules import (
    CONTEXT_WINDOW,
    MODEL,
    check_model,
    context_window,
    is_known,
    is_parameter,
    service_tiers,
)
from batchframe._providers import OPENAI, profile_of
from batchframe._request_table import RequestTable
from batchframe._template import Template
from batchframe.errors import RequestError

_WORD: Final = "json"
_SAID: Final = ("messages", "input", "instructions")
_FORMAT: Final = "response_format"


def check_json_mode(table: RequestTable) -> None:
    """Refuse JSON mode for messages that do not say the word.

    OpenAI answers such a request with HTTP 400 (OpenAI structured outputs guide, JSON mode).

    Raises
    ------
    RequestError
        Naming the first row whose request has no "JSON" in any spelling.
    """
    recipe = table.recipe
    text = recipe.body.get("text")
    form = recipe.body.get("response_format")
    name, form = ("text", text.get("format")) if isinstance(text, Mapping) else (_FORMAT, form)
    asked = isinstance(form, Mapping) and form.get("type") == "json_object"
    if not asked or name in recipe.allow or not is_known(recipe.model):
        return
    if any(_WORD in text.lower() for text in _constant_texts(table)):
        return
    # Base64 may spell the word by chance.
    for row, (_, request) in zip(table.first_row, table.sketched().each_request(), strict=False):
        if not _says_json(request):
            raise RequestError.json_without_the_word(
                int(row), table.source.labels[row], written=name
            )


def _constant_texts(table: RequestTable) -> list[str]:
    return [
        part
        for slot in table.envelope.slots
        if isinstance(slot, Template)
        for part in slot.parts
        if isinstance(part, str)
    ]


def _says_json(request: bytes) -> bool:
    body = msgspec.json.decode(b'{"custom_id":"' + request, type=dict[str, Any])["body"]
    said = msgspec.json.encode([body.get(name) for name in _SAID]).lower()
    return _WORD.encode() in said


def too_long(table: RequestTable, read: InputTokens) -> npt.NDArray[np.int64]:
    """Find the requests whose input alone is longer than the model's context window."""
    window = context_window(table.recipe.model)
    if window is None or CONTEXT_WINDOW in table.recipe.allow:
        return np.zeros(0, np.int64)
    return np.flatnonzero(read.tokens > window)


def window_note(table: RequestTable, read: InputTokens) -> tuple[str, ...]:
    """Say in an estimate what :func:`check_sending` would refuse."""
    found = too_long(table, read)
    if not len(found):
        return ()
    row = int(table.first_row[found[0]])
    told = (
        f"{len(found):,} of the requests have more input tokens than the {_window(table):,} that "
        f"{table.recipe.model} takes; the first is that of row {row}. submit() refuses them."
    )
    return (told,)


def check_sending(table: RequestTable, read: InputTokens, base_url: str, on: date) -> None:
    """Refuse what could not be answered, at the moment it would be sent.

    Parameters
    ----------
    base_url
        Of the service; OpenAI alone is known to have shut its models down.

    Raises
    ------
    RequestError
        For a model that OpenAI answers no more, or not in a batch, and for a prompt beyond the
        model's context window, naming its row.
    """
    if MODEL not in table.recipe.allow and profile_of(base_url) is OPENAI:
        check_model(table.recipe.model, on)
    found = too_long(table, read)
    if len(found):
        row = int(table.first_row[found[0]])
        raise RequestError.beyond_window(
            row,
            table.source.labels[row],
            int(read.tokens[found[0]]),
            _window(table),
            table.recipe.model,
            len(found),
        )


def _window(table: RequestTable) -> int:
    return context_window(table.recipe.model) or 0


def refuse_parameters(given: Iterable[str]) -> None:
    """Refuse keywords that were given to ``submit()`` and belong to the requests.

    Raises
    ------
    RequestError
        For a parameter of a request body; a service tier is explained.
    TypeError
        For any other name.
    """
    for name in given:
        if name == "service_tier":
            raise RequestError.tier_belongs_to_requests(service_tiers())
        if is_parameter(name):
            raise RequestError.belongs_to_requests(name)
        message = f"submit() got an unexpected keyword argument {name!r}"
        raise TypeError(message)
