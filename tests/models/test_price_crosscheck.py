"""Our prices beside those of litellm, an independent price book."""

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from batchframe._models.price import Tier
from batchframe._models.price_lookup import price
from batchframe._models.price_table import describe_disagreements, disagreement

TODAY = date(2026, 11, 21)
FIELDS: dict[Tier, tuple[str, str, str]] = {
    "standard": ("in_", "out", "cin"),
    "batch": ("bin", "bout", "bcin"),
}


@pytest.fixture(scope="module")
def books(shared: Path) -> dict[str, dict[str, Any]]:
    file = shared / "prices_crosscheck.json"
    if not file.exists():
        pytest.skip("the second price book is not on this machine")
    found: dict[str, dict[str, Any]] = json.loads(
        file.read_text(encoding="utf-8"), parse_float=Decimal
    )
    return found


@pytest.mark.parametrize("tier", ["standard", "batch"])
def test_both_books_agree_but_for_the_models_whose_note_says_so(
    books: dict[str, dict[str, Any]], tier: Tier
) -> None:
    theirs = {model: rates_of(book["litellm"], tier) for model, book in books.items()}
    differing = {model: states for model, states in theirs.items() if ours(model, tier) != states}
    noted = {
        model: (states.get("input"), states.get("output"), states.get("cached_input"))
        for model in books
        if (found := disagreement(model, tier)) is not None and (states := found.states) is not None
    }
    assert noted == differing


def test_a_note_on_another_price_says_whose_of_which_day_and_why(
    books: dict[str, dict[str, Any]],
) -> None:
    for model in books:
        for tier in FIELDS:
            if (found := disagreement(model, tier)) is not None:
                assert found.as_of == TODAY
                assert found.why
                [words] = describe_disagreements([found])
                assert all(str(rate) in words for rate in found.states.values())


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
    assert found == rates_of(books[model]["litellm"], "batch")


def rates_of(book: dict[str, Any], tier: Tier) -> tuple[Decimal | None, ...]:
    return tuple(book[field] for field in FIELDS[tier])


def ours(model: str, tier: Tier) -> tuple[Decimal | None, Decimal | None, Decimal | None]:
    found = price(model, tier, on=TODAY)
    if found is None:
        return None, None, None
    # litellm writes 0 for a model without output.
    return found.input, found.output or Decimal(0), found.cached_input
