"""Split requests into input files within service limits; write them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from batchframe._base.endpoint_paths import EndpointPath
from batchframe._base.errors import FileIsThereError, RequestError
from batchframe._base.private_files import replacing
from batchframe._base.progress import progress
from batchframe._base.safe_text import NextStep
from batchframe._requests.lines import replace_endpoint
from batchframe._requests.table import RequestTable
from batchframe._services.provider import Provider

MOST_INPUTS: Final = 50_000
"""Maximum embedding inputs per batch, one per request (OpenAI Batch guide, 2026-11; other
endpoints accept more requests)."""


_Count = Annotated[int, msgspec.Meta(ge=0, le=2**31)]
_Size = Annotated[int, msgspec.Meta(ge=0, le=2**62)]


@dataclass(frozen=True)
class InputFile:
    """An input file: its range of requests, size and checksum.

    Attributes
    ----------
    start, stop
        The requests from `start` to `stop` (exclusive).
    tokens
        The input tokens of its requests.
    ahead
        The offset of the numbers in its ``custom_id``; positive if the server had only some input
        files of a recovered job.
    """

    start: _Count
    stop: _Count
    bytes: _Size
    sha256: str
    ahead: _Count = 0
    tokens: _Size = 0


def pack(
    sizes: npt.NDArray[np.int64],
    max_requests: int,
    max_bytes: int,
    tokens: npt.NDArray[np.int64] | None = None,
    max_tokens: int | None = None,
) -> list[range]:
    """Fill input files in order; return the range of requests in each.

    Parameters
    ----------
    sizes, tokens
        The bytes and the input tokens of each line; each is within its limit.

    Examples
    --------
    >>> pack(np.array([4, 4, 4, 4, 4]), max_requests=3, max_bytes=9)
    [range(0, 2), range(2, 4), range(4, 5)]
    """
    limits = [(sizes, max_bytes)]
    if tokens is not None and max_tokens is not None:
        limits.append((tokens, max_tokens))
    files: list[range] = []
    start = 0
    while start < len(sizes):
        window = slice(start, start + max_requests)
        stop = start + min(_fitting(column[window], limit) for column, limit in limits)
        files.append(range(start, stop))
        start = stop
    return files


def _fitting(numbers: npt.NDArray[np.int64], limit: int) -> int:
    """Count the leading numbers whose sum is at most `limit`."""
    return int(np.searchsorted(np.cumsum(numbers), limit, side="right"))


def plan_input_files(
    table: RequestTable,
    provider: Provider,
    tokens: npt.NDArray[np.int64] | None = None,
    max_tokens: int | None = None,
) -> list[range]:
    """Split the requests to send into input files.

    Parameters
    ----------
    tokens, max_tokens
        The input tokens of each request, and the service's limit on enqueued tokens, which each
        file respects.

    Raises
    ------
    RequestError
        If a single request exceeds the size or token limit; the message names its row.
    """
    sizes = table.size[: table.to_send] + table.line_overhead
    if len(sizes) and sizes.max() > provider.max_bytes:
        largest = int(sizes.argmax())
        raise RequestError(
            f"The request of {table.where(largest)} has {int(sizes[largest]):,} bytes, above the "
            f"limit of {provider.name} for an input file ({provider.max_bytes:,}). Fix: drop the "
            'row, or shorten it: df["text"] = df["text"].str.slice(0, 100_000).'
        )
    if tokens is not None and max_tokens is not None and (tokens > max_tokens).any():
        longest = int(tokens.argmax())
        if max_tokens == provider.max_enqueued_tokens:
            need = int(tokens[longest])
            raise RequestError(
                f"The request of {table.where(longest)} has {need:,} input tokens, more than the "
                f"queue of {provider.name} holds for this model ({max_tokens:,}); it can never "
                "run.",
                next_step="Fix: shorten or drop the row. If the account's limit is higher now: "
                + NextStep(f"submit(max_enqueued_tokens={need})", f"--max-enqueued-tokens {need}")
                + ".",
            )
        raise RequestError(
            f"max_enqueued_tokens: below the {int(tokens[longest]):,} input tokens of "
            f"{table.where(longest)} ({max_tokens:,}). Fix: raise the limit, or shorten the row."
        )
    max_requests = provider.max_requests
    if table.recipe.endpoint == EndpointPath.EMBEDDINGS:
        queue = provider.max_enqueued_inputs or MOST_INPUTS
        max_requests = min(max_requests, MOST_INPUTS, queue)
    return pack(sizes, max_requests, provider.max_bytes, tokens, max_tokens)


def write_inputs(
    table: RequestTable,
    files: Iterable[range],
    paths: Iterable[Path],
    provider: Provider,
    tokens: npt.NDArray[np.int64] | None = None,
) -> Iterator[InputFile]:
    """Stream the input files to disk; yield a description of each.

    Each file appears only once complete.
    """
    blocks = _blocks(table, provider)
    rest: list[bytes] = []
    with progress("writing input files", table.to_send, " requests") as advance:
        for requests, path in zip(files, paths, strict=True):
            digest, size = hashlib.sha256(), 0
            # The worker must finish before the file is closed.
            with replacing(path) as file, ThreadPoolExecutor(1) as worker:
                pending_write = worker.submit(int)
                remaining = len(requests)
                while remaining:
                    block = rest or next(blocks)
                    count, rest = min(remaining, len(block)), block[remaining:]
                    remaining -= count
                    content = b"".join(block[:count])
                    block.clear()  # avoids a second copy of large images
                    size += pending_write.result()
                    pending_write = worker.submit(_write_and_hash, content, file, digest)
                    advance(count)
                size += pending_write.result()
            start, stop = requests.start, requests.stop
            token_count = 0 if tokens is None else int(tokens[start:stop].sum())
            yield InputFile(start, stop, size, digest.hexdigest(), tokens=token_count)


def _blocks(table: RequestTable, provider: Provider) -> Iterator[list[bytes]]:
    """Yield blocks of lines with the service's endpoint URL."""
    endpoint = table.recipe.endpoint
    url = provider.url_of(endpoint)
    if url == endpoint:
        yield from table.line_blocks()
        return
    for block in table.line_blocks():
        for at, line in enumerate(block):
            block[at] = replace_endpoint(line, endpoint, url)
        yield block


