"""DataFrames that are displayed as tables; their data is unchanged."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from batchframe._base.safe_text import visible
from batchframe._display.card import Card, Table
from batchframe._display.format import plural
from batchframe._display.html import to_html
from batchframe._display.narrow import narrow_table

_MOST_ROWS: Final = 60


@dataclass(frozen=True)
class Style:
    """How a frame is displayed.

    Attributes
    ----------
    formats
        Function that formats a cell, by column; a missing cell stays empty.
    hidden
        Columns that are not displayed.
    text
        Columns of words, which are aligned on the left.
    prose
        Columns of sentences, which are below the table.
    last
        Columns at the right end of the HTML table.
    optional
        Columns that a narrow terminal omits, in this order.
    truncate
        Column whose strings a narrow terminal truncates.
    best
        Returns the position of the row to mark, and the word for it.
    """

    noun: str
    formats: Mapping[str, Callable[[Any], str]]
    hidden: Sequence[str] = ()
    text: Sequence[str] = ()
    prose: Sequence[str] = ()
    last: Sequence[str] = ()
    optional: Sequence[str] = ()
    truncate: str = ""
    best: Callable[[pd.DataFrame], tuple[int, str] | None] = lambda _: None


class FinishedFrame(pd.DataFrame):  # type: ignore[misc]
    """DataFrame with the display of a finished table."""

    _style: Style = Style("row", {})

    @property
    def _constructor(self) -> type[FinishedFrame]:
        return type(self)

    def __repr__(self) -> str:
        if self.empty or not self.columns.is_unique:
            return repr(pd.DataFrame(self))
        style, table = self._style, self._strings()
        prose = [name for name in style.prose if name in table]
        width = shutil.get_terminal_size().columns
        text = narrow_table(
            table.drop(columns=prose),
            width,
            hidden=[name for name in style.hidden if name in self],
            optional=style.optional,
            truncate=style.truncate,
        )
        notes = self._sentences(prose)
        wrapped = [
            textwrap.fill(note, width, subsequent_indent="  ", break_on_hyphens=False)
            for note in map(visible, notes)
        ]
        return "\n".join([text, *wrapped])

    def _sentences(self, prose: Sequence[str]) -> list[str]:
        """Return each sentence once, with the first label of its row."""
        lines: dict[str, None] = {}
        for label, *cells in self[list(prose)].itertuples():
            first = label[0] if isinstance(label, tuple) else label
            lines |= dict.fromkeys(f"{first}: {cell}" for cell in cells if cell)
        return list(lines)

    def _repr_html_(self) -> str:
        if self.empty or not self.columns.is_unique:
            html: str = pd.DataFrame(self)._repr_html_()
            return html
        style, best = self._style, self._style.best(self)
        table = self._strings().head(_MOST_ROWS)
        prose = [name for name in style.prose if name in table]
        table = table.drop(columns=prose)
        if self.index.nlevels > 1 or self.index.name is not None:
            table = table.reset_index()
        last = [name for name in style.last if name in table]
        table = table[[*table.columns.drop(last), *last]]
        texts = {*style.text, *map(str, self.index.names)}
        return to_html(
            Card(
                title=plural(len(self), style.noun),
                table=Table(
                    "" if len(table) == len(self) else f"the first {len(table):,}",
                    tuple(map(str, table.columns)),
                    tuple(tuple(row) for row in table.itertuples(index=False)),
                    text_columns=frozenset(
                        at for at, name in enumerate(table.columns) if name in texts
                    ),
                    marked=None if best is None else best[0],
                ),
                notes=tuple(self._sentences(prose)),
            )
        )

    def _strings(self) -> pd.DataFrame:
        """Return a frame of formatted cells."""
        style = self._style
        frame = pd.DataFrame(self).drop(columns=list(style.hidden), errors="ignore")
        columns = {
            name: [
                "" if _is_missing(cell) else visible(style.formats.get(name, str)(cell))
                for cell in frame[name]
            ]
            for name in frame.columns
        }
        table = pd.DataFrame(columns, index=frame.index, dtype=object)
        best = style.best(self)
        if best is not None:
            position, word = best
            table[""] = ["" if at != position else word for at in range(len(table))]
        return table


def _is_missing(cell: Any) -> bool:
    return bool(pd.api.types.is_scalar(cell) and pd.isna(cell))
