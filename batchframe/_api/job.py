"""What a handle on a job can ask of the service, but for asking again (``_api/requests.py``).

Each method is its documentation and one step into the room that does the work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from batchframe._api.cards import JobFacts, in_status_words, in_trouble, job_card
from batchframe._api.job_at_home import JobAtHome
from batchframe._base.errors import JobError, JobTimeout, ServiceError
from batchframe._display import Card, Screen, ShownLive, background, controls, live, say
from batchframe._jobs.forgetting import Forgotten, forget, refuse_if_under_way
from batchframe._jobs.named_files import fetch_named, names_files
from batchframe._jobs.running import go_on, working_on
from batchframe._jobs.tracking import all_at_home, cancel, refresh
from batchframe._jobs.waiting import Pace, until, until_async, watch
from batchframe._results.billing import job_cost
from batchframe._results.job_answers import failures, row_counts
from batchframe._services.connect import connect_to
from batchframe._services.protocol import Service
from batchframe._store.folder import JobFolder

if TYPE_CHECKING:
    from ipywidgets import Box


class JobHandle(JobAtHome, ShownLive):
    """A job that was submitted: a handle on its folder, good in any kernel."""

    def __init__(
        self, folder: JobFolder, service: Service | None = None, client: object = None
    ) -> None:
        super().__init__(folder)
        self._client = client
        self._connected = service

    def refresh(self) -> Self:
        """Look at every batch once, and bring home what has ended.

        A result file that was changed or lost since is fetched again, and so is one that the
        service did not give, or not whole, when it was last asked.

        Raises
        ------
        JobError
            If not all of the job was sent: ``resume()`` goes on with it.
        ServiceError
            If the service cannot be reached; what is at home stays.
        """
        self._look(thorough=True)
        return self

    def _look(self, seconds: float | None = None, *, thorough: bool = False) -> None:
        record = self._record
        at_home = record.done and all_at_home(record.folder, record.state, thorough=thorough)
        if at_home and not self._has_to_fetch(record):
            return
        service = self._service if seconds is None else self._service.within(seconds)
        with working_on(self._folder, service) as run:
            if run is None:
                return  # another kernel is at it, and its journal will tell
            refresh(run, thorough=thorough)
            if any(shard.queued for shard in run.state().shards):
                go_on(run)  # the next wave
            if names_files(record):
                fetch_named(self._record, run.service)
            # Asked anew under the lock: another kernel may have sent it meanwhile.
            if not self._record.sent:
                raise JobError.not_sent(record.manifest.display_name)

    def wait(self, timeout: float | None = None) -> Self:
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
        with self._interruptible(), live() as screen:
            look = self._begin_on(screen)
            waited = until(lambda: self.done, look, self._pace, timeout=timeout)
            if not waited.done:
                trouble = str(waited.trouble) if waited.trouble else None
                name = self._record.manifest.display_name
                raise _waited_error(name, timeout or 0, self.status, trouble)
        return self

    def __await__(self) -> Generator[Any, None, Self]:
        return self._wait_async().__await__()

    async def _wait_async(self) -> Self:
        """Wait as :meth:`wait` does; cancelling this leaves the job alone, too."""
        with self._interruptible(), live() as screen:
            await until_async(lambda: self.done, self._begin_on(screen), self._pace)
        return self

    def watch(self) -> Self:
        """Wait in the background: the card below this cell follows the job, the kernel is free.

        The answers are brought home when the job is done. Trouble stands on the card. Watching
        ends with the job, with the kernel, or when the job is watched in another cell; it never
        cancels anything.

        Examples
        --------
        >>> import pandas as pd, batchframe as bf, batchframe.local
        >>> with batchframe.local.serve(answer=lambda body: "yes") as server:
        ...     requests = pd.DataFrame({"t": ["a"]}).bf.requests("{{ t }}", model="gpt-4.1")
        ...     job = requests.submit("in the background", client=server.client()).watch()
        ...     job.wait().counts  # or anything else meanwhile
        {'ok': 1}
        """
        screen = background()
        self._begin_on(screen)
        watch(
            self.folder,
            self,
            done=lambda job: job.done,
            look=lambda job: job._look_on(screen, None),  # noqa: SLF001 - of its own class
            screen=screen,
            pace=self._pace,
        )
        return self

    def widget(self) -> Box:
        """Show the card with buttons: look again, cancel (it asks first), show the answers.

        Needs the extra ``widgets``. The buttons work as long as this kernel runs, after a reload
        of the page, too. A saved notebook keeps the card as it stood.

        Raises
        ------
        ExtraError
            If ipywidgets is not installed.
        """
        return controls(
            self._card,
            look=self.refresh,
            cancel=self.cancel,
            answers=self.results,
            ended=lambda: self._record.done,
        )

    def cancel(self) -> Self:
        """Ask the service to stop the job. What it finished is billed, and is kept.

        What was not sent yet never is; ``unanswered()`` asks it anew.

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
                raise JobError.busy(record.manifest.display_name)
            cancel(run)
            if any(shard.step == "creating" for shard in run.state().shards):
                raise JobError(
                    f"What is known of job {record.manifest.display_name} is being cancelled, but "
                    "another part of it may exist on the server. Look for it with "
                    f"bf.job({record.manifest.display_name!r}).resume(), then cancel again."
                )
        return self

    def resume(self, *, recreate: bool = False) -> Self:
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
                raise JobError.busy(record.manifest.display_name)
            go_on(run)
        return self

    def forget(self, *, remote: bool = False) -> Forgotten:
        """Remove the job's folder: its requests, its answers, everything about it that is here.

        Nothing is removed while a batch runs. The cell that submitted it, run again, finds the
        batch on the server and its answers, or, with `remote`, that they are gone: its rows are
        ``missing`` then, and ``unanswered()`` asks them anew.

        Parameters
        ----------
        remote
            Also delete its input and result files on the server.

        Returns
        -------
        What was removed, and what remains and why. If a file on the server could not be deleted
        the folder stays, so that the call can be repeated.

        Raises
        ------
        JobError
            If a batch has not ended (``job.cancel()`` first), or another kernel is working on the
            job at this moment.
        """
        record = self._record
        refuse_if_under_way(record)
        service = self._service if remote else None
        with self._folder.lock() as held:
            if not held:
                raise JobError.busy(record.manifest.display_name)
            return forget(self._record, service)

    @property
    def _pace(self) -> Pace:
        return Pace.of(self._record.manifest.provider)

    def _begin_on(self, screen: Screen) -> Callable[[float | None], None]:
        """Show the card as it stands, and return what looks again and shows it anew."""
        self._screen = screen
        screen.show(self._card(), in_status_words(self.status))
        return partial(self._look_on, screen)

    def _look_on(self, screen: Screen, left: float | None) -> None:
        try:
            self._look(left)
        except ServiceError as trouble:
            screen.show(in_trouble(self._card(), str(trouble)), "no answer")
            raise
        screen.show(self._card(), in_status_words(self.status))

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        try:
            yield
        except (KeyboardInterrupt, asyncio.CancelledError):
            name = self._record.manifest.display_name
            say(f"Stopped waiting; the job goes on. Come back: job = bf.job({name!r})")
            raise

    def __reduce__(self) -> tuple[type[Self], tuple[JobFolder]]:
        # The folder only: a client carries the key.
        return type(self), (self._folder,)

    def _card(self) -> Card:
        record = self._record
        answers = self._answers(record)
        counts, failed = row_counts(answers), failures(answers)
        return job_card(JobFacts(record, counts, job_cost(answers), failed))

    @property
    def _service(self) -> Service:
        if self._connected is None:
            manifest = self._record.manifest
            self._connected = connect_to(manifest.identity, manifest.display_name, self._client)
        return self._connected


def _waited_error(job: str, seconds: float, status: str, trouble: str | None) -> JobTimeout:
    last = f"It goes on at the service; its status was {status!r} at the last look."
    if trouble:
        last = f"The last look at it failed: {trouble}"
    return JobTimeout(
        f"Job {job} was not done after {seconds:,.0f} seconds. {last} "
        f"Come back to it: bf.job({job!r}).wait()."
    )
