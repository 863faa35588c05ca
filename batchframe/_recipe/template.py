"""Parse, bind and render prompt templates.

``{{ column }}`` inserts a cell as text and ``{{ column | json }}`` inserts it as JSON. Only column
names are supported: no expressions, no attributes. Inserted values are never parsed as templates.
``{{{{`` writes ``{{``; any other brace is literal, so JSON in a prompt needs no escaping.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from batchframe._base.errors import ColumnError, TemplateError, format_list, quote, shorten

_MARKS = re.compile(r"\{\{\{\{|\{\{([^{}]*)\}\}")
_ALMOST = re.compile(r"\{{1,2}([^{}]+)\}{1,2}")
_TEXT = pa.large_string()
_LITERAL_BRACES = "For literal braces, double them: {{{{."

Form = Literal["text", "json"]


@dataclass(frozen=True)
class Placeholder:
    """A ``{{ … }}`` placeholder; `content` is what the braces enclose."""

    content: str


@dataclass(frozen=True)
class Cell:
    """A bound placeholder: the position of its column, and its form."""

    column: int
    form: Form


@dataclass(frozen=True)
class Template:
    """A parsed template: literals and placeholders (cells once bound)."""

    source: str
    parts: tuple[str | Placeholder | Cell, ...]

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells that rendering needs."""
        return tuple(part for part in self.parts if isinstance(part, Cell))

    @property
    def constant(self) -> str | None:
        """The text of a template without placeholders; None otherwise."""
        texts = [part for part in self.parts if isinstance(part, str)]
        return "".join(texts) if len(texts) == len(self.parts) else None

    def render(self, columns: Mapping[Cell, pa.Array], rows: int) -> pa.Array:
        """Render `rows` rows; a row with a missing cell becomes null.

        Parameters
        ----------
        columns
            ``large_string`` of length `rows`, one for each of :attr:`cells`.
        rows
            The number of rows; a template without cells is repeated.
        """
        if self.constant is not None:
            return pa.repeat(pa.scalar(self.constant, _TEXT), rows)
        if len(self.parts) == 1:
            return columns[self.cells[0]]
        strings = [
            columns[part] if isinstance(part, Cell) else pa.scalar(part, _TEXT)
            for part in self.parts
        ]
        return pc.binary_join_element_wise(
            *strings, pa.scalar("", _TEXT), null_handling="emit_null"
        )


def parse(source: str) -> Template:
    """Split a template's source into text and placeholders.

    Raises
    ------
    TemplateError
        If a placeholder is empty.

    Examples
    --------
    >>> parse('Answer as {"a": 1}: {{ text }}').parts
    ('Answer as {"a": 1}: ', Placeholder(content='text'))
    >>> parse("{{{{ is literal").parts
    ('{{ is literal',)
    """
    parts: list[str | Placeholder | Cell] = []
    literal, end = "", 0
    for match in _MARKS.finditer(source):
        literal += source[end : match.start()]
        end = match.end()
        if match[1] is None:
            literal += "{{"
            continue
        if not match[1].strip():
            raise TemplateError(
                f"The template {quote(source)} has an empty placeholder. Fix: name a column, "
                f"{{{{ text }}}}. {_LITERAL_BRACES}"
            )
        if literal:
            parts.append(literal)
        parts.append(Placeholder(match[1].strip()))
        literal = ""
    if literal + source[end:]:
        parts.append(literal + source[end:])
    return Template(source, tuple(parts))


def bind(template: Template, labels: Sequence[Hashable]) -> Template:
    """Resolve each placeholder to a column of the frame.

    Labels are compared as strings: ``{{ 7 }}`` is the column ``7``. Spaces around a label are
    optional.

    Raises
    ------
    TemplateError
        If a placeholder matches no column; the message suggests similar names.
    ColumnError
        If several columns match one name.

    Examples
    --------
    >>> bind(parse("{{ text }}"), ["id", "text"]).parts
    (Cell(column=1, form='text'),)
    """
    names = [str(label) for label in labels]
    bound = tuple(
        _cell(part, names) if isinstance(part, Placeholder) else part for part in template.parts
    )
    return Template(template.source, bound)


def bind_all(value: Any, labels: Sequence[Hashable]) -> Any:
    """Bind all templates in a JSON-like structure with :func:`bind`."""
    return map_leaves(
        value, lambda leaf: bind(leaf, labels) if isinstance(leaf, Template) else leaf
    )


def map_leaves(value: Any, function: Callable[[Any], Any]) -> Any:
    """Apply a function to each leaf of a JSON-like structure, in order."""
    if isinstance(value, Mapping):
        return {key: map_leaves(item, function) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [map_leaves(item, function) for item in value]
    return function(value)


def almost_placeholders(template: Template, labels: Sequence[Hashable]) -> list[tuple[str, str]]:
    """Find text that resembles a placeholder, with the column it names.

    Examples
    --------
    >>> almost_placeholders(parse("{{ id }}: {text}, { text }}, {other}"), ["id", "text"])
    [('{text}', 'text'), ('{ text }}', 'text')]
    """
    names = {str(label).strip() for label in labels}
    rest = _MARKS.sub("\0", template.source)
    pairs = [(match[0], match[1].partition("|")[0].strip()) for match in _ALMOST.finditer(rest)]
    return [(text, name) for text, name in pairs if name in names]


def _cell(placeholder: Placeholder, names: Sequence[str]) -> Cell:
    content = placeholder.content
    if (column := _column(content, names)) is not None:
        return Cell(column, "text")
    name, bar, form = (word.strip() for word in content.rpartition("|"))
    column = _column(name, names) if bar else None
    if column is None:
        name = name if bar else content
        matches = difflib.get_close_matches(name, names)
        guess = f"Did you mean {{{{ {matches[0]} }}}}? " if matches else ""
        raise TemplateError(
            f"{{{{ {shorten(name, 60)} }}}}: no such column. {guess}Columns: "
            f"{format_list(names)}. {_LITERAL_BRACES}"
        )
    if form != "json":
        raise TemplateError(
            f"{{{{ {name} | {form} }}}}: unknown filter ({form!r}). Fix: {{{{ {name} | json }}}}."
        )
    return Cell(column, "json")


def _column(name: str, names: Sequence[str]) -> int | None:
    """Return the position of a column by its name without spaces around it."""
    positions = [position for position, other in enumerate(names) if other.strip() == name]
    if len(positions) > 1:
        raise ColumnError(
            f"{{{{ {name} }}}} matches {len(positions)} columns (positions "
            f"{format_list(positions)}). Fix: rename them, df.columns = [...]."
        )
    return positions[0] if positions else None


def templates_in(value: Any) -> list[Template]:
    """List the templates in a JSON-like structure, in order."""
    leaves: list[Any] = []
    map_leaves(value, leaves.append)
    return [leaf for leaf in leaves if isinstance(leaf, Template)]
