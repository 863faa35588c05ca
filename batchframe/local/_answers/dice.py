"""Deterministic random choices, seeded with a digest.

Seeding the generator of the standard library takes longer than a simulated answer.
"""

from __future__ import annotations

from typing import Final, TypeVar

_MASK: Final = (1 << 64) - 1
_FACTOR: Final = 6364136223846793005
_INCREMENT: Final = 1442695040888963407
_DRAW_BITS: Final = 31
_UNUSED_BITS: Final = 64 - _DRAW_BITS
_SMALL: Final = 1 << (_DRAW_BITS - 1)

_T = TypeVar("_T")


class Dice:
    """Linear congruential generator seeded with a digest.

    It uses Knuth's MMIX constants.

    Examples
    --------
    >>> dice = Dice(b"any digest")
    >>> [dice.below(6) for _ in range(5)]
    [0, 3, 3, 4, 5]
    """

    __slots__ = ("_state",)

    def __init__(self, seed: bytes) -> None:
        self._state = int.from_bytes(seed[:8], "big")

    def below(self, limit: int) -> int:
        """Return an integer from 0 to `limit` - 1."""
        if limit < _SMALL:
            # Most draws; a method call would take twice as long.
            self._state = state = (self._state * _FACTOR + _INCREMENT) & _MASK
            return (state >> _UNUSED_BITS) % limit
        bits = self._draw()
        for _ in range(limit.bit_length() // _DRAW_BITS):
            bits = (bits << _DRAW_BITS) | self._draw()
        return bits % limit

    def pick(self, options: list[_T]) -> _T:
        """Return one of `options`."""
        return options[self.below(len(options))]

    def hexadecimal(self, digits: int) -> str:
        """Return a string of `digits` hexadecimal digits."""
        return "".join("0123456789abcdef"[self.below(16)] for _ in range(digits))

    def _draw(self) -> int:
        self._state = (self._state * _FACTOR + _INCREMENT) & _MASK
        return self._state >> _UNUSED_BITS
