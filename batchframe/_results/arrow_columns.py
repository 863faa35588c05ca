"""Answer columns as Arrow tables, block by block, for rows outside pandas."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Context, Decimal
from typing import Any, Final

import pandas as pd
import pyarrow as pa

from batchframe._frames.kinds import Kind
from batchframe._frames.tabular import RowBlock, Tabular, tabular
from batchframe._results.job_answers import JobAnswers, answer_fields
from batchframe._results.join import (
    check_same_questions,
    columns_of,
    match_rows,
    merge_jobs,
    taken_error,
)
from batchframe._store.rows import Finder

_TEXTS: Final = ("bf_error", "bf_custom_id", "bf_finish_reason", "bf_reasoning", "bf_raw")
_COST: Final = pa.decimal128(38, 18)
_TYPES: Final = {**dict.fromkeys(_TEXTS, pa.large_string()), "bf_cost": _COST}
_LAST_PLACE: Final = Decimal(1).scaleb(-18)
_PRECISE: Final = Context(prec=60)


def join_columns(
    frame: Any,
    jobs: Sequence[JobAnswers],
    *,
    kind: Kind,
    prefix: str = "",
    details: bool = False,
    overwrite: bool = False,
) -> Any:
    """Return a frame of the same library with the answer columns of `join`.

    Raises
    ------
    ColumnError
        As in `join`.
    """
    check_same_questions(jobs)
    # Read once: a query may return its rows in another order the next time.
    rows = kind.rows(frame)
    blocks = answer_blocks(jobs, tabular(rows), prefix=prefix, details=details)
    answers = pa.concat_tables(table for _, table in blocks)
    taken = [name for name in answers.column_names if name in rows.column_names]
    if taken and not overwrite:
        raise taken_error(taken)
    return kind.append(frame, rows, taken, answers)


def answer_blocks(
    jobs: Sequence[JobAnswers], rows: Tabular, *, prefix: str, details: bool
) -> Iterator[tuple[RowBlock, pa.Table]]:
    """Yield blocks of rows with their answer columns.

    The types of the columns do not depend on the values.
    """
    # The costs are those of requests that no earlier row has.
    jobs = [replace(job, costs=None if job.costs is None else job.costs.copy()) for job in jobs]
    finders = [Finder(job.rows) for job in jobs]
    for block in rows.blocks():
        columns_by_job = []
        for job, finder in zip(jobs, finders, strict=True):
            match = match_rows(block.alone(), job, finder)
            columns_by_job.append(columns_of(job, match, details=details))
            if job.costs is not None:
                job.costs[match.number[match.number >= 0]] = Decimal(0)
        yield block, _arrow(jobs[0], merge_jobs(columns_by_job), prefix)


def _arrow(job: JobAnswers, columns: dict[str, pd.Series], prefix: str) -> pa.Table:
    types = {field.name: job.columns[field.name].type for field in answer_fields(job)}
    arrays = {
        prefix + name: _array(column, types.get(name, _TYPES.get(name)))
        for name, column in columns.items()
    }
    schema = pa.Schema.from_pandas(pd.DataFrame(columns).add_prefix(prefix), preserve_index=False)
    return pa.table(arrays).replace_schema_metadata(schema.metadata)


def _array(column: pd.Series, kind: pa.DataType | None) -> pa.Array:
    if isinstance(column.dtype, pd.CategoricalDtype):
        kind = None  # the array's type includes all categories, unlike the stored column
    if kind == _COST:
        # User-defined prices may have more decimal places than the column.
        column = column.map(
            lambda cost: cost.quantize(_LAST_PLACE, context=_PRECISE), na_action="ignore"
        )
    array = pa.array(column, type=kind, from_pandas=True)
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
