"""Other limits, and other haste, for the server on this machine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from batchframe._services import provider


def change_local(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """Change attributes of the profile that a client of the local server gets."""
    monkeypatch.setattr(provider, "LOCAL", replace(provider.LOCAL, **changes))
