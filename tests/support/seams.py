"""Hooks into the steps of a submission."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from batchframe._jobs import division, preparation, reconciliation, running, submission
from batchframe._services import openai_client, protocol
from batchframe._store.folder import JobFolder

Wrap = Callable[[Any], Any]

# Modules that call a step of a submission by this name.
_CALLERS = {
    "prepare": (running,),
    "submit": (running,),
    "records": (preparation,),
    "find_answers": (preparation,),
    "write_rows": (preparation,),
    "write_manifest": (preparation, division),
    "_write": (division,),
    "created_elsewhere": (submission,),
    "reconcile_create": (submission, reconciliation),
    "_search_until_settled": (reconciliation,),
}


def wrap_step(monkeypatch: pytest.MonkeyPatch, name: str, wrap: Wrap) -> None:
    """Wrap a step of a submission."""
    for module in _CALLERS[name]:
        monkeypatch.setattr(module, name, wrap(getattr(module, name)))


def wrap_service(monkeypatch: pytest.MonkeyPatch, name: str, wrap: Wrap) -> None:
    """Wrap a method of the service."""
    service = openai_client.OpenAIService
    monkeypatch.setattr(service, name, wrap(getattr(service, name)))


def service_of(client: object) -> Any:
    """Return the service for a client."""
    return openai_client.connect(client)


def folder_of(job_id: str) -> Any:
    """Return the folder of a job id, whether it exists or not."""
    return JobFolder.of(job_id)


def wrap_folder(monkeypatch: pytest.MonkeyPatch, name: str, wrap: Wrap) -> None:
    """Wrap a method of a job's folder."""
    monkeypatch.setattr(JobFolder, name, wrap(getattr(JobFolder, name)))


def wrap_journal(monkeypatch: pytest.MonkeyPatch, wrap: Wrap) -> None:
    """Wrap the writing of journal events."""
    wrap_folder(monkeypatch, "append", wrap)


def take_lost_for_unsent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat every lost response as a request that was not sent."""
    original = openai_client.outcome_of

    def careless(reason: BaseException) -> Any:
        outcome = original(reason)
        return protocol.Unsent("lost") if isinstance(outcome, protocol.Ambiguous) else outcome

    monkeypatch.setattr(openai_client, "outcome_of", careless)
