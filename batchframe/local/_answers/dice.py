"""A stream of small decisions that follows from bytes alone, the same on every machine.

Comes in: a digest. Goes out: integers. Must not know what is decided. The standard generator is not
used because seeding it costs more than a whole simulated answer.
"""

from __future__ import annotations

from typing import Final, TypeVar

_MASK: Final = (1 << 64) - 1
_DRAW_BITS: Final = 31

_T = TypeVar("_T")


class Dice:
    """A linear congruential generator (Knuth's MMIX constants), seeded with a digest.

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
        drawn = self._draw()
        for _ in range(limit.bit_length() // _DRAW_BITS):
            drawn = (drawn << _DRAW_BITS) | self._draw()
        return drawn % limit

    def pick(self, options: list[_T]) -> _T:
        """Return one of `options`."""
        return options[self.below(len(options))]

    def hexadecimal(self, digits: int) -> str:
        """Return a number of hexadecimal digits."""
        return "".join("0123456789abcdef"[self.below(16)] for _ in range(digits))

    def _draw(self) -> int:
        self._state = (self._state * 6364136223846793005 + 1442695040888963407) & _MASK
        return self._state >> (64 - _DRAW_BITS)
