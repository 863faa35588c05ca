"""The proxy and the small job of the submission tests, and an ear in the proxy."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

# pytest's importlib mode has no packages to import a sibling's fixtures from.
_spec = spec_from_file_location("faults", Path(__file__).parents[1] / "submission" / "conftest.py")
assert _spec is not None
assert _spec.loader is not None
_faults = sys.modules.setdefault("faults", module_from_spec(_spec))
_spec.loader.exec_module(_faults)

proxy, requests, one_request_a_file = (
    _faults.proxy,
    _faults.requests,
    _faults.one_request_a_file,
)


@dataclass(frozen=True)
class Heard:
    """One request as the server got it."""

    line: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[Heard]:
    """Record every part of every request that goes through the proxy."""
    requests_heard: list[Heard] = []
    pass_on = _faults.Handler.forward

    def forward(self: Any, body: bytes) -> Any:
        said = Heard(f"{self.command} {self.path}", tuple(self.headers.items()), body)
        requests_heard.append(said)
        return pass_on(self, body)

    monkeypatch.setattr(_faults.Handler, "forward", forward)
    return requests_heard
