"""Access to the server: no web page, and with a key only who has it."""

from __future__ import annotations

import hmac
from typing import Final

from starlette.requests import Request

from batchframe.local._problems import Problem

_LOOPBACK_NAMES: Final = ("127.0.0.1", "localhost", "::1")
# The address of an announced upload carries no key; its unguessable id stands for it.
_KEYLESS: Final = "/v1/uploads/"
_NO_KEY: Final = (
    "You didn't provide an API key. You need to provide your API key in an Authorization header "
    "using Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."
)


def check_access(request: Request, key: str | None, *, guarded: bool) -> None:
    """Check where a request comes from, and its key.

    Raises
    ------
    Problem
        If `guarded` and it comes from a web page or names a host other than loopback, or if `key`
        is given and the request does not have it.
    """
    host, origin = request.url.hostname, request.headers.get("origin")
    local = host in _LOOPBACK_NAMES
    if guarded and not (local and origin is None):
        source = f"the web page {origin!r}" if local else f"the host name {host!r}"
        raise Problem(
            403,
            f"The server accepts requests from programs on this machine only, not from {source}.",
            code="forbidden",
        )
    if key is not None and not request.url.path.startswith(_KEYLESS):
        _check_key(request, key)


def _check_key(request: Request, key: str) -> None:
    # Azure's clients send the key by itself.
    given = request.headers.get("authorization") or request.headers.get("api-key")
    if not given:
        raise Problem(401, _NO_KEY)
    if not hmac.compare_digest(given.removeprefix("Bearer ").encode(), key.encode()):
        raise Problem(401, "Incorrect API key provided.", code="invalid_api_key")
