"""The prices of models, from every book, and beside those of litellm, an independent one."""

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from batchframe import provider
from batchframe._models import genai_prices, price_lookup, price_table
from batchframe.errors import CostError

TODAY = date(2026, 11, 21)


def rates(model: str, tier: str, **options: Any) -> tuple[str, str | None, str | None] | None:
    found = price_lookup.price(model, tier, on=TODAY, **options)
    if found is None:
        return None
    cached, written = (None if x is None else str(x) for x in (found.cached_input, found.output))
    return str(found.input), cached, written


def test_the_batch_and_standard_rates_of_a_current_model() -> None:
    assert rates("gpt-5.6-luna", "batch") == ("0.1", "0.01", "0.6")
    assert rates("gpt-5.6-luna", "standard") == ("0.2", "0.02", "1.2")
    assert rates("gpt-5.6-luna", "flex") == ("0.1", "0.01", "0.6")
    assert rates("gpt-5.6-luna", "priority") == ("0.4", "0.04", "2.4")


def test_a_dated_snapshot_costs_what_its_model_costs() -> None:
    assert rates("gpt-5.4-mini-2026-03-17", "batch") == rates("gpt-5.4-mini", "batch")


@pytest.mark.parametrize("tier", ["batch", "standard", "flex", "priority"])
@pytest.mark.parametrize("model", ["no-such-model", "gpt-99", "", "ft:gpt-4.1-mini:acme::1"])
def test_an_unknown_model_has_no_price(model: str, tier: str) -> None:
    assert rates(model, tier) is None


@pytest.mark.parametrize(
    "model",
    [
        "gpt-5.3-chat-latest",
        "gpt-5-chat-latest",
        "gpt-5.2-chat",
        "gpt-5.5-chat-latest",
        "chat-latest",
        "gpt-5-codex",
        "gpt-5.1-codex-max",
        "gpt-4o-mini-search-preview",
        "gpt-4o-mini-search-preview-2025-03-11",
        "gpt-audio",
        "o3-deep-research",
        "gpt-6-cyber",
        "gpt-6-rosalind",
    ],
)
def test_a_model_that_the_batch_api_refuses_has_no_batch_price(model: str) -> None:
    assert rates(model, "standard") is not None
    assert rates(model, "batch") is None


@pytest.mark.parametrize("model", ["ft:gpt-4o-2024-08-06:acme::1", "babbage-002"])
def test_a_standard_price_never_passes_for_a_batch_price(model: str) -> None:
    assert rates(model, "standard") is not None
    assert rates(model, "batch") is None


@pytest.mark.parametrize("name", ["together", "groq", "deepinfra", "self-hosted", "other"])
def test_a_provider_without_a_batch_price_for_a_model_has_none(name: str) -> None:
    assert rates("gpt-4o", "batch", provider=provider(name)) is None


def test_a_provider_s_own_batch_price_counts() -> None:
    found = price_lookup.price("openai/gpt-oss-120b", "batch", provider=provider("groq"))
    standard = price_lookup.price("openai/gpt-oss-120b", "standard", provider=provider("groq"))
    assert found is not None
    assert standard is not None
    assert found.input == standard.input / 2
    assert "groq" in found.source


def test_a_discount_is_taken_from_the_provider_s_own_standard_price() -> None:
    assert rates("gpt-4o", "standard", provider=provider("azure")) == ("2.5", "1.25", "10")
    assert rates("gpt-4o", "batch", provider=provider("azure")) == ("1.25", None, "5.0")
    found = price_lookup.price("gpt-4o", "batch", provider=provider("azure"))
    assert found is not None
    assert "less Azure OpenAI's batch discount of 50%" in found.source


def test_a_discount_is_taken_from_the_user_s_own_standard_price() -> None:
    mine = {"standard": {"input": "1", "output": "2"}}
    found = price_lookup.price("any", "batch", provider=provider("deepinfra"), prices=mine)
    assert found is not None
    assert (found.input, found.output) == (Decimal("0.8"), Decimal("1.6"))
    given = {**mine, "batch": {"input": "0.5", "output": "1"}}
    found = price_lookup.price("any", "batch", provider=provider("deepinfra"), prices=given)
    assert found is not None
    assert found.input == Decimal("0.5")
    assert price_lookup.price("any", "batch", provider=provider("groq"), prices=mine) is None


