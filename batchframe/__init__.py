"""Send DataFrame rows to the OpenAI Batch API and join the answers back.

Start here, with ``OPENAI_API_KEY`` set::

    import pandas as pd, batchframe as bf
    df = pd.DataFrame({"text": ["Works well.", "Broke at once."]})
    plan = df.bf.requests("Classify: {{ text }}", model="gpt-6-luna", output=["good", "bad"])
    job = plan.submit("tone", max_cost=2.00).wait()
    labeled = df.bf.join(job)  # columns text, label, bf_status, bf_error

The verbs, in order:

1. ``df.bf.requests(...)`` builds and checks the requests; nothing is sent.
2. ``plan.preview()`` shows them, ``plan.estimate()`` their tokens and cost, and
   ``plan.pilot()`` sends a small sample in real time.
3. ``plan.submit(name)`` sends them as a job; running it again finds the same job.
4. ``job.wait()`` downloads the answers; in a new kernel, ``bf.job(name).wait()``.
5. ``df.bf.join(job)`` adds the answers to the frame.
6. ``job.unanswered().submit()`` sends the rows without an answer again.
7. ``labeled.bf.evaluate(truth=..., predicted=...)`` compares the answers with gold labels.

Without a key, use ``with batchframe.local.serve() as server:`` and pass
``client=server.client()`` to ``submit()``; nothing is billed. For details, see
``help(bf.requests)``, ``help(bf.Requests)`` and ``help(bf.Job)``.
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
from batchframe._services.connect import use
from batchframe._services.provider import Provider, provider
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
    "use",
]
