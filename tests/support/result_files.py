"""Answers of one batch, read from its result files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from batchframe._endpoints import endpoint_of
from batchframe._results import batch_answers, line
from batchframe._services.batch import Batch, BatchError

CHAT = "/v1/chat/completions"


def read_table(
    files: Iterable[Path],
    ids: Sequence[str],
    endpoint: str = CHAT,
    *,
    status: str = "completed",
    errors: Iterable[tuple[str | None, str | None, int | None]] = (),
    gone: Sequence[str] = (),
    keep: Callable[[str, bytes], str] | None = None,
    wrap: Callable[[Any], Any] = lambda endpoint: endpoint,
) -> pa.Table:
    """Read the result files of an ended batch.

    Parameters
    ----------
    errors
        Code, message and line of each error of the batch.
    gone
        Ids of files that the service named but did not return.
    wrap
        Changes how the endpoint reads.
    """
    batch = Batch("batch_1", status, errors=tuple(BatchError(*error) for error in errors))
    return batch_answers.read_batch_answers(
        files, wrap(endpoint_of(endpoint)), ids, batch, gone, keep=keep
    )


def read_answers(
    files: Iterable[Path], ids: Sequence[str], endpoint: str = CHAT, **options: Any
) -> list[dict[str, Any]]:
    """Read the files of a batch as a list of answers."""
    answers: list[dict[str, Any]] = read_table(files, ids, endpoint, **options).to_pylist()
    return answers


def line_counts(path: Path) -> tuple[int, int]:
    """Count the readable and unreadable lines of a result file."""
    counts = line.count_lines(path)
    return counts.whole, counts.broken
