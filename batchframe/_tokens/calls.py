"""Earlier function calls in a conversation, and their results.

Recorded: the arguments are written as compact JSON. On ``/v1/chat/completions``, several calls in
one answer are written as one call of ``multi_tool_use.parallel``, and their results as one list.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from batchframe._base.endpoint_paths import EndpointPath
from batchframe._base.lenient_json import as_mapping
from batchframe._tokens.framing import frame, framing
from batchframe._tokens.parts import Parts, about

Entry = Mapping[str, Any]

_CALLS: Final = "Earlier function calls and their results are approximate."
_TEXTS: Final = frozenset({"text", "input_text", "output_text"})


@dataclass(frozen=True)
class Call:
    """One call of a function, with its result once there is one."""

    name: str
    arguments: str
    result: str | None
    identified: bool


@dataclass
class Turn:
    """The calls of one answer, and the identifiers that their results name."""

    calls: list[Entry]
    ids: list[Any]
    results: dict[Any, str] = field(default_factory=dict)

    def parsed(self) -> list[Call]:
        """Return the calls, each with its result."""
        return [
            Call(
                full_name(call),
                _compact(call.get("arguments")),
                self.results.get(identifier),
                bool(call.get("id")),
            )
            for call, identifier in zip(self.calls, self.ids, strict=True)
        ]


def full_name(call: Entry) -> str:
    """Return the name of a called function, after its namespace if it has one."""
    return ".".join(str(call[key]) for key in ("namespace", "name") if call.get(key))


def grouped(entries: Iterable[Entry]) -> list[Entry | Turn]:
    """Combine calls with their results; keep other messages in place."""
    result: list[Entry | Turn] = []
    waiting: dict[Any, Turn] = {}
    previous: Any = None
    for entry in entries:
        kind = entry.get("type", "message")
        identifier = entry.get("call_id") or entry.get("tool_call_id") or entry.get("name")
        text = _result_text(entry)
        if text is not None and identifier in waiting:
            waiting.pop(identifier).results[identifier] = text
        elif kind == "function_call":
            if previous != kind:
                result.append(Turn([], []))
            turn = result[-1]
            if isinstance(turn, Turn):
                turn.calls.append(entry)
                turn.ids.append(identifier)
                waiting[identifier] = turn
        else:
            result.append(entry)
            if new_calls := _calls_of(entry):
                turn = Turn([as_mapping(call.get("function")) or call for call in new_calls], [])
                turn.ids += [call.get("id") or call.get("name") for call in new_calls]
                waiting |= dict.fromkeys(turn.ids, turn)
                result.append(turn)
        previous = kind
    return result


def _calls_of(entry: Entry) -> list[Entry]:
    """Return the calls of an assistant's message."""
    calls = [as_mapping(call) for call in entry.get("tool_calls") or ()]
    return [*calls, entry["function_call"]] if entry.get("function_call") else calls


def _result_text(entry: Entry) -> str | None:
    """Return the text of a result; None for other entries and content."""
    if entry.get("type") == "function_call_output":
        content = entry.get("output")
    elif entry.get("role") in {"tool", "function"}:
        content = entry.get("content")
    else:
        return None
    if isinstance(content, str):
        return content
    parts = [as_mapping(part) for part in content or ()]
    if not all(part.get("type") in _TEXTS for part in parts):
        return None
    return "".join(str(part.get("text") or "") for part in parts)


def turn_parts(turn: Turn, model: str, endpoint: str) -> Parts:
    """Split the calls of one answer, and their results, into countable parts."""
    around, calls = frame("calls", model, endpoint), turn.parsed()
    several = len(calls) > 1
    results = [call.result for call in calls if call.result is not None]
    further = sum(map(len, results)) // framing().margins.result_characters
    fewer, more = (error * len(calls) + further for error in (around.fewer, around.more))
    tokens = around["turn"] + around["parallel"] * several
    if several and around.merged:
        texts = [_parallel_call(calls)]
        results = [json.dumps(results, ensure_ascii=False)] if results else []
    else:
        texts = [text for call in calls for text in _texts(call, endpoint)]
        tokens += around["call"] * len(calls)
        tokens += around["identified"] * sum(call.identified for call in calls)
    message = frame("text", model, endpoint)["message"]
    texts += [text for result in results for text in ("tool", result)]
    return Parts(tuple(texts), tokens + message * len(results)) + about(
        _CALLS, fewer=fewer, more=more
    )


def _texts(call: Call, endpoint: str) -> list[str]:
    """Return the strings of a call; its result repeats the name."""
    address = f"functions.{call.name}"
    again = call.name if endpoint == EndpointPath.CHAT else address
    return [address, again, call.arguments]


def _parallel_call(calls: Sequence[Call]) -> str:
    uses = [
        {"recipient_name": f"functions.{call.name}", "parameters": _as_json(call.arguments)}
        for call in calls
    ]
    return json.dumps({"tool_uses": uses}, ensure_ascii=False, separators=(",", ":"))


def _as_json(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return text


def _compact(arguments: Any) -> str:
    """Format arguments as the service does; keep those that are not JSON."""
    text = str(arguments or "")
    value = _as_json(text)
    return text if value is text else msgspec.json.encode(value).decode()
