"""Compare the cost of the same requests across models."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, replace
from typing import Any, Final, cast

import pandas as pd

from batchframe._base.clock import today
from batchframe._base.errors import CostError, format_list
from batchframe._display import FinishedFrame, Style, count, money
from batchframe._estimate.answer_length import NO_ANSWER, AnswerLength, answer_length
from batchframe._estimate.counting import InputTokens, count_input
from batchframe._estimate.history import experience
from batchframe._estimate.preflight import window_note
from batchframe._estimate.pricing import cost_range, dispute_notes
from batchframe._models.availability import lifetime_notes
from batchframe._models.given_prices import RATES
from batchframe._models.hosted_tools import hosted_tools
from batchframe._models.price import BACKGROUND, TIERS, Background, Tier
from batchframe._models.price_lookup import price_range
from batchframe._models.price_range import PriceRange
from batchframe._models.rules import background_discount, promise, refused_parameters
from batchframe._recipe.arguments import checked_model
from batchframe._recipe.recipe import Recipe
from batchframe._requests.rendering import for_model
from batchframe._requests.table import RequestTable
from batchframe._services.provider import OPENAI, Provider

_COLUMNS: Final = ("low", "expected", "high", "input_tokens", "exact", "note")


def _cheapest(frame: pd.DataFrame) -> tuple[int, str] | None:
    if not {"low", "expected"} <= set(frame.columns) or len(frame) < 2:  # noqa: PLR2004 - a choice
        return None
    costs = [
        low if pd.isna(expected) else expected
        for low, expected in zip(frame["low"], frame["expected"], strict=True)
    ]
    known = [(cost, at) for at, cost in enumerate(costs) if not pd.isna(cost)]
    return (min(known)[1], "cheapest") if known else None


class Comparison(FinishedFrame):
    """DataFrame of costs, displayed as a table with the cheapest marked."""

    _style = Style(
        "price",
        formats={
            **dict.fromkeys(("low", "expected", "high"), money),
            "input_tokens": count,
        },
        hidden=("exact",),
        prose=("note",),
        optional=("input_tokens", "low"),
        best=_cheapest,
    )


def compare(
    table: RequestTable,
    models: Iterable[str],
    tiers: Iterable[Tier | Background],
    prices: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    base_url: str,
    provider: Provider = OPENAI,
) -> pd.DataFrame:
    """Compare the cost of the requests by model and tier.

    Raises
    ------
    CostError
        If a tier is unknown or `prices` is malformed.
    RequestError
        If a model name is invalid.
    """
    tier_names = list(tiers)
    for tier in tier_names:
        if tier not in {*TIERS, *BACKGROUND}:
            raise CostError.unknown_tier(tier, (*TIERS, *BACKGROUND))
    names = [models] if isinstance(models, str) else list(models)
    prices = prices or {}
    _check_prices(prices, names)
    rows = [
        row
        for model in names
        for row in _model_rows(
            table, model, tier_names, prices, base_url=base_url, provider=provider
        )
    ]
    index = pd.MultiIndex.from_product([names, tier_names], names=["model", "tier"])
    frame = Comparison(rows, index=index, columns=_COLUMNS)
    money = dict.fromkeys(("low", "expected", "high"), "object")
    return frame.astype({**money, "input_tokens": "int64", "exact": "bool"})


def _check_prices(prices: Mapping[str, Any], names: list[str]) -> None:
    """Raise if any of the prices would be ignored."""
    for key in prices:
        if key in names:
            continue
        if key in RATES or key in TIERS:
            model = names[0] if names else "gpt-6-luna"
            raise CostError(
                f"prices: not keyed by model ({key!r}). "
                f'Fix: prices={{"{model}": {{"input": ..., "output": ...}}}}.'
            )
        matches = difflib.get_close_matches(str(key), names, n=1)
        guess = f"Did you mean {matches[0]!r}? " if matches else ""
        raise CostError(
            f"prices: not one of the compared models ({key!r}). {guess}"
            f"Models: {format_list(names)}."
        )


def _model_rows(
    table: RequestTable,
    model: str,
    tiers: list[Tier | Background],
    prices: Mapping[str, Mapping[str, Any]],
    *,
    base_url: str,
    provider: Provider,
) -> Iterator[tuple[Any, ...]]:
    table = for_model(table, checked_model(model))
    recipe = table.recipe
    input_tokens = count_input(table)
    if hosted_tools(recipe.body, recipe.model):
        input_tokens = replace(input_tokens, high=None)
    length = NO_ANSWER
    if table.to_send:
        before, enforced = experience(recipe, base_url), provider.enforces_schema
        length = answer_length(recipe, before, table.to_send, enforced=enforced)
    output_tokens = length.of(table.to_send)
    notes = _model_notes(table, input_tokens, length)
    in_background = not set(BACKGROUND).isdisjoint(tiers)
    for tier in tiers:
        rates = _rates(recipe, tier, prices.get(model), provider)
        # Without an output price, such as for embeddings, only answers without tokens are priced.
        if rates is not None and not rates.covers_output and length.mean.high != 0:
            rates = None
        cost = cost_range(rates, input_tokens, output_tokens)
        price_notes = [promise(tier)] if in_background else []
        price_notes += [f"Unknown {tier} price."] if cost is None else []
        ends = (None, None, None) if cost is None else astuple(cost)
        total, note = (
            int(input_tokens.tokens.sum()),
            " ".join([*price_notes, *notes, *dispute_notes(rates)]),
        )
        yield (*ends, total, input_tokens.exact, note)


def _rates(
    recipe: Recipe,
    tier: Tier | Background,
    prices: Mapping[str, Any] | None,
    provider: Provider,
) -> PriceRange | None:
    discount = None if tier in TIERS else background_discount(tier)
    if discount is not None and provider.price_book != OPENAI.price_book:
        return None
    rates = price_range(
        recipe.model,
        cast("Tier", tier if discount is None else "standard"),
        provider=provider,
        prices=prices,
        body=recipe.body,
        with_images=recipe.images is not None,
    )
    if rates is None or discount is None:
        return rates
    return rates.map(lambda price: price.less(discount))


def _model_notes(table: RequestTable, input_tokens: InputTokens, length: AnswerLength) -> list[str]:
    """List restrictions of a model and costs its figures leave out."""
    recipe = table.recipe
    refused = refused_parameters(recipe.model, recipe.endpoint, recipe.body)
    hosted = hosted_tools(recipe.body, recipe.model)
    return [
        *[f"Rejects {name}=." for name in refused if name not in recipe.allow],
        *lifetime_notes(recipe.model, today()),
        *window_note(table, input_tokens),
        *(["Reasoning has no upper bound."] if length.unbounded_reasoning else []),
        *[f"Excludes calls of {name} and their results." for name in hosted],
    ]
