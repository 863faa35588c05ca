"""The two handles, which make each other: ``Requests``, what a frame asks, and ``Job``.

Each method is its documentation and one step into the room that does the work.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Never, get_args

import msgspec
import pandas as pd

from batchframe._accounts import connect, expected_identity
from batchframe._budget import refuse_above
from batchframe._cards import requests_card
from batchframe._checks import check_sending, refuse_parameters
from batchframe._clock import today
from batchframe._compare import compare
from batchframe._counting import InputTokens, count_input
from batchframe._display import Card, Shown
from batchframe._endpoints import endpoint_of
from batchframe._estimate import Estimate, estimate
from batchframe._history import experience
from batchframe._job import JobHandle
from batchframe._jobs import start
from batchframe._preparation import already_answered, plan_of
from batchframe._prices import Tier
from batchframe._providers import OPENAI
from batchframe._request_table import RequestTable
from batchframe._service import NOBODY
from batchframe._shards import input_files, shards_of
from batchframe._submission import OnUncertain
from batchframe._unanswered import ASKED_AGAIN, ASKED_ON_DEMAND, unanswered
from batchframe.errors import RequestError

if TYPE_CHECKING:
    from openai import OpenAI


@dataclass(frozen=True, repr=False, eq=False)
class Requests(Shown):
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

    _table: RequestTable
    _label: str | None = None

    def __len__(self) -> int:
        return self._table.requests

    @property
    def rows(self) -> int:
        """How many rows the frame has."""
        return self._table.rows

    @property
    def model(self) -> str:
        """The model that is asked."""
        return self._table.recipe.model

    @property
    def endpoint(self) -> str:
        """The path of the endpoint, such as "/v1/chat/completions"."""
        return self._table.recipe.endpoint

    @property
    def fingerprint(self) -> str:
        """The content of all requests, in any order, as 64 hexadecimal digits."""
        return self._table.fingerprint

    def preview(self, n: int = 3) -> list[dict[str, Any]]:
        """Return the first `n` request lines, exactly as they would be sent.

        Examples
        --------
        >>> import pandas as pd, batchframe as bf
        >>> frame = pd.DataFrame({"text": ["good"]})
        >>> line = frame.bf.requests("Rate: {{ text }}", model="gpt-4.1").preview(1)[0]
        >>> line["body"]["messages"]
        [{'role': 'user', 'content': 'Rate: good'}]
        """
        return [msgspec.json.decode(line) for line in islice(self._table.lines(), n)]

    def estimate(
        self,
        *,
        prices: Mapping[str, Any] | None = None,
        reuse: bool = True,
        client: OpenAI | None = None,
    ) -> Estimate:
        """Count the tokens and price them, before anything is sent.

        Parameters
        ----------
        prices
            Your own, in USD per million tokens: ``{"input": "0.10", "output": "0.60"}``, or one
            such dict for each of ``"batch"`` and ``"standard"``. They win over the price book.
        reuse
            Whether requests that an earlier job answered are left out of the figures, as `submit`
            does not send them again.
        client
            Whose jobs to look through: the client that will submit, if it is not the
            environment's. Nothing is sent to it.

        Raises
        ------
        CostError
            If `prices` has another shape.

        Examples
        --------
        >>> import pandas as pd, batchframe as bf
        >>> requests = pd.DataFrame({"t": ["a"]}).bf.requests("{{ t }}", model="m", output=["+"])
        >>> requests.estimate().cost is None
        True
        >>> requests.estimate(prices={"input": 1, "output": 2}).cost.low > 0
        True
        """
        identity = expected_identity(client)
        asked = already_answered(self._table, identity, self._label, reuse=reuse)
        return self._estimate_of(asked.table, prices)

    def _estimate_of(self, table: RequestTable, prices: Mapping[str, Any] | None) -> Estimate:
        before = experience(table.recipe)
        return estimate(table, self._counted(table), prices=prices, before=before)

    def compare(
        self,
        models: Iterable[str],
        *,
        tiers: Iterable[Tier] = ("batch", "standard"),
        prices: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> pd.DataFrame:
        """Set side by side what other models would cost for the same rows.

        The input is counted anew with each model's own tokenizer.

        Parameters
        ----------
        models
            Their names.
        tiers
            Of "batch", "standard", "flex" and "priority".
        prices
            Your own by model: ``{"my-model": {"input": "0.10", "output": "0.60"}}``, each as for
            :meth:`estimate`.

        Returns
        -------
        One row for each model and tier, the index: ``low``, ``expected`` and ``high`` in USD as
        `Decimal` (missing where unknown), ``input_tokens``, ``exact`` and ``note``, which says what
        the model would refuse of these requests.

        Raises
        ------
        CostError
            If `prices` has another shape, or a tier is unknown.
        RequestError
            If a name is no model's.

        Examples
        --------
        >>> import pandas as pd, batchframe as bf
        >>> frame = pd.DataFrame({"text": ["good"]})
        >>> asked = frame.bf.requests("{{ text }}", model="gpt-4.1", output=["+", "-"])
        >>> costs = asked.compare(["gpt-4.1", "gpt-5.6-luna"])
        >>> costs.index.names, costs["low"]["gpt-5.6-luna", "batch"] < costs["low"].iloc[0]
        (FrozenList(['model', 'tier']), True)
        """
        return compare(self._table, models, tiers, prices)

    def _counted(self, table: RequestTable) -> InputTokens:
        return self._input_tokens if table is self._table else count_input(table)

    @cached_property
    def _input_tokens(self) -> InputTokens:
        return count_input(self._table)

    def to_jsonl(self, folder: str | Path) -> list[Path]:
        """Write the input files into a folder, to look at or to send by other means.

        Returns
        -------
        The files' paths; each is within OpenAI's limits.

        Raises
        ------
        RequestError
            If a row makes a request that is too large for any file.
        FileIsThereError
            If a file of that name is there already.

        Examples
        --------
        >>> import pandas as pd, batchframe as bf, tempfile
        >>> requests = pd.DataFrame({"t": ["a", "b"]}).bf.requests("{{ t }}", model="gpt-4.1")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     paths = requests.to_jsonl(folder)
        ...     [path.read_text().count("custom_id") for path in paths]
        [2]
        """
        return input_files(self._table, shards_of(self._table, OPENAI), Path(folder))

    def submit(
        self,
        name: str | None = None,
        *,
        max_cost: Decimal | float | str | None = None,
        client: OpenAI | None = None,
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
            An ``openai.OpenAI``; by default one made from ``OPENAI_API_KEY``.
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
        # Where no row asks anything there is nobody to ask, and no key is needed.
        identity = expected_identity(client) if len(self) else NOBODY
        label = self._label if rerun is None else rerun
        reuse = reuse and rerun is None
        asked = already_answered(self._table, identity, label, reuse=reuse)
        if asked.under_way:
            raise RequestError.under_way(asked.under_way)
        known = self._estimate_of(asked.table, prices)
        if max_cost is not None:
            refuse_above(max_cost, known, asked.table, self._counted(asked.table), prices)
        check_sending(asked.table, self._counted(asked.table), identity.base_url, today())
        service = connect(client) if len(self) else None
        plan = plan_of(asked, identity, known, name=name, rerun=label, prices=prices)
        return Job(start(plan, service, on_uncertain), service)

    def _card(self) -> Card:
        prompts = [endpoint_of(self.endpoint).prompt_text(line["body"]) for line in self.preview(1)]
        return requests_card(self._table.recipe, self.estimate(), *prompts)


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
        among them. Submitting them makes a job of its own; ``df.bf.join(job, again)`` takes the
        good answers of both.

        Parameters
        ----------
        also
            Further statuses to ask again, beside ``failed``, ``expired``, ``cancelled`` and
            ``missing``: any of "refused", "truncated" and "invalid", whose answers were billed,
            and mostly come back the same.

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
        >>> job.counts, again.counts
        ({'failed': 1}, {'ok': 1})
        >>> frame.bf.join(job, again)[["response", "bf_status"]]
          response bf_status
        0        4        ok
        """
        if other := set(also) - set(ASKED_ON_DEMAND):
            raise RequestError.not_a_word(
                keyword="also", value=sorted(other), wanted=f"of {', '.join(ASKED_ON_DEMAND)}"
            )
        record = self._record
        table = unanswered(record, self._answers(record), {*ASKED_AGAIN, *also})
        return Requests(table, f"unanswered of {self.id}")
