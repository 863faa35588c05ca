"""Read the answers of a job from its folder, one per request.

``answers.parquet`` caches the result files and is used only if it matches them. ``reused.parquet``
stores the answers of earlier jobs, since those jobs may be forgotten.
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
from batchframe._output import Field
from batchframe._recipe.recipe import Recipe
from batchframe._requests.custom_ids import custom_ids
from batchframe._requests.input_files import InputFile
from batchframe._results.batch_answers import SCHEMA, never_sent, pending, read_batch_answers
from batchframe._results.pandas_columns import category_codes
from batchframe._store.answer_files import AnswerFiles
from batchframe._store.folder import JobFolder
from batchframe._store.journal import JobState
from batchframe._store.manifest import Manifest, Record
from batchframe._store.rows import Rows, read_rows_of

_LOST: Final = 'its file is missing from the job folder; submit(rerun="again") requests it again'
_NO_VIDEO: Final = (
    "the file of {} is missing from the job folder, and batchframe no longer fetches videos "
    "(OpenAI shut its Videos API down on 2026-09-24)"
)
_FIELDS: Final = ("status", "error", "text")

STORED: pa.Schema = SCHEMA.append(pa.field("digest", ARROW))
"""The columns of an answer with the digest of its request."""

_ADDED: Final = ("cache_write_tokens",)
"""Columns added in later versions, which older files of reused answers lack."""
# Vectors are distinct, and dictionary encoding makes reading them three times as slow.
_PARQUET: Final[dict[str, Any]] = {
    "compression": "zstd",
    "write_page_checksum": True,
    "use_dictionary": [name for name in STORED.names if name != "vector"],
}


@dataclass(frozen=True, eq=False)
class JobAnswers:
    """The answers of a job, with typed columns and costs.

    Attributes
    ----------
    answers
        One row per request, with the schema of ``batch_answers``.
    columns
        One row per request: the typed answer columns, null without a valid answer.
    costs
        The cost of each request to this job in USD; None if unknown or not computed.
    """

    manifest: Manifest
    rows: Rows
    answers: pa.Table
    columns: pa.Table
    costs: npt.NDArray[np.object_] | None = None

    @cached_property
    def custom_ids(self) -> pa.Array:
        """The ``custom_id`` of each request; null if it was not sent."""
        return sent_ids(self.manifest, self.rows)

    @property
    def sent(self) -> pa.Table:
        """The answers to requests that this job sent, without reused ones."""
        return self.answers.slice(0, self.manifest.requests - self.manifest.reused)


def read_job(record: Record) -> JobAnswers:
    """Read the answers received so far.

    Raises
    ------
    JobError
        If the folder is damaged.
    """
    rows = read_rows_of(record)
    answers, columns = typed(record.manifest.recipe, read_answers(record, rows))
    return JobAnswers(record.manifest, rows, answers, _resolve_paths(record, columns))


def _resolve_paths(record: Record, columns: pa.Table) -> pa.Table:
    """Replace file names by absolute paths."""
    recipe = record.manifest.recipe
    folder = pa.scalar(f"{record.folder.files.absolute()}{os.sep}", pa.large_string())
    suffix = pa.scalar("", pa.large_string())
    for at, field in enumerate(endpoint_of(recipe.endpoint).fields(recipe)):
        if field.kind == "file":
            paths = pc.binary_join_element_wise(folder, columns[field.name], suffix)
            columns = columns.set_column(at, field.name, paths)
    return columns


def read_answers(record: Record, rows: Rows) -> pa.Table:
    """Return the raw answers of a job, one row per request."""
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
    """Resolve the files that answers reference; mark missing ones."""
    files = AnswerFiles(record.folder.files)
    names_by_id = {name.partition(".")[0]: name for name in sorted(files.names())}
    ids = sent_ids(record.manifest, rows)
    values = [
        _with_stored_file(files, custom_id, names_by_id, text)
        if status == "ok" and custom_id is not None
        else (status, error, text)
        for custom_id, status, error, text in zip(
            ids.to_pylist(), *(answers[name].to_pylist() for name in _FIELDS), strict=True
        )
    ]
    for name, column in zip(_FIELDS, zip(*values, strict=True), strict=False):
        array = pa.array(column, SCHEMA.field(name).type)
        answers = answers.set_column(SCHEMA.names.index(name), name, array)
    return answers


def _with_stored_file(
    files: AnswerFiles, custom_id: str, names_by_id: Mapping[str, str], text: str | None
) -> tuple[str, str | None, str | None]:
    name = names_by_id.get(custom_id)
    if name is None:
        return "invalid", _NO_VIDEO.format(file_named_in(text)), text
    if name.endswith(".gone"):
        return "invalid", files.missing_reason(custom_id), text
    return "ok", None, with_files(text, [name])


def _lost_mask(record: Record, answers: pa.Table) -> npt.NDArray[np.bool_]:
    """Return a mask of answers with a file missing from the folder."""
    stored_names = AnswerFiles(record.folder.files).names()
    names_per_answer = [files_of(text) for text in answers["text"].to_pylist()]
    return np.array([not stored_names.issuperset(names) for names in names_per_answer], dtype=bool)


def _mark_lost(answers: pa.Table, lost: npt.NDArray[np.bool_]) -> pa.Table:
    """Set the status of answers whose files are gone to ``missing``."""
    if not lost.any():
        return answers
    is_lost = pa.array(lost)
    for name, value in (("status", "missing"), ("error", _LOST)):
        column = pc.if_else(is_lost, pa.scalar(value), answers[name])
        answers = answers.set_column(answers.column_names.index(name), name, column)
    return answers


def typed(recipe: Recipe, answers: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Parse answers into typed columns; mark mismatches as ``invalid``."""
    is_ok = pc.equal(answers["status"], "ok")
    parsed = endpoint_of(recipe.endpoint).read(recipe, answers, is_ok)
    is_invalid = pc.and_(is_ok, pc.is_valid(parsed.errors))
    status = pc.if_else(is_invalid, "invalid", answers["status"])
    error = pc.if_else(is_invalid, pc.cast(parsed.errors, pa.string()), answers["error"])
    answers = answers.set_column(answers.column_names.index("status"), "status", status)
    answers = answers.set_column(answers.column_names.index("error"), "error", error)
    return answers, parsed.columns


