"""Endpoints of the Batch API: one module each, listed in the table below."""

from __future__ import annotations

import difflib
from typing import Final

from batchframe._base.errors import RequestError
from batchframe._endpoints import (
    chat,
    completions,
    embeddings,
    images,
    moderations,
    responses,
    videos,
)
from batchframe._endpoints.bulk import ColumnarReader
from batchframe._endpoints.endpoint import (
    STATUSES,
    Answer,
    Endpoint,
    OutputLimit,
    Status,
    files_of,
    tokens_of,
    with_files,
)
from batchframe._endpoints.moderations import flagged_categories
from batchframe._endpoints.videos import file_named_in

__all__ = [
    "STATUSES",
    "Answer",
    "ColumnarReader",
    "Endpoint",
    "OutputLimit",
    "Status",
    "endpoint_of",
    "file_named_in",
    "files_of",
    "flagged_categories",
    "open_endpoint",
    "tokens_of",
    "with_files",
]

_ENDPOINTS: Final = {
    endpoint.path.value: endpoint
    for endpoint in (
        chat.CHAT,
        responses.RESPONSES,
        embeddings.EMBEDDINGS,
        completions.COMPLETIONS,
        moderations.MODERATIONS,
        images.IMAGES,
        images.EDITS,
        videos.VIDEOS,
    )
}


def endpoint_of(path: str) -> Endpoint:
    """Return the endpoint at a path such as "/v1/chat/completions".

    Raises
    ------
    RequestError
        If batchframe does not support it.
    """
    if path in _ENDPOINTS:
        return _ENDPOINTS[path]
    open_paths = [known_path for known_path, endpoint in _ENDPOINTS.items() if not endpoint.retired]
    raise RequestError.unknown_endpoint(
        path, difflib.get_close_matches(str(path), open_paths), open_paths
    )


def open_endpoint(path: str) -> Endpoint:
    """Return the endpoint at a path, if it accepts requests.

    Raises
    ------
    RequestError
        If batchframe does not support it, or it was shut down.

    Examples
    --------
    >>> open_endpoint("/v1/videos")
    Traceback (most recent call last):
        ...
    batchframe.errors.RequestError: endpoint: /v1/videos takes no requests any more, since ...
    """
    endpoint = endpoint_of(path)
    if endpoint.retired:
        raise RequestError(endpoint.retired)
    return endpoint
