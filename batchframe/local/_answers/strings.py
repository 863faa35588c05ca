"""Random strings for a JSON schema's `format`, `pattern` and lengths.

Patterns are best effort: lookarounds, which strict mode does not allow, may not be satisfied.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any, Final

import rstr

from batchframe.local._answers.dice import Dice

_ATTEMPTS: Final = 8
_REPEATS: Final = 3
_CHARACTERS: Final = 256


def string(schema: dict[str, Any], dice: Dice) -> str:
    """Return a random string that is valid under `schema`.

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
    text = _FORMATS.get(str(schema.get("format")), _plain)(dice)
    text += dice.hexadecimal(max(0, low - len(text)))
    return text if high is None else text[: int(high)]


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
    # To reach `minLength`, an unbounded repetition may need that many repeats.
    generator = rstr.Rstr(_DiceRandom(dice, max(_REPEATS, low)))
    text = ""
    try:
        matches = re.compile(pattern).search
        for _ in range(_ATTEMPTS):
            text = generator.xeger(pattern)
            if matches(text) and low <= len(text) and (high is None or len(text) <= high):
                break
    except (ArithmeticError, LookupError, RecursionError, re.error):
        # Python's `re` or rstr does not support the pattern; fall back to a plain string.
        return string({"minLength": low} | ({} if high is None else {"maxLength": high}), dice)
    return text


class _DiceRandom(random.Random):
    """Adapter of `Dice` to rstr, with at most `repeats` optional repetitions."""

    def __init__(self, dice: Dice, repeats: int) -> None:
        super().__init__(0)
        self._dice = dice
        self._repeats = repeats

    def choice(self, seq: Any) -> Any:
        if isinstance(seq[0], str):
            # For a negated class rstr passes characters in set order, which differs between
            # processes; a wide range includes surrogates.
            options = sorted(seq[:_CHARACTERS])
            return self._dice.pick([*filter(str.isprintable, options)] or options)
        return self._dice.pick(seq)

    def randint(self, a: int, b: int) -> int:
        return a + self._dice.below(max(0, min(b - a, self._repeats)) + 1)