def write_reused(folder: JobFolder, answers: pa.Table) -> None:
    """Write the reused answers of a job, for its last requests."""
    with replacing(folder.reused) as file:
        pq.write_table(answers.cast(STORED), file, **_PARQUET)


def read_reused(record: Record) -> pa.Table:
    """Read the reused answers of a job.

    Raises
    ------
    JobError
        If the file is missing or damaged.
    """
    path = record.folder.reused
    try:
        with translate_os_errors(path), open_private(path) as file:
            table = pq.read_table(file, page_checksum_verification=True)
            table = _add_missing_columns(table).cast(STORED)
    except (OSError, ValueError, pa.ArrowException) as reason:
        raise JobError.damaged(str(path), str(reason)) from None
    if not _is_readable(table, record.manifest.reused):
        raise JobError.damaged(str(path), "it does not have one answer per request")
    return table


def _add_missing_columns(table: pa.Table) -> pa.Table:
    """Add null columns that files of earlier versions lack."""
    names = STORED.names
    for name in [name for name in _ADDED if name not in table.column_names]:
        nulls = pa.nulls(table.num_rows, STORED.field(name).type)
        table = table.add_column(names.index(name), STORED.field(name), nulls)
    return table


def _sources(state: JobState) -> bytes:
    transfers = [(file.output, file.errors) for file in state.inputs]
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
    is_current = (table.schema.metadata or {}).get(b"sources") == _sources(record.state)
    if not is_current or not _is_readable(table, record.manifest.requests):
        return None
    return table.drop_columns("digest")


def _is_readable(table: pa.Table, requests: int) -> bool:
    """Return whether a table has one answer of valid status per request."""
    if table.num_rows != requests or table.schema != STORED:
        return False
    return bool(pc.all(pc.is_in(table["status"], pa.array(STATUSES)), min_count=0).as_py())


