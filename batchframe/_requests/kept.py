"""Requests kept as they were sent → a request table, without the frame that they came from.

In: the bytes of requests, and for each row which of them it asks. Out: a request table.
Must not know: files, prices, the network.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from batchframe._base.digests import Digests
from batchframe._recipe.recipe import Recipe
from batchframe._recipe.slots import KEPT, REQUEST
from batchframe._requests.source import Source
from batchframe._requests.table import RequestTable


def kept_table(
    recipe: Recipe,
    requests: Sequence[bytes],
    position: npt.NDArray[np.int64],
    *,
    digest: Digests,
    identity: Digests | None,
    labels: pd.Index,
) -> RequestTable:
    """Make a request table of requests that are written already.

    Parameters
    ----------
    requests
        What follows the ``custom_id`` in the line of each; every one is asked by some row.
    position
        For each row, which of `requests` it asks.
    digest, identity, labels
        For each row, as in a request table and its source.
    """
    number, first_row = _numbered(position)
    size = np.array([len(request) for request in requests], np.int64)
    column = pa.array(requests, pa.large_binary()).cast(pa.large_string())
    columns = pa.table({REQUEST: column.take(pa.array(position))})
    absent = pa.nulls(len(position), pa.string())
    return RequestTable(
        recipe=recipe,
        source=Source(columns, absent, labels, identity),
        envelope=KEPT,
        digest=digest,
        number=number,
        first_row=first_row,
        size=size[position[first_row]],
    )


def kept_requests(table: RequestTable) -> list[bytes]:
    """Return, for each row of a table made here, the request that it asks."""
    kept = (batch[REQUEST].to_pylist() for _, batch in table.source.batches())
    return [text.encode() for texts in kept for text in texts]


def _numbered(
    position: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Give requests numbers in the order in which rows first ask them; say where that is."""
    _, first, inverse = np.unique(position, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return place[inverse], first[order]
