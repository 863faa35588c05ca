"""What a submission does, step by step: each call of the service and each line of a journal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from batchframe._jobs import preparation, reconciliation, running, submission
from batchframe._services import openai_client, protocol
from batchframe._store.folder import JobFolder

Wrap = Callable[[Any], Any]

# Which modules call a step of a submission by this name.
_CALLERS = {
    "prepare": (running,),
    "submit": (running,),
    "records": (preparation,),
    "find_answers": (preparation,),
    "write_rows": (preparation,),
    "write_manifest": (preparation,),
    "created_elsewhere": (submission,),
    "reconcile_create": (submission, reconciliation),
    "_search_until_settled": (reconciliation,),
}


def wrap_step(monkeypatch: pytest.MonkeyPatch, name: str, wrap: Wrap) -> None:
    """Put another function in place of a step of a submission, made from it."""
    for module in _CALLERS[name]:
        monkeypatch.setattr(module, name, wrap(getattr(module, name)))


def wrap_service(monkeypatch: pytest.MonkeyPatch, name: str, wrap: Wrap) -> None:
    """Put another function in place of a method of the service, made from it."""
    service = openai_client.OpenAIService
    monkeypatch.setattr(service, name, wrap(getattr(service, name)))


def service_of(client: object) -> Any:
    """Return the service of a submission, made from a client."""
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


def take_lost_for_unsent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every answer that was lost for a request that never left."""
    original = openai_client.outcome_of

    def careless(reason: BaseException) -> Any:
        outcome = original(reason)
        return protocol.Unsent("lost") if isinstance(outcome, protocol.Ambiguous) else outcome

    monkeypatch.setattr(openai_client, "outcome_of", careless)
