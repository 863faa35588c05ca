"""Join answers to the rows of a frame, with a status for each row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from batchframe._base.errors import ColumnError, JobError, format_list
from batchframe._base.safe_text import RUN_THAT, NextStep, job_step
from batchframe._endpoints import STATUSES
from batchframe._endpoints.endpoint import ASKED_AGAIN
from batchframe._frames.tabular import Tabular, column_label, of_frame, taken_names
from batchframe._models.price import sum_of
from batchframe._recipe.recipe import UNKNOWN_COLUMNS
from batchframe._requests.rendering import row_digests
from batchframe._results.job_answers import JobAnswers, answer_fields
from batchframe._results.pandas_columns import categories, numbers, same_levels, strings, to_pandas
from batchframe._store.rows import Finder

_COST: Final = "bf_cost"
_TOKENS: Final = (
    "input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens",
)  # fmt: skip
_DETAILED: Final = [
    "status", "error", *_TOKENS, "finish_reason", "reasoning", "text", "tool_calls",
]  # fmt: skip
_NO_MATCH: Final = "this row was not part of the job, or its text has changed"
_NO_MATCH_WITH_IMAGES: Final = _NO_MATCH.replace("its text", "its text, an image or a file")
_FLOAT_HINT: Final = (
    "; pd.read_parquet(path) reads integers with missing values as floats, "
    'pd.read_parquet(path, dtype_backend="pyarrow") as integers'
)


def ledger(job: JobAnswers, *, details: bool = False) -> pd.DataFrame:
    """Return the answers in the row order of the submitted frame."""
    columns = columns_of(job, _row_match(job.rows.number, job.rows.absent), details=details)
    return pd.DataFrame(with_occurring(columns), index=pd.RangeIndex(len(job.rows)))


def join(
    frame: pd.DataFrame,
    jobs: Sequence[JobAnswers],
    *,
    check: Callable[[Sequence[RowMatch]], None] = lambda _: None,
    prefix: str = "",
    details: bool = False,
    overwrite: bool = False,
) -> pd.DataFrame:
    """Return a copy of `frame` with the answer columns appended.

    If several jobs contain a row, the first ``ok`` answer is used; without one, a later job may
    replace a missing answer.

    Raises
    ------
    ColumnError
        If an answer column exists in `frame` and `overwrite` is False, or if the jobs have
        different answer columns.
    """
    check_same_questions(jobs)
    matches = [match_rows(of_frame(frame), job, Finder(job.rows)) for job in jobs]
    columns_by_job = [
        columns_of(job, match, details=details) for job, match in zip(jobs, matches, strict=True)
    ]
    columns = with_occurring(merge_jobs(columns_by_job))
    merged = {prefix + name: column for name, column in columns.items()}
    taken = taken_names(frame.columns, list(merged))
    if taken and not overwrite:
        raise taken_error(taken)
    check(matches)
    labels = {name: column_label(frame.columns, name) for name in merged}
    replaced = {labels[name] for name in taken}
    joined = frame.loc[:, [label not in replaced for label in frame.columns]].copy()
    for name, column in merged.items():
        # An array is assigned by position; a Series would be aligned by index.
        joined[labels[name]] = column.array
    return joined


def taken_error(names: Sequence[str]) -> ColumnError:
    """Return the error for answer columns whose names a frame already has."""
    return ColumnError.taken(
        names,
        "Fix: "
        + NextStep('join(job, prefix="second_")', "--prefix second_")
        + " or "
        + NextStep("join(job, overwrite=True)", "--overwrite")
        + ".",
    )


def with_occurring(columns: dict[str, pd.Series]) -> dict[str, pd.Series]:
    """Keep the statuses that occur, so that counts of them have no zeros."""
    status = columns["bf_status"].cat.remove_unused_categories()
    return {**columns, "bf_status": status}


def check_same_questions(jobs: Sequence[JobAnswers]) -> None:
    """Raise an error if jobs have different answer columns.

    Raises
    ------
    ColumnError
        If they differ in name or type.
    """
    first, *others = ([(f.name, f.kind) for f in answer_fields(job)] for job in jobs)
    for other in others:
        if other != first:
            ours, theirs = (format_list(name for name, _ in fields) for fields in (first, other))
            raise ColumnError(
                f"jobs: different answer columns ({ours} and {theirs}). "
                'Fix: df.bf.join(first).bf.join(second, prefix="second_").'
            )


@dataclass(frozen=True, eq=False)
class RowMatch:
    """The request of a job that matches each row.

    Attributes
    ----------
    number
        The request number of each row; −1 if it has none.
    status, error
        The status and error of each row without a request; null elsewhere.
    """

    number: npt.NDArray[np.int64]
    status: pa.Array
    error: pa.Array


def match_rows(rows: Tabular, job: JobAnswers, finder: Finder) -> RowMatch:
    """Match rows to requests of a job by the content of the request.

    Rows are rendered again unless all rows equal those submitted, in the same order.

    Parameters
    ----------
    finder
        A finder for the job's rows; shared by all parts of a longer table.

    Raises
    ------
    JobError
        If the job was recovered without its template.
    """
    recipe = job.manifest.recipe
    if recipe.columns == UNKNOWN_COLUMNS:
        raise JobError(
            f"Job {job.manifest.display_name!r} was recovered from the server without its prompt, "
            "so rows cannot be matched to it.",
            next_step="Fix: "
            + RUN_THAT
            + " that submitted it, which sends nothing. One row per request, without the frame: "
            + job_step(job.manifest.display_name, "results")
            + ".",
        )
    as_submitted = job.rows.checksum if len(rows) == len(job.rows) else None
    identities = row_digests(recipe, rows, as_submitted)
    if identities is None:
        return _row_match(job.rows.number, job.rows.absent)
    identity, absent, unreadable = identities
    number = finder.find(identity)
    absent = pc.coalesce(absent, finder.why_absent(identity))
    why_missing = _NO_MATCH_WITH_IMAGES if recipe.attached else _NO_MATCH
    if job.manifest.source is not None and not rows.streamed:
        why_missing += _FLOAT_HINT
    return _row_match(number, absent, pc.fill_null(unreadable, why_missing))


def _row_match(
    number: npt.NDArray[np.int64], absent: pa.Array, why_missing: pa.Array | str = _NO_MATCH
) -> RowMatch:
    """Build the match of rows, with status and error for unmatched ones."""
    is_unmatched = pa.array(number < 0)
    has_no_prompt = pc.is_valid(absent)
    status = pc.if_else(is_unmatched, pc.if_else(has_no_prompt, "skipped", "missing"), None)
    error = pc.if_else(is_unmatched, pc.coalesce(absent, why_missing), None)
    return RowMatch(number, status.cast(pa.string()), error.cast(pa.string()))


def columns_of(job: JobAnswers, match: RowMatch, *, details: bool) -> dict[str, pd.Series]:
    """Return the answer columns of matched rows by name."""
    number = match.number
    take = pa.array(number, mask=number < 0)
    answers = job.answers.select(_DETAILED if details else ["status", "error"]).take(take)
    columns = {
        field.name: to_pandas(job.columns[field.name], take, field) for field in answer_fields(job)
    }
    columns["bf_status"] = categories(pc.coalesce(answers["status"], match.status), STATUSES)
    columns["bf_error"] = strings(pc.coalesce(answers["error"], match.error))
    if details:
        columns |= _details(job, number, take, answers)
    return columns


def _details(
    job: JobAnswers, number: npt.NDArray[np.int64], take: pa.Array, answers: pa.Table
) -> dict[str, pd.Series]:
    ids = job.custom_ids.take(take)
    return {
        "bf_custom_id": strings(pa.chunked_array([ids])),
        **{f"bf_{name}": numbers(answers[name]) for name in _TOKENS},
        _COST: _costs(job.costs, number),
        "bf_finish_reason": strings(answers["finish_reason"]),
        "bf_reasoning": strings(answers["reasoning"]),
        "bf_raw": strings(pc.coalesce(answers["text"], answers["tool_calls"])),
    }


def _costs(costs: npt.NDArray[np.object_] | None, number: npt.NDArray[np.int64]) -> pd.Series:
    """Assign the cost of a request to its first row and 0 to duplicates.

    Splitting the cost would not sum exactly to the job's cost. The dtype is object because sums of
    `Decimal`, also by group, are then exact and skip missing values; Arrow decimal columns do not
    support multiplication or `describe()`.
    """
    column = np.full(len(number), None, dtype=object)
    if costs is not None:
        with_request = np.flatnonzero(number >= 0)
        column[with_request] = Decimal(0)
        _, first = np.unique(number[with_request], return_index=True)
        first_rows = with_request[first]
        column[first_rows] = costs[number[first_rows]]
    return pd.Series(column, dtype=object)


def merge_jobs(columns_by_job: Sequence[dict[str, pd.Series]]) -> dict[str, pd.Series]:
    """Choose each row's answer among those of several jobs."""
    merged = dict(columns_by_job[0])
    for other in columns_by_job[1:]:
        use_other = (merged["bf_status"] != "ok") & other["bf_status"].isin(["ok"])
        is_unanswered = merged["bf_status"].isin(ASKED_AGAIN)
        use_other |= is_unanswered & (other["bf_status"] != "missing")
        for name, column in other.items():
            current, other_column = same_levels(merged[name], column)
            merged[name] = other_column.where(use_other, current)
    if _COST in merged:
        merged[_COST] = _add_costs([columns[_COST] for columns in columns_by_job])
    return merged


def _add_costs(costs: Sequence[pd.Series]) -> pd.Series:
    """Sum the costs of several jobs for each row."""
    rows = ([cost for cost in row if cost is not None] for row in zip(*costs, strict=True))
    return pd.Series([sum_of(amounts) if amounts else None for amounts in rows], dtype=object)
