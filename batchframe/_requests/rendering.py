"""Render the recipe for each row and find duplicate requests."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from batchframe._base.digests import Digests, blank, digests_of, group
from batchframe._base.errors import (
    TemplateError,
    TemplateWarning,
    format_list,
    format_row,
    quote,
    warn_user,
)
from batchframe._base.progress import progress
from batchframe._base.safe_text import SKIP
from batchframe._endpoints import endpoint_of
from batchframe._frames.attached.columns import column_position, raise_if_unreadable
from batchframe._frames.tabular import Tabular
from batchframe._recipe.recipe import Recipe
from batchframe._recipe.slots import ENCODED_REQUEST, REQUEST, Envelope, Slot
from batchframe._recipe.template import (
    Cell,
    almost_placeholders,
    bind_all,
    map_leaves,
    parse,
    templates_in,
)
from batchframe._requests.lines import encode_envelope, request_bytes
from batchframe._requests.source import (
    Source,
    raise_if_absent,
    read_cells,
    read_prompts,
    row_identity,
)
from batchframe._requests.streamed_source import StreamedSource, stream_prompts
from batchframe._requests.table import RequestTable


def request_table(
    recipe: Recipe, rows: Tabular, function: Callable[[Mapping[Any, Any]], Any] | None = None
) -> RequestTable:
    """Render every row and merge duplicate requests.

    Parameters
    ----------
    function
        The prompt function, for a recipe whose ``prompt`` is None.

    Raises
    ------
    InputError
        If a template, column or cell is invalid.
    """
    if function is None:
        _warn_of_almost_placeholders(recipe, rows)
        source, envelope = _of_templates(recipe, rows)
    else:
        recipe = msgspec.structs.replace(recipe, columns=tuple(map(str, rows.columns)))
        source, envelope = _of_function(recipe, rows, function)
    _refuse_missing(recipe, source)
    rendered = _render(source, envelope)
    source, digest = rendered.source, rendered.digest
    _refuse_missing(recipe, source)  # a stream reports missing cells only now
    raise_if_unreadable(rendered.unreadable, rows.index)
    if source.identity is not None:
        _refuse_two_prompts_for_equal_cells(rows.index, source.identity, digest)
    number, first_row = _number_requests(digest, _prompt_mask(source), dedupe=recipe.dedupe)
    size = rendered.size if first_row is number else rendered.size[first_row]
    path = None if rows.source_path is None else str(rows.source_path)
    return RequestTable(recipe, source, envelope, digest, number, first_row, size, source_path=path)


def _refuse_missing(recipe: Recipe, source: Source | StreamedSource) -> None:
    if recipe.on_missing == "raise":
        raise_if_absent(source.absent, source.labels)


def _warn_of_almost_placeholders(recipe: Recipe, rows: Tabular) -> None:
    for template in templates_in(endpoint_of(recipe.endpoint).body(recipe)):
        for text, name in almost_placeholders(template, list(rows.columns)):
            warn_user(
                TemplateWarning(
                    f"prompt: {quote(text)} is sent unchanged, although {name!r} is a column. Fix: "
                    f"{{{{ {name} }}}}."
                )
            )


def _refuse_two_prompts_for_equal_cells(
    labels: pd.Index, identity: Digests, digest: Digests
) -> None:
    """Reject a prompt function with several prompts for equal rows.

    `join` cannot tell such rows apart.
    """
    number, first = group(identity)
    differs = np.flatnonzero(digest != digest[first[number]])
    if len(differs):
        rows = int(first[number[differs[0]]]), int(differs[0])
        left, right = (format_row(row, labels[row]) for row in rows)
        raise TemplateError(
            f"prompt: the function returned different prompts for {left} and {right}, which have "
            "equal cells; their answers could not be matched. Fix: put counters or random values "
            "in a column first."
        )


def for_model(table: RequestTable, model: str) -> RequestTable:
    """Return the request table for another model: same rows, new bytes."""
    recipe = msgspec.structs.replace(table.recipe, model=model)
    source, envelope = table.source, table.envelope
    if isinstance(source, Source) and envelope.slots == ENCODED_REQUEST.slots:
        source = _with_model(source, table.recipe, recipe)
    else:
        slots = iter(envelope.slots)
        body = endpoint_of(recipe.endpoint).body(recipe)
        # The bound slots are in the same places for every model.
        bound_body = map_leaves(body, lambda leaf: next(slots) if isinstance(leaf, Slot) else leaf)
        envelope = encode_envelope(recipe.endpoint, bound_body)
    rendered = _render(source, envelope)
    raise_if_unreadable(rendered.unreadable, source.labels)
    return replace(
        table,
        recipe=recipe,
        source=rendered.source,
        envelope=envelope,
        digest=rendered.digest,
        size=rendered.size[table.first_row],
    )


def _with_model(source: Source, old: Recipe, new: Recipe) -> Source:
    """Replace the model in stored requests, where it comes first."""
    requests = source.columns[REQUEST]
    names = (msgspec.json.encode(recipe.model).decode() for recipe in (old, new))
    before, after = (f'"body":{{"model":{name},' for name in names)
    columns = pc.replace_substring(requests, before, after, max_replacements=1)
    return replace(source, columns=source.columns.set_column(0, REQUEST, columns))


def row_digests(
    recipe: Recipe, rows: Tabular, checksum: str | None = None
) -> tuple[Digests, pa.Array, pa.Array] | None:
    """Compute the request digest of each row, to look up its answer.

    Returns
    -------
    The digest of each row, the reason a row has no prompt, and the reason its images or files
    cannot be read (null otherwise). With a prompt function, the digest is that of the row's cells.
    None if the rows match `checksum`, in the same order.
    """
    no_reasons = pa.nulls(len(rows), pa.string())
    if recipe.prompt is None:
        cells = rows.only(_labels_of(rows, recipe.columns))
        digests = [row_identity(block, recipe.columns) for block in cells.blocks()]
        return np.concatenate([blank(0), *digests]), no_reasons, no_reasons
    # A row with a missing cell has no request, so it is not an error here.
    source, envelope = _of_templates(recipe, rows)
    if checksum is not None and source.checksum(partial(request_bytes, envelope)) == checksum:
        return None
    rendered = _render(source, envelope)
    if not rendered.unreadable:
        return rendered.digest, rendered.source.absent, no_reasons
    reasons = pa.array(map(rendered.unreadable.get, range(len(rows))), pa.string())
    return rendered.digest, rendered.source.absent, reasons


def request_of_row(recipe: Recipe, row: Tabular) -> bytes | None:
    """Render the request of a single row; None if it has none."""
    source, envelope = _of_templates(recipe, row)
    for _, block in source.blocks():
        for _, batch in block.batches(_prompt_mask(block), {}):
            for request in request_bytes(envelope, batch):
                return bytes(request)
    return None


def _of_templates(recipe: Recipe, rows: Tabular) -> tuple[Source | StreamedSource, Envelope]:
    """Read the cells used by the recipe's templates."""
    unbound = endpoint_of(recipe.endpoint).body(recipe)
    body, cells = _bind_body(unbound, rows)
    if not cells and not recipe.attached:
        names = [str(label) for label in rows.columns]
        example = names[0] if names else "text"
        raise TemplateError(
            "prompt: names no column, so all requests would be identical. Fix: add one, such as "
            f"{{{{ {example} }}}}. Columns: {format_list(names)}."
        )
    if not rows.streamed:
        [block] = rows.blocks()
        source = read_cells(block, cells, recipe.on_missing, recipe.attached)
        return source, encode_envelope(recipe.endpoint, body)
    attached_columns = [name for options in recipe.attached for name in options.columns]
    for name in attached_columns:
        column_position(name, list(rows.columns))  # raises before columns are dropped
    rows = rows.only(
        [*(rows.columns[cell.column] for cell in cells), *_labels_of(rows, attached_columns)]
    )
    body, cells = _bind_body(unbound, rows)

    def read() -> Iterator[Source]:
        for block in rows.blocks():
            yield read_cells(block, cells, recipe.on_missing, recipe.attached)

    absent = pa.nulls(len(rows), pa.string())
    return StreamedSource(rows.index, absent, read), encode_envelope(recipe.endpoint, body)


