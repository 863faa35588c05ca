"""The endpoints of the Batch API that batchframe speaks: one file each, one line here.

An endpoint answers three questions: the body of a request (:meth:`Endpoint.body`), its input tokens
(:meth:`Endpoint.count_tokens`), and what a response says (:meth:`Endpoint.answer`). It must not
know frames, files or the network.
"""

from __future__ import annotations

import difflib
from typing import Final

from batchframe._endpoints._endpoint import STATUSES, Answer, Endpoint, Status
from batchframe._endpoints.chat import CHAT
from batchframe.errors import RequestError

__all__ = ["STATUSES", "Answer", "Endpoint", "Status", "endpoint_of"]

_ENDPOINTS: Final[dict[str, Endpoint]] = {endpoint.path: endpoint for endpoint in (CHAT,)}


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
