"""Tokens that tools and an output schema add to a request.

The service writes both as text, and appends it to the system message (recorded on
``/v1/chat/completions``) or sets it apart (``/v1/responses``).
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from batchframe._base.endpoint_paths import EndpointPath
from batchframe._base.lenient_json import as_mapping
from batchframe._tokens.counter import TokenCounter
from batchframe._tokens.framing import frame, framing, other_state
from batchframe._tokens.parts import Parts, about
from batchframe._tokens.schemas import schema_block
from batchframe._tokens.tools import (
    Spec,
    custom_texts,
    function_of,
    has_nullable,
    repeated_comments,
    tools_block,
    uncommented_objects,
)

_SCHEMA: Final = "The output schema's tokens are approximate (within {more} per request)."
_UNRECORDED: Final = (
    "Keywords of the output schema such as pattern or format may add up to {more} tokens."
)
_JSON_MODE: Final = "The tokens of response_format are not published (at most {more} per request)."
_FUNCTIONS: Final = "Tool definitions are approximate (within {more} tokens per request)."
_NOT_FUNCTIONS: Final = (
    "The tokens of hosted tools, such as web_search, and of their results are not published."
)


@dataclass(frozen=True)
class Attachments:
    """Tools and output format of a request, and what their tokens depend on.

    Attributes
    ----------
    tools, choice
        The body's ``tools`` (or older ``functions``) and ``tool_choice`` (or ``function_call``).
    format_
        The body's ``response_format`` or ``text.format``.
    is_bare
        Whether the request has neither a system or developer message nor ``instructions``.
    answers
        The number of earlier answers.
    """

    model: str
    endpoint: str
    tools: Sequence[Any]
    choice: Any
    format_: Mapping[str, Any]
    is_bare: bool
    answers: int

    @property
    def functions(self) -> list[Spec]:
        """The tools that are functions."""
        return [function for tool in self.tools if (function := function_of(tool)) is not None]

    @property
    def schema(self) -> Spec | None:
        """The output schema with its name; None if there is none."""
        if self.format_.get("type", "text") != "json_schema":
            return None
        # Chat completions nest the schema and its name.
        return self.format_.get("json_schema") or self.format_


def attached(given: Attachments, counter: TokenCounter, system: str | None) -> Parts:
    """Count what tools and output format add to a request.

    Parameters
    ----------
    system
        The first system or developer message, or ``instructions``.
    """
    if not given.tools and given.format_.get("type", "text") == "text":
        return Parts()
    # Mostly the same in all rows.
    text, parts = _rendered(json.dumps(vars(given), default=str), counter)
    after = system if given.endpoint == EndpointPath.CHAT else None
    added = _added(text, after, counter)
    error = math.ceil(added * counter.relative_error)
    return Parts((), added, error, error) + parts


@functools.lru_cache(maxsize=64)
def _rendered(given_json: str, counter: TokenCounter) -> tuple[str, Parts]:
    """Return the text of tools and schema, and the tokens around it."""
    given = Attachments(**json.loads(given_json))
    functions, schema = given.functions, given.schema
    blocks, parts = [], Parts()
    if functions:
        blocks.append(tools_block(functions))
        parts += _around_functions(given, functions, counter)
    if schema is not None:
        blocks.append(schema_block(schema))
        parts += _around_schema(given, schema, counter)
    if given.format_.get("type", "text") not in {"text", "json_schema"}:
        more = framing().margins.json_mode
        parts += about(_JSON_MODE.format(more=more), more=more)
    if len(functions) < len(given.tools):
        parts += _hosted([tool for tool in given.tools if function_of(tool) is None], counter)
    return "\n\n".join(blocks), parts


clear_rendered = _rendered.cache_clear
"""For a change of `framing`, which the cache does not see."""


@functools.lru_cache(maxsize=64)
def _added(text: str, system: str | None, counter: TokenCounter) -> int:
    """Count a string, after the system message if there is one."""
    if not text:
        return 0
    if system is None:
        return counter.count_one(text)
    return counter.count_one(f"{system}\n\n{text}") - counter.count_one(system)


def _around_functions(
    given: Attachments, functions: Sequence[Spec], counter: TokenCounter
) -> Parts:
    around = frame("tools", given.model, given.endpoint)
    tokens = around["request"] + around["bare"] * (given.is_bare)
    tokens += around["undescribed"] * (not functions[0].get("description"))
    tokens += around["uncommented"] * uncommented_objects(functions)
    forced = _forced(given.choice)
    if around.required and given.choice == "required" and len(functions) == 1:
        forced = functions[0].get("name")
    if forced is not None and "forced" in around.constants:
        tokens += around["forced"] + counter.count_one(f" to=functions.{forced}")
    error = math.ceil(counter.count_one(tools_block(functions)) * around.share)
    fewer, more = around.fewer + error, around.more + error
    doubts = framing().doubts
    comments = int(sum(counter.count(repeated_comments(functions)) + doubts.around_comment))
    tokens += around["repeated"] * comments
    if around["repeated"]:
        fewer += comments
    else:
        more += comments
    more += doubts.nullable * has_nullable(functions)
    if (state := other_state(given.model, given.endpoint)) is not None:
        more += state.tools
    return about(_FUNCTIONS.format(more=more), fewer=fewer, more=more, overhead=tokens)


def _forced(choice: Any) -> Any:
    """Return the function that the model must call."""
    named = as_mapping(choice)
    return as_mapping(named.get("function")).get("name") or named.get("name")


def _around_schema(given: Attachments, schema: Spec, counter: TokenCounter) -> Parts:
    around = frame("schema", given.model, given.endpoint)
    name = counter.count_one(str(schema.get("name", "")))
    # Beside functions, only earlier answers count.
    alone = not given.functions
    tokens = (around["request"] + around["bare"] * (given.is_bare)) * alone
    if "header" in around.constants:
        tokens += (around.headers * alone + given.answers) * (around["header"] + name)
    parts = about(
        _SCHEMA.format(more=around.more), fewer=around.fewer, more=around.more, overhead=tokens
    )
    most = counter.count_one(schema_block(schema, with_unrecorded=True))
    most -= counter.count_one(schema_block(schema))
    return parts + about(_UNRECORDED.format(more=most), more=most) if most > 0 else parts


def _hosted(tools: Sequence[Any], counter: TokenCounter) -> Parts:
    """Count what is known of tools that are not functions."""
    recorded = framing().hosted.tokens
    tokens = sum(recorded.get(str(as_mapping(tool).get("type")), 0) for tool in tools)
    tokens += int(sum(counter.count([text for tool in tools for text in custom_texts(tool)])))
    return about(_NOT_FUNCTIONS, fewer=tokens, more=None, overhead=tokens)
