"""Compare the cost of the same requests across models."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, replace
from typing import Any, Final

import pandas as pd

from batchframe._base.clock import today
from batchframe._base.errors import CostError, format_list
from batchframe._estimate.answer_length import AnswerLength, answer_length
from batchframe._estimate.counting import InputTokens, count_input
from batchframe._estimate.history import experience
from batchframe._estimate.preflight import window_note
from batchframe._estimate.pricing import cost_range, doubts, is_openais
from batchframe._models.given_prices import RATES
from batchframe._models.hosted_tools import hosted_tools
from batchframe._models.price import TIERS, Tier
from batchframe._models.price_lookup import price
from batchframe._models.rules import lifetime_notes, refused_parameters
from batchframe._recipe.arguments import checked_model
from batchframe._requests.rendering import for_model
from batchframe._requests.table import RequestTable
from batchframe._services.provider import OPENAI, Provider

_COLUMNS: Final = ("low", "expected", "high", "input_tokens", "exact", "note")


def compare(
    table: RequestTable,
    models: Iterable[str],
    tiers: Iterable[Tier],
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
        if tier not in TIERS:
            raise CostError.unknown_tier(tier, TIERS)
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
    frame = pd.DataFrame(rows, index=index, columns=_COLUMNS)
    money = dict.fromkeys(("low", "expected", "high"), "object")
    return frame.astype({**money, "input_tokens": "int64", "exact": "bool"})


def _check_prices(prices: Mapping[str, Any], names: list[str]) -> None:
    """Raise if any of the prices would be ignored."""
    for key in prices:
        if key in names:
            continue
        if key in RATES or key in TIERS:
            model = names[0] if names else "gpt-5.6-luna"
            raise CostError(
                f"prices: not keyed by model ({key!r}). "
                f'Fix: prices={{"{model}": {{"input": "0.10", "output": "0.60"}}}}.'
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
    tiers: list[Tier],
    prices: Mapping[str, Mapping[str, Any]],
    *,
    base_url: str,
    provider: Provider,
) -> Iterator[tuple[Any, ...]]:
    table = for_model(table, checked_model(model))
    recipe = table.recipe
    input_tokens = count_input(table)
    if hosted_tools(recipe.body):
        input_tokens = replace(input_tokens, high=None)
    length = answer_length(recipe, experience(recipe, base_url), table.to_send)
    output_tokens = length.of(table.to_send)
    notes = _model_notes(table, input_tokens, length)
    model_prices = prices.get(model)
    for tier in tiers:
        with_images = recipe.images is not None
        rates = price(model, tier, provider=provider, prices=model_prices, with_images=with_images)
        # Without an output price, such as for embeddings, only answers without tokens are priced.
        if rates is not None and rates.output is None and length.mean.high != 0:
            rates = None
        cost = cost_range(rates, input_tokens, output_tokens)
        price_notes = [f"Unknown {tier} price."] if cost is None else []
        doubt_notes = doubts(model, [tier], model_prices) if is_openais(provider) else []
        ends = (None, None, None) if cost is None else astuple(cost)
        total, note = int(input_tokens.tokens.sum()), " ".join([*price_notes, *notes, *doubt_notes])
        yield (*ends, total, input_tokens.exact, note)


def _model_notes(table: RequestTable, input_tokens: InputTokens, length: AnswerLength) -> list[str]:
    """List restrictions of a model and costs its figures leave out."""
    recipe = table.recipe
    refused = refused_parameters(recipe.model, recipe.endpoint, recipe.body)
    hosted = hosted_tools(recipe.body)
    return [
        *[f"Rejects {name}=." for name in refused if name not in recipe.allow],
        *lifetime_notes(recipe.model, today()),
        *window_note(table, input_tokens),
        *(["Excludes reasoning tokens."] if length.unbounded_reasoning else []),
        *[f"Excludes calls of {name} and their results." for name in hosted],
    ]
