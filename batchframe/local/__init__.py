"""Local server for OpenAI's Files and Batch API, without key or costs.

Use it to try a job before it costs anything, to test a notebook, or to run batches on your own
model. The official openai client connects to it over HTTP, as batchframe itself does.

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
        f"The local server needs {error.name}, which is not installed. "
        'Fix: pip install "batchframe[local]"',
        name=error.name,
    ) from None

from batchframe.local._answers.answerers import AnswerError
from batchframe.local._batches.dialects import Limits
from batchframe.local._faults.fault import Fault
from batchframe.local._faults.plan import Faults
from batchframe.local._minilm.answers import minilm
from batchframe.local._objects import BilledBatch
from batchframe.local._server import Server
from batchframe.local._serving import run, serve

__all__ = [
    "AnswerError",
    "BilledBatch",
    "Fault",
    "Faults",
    "Limits",
    "Server",
    "minilm",
    "run",
    "serve",
]

del python_multipart, rstr, starlette, uvicorn
