"""A prompt template → its rendered column.

In: the template's source and Arrow text columns. Out: one Arrow text column.
Must not know: pandas, models, endpoints, JSON lines.

``{{ column }}`` stands for a cell's text and ``{{ column | json }}`` for the cell as JSON. There
are names only: no expressions, no attributes. Rendering is one pass: a value is never scanned
again.
``{{{{`` writes ``{{``; any other brace is literal, so JSON in a prompt needs no escaping.
"""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from batchframe.errors import ColumnError, TemplateError, TemplateWarning

_MARKS = re.compile(r"\{\{\{\{|\{\{([^{}\n]*)\}\}")
_SINGLE_BRACES = re.compile(r"(?<!\{)\{([^{}\n]+)\}(?!\})")
_TEXT = pa.large_string()

Form = Literal["text", "json"]


@dataclass(frozen=True)
class Placeholder:
    """One ``{{ … }}`` of a template: the words between the braces, stripped."""

    words: str


@dataclass(frozen=True)
class Cell:
    """A placeholder that found its column: the column's position in the frame, and the form."""

    column: int
    form: Form


@dataclass(frozen=True)
class Template:
    """A parsed template: literal text and placeholders (or, once bound, cells) in turn."""

    source: str
    parts: tuple[str | Placeholder | Cell, ...]

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells that rendering needs."""
        return tuple(part for part in self.parts if isinstance(part, Cell))

    def render(self, columns: Mapping[Cell, pa.Array], rows: int) -> pa.Array:
        """Render `rows` rows; a row with a missing cell is null.

        Parameters
        ----------
        columns
            ``large_string`` of length `rows`, one for each of :attr:`cells`.
        rows
            How many rows a template without any cell is repeated for.
        """
        if not self.cells:
            return pa.repeat(pa.scalar("".join(map(str, self.parts)), _TEXT), rows)
        if len(self.parts) == 1:
            return columns[self.cells[0]]
        joined = [
            columns[part] if isinstance(part, Cell) else pa.scalar(part, _TEXT)
            for part in self.parts
        ]
        return pc.binary_join_element_wise(*joined, pa.scalar("", _TEXT), null_handling="emit_null")


def parse(source: str) -> Template:
    """Split a template's source into text and placeholders.

    Raises
    ------
    TemplateError
        If a placeholder is empty.

    Examples
    --------
    >>> parse('Answer as {"a": 1}: {{ text }}').parts
    ('Answer as {"a": 1}: ', Placeholder(words='text'))
    >>> parse("{{{{ is literal").parts
    ('{{ is literal',)
    """
    parts: list[str | Placeholder | Cell] = []
    literal, end = "", 0
    for mark in _MARKS.finditer(source):
        literal += source[end : mark.start()]
        end = mark.end()
        if mark[1] is None:
            literal += "{{"
            continue
        if not mark[1].strip():
            raise TemplateError.empty_placeholder(source)
        if literal:
            parts.append(literal)
        parts.append(Placeholder(mark[1].strip()))
        literal = ""
    if literal + source[end:]:
        parts.append(literal + source[end:])
    return Template(source, tuple(parts))


def bind(template: Template, labels: Sequence[Hashable]) -> Template:
    """Find each placeholder's column among the frame's column labels.

    A label of any type is known by its text: ``{{ 7 }}`` is the column ``7``.

    Raises
    ------
    TemplateError
        If a placeholder names no column; near names are shown.
    ColumnError
        If two columns answer to one name.

    Warns
    -----
    TemplateWarning
        If ``{name}`` in single braces is a column's name: it will be sent as it stands.

    Examples
    --------
    >>> bind(parse("{{ text }}"), ["id", "text"]).parts
    (Cell(column=1, form='text'),)
    """
    names = [str(label) for label in labels]
    for word in _SINGLE_BRACES.findall(_MARKS.sub("", template.source)):
        if word.strip() in names:
            warnings.warn(TemplateWarning.single_braces(word), stacklevel=6)
    bound = tuple(
        _cell(part, names) if isinstance(part, Placeholder) else part for part in template.parts
    )
    return Template(template.source, bound)


def _cell(placeholder: Placeholder, names: Sequence[str]) -> Cell:
    words = placeholder.words
    if words in names:
        return Cell(_only(words, names), "text")
    name, bar, form = (word.strip() for word in words.rpartition("|"))
    if not bar:
        raise TemplateError.unknown_column(words, difflib.get_close_matches(words, names), names)
    if name not in names:
        raise TemplateError.unknown_column(name, difflib.get_close_matches(name, names), names)
    if form != "json":
        raise TemplateError.unknown_filter(form, name)
    return Cell(_only(name, names), "json")


def _only(name: str, names: Sequence[str]) -> int:
    if names.count(name) > 1:
        raise ColumnError.ambiguous(name, [i for i, other in enumerate(names) if other == name])
    return names.index(name)


def templates_in(value: Any) -> list[Template]:
    """List the templates inside a JSON-like structure, in the order they are written."""
    if isinstance(value, Template):
        return [value]
    if isinstance(value, Mapping):
        return [found for item in value.values() for found in templates_in(item)]
    if isinstance(value, list | tuple):
        return [found for item in value for found in templates_in(item)]
    return []
