"""What a submission does, step by step: each call of the service and each line of a journal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from batchframe._services import openai_client
from batchframe._store.folder import JobFolder

Wrap = Callable[[Any], Any]


def wrap_service(monkeypatch: pytest.MonkeyPatch, name: str, wrap: Wrap) -> None:
    """Put another function in place of a method of the service, made from it."""
    service = openai_client.OpenAIService
    monkeypatch.setattr(service, name, wrap(getattr(service, name)))


def service_of(client: object) -> Any:
    """Return what a submission speaks to, made from a client."""
    return openai_client.connect(client)


def folder_of(job_id: str) -> Any:
    """Return the folder of a job id, whether it exists or not."""
    return JobFolder.of(job_id)


def wrap_folder(monkeypatch: pytest.MonkeyPatch, name: str, wrap: Wrap) -> None:
    """Put another function in place of a method of a job's folder, made from it."""
    monkeypatch.setattr(JobFolder, name, wrap(getattr(JobFolder, name)))


def wrap_journal(monkeypatch: pytest.MonkeyPatch, wrap: Wrap) -> None:
    """Put another function in place of the writing of an event, made from it."""
    wrap_folder(monkeypatch, "append", wrap)
