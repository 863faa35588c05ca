"""The one room that imports openai: a client → a service, and what it raises → words."""

from __future__ import annotations

from batchframe._services.openai_client import OpenAIService, connect
from batchframe._services.openai_values import outcome_of
from batchframe._services.openai_webhooks import Event, read_event

__all__ = ["Event", "OpenAIService", "connect", "outcome_of", "read_event"]
