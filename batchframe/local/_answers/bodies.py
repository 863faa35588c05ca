"""Response bodies of each endpoint, built from strings, vectors or images."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec
import numpy as np

from batchframe.local._answers.billing import answer_frame, family_of, output_tokens
from batchframe.local._answers.tokenizer import truncated

TEXT_ENDPOINTS: Final = frozenset({"/v1/chat/completions", "/v1/responses", "/v1/completions"})

IMAGE_ENDPOINTS: Final = frozenset({"/v1/images/generations", "/v1/images/edits"})

STREAM_FIELDS: Final = frozenset({"stream", "stream_options"})

_IMAGE_TOKENS: Final = 272
"""Output tokens of a small, low-quality image (OpenAI image generation guide, 2026-04)."""
_OUTPUT_LIMITS: Final = ("max_completion_tokens", "max_tokens", "max_output_tokens")


@dataclass(frozen=True, slots=True)
class Context:
    """Request body and metadata of a response body.

    `digest` is hexadecimal and identifies the answer; `created` is in Unix seconds; `fingerprint`
    identifies the source of the answer. `output_tokens` are billed for its text.
    """

    body: dict[str, Any]
    digest: str
    created: int
    input_tokens: int
    fingerprint: str
    output_tokens: int = 0

    @classmethod
    def of(cls, body: dict[str, Any], created: int, input_tokens: int, fingerprint: str) -> Context:
        """Return the metadata for a request body; the digest depends on it alone.

        A streamed answer is the answer without a stream.
        """
        asked = body
        if not STREAM_FIELDS.isdisjoint(body):
            asked = {name: value for name, value in body.items() if name not in STREAM_FIELDS}
        encoded = msgspec.json.encode(asked, order="sorted")
        digest = hashlib.blake2b(encoded, digest_size=16).hexdigest()
        return cls(body, digest, created, input_tokens, fingerprint)


def text_body(endpoint: str, texts: Sequence[str], context: Context) -> dict[str, Any]:
    """Return the body of a text endpoint; truncate texts to the output limit."""
    limits = map(context.body.get, _OUTPUT_LIMITS)
    limit = next((limit for limit in limits if isinstance(limit, int)), None)
    output_texts = list(texts)
    if limit is not None:
        encoding = family_of(str(context.body.get("model"))).encoding
        room = max(limit - answer_frame(context.body, endpoint), 0)
        output_texts = [truncated(text, room, encoding) for text in texts]
    complete = [len(short) == len(text) for short, text in zip(output_texts, texts, strict=True)]
    tokens = output_tokens(context.body, endpoint, output_texts, [])
    if limit is not None:
        tokens = min(tokens, limit * len(output_texts))
    return _WRITERS[endpoint](output_texts, complete, replace(context, output_tokens=tokens))


def call_body(endpoint: str, call: tuple[str, str], context: Context) -> dict[str, Any]:
    """Return the body of an answer that calls a tool instead of writing text."""
    name, arguments = call
    tokens = output_tokens(context.body, endpoint, [], [call])
    response = _WRITERS[endpoint]([arguments], [True], replace(context, output_tokens=tokens))
    if endpoint == "/v1/responses":
        response["output"] = [
            {
                "type": "function_call",
                "id": f"fc_{context.digest}",
                "call_id": f"call_{context.digest[:24]}",
                "name": name,
                "arguments": arguments,
                "status": "completed",
            }
        ]
        return response
    choice = response["choices"][0]
    function = {"name": name, "arguments": arguments}
    calls = [{"id": f"call_{context.digest[:24]}", "type": "function", "function": function}]
    choice["message"] |= {"content": None, "tool_calls": calls}
    # If the request names the tool, the finish reason is "stop" (OpenAI function calling guide).
    required = context.body.get("tool_choice") == "required"
    choice["finish_reason"] = "tool_calls" if required else "stop"
    return response


def embeddings_body(vectors: Sequence[Sequence[float]], context: Context) -> dict[str, Any]:
    """Return the body of `/v1/embeddings` in the requested encoding."""
    write = _base64 if context.body.get("encoding_format") == "base64" else list
    usage = {"prompt_tokens": context.input_tokens, "total_tokens": context.input_tokens}
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": write(vector)}
            for index, vector in enumerate(vectors)
        ],
        "model": context.body.get("model"),
        "usage": usage,
    }


def encode_vectors(response: dict[str, Any]) -> None:
    """Encode the vectors of a server that wrote numbers instead of base64."""
    data = response.get("data")
    for entry in data if isinstance(data, list) else ():
        if isinstance(entry, dict) and isinstance(entry.get("embedding"), list):
            entry["embedding"] = _base64(entry["embedding"])


def moderations_body(results: list[dict[str, Any]], context: Context) -> dict[str, Any]:
    """Return the body of `/v1/moderations`."""
    return {
        "id": f"modr-{context.digest[:24]}",
        "model": context.body.get("model") or "omni-moderation-latest",
        "results": results,
    }


def images_body(images: Sequence[bytes], context: Context) -> dict[str, Any]:
    """Return the body of `/v1/images/generations` and `/v1/images/edits`."""
    drawn = _IMAGE_TOKENS * len(images)
    details = {"text_tokens": context.input_tokens, "image_tokens": 0}
    return {
        "created": context.created,
        "data": [{"b64_json": base64.b64encode(image).decode()} for image in images],
        "usage": {
            "input_tokens": context.input_tokens,
            "input_tokens_details": details,
            "output_tokens": drawn,
            "total_tokens": context.input_tokens + drawn,
        },
    }


def _base64(vector: Sequence[float]) -> str:
    return base64.b64encode(np.asarray(vector, dtype="<f4").tobytes()).decode()


def _chat(texts: list[str], is_complete: list[bool], context: Context) -> dict[str, Any]:
    contents: list[dict[str, Any]] = [
        {"message": {"role": "assistant", "content": text, "refusal": None, "annotations": []}}
        for text in texts
    ]
    return {
        "id": f"chatcmpl-{context.digest[:29]}",
        "object": "chat.completion",
        **_completion(contents, is_complete, context),
        "service_tier": "default",
    }


def _completions(texts: list[str], is_complete: list[bool], context: Context) -> dict[str, Any]:
    contents: list[dict[str, Any]] = [{"text": text} for text in texts]
    return {
        "id": f"cmpl-{context.digest[:29]}",
        "object": "text_completion",
        **_completion(contents, is_complete, context),
    }


def _completion(
    contents: list[dict[str, Any]],
    is_complete: list[bool],
    context: Context,
) -> dict[str, Any]:
    """Return what chat completions and completions have in common."""
    return {
        "created": context.created,
        "model": context.body.get("model"),
        "choices": [
            {
                "index": index,
                **content,
                "logprobs": None,
                "finish_reason": "stop" if complete else "length",
            }
            for index, (content, complete) in enumerate(zip(contents, is_complete, strict=True))
        ],
        "usage": {
            "prompt_tokens": context.input_tokens,
            "completion_tokens": context.output_tokens,
            "total_tokens": context.input_tokens + context.output_tokens,
            "prompt_tokens_details": {
                "cached_tokens": 0,
                "cache_write_tokens": 0,
                "audio_tokens": 0,
            },
            "completion_tokens_details": {
                "reasoning_tokens": 0,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        },
        "system_fingerprint": context.fingerprint,
    }


def _responses(texts: list[str], is_complete: list[bool], context: Context) -> dict[str, Any]:
    body, complete = context.body, all(is_complete)
    status = "completed" if complete else "incomplete"
    content = [
        {"type": "output_text", "text": text, "annotations": [], "logprobs": []} for text in texts
    ]
    return {
        "id": f"resp_{context.digest}",
        "object": "response",
        "created_at": context.created,
        "status": status,
        "error": None,
        "incomplete_details": None if complete else {"reason": "max_output_tokens"},
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "model": body.get("model"),
        "output": [
            {
                "type": "message",
                "id": f"msg_{context.digest}",
                "status": status,
                "role": "assistant",
                "content": content,
            }
        ],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default",
        "store": body.get("store", True),
        "temperature": body.get("temperature", 1.0),
        "text": body.get("text") or {"format": {"type": "text"}},
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": body.get("tools", []),
        "top_p": body.get("top_p", 1.0),
        "truncation": "disabled",
        "usage": {
            "input_tokens": context.input_tokens,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": context.output_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": context.input_tokens + context.output_tokens,
        },
        "metadata": body.get("metadata") or {},
    }


_WRITERS: Final = {
    "/v1/chat/completions": _chat,
    "/v1/responses": _responses,
    "/v1/completions": _completions,
}
