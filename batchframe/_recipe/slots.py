"""Slots for the parts of a request line that vary by row.

Endpoints split a body at these slots; rendering fills them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from batchframe._recipe.template import Cell, Template


@dataclass(frozen=True)
class JsonColumn:
    """A slot filled with JSON from the source column of this name."""

    name: str


@dataclass(frozen=True)
class TextColumn:
    """A slot filled with a string from a source column, encoded as JSON."""

    name: str


@dataclass(frozen=True)
class MoreItems:
    """A slot at the end of a list, filled with one item per string.

    Attributes
    ----------
    columns
        The source columns with the strings; a null adds no item.
    before, after
        The JSON of an item around its string.
    alone
        Whether the list has no constant items.
    """

    columns: tuple[str, ...]
    before: str
    after: str
    alone: bool = False


Slot = Template | JsonColumn | TextColumn | MoreItems


@dataclass(frozen=True)
class Envelope:
    """A request line after its ``custom_id``, split at the row's values."""

    constants: tuple[bytes, ...]
    slots: tuple[Slot, ...]


REQUEST: Final = "request"
ENCODED_REQUEST: Final = Envelope((b"", b""), (JsonColumn(REQUEST),))
"""For encoded requests read from a column, exactly as they were sent."""
PROMPT = "prompt"
"""The source column with the JSON prompts of a prompt function."""


def column_name(cell: Cell) -> str:
    """Return the name of the source column for `cell`."""
    return f"{cell.column}.{cell.form}"
