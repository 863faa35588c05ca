"""Tool calls, extracted from responses and read as columns.

One call gives a name and its arguments. For several calls, both columns contain JSON lists in the
same order: ``parallel_tool_calls=False`` limits answers to one call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import pyarrow as pa

from batchframe._base.errors import OutputSpecError, RequestError
from batchframe._base.lenient_json import objects_in
from batchframe._endpoints.endpoint import Endpoint, encode, only_good
from batchframe._output import Field, ParsedAnswers
from batchframe._recipe.recipe import Recipe

_FIELDS: Final = (Field("tool_name", (), "string"), Field("tool_arguments", (), "json"))
_CALLED: Final = {"function", "custom"}


class _Call(msgspec.Struct):
    name: str
    arguments: str


_decode = msgspec.json.Decoder(list[_Call]).decode


def function_call(name: object, arguments: object) -> dict[str, str]:
    """Return one function call; models may omit empty arguments."""
    return {"name": str(name), "arguments": arguments if isinstance(arguments, str) else "{}"}


def custom_call(name: object, text: object) -> dict[str, str]:
    """Return one custom tool call, whose argument is any string."""
    return {"name": str(name), "arguments": encode(text).decode()}


def as_json(calls: Sequence[Mapping[str, str]]) -> str | None:
    """Encode calls as JSON for an answer; None without calls."""
    return encode(calls).decode() if calls else None


class ToolEndpoint(Endpoint):
    """An endpoint with tools, whose prompt is a string or messages.

    Attributes
    ----------
    tool_key
        The key of a function tool besides its type: "function" or "name".
    """

    tool_key: str

    def check(self, recipe: Recipe) -> None:
        """Reject tools in another endpoint's format, and conflicting columns."""
        for position, tool in enumerate(objects_in(recipe.body.get("tools"))):
            keys = {"function", "name"} & set(tool)
            if tool.get("type") == "function" and keys and self.tool_key not in keys:
                inside = '"name": ..., "parameters": ...'
                example = f'"function": {{{inside}}}' if self.tool_key == "function" else inside
                raise RequestError(
                    f"tools[{position}]: not in the format of {self.path}. Fix: "
                    f'{{"type": "function", {example}}}.'
                )
        names = {field.name for field in recipe.output.fields}
        conflicts = names & {field.name for field in _FIELDS}
        if conflicts and _may_call(recipe):
            raise OutputSpecError.repeated_columns(sorted(conflicts))

    def fields(self, recipe: Recipe) -> tuple[Field, ...]:
        """Return the columns of the output spec, and of tool calls if any."""
        return (*recipe.output.fields, *(_FIELDS if _may_call(recipe) else ()))

    def read(self, recipe: Recipe, answers: pa.Table, good: pa.ChunkedArray) -> ParsedAnswers:
        """Read texts by the output spec, and tool calls as columns.

        An answer with tool calls may have no text.
        """
        parsed = super().read(recipe, answers, good)
        if not _may_call(recipe):
            return parsed
        calls = only_good(answers["tool_calls"], good).to_pylist()
        rows = list(map(_cells, calls, parsed.errors.to_pylist()))
        names, arguments, errors = (
            pa.array([row[place] for row in rows], pa.large_string()) for place in range(3)
        )
        columns = parsed.columns.append_column("tool_name", names)
        return ParsedAnswers(columns.append_column("tool_arguments", arguments), errors)


def _may_call(recipe: Recipe) -> bool:
    tools = objects_in(recipe.body.get("tools"))
    callable_ = any(str(tool.get("type", "function")) in _CALLED for tool in tools)
    return callable_ or bool(recipe.body.get("functions"))


def _cells(text: str | None, error: str | None) -> tuple[str | None, str | None, str | None]:
    """Return the name and arguments of an answer's tool calls, and its error."""
    try:
        calls = [] if text is None else _decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None, None, "the tool calls cannot be read"
    broken = next((call.name for call in calls if not _is_json(call.arguments)), None)
    if broken is not None:
        return None, None, f"the arguments of the tool call {broken!r} are not JSON"
    if len(calls) > 1:
        arguments = ",".join(call.arguments for call in calls)
        return encode([call.name for call in calls]).decode(), f"[{arguments}]", None
    return (calls[0].name, calls[0].arguments, None) if calls else (None, None, error)


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return False
    return True
