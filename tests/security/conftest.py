"""A proxy that records requests, and a small job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.proxy import Handler, one_request_a_file, proxy, requests

__all__ = ["heard", "one_request_a_file", "proxy", "requests"]


@dataclass(frozen=True)
class Heard:
    """A request as the server received it."""

    line: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[Heard]:
    """Record every part of every request that goes through the proxy."""
    requests_heard: list[Heard] = []
    pass_on = Handler.forward

    def forward(self: Any, body: bytes) -> Any:
        request = Heard(f"{self.command} {self.path}", tuple(self.headers.items()), body)
        requests_heard.append(request)
        return pass_on(self, body)

    monkeypatch.setattr(Handler, "forward", forward)
    return requests_heard
