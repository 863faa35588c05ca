"""The endpoints of the Batch API that batchframe speaks: one file each, one line here.

An endpoint answers four questions: the body of a request (:meth:`Endpoint.body`), its input tokens
(:meth:`Endpoint.count_tokens`), what a response says (:meth:`Endpoint.answer`), and the columns
that it makes (:meth:`Endpoint.fields`, :meth:`Endpoint.read`). It must not know frames, files or
the network.
"""

from __future__ import annotations

import difflib
from typing import Final

from batchframe._base.errors import RequestError
from batchframe._endpoints.chat import CHAT
from batchframe._endpoints.completions import COMPLETIONS
from batchframe._endpoints.edits import EDITS
from batchframe._endpoints.embeddings import EMBEDDINGS
from batchframe._endpoints.endpoint import (
    STATUSES,
    Answer,
    Endpoint,
    OrdinaryBody,
    Status,
    Wording,
)
from batchframe._endpoints.files import files_of, with_files
from batchframe._endpoints.images import IMAGES
from batchframe._endpoints.moderations import MODERATIONS, flagged_categories
from batchframe._endpoints.responses import RESPONSES
from batchframe._endpoints.usage import tokens_of
from batchframe._endpoints.videos import VIDEOS
from batchframe._endpoints.videos import video_of as file_named_in

__all__ = [
    "STATUSES",
    "Answer",
    "Endpoint",
    "OrdinaryBody",
    "Status",
    "Wording",
    "endpoint_of",
    "file_named_in",
    "files_of",
    "flagged_categories",
    "tokens_of",
    "with_files",
]

_ENDPOINTS: Final[dict[str, Endpoint]] = {
    CHAT.path: CHAT,
    RESPONSES.path: RESPONSES,
    EMBEDDINGS.path: EMBEDDINGS,
    COMPLETIONS.path: COMPLETIONS,
    MODERATIONS.path: MODERATIONS,
    IMAGES.path: IMAGES,
    EDITS.path: EDITS,
    VIDEOS.path: VIDEOS,
}


def endpoint_of(path: str) -> Endpoint:
    """Return the endpoint at a path such as "/v1/chat/completions".

    Raises
    ------
    RequestError
        If batchframe does not speak it.
    """
    if path in _ENDPOINTS:
        return _ENDPOINTS[path]
    near = difflib.get_close_matches(str(path), _ENDPOINTS)
    raise RequestError.unknown_endpoint(path, near, list(_ENDPOINTS))
