"""A server with unusual Batch API responses, and a small job."""

from __future__ import annotations

from tests.support.other_server import fake_server, requests, texts

__all__ = ["fake_server", "requests", "texts"]
