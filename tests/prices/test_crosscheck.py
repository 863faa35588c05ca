"""Our prices beside those of litellm, an independent price book."""

import json
import os
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from batchframe._prices import Tier, price

TODAY = date(2026, 11, 21)
FIELDS: dict[Tier, tuple[str, str, str]] = {
    "standard": ("in_", "out", "cin"),
    "batch": ("bin", "bout", "bcin"),
}

# Where litellm and we differ, and why.
NOT_IN_THE_BATCH_TABLE = "litellm halves it; OpenAI's Batch table, read 2026-10-14, has no row"
SEARCH = "litellm prices search previews in batch, which the Batch API refuses"
NOT_IN_OUR_BOOK = "our book has no entry: unknown, not guessed"
NO_ROW_IN_LITELLM = "litellm lists batch only for one snapshot; OpenAI's Batch table has the model"
TUNED_CACHE = "litellm has a cached rate for this fine-tune, ours has none: charged as input"
DIFFERENT: dict[tuple[str, Tier], str] = {
    ("babbage-002", "batch"): NOT_IN_THE_BATCH_TABLE,
    ("davinci-002", "batch"): NOT_IN_THE_BATCH_TABLE,
    ("ft:gpt-4o-2024-08-06", "batch"): NOT_IN_THE_BATCH_TABLE,
    ("gpt-4o-search-preview", "batch"): SEARCH,
    ("gpt-4o-search-preview-2025-03-11", "batch"): SEARCH,
    ("gpt-4o-mini-search-preview", "batch"): SEARCH,
    ("gpt-4o-mini-search-preview-2025-03-11", "batch"): SEARCH,
    ("gpt-4o-search-preview", "standard"): TUNED_CACHE.replace("fine-tune", "preview"),
    ("gpt-4o-search-preview-2025-03-11", "standard"): TUNED_CACHE.replace("fine-tune", "preview"),
    ("ft:gpt-4o-2024-08-06", "standard"): TUNED_CACHE,
    ("ft:gpt-4o-mini-2024-07-18", "standard"): TUNED_CACHE,
    ("ft:gpt-4o-mini-2024-07-18", "batch"): TUNED_CACHE,
    ("ft:gpt-3.5-turbo-0125", "batch"): NO_ROW_IN_LITELLM,
    ("ft:gpt-3.5-turbo-0613", "batch"): NO_ROW_IN_LITELLM,
    ("ft:gpt-3.5-turbo-1106", "batch"): NO_ROW_IN_LITELLM,
    ("ft:gpt-4-0613", "batch"): NO_ROW_IN_LITELLM,
    ("gpt-3.5-turbo", "batch"): NO_ROW_IN_LITELLM,
    ("gpt-4", "batch"): NO_ROW_IN_LITELLM,
    ("gpt-4-1106-preview", "batch"): NO_ROW_IN_LITELLM,
    ("gpt-4-turbo", "batch"): NO_ROW_IN_LITELLM,
    ("text-embedding-ada-002", "batch"): "litellm lists it under text-embedding-ada-002-v2",
    **{
        (model, tier): NOT_IN_OUR_BOOK
        for model in (
            "ft:babbage-002",
            "ft:davinci-002",
            "ft:gpt-4.1-2025-04-14",
            "ft:gpt-4.1-mini-2025-04-14",
            "ft:gpt-4.1-nano-2025-04-14",
            "ft:o4-mini-2025-04-16",
        )
        for tier in FIELDS
    },
    **{
        (model, "standard"): NOT_IN_OUR_BOOK
        for model in (
            "daybreak-red-latest",
            "gpt-daybreak-red-latest",
            "daybreak-blue-latest",
            "gpt-daybreak-blue-latest",
            "gpt-5-search-api-2025-10-14",
            "gpt-5.5-cyber-preview",
            "gpt-6-astra-law",
        )
    },
}


@pytest.fixture(scope="module")
def books() -> dict[str, dict[str, Any]]:
    here = Path(__file__).resolve().parents[2]
    shared = Path(os.environ.get("BATCHFRAME_SHARED", here.parent / "shared"))
    file = shared / "data" / "prices_crosscheck.json"
    if not file.exists():
        pytest.skip("the second price book is not on this machine")
    found: dict[str, dict[str, Any]] = json.loads(
        file.read_text(encoding="utf-8"), parse_float=Decimal
    )
    return found


@pytest.mark.parametrize("tier", ["standard", "batch"])
def test_both_books_agree_but_for_the_listed_models(
    books: dict[str, dict[str, Any]], tier: Tier
) -> None:
    differing = {
        (model, tier)
        for model, book in books.items()
        if ours(model, tier) != tuple(book["litellm"][field] for field in FIELDS[tier])
    }
    assert differing == {key for key in DIFFERENT if key[1] == tier}


@pytest.mark.parametrize(
    "model",
    [
        "gpt-6-astra",
        "gpt-6.1-sol",
        "gpt-6.1-terra",
        "gpt-6-sol",
        "gpt-6-luna",
        "gpt-5.6-sol",
        "gpt-5.6-terra",
        "gpt-5.6-luna",
        "gpt-5.5",
        "gpt-5.4",
        "gpt-5.4-mini",
        "gpt-5.4-nano",
        "gpt-5.2",
        "gpt-5.1",
        "gpt-5",
        "gpt-5-mini",
        "gpt-5-nano",
        "gpt-4.1",
        "gpt-4o",
        "gpt-4o-mini",
    ],
)
def test_every_current_text_model_has_a_batch_price_both_books_agree_on(
    books: dict[str, dict[str, Any]], model: str
) -> None:
    found = ours(model, "batch")
    assert found != (None, None, None)
    assert found == tuple(books[model]["litellm"][field] for field in FIELDS["batch"])


def ours(model: str, tier: Tier) -> tuple[Decimal | None, Decimal | None, Decimal | None]:
    found = price(model, tier, on=TODAY)
    if found is None:
        return None, None, None
    # litellm writes 0 for a model without output.
    return found.input, found.output or Decimal(0), found.cached_input
