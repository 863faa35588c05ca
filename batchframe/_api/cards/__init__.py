"""Cards of requests and jobs."""

from __future__ import annotations

from batchframe._api.cards.examples import answer_examples, example_table
from batchframe._api.cards.job import job_card, with_poll_error
from batchframe._api.cards.progress import failed_rows, format_row_counts, format_status
from batchframe._api.cards.requests import requests_card

__all__ = [
    "answer_examples",
    "example_table",
    "failed_rows",
    "format_row_counts",
    "format_status",
    "job_card",
    "requests_card",
    "with_poll_error",
]
