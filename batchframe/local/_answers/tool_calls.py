"""Which tool the simulated model calls, and with what arguments.

Comes in: a request body and dice. Goes out: a name and JSON that obeys the tool's parameters, or
nothing. Must not know: response bodies.

Only a tool that must be called is called: ``tool_choice="required"``, or a tool that it names. With
"auto" the simulated model writes its text.
"""

from __future__ import annotations

from typing import Any

import msgspec

from batchframe.local._answers.dice import Dice
from batchframe.local._answers.schema import SchemaError, sampler
from batchframe.local._problems import Problem


def tool_call(body: dict[str, Any], dice: Dice) -> tuple[str, str] | None:
    """Return the name and the arguments of the call that a request demands, if it does.

    Raises
    ------
    Problem
        The service would refuse the request: it names a tool that it does not have, or a schema
        that cannot be read.
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
    # Chat completions hold a function one level deeper than responses.
    return [
        tool.get("function", tool) for tool in body.get("tools") or () if tool["type"] == "function"
    ]


def _call(function: dict[str, Any], dice: Dice) -> tuple[str, str]:
    schema = function.get("parameters")
    try:
        made = {} if not schema else sampler(msgspec.json.encode(schema)).sample(dice)
    except SchemaError as error:
        message = f"Invalid schema for function '{function.get('name')}': {error}."
        raise Problem.invalid("tools", message, "invalid_function_parameters") from None
    return str(function.get("name")), msgspec.json.encode(made).decode()
