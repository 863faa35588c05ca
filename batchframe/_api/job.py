"""A submitted job."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from batchframe._api import job_results, job_waiting
from batchframe._api.cards import job_card
from batchframe._base.errors import JobError, RequestError
from batchframe._base.safe_text import job_step
from batchframe._display import Card, LiveCardRepr, notify
from batchframe._endpoints import open_endpoint
from batchframe._endpoints.endpoint import ASKED_AGAIN, ASKED_ON_DEMAND, UNDELIVERED
from batchframe._jobs.forgetting import Forgotten, abandon, forget, refuse_if_under_way
from batchframe._jobs.run import SubmissionContext
from batchframe._jobs.running import submit_rest, working_on
from batchframe._jobs.tracking import cancel, refresh, results_are_downloaded
from batchframe._results.billing import Usage, job_cost, usage_of
from batchframe._results.job_answers import JobAnswers, failures, read_job, row_counts
from batchframe._results.unanswered import (
    not_delivered,
    nothing_left,
    still_waiting,
    unanswered,
    undelivered_rows,
)
from batchframe._services.batch import Batch
from batchframe._services.connect import connect_to
from batchframe._services.protocol import Service
from batchframe._store.folder import JobFolder
from batchframe._store.journal import status_word
from batchframe._store.manifest import Record, read_record

if TYPE_CHECKING:
    from batchframe._api.requests import Requests


class Job(LiveCardRepr):
    """A submitted job, backed by its folder and usable from any kernel.

    All state is in the folder. The card, ``status`` and ``results()`` never use the network;
    ``refresh()``, ``wait()``, ``cancel()`` and ``resume()`` do.

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

    def __init__(
        self, folder: JobFolder, service: Service | None = None, client: object = None
    ) -> None:
        self._folder = folder
        self._client = client
        self._connected = service
        self._read: tuple[tuple[Record, tuple[int, int]], JobAnswers] | None = None

    @property
    def id(self) -> str:
        """Id of the job: 20 hexadecimal digits, from its content and account."""
        return self._record.manifest.id

    @property
    def name(self) -> str | None:
        """Name of the job; None if it has no name."""
        return self._record.manifest.name

    @property
    def folder(self) -> Path:
        """Path of the job's folder."""
        return self._folder.path

    @property
    def status(self) -> str:
        """Status of the job at the last poll, in one word.

        OpenAI's batch statuses; for several batches, that of the least advanced. Before a batch
        exists: "preparing", "submitting", or "uncertain" if a batch may have been created. After
        :meth:`abandon`: "abandoned".
        """
        return status_word(self._record.state)

    @property
    def done(self) -> bool:
        """Whether every batch has ended and its answers are downloaded."""
        return self._record.done

    @property
    def batches(self) -> list[Batch]:
        """Batches on the server, as of the last poll."""
        return self._record.state.batches

    @property
    def counts(self) -> dict[str, int]:
        """Number of rows per status; the sum is the number of rows."""
        return row_counts(self._answers(self._record))

    @property
    def usage(self) -> Usage:
        """Tokens used by the answers downloaded so far, without reused answers."""
        return usage_of(self._answers(self._record).sent)

    @property
    def cost(self) -> Decimal | None:
        """Cost of the answers downloaded so far, in USD; None if unknown."""
        return job_cost(self._answers(self._record))

    results = job_results.results
    to_parquet = job_results.to_parquet
    report = job_results.report
    wait = job_waiting.wait
    watch = job_waiting.watch
    widget = job_waiting.widget

    def __await__(self) -> Generator[Any, None, Job]:
        return job_waiting.wait_async(self).__await__()

    def refresh(self) -> Self:
        """Poll every batch once, and download the results of ended batches.

        A result file that was modified or deleted is downloaded again, and so is one that was
        missing or incomplete at the last poll.

        Raises
        ------
        JobError
            If the job was not sent completely: call ``resume()``.
        ServiceError
            If the service cannot be reached; downloaded files stay.
        """
        self._poll(thorough=True)
        return self

    def cancel(self) -> Self:
        """Cancel the job; finished answers are billed and remain available.

        Requests that were not sent yet are dropped; ``unanswered()`` submits them again.

        Raises
        ------
        JobError
            If another kernel is working on the job, or an input file may have a batch on the
            server that is not recorded here.
        ServiceError
            If the service cannot be reached.
        """
        with self._locked() as run:
            if run is None:
                return self
            cancel(run)
            if any(file.step == "creating" for file in run.state().inputs):
                name = self._record.manifest.display_name
                raise JobError(
                    f"Job {name!r}: its known batches are being cancelled, but the server may have "
                    "another.",
                    next_step="Fix: "
                    + job_step(name, "resume")
                    + ", then cancel again. To give it up: "
                    + job_step(name, "abandon")
                    + ".",
                )
        return self

    def resume(self, *, recreate: bool = False) -> Self:
        """Resume a submission that was interrupted, rejected or uncertain.

        Parameters
        ----------
        recreate
            Whether to send an uncertain input file again: batchframe deletes the uploaded file and
            searches for its batch once more first. Only if you are sure that the service has no
            such batch.

        Raises
        ------
        JobError
            If another kernel is working on the job.
        SubmissionError, SubmissionUncertain, ServiceError
            As in :meth:`Requests.submit`.
        """
        with self._locked(recreate=recreate) as run:
            if run is not None:
                submit_rest(run)
        return self

    def abandon(self) -> Self:
        """Close the job for good, without the answers that have not arrived.

        For a batch that never ends, or that the service has lost. Nothing is sent or canceled: the
        service may still process and bill the batch, so call :meth:`cancel` first if you can. The
        job is then done. Rows without an answer are ``missing``, and ``unanswered()`` submits them
        again; requests that were never sent are ``cancelled``.

        Raises
        ------
        JobError
            If another kernel is working on the job.

        Examples
        --------
        >>> import pandas as pd, batchframe as bf, batchframe.local
        >>> with batchframe.local.serve() as server:
        ...     server.pause()
        ...     requests = pd.DataFrame({"t": ["a"]}).bf.requests("{{ t }}", model="gpt-4.1")
        ...     job = requests.submit("stuck", client=server.client()).abandon()
        >>> job.status, job.done, job.counts
        ('abandoned', True, {'missing': 1})
        """
        with self._folder.lock() as locked:
            record = self._record
            if not locked:
                raise JobError.busy(record.manifest.display_name)
            if not record.done:
                abandon(record)
                notify(
                    f"Job {record.manifest.display_name!r} is closed. Its missing answers may "
                    "still be billed. To send the rows again: job.unanswered().submit()."
                )
        return self

    def unanswered(self, *, also: Collection[str] = ()) -> Requests:
        """Return the requests without an answer, to submit them again.

        They are read from the job's folder, exactly as they were sent; answered and pending
        requests are excluded. Submitting them creates a separate job, named "sentiment, again"
        after "sentiment" unless you name it; ``df.bf.join(job, again)`` joins the answers of both.
        If every request has an answer, batchframe prints a notice, and submitting sends nothing:
        the new job is done at once.

        Parameters
        ----------
        also
            Statuses to include besides ``failed``, ``expired``, ``cancelled`` and ``missing``: one
            or more of "refused", "truncated" and "invalid". Their answers were billed, and are
            likely to be the same again. With "undelivered", also rows that the service counts as
            answered although their answers have not arrived: ``refresh()`` fetches them once the
            service has them, and submitting them again pays twice.

        Raises
        ------
        RequestError
            If `also` contains another status.
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
        from batchframe._api.requests import Requests  # noqa: PLC0415 - a circular import

        also = {also} if isinstance(also, str) else set(also)
        accepted = (*ASKED_ON_DEMAND, UNDELIVERED)
        if unknown := also - set(accepted):
            raise RequestError.invalid_argument(
                keyword="also", value=sorted(unknown), wanted=f"one of {', '.join(accepted)}"
            )
        record = self._record
        open_endpoint(record.manifest.recipe.endpoint)
        answers = self._answers(record)
        manifest, counts = record.manifest, row_counts(answers)
        table = unanswered(record, answers, {*ASKED_AGAIN, *also})
        if pending := counts.get("pending", 0):
            notify(still_waiting(manifest.display_name, pending))
        left_out = 0 if UNDELIVERED in also else undelivered_rows(record, answers)
        if left_out:
            notify(not_delivered(manifest.display_name, left_out))
        elif not pending and not table.requests:
            notify(nothing_left(manifest.display_name, counts))
        name = None if manifest.name is None else f"{manifest.name}, again"
        return Requests(table, f"unanswered of {manifest.id}", name)

    def forget(self, *, remote: bool = False) -> Forgotten:
        """Delete the job's folder, with its requests and answers.

        A job with a running batch is not deleted. If you run the cell that submitted it again, it
        finds the batch and its answers on the server. With `remote` the answers are deleted: the
        rows are then ``missing``, and ``unanswered(also="undelivered")`` submits them again.

        Parameters
        ----------
        remote
            Whether to also delete the input and result files on the server.

        Returns
        -------
        The removed and the remaining items. If a file on the server cannot be deleted, the
        folder stays, so that you can repeat the call.

        Raises
        ------
        JobError
            If a batch has not ended (call ``job.cancel()`` first), or another kernel is working on
            the job.
        """
        record = self._record
        refuse_if_under_way(record)
        service = self._service if remote else None
        with self._folder.lock() as is_locked:
            if not is_locked:
                raise JobError.busy(record.manifest.display_name)
            return forget(self._record, service)

    def __reduce__(self) -> tuple[type[Self], tuple[JobFolder]]:
        # Only the folder is pickled: a client contains the API key.
        return type(self), (self._folder,)

    @contextmanager
    def _locked(self, *, recreate: bool = False) -> Iterator[SubmissionContext | None]:
        """Lock the job to change it on the server; None if it is done."""
        record = self._record
        if record.done:
            yield None
            return
        with working_on(self._folder, self._service, recreate=recreate) as run:
            if run is None:
                raise JobError.busy(record.manifest.display_name)
            yield run

    def _poll(self, seconds: float | None = None, *, thorough: bool = False) -> None:
        record = self._record
        if record.done and results_are_downloaded(record.folder, record.state, thorough=thorough):
            return
        service = self._service if seconds is None else self._service.within(seconds)
        with working_on(self._folder, service) as run:
            if run is None:
                return  # the kernel that holds the lock records the result
            refresh(run, thorough=thorough)
            if any(file.queued for file in run.state().inputs):
                submit_rest(run)  # the next wave
            # Read again under the lock: another kernel may have sent the job.
            if not self._record.sent:
                raise JobError.not_sent(record.manifest.display_name)

    def _card(self) -> Card:
        record = self._record
        answers = self._answers(record)
        return job_card(
            record,
            row_counts(answers),
            job_cost(answers),
            failures(answers),
            undelivered_rows(record, answers),
        )

    @property
    def _record(self) -> Record:
        return read_record(self._folder)

    def _answers(self, record: Record) -> JobAnswers:
        # Parsing is repeated only after a download or another submission.
        stamp = (record, self._folder.changed_at())
        if self._read is None or self._read[0] != stamp:
            self._read = (stamp, read_job(record))
        return self._read[1]

    @property
    def _service(self) -> Service:
        if self._connected is None:
            record = self._record
            name, identity = record.manifest.display_name, record.manifest.identity
            self._connected = connect_to(identity, name, self._client, record.state.batches)
        return self._connected
