"""Tokens of function tools, counted as the TypeScript that models read.

The service renders functions as TypeScript. Sources: the rendering that H. Marr reverse-engineered
in 2023 (openai-chat-tokens) and that OpenAI published in 2025 with its open models
(openai/harmony), and requests recorded with the API's token counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from batchframe._base.lenient_json import as_mapping
from batchframe._models.names import is_reasoning
from batchframe._tokens.counter import TokenCounter
from batchframe._tokens.messages import Parts, about

# The message around the namespace, or the system message if there is one.
_FRAME: Final = 9
_SHARED: Final = 4
# Recorded: two fewer on /v1/responses, and one fewer for a function that opens without a comment.
_RESPONSES_FRAME: Final = -2
# openai/harmony adds this to the system message of reasoning models; recorded for gpt-5.2, gpt-5.4
# and gpt-5.6: sixteen tokens more than for the others.
_REASONING: Final = "\nCalls to these tools must go to the commentary channel: 'functions'."
# Recorded: the wrapper of several tools that may be called in parallel.
_PARALLEL: Final = 84
# Recorded once, gpt-4.1: the description of the service's own search tool.
_BUILT_IN: Final[Mapping[str, int]] = {"web_search": 294, "web_search_preview": 294}
# The error was at most an eighth in forty recorded requests with functions.
_RELATIVE_ERROR: Final = 0.125
_DEEPEST: Final = 32

Spec = Mapping[str, Any]
_FUNCTIONS: Final = (
    "Tools are counted as TypeScript, as the service renders functions (within an eighth; 5% in "
    "total over recorded requests)."
)
_NOT_FUNCTIONS: Final = (
    "The tokens of hosted tools, such as web_search, are not published: about 300 are counted for "
    "a search tool, as recorded, and none for others."
)


def tool_tokens(
    tools: Sequence[Any], *, counter: TokenCounter, model: str, has_system: bool, responses: bool
) -> Parts:
    """Approximate the tokens that tools add to a request.

    Parameters
    ----------
    tools
        The body's ``tools``, or its older ``functions``.
    counter
        Counts in the model's encoding.
    has_system
        Whether the request has a system or developer message, or ``instructions``.
    responses
        Whether the request is one of ``/v1/responses``.

    Examples
    --------
    >>> from batchframe._tokens.counter import token_counter
    >>> look = {"type": "function", "name": "look", "parameters": {"type": "object"}}
    >>> counter = token_counter("gpt-4o")
    >>> tool_tokens([look], counter=counter, model="gpt-4o", has_system=False, responses=False)
    Parts(texts=(), overhead=23, fewer=8, more=8, notes=('Tools are counted as TypeScript, ...
    """
    if not tools:
        return Parts()
    functions = [function for tool in tools if (function := _function(tool)) is not None]
    others = [tool for tool in tools if _function(tool) is None]
    tokens = 0
    if functions:
        tokens = counter.count_one(namespace(functions)) + _FRAME
        tokens += _RESPONSES_FRAME * responses - _SHARED * has_system
        tokens -= sum(map(_opens_without_comment, functions))
        if is_reasoning(model):
            tokens += counter.count_one(_REASONING)
    built_in = [_BUILT_IN.get(str(as_mapping(tool).get("type"))) for tool in others]
    tokens += sum(of_tool or 0 for of_tool in built_in)
    error = max(8, round(tokens * _RELATIVE_ERROR))
    more: int | None = error + (_PARALLEL if len(functions) > 1 and is_reasoning(model) else 0)
    note = _FUNCTIONS if functions else ""
    if others:
        more = None if None in built_in else error + sum(of_tool or 0 for of_tool in built_in)
        note = f"{note} {_NOT_FUNCTIONS}".strip()
    return about(note, fewer=error, more=more, overhead=tokens)


def namespace(functions: Sequence[Spec]) -> str:
    r"""Render functions as the TypeScript that a model reads.

    Examples
    --------
    >>> place = {"type": "string", "description": "A city"}
    >>> unit = {"enum": ["C", "F"]}
    >>> parameters = {"properties": {"place": place, "unit": unit}, "required": ["place"]}
    >>> print(namespace([{"name": "look", "description": "Look out", "parameters": parameters}]))
    namespace functions {
    <BLANKLINE>
    // Look out
    type look = (_: {
    // A city
    place: string,
    unit?: "C" | "F",
    }) => any;
    <BLANKLINE>
    } // namespace functions
    """
    lines = ["namespace functions {", ""]
    for function in functions:
        parameters = as_mapping(function.get("parameters"))
        lines += _comment(function.get("description"))
        lines.append(f"type {function.get('name')} = ({_argument(parameters)}) => any;")
        lines.append("")
    return "\n".join([*lines, "} // namespace functions"])


def _argument(parameters: Spec) -> str:
    if not parameters.get("properties"):
        return ""
    # Recorded on /v1/responses: the title of the root is rendered, too.
    title = "".join(f"{line}\n" for line in _comment(parameters.get("title")))
    return f"_: {title}{_type(parameters, parameters, 0)}"


def _opens_without_comment(function: Spec) -> bool:
    """Return whether a function's first property has no comment above it."""
    parameters = as_mapping(function.get("parameters"))
    first = next(iter(as_mapping(parameters.get("properties")).values()), None)
    if first is None:
        return False
    return parameters.get("title") is not None or not as_mapping(first).get("description")


def _function(tool: Any) -> Spec | None:
    """Return a tool's function, in either endpoint's format, or None."""
    inside = as_mapping(tool).get("function")
    if isinstance(inside, Mapping):
        return inside
    flat = as_mapping(tool)
    return flat if "name" in flat and flat.get("type", "function") == "function" else None


def _type(schema: Spec, root: Spec, depth: int) -> str:
    schema = _resolve(schema, root)
    if depth > _DEEPEST:
        return "any"
    if isinstance(schema.get("enum"), list):
        return " | ".join(map(_literal, schema["enum"]))
    if "const" in schema:
        return _literal(schema["const"])
    for key in ("anyOf", "oneOf"):
        if isinstance(schema.get(key), list):
            return " | ".join(_type(as_mapping(option), root, depth + 1) for option in schema[key])
    kind = schema.get("type")
    if isinstance(kind, list):
        return " | ".join(_type({**schema, "type": option}, root, depth + 1) for option in kind)
    if kind == "object" or (kind is None and "properties" in schema):
        return "\n".join(["{", *_properties(schema, root, depth), "}"])
    if kind == "array":
        items = schema.get("items")
        return f"{_type(items, root, depth + 1)}[]" if isinstance(items, Mapping) else "any[]"
    return {"integer": "number", None: "any"}.get(kind, str(kind))


def _properties(schema: Spec, root: Spec, depth: int) -> Iterator[str]:
    required = schema.get("required") or ()
    for name, raw in as_mapping(schema.get("properties")).items():
        node = as_mapping(raw)
        # The titles that Pydantic writes are rendered, too.
        yield from _comment(node.get("title"))
        yield from _comment(node.get("description"))
        mark = "" if name in required else "?"
        default = f" // default: {_literal(node['default'])}" if "default" in node else ""
        yield f"{name}{mark}: {_type(node, root, depth + 1)},{default}"


def _comment(text: Any) -> list[str]:
    return [f"// {line}" for line in text.splitlines()] if isinstance(text, str) else []


def _resolve(schema: Spec, root: Spec) -> Spec:
    """Resolve a reference into the schema's own definitions."""
    for _ in range(_DEEPEST):
        path = schema.get("$ref")
        if not isinstance(path, str):
            return schema
        node: Any = root
        for key in path.removeprefix("#/").split("/"):
            node = as_mapping(node).get(key)
        schema = as_mapping(node)
    return {}


def _literal(value: Any) -> str:
    return msgspec.json.encode(value).decode()
