"""What a submission does, step by step: each call of the service and each line of a journal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from batchframe._services.openai_client import OpenAIService
from batchframe._store.folder import JobFolder

Wrap = Callable[[Any], Any]


def wrap_service(monkeypatch: pytest.MonkeyPatch, name: str, wrap: Wrap) -> None:
    """Put another function in place of a method of the service, made from it."""
    monkeypatch.setattr(OpenAIService, name, wrap(getattr(OpenAIService, name)))


def wrap_journal(monkeypatch: pytest.MonkeyPatch, wrap: Wrap) -> None:
    """Put another function in place of the writing of an event, made from it."""
    monkeypatch.setattr(JobFolder, "append", wrap(JobFolder.append))
