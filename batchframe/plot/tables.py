"""The figures behind each plot, as frames, so that they can be had without matplotlib.

The function of the same name in :mod:`batchframe.plot` draws each as it is.
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
    check_frame,
    column_of,
    name_for_none,
    read_labels,
    together,
)

__all__ = ["confusion", "cost", "labels", "statuses", "tokens"]

_SIDES: Final = ("input_tokens", "output_tokens")
_MOST_BINS: Final = 30
_FAR_APART: Final = 50


def confusion(evaluation: Evaluation) -> pd.DataFrame:
    """Return how often each truth (down) was given each label (across), or no answer."""
    return evaluation.confusion


def cost(job: Job) -> pd.DataFrame:
    """Return what a job was estimated to cost, and what its answers at home cost, in USD.

    Returns
    -------
    Two rows, ``estimated`` and ``actual``; ``low``, ``expected`` and ``high`` are `Decimal`, None
    where nobody can tell. The actual cost is one figure in all three.
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
        The answer column.

    Returns
    -------
    One row a label, with its ``rows``: the most frequent first, or in their own order where that
    means something (an ordered category). Categories that never occur are there, with 0; rows
    without an answer are last, if there are any.

    Raises
    ------
    ColumnError
        If there is no such column, or it holds lists, or more than 1,000 values.
    """
    frame = _frame_of("labels", source)
    names, (codes,) = together([read_labels(frame, column)])
    counts = np.bincount(codes + 1, minlength=len(names) + 1)
    missing, rows = int(counts[0]), counts[1:]
    table = pd.DataFrame({"rows": rows}, index=pd.Index(list(names), tupleize_cols=False))
    if not getattr(column_of(frame, column).dtype, "ordered", False):
        table = table.sort_values("rows", ascending=False, kind="stable")
    if missing:
        none = pd.DataFrame({"rows": [missing]}, index=pd.Index([name_for_none(names)]))
        table = pd.concat([table, none])
    return table.rename_axis(column)


def statuses(source: Job | pd.DataFrame, column: str = "bf_status") -> pd.DataFrame:
    """Count the rows of each status that occurs.

    Parameters
    ----------
    source
        A job, or a frame such as ``df.bf.join(job)``.
    column
        The status column: after ``join(job, prefix="second_")`` it is "second_bf_status".

    Returns
    -------
    One row a status, with its ``rows``: ``ok`` first, in the order of `Job.counts`. They add up to
    the rows; rows without a status are "unknown".

    Raises
    ------
    ColumnError
        If there is no such column.
    """
    frame = _frame_of("statuses", source)
    counts = column_of(frame, column).astype("string").fillna(UNKNOWN).value_counts()
    order = [*STATUSES, *sorted(set(counts.index) - set(STATUSES))]
    occurring = [status for status in order if status in counts.index]
    rows = counts.reindex(occurring).astype("int64").to_numpy()
    return pd.DataFrame({"rows": rows}, index=pd.Index(occurring, name=column, dtype=object))


def tokens(source: Job | pd.DataFrame, *, prefix: str = "") -> pd.DataFrame:
    """Count the rows by the tokens that their request read and its answer took.

    Rows that share a request count its tokens each, so these are more than were billed:
    `Job.usage` has those.

    Parameters
    ----------
    source
        A job, or a frame such as ``df.bf.join(job, details=True)``.
    prefix
        The prefix that was given to `join`.

    Returns
    -------
    One row a bin: from ``at_least`` to less than ``below`` tokens, and how many rows have so many
    ``input_tokens`` and ``output_tokens``. Bins are of equal width, or, if the numbers differ more
    than fiftyfold, of growing width. Rows without an answer, or whose answer states no usage, are
    in none.

    Raises
    ------
    ColumnError
        If the frame has no ``bf_input_tokens`` and ``bf_output_tokens``.

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
    lacking = [name for side in _SIDES if (name := f"{prefix}bf_{side}") not in frame.columns]
    if lacking:
        raise ColumnError(
            f"The frame has no column {' and no '.join(map(repr, lacking))}. Pass the job, or join "
            "with its details: df.bf.join(job, details=True); if it was joined under other names, "
            'say so: prefix="second_".'
        )
    counted = {side: _whole(column_of(frame, f"{prefix}bf_{side}")) for side in _SIDES}
    edges = _edges(np.concatenate(list(counted.values())))
    bins = {side: np.histogram(numbers, edges)[0] for side, numbers in counted.items()}
    return pd.DataFrame({"at_least": edges[:-1], "below": edges[1:], **bins})


def _frame_of(verb: str, source: Job | pd.DataFrame, *, details: bool = False) -> pd.DataFrame:
    if isinstance(source, Job):
        return source.results(details=details)
    check_frame(verb, source)
    return source


def _whole(column: pd.Series) -> npt.NDArray[np.int64]:
    return np.asarray(pd.to_numeric(column).dropna().to_numpy(dtype="int64"), dtype=np.int64)


def _edges(numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Choose whole bounds of bins that hold every number; the last bound is above all of them."""
    if not len(numbers):
        return np.zeros(1, dtype=np.int64)
    low, above = int(numbers.min()), int(numbers.max()) + 1
    if above > _FAR_APART * max(low, 1):
        grown = np.geomspace(max(low, 1), above, _MOST_BINS).round().astype(np.int64)
        return np.unique([low, *grown])
    widths = (digit * 10**power for power in range(19) for digit in (1, 2, 5))
    width = next(width for width in widths if (above - low) / width <= _MOST_BINS)
    start = low - low % width
    return np.arange(start, above + width, width, dtype=np.int64)
