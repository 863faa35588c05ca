"""``/v1/completions``: one text in, its continuation out; a legacy API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from batchframe._base.endpoint_paths import EndpointPath
from batchframe._endpoints.endpoint import Answer, OutputLimit, Response, tokens_of
from batchframe._endpoints.prompts import TextEndpoint

# OpenAI API reference, 2026-11.
_DEFAULT_MAX_TOKENS: Final = 16
_TRUNCATED: Final = (
    f"the answer was cut off at the token limit: raise max_tokens (default: {_DEFAULT_MAX_TOKENS})"
)


class _Choice(msgspec.Struct):
    text: str | None = None
    finish_reason: str | None = None


class _Completion(Response):
    choices: list[_Choice]
    usage: Any = None

    def answer(self) -> Answer:
        tokens = tokens_of(self.usage)
        if not self.choices:
            return Answer("invalid", "the response has no choices", None, None, *tokens)
        text, finish_reason = self.choices[0].text, self.choices[0].finish_reason
        if finish_reason == "content_filter":
            return Answer("refused", "stopped by the content filter", text, finish_reason, *tokens)
        if finish_reason == "length":
            return Answer("truncated", _TRUNCATED, text, finish_reason, *tokens)
        if text is None:
            return Answer("invalid", "the response has no text", None, finish_reason, *tokens)
        return Answer("ok", None, text, finish_reason, *tokens)


class _Completions(TextEndpoint):
    path = EndpointPath.COMPLETIONS
    response = _Completion
    response_name = "a completion"
    output_limit = OutputLimit("max_tokens")
    prompt_key = "prompt"
    has_framing = False
    answer_type = 'text only (for labels and fields: endpoint="/v1/chat/completions")'

    def max_output_tokens(self, body: Mapping[str, Any]) -> int:
        limit, drafts = super().max_output_tokens(body), body.get("best_of")
        each = _DEFAULT_MAX_TOKENS if limit is None else limit
        # Discarded candidates are billed, too.
        return each * max(drafts, 1) if isinstance(drafts, int) else each


COMPLETIONS: Final = _Completions()
