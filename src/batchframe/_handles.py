"""The two handles that a user holds: :class:`Requests`, which sends nothing, and :class:`Job`.

Each method is its documentation and one step into the room that does the work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import msgspec
import pandas as pd

from batchframe._accounts import connect, connect_to
from batchframe._billing import Usage, job_cost, usage_of
from batchframe._cards import STATUS_WORDS, JobFacts, job_card, requests_card
from batchframe._counting import InputTokens, count_input
from batchframe._display import Card, Shown, live, say
from batchframe._endpoints import endpoint_of
from batchframe._estimate import Estimate, estimate, refuse_above
from batchframe._folder import JobFolder
from batchframe._jobs import start, working_on
from batchframe._journal import status_word
from batchframe._manifest import Record, read_record
from batchframe._preparation import plan_of
from batchframe._providers import OPENAI, profile_of
from batchframe._request_table import RequestTable
from batchframe._results import JobAnswers, ledger, read_job, row_counts
from batchframe._service import NOBODY, Batch, Service
from batchframe._shards import input_files, shards_of
from batchframe._submission import OnUncertain, submit
from batchframe._tracking import cancel, lost_files, refresh
from batchframe._waiting import Pace, until
from batchframe.errors import JobError, JobTimeout, RequestError

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

    def estimate(self, *, prices: Mapping[str, Any] | None = None) -> Estimate:
        """Count the tokens and price them, before anything is sent.

        Parameters
        ----------
        prices
            Your own, in USD per million tokens: ``{"input": "0.10", "output": "0.60"}``, or one
            such dict for each of ``"batch"`` and ``"standard"``. They win over the price book.

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
        return estimate(self._table, self._input_tokens, prices=prices)

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
        """
        return input_files(self._table, shards_of(self._table, OPENAI), Path(folder))

    def submit(
        self,
        name: str | None = None,
        *,
        max_cost: Decimal | float | str | None = None,
        client: OpenAI | None = None,
        rerun: str | None = None,
        on_uncertain: OnUncertain = "ask",
        prices: Mapping[str, Any] | None = None,
    ) -> Job:
        """Send the requests: the only line that spends. Run again, it finds the same job.

        Parameters
        ----------
        name
            What to call the job, to find it again: ``bf.job("sentiment")``.
        max_cost
            USD. Nothing is sent if the estimate's high end is above it, or unknown.
        client
            An ``openai.OpenAI``; by default one made from ``OPENAI_API_KEY``.
        rerun
            A label of your choice, such as "2026-11-22", that makes a new job of the same
            requests, which is paid again.
        on_uncertain
            What to do when a batch was asked for, the answer was lost and the service does not
            list it: "ask" raises `SubmissionUncertain`; "recreate" asks again where the service's
            list is known to be complete.
        prices
            As for :meth:`estimate`.

        Raises
        ------
        CostError, RequestError, ClientError
            Before anything is written or sent.
        SubmissionError, SubmissionUncertain, ServiceError
            With the job's folder ready to go on.
        """
        if on_uncertain not in get_args(OnUncertain):
            raise RequestError.not_a_word(
                keyword="on_uncertain", value=on_uncertain, wanted='"ask" or "recreate"'
            )
        known = self.estimate(prices=prices)
        if max_cost is not None:
            refuse_above(max_cost, known, self.model)
        # Where no row asks anything there is nobody to ask, and no key is needed.
        service = connect(client) if len(self) else None
        identity = NOBODY if service is None else service.identity
        plan = plan_of(self._table, identity, known, name=name, rerun=rerun, prices=prices)
        return Job(start(plan, service, on_uncertain), service)

    def _card(self) -> Card:
        prompts = [endpoint_of(self.endpoint).prompt_text(line["body"]) for line in self.preview(1)]
        return requests_card(self._table.recipe, self.estimate(), *prompts)


class Job(Shown):
    """A job that was submitted: a handle on its folder, good in any kernel.

    Nothing here is kept in memory that the folder does not have. Looking at a job (its card,
    ``status``, ``results()``) never asks the network; ``refresh()``, ``wait()``, ``cancel()`` and
    ``resume()`` do.
    """

    def __init__(
        self, folder: JobFolder, service: Service | None = None, client: object = None
    ) -> None:
        self._folder = folder
        self._client = client
        self._connected = service
        self._read: tuple[tuple[Record, int], JobAnswers] | None = None

    @property
    def id(self) -> str:
        """The job's id: 20 hexadecimal digits that name its content and its account."""
        return self._record.manifest.id

    @property
    def name(self) -> str | None:
        """What the job is called, if anything."""
        return self._record.manifest.name

    @property
    def folder(self) -> Path:
        """Where the job is kept."""
        return self._folder.path

    @property
    def status(self) -> str:
        """Where the job stood at the last look, in one word.

        OpenAI's words for a batch; of several batches the one furthest behind. Before: "preparing",
        "submitting", or "uncertain" if it is not known whether a batch was created.
        """
        return status_word(self._record.state)

    @property
    def done(self) -> bool:
        """Whether every batch has ended and its answers are at home."""
        return self._record.done

    @property
    def batches(self) -> list[Batch]:
        """The batches on the server, as they were at the last look."""
        return [shard.batch for shard in self._record.state.shards if shard.batch is not None]

    @property
    def counts(self) -> dict[str, int]:
        """How many rows have each status; they add up to the rows of the frame."""
        return row_counts(self._answers(self._record))

    @property
    def usage(self) -> Usage:
        """The tokens that the answers at home used, added up line by line."""
        return usage_of(self._answers(self._record).answers)

    @property
    def cost(self) -> Decimal | None:
        """What the answers at home cost, in USD; None if no batch price is known."""
        return job_cost(self._answers(self._record))

    def refresh(self) -> Job:
        """Look at every batch once, and bring home what has ended.

        Raises
        ------
        JobError
            If not all of the job was sent: ``resume()`` goes on with it.
        ServiceError
            If the service cannot be reached; what is at home stays.
        """
        self._look()
        return self

    def _look(self) -> None:
        record = self._record
        if record.done and not lost_files(record.folder, record.state):
            return
        with working_on(self._folder, self._service) as run:
            if run is None:
                return  # another kernel is at it, and its journal will tell
            if not record.sent:
                raise JobError.not_sent(record.manifest.called)
            refresh(run)

    def wait(self, timeout: float | None = None) -> Job:
        """Look again and again until the job is done.

        Interrupting it leaves the job alone: it goes on at the service, and this or any later
        kernel can come back to it.

        Parameters
        ----------
        timeout
            Seconds after which to give up waiting; by default never.

        Raises
        ------
        JobTimeout
            If the time is over. The job goes on.
        JobError
            If not all of the job was sent: ``resume()`` goes on with it.
        ServiceError
            If the service refuses, or cannot be reached for a long time.
        """
        manifest = self._record.manifest
        pace = Pace.of(profile_of(manifest.identity.base_url))
        try:
            with live() as show:

                def look() -> None:
                    self._look()
                    show(self._card(), STATUS_WORDS.get(self.status, self.status))

                if not until(lambda: self.done, look, pace, timeout=timeout):
                    raise JobTimeout.waited(manifest.called, timeout or 0)
        except KeyboardInterrupt:
            say(f"Stopped waiting; the job goes on. Come back: job = bf.job({manifest.called!r})")
            raise
        return self

    def cancel(self) -> Job:
        """Ask the service to stop the job. What it finished is billed, and is kept.

        Raises
        ------
        JobError
            If another kernel is working on the job at this moment, or a part of it may exist on
            the server without being known here.
        ServiceError
            If the service cannot be reached.
        """
        record = self._record
        if record.done:
            return self
        with working_on(self._folder, self._service) as run:
            if run is None:
                raise JobError.busy(record.manifest.called)
            cancel(run)
            if any(shard.step == "creating" for shard in run.state().shards):
                raise JobError.cancel_uncertain(record.manifest.called)
        return self

    def resume(self, *, recreate: bool = False) -> Job:
        """Go on with a submission that was interrupted, refused or left uncertain.

        Parameters
        ----------
        recreate
            For an uncertain part: delete its input file, look once more, and send it again. Only
            if you are sure that the service has no such batch.

        Raises
        ------
        JobError
            If another kernel is working on the job at this moment.
        SubmissionError, SubmissionUncertain, ServiceError
            As for :meth:`Requests.submit`.
        """
        record = self._record
        if record.done:
            return self
        with working_on(self._folder, self._service, recreate=recreate) as run:
            if run is None:
                raise JobError.busy(record.manifest.called)
            submit(run)
        return self

    def results(self, *, details: bool = False) -> pd.DataFrame:
        """Return one row for each row of the frame that was submitted, in its order.

        Parameters
        ----------
        details
            Also return the columns ``bf_custom_id``, ``bf_input_tokens``, ``bf_output_tokens``,
            ``bf_cached_tokens``, ``bf_finish_reason`` and ``bf_raw``.

        Returns
        -------
        The answer columns, ``bf_status`` and ``bf_error``. Before the job is done, rows are
        ``pending``.
        """
        return ledger(self._answers(self._record), details=details)

    def __reduce__(self) -> tuple[type[Job], tuple[JobFolder]]:
        # The folder only: a client carries the key.
        return Job, (self._folder,)

    def _card(self) -> Card:
        record = self._record
        answers = self._answers(record)
        return job_card(JobFacts(record, row_counts(answers), job_cost(answers)))

    @property
    def _record(self) -> Record:
        return read_record(self._folder)

    @property
    def _service(self) -> Service:
        if self._connected is None:
            manifest = self._record.manifest
            self._connected = connect_to(manifest.identity, manifest.called, self._client)
        return self._connected

    def _answers(self, record: Record) -> JobAnswers:
        # Parsed again only when a batch came home or the cell that submitted ran again.
        stamp = (record, self._folder.rows.stat().st_mtime_ns)
        if self._read is None or self._read[0] != stamp:
            self._read = (stamp, read_job(record))
        return self._read[1]
