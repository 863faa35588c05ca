"""Tool calls of the simulated model.

It calls a tool only if the request forces one: ``tool_choice="required"`` or a named tool. With
"auto" it writes text.
"""

from __future__ import annotations

from typing import Any

import msgspec

from batchframe.local._answers.dice import Dice
from batchframe.local._answers.schema import SchemaError, sampler
from batchframe.local._problems import Problem


def tool_call(body: dict[str, Any], dice: Dice) -> tuple[str, str] | None:
    """Return the name and arguments of the forced tool call; None without one.

    Raises
    ------
    Problem
        If the service would reject the request: it names an unknown tool, or has an invalid schema.
    """
    choice = body.get("tool_choice")
    if choice == "required":
        functions = _functions(body)
        if not functions:
            raise Problem.invalid(
                "tool_choice", "'tool_choice' is only allowed when 'tools' are specified."
            )
        return _call(dice.pick(functions), dice)
    if not isinstance(choice, dict) or choice.get("type") != "function":
        return None
    name = choice.get("function", choice).get("name")
    for function in _functions(body):
        if function.get("name") == name:
            return _call(function, dice)
    raise Problem.invalid("tool_choice", f"Tool choice '{name}' not found in 'tools' parameter.")


def _functions(body: dict[str, Any]) -> list[dict[str, Any]]:
    # Chat completions nest the function one level deeper than responses.
    return [
        tool.get("function", tool) for tool in body.get("tools") or () if tool["type"] == "function"
    ]


def _call(function: dict[str, Any], dice: Dice) -> tuple[str, str]:
    schema = function.get("parameters")
    try:
        arguments = {} if not schema else sampler(msgspec.json.encode(schema)).sample(dice)
    except SchemaError as error:
        message = f"Invalid schema for function '{function.get('name')}': {error}."
        raise Problem.invalid("tools", message, "invalid_function_parameters") from None
    return str(function.get("name")), msgspec.json.encode(arguments).decode()
