"""The bytes of vectors → one column of vectors, all of one length.

In: 32-bit floats as bytes, one answer each. Out: a fixed-size list column, and why a row has none.
Must not know: requests, files, pandas.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from batchframe._output import ParsedAnswers

_BYTES: Final = 4


def read_vectors(
    told: pa.ChunkedArray, good: pa.ChunkedArray, name: str, dimensions: int | None = None
) -> ParsedAnswers:
    """Read the good vectors, each as long as asked, or else as most of them are.

    Nothing is copied where every answer is good.

    Examples
    --------
    >>> one, two = np.array([[1, 2], [3, 4]], "<f4")
    >>> told = pa.chunked_array([[one.tobytes(), None, two.tobytes()]], pa.large_binary())
    >>> read_vectors(told, pc.is_valid(told), "embedding").columns["embedding"].to_pylist()
    [[1.0, 2.0], None, [3.0, 4.0]]
    """
    lengths = np.asarray(pc.fill_null(pc.binary_length(told), 0).to_numpy())
    sizes = lengths // _BYTES
    wanted = np.asarray(good.to_numpy(), dtype=bool) & (sizes > 0)
    length = dimensions or _usual(sizes[wanted])
    kept = wanted & (lengths == length * _BYTES)
    columns, start = [], 0
    for chunk in told.chunks:
        columns.append(_vectors(chunk, kept[start : start + len(chunk)], length))
        start += len(chunk)
    kind = pa.list_(pa.float32(), length)
    table = pa.table({name: pa.chunked_array(columns, kind)})
    return ParsedAnswers(table, _errors(sizes, wanted & ~kept, length))


def _usual(sizes: npt.NDArray[Any]) -> int:
    lengths, often = np.unique(sizes, return_counts=True)
    return int(lengths[often.argmax()]) if len(lengths) else 1


def _vectors(chunk: pa.Array, kept: npt.NDArray[np.bool_], length: int) -> pa.Array:
    if kept.all() and len(chunk):
        _, offsets, data = chunk.buffers()
        first = np.frombuffer(offsets, np.int64)[chunk.offset]
        numbers = np.frombuffer(data, "<f4", len(chunk) * length, int(first))
        return pa.FixedSizeListArray.from_arrays(pa.array(numbers), length)
    matrix = np.zeros((len(chunk), length), np.float32)
    if kept.any():
        texts = chunk.filter(pa.array(kept)).to_pylist()
        matrix[kept] = np.frombuffer(b"".join(texts), "<f4").reshape(-1, length)
    return pa.FixedSizeListArray.from_arrays(pa.array(matrix.ravel()), length, mask=pa.array(~kept))


def _errors(sizes: npt.NDArray[Any], wrong: npt.NDArray[np.bool_], length: int) -> pa.Array:
    words: list[str | None] = [None] * len(sizes)
    for at in np.flatnonzero(wrong):
        words[at] = f"the vector has {sizes[at]:,} dimensions and not {length:,}"
    return pa.array(words, pa.large_string())
