"""Validation of a batch's input file and of a request body.

Codes and messages are those reported for OpenAI's validator (2025-08 to 2026-09). OpenAI's code for
too many requests is unknown; `too_many_tasks` is Azure's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, Final

import msgspec

from batchframe.local._answers.billing import inputs_of
from batchframe.local._batches.dialects import Dialect
from batchframe.local._objects import BatchError
from batchframe.local._problems import json_type, missing

_REQUIRED: Final = {
    "/v1/chat/completions": ("model", "messages"),
    "/v1/responses": ("model", "input"),
    "/v1/embeddings": ("model", "input"),
    "/v1/completions": ("model", "prompt"),
    "/v1/moderations": ("input",),
    "/v1/images/generations": ("prompt",),
    "/v1/images/edits": ("prompt", "images"),
}

_TITLES: Final = {"/v1/chat/completions": "Chat Completions", "/v1/responses": "Responses"}

_MAX_ERRORS: Final = 100

_ENVELOPE: Final = (("custom_id", str), ("method", str), ("url", str), ("body", dict))

_decode: Final = msgspec.json.Decoder().decode


@dataclass(eq=False)
class FileCheck:
    """Validator of an input file: `feed` each line, then call `problems`.

    Parameters
    ----------
    endpoint
        Endpoint in the request that created the batch.
    dialect
        Dialect whose limits, spellings and codes apply.
    count_tokens
        Function that counts a body's input tokens; used only with a limit of enqueued tokens.

    Attributes
    ----------
    endpoint
        Endpoint of the lines, if the dialect reads it from them.
    """

    endpoint: str
    dialect: Dialect
    count_tokens: Callable[[dict[str, Any]], int]
    lines: int = field(init=False, default=0)
    tokens: int = field(init=False, default=0)
    model: str | None = field(init=False, default=None)
    _embedding_inputs: int = field(init=False, default=0)
    _custom_ids: set[str] = field(init=False, default_factory=set)
    _errors: list[BatchError] = field(init=False, default_factory=list)

    def feed(self, line: bytes) -> None:
        """Check the next line of the file."""
        self.lines += 1
        error = self._check(line)
        if error is not None and len(self._errors) < _MAX_ERRORS:
            code = self.dialect.codes.get(error.code, error.code)
            self._errors.append(replace(error, code=code, line=self.lines))

    def problems(self, enqueued: int = 0) -> list[BatchError]:
        """Return the errors of the file.

        `enqueued` is the number of tokens in the running batches of its model.
        """
        if not self.lines:
            return [_EMPTY]
        return self._errors or [*self._too_many(), *self._token_limit(enqueued)]

    def _check(self, line: bytes) -> BatchError | None:
        try:
            request = _decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return BatchError("invalid_json_line", "This line is not parseable as valid JSON.")
        if not isinstance(request, dict):
            return BatchError("invalid_json_line", "This line is not a JSON object.")
        return self._check_envelope(request) or self._check_body(request["body"])

    def _check_envelope(self, request: dict[str, Any]) -> BatchError | None:
        for name, kind in _ENVELOPE:
            if name not in request or request[name] is None:
                return _missing(name, name)
            if not isinstance(request[name], kind):
                return _mistyped(name, kind, request[name], name)
        custom_id: str = request["custom_id"]
        if custom_id in self._custom_ids:
            return BatchError("duplicate_custom_id", _DUPLICATE, "custom_id")
        self._custom_ids.add(custom_id)
        if request["method"] != "POST":
            return BatchError("invalid_value", "The method must be POST.", "method")
        endpoint = self.dialect.find_endpoint(request["url"])
        if self.dialect.reads_lines and self.lines == 1 and endpoint is not None:
            self.endpoint = endpoint
        if endpoint != self.endpoint:
            return BatchError("invalid_url", _WRONG_URL, "url")
        return None

    def _check_body(self, body: dict[str, Any]) -> BatchError | None:
        error = check_body(self.endpoint, body)
        if error is not None:
            return error
        if body.get("stream"):
            message = _STREAMED.format(_TITLES.get(self.endpoint, self.endpoint))
            return BatchError("streaming_unsupported", message, "body.stream")
        model = body.get("model")
        if model is not None and model != self.model and self._is_unsupported(model):
            return BatchError("model_not_found", _UNSUPPORTED.format(model), "body.model")
        if self.lines == 1 or self.model is None:
            self.model = model
        elif model != self.model:
            return BatchError("mismatched_model", _MISMATCHED.format(model), "body.model")
        if self.endpoint == "/v1/embeddings":
            self._embedding_inputs += len(inputs_of(body["input"]))
        if self.dialect.limits.enqueued_tokens is not None:
            self.tokens += self.count_tokens(body)
        return None

    def _is_unsupported(self, model: str) -> bool:
        patterns = self.dialect.limits.unsupported_models
        return any(fnmatchcase(model, pattern) for pattern in patterns)

    def _too_many(self) -> list[BatchError]:
        counts = (
            ("requests", self.lines, self.dialect.limits.requests),
            ("embedding inputs", self._embedding_inputs, self.dialect.limits.embedding_inputs),
        )
        return [
            BatchError(
                "too_many_tasks", f"The batch has {count:,} {what}, and the maximum is {limit:,}."
            )
            for what, count, limit in counts
            if count > limit
        ]

    def _token_limit(self, enqueued: int) -> list[BatchError]:
        limit = self.dialect.limits.enqueued_tokens
        if limit is None or self.tokens + enqueued <= limit:
            return []
        template = self.dialect.queue_full or _ENQUEUED
        return [BatchError("token_limit_exceeded", template.format(model=self.model, limit=limit))]


def check_body(endpoint: str, body: dict[str, Any]) -> BatchError | None:
    """Return the error of a request body; None if it is valid.

    Examples
    --------
    >>> check_body("/v1/embeddings", {"model": "text-embedding-3-small"}).param
    'body.input'
    """
    for name in _REQUIRED.get(endpoint, ("model",)):
        if body.get(name) in (None, [], ""):
            return _missing(name, f"body.{name}")
    model = body.get("model")
    if model is not None and not isinstance(model, str):
        return _mistyped("model", str, model, "body.model")
    if endpoint == "/v1/chat/completions" and not isinstance(body["messages"], list):
        return _mistyped("messages", list, body["messages"], "body.messages")
    return None


def file_not_found(file_id: str) -> BatchError:
    """Return the error of a batch whose input file does not exist."""
    message = f"Cannot find file {file_id}, or organization local does not have access to it."
    return BatchError("invalid_request", message, "file_id")


def _missing(name: str, param: str) -> BatchError:
    return BatchError("missing_required_parameter", missing(name), param)


def _mistyped(name: str, kind: type, value: object, param: str) -> BatchError:
    expected, actual = json_type(kind()), json_type(value)
    message = f"Invalid type for '{name}': expected {expected}, but got {actual}."
    return BatchError("invalid_type", message, param)


_EMPTY: Final = BatchError(
    "empty_file",
    "The input file is empty. Please ensure that the batch contains at least one request.",
)
_DUPLICATE: Final = (
    "The custom_id for this request is a duplicate of another request. "
    "The custom_id parameter must be unique for each request in a batch."
)
_WRONG_URL: Final = "The URL provided for this request does not match the batch endpoint."
_STREAMED: Final = "{}: Streaming is not supported in the Batch API."
_UNSUPPORTED: Final = "The provided model '{}' is not supported by the Batch API."
_MISMATCHED: Final = (
    "The provided model '{}' does not match the rest of the batch. "
    "Each batch must contain requests for a single model."
)
_ENQUEUED: Final = (
    "Enqueued token limit reached for {model} in organization local. "
    "Limit: {limit:,} enqueued tokens. "
    "Please try again once some in_progress batches have been completed."
)
