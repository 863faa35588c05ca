"""Card of requests."""

from __future__ import annotations

from batchframe._display import Card, Details, count, format_range, money, plural
from batchframe._estimate.estimate import Estimate
from batchframe._recipe.recipe import Recipe


def requests_card(recipe: Recipe, estimate: Estimate, prompt: tuple[str, str] | None) -> Card:
    """Build the card of requests: their number and their estimated cost.

    The notes of the estimate are on its own card.
    """
    if not estimate.rows:
        return Card(title=f"Nothing to send to {recipe.model}")
    return Card(
        title=f"{plural(estimate.requests, 'request')} to {recipe.model}",
        figures=estimate._figures,
        facts=estimate._facts,
        quoted=prompt,
        details=Details(
            facts=(
                ("endpoint", recipe.endpoint),
                ("files", count(estimate.files)),
                ("input tokens", format_range(estimate.input_tokens, count)),
                ("cost (batch)", format_range(estimate.cost, money)),
                ("cost (standard)", format_range(estimate.standard_cost, money)),
                ("more", "plan.estimate() says how exact these figures are"),
            )
        ),
        next_step=estimate._next_step,
    )
