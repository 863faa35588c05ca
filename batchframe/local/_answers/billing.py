"""Billed tokens of requests and answers, by the server's own table.

``framing.toml`` is fitted to recorded usage by ``python -m tools.framing``. Nothing of it comes
from the code that estimates, so a local run can contradict an estimate.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

import msgspec

from batchframe.local._answers.image_tiles import file_tokens, image_tokens
from batchframe.local._answers.rendering import schema_block, tools_block
from batchframe.local._answers.tokenizer import SHORT, count

CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
_SYSTEM = ("system", "developer")
_INPUT, _OUTPUT = ("input_tokens", "prompt_tokens"), ("output_tokens", "completion_tokens")
# The keys of most messages.
_PLAIN = frozenset({"role", "content"})
# Objects of a namespace: without a comment on the first field, and with one above the object.
_BARE = re.compile(r"\{\n(?!//|\}|\n)")
_COMMENTED = re.compile(r"// [^\n]*\n\{\n")


@dataclass(frozen=True)
class Family:
    """A family of models: name, encoding and rates of image tokens."""

    name: str
    encoding: str
    images: str


@dataclass(frozen=True)
class Measures:
    """The parts of a request that are billed, as numbers.

    Attributes
    ----------
    tokens
        Tokens of all strings, images, calls and their results.
    counts
        Numbers that are multiplied by the constants of the framing table.
    """

    tokens: int
    counts: Mapping[str, int]


@lru_cache(maxsize=256)
def family_of(model: str) -> Family:
    """Return the first family whose pattern fits the start of a model's name.

    Examples
    --------
    >>> family_of("gpt-5.6-luna").name, family_of("gpt-4.1").name
    ('gpt-5.x', 'plain')
    """
    name = model.lower().removeprefix("ft:").rsplit("/", 1)[-1]
    family, images = (
        next(row for row in _table()[kind] if re.match(row["models"], name))
        for kind in ("family", "images")
    )
    return Family(family["name"], family["encoding"], images["rates"])


def input_tokens(body: Mapping[str, Any]) -> int:
    """Return the billed input tokens of a request to any endpoint.

    Examples
    --------
    >>> input_tokens({"model": "gpt-4.1", "messages": [{"role": "user", "content": "Hi"}]})
    8
    >>> input_tokens({"model": "text-embedding-3-small", "input": ["Hi", "there"]})
    2
    """
    family = family_of(str(body.get("model")))
    if isinstance(body.get("messages"), list):
        return _framed(body, family, CHAT)
    texts = body.get("prompt") if body.get("input") is None else body["input"]
    if body.get("input") is None or str(body.get("model")).startswith("text-embedding"):
        return _plain(texts, family)
    return _framed(body, family, RESPONSES)


def usage_parts(body: dict[str, Any]) -> tuple[int, int, int, int]:
    """Return the input, cached, output and reasoning tokens of a body.

    Examples
    --------
    >>> usage_parts({"usage": {"prompt_tokens": 7, "completion_tokens": 2}})
    (7, 0, 2, 0)
    """
    usage = body.get("usage")
    if not isinstance(usage, dict):
        return 0, 0, 0, 0
    return (
        _number(usage, *_INPUT),
        _detail(usage, "cached_tokens", *_INPUT),
        _number(usage, *_OUTPUT),
        _detail(usage, "reasoning_tokens", *_OUTPUT),
    )


def count_input_tokens(body: dict[str, Any]) -> int:
    """Count a request's input tokens by the server's own framing table.

    Examples
    --------
    >>> count_input_tokens({"model": "gpt-4.1", "messages": [{"role": "user", "content": "Hi"}]})
    8
    >>> count_input_tokens({"model": "gpt-4.1", "input": "Hi"})
    8
    """
    # The body may be malformed; validation rejects it elsewhere.
    with suppress(AttributeError, LookupError, TypeError, ValueError):
        return input_tokens(body)
    return text_tokens(str(body))


def inputs_of(value: Any) -> list[Any]:
    """Return the inputs of an embedding request; a list of token ids is one.

    Examples
    --------
    >>> inputs_of("one"), inputs_of(["one", "two"]), inputs_of([101, 102])
    (['one'], ['one', 'two'], [[101, 102]])
    """
    if isinstance(value, list) and value and not isinstance(value[0], int):
        return value
    return [value]


def text_tokens(text: str) -> int:
    """Approximate the tokens of a string as a quarter of its characters."""
    return -(-len(text) // 4)


def output_tokens(
    body: Mapping[str, Any], endpoint: str, texts: Sequence[str], calls: Sequence[tuple[str, str]]
) -> int:
    """Return the billed tokens of an answer: texts or tool calls.

    Examples
    --------
    >>> output_tokens({"model": "gpt-5.6-luna"}, "/v1/responses", ["Hello"], [])
    5
    """
    family = family_of(str(body.get("model")))
    named = [text for call in calls for text in call]
    tokens = sum(count(text, family.encoding) for text in [*texts, *named])
    return tokens + answer_frame(body, endpoint, len(calls)) * max(1, len(texts))


def answer_frame(body: Mapping[str, Any], endpoint: str, calls: int = 0) -> int:
    """Return the tokens billed for an answer besides its text or calls.

    Examples
    --------
    >>> answer_frame({"model": "gpt-5.6-luna"}, "/v1/responses")
    4
    """
    if endpoint not in {CHAT, RESPONSES}:
        return 0
    family = family_of(str(body.get("model")))
    frame = _frame("output", family.name, endpoint)
    if calls:
        return frame["call"] if calls == 1 else frame["calls"] + frame["each"] * calls
    spec = format_of(body)
    if spec is not None:
        name = count(str(spec.get("name")), family.encoding)
        return frame["schema"] + frame["schema_names"] * name
    return frame["tools" if body.get("tools") or body.get("functions") else "text"]


def measures(
    body: Mapping[str, Any], endpoint: str, family: Family, dropped: Collection[str]
) -> Measures:
    """Measure the messages of a chat completion, or the items of a response.

    Parameters
    ----------
    dropped
        Keywords of an output schema that are not billed.
    """
    functions = _functions(body.get("tools"))
    if endpoint == CHAT:
        entries, functions = list(body["messages"]), [*functions, *(body.get("functions") or ())]
    else:
        given = body.get("input") or ""
        entries = [{"role": "user", "content": given}] if isinstance(given, str) else list(given)
        if body.get("instructions") is not None:
            entries = [{"role": "system", "content": body["instructions"]}, *entries]
    entries = [entry for entry in entries if isinstance(entry, Mapping)]
    return _measured(format_of(body), entries, functions, family, dropped, forced=_forced(body))


def _forced(body: Mapping[str, Any]) -> str | None:
    """Return the name of the function that the model must call."""
    choice = body.get("tool_choice")
    if not isinstance(choice, Mapping) or choice.get("type") != "function":
        return None
    named = choice.get("function", choice)
    return str(named.get("name")) if isinstance(named, Mapping) else None


def _measured(
    spec: Mapping[str, Any] | None,
    entries: list[Mapping[str, Any]],
    functions: list[Mapping[str, Any]],
    family: Family,
    dropped: Collection[str],
    *,
    forced: str | None,
) -> Measures:
    encoding = family.encoding
    first = next((_text(entry) for entry in entries if entry.get("role") in _SYSTEM), None)
    parts = [_entry(entry, family) for entry in entries]
    answers = sum(entry.get("role") == "assistant" for entry in entries)
    counts = {
        "reply": 1,
        "message": sum("role" in entry for entry in entries),
        "name": sum(bool(entry.get("name")) and "role" in entry for entry in entries),
        "answer": answers,
        "call": sum(calls for _, calls in parts),
        "result": sum(
            entry.get("role") == "tool" or str(entry.get("type")).endswith("_output")
            for entry in entries
        ),
    }
    if forced is not None:
        counts |= {"forced": 1, "forced_names": count(forced, encoding)}
    tokens = sum(tokens for tokens, _ in parts)
    if spec is not None or functions:
        written = msgspec.json.encode((spec, functions))
        measure = _shared_block if len(first or "") <= SHORT else _block
        block = measure(written, first or "", encoding, frozenset(dropped))
        tokens += block.tokens
        counts |= _block_counts(block, spec is not None, bool(functions), int(first is None))
        counts |= {
            "schema_answer": answers if spec is not None else 0,
            "schema_answer_names": answers * block.counts["schema_names"],
        }
    return Measures(tokens, counts)


def _block(written: bytes, system: str, encoding: str, dropped: frozenset[str]) -> Measures:
    """Measure an output schema and functions."""
    spec, functions = msgspec.json.decode(written)
    blocks = [tools_block(functions)] if functions else []
    if spec is not None:
        blocks.append(schema_block(spec, dropped))
    added = "\n\n".join(blocks)
    joined = f"{system}\n\n{added}" if system else added
    return Measures(
        count(joined, encoding) - count(system, encoding),
        {
            "schema_names": 0 if spec is None else count(str(spec.get("name")), encoding),
            "object_bare": len(_BARE.findall(added)) if functions else 0,
            "object_commented": len(_COMMENTED.findall(added)) if functions else 0,
        },
    )


# Most lines of a batch share them.
_shared_block = lru_cache(maxsize=256)(_block)


def _block_counts(block: Measures, schema: bool, tools: bool, bare: int) -> dict[str, int]:  # noqa: FBT001
    return {
        **block.counts,
        "schema": int(schema),
        "schema_bare": bare if schema else 0,
        "schema_with_tools": int(schema and tools),
        "tools": int(tools),
        "tools_bare": bare if tools else 0,
    }


def _framed(body: Mapping[str, Any], family: Family, endpoint: str) -> int:
    frame = _frame("input", family.name, endpoint)
    parts = measures(body, endpoint, family, _dropped())
    return parts.tokens + framing(parts, frame)


def framing(measures: Measures, constants: Mapping[str, int]) -> int:
    """Multiply the numbers of a request by the constants of a table."""
    return sum(constants.get(name, 0) * number for name, number in measures.counts.items())


def _entry(entry: Mapping[str, Any], family: Family) -> tuple[int, int]:
    """Return the tokens of a message or item, and the number of its calls."""
    encoding = family.encoding
    content = entry.get("content")
    if isinstance(content, str) and _PLAIN.issuperset(entry):
        return count(content, encoding), 0
    tokens = sum(count(text, encoding) for text in _texts(entry))
    if entry.get("role") and entry.get("name"):
        tokens += count(str(entry["name"]), encoding)
    calls = list(_calls(entry))
    tokens += sum(count(name, encoding) + count(given, encoding) for name, given in calls)
    parts = entry.get("content")
    if isinstance(parts, list):
        given = [part for part in parts if isinstance(part, Mapping)]
        tokens += sum(image_tokens(part, family.images) + file_tokens(part) for part in given)
    return tokens, len(calls)


def _calls(entry: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    calls = entry.get("tool_calls") or ()
    if entry.get("type") == "function_call":
        calls = [entry]
    for call in calls:
        function = call.get("function", call)
        yield str(function.get("name", "")), str(function.get("arguments", ""))


def _texts(entry: Mapping[str, Any]) -> Iterator[str]:
    for content in (entry.get("content"), entry.get("output"), entry.get("refusal")):
        if isinstance(content, str):
            yield content
        for part in content if isinstance(content, list) else ():
            if isinstance(part, str):
                yield part
            elif isinstance(part, Mapping) and isinstance(part.get("text"), str):
                yield part["text"]


def _text(entry: Mapping[str, Any]) -> str:
    return "".join(_texts(entry))


def _functions(tools: Any) -> list[Mapping[str, Any]]:
    listed = tools if isinstance(tools, list) else []
    return [
        tool.get("function", tool)
        for tool in listed
        if isinstance(tool, Mapping) and tool.get("type", "function") == "function"
    ]


def format_of(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the output schema of a request with its name."""
    text = body.get("text")
    given = body.get("response_format") or (text.get("format") if isinstance(text, Mapping) else {})
    if not isinstance(given, Mapping) or given.get("type") != "json_schema":
        return None
    spec = given.get("json_schema") or given
    return spec if isinstance(spec, Mapping) else None


def _plain(value: Any, family: Family) -> int:
    """Count the strings and token ids of an embedding or completion request."""
    if isinstance(value, str):
        return count(value, family.encoding)
    values = value if isinstance(value, list) else []
    return sum(1 if isinstance(item, int) else _plain(item, family) for item in values)


def _number(usage: dict[str, Any], *names: str) -> int:
    for name in names:
        value = usage.get(name)
        if isinstance(value, int):
            return value
    return 0


def _detail(usage: dict[str, Any], name: str, *sides: str) -> int:
    for side in sides:
        details = usage.get(f"{side}_details")
        if isinstance(details, dict):
            return _number(details, name)
    return 0


@cache
def _frame(side: str, family: str, endpoint: str) -> Mapping[str, int]:
    rows = (row for row in _table()[side] if (row["family"], row["endpoint"]) == (family, endpoint))
    constants: Mapping[str, int] = next(rows)["constants"]
    return constants


@cache
def _dropped() -> frozenset[str]:
    return frozenset(_table()["dropped"])


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads((files(__package__) / "framing.toml").read_text(encoding="utf-8"))
