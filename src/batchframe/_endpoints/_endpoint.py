"""What every endpoint answers.

Must not know: any one endpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, Protocol, get_args

from batchframe._recipe import Message, Recipe
from batchframe._tokens import TokenCount

Status = Literal[
    "ok", "refused", "truncated", "invalid", "failed", "expired", "cancelled", "missing",
    "skipped", "pending",
]  # fmt: skip
STATUSES: Final[tuple[Status, ...]] = get_args(Status)


class Answer(NamedTuple):
    """What one response says. Tokens are None where the response does not state them."""

    status: Status
    error: str | None
    text: str | None
    finish_reason: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None


class Endpoint(Protocol):
    """One endpoint of the Batch API."""

    @property
    def path(self) -> str:
        """The URL path, such as "/v1/chat/completions"."""

    def body(self, recipe: Recipe) -> dict[str, Any]:
        """Return the request body; where the row decides, a leaf that renders (see ``_lines``)."""

    def recipe_of(self, body: Mapping[str, Any]) -> Recipe:
        """Return what a request body tells of its recipe: all but the prompt."""

    def messages_of(
        self, recipe: Recipe, function: Callable[[Mapping[Any, Any]], Any]
    ) -> Callable[[Mapping[Any, Any]], Sequence[Message] | None]:
        """Wrap a prompt function so that it always returns messages, or None for no prompt."""

    def count_tokens(self, body: Mapping[str, Any]) -> TokenCount:
        """Count the input tokens of one request body."""

    def prompt_text(self, body: Mapping[str, Any]) -> str:
        """Return what a request asks, for a person to read."""

    def output_limit(self, body: Mapping[str, Any]) -> int | None:
        """Return the most output tokens that a request allows itself, if it says so."""

    def may_reason(self, body: Mapping[str, Any]) -> bool:
        """Tell whether a request may be billed for reasoning tokens."""

    def answer(self, body: bytes) -> Answer:
        """Read one response body that came with status code 200."""