def test_a_batch_price_may_equal_the_standard_one_where_the_table_says_so() -> None:
    assert rates("gpt-3.5-turbo-1106", "batch") == rates("gpt-3.5-turbo-1106", "standard")


def test_a_cached_rate_that_batch_does_not_publish_is_not_borrowed_from_standard() -> None:
    assert rates("gpt-4.1", "standard") == ("2", "0.5", "8")
    assert rates("gpt-4.1", "batch") == ("1", None, "4")


@pytest.mark.parametrize(
    ("model", "rate"),
    [
        ("text-embedding-3-small", "0.01"),
        ("text-embedding-3-large", "0.065"),
        ("text-embedding-ada-002", "0.05"),
    ],
)
def test_embeddings_have_a_batch_price_whose_source_says_how_sure_it_is(
    model: str, rate: str
) -> None:
    found = price_lookup.price(model, "batch")
    assert found is not None
    assert (found.input, found.output) == (Decimal(rate), None)
    assert "not checked" in found.source


def test_the_batch_price_of_an_embedding_is_for_the_batch_tier_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(price_lookup, "_SOURCES", price_lookup._SOURCES[1:])
    assert price_lookup.price("text-embedding-3-small", "batch") is not None
    assert price_lookup.price("text-embedding-3-small", "standard") is None
    assert price_lookup.price("text-embedding-3-small", "batch", provider=provider("azure")) is None


def test_moderation_is_free_and_an_unknown_moderation_model_is_unknown() -> None:
    assert rates("omni-moderation-latest", "batch") == ("0", None, None)
    assert rates("omni-moderation-latest", "standard") == ("0", None, None)
    assert rates("omni-moderation-2031-01-01", "batch") is None


def test_the_price_of_a_day_is_the_price_of_that_day() -> None:
    before = price_lookup.price("gpt-5.6-luna", "standard", on=date(2026, 7, 29))
    after = price_lookup.price("gpt-5.6-luna", "standard", on=date(2026, 7, 30))
    assert before is not None
    assert after is not None
    assert (before.input, after.input) == (Decimal(1), Decimal("0.2"))


def test_a_clock_that_is_behind_gets_the_first_batch_price_and_not_the_standard_one() -> None:
    early = price_lookup.price("gpt-5.6-luna", "batch", on=date(2020, 1, 1))
    assert early is not None
    assert early.input == Decimal("0.1")
    assert early.as_of == date(2026, 10, 14)


def test_the_price_book_says_its_version_and_its_newest_day() -> None:
    book = genai_prices.price_book()
    assert book.name == "genai-prices"
    assert book.version[0].isdigit()
    assert book.as_of is not None
    assert date(2026, 10, 14) <= book.as_of
    assert genai_prices.price_book(on=date(2026, 10, 1)).as_of == date(2026, 8, 21)


GIVEN = {"input": "0.10", "cached_input": Decimal("0.01"), "output": 0.6}


def test_given_prices_win_over_the_book() -> None:
    found = price_lookup.price("gpt-5.6-luna", "batch", prices={"input": "0.3", "output": 1})
    assert found is not None
    assert (found.input, found.cached_input, found.output) == (Decimal("0.3"), None, Decimal(1))
    assert found.model == "gpt-5.6-luna"
    assert found.source == "given as prices="


def test_given_prices_make_an_unknown_model_known_and_keep_what_was_typed() -> None:
    assert rates("my-model", "batch", prices=GIVEN) == ("0.10", "0.01", "0.6")


def test_given_prices_of_one_tier_leave_the_others_to_the_book() -> None:
    assert rates("gpt-5.6-luna", "standard", prices=GIVEN) == ("0.2", "0.02", "1.2")
    assert rates("my-model", "standard", prices=GIVEN) is None


def test_prices_can_be_given_by_tier() -> None:
    both = {"batch": GIVEN, "standard": {"input": 1, "output": None}}
    assert rates("my-model", "batch", prices=both) == ("0.10", "0.01", "0.6")
    assert rates("my-model", "standard", prices=both) == ("1", None, None)


