"""Methods of requests that count tokens and estimate cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from batchframe._display import plural
from batchframe._estimate import compare as comparison
from batchframe._estimate import pricing
from batchframe._estimate.counting import InputTokens
from batchframe._estimate.estimate import Estimate
from batchframe._estimate.history import experience
from batchframe._estimate.learning import NOTHING, Learned, learn
from batchframe._estimate.service_count import check_input
from batchframe._jobs.preparation import find_reusable
from batchframe._models.price import Background, Tier
from batchframe._results.earlier import ReusePlan, answered_by_others, without_sent
from batchframe._services.accounts import Account
from batchframe._services.connect import connect, expected_identity, expected_profile
from batchframe._services.protocol import Identity
from batchframe._services.provider import Provider

if TYPE_CHECKING:
    from openai import OpenAI

    from batchframe._api.requests import Requests


def estimate(
    self: Requests,
    *,
    prices: Mapping[str, Any] | None = None,
    reuse: bool = True,
    exact: bool = False,
    check: bool = False,
    client: OpenAI | None = None,
    provider: Provider | str | None = None,
) -> Estimate:
    """Estimate tokens and cost of what `submit` would send now.

    Requests that a job has sent or answered cost nothing again: if all are, the estimate is 0
    requests and $0.

    Parameters
    ----------
    prices
        Your own prices, in USD per million tokens: ``{"input": "0.10", "output": "0.60"}``, or
        one such dict for each of ``"batch"`` and ``"standard"``. They override the price table.
    reuse
        Whether to exclude requests that an earlier job answered, as `submit` does not send them
        again.
    exact
        Whether to count every request. By default, batchframe counts a random sample if counting
        all would take more than about ten seconds; the range then includes the sampling error.
    check
        Whether to count 20 random requests with the API and correct the estimate by the result.
        This sends those 20 prompts; no answers are generated.
    client
        The client that will submit, if not the default; earlier jobs of its account are reused.
        Only `check` sends anything to it.
    provider
        Provider whose limits and prices apply, as in :meth:`submit`.

    Raises
    ------
    CostError
        If `prices` has an invalid structure.
    RequestError, ClientError, ServiceError
        With `check`: if the API cannot count these requests, or cannot be reached.

    Examples
    --------
    >>> import pandas as pd, batchframe as bf
    >>> plan = pd.DataFrame({"t": ["a"]}).bf.requests("{{ t }}", model="m", output=["+"])
    >>> plan.estimate().cost is None
    True
    >>> plan.estimate(prices={"input": 1, "output": 2}).cost.low > 0
    True
    """
    identity, profile = expected_identity(client), expected_profile(client, provider)
    account = Account(identity)
    existing = find_reusable(self._table, account, self._label, reuse=reuse)
    reusable = without_sent(existing)
    tokens, learned = count(self, reusable, identity, exact=exact)
    if check and reusable.table.to_send:
        tokens = self._count_tokens(reusable.table, exact=exact)
        tokens = check_input(reusable.table, tokens, connect(client))
    estimate = price(reusable, tokens, identity, prices, profile, learned=learned)
    estimate = replace(estimate, reused=existing.table.reused)
    if existing.job is not None and reusable.table.to_send < existing.table.to_send:
        name = existing.job.manifest.display_name
        sent = existing.table.to_send - reusable.table.to_send
        if not reusable.table.to_send:
            note = f"Already submitted as job {name!r}; submitting again is free."
        else:
            note = f"Job {name!r} has sent {plural(sent, 'request')}; submit() sends the rest."
        return replace(estimate, sent_as=name).with_notes(note)
    others = answered_by_others(reusable, account) if reuse and self._table.recipe.dedupe else {}
    return estimate.with_notes(*map(_answered_note, others.items()))


def _answered_note(other: tuple[str, int]) -> str:
    job, number = other
    return (
        f"Job {job} of another account has answered {plural(number, 'request')}: with its client, "
        "they are not sent again."
    )


def compare(
    self: Requests,
    models: Iterable[str],
    *,
    tiers: Iterable[Tier | Background] = ("batch", "standard"),
    prices: Mapping[str, Mapping[str, Any]] | None = None,
    client: OpenAI | None = None,
    provider: Provider | str | None = None,
) -> pd.DataFrame:
    """Compare the cost of the same requests across models.

    The input is counted with the tokenizer of each model.

    Parameters
    ----------
    models
        Names of the models.
    tiers
        Price tiers: "batch", "standard", "flex", "priority"; and "background_2h" and
        "background_8h", OpenAI's background responses within 2 or 8 hours, which batchframe does
        not send. With one of these, each note says what the tier promises.
    prices
        Your own prices by model: ``{"my-model": {"input": "0.10", "output": "0.60"}}``, each as
        in :meth:`estimate`.
    client, provider
        Client and provider of the models, as in :meth:`submit`. Nothing is sent.

    Returns
    -------
    One row per model and tier, which are the index: ``low``, ``expected`` and ``high`` in USD as
    `Decimal` (missing where unknown), ``input_tokens``, ``exact`` and ``note``, which says what
    in these requests the model would reject.

    Raises
    ------
    CostError
        If `prices` has an invalid structure, or a tier is unknown.
    RequestError
        If a model name is invalid.

    Examples
    --------
    >>> import pandas as pd, batchframe as bf
    >>> frame = pd.DataFrame({"text": ["good"]})
    >>> plan = frame.bf.requests("{{ text }}", model="gpt-6-luna", output=["+", "-"])
    >>> costs = plan.compare(["gpt-4.1", "gpt-6-luna"])
    >>> costs.index.names, costs["low"]["gpt-6-luna", "batch"] < costs["low"].iloc[0]
    (FrozenList(['model', 'tier']), True)
    """
    identity, profile = expected_identity(client), expected_profile(client, provider)
    return comparison.compare(
        self._table, models, tiers, prices, base_url=identity.base_url, provider=profile
    )


def count(
    requests: Requests, reusable: ReusePlan, identity: Identity, *, exact: bool = False
) -> tuple[InputTokens, Learned]:
    """Count the input tokens to send, corrected by the bills of finished jobs."""
    learned = learn(reusable.table.recipe, Account(identity), reusable.jobs)
    tokens = requests._count_tokens(reusable.table, exact=exact)
    return learned.correct_input(tokens), learned


def price(
    reusable: ReusePlan,
    tokens: InputTokens,
    identity: Identity,
    prices: Mapping[str, Any] | None,
    profile: Provider,
    *,
    narrow: bool = False,
    learned: Learned = NOTHING,
) -> Estimate:
    """Estimate the cost of the requests to send, from their input tokens."""
    return pricing.estimate(
        reusable.table,
        tokens,
        prices=prices,
        before=experience(
            reusable.table.recipe, identity.base_url, reusable.jobs, reusable.answered_by
        ),
        narrow=narrow,
        learned=learned,
        base_url=identity.base_url,
        provider=profile,
    )
