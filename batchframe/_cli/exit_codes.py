"""Exit codes, which a scheduler can act on."""

from __future__ import annotations

from typing import Final

from batchframe._api.job import Job

OK: Final = 0
ROWS: Final = 1
"""The job is done, and some rows have no answer."""
USAGE: Final = 2
"""It could not be done: wrong words, bad input, or an error of ours; nothing was guessed."""
RUNNING: Final = 3
UNCERTAIN: Final = 4
"""Nobody can know yet whether a batch was created."""
INTERRUPTED: Final = 130
"""What a shell says of a process that Ctrl-C has ended."""
BROKEN_PIPE: Final = 141
"""What a shell says of a process whose reader has gone."""

UNSENT: Final = frozenset({"preparing", "submitting"})


def code_of(job: Job) -> int:
    """Say how a job stands, as it was at the last look."""
    if job.status == "uncertain":
        return UNCERTAIN
    if job.status in UNSENT:
        return USAGE
    if not job.done:
        return RUNNING
    return OK if set(job.counts) <= {"ok", "skipped"} else ROWS
