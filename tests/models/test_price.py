import decimal
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchframe._models.price import LongContext, Price, sum_of, within
from batchframe.errors import CostError

LUNA = Price(
    "gpt-5.6-luna",
    "batch",
    Decimal("0.1"),
    Decimal("0.01"),
    Decimal("0.6"),
    LongContext(272_000, Decimal("0.2"), Decimal("0.02"), Decimal("0.9")),
)

MONEY = st.decimals(0, 1_000, places=4)
REQUEST = st.tuples(st.integers(0, 600_000), st.integers(0, 200_000), st.integers(0, 600_000)).map(
    lambda one: (one[0], one[1], min(one[2], one[0]))
)


def test_a_request_costs_its_tokens_at_their_rates() -> None:
    assert LUNA.cost(1_000_000 // 4, 1_000_000) == Decimal("0.625")
    assert LUNA.cost(100_000, 0, cached_tokens=100_000) == Decimal("0.001")
    assert LUNA.cost(0, 0) == 0


def test_one_token_above_the_threshold_raises_the_price_of_the_whole_request() -> None:
    assert LUNA.cost(272_000, 1_000) == Decimal("0.0272") + Decimal("0.0006")
    assert LUNA.cost(272_001, 1_000) == Decimal("0.0544002") + Decimal("0.0009")
    assert LUNA.cost(272_001, 0, 272_001) == Decimal("0.00544002")


def test_cached_tokens_without_a_rate_cost_the_input_rate() -> None:
    plain = replace(LUNA, cached_input=None)
    assert plain.cost(1_000, 10, cached_tokens=900) == plain.cost(1_000, 10)


def test_output_without_a_price_is_an_error_and_not_free() -> None:
    embedding = Price("text-embedding-3-small", "batch", Decimal("0.01"))
    assert embedding.cost(1_000_000, 0) == Decimal("0.01")
    with pytest.raises(CostError, match="text-embedding-3-small"):
        embedding.cost(10, 1)


@given(
    st.lists(REQUEST, max_size=30),
    MONEY,
    st.none() | MONEY,
    MONEY,
    st.none() | st.builds(LongContext, st.just(272_000), MONEY, st.none() | MONEY, MONEY),
)
def test_the_cost_of_many_is_exactly_the_sum_of_each(
    requests: list[tuple[int, int, int]],
    cache_read: Decimal,
    cached: Decimal | None,
    written: Decimal,
    long: LongContext | None,
) -> None:
    price = Price("model", "batch", cache_read, cached, written, long)
    columns = [[one[place] for one in requests] for place in range(3)]
    together = price.cost_of(*columns)
    assert Fraction(together) == sum((Fraction(price.cost(*one)) for one in requests), Fraction(0))


@given(REQUEST)
def test_a_cost_is_the_sum_of_products_and_nothing_is_rounded(one: tuple[int, int, int]) -> None:
    input_tokens, written, cached = one
    rates = LUNA.long_context if input_tokens > 272_000 and LUNA.long_context else LUNA
    exact = (
        (input_tokens - cached) * Fraction(rates.input)
        + cached * Fraction(rates.cached_input or 0)
        + written * Fraction(rates.output or 0)
    ) / 1_000_000
    assert Fraction(LUNA.cost(*one)) == exact


def test_the_callers_decimal_context_does_not_round_costs() -> None:
    with decimal.localcontext() as context:
        context.prec = 2
        assert LUNA.cost_of([123_457, 300_001], 7) == Decimal("0.0723564")


def test_large_frames_are_summed_exactly() -> None:
    tokens = np.full(1_000_000, 271_999, np.int64)
    assert LUNA.cost_of(tokens, 1) == Decimal("27199.9") + Decimal("0.6")


def test_no_requests_cost_nothing() -> None:
    assert LUNA.cost_of([], []) == 0


@pytest.mark.parametrize(
    ("tokens", "cached"), [([-1], 0), ([1.5], 0), ([float("nan")], 0), ([10], 11), (["3"], 0)]
)
def test_numbers_that_cannot_be_tokens_are_refused(tokens: list[float], cached: int) -> None:
    with pytest.raises(ValueError, match="tokens"):
        LUNA.cost_of(tokens, 0, cached)


@pytest.mark.parametrize("tokens", [10, 1_000_000, 123])
def test_a_cost_is_formatted_without_exponent(tokens: int) -> None:
    cost = str(replace(LUNA, long_context=None, input=Decimal(10)).cost(tokens, 0))
    assert "E" not in cost
    assert cost == cost.rstrip("0") or "." not in cost


def test_prompts_below_1024_tokens_are_not_written_to_the_cache() -> None:
    luna = Price("", "batch", Decimal(1), output=Decimal(1), cache_write=Decimal(2))
    assert luna.may_write([1_023, 1_024]).tolist() == [0, 1_024]
    assert Price("", "batch", Decimal(1), cache_write=Decimal(1)).may_write([5_000]).tolist() == [0]


ANY_MONEY = st.decimals(0, 1_000, places=5)
ANY_TOKENS = st.integers(0, 600_000)
ANY_REQUEST = st.tuples(ANY_TOKENS, st.integers(0, 200_000), ANY_TOKENS, ANY_TOKENS).map(
    lambda one: (one[0], one[1], min(one[2], one[0]), min(one[3], max(one[0] - one[2], 0)))
)
ANY_PRICE = st.builds(
    Price,
    st.just("model"),
    st.just("batch"),
    ANY_MONEY,
    st.none() | ANY_MONEY,
    ANY_MONEY,
    st.none()
    | st.builds(
        LongContext,
        st.just(272_000),
        ANY_MONEY,
        st.none() | ANY_MONEY,
        ANY_MONEY,
        cache_write=st.none() | ANY_MONEY,
    ),
    cache_write=st.none() | ANY_MONEY,
)


@given(st.lists(ANY_REQUEST, max_size=20), ANY_PRICE, st.sampled_from([3, 28]))
def test_the_costs_of_requests_and_parts_sum_exactly(
    requests: list[tuple[int, int, int, int]], price: Price, precision: int
) -> None:
    columns = [np.array([one[place] for one in requests], np.int64) for place in range(4)]
    with decimal.localcontext() as context:
        context.prec = precision  # the caller's low precision must not round
        total = price.cost_of(*columns)
        each = price.costs_of(*columns)
        parts = price.parts_of(*columns)
    assert sum_of(each) == sum_of(parts) == total
    assert each.tolist() == [price.cost(*one) for one in requests]


@given(st.lists(st.decimals(0, 10, places=3), max_size=20), st.decimals(0, 60, places=3))
def test_the_number_of_costs_within_the_limit_is_exact(
    costs: list[Decimal], limit: Decimal
) -> None:
    fitting = within(costs, limit)
    assert sum(costs[:fitting], Decimal(0)) <= limit
    assert fitting == len(costs) or sum(costs[: fitting + 1], Decimal(0)) > limit
