"""Validate and normalize the arguments of ``requests``."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from batchframe._base.endpoint_paths import EndpointPath
from batchframe._base.errors import RequestError, TemplateError, allow_hint, format_list, shorten
from batchframe._base.safe_text import OUTPUT, option_step, requests_step
from batchframe._models.rules import CONTEXT_WINDOW, MODEL

Message = Mapping[str, Any]
Prompt = str | Sequence[Message] | Callable[[Mapping[Any, Any]], "str | Sequence[Message] | None"]
RESERVED_KEYWORDS: Final = (
    "prompt", "model", "system", "output", "endpoint", "name", "on_missing", "dedupe", "allow",
    "images", "image_root", "image_detail", "image_max_size",
)  # fmt: skip
_REFUSED: Final = {
    "stream": "a batch cannot stream: leave stream= out",
    "stream_options": "a batch cannot stream: leave stream_options= out",
    "n": "n= asks for several answers to one row: repeat the rows instead, with dedupe=False",
    "messages": "the prompt makes the messages: pass a list of messages as the prompt",
    "input": "the prompt makes the input: pass it as the prompt",
    "body": "name the parameters themselves, such as temperature=0",
    "extra_body": "name the parameters themselves, such as temperature=0",
    "extra_headers": "the requests of a batch have no headers of their own",
    "extra_query": "the requests of a batch have no query of their own",
    "timeout": "a batch has 24 hours; job.wait(timeout=...) bounds the wait",
}
_RESPONSE_FORMAT: Final = (
    OUTPUT
    + " makes the response_format: pass the schema or the class as "
    + OUTPUT
    + ' (beside a text answer, {"type": "json_object"} and {"type": "text"} may be passed as they '
    "are)"
)
_IMAGE_FORMAT: Final = (
    "an image behind a URL is gone after an hour, and batchframe fetches none: leave it out, or "
    'pass response_format="b64_json"'
)
# OpenAI parameters with object values whose names resemble batchframe keywords.
_NOT_MISSPELT: Final = {("/v1/responses", "image")}
_PLAIN_FORMATS: Final = ("json_object", "text")
_OF_SUBMIT: Final = {"max_cost", "client", "rerun", "on_uncertain", "prices"}
_POLICIES: Final = ("raise", "skip", "empty")
_MEANS_SKIP: Final = {"drop", "ignore", "omit"}
_WIDEST: Final = range(-(2**63), 2**64)
"""Integers that every JSON parser accepts."""


def checked_prompt(prompt: object) -> str | tuple[Message, ...] | None:
    """Validate a prompt and return its stored form; None for a function.

    Messages are deep-copied, so later changes to them do not change what `join` renders.

    Raises
    ------
    TemplateError
        If it is not a valid prompt.
    RequestError
        If it cannot be encoded as JSON.
    """
    if isinstance(prompt, str):
        return _text(prompt, "prompt")
    if callable(prompt):
        return None
    if not isinstance(prompt, Sequence) or isinstance(prompt, bytes | bytearray) or not prompt:
        raise TemplateError.not_a_prompt(prompt)
    for position, message in enumerate(prompt):
        if not _is_message(message):
            raise TemplateError(
                f"Message {position} of the prompt, {shorten(repr(message), 60)}, is none: it "
                'needs a "role", and a "content" that is a text or a list of parts, such as '
                '{"role": "user", "content": "Classify: {{ text }}"}.'
            )
    return tuple(_plain(message, f"prompt[{i}]") for i, message in enumerate(prompt))


def _is_message(message: object) -> bool:
    if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
        return False
    content = message.get("content")
    return isinstance(content, str) or (
        isinstance(content, list | tuple) and all(isinstance(part, Mapping) for part in content)
    )


def checked_model(model: object) -> str:
    """Validate the model name; raise ``RequestError`` if it is invalid."""
    if not isinstance(model, str) or not model.strip():
        raise RequestError(
            f'model={model!r} names no model. Pass its name, such as model="gpt-5.6-luna".'
        )
    return _text(model, "model")


def checked_system(system: object) -> str | None:
    """Validate the system message template; raise ``TemplateError``."""
    if system is None:
        return None
    if not isinstance(system, str):
        raise TemplateError(
            f'system= is a {type(system).__name__}. It must be a template, such as system="You '
            'label reviews."; for several system messages, pass the prompt as a list.'
        )
    return _text(system, "system")


def checked_on_missing(on_missing: object) -> str:
    """Validate the policy for missing cells; raise ``RequestError``."""
    if not isinstance(on_missing, str):
        raise RequestError(
            f"on_missing={on_missing!r} is no text.",
            next_step='Pass "raise", "skip", "empty", or the text that stands for a missing cell.',
        )
    word = on_missing.strip().lower()
    matches = ["skip"] if word in _MEANS_SKIP else difflib.get_close_matches(word, _POLICIES, 1)
    if matches and matches[0] != on_missing:
        raise RequestError(
            option_step("on_missing", repr(on_missing))
            + " would be written into the prompts as it stands.",
            next_step="Did you mean " + option_step("on_missing", repr(matches[0])) + "?",
        )
    return _text(on_missing, "on_missing")


def checked_allow(allow: object, body: Mapping[str, Any]) -> tuple[str, ...]:
    """Validate and sort the checks to skip; raise ``RequestError``."""
    names = [allow] if isinstance(allow, str) else allow
    if not isinstance(names, Iterable):
        raise RequestError.invalid_argument(
            keyword="allow", value=allow, wanted='a list such as ["temperature"]'
        )
    checks = tuple(sorted({str(name) for name in names}))
    if unknown := [name for name in checks if name not in {*body, MODEL, CONTEXT_WINDOW}]:
        raise RequestError(
            f"allow= names {format_list(unknown)}, which is neither a parameter of these requests "
            f"nor one of {format_list((MODEL, CONTEXT_WINDOW))}.",
            next_step="Name what is to be sent although a check refuses it: "
            + requests_step("temperature=0", 'allow=["temperature"]')
            + ".",
        )
    return checks


def checked_body(
    parameters: Mapping[str, Any], endpoint: str, allowed: Collection[str], *, text: bool
) -> dict[str, Any]:
    """Return the body parameters as plain JSON values, sorted by name.

    Sorting makes the request independent of the order of the keywords.

    Parameters
    ----------
    allowed
        Names to send unchanged, even if they resemble a batchframe keyword.
    text
        Whether answers are plain text, so no output schema sets the response format.

    Raises
    ------
    RequestError
        If a parameter is not supported in a batch, is a misspelled batchframe keyword, or cannot
        be encoded as JSON.
    """
    for name in parameters:
        if name in _OF_SUBMIT:
            raise RequestError(
                f"{name}= belongs to submit(), the line that spends: "
                f"requests(...).submit({name}=...). Here it would be sent to the model as a "
                "parameter of each request."
            )
        problem = _REFUSED.get(name)
        if name == "response_format":
            problem = _wrong_format(parameters[name], endpoint, text=text)
        if problem is not None:
            raise RequestError(f"{name}= cannot be part of these requests: {problem}.")
        if (endpoint, name) in _NOT_MISSPELT and isinstance(parameters[name], Mapping):
            continue
        matches = difflib.get_close_matches(name, RESERVED_KEYWORDS, n=1, cutoff=0.75)
        if matches and name not in allowed:
            raise RequestError(
                f"{name}= would be sent to the model as a parameter of the request. Did you mean "
                f"{matches[0]}=?",
                next_step=allow_hint(name),
            )
    return {name: _plain(parameters[name], name) for name in sorted(parameters)}


def _wrong_format(value: object, endpoint: str, *, text: bool) -> str | None:
    """Explain why a response format is not supported; None if it is."""
    if endpoint in {EndpointPath.IMAGES, EndpointPath.IMAGE_EDITS}:
        return None if value == "b64_json" else _IMAGE_FORMAT
    is_plain = isinstance(value, Mapping) and value.get("type") in _PLAIN_FORMATS
    return None if text and is_plain else _RESPONSE_FORMAT


def _plain(value: Any, path: str) -> Any:
    """Copy a JSON value to builtin types."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value, path)
    if isinstance(value, int):
        if value not in _WIDEST:
            raise _not_json_error(path, "a whole number of more than 64 bits")
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise _not_json_error(path, repr(value))
        return float(value)
    if isinstance(value, Mapping):
        return {_text(str(key), path): _plain(item, f"{path}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{path}[{i}]") for i, item in enumerate(value)]
    raise _not_json_error(path, f"of type {type(value).__name__}")


def _text(text: str, path: str) -> str:
    plain = str.__str__(text)
    try:
        plain.encode()
    except UnicodeEncodeError:
        raise _not_json_error(path, "a text with half of a surrogate pair") from None
    return plain


def _not_json_error(path: str, what: str) -> RequestError:
    return RequestError(
        f"The value of {path} is {what}, which JSON cannot say. Pass plain numbers, texts, "
        "lists and dicts."
    )