def _of_function(
    recipe: Recipe, rows: Tabular, function: Callable[[Mapping[Any, Any]], Any]
) -> tuple[Source | StreamedSource, Envelope]:
    """Call the prompt function on each row."""
    if recipe.on_missing not in {"raise", "skip"}:
        raise TemplateError(
            f"on_missing: not supported with a prompt function ({recipe.on_missing!r}).",
            next_step="Fix: return None for a row without a prompt, and pass " + SKIP + ".",
        )
    endpoint = endpoint_of(recipe.endpoint)
    constant = msgspec.structs.replace(recipe, system=_constant_system(recipe))
    prompt_of = endpoint.prompts_of(constant, function)
    envelope = encode_envelope(recipe.endpoint, endpoint.body(recipe))
    if rows.streamed:
        return stream_prompts(rows, prompt_of), envelope
    [block] = rows.blocks()
    with progress("calling the prompt function", len(rows), " rows") as advance:
        return read_prompts(block, prompt_of, advance), envelope


def _bind_body(body: Any, rows: Tabular) -> tuple[Any, list[Cell]]:
    bound = bind_all(body, list(rows.columns))
    return bound, [cell for template in templates_in(bound) for cell in template.cells]


def _labels_of(rows: Tabular, names: Sequence[str]) -> list[Hashable]:
    """Return the labels of columns with these names; ignore missing ones."""
    return [label for label in rows.columns if str(label) in set(names)]


