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
    "lenient", "images", "image_root", "image_detail", "image_max_size", "files", "file_root",
)  # fmt: skip
_NOT_IN_A_BATCH: Final = "not supported in a batch. Fix: omit it"
_NOT_SPREAD: Final = "not a request parameter. Fix: pass its items as keywords, temperature=0"
_UNSUPPORTED: Final = {
    "stream": _NOT_IN_A_BATCH,
    "stream_options": _NOT_IN_A_BATCH,
    "n": "each row has one answer. Fix: repeat the rows, and pass dedupe=False",
    "messages": "set from the prompt. Fix: pass the list of messages as the prompt",
    "input": "set from the prompt. Fix: pass it as the prompt",
    "body": _NOT_SPREAD,
    "extra_body": _NOT_SPREAD,
    "extra_headers": _NOT_IN_A_BATCH,
    "extra_query": _NOT_IN_A_BATCH,
    "timeout": "not supported in a batch. Fix: job.wait(timeout=...)",
}
_UNSUPPORTED_AT: Final = {
    # Of an image, "background" is its transparency.
    ("/v1/responses", "background"): _NOT_IN_A_BATCH,
    ("/v1/responses", "background_options"): _NOT_IN_A_BATCH,
}
_RESPONSE_FORMAT: Final = (
    'not supported, except {"type": "json_object"} and {"type": "text"} without '
    + OUTPUT
    + ". Fix: pass the schema or class as "
    + OUTPUT
)
_IMAGE_FORMAT: Final = (
    "image URLs expire after an hour, and batchframe downloads no images. Fix: "
    'response_format="b64_json", or omit it'
)
# OpenAI parameters with object values whose names resemble batchframe keywords.
_SIMILAR_NAMES: Final = {("/v1/responses", "image")}
_PLAIN_FORMATS: Final = ("json_object", "text")
_SUBMIT_KEYWORDS: Final = {"max_cost", "client", "rerun", "on_uncertain", "prices"}
_POLICIES: Final = ("raise", "skip", "empty")
_SKIP_SYNONYMS: Final = {"drop", "ignore", "omit"}
_JSON_INTEGERS: Final = range(-(2**63), 2**64)
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
    if isinstance(prompt, Mapping) and "id" in prompt:
        raise TemplateError(
            "prompt: a reusable prompt (id and version); OpenAI ended them on 2026-11-30. Fix: "
            'pass its text, "Classify: {{ text }}", or its messages as a list.'
        )
    if not isinstance(prompt, Sequence) or isinstance(prompt, bytes | bytearray) or not prompt:
        raise TemplateError.not_a_prompt(prompt)
    for position, message in enumerate(prompt):
        if not _is_message(message):
            raise TemplateError(
                f"prompt[{position}]: not a chat message with a role and a content "
                f"({shorten(repr(message), 60)}). Fix: "
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
    if isinstance(model, str) and ("{{" in model or "{%" in model):
        raise RequestError(
            f"model: not a template ({model!r}); all requests of a job have one model. Fix: "
            "df[df[...] == ...].bf.requests(..., model=...), one job per model."
        )
    if not isinstance(model, str) or not model.strip():
        raise RequestError(f'model: not the name of a model ({model!r}). Fix: model="gpt-6-luna".')
    return _text(model, "model")


def checked_system(system: object) -> str | None:
    """Validate the system message template; raise ``TemplateError``."""
    if system is None:
        return None
    if not isinstance(system, str):
        raise TemplateError(
            f'system: not a template ({type(system).__name__}). Fix: system="You label reviews."; '
            "for several system messages, pass the prompt as a list."
        )
    return _text(system, "system")


def checked_on_missing(on_missing: object) -> str:
    """Validate the policy for missing cells; raise ``RequestError``."""
    if not isinstance(on_missing, str):
        raise RequestError(
            f"on_missing: not a string ({on_missing!r}).",
            next_step='Fix: "raise", "skip", "empty" or a replacement string.',
        )
    word = on_missing.strip().lower()
    matches = ["skip"] if word in _SKIP_SYNONYMS else difflib.get_close_matches(word, _POLICIES, 1)
    if matches and matches[0] != on_missing:
        raise RequestError(
            option_step("on_missing", repr(on_missing))
            + " would be inserted into the prompts as text.",
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
            f"allow: unknown check ({format_list(unknown)}); the checks are {MODEL!r}, "
            f"{CONTEXT_WINDOW!r} and the parameters that you pass.",
            next_step="Fix: " + requests_step("temperature=0", 'allow=["temperature"]') + ".",
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
        if name in _SUBMIT_KEYWORDS:
            raise RequestError(
                f"{name}: an argument of submit(), not of requests(). Fix: "
                f"requests(...).submit({name}=...)."
            )
        problem = _UNSUPPORTED.get(name, _UNSUPPORTED_AT.get((endpoint, name)))
        if name == "response_format":
            problem = _wrong_format(parameters[name], endpoint, text=text)
        if problem is not None:
            raise RequestError(f"{name}: " + problem + ".")
        if (endpoint, name) in _SIMILAR_NAMES and isinstance(parameters[name], Mapping):
            continue
        matches = difflib.get_close_matches(name, RESERVED_KEYWORDS, n=1, cutoff=0.75)
        if matches and name not in allowed:
            raise RequestError(
                f"{name}: not a known parameter. Did you mean {matches[0]}=?",
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
        if value not in _JSON_INTEGERS:
            raise _not_json_error(path, "an int of more than 64 bits")
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise _not_json_error(path, repr(value))
        return float(value)
    if isinstance(value, Mapping):
        return {_text(str(key), path): _plain(item, f"{path}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{path}[{i}]") for i, item in enumerate(value)]
    raise _not_json_error(path, type(value).__name__)


def _text(text: str, path: str) -> str:
    plain = str.__str__(text)
    try:
        plain.encode()
    except UnicodeEncodeError:
        raise _not_json_error(path, "invalid Unicode: a lone surrogate") from None
    return plain


def _not_json_error(path: str, what: str) -> RequestError:
    return RequestError(
        f"{path}: not JSON serializable ({what}). Fix: use numbers, strings, lists and dicts."
    )
