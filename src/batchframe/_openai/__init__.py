"""The one room that imports openai: a client → a service, and what it raises → words."""

from __future__ import annotations

from batchframe._openai._client import OpenAIService, connect
from batchframe._openai._failures import outcome_of
from batchframe._openai._webhooks import Event, read_event

__all__ = ["Event", "OpenAIService", "connect", "outcome_of", "read_event"]
