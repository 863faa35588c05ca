"""``/v1/completions``: one string in, its continuation out; a legacy API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import msgspec

from batchframe._base.endpoint_paths import EndpointPath
from batchframe._endpoints.chat import ChatCompletion, Message
from batchframe._endpoints.endpoint import OutputLimit
from batchframe._endpoints.prompts import TextEndpoint

# OpenAI API reference, 2026-11.
_DEFAULT_MAX_TOKENS: Final = 16
_TRUNCATED: Final = (
    f"the answer was cut off at the token limit: raise max_tokens (default: {_DEFAULT_MAX_TOKENS})"
)


class _Choice(msgspec.Struct):
    text: str | None = None
    finish_reason: str | None = None

    @property
    def message(self) -> Message:
        """The text, as the message of a chat completion."""
        return Message(self.text)


class _Completion(ChatCompletion):
    choices: list[_Choice]  # type: ignore[assignment]
    truncated: ClassVar[str] = _TRUNCATED


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