def _write_and_hash(content: bytes, file: IO[bytes], digest: Any) -> int:
    """Write and hash content; both release the GIL."""
    digest.update(content)
    return file.write(content)


def input_files(
    table: RequestTable, files: Sequence[range], folder: Path, provider: Provider
) -> list[Path]:
    """Write the input files to a user's folder without overwriting.

    Raises
    ------
    FileIsThereError
        If a file of that name exists.
    RequestError
        If `folder` is a file, or a file cannot be written.
    """
    if folder.suffix in {".jsonl", ".json"} or folder.is_file():
        name = str(folder.with_suffix("")) if folder.suffix else f"{folder}-requests"
        raise RequestError(
            f"folder: a file name ({str(folder)!r}); to_jsonl() writes requests-000.jsonl, ... "
            f"into a folder. Fix: requests.to_jsonl({name!r})."
        )
    paths = [folder / f"requests-{number:03d}.jsonl" for number in range(len(files))]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in paths:
            if path.exists():
                raise FileIsThereError(
                    f"{path!s} exists and is not overwritten. Fix: choose another folder, or "
                    "delete the file."
                )
        with ExitStack() as cleanup:
            # Partial output would block the next call.
            for path in paths:
                cleanup.callback(path.unlink, missing_ok=True)
            list(write_inputs(table, files, paths, provider))
            cleanup.pop_all()
    except OSError as reason:
        if isinstance(reason, FileIsThereError):
            raise
        raise RequestError(
            f"folder: cannot be written ({str(folder)!r}: {reason.strerror or reason!s}). Fix: "
            'free some space, or choose another, requests.to_jsonl("folder").'
        ) from None
    return paths
