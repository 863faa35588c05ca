"""Prices that are missing, or differ from the newest price books."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from importlib.resources import files
from typing import Any, Final

from tools.facts.checks import Finding
from tools.facts.our_prices import TIERS
from tools.facts.wheels import Wheel
from tools.prices import SNAPSHOT, snapshot

_TABLE: Final = "litellm/model_prices_and_context_window_backup.json"
_SUFFIX: Final = {"batch": "_batches", "standard": ""}
_KEYS: Final = {"input": "input_cost_per_token", "output": "output_cost_per_token"}


def missing_prices(
    models: Sequence[str], ours: Mapping[str, Any], openai: Wheel
) -> Iterator[Finding]:
    """Yield models of the package without a batch price."""
    for model in models:
        if "batch" not in ours.get(model, {}):
            text = f"{model}: a chat model of openai {openai.version} without a batch price"
            yield Finding(f"price {model}", text)


def stale_snapshot(models: Sequence[str], litellm: Wheel, on: date) -> Iterator[Finding]:
    """Yield models whose rates differ between snapshot and newest litellm."""
    newest = tomllib.loads(snapshot(litellm.path, on))["models"]
    packaged = files("batchframe._models") / SNAPSHOT.name
    stored = tomllib.loads(packaged.read_text(encoding="utf-8"))["models"]
    for model in sorted({*models, *stored} & newest.keys()):
        if newest[model] != stored.get(model):
            text = f"{model}: litellm {litellm.version} has other rates than litellm.toml"
            yield Finding(f"snapshot {model}", f"{text}; run python -m tools.prices WHEEL")


def price_changes(
    models: Sequence[str], ours: Mapping[str, Any], litellm: Wheel
) -> Iterator[Finding]:
    """Yield models whose price in the newest litellm differs from ours."""
    table = litellm.json(_TABLE)
    for model in models:
        for tier in TIERS:
            mine, theirs = ours.get(model, {}).get(tier), _rates(table.get(model, {}), tier)
            if mine is None or not theirs:
                continue
            differing = [
                f"{name} ${mine[name]} in ours, ${rate:f} in litellm {litellm.version}"
                for name, rate in theirs.items()
                if mine[name] is not None and Decimal(mine[name]) != rate
            ]
            if differing:
                text = f"{model}, {tier}: {'; '.join(differing)} per million tokens"
                yield Finding(f"price {model} {tier}", text, ages=False)


def _rates(entry: Mapping[str, Any], tier: str) -> dict[str, Decimal]:
    rates = {name: entry.get(key + _SUFFIX[tier]) for name, key in _KEYS.items()}
    # A rate of 0 is one that litellm does not know.
    return {
        name: (Decimal(str(rate)) * 1_000_000).normalize() for name, rate in rates.items() if rate
    }
