"""CSV and Parquet files, by file extension; ``-`` is a CSV stream.

CSV has no types, so its cells are read as strings, unchanged: ``007`` keeps its zeros, ``1e5`` and
``1.50`` are not converted, and ``NA``, ``null`` and ``None`` are strings. An empty cell is missing.
Blank lines are skipped. Parquet keeps its types.
"""

from __future__ import annotations

import csv
import shlex
import sys
from pathlib import Path
from typing import IO, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from batchframe._base.errors import CommandError, shorten
from batchframe._base.private_files import replacing
from batchframe._frames.cells import json_text

STREAM: Final = "-"
_CSV: Final = ".csv"
_PARQUET: Final = (".parquet", ".pq")
_NESTED: Final = (list, dict, tuple, np.ndarray)
_UNREADABLE: Final = (OSError, ValueError, TypeError, pa.ArrowException)


def read_table(source: str) -> pd.DataFrame:
    """Read a CSV or Parquet file.

    Raises
    ------
    CommandError
        If the file is missing, or does not match its extension.
    """
    ending = _ending(source)
    try:
        if ending in _PARQUET:
            return pd.read_parquet(source, engine="pyarrow")
        return _read_csv(sys.stdin.buffer if source == STREAM else source)
    except _UNREADABLE as reason:
        fix = "pass a CSV file in UTF-8 with a header row, or a Parquet file"
        raise unreadable(source, reason, fix) from None


def _read_csv(source: str | IO[bytes]) -> pd.DataFrame:
    # Read without a header, because pandas would rename duplicate column names, and would use a
    # column without a name as the index.
    cells = pd.read_csv(
        source, header=None, dtype=str, keep_default_na=False, na_values=[""], encoding="utf-8-sig"
    )
    frame = cells.iloc[1:].reset_index(drop=True)
    frame.columns = pd.Index(cells.iloc[0].fillna("").tolist())
    return frame


def check_destination(to: str, source: str | None) -> None:
    """Raise now if the output file could not be written a day later.

    Raises
    ------
    CommandError
        If the extension is unknown, the folder is missing, or the file is the input.
    """
    _ending(to)
    if to == STREAM:
        return
    path = Path(to)
    if not path.parent.is_dir():
        parent = shlex.quote(str(path.parent))
        raise CommandError(f"--to: folder not found ({to!r}). Fix: mkdir -p {parent}.")
    if source not in {None, STREAM} and path.exists() and path.samefile(str(source)):
        raise CommandError(f"--to: would replace the input ({to!r}). Fix: pass another file.")


def write_table(frame: pd.DataFrame, to: str) -> None:
    """Write a frame; an existing file is replaced atomically.

    Raises
    ------
    CommandError
        If the file cannot be written.
    """
    if to == STREAM:
        # The CSV is UTF-8, whatever the encoding of the terminal.
        _write_csv(frame, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    try:
        with replacing(Path(to).resolve(), private=False) as file:
            if _ending(to) in _PARQUET:
                frame.to_parquet(file, engine="pyarrow")
            else:
                _write_csv(frame, file)
    except _UNREADABLE as reason:
        raise CommandError(
            f"Cannot write {to}: {_cause(reason)}. The answers are safe in the job's folder. "
            "Fix: batchframe fetch JOB --input INPUT --to OTHER.csv."
        ) from None


def _write_csv(frame: pd.DataFrame, file: IO[bytes]) -> None:
    # By position, because column names may be duplicates.
    columns = [_plain(frame.iloc[:, position]) for position in range(frame.shape[1])]
    table = pd.concat(columns, axis=1) if columns else frame
    # A carriage return outside quotes would end the row.
    has_returns = any(_has_carriage_return(column) for column in columns)
    table.to_csv(
        file,
        index=any(name is not None for name in frame.index.names),
        lineterminator="\n",
        quoting=csv.QUOTE_NONNUMERIC if has_returns else csv.QUOTE_MINIMAL,
    )


def _plain(column: pd.Series) -> pd.Series:
    """Convert lists and dicts to JSON strings."""
    if column.dtype != object:
        return column
    return column.map(lambda cell: json_text(cell) if isinstance(cell, _NESTED) else cell)


def _has_carriage_return(column: pd.Series) -> bool:
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = pd.Series(column.cat.categories)
    if not (pd.api.types.is_string_dtype(column.dtype) or column.dtype == object):
        return False
    return any(isinstance(cell, str) and "\r" in cell for cell in column)


def _ending(path: str) -> str:
    if path == STREAM:
        return _CSV
    ending = Path(path).suffix.lower()
    if ending not in {_CSV, *_PARQUET}:
        raise CommandError(
            f"file: unsupported extension ({path!r}). Fix: use .csv, .parquet or .pq, or - for CSV "
            "on standard input or output."
        )
    return ending


def unreadable(path: str | Path, reason: Exception, fix: str) -> CommandError:
    """Build the error for a file that cannot be read."""
    return CommandError(f"Cannot read {path!s}: {_cause(reason)}. Fix: {fix}.")


def _cause(reason: Exception) -> str:
    """Return the message of the operating system, or the error, on one line."""
    return shorten(getattr(reason, "strerror", None) or reason)