def _constant_system(recipe: Recipe) -> str | None:
    if recipe.system is None:
        return None
    constant = parse(recipe.system).constant
    if constant is None:
        raise TemplateError(
            f"system: cannot name columns beside a prompt function ({quote(recipe.system)}). Fix: "
            'return [{"role": "system", "content": ...}, ...] from the function.'
        )
    return constant


def _prompt_mask(source: Source | StreamedSource) -> npt.NDArray[np.bool_]:
    return np.asarray(pc.is_null(source.absent).to_numpy(zero_copy_only=False), dtype=bool)


@dataclass(frozen=True, eq=False)
class _Rendered:
    """Rendered rows: the digest and size in bytes of each request.

    Attributes
    ----------
    unreadable
        The rows whose images or files cannot be sent, with the reason.
    """

    source: Source | StreamedSource
    digest: Digests
    size: npt.NDArray[np.int64]
    unreadable: dict[int, str]


def _render(source: Source | StreamedSource, envelope: Envelope) -> _Rendered:
    """Render each row; compute the digest and size of its request."""
    digest = blank(len(source))
    size = np.zeros(len(source), dtype=np.int64)
    absent: list[pa.Array] = []
    unreadable: dict[int, str] = {}
    with progress("rendering", len(source), " rows") as advance:
        for start, block in source.blocks():
            absent.append(block.absent)
            reasons: dict[int, str] = {}
            for rows, batch in block.batches(_prompt_mask(block), reasons):
                requests = request_bytes(envelope, batch)
                digest[start + rows] = digests_of(requests)
                size[start + rows] = np.fromiter(map(len, requests), np.int64, len(requests))
                advance(batch.num_rows)
            unreadable.update({start + row: reason for row, reason in reasons.items()})
    source = source.with_absent(pa.concat_arrays(absent or [source.absent]))
    return _Rendered(source, digest, size, unreadable)


def _number_requests(
    digest: Digests, has_prompt: npt.NDArray[np.bool_], *, dedupe: bool
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the request number per row and the first row per request."""
    if has_prompt.all():
        if dedupe:
            return group(digest)
        positions = np.arange(len(digest))
        return positions, positions
    rows = np.flatnonzero(has_prompt)
    numbers, first = _number_requests(digest[rows], has_prompt[rows], dedupe=dedupe)
    number = np.full(len(digest), -1, dtype=np.int64)
    number[rows] = numbers
    return number, rows[first]
