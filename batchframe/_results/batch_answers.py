"""Read output and error files into one answer per request of a batch.

Lines are matched by ``custom_id`` only. Unreadable lines and lines with an unknown ``custom_id``
are skipped and counted. The result does not depend on the order of the lines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from batchframe._base.progress import progress
from batchframe._base.threads import ordered_map
from batchframe._endpoints import STATUSES, Answer, Endpoint, with_files
from batchframe._results.bulk import read_block
from batchframe._results.line import NO_REASON, blocks, read_line, shorten, stripped
from batchframe._services.batch import Batch

SCHEMA: Final = pa.schema(
    {
        "status": pa.string(),
        "error": pa.string(),
        "text": pa.large_string(),
        "finish_reason": pa.string(),
        "input_tokens": pa.int64(),
        "output_tokens": pa.int64(),
        "cached_tokens": pa.int64(),
        "reasoning_tokens": pa.int64(),
        "cache_write_tokens": pa.int64(),
        "tool_calls": pa.large_string(),
        "reasoning": pa.large_string(),
        "vector": pa.large_binary(),
    }
)
_NOWHERE: Final = -1
_LARGE: Final = 1 << 22
"""Block size in bytes for reading in threads."""

Places = npt.NDArray[np.int64]
Keep = Callable[[str, bytes], str]


def read_batch_answers(
    files: Iterable[Path],
    endpoint: Endpoint,
    custom_ids: Sequence[str] | pa.Array,
    batch: Batch | None,
    gone: Sequence[str] = (),
    *,
    keep: Keep | None = None,
) -> pa.Table:
    """Read the result files of one finished batch.

    Parameters
    ----------
    custom_ids
        The ``custom_id`` of each request in the input file, in order.
    batch
        The batch; None if the user abandoned it.
    gone
        The IDs of result files that the service listed but could not deliver.
    keep
        Stores a file from an answer, given its ``custom_id``, and returns the file's name. Called
        for each file immediately, so only one file is in memory.
    """
    ids = pa.array(custom_ids, pa.string())
    reader = _Reader(endpoint, ids, keep)
    names: list[pa.Array] = []
    tables = [SCHEMA.empty_table()]
    with progress("reading answers", len(ids), " answers") as advance:
        for ids_of_block, answers in reader.read(files):
            names.append(ids_of_block)
            tables.append(answers)
            advance(len(ids_of_block))
    line_ids = pa.concat_arrays([pa.array([], pa.string()), *names])
    places = pc.index_in(line_ids, ids).fill_null(_NOWHERE).to_numpy().astype(np.int64)
    unreadable_count = line_ids.null_count
    foreign_count = int((places == _NOWHERE).sum()) - unreadable_count
    unanswered = _unanswered(batch, gone, unreadable_count, foreign_count)
    return _in_order(places, pa.concat_tables(tables), len(ids), unanswered)


class _Reader:
    """Reader for the result lines of one batch."""

    def __init__(self, endpoint: Endpoint, ids: pa.Array, keep: Keep | None) -> None:
        self._endpoint, self._ids, self._keep = endpoint, ids, keep

    def read(self, files: Iterable[Path]) -> Iterator[tuple[pa.Array, pa.Table]]:
        """Yield ``custom_id`` and answer of lines; unreadable IDs are null."""
        if self._endpoint.columnar is None:
            # Reading lines one by one holds the GIL, so threads do not help.
            return map(self._read, chain.from_iterable(map(blocks, files)))
        return ordered_map(self._read, chain.from_iterable(blocks(file, _LARGE) for file in files))

    def _read(self, block: bytes) -> tuple[pa.Array, pa.Table]:
        """Return ``custom_id`` and answer of lines; unreadable IDs are null."""
        parts = list(read_block(block, self._endpoint.columnar, SCHEMA))
        names: list[str | None] = []
        answers: list[Answer] = []
        for line in chain.from_iterable(part.rest for part in parts):
            if raw := stripped(line):
                name, answer = read_line(raw, self._endpoint)
                if name is not None and name in self._id_set:
                    answer = _store_files(answer, name, self._keep)
                names.append(name)
                answers.append(answer._replace(files=()))
        return (
            pa.concat_arrays([*(part.custom_ids for part in parts), pa.array(names, pa.string())]),
            pa.concat_tables([*(part.answers for part in parts), _table(answers)]),
        )

    @cached_property
    def _id_set(self) -> frozenset[str]:
        return frozenset(self._ids.to_pylist())


def _in_order(
    places: Places, answers: pa.Table, requests: int, unanswered: Callable[[int], Answer]
) -> pa.Table:
    """Reorder answers by request and fill in the missing ones."""
    matched = np.flatnonzero(places != _NOWHERE)
    lines = np.bincount(places[matched], minlength=requests)
    resolved = _resolve_duplicates(places, answers, np.flatnonzero(lines > 1))
    silent_places = np.flatnonzero(lines == 0).tolist()
    row = np.full(requests, _NOWHERE)
    row[places[matched]] = matched
    extra_answers = {**resolved, **{at: unanswered(at) for at in silent_places}}
    row[list(extra_answers)] = np.arange(len(answers), len(answers) + len(extra_answers))
    return (
        pa.concat_tables([answers, _table(list(extra_answers.values()))]).combine_chunks().take(row)
    )


def _resolve_duplicates(places: Places, table: pa.Table, repeated: Places) -> Mapping[int, Answer]:
    """Reduce several lines for the same request to one answer."""
    if not len(repeated):
        return {}
    rows = np.flatnonzero(np.isin(places, repeated))
    answers_by_place: dict[int, list[Answer]] = {}
    for at, answer in zip(places[rows].tolist(), table.take(rows).to_pylist(), strict=True):
        answers_by_place.setdefault(at, []).append(Answer(**answer))
    return {at: _resolve(answers) for at, answers in answers_by_place.items()}


def _store_files(answer: Answer, custom_id: str, keep: Keep | None) -> Answer:
    """Store the files of an answer and reference them in its text."""
    if not answer.files:
        return answer
    names = [] if keep is None else [keep(custom_id, file) for file in answer.files]
    return answer._replace(text=with_files(answer.text, names), files=())


def pending(requests: int) -> pa.Table:
    """Return placeholder answers for requests of an unfinished batch."""
    return _table([Answer("pending", "not answered yet", None)] * requests)


def never_sent(requests: int) -> pa.Table:
    """Return answers for requests of a job canceled before sending."""
    return _table([Answer("cancelled", "the job was cancelled before sending", None)] * requests)


def _table(answers: Sequence[Answer]) -> pa.Table:
    records = [answer[: len(SCHEMA)] for answer in answers]
    columns = zip(*records, strict=True) if records else [()] * len(SCHEMA)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
    return pa.table(arrays, schema=SCHEMA)


def _resolve(answers: Sequence[Answer]) -> Answer:
    """Choose one of several answers, independently of their order."""
    best = min(answers, key=_rank)
    if len({answer.content for answer in answers if answer.status == "ok"}) > 1:
        return best._replace(status="invalid", error=_CONFLICT)
    return best


def _rank(answer: Answer) -> tuple[int, list[str]]:
    return STATUSES.index(answer.status), [str(part) for part in answer[1:]]


_CONFLICT: Final = "the service returned two different answers to this request"


def _unanswered(
    batch: Batch | None, gone: Sequence[str], unreadable: int, foreign: int
) -> Callable[[int], Answer]:
    """Return a function from position to the answer for a missing line."""
    if batch is None:
        return lambda _: _ABANDONED
    if gone:
        message = shorten(f"the service did not return result file {', '.join(gone)}")
        return lambda _: Answer("missing", f"{message}; job.refresh() tries again", None)
    if batch.status == "failed":
        reason_for_line = _why_failed(batch)
        return lambda at: Answer("failed", shorten(reason_for_line(at + 1)), None)
    if batch.status in _ENDED_EARLY:
        answer = _ENDED_EARLY[batch.status]
        return lambda _: answer
    reason = "the service returned no line for this request"
    if unreadable:
        reason += f"; {unreadable} of its lines could not be read"
    if foreign:
        reason += f"; {foreign} of its lines had an unknown custom_id"
    return lambda _: Answer("missing", reason, None)


_ABANDONED: Final = Answer(
    "missing", "the job was abandoned before this answer arrived; it may still be billed", None
)
_ENDED_EARLY: Final = {
    "expired": Answer("expired", "the batch expired before this answer", None),
    "cancelled": Answer("cancelled", "the batch was cancelled before this answer", None),
}


def _why_failed(batch: Batch) -> Callable[[int], str]:
    """Return a function from line number to the reason of failure."""
    messages = {e.line: e.message or e.code or NO_REASON for e in reversed(batch.errors)}
    if not messages:
        return lambda _: f"the service rejected the batch; {NO_REASON}"
    first = batch.errors[0].line
    others = f"because of line {first}: {messages[first]}" if first else ""
    general = f": {messages[None]}" if None in messages else f" {others}"
    return lambda line: (
        f"the service rejected the batch{f': {messages[line]}' if line in messages else general}"
    )
