"""The parts of a request line that change with the row, and where their values stand.

Endpoints cut a body at these slots; rendering fills them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from batchframe._recipe.template import Cell, Template


@dataclass(frozen=True)
class JsonColumn:
    """A part of the line whose JSON stands ready in the source column of this name."""

    name: str


@dataclass(frozen=True)
class TextColumn:
    """A part of the line whose text, not yet JSON, is in the source column of this name."""

    name: str


@dataclass(frozen=True)
class MoreItems:
    """What follows the earlier items of a list: one more for each text that the row has.

    Attributes
    ----------
    columns
        The source columns with the texts; where one is null there is no item.
    before, after
        The JSON of an item around its text.
    alone
        Whether there are no earlier items.
    """

    columns: tuple[str, ...]
    before: str
    after: str
    alone: bool = False


Slot = Template | JsonColumn | TextColumn | MoreItems


@dataclass(frozen=True)
class Envelope:
    """A request line from behind its ``custom_id``, cut at the values that change with the row."""

    constants: tuple[bytes, ...]
    slots: tuple[Slot, ...]


REQUEST: Final = "request"
KEPT: Final = Envelope((b"", b""), (JsonColumn(REQUEST),))
"""For requests that stand ready in a column, exactly as they were sent."""
PROMPT = "prompt"
"""The column of a source whose prompts a function made: what each row asks, as JSON."""


def column_name(cell: Cell) -> str:
    """Name the source column that holds `cell`."""
    return f"{cell.column}.{cell.form}"
