"""Whose jobs they are is known without a key, and is what the client says."""

from __future__ import annotations

import pytest

from batchframe._services.connect import connect, expected_identity


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OPENAI_BASE_URL": "http://127.0.0.1:8000/v1/"},
        {"OPENAI_BASE_URL": "http://user:secret@127.0.0.1:8000/v1?token=secret"},
        {"OPENAI_ORG_ID": "org-1", "OPENAI_PROJECT_ID": "proj_1"},
    ],
)
def test_the_environment_names_the_account_that_its_client_has(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    expected = expected_identity()
    assert expected == connect().identity
    assert "secret" not in repr(expected)
    monkeypatch.delenv("OPENAI_API_KEY")
    assert expected_identity() == expected