@pytest.mark.parametrize(
    ("prices", "named"),
    [
        ({}, "dict of rates"),
        ("0.10", "dict of rates"),
        ([0.1, 0.6], "dict of rates"),
        ({"batch": 0.1}, "dict of rates"),
        ({"output": 1}, '"input"'),
        ({"input": None}, '"input"'),
        ({"input": 1, "ouput": 1}, "'ouput'"),
        ({"input": 1, "batch": {"input": 1}}, "'batch'"),
        ({"input": "ten cents"}, "'ten cents'"),
        ({"input": -1}, "-1"),
        ({"input": float("nan")}, "nan"),
        ({"input": float("inf")}, "inf"),
        ({"input": True}, "True"),
        ({"input": ["0.1"]}, r"\['0.1'\]"),
        ({"standard": {"input": 1}, "batch": {"input": "?"}}, "'\\?'"),
    ],
)
def test_prices_of_another_shape_are_refused_with_the_shape_as_code(
    prices: Any, named: str
) -> None:
    with pytest.raises(CostError, match=named) as caught:
        price_lookup.price("gpt-5.6-luna", "batch", prices=prices)
    assert 'prices={"input": "0.10"' in str(caught.value)


def test_an_unknown_tier_is_refused() -> None:
    with pytest.raises(CostError, match="'cheap'"):
        price_lookup.price("gpt-5.6-luna", "cheap")  # type: ignore[arg-type]


@pytest.mark.parametrize("tier", ["batch", "standard", "flex", "priority"])
@pytest.mark.parametrize("model", ["gpt-5.6-luna", "gpt-5.6-sol", "gpt-6-luna", "gpt-6-astra"])
def test_the_book_has_cache_writes_a_quarter_above_other_input_in_every_tier(
    model: str, tier: str
) -> None:
    known = genai_prices.book_price(model, tier)
    assert known is not None
    assert known.cache_write == known.input * Decimal("1.25")
    assert known.long_context is not None
    assert known.long_context.cache_write == known.long_context.input * Decimal("1.25")


def test_an_estimate_says_which_book_its_prices_come_from_and_of_which_day() -> None:
    book = genai_prices.price_book()
    frame = pd.DataFrame({"text": ["a"]})
    requests = frame.bf.requests("{{ text }}", model="gpt-5.6-luna", output=["good", "bad"])
    told = "\n".join(requests.estimate().notes)
    assert f"{book.name} {book.version}" in told
    assert "(2026-10-14)" in told
    assert f"{book.name} {book.version}" in repr(requests)


def doubts(model: str, prices: dict[str, Any] | None = None) -> list[str]:
    asked = pd.DataFrame({"text": ["a"]}).bf.requests("{{ text }}", model=model)
    return [note for note in asked.estimate(prices=prices).notes if note.startswith("litellm ")]


def test_two_reasons_to_doubt_a_price_are_two_sentences() -> None:
    search = doubts("gpt-4o-search-preview")
    assert [note.partition(": ")[2][:12] for note in search] == ["the Batch AP", "genai-prices"]


def test_nobody_is_in_doubt_about_prices_that_were_given() -> None:
    mine = {"input": 1, "output": 2}
    assert doubts("gpt-3.5-turbo")
    assert not doubts("gpt-3.5-turbo", mine)
    assert doubts("gpt-4o-search-preview", mine)


FIELDS: dict[str, tuple[str, str, str]] = {
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
    books: dict[str, dict[str, Any]], tier: str
) -> None:
    theirs = {model: rates_of(book["litellm"], tier) for model, book in books.items()}
    differing = {model: states for model, states in theirs.items() if ours(model, tier) != states}
    noted = {
        model: (states.get("input"), states.get("output"), states.get("cached_input"))
        for model in books
        if (found := price_table.disagreement(model, tier)) is not None
        and (states := found.states) is not None
    }
    assert noted == differing


def test_a_note_on_another_price_says_whose_of_which_day_and_why(
    books: dict[str, dict[str, Any]],
) -> None:
    for model in books:
        for tier in FIELDS:
            if (found := price_table.disagreement(model, tier)) is not None:
                assert found.as_of == TODAY
                assert found.why
                [words] = price_table.describe_disagreements([found])
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


def rates_of(book: dict[str, Any], tier: str) -> tuple[Decimal | None, ...]:
    return tuple(book[field] for field in FIELDS[tier])


def ours(model: str, tier: str) -> tuple[Decimal | None, Decimal | None, Decimal | None]:
    found = price_lookup.price(model, tier, on=TODAY)
    if found is None:
        return None, None, None
    # litellm writes 0 for a model without output.
    return found.input, found.output or Decimal(0), found.cached_input
