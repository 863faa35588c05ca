"""Recipe × rows → requests: which row asks what, and the bytes that ask it.

In: a recipe and rows. Out: a frozen :class:`RequestTable`, streamed in record batches.
Must not know: prices, files, the network.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from batchframe._digests import NONE, Digests, blank, digests_of, group, sorted_bytes
from batchframe._display import progress
from batchframe._endpoints import endpoint_of
from batchframe._image_cells import column_position, raise_if_unreadable
from batchframe._lines import (
    KEPT,
    REQUEST,
    Envelope,
    custom_id,
    envelope,
    line,
    line_heads,
    request_bytes,
    with_slots,
)
from batchframe._recipe import Recipe
from batchframe._source import (
    Source,
    raise_if_absent,
    read_cells,
    read_prompts,
    row_identity,
)
from batchframe._streamed_source import StreamedSource, prompts_of_parts
from batchframe._tabular import Tabular
from batchframe._template import Cell, almost_placeholders, bind_all, parse, templates_in
from batchframe._warn import warn_user
from batchframe.errors import TemplateError, TemplateWarning

FINGERPRINT_VERSION = b"batchframe 1"


@dataclass(frozen=True, eq=False)
class RequestTable:
    """All rows of a job and the requests they need.

    Attributes
    ----------
    digest
        For each row, the name of its request, also where it is held back; zeros where the row has
        none.
    number
        For each row, the position of its request among :attr:`requests`; −1 where it has none.
    first_row
        For each request, the first row that asks it; :attr:`number` itself where all rows differ.
    size
        For each request, the bytes of its line behind the ``custom_id``.
    reused
        How many of the requests, the last ones, are answered already and are not sent.
    home
        The file or folder that the rows are read from; None for rows in memory.
    """

    recipe: Recipe
    source: Source | StreamedSource
    envelope: Envelope
    digest: Digests
    number: npt.NDArray[np.int64]
    first_row: npt.NDArray[np.int64]
    size: npt.NDArray[np.int64]
    reused: int = 0
    home: str | None = None

    @property
    def rows(self) -> int:
        """How many rows the frame has."""
        return len(self.source)

    @property
    def requests(self) -> int:
        """How many different requests there are."""
        return len(self.first_row)

    @property
    def to_send(self) -> int:
        """How many requests are to be sent."""
        return self.requests - self.reused

    @property
    def request_digest(self) -> Digests:
        """For each request, its name."""
        return self.digest if self.first_row is self.number else self.digest[self.first_row]

    def without(self, answered: npt.NDArray[np.bool_]) -> RequestTable:
        """Return the same requests, those that are answered already last, so as not to be sent."""
        order = np.argsort(answered, kind="stable")
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        number = self.number.copy()
        number[number >= 0] = place[number[number >= 0]]
        return replace(
            self,
            number=number,
            first_row=self.first_row[order],
            size=self.size[order],
            reused=int(answered.sum()),
        )

    def held_back(self, why: Mapping[int, str]) -> RequestTable:
        """Return the same rows without some requests, by number; `why` says so of their rows."""
        kept = np.ones(self.requests, dtype=bool)
        kept[list(why)] = False
        place = np.where(kept, np.cumsum(kept) - 1, -1)
        has_one = self.number >= 0
        number = self.number.copy()
        number[has_one] = place[self.number[has_one]]
        absent = self.source.absent.to_pylist()
        for row in np.flatnonzero(has_one & (number < 0)).tolist():
            absent[row] = why[int(self.number[row])]
        return replace(
            self,
            source=replace(self.source, absent=pa.array(absent, pa.string())),
            number=number,
            first_row=self.first_row[kept],
            size=self.size[kept],
        )

    @cached_property
    def fingerprint(self) -> str:
        """The content of all requests in any order, as 64 hexadecimal digits.

        A frame that was sorted or re-indexed, or that repeats rows, has the same fingerprint.
        """
        return fingerprint_of(self.recipe.endpoint, self.request_digest)

    @property
    def line_overhead(self) -> int:
        """The bytes of a line that are not the request: ``custom_id``, braces, line end."""
        widest = custom_id(self.fingerprint, max(self.requests - 1, 0), NONE)
        return len(line(widest, b""))

    def lines(self) -> Iterator[bytes]:
        """Yield the line of each request that is to be sent, in order."""
        for block in self.line_blocks():
            yield from block

    def line_blocks(self) -> Iterator[list[bytes]]:
        """Yield the lines of :meth:`lines`, those of a record batch at a time."""
        start = 0
        for rows, requests in self._request_blocks():
            heads = line_heads(self.fingerprint, start, self.digest[rows])
            start += len(heads)
            lines = [head + request + b"\n" for head, request in zip(heads, requests, strict=True)]
            requests.clear()  # images are large: they are held once
            yield lines

    def each_request(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield the digest and the bytes of each request that is to be sent, in order.

        Raises
        ------
        CellError, SourceError
            If an image, or a row that is read from disk, is no longer what it was when the
            requests were made.
        """
        for rows, requests in self._request_blocks():
            for row, request in zip(rows, requests, strict=True):
                yield self.digest[row].tobytes(), request

    def _request_blocks(self) -> Iterator[tuple[npt.NDArray[np.int64], list[bytes]]]:
        for rows, batch in self.request_batches():
            requests = request_bytes(self.envelope, batch)
            if self.source.may_change:
                self._refuse_others(rows, requests)
            yield rows, requests

    def _refuse_others(self, rows: npt.NDArray[np.int64], requests: Sequence[bytes]) -> None:
        changed = rows[digests_of(requests) != self.digest[rows]]
        if len(changed):
            raise self.source.changed(int(changed[0]))

    def sketched(self) -> RequestTable:
        """Return the same requests, each image a stub of its size: to be read, not to be sent."""
        return replace(self, source=self.source.sketched())

    def request_batches(self) -> Iterator[tuple[npt.NDArray[np.int64], pa.RecordBatch]]:
        """Yield the rows whose requests are to be sent, and their cells, batch by batch."""
        is_first = np.zeros(self.rows, dtype=bool)
        is_first[self.first_row[: self.to_send]] = True
        return self.source.batches(is_first)


