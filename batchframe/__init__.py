"""Send DataFrame rows to the OpenAI Batch API and join the answers back.

Quick start, for a frame with a column ``text``::

    import batchframe as bf  # registers df.bf

    requests = df.bf.requests("Classify: {{ text }}", model="gpt-5.6-luna", output=["good", "bad"])
    requests.estimate()  # tokens and dollars; nothing is sent
    job = requests.submit("tone", max_cost=2.00).wait()
    labeled = df.bf.join(job)

See ``help(bf.requests)``, ``help(bf.Requests)`` and ``help(bf.Job)``. ``batchframe.local`` is a
batch server for testing, which needs no API key and bills nothing.
"""

from batchframe import errors, plot
from batchframe._api import accessor  # noqa: F401 - registers df.bf
from batchframe._api.functions import job, join, recover, requests
from batchframe._api.job import Job
from batchframe._api.listing import jobs
from batchframe._api.requests import Requests
from batchframe._api.webhooks import on_webhook
from batchframe._endpoints import count_tokens
from batchframe._estimate.estimate import Estimate
from batchframe._evaluation.agreement import Agreement, agreement
from batchframe._evaluation.evaluation import Evaluation, evaluate
from batchframe._frames.spreadsheet import escape_formulas
from batchframe._jobs.pilot import Pilot
from batchframe._results.report import Report
from batchframe._services.provider_table import Provider, provider
from batchframe._tokens.counter import TokenCount
from batchframe._version import __version__

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
