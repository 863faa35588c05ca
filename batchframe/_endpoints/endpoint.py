"""What an endpoint of the Batch API is, so that a new one states only what is special about it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Final, Literal, NamedTuple, get_args

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from batchframe._base.endpoint_paths import EndpointPath
from batchframe._base.lenient_json import as_mapping
from batchframe._base.ranges import Range
from batchframe._endpoints.bulk import MOST_TOKENS, ColumnarReader
from batchframe._output import Field, OutputSpec, ParsedAnswers, output_spec, parse_answers
from batchframe._recipe.recipe import UNKNOWN_COLUMNS, Recipe
from batchframe._tokens.bodies import COUNTERS
from batchframe._tokens.counter import TokenCount

Status = Literal[
    "ok", "refused", "truncated", "invalid", "failed", "expired", "cancelled", "missing",
    "skipped", "pending",
]  # fmt: skip
STATUSES: Final[tuple[Status, ...]] = get_args(Status)
ASKED_AGAIN: Final = ("failed", "expired", "cancelled", "missing")
"""The statuses of a request for which the service produced nothing that is billed."""
ASKED_ON_DEMAND: Final = ("refused", "truncated", "invalid")
"""The statuses of a request that was answered, and billed, but not with what was wanted."""

AnswerKind = Literal["inline", "file", "reference"]
"""Whether an answer holds everything, brings files, or only names a file."""
PromptFunction = Callable[[Mapping[Any, Any]], Any]


class Answer(NamedTuple):
    """What one response says. Tokens are None where the response does not state them.

    Attributes
    ----------
    text
        What the model wrote; of a moderation, its result as JSON. Beside files it is a JSON object
        of what else the response says, with the names of the stored files under "files".
    tool_calls
        The tools that the model wants called, as JSON: a list of objects with "name" and
        "arguments", which is JSON in a string.
    reasoning
        A summary of the model's reasoning.
    vector
        Of an embedding: its numbers as 32-bit floats, one after the other.
    files
        The bytes of the files that it brings, until they are stored.
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


class OutputLimit(NamedTuple):
    """How a request bounds the output tokens.

    Attributes
    ----------
    parameter
        The parameter that bounds them, those of reasoning among them; empty where there is none.
    disable_reasoning
        What switches reasoning off, as code; empty where no model reasons.
    """

    parameter: str = ""
    disable_reasoning: str = ""


class Response(msgspec.Struct):
    """A response body that came with status code 200, as far as it is read."""

    def answer(self) -> Answer:
        """Return what it says."""
        raise NotImplementedError


class Endpoint(ABC):
    """One endpoint of the Batch API; by default it answers with one text.

    Attributes
    ----------
    path
        The URL path, such as "/v1/chat/completions".
    response, response_name
        The type of a response body, and what an error calls it: "a chat completion"; "one of" the
        path by default.
    columnar
        The reader of good responses of the usual form, all at once; None where each is read alone.
    retired
        Why no request can be sent to it any more, and what to do instead; empty if it is open.
    """

    path: EndpointPath
    response: type[Response]
    response_name: str = ""
    answer_kind: AnswerKind = "inline"
    output_limit: OutputLimit = OutputLimit()
    columnar: ColumnarReader | None = None
    retired: str = ""

    def output_spec(self, output: object, name: str | None) -> OutputSpec:
        """Read what the user passed as ``output=`` and ``name=``, or refuse it."""
        return output_spec(output, name)

    @abstractmethod
    def check(self, recipe: Recipe) -> None:
        """Refuse what has no place in a request to this endpoint."""

    @abstractmethod
    def body(self, recipe: Recipe) -> dict[str, Any]:
        """Return the request body; where the row decides, a leaf that renders (see ``lines``)."""

    @abstractmethod
    def recipe_of(self, body: Mapping[str, Any]) -> Recipe:
        """Return the recipe of a request body, without its prompt."""

    @abstractmethod
    def prompts_of(self, recipe: Recipe, function: PromptFunction) -> PromptFunction:
        """Wrap a prompt function so that it returns what stands in the body, or None for none."""

    @abstractmethod
    def prompt_text(self, body: Mapping[str, Any]) -> str:
        """Return what a request asks, for a person to read."""

    def count_tokens(self, body: Mapping[str, Any]) -> TokenCount:
        """Count the input tokens of one request body."""
        return COUNTERS[self.path](body)

    def max_output_tokens(self, body: Mapping[str, Any]) -> int | None:
        """Return the most output tokens that a request allows itself, if it states that."""
        limit = body.get(self.output_limit.parameter)
        return limit if isinstance(limit, int) else None

    def output_tokens(self, body: Mapping[str, Any]) -> Range[int] | None:
        """Return the output tokens that a request takes whatever the answer is, if known."""
        return None

    def may_reason(self, body: Mapping[str, Any]) -> bool:
        """Tell whether a request may be billed for reasoning tokens."""
        return False

    def answer(self, body: bytes) -> Answer:
        """Read one response body that came with status code 200."""
        try:
            return self._decoder.decode(body).answer()
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as reason:
            name = self.response_name or f"one of {self.path}"
            return Answer("invalid", f"the response is not {name}: {reason}", None)

    def fields(self, recipe: Recipe) -> tuple[Field, ...]:
        """Return the columns that answers to a recipe make."""
        return recipe.output.fields

    def read(self, recipe: Recipe, answers: pa.Table, good: pa.ChunkedArray) -> ParsedAnswers:
        """Read the good ones among answers as these columns, null in all other rows.

        An error beside a good answer says why it is invalid after all.
        """
        return parse_answers(recipe.output, only_good(answers["text"], good))

    @cached_property
    def _decoder(self) -> msgspec.json.Decoder[Response]:
        return msgspec.json.Decoder(self.response)


