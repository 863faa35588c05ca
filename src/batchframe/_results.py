"""Answers × rows → the row ledger, and its join with any frame.

In: a job folder. Out: pandas columns, exactly one status for each row.
Must not know: prices, the network.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from batchframe._answers import pending, read_shard
from batchframe._endpoints import STATUSES, endpoint_of
from batchframe._folder import JobFolder, replacing
from batchframe._journal import JobState, ShardState, fold
from batchframe._lines import custom_id
from batchframe._output import Field, OutputSpec, parse_answers
from batchframe._recipe import Recipe
from batchframe._request_table import row_digests
from batchframe._rows import Rows, read_rows
from batchframe.errors import ColumnError

_NOT_ASKED: Final = "this row was not part of the job, or its text has changed since"


@dataclass(frozen=True)
class JobAnswers:
    """Everything that a job knows about its requests.

    Attributes
    ----------
    answers
        One row for each request: status, error, text, finish_reason, tokens.
    columns
        One row for each request: the typed answer columns, null where there is no valid answer.
    """

    manifest: Mapping[str, Any]
    recipe: Recipe
    rows: Rows
    answers: pa.Table
    columns: pa.Table


def read_job(folder: JobFolder) -> JobAnswers:
    """Read what has come home so far.

    Raises
    ------
    JobError
        If the folder is damaged.
    """
    manifest = folder.read_manifest()
    recipe = Recipe.from_json(manifest["recipe"])
    rows = read_rows(folder.rows)
    state = fold(folder.read_journal(), len(manifest["shards"]))
    answers = _stored(folder, state) or _read_files(folder, manifest, recipe, rows, state)
    answers, columns = _typed(recipe.output, answers)
    return JobAnswers(manifest, recipe, rows, answers, columns)


def _sources(state: JobState) -> bytes:
    homes = [(shard.output, shard.errors) for shard in state.shards]
    return msgspec.json.encode([[home and home.sha256 for home in pair] for pair in homes])


def _stored(folder: JobFolder, state: JobState) -> pa.Table | None:
    if not folder.answers.is_file() or not all(shard.fetched for shard in state.shards):
        return None
    try:
        table = pq.read_table(folder.answers)
    except (OSError, pa.ArrowException):
        return None
    same = (table.schema.metadata or {}).get(b"sources") == _sources(state)
    return table.drop_columns("digest") if same else None


def _read_files(
    folder: JobFolder, manifest: Mapping[str, Any], recipe: Recipe, rows: Rows, state: JobState
) -> pa.Table:
    endpoint = endpoint_of(recipe.endpoint)
    parts: list[pa.Table] = []
    for shard, (told, now) in enumerate(zip(manifest["shards"], state.shards, strict=True)):
        start, stop = told["start"], told["stop"]
        if now.batch is None or not now.fetched:
            parts.append(pending(stop - start))
            continue
        digests = rows.request_digest.slice(start, stop - start).to_pylist()
        fingerprint = manifest["fingerprint"]
        ids = [custom_id(fingerprint, start + i, digest) for i, digest in enumerate(digests)]
        parts.append(read_shard(_homes(folder, shard, now), endpoint, ids, now.batch)[0])
    answers = pa.concat_tables(parts) if parts else pending(0)
    if all(shard.fetched for shard in state.shards):
        _store(folder, answers, rows, state)
    return answers


def _homes(folder: JobFolder, shard: int, state: ShardState) -> list[Any]:
    return [
        path
        for path, home in (
            (folder.output(shard), state.output),
            (folder.errors(shard), state.errors),
        )
        if home is not None
    ]


def _store(folder: JobFolder, answers: pa.Table, rows: Rows, state: JobState) -> None:
    table = answers.append_column("digest", rows.request_digest)
    table = table.replace_schema_metadata({"sources": _sources(state)})
    with replacing(folder.answers) as file:
        pq.write_table(table, file, compression="zstd")


def _typed(spec: OutputSpec, answers: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Read the texts of the good answers; what does not obey the spec becomes ``invalid``."""
    good = pc.equal(answers["status"], "ok")
    texts = pc.if_else(good, answers["text"], pa.scalar(None, pa.large_string()))
    parsed = parse_answers(spec, texts)
    broken = pc.and_(good, pc.is_valid(parsed.errors))
    status = pc.if_else(broken, "invalid", answers["status"])
    error = pc.if_else(broken, pc.cast(parsed.errors, pa.string()), answers["error"])
    answers = answers.set_column(answers.column_names.index("status"), "status", status)
    answers = answers.set_column(answers.column_names.index("error"), "error", error)
    return answers, parsed.columns


