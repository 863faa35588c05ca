"""The answers of a job: one for each request, read from its folder and typed.

``answers.parquet`` saves reading the result files again, and is used only if it was made of them.
``reused.parquet`` holds the answers that earlier jobs had already: they exist nowhere else if those
jobs are forgotten.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from batchframe._base.digests import ARROW, from_arrow
from batchframe._base.errors import JobError
from batchframe._base.private_files import open_private, replacing, sha256_of, translate_os_errors
from batchframe._base.safe_text import REFRESH
from batchframe._endpoints import STATUSES, endpoint_of, file_named_in, files_of, with_files
from batchframe._recipe.recipe import Recipe
from batchframe._requests.custom_ids import custom_ids
from batchframe._requests.input_files import InputFile
from batchframe._results.batch_answers import SCHEMA, never_sent, pending, read_shard
from batchframe._results.pandas_columns import category_codes
from batchframe._store.answer_files import AnswerFiles
from batchframe._store.folder import JobFolder
from batchframe._store.journal import JobState
from batchframe._store.manifest import Manifest, Record
from batchframe._store.rows import Rows, read_rows_of

_GONE: Final = (
    "its file is gone from the job's folder, and nothing else holds it: "
    'submit(rerun="again") asks anew'
)
_NEVER_FETCHED: Final = (
    "the file of {} is not in the job's folder, and batchframe no longer fetches videos (OpenAI "
    "shut its Videos API down on 2026-09-24)"
)
_TOLD: Final = ("status", "error", "text")

STORED: pa.Schema = SCHEMA.append(pa.field("digest", ARROW))
"""An answer beside the name of its request."""

_ADDED: Final = ("cache_write_tokens",)
"""Columns that came later: files of reused answers may be without them."""
# No two vectors are alike: looking for a dictionary makes reading them three times as slow.
_PARQUET: Final[dict[str, Any]] = {
    "compression": "zstd",
    "write_page_checksum": True,
    "use_dictionary": [name for name in STORED.names if name != "vector"],
}


@dataclass(frozen=True, eq=False)
class JobAnswers:
    """Everything that a job knows about its requests.

    Attributes
    ----------
    answers
        One row for each request: its status, and what its answer said, as ``batch_answers`` has it.
    columns
        One row for each request: the typed answer columns, null where there is no valid answer.
    costs
        For each request, what this job paid for it in USD; None where that is not known, or nobody
        asked.
    """

    manifest: Manifest
    rows: Rows
    answers: pa.Table
    columns: pa.Table
    costs: npt.NDArray[np.object_] | None = None

    @cached_property
    def custom_ids(self) -> pa.Array:
        """The name that each request was sent under; null where it was not sent."""
        return sent_ids(self.manifest, self.rows)

    @property
    def sent(self) -> pa.Table:
        """The answers to what this job sent, without those that earlier jobs had already."""
        return self.answers.slice(0, self.manifest.requests - self.manifest.reused)


def read_job(record: Record) -> JobAnswers:
    """Read what has come home so far.

    Raises
    ------
    JobError
        If the folder is damaged.
    """
    rows = read_rows_of(record)
    answers, columns = typed(record.manifest.recipe, read_answers(record, rows))
    return JobAnswers(record.manifest, rows, answers, _resolve_paths(record, columns))


def _resolve_paths(record: Record, columns: pa.Table) -> pa.Table:
    """Write the paths of files in the place of their names."""
    recipe = record.manifest.recipe
    folder = pa.scalar(f"{record.folder.files.absolute()}{os.sep}", pa.large_string())
    nothing = pa.scalar("", pa.large_string())
    for at, field in enumerate(endpoint_of(recipe.endpoint).fields(recipe)):
        if field.kind == "file":
            paths = pc.binary_join_element_wise(folder, columns[field.name], nothing)
            columns = columns.set_column(at, field.name, paths)
    return columns


def read_answers(record: Record, rows: Rows) -> pa.Table:
    """Return one row for each request as it came back, before the output spec has read it."""
    answer_kind = endpoint_of(record.manifest.recipe.endpoint).answer_kind
    answers = _stored(record)
    if answer_kind == "inline":
        return answers or _read_files(record, rows)
    if answers is None or _lost_mask(record, answers).any():
        answers = _read_files(record, rows)
    if answer_kind == "reference":
        answers = _with_stored_files(record, rows, answers)
    return _mark_lost(answers, _lost_mask(record, answers))


def _with_stored_files(record: Record, rows: Rows, answers: pa.Table) -> pa.Table:
    """Put the file that each answer refers to into its text, or say why it is not there."""
    files = AnswerFiles(record.folder.files)
    names_by_id = {name.partition(".")[0]: name for name in sorted(files.names())}
    ids = sent_ids(record.manifest, rows)
    values = [
        _with_stored_file(files, custom_id, names_by_id, text)
        if status == "ok" and custom_id is not None
        else (status, error, text)
        for custom_id, status, error, text in zip(
            ids.to_pylist(), *(answers[name].to_pylist() for name in _TOLD), strict=True
        )
    ]
    for name, column in zip(_TOLD, zip(*values, strict=True), strict=False):
        kind = SCHEMA.field(name).type
        answers = answers.set_column(SCHEMA.names.index(name), name, pa.array(column, kind))
    return answers


def _with_stored_file(
    files: AnswerFiles, custom_id: str, names_by_id: Mapping[str, str], text: str | None
) -> tuple[str, str | None, str | None]:
    name = names_by_id.get(custom_id)
    if name is None:
        return "invalid", _NEVER_FETCHED.format(file_named_in(text)), text
    if name.endswith(".gone"):
        return "invalid", files.why_gone(custom_id), text
    return "ok", None, with_files(text, [name])


def _lost_mask(record: Record, answers: pa.Table) -> npt.NDArray[np.bool_]:
    """Tell which answers name a file that is not in the job's folder."""
    stored_names = AnswerFiles(record.folder.files).names()
    names_per_answer = [files_of(text) for text in answers["text"].to_pylist()]
    return np.array([not stored_names.issuperset(names) for names in names_per_answer], dtype=bool)


