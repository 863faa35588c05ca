"""Methods of a job that follow it: wait, await, watch, widget."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

from batchframe._api.cards import answer_examples, format_status, with_poll_error
from batchframe._base.errors import JobError, JobTimeout, ServiceError
from batchframe._base.safe_text import NextStep, in_shell, job_step
from batchframe._base.traceback import WaitCancelled, WaitStopped
from batchframe._display import (
    Panel,
    Screen,
    background,
    controls,
    follow,
    has_buttons,
    in_notebook,
    live,
    mime_bundle,
    notify,
    screen_of,
)
from batchframe._jobs import waiting
from batchframe._jobs.running import refuse_paused
from batchframe._jobs.waiting import Poll, poll_interval, until, until_async
from batchframe._results.billing import summary_of
from batchframe._services.connect import expected_identity
from batchframe._services.polling import PollInterval
from batchframe._store.journal import is_held

if TYPE_CHECKING:
    from ipywidgets import Box

    from batchframe._api.job import Job


def wait(self: Job, timeout: float | None = None, *, poll: Poll | None = None) -> Job:
    """Poll the service until the job is done.

    Interrupting the call does not stop the job: it continues at the service, and any kernel can
    wait for it later.

    Parameters
    ----------
    timeout
        Maximum time to wait, in seconds; no limit by default.
    poll
        Seconds between two polls, or a tuple of the initial and the maximum interval. By default
        ``first_poll`` and ``last_poll`` of the job's :class:`Provider`, 5 and 60 seconds for
        OpenAI. Intervals vary randomly by up to 15%.

    Raises
    ------
    JobTimeout
        If the job is not done in time. It continues at the service.
    RequestError
        If `poll` is not one or two numbers of seconds.
    JobError
        If the job was not sent completely: call ``resume()``.
    ServiceError
        If the service rejects a poll, or cannot be reached for a long time.

    Examples
    --------
    >>> import pandas as pd, batchframe as bf, batchframe.local
    >>> with batchframe.local.serve(answer=lambda body: "yes") as server:
    ...     plan = pd.DataFrame({"t": ["a"]}).bf.requests("{{ t }}", model="gpt-6-luna")
    ...     job = plan.submit("polled", client=server.client()).wait(60, poll=(0.1, 1))
    >>> job.done
    True
    """
    interval = _interval(self, poll)
    with _interruptible(self), live() as screen:
        show = _start_screen(self, screen)
        waited = until(lambda: _has_ended(self), show, interval, timeout=timeout)
        refuse_paused(self._record)
        if not waited.done:
            raise _timeout_error(self, timeout or 0, waited.error)
    return self


async def wait_async(self: Job) -> Job:
    """Wait like :func:`wait`; canceling the task does not stop the job."""
    with _interruptible(self), live() as screen:
        show = _start_screen(self, screen)
        await until_async(lambda: _has_ended(self), show, _interval(self))
        refuse_paused(self._record)
    return self


def watch(self: Job, *, poll: Poll | None = None) -> Job:
    """Wait in a background thread, and update the card below the cell.

    The answers are downloaded when the job is done. Errors are shown on the card. Watching ends
    with the job, with the kernel, or when another cell watches the job; it never cancels the job.

    Parameters
    ----------
    poll
        As in :meth:`wait`.

    Examples
    --------
    >>> import pandas as pd, batchframe as bf, batchframe.local
    >>> with batchframe.local.serve(answer=lambda body: "yes") as server:
    ...     plan = pd.DataFrame({"t": ["a"]}).bf.requests("{{ t }}", model="gpt-6-luna")
    ...     job = plan.submit("in the background", client=server.client()).watch()
    ...     job.wait().counts  # or anything else while it runs
    {'ok': 1}
    """
    if has_buttons():
        panel = _panel(self)
        panel.display()
        screen = panel.screen
    else:
        screen = background()
        if screen.in_notebook:
            follow(self.folder, screen)
    self._screen = screen
    screen.show(self._card(), format_status(self.status))
    _watch(self, screen, poll)
    return self


def widget(self: Job) -> Box:
    """Return the card with buttons to refresh, cancel and show answers.

    The card follows the job, as that of :meth:`watch` does. Canceling asks for confirmation. The
    buttons work while this kernel runs, also after the page is reloaded. A saved notebook keeps
    the last card; in JupyterLab, the last one before a reload, with its time.
    """
    panel = _panel(self)
    if not _has_ended(self):
        _watch(self, panel.screen, None)
    return panel.box


def display_job(self: Job) -> None:
    """Show the card in a notebook, with buttons, so that it follows the job.

    Raises
    ------
    NotImplementedError
        If the text and HTML of the card are enough.
    """
    card = self._card()
    if self._screen is not None and self._screen.shows(card):
        return
    if has_buttons():
        _panel(self).display()
    elif in_notebook() and not self.done:
        follow(self.folder, screen_of(mime_bundle(card)))
    else:
        raise NotImplementedError  # tells IPython to use the other representations


def _panel(job: Job) -> Panel:
    panel = controls(
        job._card,
        refresh=job.refresh,
        cancel=job.cancel,
        answers=lambda: answer_examples(job._record, job._answers(job._record)),
        ended=lambda: job._record.done,
    )
    follow(job.folder, panel.screen)
    return panel


def _watch(job: Job, screen: Screen, poll: Poll | None) -> None:
    waiting.watch(
        job.folder,
        job,
        done=_has_ended,
        poll=lambda owner: _poll_and_show(owner, screen, None),
        screen=screen,
        interval=_interval(job, poll),
    )


def _has_ended(job: Job) -> bool:
    return job.done or is_held(job._record.state)


def _start_screen(job: Job, screen: Screen) -> Callable[[float | None], None]:
    """Show the card, and return a function that polls and updates it."""
    job._screen = screen
    if screen.in_notebook:
        follow(job.folder, screen)
    screen.show(job._card(), format_status(job.status))
    return partial(_poll_and_show, job, screen)


def _poll_and_show(job: Job, screen: Screen, left: float | None) -> None:
    try:
        job._poll(left)
    except ServiceError as trouble:
        screen.show(with_poll_error(job._card(), str(trouble)), "poll failed")
        raise
    if not screen.in_notebook:  # the others follow the job
        screen.show(job._card(), format_status(job.status))
    if (record := job._record).done:
        # A list of jobs then reads no answers.
        with suppress(JobError):
            summary_of(record, job._answers(record))


@contextmanager
def _interruptible(job: Job) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        raise WaitStopped(_stopped(job)) from None
    except asyncio.CancelledError:
        notify(NextStep(_stopped(job), ""))  # a caller may handle the cancellation
        raise WaitCancelled("Interrupted.") from None


def _stopped(job: Job) -> str:
    record = job._record
    client = ""
    if expected_identity() != record.manifest.identity:
        client = " (in a new kernel, bf.use(client) first)"
    step = job_step(record.reference, "wait")
    return f"Stopped waiting; the job keeps running. To continue: job = {step}{client}"


def _timeout_error(job: Job, seconds: float, trouble: ServiceError | None) -> JobTimeout:
    name = job._record.manifest.display_name
    problem = f"Job {name!r} was not done after {seconds:,.9g} s (last status: {job.status!r})."
    if trouble:
        problem += " The last poll failed: " + NextStep(str(trouble), in_shell(trouble))
    return JobTimeout(
        problem + " It keeps running on the service.",
        next_step="Fix: "
        + job_step(name, "wait")
        + ". To stop it: "
        + job_step(name, "cancel")
        + ". If it never ends: "
        + job_step(name, "abandon")
        + ".",
    )


def _interval(job: Job, poll: Poll | None = None) -> PollInterval:
    return poll_interval(job._record.manifest.provider, poll)
