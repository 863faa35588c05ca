"""Turn DataFrame rows into OpenAI Batch API requests, and join every answer back to its row.

A start, on a frame with a column ``text``::

    import batchframe as bf  # registers df.bf

    requests = df.bf.requests("Classify: {{ text }}", model="gpt-5.6-luna", output=["good", "bad"])
    requests.estimate()  # tokens and dollars; nothing is sent
    job = requests.submit("tone", max_cost=2.00).wait()
    labelled = df.bf.join(job)

``help(bf.requests)``, ``help(bf.Requests)`` and ``help(bf.Job)`` say more; ``batchframe.local`` is
a server to rehearse with, without a key and without cost.
"""

from batchframe import (
    _accessor,  # noqa: F401 - registers df.bf
    errors,
    plot,
)
from batchframe._agreement import Agreement, agreement
from batchframe._estimate import Estimate
from batchframe._evaluation import Evaluation, evaluate
from batchframe._frames import job, join, recover, requests
from batchframe._listing import jobs
from batchframe._pilot import Pilot
from batchframe._providers import Provider, provider
from batchframe._report import Report
from batchframe._request_tokens import count_tokens
from batchframe._requests import Job, Requests
from batchframe._spreadsheet import escape_formulas
from batchframe._tokens import TokenCount
from batchframe._version import __version__
from batchframe._webhooks import on_webhook

__all__ = [
    "Agreement",
    "Estimate",
    "Evaluation",
    "Job",
    "Pilot",
    "Provider",
    "Report",
    "Requests",
    "TokenCount",
    "__version__",
    "agreement",
    "count_tokens",
    "errors",
    "escape_formulas",
    "evaluate",
    "job",
    "jobs",
    "join",
    "on_webhook",
    "plot",
    "provider",
    "recover",
    "requests",
]
