"""The two handles, which make each other: ``Requests``, what a frame asks, and ``Job``.

Each method is its documentation and one step into the room that does the work.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Never, get_args

from batchframe._api.job import JobHandle
from batchframe._api.unsent import RequestsHandle
from batchframe._base.clock import today
from batchframe._base.errors import RequestError
from batchframe._display import say
from batchframe._endpoints import endpoint_of
from batchframe._endpoints.endpoint import ASKED_AGAIN, ASKED_ON_DEMAND
from batchframe._estimate.budget import refuse_above
from batchframe._estimate.counting import count_input
from batchframe._estimate.preflight import check_sending, refuse_parameters
from batchframe._jobs.pilot import PILOT, Pilot, ask, draw, pilot_in_words, pilot_plan, sampled
from batchframe._jobs.preparation import already_answered, check_words, plan_of, sent_as
from batchframe._jobs.run import OnUncertain
from batchframe._jobs.running import start
from batchframe._recipe.arguments import checked_model
from batchframe._requests.moderation import flagged
from batchframe._results.job_answers import row_counts
from batchframe._results.unanswered import nothing_left, still_waiting, unanswered
from batchframe._services.connect import connect, expected_identity, expected_profile
from batchframe._services.protocol import NOBODY
from batchframe._services.provider_table import OPENAI, Provider

if TYPE_CHECKING:
    from openai import OpenAI


class Requests(RequestsHandle):
    """The requests that a frame makes: rendered and checked, nothing written, nothing sent.

    ``len()`` is the number of requests to send; equal rows make one.

    Examples
    --------
    >>> import pandas as pd, batchframe as bf
    >>> frame = pd.DataFrame({"text": ["good", "bad", "good"]})
    >>> requests = frame.bf.requests("{{ text }}", model="gpt-4.1", output=["+", "-"])
    >>> len(requests), requests.rows, requests.model
    (2, 3, 'gpt-4.1')
    """

    def submit(
        self,
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
        check_words(name, rerun, max_enqueued_tokens)
        # Where no row asks anything there is nobody to ask, and no key is needed.
        identity = expected_identity(client) if len(self) else NOBODY
        profile = expected_profile(client, provider) if len(self) else OPENAI
        label = self._label if rerun is None else rerun
        reuse = reuse and rerun is None
        asked = already_answered(self._table, identity, label, reuse=reuse)
        if asked.under_way:
            raise _under_way_error(asked.under_way)
        counted = self._counted(asked.table)
        known = self._estimate_of(asked.table, counted, identity, prices, profile)
        # A cell that is run again finds its job, whatever has changed since it was sent.
        if sent_as(self._table, identity, label) is None:
            check_sending(asked.table, counted, profile, today())
            if max_cost is not None:
                refuse_above(max_cost, known, asked.table, counted, prices, provider=profile)
        service = connect(client) if len(self) else None
        plan = plan_of(
            asked,
            identity,
            known,
            name=name,
            rerun=label,
            prices=prices,
            tokens=self._counted(asked.table).tokens,
            provider=profile,
            max_enqueued_tokens=max_enqueued_tokens,
            else_called=self._name,
        )
        return Job(start(plan, service, on_uncertain), service)

    def moderate(
        self,
        *,
        model: str = "omni-moderation-latest",
        client: OpenAI | None = None,
    ) -> Requests:
        """Ask the free moderation endpoint about each prompt, and hold back what it flags.

        The prompts are sent to it in real time: all that they say, instructions among it, and
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
        return Requests(self._table.held_back(why), self._label, self._name)

    def pilot(
        self,
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
        if endpoint_of(self.endpoint).brings != "words":
            raise RequestError(
                f"A pilot asks in real time and keeps answers of text; those of {self.endpoint} "
                "are files. Submit a few rows as a batch of their own: "
                "df.head(5).bf.requests(...).submit(). The batch of all rows takes their answers "
                "over."
            )
        identity, profile = expected_identity(client), expected_profile(client, provider)
        drawn = draw(self._table, n, seed)
        asked = already_answered(drawn, identity, PILOT, reuse=True)
        if asked.under_way:
            raise _under_way_error(asked.under_way)
        counted = count_input(asked.table)
        check_sending(asked.table, counted, profile, today())
        known = self._estimate_of(asked.table, counted, identity, prices, profile)
        if max_cost is not None:
            refuse_above(
                max_cost, known, asked.table, counted, prices, provider=profile, tier="standard"
            )
        if known.requests:
            say(pilot_in_words(known))
        service = connect(client)
        plan = pilot_plan(asked, identity, known, prices, counted.tokens, provider=profile)
        job = Job(ask(plan, service), service)
        rest = already_answered(self._table, identity, self._label, reuse=True).table
        read = self._counted(rest)
        narrowed = self._estimate_of(rest, read, identity, prices, profile, narrow=True)
        return Pilot(sampled(asked.table, job.results()), narrowed, job.cost, job.id)


class Job(JobHandle):
    """A job that was submitted: a handle on its folder, good in any kernel.

    Nothing here is kept in memory that the folder does not have. Looking at a job (its card,
    ``status``, ``results()``) never asks the network; ``refresh()``, ``wait()``, ``cancel()`` and
    ``resume()`` do.

    Examples
    --------
    >>> import pandas as pd, batchframe as bf, batchframe.local
    >>> frame = pd.DataFrame({"t": ["a", "b"]})
    >>> with batchframe.local.serve(answer=lambda body: {"label": "+"}) as server:
    ...     requests = frame.bf.requests("{{ t }}", model="gpt-4.1", output=["+", "-"])
    ...     job = requests.submit("signs", client=server.client()).wait()
    >>> job.status, job.counts
    ('completed', {'ok': 2})
    >>> job.results()[["label", "bf_status"]]
      label bf_status
    0     +        ok
    1     +        ok
    """

    def unanswered(self, *, also: Collection[str] = ()) -> Requests:
        """Return the requests that brought nothing, to be submitted again.

        They are read from the job's folder, exactly as they were sent: no answered row can be
        among them, nor one that still waits for its answer. Submitting them makes a job of its
        own, which is called "sentiment, again" after "sentiment" unless you name it;
        ``df.bf.join(job, again)`` takes the good answers of both. If nothing is unanswered, a line
        says so, and what is submitted nevertheless sends nothing and is done at once, as for a
        frame without rows.

        Parameters
        ----------
        also
            Further statuses to ask again, beside ``failed``, ``expired``, ``cancelled`` and
            ``missing``: one or more of "refused", "truncated" and "invalid", whose answers were
            billed, and mostly come back the same.

        Raises
        ------
        RequestError
            If `also` names another status.
        JobError
            If the folder is damaged.

        Examples
        --------
        >>> import pandas as pd, batchframe as bf, batchframe.local
        >>> from batchframe.local import AnswerError, serve
        >>> out_of_money = AnswerError(429, "You exceeded your quota.", code="insufficient_quota")
        >>> replies = [out_of_money, "4"]
        >>> frame = pd.DataFrame({"t": ["2 + 2"]})
        >>> with serve(answer=lambda body: replies.pop(0)) as server:
        ...     requests = frame.bf.requests("{{ t }}", model="gpt-4.1")
        ...     job = requests.submit("sums", client=server.client()).wait()
        ...     again = job.unanswered().submit(client=server.client()).wait()
        >>> job.counts, again.name, again.counts
        ({'failed': 1}, 'sums, again', {'ok': 1})
        >>> frame.bf.join(job, again)[["response", "bf_status"]]
          response bf_status
        0        4        ok
        """
        also = {also} if isinstance(also, str) else set(also)
        if other := also - set(ASKED_ON_DEMAND):
            raise RequestError.not_a_word(
                keyword="also", value=sorted(other), wanted=f"of {', '.join(ASKED_ON_DEMAND)}"
            )
        record = self._record
        answers = self._answers(record)
        manifest, counts = record.manifest, row_counts(answers)
        table = unanswered(record, answers, {*ASKED_AGAIN, *also})
        if waiting := counts.get("pending", 0):
            say(still_waiting(manifest.display_name, waiting))
        elif not table.requests:
            say(nothing_left(manifest.display_name, counts))
        again = None if manifest.name is None else f"{manifest.name}, again"
        return Requests(table, f"unanswered of {manifest.id}", again)


def _under_way_error(jobs: Mapping[str, int]) -> RequestError:
    told = ", ".join(f"{number:,} in job {job!r}" for job, number in jobs.items())
    job = next(iter(jobs))
    return RequestError(
        f"Some of these requests are being asked at this moment ({told}), and would be paid "
        f"twice. Wait for their answers, bf.job({job!r}).wait(), and submit again: then only "
        "the others are sent. Or send them twice: submit(reuse=False)."
    )
