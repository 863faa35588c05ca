"""Response bodies of each endpoint, built from strings, vectors or images."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np

from batchframe.local._answers.usage import text_tokens

TEXT_ENDPOINTS: Final = frozenset({"/v1/chat/completions", "/v1/responses", "/v1/completions"})

IMAGE_ENDPOINTS: Final = frozenset({"/v1/images/generations", "/v1/images/edits"})

_IMAGE_TOKENS: Final = 272
"""Output tokens of a small, low-quality image (OpenAI image generation guide, 2026-04)."""
_OUTPUT_LIMITS: Final = ("max_completion_tokens", "max_tokens", "max_output_tokens")
_CHARACTERS_PER_TOKEN: Final = 4


@dataclass(frozen=True, slots=True)
class Setting:
    """Metadata of a response body.

    `digest` is hexadecimal and identifies the answer; `created` is in Unix seconds; `fingerprint`
    identifies the source of the answer.
    """

    digest: str
    created: int
    input_tokens: int
    fingerprint: str

    @classmethod
    def of(cls, body: dict[str, Any], created: int, input_tokens: int, fingerprint: str) -> Setting:
        """Return the metadata for a request body; the digest depends on it alone."""
        encoded = msgspec.json.encode(body, order="sorted")
        digest = hashlib.blake2b(encoded, digest_size=16).hexdigest()
        return cls(digest, created, input_tokens, fingerprint)


def text_body(
    endpoint: str, body: dict[str, Any], texts: Sequence[str], setting: Setting
) -> dict[str, Any]:
    """Return the body of a text endpoint; truncate texts to the output limit."""
    limit = next((body[name] for name in _OUTPUT_LIMITS if isinstance(body.get(name), int)), None)
    end = None if limit is None else limit * _CHARACTERS_PER_TOKEN
    truncated = [text[:end] for text in texts]
    complete = [len(short) == len(text) for short, text in zip(truncated, texts, strict=True)]
    return _WRITERS[endpoint](body, truncated, complete, setting)


def call_body(
    endpoint: str, body: dict[str, Any], call: tuple[str, str], setting: Setting
) -> dict[str, Any]:
    """Return the body of an answer that calls a tool instead of writing text."""
    name, arguments = call
    response = _WRITERS[endpoint](body, [arguments], [True], setting)
    if endpoint == "/v1/responses":
        response["output"] = [
            {
                "type": "function_call",
                "id": f"fc_{setting.digest}",
                "call_id": f"call_{setting.digest[:24]}",
                "name": name,
                "arguments": arguments,
                "status": "completed",
            }
        ]
        return response
    choice = response["choices"][0]
    function = {"name": name, "arguments": arguments}
    calls = [{"id": f"call_{setting.digest[:24]}", "type": "function", "function": function}]
    choice["message"] |= {"content": None, "tool_calls": calls}
    # If the request names the tool, the finish reason is "stop" (OpenAI function calling guide).
    choice["finish_reason"] = "tool_calls" if body.get("tool_choice") == "required" else "stop"
    return response


def embeddings_body(
    body: dict[str, Any], vectors: Sequence[Sequence[float]], setting: Setting
) -> dict[str, Any]:
    """Return the body of `/v1/embeddings` in the requested encoding."""
    write = _base64 if body.get("encoding_format") == "base64" else list
    usage = {"prompt_tokens": setting.input_tokens, "total_tokens": setting.input_tokens}
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": write(vector)}
            for index, vector in enumerate(vectors)
        ],
        "model": body.get("model"),
        "usage": usage,
    }


def moderations_body(
    body: dict[str, Any], results: list[dict[str, Any]], setting: Setting
) -> dict[str, Any]:
    """Return the body of `/v1/moderations`."""
    return {
        "id": f"modr-{setting.digest[:24]}",
        "model": body.get("model") or "omni-moderation-latest",
        "results": results,
    }


def images_body(images: Sequence[bytes], setting: Setting) -> dict[str, Any]:
    """Return the body of `/v1/images/generations` and `/v1/images/edits`."""
    output_tokens = _IMAGE_TOKENS * len(images)
    details = {"text_tokens": setting.input_tokens, "image_tokens": 0}
    return {
        "created": setting.created,
        "data": [{"b64_json": base64.b64encode(image).decode()} for image in images],
        "usage": {
            "input_tokens": setting.input_tokens,
            "input_tokens_details": details,
            "output_tokens": output_tokens,
            "total_tokens": setting.input_tokens + output_tokens,
        },
    }


def _base64(vector: Sequence[float]) -> str:
    return base64.b64encode(np.asarray(vector, dtype="<f4").tobytes()).decode()


def _chat(
    body: dict[str, Any], texts: list[str], is_complete: list[bool], setting: Setting
) -> dict[str, Any]:
    messages: list[dict[str, Any]] = [
        {"message": {"role": "assistant", "content": text, "refusal": None, "annotations": []}}
        for text in texts
    ]
    return {
        "id": f"chatcmpl-{setting.digest[:29]}",
        "object": "chat.completion",
        "created": setting.created,
        "model": body.get("model"),
        "choices": _choices(messages, is_complete),
        "usage": _completion_usage(texts, setting),
        "service_tier": "default",
        "system_fingerprint": setting.fingerprint,
    }


def _completions(
    body: dict[str, Any], texts: list[str], is_complete: list[bool], setting: Setting
) -> dict[str, Any]:
    return {
        "id": f"cmpl-{setting.digest[:29]}",
        "object": "text_completion",
        "created": setting.created,
        "model": body.get("model"),
        "choices": _choices([{"text": text} for text in texts], is_complete),
        "usage": _completion_usage(texts, setting),
        "system_fingerprint": setting.fingerprint,
    }


def _choices(contents: list[dict[str, Any]], is_complete: list[bool]) -> list[dict[str, Any]]:
    return [
        {
            "index": index,
            **content,
            "logprobs": None,
            "finish_reason": "stop" if complete else "length",
        }
        for index, (content, complete) in enumerate(zip(contents, is_complete, strict=True))
    ]


def _responses(
    body: dict[str, Any], texts: list[str], is_complete: list[bool], setting: Setting
) -> dict[str, Any]:
    complete = all(is_complete)
    status = "completed" if complete else "incomplete"
    content = [
        {"type": "output_text", "text": text, "annotations": [], "logprobs": []} for text in texts
    ]
    output_tokens = sum(map(text_tokens, texts))
    return {
        "id": f"resp_{setting.digest}",
        "object": "response",
        "created_at": setting.created,
        "status": status,
        "error": None,
        "incomplete_details": None if complete else {"reason": "max_output_tokens"},
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "model": body.get("model"),
        "output": [
            {
                "type": "message",
                "id": f"msg_{setting.digest}",
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
            "input_tokens": setting.input_tokens,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": output_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": setting.input_tokens + output_tokens,
        },
        "metadata": body.get("metadata") or {},
    }


def _completion_usage(texts: list[str], setting: Setting) -> dict[str, Any]:
    output_tokens = sum(map(text_tokens, texts))
    return {
        "prompt_tokens": setting.input_tokens,
        "completion_tokens": output_tokens,
        "total_tokens": setting.input_tokens + output_tokens,
        "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


_WRITERS: Final = {
    "/v1/chat/completions": _chat,
    "/v1/responses": _responses,
    "/v1/completions": _completions,
}
