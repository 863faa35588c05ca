"""The service's list of batches, as far as anyone looks through it.

Must not know: jobs, what is looked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from batchframe._base.errors import ServiceError
from batchframe._services.protocol import Batch, Service

_LOOKBACK: Final = 100


def newest_batches(service: Service) -> list[Batch]:
    """List the newest batches; none where the service has no list.

    Raises
    ------
    ServiceError
        If the service cannot be reached.
    """
    try:
        return list(islice(service.list_batches(), _LOOKBACK))
    except ServiceError as reason:
        if reason.status in {404, 405, 501}:
            return []
        raise


def since(oldest: float | None, batches: Iterable[Batch]) -> Iterator[Batch]:
    """Yield batches, newest first, as long as they are not older."""
    for batch in batches:
        if oldest is not None and batch.created_at is not None and batch.created_at < oldest:
            return
        yield batch
