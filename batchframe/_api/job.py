"""A submitted job."""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Self

from batchframe._api import job_results, job_waiting, resending
from batchframe._api.cards import format_status, job_card
from batchframe._base.errors import JobError, RequestError
from batchframe._base.safe_text import JOBS, NextStep, job_step
from batchframe._display import Card, CardRepr, Screen, notify, polled_at, show_everywhere
from batchframe._jobs.forgetting import Forgotten, abandon, forget, refuse_if_under_way
from batchframe._jobs.reconciliation import adopt_named
from batchframe._jobs.run import SubmissionContext
from batchframe._jobs.running import resume_paused, submit_rest, working_on
from batchframe._jobs.tracking import cancel, refresh, results_are_downloaded
from batchframe._results.billing import Usage, job_cost, usage_of
from batchframe._results.job_answers import JobAnswers, read_job, row_counts
from batchframe._services.batch import Batch
from batchframe._services.connect import connect_to
from batchframe._services.protocol import Service
from batchframe._store.folder import JobFolder
from batchframe._store.journal import status_word
from batchframe._store.manifest import Record, read_record

# A slash would name another path of the service.
_ID: Final = re.compile(r"[\w.:-]{1,512}")


class Job(CardRepr):
    """A submitted job, backed by its folder and usable from any kernel.

    All state is in the folder. The card, ``status`` and ``results()`` never use the network;
    ``refresh()``, ``wait()``, ``cancel()`` and ``resume()`` do.

    Examples
    --------
    >>> import pandas as pd, batchframe as bf, batchframe.local
    >>> frame = pd.DataFrame({"t": ["a", "b"]})
    >>> with batchframe.local.serve(answer=lambda body: {"label": "+"}) as server:
    ...     plan = frame.bf.requests("{{ t }}", model="gpt-6-luna", output=["+", "-"])
    ...     job = plan.submit("signs", client=server.client()).wait()
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
        self._process = os.getpid()
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
    unanswered = resending.unanswered
    wait = job_waiting.wait
    watch = job_waiting.watch
    widget = job_waiting.widget
    _ipython_display_ = job_waiting.display_job
    _screen: Screen | None = None

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
        self._show_everywhere()
        return self

    def resume(self, *, recreate: bool = False, batch: str | None = None) -> Self:
        """Resume a submission that was interrupted, rejected, uncertain or paused.

        For a paused job, it is the consent to send the rest.

        Parameters
        ----------
        recreate
            Whether to send an uncertain input file again: batchframe deletes the uploaded file and
            searches for its batch once more first. Also whether to send a job that may have been
            sent from a lost folder. Only if you are sure that the service has no such batch.
        batch
            Id of a batch that the service does not list, such as "batch_abc". It is adopted if its
            metadata, its input file or its answers show that it holds requests of this job.

        Raises
        ------
        JobError
            If another kernel is working on the job, or the job needs no batch.
        SubmissionError, SubmissionUncertain, ServiceError
            As in :meth:`Requests.submit`.
        """
        value: object = batch
        if value is not None and not (isinstance(value, str) and _ID.fullmatch(value)):
            raise RequestError.invalid_argument("batch", batch, 'an id, such as "batch_abc"')
        with self._locked(recreate=recreate) as run:
            if run is not None:
                if batch is not None:
                    adopt_named(run, batch)
                resume_paused(run)
                submit_rest(run)
            elif batch is not None:
                name = self._record.manifest.display_name
                raise JobError(
                    f"Job {name!r} is done and needs no batch; {batch} was not adopted.",
                    next_step="Fix: check the name of the job: " + JOBS + ".",
                )
        self._show_everywhere()
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
        ...     plan = pd.DataFrame({"t": ["a"]}).bf.requests("{{ t }}", model="gpt-6-luna")
        ...     job = plan.submit("stuck", client=server.client()).abandon()
        >>> job.status, job.done, job.counts
        ('abandoned', True, {'missing': 1})
        """
        with self._folder.lock() as locked:
            record = self._record
            if not locked:
                raise JobError.busy(record.manifest.display_name)
            if not record.done:
                abandon(record)
                name = record.manifest.display_name
                notify(
                    f"Job {name!r} is closed. Its missing answers may still be billed. To send the "
                    "rows again: " + job_step(name, "unanswered") + NextStep(".submit()", "") + "."
                )
        self._show_everywhere()
        return self

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
        self._poll_service(seconds, thorough=thorough)
        self._show_everywhere()

    def _poll_service(self, seconds: float | None, *, thorough: bool) -> None:
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
            if not self._record.sent and not run.state().paused:
                raise JobError.not_sent(record.manifest.display_name)

    def _show_everywhere(self) -> None:
        """Update the cards of this job in the notebook."""
        show_everywhere(self.folder, self._card, format_status(self.status))

    def _card(self) -> Card:
        record = self._record
        return job_card(record, self._answers(record), polled_at(self.folder))

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
        # A forked process must not share the connections of its parent.
        if self._connected is None or self._process != os.getpid():
            record = self._record
            name, identity = record.manifest.display_name, record.manifest.identity
            self._connected = connect_to(
                identity, name, self._client, record.state.batches, record.state.uploads
            )
            self._process = os.getpid()
        return self._connected
