"""The verbs of a job that follow it until it is done: wait, await, watch, widget."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from batchframe._api.cards import in_status_words, in_trouble
from batchframe._base.errors import JobTimeout, ServiceError
from batchframe._display import Screen, background, controls, live, say
from batchframe._jobs import waiting
from batchframe._jobs.waiting import Pace, until, until_async

if TYPE_CHECKING:
    from ipywidgets import Box

    from batchframe._api.job import Job


def wait(self: Job, timeout: float | None = None) -> Job:
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
    with _interruptible(self), live() as screen:
        look = _begin_on(self, screen)
        waited = until(lambda: self.done, look, _pace(self), timeout=timeout)
        if not waited.done:
            trouble = str(waited.trouble) if waited.trouble else None
            name = self._record.manifest.called
            raise _waited_error(name, timeout or 0, self.status, trouble)
    return self


async def wait_async(self: Job) -> Job:
    """Wait as :meth:`wait` does; cancelling this leaves the job alone, too."""
    with _interruptible(self), live() as screen:
        await until_async(lambda: self.done, _begin_on(self, screen), _pace(self))
    return self


def watch(self: Job) -> Job:
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
    _begin_on(self, screen)
    waiting.watch(
        self.folder,
        self,
        done=lambda job: job.done,
        look=lambda job: _look_on(job, screen, None),
        screen=screen,
        pace=_pace(self),
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
    """Show the card as it stands, and return what looks again and shows it anew."""
    job._screen = screen
    screen.show(job._card(), in_status_words(job.status))
    return partial(_look_on, job, screen)


def _look_on(job: Job, screen: Screen, left: float | None) -> None:
    try:
        job._look(left)
    except ServiceError as trouble:
        screen.show(in_trouble(job._card(), str(trouble)), "no answer")
        raise
    screen.show(job._card(), in_status_words(job.status))


@contextmanager
def _interruptible(job: Job) -> Iterator[None]:
    try:
        yield
    except (KeyboardInterrupt, asyncio.CancelledError):
        name = job._record.manifest.called
        say(f"Stopped waiting; the job goes on. Come back: job = bf.job({name!r})")
        raise


def _waited_error(job: str, seconds: float, status: str, trouble: str | None) -> JobTimeout:
    last = f"It goes on at the service; its status was {status!r} at the last look."
    if trouble:
        last = f"The last look at it failed: {trouble}"
    return JobTimeout(
        f"Job {job} was not done after {seconds:,.0f} seconds. {last} "
        f"Come back to it: bf.job({job!r}).wait()."
    )


def _pace(job: Job) -> Pace:
    return Pace.of(job._record.manifest.provider)