def _mark_lost(answers: pa.Table, lost: npt.NDArray[np.bool_]) -> pa.Table:
    """Say that the files of some answers are gone."""
    if not lost.any():
        return answers
    is_lost = pa.array(lost)
    for name, value in (("status", "missing"), ("error", _GONE)):
        column = pc.if_else(is_lost, pa.scalar(value), answers[name])
        answers = answers.set_column(answers.column_names.index(name), name, column)
    return answers


def typed(recipe: Recipe, answers: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Read the good answers as columns; what does not obey the spec becomes ``invalid``."""
    good = pc.equal(answers["status"], "ok")
    parsed = endpoint_of(recipe.endpoint).read(recipe, answers, good)
    broken = pc.and_(good, pc.is_valid(parsed.errors))
    status = pc.if_else(broken, "invalid", answers["status"])
    error = pc.if_else(broken, pc.cast(parsed.errors, pa.string()), answers["error"])
    answers = answers.set_column(answers.column_names.index("status"), "status", status)
    answers = answers.set_column(answers.column_names.index("error"), "error", error)
    return answers, parsed.columns


def write_reused(folder: JobFolder, answers: pa.Table) -> None:
    """Keep the answers that earlier jobs had to the last requests of this one."""
    with replacing(folder.reused) as file:
        pq.write_table(answers.cast(STORED), file, **_PARQUET)


def read_reused(record: Record) -> pa.Table:
    """Read the answers that earlier jobs had.

    Raises
    ------
    JobError
        If the file is absent or damaged.
    """
    path = record.folder.reused
    try:
        with translate_os_errors(path), open_private(path) as file:
            table = pq.read_table(file, page_checksum_verification=True)
            table = _add_missing_columns(table).cast(STORED)
    except (OSError, ValueError, pa.ArrowException) as reason:
        raise JobError.damaged(str(path), str(reason)) from None
    if not _is_readable(table, record.manifest.reused):
        raise JobError.damaged(str(path), "it does not hold one answer for each request")
    return table


def _add_missing_columns(table: pa.Table) -> pa.Table:
    """Add, as unknown, what answers of an earlier version did not state."""
    names = STORED.names
    for name in [name for name in _ADDED if name not in table.column_names]:
        absent = pa.nulls(table.num_rows, STORED.field(name).type)
        table = table.add_column(names.index(name), STORED.field(name), absent)
    return table


def _sources(state: JobState) -> bytes:
    transfers = [(shard.output, shard.errors) for shard in state.shards]
    return msgspec.json.encode(
        [[transfer and transfer.sha256 for transfer in pair] for pair in transfers]
    )


def _stored(record: Record) -> pa.Table | None:
    if not record.folder.answers.is_file() or not record.done:
        return None
    try:
        with open_private(record.folder.answers) as file:
            table = pq.read_table(file, page_checksum_verification=True)
    except (OSError, pa.ArrowException, JobError):
        return None
    same = (table.schema.metadata or {}).get(b"sources") == _sources(record.state)
    if not same or not _is_readable(table, record.manifest.requests):
        return None
    return table.drop_columns("digest")


def _is_readable(table: pa.Table, requests: int) -> bool:
    """Tell whether a stored table has one answer, of a known status, for each request."""
    if table.num_rows != requests or table.schema != STORED:
        return False
    return bool(pc.all(pc.is_in(table["status"], pa.array(STATUSES)), min_count=0).as_py())


def _read_files(record: Record, rows: Rows) -> pa.Table:
    shards = range(len(record.state.shards))
    # Hashing leaves the interpreter to the reader of the part before.
    with ThreadPoolExecutor(1) as worker:
        result_files = worker.map(lambda shard: _homes(record, shard), shards)
        parts = [_read_part(record, rows, *each) for each in zip(shards, result_files, strict=True)]
    if record.manifest.reused:
        parts.append(read_reused(record).drop_columns("digest"))
    answers = pa.concat_tables(parts) if parts else pending(0)
    if record.done:
        # A cache only: a folder that cannot be written can still be read.
        with contextlib.suppress(OSError):
            _store(record, answers, rows)
    return answers


def _read_part(record: Record, rows: Rows, shard: int, result_files: list[Path]) -> pa.Table:
    file, state = record.manifest.inputs[shard], record.state.shards[shard]
    if state.step == "dropped":
        return never_sent(file.stop - file.start)
    if state.batch is None or not state.fetched:
        return pending(file.stop - file.start)
    ids = _custom_ids(record.manifest.fingerprint, rows, file)
    endpoint = endpoint_of(record.manifest.recipe.endpoint)
    keep = AnswerFiles(record.folder.files).keep
    return read_shard(result_files, endpoint, ids, state.batch, gone=state.gone, keep=keep)


def sent_ids(manifest: Manifest, rows: Rows) -> pa.Array:
    """Return the name that each request was sent under; null where it was not sent."""
    sent = [_custom_ids(manifest.fingerprint, rows, file) for file in manifest.inputs]
    return pa.concat_arrays([*sent, pa.nulls(manifest.reused, pa.string())])


def _custom_ids(fingerprint: str, rows: Rows, file: InputFile) -> pa.Array:
    digests = from_arrow(rows.request_digest.slice(file.start, file.stop - file.start))
    return custom_ids(fingerprint, file.start + file.ahead, digests)


def _homes(record: Record, shard: int) -> list[Path]:
    """Return the result files of a shard, if they are what came back."""
    folder, state = record.folder, record.state.shards[shard]
    if state.batch is None or not state.fetched:
        return []
    paths = ((folder.output(shard), state.output), (folder.errors(shard), state.errors))
    fetched = [(path, transfer) for path, transfer in paths if transfer is not None]
    for path, transfer in fetched:
        if not path.is_file() or sha256_of(path) != transfer.sha256:
            raise JobError(
                f"{path!s} is not what came back from the service: it was changed or removed "
                "since.",
                next_step="Call "
                + REFRESH
                + ": it is fetched again, as long as the service keeps it (30 days).",
            )
    return [path for path, _ in fetched]


def _store(record: Record, answers: pa.Table, rows: Rows) -> None:
    table = answers.append_column("digest", rows.request_digest)
    table = table.replace_schema_metadata({"sources": _sources(record.state)})
    with replacing(record.folder.answers) as file:
        pq.write_table(table, file, **_PARQUET)


def row_counts(job: JobAnswers) -> dict[str, int]:
    """Count the rows of each status; they add up to the rows of the submitted frame."""
    number = job.rows.number
    codes = category_codes(job.answers["status"], STATUSES)[number[number >= 0]]
    rows = np.bincount(codes, minlength=len(STATUSES))
    rows[STATUSES.index("skipped")] += int((number < 0).sum())
    return {status: int(count) for status, count in zip(STATUSES, rows, strict=True) if count}


def failures(job: JobAnswers, most: int = 3) -> dict[str, int]:
    """Return the commonest reasons why requests failed, and how many of them say so."""
    failed = job.answers.filter(pc.equal(job.answers["status"], "failed"))
    entries = pc.value_counts(failed["error"].combine_chunks()).to_pylist()
    entries.sort(key=lambda entry: -entry["counts"])
    return {entry["values"] or "": entry["counts"] for entry in entries[:most]}
