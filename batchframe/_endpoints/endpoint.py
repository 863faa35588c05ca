"""The base class of endpoints, which provides defaults for new ones."""

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
from batchframe._models.names import reasons_elsewhere
from batchframe._models.rules import accepts_no_reasoning
from batchframe._output import Field, OutputSpec, ParsedAnswers, output_spec, parse_answers
from batchframe._recipe.recipe import UNKNOWN_COLUMNS, Recipe
from batchframe._tokens.bodies import count_prompt
from batchframe._tokens.counter import TokenCount

Status = Literal[
    "ok", "refused", "truncated", "invalid", "failed", "expired", "cancelled", "missing",
    "skipped", "pending",
]  # fmt: skip
STATUSES: Final[tuple[Status, ...]] = get_args(Status)
ASKED_AGAIN: Final = ("failed", "expired", "cancelled", "missing")
"""Statuses of requests without billed output."""
ASKED_ON_DEMAND: Final = ("refused", "truncated", "invalid")
"""Statuses of requests that were answered and billed, but not usable."""
UNDELIVERED: Final = "undelivered"
"""Word for requests whose answers the service counts but has not delivered."""

AnswerKind = Literal["inline", "file", "reference"]
"""Whether an answer is inline, contains files, or only references a file."""
PromptFunction = Callable[[Mapping[Any, Any]], Any]


class Answer(NamedTuple):
    """The content of one response; token counts are None if missing.

    Attributes
    ----------
    text
        The model's output; for a moderation, its result as JSON. With files it is a JSON object of
        the remaining response, with the names of the stored files under "files".
    tool_calls
        The model's tool calls, as JSON: a list of objects with "name" and "arguments", a JSON
        string.
    reasoning
        A summary of the model's reasoning.
    vector
        An embedding, as the bytes of its 32-bit floats.
    files
        The bytes of its files, until they are stored.
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
    def content(self) -> tuple[object, ...]:
        """The content that distinguishes two answers to the same request."""
        return self.text, self.tool_calls, self.vector


class OutputLimit(NamedTuple):
    """The output token limit of an endpoint's requests.

    Attributes
    ----------
    parameter
        The parameter that limits output tokens, including reasoning; empty if there is none.
    disable_reasoning
        Code that disables reasoning; empty if no model reasons.
    """

    parameter: str = ""
    disable_reasoning: str = ""


class Response(msgspec.Struct):
    """The fields read from a response body with status code 200."""

    def answer(self) -> Answer:
        """Return the answer of the response."""
        raise NotImplementedError


class Endpoint(ABC):
    """An endpoint of the Batch API; by default its answer is one string.

    Attributes
    ----------
    path
        The URL path, such as "/v1/chat/completions".
    response, response_name
        The type of a response body, and its name in errors: "a chat completion"; "one of" the path
        by default.
    columnar
        The columnar reader of common good responses; None to read row by row.
    retired
        Why it no longer accepts requests, and the alternative; empty if it does.
    """

    path: EndpointPath
    response: type[Response]
    response_name: str = ""
    answer_kind: AnswerKind = "inline"
    output_limit: OutputLimit = OutputLimit()
    columnar: ColumnarReader | None = None
    retired: str = ""

    def output_spec(self, output: object, name: str | None) -> OutputSpec:
        """Return the spec of ``output=`` and ``name=``, or raise."""
        return output_spec(output, name)

    @abstractmethod
    def check(self, recipe: Recipe) -> None:
        """Raise for arguments that this endpoint does not support."""

    @abstractmethod
    def body(self, recipe: Recipe) -> dict[str, Any]:
        """Return the request body; leaves render row values (see ``lines``)."""

    @abstractmethod
    def recipe_of(self, body: Mapping[str, Any]) -> Recipe:
        """Return the recipe of a request body, without its prompt."""

    @abstractmethod
    def prompts_of(self, recipe: Recipe, function: PromptFunction) -> PromptFunction:
        """Wrap a prompt function to return the body's value, or None for none."""

    @abstractmethod
    def prompt_text(self, body: Mapping[str, Any]) -> str:
        """Return the prompt of a request in readable form."""

    def count_tokens(self, body: Mapping[str, Any]) -> TokenCount:
        """Count the input tokens of one request body: its text, by default.

        Override it if the framing is published; the default range allows for a few more tokens.
        """
        return count_prompt(body, self.prompt_text(body), self.path)

    def max_output_tokens(self, body: Mapping[str, Any]) -> int | None:
        """Return the output token limit of a request, or None."""
        limit = body.get(self.output_limit.parameter)
        return limit if isinstance(limit, int) else None

    def limit_for(self, model: str) -> OutputLimit:
        """Return the output limit, without a value that the model rejects."""
        limit = self.output_limit
        takes_none = accepts_no_reasoning(model) and not reasons_elsewhere(model)
        return limit if takes_none else limit._replace(disable_reasoning="")

    def output_tokens(self, body: Mapping[str, Any]) -> Range[int] | None:
        """Return the output tokens that do not depend on the answer, if known."""
        return None

    def may_reason(self, body: Mapping[str, Any]) -> bool:
        """Return whether a request may be billed for reasoning tokens."""
        return False

    def answer(self, body: bytes) -> Answer:
        """Parse one response body with status code 200."""
        try:
            return self._decoder.decode(body).answer()
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as reason:
            name = self.response_name or f"one of {self.path}"
            return Answer("invalid", f"the response is not {name}: {reason}", None)

    def fields(self, recipe: Recipe) -> tuple[Field, ...]:
        """Return the answer columns of a recipe."""
        return recipe.output.fields

    def read(self, recipe: Recipe, answers: pa.Table, good: pa.ChunkedArray) -> ParsedAnswers:
        """Read good answers into these columns, null in all other rows.

        An error on a good answer marks it as invalid.
        """
        texts = only_good(answers["text"], good)
        return parse_answers(recipe.output, texts, lenient=bool(recipe.lenient))

    @cached_property
    def _decoder(self) -> msgspec.json.Decoder[Response]:
        return msgspec.json.Decoder(self.response)


