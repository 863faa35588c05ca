"""A proxy and a small job."""

from __future__ import annotations

from tests.support.proxy import one_request_a_file, proxy, requests

__all__ = ["one_request_a_file", "proxy", "requests"]
