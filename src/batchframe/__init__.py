"""Turn DataFrame rows into OpenAI Batch API requests, and join every answer back to its row."""

from batchframe import (
    _accessor,  # noqa: F401 - registers df.bf
    errors,
)
from batchframe._estimate import Estimate
from batchframe._frames import job, join, recover, requests
from batchframe._jobs import jobs
from batchframe._request_tokens import count_tokens
from batchframe._requests import Job, Requests
from batchframe._tokens import TokenCount
from batchframe._version import __version__

__all__ = [
    "Estimate",
    "Job",
    "Requests",
    "TokenCount",
    "__version__",
    "count_tokens",
    "errors",
    "job",
    "jobs",
    "join",
    "recover",
    "requests",
]