def recovered_recipe(
    path: EndpointPath, body: Mapping[str, Any], output: OutputSpec, known: Collection[str]
) -> Recipe:
    """Return the recipe of a request body, whose `known` keys are not parameters of the body."""
    return Recipe(
        endpoint=path.value,
        model=str(body["model"]),
        prompt=None,
        system=None,
        output=output,
        on_missing="raise",
        dedupe=True,
        body={key: value for key, value in body.items() if key not in {"model", *known}},
        columns=UNKNOWN_COLUMNS,
    )


def only_good(column: pa.ChunkedArray, good: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column of strings with nulls in place of those that are not good."""
    return pc.if_else(good, column, pa.scalar(None, pa.large_string()))


def error_message(error: Any) -> str:
    """Return the code and message of an error object, as far as it has them."""
    error = as_mapping(error)
    return ": ".join(str(error[key]) for key in ("code", "message") if error.get(key))


Tokens = tuple[int | None, int | None, int | None, int | None, int | None]


def tokens_of(usage: Any) -> Tokens:
    """Return the input, output, cached, reasoning and cache write tokens of a usage.

    Examples
    --------
    >>> tokens_of({"prompt_tokens": 7, "completion_tokens": 2})
    (7, 2, None, None, None)
    >>> tokens_of({"input_tokens": 9, "output_tokens_details": {"reasoning_tokens": 4}})
    (9, None, None, 4, None)
    >>> tokens_of({"input_tokens": 9, "output_tokens": 2, "prompt_tokens": None})
    (9, 2, None, None, None)
    """
    if not isinstance(usage, dict):
        return None, None, None, None, None
    in_chat_terms = usage.get("prompt_tokens") is not None or (
        "completion_tokens" in usage and usage.get("input_tokens") is None
    )
    input_, output = ("prompt", "completion") if in_chat_terms else ("input", "output")
    return (
        _count(usage, f"{input_}_tokens"),
        _count(usage, f"{output}_tokens"),
        _count(usage.get(f"{input_}_tokens_details"), "cached_tokens"),
        _count(usage.get(f"{output}_tokens_details"), "reasoning_tokens"),
        _count(usage.get(f"{input_}_tokens_details"), "cache_write_tokens"),
    )


def _count(usage: Any, name: str) -> int | None:
    # An odd count is dropped: it must not cost the answer beside it.
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if type(value) is int and 0 <= value <= MOST_TOKENS else None


class _Names(msgspec.Struct):
    files: list[str] = []


_decode_names = msgspec.json.Decoder(_Names).decode
encode = msgspec.json.Encoder().encode


def with_files(text: str | None, names: Sequence[str]) -> str:
    """Write the names of an answer's stored files into its text.

    Examples
    --------
    >>> with_files('{"revised_prompt":"A kite"}', ["a.png"])
    '{"revised_prompt":"A kite","files":["a.png"]}'
    """
    content: dict[str, Any] = msgspec.json.decode(text) if text else {}
    return encode({**content, "files": list(names)}).decode()


def files_of(text: str | None) -> list[str]:
    """Return the names of an answer's files.

    Examples
    --------
    >>> files_of('{"files":["a.png"]}'), files_of(None), files_of("no JSON")
    (['a.png'], [], [])
    """
    try:
        return _decode_names(text).files if text else []
    except (msgspec.DecodeError, RecursionError):
        return []


def first_files(texts: Iterable[str | None]) -> pa.Array:
    """Return the name of each answer's first file, null where there is none."""
    return pa.array([next(iter(files_of(text)), None) for text in texts], pa.large_string())
