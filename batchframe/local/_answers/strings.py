"""A string that a JSON schema's `format`, `pattern` and lengths allow.

Comes in: a string schema and dice. Goes out: a string; for a pattern the best effort. Must not know
where the string goes.
"""

from __future__ import annotations

import re
from collections.abc import Callable

# The standard library's parser of patterns has no public name, and a second parser could only
# disagree with it. Patterns that it cannot give back fall through to a plain string.
from re import _parser  # type: ignore[attr-defined]
from typing import Any, Final

from batchframe.local._answers.dice import Dice

_ATTEMPTS: Final = 8
_REPEATS: Final = 3
_PRINTABLE: Final = range(32, 127)


def string(schema: dict[str, Any], dice: Dice) -> str:
    """Return a string that `schema` allows.

    Examples
    --------
    >>> from batchframe.local._answers.dice import Dice
    >>> string({"type": "string", "maxLength": 9}, Dice(b"any digest"))
    'simulated'
    """
    low = int(schema.get("minLength", 0))
    high = schema.get("maxLength")
    if "pattern" in schema:
        return _of_pattern(str(schema["pattern"]), low, high, dice)
    made = _FORMATS.get(str(schema.get("format")), _plain)(dice)
    made += dice.hexadecimal(max(0, low - len(made)))
    return made if high is None else made[: int(high)]


def _plain(dice: Dice) -> str:
    return f"simulated {dice.hexadecimal(6)}"


def _date(dice: Dice) -> str:
    return f"20{dice.below(30):02}-{dice.below(12) + 1:02}-{dice.below(28) + 1:02}"


def _time(dice: Dice) -> str:
    return f"{dice.below(24):02}:{dice.below(60):02}:{dice.below(60):02}Z"


def _uuid(dice: Dice) -> str:
    parts = [dice.hexadecimal(digits) for digits in (8, 4, 3, 3, 12)]
    return f"{parts[0]}-{parts[1]}-4{parts[2]}-8{parts[3]}-{parts[4]}"


_FORMATS: Final[dict[str, Callable[[Dice], str]]] = {
    "date": _date,
    "time": _time,
    "date-time": lambda dice: f"{_date(dice)}T{_time(dice)}",
    "duration": lambda dice: f"P{dice.below(30) + 1}D",
    "email": lambda dice: f"simulated.{dice.hexadecimal(6)}@example.com",
    "hostname": lambda dice: f"{dice.hexadecimal(6)}.example.com",
    "uri": lambda dice: f"https://example.com/simulated/{dice.hexadecimal(6)}",
    "uuid": _uuid,
    "ipv4": lambda dice: f"192.0.2.{dice.below(256)}",
    "ipv6": lambda dice: f"2001:db8::{dice.hexadecimal(4)}",
}


def _of_pattern(pattern: str, low: int, high: int | None, dice: Dice) -> str:
    try:
        parsed = _parser.parse(pattern)
        matches = re.compile(pattern).search
    except (re.error, OverflowError, RecursionError):
        return string({"minLength": low} | ({} if high is None else {"maxLength": high}), dice)
    made = ""
    for _ in range(_ATTEMPTS):
        made = _sequence(parsed, dice, {}, low)
        if matches(made) and low <= len(made) and (high is None or len(made) <= high):
            break
    return made


def _sequence(items: Any, dice: Dice, groups: dict[int, str], low: int) -> str:
    return "".join(_item(str(code), argument, dice, groups, low) for code, argument in items)


def _item(code: str, argument: Any, dice: Dice, groups: dict[int, str], low: int) -> str:
    if code == "LITERAL":
        return chr(argument)
    if code == "ANY":
        return chr(dice.pick([*_PRINTABLE]))
    if code in {"IN", "NOT_LITERAL", "CATEGORY"}:
        allowed = _characters(code, argument)
        return chr(dice.pick(allowed)) if allowed else ""
    if code == "BRANCH":
        return _sequence(dice.pick(argument[1]), dice, groups, low)
    if code in {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}:
        least, most, items = argument
        # A string with a least length needs room to grow in an open repetition.
        most = min(int(most), int(least) + max(_REPEATS, low))
        times = int(least) + (dice.below(most - int(least) + 1) if most > least else 0)
        return "".join(_sequence(items, dice, groups, low) for _ in range(times))
    if code == "SUBPATTERN":
        made = _sequence(argument[-1], dice, groups, low)
        groups[argument[0]] = made
        return made
    if code == "ATOMIC_GROUP":
        return _sequence(argument, dice, groups, low)
    return groups.get(argument, "") if code == "GROUPREF" else ""


def _characters(code: str, argument: Any) -> list[int]:
    if code != "IN":
        argument = [(code, argument)]
    negated = str(argument[0][0]) == "NEGATE"
    inside: set[int] = set()
    for kind, value in argument:
        name = str(kind)
        if name == "LITERAL":
            inside.add(value)
        elif name == "NOT_LITERAL":
            inside.update(set(_PRINTABLE) - {value})
        elif name == "RANGE":
            inside.update(range(value[0], min(value[1], value[0] + 255) + 1))
        elif name == "CATEGORY":
            inside.update(_CATEGORIES.get(str(value), ()))
    return sorted(set(_PRINTABLE) - inside if negated else inside)


def _category(pattern: str) -> frozenset[int]:
    return frozenset(code for code in _PRINTABLE if re.match(pattern, chr(code)))


_CATEGORIES: Final = {
    "CATEGORY_DIGIT": _category(r"\d"),
    "CATEGORY_NOT_DIGIT": _category(r"\D"),
    "CATEGORY_WORD": _category(r"\w"),
    "CATEGORY_NOT_WORD": _category(r"\W"),
    "CATEGORY_SPACE": _category(r"\s"),
    "CATEGORY_NOT_SPACE": _category(r"\S"),
}
