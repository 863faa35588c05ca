"""Prices of models, from both price books."""

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from batchframe import provider
from batchframe._models import genai_prices, litellm_prices, price_lookup
from batchframe.errors import CostError

TODAY = date(2026, 11, 21)


def price_of(model: str, tier: Any, **options: Any) -> price_lookup.Price | None:
    """Return the price of the preferred book."""
    found = price_lookup.price_range(model, tier, **options)
    return found and found.expected


def rates(model: str, tier: str, **options: Any) -> tuple[str, str | None, str | None] | None:
    price = price_of(model, tier, on=TODAY, **options)
    if price is None:
        return None
    cached, written = (None if x is None else str(x) for x in (price.cached_input, price.output))
    return str(price.input), cached, written


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
        "gpt-5-search-api",
        "gpt-audio",
        "o3-deep-research",
        "gpt-6-cyber",
        "gpt-6-rosalind",
    ],
)
def test_a_model_without_batch_support_has_no_batch_price(model: str) -> None:
    assert rates(model, "standard") is not None
    assert rates(model, "batch") is None


@pytest.mark.parametrize("model", ["ft:gpt-4o-2024-11-20:acme::1", "gpt-image-2.6-flare"])
def test_a_standard_price_is_never_used_as_a_batch_price(model: str) -> None:
    assert rates(model, "standard") is not None
    assert rates(model, "batch") is None


@pytest.mark.parametrize(
    ("model", "batch"),
    [
        ("ft:gpt-4.1-2025-04-14:acme::1", ("1.5", "0.5", "6")),
        ("ft:gpt-4.1-mini-2025-04-14:acme::1", ("0.4", "0.1", "1.6")),
        ("ft:gpt-4.1-nano-2025-04-14:acme::1", ("0.1", "0.025", "0.4")),
        ("ft:gpt-4o-2024-08-06:acme::1", ("2.225", "0.9", "12.5")),
        ("ft:o4-mini-2025-04-16:acme::1", ("2", "0.5", "8")),
        ("ft:babbage-002:acme::1", ("0.8", None, "0.9")),
        ("ft:davinci-002:acme::1", ("6", None, "6")),
        ("babbage-002", ("0.2", None, "0.2")),
        ("davinci-002", ("1", None, "1")),
        ("gpt-4o-search-preview", ("1.25", None, "5")),
        ("gpt-4o-mini-search-preview-2025-03-11", ("0.075", None, "0.3")),
        ("chatgpt-image-latest", ("2.5", "0.63", "16")),
        ("gpt-image-2-2026-04-21", ("2.5", "0.625", "15")),
    ],
)
def test_a_price_of_the_second_book_alone_states_its_source(
    model: str, batch: tuple[str, str | None, str]
) -> None:
    assert rates(model, "batch") == batch
    result = price_of(model, "batch")
    assert result is not None
    if "image" not in model:
        assert (result.source, result.as_of) == ("litellm 1.110.2", date(2026, 11, 30))


@pytest.mark.parametrize("tier", ["batch", "standard", "flex", "priority"])
@pytest.mark.parametrize(
    "model",
    [
        "gpt-5.6-luna-2026-07-01",
        "gpt-6-sol-2026-11-05",
        "gpt-6.1-terra-2026-01-01",
        "gpt-5-nano-fast",
        "gpt-5-nano-2025-08-08",
        "ft:gpt-4o-2024-09-09:acme::1",
        "my-moderation",
    ],
)
def test_a_name_that_only_looks_like_a_snapshot_is_not_priced(model: str, tier: str) -> None:
    assert rates(model, tier) is None


@pytest.mark.parametrize(
    ("model", "like"),
    [
        ("gpt-5-nano-2025-08-07", "gpt-5-nano"),
        ("GPT-4.1", "gpt-4.1"),
        ("gpt-4o-mini-2024-07-18.ft-0123456789abcdef", "ft:gpt-4o-mini-2024-07-18:acme::1"),
        ("ft:gpt-3.5-turbo-0125:acme::1", "ft:gpt-3.5-turbo-1106:acme::1"),
    ],
)
def test_a_listed_name_keeps_its_price(model: str, like: str) -> None:
    assert rates(model, "standard") == rates(like, "standard") is not None


@pytest.mark.parametrize("tier", ["batch", "standard", "flex", "priority"])
def test_open_weights_have_a_price_where_they_are_sold(tier: str) -> None:
    assert rates("gpt-oss-120b", tier) is None
    assert rates("openai/gpt-oss-120b", "standard", provider=provider("groq")) is not None