def fingerprint_of(endpoint: str, request_digest: Digests) -> str:
    """Name the content of requests, in any order: 64 hexadecimal digits."""
    content = hashlib.sha256(FINGERPRINT_VERSION + endpoint.encode())
    content.update(sorted_bytes(request_digest))
    return content.hexdigest()


def request_table(
    recipe: Recipe, rows: Tabular, function: Callable[[Mapping[Any, Any]], Any] | None = None
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
        _warn_of_almost_placeholders(recipe, rows)
    recipe, source, cut = _prepare(recipe, rows, function)
    _refuse_missing(recipe, source)
    unreadable: dict[int, str] = {}
    source, digest, size = _digest_rows(source, cut, unreadable)
    _refuse_missing(recipe, source)  # of a stream it is known only now
    raise_if_unreadable(unreadable, rows.index)
    if source.identity is not None:
        _refuse_two_prompts_for_equal_cells(rows.index, source.identity, digest)
    number, first_row = _number_requests(digest, _has_prompt(source), dedupe=recipe.dedupe)
    home = None if rows.home is None else str(rows.home)
    size = size if first_row is number else size[first_row]
    return RequestTable(recipe, source, cut, digest, number, first_row, size, home=home)


def _refuse_missing(recipe: Recipe, source: Source | StreamedSource) -> None:
    if recipe.on_missing == "raise":
        raise_if_absent(source.absent, source.labels)


def _warn_of_almost_placeholders(recipe: Recipe, rows: Tabular) -> None:
    for template in templates_in(endpoint_of(recipe.endpoint).body(recipe)):
        for written, name in almost_placeholders(template, list(rows.columns)):
            warn_user(TemplateWarning.almost_a_placeholder(written, name))


def _refuse_two_prompts_for_equal_cells(
    labels: pd.Index, identity: Digests, digest: Digests
) -> None:
    """Refuse a prompt function that asks differently about rows that `join` cannot tell apart."""
    number, first = group(identity)
    differs = np.flatnonzero(digest != digest[first[number]])
    if len(differs):
        pair = [int(first[number[differs[0]]]), int(differs[0])]
        raise TemplateError.not_of_the_row(*((row, labels[row]) for row in pair))


def asked_of(table: RequestTable, model: str) -> RequestTable:
    """Ask the same of another model: other bytes, other digests, the same rows."""
    recipe = replace(table.recipe, model=model)
    source, cut = table.source, table.envelope
    if isinstance(source, Source) and cut.slots == KEPT.slots:
        source = _with_model(source, table.recipe, recipe)
    else:
        slots = iter(cut.slots)
        cut = envelope(
            recipe.endpoint, with_slots(endpoint_of(recipe.endpoint).body(recipe), slots)
        )
    unreadable: dict[int, str] = {}
    source, digest, size = _digest_rows(source, cut, unreadable)
    raise_if_unreadable(unreadable, source.labels)
    return replace(
        table,
        recipe=recipe,
        source=source,
        envelope=cut,
        digest=digest,
        size=size[table.first_row],
    )


def _with_model(source: Source, old: Recipe, new: Recipe) -> Source:
    """Write another model into requests that are kept as they were sent; it stands first there."""
    kept = source.columns[REQUEST]
    names = (msgspec.json.encode(recipe.model).decode() for recipe in (old, new))
    before, after = (f'"body":{{"model":{name},' for name in names)
    changed = pc.replace_substring(kept, before, after, max_replacements=1)
    return replace(source, columns=source.columns.set_column(0, REQUEST, changed))


def row_digests(
    recipe: Recipe, rows: Tabular, checksum: str | None = None
) -> tuple[Digests, pa.Array, pa.Array] | None:
    """Name the request of each row of any frame, to find the row's answer.

    Returns
    -------
    The digest of each row, why a row has no prompt, and why its images cannot be read any more
    (null where it has one, and they can). For a recipe whose prompts a function made, the digest is
    that of the row's cells. None if they are the rows of `checksum`, in their order.
    """
    none = pa.nulls(len(rows), pa.string())
    if recipe.prompt is None:
        cells = rows.only(_labelled(rows, recipe.columns))
        found = [row_identity(part, recipe.columns) for part in cells.parts()]
        return np.concatenate([blank(0), *found]), none, none
    # Missing cells are no error here: such a row simply has no request.
    _, source, cut = _prepare(recipe, rows, None)
    if checksum is not None and source.checksum(partial(request_bytes, cut)) == checksum:
        return None
    unreadable: dict[int, str] = {}
    source, digest, _ = _digest_rows(source, cut, unreadable)
    reasons = pa.array(map(unreadable.get, range(len(rows))), pa.string()) if unreadable else none
    return digest, source.absent, reasons


def _prepare(
    recipe: Recipe, rows: Tabular, function: Callable[[Mapping[Any, Any]], Any] | None
) -> tuple[Recipe, Source | StreamedSource, Envelope]:
    endpoint = endpoint_of(recipe.endpoint)
    if function is not None:
        recipe = replace(recipe, columns=tuple(map(str, rows.columns)))
        prompt_of = endpoint.prompts_of(replace(recipe, system=_constant_system(recipe)), function)
        source = _prompts(recipe, rows, prompt_of)
        return recipe, source, envelope(recipe.endpoint, endpoint.body(recipe))
    unbound = endpoint.body(recipe)
    body, cells = _bound(unbound, rows)
    if not cells and recipe.images is None:
        raise TemplateError.no_column([str(label) for label in rows.columns])
    if not rows.streamed:
        [part] = rows.parts()
        source = read_cells(part, cells, recipe.on_missing, recipe.images)
        return recipe, source, envelope(recipe.endpoint, body)
    shown = () if recipe.images is None else recipe.images.columns
    for name in shown:
        column_position(name, list(rows.columns))  # before they are fewer
    rows = rows.only([*(rows.columns[cell.column] for cell in cells), *_labelled(rows, shown)])
    body, cells = _bound(unbound, rows)

    def read() -> Iterator[Source]:
        for part in rows.parts():
            yield read_cells(part, cells, recipe.on_missing, recipe.images)

    absent = pa.nulls(len(rows), pa.string())
    return recipe, StreamedSource(rows.index, absent, read), envelope(recipe.endpoint, body)


def _prompts(
    recipe: Recipe, rows: Tabular, prompt_of: Callable[[Mapping[Any, Any]], Any]
) -> Source | StreamedSource:
    if recipe.on_missing not in {"raise", "skip"}:
        raise TemplateError.function_with_stand_in(recipe.on_missing)
    if rows.streamed:
        return prompts_of_parts(rows, prompt_of)
    [part] = rows.parts()
    with progress("calling the prompt function", len(rows), " rows") as advance:
        return read_prompts(part, prompt_of, advance)


def _bound(body: Any, rows: Tabular) -> tuple[Any, list[Cell]]:
    bound = bind_all(body, list(rows.columns))
    return bound, [cell for template in templates_in(bound) for cell in template.cells]


def _labelled(rows: Tabular, names: Sequence[str]) -> list[Hashable]:
    """Return the labels of the columns that have these names; what is missing is told later."""
    return [label for label in rows.columns if str(label) in set(names)]


def _constant_system(recipe: Recipe) -> str | None:
    if recipe.system is None:
        return None
    constant = parse(recipe.system).constant
    if constant is None:
        raise TemplateError.system_with_function(recipe.system)
    return constant


def _has_prompt(source: Source | StreamedSource) -> npt.NDArray[np.bool_]:
    return np.asarray(pc.is_null(source.absent).to_numpy(zero_copy_only=False), dtype=bool)


def _digest_rows(
    source: Source | StreamedSource, cut: Envelope, unreadable: dict[int, str]
) -> tuple[Source | StreamedSource, Digests, npt.NDArray[np.int64]]:
    """Render each row, and name and measure its request; learn which rows have none."""
    digest = blank(len(source))
    size = np.zeros(len(source), dtype=np.int64)
    absent: list[pa.Array] = []
    with progress("rendering", len(source), " rows") as advance:
        for start, part in source.parts():
            absent.append(part.absent)
            in_vain: dict[int, str] = {}
            for rows, batch in part.batches(_has_prompt(part), in_vain):
                requests = request_bytes(cut, batch)
                digest[start + rows] = digests_of(requests)
                size[start + rows] = np.fromiter(map(len, requests), np.int64, len(requests))
                advance(batch.num_rows)
            unreadable.update({start + row: why for row, why in in_vain.items()})
    return source.knowing(pa.concat_arrays(absent or [source.absent])), digest, size


def _number_requests(
    digest: Digests, has_prompt: npt.NDArray[np.bool_], *, dedupe: bool
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    if has_prompt.all():
        everywhere = np.arange(0 if dedupe else len(digest))
        return group(digest) if dedupe else (everywhere, everywhere)
    rows = np.flatnonzero(has_prompt)
    found, first = _number_requests(digest[rows], has_prompt[rows], dedupe=dedupe)
    number = np.full(len(digest), -1, dtype=np.int64)
    number[rows] = found
    return number, rows[first]