def ledger(job: JobAnswers, *, details: bool = False) -> pd.DataFrame:
    """Return one row for each row of the frame that was submitted, in its order."""
    absent = job.rows.absent
    columns = _columns(job, job.rows.number, _told(job.rows.number, absent), details=details)
    return pd.DataFrame(columns, index=pd.RangeIndex(len(job.rows)))


def row_counts(job: JobAnswers) -> dict[str, int]:
    """Count the rows of each status; they add up to the rows of the submitted frame."""
    number = job.rows.number
    of_requests = np.asarray(job.answers["status"].to_pylist(), dtype=object)
    asked = of_requests[number[number >= 0]]
    counts = {status: int((asked == status).sum()) for status in STATUSES}
    counts["skipped"] += int((number < 0).sum())
    return {status: rows for status, rows in counts.items() if rows}


def join(
    frame: pd.DataFrame,
    jobs: Sequence[JobAnswers],
    *,
    prefix: str = "",
    details: bool = False,
    overwrite: bool = False,
) -> pd.DataFrame:
    """Return a new frame: `frame` and, behind its columns, the answers to its rows.

    Where several jobs answered a row, the first with an ``ok`` answer gives it.

    Raises
    ------
    ColumnError
        If a column of an answer's name is there and `overwrite` is False, or if the jobs do not
        answer the same question.
    """
    _refuse_other_questions([job.recipe.output for job in jobs])
    found = [_answers_to(frame, job, details=details) for job in jobs]
    merged = {prefix + name: column for name, column in _first_ok(found).items()}
    taken = taken_names(frame, list(merged))
    if taken and not overwrite:
        raise ColumnError.taken(
            taken, 'Join under other names, join(job, prefix="second_"), or replace the columns, '
            "join(job, overwrite=True)."
        )  # fmt: skip
    labels = {name: _label(frame, name) for name in merged}
    replaced = {labels[name] for name in taken}
    joined = frame.loc[:, [label not in replaced for label in frame.columns]].copy()
    for name, column in merged.items():
        # An array, not a Series: by position, whatever the index is.
        joined[labels[name]] = column.array
    return joined