@pytest.mark.parametrize("name", ["together", "groq", "deepinfra", "self-hosted", "other"])
def test_a_provider_without_a_batch_price_for_a_model_has_none(name: str) -> None:
    assert rates("gpt-4o", "batch", provider=provider(name)) is None


def test_a_provider_s_own_batch_price_counts() -> None:
    price = price_of("openai/gpt-oss-120b", "batch", provider=provider("groq"))
    standard = price_of("openai/gpt-oss-120b", "standard", provider=provider("groq"))
    assert price is not None
    assert standard is not None
    assert price.input == standard.input / 2
    assert "groq" in price.source


def test_a_discount_is_taken_from_the_provider_s_own_standard_price() -> None:
    assert rates("gpt-4o", "standard", provider=provider("azure")) == ("2.5", "1.25", "10")
    assert rates("gpt-4o", "batch", provider=provider("azure")) == ("1.25", None, "5.0")
    price = price_of("gpt-4o", "batch", provider=provider("azure"))
    assert price is not None
    assert "less Azure OpenAI's batch discount of 50%" in price.source


def test_a_discount_is_taken_from_the_user_s_own_standard_price() -> None:
    mine = {"standard": {"input": "1", "output": "2"}}
    price = price_of("any", "batch", provider=provider("deepinfra"), prices=mine)
    assert price is not None
    assert (price.input, price.output) == (Decimal("0.8"), Decimal("1.6"))
    both_tiers = {**mine, "batch": {"input": "0.5", "output": "1"}}
    price = price_of("any", "batch", provider=provider("deepinfra"), prices=both_tiers)
    assert price is not None
    assert price.input == Decimal("0.5")
    assert price_of("any", "batch", provider=provider("groq"), prices=mine) is None


def test_a_batch_price_may_equal_the_standard_price_if_the_table_says_so() -> None:
    assert rates("gpt-3.5-turbo-1106", "batch") == rates("gpt-3.5-turbo-1106", "standard")


def test_an_unpublished_batch_cache_rate_is_not_taken_from_standard() -> None:
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
def test_embeddings_have_the_batch_price_of_the_second_book(model: str, rate: str) -> None:
    result = price_of(model, "batch")
    assert result is not None
    assert (result.input, result.output) == (Decimal(rate), None)
    assert "litellm" in result.source


def test_the_second_book_is_openais_alone() -> None:
    assert rates("ft:o4-mini-2025-04-16:acme::1", "standard") == ("4", "1", "16")
    for name in ("azure", "groq", "together"):
        assert rates("ft:o4-mini-2025-04-16:acme::1", "standard", provider=provider(name)) is None


def test_models_of_no_price_book_have_a_dated_price_of_our_own() -> None:
    assert rates("gpt-6.2-sol", "batch") == ("1.0", "0.050", "5.0")
    assert rates("gpt-6.2-sol", "standard") == ("2", "0.10", "10")
    assert rates("gpt-6.2-sol", "priority") == ("4", "0.20", "20")
    assert rates("gpt-6.2-sol", "flex") is None  # flex has ended for gpt-6.2
    assert rates("gpt-6.2-astra", "batch") == ("4.0", "0.200", "20.0")
    found = price_of("gpt-6.2-astra", "batch")
    assert found is not None
    assert found.source.startswith("reported")
    assert found.as_of == date(2026, 11, 30)
    assert found.long_context is not None
    # More than 272,000 input tokens cost twice as much.
    assert found.cost(300_000, 0) == Decimal("2.4")
    assert rates("gpt-6.2-sol", "batch", provider=provider("groq")) is None


def test_moderation_is_free_and_an_unknown_moderation_model_is_unknown() -> None:
    assert rates("omni-moderation-latest", "batch") == ("0", None, None)
    assert rates("omni-moderation-latest", "standard") == ("0", None, None)
    assert rates("omni-moderation-2031-01-01", "batch") is None


def test_the_price_of_a_day_is_the_price_of_that_day() -> None:
    before = price_of("gpt-5.6-luna", "standard", on=date(2026, 7, 29))
    after = price_of("gpt-5.6-luna", "standard", on=date(2026, 7, 30))
    assert before is not None
    assert after is not None
    assert (before.input, after.input) == (Decimal(1), Decimal("0.2"))