def _read_files(record: Record, rows: Rows) -> pa.Table:
    indexes = range(len(record.state.inputs))
    # Hashing releases the GIL, so it overlaps with reading the previous files.
    with ThreadPoolExecutor(1) as worker:
        result_files = worker.map(lambda index: _result_files(record, index), indexes)
        pairs = zip(indexes, result_files, strict=True)
        parts = [_read_part(record, rows, *pair) for pair in pairs]
    if record.manifest.reused:
        parts.append(read_reused(record).drop_columns("digest"))
    answers = pa.concat_tables(parts) if parts else pending(0)
    if record.done:
        # The file is only a cache, so a read-only folder is not an error.
        with contextlib.suppress(OSError):
            _store(record, answers, rows)
    return answers


def _read_part(record: Record, rows: Rows, index: int, result_files: list[Path]) -> pa.Table:
    file, state = record.state.files[index], record.state.inputs[index]
    if state.step == "dropped":
        return never_sent(file.stop - file.start)
    if not state.fetched:
        return pending(file.stop - file.start)
    ids = _custom_ids(record.manifest.fingerprint, rows, file)
    endpoint = endpoint_of(record.manifest.recipe.endpoint)
    keep = AnswerFiles(record.folder.files).keep
    batch = None if state.abandoned else state.batch
    return read_batch_answers(result_files, endpoint, ids, batch, gone=state.gone, keep=keep)


def sent_ids(manifest: Manifest, rows: Rows) -> pa.Array:
    """Return the ``custom_id`` of each request; null if it was not sent."""
    ids = [_custom_ids(manifest.fingerprint, rows, file) for file in manifest.inputs]
    return pa.concat_arrays([*ids, pa.nulls(manifest.reused, pa.string())])


def _custom_ids(fingerprint: str, rows: Rows, file: InputFile) -> pa.Array:
    digests = from_arrow(rows.request_digest.slice(file.start, file.stop - file.start))
    return custom_ids(fingerprint, file.start + file.ahead, digests)


def _result_files(record: Record, index: int) -> list[Path]:
    """Return the result files of an input file, after checking hashes."""
    folder, state = record.folder, record.state.inputs[index]
    if state.batch is None or not state.fetched:
        return []
    output, errors = folder.output(state.number), folder.errors(state.number)
    paths = ((output, state.output), (errors, state.errors))
    files = [(path, transfer) for path, transfer in paths if transfer is not None]
    for path, transfer in files:
        if not path.is_file() or sha256_of(path) != transfer.sha256:
            raise JobError(
                f"{path!s}: missing or changed since the download.",
                next_step="Fix: " + REFRESH + " downloads it again (within 30 days).",
            )
    return [path for path, _ in files]


def _store(record: Record, answers: pa.Table, rows: Rows) -> None:
    table = answers.append_column("digest", rows.request_digest)
    table = table.replace_schema_metadata({"sources": _sources(record.state)})
    with replacing(record.folder.answers) as file:
        pq.write_table(table, file, **_PARQUET)


def row_counts(job: JobAnswers) -> dict[str, int]:
    """Count the rows of the submitted frame by status."""
    number = job.rows.number
    codes = category_codes(job.answers["status"], STATUSES)[number[number >= 0]]
    rows = np.bincount(codes, minlength=len(STATUSES))
    rows[STATUSES.index("skipped")] += int((number < 0).sum())
    return {status: int(count) for status, count in zip(STATUSES, rows, strict=True) if count}


def answer_fields(job: JobAnswers) -> tuple[Field, ...]:
    """Return the answer columns of a job."""
    recipe = job.manifest.recipe
    return endpoint_of(recipe.endpoint).fields(recipe)


def failures(job: JobAnswers, most: int = 3) -> dict[str, int]:
    """Return the most common errors of failed requests, with counts."""
    failed = job.answers.filter(pc.equal(job.answers["status"], "failed"))
    entries = pc.value_counts(failed["error"].combine_chunks()).to_pylist()
    entries.sort(key=lambda entry: -entry["counts"])
    return {entry["values"] or "": entry["counts"] for entry in entries[:most]}
