"""A batch server on this machine: OpenAI's Files and Batch API without a key or a bill.

To rehearse a job before it costs anything, to test a notebook, or to run batches on a model of
one's own. Comes in: who answers. Goes out: a `Server` that the genuine openai client talks to. But
for the token counter, it must not know the rest of batchframe, which meets it over HTTP like
everyone else.

>>> import batchframe.local
>>> with batchframe.local.serve(answer=lambda body: {"label": "positive"}) as server:
...     models = server.client().models.list()
"""

from __future__ import annotations

try:
    import python_multipart
    import rstr
    import starlette
    import uvicorn
except ImportError as error:
    raise ImportError(
        f"The local batch server needs {error.name}, which is not installed. Install it with: "
        'pip install "batchframe[local]"',
        name=error.name,
    ) from None

from batchframe.local._answers.answerers import AnswerError
from batchframe.local._batches.dialects import Limits
from batchframe.local._faults.fault import Fault
from batchframe.local._faults.plan import Faults
from batchframe.local._objects import BilledBatch
from batchframe.local._server import Server
from batchframe.local._serving import run, serve

__all__ = ["AnswerError", "BilledBatch", "Fault", "Faults", "Limits", "Server", "run", "serve"]

del python_multipart, rstr, starlette, uvicorn
