"""The requests of a job that have no answer, to submit them again."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from batchframe._base.errors import RequestError
from batchframe._display import notify
from batchframe._endpoints import open_endpoint
from batchframe._endpoints.endpoint import ASKED_AGAIN, ASKED_ON_DEMAND, UNDELIVERED
from batchframe._results.job_answers import row_counts
from batchframe._results.unanswered import (
    AGAIN,
    not_delivered,
    nothing_left,
    still_waiting,
    undelivered_rows,
)
from batchframe._results.unanswered import unanswered as table_of_unanswered

if TYPE_CHECKING:
    from batchframe._api.job import Job
    from batchframe._api.requests import Requests


def unanswered(self: Job, *, also: Collection[str] = ()) -> Requests:
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
    ...     plan = frame.bf.requests("{{ t }}", model="gpt-6-luna")
    ...     job = plan.submit("sums", client=server.client()).wait()
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
    table = table_of_unanswered(record, answers, {*ASKED_AGAIN, *also})
    if pending := counts.get("pending", 0):
        notify(still_waiting(manifest.display_name, pending))
    left_out = 0 if UNDELIVERED in also else sum(undelivered_rows(record, answers).values())
    if left_out:
        notify(not_delivered(manifest.display_name, left_out))
    elif not pending and not table.requests:
        notify(nothing_left(manifest.display_name, counts))
    name = None if manifest.name is None else f"{manifest.name}, again"
    return Requests(table, AGAIN + manifest.id, name)