def test_a_clock_that_is_behind_gets_the_first_batch_price_and_not_the_standard_one() -> None:
    early = price_of("gpt-5.6-luna", "batch", on=date(2020, 1, 1))
    assert early is not None
    assert early.input == Decimal("0.1")
    assert early.as_of == date(2026, 10, 14)


def test_the_price_book_states_its_version_and_date() -> None:
    book = genai_prices.price_book()
    assert book.name == "genai-prices"
    assert book.version[0].isdigit()
    assert book.as_of is not None
    assert date(2026, 10, 14) <= book.as_of
    assert genai_prices.price_book(on=date(2026, 10, 1)).as_of == date(2026, 8, 21)


GIVEN = {"input": "0.10", "cached_input": Decimal("0.01"), "output": 0.6}


def test_given_prices_take_precedence_over_the_book() -> None:
    price = price_of("gpt-5.6-luna", "batch", prices={"input": "0.3", "output": 1})
    assert price is not None
    assert (price.input, price.cached_input, price.output) == (Decimal("0.3"), None, Decimal(1))
    assert price.model == "gpt-5.6-luna"
    assert price.source == "given as prices="


def test_given_prices_apply_to_unknown_models_and_keep_their_digits() -> None:
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
def test_malformed_prices_are_refused_with_an_example(prices: Any, named: str) -> None:
    with pytest.raises(CostError, match=named) as excinfo:
        price_of("gpt-5.6-luna", "batch", prices=prices)
    assert 'prices={"input": "0.10"' in str(excinfo.value)


def test_an_unknown_tier_is_refused() -> None:
    with pytest.raises(CostError, match="'cheap'"):
        price_of("gpt-5.6-luna", "cheap")  # type: ignore[arg-type]


@pytest.mark.parametrize("tier", ["batch", "standard", "flex", "priority"])
@pytest.mark.parametrize("model", ["gpt-5.6-luna", "gpt-5.6-sol", "gpt-6-luna", "gpt-6-astra"])
def test_the_book_has_cache_writes_a_quarter_above_other_input_in_every_tier(
    model: str, tier: str
) -> None:
    price = genai_prices.book_price(model, tier)
    assert price is not None
    assert price.cache_write == price.input * Decimal("1.25")
    assert price.long_context is not None
    assert price.long_context.cache_write == price.long_context.input * Decimal("1.25")


def test_an_estimate_states_the_book_and_the_date_of_its_prices() -> None:
    book = genai_prices.price_book()
    frame = pd.DataFrame({"text": ["a"]})
    requests = frame.bf.requests("{{ text }}", model="gpt-5.6-luna", output=["good", "bad"])
    notes = "\n".join(requests.estimate().notes)
    assert f"{book.name} {book.version}" in notes
    assert "(2026-10-14)" in notes
    assert f"{book.name} {book.version}" in repr(requests.estimate())


