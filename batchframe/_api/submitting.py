"""The verbs of requests that send something: submit, moderate, pilot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Never, get_args

from batchframe._api.estimating import price
from batchframe._api.job import Job
from batchframe._base.clock import today
from batchframe._base.errors import RequestError
from batchframe._base.safe_text import NextStep, job_step
from batchframe._display import notify
from batchframe._endpoints import endpoint_of
from batchframe._estimate.budget import refuse_above
from batchframe._estimate.preflight import check_sending, refuse_parameters
from batchframe._jobs.pilot import PILOT, Pilot, ask, draw, pilot_in_words, sampled
from batchframe._jobs.preparation import Plan, check_names, find_reusable, job_id
from batchframe._jobs.run import OnUncertain
from batchframe._jobs.running import start
from batchframe._models.price import Tier
from batchframe._recipe.arguments import checked_model
from batchframe._requests.input_files import plan_input_files
from batchframe._requests.moderation import flagged
from batchframe._results.earlier import ReusePlan
from batchframe._services.connect import connect, expected_identity, expected_profile
from batchframe._services.protocol import NOBODY, Identity
from batchframe._services.provider_table import OPENAI, Provider

if TYPE_CHECKING:
    from openai import OpenAI

    from batchframe._api.requests import Requests


def submit(
    self: Requests,
    name: str | None = None,
    *,
    max_cost: Decimal | float | str | None = None,
    client: OpenAI | None = None,
    provider: Provider | str | None = None,
    max_enqueued_tokens: int | None = None,
    reuse: bool = True,
    rerun: str | None = None,
    on_uncertain: OnUncertain = "ask",
    prices: Mapping[str, Any] | None = None,
    **elsewhere: Never,
) -> Job:
    """Send the requests: the only line that spends. Run again, it finds the same job.

    Parameters
    ----------
    name
        What to call the job, to find it again: ``bf.job("sentiment")``.
    max_cost
        USD. Nothing is sent if the estimate's high end is above it, or unknown. Reasoning
        tokens may come on top where nothing bounds them: a warning says so, and what to do.
    client
        An ``openai.OpenAI`` or ``openai.AzureOpenAI``; by default one made from
        ``OPENAI_API_KEY``.
    provider
        Whose limits and habits count, where the client's address does not say it: a name such
        as "groq", or :func:`batchframe.provider`. A job that has begun keeps its own.
    max_enqueued_tokens
        How many input tokens the service lets wait for one model (OpenAI: see the limits page
        of the account). Files are cut so that each fits, and are sent in waves: further ones
        as earlier ones end, by ``wait()`` or ``refresh()`` in any kernel. A queue that turns
        out to be full is tried again later in any case.
    reuse
        Whether a request that an earlier job of the same account answered takes that answer
        instead of being sent. With ``dedupe=False`` every row is asked.
    rerun
        A label of your choice, such as "2026-11-22", that makes a new job of the same
        requests, which is paid again.
    on_uncertain
        What to do when a batch was asked for, the answer was lost and the service does not
        list it: "ask" raises `SubmissionUncertain`; "recreate" asks again where the service's
        list is known to be complete.
    prices
        As for :meth:`estimate`.
    **elsewhere
        Nothing: a parameter of the request body, such as ``service_tier``, belongs to
        :func:`batchframe.requests`, and the error says so.

    Raises
    ------
    CostError, RequestError, ClientError
        Before anything is written or sent; also if another job is asking some of these
        requests at this moment.
    SubmissionError, SubmissionUncertain, ServiceError
        With the job's folder ready to go on.

    Warns
    -----
    ReasoningWarning
        If reasoning tokens may come on top of `max_cost`.
    IntervalWarning
        If `max_cost` is held against what is likely, since nothing bounds the answers.
    NamesakeWarning
        If another job has this name, and in what the new one differs.

    Examples
    --------
    >>> import pandas as pd, batchframe as bf, batchframe.local
    >>> requests = pd.DataFrame({"t": ["a"]}).bf.requests("{{ t }}", model="gpt-4.1")
    >>> with batchframe.local.serve(answer=lambda body: "yes") as server:
    ...     job = requests.submit("a question", client=server.client()).wait()
    ...     again = requests.submit("a question", client=server.client())
    >>> job.id == again.id, len(server.ledger)
    (True, 1)
    """
    refuse_parameters(elsewhere)
    if on_uncertain not in get_args(OnUncertain):
        raise RequestError.not_a_word(
            keyword="on_uncertain", value=on_uncertain, wanted='"ask" or "recreate"'
        )
    check_names(name, rerun, max_enqueued_tokens)
    # Where no row asks anything there is nobody to ask, and no key is needed.
    identity = expected_identity(client) if len(self) else NOBODY
    profile = expected_profile(client, provider) if len(self) else OPENAI
    label = self._label if rerun is None else rerun
    reusable = find_reusable(self._table, identity, label, reuse=reuse and rerun is None)
    plan = _plan(
        self,
        reusable,
        identity,
        profile,
        prices=prices,
        max_cost=max_cost,
        max_enqueued_tokens=max_enqueued_tokens,
    )
    plan = replace(plan, name=name, default_name=self._name, rerun=label)
    service = connect(client) if len(self) else None
    return Job(start(plan, service, on_uncertain), service)


def moderate(
    self: Requests,
    *,
    model: str = "omni-moderation-latest",
    client: OpenAI | None = None,
) -> Requests:
    """Ask the free moderation endpoint about each prompt, and hold back what it flags.

    The prompts are sent to it in real time: all that they notify, instructions among it, and
    their images. What is flagged is not submitted, and its rows keep their place: their status
    is ``skipped``, and ``bf_error`` names the categories; :attr:`skipped` lists them before.

    Parameters
    ----------
    model
        The moderation model; the older ones, "text-moderation-…", see no images.
    client
        An ``openai.OpenAI``, not necessarily the one that submits; by default one made from
        ``OPENAI_API_KEY``.

    Returns
    -------
    New requests; these are not changed.

    Raises
    ------
    ClientError
        If there is no key.
    ServiceError
        If the endpoint does not answer for every prompt, naming a row.

    Examples
    --------
    >>> import pandas as pd, batchframe as bf, batchframe.local
    >>> frame = pd.DataFrame({"t": ["a kind word", "a cruel word"]})
    >>> asked = frame.bf.requests("{{ t }}", model="gpt-4.1")
    >>> kind = {"flagged": False, "categories": {"hate": False}, "category_scores": {}}
    >>> cruel = {"flagged": True, "categories": {"hate": True}, "category_scores": {}}
    >>> with batchframe.local.serve(answer=lambda body: {"results": [kind, cruel]}) as server:
    ...     held = asked.moderate(client=server.client())
    >>> len(asked), len(held)
    (2, 1)
    >>> held.skipped["bf_error"].tolist()
    ['held back: omni-moderation-latest flags it as hate']
    """
    if not len(self):
        return self
    why = flagged(self._table, connect(client), checked_model(model))
    return replace(self, _table=self._table.held_back(why))


def pilot(
    self: Requests,
    n: int = 20,
    *,
    max_cost: Decimal | float | str | None = None,
    seed: int = 0,
    client: OpenAI | None = None,
    provider: Provider | str | None = None,
    prices: Mapping[str, Any] | None = None,
) -> Pilot:
    """Ask a few requests at once, to read the answers and to learn what they take.

    They are drawn at random and asked in real time, at standard price. Their answers are kept,
    and the batch does not ask them again (unless ``dedupe=False`` asks every row anew). Run
    again, it is the same pilot: only what the service refused is asked again.

    Parameters
    ----------
    n
        How many requests to ask; 10 or more give an interval.
    max_cost
        USD, held against the high end of what the pilot costs; as for :meth:`submit`. Where
        nothing bounds the answers there is none, and `n` alone bounds the pilot.
    seed
        Of the draw.
    client, provider, prices
        As for :meth:`submit`.

    Returns
    -------
    The rows drawn with their answers, and an estimate for the rest whose range is a 95 %
    interval.

    Raises
    ------
    CostError, RequestError, ClientError
        Before anything is sent.
    JobError
        If another kernel is asking the same pilot at this moment.

    Examples
    --------
    >>> import pandas as pd, batchframe as bf, batchframe.local
    >>> frame = pd.DataFrame({"t": [f"text {i}" for i in range(50)]})
    >>> requests = frame.bf.requests("{{ t }}", model="gpt-4.1", max_completion_tokens=9)
    >>> with batchframe.local.serve(answer=lambda body: "a b c") as server:
    ...     pilot = requests.pilot(10, client=server.client())
    ...     job = requests.submit(client=server.client(), max_cost=1).wait()
    >>> pilot.frame["response"].iloc[0], pilot.estimate.requests
    ('a b c', 40)
    >>> job.counts, sum(batch.requests for batch in server.ledger)
    ({'ok': 50}, 40)
    """
    for keyword, value, least in (("n", n, 1), ("seed", seed, 0)):
        if type(value) is not int or value < least:
            wanted = f"a whole number from {least} on"
            raise RequestError.not_a_word(keyword, value, wanted)
    if endpoint_of(self.endpoint).answer_kind != "inline":
        raise RequestError(
            f"A pilot asks in real time and keeps answers of text; those of {self.endpoint} "
            "are files. Submit a few rows as a batch of their own: "
            "df.head(5).bf.requests(...).submit(). The batch of all rows takes their answers "
            "over."
        )
    identity, profile = expected_identity(client), expected_profile(client, provider)
    reusable = find_reusable(draw(self._table, n, seed), identity, PILOT, reuse=True)
    plan = _plan(
        self, reusable, identity, profile, prices=prices, max_cost=max_cost, tier="standard"
    )
    estimate = replace(plan.estimate, cost=plan.estimate.standard_cost)
    if estimate.requests:
        notify(pilot_in_words(estimate))
    service = connect(client)
    name = f"pilot {job_id(plan.table, identity, PILOT)[:6]}"
    plan = replace(plan, name=name, rerun=PILOT, estimate=estimate)
    job = Job(ask(plan, service), service)
    rest = find_reusable(self._table, identity, self._label, reuse=True)
    narrowed = price(rest, self._count_tokens(rest.table), identity, prices, profile, narrow=True)
    return Pilot(sampled(plan.table, job.results()), narrowed, job.cost, job.id)


def _plan(
    requests: Requests,
    reusable: ReusePlan,
    identity: Identity,
    profile: Provider,
    *,
    prices: Mapping[str, Any] | None,
    max_cost: Decimal | float | str | None,
    max_enqueued_tokens: int | None = None,
    tier: Tier = "batch",
) -> Plan:
    """Check what is to be sent, and what it costs; write and send nothing."""
    if reusable.under_way:
        raise _under_way_error(reusable.under_way)
    table = reusable.table
    counted = requests._count_tokens(table)
    estimate = price(reusable, counted, identity, prices, profile)
    # A cell that is run again finds its job, whatever has changed since it was sent.
    if reusable.existing_job_name is None or tier == "standard":
        check_sending(table, counted, profile, today())
        if max_cost is not None:
            refuse_above(max_cost, estimate, table, counted, prices, provider=profile, tier=tier)
    queue = max_enqueued_tokens or profile.max_enqueued_tokens
    return Plan(
        reuse=reusable,
        identity=identity,
        shards=plan_input_files(table, profile, counted.tokens, queue),
        estimate=estimate,
        tokens=counted.tokens,
        provider=profile,
        prices=prices,
        max_enqueued_tokens=max_enqueued_tokens,
        tier=tier,
    )


def _under_way_error(jobs: Mapping[str, int]) -> RequestError:
    told = ", ".join(f"{number:,} in job {job!r}" for job, number in jobs.items())
    job = next(iter(jobs))
    return RequestError(
        f"Some of these requests are being asked at this moment ({told}), and would be paid twice.",
        next_step="Wait for their answers, "
        + job_step(job, "wait")
        + ", and submit again: then only the others are sent. Or send them twice: "
        + NextStep("submit(reuse=False)", "--no-reuse")
        + ".",
    )
