"""Write the snapshot of litellm's OpenAI prices, the second price book.

``pip download litellm --no-deps`` fetches a wheel; ``python -m tools.prices WHEEL`` reads the
prices in it and writes ``batchframe/_models/litellm.toml``.
"""

from __future__ import annotations

import argparse
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

SNAPSHOT: Final = Path(__file__).parent.parent / "batchframe" / "_models" / "litellm.toml"
_TABLE: Final = "litellm/model_prices_and_context_window_backup.json"
_PROVIDERS: Final = ("openai", "text-completion-openai")
_MODES: Final = ("chat", "completion", "embedding", "image_generation", "responses")
_TIERS: Final = {"batch": "_batches", "standard": "", "flex": "_flex", "priority": "_priority"}
_LONG: Final = "_above_272k_tokens"
# Our name of a rate, and litellm's: the first of several that is present. Image models bill what
# they draw as image tokens.
_RATES: Final = {
    "input": ("input_cost_per_token",),
    "cached_input": ("cache_read_input_token_cost",),
    "cache_write": ("cache_creation_input_token_cost",),
    "cache_write_12h": ("cache_creation_input_token_cost_above_12hr",),
    "output": ("output_cost_per_image_token", "output_cost_per_token"),
    "image_input": ("input_cost_per_image_token",),
}
_HEADER: Final = """\
# OpenAI's prices according to litellm, in USD per 1,000,000 tokens, as strings to keep all digits.
# Written by `python -m tools.prices`; do not edit. A rate is absent if litellm states none.
book = "litellm {version}"
as_of = {as_of}
long_above = 272_000 # input tokens, above which the rates of `*_long` apply to the whole request
"""


def snapshot(wheel: Path, as_of: date) -> str:
    """Return the snapshot of a litellm wheel as TOML."""
    with zipfile.ZipFile(wheel) as archive:
        table = json.loads(archive.read(_TABLE), parse_float=Decimal)
    version = re.match(r"litellm-([^-]+)-", wheel.name)
    if version is None:
        message = f"not a wheel of litellm: {wheel.name}"
        raise SystemExit(message)
    models = [line for name in sorted(table) for line in _model(name, table[name])]
    return _HEADER.format(version=version[1], as_of=as_of) + "\n".join(models) + "\n"


def _model(name: str, entry: Mapping[str, Any]) -> Iterator[str]:
    # A name with a slash is a price per picture of one size.
    if entry.get("litellm_provider") not in _PROVIDERS or "/" in name:
        return
    if entry.get("mode") not in _MODES:
        return
    lines = [
        f"{tier}{suffix} = {{ {rates} }}"
        for tier, ending in _TIERS.items()
        for suffix, above in (("", ""), ("_long", _LONG))
        if (rates := _rates(entry, above + ending)).startswith("input =")
    ]
    if lines:
        yield from ("", f'[models."{name}"]', *lines)


def _rates(entry: Mapping[str, Any], ending: str) -> str:
    """Return the rates of a tier; litellm writes 0 for an unknown rate."""
    listed_rates = {
        name: next((entry[key + ending] for key in keys if entry.get(key + ending)), None)
        for name, keys in _RATES.items()
    }
    return ", ".join(
        f'{name} = "{(Decimal(rate) * 1_000_000).normalize():f}"'
        for name, rate in listed_rates.items()
        if rate
    )


def main() -> None:
    """Write the snapshot of the wheel named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path)
    wheel = parser.parse_args().wheel
    SNAPSHOT.write_text(snapshot(wheel, datetime.now(UTC).date()), encoding="utf-8")


if __name__ == "__main__":
    main()
