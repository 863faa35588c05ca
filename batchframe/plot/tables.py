"""Data of each plot as a DataFrame, available without matplotlib.

The function of the same name in :mod:`batchframe.plot` draws it.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from batchframe._api.job import Job
from batchframe._base.errors import ColumnError
from batchframe._base.ranges import Range
from batchframe._display import UNKNOWN
from batchframe._endpoints import STATUSES
from batchframe._evaluation.evaluation import Evaluation
from batchframe._evaluation.labels import (
    column_of,
    name_for_none,
    read_frame,
    read_labels,
    together,
)

__all__ = ["confusion", "cost", "labels", "statuses", "tokens"]

_SIDES: Final = ("input_tokens", "output_tokens")
_MOST_BINS: Final = 30
_FAR_APART: Final = 50


def confusion(evaluation: Evaluation) -> pd.DataFrame:
    """Return the confusion matrix, with gold labels in rows."""
    return evaluation.confusion


def cost(job: Job) -> pd.DataFrame:
    """Return the estimated and the actual cost of a job, in USD.

    The actual cost covers the downloaded answers.

    Returns
    -------
    Two rows, ``estimated`` and ``actual``; ``low``, ``expected`` and ``high`` are `Decimal`, or
    None if unknown. The actual cost is the same in all three columns.
    """
    estimated, actual = job._record.manifest.cost, job.cost  # noqa: SLF001 - what the card shows
    costs = {"estimated": estimated, "actual": None if actual is None else Range.exactly(actual)}
    return pd.DataFrame.from_dict(
        {
            name: [None] * 3 if range_ is None else [range_.low, range_.expected, range_.high]
            for name, range_ in costs.items()
        },
        orient="index",
        columns=["low", "expected", "high"],
        dtype=object,
    )


def labels(source: Job | pd.DataFrame, column: str = "label") -> pd.DataFrame:
    """Count the rows of each label.

    Parameters
    ----------
    source
        A job, or a frame such as ``df.bf.join(job)``.
    column
        Answer column.

    Returns
    -------
    One row per label, with its ``rows``: the most frequent first, or in the order of an ordered
    categorical. Unused categories are included, with 0; the number of rows without an answer is
    last, if there are any.

    Raises
    ------
    ColumnError
        If the frame has no such column, or the column contains lists or more than 1,000 values.
    """
    frame = _frame_of("labels", source)
    names, (codes,) = together([read_labels(frame, column)])
    counts = np.bincount(codes + 1, minlength=len(names) + 1)
    missing, rows = int(counts[0]), counts[1:]
    table = pd.DataFrame({"rows": rows}, index=pd.Index(list(names), tupleize_cols=False))
    if not getattr(column_of(frame, column).dtype, "ordered", False):
        table = table.sort_values("rows", ascending=False, kind="stable")
    if missing:
        last = pd.DataFrame({"rows": [missing]}, index=pd.Index([name_for_none(names)]))
        table = pd.concat([table, last])
    return table.rename_axis(column)


def statuses(source: Job | pd.DataFrame, column: str = "bf_status") -> pd.DataFrame:
    """Count the rows of each status that occurs.

    Parameters
    ----------
    source
        A job, or a frame such as ``df.bf.join(job)``.
    column
        Status column; after ``join(job, prefix="second_")`` it is "second_bf_status".

    Returns
    -------
    One row per status, with its ``rows``, in the order of `Job.counts`, which starts with ``ok``.
    The counts add up to the number of rows; rows without a status are "unknown".

    Raises
    ------
    ColumnError
        If the frame has no such column.
    """
    frame = _frame_of("statuses", source)
    counts = column_of(frame, column).astype("string").fillna(UNKNOWN).value_counts()
    order = [*STATUSES, *sorted(set(counts.index) - set(STATUSES))]
    occurring = [status for status in order if status in counts.index]
    rows = counts.reindex(occurring).astype("int64").to_numpy()
    return pd.DataFrame({"rows": rows}, index=pd.Index(occurring, name=column, dtype=object))


def tokens(source: Job | pd.DataFrame, *, prefix: str = "") -> pd.DataFrame:
    """Count the rows by their input and output tokens.

    Rows that share a request each count its tokens, so the sum may exceed the billed tokens, which
    are in `Job.usage`.

    Parameters
    ----------
    source
        A job, or a frame such as ``df.bf.join(job, details=True)``.
    prefix
        The `prefix` passed to `join`.

    Returns
    -------
    One row per bin, from ``at_least`` to less than ``below`` tokens, with the number of rows by
    ``input_tokens`` and ``output_tokens``. Bins have equal widths, or growing widths if the counts
    differ by more than a factor of 50. Rows without an answer, or whose answer has no usage, are
    not counted.

    Raises
    ------
    ColumnError
        If the frame does not have the columns ``bf_input_tokens`` and ``bf_output_tokens``.

    Examples
    --------
    >>> frame = pd.DataFrame({"bf_input_tokens": [11, 12, 12], "bf_output_tokens": [10, 11, None]})
    >>> tokens(frame)
       at_least  below  input_tokens  output_tokens
    0        10     11             0              1
    1        11     12             1              1
    2        12     13             2              0
    """
    frame = _frame_of("tokens", source, details=True)
    missing = [name for side in _SIDES if (name := f"{prefix}bf_{side}") not in frame.columns]
    if missing:
        raise ColumnError(
            f"The frame has no column {' and no '.join(map(repr, missing))}. Fix: pass the job, or "
            "join with df.bf.join(job, details=True); pass the prefix= of the join, if any."
        )
    counts = {side: _integers(column_of(frame, f"{prefix}bf_{side}")) for side in _SIDES}
    edges = _edges(np.concatenate(list(counts.values())))
    bins = {side: np.histogram(numbers, edges)[0] for side, numbers in counts.items()}
    return pd.DataFrame({"at_least": edges[:-1], "below": edges[1:], **bins})


def _frame_of(verb: str, source: Job | pd.DataFrame, *, details: bool = False) -> pd.DataFrame:
    if isinstance(source, Job):
        return source.results(details=details)
    return read_frame(verb, source)


def _integers(column: pd.Series) -> npt.NDArray[np.int64]:
    return np.asarray(pd.to_numeric(column).dropna().to_numpy(dtype="int64"), dtype=np.int64)


def _edges(numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return integer bin edges that cover all numbers; the last is exclusive."""
    if not len(numbers):
        return np.zeros(1, dtype=np.int64)
    low, above = int(numbers.min()), int(numbers.max()) + 1
    if above > _FAR_APART * max(low, 1):
        edges = np.geomspace(max(low, 1), above, _MOST_BINS).round().astype(np.int64)
        return np.unique([low, *edges])
    widths = (digit * 10**power for power in range(19) for digit in (1, 2, 5))
    width = next(width for width in widths if (above - low) / width <= _MOST_BINS)
    start = low - low % width
    return np.arange(start, above + width, width, dtype=np.int64)
