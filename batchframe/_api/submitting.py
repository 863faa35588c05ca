"""Methods of requests that send something: submit, moderate, pilot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Never, get_args

from batchframe._api.cards import example_table
from batchframe._api.estimating import count, price
from batchframe._api.job import Job
from batchframe._base.clock import SYSTEM, today
from batchframe._base.errors import RequestError
from batchframe._base.safe_text import NextStep, job_step
from batchframe._display import notify
from batchframe._endpoints import endpoint_of
from batchframe._estimate.budget import OnUnbounded, amount_of, refuse_above
from batchframe._estimate.preflight import check_sending, refuse_parameters
from batchframe._estimate.pricing import file_highs
from batchframe._jobs.division import with_stated_limits
from batchframe._jobs.pilot import (
    PILOT,
    Pilot,
    ask,
    draw,
    format_pilot_cost,
    sampled,
    without_sent,
)
from batchframe._jobs.preparation import (
    Plan,
    check_choice,
    check_names,
    checked_lifetime,
    checked_metadata,
    find_reusable,
)
from batchframe._jobs.run import OnUncertain
from batchframe._jobs.running import start
from batchframe._models.price import Tier
from batchframe._recipe.arguments import checked_model
from batchframe._requests.input_files import plan_input_files
from batchframe._requests.moderation import flagged
from batchframe._results.earlier import ReusePlan
from batchframe._results.earlier import without_sent as without_submitted
from batchframe._services.accounts import Account
from batchframe._services.connect import connect, expected_identity, expected_profile, listed_models
from batchframe._services.protocol import NO_ACCOUNT, Identity
from batchframe._services.provider import OPENAI, Provider

if TYPE_CHECKING:
    from openai import OpenAI

    from batchframe._api.requests import Requests


def submit(
    self: Requests,
    name: str | None = None,
    *,
    max_cost: Decimal | float | str | None = None,
    on_unbounded: OnUnbounded = "refuse",
    client: OpenAI | None = None,
    provider: Provider | str | None = None,
    max_enqueued_tokens: int | None = None,
    reuse: bool = True,
    rerun: str | None = None,
    on_uncertain: OnUncertain = "ask",
    prices: Mapping[str, Any] | None = None,
    metadata: Mapping[str, str] | None = None,
    output_expires_after: int | Mapping[str, Any] | None = None,
    **elsewhere: Never,
) -> Job:
    """Submit the requests as a batch job; repeated calls find the same job.

    Parameters
    ----------
    name
        Name of the job, to find it again: ``bf.job("sentiment")``.
    max_cost
        Maximum cost in USD. Nothing is sent if the upper bound of the estimate exceeds it or is
        unknown; the error names the parameters that limit it. Every request is counted.
    on_unbounded
        What to do with `max_cost` if no upper bound is known, as for reasoning or text without a
        limit: "refuse" raises `CostError`; "warn" compares it with the likely cost and warns. This
        takes ten or more earlier answers, for example those of :meth:`pilot`.
    client
        An ``openai.OpenAI`` or ``openai.AzureOpenAI``; by default one made from
        ``OPENAI_API_KEY``.
    provider
        Provider whose limits apply, when it cannot be inferred from the client's base URL: a name
        such as "groq", or :func:`batchframe.provider`. A submitted job keeps its own.
    max_enqueued_tokens
        Number of input tokens that the service allows in its queue per model (for OpenAI, see the
        limits page of your account). Input files are split to fit, and sent as earlier batches
        end, by ``wait()`` or ``refresh()`` in any kernel. By default the limit is the one that the
        service stated when it last rejected a batch for a full queue. Another number splits again
        what a submitted job has not sent yet.
    reuse
        Whether to reuse answers of earlier jobs of the same account instead of sending those
        requests again. With ``dedupe=False`` every row is sent.
    rerun
        A label, such as "2026-11-22", that creates a new job from the same requests, which is
        billed again.
    on_uncertain
        How to proceed if the response to a batch creation is lost and the service does not list
        the batch: "ask" raises `SubmissionUncertain`; "recreate" creates it again if the
        provider's list is known to be complete.
    prices
        As in :meth:`estimate`.
    metadata
        Up to 10 pairs of strings to store with each batch, beside batchframe's own, for example to
        find it in the service's dashboard. Running the cell again does not change them.
    output_expires_after
        Seconds after which the service deletes the result files, from 3600 to 2592000 (30 days,
        OpenAI's default). Answers that were downloaded are kept.
    **elsewhere
        Not supported: parameters of the request body, such as ``service_tier``, belong in
        :func:`batchframe.requests`; the error says so.

    Raises
    ------
    CostError, RequestError, ClientError
        Before anything is written or sent; also if another job has sent some of these requests
        and is not done.
    SentElsewhere
        If the same requests were sent to this address by a client whose batch this one does not
        see.
    SubmissionError, SubmissionUncertain, ServiceError
        After the job's folder is written; ``resume()`` continues the submission.

    Warns
    -----
    ReasoningWarning, IntervalWarning
        If `max_cost` is compared with the likely cost, because no upper bound is known.
    NamesakeWarning
        If another job has this name; the warning lists the differences.

    Examples
    --------
    >>> import pandas as pd, batchframe as bf, batchframe.local
    >>> plan = pd.DataFrame({"t": ["a"]}).bf.requests("{{ t }}", model="gpt-6-luna")
    >>> with batchframe.local.serve(answer=lambda body: "yes") as server:
    ...     job = plan.submit("a question", client=server.client()).wait()
    ...     again = plan.submit("a question", client=server.client())
    >>> job.id == again.id, len(server.ledger)
    (True, 1)
    """
    refuse_parameters(elsewhere)
    check_choice("on_uncertain", on_uncertain, get_args(OnUncertain))
    check_choice("on_unbounded", on_unbounded, get_args(OnUnbounded))
    check_names(name, rerun, max_enqueued_tokens)
    own_metadata, lifetime = checked_metadata(metadata), checked_lifetime(output_expires_after)
    # Without requests nothing is sent, so no API key is needed.
    identity = expected_identity(client) if len(self) else NO_ACCOUNT
    profile = expected_profile(client, provider) if len(self) else OPENAI
    label = self._label if rerun is None else rerun
    account = Account(identity, lambda: connect(client))
    reusable = find_reusable(self._table, account, label, reuse=reuse and rerun is None)
    model, now = self._table.recipe.model, SYSTEM.now()
    profile = with_stated_limits(profile, reusable.jobs or (), account, model, now)
    plan = _plan(
        self,
        reusable,
        identity,
        profile,
        prices=prices,
        max_cost=max_cost,
        on_unbounded=on_unbounded,
        limit=max_enqueued_tokens,
        client=client,
    )
    plan = replace(
        plan,
        name=name,
        default_name=self._name,
        rerun=label,
        metadata=own_metadata,
        output_expires_after=lifetime,
    )
    service = connect(client) if len(self) else None
    return Job(start(plan, service, on_uncertain), service)


def moderate(
    self: Requests,
    *,
    model: str = "omni-moderation-latest",
    client: OpenAI | None = None,
) -> Requests:
    """Check each prompt with the free moderation endpoint; skip flagged ones.

    The prompts are sent in real time, with their instructions and images, but without files.
    Flagged requests are not submitted; their rows keep their position with status ``skipped``, and
    ``bf_error`` names the categories. :attr:`skipped` lists them before submission.

    Parameters
    ----------
    model
        Name of the moderation model; the older "text-moderation-…" models ignore images.
    client
        An ``openai.OpenAI``, which may differ from the one that submits; by default one made from
        ``OPENAI_API_KEY``.

    Returns
    -------
    New requests; the original ones are not modified.

    Raises
    ------
    ClientError
        If ``OPENAI_API_KEY`` is not set.
    ServiceError
        If the endpoint does not return a result for every prompt; the error names a row.

    Examples
    --------
    >>> import pandas as pd, batchframe as bf, batchframe.local
    >>> frame = pd.DataFrame({"t": ["a kind word", "a cruel word"]})
    >>> plan = frame.bf.requests("{{ t }}", model="gpt-6-luna")
    >>> kind = {"flagged": False, "categories": {"hate": False}, "category_scores": {}}
    >>> cruel = {"flagged": True, "categories": {"hate": True}, "category_scores": {}}
    >>> with batchframe.local.serve(answer=lambda body: {"results": [kind, cruel]}) as server:
    ...     clean = plan.moderate(client=server.client())
    >>> len(plan), len(clean)
    (2, 1)
    >>> clean.skipped["bf_error"].tolist()
    ['held back: omni-moderation-latest flags it as hate']
    """
    if not len(self):
        return self
    reasons = flagged(self._table, connect(client), checked_model(model))
    return replace(self, _table=self._table.excluding(reasons))


def pilot(
    self: Requests,
    n: int = 20,
    *,
    max_cost: Decimal | float | str | None = None,
    on_unbounded: OnUnbounded = "refuse",
    seed: int = 0,
    client: OpenAI | None = None,
    provider: Provider | str | None = None,
    prices: Mapping[str, Any] | None = None,
) -> Pilot:
    """Send a random sample in real time, to inspect answers and refine costs.

    The sample is billed at the standard price. Its answers are stored, and the batch reuses them
    (unless ``dedupe=False``). A repeated call returns the same pilot and sends only the requests
    that the service rejected.

    Parameters
    ----------
    n
        Number of requests to send; 10 or more give an interval.
    max_cost, on_unbounded
        As in :meth:`submit`, for the cost of the pilot; the likely cost comes from an earlier pilot
        or job. If the answers have no upper bound, omit both: `n` limits the cost.
    seed
        Seed of the random sample.
    client, provider, prices
        As in :meth:`submit`.

    Returns
    -------
    The sampled rows with their answers, and an estimate for the rest; its range is a 95%
    interval, within the bounds.

    Raises
    ------
    CostError, RequestError, ClientError
        Before anything is sent.
    JobError
        If another kernel is sending the same pilot.

    Examples
    --------
    >>> import pandas as pd, batchframe as bf, batchframe.local
    >>> frame = pd.DataFrame({"t": [f"text {i}" for i in range(50)]})
    >>> plan = frame.bf.requests("{{ t }}", model="gpt-6-luna", max_completion_tokens=9)
    >>> with batchframe.local.serve(answer=lambda body: "a b c") as server:
    ...     pilot = plan.pilot(10, client=server.client())
    ...     job = plan.submit(client=server.client(), max_cost=1).wait()
    >>> pilot.frame["response"].iloc[0], pilot.estimate.requests
    ('a b c', 40)
    >>> job.counts, sum(batch.requests for batch in server.ledger)
    ({'ok': 50}, 40)
    """
    check_choice("on_unbounded", on_unbounded, get_args(OnUnbounded))
    for keyword, value, least in (("n", n, 1), ("seed", seed, 0)):
        if type(value) is not int or value < least:
            raise RequestError.invalid_argument(keyword, value, f"an int of {least} or more")
    if endpoint_of(self.endpoint).answer_kind != "inline":
        raise RequestError(
            f"pilot() does not support {self.endpoint}, whose answers are files. Fix: submit a few "
            "rows, df.head(5).bf.requests(...).submit(); the full batch reuses their answers."
        )
    identity, profile = expected_identity(client), expected_profile(client, provider)
    account = Account(identity, lambda: connect(client))
    reusable = find_reusable(draw(self._table, n, seed), account, PILOT, reuse=True)
    plan = _plan(self, reusable, identity, profile, prices=prices, tier="standard", client=client)
    unsent = without_sent(reusable)
    tokens, learned = count(self, unsent, identity, exact=max_cost is not None)
    estimate = price(unsent, tokens, identity, prices, profile, learned=learned)
    if estimate.requests:
        check_sending(unsent.table, tokens, profile, today(), lambda: listed_models(client))
        if max_cost is not None:
            refuse_above(
                max_cost,
                estimate,
                unsent.table,
                tokens,
                prices,
                provider=profile,
                tier="standard",
                on_unbounded=on_unbounded,
            )
        notify(format_pilot_cost(estimate))
    service = connect(client)
    estimate = replace(plan.estimate, cost=plan.estimate.standard_cost)
    plan = replace(plan, rerun=PILOT, estimate=estimate)
    plan = replace(plan, name=f"pilot {plan.job_id[:6]}")
    job = Job(ask(plan, service), service)
    rest = find_reusable(self._table, Account(identity), self._label, reuse=True)
    rest = without_submitted(rest)
    tokens, learned = count(self, rest, identity)
    narrowed = price(rest, tokens, identity, prices, profile, narrow=True, learned=learned)
    # The other notes are on the card of the estimate, before the pilot.
    notes = tuple(note for note in narrowed.notes if note not in plan.estimate.notes)
    frame = sampled(plan.table, job.results())
    examples = example_table(frame["bf_prompt"].tolist(), frame)
    return Pilot(frame, narrowed, job.cost, job.id, examples, notes)


def _plan(
    requests: Requests,
    reusable: ReusePlan,
    identity: Identity,
    profile: Provider,
    *,
    prices: Mapping[str, Any] | None,
    max_cost: Decimal | float | str | None = None,
    on_unbounded: OnUnbounded = "refuse",
    limit: int | None = None,
    tier: Tier = "batch",
    client: OpenAI | None = None,
) -> Plan:
    """Check the requests and their cost; write and send nothing."""
    amount_of(0 if max_cost is None else max_cost)  # also if the job exists
    if reusable.under_way:
        raise _under_way_error(reusable.under_way)
    table = reusable.table
    # A cell that runs again must find its job, so an existing job skips the checks.
    is_checked = reusable.existing_job_name is None and tier == "batch"
    is_exact = is_checked and max_cost is not None  # a bound counts every request
    tokens, learned = count(requests, reusable, identity, exact=is_exact)
    estimate = price(reusable, tokens, identity, prices, profile, learned=learned)
    if is_checked:
        check_sending(table, tokens, profile, today(), lambda: listed_models(client))
        if max_cost is not None:
            refuse_above(
                max_cost,
                estimate,
                table,
                tokens,
                prices,
                provider=profile,
                on_unbounded=on_unbounded,
            )
    ranges = plan_input_files(table, profile, tokens.tokens, limit or profile.max_enqueued_tokens)
    return Plan(
        reuse=reusable,
        identity=identity,
        input_ranges=ranges,
        estimate=estimate,
        tokens=tokens.tokens,
        provider=profile,
        prices=prices,
        max_enqueued_tokens=limit,
        file_highs=file_highs(
            table.recipe, ranges, tokens, estimate, prices=prices, provider=profile
        ),
        tier=tier,
    )


def _under_way_error(jobs: Mapping[str, int]) -> RequestError:
    text = ", ".join(f"{number:,} in job {job!r}" for job, number in jobs.items())
    job = next(iter(jobs))
    return RequestError(
        f"Some of these requests are already running ({text}); sending them again would be billed "
        "twice.",
        next_step="Fix: "
        + job_step(job, "wait")
        + ", then submit again; only the rest is sent. To pay twice: "
        + NextStep("submit(reuse=False)", "--no-reuse")
        + ".",
    )