@pytest.fixture
def disputed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a second book state other prices for gpt-4.1."""

    def other(model: str, tier: Any, *_: Any) -> price_lookup.Price | None:
        book = price_lookup.Price(
            model, tier, Decimal("0.9"), None, Decimal(9), source="another book"
        )
        return book if model == "gpt-4.1" else None

    monkeypatch.setattr(price_lookup, "_SOURCES", (genai_prices.book_price, other))


@pytest.mark.usefixtures("disputed")
def test_a_disagreement_becomes_a_range_for_each_rate() -> None:
    result = price_lookup.price_range("gpt-4.1", "batch")
    assert result is not None
    assert result.high is not None
    ends = [(price.input, price.output) for price in (result.low, result.expected, result.high)]
    assert ends == [(Decimal("0.9"), 4), (1, 4), (1, 9)]


@pytest.mark.usefixtures("disputed")
def test_the_cost_of_a_disputed_model_spans_both_books_and_the_card_says_why() -> None:
    frame = pd.DataFrame({"text": ["a"]})
    requests = frame.bf.requests("{{ text }}", model="gpt-4.1", max_completion_tokens=100)
    estimate = requests.estimate()
    tokens = estimate.input_tokens
    assert estimate.cost is not None
    assert tokens.high is not None
    assert estimate.cost.high == (tokens.high + 100 * Decimal(9)) / 1_000_000
    assert estimate.cost.low <= (tokens.low * Decimal("0.9") + 100 * Decimal(4)) / 1_000_000
    (note,) = (note for note in estimate.notes if "disagree on gpt-4.1 in the batch tier" in note)
    assert "input $1, output $4; another book: input $0.9, output $9" in note
    assert "disagree" in requests.compare(["gpt-4.1"], tiers=["batch"])["note"].iloc[0]
    mine = requests.estimate(
        prices={"batch": {"input": 1, "output": 2}, "standard": {"input": 1, "output": 2}}
    )
    assert not any("disagree" in note for note in mine.notes)


def test_prices_of_another_day_are_not_compared_with_todays_snapshot() -> None:
    result = price_lookup.price_range("gpt-5.6-luna", "standard", on=date(2026, 7, 29))
    assert result is not None
    assert result.low == result.expected == result.high
    assert result.expected.input == 1


def test_the_upper_bound_of_long_requests_uses_the_higher_rates() -> None:
    result = price_lookup.price_range("gpt-5.5-pro", "batch")
    assert result is not None
    assert result.high is not None
    assert result.high.cost(300_006, 100) == Decimal("9.01368")
    assert result.low.cost(300_006, 100) == result.expected.cost(300_006, 100) == Decimal("4.50909")


@pytest.mark.parametrize(
    ("lifetime", "usual", "long"), [("12h", "0.25", "0.5"), ("30m", "0.125", "0.25")]
)
def test_cache_writes_that_last_longer_cost_more(lifetime: str, usual: str, long: str) -> None:
    body = {"prompt_cache_options": {"ttl": lifetime}}
    result = price_lookup.price_range("gpt-5.6-luna", "batch", body=body)
    assert result is not None
    assert result.high is not None
    assert result.high.long_context is not None
    assert result.high.cache_write == result.expected.cache_write == Decimal(usual)
    assert result.high.long_context.cache_write == Decimal(long)


def test_cache_writes_with_an_unpriced_lifetime_have_no_bound() -> None:
    body = {"prompt_cache_options": {"ttl": "7d"}}
    result = price_lookup.price_range("gpt-5.6-luna", "batch", body=body)
    assert result is not None
    assert result.high is None
    # gpt-4.1 has no separate rate for cache writes.
    plain = price_lookup.price_range("gpt-4.1", "batch", body=body)
    assert plain is not None
    assert plain.high is not None


def test_a_note_says_that_audio_answers_cost_more_than_text() -> None:
    rates_ = price_lookup.price_range("gpt-audio", "standard")
    body = {"modalities": ["text", "audio"]}
    assert "cost more" in " ".join(price_lookup.unpriced_notes(body, rates_))
    assert not list(price_lookup.unpriced_notes({"modalities": ["text"]}, rates_))
    frame = pd.DataFrame({"t": ["good"]})
    speech = {**body, "audio": {"voice": "alloy", "format": "wav"}}
    estimate = frame.bf.requests("{{ t }}", model="gpt-audio", **speech).estimate()
    assert "priced as text" in " ".join(estimate.notes)
    assert estimate.standard_cost is not None
    assert estimate.standard_cost.high is None


FIELDS: dict[str, tuple[str, str, str]] = {
    "standard": ("in_", "out", "cin"),
    "batch": ("bin", "bout", "bcin"),
}


@pytest.fixture(scope="module")
def books(shared: Path) -> dict[str, dict[str, Any]]:
    file = shared / "prices_crosscheck.json"
    if not file.exists():
        pytest.skip("the second price book is not on this machine")
    models: dict[str, dict[str, Any]] = json.loads(
        file.read_text(encoding="utf-8"), parse_float=Decimal
    )
    return models


@pytest.mark.parametrize("tier", ["standard", "batch"])
def test_the_snapshot_has_the_figures_that_were_read_by_hand(
    books: dict[str, dict[str, Any]], tier: Any
) -> None:
    for model, book in books.items():
        read, result = rates_of(book["litellm"], tier), litellm_prices.litellm_price(model, tier)
        # Image models are compared by what they draw, and audio is not in the snapshot.
        if result is not None and result.image_input is None and read[0] is not None:
            assert (result.input, result.output or Decimal(0), result.cached_input) == read, model


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
    price = ours(model, "batch")
    assert price != (None, None, None)
    assert price == rates_of(books[model]["litellm"], "batch")


def rates_of(book: dict[str, Any], tier: str) -> tuple[Decimal | None, ...]:
    return tuple(book[field] for field in FIELDS[tier])


def ours(model: str, tier: str) -> tuple[Decimal | None, Decimal | None, Decimal | None]:
    price = price_of(model, tier, on=TODAY)
    if price is None:
        return None, None, None
    # litellm writes 0 for a model without output.
    return price.input, price.output or Decimal(0), price.cached_input
