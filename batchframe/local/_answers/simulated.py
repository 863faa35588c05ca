"""Simulated model, whose answer depends on the request body alone.

The response body is the same in every process and on every machine, except for `created`. Plain
text starts with a mark that it is simulated. An answer that follows a JSON schema cannot contain
the mark; every response body has ``"batchframe_simulated": true``.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Callable
from typing import Any, Final

import msgspec
import numpy as np

from batchframe.local._answers import bodies
from batchframe.local._answers.billing import inputs_of, text_tokens
from batchframe.local._answers.dice import Dice
from batchframe.local._answers.schema import SchemaError, sampler
from batchframe.local._problems import Problem

_TOOL_ENDPOINTS: Final = {"/v1/chat/completions", "/v1/responses"}
_DEFAULT_DIMENSIONS: Final = {"text-embedding-3-large": 3072}
_MAX_CHOICES: Final = 128
_PNG_SIDE: Final = 16
_PNG_COMMENT: Final = b"batchframe: simulated, no model"

# OpenAI moderation guide, 2026-11.
_CATEGORIES: Final = (
    "harassment", "harassment/threatening", "hate", "hate/threatening", "illicit",
    "illicit/violent", "self-harm", "self-harm/instructions", "self-harm/intent", "sexual",
    "sexual/minors", "violence", "violence/graphic",
)  # fmt: skip

_VOCABULARY: Final = (
    "a the this that one some every row column table value answer question example "
    "shows gives keeps takes means needs finds holds counts joins reads says "
    "short long plain clear small large first last other same new old"
)
_WORDS: Final = _VOCABULARY.split()


def simulate(
    endpoint: str,
    body: dict[str, Any],
    *,
    created: int,
    count_tokens: Callable[[dict[str, Any]], int],
) -> dict[str, Any]:
    """Return the simulated response body.

    Raises
    ------
    Problem
        If the service would reject the request, for example for a schema that strict mode does not
        allow, or for ``json_object`` without the word "json".

    Examples
    --------
    >>> body = {"model": "m", "messages": [{"role": "user", "content": "Hello?"}]}
    >>> answer = simulate("/v1/chat/completions", body, created=0, count_tokens=lambda body: 1)
    >>> answer["choices"][0]["message"]["content"][:21]
    '[simulated, no model]'
    """
    context = bodies.Context.of(body, created, count_tokens(body), "simulated")
    return _answer(endpoint, body, context) | {"batchframe_simulated": True}


def _answer(endpoint: str, body: dict[str, Any], context: bodies.Context) -> dict[str, Any]:
    digest = bytes.fromhex(context.digest)
    call = _tool_call(body, Dice(_salted(digest, 0)))
    if call is not None and endpoint in _TOOL_ENDPOINTS:
        return bodies.call_body(endpoint, call, context)
    if endpoint in bodies.TEXT_ENDPOINTS:
        write = _writer(endpoint, body)
        texts = [write(Dice(_salted(digest, index))) for index in range(_choices(endpoint, body))]
        return bodies.text_body(endpoint, texts, context)
    if endpoint == "/v1/embeddings":
        _check_embeddings(body)
        vectors = [_vector(text, body) for text in inputs_of(body["input"])]
        return bodies.embeddings_body(vectors, context)
    if endpoint == "/v1/moderations":
        results = [_verdict(item) for item in inputs_of(body["input"])]
        return bodies.moderations_body(results, context)
    if endpoint not in bodies.IMAGE_ENDPOINTS:
        raise Problem.invalid("url", f"The local server has no simulated answer for {endpoint}.")
    images = [_png(f"{context.digest}{index}") for index in range(_choices(endpoint, body))]
    return bodies.images_body(images, context)


def _salted(digest: bytes, index: int) -> bytes:
    return hashlib.blake2b(digest, salt=index.to_bytes(2, "big"), digest_size=8).digest()


def _choices(endpoint: str, body: dict[str, Any]) -> int:
    if endpoint == "/v1/responses":
        return 1
    prompts = body.get("prompt")
    count = len(prompts) if isinstance(prompts, list) and isinstance(prompts[0], str) else 1
    n = body.get("n")
    return count * (min(n, _MAX_CHOICES) if isinstance(n, int) and n > 0 else 1)


def _writer(endpoint: str, body: dict[str, Any]) -> Callable[[Dice], str]:
    chat = endpoint == "/v1/chat/completions"
    parent: dict[str, Any] = (body if chat else body.get("text")) or {}
    format_ = parent.get("response_format" if chat else "format")
    if not isinstance(format_, dict):
        return _prose
    kind = format_.get("type")
    if kind == "json_schema":
        spec = format_.get("json_schema") if chat else format_
        return lambda dice: _schema_text(spec, dice, chat=chat)
    if kind == "json_object":
        _check_json_word(body, chat=chat)
        return lambda dice: f'{{"simulated":true,"value":"{dice.hexadecimal(6)}"}}'
    return _prose


def _prose(dice: Dice) -> str:
    below, words = dice.below, len(_WORDS)
    text = " ".join([_WORDS[below(words)] for _ in range(4 + below(24))])
    return f"[simulated, no model] {text}."


def _schema_text(spec: Any, dice: Dice, *, chat: bool) -> str:
    param = "response_format" if chat else "text.format.schema"
    if not isinstance(spec, dict) or not isinstance(spec.get("schema"), dict):
        raise Problem.missing(f"{param}.json_schema.schema" if chat else param)
    schema = spec["schema"]
    try:
        encoded = msgspec.json.encode(schema)
        instance = sampler(encoded, strict=bool(spec.get("strict"))).sample(dice)
        return msgspec.json.encode(instance).decode()
    except SchemaError as error:
        message = f"Invalid schema for {param} '{spec.get('name')}': {error}."
        raise Problem.invalid(param, message, "invalid_json_schema") from None


def _check_json_word(body: dict[str, Any], *, chat: bool) -> None:
    texts = (body.get("messages"), body.get("input"), body.get("instructions"))
    if b"json" not in msgspec.json.encode(texts).lower():
        where, param = ("messages", "response_format") if chat else ("input", "text.format")
        raise Problem.invalid(
            where,
            f"'{where}' must contain the word 'json' in some form, to use '{param}' of type "
            "'json_object'.",
        )


def _tool_call(body: dict[str, Any], dice: Dice) -> tuple[str, str] | None:
    """Return the name and arguments of the forced tool call; None without one.

    With ``tool_choice="auto"`` the simulated model writes text.
    """
    choice = body.get("tool_choice")
    if choice == "required":
        functions = _functions(body)
        if not functions:
            raise Problem.invalid(
                "tool_choice", "'tool_choice' is only allowed when 'tools' are specified."
            )
        return _call(dice.pick(functions), dice)
    if not isinstance(choice, dict) or choice.get("type") != "function":
        return None
    name = choice.get("function", choice).get("name")
    for function in _functions(body):
        if function.get("name") == name:
            return _call(function, dice)
    raise Problem.invalid("tool_choice", f"Tool choice '{name}' not found in 'tools' parameter.")


def _functions(body: dict[str, Any]) -> list[dict[str, Any]]:
    # Chat completions nest the function one level deeper than responses.
    return [
        tool.get("function", tool) for tool in body.get("tools") or () if tool["type"] == "function"
    ]


def _call(function: dict[str, Any], dice: Dice) -> tuple[str, str]:
    schema = function.get("parameters")
    try:
        arguments = {} if not schema else sampler(msgspec.json.encode(schema)).sample(dice)
    except SchemaError as error:
        message = f"Invalid schema for function '{function.get('name')}': {error}."
        raise Problem.invalid("tools", message, "invalid_function_parameters") from None
    return str(function.get("name")), msgspec.json.encode(arguments).decode()


def _png(digest: str) -> bytes:
    """Return a small, single-color PNG; the digest determines the color."""
    color = hashlib.blake2b(digest.encode(), digest_size=3).digest()
    rows = (b"\0" + color * _PNG_SIDE) * _PNG_SIDE
    header = struct.pack(">IIBBBBB", _PNG_SIDE, _PNG_SIDE, 8, 2, 0, 0, 0)
    chunks = (
        (b"IHDR", header),
        (b"tEXt", b"Comment\0" + _PNG_COMMENT),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


_MAX_DIMENSIONS: Final = 8192
_MAX_INPUTS: Final = 2048
_MAX_INPUT_TOKENS: Final = 8192
_ENCODINGS: Final = (None, "float", "base64")


def _check_embeddings(body: dict[str, Any]) -> None:
    """Reject the inputs that OpenAI rejects (API reference, 2026-11)."""
    inputs = inputs_of(body["input"])
    if len(inputs) > _MAX_INPUTS or any(item in ("", []) for item in inputs):
        raise Problem.invalid("input", "'$.input' is invalid.")
    if body.get("encoding_format") not in _ENCODINGS:
        raise Problem.wrong_value("encoding_format", body["encoding_format"], "'float', 'base64'")
    longest = max(text_tokens(item) if isinstance(item, str) else len(item) for item in inputs)
    if longest > _MAX_INPUT_TOKENS:
        raise Problem.invalid(
            "input",
            f"This model's maximum context length is {_MAX_INPUT_TOKENS} tokens, however you "
            f"requested {longest} tokens ({longest} in your prompt; 0 for the completion). Please "
            "reduce your prompt; or completion length.",
        )


def _vector(text: Any, body: dict[str, Any]) -> list[float]:
    model = str(body.get("model"))
    dimensions = body.get("dimensions") or _DEFAULT_DIMENSIONS.get(model, 1536)
    if not isinstance(dimensions, int) or not 1 <= dimensions <= _MAX_DIMENSIONS:
        raise Problem.invalid(
            "dimensions", f"'dimensions' must be between 1 and {_MAX_DIMENSIONS}."
        )
    seed = msgspec.json.encode((model, text))
    noise = np.frombuffer(hashlib.shake_256(seed).digest(dimensions), dtype=np.uint8)
    centered = noise.astype(np.float64) - 127.5
    unit: list[float] = np.round(centered / np.linalg.norm(centered), 6).tolist()
    return unit


def _verdict(item: Any) -> dict[str, Any]:
    dice = Dice(hashlib.blake2b(msgspec.json.encode(item), digest_size=8).digest())
    scores = {name: dice.below(1000) / 100_000 for name in _CATEGORIES}
    if not dice.below(8):
        scores[dice.pick([*_CATEGORIES])] = 0.9
    return moderation_result(scores)


def moderation_result(scores: dict[str, float], *, flagged: bool | None = None) -> dict[str, Any]:
    """Return a moderation result; a category without a score gets 0."""
    scores = dict.fromkeys(_CATEGORIES, 0.0) | scores
    flags = {name: score >= 0.5 for name, score in scores.items()}  # noqa: PLR2004 - one half
    return {
        "flagged": any(flags.values()) if flagged is None else flagged,
        "categories": flags,
        "category_scores": scores,
        "category_applied_input_types": {name: ["text"] for name in _CATEGORIES},
    }
