"""Recipe × rows → requests: which row asks what, and the bytes that ask it.

In: a recipe and a frame. Out: a frozen :class:`RequestTable`, streamed in record batches.
Must not know: prices, files, the network.
"""

from __future__ import annotations

import hashlib
import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from batchframe._endpoints import endpoint_of
from batchframe._lines import Envelope, custom_id, digests, envelope, line, request_bytes
from batchframe._recipe import Recipe
from batchframe._source import DIGEST_BYTES, Source, read_cells, read_prompts, row_identity
from batchframe._template import Template, almost_placeholders, bind, parse, templates_in
from batchframe.errors import TemplateError, TemplateWarning

FINGERPRINT_VERSION = b"batchframe 1"
_SORTABLE: Final = np.dtype(f"S{DIGEST_BYTES}")
_PACKAGE: Final = Path(__file__).parent


@dataclass(frozen=True)
class RequestTable:
    """All rows of a job and the requests they need.

    Attributes
    ----------
    digest
        For each row, the name of its request; zeros where the row has none.
    number
        For each row, the position of its request among :attr:`requests`; −1 where it has none.
    first_row
        For each request, the first row that asks it.
    size
        For each request, the bytes of its line behind the ``custom_id``.
    """

    recipe: Recipe
    source: Source
    envelope: Envelope
    digest: npt.NDArray[np.void]
    number: npt.NDArray[np.int64]
    first_row: npt.NDArray[np.int64]
    size: npt.NDArray[np.int64]

    @property
    def rows(self) -> int:
        """How many rows the frame has."""
        return len(self.source)

    @property
    def requests(self) -> int:
        """How many requests are to be sent."""
        return len(self.first_row)

    @cached_property
    def fingerprint(self) -> str:
        """The content of all requests in any order, as 64 hexadecimal digits.

        A frame that was sorted or re-indexed, or that repeats rows, has the same fingerprint.
        """
        content = hashlib.sha256(FINGERPRINT_VERSION + self.recipe.endpoint.encode())
        content.update(np.sort(self.digest[self.first_row].view(_SORTABLE)).tobytes())
        return content.hexdigest()

    @property
    def line_overhead(self) -> int:
        """The bytes of a line that are not the request: ``custom_id``, braces, line end."""
        widest = custom_id(self.fingerprint, max(self.requests - 1, 0), bytes(DIGEST_BYTES))
        return len(line(widest, b""))

    def lines(self) -> Iterator[bytes]:
        """Yield the line of each request, in order."""
        for number, (digest, request) in enumerate(self.each_request()):
            yield line(custom_id(self.fingerprint, number, digest), request)

    def each_request(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield the digest and the bytes of each request, in order."""
        for rows, batch in self.request_batches():
            for row, request in zip(rows, request_bytes(self.envelope, batch), strict=True):
                yield self.digest[row].tobytes(), request

    def request_batches(self) -> Iterator[tuple[npt.NDArray[np.int64], pa.RecordBatch]]:
        """Yield the rows that ask a request first, and their cells, a record batch at a time."""
        is_first = np.zeros(self.rows, dtype=bool)
        is_first[self.first_row] = True
        for start, batch in self.source.batches():
            chosen = is_first[start : start + batch.num_rows]
            yield start + np.flatnonzero(chosen), batch.filter(pa.array(chosen))


def request_table(
    recipe: Recipe, frame: pd.DataFrame, function: Callable[[Mapping[Any, Any]], Any] | None = None
) -> RequestTable:
    """Render every row once, and find the rows that ask the same.

    Parameters
    ----------
    function
        The prompt function, for a recipe whose ``prompt`` is None.

    Raises
    ------
    InputError
        For a template, column or cell that cannot be used.
    """
    if function is None:
        _warn_of_almost_placeholders(recipe, frame)
    recipe, source, cut = _prepare(recipe, frame, function)
    digest, size = _digest_rows(source, cut)
    if source.identity is not None:
        _refuse_moods(frame, _as_void(source.identity), digest)
    number, first_row = _number_requests(digest, _has_prompt(source), dedupe=recipe.dedupe)
    return RequestTable(recipe, source, cut, digest, number, first_row, size[first_row])


def _warn_of_almost_placeholders(recipe: Recipe, frame: pd.DataFrame) -> None:
    for template in templates_in(endpoint_of(recipe.endpoint).body(recipe)):
        for written, name in almost_placeholders(template, list(frame.columns)):
            told = TemplateWarning.almost_a_placeholder(written, name)
            warnings.warn(told, stacklevel=_depth())


def _depth() -> int:
    """Count the frames up to the first line that is not ours: the user's, for a warning."""
    depth, frame = 0, inspect.currentframe()
    while frame is not None and Path(frame.f_code.co_filename).is_relative_to(_PACKAGE):
        depth, frame = depth + 1, frame.f_back
    return depth


def _refuse_moods(
    frame: pd.DataFrame, identity: npt.NDArray[np.void], digest: npt.NDArray[np.void]
) -> None:
    """Refuse a prompt function that asks differently about rows that `join` cannot tell apart."""
    _, first, inverse = np.unique(identity.view(_SORTABLE), return_index=True, return_inverse=True)
    differs = np.flatnonzero(digest != digest[first[inverse]])
    if len(differs):
        pair = [int(first[inverse[differs[0]]]), int(differs[0])]
        raise TemplateError.not_of_the_row(*((row, frame.index[row]) for row in pair))


def row_digests(recipe: Recipe, frame: pd.DataFrame) -> tuple[npt.NDArray[np.void], pa.Array]:
    """Name the request of each row of any frame, to find the row's answer.

    Returns
    -------
    The digest of each row, and why a row has no prompt (null where it has one). For a recipe whose
    prompts a function made, the digest is that of the row's cells.
    """
    if recipe.prompt is None:
        identity = row_identity(frame, recipe.columns)
        return _as_void(identity), pa.nulls(len(frame), pa.string())
    # Missing cells are no error here: such a row simply has no request.
    tolerant = "skip" if recipe.on_missing == "raise" else recipe.on_missing
    _, source, cut = _prepare(replace(recipe, on_missing=tolerant), frame, None)
    return _digest_rows(source, cut)[0], source.absent


def _as_void(identity: pa.Array) -> npt.NDArray[np.void]:
    return np.frombuffer(b"".join(identity.to_pylist()), dtype=f"V{DIGEST_BYTES}")


def _prepare(
    recipe: Recipe, frame: pd.DataFrame, function: Callable[[Mapping[Any, Any]], Any] | None
) -> tuple[Recipe, Source, Envelope]:
    endpoint = endpoint_of(recipe.endpoint)
    if function is not None:
        columns = tuple(str(label) for label in frame.columns)
        recipe = replace(recipe, columns=columns)
        messages_of = endpoint.messages_of(
            replace(recipe, system=_constant_system(recipe)), function
        )
        source = read_prompts(frame, messages_of, recipe.on_missing)
        return recipe, source, envelope(recipe.endpoint, endpoint.body(recipe))
    body = _bind(endpoint.body(recipe), list(frame.columns))
    cells = [cell for template in templates_in(body) for cell in template.cells]
    if not cells:
        raise TemplateError.no_column([str(label) for label in frame.columns])
    source = read_cells(frame, cells, recipe.on_missing)
    return recipe, source, envelope(recipe.endpoint, body)


def _constant_system(recipe: Recipe) -> str | None:
    if recipe.system is None:
        return None
    constant = parse(recipe.system).constant
    if constant is None:
        raise TemplateError.system_with_function(recipe.system)
    return constant


def _bind(value: Any, labels: list[Any]) -> Any:
    if isinstance(value, Template):
        return bind(value, labels)
    if isinstance(value, Mapping):
        return {key: _bind(item, labels) for key, item in value.items()}
    if isinstance(value, list):
        return [_bind(item, labels) for item in value]
    return value


def _has_prompt(source: Source) -> npt.NDArray[np.bool_]:
    return np.asarray(pc.is_null(source.absent).to_numpy(zero_copy_only=False), dtype=bool)


def _digest_rows(
    source: Source, cut: Envelope
) -> tuple[npt.NDArray[np.void], npt.NDArray[np.int64]]:
    digest = np.zeros(len(source), dtype=f"V{DIGEST_BYTES}")
    size = np.zeros(len(source), dtype=np.int64)
    has_prompt = _has_prompt(source)
    for start, batch in source.batches():
        rows = slice(start, start + batch.num_rows)
        requests = request_bytes(cut, batch)
        digest[rows] = digests(requests)
        size[rows] = [len(request) for request in requests]
    digest[~has_prompt] = np.zeros(1, digest.dtype)
    return digest, size


def _number_requests(
    digest: npt.NDArray[np.void], has_prompt: npt.NDArray[np.bool_], *, dedupe: bool
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    rows = np.flatnonzero(has_prompt)
    number = np.full(len(digest), -1, dtype=np.int64)
    if not dedupe:
        number[rows] = np.arange(len(rows))
        return number, rows
    _, first, inverse = np.unique(
        digest[rows].view(_SORTABLE), return_index=True, return_inverse=True
    )
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    number[rows] = rank[inverse]
    return number, rows[first[order]]
