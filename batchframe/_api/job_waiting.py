"""The verbs of a job that follow it until it is done: wait, await, watch, widget."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from batchframe._api.cards import in_status_words, in_trouble
from batchframe._base.errors import JobTimeout, ServiceError
from batchframe._base.safe_text import NextStep, in_shell, job_step
from batchframe._display import Screen, background, controls, live, notify
from batchframe._jobs import waiting
from batchframe._jobs.waiting import Poll, PollInterval, until, until_async

if TYPE_CHECKING:
    from ipywidgets import Box

    from batchframe._api.job import Job


def wait(self: Job, timeout: float | None = None, *, poll: Poll | None = None) -> Job:
    """Poll the service until the job is done.

    Interrupting it leaves the job alone: it goes on at the service, and this or any later
    kernel can come back to it.

    Parameters
    ----------
    timeout
        Seconds after which to give up waiting; by default never.
    poll
        Seconds between two polls, or two numbers: the first interval and the longest, between
        which it grows. By default ``first_poll`` and ``last_poll`` of the job's
        :class:`Provider`, 5 and 60 seconds at OpenAI. Each may be some 15 % shorter or longer.

    Raises
    ------
    JobTimeout
        If the time is over. The job goes on.
    RequestError
        If `poll` is not one or two numbers of seconds.
    JobError
        If not all of the job was sent: ``resume()`` goes on with it.
    ServiceError
        If the service refuses, or cannot be reached for a long time.

    Examples
    --------
    >>> import pandas as pd, batchframe as bf, batchframe.local
    >>> with batchframe.local.serve(answer=lambda body: "yes") as server:
    ...     requests = pd.DataFrame({"t": ["a"]}).bf.requests("{{ t }}", model="gpt-4.1")
    ...     job = requests.submit("polled", client=server.client()).wait(60, poll=(0.1, 1))
    >>> job.done
    True
    """
    interval = _interval(self, poll)
    with _interruptible(self), live() as screen:
        waited = until(lambda: self.done, _begin_on(self, screen), interval, timeout=timeout)
        if not waited.done:
            raise _timeout_error(self, timeout or 0, waited.trouble)
    return self


async def wait_async(self: Job) -> Job:
    """Wait as :func:`wait` does; cancelling this leaves the job alone, too."""
    with _interruptible(self), live() as screen:
        await until_async(lambda: self.done, _begin_on(self, screen), _interval(self))
    return self


def watch(self: Job, *, poll: Poll | None = None) -> Job:
    """Wait in the background: the card below this cell follows the job, the kernel is free.

    The answers are brought home when the job is done. Trouble stands on the card. Watching
    ends with the job, with the kernel, or when the job is watched in another cell; it never
    cancels anything.

    Parameters
    ----------
    poll
        As for :meth:`wait`.

    Examples
    --------
    >>> import pandas as pd, batchframe as bf, batchframe.local
    >>> with batchframe.local.serve(answer=lambda body: "yes") as server:
    ...     requests = pd.DataFrame({"t": ["a"]}).bf.requests("{{ t }}", model="gpt-4.1")
    ...     job = requests.submit("in the background", client=server.client()).watch()
    ...     job.wait().counts  # or anything else meanwhile
    {'ok': 1}
    """
    interval = _interval(self, poll)
    screen = background()
    _begin_on(self, screen)
    waiting.watch(
        self.folder,
        self,
        done=lambda job: job.done,
        poll=lambda job: _poll_on(job, screen, None),
        screen=screen,
        interval=interval,
    )
    return self


def widget(self: Job) -> Box:
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


def _begin_on(job: Job, screen: Screen) -> Callable[[float | None], None]:
    """Show the card as it stands, and return what polls and shows it anew."""
    job._screen = screen
    screen.show(job._card(), in_status_words(job.status))
    return partial(_poll_on, job, screen)


def _poll_on(job: Job, screen: Screen, left: float | None) -> None:
    try:
        job._poll(left)
    except ServiceError as trouble:
        screen.show(in_trouble(job._card(), str(trouble)), "no answer")
        raise
    screen.show(job._card(), in_status_words(job.status))


@contextmanager
def _interruptible(job: Job) -> Iterator[None]:
    try:
        yield
    except (KeyboardInterrupt, asyncio.CancelledError):
        name = job._record.manifest.display_name
        notify(f"Stopped waiting; the job goes on. Come back: job = bf.job({name!r})")
        raise


def _timeout_error(job: Job, seconds: float, trouble: ServiceError | None) -> JobTimeout:
    name = job._record.manifest.display_name
    last = f"It goes on at the service; its status was {job.status!r} at the last look."
    if trouble:
        last = "The last look at it failed: " + NextStep(str(trouble), in_shell(trouble))
    return JobTimeout(
        f"Job {name} was not done after {seconds:,.0f} seconds. " + last,
        next_step="Come back to it: " + job_step(name, "wait") + ".",
    )


def _interval(job: Job, poll: Poll | None = None) -> PollInterval:
    return PollInterval.of(job._record.manifest.provider, poll)
