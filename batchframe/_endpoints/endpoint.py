"""What every endpoint answers.

Must not know: any one endpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, NamedTuple, Protocol, get_args

import pyarrow as pa

from batchframe._base.ranges import Range
from batchframe._endpoints.bulk import Places
from batchframe._output import Field, OutputSpec, ParsedAnswers
from batchframe._recipe.recipe import Recipe
from batchframe._tokens.counter import TokenCount

Status = Literal[
    "ok", "refused", "truncated", "invalid", "failed", "expired", "cancelled", "missing",
    "skipped", "pending",
]  # fmt: skip
STATUSES: Final[tuple[Status, ...]] = get_args(Status)


class Answer(NamedTuple):
    """What one response says. Tokens are None where the response does not state them.

    Attributes
    ----------
    text
        What the model wrote; of a moderation, its result as JSON.
    tool_calls
        The tools that the model wants called, as JSON: a list of objects with "name" and
        "arguments", which is JSON in a text.
    reasoning
        A summary of how the model came to it.
    vector
        Of an embedding: its numbers as 32-bit floats, one after the other.
    files
        The bytes of files that it brings, until they are kept: `text` names them from then on.
    """

    status: Status
    error: str | None
    text: str | None
    finish_reason: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    cache_write_tokens: int | None = None
    tool_calls: str | None = None
    reasoning: str | None = None
    vector: bytes | None = None
    files: tuple[bytes, ...] = ()

    @property
    def said(self) -> tuple[object, ...]:
        """What makes it another answer than a second one to the same request."""
        return self.text, self.tool_calls, self.vector


class OrdinaryBody(NamedTuple):
    """How the response bodies of most good answers look.

    Attributes
    ----------
    kind
        The fields of a body that are read; others may stand beside them.
    columns
        Bodies of this type → the places of some that :meth:`Endpoint.answer` reads as ``ok``, and
        the parts of their answers by name; a part that is left out is None in all.
    """

    kind: pa.StructType
    columns: Callable[[pa.StructArray], tuple[Places, Mapping[str, pa.Array]]]


class Wording(NamedTuple):
    """How a request to an endpoint says how much may be written.

    Attributes
    ----------
    limit
        The parameter that bounds the output tokens, those of reasoning among them.
    thoughtless
        What switches reasoning off, as code; empty where nothing reasons.
    """

    limit: str
    thoughtless: str = ""


Brings = Literal["words", "files", "names"]
"""What an answer is: all in itself; with files; or the name of a file to be fetched."""


class Endpoint(Protocol):
    """One endpoint of the Batch API."""

    @property
    def path(self) -> str:
        """The URL path, such as "/v1/chat/completions"."""

    @property
    def wording(self) -> Wording:
        """The words for how much may be written."""

    @property
    def brings(self) -> Brings:
        """What its answers are made of."""

    @property
    def ordinary(self) -> OrdinaryBody | None:
        """How most bodies of good answers look, to be read fast; None where each is read alone."""

    def output_spec(self, output: object, name: str | None) -> OutputSpec:
        """Read what the user passed as ``output=`` and ``name=``, or refuse it."""

    def check(self, recipe: Recipe) -> None:
        """Refuse what has no place in a request to this endpoint."""

    def body(self, recipe: Recipe) -> dict[str, Any]:
        """Return the request body; where the row decides, a leaf that renders (see ``lines``)."""

    def recipe_of(self, body: Mapping[str, Any]) -> Recipe:
        """Return what a request body tells of its recipe: all but the prompt."""

    def prompts_of(
        self, recipe: Recipe, function: Callable[[Mapping[Any, Any]], Any]
    ) -> Callable[[Mapping[Any, Any]], Any]:
        """Wrap a prompt function so that it returns what stands in the body, or None for none."""

    def count_tokens(self, body: Mapping[str, Any]) -> TokenCount:
        """Count the input tokens of one request body."""

    def prompt_text(self, body: Mapping[str, Any]) -> str:
        """Return what a request asks, for a person to read."""

    def output_limit(self, body: Mapping[str, Any]) -> int | None:
        """Return the most output tokens that a request allows itself, if it says so."""

    def output_tokens(self, body: Mapping[str, Any]) -> Range[int] | None:
        """Return the output tokens that a request is known to take, if nobody writes them."""

    def may_reason(self, body: Mapping[str, Any]) -> bool:
        """Tell whether a request may be billed for reasoning tokens."""

    def answer(self, body: bytes) -> Answer:
        """Read one response body that came with status code 200."""

    def fields(self, recipe: Recipe) -> tuple[Field, ...]:
        """Return the columns that answers to a recipe make."""

    def read(self, recipe: Recipe, answers: pa.Table, good: pa.ChunkedArray) -> ParsedAnswers:
        """Read the good ones among answers as these columns, null in all other rows.

        An error beside a good answer says why it is none after all.
        """


ASKED_AGAIN: Final = ("failed", "expired", "cancelled", "missing")
"""The statuses of a request for which the service produced nothing that is billed."""


ASKED_ON_DEMAND: Final = ("refused", "truncated", "invalid")
"""The statuses of a request that was answered, and billed, but not with what was wanted."""
