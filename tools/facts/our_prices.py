"""``python -m tools.facts.our_prices MODEL ...``: print prices as JSON.

It runs in a separate process, so that ``PYTHONPATH`` can put another genai-prices first.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from batchframe._models.price import Tier
from batchframe._models.price_lookup import price_range
from tools.facts.wheels import Wheel

TIERS: Final[tuple[Tier, ...]] = ("batch", "standard")
_TREE: Final = Path(__file__).parents[2]


def our_prices(models: Sequence[str], genai_prices: Wheel | None) -> Mapping[str, Any]:
    """Return the prices of models by tier, by the genai-prices on the path."""
    paths = [str(_TREE)] + ([] if genai_prices is None else [str(genai_prices.path.resolve())])
    command = [sys.executable, "-m", "tools.facts.our_prices", *models]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths[::-1])}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)  # noqa: S603 - our own module
    return dict(json.loads(done.stdout))


def _rates(model: str) -> dict[str, dict[str, str | None]]:
    found = {tier: price_range(model, tier) for tier in TIERS}
    prices = {tier: rates and rates.expected for tier, rates in found.items()}
    return {
        tier: {"input": str(one.input), "output": None if one.output is None else str(one.output)}
        for tier, one in prices.items()
        if one is not None
    }


if __name__ == "__main__":
    json.dump({model: _rates(model) for model in sys.argv[1:]}, sys.stdout)
