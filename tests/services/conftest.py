"""A server that speaks the Batch API in its own way, and a small job for it."""

from __future__ import annotations

from tests.support.other_server import imitation, requests, texts

__all__ = ["imitation", "requests", "texts"]