def recovered_recipe(
    path: EndpointPath, body: Mapping[str, Any], output: OutputSpec, other_keys: Collection[str]
) -> Recipe:
    """Return the recipe of a request body; `other_keys` are not parameters."""
    return Recipe(
        endpoint=path.value,
        model=str(body["model"]),
        prompt=None,
        system=None,
        output=output,
        on_missing="raise",
        dedupe=True,
        body={key: value for key, value in body.items() if key not in {"model", *other_keys}},
        columns=UNKNOWN_COLUMNS,
    )


def only_good(column: pa.ChunkedArray, good: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a string column with nulls in place of answers that are not good."""
    return pc.if_else(good, column, pa.scalar(None, pa.large_string()))


def error_message(error: Any) -> str:
    """Return the code and message of an error object, if present."""
    error = as_mapping(error)
    return ": ".join(str(error[key]) for key in ("code", "message") if error.get(key))


Tokens = tuple[int | None, int | None, int | None, int | None, int | None]


def tokens_of(usage: Any) -> Tokens:
    """Return input, output, cached, reasoning and cache write tokens.

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
    # An invalid count is dropped, since the answer is still usable.
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if type(value) is int and 0 <= value <= MOST_TOKENS else None


class _Names(msgspec.Struct):
    files: list[str] = []


_decode_names = msgspec.json.Decoder(_Names).decode
encode = msgspec.json.Encoder().encode


def with_files(text: str | None, names: Sequence[str]) -> str:
    """Add the names of stored files to an answer's text.

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
    """Return the name of each answer's first file, null without files."""
    return pa.array([next(iter(files_of(text)), None) for text in texts], pa.large_string())