def taken_names(frame: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """Name those answer columns for which the frame has a column already."""
    there = set(frame.columns)
    return [name for name in names if _label(frame, name) in there]


def _label(frame: pd.DataFrame, name: str) -> Hashable:
    """Return the label of an answer column in this frame: as deep as its other labels."""
    levels = frame.columns.nlevels
    return name if levels == 1 else (name, *[""] * (levels - 1))


def _refuse_other_questions(outputs: Sequence[OutputSpec]) -> None:
    first = outputs[0]
    for other in outputs[1:]:
        if [(f.name, f.kind) for f in other.fields] != [(f.name, f.kind) for f in first.fields]:
            raise ColumnError.different_answers(
                *[[f.name for f in x.fields] for x in (first, other)]
            )


def _answers_to(frame: pd.DataFrame, job: JobAnswers, *, details: bool) -> dict[str, pd.Series]:
    identity, absent = row_digests(job.recipe, frame)
    number = job.rows.find(identity)
    if job.recipe.prompt is None:
        absent = job.rows.why_absent(identity)
    return _columns(job, number, _told(number, absent), details=details)


def _told(number: npt.NDArray[np.int64], absent: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Say the status and reason of rows that no request answers; null where one does."""
    unasked = pa.array(number < 0)
    has_no_prompt = pc.is_valid(absent)
    status = pc.if_else(unasked, pc.if_else(has_no_prompt, "skipped", "missing"), None)
    error = pc.if_else(unasked, pc.coalesce(absent, pa.scalar(_NOT_ASKED)), None)
    return status.cast(pa.string()), error.cast(pa.string())


def _columns(
    job: JobAnswers,
    number: npt.NDArray[np.int64],
    told: tuple[pa.Array, pa.Array],
    *,
    details: bool,
) -> dict[str, pd.Series]:
    take = pa.array(number, mask=number < 0)
    answers, typed = job.answers.take(take), job.columns.take(take)
    status, error = told
    columns = {
        field.name: to_pandas(typed[field.name], field) for field in job.recipe.output.fields
    }
    columns["bf_status"] = pd.Series(
        pd.Categorical(pc.coalesce(answers["status"], status).to_pylist(), categories=STATUSES)
    )
    columns["bf_error"] = _strings(pc.coalesce(answers["error"], error))
    if details:
        columns |= _details(job, take, answers)
    return columns


def _details(job: JobAnswers, take: pa.Array, answers: pa.Table) -> dict[str, pd.Series]:
    digests = job.rows.request_digest.take(take).to_pylist()
    fingerprint = job.manifest["fingerprint"]
    ids = [
        None if digest is None else custom_id(fingerprint, number, digest)
        for number, digest in zip(take.to_pylist(), digests, strict=True)
    ]
    tokens = {
        f"bf_{name}": pd.Series(answers[name].to_pandas(types_mapper=_NULLABLE.get))
        for name in ("input_tokens", "output_tokens", "cached_tokens")
    }
    return {
        "bf_custom_id": _strings(pa.chunked_array([pa.array(ids, pa.string())])),
        **tokens,
        "bf_finish_reason": _strings(answers["finish_reason"]),
        "bf_raw": _strings(answers["text"]),
    }


_NULLABLE: Final[Mapping[pa.DataType, Any]] = {
    pa.int64(): pd.Int64Dtype(),
    pa.float64(): pd.Float64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
}


def _strings(column: pa.ChunkedArray) -> pd.Series:
    return pd.Series(column.to_pylist(), dtype=_text_dtype())


def _text_dtype() -> Any:
    # pandas 3 calls its text "str"; before, that word would write None as "None".
    return "str" if int(pd.__version__.partition(".")[0]) >= 3 else "string"  # noqa: PLR2004


def to_pandas(column: pa.ChunkedArray, field: Field) -> pd.Series:
    """Turn one answer column into its pandas dtype."""
    if field.kind == "category":
        levels = list(field.levels or ())
        return pd.Series(pd.Categorical(column.to_pylist(), categories=levels))
    if field.kind in {"string", "json"}:
        return _strings(column)
    if field.kind == "list":
        return pd.Series(column.to_pylist(), dtype=object)
    return pd.Series(column.to_pandas(types_mapper=_NULLABLE.get))


def _first_ok(found: Sequence[dict[str, pd.Series]]) -> dict[str, pd.Series]:
    merged = dict(found[0])
    for other in found[1:]:
        better = (merged["bf_status"] != "ok") & other["bf_status"].isin(["ok"])
        better |= (merged["bf_status"] == "missing") & (other["bf_status"] != "missing")
        for name, column in other.items():
            mine, theirs = _same_levels(merged[name], column)
            merged[name] = theirs.where(better, mine)
    return merged


def _same_levels(first: pd.Series, second: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Give two category columns the levels of both: a second job may have offered more labels."""
    if not isinstance(first.dtype, pd.CategoricalDtype):
        return first, second
    levels = list(dict.fromkeys([*first.cat.categories, *second.cat.categories]))
    return first.cat.set_categories(levels), second.cat.set_categories(levels)
