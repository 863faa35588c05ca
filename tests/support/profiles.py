"""Other limits and waits for the local server."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from batchframe._services import provider


def change_local(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """Change attributes of the local server's profile."""
    monkeypatch.setattr(provider, "LOCAL", replace(provider.LOCAL, **changes))
